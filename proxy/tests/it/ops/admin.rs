//! The admin API: what it shows, what it does, and whom it refuses.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Launch, WeirProcess};

use crate::stage::{WEIR, plain, weir};

async fn idle(more: &str) -> Result<WeirProcess> {
    weir(plain(([127, 0, 0, 1], 9).into(), more)).await
}

#[tokio::test]
async fn it_tells_that_it_works_and_where_it_listens() -> Result<()> {
    let weir = idle("").await?;
    for path in ["/health", "/ready"] {
        let told = weir.admin_get(path).await?;
        assert_eq!((told.status, told.text().as_str()), (200, "ok\n"), "{path}");
    }
    let listeners = weir.admin_get("/listeners").await?.json()?;
    assert_eq!(listeners[0]["name"], "web");
    assert_eq!(listeners[0]["address"], weir.address("web")?.to_string());
    assert_eq!(listeners[0]["protocol"], "http");
    Ok(())
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets() -> Result<()> {
    let secret = "a-secret-of-at-least-32-characters";
    let filter = format!(
        "[filters.login]\nwasm = \"builtin:jwt\"\nconfig = {{ issuer = \"me\", audience = \"you\", algorithms = [\"HS256\"], secret = \"{secret}\" }}\n"
    );
    let weir = idle(&filter).await?;
    let told = weir.admin_get("/config").await?;
    assert!(!told.text().contains(secret), "{}", told.text());
    let standing = told.json()?;
    assert_eq!(standing["generation"], 1);
    assert_eq!(standing["snapshots"], 1);
    assert_eq!(standing["last_error"], serde_json::Value::Null);
    assert_eq!(standing["config"]["filters"]["login"]["config"]["issuer"], "me");
    assert_eq!(standing["config"]["filters"]["login"]["config"]["secret"], "(hidden)");
    assert_eq!(standing["config"]["clusters"]["origin"]["endpoints"][0]["address"], "127.0.0.1:9");
    Ok(())
}

#[tokio::test]
async fn clusters_and_filters_are_shown_with_what_they_did() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let filter = "[filters.pass]\nwasm = \"builtin:router\"\n\
        [[filters.pass.config.routes]]\nname = \"all\"\ncluster = \"origin\"\n";
    let config = plain(origin.address(), filter)
        .replace("cluster = \"origin\"\n\n[clusters", "chain = [\"pass\"]\n\n[clusters");
    let weir = weir(config).await?;
    assert_eq!(Http1::fetch(weir.address("web")?, "/").await?.status, 200);
    let cluster = super::shown(&weir, "/clusters", "origin").await?;
    assert_eq!(cluster["endpoints"][0]["address"], origin.address().to_string());
    let filter = super::shown(&weir, "/filters", "pass").await?;
    assert_eq!(filter["generation"], 1);
    assert!(filter["hooks"].as_array().is_some_and(|hooks| hooks.iter().any(|hook| hook == "request")));
    assert_eq!(weir.metric("weir_snapshots").await?, Some(1.0));
    assert_eq!(weir.metric("weir_config_generation").await?, Some(1.0));
    Ok(())
}

#[tokio::test]
async fn paths_and_methods_are_kept_to() -> Result<()> {
    let weir = idle("").await?;
    for path in ["/", "/nothing", "/filters/none/swap/more"] {
        assert_eq!(weir.admin_get(path).await?.status, 404, "{path}");
    }
    for (path, allowed) in [("/reload", "POST"), ("/drain", "POST"), ("/filters/a/swap", "POST")] {
        let told = weir.admin_get(path).await?;
        assert_eq!((told.status, told.field("allow")), (405, Some(allowed)), "{path}");
    }
    let told = weir.admin_post("/config", b"").await?;
    assert_eq!((told.status, told.field("allow")), (405, Some("GET, HEAD")));
    let unknown = weir.admin_post("/filters/none/swap", b"").await?;
    assert_eq!(unknown.status, 404);
    Ok(())
}

#[tokio::test]
async fn large_bodies_are_refused() -> Result<()> {
    let weir = idle("").await?;
    let mut client = Http1::connect(weir.admin()?).await?;
    client.send("POST /reload HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000000\r\n\r\n").await?;
    let told = client.response("POST").await?;
    assert_eq!(told.status, 413);
    assert!(told.closes());
    assert_eq!(weir.metric("weir_config_reloads_total{result=\"unchanged\"}").await?, Some(0.0));
    Ok(())
}

#[tokio::test]
async fn web_pages_cannot_make_it_act_or_read_it() -> Result<()> {
    let weir = idle("").await?;
    let asked = async |method: &str, path: &str, host: &str, more: &str| -> Result<u16> {
        let mut client = Http1::connect(weir.admin()?).await?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n{more}\r\n");
        client.send(head).await?;
        Ok(client.response(method).await?.status)
    };
    assert_eq!(asked("POST", "/drain", "127.0.0.1:1", "origin: https://page.example\r\n").await?, 403);
    assert_eq!(asked("POST", "/drain", "rebound.example", "").await?, 403);
    assert_eq!(asked("GET", "/config", "rebound.example", "").await?, 403);
    // Scrapers and probes come under names.
    assert_eq!(asked("GET", "/metrics", "weir.monitoring.svc:9901", "").await?, 200);
    assert_eq!(asked("GET", "/ready", "weir.monitoring.svc", "").await?, 200);
    assert_eq!(asked("POST", "/reload", "localhost", "").await?, 200);
    Ok(())
}

#[tokio::test]
async fn one_filter_is_swapped_or_kept() -> Result<()> {
    let filters = "[filters.file]\nwasm = \"router.wasm\"\nconfig = { routes = [] }\n\
        [filters.builtin]\nwasm = \"builtin:router\"\nconfig = { routes = [] }\n";
    let config = plain(([127, 0, 0, 1], 9).into(), filters);
    let weir = Launch::new(WEIR, config).file("router.wasm", super::variant("router", 1)?).start().await?;
    let kept = weir.admin_post("/filters/builtin/swap", b"").await?.json()?;
    assert_eq!((&kept["result"], &kept["generation"]), (&"unchanged".into(), &1.into()));

    // The change may be noticed before it is asked for; it comes into force once, either way.
    weir.write_file("router.wasm", super::variant("router", 2)?)?;
    let swapped = weir.admin_post("/filters/file/swap", b"").await?.json()?;
    assert_eq!(swapped["generation"], 2);
    assert_eq!(super::shown(&weir, "/filters", "builtin").await?["generation"], 1);

    weir.write_file("router.wasm", b"nothing")?;
    let refused = weir.admin_post("/filters/file/swap", b"").await?;
    assert_eq!(refused.status, 409);
    assert_eq!(
        refused.json()?["problems"][0],
        "filters.file: not WebAssembly: does not begin with \"\\0asm\""
    );
    assert_eq!(super::shown(&weir, "/filters", "file").await?["generation"], 2);
    Ok(())
}
