//! The figures as Markdown tables.

use crate::{
    generate::Seen,
    idle::{Idle, Instances},
    reload::Reload,
    rounds::{Measured, Quartiles},
    start::Start,
    swap::Swapped,
    work::{Policies, Work},
};

pub(crate) fn loads(work: Work, policies: Policies, measured: &[Measured]) {
    println!("\n{} with policies {}\n", work.name(), policies.name());
    let rate = measured.first().map_or(0.0, |one| one.rate);
    let (big, unit) = (work.body() >= 1 << 20, work.unit());
    let per_gb = |text: String| if big { format!(" {text} |") } else { String::new() };
    println!(
        "| subject | CPU us/{unit} (p25, p75) | user us | kernel us |{} Weir / it (p25, p75) | {unit}s/s | \
         p50 us at {rate:.0}/s | p99 us at {rate:.0}/s | MiB | load's core | failed |",
        per_gb("CPU s/GB".to_owned())
    );
    println!("|{}", "---|".repeat(if big { 12 } else { 11 }));
    for one in measured {
        if let Some(reason) = &one.missing {
            println!("| {} | {reason} {}|", one.subject, "| ".repeat(if big { 10 } else { 9 }));
            continue;
        }
        println!(
            "| {} | {} | {:.1} | {:.1} |{} {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} % | {} |",
            one.subject,
            spread(one.cpu_us),
            one.user_us.median,
            one.kernel_us.median,
            per_gb(format!("{:.3}", one.cpu_s_per_gb)),
            one.weir_ratio.map_or_else(String::new, spread),
            one.per_second,
            one.p50_us,
            one.p99_us,
            one.resident_mib,
            one.load_busy * 100.0,
            one.failed,
        );
    }
}

pub(crate) fn idle(all: &[Idle]) {
    if all.iter().any(|one| one.connections < most(all)) {
        println!("\nFewer connections where a subject wants more than one descriptor for each.");
    }
    println!("\n| subject | policies | idle MiB | connections | KiB per idle connection | over TLS |");
    println!("|---|---|---|---|---|---|");
    for one in all {
        println!(
            "| {} | {} | {:.1} | {} | {:.2} | {:.2} |",
            one.subject,
            one.policies.name(),
            one.resident_mib,
            one.connections,
            one.kib_per_connection,
            one.kib_per_tls_connection
        );
    }
}

fn most(all: &[Idle]) -> usize {
    all.iter().map(|one| one.connections).max().unwrap_or_default()
}

pub(crate) fn instances(all: &[Instances]) {
    if all.is_empty() {
        return;
    }
    println!("\n| policies | KiB per instance of a filter |\n|---|---|");
    for one in all {
        println!("| {} | {:.0} |", one.policies.name(), one.kib_per_instance);
    }
}

pub(crate) fn swaps(all: &[Swapped]) {
    println!(
        "\n| policies | swaps | ms each (p25, p75) | requests/s | p99 us before | during | after | longest, us, before | during | after | failed |"
    );
    println!("|{}", "---|".repeat(11));
    for one in all {
        let each = [&one.before, &one.during, &one.after];
        let [p99, longest] = [|seen: &Seen| seen.p99_us, |seen: &Seen| seen.most_us]
            .map(|of| each.map(|seen| format!("{:.0}", of(seen))).join(" | "));
        println!(
            "| {} | {} | {} | {:.0} | {p99} | {longest} | {} |",
            one.policies.name(),
            one.swaps,
            spread(one.swap_ms),
            one.rate,
            each.iter().map(|seen| seen.failed).sum::<u64>(),
        );
    }
}

pub(crate) fn starts(all: &[Start]) {
    println!("\n| subject | policies | start to first 200, ms (p25, p75) | with a warm cache |");
    println!("|---|---|---|---|");
    for one in all {
        let warm = one.warm_ms.map_or_else(|| "-".to_owned(), spread);
        println!("| {} | {} | {} | {warm} |", one.subject, one.policies.name(), spread(one.cold_ms));
    }
}

pub(crate) fn reload(one: &Reload) {
    println!(
        "\n| routes | clusters | file KiB | from one route, ms | one changed, ms (p25, p75) | CPU ms (p25, p75) | MiB with one route | with all | after the reloads |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {:.0} | {:.1} | {} | {} | {:.1} | {:.1} | {:.1} |",
        one.routes,
        one.clusters,
        one.file_kib,
        one.first_ms,
        spread(one.live_ms),
        spread(one.cpu_ms),
        one.resident_one_mib,
        one.resident_all_mib,
        one.resident_mib,
    );
}

fn spread(of: Quartiles) -> String {
    format!("{:.2} ({:.2}, {:.2})", of.median, of.p25, of.p75)
}
