//! HTTP/2 towards endpoints: streams that share a connection, and the ways it ends.

use std::sync::Arc;

use anyhow::Result;
use h2::Reason;
use tokio::{sync::Notify, task::JoinSet};
use weir_testkit::{EchoOptions, EchoOrigin, EchoProtocol, H2Answer, H2Origin, Http1, Http2, WeirProcess};

use super::{count, endpoint, endpoints, logged, logging, reaches, reasons, settled};
use crate::stage::{plain, weir};

pub(super) const H2: &str = "protocol = \"h2\"";

/// Weir with one worker, so that it has one pool.
pub(super) async fn one_worker(origin: std::net::SocketAddr, keys: &str) -> Result<WeirProcess> {
    let more = format!("{H2}\n{keys}\n[access_log]\nto = \"stdout\"\n");
    weir(plain(origin, &more).replace("count = 2", "count = 1")).await
}

#[tokio::test]
async fn many_exchanges_share_one_connection() -> Result<()> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let weir = one_worker(origin.address(), "").await?;
    let address = weir.address("web")?;
    let mut clients = JoinSet::new();
    for number in 0..40 {
        clients.spawn(async move {
            let body = vec![b'a' + number % 26; 10_000];
            let mut client = Http1::connect(address).await?;
            let told = client.request("POST", "/echo?delay=50", &[], &body).await?;
            anyhow::ensure!(told.status == 200 && told.body == body, "{told:?}");
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    assert_eq!(origin.connections(), 1);
    settled(&weir).await
}

#[tokio::test]
async fn the_endpoints_bound_of_streams_is_kept() -> Result<()> {
    let gate = Arc::new(Notify::new());
    let origin = H2Origin::start_with(None, Some(2), |_, head| match head.uri.path() {
        "/hang" => H2Answer::Hang,
        _ => H2Answer::ok("ok"),
    })
    .await?;
    let weir = one_worker(origin.address(), "limits = { connections = 2 }").await?;
    let client = Http2::connect(weir.address("web")?).await?;
    // The bound is known once the endpoint has said it.
    assert_eq!(client.get("/").await?.status, 200);
    let mut hanging = Vec::new();
    for number in 0..4 {
        hanging.push(client.open("GET", "/hang", &[], true).await?);
        weir_testkit::eventually("the stream", async || (origin.seen().len() == number + 2).then_some(()))
            .await?;
    }
    let connections: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections.iter().filter(|c| **c == 0).count(), 3, "{connections:?}");
    assert_eq!(connections.iter().filter(|c| **c == 1).count(), 2, "{connections:?}");
    // Both connections are full, and a third is not allowed: the next one waits.
    let waiting = client.open("GET", "/", &[], true).await?;
    reaches(&weir, "weir_cluster_pending{cluster=\"origin\"}", 1.0).await?;
    for mut one in hanging {
        one.body.send_reset(Reason::CANCEL);
    }
    assert_eq!(waiting.response().await?.status, 200);
    drop(gate);
    settled(&weir).await
}

#[tokio::test]
async fn an_orderly_end_of_a_connection_is_not_noticed() -> Result<()> {
    let origin = H2Origin::start(None, |number, _| match number % 3 {
        2 => H2Answer::GoAway,
        _ => H2Answer::ok("ok"),
    })
    .await?;
    let weir = one_worker(origin.address(), "").await?;
    let address = weir.address("web")?;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(async move {
            let mut client = Http1::connect(address).await?;
            for _ in 0..30 {
                // Nothing of it may be lost, whatever the method: what GOAWAY cuts off was not worked on.
                let told = client.request("POST", "/", &[], b"").await?;
                anyhow::ensure!(told.status == 200, "{}: {}", told.status, told.text());
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    assert!(origin.seen().last().is_some_and(|last| last.connection > 10));
    settled(&weir).await
}

#[tokio::test]
async fn a_refused_stream_goes_to_another_endpoint() -> Result<()> {
    let refusing = H2Origin::start(None, |_, _| H2Answer::Reset(Reason::REFUSED_STREAM)).await?;
    let good = H2Origin::start(None, |_, _| H2Answer::ok("ok")).await?;
    let both = [endpoint(refusing.address()), endpoint(good.address())];
    let weir = weir(endpoints(&both, &format!("{H2}\nbalancer = \"round_robin\""))).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..6 {
        assert_eq!(client.request("POST", "/", &[], b"").await?.status, 200);
    }
    assert_eq!(good.seen().len(), 6);
    let retries = count(&weir, "weir_cluster_retries_total{cluster=\"origin\"}").await?;
    assert!(retries >= 3.0 && retries == refusing.seen().len() as f64, "{retries}");
    // What was sent of a body is gone, so it cannot go twice.
    for _ in 0..4 {
        let before = refusing.seen().len();
        let told = client.request("POST", "/", &[], b"body").await?;
        assert_eq!(told.status, if refusing.seen().len() > before { 502 } else { 200 });
    }
    settled(&weir).await
}

#[tokio::test]
async fn a_reset_stream_costs_its_exchange_alone() -> Result<()> {
    let origin = H2Origin::start(None, |_, head| match head.uri.path() {
        "/reset" => H2Answer::Reset(Reason::INTERNAL_ERROR),
        "/cut" => H2Answer::ResetAfter(b"begun".to_vec(), Reason::INTERNAL_ERROR),
        _ => H2Answer::ok("ok"),
    })
    .await?;
    let weir = one_worker(origin.address(), "").await?;
    let h2 = Http2::connect(weir.address("web")?).await?;
    let mut h1 = Http1::connect(weir.address("web")?).await?;
    assert_eq!(h1.get("/reset").await?.status, 502);
    assert_eq!(h2.get("/reset").await?.status, 502);
    assert!(h1.get("/cut").await.is_err());
    assert!(h2.get("/cut").await.is_err());
    assert_eq!(h2.get("/").await?.status, 200);
    reasons(&weir, "upstream_closed", 2.0).await?;
    reasons(&weir, "upstream_aborted", 2.0).await?;
    assert!(origin.seen().iter().all(|seen| seen.connection == 0), "the connection lives on");
    logged(&weir, 5).await?;
    settled(&weir).await
}

#[tokio::test]
async fn a_connection_that_fails_takes_its_streams_along_and_is_replaced() -> Result<()> {
    let origin = H2Origin::start(None, |number, _| match number {
        1 => H2Answer::Abort(Reason::INTERNAL_ERROR),
        _ => H2Answer::ok("ok"),
    })
    .await?;
    let weir = one_worker(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(client.request("POST", "/", &[], b"x").await?.status, 502);
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(origin.seen().last().map(|seen| seen.connection), Some(1));
    settled(&weir).await
}

#[tokio::test]
async fn a_slow_exchange_does_not_cost_its_neighbours_their_connection() -> Result<()> {
    let origin = H2Origin::start(None, |_, head| match head.uri.path() {
        "/hang" => H2Answer::Hang,
        _ => H2Answer::ok("ok"),
    })
    .await?;
    let weir = one_worker(origin.address(), "exchange_timeout = \"2s\"").await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let hanging = client.open("GET", "/hang", &[], true).await?;
    weir_testkit::eventually("the stream", async || (origin.seen().len() == 1).then_some(())).await?;
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(hanging.response().await?.status, 504);
    assert_eq!(client.get("/").await?.status, 200);
    assert!(origin.seen().iter().all(|seen| seen.connection == 0));
    settled(&weir).await
}

#[tokio::test]
async fn trailers_come_through() -> Result<()> {
    let origin = H2Origin::start(None, |_, _| H2Answer::Respond {
        status: 200,
        fields: vec![("content-type", "application/grpc".into())],
        body: b"message".to_vec(),
        trailers: vec![("grpc-status", "0".into())],
    })
    .await?;
    let weir = logging(origin.address(), H2).await?;
    let told =
        Http2::connect(weir.address("web")?).await?.request("POST", "/", &[("te", "trailers")], b"x").await?;
    assert_eq!((told.status, told.trailer("grpc-status")), (200, Some("0")));
    let mut client = Http1::connect(weir.address("web")?).await?;
    let told = client.request("POST", "/", &[("te", "trailers")], b"x").await?;
    assert_eq!((told.status, told.trailer("grpc-status")), (200, Some("0")));
    Ok(())
}

#[tokio::test]
async fn a_response_goes_on_with_all_its_fields_or_not_at_all() -> Result<()> {
    // RFC 9113 8.2.1: blanks at the ends of a value make the message malformed.
    let blank = || "no-store ".to_owned();
    let origin = H2Origin::start(None, move |_, head| match head.uri.path() {
        "/head" => H2Answer::Respond {
            status: 200,
            fields: vec![("cache-control", blank()), ("cache-control", "max-age=60".into())],
            body: b"secret".to_vec(),
            trailers: Vec::new(),
        },
        _ => H2Answer::Respond {
            status: 200,
            fields: Vec::new(),
            body: b"begun".to_vec(),
            trailers: vec![("x-check", blank())],
        },
    })
    .await?;
    let weir = one_worker(origin.address(), "").await?;
    let h2 = Http2::connect(weir.address("web")?).await?;
    let mut h1 = Http1::connect(weir.address("web")?).await?;
    for told in [h1.get("/head").await?, h2.get("/head").await?] {
        assert_eq!(told.status, 502);
        assert!(!told.text().contains("secret"));
    }
    reasons(&weir, "upstream_protocol", 2.0).await?;
    assert!(h1.get("/trailers").await.is_err());
    assert!(h2.get("/trailers").await.is_err());
    reasons(&weir, "upstream_aborted", 2.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn a_target_is_written_as_http2_wants_it() -> Result<()> {
    let origin = H2Origin::start(None, |_, _| H2Answer::ok("ok")).await?;
    let weir = one_worker(origin.address(), "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/?q=\"a\"&b=[^|]{}`").await?.status, 200);
    let path = origin.seen()[0].head.uri.path_and_query().map(|path| path.as_str().to_owned());
    assert_eq!(path.as_deref(), Some("/?q=%22a%22&b=[^|]{}`"));
    // Legal, yet not to be written: not the caller's fault.
    client.send("GET / HTTP/1.1\r\nHost: a%41\r\n\r\n").await?;
    assert_eq!(client.response("GET").await?.status, 501);
    reasons(&weir, "not_implemented", 1.0).await?;
    settled(&weir).await
}

#[tokio::test]
async fn an_endpoint_that_speaks_http1_is_found_out() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = logging(origin.address(), H2).await?;
    let told = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!(told.status, 502);
    settled(&weir).await
}

#[tokio::test]
async fn a_request_without_authority_is_sent_to_the_clusters_name() -> Result<()> {
    let origin = H2Origin::start(None, |_, _| H2Answer::ok("ok")).await?;
    let weir = logging(origin.address(), H2).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("GET / HTTP/1.0\r\n\r\n").await?;
    assert_eq!(client.response("GET").await?.status, 200);
    assert_eq!(origin.seen()[0].head.uri.authority().map(|a| a.as_str()), Some("origin"));
    Ok(())
}

#[tokio::test]
async fn callers_who_come_while_a_connection_is_opened_share_it_or_its_failure() -> Result<()> {
    let pipe_target = H2Origin::start(None, |_, _| H2Answer::ok("ok")).await?;
    let pipe = weir_testkit::FaultyPipe::start(pipe_target.address()).await?;
    pipe.set(weir_testkit::Faults { refusing: true, ..Default::default() });
    let weir = one_worker(pipe.address(), "retries = 0").await?;
    let address = weir.address("web")?;
    let all = |expected: fn(u16) -> bool| async move {
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            clients.spawn(async move { Ok::<_, anyhow::Error>(Http1::fetch(address, "/").await?.status) });
        }
        while let Some(ended) = clients.join_next().await {
            let status = ended??;
            anyhow::ensure!(expected(status), "{status}");
        }
        anyhow::Ok(())
    };
    all(|status| matches!(status, 502 | 503)).await?;
    pipe.set(weir_testkit::Faults::default());
    let before = pipe.connections();
    all(|status| status == 200).await?;
    assert_eq!(pipe.connections() - before, 1);
    settled(&weir).await
}
