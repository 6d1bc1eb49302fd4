//! The figures as Markdown tables.

use crate::{
    idle::Idle,
    reload::Reload,
    rounds::{Measured, Quartiles},
    start::Start,
    work::{Policies, Work},
};

pub(crate) fn loads(work: Work, policies: Policies, measured: &[Measured]) {
    println!("\n{} with policies {}\n", work.name(), policies.name());
    println!(
        "| subject | CPU us/request (p25, p75) | in the kernel | Weir / it (p25, p75) | requests/s | p50 us | p99 us | MiB | load's core | failed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for one in measured {
        if let Some(reason) = &one.missing {
            println!("| {} | {reason} | | | | | | | | |", one.subject);
            continue;
        }
        println!(
            "| {} | {} | {:.0} % | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} % | {} |",
            one.subject,
            spread(one.cpu_us),
            one.kernel_share * 100.0,
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
