//! Hostile filters: what they do costs the exchange that asked for it, and nobody else.

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, LoadPlan, WeirProcess, build_guest, eventually};

use super::{chain, number, told, until_counted};
use crate::stage::weir;

const HOOKS: [&str; 5] = ["request", "body", "answer", "response", "complete"];
/// Misdeed, and how it is counted.
const MISDEEDS: [(&str, &str); 9] = [
    ("loop", "out_of_time"),
    ("memory", "out_of_memory"),
    ("trap", "trap"),
    ("recurse", "trap"),
    ("giant", "wrong_answer"),
    ("many", "wrong_answer"),
    ("bad-status", "wrong_answer"),
    ("bad-field", "wrong_answer"),
    ("framing-field", "wrong_answer"),
];

fn hostile(origin: &EchoOrigin, on_fault: &str, more: &str) -> Result<String> {
    let wasm = build_guest("weir-guest-hostile")?;
    let filter = format!(
        "[access_log]\nto = \"{{dir}}/access.log\"\n\n\
         [filters.bad]\nwasm = {wasm:?}\non_fault = \"{on_fault}\"\nlimits = {{ time = \"100ms\" }}\n\
         grants = {{ ask = [\"origin\"] }}\nconfig = {{ cluster = \"origin\", bodies = true }}\n{more}\n"
    );
    Ok(chain(origin.address(), &["bad"], &filter))
}

/// What a misdeed at a hook is to come to, as a status.
fn expected(hook: &str, on_fault: &str) -> u16 {
    match (hook, on_fault) {
        ("complete", _) | (_, "skip") => 200,
        _ => 500,
    }
}

async fn every_misdeed_at_every_hook(on_fault: &str) -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = weir(hostile(&origin, on_fault, "")?).await?;
    let address = weir.address("web")?;
    let load =
        LoadPlan::new(address, "/").connections(4).between(std::time::Duration::from_millis(1)).start();
    for hook in HOOKS {
        for (misdeed, kind) in MISDEEDS {
            // What `on-complete` answers is nothing, so it cannot be wrong.
            if hook == "complete" && kind == "wrong_answer" {
                continue;
            }
            let before = number(&told(&weir, "bad").await?, &format!("/faults/{kind}"));
            let deed = format!("{hook} {misdeed}");
            let mut client = Http1::connect(address).await?;
            let answer = client.request("POST", "/", &[("x-misdeed", &deed)], b"a body").await;
            let answer = answer.with_context(|| format!("{deed}:\n{}", weir.stderr().join("\n")))?;
            assert_eq!(answer.status, expected(hook, on_fault), "{deed}: {}", answer.text());
            if answer.status == 500 {
                let status = answer.field("proxy-status").context("Proxy-Status")?;
                assert!(
                    status.starts_with("weir; error=proxy_internal_error") && status.contains("filter_fault"),
                    "{status}"
                );
            }
            eventually(&format!("{deed} being counted"), async || {
                let now = number(&told(&weir, "bad").await.ok()?, &format!("/faults/{kind}"));
                (now == before + 1).then_some(())
            })
            .await
            .with_context(|| weir.stderr().join("\n"))?;
            // The next one meets a good instance, whichever worker it comes to.
            let good = client.request("POST", "/", &[("x-misdeed", "none none")], b"a body").await?;
            assert_eq!(good.status, 200, "after {deed}: {}", good.text());
        }
    }
    load.stop().await?.all_ok()?;
    let now = told(&weir, "bad").await?;
    assert!(now["last_fault"]["unix_ms"].is_u64() && now["last_fault"]["kind"] == "trap", "{now}");
    assert!(number(&now, "/instances") <= 2, "{now}");
    if on_fault == "deny" {
        logged(&weir).await?;
    }
    Ok(())
}

/// The access log and the metrics tell each refused exchange by its reason.
async fn logged(weir: &WeirProcess) -> Result<()> {
    let refused = 4 * MISDEEDS.len();
    until_counted(weir, "weir_local_replies_total{reason=\"filter_fault\"}", refused as f64).await?;
    let lines = eventually("the access log", async || {
        let log = std::fs::read_to_string(weir.path("access.log")).ok()?;
        let told = log.lines().filter(|line| line.contains("\"filter_fault\""));
        let lines: Vec<_> = told.map(str::to_owned).collect();
        (lines.len() >= refused).then_some(lines)
    });
    let lines = lines.await?;
    assert_eq!(lines.len(), refused);
    let line: serde_json::Value = serde_json::from_str(&lines[0])?;
    assert_eq!((&line["status"], &line["reason"]), (&500.into(), &"filter_fault".into()), "{line}");
    Ok(())
}

#[tokio::test]
async fn misdeeds_deny_one_exchange_and_harm_no_other() -> Result<()> {
    every_misdeed_at_every_hook("deny").await
}

#[tokio::test]
async fn misdeeds_are_skipped_where_config_says_so() -> Result<()> {
    every_misdeed_at_every_hook("skip").await
}

#[tokio::test]
async fn without_a_version_before_last_good_denies() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = weir(hostile(&origin, "last_good", "")?).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.request("GET", "/", &[("x-misdeed", "request trap")], b"").await?.status, 500);
    assert_eq!(client.request("GET", "/", &[("x-misdeed", "none none")], b"").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_version_before_decides_when_the_new_one_faults() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let puppet = build_guest("weir-guest-puppet")?;
    let first = chain(
        origin.address(),
        &["bad"],
        &format!(
            "[filters.bad]\nwasm = {puppet:?}\non_fault = \"last_good\"\n[filters.bad.config]\ntag = \"bad\"\n"
        ),
    );
    let weir = weir(first).await?;
    weir.rewrite_config(&hostile(&origin, "last_good", "")?)?;
    super::until_told(&weir, "bad", "the hostile version", |told| told["generation"] == 2).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for misdeed in
        ["request trap", "request loop", "request bad-field", "request framing-field", "answer trap"]
    {
        let fields =
            [("x-misdeed", misdeed), ("x-bad", "set x-by puppet; memo 4"), ("x-bad-response", "told")];
        let answer = client.request("GET", "/", &fields, b"").await?;
        assert_eq!(answer.status, 200, "{misdeed}");
        assert_eq!(super::received(&answer, "x-by")?.as_deref(), Some("puppet"), "{misdeed}");
        assert_eq!(answer.field("x-bad-told"), Some("200 4"), "its later hooks go to it: {misdeed}");
    }
    Ok(())
}

#[tokio::test]
async fn an_instance_that_faults_without_end_is_made_again_within_its_budget() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let weir = weir(hostile(&origin, "deny", "")?).await?;
    let address = weir.address("web")?;
    let clean =
        LoadPlan::new(address, "/").connections(2).between(std::time::Duration::from_millis(1)).start();
    let attack = LoadPlan::new(address, "/")
        .connections(4)
        .get("/", &[("x-misdeed", "request trap")])
        .check(|answer| (answer.status == 500).then_some(()).ok_or_else(|| answer.status.to_string()))
        .start();
    attack.passed(3_000).await?;
    attack.stop().await?.all_ok()?;
    clean.stop().await?.all_ok()?;
    let now = told(&weir, "bad").await?;
    let (traps, held) = (number(&now, "/faults/trap"), number(&now, "/faults/unavailable"));
    assert!(traps > 0 && traps + held >= 3_000, "{now}");
    // Five lines a second for each worker: the log is no way to fill the disk.
    let lines = weir.stderr().iter().filter(|line| line.contains("filter fault")).count();
    assert!(lines < 1_000, "{lines} lines for {traps} traps");
    eventually("the filter being back", async || {
        let mut client = Http1::connect(address).await.ok()?;
        let answer = client.request("GET", "/", &[("x-misdeed", "none none")], b"").await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_configure_that_misbehaves_keeps_the_start_or_the_reload_from_happening() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let fine = hostile(&origin, "deny", "")?;
    let weir = weir(fine.clone()).await?;
    for (misdeed, reason) in
        [("loop", "time"), ("memory", "memory"), ("trap", "trap"), ("refuse", "refused, as configured")]
    {
        weir.rewrite_config(
            &fine.replace("bodies = true", &format!("bodies = true, configure = {misdeed:?}")),
        )?;
        let answer = weir.admin_post("/reload", b"").await?;
        assert_eq!(answer.status, 409, "{misdeed}");
        assert!(answer.text().contains("filters.bad") && answer.text().contains(reason), "{}", answer.text());
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    }
    let now = told(&weir, "bad").await?;
    assert_eq!((number(&now, "/generation"), number(&now, "/instances")), (1, 2), "{now}");
    let failed = weir.metric("weir_config_reloads_total{result=\"failed\"}").await?;
    assert!(failed >= Some(4.0), "{failed:?}");
    Ok(())
}
