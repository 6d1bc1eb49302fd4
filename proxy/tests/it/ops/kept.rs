//! What a reload does not change goes on as it was: sockets, connections, instances, statistics.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{EchoOrigin, Ending, Http1, LoadPlan, Script, ScriptedOrigin, WeirProcess, eventually};

use super::{generation, shown};
use crate::stage::{plain, weir};

/// Two filters, two clusters; `version` and `weight` are what changes.
fn config(one: &EchoOrigin, two: &EchoOrigin, version: &str, weight: u32) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[workers]\ncount = 1\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\nchain = [\"changing\", \"routes\"]\n\
         [[filters.routes.config.routes]]\nname = \"one\"\nmatch = {{ path_prefix = \"/one\" }}\ncluster = \"one\"\n\
         [[filters.routes.config.routes]]\nname = \"two\"\ncluster = \"two\"\n\
         [filters.routes]\nwasm = \"builtin:router\"\n\
         [filters.changing]\nwasm = \"builtin:router\"\n\
         [[filters.changing.config.routes]]\nname = \"{version}\"\ncluster = \"two\"\nrequest_headers = {{ set = {{ x-version = \"{version}\" }} }}\n\
         [clusters.one]\nendpoints = [{{ address = \"{}\" }}]\n\
         [clusters.two]\nendpoints = [{{ address = \"{}\", weight = {weight} }}]\n",
        one.address(),
        two.address()
    )
}

async fn answered(weir: &WeirProcess, cluster: &str) -> Result<u64> {
    let shown = shown(weir, "/clusters", cluster).await?;
    Ok(shown["endpoints"][0]["answered"].as_u64().unwrap_or_default())
}

#[tokio::test]
async fn only_what_changed_is_made_anew() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = weir(config(&one, &two, "v1", 1)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for path in ["/one", "/two"] {
        assert_eq!(client.get(path).await?.status, 200);
    }
    weir.rewrite_config(&config(&one, &two, "v2", 2))?;
    generation(&weir, 2).await?;
    // The same connection of the caller goes on, under the new configuration.
    for path in ["/one", "/two"] {
        assert_eq!(client.get(path).await?.status, 200);
    }
    assert_eq!(one.connections(), 1, "an unchanged cluster keeps its connections");
    assert_eq!(two.connections(), 1, "so does an endpoint whose address a change leaves alone");
    // What is known of an endpoint outlives its weight. An attempt is counted when its response has gone out.
    let counted = async || {
        (answered(&weir, "one").await.ok()?, answered(&weir, "two").await.ok()?).eq(&(2, 2)).then_some(())
    };
    eventually("attempts", counted).await?;
    assert_eq!(shown(&weir, "/filters", "routes").await?["generation"], 1);
    assert_eq!(shown(&weir, "/filters", "changing").await?["generation"], 2);
    // Numbers go on over a reload whether or not the thing changed.
    for (series, value) in [
        ("weir_cluster_requests_total{cluster=\"one\",code_class=\"2xx\"}", 2.0),
        ("weir_cluster_requests_total{cluster=\"two\",code_class=\"2xx\"}", 2.0),
        ("weir_connections_total{listener=\"web\"}", 1.0),
        ("weir_snapshots", 1.0),
    ] {
        // An exchange is counted when its response has gone out.
        eventually(series, async || (weir.metric(series).await.ok()?? == value).then_some(())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn order_is_no_change() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let before = config(&one, &two, "v1", 1);
    let weir = weir(before.clone()).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/one").await?.status, 200);
    let at = before.find("[clusters.one]").unwrap_or_default();
    let other = before.find("[clusters.two]").unwrap_or_default();
    let swapped = format!("{}{}{}", &before[..at], &before[other..], &before[at..other]);
    weir.rewrite_config(&swapped)?;
    let (status, told) = super::reloaded(&weir).await?;
    assert_eq!((status, &told["result"]), (200, &"unchanged".into()), "{told}");
    assert_eq!(client.get("/one").await?.status, 200);
    assert_eq!(one.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn reloads_under_load_fail_no_request() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = weir(config(&one, &two, "v0", 1)).await?;
    let load = LoadPlan::new(weir.address("web")?, "/two").start();
    load.passed(50).await?;
    for round in 1..=20_u32 {
        weir.rewrite_config(&config(&one, &two, &format!("v{round}"), round % 3 + 1))?;
        let (status, told) = super::reloaded(&weir).await?;
        assert_eq!(status, 200, "{told}");
        load.passed(20).await?;
    }
    load.stop().await?.all_ok()?;
    assert_eq!(shown(&weir, "/filters", "routes").await?["generation"], 1);
    assert_eq!(shown(&weir, "/filters", "changing").await?["generation"], 21);
    Ok(())
}

/// A filter names a cluster that config no longer has, and another took its place: it must not inherit the traffic.
#[tokio::test]
async fn a_removed_cluster_is_missed_even_if_another_comes() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let before = config(&one, &two, "v1", 1);
    let weir = weir(before.clone()).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/one").await?.status, 200);
    let other = before.replace("[clusters.one]", "[clusters.other]");
    std::fs::write(weir.path("weir.toml"), other)?;
    let refused = weir.admin_post("/reload", b"").await?;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("names cluster"), "{}", refused.text());
    // What was refused has left no trace: the next change is judged against what runs.
    std::fs::write(weir.path("weir.toml"), config(&one, &two, "v2", 1))?;
    let applied = weir.admin_post("/reload", b"").await?;
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(Http1::fetch(weir.address("web")?, "/one").await?.status, 200);
    assert_eq!(shown(&weir, "/filters", "changing").await?["generation"], 2);
    assert_eq!((one.requests(), two.requests()), (2, 0));
    Ok(())
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin that holds its first answer back until the gate opens.
async fn gated(gate: &Arc<Notify>) -> Result<ScriptedOrigin> {
    let gate = Arc::clone(gate);
    let script = move |number| match number {
        0 => Script::new().head().wait(&gate).send(OK).hang(),
        _ => Script::always(OK),
    };
    ScriptedOrigin::start_with(None, script).await
}

/// Two exchanges on connections of their own, the first still under way.
async fn one_under_way(weir: &WeirProcess, origin: &ScriptedOrigin) -> Result<Http1> {
    let mut busy = Http1::connect(weir.address("web")?).await?;
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    origin.until("the request", |seen| seen.first()?.heads.first().cloned()).await?;
    Ok(busy)
}

#[tokio::test]
async fn what_is_unused_of_an_endpoint_that_leaves_is_closed_and_the_rest_ends_well() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let (leaves, stays) = (gated(&gate).await?, EchoOrigin::start("stays").await?);
    let weir = weir(plain(leaves.address(), "").replace("count = 2", "count = 1")).await?;
    let mut busy = one_under_way(&weir, &leaves).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    weir.rewrite_config(&plain(stays.address(), "").replace("count = 2", "count = 1"))?;
    generation(&weir, 2).await?;
    let left = |number: usize| {
        move |seen: &[weir_testkit::Seen]| (seen.get(number)?.ending == Some(Ending::PeerLeft)).then_some(())
    };
    leaves.until("the unused connection being closed", left(1)).await?;
    assert_eq!(leaves.seen()[0].ending, None, "the exchange under way keeps its own");
    gate.notify_one();
    assert_eq!(busy.response("GET").await?.text(), "ok");
    leaves.until("that being closed too", left(0)).await?;
    Ok(())
}

#[tokio::test]
async fn limits_count_what_began_before_a_change() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let (origin, other) = (gated(&gate).await?, EchoOrigin::start("other").await?);
    let limits = "[clusters.origin.limits]\nrequests = 1\n";
    let before = plain(origin.address(), limits);
    let weir = weir(before.clone()).await?;
    let mut busy = one_under_way(&weir, &origin).await?;
    let more = format!("endpoints = [{{ address = \"{}\" }}, ", other.address());
    weir.rewrite_config(&before.replace("endpoints = [", &more))?;
    generation(&weir, 2).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 503);
    gate.notify_one();
    assert_eq!(busy.response("GET").await?.status, 200);
    let served =
        async || (Http1::fetch(weir.address("web").ok()?, "/").await.ok()?.status == 200).then_some(());
    eventually("room", served).await
}
