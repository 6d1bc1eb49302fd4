//! Checks of `[listeners.NAME]`.

use std::collections::{BTreeMap, HashMap};

use super::Checker;
use crate::{
    checked::{
        Address, ClientAuth, FilterId, Listener, ListenerCertificates, ListenerLimits, ListenerProtocol,
        ListenerTls, ProxyProtocol,
    },
    document::Place,
    file,
};

impl Checker<'_, '_> {
    pub(super) fn listener(&mut self, name: &str, file: &file::Listener, at: &Place<'_>) -> Option<Listener> {
        let chain = self.chain(&file.chain, &at.key("chain"));
        let cluster_at = at.key("cluster");
        let cluster = file.cluster.as_ref().map(|name| self.cluster_id(name, &cluster_at));
        self.fits_protocol(file, at);
        let sni = self.sni(file, &at.key("sni"));
        let captured = self.captured(file, at);
        let proxy_protocol = file.proxy_protocol.as_ref().map(|spec| ProxyProtocol {
            mode: spec.mode,
            from: spec.from.items().map(|(_, network)| network.0).collect(),
        });
        let decides = chain.is_empty() && !file.chain.items().any(|_| true);
        if file.protocol == file::Protocol::Http
            && decides
            && !self.document.has(&cluster_at)
            && file.destinations.is_empty()
            && !self.broken_chain(at)
        {
            self.findings.key(
                at,
                "the listener has neither a chain nor a cluster: nothing could be answered",
                "for example: cluster = \"users\"",
            );
        }
        let tls = file.tls.as_ref().map(|tls| self.listener_tls(tls, &at.key("tls")));
        Some(Listener {
            name: name.into(),
            address: self.absolute(&file.address.as_ref()?.0),
            chain,
            cluster: cluster.flatten(),
            tls: match tls {
                None => None,
                Some(tls) => Some(tls?),
            },
            limits: limits(&file.limits),
            forwarded: file.forwarded,
            request_timeouts: file.request_timeouts,
            upgrades: file.upgrades.items().map(|(_, upgrade)| upgrade.0.as_str().into()).collect(),
            connect: file.connect,
            protocol: match file.protocol {
                file::Protocol::Http => ListenerProtocol::Http,
                file::Protocol::Tcp => ListenerProtocol::Tcp,
                file::Protocol::TlsPassthrough => ListenerProtocol::TlsPassthrough,
                file::Protocol::Detect => ListenerProtocol::Detect,
            },
            sni,
            proxy_protocol,
            captured,
        })
    }

    /// Two listeners cannot share an address. Port 0 is another one each time.
    pub(super) fn distinct_addresses(&mut self, file: &file::File) {
        let mut taken: HashMap<Address, String> = HashMap::new();
        let root = Place::Root;
        if let Some(admin) = file.admin.as_ref().and_then(|admin| admin.address.as_ref()) {
            taken.insert(Address::Tcp(admin.0), "the admin API".into());
        }
        for (name, listener) in file.listeners.iter() {
            let Some(address) = listener.address.as_ref().map(|address| &address.0) else { continue };
            if matches!(address, Address::Tcp(address) if address.port() == 0) {
                continue;
            }
            match taken.get(address) {
                Some(other) => {
                    let reason = format!("`{address}` is the address of {other} already");
                    let at = root.key("listeners");
                    self.findings.value(
                        &at.key(name).key("address"),
                        reason,
                        "choose another address or port",
                    );
                }
                None => _ = taken.insert(address.clone(), format!("the listener `{name}`")),
            }
        }
    }

    fn chain(&mut self, file: &file::List<file::Name>, at: &Place<'_>) -> Vec<FilterId> {
        let mut seen = BTreeMap::new();
        let mut chain = Vec::new();
        for (position, name) in file.items() {
            let at = at.item(position);
            if let Some(first) = seen.insert(name.0.as_str(), position) {
                self.findings.value(
                    &at,
                    format!("the filter `{}` is in this chain already, at position {first}", name.0),
                    "to use the same code twice, configure a second filter with it",
                );
                continue;
            }
            chain.extend(self.filter_id(name, &at));
        }
        chain
    }

    /// Something is written as the chain, but none of it could be read.
    fn broken_chain(&self, at: &Place<'_>) -> bool {
        let chain = at.key("chain");
        self.document.has(&chain.item(0)) || (self.document.has(&chain) && !self.document.is_list(&chain))
    }

    fn listener_tls(&mut self, file: &file::ListenerTls, at: &Place<'_>) -> Option<ListenerTls> {
        if let Some(identity) = self.listener_identity(file, at) {
            return identity.map(ListenerTls::Identity);
        }
        let certificates_at = at.key("certificates");
        if !self.document.has(&certificates_at) {
            self.findings.key(
                at,
                "there is nothing to show to callers: neither `certificates` nor an `identity`",
                "for example: certificates = [{ cert = \"web.pem\", key = \"web.key\" }]",
            );
        }
        let certificates: Vec<_> = file
            .certificates
            .items()
            .map(|(i, certificate)| self.certificate(certificate, &certificates_at.item(i)))
            .collect();
        let ca_at = at.key("client_ca");
        let client_ca = file.client_ca.as_ref().map(|path| self.existing(path, &ca_at));
        if file.client_auth == ClientAuth::None && client_ca.is_some() {
            self.findings.warn(
                &ca_at,
                "has no effect: callers are not asked for certificates",
                "add client_auth = \"request\" or \"require\"",
            );
        }
        if file.client_auth != ClientAuth::None && !self.document.has(&ca_at) {
            self.findings.value(
                &at.key("client_auth"),
                "`client_ca` is missing: the roots that callers' certificates must chain to",
                "for example: client_ca = \"clients.pem\"",
            );
        }
        Some(ListenerTls::Certificates(ListenerCertificates {
            certificates: certificates.into_iter().collect::<Option<_>>()?,
            client_auth: file.client_auth,
            client_ca,
            allow_tls12: file.allow_tls12.unwrap_or(true),
        }))
    }

    /// With the path of a Unix socket seen from the configuration's folder.
    pub(super) fn absolute(&self, address: &Address) -> Address {
        match address {
            Address::Unix(path) => Address::Unix(self.base_dir.join(path)),
            other => other.clone(),
        }
    }
}

fn limits(file: &file::ListenerLimits) -> ListenerLimits {
    ListenerLimits {
        connections: file.connections as usize,
        head: file.head.bytes(),
        fields: file.fields as usize,
        body: file.body.map(|size| size.0),
        tls_handshake_timeout: file.tls_handshake_timeout.0,
        head_timeout: file.head_timeout.0,
        idle_timeout: file.idle_timeout.0,
        body_timeout: file.body_timeout.0,
        detect_timeout: file.detect_timeout.0,
        tunnel_idle_timeout: file.tunnel_idle_timeout.0,
        streams: file.streams,
        requests: file.requests,
    }
}
