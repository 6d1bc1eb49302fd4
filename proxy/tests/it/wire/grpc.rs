//! gRPC as callers and origins speak it: messages both ways, trailers, trailers only.

use anyhow::Result;
use weir_testkit::{EchoOptions, EchoOrigin, EchoProtocol, Http2, RawOrigin, WeirProcess, within};

use crate::{
    stage::{plain, weir},
    upstream::Nobody,
};

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

/// What the proxy itself has to say, in the form that gRPC callers read.
#[tokio::test]
async fn failures_of_the_proxy_are_statuses_of_grpc() -> Result<()> {
    let nobody = Nobody::new()?;
    let unreachable = weir(plain(nobody.address()?, "")).await?;
    let client = Http2::connect(unreachable.address("web")?).await?;
    let told = client.request("POST", "/service/Method", &GRPC, b"\0\0\0\0\0").await?;
    assert_eq!((told.status, told.body.len()), (200, 0));
    assert_eq!(
        (told.field("grpc-status"), told.field("grpc-message")),
        (Some("14"), Some("connect_refused"))
    );
    assert_eq!(told.field("content-type"), Some("application/grpc"));
    assert_eq!((told.field("content-length"), told.trailers.len()), (None, 0));
    assert!(told.field("proxy-status").is_some_and(|status| status.contains("connection_refused")));
    let plain = client.request("POST", "/service/Method", &[], b"x").await?;
    assert_eq!(plain.status, 503, "others are told in HTTP");
    Ok(())
}

#[tokio::test]
async fn a_server_may_stream_and_end_before_its_caller() -> Result<()> {
    let origin = RawOrigin::start(None, |wire| async move {
        let mut connection = h2::server::handshake(wire.into_stream()).await?;
        while let Some(accepted) = connection.accept().await {
            let (_request, mut respond) = accepted?;
            let head = http::Response::builder().header("content-type", "application/grpc").body(())?;
            let mut stream = respond.send_response(head, false)?;
            for number in 0..50u8 {
                stream.send_data(bytes::Bytes::from(vec![0, 0, 0, 0, 1, number]), false)?;
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("8"));
            stream.send_trailers(trailers)?;
        }
        Ok(())
    })
    .await?;
    let config =
        plain(origin.address(), "").replace("[clusters.origin]", "[clusters.origin]\nprotocol = \"h2\"");
    let weir = weir(config).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    for _ in 0..3 {
        let mut call = client.open("POST", "/service/List", &GRPC, false).await?;
        call.send(b"\0\0\0\0\x01a", false).await?;
        // The caller's side is still open.
        let (_body, head) = call.split();
        let mut answers = within("the head", head).await??.into_body();
        let mut read = 0;
        while let Some(piece) = within("a message", answers.data()).await? {
            let piece = piece?;
            answers.flow_control().release_capacity(piece.len())?;
            read += piece.len();
        }
        assert_eq!(read, 300);
        let trailers = within("trailers", answers.trailers()).await??.unwrap();
        assert_eq!(trailers["grpc-status"], "8");
    }
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
