//! HTTP/2 connections that exchanges share: which ones are kept, given up and replaced.

use anyhow::Result;
use weir_testkit::{Faults, FaultyPipe, H2Answer, H2Origin, Http1, Http2, WeirProcess, eventually};

use super::{
    endpoint, endpoints,
    h2::{H2, one_worker},
    reaches, settled,
};
use crate::stage::weir;

const CONNECTIONS: &str = "weir_cluster_connections_active{cluster=\"origin\"}";

/// An origin that answers all but `/hang`.
async fn hanging() -> Result<H2Origin> {
    H2Origin::start(None, |_, head| match head.uri.path() {
        "/hang" => H2Answer::Hang,
        _ => H2Answer::ok("ok"),
    })
    .await
}

#[tokio::test]
async fn at_the_limit_one_unused_connection_makes_room() -> Result<()> {
    let mut origins = Vec::new();
    for _ in 0..4 {
        origins.push(H2Origin::start(None, |_, _| H2Answer::ok("ok")).await?);
    }
    let all: Vec<_> = origins.iter().map(|origin| endpoint(origin.address())).collect();
    let keys = format!("{H2}\nbalancer = \"round_robin\"\nlimits = {{ connections = 3, pending = 0 }}");
    let weir = weir(endpoints(&all, &keys).replace("count = 2", "count = 1")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for _ in 0..3 {
        assert_eq!(client.get("/").await?.status, 200);
    }
    reaches(&weir, CONNECTIONS, 3.0).await?;
    // The fourth endpoint takes the place of one of the others; they are not all closed for it.
    assert_eq!(client.get("/").await?.status, 200);
    assert!(origins.iter().all(|origin| origin.seen().len() == 1));
    assert_eq!(weir.metric(CONNECTIONS).await?, Some(3.0));
    settled(&weir).await
}

#[tokio::test]
async fn a_lost_connection_is_replaced_by_one() -> Result<()> {
    const LOST: usize = 60;
    let origin = H2Origin::start(None, |number, _| match number {
        1..=LOST => H2Answer::Hang,
        _ => H2Answer::ok("ok"),
    })
    .await?;
    let pipe = FaultyPipe::start(origin.address()).await?;
    let weir = one_worker(pipe.address(), "").await?;
    let client = Http2::connect(weir.address("web")?).await?;
    assert_eq!(client.get("/").await?.status, 200);
    let mut streams = Vec::new();
    for _ in 0..LOST {
        streams.push(client.open("GET", "/", &[], true).await?);
    }
    eventually("the requests", async || (origin.seen().len() == LOST + 1).then_some(())).await?;
    pipe.cut();
    for stream in streams {
        assert_eq!(stream.response().await?.status, 200);
    }
    assert_eq!(pipe.connections(), 2);
    settled(&weir).await
}

/// A request that is answered for because nothing came from the endpoint.
async fn late(weir: &WeirProcess, path: &str) -> Result<()> {
    assert_eq!(Http1::fetch(weir.address("web")?, path).await?.status, 504);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_went_silent_is_replaced() -> Result<()> {
    let origin = hanging().await?;
    let pipe = FaultyPipe::start(origin.address()).await?;
    let weir =
        one_worker(pipe.address(), "exchange_timeout = \"300ms\"\nconnect_timeout = \"300ms\"").await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    pipe.set(Faults { stalled: true, ..Default::default() });
    eventually("another connection", async || {
        late(&weir, "/").await.ok()?;
        (pipe.connections() > 1).then_some(())
    })
    .await?;
    pipe.set(Faults::default());
    eventually("an answer", async || {
        let told = Http1::fetch(weir.address("web").ok()?, "/").await.ok()?;
        (told.status == 200).then_some(())
    })
    .await?;
    settled(&weir).await
}

#[tokio::test]
async fn a_late_answer_does_not_cost_the_connection() -> Result<()> {
    let origin = hanging().await?;
    let weir = one_worker(origin.address(), "exchange_timeout = \"1s\"").await?;
    for _ in 0..2 {
        late(&weir, "/hang").await?;
    }
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    assert_eq!(origin.seen().len(), 3);
    assert!(origin.seen().iter().all(|seen| seen.connection == 0), "the endpoint is there, only slow");
    settled(&weir).await
}
