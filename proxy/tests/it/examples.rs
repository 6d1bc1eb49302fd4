//! The configurations under `examples/`, run in front of what they are for.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use weir_testkit::{
    Ca, EchoOptions, EchoOrigin, EchoProtocol, Http1, Http2, RawOrigin, Stream, WeirProcess, Wire, eventually,
};

use crate::{stage::weir, tunnels};

/// Weir with an example's configuration, on ports of the system's, in front of these addresses.
async fn example(name: &str, addresses: &[(&str, SocketAddr)]) -> Result<WeirProcess> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")).join(name);
    let mut config =
        std::fs::read_to_string(folder.join("weir.toml")).context(folder.display().to_string())?;
    for port in ["8080", "8443", "2525", "50051", "9901"] {
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

/// Those of these callers that get the new version; an error unless all are served.
async fn on_new(weir: &WeirProcess, users: &[String]) -> Result<Vec<String>> {
    let mut client = Http1::connect(weir.address("web")?).await?;
    let mut on_new = Vec::new();
    for user in users {
        let told = client.request("GET", "/", &[("x-user", user)], b"").await?;
        ensure!(told.status == 200, "{user}: {}", told.status);
        if told.json()?["origin"].as_str().is_some_and(|origin| origin.starts_with("new")) {
            on_new.push(user.clone());
        }
    }
    Ok(on_new)
}

#[tokio::test]
async fn canary() -> Result<()> {
    let mut origins = Vec::new();
    for name in ["old-1", "old-2", "new-1", "new-2"] {
        origins.push(EchoOrigin::start(name).await?);
    }
    let addresses: Vec<_> = ["OLD_1", "OLD_2", "NEW_1", "NEW_2"]
        .into_iter()
        .zip(origins.iter().map(EchoOrigin::address))
        .collect();
    let weir = example("canary", &addresses).await?;
    let users: Vec<String> = (0..300).map(|user| format!("user-{user}")).collect();
    let chosen = on_new(&weir, &users).await?;
    // Binomial(300, 0.1): outside of this once in some ten million runs.
    assert!((5..=65).contains(&chosen.len()), "{} of 300", chosen.len());
    assert_eq!(on_new(&weir, &chosen).await?, chosen, "whoever has the new version keeps it");
    let told =
        Http1::connect(weir.address("web")?).await?.request("GET", "/", &[("x-version", "v2")], b"").await?;
    assert!(told.text().contains("new-"), "{}", told.text());

    // One machine: no caller notices, and the release goes on without it.
    origins[2].fail(true);
    let ejections = "weir_cluster_ejections_total{cluster=\"shop\",reason=\"consecutive_failures\"}";
    eventually("the ejection", async || {
        let served = on_new(&weir, &chosen).await;
        if !served.as_ref().is_ok_and(|served| *served == chosen) {
            return Some(Err(anyhow!("{served:?} of {chosen:?}")));
        }
        (weir.metric(ejections).await.ok()? >= Some(1.0)).then_some(Ok(()))
    })
    .await??;
    let asked = origins[2].requests();
    assert_eq!(on_new(&weir, &chosen).await?, chosen);
    assert_eq!(origins[2].requests(), asked, "an ejected endpoint is not asked");

    // Both: that is the version.
    origins[3].fail(true);
    let mut client = Http1::connect(weir.address("web")?).await?;
    let stops = "weir_filter_canary_stops_total{filter=\"release\"}";
    eventually("the stop", async || {
        for user in &chosen {
            client.request("GET", "/", &[("x-user", user)], b"").await.ok()?;
        }
        (weir.metric(stops).await.ok()? >= Some(1.0)).then_some(())
    })
    .await?;
    eventually("the old version for everybody", async || {
        on_new(&weir, &users).await.ok().filter(Vec::is_empty).map(drop)
    })
    .await
}

#[test]
fn the_list_of_examples_names_them_all() -> Result<()> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
    let list = std::fs::read_to_string(folder.join("README.md"))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            assert!(list.contains(&format!("[{name}]({name}/)")), "examples/README.md does not name {name}");
            assert!(entry.path().join("README.md").is_file(), "examples/{name} has no README.md");
        }
    }
    Ok(())
}
