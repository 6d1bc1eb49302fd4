//! Data of filters: files that change, addresses that are fetched, and what is refused.

use anyhow::{Context, Result};
use weir_testkit::{EchoOrigin, Launch, WeirProcess, eventually};

use super::{both_workers, chain, number, puppet, received, told, until_told};
use crate::stage::WEIR;

const WORD: &str = "data = { word = { file = \"{dir}/word\" } }";

async fn with_word(origin: &EchoOrigin, word: &str) -> Result<WeirProcess> {
    let config = chain(origin.address(), &["a"], &puppet("a", "", WORD)?);
    Launch::new(WEIR, config).file("word", word).start().await
}

/// What each worker's instance knows, remembered for a minute.
async fn words(weir: &WeirProcess) -> Result<[String; 2]> {
    let mut words = [String::new(), String::new()];
    for (client, word) in both_workers(weir).await?.iter_mut().zip(&mut words) {
        let told = client.request("GET", "/", &[("x-a", "keep 60000; data word")], b"").await?;
        *word = received(&told, "x-a-data")?.context("nothing told")?;
    }
    Ok(words)
}

#[tokio::test]
async fn a_changed_file_reaches_every_instance_and_ends_what_was_remembered() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = with_word(&origin, "one").await?;
    assert_eq!(words(&weir).await?, ["one", "one"]);
    weir.write_file("word", "two")?;
    until_told(&weir, "a", "the new word", |told| told["data"][0]["version"] == 2).await?;
    assert_eq!(words(&weir).await?, ["two", "two"]);
    let now = told(&weir, "a").await?;
    assert_eq!((number(&now, "/generation"), number(&now, "/calls/update")), (1, 2), "{now}");
    let applied = "weir_filter_data_total{filter=\"a\",result=\"applied\"}";
    assert_eq!(weir.metric(applied).await?, Some(1.0));
    let config = weir.admin_get("/config").await?.json()?;
    assert_eq!((number(&config, "/generation"), number(&config, "/snapshots")), (1, 1), "{config}");
    Ok(())
}

#[tokio::test]
async fn data_that_a_filter_refuses_or_breaks_on_reach_no_instance() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = with_word(&origin, "one").await?;
    for (bad, reason) in [("refuse", "these data are refused"), ("trap", "trapped")] {
        weir.write_file("word", bad)?;
        let told = weir.admin_post("/reload", b"").await?;
        assert_eq!(told.status, 409, "{}", told.text());
        assert!(
            told.text().contains("filters.a.data.word") && told.text().contains(reason),
            "{}",
            told.text()
        );
        assert_eq!(words(&weir).await?, ["one", "one"], "{bad}");
    }
    std::fs::remove_file(weir.path("word"))?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 409);
    let now = told(&weir, "a").await?;
    assert_eq!((&now["faults"], number(&now, "/instances")), (&serde_json::json!({}), 2), "{now}");
    let refused = weir.metric("weir_filter_data_total{filter=\"a\",result=\"refused\"}").await?;
    assert!(refused >= Some(2.0), "{refused:?}");
    weir.write_file("word", "three")?;
    until_told(&weir, "a", "the new word", |told| told["data"][0]["version"] == 2).await?;
    assert_eq!(words(&weir).await?, ["three", "three"]);
    Ok(())
}

#[tokio::test]
async fn a_file_that_changes_together_with_the_config_comes_with_the_new_generation() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = with_word(&origin, "one").await?;
    weir.write_file("word", "two")?;
    let config = chain(origin.address(), &["a"], &puppet("a", "body_limit = 7", WORD)?);
    weir.rewrite_config(&config)?;
    until_told(&weir, "a", "the new generation", |told| told["generation"] == 2).await?;
    assert_eq!(words(&weir).await?, ["two", "two"]);
    Ok(())
}

fn fetched_every(origin: &EchoOrigin, idp: &EchoOrigin, refresh: &str) -> Result<String> {
    let data = format!(
        "data = {{ word = {{ url = \"http://idp.test/w?x=1\", cluster = \"idp\", refresh = \"{refresh}\" }} }}"
    );
    let idp = format!("[clusters.idp]\nendpoints = [{{ address = \"{}\" }}]\n", idp.address());
    Ok(chain(origin.address(), &["a"], &(puppet("a", "", &data)? + &idp)))
}

#[tokio::test]
async fn an_address_is_fetched_before_the_first_request_and_again_and_again() -> Result<()> {
    let (origin, idp) = (EchoOrigin::start("one").await?, EchoOrigin::start("idp").await?);
    let weir = Launch::new(WEIR, fetched_every(&origin, &idp, "1s")?).start().await?;
    let first = words(&weir).await?;
    for part in ["[\"host\",\"idp.test\"]", "\"path\":\"/w?x=1\"", "\"method\":\"GET\""] {
        assert!(first[0].contains(part), "{part} in {first:?}");
    }
    assert_eq!(first[0], first[1]);
    until_told(&weir, "a", "a second fetch", |told| told["data"][0]["version"] == 2).await?;
    assert!(words(&weir).await?.iter().all(|word| *word != first[0] && word.contains("idp.test")));
    assert_eq!(number(&told(&weir, "a").await?, "/generation"), 1);

    idp.fail(true);
    let failed = "weir_filter_data_total{filter=\"a\",result=\"failed\"}";
    let twice = async || weir.metric(failed).await.ok().flatten().filter(|failed| *failed >= 2.0);
    eventually("failed fetches", twice).await?;
    weir.line_with("answered with status 500").await?;
    let kept = words(&weir).await?;
    assert!(kept[0].contains("idp.test"), "{kept:?}");
    let version = number(&told(&weir, "a").await?, "/data/0/version");
    idp.fail(false);
    until_told(&weir, "a", "the data back", |told| number(told, "/data/0/version") > version).await?;
    Ok(())
}

#[tokio::test]
async fn a_start_without_the_address_goes_on_and_a_reload_that_names_a_dead_one_is_refused() -> Result<()> {
    let (origin, idp) = (EchoOrigin::start("one").await?, EchoOrigin::start("idp").await?);
    idp.fail(true);
    let weir = Launch::new(WEIR, fetched_every(&origin, &idp, "1h")?).start().await?;
    weir.line_with("a filter begins without its data").await?;
    assert_eq!(words(&weir).await?, ["-", "-"]);
    idp.fail(false);
    until_told(&weir, "a", "the first data", |told| told["data"][0]["version"] == 1).await?;

    let elsewhere = fetched_every(&origin, &idp, "1h")?.replace("/w?x=1", "/status/404");
    weir.rewrite_config(&elsewhere)?;
    let told = weir.admin_post("/reload", b"").await?;
    assert!(told.status == 409 && told.text().contains("answered with status 404"), "{}", told.text());

    // What is known of a place is kept when only its pace changes.
    let slower = fetched_every(&origin, &idp, "2h")?;
    idp.fail(true);
    weir.rewrite_config(&slower)?;
    until_told(&weir, "a", "the new generation", |told| told["generation"] == 2).await?;
    assert!(words(&weir).await?[0].contains("idp.test"));
    Ok(())
}
