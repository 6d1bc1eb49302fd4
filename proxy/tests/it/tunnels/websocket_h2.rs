//! WebSockets over HTTP/2 (RFC 8441), on either side.

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::task::JoinSet;
use weir_testkit::{Http1, RawH2, RawOrigin, Stream, Wire, within};

use super::{ASK, LOGGED, ended, frame, websocket_echo};
use crate::{
    stage::{plain, weir},
    upstream::logged,
};

/// A client's stream that asks for a WebSocket.
struct Asked {
    send: h2::SendStream<Bytes>,
    response: h2::client::ResponseFuture,
    _tasks: JoinSet<()>,
}

async fn ask(address: std::net::SocketAddr, protocol: &'static str) -> Result<Asked> {
    let stream = Stream::connect(address).await?;
    let (mut requests, connection) = h2::client::handshake(stream).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    while !requests.is_extended_connect_protocol_enabled() {
        requests = requests.ready().await?;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let request = http::Request::builder()
        .method("CONNECT")
        .uri("http://a.example/chat?room=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .extension(h2::ext::Protocol::from_static(protocol));
    let (response, send) = requests.send_request(request.body(())?, false)?;
    Ok(Asked { send, response, _tasks: tasks })
}

/// Sends a frame and reads it back.
async fn echoed(send: &mut h2::SendStream<Bytes>, body: &mut h2::RecvStream, sent: Vec<u8>) -> Result<()> {
    let mut back = Vec::new();
    let mut rest = Bytes::from(sent.clone());
    while back.len() < sent.len() {
        send.reserve_capacity(rest.len());
        tokio::select! {
            room = std::future::poll_fn(|cx| send.poll_capacity(cx)), if !rest.is_empty() => {
                let room = room.context("closed")??;
                send.send_data(rest.split_to(room.min(rest.len())), false)?;
            }
            piece = within("what was sent", body.data()) => {
                let piece = piece?.context("ended")??;
                body.flow_control().release_capacity(piece.len())?;
                back.extend_from_slice(&piece);
            }
        }
    }
    assert!(back == sent);
    Ok(())
}

#[tokio::test]
async fn a_stream_becomes_a_websocket_of_an_http1_endpoint() -> Result<()> {
    let origin = websocket_echo().await?;
    let weir = weir(plain(origin.address(), LOGGED)).await?;
    let mut asked = ask(weir.address("web")?, "websocket").await?;
    let head = within("the head", asked.response).await??;
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["sec-websocket-protocol"], "chat");
    for name in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!head.headers().contains_key(name), "{name}");
    }
    let mut body = head.into_body();
    echoed(&mut asked.send, &mut body, frame(1, true, b"hello")).await?;
    echoed(&mut asked.send, &mut body, frame(2, true, &[3; 700_000])).await?;
    asked.send.send_data(Bytes::new(), true)?;
    ended(&mut body).await?;
    let line = &logged(&weir, 1).await?[0];
    assert_eq!((&line["status"], &line["flags"][0]), (&200.into(), &"upgraded".into()), "{line}");
    assert_eq!((&line["method"], &line["reason"]), (&"GET".into(), &serde_json::Value::Null), "{line}");
    Ok(())
}

/// An HTTP/2 origin that takes extended CONNECT and sends everything back.
async fn h2_echo(enabled: bool) -> Result<RawOrigin> {
    RawOrigin::start(None, move |wire: Wire| async move {
        let mut builder = h2::server::Builder::new();
        if enabled {
            builder.enable_connect_protocol();
        }
        let mut connection = builder.handshake::<_, Bytes>(wire.into_stream()).await?;
        let mut streams = JoinSet::new();
        while let Some(accepted) = connection.accept().await {
            let (request, mut respond) = accepted?;
            streams.spawn(async move {
                let protocol = request.extensions().get::<h2::ext::Protocol>().map(|p| p.as_str().to_owned());
                let right = protocol.as_deref() == Some("websocket")
                    && request.uri().path_and_query().is_some_and(|path| path == "/chat?room=1")
                    && !request.headers().contains_key("sec-websocket-key");
                let head = http::Response::builder().status(if right { 200 } else { 400 });
                let head = head.header("sec-websocket-protocol", "chat").body(())?;
                let mut send = respond.send_response(head, !right)?;
                let mut body = request.into_body();
                while let Some(piece) = body.data().await {
                    let piece = piece?;
                    body.flow_control().release_capacity(piece.len())?;
                    send.send_data(piece, false)?;
                }
                send.send_data(Bytes::new(), true)?;
                anyhow::Ok(())
            });
        }
        Ok(())
    })
    .await
}

fn over_h2(origin: &RawOrigin) -> String {
    plain(origin.address(), LOGGED)
        .replace("[clusters.origin]", "[clusters.origin]\nprotocol = \"h2\"")
        .replace("count = 2", "count = 1")
}

#[tokio::test]
async fn a_connection_becomes_a_stream_of_an_http2_endpoint() -> Result<()> {
    let origin = h2_echo(true).await?;
    let weir = weir(over_h2(&origin)).await?;
    for _ in 0..2 {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(ASK).await?;
        let head = client.wire().head().await?.context("no answer")?;
        assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
        let accept: Vec<_> = head.all("sec-websocket-accept").collect();
        assert_eq!(accept, [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], "{head:?}");
        let sent = frame(2, true, &[5; 100_000]);
        client.send(&sent).await?;
        assert!(client.wire().exactly(sent.len()).await? == sent);
        client.finish().await?;
        client.closed().await?;
    }
    assert_eq!(origin.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn streams_become_streams() -> Result<()> {
    let origin = h2_echo(true).await?;
    let weir = weir(over_h2(&origin)).await?;
    let mut asked = ask(weir.address("web")?, "websocket").await?;
    let head = within("the head", asked.response).await??;
    assert_eq!(head.status(), 200);
    let mut body = head.into_body();
    echoed(&mut asked.send, &mut body, frame(2, true, &[3; 100_000])).await?;
    asked.send.send_reset(h2::Reason::CANCEL);
    let line = &logged(&weir, 1).await?[0];
    assert_eq!(line["reason"], "downstream_aborted", "{line}");
    Ok(())
}

#[tokio::test]
async fn an_http2_endpoint_that_takes_no_tunnels_is_not_asked_for_one() -> Result<()> {
    let origin = h2_echo(false).await?;
    let weir = weir(over_h2(&origin)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(ASK).await?;
    assert_eq!(client.response("GET").await?.status, 501);
    Ok(())
}

#[tokio::test]
async fn other_protocols_are_refused_and_the_connection_goes_on() -> Result<()> {
    let origin = websocket_echo().await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let asked = ask(weir.address("web")?, "other").await?;
    assert_eq!(within("the head", asked.response).await??.status(), 501);
    Ok(())
}

#[tokio::test]
async fn a_tunnel_with_a_length_is_malformed() -> Result<()> {
    let origin = websocket_echo().await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    let fields: [(&[u8], &[u8]); 6] = [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":path", b"/chat?room=1"),
        (b":authority", b"a.example"),
        (b"content-length", b"5"),
    ];
    client.headers(1, &fields, false).await?;
    assert_eq!(client.outcome(1).await?.map(|frame| frame.kind), Some(3));
    Ok(())
}
