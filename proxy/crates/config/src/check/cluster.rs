//! Checks of `[clusters.NAME]`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Checker, retry::hedge};
use crate::{
    checked::{
        Address, Balancer, Cluster, ClusterLimits, Endpoint, Endpoints, UpstreamNames, UpstreamTls, ZONE,
    },
    document::Place,
    file::{self, BalancerKind, List, PeakEwma},
};

impl Checker<'_, '_> {
    pub(super) fn cluster(&mut self, name: &str, file: &file::Cluster, at: &Place<'_>) -> Option<Cluster> {
        if file.peak_ewma.is_some() && file.balancer != BalancerKind::PeakEwma {
            self.findings.warn(
                &at.key("peak_ewma"),
                "has no effect: the cluster has another balancer",
                "leave it out, or choose balancer = \"peak_ewma\"",
            );
        }
        if file.connect_timeout.0 > file.exchange_timeout.0 {
            let reason = format!("is longer than the whole exchange may take ({})", file.exchange_timeout);
            self.findings.warn(
                &at.key("connect_timeout"),
                reason,
                "shorten it, or lengthen exchange_timeout",
            );
        }
        if file.slow_start.is_some() && by_key(file.balancer) {
            self.findings.warn(
                &at.key("slow_start"),
                "has no effect where a key chooses the endpoint: keys would move to and fro",
                "leave it out, or choose another balancer",
            );
        }
        let retry = self.retry(file, at);
        let health = file.health.as_ref().map(|health| self.health(file, health, &at.key("health")));
        let endpoints = self.endpoints(file, at);
        let tls = file.tls.as_ref().map(|tls| self.upstream_tls(tls, &at.key("tls")));
        Some(Cluster {
            name: name.into(),
            balancer: balancer(file),
            protocol: file.protocol,
            endpoints: endpoints?,
            tls: match tls {
                None => None,
                Some(tls) => Some(tls?),
            },
            connect_timeout: file.connect_timeout.0,
            idle_timeout: file.idle_timeout.0,
            exchange_timeout: file.exchange_timeout.0,
            retries: file.retries,
            retry,
            hedge: file.hedge.as_ref().and_then(hedge),
            ejection: self.ejection(&file.ejection, &at.key("ejection")),
            panic_percent: file.panic_percent,
            subset_fallback_to_any: file.subset_fallback == file::SubsetFallback::Any,
            slow_start: file.slow_start.map(|time| time.0),
            own_zone: self.own_zone(file, at),
            health: match health {
                None => None,
                Some(health) => Some(health?),
            },
            limits: ClusterLimits {
                connections: file.limits.connections,
                pending: file.limits.pending,
                requests: file.limits.requests,
                head: file.limits.head.bytes(),
            },
            proxy_protocol: file.proxy_protocol,
        })
    }

    /// The zone whose endpoints are preferred.
    fn own_zone(&mut self, file: &file::Cluster, at: &Place<'_>) -> Option<Arc<str>> {
        let zone = self.zone.filter(|_| file.zone_preference)?;
        let preference_at = at.key("zone_preference");
        if by_key(file.balancer) {
            if self.document.has(&preference_at) {
                self.findings.warn(
                    &preference_at,
                    "has no effect where a key chooses the endpoint",
                    "leave it out, or choose another balancer",
                );
            }
            return None;
        }
        Some(zone.into())
    }

    fn endpoints(&mut self, file: &file::Cluster, at: &Place<'_>) -> Option<Endpoints> {
        if let Some(to) = file.destination {
            self.without_endpoints(at);
            return Some(Endpoints::Destination(to));
        }
        let listed_at = at.key("endpoints");
        let named = |tls: &file::UpstreamTls| {
            tls.server_name.is_some() || tls.identity.is_some() || self.named_tls(&listed_at)
        };
        let unnamed_tls = file.tls.as_ref().is_some_and(|tls| !named(tls));
        match (&file.endpoints, &file.discovery) {
            (Some(_), Some(_)) => {
                let help = "leave out `endpoints`, or `discovery`";
                self.findings.key(&at.key("discovery"), "the cluster lists its endpoints itself", help);
                None
            }
            (Some(listed), None) => {
                let endpoints = self.listed(listed, &listed_at, unnamed_tls);
                let weightless = |e: &Option<Endpoint>| e.as_ref().is_some_and(|e| e.weight == 0);
                if !endpoints.is_empty() && endpoints.iter().all(weightless) {
                    self.findings.key(
                        &listed_at,
                        "every endpoint has weight 0: none could be picked",
                        "give one a weight",
                    );
                }
                endpoints.into_iter().collect::<Option<_>>().map(Endpoints::Listed)
            }
            (None, Some(discovery)) => {
                let file = discovery.file.as_ref()?;
                Some(Endpoints::File(self.existing(file, &at.key("discovery").key("file"))))
            }
            // What is written there is no list, which has been told.
            (None, None)
                if ["endpoints", "discovery", "destination"]
                    .iter()
                    .any(|key| self.document.has(&at.key(key))) =>
            {
                None
            }
            (None, None) => {
                let help = "for example: endpoints = [{ address = \"10.0.0.1:8080\" }]";
                self.findings.key(at, "the key `endpoints` is missing", help);
                None
            }
        }
    }

    /// A list of endpoints; none for each that is broken. TLS that is `unnamed` verifies the host of an address.
    pub(super) fn listed(
        &mut self,
        listed: &List<file::Endpoint>,
        all_at: &Place<'_>,
        unnamed_tls: bool,
    ) -> Vec<Option<Endpoint>> {
        let mut seen: HashMap<&Address, usize> = HashMap::new();
        let mut endpoints = Vec::new();
        for (position, endpoint) in listed.items() {
            let at = all_at.item(position);
            let Some(address) = endpoint.address.as_ref().map(|address| &address.0) else {
                endpoints.push(None);
                continue;
            };
            let address_at = at.key("address");
            if let Some(first) = seen.insert(address, position) {
                let reason = format!("`{address}` is in this cluster already, at position {first}");
                self.findings.warn(&address_at, reason, "to send it more, give it a weight");
            }
            let nameless = match address {
                Address::Unix(_) => Some("TLS to a Unix socket has no name to verify"),
                // Whoever can forge an answer could name a host of their own (RFC 6125 1.8).
                Address::Srv { .. } => Some("TLS to hosts that SRV records name has no name to verify"),
                Address::Tcp(_) | Address::Name { .. } => None,
            };
            if let Some(reason) = nameless.filter(|_| unnamed_tls) {
                self.findings.value(&address_at, reason, "add a server_name to the cluster's tls");
            }
            endpoints.push(Some(Endpoint {
                address: self.absolute(address),
                weight: endpoint.weight,
                priority: endpoint.priority,
                labels: self.labels(endpoint, &at),
            }));
        }
        endpoints
    }

    fn labels(&mut self, endpoint: &file::Endpoint, at: &Place<'_>) -> BTreeMap<Arc<str>, Arc<str>> {
        let mut labels: BTreeMap<Arc<str>, Arc<str>> = endpoint
            .labels
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect();
        if let Some(zone) = &endpoint.zone {
            let label = labels.insert(ZONE.into(), zone.as_str().into());
            if let Some(other) = label.filter(|label| **label != **zone) {
                let reason = format!("its label `zone` says `{}`", other.escape_debug());
                self.findings.value(&at.key("zone"), reason, "leave one of them out");
            }
        }
        labels
    }

    /// Something is written as the server name, right or wrong.
    fn named_tls(&self, endpoints_at: &Place<'_>) -> bool {
        let Place::Key(cluster_at, _) = endpoints_at else { return false };
        self.document.has(&cluster_at.key("tls").key("server_name"))
    }

    fn upstream_tls(&mut self, file: &file::UpstreamTls, at: &Place<'_>) -> Option<UpstreamTls> {
        if let Some(identity) = self.upstream_identity(file, at) {
            return identity.map(UpstreamTls::Identity);
        }
        let ca = file.ca.as_ref().map(|path| self.existing(path, &at.key("ca")));
        let certificate = match &file.certificate {
            None => None,
            Some(certificate) => Some(self.certificate(certificate, &at.key("certificate"))?),
        };
        let server_name = file.server_name.as_ref().map(|name| name.0.as_str().into());
        let allow_tls12 = file.allow_tls12.unwrap_or(true);
        Some(UpstreamTls::Names(UpstreamNames { ca, server_name, certificate, allow_tls12 }))
    }
}

/// Whether the same key always leads to the same endpoint.
fn by_key(balancer: BalancerKind) -> bool {
    matches!(balancer, BalancerKind::RingHash | BalancerKind::Maglev)
}

fn balancer(file: &file::Cluster) -> Balancer {
    match file.balancer {
        BalancerKind::LeastRequest => Balancer::LeastRequest,
        BalancerKind::RoundRobin => Balancer::RoundRobin,
        BalancerKind::Random => Balancer::Random,
        BalancerKind::RingHash => Balancer::RingHash,
        BalancerKind::Maglev => Balancer::Maglev,
        BalancerKind::PeakEwma => {
            let default = PeakEwma::default();
            let chosen = file.peak_ewma.as_ref().unwrap_or(&default);
            Balancer::PeakEwma { decay: chosen.decay.0, default_rtt: chosen.default_rtt.0 }
        }
    }
}
