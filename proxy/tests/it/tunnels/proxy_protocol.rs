//! The PROXY protocol: what another proxy says of callers is believed where config says so, and told to endpoints.

use std::time::Duration;

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Http2, RawOrigin, Stream, Wire};

use super::{LOGGED, tcp::tcp};
use crate::{
    stage::{plain, weir},
    upstream::{logged, reaches},
};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
/// From [2001:db8::7]:4711, with an addition of three bytes.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2a\
    \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x01\xbb\
    \x04\0\x03abc";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const REFUSED: &str = "weir_connections_refused_total{listener=\"web\",reason=\"proxy_protocol\"}";

fn believing(config: String, mode: &str, from: &str) -> String {
    let spec = format!("proxy_protocol = {{ mode = \"{mode}\", from = [\"{from}\"] }}");
    config.replace("[listeners.web]\n", &format!("[listeners.web]\n{spec}\n"))
}

#[tokio::test]
async fn callers_are_known_by_what_a_trusted_proxy_says() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(believing(plain(origin.address(), LOGGED), "require", "127.0.0.0/8")).await?;
    for (number, (header, peer)) in
        [(V1, "192.0.2.7"), (V2, "2001:db8::7"), (LOCAL, "127.0.0.1"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")]
            .into_iter()
            .enumerate()
    {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send([header, b"GET /fields HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await?;
        assert_eq!(client.response("GET").await?.status, 200);
        // One header for each connection, not for each request.
        assert_eq!(client.get("/again").await?.status, 200);
        let lines = logged(&weir, 2 * (number + 1)).await?;
        assert!(lines[2 * number..].iter().all(|line| line["peer"] == peer), "{lines:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_before_http2() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(believing(plain(origin.address(), ""), "require", "127.0.0.1")).await?;
    for header in [V1, V2] {
        let mut wire = Wire::new(Stream::connect(weir.address("web")?).await?);
        for piece in header.chunks(7) {
            wire.write(piece).await?;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let client = Http2::over(wire.into_stream()).await?;
        let told = client.get("/").await?.json()?;
        let from = if header == V1 { "192.0.2.7" } else { "2001:db8::7" };
        assert!(told["fields"].to_string().contains(from), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_as_it_has_to_be_is_refused_and_counted() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let config = believing(plain(origin.address(), ""), "require", "127.0.0.0/8");
    let weir = weir(config + "[listeners.web.limits]\nhead_timeout = \"300ms\"\n").await?;
    let cases: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 99999999999999999999999999999999999999999999999999999999999999999999999999999999",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        b"PROXY TC",
        b"",
    ];
    for case in cases {
        let mut client = Http1::connect(weir.address("web")?).await?;
        client.send(case).await?;
        client.gone().await?;
    }
    reaches(&weir, REFUSED, cases.len() as f64).await?;
    assert_eq!(origin.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn strangers_cannot_speak_for_others() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let required = weir(believing(plain(origin.address(), ""), "require", "10.0.0.0/8")).await?;
    let mut client = Http1::connect(required.address("web")?).await?;
    client.send([V1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await?;
    client.gone().await?;
    reaches(&required, REFUSED, 1.0).await?;
    // Where none has to come, theirs is what they say, and no HTTP.
    let accepted = weir(believing(plain(origin.address(), LOGGED), "accept", "10.0.0.0/8")).await?;
    let mut client = Http1::connect(accepted.address("web")?).await?;
    client.send([V1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await?;
    assert_eq!(client.response("GET").await?.status, 400);
    assert_eq!(Http1::fetch(accepted.address("web")?, "/").await?.status, 200);
    let lines = logged(&accepted, 2).await?;
    assert!(lines.iter().all(|line| line["peer"] == "127.0.0.1"), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn where_a_header_may_come_both_are_served() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(believing(plain(origin.address(), LOGGED), "accept", "127.0.0.0/8")).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    // It begins as a header would.
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send("P").await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send("OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await?;
    assert_eq!(client.response("POST").await?.status, 200);
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send([V1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await?;
    assert_eq!(client.response("GET").await?.status, 200);
    let lines = logged(&weir, 3).await?;
    let mut peers: Vec<_> = lines.iter().map(|line| line["peer"].as_str().unwrap_or_default()).collect();
    peers.sort();
    assert_eq!(peers, ["127.0.0.1", "127.0.0.1", "192.0.2.7"]);
    Ok(())
}

/// A server that speaks first is not kept waiting for a header that need not come.
#[tokio::test]
async fn who_may_stay_silent_is_served() -> Result<()> {
    let origin = RawOrigin::echo(None, "hi").await?;
    let config = believing(tcp(plain(origin.address(), "")), "accept", "127.0.0.0/8");
    let weir = weir(config).await?;
    assert_eq!(Wire::new(Stream::connect(weir.address("web")?).await?).exactly(2).await?, b"hi");
    Ok(())
}

#[tokio::test]
async fn endpoints_are_told_whose_a_connection_is() -> Result<()> {
    for version in ["v1", "v2"] {
        let origin = RawOrigin::echo(None, "").await?;
        let config = tcp(plain(origin.address(), &format!("proxy_protocol = \"{version}\"\n")));
        let weir = weir(config).await?;
        let stream = Stream::connect(weir.address("web")?).await?;
        let Stream::Tcp(tcp) = &stream else { unreachable!() };
        let (source, destination) = (tcp.local_addr()?, tcp.peer_addr()?);
        let mut wire = Wire::new(stream);
        wire.write(b"first").await?;
        let expected = match version {
            "v1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", source.port(), destination.port())
                .into_bytes(),
            _ => {
                let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
                bytes.extend(source.port().to_be_bytes());
                bytes.extend(destination.port().to_be_bytes());
                bytes
            }
        };
        let expected = [&expected[..], b"first"].concat();
        assert_eq!(wire.exactly(expected.len()).await?, expected, "{version}");
    }
    Ok(())
}

/// What came in goes out, in the other version.
#[tokio::test]
async fn introductions_are_handed_on() -> Result<()> {
    let origin = RawOrigin::echo(None, "").await?;
    let config = tcp(plain(origin.address(), "proxy_protocol = \"v1\"\n"));
    let weir = weir(believing(config, "require", "127.0.0.1")).await?;
    let mut wire = Wire::new(Stream::connect(weir.address("web")?).await?);
    wire.write(&[V2, b"data"].concat()).await?;
    let expected = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\ndata";
    assert_eq!(wire.exactly(expected.len()).await?, expected);
    Ok(())
}
