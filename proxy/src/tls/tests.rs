//! Handshakes between what the proxy loads from files and the clients of the test kit.

use super::{
    server::{Settled, failed_handshake},
    *,
};
use crate::telemetry::metrics::Handshake;
use rustls::{ClientConfig, ProtocolVersion, ServerConfig, version::TLS12};
use std::{fs, io, path::Path};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weir_config::checked::{
    Address, Certificate, ClientAuth, ListenerCertificates, ListenerTls, UpstreamNames, UpstreamProtocol,
    UpstreamTls,
};
use weir_testkit::{Ca, Leaf};

struct Files {
    folder: TempDir,
    ca: Ca,
}

impl Files {
    fn new() -> Self {
        Files { folder: tempfile::tempdir().unwrap(), ca: Ca::new().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn certificate(&self, file: &str, names: &[&str]) -> Certificate {
        let (cert, key) = self.ca.leaf(names).unwrap().write_to(self.path(), file).unwrap();
        Certificate { cert, key }
    }

    fn listener(&self, client_auth: ClientAuth) -> ListenerCertificates {
        ListenerCertificates {
            certificates: vec![
                self.certificate("first", &["first.example"]),
                self.certificate("second", &["second.example"]),
            ],
            client_auth,
            client_ca: (client_auth != ClientAuth::None)
                .then(|| self.ca.write_to(self.path(), "callers").unwrap()),
            allow_tls12: false,
        }
    }

    fn client(&self, alpn: &[&str], certificate: Option<&Leaf>) -> ClientConfig {
        ClientConfig::clone(&self.ca.client(alpn, certificate).unwrap())
    }
}

fn load(spec: &ListenerCertificates) -> Result<ServerTls, TlsError> {
    ServerTls::load(&ListenerTls::Certificates(spec.clone()), |_| None)
}

fn client(spec: &UpstreamNames, protocol: UpstreamProtocol) -> ClientTls {
    ClientTls::load(&UpstreamTls::Names(spec.clone()), protocol, |_| None).unwrap()
}

/// What the two sides made of a handshake.
struct Met {
    server: io::Result<(Settled, ProtocolVersion, &'static str)>,
    /// The certificate the client was shown.
    shown: io::Result<Vec<u8>>,
}

async fn meet(tls: &ServerTls, client: Arc<ClientConfig>, name: ServerNameOwned) -> Met {
    let server: Arc<ServerConfig> = tls.config().unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let accepting = async {
        let mut stream = TlsAcceptor::from(server).accept(near).await?;
        let connection = stream.get_ref().1;
        let group = connection.negotiated_key_exchange_group().map(|group| group.name());
        let settled = tls.settle(connection).unwrap();
        let version = connection.protocol_version().unwrap();
        stream.write_all(b"!").await?;
        stream.shutdown().await?;
        Ok((settled, version, group.and_then(|name| name.as_str()).unwrap_or("none")))
    };
    let connecting = async {
        let mut stream = TlsConnector::from(client).connect(name, far).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        // The tickets travel before the byte; a server that refused says so instead.
        stream.read_u8().await?;
        Ok(shown)
    };
    let (server, shown) = tokio::join!(accepting, connecting);
    Met { server, shown }
}

type ServerNameOwned = rustls_pki_types::ServerName<'static>;

fn name(name: &str) -> ServerNameOwned {
    ServerNameOwned::try_from(name.to_owned()).unwrap()
}

async fn call(server: &ServerTls, client: &Arc<ClientConfig>, to: &str) -> Met {
    meet(server, client.clone(), name(to)).await
}

#[tokio::test]
async fn a_caller_gets_the_certificate_it_asks_for_and_the_newest_of_everything() {
    let files = Files::new();
    let server = load(&files.listener(ClientAuth::None)).unwrap();
    let client = Arc::new(files.client(&["http/1.1", "h2"], None));
    let met = call(&server, &client, "second.example").await;
    let (settled, version, group) = met.server.unwrap();
    assert_eq!(settled.sni.as_deref(), Some("second.example"));
    assert!(settled.http2);
    assert_eq!((settled.identity, settled.kind), (None, Handshake::Full));
    assert_eq!((version, group), (ProtocolVersion::TLSv1_3, "X25519MLKEM768"));
    assert!(met.shown.is_ok());
}

#[tokio::test]
async fn a_name_that_no_certificate_has_is_shown_the_first() {
    let files = Files::new();
    let server = load(&files.listener(ClientAuth::None)).unwrap();
    let client = Arc::new(files.client(&[], None));
    let met = call(&server, &client, "unknown.example").await;
    let refused = met.shown.unwrap_err().to_string();
    assert!(refused.contains("first.example"), "{refused}");
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_it_is_allowed() {
    let files = Files::new();
    let mut spec = files.listener(ClientAuth::None);
    let old = |files: &Files| {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(rustls_pki_types::pem::PemObject::from_pem_slice(files.ca.pem().as_bytes()).unwrap())
            .unwrap();
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS12]).unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    let strict = load(&spec).unwrap();
    let met = call(&strict, &old(&files), "first.example").await;
    assert_eq!(failed_handshake(&met.server.unwrap_err()), Handshake::Failed);

    spec.allow_tls12 = true;
    let lenient = load(&spec).unwrap();
    let met = call(&lenient, &old(&files), "first.example").await;
    assert_eq!(met.server.unwrap().1, ProtocolVersion::TLSv1_2);
}

#[tokio::test]
async fn callers_are_known_by_the_uri_in_their_certificate() {
    let files = Files::new();
    let cart = files.ca.leaf(&["spiffe://example.org/cart"]).unwrap();
    for client_auth in [ClientAuth::Request, ClientAuth::Require] {
        let server = load(&files.listener(client_auth)).unwrap();
        let client = Arc::new(files.client(&[], Some(&cart)));
        let met = call(&server, &client, "first.example").await;
        let settled = met.server.unwrap().0;
        assert_eq!(settled.identity.as_deref(), Some("spiffe://example.org/cart"));
    }
}

#[tokio::test]
async fn a_caller_without_certificate_passes_only_where_it_is_a_request() {
    let files = Files::new();
    let client = Arc::new(files.client(&[], None));
    let asking = load(&files.listener(ClientAuth::Request)).unwrap();
    assert_eq!(call(&asking, &client, "first.example").await.server.unwrap().0.identity, None);

    let insisting = load(&files.listener(ClientAuth::Require)).unwrap();
    let met = call(&insisting, &client, "first.example").await;
    assert_eq!(failed_handshake(&met.server.unwrap_err()), Handshake::ClientCertificate);
    assert!(met.shown.is_err());
}

#[tokio::test]
async fn a_certificate_of_a_strange_authority_is_refused_even_where_none_is_needed() {
    let files = Files::new();
    let stranger = Ca::new().unwrap().leaf(&["spiffe://example.org/cart"]).unwrap();
    let server = load(&files.listener(ClientAuth::Request)).unwrap();
    let client = Arc::new(files.client(&[], Some(&stranger)));
    let met = call(&server, &client, "first.example").await;
    assert_eq!(failed_handshake(&met.server.unwrap_err()), Handshake::ClientCertificate);
}

/// Takes changed files over; whether there were any.
fn renewed(server: &ServerTls) -> bool {
    let renewed = server.read_again().unwrap();
    renewed.iter().for_each(|files| server.adopt(files));
    renewed.is_some()
}

#[tokio::test]
async fn sessions_are_resumed_after_new_certificates_but_not_after_new_roots() {
    let files = Files::new();
    let spec = files.listener(ClientAuth::Require);
    let server = load(&spec).unwrap();
    let cart = files.ca.leaf(&["spiffe://example.org/cart"]).unwrap();
    let client = Arc::new(files.client(&[], Some(&cart)));
    let kind = async || call(&server, &client, "first.example").await.server.unwrap().0.kind;
    assert_eq!(kind().await, Handshake::Full);
    assert_eq!(kind().await, Handshake::Resumed);

    files.certificate("first", &["first.example"]);
    assert!(renewed(&server));
    assert_eq!(kind().await, Handshake::Resumed);

    let more_roots = files.ca.pem() + &Ca::new().unwrap().pem();
    fs::write(spec.client_ca.as_ref().unwrap(), more_roots).unwrap();
    assert!(renewed(&server));
    assert_eq!(kind().await, Handshake::Full);
}

#[tokio::test]
async fn changed_files_come_into_force_whole_or_not_at_all() {
    let files = Files::new();
    let spec = files.listener(ClientAuth::None);
    let server = load(&spec).unwrap();
    let shown = async || {
        let client = Arc::new(files.client(&[], None));
        call(&server, &client, "first.example").await.shown.unwrap()
    };
    let before = shown().await;
    assert!(!renewed(&server));

    let next = files.ca.leaf(&["first.example"]).unwrap();
    fs::write(&spec.certificates[0].cert, next.pem()).unwrap();
    let error = server.read_again().err().unwrap();
    assert_eq!(error.file, spec.certificates[0].cert);
    assert!(matches!(error.fault, TlsFault::KeyMismatch(_)), "{error}");
    assert_eq!(shown().await, before);

    fs::write(&spec.certificates[0].key, next.key_pem()).unwrap();
    assert!(renewed(&server));
    assert_eq!(shown().await, next.der().to_vec());
}

#[tokio::test]
async fn both_sides_of_the_proxy_meet_with_certificates_of_their_own() {
    let files = Files::new();
    let server = load(&files.listener(ClientAuth::Require)).unwrap();
    let mut spec = UpstreamNames {
        ca: Some(files.ca.write_to(files.path(), "origins").unwrap()),
        server_name: Some("second.example".into()),
        certificate: Some(files.certificate("proxy", &["spiffe://example.org/weir"])),
        allow_tls12: false,
    };
    let endpoint = Address::Tcp(([127, 0, 0, 1], 443).into());
    for (protocol, http2) in
        [(UpstreamProtocol::H1, false), (UpstreamProtocol::H2, true), (UpstreamProtocol::Auto, true)]
    {
        let client = client(&spec, protocol);
        let to = client.server_name(&endpoint).unwrap();
        let settled = meet(&server, client.config().unwrap(), to).await.server.unwrap().0;
        assert_eq!(settled.http2, http2);
        assert_eq!(settled.identity.as_deref(), Some("spiffe://example.org/weir"));
    }

    spec.server_name = None;
    let client = client(&spec, UpstreamProtocol::Auto);
    let to = client.server_name(&endpoint).unwrap();
    assert!(meet(&server, client.config().unwrap(), to).await.shown.is_err(), "no certificate has 127.0.0.1");
    let named = Address::Name { host: "second.example".into(), port: 443 };
    assert_eq!(client.server_name(&named), Some(name("second.example")));
    assert_eq!(client.server_name(&Address::Unix("/run/origin".into())), None);
}

#[test]
fn clients_without_roots_of_their_own_trust_the_public_ones_and_reload() {
    let files = Files::new();
    let certificate = files.certificate("proxy", &["weir.example"]);
    let spec = UpstreamNames {
        ca: None,
        server_name: None,
        certificate: Some(certificate.clone()),
        allow_tls12: true,
    };
    let client = client(&spec, UpstreamProtocol::Auto);
    let before = client.config().unwrap();
    assert!(client.read_again().unwrap().is_none());
    assert!(Arc::ptr_eq(&before, &client.config().unwrap()));
    files.certificate("proxy", &["weir.example"]);
    client.adopt(&client.read_again().unwrap().unwrap());
    assert!(!Arc::ptr_eq(&before, &client.config().unwrap()));
    fs::remove_file(&certificate.key).unwrap();
    assert_eq!(client.read_again().err().unwrap().file, certificate.key);
}

#[test]
fn each_bad_file_is_named_with_what_is_wrong() {
    let files = Files::new();
    let good = files.listener(ClientAuth::None);
    let one = &good.certificates[0];
    let (cert, key) = (fs::read_to_string(&one.cert).unwrap(), fs::read_to_string(&one.key).unwrap());
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = cert.replace("-----END CERTIFICATE-----", "");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let short_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let large = "#".repeat((1 << 20) + 1);
    let cases = [
        (&one.cert, "", "holds no certificate"),
        (&one.cert, key.as_str(), "holds no certificate"),
        (&one.cert, cut.as_str(), "is not legal PEM"),
        (&one.cert, garbage, "holds a malformed certificate"),
        (&one.cert, large.as_str(), "is too large"),
        (&one.key, cert.as_str(), "holds no private key"),
        (&one.key, encrypted.as_str(), "holds an encrypted private key"),
        (&one.key, short_key, "holds a key that cannot be used"),
    ];
    for (file, content, expected) in cases {
        fs::write(&one.cert, &cert).unwrap();
        fs::write(&one.key, &key).unwrap();
        fs::write(file, content).unwrap();
        let error = load(&good).map(|_| ()).unwrap_err();
        assert_eq!(&error.file, file);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.hint().is_empty());
    }
    fs::remove_file(&one.key).unwrap();
    let error = load(&good).map(|_| ()).unwrap_err();
    assert!(matches!(error.fault, TlsFault::Unreadable(_)) && error.file == one.key, "{error}");
}

#[test]
fn asking_for_certificates_without_roots_is_refused() {
    let files = Files::new();
    let mut spec = files.listener(ClientAuth::Require);
    spec.client_ca = None;
    let error = load(&spec).map(|_| ()).unwrap_err();
    assert!(matches!(error.fault, TlsFault::NoClientCa), "{error}");
}
