//! Filters that decide on connections: who gets in, where they go, and filters that fail over it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use weir_testkit::{
    Ca, EchoOrigin, Http1, Http2, RawOrigin, Stream, SvidPlan, WeirProcess, Wire, build_guest,
};

use super::{chain, number, puppet, told};
use crate::{
    mesh,
    stage::weir,
    upstream::{logged, reaches},
};

const LOGGED: &str = "[access_log]\nto = \"stdout\"\n";
const REFUSED: &str = "weir_connections_refused_total{listener=\"web\",reason=\"policy\"}";
const FAILED: &str = "weir_connections_refused_total{listener=\"web\",reason=\"filter_fault\"}";

/// The configuration with its listener made one of another protocol.
fn speaking(config: String, protocol: &str) -> String {
    config.replace("[listeners.web]\n", &format!("[listeners.web]\nprotocol = \"{protocol}\"\n"))
}

/// Without a cluster of the listener's own.
fn homeless(config: String) -> String {
    config.replacen("cluster = \"origin\"\n", "", 1)
}

fn cluster(name: &str, address: SocketAddr) -> String {
    format!("[clusters.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n")
}

/// What the other side says first, to a caller that asks for a name.
async fn said(weir: &WeirProcess, ca: &Ca, name: &str) -> Result<Vec<u8>> {
    let stream = Stream::connect_tls(weir.address("web")?, ca.client(&[], None)?, name).await?;
    Wire::new(stream).exactly(3).await
}

#[tokio::test]
async fn one_identity_passes_and_another_is_refused() -> Result<()> {
    const RULES: &str = "[filters.who]\nwasm = \"builtin:rbac\"\n[filters.who.config]\nconnection = true\n\
        [[filters.who.config.allow]]\nname = \"apps\"\nfrom = \"spiffe://td/sa/web\"\nlistener = \"web\"\n";
    let ca = Ca::new()?;
    let origin = RawOrigin::echo(None, "hi!").await?;
    let listener = "chain = [\"who\"]\ntls = { identity = \"own\" }";
    let config = speaking(mesh::mesh(origin.address(), listener, ""), "tcp");
    let weir = mesh::start(format!("{config}\n{RULES}{LOGGED}"), &ca).await?;
    let calls = async |id: &str| -> Result<Vec<u8>> {
        let tls = ca.client(&[], Some(&ca.svid(&SvidPlan::of(id))?))?;
        let stream = Stream::connect_tls(weir.address("web")?, tls, mesh::HOST).await?;
        Wire::new(stream).exactly(3).await
    };
    assert_eq!(calls("spiffe://td/sa/web").await?, b"hi!");
    assert!(calls("spiffe://td/sa/eve").await.is_err());
    reaches(&weir, REFUSED, 1.0).await?;
    let lines = logged(&weir, 2).await?;
    let line = lines.iter().find(|line| line["filter"] == "who").expect("a line of the refusal");
    for (key, value) in [
        ("reason", "no_rule"),
        ("identity", "spiffe://td/sa/eve"),
        ("sni", mesh::HOST),
        ("protocol", "TCP"),
        ("peer", "127.0.0.1"),
    ] {
        assert_eq!(line[key], value, "{key} of {line}");
    }
    assert!(line["cluster"].is_null() && line["status"].is_null(), "{line}");
    assert_eq!(origin.connections(), 1);
    reaches(&weir, "weir_filter_allowed_by_apps_total{filter=\"who\"}", 1.0).await?;
    assert_eq!(number(&told(&weir, "who").await?, "/calls/connection"), 2);
    Ok(())
}

#[tokio::test]
async fn names_lead_where_a_filter_says() -> Result<()> {
    let ca = Ca::new()?;
    let tls = |name| anyhow::Ok(Some(ca.server(&ca.leaf(&[name])?, &[])?));
    let one = RawOrigin::echo(tls("a.example")?, "one").await?;
    let two = RawOrigin::echo(tls("b.example")?, "two").await?;
    let rules = "clusters = [\"origin\", \"two\"]\n[filters.names.config.connections]\n\
        \"a.example\" = \"to 0\"\n\"b.example\" = \"to 1\"\n\"c.example\" = \"refuse not for you\"\n";
    let more = puppet("names", rules, "")? + &cluster("two", two.address()) + LOGGED;
    let config = homeless(speaking(chain(one.address(), &["names"], &more), "tls_passthrough"));
    let weir = weir(config).await?;
    assert_eq!(said(&weir, &ca, "a.example").await?, b"one");
    assert_eq!(said(&weir, &ca, "b.example").await?, b"two");
    assert!(said(&weir, &ca, "c.example").await.is_err());
    assert!(said(&weir, &ca, "d.example").await.is_err());
    reaches(&weir, REFUSED, 1.0).await?;
    // It was let through, and nobody said where to.
    reaches(&weir, "weir_connections_refused_total{listener=\"web\",reason=\"unknown_name\"}", 1.0).await?;
    let lines = logged(&weir, 3).await?;
    let line = lines.iter().find(|line| line["sni"] == "c.example").expect("a line of the refusal");
    assert_eq!((&line["reason"], &line["filter"]), (&"not for you".into(), &"names".into()), "{line}");
    assert_eq!(line["protocol"], "TLS", "{line}");
    let line = lines.iter().find(|line| line["sni"] == "b.example").expect("a line of the other cluster");
    assert_eq!(line["cluster"], "two", "{line}");
    Ok(())
}

#[tokio::test]
async fn tcp_without_any_cluster_is_closed_and_accounted_for() -> Result<()> {
    let origin = RawOrigin::echo(None, "hi!").await?;
    let more = puppet("names", "[filters.names.config.connections]\n\"a\" = \"show\"\n", "")? + LOGGED;
    let weir = weir(homeless(speaking(chain(origin.address(), &["names"], &more), "tcp"))).await?;
    // It may be gone before the caller is done with connecting.
    if let Ok(stream) = Stream::connect(weir.address("web")?).await {
        Http1::over(stream).gone().await?;
    }
    assert_eq!(logged(&weir, 1).await?[0]["reason"], "no_route");
    reaches(&weir, "weir_tcp_connections_total{listener=\"web\",result=\"unconnected\"}", 1.0).await
}

#[tokio::test]
async fn http_goes_to_the_connections_cluster_unless_a_request_is_routed() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let third = EchoOrigin::start("three").await?;
    let first = "clusters = [\"two\"]\nconnections = { \"\" = \"to 0\" }\n";
    let last = "clusters = [\"three\"]\nrequest = [\"@route.cluster\"]\n";
    let more = puppet("a", first, "")?
        + &puppet("b", last, "")?
        + &cluster("two", two.address())
        + &cluster("three", third.address());
    let weir = weir(chain(one.address(), &["a", "b"], &more)).await?;
    let mut h1 = Http1::connect(weir.address("web")?).await?;
    let h2 = Http2::connect(weir.address("web")?).await?;
    for _ in 0..2 {
        assert_eq!(h1.get("/").await?.json()?["origin"], "two");
        assert_eq!(h2.get("/").await?.json()?["origin"], "two");
    }
    let routed = h1.request("GET", "/", &[("x-b", "to 0")], b"").await?;
    assert_eq!(routed.json()?["origin"], "three");
    assert_eq!(h1.get("/").await?.json()?["origin"], "two", "the connection's, again");
    // Once for each connection, not for each exchange.
    assert_eq!(number(&told(&weir, "a").await?, "/calls/connection"), 2);
    assert_eq!(number(&told(&weir, "b").await?, "/calls/connection"), 0);
    Ok(())
}

#[tokio::test]
async fn the_last_cluster_wins_and_the_first_refusal() -> Result<()> {
    let (one, two) = (RawOrigin::echo(None, "one").await?, RawOrigin::echo(None, "two").await?);
    let to = "clusters = [\"origin\", \"two\"]\nconnections = { \"\" = \"to 1\" }\n";
    let back = "clusters = [\"origin\"]\nconnections = { \"\" = \"to 0\" }\n";
    let refuse = |why: &str| format!("connections = {{ \"\" = \"refuse {why}\" }}\n");
    let more = puppet("to", to, "")?
        + &puppet("back", back, "")?
        + &puppet("silent", "connections = { \"other\" = \"to 0\" }\n", "")?
        + &puppet("no", &refuse("no"), "")?
        + &puppet("never", &refuse("never"), "")?
        + &cluster("two", two.address())
        + LOGGED;
    for (filters, says) in [
        (&["back", "to", "silent"][..], Some(b"two")),
        (&["to", "back", "silent"], Some(b"one")),
        (&["to", "no", "never"], None),
    ] {
        let weir = weir(speaking(chain(one.address(), filters, &more), "tcp")).await?;
        let heard = Wire::new(Stream::connect(weir.address("web")?).await?).exactly(3).await;
        match says {
            Some(says) => assert_eq!(heard?, says, "{filters:?}"),
            None => {
                assert!(heard.is_err());
                let line = &logged(&weir, 1).await?[0];
                assert_eq!((&line["reason"], &line["filter"]), (&"no".into(), &"no".into()), "{line}");
                assert_eq!(number(&told(&weir, "never").await?, "/calls/connection"), 0);
            }
        }
    }
    Ok(())
}

/// All that is known, on a connection that another proxy introduced.
#[tokio::test]
async fn a_filter_is_shown_what_is_known() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let more = puppet("look", "connections = { \"\" = \"show\" }\n", "")? + LOGGED;
    let config = chain(origin.address(), &["look"], &more).replace(
        "[listeners.web]\n",
        "[listeners.web]\nproxy_protocol = { mode = \"require\", from = [\"127.0.0.1\"] }\n",
    );
    let weir = weir(config).await?;
    let stream = Stream::connect(weir.address("web")?).await?;
    let Stream::Tcp(tcp) = &stream else { unreachable!() };
    let local = tcp.peer_addr()?.port();
    let mut wire = Wire::new(stream);
    wire.write(b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 5432\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    Http1::over(wire.into_stream()).gone().await?;
    let line = &logged(&weir, 1).await?[0];
    let shown = line["reason"].as_str().unwrap_or_default();
    for part in [
        "listener: \"web\", protocol: Http1, secure: false".to_owned(),
        "peer: Some(Address { ip: \"2001:db8::7\", port: 4711 })".to_owned(),
        format!("local: Some(Address {{ ip: \"127.0.0.1\", port: {local} }})"),
        "destination: Some(Address { ip: \"2001:db8::1\",".to_owned(),
    ] {
        assert!(shown.contains(&part), "{part} in {shown}");
    }
    assert_eq!(shown.len(), 256, "a reason is cut: {shown}");
    assert_eq!(origin.requests(), 0);
    Ok(())
}

/// The hostile guest in front of TLS that passes: it does what the name's first label says.
async fn hostile(origin: &RawOrigin, on_fault: &str) -> Result<WeirProcess> {
    let wasm = build_guest("weir-guest-hostile")?;
    let filter = format!(
        "[filters.bad]\nwasm = {wasm:?}\non_fault = \"{on_fault}\"\nlimits = {{ time = \"100ms\" }}\n\
         grants = {{ ask = [\"origin\"], clusters = [] }}\nconfig = {{ connections = true, cluster = \"origin\" }}\n"
    );
    weir(speaking(chain(origin.address(), &["bad"], &format!("{filter}{LOGGED}")), "tls_passthrough")).await
}

#[tokio::test]
async fn a_hostile_filter_costs_only_the_connection() -> Result<()> {
    const MISDEEDS: [(&str, &str); 6] = [
        ("loop", "out_of_time"),
        ("memory", "out_of_memory"),
        ("trap", "trap"),
        ("recurse", "trap"),
        ("giant", "wrong_answer"),
        ("astray", "wrong_answer"),
    ];
    let ca = Ca::new()?;
    let names: Vec<String> = MISDEEDS
        .iter()
        .map(|(misdeed, _)| format!("{misdeed}.example"))
        .chain(["good.example".into()])
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let origin = RawOrigin::echo(Some(ca.server(&ca.leaf(&names)?, &[])?), "hi!").await?;
    for on_fault in ["deny", "skip", "last_good"] {
        let weir = hostile(&origin, on_fault).await?;
        let kept = Stream::connect_tls(weir.address("web")?, ca.client(&[], None)?, "good.example").await?;
        let mut kept = Wire::new(kept);
        assert_eq!(kept.exactly(3).await?, b"hi!");
        for (misdeed, kind) in MISDEEDS {
            let place = format!("/faults/{kind}");
            let before = number(&told(&weir, "bad").await?, &place);
            let heard = said(&weir, &ca, &format!("{misdeed}.example")).await;
            assert_eq!(heard.is_ok(), on_fault == "skip", "{on_fault} {misdeed}: {heard:?}");
            assert_eq!(number(&told(&weir, "bad").await?, &place), before + 1, "{on_fault} {misdeed}");
            assert_eq!(said(&weir, &ca, "good.example").await?, b"hi!", "after {misdeed}");
        }
        kept.write(b"still").await?;
        assert_eq!(kept.exactly(5).await?, b"still");
        if on_fault == "deny" {
            reaches(&weir, FAILED, MISDEEDS.len() as f64).await?;
            let lines = logged(&weir, 2 * MISDEEDS.len()).await?;
            let failed = lines.iter().filter(|line| line["reason"] == "filter_fault").count();
            assert_eq!(failed, MISDEEDS.len(), "{lines:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_version_before_judges_when_the_new_one_fails() -> Result<()> {
    let ca = Ca::new()?;
    let names = ["trap.example", "good.example", "out.example"];
    let origin = RawOrigin::echo(Some(ca.server(&ca.leaf(&names)?, &[])?), "hi!").await?;
    let config = |filter: String| speaking(chain(origin.address(), &["bad"], &filter), "tls_passthrough");
    let before = puppet("bad", "connections = { \"out.example\" = \"show\" }\n", "on_fault = \"last_good\"")?;
    let weir = weir(config(before)).await?;
    assert!(said(&weir, &ca, "out.example").await.is_err());
    weir.rewrite_config(&config(format!(
        "[filters.bad]\nwasm = {:?}\non_fault = \"last_good\"\nconfig = {{ connections = true }}\n",
        build_guest("weir-guest-hostile")?
    )))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    for name in names {
        assert_eq!(said(&weir, &ca, name).await?, b"hi!", "{name}");
    }
    assert_eq!(number(&told(&weir, "bad").await?, "/faults/trap"), 1);
    Ok(())
}

#[tokio::test]
async fn filters_are_swapped_while_connections_come() -> Result<()> {
    let origin = RawOrigin::echo(None, "hi!").await?;
    let config = |times: usize| -> Result<String> {
        let rules = format!("connections = {{ \"n{times}.example\" = \"show\" }}\n");
        Ok(speaking(chain(origin.address(), &["look"], &puppet("look", &rules, "")?), "tcp"))
    };
    let weir = weir(config(0)?).await?;
    let address = weir.address("web")?;
    let (stop, stopped) = tokio::sync::watch::channel(());
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut calls = 0_usize;
                while !stopped.has_changed().unwrap_or(true) {
                    let mut wire = Wire::new(Stream::connect(address).await?);
                    ensure!(wire.exactly(3).await? == b"hi!", "call {calls}");
                    calls += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                anyhow::Ok(calls)
            })
        })
        .collect();
    for times in 1..=20 {
        weir.rewrite_config(&config(times)?)?;
        let answer = weir.admin_post("/reload", b"").await?;
        ensure!(answer.status == 200, "{}", answer.text());
    }
    stop.send(())?;
    let mut calls = 0;
    for caller in callers {
        calls += caller.await??;
    }
    let now = told(&weir, "look").await?;
    assert_eq!((number(&now, "/generation"), &now["faults"]), (21, &serde_json::json!({})), "{now}");
    assert!(calls >= 4, "{calls} calls");
    Ok(())
}

#[tokio::test]
async fn a_filter_that_would_decide_nothing_is_refused() -> Result<()> {
    let origin = RawOrigin::echo(None, "hi!").await?;
    let rules = "connections = { \"a\" = \"show\" }\n";
    let good = speaking(chain(origin.address(), &["who"], &puppet("who", rules, "")?), "tcp");
    let weir = weir(good.clone()).await?;
    for (deaf, help) in [
        (puppet("who", "", "")?, "configure it for connections"),
        ("[filters.who]\nwasm = \"builtin:router\"\n".to_owned(), "take it out of the chain"),
    ] {
        let deaf = if deaf.contains("router") {
            deaf + "[[filters.who.config.routes]]\nname = \"all\"\ncluster = \"origin\"\n"
        } else {
            deaf
        };
        weir.rewrite_config(&speaking(chain(origin.address(), &["who"], &deaf), "tcp"))?;
        let answer = weir.admin_post("/reload", b"").await?;
        let text = answer.text();
        assert_eq!(answer.status, 409, "{text}");
        assert!(text.contains("listeners.web.chain") && text.contains(help), "{text}");
        assert_eq!(Wire::new(Stream::connect(weir.address("web")?).await?).exactly(3).await?, b"hi!");
    }
    weir.rewrite_config(&good)?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 200);
    Ok(())
}
