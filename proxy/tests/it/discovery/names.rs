//! Names: resolved while Weir runs, for as long as answers hold; what was known outlives a server that fails.

use anyhow::Result;
use weir_testkit::{DnsAnswer, DnsRecord, DnsServer, EchoOrigin, LoadPlan, WeirProcess};

use super::{config, failure, has_endpoints, shown, status};
use crate::stage::weir;

/// Weir with a cluster of these endpoints that asks this server.
async fn asking(dns: &DnsServer, endpoints: &str) -> Result<WeirProcess> {
    let servers = format!("[dns]\nservers = [\"{}\"]\n", dns.address());
    weir(config(&format!("endpoints = [{endpoints}]"), &servers)).await
}

fn at(ip: &str, port: u16) -> String {
    format!("{ip}:{port}")
}

#[tokio::test]
async fn a_name_is_every_address_it_has_and_follows_its_answers() -> Result<()> {
    let (dns, origin) = (DnsServer::start().await?, EchoOrigin::start("one").await?);
    let port = origin.address().port();
    dns.addresses("users.test", &["127.0.0.2"])?;
    let weir = asking(&dns, &format!("{{ address = \"users.test:{port}\" }}")).await?;
    has_endpoints(&weir, &[at("127.0.0.2", port)]).await?;
    dns.addresses("users.test", &["127.0.0.3", "127.0.0.1", "::1"])?;
    has_endpoints(&weir, &[at("127.0.0.1", port), at("127.0.0.3", port), at("[::1]", port)]).await?;
    dns.addresses("users.test", &["127.0.0.1"])?;
    has_endpoints(&weir, &[at("127.0.0.1", port)]).await?;
    assert_eq!(status(&weir).await?, 200);
    let standing = weir.admin_get("/config").await?.json()?;
    assert_eq!(standing["generation"], 1, "the configuration is the same");
    let series = "weir_cluster_discovery_total{cluster=\"origin\",result=\"applied\"}";
    assert!(weir.metric(series).await?.unwrap_or_default() >= 3.0);
    assert_eq!(weir.metric("weir_cluster_endpoints{cluster=\"origin\"}").await?, Some(1.0));
    Ok(())
}

#[tokio::test]
async fn what_was_known_outlives_whatever_a_server_does() -> Result<()> {
    let (dns, origin) = (DnsServer::start().await?, EchoOrigin::start("one").await?);
    let port = origin.address().port();
    dns.addresses("users.test", &["127.0.0.1"])?;
    let weir = asking(&dns, &format!("{{ address = \"users.test:{port}\" }}")).await?;
    has_endpoints(&weir, &[at("127.0.0.1", port)]).await?;
    let load = LoadPlan::new(weir.address("web")?, "/").start();
    for (answer, reason) in [
        (DnsAnswer::Code(2), "ServerFailure"),
        (DnsAnswer::Code(3), "no address"),
        (DnsAnswer::Records(Vec::new(), 1), "no address"),
        (DnsAnswer::Silence, "no answer within"),
    ] {
        dns.answer("users.test", answer.clone());
        let told = weir_testkit::eventually(reason, async || {
            failure(&weir).await.ok().filter(|told| told.contains(reason))
        });
        told.await?;
        has_endpoints(&weir, &[at("127.0.0.1", port)]).await?;
    }
    load.stop().await?.all_ok()?;
    dns.addresses("users.test", &["127.0.0.1", "127.0.0.2"])?;
    has_endpoints(&weir, &[at("127.0.0.1", port), at("127.0.0.2", port)]).await?;
    assert_eq!(shown(&weir).await?["discovery"]["failing"], serde_json::json!([]));
    weir.line_with("its endpoints are told again").await?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_nobody_knows_keeps_no_proxy_from_starting() -> Result<()> {
    let (dns, origin) = (DnsServer::start().await?, EchoOrigin::start("one").await?);
    let port = origin.address().port();
    let weir = asking(&dns, &format!("{{ address = \"users.test:{port}\" }}")).await?;
    weir.line_with("endpoints could not be learned").await?;
    assert_eq!(status(&weir).await?, 503);
    dns.addresses("users.test", &["127.0.0.1"])?;
    has_endpoints(&weir, &[at("127.0.0.1", port)]).await?;
    assert_eq!(status(&weir).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_start_waits_for_a_silent_server_no_longer_than_allowed() -> Result<()> {
    let dns = DnsServer::start().await?;
    dns.answer("users.test", DnsAnswer::Silence);
    let dns_config = format!("[dns]\nservers = [\"{}\"]\ntimeout = \"100ms\"\n", dns.address());
    let weir = weir(config("endpoints = [{ address = \"users.test:80\" }]", &dns_config)).await?;
    assert_eq!(status(&weir).await?, 503);
    Ok(())
}

#[tokio::test]
async fn services_tell_hosts_ports_and_weights() -> Result<()> {
    let (dns, origin) = (DnsServer::start().await?, EchoOrigin::start("one").await?);
    let port = origin.address().port();
    let service = |priority, weight, host: &str| DnsRecord::Service(priority, weight, port, host.to_owned());
    let records = vec![service(1, 3, "a.test"), service(1, 0, "b.test"), service(2, 9, "later.test")];
    dns.answer("_http._tcp.test", DnsAnswer::Records(records, 1));
    dns.addresses("a.test", &["127.0.0.1"])?;
    dns.addresses("b.test", &["127.0.0.2"])?;
    dns.addresses("later.test", &["127.0.0.3"])?;
    let weir = asking(&dns, "{ address = \"srv:_http._tcp.test\", labels = { from = \"srv\" } }").await?;
    has_endpoints(&weir, &[at("127.0.0.1", port), at("127.0.0.2", port), at("127.0.0.3", port)]).await?;
    let shown = shown(&weir).await?;
    assert_eq!((&shown["endpoints"][0]["weight"], &shown["endpoints"][1]["weight"]), (&3.into(), &1.into()));
    let priorities: Vec<_> = (0..3).map(|index| shown["endpoints"][index]["priority"].clone()).collect();
    assert_eq!(priorities, [0, 0, 1], "those of the second priority wait");
    assert_eq!(shown["endpoints"][0]["labels"]["from"], "srv");
    assert_eq!(status(&weir).await?, 200);
    dns.answer("_http._tcp.test", DnsAnswer::Records(vec![service(1, 1, "later.test")], 1));
    has_endpoints(&weir, &[at("127.0.0.3", port)]).await
}

#[tokio::test]
async fn aliases_and_answers_too_long_for_a_datagram_are_followed() -> Result<()> {
    let dns = DnsServer::start().await?;
    let many: Vec<String> = (1..=60).map(|last| format!("127.0.1.{last}")).collect();
    let addresses: Vec<&str> = many.iter().map(String::as_str).collect();
    dns.addresses("many.test", &addresses)?;
    let weir = asking(&dns, "{ address = \"many.test:80\" }").await?;
    let mut expected: Vec<_> = many.iter().map(|ip| at(ip, 80)).collect();
    expected.sort();
    has_endpoints(&weir, &expected).await?;
    assert!(dns.asked_by_tcp() > 0);
    Ok(())
}

#[tokio::test]
async fn names_and_addresses_stand_side_by_side() -> Result<()> {
    let (dns, origin) = (DnsServer::start().await?, EchoOrigin::start("one").await?);
    let port = origin.address().port();
    dns.addresses("users.test", &["127.0.0.2"])?;
    let endpoints =
        format!("{{ address = \"users.test:{port}\" }}, {{ address = \"{}\" }}", origin.address());
    let weir = asking(&dns, &endpoints).await?;
    has_endpoints(&weir, &[origin.address().to_string(), at("127.0.0.2", port)]).await?;
    // A reload that changes something else asks nobody anew.
    let before = shown(&weir).await?["discovery"]["version"].clone();
    let servers = format!("[dns]\nservers = [\"{}\"]\n", dns.address());
    let more = format!("retries = 2\nendpoints = [{endpoints}]");
    weir.rewrite_config(&config(&more, &servers))?;
    weir.line_with("configuration read again").await?;
    assert_eq!(shown(&weir).await?["discovery"]["version"], before);
    Ok(())
}
