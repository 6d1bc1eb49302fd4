//! Between services that have not heard of a proxy, HTTP stays what it is: gRPC reaches gRPC, and HTTP/1.1 what speaks
//! nothing else, with mTLS between the sidecars and without.

use anyhow::{Result, ensure};
use weir_testkit::{Ca, EchoOptions, EchoOrigin, EchoProtocol, Http2, Launch, Namespace};

use super::{FAR, Sidecar, ask, cable, capture, service};
use crate::{
    mesh::{IDENTITY, OWN, own},
    stage::WEIR,
};

const CONFIG: &str = r#"
[admin]
address = "127.0.0.1:9901"
[access_log]
to = "stdout"
[listeners.outbound]
address = "127.0.0.1:15001"
protocol = "detect"
captured = true
destinations = { ":9200" = "plain", ":9201" = "plain" }
cluster = "mesh"
[listeners.inbound]
address = "0.0.0.0:15006"
captured = true
destinations = { ":8080" = "app", ":50051" = "app" }
tls = { identity = "own" }
[clusters.plain]
destination = "original"
[clusters.app]
destination = "loopback"
[clusters.mesh]
destination = "original"
"#;

/// A service that speaks HTTP/2 and nothing else.
async fn grpc(namespace: &Namespace, address: &str) -> Result<EchoOrigin> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let address = address.parse()?;
    namespace.run(async move || EchoOrigin::start_at(address, options).await).await?
}

async fn call(namespace: &Namespace, address: &str) -> Result<()> {
    let address = address.parse()?;
    let called = namespace.run(async move || {
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let client = Http2::connect(address).await?;
        client.request("POST", "/cart.Cart/Add", &fields, b"\0\0\0\0\x02hi").await
    });
    let answer = called.await??;
    ensure!((answer.status, answer.body.as_slice()) == (200, &b"\0\0\0\0\x02hi"[..]), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn http_goes_on_in_the_version_it_came_in() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    let ca = Ca::new()?;
    let tls = format!("tls = {{ identity = \"own\", expect = [\"{OWN}\"] }}\n");
    let launch = || {
        let svid = own(&ca)?;
        let launch = Launch::new(WEIR, format!("{CONFIG}{tls}{IDENTITY}"));
        let launch = launch.file("svid.pem", svid.pem()).file("svid.key", svid.key_pem());
        anyhow::Ok(launch.file("bundle.pem", ca.pem()))
    };
    let old = service(&cable.far, "old", "127.0.0.1:8080").await?;
    let new = grpc(&cable.far, "127.0.0.1:50051").await?;
    let plain_old = service(&cable.far, "plain", &format!("{FAR}:9200")).await?;
    let plain_new = grpc(&cable.far, &format!("{FAR}:9201")).await?;
    capture(&cable.near, &["--outbound", "15001", "--user", "1337"])?;
    let inbound = ["--inbound", "15006", "--user", "1337", "--skip-inbound-ports", "9200,9201"];
    capture(&cable.far, &inbound)?;
    let near = Sidecar::start(&cable.near, launch()?).await?;
    let far = Sidecar::start(&cable.far, launch()?).await?;

    for _ in 0..2 {
        ensure!(ask(&cable.near, &format!("{FAR}:8080"), "GET").await?.status == 200);
        ensure!(ask(&cable.near, &format!("{FAR}:9200"), "GET").await?.status == 200);
        call(&cable.near, &format!("{FAR}:50051")).await?;
        call(&cable.near, &format!("{FAR}:9201")).await?;
    }
    let requests = [&old, &new, &plain_old, &plain_new].map(EchoOrigin::requests);
    ensure!(requests == [2; 4], "{requests:?}");
    near.counted("weir_cluster_requests_total{cluster=\"mesh\",code_class=\"2xx\"}", 4.0).await?;
    // Who called, and where to, stands in the log of the one that was called.
    let line = far.weir.line_with("\"destination\":\"10.77.0.2:50051\"").await?;
    ensure!(line.contains(OWN) && line.contains("\"protocol\":\"HTTP/2\""), "{line}");
    let line = far.weir.line_with("\"destination\":\"10.77.0.2:8080\"").await?;
    ensure!(line.contains("\"protocol\":\"HTTP/1.1\"") && line.contains("127.0.0.1:8080"), "{line}");
    Ok(())
}
