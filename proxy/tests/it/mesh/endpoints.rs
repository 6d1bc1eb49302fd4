//! Whom a cluster with an identity takes for an endpoint.

use anyhow::Result;
use weir_testkit::{Ca, EchoOptions, EchoOrigin, EchoProtocol, Http1, Leaf, SvidPlan, WeirProcess};

use super::{counted, mesh, start};

const USERS: &str = "spiffe://td/sa/users";

/// An origin that shows this certificate, and wants one of the same authority.
async fn origin(ca: &Ca, leaf: &Leaf, name: &str) -> Result<EchoOrigin> {
    let tls = Some(ca.mutual_server(leaf, &["h2", "http/1.1"])?);
    let options = EchoOptions { name: name.to_owned(), protocol: EchoProtocol::Alpn, tls };
    EchoOrigin::start_with(options).await
}

fn expecting(expect: &str) -> String {
    format!("tls = {{ identity = \"own\", expect = [{expect}] }}")
}

async fn refused(weir: &WeirProcess, reason: &str, times: f64) -> Result<()> {
    let series = format!("weir_cluster_tls_refusals_total{{cluster=\"origin\",reason=\"{reason}\"}}");
    counted(weir, &series, times).await
}

#[tokio::test]
async fn endpoints_are_known_by_their_ids_and_not_by_names() -> Result<()> {
    let ca = Ca::new()?;
    let origin = origin(&ca, &ca.svid(&SvidPlan::of(USERS))?, "users").await?;
    let weir = start(mesh(origin.address(), "", &expecting("\"spiffe://td/sa/users\"")), &ca).await?;
    let told = Http1::fetch(weir.address("web")?, "/").await?;
    assert_eq!((told.status, told.json()?["version"].as_str()), (200, Some("HTTP/2.0")));
    Ok(())
}

#[tokio::test]
async fn endpoints_are_refused_for_what_is_wrong_with_them() -> Result<()> {
    let (ca, stranger) = (Ca::new()?, Ca::new()?);
    let right = SvidPlan::of(USERS);
    for (reason, leaf) in [
        ("expired", ca.svid(&SvidPlan { begins: -7200, expires: -3600, ..right.clone() })?),
        ("not_yet_valid", ca.svid(&SvidPlan { begins: 3600, expires: 7200, ..right.clone() })?),
        ("foreign", stranger.svid(&right)?),
        ("wrong_purpose", ca.svid(&SvidPlan { purposes: (false, true), ..right.clone() })?),
        ("wrong_purpose", ca.leaf(&["127.0.0.1"])?),
        ("wrong_identity", ca.svid(&SvidPlan::of("spiffe://td/sa/eve"))?),
    ] {
        let origin = origin(&ca, &leaf, "users").await?;
        let config = mesh(origin.address(), "", &(expecting("\"spiffe://td/sa/users\"") + "\nretries = 0"));
        let weir = start(config, &ca).await?;
        assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 503, "{reason}");
        refused(&weir, reason, 1.0).await?;
        let tls = "weir_cluster_connect_failures_total{cluster=\"origin\",reason=\"tls\"}";
        counted(&weir, tls, 1.0).await?;
        assert_eq!(origin.requests(), 0, "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_speaks_plain_text_is_refused() -> Result<()> {
    let ca = Ca::new()?;
    let origin = EchoOrigin::start("plain").await?;
    let keys = expecting("\"spiffe://td/**\"") + "\nretries = 0";
    let weir = start(mesh(origin.address(), "", &keys), &ca).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 503);
    refused(&weir, "plain_text", 1.0).await
}

#[tokio::test]
async fn another_endpoint_is_tried_in_place_of_one_that_is_refused() -> Result<()> {
    let ca = Ca::new()?;
    let good = origin(&ca, &ca.svid(&SvidPlan::of(USERS))?, "good").await?;
    let eve = origin(&ca, &ca.svid(&SvidPlan::of("spiffe://td/sa/eve"))?, "eve").await?;
    let config =
        mesh(good.address(), "", &(expecting("\"spiffe://td/sa/users\"") + "\nbalancer = \"round_robin\""));
    let both = format!("{{ address = \"{}\" }}, {{ address = \"{}\" }}", good.address(), eve.address());
    let config = config.replace(&format!("{{ address = \"{}\" }}", good.address()), &both);
    let weir = start(config, &ca).await?;
    for _ in 0..6 {
        let told = Http1::fetch(weir.address("web")?, "/").await?;
        assert_eq!((told.status, told.json()?["origin"].as_str()), (200, Some("good")));
    }
    assert_eq!(eve.requests(), 0);
    let wrong = "weir_cluster_tls_refusals_total{cluster=\"origin\",reason=\"wrong_identity\"}";
    assert!(weir.metric(wrong).await?.is_some_and(|times| times >= 1.0));
    Ok(())
}
