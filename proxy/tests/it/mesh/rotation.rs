//! SVIDs and bundles that are renewed while requests flow, on new connections and on kept ones.

use std::time::Duration;

use anyhow::Result;
use weir_testkit::{Ca, EchoOrigin, Http1, LoadPlan, WeirProcess};

use super::{OWN, counted, mesh, own, start};

/// How often files are rewritten, and what lies between two times.
const TIMES: usize = 25;
const BETWEEN: Duration = Duration::from_millis(100);

/// Two proxies: plain text goes in at the first, mTLS is spoken between them. The second ends each connection
/// after a few requests, so that handshakes never cease.
struct Pair {
    near: WeirProcess,
    far: WeirProcess,
    _origin: EchoOrigin,
}

impl Pair {
    async fn start(ca: &Ca) -> Result<Self> {
        let origin = EchoOrigin::start("origin").await?;
        let listener =
            format!("tls = {{ identity = \"own\", peers = [\"{OWN}\"] }}\nlimits = {{ requests = 7 }}");
        let far = start(mesh(origin.address(), &listener, ""), ca).await?;
        let cluster = format!("tls = {{ identity = \"own\", expect = [\"{OWN}\"] }}\nprotocol = \"h1\"");
        let near = start(mesh(far.address("web")?, "", &cluster), ca).await?;
        Ok(Self { near, far, _origin: origin })
    }

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
