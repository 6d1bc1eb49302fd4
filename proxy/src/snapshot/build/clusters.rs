//! Building the clusters of a snapshot: the part of it that may have to wait for the network, for all of them
//! together and not one after the other.

use std::{sync::Arc, time::Duration};

use weir_config::{
    Config,
    checked::{self, Endpoints},
    load_endpoints,
};

use super::{Builder, told};
use crate::{
    cluster::{Cluster, Listed},
    discovery::{Following, Resolved},
    snapshot::{Snapshot, identities::Identities},
    tls::ClientTls,
};

/// What came of building a cluster.
pub(super) type Outcome = Result<Arc<Cluster>, String>;

/// The first half of it.
enum Begun<'a> {
    /// There is nothing to do.
    Kept(Arc<Cluster>),
    /// Its endpoints are known, or are being asked for.
    New { earlier: Option<&'a Arc<Cluster>>, endpoints: Told },
}

/// Where endpoints are told.
enum Told {
    Fixed(Vec<Resolved>),
    Followed(Arc<Following>),
}

impl Builder {
    /// All clusters of a configuration. Names that are new are waited for as long as config allows; a cluster whose
    /// names are not known by then begins without endpoints.
    pub(super) fn clusters<'c>(
        &self,
        config: &'c Config,
        before: Option<&Snapshot>,
        identities: &Identities,
    ) -> Vec<(&'c checked::Cluster, Outcome)> {
        let begin = |cluster| (cluster, self.begin_cluster(cluster, config, before));
        let begun: Vec<_> = config.clusters.iter().map(begin).collect();
        self.wait_for_names(&begun, config.dns.timeout);
        let finish = |(cluster, begun): (&'c checked::Cluster, Result<Begun<'_>, String>)| {
            let built = begun.and_then(|begun| match begun {
                Begun::Kept(kept) => Ok(kept),
                Begun::New { earlier, endpoints } => {
                    self.finish_cluster(cluster, earlier, endpoints, identities)
                }
            });
            (cluster, built)
        };
        begun.into_iter().map(finish).collect()
    }

    fn begin_cluster<'a>(
        &self,
        cluster: &checked::Cluster,
        config: &Config,
        before: Option<&'a Snapshot>,
    ) -> Result<Begun<'a>, String> {
        let slot = self.slots.of(&cluster.name);
        let earlier = before.and_then(|before| before.clusters.get(slot?)?.as_ref());
        let asks =
            |kept: &Cluster| kept.followed.as_ref().is_none_or(|(following, _)| following.asks(&config.dns));
        if let Some(kept) = earlier.filter(|earlier| *earlier.config == *cluster && asks(earlier)) {
            return Ok(Begun::Kept(Arc::clone(kept)));
        }
        let followed = match &self.discovery {
            Some(discovery) => {
                let metrics = self.metrics.cluster(&cluster.name);
                let known =
                    earlier.and_then(|earlier| earlier.followed.as_ref()).map(|(following, _)| following);
                discovery.follow(cluster, &config.dns, metrics, known)?
            }
            None => None,
        };
        let endpoints = match (followed, &cluster.endpoints) {
            (Some(followed), _) => Told::Followed(followed),
            (None, Endpoints::Listed(listed)) => Told::Fixed(literal(listed)),
            (None, Endpoints::Destination(_)) => Told::Fixed(Vec::new()),
            (None, Endpoints::File(path)) => {
                let listed = load_endpoints(path, cluster).map_err(|report| report.to_string())?;
                Told::Fixed(literal(&listed))
            }
        };
        Ok(Begun::New { earlier, endpoints })
    }

    fn wait_for_names(&self, begun: &[(&checked::Cluster, Result<Begun<'_>, String>)], timeout: Duration) {
        let followed = begun.iter().filter_map(|(_, begun)| match begun {
            Ok(Begun::New { endpoints: Told::Followed(following), .. }) => Some(Arc::clone(following)),
            _ => None,
        });
        let followed: Vec<_> = followed.collect();
        if let Some(discovery) = &self.discovery
            && !followed.is_empty()
        {
            discovery.wait(&followed, timeout);
        }
    }

    fn finish_cluster(
        &self,
        config: &checked::Cluster,
        earlier: Option<&Arc<Cluster>>,
        endpoints: Told,
        identities: &Identities,
    ) -> Outcome {
        let listed = match endpoints {
            Told::Fixed(endpoints) => Listed::fixed(endpoints),
            Told::Followed(following) => Listed::now(&following),
        };
        let alike = |e: &&Arc<Cluster>| e.config.tls == config.tls && e.config.protocol == config.protocol;
        let tls = match (&config.tls, earlier.filter(alike).and_then(|earlier| earlier.tls.clone())) {
            (Some(_), Some(kept)) => Some(kept),
            (Some(tls), None) => {
                let loaded = ClientTls::load(tls, config.protocol, |name| identities.find(name));
                Some(Arc::new(loaded.map_err(|error| told(&error))?))
            }
            (None, _) => None,
        };
        let (metrics, earlier) = (self.metrics.cluster(&config.name), earlier.map(|cluster| &**cluster));
        Ok(Arc::new(Cluster::new(Arc::new(config.clone()), listed, tls, metrics, earlier)))
    }
}

/// Those whose place is known without asking.
fn literal(listed: &[checked::Endpoint]) -> Vec<Resolved> {
    listed.iter().filter_map(Resolved::literal).collect()
}
