//! Handshakes between two workloads: who is let in, who is not and why, and what renewals do to sessions.

use super::{ClientTls, PeerIdentity, Refused, ServerTls, provider, server::Settled};
use crate::{
    identity::{Identity, Svid, svid::Material},
    telemetry::metrics::{Handshake, Metrics, PeerRefusal},
};
use std::{io, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weir_config::{
    checked::{
        Address, ListenerIdentity, ListenerTls, Mtls, UpstreamIdentity, UpstreamProtocol, UpstreamTls,
    },
    spiffe::SpiffePattern,
};
use weir_testkit::{Ca, Leaf, SvidPlan};

const WEB: &str = "spiffe://td/sa/web";
const USERS: &str = "spiffe://td/sa/users";

fn material(leaf: &Leaf, ca: &Ca) -> Material {
    Material { chain: vec![leaf.der()], key: leaf.key_der(), bundle: vec![ca.der()], federated: Vec::new() }
}

fn adopt(identity: &Identity, material: Material) {
    identity.adopt(Arc::new(Svid::new(material, None).unwrap()));
}

fn new(name: &str) -> Arc<Identity> {
    Arc::new(Identity::new(name.into(), Metrics::new(1).identity(name)))
}

fn patterns(all: &[&str]) -> Vec<SpiffePattern> {
    all.iter().map(|one| SpiffePattern::parse(one).unwrap()).collect()
}

/// Two workloads: `web` calls `users`.
struct Stage {
    ca: Ca,
    web: Arc<Identity>,
    users: Arc<Identity>,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { ca: Ca::new().unwrap(), web: new("web"), users: new("users") };
        stage.web_is(&SvidPlan::of(WEB));
        stage.users_is(&SvidPlan::of(USERS));
        stage
    }

    fn web_is(&self, plan: &SvidPlan<'_>) {
        adopt(&self.web, material(&self.ca.svid(plan).unwrap(), &self.ca));
    }

    fn users_is(&self, plan: &SvidPlan<'_>) {
        adopt(&self.users, material(&self.ca.svid(plan).unwrap(), &self.ca));
    }

    fn server(&self, mtls: Mtls, peers: &[&str]) -> ServerTls {
        let spec =
            ListenerIdentity { identity: "users".into(), mtls, peers: patterns(peers), allow_tls12: false };
        ServerTls::load(&ListenerTls::Identity(spec), |_| Some(Arc::clone(&self.users))).unwrap()
    }

    fn client(&self, expect: &[&str]) -> ClientTls {
        let spec = UpstreamIdentity {
            identity: "web".into(),
            expect: patterns(expect),
            server_name: None,
            allow_tls12: false,
        };
        let identity = |_: &str| Some(Arc::clone(&self.web));
        ClientTls::load(&UpstreamTls::Identity(spec), UpstreamProtocol::Auto, identity).unwrap()
    }
}

/// What each side made of a handshake: who called, and whether the endpoint was taken.
struct Met {
    server: Result<Settled, Option<PeerRefusal>>,
    client: Result<&'static str, Option<PeerRefusal>>,
}

async fn meet(server: &ServerTls, client: &ClientTls) -> Met {
    let (near, far) = tokio::io::duplex(1 << 16);
    let accepting = accept(server, near);
    let connecting = async {
        let name = client.server_name(&Address::Unix("/run/users".into())).unwrap();
        let mut stream =
            TlsConnector::from(client.config().unwrap()).connect(name, far).await.map_err(why)?;
        client.settle(stream.get_ref().1).map_err(|refused| Some(refused.reason))?;
        let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
        // The tickets travel before the byte; a server that refused says so instead.
        stream.read_u8().await.map_err(why)?;
        Ok(group.as_str().unwrap())
    };
    let (server, client) = tokio::join!(accepting, connecting);
    Met { server, client }
}

async fn accept(server: &ServerTls, near: tokio::io::DuplexStream) -> Result<Settled, Option<PeerRefusal>> {
    let mut stream = TlsAcceptor::from(server.config().unwrap()).accept(near).await.map_err(why)?;
    let settled = server.settle(stream.get_ref().1).map_err(|refused| Some(refused.reason))?;
    stream.write_all(b"!").await.map_err(why)?;
    stream.shutdown().await.map_err(why)?;
    Ok(settled)
}

fn why(error: io::Error) -> Option<PeerRefusal> {
    Refused::by_handshake(&error).map(|refused| refused.reason)
}

#[tokio::test]
async fn workloads_know_each_other_by_their_ids_and_keys_are_safe_from_tomorrow() {
    let stage = Stage::new();
    let server = stage.server(Mtls::Require, &["spiffe://td/sa/*"]);
    let met = meet(&server, &stage.client(&[USERS])).await;
    let settled = met.server.unwrap();
    assert_eq!(settled.identity.as_deref(), Some(WEB));
    assert_eq!((settled.kind, settled.http2), (Handshake::Full, true));
    assert_eq!(met.client, Ok("X25519MLKEM768"));
    assert!(!server.takes_plain() && stage.server(Mtls::Permissive, &[]).takes_plain());
}

#[tokio::test]
async fn callers_are_refused_for_what_is_wrong_with_them() {
    use PeerRefusal as R;
    let cases = [
        (SvidPlan { begins: -7200, expires: -3600, ..SvidPlan::of(WEB) }, R::Expired),
        (SvidPlan { begins: 3600, expires: 7200, ..SvidPlan::of(WEB) }, R::NotYetValid),
        (SvidPlan { purposes: (true, false), ..SvidPlan::of(WEB) }, R::WrongPurpose),
        (SvidPlan::of("spiffe://td/sa/eve"), R::WrongIdentity),
    ];
    for (plan, reason) in cases {
        let stage = Stage::new();
        stage.web_is(&plan);
        let server = stage.server(Mtls::Require, &[WEB]);
        let met = meet(&server, &stage.client(&[USERS])).await;
        assert_eq!(met.server.unwrap_err(), Some(reason), "{plan:?}");
        assert!(met.client.is_err());
    }
}

#[tokio::test]
async fn endpoints_are_refused_for_what_is_wrong_with_them() {
    use PeerRefusal as R;
    let cases = [
        (SvidPlan { begins: -7200, expires: -3600, ..SvidPlan::of(USERS) }, R::Expired),
        (SvidPlan { begins: 3600, expires: 7200, ..SvidPlan::of(USERS) }, R::NotYetValid),
        (SvidPlan { purposes: (false, true), ..SvidPlan::of(USERS) }, R::WrongPurpose),
        (SvidPlan::of("spiffe://td/sa/eve"), R::WrongIdentity),
    ];
    for (plan, reason) in cases {
        let stage = Stage::new();
        stage.users_is(&plan);
        let met = meet(&stage.server(Mtls::Require, &[]), &stage.client(&[USERS])).await;
        assert_eq!(met.client, Err(Some(reason)), "{plan:?}");
        assert!(met.server.is_err());
    }
}

#[tokio::test]
async fn strangers_and_other_trust_domains_are_foreign() {
    let stage = Stage::new();
    let other = Ca::new().unwrap();
    // Of the right name, from another authority.
    let mut forged = material(&other.svid(&SvidPlan::of(WEB)).unwrap(), &stage.ca);
    adopt(&stage.web, material(&other.svid(&SvidPlan::of(WEB)).unwrap(), &stage.ca));
    let met = meet(&stage.server(Mtls::Require, &[]), &stage.client(&[USERS])).await;
    assert_eq!(met.server.unwrap_err(), Some(PeerRefusal::Foreign));

    // Our authority may not name workloads of another trust domain.
    let abroad = stage.ca.svid(&SvidPlan::of("spiffe://abroad/sa/web")).unwrap();
    forged.chain = vec![abroad.der()];
    forged.key = abroad.key_der();
    forged.federated = vec![("td".into(), vec![stage.ca.der()])];
    adopt(&stage.web, forged);
    let met = meet(&stage.server(Mtls::Require, &["spiffe://abroad/**"]), &stage.client(&[USERS])).await;
    assert_eq!(met.server.unwrap_err(), Some(PeerRefusal::Foreign));

    // With the other's bundle, and allowed by name, they are known; by default only our own domain is let in.
    let abroad_ca = Ca::new().unwrap();
    let leaf = abroad_ca.svid(&SvidPlan::of("spiffe://abroad/sa/web")).unwrap();
    let mut welcome = material(&leaf, &abroad_ca);
    welcome.federated = vec![("td".into(), vec![stage.ca.der()])];
    adopt(&stage.web, welcome);
    let mut host = material(&stage.ca.svid(&SvidPlan::of(USERS)).unwrap(), &stage.ca);
    host.federated = vec![("abroad".into(), vec![abroad_ca.der()])];
    adopt(&stage.users, host);
    let met = meet(&stage.server(Mtls::Require, &["spiffe://abroad/**"]), &stage.client(&[USERS])).await;
    assert_eq!(met.server.unwrap().identity.as_deref(), Some("spiffe://abroad/sa/web"));
    let met = meet(&stage.server(Mtls::Require, &[]), &stage.client(&[USERS])).await;
    assert_eq!(met.server.unwrap_err(), Some(PeerRefusal::WrongIdentity));
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_missed_where_one_is_required() {
    let stage = Stage::new();
    for (mtls, expected) in [
        (Mtls::Require, Err(Some(PeerRefusal::Missing))),
        (Mtls::Permissive, Err(Some(PeerRefusal::Missing))),
        (Mtls::None, Ok(None)),
    ] {
        let server = stage.server(mtls, &[]);
        // Names of the certificate are no matter here; its authority is.
        let users = stage.ca.svid(&SvidPlan { more: &["users.example"], ..SvidPlan::of(USERS) }).unwrap();
        adopt(&stage.users, material(&users, &stage.ca));
        let (near, far) = tokio::io::duplex(1 << 16);
        let connecting = async {
            let name = rustls_pki_types::ServerName::try_from("users.example").unwrap();
            let client = TlsConnector::from(stage.ca.client(&[], None).unwrap()).connect(name, far).await;
            if let Ok(mut stream) = client {
                let _ = stream.read_u8().await;
            }
        };
        let (settled, ()) = tokio::join!(accept(&server, near), connecting);
        assert_eq!(settled.map(|settled| settled.identity), expected, "{mtls:?}");
    }
}

#[tokio::test]
async fn plain_text_is_told_from_other_failures() {
    let stage = Stage::new();
    let server = stage.server(Mtls::Require, &[]);
    let (near, mut far) = tokio::io::duplex(1 << 16);
    far.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(accept(&server, near).await.unwrap_err(), Some(PeerRefusal::PlainText));
}

#[tokio::test]
async fn sessions_are_resumed_until_something_about_the_peer_changes() {
    let stage = Stage::new();
    let server = stage.server(Mtls::Require, &[]);
    let client = stage.client(&[USERS]);
    let kind = async || meet(&server, &client).await.server.unwrap().kind;
    assert_eq!(kind().await, Handshake::Full);
    assert_eq!(kind().await, Handshake::Resumed);
    // Our next SVID is shown at once, not when the session ends.
    stage.web_is(&SvidPlan::of("spiffe://td/sa/web2"));
    let met = meet(&server, &client).await.server.unwrap();
    assert_eq!((met.kind, met.identity.as_deref()), (Handshake::Full, Some("spiffe://td/sa/web2")));
    // The endpoint's next SVID is nothing to the session.
    stage.users_is(&SvidPlan::of(USERS));
    assert_eq!(kind().await, Handshake::Resumed);
    // Other authorities end all tickets.
    let mut material = material(&stage.ca.svid(&SvidPlan::of(USERS)).unwrap(), &stage.ca);
    material.bundle.push(Ca::new().unwrap().der());
    adopt(&stage.users, material);
    assert_eq!(kind().await, Handshake::Full);
}

#[tokio::test]
async fn a_resumed_session_is_asked_again_whether_it_holds_and_may() {
    let stage = Stage::new();
    stage.web_is(&SvidPlan { expires: 5, ..SvidPlan::of(WEB) });
    stage.users_is(&SvidPlan { expires: 5, ..SvidPlan::of(USERS) });
    let (server, client) = (stage.server(Mtls::Require, &[]), stage.client(&[USERS]));
    assert!(meet(&server, &client).await.client.is_ok());
    tokio::time::sleep(std::time::Duration::from_millis(6100)).await;
    // The endpoint is another one by now; what the client remembers of it has expired.
    stage.users_is(&SvidPlan::of(USERS));
    let met = meet(&server, &client).await;
    assert_eq!(met.client, Err(Some(PeerRefusal::Expired)));
    assert!(met.server.is_err());
    // The sessions are given up: what follows is a full handshake.
    stage.web_is(&SvidPlan::of(WEB));
    assert_eq!(meet(&server, &client).await.server.unwrap().kind, Handshake::Full);
}

#[tokio::test]
async fn an_identity_that_has_not_come_is_waited_for() {
    let stage = Stage::new();
    let late = new("late");
    let spec = ListenerIdentity {
        identity: "late".into(),
        mtls: Mtls::Require,
        peers: Vec::new(),
        allow_tls12: false,
    };
    let server = ServerTls::load(&ListenerTls::Identity(spec), |_| Some(Arc::clone(&late))).unwrap();
    assert!(server.config().is_none());
    let svid = material(&stage.ca.svid(&SvidPlan::of(USERS)).unwrap(), &stage.ca);
    let coming = async { adopt(&late, svid) };
    tokio::join!(server.arrival(), coming);
    assert!(server.config().is_some());
    assert_eq!(meet(&server, &stage.client(&[USERS])).await.server.unwrap().identity.as_deref(), Some(WEB));
}

#[test]
fn the_uri_that_policies_see_is_the_one_that_was_verified() {
    let leaf = Ca::new().unwrap().svid(&SvidPlan::of(WEB)).unwrap();
    assert_eq!(PeerIdentity::of(&[leaf.der()]).unwrap().uri.as_deref(), Some(WEB));
    // The provider of the process prefers the hybrid key exchange.
    let groups = &provider().kx_groups;
    assert_eq!(groups[0].name().as_str(), Some("X25519MLKEM768"));
}
