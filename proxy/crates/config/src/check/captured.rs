//! Checks of what captured connections need, of listeners and of clusters. Apart because they are about both at once:
//! a destination is known at the one and used by the other.

use std::collections::BTreeMap;

use super::Checker;
use crate::{
    checked::{Address, ClusterId, Destination, Destinations, ToDestination},
    document::{Place, Value},
    file,
};

impl Checker<'_, '_> {
    /// Where a listener's captured connections go; none: it has none.
    pub(super) fn captured(&mut self, file: &file::Listener, at: &Place<'_>) -> Option<Destinations> {
        let destinations = self.destinations(file, &at.key("destinations"));
        self.fit_to_clusters(file, at);
        if !file.captured {
            return None;
        }
        let address_at = at.key("address");
        if matches!(&file.address, Some(address) if matches!(address.0, Address::Unix(_))) {
            self.findings.value(
                &address_at,
                "the system leads captured connections to a port, and this is a Unix socket",
                "for example: address = \"0.0.0.0:15001\"",
            );
        }
        let introduced_at = at.key("proxy_protocol");
        if self.document.has(&introduced_at) {
            self.findings.key(
                &introduced_at,
                "captured connections come from their callers, and not from a proxy before this one",
                "leave it out, or have another listener for that proxy",
            );
        }
        Some(destinations)
    }

    fn destinations(&mut self, file: &file::Listener, at: &Place<'_>) -> Destinations {
        let mut known: BTreeMap<Destination, Option<ClusterId>> = BTreeMap::new();
        if !file.captured && self.document.has(at) {
            let help = "add captured = true, if `weir capture` leads connections here";
            self.findings.key(at, "only captured connections were going elsewhere", help);
        }
        for (text, cluster) in &file.destinations {
            let at = at.key(text);
            let destination = match text.parse::<Destination>() {
                Ok(destination) => destination,
                Err(help) => {
                    let reason = format!("`{}` is not a destination", text.escape_debug());
                    self.findings.key(&at, reason, help);
                    continue;
                }
            };
            if destination.port.is_none() {
                self.only_by_port(cluster, &at);
            }
            let cluster = self.cluster_id(&file::Name(cluster.clone()), &at);
            if known.insert(destination, cluster).is_some() {
                self.findings.key(&at, "the destination is there already, written otherwise", "");
            }
        }
        Destinations::new(
            known.into_iter().filter_map(|(destination, cluster)| Some((destination, cluster?))),
        )
    }

    /// Clusters of destinations are for listeners that know some.
    fn fit_to_clusters(&mut self, file: &file::Listener, at: &Place<'_>) {
        let (cluster_at, sni_at) = (at.key("cluster"), at.key("sni"));
        let own = file.cluster.iter().map(|name| (name.0.as_str(), None));
        let named = file.sni.iter().map(|(name, cluster)| (cluster.as_str(), Some(name)));
        for (cluster, name) in own.chain(named) {
            let at = name.map_or(cluster_at, |name| sni_at.key(name));
            match self.to_destination(cluster) {
                Some(_) if !file.captured => self.findings.value(
                    &at,
                    format!("`{cluster}` leads to where captured connections were going"),
                    "add captured = true, or choose a cluster with endpoints",
                ),
                Some(_) => self.only_by_port(cluster, &at),
                None => {}
            }
        }
    }

    /// What the proxy asks of its own was not going anywhere.
    pub(super) fn has_endpoints(&mut self, cluster: &str, at: &Place<'_>) {
        if self.to_destination(cluster).is_some() {
            self.findings.value(
                at,
                format!("`{cluster}` has no endpoints of its own: only captured connections can go there"),
                "choose a cluster with endpoints",
            );
        }
    }

    /// What listens on loopback alone relies on not being reached by others, Weir's own admin API for one.
    fn only_by_port(&mut self, cluster: &str, at: &Place<'_>) {
        if self.to_destination(cluster) == Some(ToDestination::Loopback.name()) {
            self.findings.value(
                at,
                format!("`{cluster}` would open every port of this machine's loopback to callers"),
                "name the ports that are meant: destinations = { \":8080\" = \"app\" }",
            );
        }
    }

    /// As it is written, right or wrong.
    fn to_destination(&self, cluster: &str) -> Option<&str> {
        let clusters = Place::Root;
        let clusters = clusters.key("clusters");
        match &self.document.node(&clusters.key(cluster).key("destination"))?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What only means something where a cluster has endpoints of its own.
    pub(super) fn without_endpoints(&mut self, at: &Place<'_>) {
        for (key, help) in [
            ("endpoints", "each connection goes on to where it was going; leave one of them out"),
            ("discovery", "each connection goes on to where it was going; leave one of them out"),
            ("balancer", "there is one place to go for each connection, and nothing to choose"),
            ("health", "destinations are not known before somebody goes there"),
            ("hedge", "there is no second endpoint to ask"),
            ("ejection", "there is no second endpoint to go to instead"),
            (
                "panic_percent",
                "there is one place to go for each connection, and it is used whatever happens",
            ),
            ("slow_start", "there is no other endpoint to take more meanwhile"),
            ("zone_preference", "there is one place to go for each connection, and nothing to choose"),
        ] {
            let at = at.key(key);
            if self.document.has(&at) {
                self.findings.key(&at, "has no meaning in a cluster with a `destination`", help);
            }
        }
    }
}
