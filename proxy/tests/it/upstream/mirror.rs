//! Requests of the proxy's own: copies for another cluster.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::Notify;
use weir_testkit::{EchoOrigin, Http1, Script, ScriptedOrigin, WeirProcess};

use super::{Nobody, OK, count, reaches};
use crate::stage::{plain, weir};

/// Weir that sends everything to `origin` and a copy to `recorder`.
async fn copying(
    origin: std::net::SocketAddr,
    recorder: std::net::SocketAddr,
    keys: &str,
) -> Result<WeirProcess> {
    let more = format!(
        "[clusters.recorder]\nendpoints = [{{ address = \"{recorder}\" }}]\n{keys}\n\
         [filters.routes]\nwasm = \"builtin:router\"\n\
         [[filters.routes.config.routes]]\ncluster = \"origin\"\nmirror = \"recorder\"\n"
    );
    weir(plain(origin, &more).replacen("cluster = \"origin\"", "chain = [\"routes\"]", 1)).await
}

#[tokio::test]
async fn a_copy_has_all_of_the_request() -> Result<()> {
    let origin = ScriptedOrigin::start(Script::always(OK)).await?;
    let recorder =
        ScriptedOrigin::start(Script::always("HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n")).await?;
    let weir = copying(origin.address(), recorder.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for body in [&b""[..], b"short", &[b'x'; 65_536]] {
        assert_eq!(client.request("PUT", "/p?q", &[("x-a", "b")], body).await?.status, 200);
    }
    recorder.until("three copies", |_| (recorder.requests() == 3).then_some(())).await?;
    let seen = recorder.seen();
    let heads: Vec<_> = seen.iter().flat_map(|seen| &seen.heads).collect();
    assert!(heads.iter().all(|head| head.start == "PUT /p?q HTTP/1.1"), "{heads:?}");
    assert!(heads.iter().all(|head| head.all("x-a").eq([b"b".as_slice()])), "{heads:?}");
    let mut lengths: Vec<_> = heads.iter().map(|head| head.length().ok().flatten()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [Some(0), Some(5), Some(65_536)]);
    reaches(&weir, "weir_cluster_requests_active{cluster=\"recorder\"}", 0.0).await?;
    let answered = "weir_cluster_attempts_total{cluster=\"recorder\",result=\"answered\"}";
    reaches(&weir, answered, 3.0).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_too_long_to_hold_goes_out_once() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let recorder = ScriptedOrigin::start(Script::always(OK)).await?;
    let weir = copying(origin.address(), recorder.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let long = vec![b'x'; 65_537];
    assert_eq!(client.request("PUT", "/", &[], &long).await?.json()?["body_length"], 65_537);
    client
        .send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
        .await?;
    assert_eq!(client.response("PUT").await?.json()?["body_length"], 1);
    assert_eq!(client.get("/last").await?.status, 200);
    recorder.until("the copy", |_| (recorder.requests() > 0).then_some(())).await?;
    assert!(recorder.seen()[0].heads[0].start.contains("/last"));
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_a_copy_and_few_are_under_way() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let gate = Arc::new(Notify::new());
    let recorder = ScriptedOrigin::start(Script::new().head().wait(&gate).send(OK)).await?;
    let keys = "limits = { requests = 3 }\nexchange_timeout = \"1s\"";
    let weir = copying(origin.address(), recorder.address(), keys).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..20 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    let hits = count(&weir, "weir_cluster_limit_hits_total{cluster=\"recorder\",limit=\"requests\"}").await?;
    assert!((1.0..=17.0).contains(&hits), "{hits}");
    // They end by themselves.
    reaches(&weir, "weir_cluster_requests_active{cluster=\"recorder\"}", 0.0).await
}

#[tokio::test]
async fn a_recorder_that_is_down_harms_nobody() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let down = Nobody::new()?;
    let weir = copying(origin.address(), down.address()?, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..5 {
        assert_eq!(client.request("POST", "/echo", &[], b"body").await?.text(), "body");
    }
    reaches(&weir, "weir_cluster_requests_active{cluster=\"recorder\"}", 0.0).await
}

#[tokio::test]
async fn a_body_in_memory_can_be_sent_twice() -> Result<()> {
    // The first connection answers once and is closed by the second request.
    let origin = ScriptedOrigin::start_with(None, |number| match number {
        0 => Script::new().head().body().send(OK).head().body(),
        _ => Script::always(OK),
    })
    .await?;
    let recorder = ScriptedOrigin::start(Script::always(OK)).await?;
    let weir = copying(origin.address(), recorder.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(client.request("PUT", "/", &[], b"kept").await?.status, 200);
    let again = origin.until("the second try", |seen| seen.get(1).map(|seen| seen.bytes.clone())).await?;
    assert!(again.ends_with(b"kept"), "{:?}", String::from_utf8_lossy(&again));
    Ok(())
}
