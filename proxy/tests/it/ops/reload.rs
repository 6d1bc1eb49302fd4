//! Changes that come into force: however they are made, and however they are noticed.

use std::os::unix::fs::symlink;

use anyhow::Result;
use weir_testkit::{EchoOrigin, Http1, Launch, Signal, Stream, WeirProcess, eventually};

use super::{generation, reloaded};
use crate::stage::{WEIR, plain, weir};

/// Which origin answers.
async fn answering(weir: &WeirProcess) -> Result<String> {
    let told = Http1::fetch(weir.address("web")?, "/").await?.json()?;
    Ok(told["origin"].as_str().unwrap_or_default().to_owned())
}

async fn reloads(weir: &WeirProcess, result: &str) -> Result<()> {
    let series = format!("weir_config_reloads_total{{result=\"{result}\"}}");
    eventually(&series, async || (weir.metric(&series).await.ok()?? >= 1.0).then_some(())).await
}

#[tokio::test]
async fn a_file_that_is_replaced_is_noticed() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = weir(plain(one.address(), "")).await?;
    assert_eq!(answering(&weir).await?, "one");
    weir.rewrite_config(&plain(two.address(), ""))?;
    generation(&weir, 2).await?;
    assert_eq!(answering(&weir).await?, "two");
    weir.line_with("configuration read again").await?;
    reloads(&weir, "applied").await
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_noticed() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = weir(plain(one.address(), "")).await?;
    std::fs::write(weir.path("weir.toml"), plain(two.address(), ""))?;
    generation(&weir, 2).await?;
    assert_eq!(answering(&weir).await?, "two");
    Ok(())
}

#[tokio::test]
async fn a_mounted_config_map_is_noticed() -> Result<()> {
    let (one, two) = (EchoOrigin::start("one").await?, EchoOrigin::start("two").await?);
    let weir = weir(plain(one.address(), "")).await?;
    let publish = |version: &str, origin: &EchoOrigin| -> Result<()> {
        std::fs::create_dir(weir.path(version))?;
        std::fs::write(weir.path(version).join("weir.toml"), plain(origin.address(), ""))?;
        symlink(version, weir.path("..data_new"))?;
        Ok(std::fs::rename(weir.path("..data_new"), weir.path("..data"))?)
    };
    publish("..1", &one)?;
    symlink("..data/weir.toml", weir.path("link"))?;
    std::fs::rename(weir.path("link"), weir.path("weir.toml"))?;
    reloads(&weir, "unchanged").await?;
    publish("..2", &two)?;
    generation(&weir, 2).await?;
    assert_eq!(answering(&weir).await?, "two");
    publish("..3", &one)?;
    generation(&weir, 3).await?;
    assert_eq!(answering(&weir).await?, "one");
    Ok(())
}

#[tokio::test]
async fn a_signal_reads_everything_again() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    weir.signal(Signal::HUP)?;
    reloads(&weir, "unchanged").await?;
    let standing = weir.admin_get("/config").await?.json()?;
    assert_eq!(standing["generation"], 1);
    Ok(())
}

#[tokio::test]
async fn files_that_a_reload_names_are_watched_from_then_on() -> Result<()> {
    let nowhere = |more: &str| plain(([127, 0, 0, 1], 9).into(), more);
    let weir = weir(nowhere("")).await?;
    std::fs::create_dir(weir.path("filters"))?;
    std::fs::write(weir.path("filters/router.wasm"), super::variant("router", 1)?)?;
    weir.rewrite_config(&nowhere("[filters.a]\nwasm = \"filters/router.wasm\"\nconfig = { routes = [] }\n"))?;
    generation(&weir, 2).await?;
    std::fs::write(weir.path("draft"), super::variant("router", 2)?)?;
    std::fs::rename(weir.path("draft"), weir.path("filters/router.wasm"))?;
    generation(&weir, 3).await?;
    assert_eq!(super::shown(&weir, "/filters", "a").await?["generation"], 2);
    Ok(())
}

#[tokio::test]
async fn listeners_come_move_and_go() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let web = weir.address("web")?;
    let second = "[listeners.second]\naddress = \"127.0.0.1:0\"\ncluster = \"origin\"\n";
    weir.rewrite_config(&plain(origin.address(), second))?;
    generation(&weir, 2).await?;
    let listening = weir.admin_get("/listeners").await?.json()?;
    assert_eq!(listening[1]["address"], web.to_string(), "an unchanged listener stays where it is");
    assert_eq!(listening[0]["name"], "second");
    let second = listening[0]["address"].as_str().unwrap_or_default().parse()?;
    assert_eq!(Http1::fetch(second, "/").await?.status, 200);

    let renamed = plain(origin.address(), "").replace("[listeners.web]", "[listeners.local]").replace(
        "[listeners.local]\naddress = \"127.0.0.1:0\"",
        "[listeners.local]\naddress = \"unix:{dir}/weir.sock\"",
    );
    weir.rewrite_config(&renamed)?;
    generation(&weir, 3).await?;
    assert_eq!(Http1::connect_unix(&weir.path("weir.sock")).await?.get("/").await?.status, 200);
    for gone in [web, second] {
        let what = format!("{gone} being closed");
        eventually(&what, async || Stream::connect(gone).await.is_err().then_some(())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_became_of_a_reload_is_answered() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let before = plain(origin.address(), "");
    let weir = weir(before.clone()).await?;
    let (status, told) = reloaded(&weir).await?;
    assert_eq!((status, &told["result"]), (200, &"unchanged".into()));

    // Whoever is first, the watch or this, applies it; the other finds nothing to do.
    let filter = "[filters.a]\nwasm = \"builtin:router\"\nconfig = { routes = [] }\n";
    weir.rewrite_config(&plain(origin.address(), filter))?;
    let (status, told) = reloaded(&weir).await?;
    assert_eq!((status, &told["generation"]), (200, &2.into()), "{told}");
    if told["result"] == "applied" {
        assert_eq!(told["changes"]["filters"]["added"][0], "a");
        assert_eq!(told["swapped"][0], "a");
    }
    assert_eq!(told["warnings"][0]["key"], "filters.a", "{told}");
    Ok(())
}

#[tokio::test]
async fn what_needs_a_restart_is_said() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let before = plain(origin.address(), "");
    let weir = weir(before.clone()).await?;
    weir.rewrite_config(&before.replace("count = 2", "count = 3"))?;
    generation(&weir, 2).await?;
    weir.line_with("comes into force with a restart only").await?;
    let needed =
        async || -> Result<_> { Ok(weir.admin_get("/config").await?.json()?["restart_needed"].clone()) };
    assert_eq!(needed().await?, serde_json::json!(["workers"]));
    weir.rewrite_config(&before)?;
    generation(&weir, 3).await?;
    assert_eq!(needed().await?, serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn the_log_level_changes_with_the_configuration() -> Result<()> {
    let config =
        |level: &str| plain(([127, 0, 0, 1], 9).into(), &format!("[telemetry]\nlog = \"{level}\"\n"));
    let weir = weir(config("off")).await?;
    assert_eq!(weir.stderr(), Vec::<String>::new());
    weir.rewrite_config(&config("info"))?;
    weir.line_with("configuration read again").await?;
    weir.rewrite_config(&config("off"))?;
    generation(&weir, 3).await?;
    let lines = weir.stderr().len();
    weir.signal(Signal::HUP)?;
    reloads(&weir, "unchanged").await?;
    assert_eq!(weir.stderr().len(), lines, "{:?}", weir.stderr());
    Ok(())
}

#[tokio::test]
async fn the_log_can_be_json() -> Result<()> {
    let launch = Launch::new(WEIR, plain(([127, 0, 0, 1], 9).into(), ""));
    let weir = launch.argument("--log-format").argument("json").start().await?;
    let line = weir.line_with("\"listening\"").await?;
    let told: serde_json::Value = serde_json::from_str(&line)?;
    assert_eq!((&told["level"], &told["listener"]), (&"INFO".into(), &"web".into()));
    Ok(())
}
