//! Checks of what a listener's protocol needs, and of what means nothing with it. Apart from the listener's other
//! checks because they grow with the protocols.

use std::{collections::BTreeMap, sync::Arc};

use super::Checker;
use crate::{
    checked::{ClusterId, Mtls},
    document::Place,
    file::{self, Protocol, is_host},
};

impl Checker<'_, '_> {
    pub(super) fn fits_protocol(&mut self, file: &file::Listener, at: &Place<'_>) {
        let name = match file.protocol {
            Protocol::Http => "http",
            Protocol::Tcp => "tcp",
            Protocol::TlsPassthrough => "tls_passthrough",
            Protocol::Detect => "detect",
        };
        let cluster = self.document.has(&at.key("cluster")) || !file.destinations.is_empty();
        let sni_at = at.key("sni");
        let sni = self.document.has(&sni_at);
        let chain = self.document.has(&at.key("chain").item(0));
        match file.protocol {
            Protocol::Detect if !cluster => self.findings.key(
                at,
                format!("a listener with protocol = \"{name}\" needs a cluster, for what is not HTTP"),
                "for example: cluster = \"db\"",
            ),
            Protocol::Tcp if !cluster && !chain => self.findings.key(
                at,
                format!(
                    "a listener with protocol = \"{name}\" needs a cluster, or a chain that says where TCP goes"
                ),
                "for example: cluster = \"db\"",
            ),
            Protocol::TlsPassthrough if !cluster && !sni && !chain => self.findings.key(
                at,
                "the listener has neither `sni` nor a cluster nor a chain: no connection could be passed on",
                "for example: sni = { \"db.example.com\" = \"db\" }",
            ),
            _ => {}
        }
        if sni && file.protocol != Protocol::TlsPassthrough {
            self.findings.key(
                &sni_at,
                "only a listener with protocol = \"tls_passthrough\" routes by the name in TLS",
                "where TLS ends here, filters are shown the name as `@tls.sni`",
            );
        }
        if matches!(file.protocol, Protocol::Tcp | Protocol::TlsPassthrough) {
            self.without_http(name, at);
        }
        if file.protocol == Protocol::TlsPassthrough && self.document.has(&at.key("tls")) {
            self.findings.key(
                &at.key("tls"),
                "TLS that passes does not end here",
                "leave it out, or choose protocol = \"tcp\" or \"http\"",
            );
        }
        let asks = file.tls.as_ref().is_some_and(|tls| tls.mtls == Mtls::Require);
        if file.protocol == Protocol::Detect && asks && self.document.has(&at.key("tls").key("identity")) {
            self.findings.key(
                &at.key("protocol"),
                "`detect` serves plain text too, whose callers cannot be asked who they are",
                "choose protocol = \"http\" or \"tcp\", or mtls = \"permissive\"",
            );
        }
        if matches!(file.protocol, Protocol::Http)
            && let Some(cluster) = &file.cluster
            && self.tells_callers(&cluster.0)
        {
            self.findings.value(
                &at.key("cluster"),
                format!("`{}` has proxy_protocol, which cannot say whose an HTTP request is", cluster.0),
                "callers share connections for HTTP: `X-Forwarded-For` says it for each request; leave proxy_protocol out",
            );
        }
    }

    /// What only HTTP knows.
    fn without_http(&mut self, protocol: &str, at: &Place<'_>) {
        for (key, help) in [
            ("connect", "`CONNECT` is HTTP's"),
            ("upgrades", "whatever callers speak passes"),
            ("forwarded", "there are no fields to write to"),
        ] {
            let at = at.key(key);
            if self.document.has(&at) {
                self.findings.key(&at, format!("has no meaning with protocol = \"{protocol}\""), help);
            }
        }
    }

    fn tells_callers(&self, cluster: &str) -> bool {
        let clusters = Place::Root;
        let clusters = clusters.key("clusters");
        self.document.has(&clusters.key(cluster).key("proxy_protocol"))
    }

    pub(super) fn sni(&mut self, file: &file::Listener, at: &Place<'_>) -> BTreeMap<Arc<str>, ClusterId> {
        let mut sni = BTreeMap::new();
        for (name, cluster) in &file.sni {
            let at = at.key(name);
            let host = name.strip_prefix("*.").unwrap_or(name);
            if !is_host(host) || host.parse::<std::net::IpAddr>().is_ok() {
                self.findings.key(
                    &at,
                    format!("`{}` is not a name that TLS can ask for", name.escape_debug()),
                    "write a DNS name, or `*.` and a suffix: \"db.example.com\", \"*.example.com\"",
                );
                continue;
            }
            let lower = name.trim_end_matches('.').to_ascii_lowercase();
            if let Some(id) = self.cluster_id(&file::Name(cluster.clone()), &at)
                && sni.insert(lower.into(), id).is_some()
            {
                self.findings.key(&at, "the name is there already, written otherwise", "");
            }
        }
        sni
    }
}
