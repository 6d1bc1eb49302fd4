//! `builtin:jwt` and `builtin:api-key` in the real proxy: who gets in, who does not, and keys that change.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use weir_testkit::{EchoOrigin, Http1, Launch, LoadPlan, Response, WeirProcess};

use super::{
    chain, number, received,
    token::{Signer, jwks, message, part, sha256},
    told, until_told,
};
use crate::stage::{WEIR, weir};

const LOGIN: &str = "[filters.login]\nwasm = \"builtin:jwt\"\ndata = { jwks = { file = \"{dir}/jwks.json\" } }\n\
    [filters.login.config]\nissuer = \"https://idp.test\"\naudience = \"users\"\n\
    facts = { subject = \"sub\" }\nheaders = { x-user = \"sub\" }\nforward = false\n";

async fn login(origin: &EchoOrigin, keys: &str) -> Result<(WeirProcess, Http1)> {
    let config = chain(origin.address(), &["login"], LOGIN);
    let weir = Launch::new(WEIR, config).file("jwks.json", keys).start().await?;
    let client = Http1::connect(weir.address("web")?).await?;
    Ok((weir, client))
}

async fn bearing(client: &mut Http1, token: &str) -> Result<Response> {
    client.request("GET", "/", &[("authorization", &format!("Bearer {token}")), ("x-user", "eve")], b"").await
}

#[tokio::test]
async fn only_a_token_that_is_right_in_every_way_gets_in() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let (ours, theirs) = (Signer::new("k1")?, Signer::new("k1")?);
    let (weir, mut client) = login(&origin, &jwks(&[&ours])).await?;
    let good = ours.token("ann", 600)?;
    let told = bearing(&mut client, &good).await?;
    assert_eq!((told.status, received(&told, "x-user")?.as_deref()), (200, Some("ann")));
    assert_eq!(received(&told, "authorization")?, None, "the token is cut out");
    let none = message(json!({ "alg": "none" }), "eve", 600)? + ".";
    // The public key, used as a secret.
    let confused = message(json!({ "alg": "HS256", "kid": "k1" }), "eve", 600)?;
    let secret = ours.jwk()["x"].as_str().unwrap_or_default().to_owned();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let confused = format!("{confused}.{}", part(aws_lc_rs::hmac::sign(&key, confused.as_bytes())));
    let forged = theirs.token("eve", 600)?;
    for (what, token) in [
        ("expired", ours.token("ann", -600)?),
        ("foreign", forged),
        ("without algorithm", none),
        ("confused", confused),
        ("cut short", good[..good.len() - 2].to_owned()),
        ("no token", "x".to_owned()),
    ] {
        let refused = bearing(&mut client, &token).await?;
        assert_eq!(refused.status, 401, "{what}");
        assert!(refused.field("www-authenticate").is_some_and(|f| f.starts_with("Bearer")), "{what}");
    }
    assert_eq!(client.get("/").await?.status, 401);
    assert_eq!(origin.requests(), 1);
    // Told again, each is remembered: no crossing, no signature check.
    let before = number(&self::told(&weir, "login").await?, "/calls/request");
    let checked = weir.metric("weir_filter_signatures_checked_total{filter=\"login\"}").await?;
    for _ in 0..5 {
        assert_eq!(bearing(&mut client, &good).await?.status, 200);
    }
    assert_eq!(number(&self::told(&weir, "login").await?, "/calls/request"), before);
    assert_eq!(weir.metric("weir_filter_signatures_checked_total{filter=\"login\"}").await?, checked);
    Ok(())
}

#[tokio::test]
async fn keys_rotate_while_traffic_flows() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let (old, new) = (Signer::new("old")?, Signer::new("new")?);
    let (weir, mut client) = login(&origin, &jwks(&[&old])).await?;
    let version = async |n: u64| {
        until_told(&weir, "login", "the new keys", |told| number(told, "/data/0/version") == n).await
    };
    let bearer = format!("Bearer {}", old.token("ann", 600)?);
    let load = LoadPlan::new(weir.address("web")?, "/")
        .between(Duration::from_millis(1))
        .get("/", &[("authorization", &bearer)])
        .start();
    load.passed(20).await?;
    assert_eq!(bearing(&mut client, &new.token("ben", 600)?).await?.status, 401);
    weir.write_file("jwks.json", jwks(&[&old, &new]))?;
    version(2).await?;
    load.passed(20).await?;
    assert_eq!(bearing(&mut client, &new.token("ben", 600)?).await?.status, 200);
    load.stop().await?.all_ok()?;
    weir.write_file("jwks.json", jwks(&[&new]))?;
    version(3).await?;
    assert_eq!(bearing(&mut client, &new.token("cho", 600)?).await?.status, 200);
    let gone = client.request("GET", "/", &[("authorization", &bearer)], b"").await?;
    assert_eq!(gone.status, 401, "what was remembered of the old key is forgotten");
    // An empty set would lock everybody out: it is refused, and the keys known before stay.
    weir.write_file("jwks.json", "{\"keys\":[]}")?;
    assert_eq!(weir.admin_post("/reload", b"").await?.status, 409);
    assert_eq!(bearing(&mut client, &new.token("dan", 600)?).await?.status, 200);
    assert_eq!(number(&told(&weir, "login").await?, "/generation"), 1);
    Ok(())
}

#[tokio::test]
async fn api_keys_open_what_they_are_for() -> Result<()> {
    let origin = EchoOrigin::start("origin").await?;
    let config = format!(
        "[filters.partners]\nwasm = \"builtin:api-key\"\n[filters.partners.config]\nheaders = {{ x-partner = \"client\" }}\n\
         [filters.partners.config.keys]\nacme = \"sha256:{}\"\nold = {{ sha256 = \"{}\", enabled = false }}\n\
         reports = {{ sha256 = \"{}\", paths = [\"/reports\"] }}\n",
        sha256("acme-key"),
        sha256("old-key"),
        sha256("reports-key"),
    );
    let weir = weir(chain(origin.address(), &["partners"], &config)).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for (key, path, status) in [
        ("acme-key", "/", 200),
        ("wrong", "/", 401),
        ("old-key", "/", 403),
        ("reports-key", "/reports/7", 200),
        ("reports-key", "/reportsx", 403),
        ("reports-key", "/reports/%2e%2e/users", 403),
    ] {
        let fields = [("x-api-key", key), ("x-partner", "forged")];
        let told = client.request("GET", path, &fields, b"").await?;
        assert_eq!(told.status, status, "{key} {path}: {}", told.text());
        if status == 200 {
            let partner = received(&told, "x-partner")?;
            assert_eq!(partner.as_deref(), key.strip_suffix("-key"), "{key}");
            assert_eq!(received(&told, "x-api-key")?, None);
        }
    }
    assert_eq!(client.get("/").await?.status, 401);
    Ok(())
}
