//! TLS that passes, routed by the name it asks for; the hello arrives as it was sent.

use std::time::Duration;

use anyhow::Result;
use weir_testkit::{Ca, Http1, RawOrigin, Stream, WeirProcess, Wire};

use super::LOGGED;
use crate::{
    stage::{plain, weir},
    upstream::{logged, reaches},
};

struct Stage {
    ca: Ca,
    weir: WeirProcess,
    _origins: [RawOrigin; 2],
}

/// Two origins that say who they are, for `a.example` and for `*.b.example`, and what a test adds to the listener.
async fn stage(listener: &str, more: &str) -> Result<Stage> {
    let ca = Ca::new()?;
    let one =
        RawOrigin::echo(Some(ca.server(&ca.leaf(&["a.example", "other.example"])?, &["h2"])?), "one").await?;
    let two = RawOrigin::echo(Some(ca.server(&ca.leaf(&["x.b.example"])?, &[])?), "two").await?;
    let config = plain(one.address(), "").replace(
        "[listeners.web]\naddress = \"127.0.0.1:0\"\ncluster = \"origin\"\n",
        &format!(
            "[listeners.web]\naddress = \"127.0.0.1:0\"\nprotocol = \"tls_passthrough\"\n\
             sni = {{ \"a.example\" = \"origin\", \"*.b.example\" = \"two\" }}\n{listener}\n"
        ),
    );
    let config = format!(
        "{config}\n[clusters.two]\nendpoints = [{{ address = \"{}\" }}]\n{LOGGED}{more}",
        two.address()
    );
    Ok(Stage { ca, weir: weir(config).await?, _origins: [one, two] })
}

impl Stage {
    async fn said(&self, name: &str) -> Result<Vec<u8>> {
        let tls = self.ca.client(&["h2"], None)?;
        let stream = Stream::connect_tls(self.weir.address("web")?, tls, name).await?;
        Wire::new(stream).exactly(3).await
    }
}

#[tokio::test]
async fn names_lead_to_their_clusters() -> Result<()> {
    let stage = stage("", "").await?;
    assert_eq!(stage.said("a.example").await?, b"one");
    assert_eq!(stage.said("x.b.example").await?, b"two");
    assert!(stage.said("other.example").await.is_err());
    reaches(&stage.weir, "weir_connections_refused_total{listener=\"web\",reason=\"unknown_name\"}", 1.0)
        .await?;
    let lines = logged(&stage.weir, 2).await?;
    let line = lines.iter().find(|line| line["sni"] == "x.b.example").expect("a line");
    assert_eq!((&line["protocol"], &line["cluster"]), (&"TLS".into(), &"two".into()), "{line}");
    Ok(())
}

#[tokio::test]
async fn what_has_no_place_of_its_own_goes_to_the_listeners_cluster() -> Result<()> {
    let stage = stage("cluster = \"origin\"", "").await?;
    assert_eq!(stage.said("other.example").await?, b"one");
    assert_eq!(stage.said("x.b.example").await?, b"two");
    Ok(())
}

/// A hello in many small pieces, and one in many small records.
#[tokio::test]
async fn however_the_hello_is_cut_it_arrives() -> Result<()> {
    let stage = stage("", "").await?;
    for records in [false, true] {
        let tls = stage.ca.client(&["h2"], None)?;
        let mut client = rustls::ClientConnection::new(tls, "x.b.example".try_into()?)?;
        let mut hello = Vec::new();
        client.write_tls(&mut hello)?;
        let (size, bytes): (usize, Vec<u8>) = if records {
            let pieces = hello[5..].chunks(200);
            (100, pieces.flat_map(|piece| [&[22, 3, 1, 0, piece.len() as u8][..], piece].concat()).collect())
        } else {
            (40, hello)
        };
        let mut wire = Wire::new(Stream::connect(stage.weir.address("web")?).await?);
        for piece in bytes.chunks(size) {
            wire.write(piece).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // A handshake record: the server's hello.
        assert_eq!(wire.exactly(2).await?, [22, 3], "records: {records}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_hello_is_refused() -> Result<()> {
    let stage =
        stage("cluster = \"origin\"", "[listeners.web.limits]\ntls_handshake_timeout = \"300ms\"\n").await?;
    let mut long = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    long.resize(20_000, 0);
    let cases = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), long, vec![22, 3, 1, 0, 200, 1], Vec::new()];
    for bytes in &cases {
        let mut caller = Http1::over(Stream::connect(stage.weir.address("web")?).await?);
        // It may be refused before all of it is out.
        let _ = caller.send(bytes).await;
        caller.gone().await?;
    }
    let refused = "weir_connections_refused_total{listener=\"web\",reason=\"no_hello\"}";
    reaches(&stage.weir, refused, cases.len() as f64).await?;
    Ok(())
}
