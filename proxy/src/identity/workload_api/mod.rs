//! SVIDs from an agent: the SPIFFE Workload API, of which one call is enough.
//!
//! `FetchX509SVID` answers with what there is and goes on to tell of every change. When the agent goes away, what
//! came last stays in force, and the call is made again, ever less often. Why this is spoken by hand:
//! `docs/decisions/0006-workload-api-by-hand.md`.

mod fetch;
mod message;

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use weir_balance::{Backoff, Jitter, Wyrand};
use weir_config::spiffe::SpiffeId;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Identity, Svid,
    svid::{Material, leaf},
};
use message::{X509Svid, X509Svids};

/// Between calls of an agent that is away or has nothing for us. It may be back any moment, and a call over a Unix
/// socket costs next to nothing.
const AGAIN: Backoff =
    Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5), jitter: Jitter::Half };

/// Keeps an identity as fresh as the agent at `socket` does, for ever. With `wanted`, only the SVID of that name
/// counts; else the first, which is the agent's choice for us.
pub async fn follow(identity: Arc<Identity>, socket: &Path, wanted: Option<&SpiffeId>) {
    let mut random = Wyrand::new(RandomState::new().hash_one(identity.name()));
    let mut failures: u32 = 0;
    let mut told = None;
    loop {
        let mut take = |svids: X509Svids| {
            match svid(svids, wanted) {
                Ok(svid) => {
                    (failures, told) = (0, None);
                    // An agent begins with what there is, also when it is called again.
                    if identity.current().is_none_or(|current| current.digest() != svid.digest()) {
                        identity.adopt(Arc::new(svid));
                    }
                }
                Err(reason) => fail(&identity, &mut told, reason),
            }
        };
        let reason = fetch::follow(socket, &mut take).await;
        fail(&identity, &mut told, reason);
        failures += 1;
        tokio::time::sleep(AGAIN.wait(failures, &mut random)).await;
    }
}

/// Said once, as long as it stays the same.
fn fail(identity: &Identity, told: &mut Option<String>, reason: String) {
    identity.failed(&reason);
    if told.as_ref() != Some(&reason) {
        tracing::warn!(
            identity = &**identity.name(),
            reason,
            "no SVID from the agent; what is in force stays"
        );
        *told = Some(reason);
    }
}

fn svid(svids: X509Svids, wanted: Option<&SpiffeId>) -> Result<Svid, String> {
    let X509Svids { svids, federated } = svids;
    let is_wanted = |svid: &X509Svid| wanted.is_none_or(|wanted| svid.id == wanted.as_str());
    let count = svids.len();
    let Some(chosen) = svids.into_iter().find(is_wanted) else {
        return Err(match wanted {
            Some(wanted) if count > 0 => format!("none of the agent's {count} SVIDs is that of {wanted}"),
            _ => "the agent has no SVID for this process".to_owned(),
        });
    };
    let chain = certificates(&chosen.chain)?;
    let named = chain.first().ok_or("the agent sent no certificate")?;
    let named = leaf(named).map_err(|reason| format!("the agent sent no SVID of a workload: {reason}"))?;
    if named.id.as_str() != chosen.id {
        return Err(format!(
            "the agent sent the SVID of {} as that of {}",
            named.id,
            chosen.id.escape_debug()
        ));
    }
    let federated = federated.into_iter().map(|(domain, bundle)| {
        let domain = domain.strip_prefix("spiffe://").unwrap_or(&domain).trim_end_matches('/').into();
        Ok((domain, certificates(&bundle)?))
    });
    let material = Material {
        chain,
        key: PrivatePkcs8KeyDer::from(chosen.key).into(),
        bundle: certificates(&chosen.bundle)?,
        federated: federated.collect::<Result<_, String>>()?,
    };
    Svid::new(material, wanted).map_err(|fault| format!("what the agent sent {fault}"))
}

/// Certificates that follow each other, each telling its own length (X.690 8.1.3).
fn certificates(mut der: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    while !der.is_empty() {
        let (rest, _) = X509Certificate::from_der(der)
            .map_err(|_| "the agent sent a certificate that is malformed".to_owned())?;
        all.push(CertificateDer::from(der[..der.len() - rest.len()].to_vec()));
        der = rest;
    }
    Ok(all)
}
