//! What a change of config changes of connections that were captured before it.

use anyhow::{Result, ensure};
use weir_testkit::{Http1, Launch, Stream, Wire};

use super::{FAR, Sidecar, cable, capture, database, service};
use crate::stage::WEIR;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:9901\"\n[workers]\ncount = 1\n";

/// Outbound, where config has one service of the mesh.
fn outbound(destinations: &str, clusters: &str) -> String {
    format!(
        "{ADMIN}[listeners.outbound]\naddress = \"127.0.0.1:15001\"\nprotocol = \"detect\"\ncaptured = true\n\
         destinations = {{ {destinations} }}\ncluster = \"elsewhere\"\n\
         [clusters.elsewhere]\ndestination = \"original\"\n{clusters}"
    )
}

fn cluster(name: &str, port: u16) -> String {
    format!("[clusters.{name}]\nendpoints = [{{ address = \"127.0.0.1:{port}\" }}]\n")
}

#[tokio::test]
async fn a_destination_that_leaves_config_leaves_nobody_behind() -> Result<()> {
    let Some(cable) = cable()? else { return Ok(()) };
    let one = service(&cable.near, "one", "127.0.0.1:7001").await?;
    let two = service(&cable.near, "two", "127.0.0.1:7002").await?;
    let real = service(&cable.far, "real", &format!("{FAR}:8080")).await?;
    let _db = database(&cable.near, "127.0.0.1:7003").await?;
    let first = outbound(
        "\":8080\" = \"one\", \":5432\" = \"db\"",
        &format!("{}{}", cluster("one", 7001), cluster("db", 7003)),
    );
    let near = Sidecar::start(&cable.near, Launch::new(WEIR, first)).await?;
    capture(&cable.near, &["--outbound", "15001", "--user", "1337"])?;

    let (web, sql) = (format!("{FAR}:8080").parse()?, format!("{FAR}:5432").parse()?);
    let mut client = cable.near.run(async move || Http1::connect(web).await).await??;
    // At once: who says nothing for a while is taken for one who waits for the server's word.
    let first = client.get("/").await?;
    ensure!(
        first.field("x-origin") == Some("one") && first.json()?["fields"].to_string().contains("\"via\"")
    );
    let mut relayed = Wire::new(cable.near.run(async move || Stream::connect(sql).await).await??);
    ensure!(relayed.exactly(11).await? == b"220 ready\r\n");

    // The cluster that both began with is gone. HTTP goes where a new connection would.
    near.weir.rewrite_config(&outbound("\":8080\" = \"two\"", &cluster("two", 7002)))?;
    near.counted("weir_config_generation", 2.0).await?;
    ensure!(client.get("/").await?.field("x-origin") == Some("two"));
    near.weir.rewrite_config(&outbound("", ""))?;
    near.counted("weir_config_generation", 3.0).await?;
    ensure!(client.get("/").await?.field("x-origin") == Some("real"));
    ensure!([one.requests(), two.requests(), real.requests()] == [1, 1, 1]);
    // What is relayed stays where it is.
    relayed.write(b"select 1").await?;
    ensure!(relayed.exactly(8).await? == b"select 1");
    Ok(())
}
