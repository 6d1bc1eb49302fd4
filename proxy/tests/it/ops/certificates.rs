//! Certificates that are renewed while the proxy runs, on both sides.

use anyhow::Result;
use weir_testkit::{Ca, EchoOptions, EchoOrigin, Http1, Launch, WeirProcess, eventually};

use crate::stage::{WEIR, plain};

const FAILURES: &str = "weir_certificate_reload_failures_total";

/// A listener with a certificate of this authority.
async fn secured(origin: &EchoOrigin, ca: &Ca) -> Result<WeirProcess> {
    let config = plain(origin.address(), "").replace(
        "cluster = \"origin\"\n",
        "cluster = \"origin\"\ntls = { certificates = [{ cert = \"web.pem\", key = \"web.key\" }] }\n",
    );
    let leaf = ca.leaf(&["a.example"])?;
    Launch::new(WEIR, config).file("web.pem", leaf.pem()).file("web.key", leaf.key_pem()).start().await
}

async fn connect(weir: &WeirProcess, ca: &Ca) -> Result<Http1> {
    Http1::connect_tls(weir.address("web")?, ca.client(&["http/1.1"], None)?, "a.example").await
}

#[tokio::test]
async fn renewed_files_are_shown_to_new_callers_and_disturb_nobody() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let (old, new) = (Ca::new()?, Ca::new()?);
    let weir = secured(&origin, &old).await?;
    let mut client = connect(&weir, &old).await?;
    assert_eq!(client.get("/").await?.status, 200);

    let leaf = new.leaf(&["a.example"])?;
    weir.write_file("web.pem", leaf.pem())?;
    weir.write_file("web.key", leaf.key_pem())?;
    eventually("the new certificate", async || connect(&weir, &new).await.ok()).await?;
    assert!(connect(&weir, &old).await.is_err());
    assert_eq!(client.get("/").await?.status, 200);
    assert_eq!(weir.admin_get("/config").await?.json()?["generation"], 1, "nothing else was made anew");
    Ok(())
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_certificate_and_is_told() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let ca = Ca::new()?;
    let weir = secured(&origin, &ca).await?;
    weir.write_file("web.pem", "-----BEGIN CERTIFICATE-----\nbroken\n")?;
    eventually("the failure being counted", async || {
        (weir.metric(FAILURES).await.ok()?? >= 1.0).then_some(())
    })
    .await?;
    weir.line_with("listeners.web: ").await?;
    let (status, told) = super::reloaded(&weir).await?;
    assert_eq!(status, 409);
    let problem = told["problems"][0].as_str().unwrap_or_default();
    assert!(problem.starts_with("listeners.web: ") && problem.contains("web.pem"), "{problem}");
    assert_eq!(connect(&weir, &ca).await?.get("/").await?.status, 200);

    let leaf = ca.leaf(&["a.example"])?;
    weir.write_file("web.key", leaf.key_pem())?;
    weir.write_file("web.pem", leaf.pem())?;
    eventually("the error being mended", async || {
        weir.admin_get("/config").await.ok()?.json().ok()?["last_error"].is_null().then_some(())
    })
    .await?;
    assert_eq!(connect(&weir, &ca).await?.get("/").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn roots_for_origins_are_renewed_too() -> Result<()> {
    let (old, new) = (Ca::new()?, Ca::new()?);
    let leaf = new.leaf(&["origin.example"])?;
    let options = EchoOptions { tls: Some(new.server(&leaf, &["http/1.1"])?), ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let config = plain(origin.address(), "").replace(
        "[clusters.origin]\n",
        "[clusters.origin]\nprotocol = \"h1\"\ntls = { ca = \"roots.pem\", server_name = \"origin.example\" }\n",
    );
    let weir = Launch::new(WEIR, config).file("roots.pem", old.pem()).start().await?;
    let status = async || Http1::fetch(weir.address("web")?, "/").await.map(|told| told.status);
    let refused = status().await?;
    assert!((500..600).contains(&refused), "{refused}");
    weir.write_file("roots.pem", old.pem() + &new.pem())?;
    eventually("the new roots", async || (status().await.ok()? == 200).then_some(())).await
}
