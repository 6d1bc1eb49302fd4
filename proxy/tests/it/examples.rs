//! The configurations under `examples/`, run in front of what they are for.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use weir_testkit::{
    Ca, EchoOptions, EchoOrigin, EchoProtocol, Http1, Http2, RawOrigin, Stream, WeirProcess, Wire,
};

use crate::{stage::weir, tunnels};

/// Weir with an example's configuration, on ports of the system's, in front of these addresses.
async fn example(name: &str, addresses: &[(&str, SocketAddr)]) -> Result<WeirProcess> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")).join(name);
    let mut config =
        std::fs::read_to_string(folder.join("weir.toml")).context(folder.display().to_string())?;
    for port in ["8080", "8443", "2525", "50051"] {
        config = config.replace(&format!("\"127.0.0.1:{port}\""), "\"127.0.0.1:0\"");
    }
    for (placeholder, address) in addresses {
        config = config.replace(&format!("\"{placeholder}\""), &format!("\"{address}\""));
    }
    weir(config).await
}

#[tokio::test]
async fn websockets() -> Result<()> {
    let origin = tunnels::websocket_echo().await?;
    let weir = example("websocket", &[("ORIGIN", origin.address())]).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.send(tunnels::ASK).await?;
    let head = client.wire().head().await?.context("no answer")?;
    assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
    let frame = tunnels::frame(1, true, b"hello");
    client.send(&frame).await?;
    assert_eq!(client.wire().exactly(frame.len()).await?, frame);
    Ok(())
}

#[tokio::test]
async fn tcp() -> Result<()> {
    let ca = Ca::new()?;
    let mail = RawOrigin::echo(None, "220 ready\r\n").await?;
    let names = ["db.example.com", "x.apps.example.com"];
    let secure = RawOrigin::echo(Some(ca.server(&ca.leaf(&names)?, &[])?), "hi").await?;
    let weir = example("tcp", &[("ORIGIN", mail.address()), ("SECURE", secure.address())]).await?;
    for listener in ["smtp", "any"] {
        let mut caller = Wire::new(Stream::connect(weir.address(listener)?).await?);
        assert_eq!(caller.exactly(11).await?, b"220 ready\r\n");
        // What the server was told of the caller comes back from this one.
        assert_eq!(caller.exactly(12).await?, b"\r\n\r\n\0\r\nQUIT\n");
    }
    for name in names {
        let stream = Stream::connect_tls(weir.address("tls")?, ca.client(&[], None)?, name).await?;
        assert_eq!(Wire::new(stream).exactly(2).await?, b"hi");
    }
    assert!(Stream::connect_tls(weir.address("tls")?, ca.client(&[], None)?, "other.example").await.is_err());
    Ok(())
}

#[tokio::test]
async fn grpc() -> Result<()> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let weir = example("grpc", &[("ORIGIN", origin.address())]).await?;
    let client = Http2::connect(weir.address("grpc")?).await?;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let told = client.request("POST", "/helloworld.Greeter/SayHello", &fields, b"\0\0\0\0\x02hi").await?;
    assert_eq!((told.status, told.body.as_slice()), (200, &b"\0\0\0\0\x02hi"[..]));
    let told = client.request("POST", "/other.Service/Method", &fields, b"\0\0\0\0\0").await?;
    assert_eq!((told.status, told.field("grpc-status"), told.body.len()), (200, Some("12"), 0));
    Ok(())
}
