//! The steps, in order. Each checks what a user would see, and tells it in a line.

use std::{future::Future, pin::Pin, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use weir_testkit::{LoadPlan, Response, eventually};

use crate::stage::{Stage, configuration};

type Step = fn(&mut Stage) -> Pin<Box<dyn Future<Output = Result<String>> + '_>>;

/// Name and step.
pub(crate) const ALL: [(&str, Step); 6] = [
    ("routing", |stage| Box::pin(routing(stage))),
    ("tokens", |stage| Box::pin(tokens(stage))),
    ("canary", |stage| Box::pin(canary(stage))),
    ("breaker opens", |stage| Box::pin(breaker_opens(stage))),
    ("breaker closes", |stage| Box::pin(breaker_closes(stage))),
    ("live swap", |stage| Box::pin(live_swap(stage))),
];

async fn routing(stage: &Stage) -> Result<String> {
    let about = stage.get("/about", &[]).await?;
    status(&about, 200)?;
    ensure!(about.text().contains("This is Weir"), "/about said {:?}", about.text());
    let nowhere = stage.get("/nowhere", &[]).await?;
    status(&nowhere, 404)?;
    let users = authorized(stage, "ann").await?;
    status(&users, 200)?;
    Ok("/about is answered by the router, /users goes to the service, /nowhere is 404".into())
}

async fn tokens(stage: &Stage) -> Result<String> {
    status(&stage.get("/users", &[]).await?, 401)?;
    let good = stage.secret.token("ann", 600)?;
    let late = stage.secret.token("ann", -600)?;
    let foreign = crate::token::Secret::new()?.token("ann", 600)?;
    for (name, token) in
        [("expired", &late), ("foreign", &foreign), ("broken", &good[..good.len() - 2].to_owned())]
    {
        let refused = stage.get("/users", &[("Authorization", &format!("Bearer {token}"))]).await?;
        status(&refused, 401).with_context(|| format!("a token that is {name}"))?;
    }
    let accepted = stage.get("/users", &[("Authorization", &format!("Bearer {good}"))]).await?;
    status(&accepted, 200)?;
    Ok("no token, an expired, a foreign and a broken one are refused (401); a good one passes".into())
}

/// Users asked for in the canary step; with a tenth of them on version 2, 60 to 140 are six standard
/// deviations either way.
const USERS: u32 = 1000;

async fn canary(stage: &Stage) -> Result<String> {
    let second = second_version(stage, USERS).await?;
    ensure!((40..=160).contains(&second), "{second} of {USERS} users came to version 2");
    for user in ["ann", "bob", "cleo"] {
        let first = authorized(stage, user).await?.text();
        for _ in 0..10 {
            ensure!(authorized(stage, user).await?.text() == first, "{user} saw two versions");
        }
    }
    let bearer = format!("Bearer {}", stage.secret.token("tester", 600)?);
    for version in ["v1", "v2"] {
        let response = stage.get("/users", &[("Authorization", &bearer), ("X-Version", version)]).await?;
        ensure!(
            response.text().starts_with(version),
            "{version} was asked for, and {:?} came",
            response.text()
        );
    }
    Ok(format!("{second} of {USERS} users see version 2, each always the same; who asks for one gets it"))
}

/// How many of so many users are sent to version 2.
async fn second_version(stage: &Stage, users: u32) -> Result<u32> {
    let bearer = format!("Bearer {}", stage.secret.token("many", 600)?);
    let mut client = weir_testkit::Http1::connect(stage.front()?).await?;
    let mut second = 0;
    for user in 0..users {
        let fields = [("Authorization", bearer.as_str()), ("X-User", &format!("user-{user}"))];
        let response = client.request("GET", "/users", &fields, b"").await?;
        status(&response, 200)?;
        second += u32::from(response.text().starts_with("v2"));
    }
    Ok(second)
}

async fn breaker_opens(stage: &Stage) -> Result<String> {
    stage.fail(true).await?;
    for sent in 1..=200 {
        let response = authorized(stage, "ann").await?;
        if response.status == 503 {
            let after = response.field("retry-after").context("503 without Retry-After")?.to_owned();
            let before = stage.v1.requests() + stage.v2.requests();
            status(&authorized(stage, "ann").await?, 503)?;
            let asked = stage.v1.requests() + stage.v2.requests() - before;
            ensure!(asked == 0, "the service was asked while the breaker was open");
            return Ok(format!(
                "after {} failures 503, Retry-After: {after}; the service is left alone",
                sent - 1
            ));
        }
        status(&response, 500)?;
    }
    bail!("200 failures, and the breaker is still closed")
}

async fn breaker_closes(stage: &Stage) -> Result<String> {
    stage.fail(false).await?;
    // The probe's caller has its answer a moment before the breaker hears how the probe went.
    let closed = eventually("the breaker closing", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for _ in 0..20 {
            authorized(stage, "ann").await.ok().filter(|response| response.status == 200)?;
        }
        Some(())
    });
    closed.await?;
    Ok("one request is let through as a probe, succeeds, and traffic flows again".into())
}

async fn live_swap(stage: &mut Stage) -> Result<String> {
    let bearer = format!("Bearer {}", stage.secret.token("load", 600)?);
    let fields = [("Authorization", bearer.as_str()), ("X-User", "load")];
    let load = LoadPlan::new(stage.front()?, "/users").get("/users", &fields).start();
    load.passed(200).await?;
    let before = configuration(stage.v1.address(), stage.v2.address());
    let after = before.replace("weight = 90", "weight = 20").replace("weight = 10", "weight = 80");
    ensure!(before != after, "the configuration has other weights than the demo expects");
    stage.weir.rewrite_config(&after)?;
    let moved = eventually("the new weights", async || match second_version(stage, 200).await {
        Ok(second) if second < 100 => None,
        other => Some(other),
    });
    let second = moved.await??;
    load.passed(200).await?;
    let report = load.stop().await?;
    report.all_ok()?;
    Ok(format!(
        "weights 90/10 became 20/80 ({second} of 200 users), {} requests meanwhile, none failed",
        report.ok
    ))
}

async fn authorized(stage: &Stage, user: &str) -> Result<Response> {
    let bearer = format!("Bearer {}", stage.secret.token(user, 600)?);
    stage.get("/users", &[("Authorization", &bearer), ("X-User", user)]).await
}

fn status(response: &Response, wanted: u16) -> Result<()> {
    ensure!(response.status == wanted, "{} instead of {wanted}: {}", response.status, response.text());
    Ok(())
}
