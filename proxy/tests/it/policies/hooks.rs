//! Every hook, and everything a decision can say, through real sockets.

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, Http2, WeirProcess, eventually};

use super::{chain, number, puppet, received, told, until_counted, until_told};
use crate::stage::weir;

const GRANTS: &str = "grants = { clusters = [\"origin\", \"side\"], ask = [\"side\"] }";
const CLUSTERS: &str = "clusters = [\"origin\", \"side\"]";

/// Two puppets, "a" before "b", and a second cluster.
async fn two(origin: &EchoOrigin, side: &EchoOrigin, config: &str) -> Result<WeirProcess> {
    let filters = puppet("a", &format!("{CLUSTERS}\n{config}"), GRANTS)?
        + &puppet("b", &format!("{CLUSTERS}\nrequest = [\"@word\", \"@route.cluster\"]"), GRANTS)?
        + &format!(
            "[clusters.side]\nendpoints = [{{ address = \"{}\", labels = {{ version = \"v2\" }} }}]\n",
            side.address()
        )
        + "[limits.few]\nper_second = 0.001\nburst = 2\n";
    weir(chain(origin.address(), &["a", "b"], &filters)).await
}

/// The line that the puppet `tag` wrote when an exchange with this memo ended.
async fn ended(weir: &WeirProcess, tag: &str, memo: u64) -> Result<String> {
    let memo = format!("memo {memo} ");
    let start = format!("{tag} ended: ");
    let line = eventually("an ended exchange", async || {
        let lines = weir.stderr();
        lines.into_iter().map(|line| line + " ").find(|line| line.contains(&start) && line.contains(&memo))
    });
    Ok(line.await?.split_once("ended: ").context("the words after it")?.1.to_owned())
}

#[tokio::test]
async fn a_passage_edits_the_head_tells_facts_and_chooses_the_route() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let a = "set x-one 1; append x-two 3; remove x-three; fact word spoken; to 1; subset version v2; \
             path /other?q=1; authority else.test; name users; hash 7; retries 1; timeout 5000";
    let fields = [("x-a", a), ("x-b", "shown"), ("x-one", "0"), ("x-two", "2"), ("x-three", "3")];
    let told = client.request("GET", "/path?q=0", &fields, b"").await?;
    let report = told.json()?;
    assert_eq!((&report["origin"], &report["path"]), (&"side".into(), &"/other?q=1".into()), "{report}");
    for (name, value) in [
        ("x-one", Some("1")),
        ("x-three", None),
        ("host", Some("else.test")),
        ("x-b-shown", Some("spoken|side")),
    ] {
        assert_eq!(received(&told, name)?.as_deref(), value, "{name} in {report}");
    }
    let fields = report["fields"].as_array().context("fields")?;
    let twos: Vec<_> = fields.iter().filter(|field| field[0] == "x-two").map(|field| &field[1]).collect();
    assert_eq!(twos, ["2", "3"]);
    let route = "weir_route_requests_total{route=\"users\",code_class=\"2xx\"}";
    until_counted(&weir, route, 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_filter_asked_to_see_is_shown_as_the_contract_says() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let names = [
        ":method",
        ":scheme",
        ":authority",
        ":path",
        ":query",
        "x-joined",
        "cookie",
        "x-absent",
        "@listener",
        "@peer.address",
        "@peer.identity",
        "@request.id",
        "host",
    ];
    let weir = two(&origin, &side, &format!("request = {names:?}")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let fields = [
        ("x-a", "shown; value :fields"),
        ("x-joined", "1"),
        ("x-joined", "2"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-request-id", "id-1"),
    ];
    let told = client.request("PUT", "/p/a?q=1&r", &fields, b"").await?;
    let expected = "PUT|http|test|/p/a|q=1&r|1, 2|a=1; b=2|-|web|127.0.0.1|-|id-1|test";
    assert_eq!(received(&told, "x-a-shown")?.as_deref(), Some(expected));
    let all = received(&told, "x-a-value")?.context("all fields on demand")?;
    assert!(all.contains("x-joined: 1~x-joined: 2~") && all.contains("cookie: a=1~"), "{all}");
    Ok(())
}

#[tokio::test]
async fn an_answer_ends_the_chain_and_those_before_see_it() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let fields = [
        ("x-a", "memo 11; set x-one 1"),
        ("x-a-response", "told; append x-kind two"),
        ("x-b", "memo 12; answer 418 tea; field x-kind one; reason pot"),
        ("x-b-response", "set x-b-wrong yes"),
    ];
    let told = client.request("GET", "/", &fields, b"").await?;
    assert_eq!((told.status, told.text().as_str()), (418, "tea"));
    assert_eq!((told.field("x-a-told"), told.count("x-kind")), (Some("418 11"), 2));
    assert_eq!(told.field("x-b-wrong"), None, "who answered did not pass");
    assert_eq!((origin.requests(), side.requests()), (0, 0));
    assert!(
        ended(&weir, "a", 11)
            .await?
            .starts_with("status 418 cluster None attempts 0 local true aborted false")
    );
    until_counted(&weir, "weir_local_replies_total{reason=\"filter\"}", 1.0).await?;
    let b = self::told(&weir, "b").await?;
    assert_eq!((number(&b, "/calls/request"), number(&b, "/calls/complete")), (1, 0), "{b}");
    let head = client.request("HEAD", "/", &[("x-a", "answer 200 five5")], b"").await?;
    assert_eq!((head.field("content-length"), head.body.len()), (Some("5"), 0));
    Ok(())
}

#[tokio::test]
async fn responses_pass_the_chain_backwards_and_can_be_replaced() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "response = [\"x-order\", \"x-origin\"]").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let fields = [
        ("x-a", "memo 1"),
        ("x-a-response", "shown; append x-order a; remove x-origin"),
        ("x-b-response", "append x-order b"),
    ];
    let told = client.request("GET", "/?field=x-order:origin", &fields, b"").await?;
    let order: Vec<_> =
        told.fields.iter().filter(|(name, _)| name == "x-order").map(|(_, v)| &v[..]).collect();
    assert_eq!(order, [&b"origin"[..], b"b", b"a"]);
    assert_eq!((told.field("x-a-shown"), told.field("x-origin")), (Some("origin, b|origin"), None));

    let fields = [("x-b-response", "answer 503 instead; field x-why b"), ("x-a-response", "told")];
    let told = client.request("GET", "/bytes/100000", &fields, b"").await?;
    assert_eq!((told.status, told.text().as_str()), (503, "instead"));
    assert_eq!((told.field("x-why"), told.field("x-a-told")), (Some("b"), Some("503 0")));
    let next = client.get("/").await?;
    assert_eq!(next.status, 200, "the connection serves on");
    Ok(())
}

#[tokio::test]
async fn a_question_is_asked_of_a_granted_cluster_and_its_answer_decides() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let ask = |path: &str| format!("ask 1 {path} 2000 memo-1");
    let again = ask("/");
    for (path, answer, verdict) in [
        ("/bytes/10", "told", "memo-1 200 side 10"),
        ("/status/403", "told", "memo-1 403 side"),
        ("/bytes/70000", "told", "memo-1 too-large"),
        ("/delay/900?delay=9000", "told", "memo-1 timeout"),
    ] {
        let script = if verdict.ends_with("timeout") { ask(path).replace("2000", "50") } else { ask(path) };
        let told = client.request("GET", "/", &[("x-a", &script), ("x-a-answer", answer)], b"").await?;
        let seen = received(&told, "x-a-told")?.context("a verdict")?;
        assert!(seen.starts_with(verdict), "{seen} for {path}");
    }
    let refused =
        client.request("GET", "/", &[("x-a", &ask("/")), ("x-a-answer", "answer 403 no")], b"").await?;
    assert_eq!((refused.status, refused.text().as_str()), (403, "no"));
    let forever = client.request("GET", "/", &[("x-a", &again), ("x-a-answer", &again)], b"").await?;
    assert_eq!(forever.status, 500);
    let status = forever.field("proxy-status").context("Proxy-Status")?;
    assert!(status.contains("filter_asked_too_often"), "{status}");
    // Nine questions would be needed for a ninth answer.
    assert_eq!(number(&told(&weir, "a").await?, "/calls/answer"), 5 + 8);
    let ungranted = client.request("GET", "/", &[("x-a", "ask 0 / 1000 m")], b"").await?;
    assert_eq!(ungranted.status, 500, "only `side` may be asked");
    assert_eq!(number(&told(&weir, "a").await?, "/faults/wrong_answer"), 2);
    Ok(())
}

#[tokio::test]
async fn every_filter_that_passed_an_exchange_hears_of_its_end_once() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    client.request("GET", "/status/404", &[("x-a", "memo 21"), ("x-b", "memo 22; to 1")], b"").await?;
    let a = ended(&weir, "a", 21).await?;
    assert!(a.starts_with("status 404 cluster Some(1) attempts 1 local false aborted false"), "{a}");
    let b = ended(&weir, "b", 22).await?;
    assert!(b.starts_with("status 404 cluster Some(1) attempts 1 local false aborted false"), "{b}");

    // A caller who leaves before there is an answer.
    let mut leaves = Http1::connect(weir.address("web")?).await?;
    leaves.send("GET /delay/20000 HTTP/1.1\r\nhost: t\r\nx-a: memo 23\r\n\r\n").await?;
    eventually("the request at the origin", async || {
        (number(&told(&weir, "b").await.ok()?, "/calls/request") == 2).then_some(())
    })
    .await?;
    leaves.reset();
    let left = ended(&weir, "a", 23).await?;
    assert!(left.starts_with("status 0 cluster Some(0) attempts 1 local false aborted true"), "{left}");

    // And one over HTTP/2.
    let h2 = Http2::connect(weir.address("web")?).await?;
    h2.request("GET", "/", &[("x-a", "memo 24")], b"").await?;
    assert!(ended(&weir, "a", 24).await?.starts_with("status 200"));
    let now = until_told(&weir, "a", "all ends", |told| number(told, "/calls/complete") == 3).await?;
    assert_eq!(number(&now, "/calls/request"), 3);
    until_counted(&weir, "weir_filter_completed_total{filter=\"a\"}", 3.0).await
}

#[tokio::test]
async fn delays_and_timeouts_of_a_decision_hold() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let begin = std::time::Instant::now();
    let told = client.request("GET", "/", &[("x-a", "delay 80")], b"").await?;
    assert!(told.status == 200 && begin.elapsed().as_millis() >= 80);
    let spent = client.request("GET", "/", &[("x-a", "timeout 60; delay 60000")], b"").await?;
    assert_eq!((spent.status, origin.requests()), (504, 1), "the delay is part of the exchange's time");
    let late = client.request("GET", "/delay/15000", &[("x-a", "timeout 60")], b"").await?;
    assert_eq!(
        (late.status, late.field("proxy-status").map(|s| s.contains("exchange_timeout"))),
        (504, Some(true))
    );
    Ok(())
}

#[tokio::test]
async fn limits_cells_and_keyed_values_are_shared_by_all_workers() -> Result<()> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let weir = two(&origin, &side, "limit = \"few\"").await?;
    let [mut one, mut other] = super::both_workers(&weir).await?;
    let counted = |told: &weir_testkit::Response| received(told, "x-a-count");
    let first = one.request("GET", "/", &[("x-a", "count")], b"").await?;
    let second = other.request("GET", "/", &[("x-a", "count")], b"").await?;
    // Two requests went before.
    assert_eq!((counted(&first)?.as_deref(), counted(&second)?.as_deref()), (Some("3 1"), Some("4 2")));
    let take = [("x-a", "take ann")];
    let statuses = [
        one.request("GET", "/", &take, b"").await?.status,
        other.request("GET", "/", &take, b"").await?.status,
        one.request("GET", "/", &take, b"").await?.status,
        other.request("GET", "/", &[("x-a", "take ben")], b"").await?.status,
    ];
    assert_eq!(statuses, [200, 200, 429, 200]);
    Ok(())
}

#[tokio::test]
async fn whoever_replaces_a_filters_answer_is_its_author() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let filters = puppet("a", "", "")? + &puppet("b", "", "")? + "[access_log]\nto = \"stdout\"\n";
    let weir = weir(chain(origin.address(), &["a", "b"], &filters)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let fields =
        [("x-a-response", "answer 402 other; reason replaced"), ("x-b", "answer 403 no; reason refused")];
    let told = client.request("GET", "/", &fields, b"").await?;
    assert_eq!((told.status, told.text().as_str()), (402, "other"));
    let line = eventually("the line of the log", async || weir.stdout().first().cloned()).await?;
    let line: serde_json::Value = serde_json::from_str(&line)?;
    assert_eq!((&line["filter"], &line["reason"]), (&"a".into(), &"replaced".into()), "{line}");
    assert_eq!(origin.requests(), 0);
    Ok(())
}
