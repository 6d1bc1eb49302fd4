//! Identities of a snapshot: the same ones through all configurations that name them, so that whoever shows one
//! need not be made anew when it is renewed or comes from elsewhere.

use std::sync::Arc;

use weir_config::checked::{self, Config, IdentitySource};

use super::{Renewal, Snapshot};
use crate::{
    identity::Identity,
    telemetry::metrics::Metrics,
    tls::{TlsError, read_svid},
};

/// The identities of a configuration, with what their files hold now.
pub(super) struct Identities {
    /// In config's order.
    pub(super) all: Vec<Arc<Identity>>,
    /// To be adopted together with the snapshot.
    pub(super) renewals: Vec<Renewal>,
    /// By place.
    pub(super) failed: Vec<(String, TlsError)>,
}

impl Identities {
    /// Takes over from `before` by name.
    pub(super) fn prepare(config: &Config, before: Option<&Snapshot>, metrics: &Metrics) -> Self {
        let (mut all, mut renewals, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for spec in &config.identities {
            let known = before.and_then(|b| b.identities.iter().find(|known| *known.name() == spec.name));
            let identity = known.cloned().unwrap_or_else(|| {
                Arc::new(Identity::new(Arc::clone(&spec.name), metrics.identity(&spec.name)))
            });
            match renewed(spec, &identity) {
                Ok(renewal) => renewals.extend(renewal),
                Err(error) => {
                    identity.failed(&error.to_string());
                    failed.push((format!("identities.{}", spec.name), error));
                }
            }
            all.push(identity);
        }
        Self { all, renewals, failed }
    }

    /// By its name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Identity>> {
        self.all.iter().find(|identity| **identity.name() == *name).cloned()
    }
}

/// What is in the files, if it is not in force already. An agent's SVID comes by itself.
fn renewed(spec: &checked::Identity, identity: &Arc<Identity>) -> Result<Option<Renewal>, TlsError> {
    let IdentitySource::Files { certificate, bundle } = &spec.source else { return Ok(None) };
    let svid = read_svid(spec, certificate, bundle)?;
    let known = identity.current().is_some_and(|current| current.digest() == svid.digest());
    Ok((!known).then(|| Renewal::Identity(Arc::clone(identity), Arc::new(svid))))
}
