//! `builtin:router` in the real proxy: every kind of route.

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Http1, WeirProcess, eventually};

use super::{chain, received, until_counted};
use crate::stage::weir;

struct Stage {
    origin: EchoOrigin,
    side: EchoOrigin,
    weir: WeirProcess,
    client: Http1,
}

async fn routes(config: &str) -> Result<Stage> {
    let (origin, side) = (EchoOrigin::start("origin").await?, EchoOrigin::start("side").await?);
    let more = format!(
        "[filters.routes]\nwasm = \"builtin:router\"\n{config}\n\n[clusters.side]\nendpoints = [\n  \
         {{ address = \"{}\", labels = {{ version = \"v1\" }} }},\n  \
         {{ address = \"{}\", labels = {{ version = \"v2\" }} }},\n]\n",
        origin.address(),
        side.address()
    );
    let weir = weir(chain(origin.address(), &["routes"], &more)).await?;
    let client = Http1::connect(weir.address("web")?).await?;
    Ok(Stage { origin, side, weir, client })
}

#[tokio::test]
async fn matches_choose_cluster_path_authority_and_edits() -> Result<()> {
    let mut stage = routes(
        r#"
        [[filters.routes.config.routes]]
        name = "beta"
        match = { host = "*.example.com", path_prefix = "/api", method = ["GET"], headers = [{ name = "x-beta" }], query = [{ name = "b", exact = "1" }] }
        cluster = "side"
        subset = { version = "v2" }
        rewrite = { path_prefix = "/inner", authority = "api.internal" }
        request_headers = { set = { x-sent = "yes" }, remove = ["x-debug"] }
        response_headers = { set = { cache-control = "no-store" } }
        retries = 1

        [[filters.routes.config.routes]]
        name = "rest"
        match = { path_regex = "/r[0-9]+" }
        cluster = "origin"
        "#,
    )
    .await?;
    let fields = [("host", "a.example.com"), ("x-beta", ""), ("x-debug", "1")];
    let told = stage.client.request("GET", "/api/users?b=1", &fields, b"").await?;
    let report = told.json()?;
    assert_eq!(
        (&report["origin"], &report["path"]),
        (&"side".into(), &"/inner/users?b=1".into()),
        "{report}"
    );
    assert_eq!(received(&told, "host")?.as_deref(), Some("api.internal"));
    assert_eq!((received(&told, "x-sent")?.as_deref(), received(&told, "x-debug")?), (Some("yes"), None));
    assert_eq!(told.field("cache-control"), Some("no-store"));
    assert_eq!(stage.client.get("/r17").await?.json()?["origin"], "origin");
    for (method, path) in [("POST", "/api/users?b=1"), ("GET", "/api/users?b=2"), ("GET", "/rx")] {
        let none = stage.client.request(method, path, &fields, b"").await?;
        assert_eq!(none.status, 404, "{method} {path}");
    }
    let beta = "weir_route_requests_total{route=\"beta\",code_class=\"2xx\"}";
    until_counted(&stage.weir, beta, 1.0).await?;
    assert_eq!((stage.origin.requests(), stage.side.requests()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn redirects_replies_faults_and_timeouts_answer_themselves() -> Result<()> {
    let mut stage = routes(
        r#"
        [[filters.routes.config.routes]]
        match = { path = "/old" }
        redirect = { scheme = "https", host = "new.example", path = "/new", status = 308 }

        [[filters.routes.config.routes]]
        match = { path = "/healthz" }
        reply = { status = 200, body = "fine\n", headers = { x-kind = "reply" } }

        [[filters.routes.config.routes]]
        match = { path = "/broken" }
        cluster = "origin"
        fault = { abort = 503 }

        [[filters.routes.config.routes]]
        match = { path = "/slow" }
        cluster = "origin"
        fault = { delay = "60ms" }

        [[filters.routes.config.routes]]
        match = { path_prefix = "/delay" }
        cluster = "origin"
        timeout = "50ms"
        "#,
    )
    .await?;
    let moved = stage.client.get("/old?q=1").await?;
    assert_eq!((moved.status, moved.field("location")), (308, Some("https://new.example/new?q=1")));
    let reply = stage.client.get("/healthz").await?;
    assert_eq!((reply.status, reply.text().as_str(), reply.field("x-kind")), (200, "fine\n", Some("reply")));
    assert_eq!(stage.client.get("/broken").await?.status, 503);
    assert_eq!(stage.origin.requests(), 0);
    let begin = std::time::Instant::now();
    assert_eq!(stage.client.get("/slow").await?.status, 200);
    assert!(begin.elapsed().as_millis() >= 60);
    let late = stage.client.get("/delay/15000").await?;
    assert!(
        late.status == 504
            && late.field("proxy-status").context("Proxy-Status")?.contains("exchange_timeout")
    );
    Ok(())
}

#[tokio::test]
async fn a_mirror_gets_a_copy_that_nobody_waits_for() -> Result<()> {
    let mut stage = routes(
        r#"
        [[filters.routes.config.routes]]
        cluster = "origin"
        mirror = "side"
        "#,
    )
    .await?;
    let told = stage.client.request("POST", "/copied", &[], b"a body").await?;
    assert_eq!(told.json()?["body"], "a body");
    // `side` has two endpoints, one of which is the origin itself: every copy goes to one of them.
    let all = async || (stage.side.requests() + stage.origin.requests() == 2).then_some(());
    eventually("the copy", all).await
}
