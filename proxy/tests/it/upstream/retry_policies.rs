//! Retries and hedging as a filter wants them for an exchange.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Script, ScriptedOrigin, WeirProcess};

use super::{OK, count, endpoint, endpoints, logged, reaches};
use crate::stage::weir;

/// Routes that name these policies, by path; any other path names none.
fn routed(list: &[String], keys: &str, policies: &[(&str, &str)]) -> String {
    let mut more = format!(
        "balancer = \"round_robin\"\n{keys}\n[access_log]\nto = \"stdout\"\n[filters.routes]\nwasm = \"builtin:router\"\n"
    );
    for (name, keys) in policies {
        more.push_str(&format!(
            "[[filters.routes.config.routes]]\nmatch = {{ path = \"/{name}\" }}\ncluster = \"origin\"\n\
             retry_policy = \"{name}\"\n"
        ));
        if !keys.is_empty() {
            more.push_str(&format!("[retry_policies.{name}]\n{keys}\n"));
        }
    }
    more.push_str("[[filters.routes.config.routes]]\ncluster = \"origin\"\n");
    endpoints(list, &more).replacen("cluster = \"origin\"", "chain = [\"routes\"]", 1)
}

async fn attempts(weir: &WeirProcess, method: &str, path: &str, lines: usize) -> Result<(u16, u64)> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    let status = client.request(method, path, &[], b"").await?.status;
    let line = logged(weir, lines).await?.pop().unwrap_or_default();
    Ok((status, line["attempts"].as_u64().unwrap_or_default()))
}

#[tokio::test]
async fn statuses_and_numbers_are_those_of_the_policy_that_is_named() -> Result<()> {
    let busy = "HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::always(busy)).await?;
    let policies = [
        ("patient", "retries = 3\nstatuses = [429]\nbackoff = \"1ms\"\nbackoff_most = \"2ms\""),
        ("none", "retries = 0"),
        ("partly", "statuses = [429, 503]"),
        ("unknown", ""),
    ];
    let weir = weir(routed(&[endpoint(origin.address())], "retries = 1", &policies)).await?;
    for (line, (path, made)) in
        [("/patient", 4), ("/none", 1), ("/partly", 2), ("/other", 1), ("/unknown", 1)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(attempts(&weir, "GET", path, line + 1).await?, (429, made), "{path}");
    }
    reaches(&weir, "weir_retry_policies_unknown_total", 1.0).await?;
    assert_eq!(attempts(&weir, "POST", "/patient", 6).await?, (429, 1), "what does harm is not repeated");
    assert_eq!(logged(&weir, 6).await?[0]["facts"]["retry.policy"], "patient");
    Ok(())
}

#[tokio::test]
async fn an_attempt_has_the_time_that_the_policy_gives_it() -> Result<()> {
    let hung = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let good = EchoOrigin::start("good").await?;
    let list = [endpoint(hung.address()), endpoint(good.address())];
    let keys = "retries = 1\nexchange_timeout = \"1s\"\nejection = { consecutive_failures = 0 }";
    let weir = weir(routed(&list, keys, &[("hasty", "per_try_timeout = \"50ms\"")])).await?;
    for line in 0..4 {
        assert_eq!(attempts(&weir, "GET", "/hasty", line + 1).await?.0, 200);
    }
    let both = [attempts(&weir, "GET", "/", 5).await?.0, attempts(&weir, "GET", "/", 6).await?.0];
    assert!(both.contains(&504) && both.contains(&200), "{both:?}");
    Ok(())
}

#[tokio::test]
async fn hedging_is_for_those_exchanges_that_want_it() -> Result<()> {
    let hung = ScriptedOrigin::start(Script::new().head().hang()).await?;
    let good = ScriptedOrigin::start(Script::always(OK)).await?;
    let list = [endpoint(hung.address()), endpoint(good.address())];
    let keys = "retries = 0\nexchange_timeout = \"1s\"\nejection = { consecutive_failures = 0 }";
    let policies =
        [("hedged", "hedge = { after = \"20ms\" }"), ("plain", "hedge = { after = \"20ms\", most = 0 }")];
    let weir = weir(routed(&list, keys, &policies)).await?;
    for line in 0..4 {
        assert_eq!(attempts(&weir, "GET", "/hedged", line + 1).await?.0, 200);
    }
    assert!(count(&weir, "weir_cluster_hedges_total{cluster=\"origin\",outcome=\"won\"}").await? > 0.0);
    let both = [attempts(&weir, "GET", "/plain", 5).await?.0, attempts(&weir, "GET", "/plain", 6).await?.0];
    assert!(both.contains(&504), "{both:?}");
    Ok(())
}
