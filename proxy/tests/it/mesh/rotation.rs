//! SVIDs and bundles that are renewed while requests flow, on new connections and on kept ones.

use std::time::Duration;

use anyhow::{Context, Result};
use weir_testkit::{Ca, EchoOrigin, Http1, Leaf, LoadPlan, RawOrigin, Stream, WeirProcess, Wire, eventually};

use super::{HOST, OWN, counted, mesh, own, start};

/// How often files are rewritten, and what lies between two times.
const TIMES: usize = 25;
const BETWEEN: Duration = Duration::from_millis(100);

/// Two proxies: plain text goes in at the first, mTLS is spoken between them. By way of `web` the second ends each
/// connection after a few requests, so that handshakes never cease; by way of `kept` it keeps them.
struct Pair {
    near: WeirProcess,
    far: WeirProcess,
    /// Tells whoever comes by way of the first one's `seen` what that has shown.
    _observer: RawOrigin,
    _origin: EchoOrigin,
}

impl Pair {
    async fn start(ca: &Ca) -> Result<Self> {
        let origin = EchoOrigin::start("origin").await?;
        let tls = format!("tls = {{ identity = \"own\", peers = [\"{OWN}\"] }}");
        let kept = listener("kept", &format!("cluster = \"origin\"\n{tls}"));
        let config = mesh(origin.address(), &format!("{tls}\nlimits = {{ requests = 7 }}"), "");
        let far = start(config + &kept, ca).await?;

        let observer = RawOrigin::start(Some(ca.mutual_server(&own(ca)?, &[])?), |wire| async {
            let stream = wire.into_stream();
            let shown = stream.peer_certificates().first().context("a certificate")?.to_vec();
            let mut wire = Wire::new(stream);
            wire.write(&shown).await?;
            wire.finish().await
        })
        .await?;
        let tls = format!("tls = {{ identity = \"own\", expect = [\"{OWN}\"] }}");
        let mut config = mesh(far.address("web")?, "", &format!("{tls}\nprotocol = \"h1\""));
        config += &listener("kept", "cluster = \"kept\"");
        config += &listener("seen", "cluster = \"seen\"\nprotocol = \"tcp\"");
        for (name, address) in [("kept", far.address("kept")?), ("seen", observer.address())] {
            config += &format!("[clusters.{name}]\nendpoints = [{{ address = \"{address}\" }}]\n{tls}\n");
        }
        let near = start(config, ca).await?;
        Ok(Self { near, far, _observer: observer, _origin: origin })
    }

    /// What the proxies show now, the first one to those it calls, the second one to its callers.
    async fn shown(&self, ca: &Ca) -> Result<[Vec<u8>; 2]> {
        let near = Wire::new(Stream::connect(self.near.address("seen")?).await?).to_end().await?;
        let tls = ca.client(&[], Some(&own(ca)?))?;
        let far = Stream::connect_tls(self.far.address("kept")?, tls, HOST).await?;
        Ok([near, far.peer_certificates().first().context("a certificate")?.to_vec()])
    }

    /// By way of `web`.
    async fn handshakes(&self) -> Result<f64> {
        let mut sum = 0.0;
        for result in ["full", "resumed"] {
            let series = format!("weir_tls_handshakes_total{{listener=\"web\",result=\"{result}\"}}");
            sum += self.far.metric(&series).await?.unwrap_or(0.0);
        }
        Ok(sum)
    }

    async fn renewals(&self) -> Result<[f64; 2]> {
        let series = "weir_identity_svids_total{identity=\"own\"}";
        Ok([self.near.metric(series).await?.unwrap_or(0.0), self.far.metric(series).await?.unwrap_or(0.0)])
    }
}

#[tokio::test]
async fn not_one_request_fails_while_certificates_are_rewritten() -> Result<()> {
    let ca = Ca::new()?;
    let pair = Pair::start(&ca).await?;
    let load = LoadPlan::new(pair.near.address("web")?, "/").between(Duration::from_millis(1)).start();
    for time in 0..TIMES {
        for weir in [&pair.near, &pair.far] {
            let svid = own(&ca)?;
            // The certificate first and the key first in turn, at times with a pause between: whoever reads then
            // finds what does not belong together.
            let files = [("svid.pem", svid.pem()), ("svid.key", svid.key_pem())];
            let (first, second) = if time % 2 == 0 { (0, 1) } else { (1, 0) };
            weir.write_file(files[first].0, &files[first].1)?;
            if time % 3 == 0 {
                tokio::time::sleep(BETWEEN / 4).await;
            }
            weir.write_file(files[second].0, &files[second].1)?;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    load.passed(50).await?;
    let report = load.stop().await?;
    report.all_ok()?;
    let (handshakes, [near, far]) = (pair.handshakes().await?, pair.renewals().await?);
    assert!(near >= 3.0 && far >= 3.0, "{near} and {far} renewals");
    assert!(handshakes > near + far, "{handshakes} handshakes for {} requests", report.ok);
    Ok(())
}

/// For how many seconds certificates are renewed in each: more by WEIR_ROTATION_SECONDS.
fn seconds() -> Result<u32> {
    match std::env::var("WEIR_ROTATION_SECONDS") {
        Ok(text) => text.parse().context("WEIR_ROTATION_SECONDS"),
        Err(_) => Ok(4),
    }
}

#[tokio::test]
async fn with_a_new_certificate_each_second_nothing_fails_and_the_newest_is_shown() -> Result<()> {
    let ca = Ca::new()?;
    let pair = Pair::start(&ca).await?;
    let both = [&pair.near, &pair.far];
    let direct = LoadPlan::new(pair.far.address("kept")?, "/");
    let plans = [
        LoadPlan::new(pair.near.address("web")?, "/"),
        LoadPlan::new(pair.near.address("kept")?, "/"),
        direct.tls(ca.client(&["http/1.1"], Some(&own(&ca)?))?, HOST),
    ];
    let loads = plans.map(|plan| plan.connections(2).between(Duration::from_millis(1)).start());
    let mut newest: Vec<Leaf> = Vec::new();
    for _ in 0..seconds()? {
        newest = both.iter().map(|_| own(&ca)).collect::<Result<_>>()?;
        for (weir, svid) in both.iter().zip(&newest) {
            weir.write_file("svid.key", svid.key_pem())?;
            weir.write_file("svid.pem", svid.pem())?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        for load in &loads {
            load.passed(1).await?;
        }
    }
    let newest: Vec<Vec<u8>> = newest.iter().map(|svid| svid.der().to_vec()).collect();
    eventually("the newest certificates", async || (pair.shown(&ca).await.ok()? == newest[..]).then_some(()))
        .await?;
    for load in loads {
        load.passed(20).await?;
        load.stop().await?.all_ok()?;
    }
    let (handshakes, renewals) = (pair.handshakes().await?, pair.renewals().await?);
    assert!(renewals.iter().all(|count| *count >= 2.0), "{renewals:?} renewals");
    assert!(handshakes > renewals[1], "{handshakes} handshakes for {renewals:?} renewals");
    Ok(())
}

#[tokio::test]
async fn an_authority_is_replaced_by_another_without_a_failure() -> Result<()> {
    let (old, new) = (Ca::new()?, Ca::new()?);
    let pair = Pair::start(&old).await?;
    let load = LoadPlan::new(pair.near.address("web")?, "/").between(Duration::from_millis(1)).start();
    let svids = "weir_identity_svids_total{identity=\"own\"}";
    load.passed(20).await?;
    let both = [&pair.near, &pair.far];
    // Both are believed, then SVIDs of the new one come, then the old one is gone.
    for weir in both {
        weir.write_file("bundle.pem", old.pem() + &new.pem())?;
    }
    for weir in both {
        counted(weir, svids, 2.0).await?;
    }
    load.passed(20).await?;
    for weir in both {
        let svid = own(&new)?;
        weir.write_file("svid.pem", svid.pem())?;
        weir.write_file("svid.key", svid.key_pem())?;
    }
    for weir in both {
        counted(weir, svids, 3.0).await?;
    }
    load.passed(20).await?;
    for weir in both {
        weir.write_file("bundle.pem", new.pem())?;
    }
    for weir in both {
        counted(weir, svids, 4.0).await?;
    }
    load.passed(20).await?;
    load.stop().await?.all_ok()
}

#[tokio::test]
async fn files_that_do_not_fit_keep_the_svid_in_force_and_are_told() -> Result<()> {
    let ca = Ca::new()?;
    let pair = Pair::start(&ca).await?;
    let failures = "weir_identity_failures_total{identity=\"own\"}";
    let next = own(&ca)?;
    pair.far.write_file("svid.pem", next.pem())?;
    counted(&pair.far, failures, 1.0).await?;
    pair.far.line_with("identities.own: ").await?;
    assert_eq!(Http1::fetch(pair.near.address("web")?, "/").await?.status, 200);
    pair.far.write_file("svid.key", next.key_pem())?;
    counted(&pair.far, "weir_identity_svids_total{identity=\"own\"}", 2.0).await?;
    assert_eq!(Http1::fetch(pair.near.address("web")?, "/").await?.status, 200);
    Ok(())
}

/// A listener with these keys.
fn listener(name: &str, keys: &str) -> String {
    format!("[listeners.{name}]\naddress = \"127.0.0.1:0\"\n{keys}\n\n")
}
