//! Hooks that are not crossed: conditions, hooks nobody subscribed to, and remembered decisions.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, WeirProcess};

use super::{chain, number, puppet, received, told, until_told};
use crate::stage::weir;

/// One worker's connection is enough: what is remembered belongs to a worker.
async fn one(origin: &EchoOrigin, config: &str, more: &str) -> Result<(WeirProcess, Http1)> {
    let weir = weir(chain(origin.address(), &["a"], &puppet("a", config, more)?)).await?;
    let client = Http1::connect(weir.address("web")?).await?;
    Ok((weir, client))
}

/// A caller has the response before the filter hears of the end.
async fn ends(weir: &WeirProcess, ends: u64) -> Result<serde_json::Value> {
    until_told(weir, "a", "the ends", |told| number(told, "/calls/complete") == ends).await
}

async fn calls(weir: &WeirProcess, hook: &str) -> Result<u64> {
    Ok(number(&told(weir, "a").await?, &format!("/calls/{hook}")))
}

#[tokio::test]
async fn an_exchange_that_meets_no_condition_crosses_nothing() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let (weir, mut client) = one(&origin, "when = \"x-wanted\"", "").await?;
    for _ in 0..5 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    let now = told(&weir, "a").await?;
    assert_eq!(now["calls"], serde_json::json!({}), "{now}");
    client.request("GET", "/", &[("x-wanted", "")], b"").await?;
    ends(&weir, 1).await?;
    for hook in ["request", "response", "complete"] {
        assert_eq!(calls(&weir, hook).await?, 1, "{hook}");
    }
    assert_eq!(calls(&weir, "request_body").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_hook_that_was_not_subscribed_to_is_never_called() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    for hook in ["request", "response", "complete"] {
        let (weir, mut client) = one(&origin, &format!("without = [\"request_body\", {hook:?}]"), "").await?;
        let body = client.request("POST", "/", &[("x-a-response", "set x-seen 1")], b"body").await?;
        assert_eq!(body.field("x-seen").is_some(), hook != "response");
        if hook != "complete" {
            ends(&weir, 1).await?;
        }
        for other in ["request", "response", "complete"] {
            assert_eq!(calls(&weir, other).await?, u64::from(other != hook), "{other} without {hook}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_remembered_decision_is_used_without_a_call_for_an_equal_view_only() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let (weir, mut client) = one(&origin, "request = [\"x-user\"]", "").await?;
    for user in ["ann", "ben", "ann", "ann", "ben"] {
        let fields = [("x-a", "keep 60000; shown; memo 9"), ("x-user", user), ("x-a-response", "told")];
        let told = client.request("GET", "/", &fields, b"").await?;
        assert_eq!(received(&told, "x-a-shown")?.as_deref(), Some(user));
        assert_eq!(told.field("x-a-told"), Some("200 9"), "the memo is remembered with it");
    }
    let now = ends(&weir, 5).await?;
    assert_eq!(number(&now, "/calls/request"), 2, "{now}");
    assert_eq!((number(&now, "/remembered/hit"), number(&now, "/remembered/miss")), (3, 2), "{now}");
    for _ in 0..3 {
        let told = client.request("GET", "/", &[("x-a", "answer 403 no; keep 60000")], b"").await?;
        assert_eq!((told.status, told.text().as_str()), (403, "no"), "answers are remembered too");
    }
    assert_eq!(calls(&weir, "request").await?, 3);
    Ok(())
}

#[tokio::test]
async fn what_is_remembered_ends_with_its_time_and_with_its_generation() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let (weir, mut client) = one(&origin, "", "").await?;
    let counted = [("x-a", "keep 40; count")];
    let first = received(&client.request("GET", "/", &counted, b"").await?, "x-a-count")?;
    loop {
        let now = received(&client.request("GET", "/", &counted, b"").await?, "x-a-count")?;
        if now != first {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let long = [("x-a", "keep 600000; count")];
    let before = received(&client.request("GET", "/", &long, b"").await?, "x-a-count")?;
    assert_eq!(received(&client.request("GET", "/", &long, b"").await?, "x-a-count")?, before);
    weir.rewrite_config(&chain(origin.address(), &["a"], &puppet("a", "body_limit = 9", "")?))?;
    until_told(&weir, "a", "the next generation", |told| told["generation"] == 2).await?;
    assert_ne!(received(&client.request("GET", "/", &long, b"").await?, "x-a-count")?, before);
    Ok(())
}

#[tokio::test]
async fn what_changes_with_each_request_is_never_remembered() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    for name in ["@time.ms", "@random", "@request.id"] {
        let (weir, mut client) = one(&origin, &format!("request = [{name:?}]"), "").await?;
        for _ in 0..3 {
            client.request("GET", "/", &[("x-a", "keep 60000")], b"").await?;
        }
        assert_eq!(calls(&weir, "request").await?, 3, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn memory_has_the_bound_that_config_sets() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let (weir, mut client) = one(&origin, "request = [\"x-n\"]", "limits = { remembered = 8 }").await?;
    let mut ask = async |n: usize| {
        let n = n.to_string();
        client.request("GET", "/", &[("x-a", "keep 600000"), ("x-n", &n)], b"").await.map(|_| ())
    };
    for n in 0..50 {
        ask(n).await?;
    }
    let before = calls(&weir, "request").await?;
    for n in 0..50 {
        ask(n).await?;
    }
    let again = calls(&weir, "request").await? - before;
    assert!(again >= 42, "{again} of 50 were called again, though 8 can be remembered");
    let (weir, mut client) = one(&origin, "", "limits = { remembered = 0 }").await?;
    for _ in 0..3 {
        client.request("GET", "/", &[("x-a", "keep 600000")], b"").await?;
    }
    assert_eq!(calls(&weir, "request").await?, 3);
    Ok(())
}
