//! Certificates that changed behind an unchanged configuration.
//!
//! Listeners and clusters that are kept keep their TLS, and with it the sessions that callers resume; what
//! their files hold now is read and checked with the rest of a build, and comes into force with it.

use std::{fmt, sync::Arc};

use super::ListenerPlan;
use crate::{
    cluster::Cluster,
    identity::{Identity, Svid},
    tls::{TlsError, client, server},
};

/// Changed certificates of something that is kept.
pub enum Renewal {
    /// What a listener shows.
    Listener(Arc<ListenerPlan>, server::Renewed),
    /// What a cluster expects and shows.
    Cluster(Arc<Cluster>, client::Renewed),
    /// An identity.
    Identity(Arc<Identity>, Arc<Svid>),
}

impl Renewal {
    /// Reads the files of all that has TLS. Answers what changed, and what cannot be used, by its place.
    pub(super) fn find(
        listeners: &[Arc<ListenerPlan>],
        clusters: &[Option<Arc<Cluster>>],
    ) -> (Vec<Self>, Vec<(String, TlsError)>) {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        for plan in listeners {
            match plan.tls.as_ref().map(|tls| tls.read_again()).transpose() {
                Ok(renewed) => found.extend(renewed.flatten().map(|r| Self::Listener(Arc::clone(plan), r))),
                Err(error) => failed.push((format!("listeners.{}", plan.config.name), error)),
            }
        }
        for cluster in clusters.iter().flatten() {
            match cluster.tls.as_ref().map(|tls| tls.read_again()).transpose() {
                Ok(renewed) => found.extend(renewed.flatten().map(|r| Self::Cluster(Arc::clone(cluster), r))),
                Err(error) => failed.push((format!("clusters.{}", cluster.name()), error)),
            }
        }
        (found, failed)
    }

    /// Puts the new ones in force.
    pub fn adopt(&self) {
        match self {
            Self::Listener(plan, files) => plan.tls.iter().for_each(|tls| tls.adopt(files)),
            Self::Cluster(cluster, files) => cluster.tls.iter().for_each(|tls| tls.adopt(files)),
            Self::Identity(identity, svid) => identity.adopt(Arc::clone(svid)),
        }
    }
}

/// The section in config.
impl fmt::Display for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(plan, _) => write!(f, "listeners.{}", plan.config.name),
            Self::Cluster(cluster, _) => write!(f, "clusters.{}", cluster.name()),
            Self::Identity(identity, _) => write!(f, "identities.{}", identity.name()),
        }
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Renewal({self})")
    }
}
