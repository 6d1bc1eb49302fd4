//! Checks of `[identities.NAME]`, and of TLS that is spoken with one.

use std::sync::Arc;

use super::Checker;
use crate::{
    checked::{Certificate, Identity, IdentitySource, ListenerIdentity, Mtls, UpstreamIdentity},
    document::Place,
    file, nearest,
    spiffe::SpiffePattern,
};

impl Checker<'_, '_> {
    pub(super) fn identity(&mut self, name: &str, file: &file::Identity, at: &Place<'_>) -> Option<Identity> {
        let (files_at, api_at) = (at.key("files"), at.key("workload_api"));
        match (self.document.has(&files_at), self.document.has(&api_at)) {
            (true, true) => self.findings.key(
                &api_at,
                "the identity has two sources: `files` and `workload_api`",
                "leave one of them out",
            ),
            (false, false) => self.findings.key(
                at,
                "the identity comes from nowhere",
                "for example: workload_api = \"unix:/run/spire/agent.sock\"",
            ),
            _ => {}
        }
        let source = match (&file.files, &file.workload_api) {
            (Some(files), _) => {
                let cert = files.cert.as_ref().map(|path| self.existing(path, &files_at.key("cert")));
                let key = files.key.as_ref().map(|path| self.existing(path, &files_at.key("key")));
                let bundle = files.bundle.as_ref().map(|path| self.existing(path, &files_at.key("bundle")));
                IdentitySource::Files { certificate: Certificate { cert: cert?, key: key? }, bundle: bundle? }
            }
            (None, Some(api)) => IdentitySource::WorkloadApi(api.0.as_str().into()),
            (None, None) => return None,
        };
        Some(Identity { name: name.into(), source, id: file.id.as_ref().map(|id| id.0.clone()) })
    }

    /// What a listener's `tls` says of identities; `None` for one that speaks of certificates only.
    pub(super) fn listener_identity(
        &mut self,
        file: &file::ListenerTls,
        at: &Place<'_>,
    ) -> Option<Option<ListenerIdentity>> {
        let identity_at = at.key("identity");
        if !self.document.has(&identity_at) {
            self.needs_identity(at, &["mtls", "peers"]);
            return None;
        }
        self.excluded_by_identity(at, &["certificates", "client_auth", "client_ca"]);
        let peers_at = at.key("peers");
        if file.mtls == Mtls::None && self.document.has(&peers_at) {
            self.findings.value(
                &peers_at,
                "callers are not asked who they are: `mtls` is \"none\"",
                "choose mtls = \"require\", or leave peers out",
            );
        }
        if self.document.is_list(&peers_at) && !self.document.has(&peers_at.item(0)) {
            self.findings.value(
                &peers_at,
                "the list is empty: nobody could call",
                "name who may, or leave it out for every workload of the trust domain",
            );
        }
        let identity = file.identity.as_ref().and_then(|name| self.identity_name(name, &identity_at));
        Some(identity.map(|identity| ListenerIdentity {
            identity,
            mtls: file.mtls,
            peers: patterns(&file.peers),
            allow_tls12: file.allow_tls12.unwrap_or(false),
        }))
    }

    /// As [`Checker::listener_identity`], of a cluster's.
    pub(super) fn upstream_identity(
        &mut self,
        file: &file::UpstreamTls,
        at: &Place<'_>,
    ) -> Option<Option<UpstreamIdentity>> {
        let identity_at = at.key("identity");
        if !self.document.has(&identity_at) {
            self.needs_identity(at, &["expect"]);
            return None;
        }
        self.excluded_by_identity(at, &["ca", "certificate"]);
        if !self.document.has(&at.key("expect").item(0)) {
            self.findings.value(
                &identity_at,
                "`expect` is missing: the identities that the endpoints may have",
                "for example: expect = [\"spiffe://shop.example/sa/users\"]",
            );
        }
        let identity = file.identity.as_ref().and_then(|name| self.identity_name(name, &identity_at));
        Some(identity.map(|identity| UpstreamIdentity {
            identity,
            expect: patterns(&file.expect),
            server_name: file.server_name.as_ref().map(|name| name.0.as_str().into()),
            allow_tls12: file.allow_tls12.unwrap_or(false),
        }))
    }

    fn needs_identity(&mut self, at: &Place<'_>, keys: &[&str]) {
        for key in keys {
            let at = at.key(key);
            if self.document.has(&at) {
                self.findings.key(
                    &at,
                    "has a meaning only with an `identity`",
                    "add identity = \"NAME\", or leave it out",
                );
            }
        }
    }

    fn excluded_by_identity(&mut self, at: &Place<'_>, keys: &[&str]) {
        for key in keys {
            let at = at.key(key);
            if self.document.has(&at) {
                let help = match *key {
                    "client_auth" => "an identity asks callers for theirs: see mtls; leave it out",
                    "client_ca" | "ca" => "the identity's bundle says whom to trust; leave it out",
                    _ => "an identity is shown by its own certificate; leave one of them out",
                };
                self.findings.key(&at, "cannot be used together with an `identity`", help);
            }
        }
    }

    fn identity_name(&mut self, name: &file::Name, at: &Place<'_>) -> Option<Arc<str>> {
        if self.identities.contains_key(name.0.as_str()) {
            return Some(name.0.as_str().into());
        }
        let none = format!("no identity is configured; add [identities.{}]", name.0);
        let help = nearest::help(&name.0, self.identities.keys().copied(), &none);
        self.findings.value(at, format!("there is no identity `{}`", name.0), help);
        None
    }
}

fn patterns(file: &file::List<file::PeerPattern>) -> Vec<SpiffePattern> {
    file.items().map(|(_, pattern)| pattern.0.clone()).collect()
}
