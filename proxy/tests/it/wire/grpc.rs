//! gRPC as callers and origins speak it: messages both ways, trailers, trailers only.

use anyhow::Result;
use weir_testkit::{EchoOptions, EchoOrigin, EchoProtocol, Http2, WeirProcess, within};

use crate::stage::{plain, weir};

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

async fn stage() -> Result<(WeirProcess, EchoOrigin)> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let config =
        plain(origin.address(), "").replace("[clusters.origin]", "[clusters.origin]\nprotocol = \"h2\"");
    Ok((weir(config).await?, origin))
}

#[tokio::test]
async fn a_unary_call_comes_back_with_trailers() -> Result<()> {
    let (weir, _origin) = stage().await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let told = client.request("POST", "/service/Method", &GRPC, b"\0\0\0\0\x02hi").await?;
    assert_eq!((told.status, told.body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
    assert_eq!(told.trailer("grpc-status"), Some("0"));
    assert_eq!(told.field("content-type"), Some("application/grpc"));
    Ok(())
}

#[tokio::test]
async fn messages_stream_both_ways_one_by_one() -> Result<()> {
    let (weir, _origin) = stage().await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let call = client.open("POST", "/service/Chat", &GRPC, false).await?;
    // The body outlives the wait for the head.
    let mut call = call;
    call.send(b"\0\0\0\0\x01a", false).await?;
    let (mut body, head) = call.split();
    let mut answers = within("the head", head).await??.into_body();
    for letter in *b"bcd" {
        let piece = within("a message", answers.data()).await?.unwrap()?;
        answers.flow_control().release_capacity(piece.len())?;
        assert_eq!((piece.len(), piece[5]), (6, letter - 1));
        body.send_data(vec![0, 0, 0, 0, 1, letter].into(), false)?;
    }
    assert_eq!(within("a message", answers.data()).await?.unwrap()?[5], b'd');
    body.send_data(bytes::Bytes::new(), true)?;
    assert!(within("the end", answers.data()).await?.is_none());
    let trailers = within("trailers", answers.trailers()).await??.unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    Ok(())
}

#[tokio::test]
async fn an_answer_of_trailers_only_passes() -> Result<()> {
    let (weir, _origin) = stage().await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let told = client.request("POST", "/grpc-status/5", &GRPC, b"\0\0\0\0\0").await?;
    assert_eq!((told.status, told.body.len()), (200, 0));
    let status = told.field("grpc-status").or(told.trailer("grpc-status"));
    assert_eq!(status, Some("5"));
    Ok(())
}
