//! `[listeners.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Duration, FilePath, List, ListenerAddress, Name, Network, PeerPattern, Size, Upgrade};
use crate::checked::{ClientAuth, Forwarded, Mtls, ProxyProtocolMode, RequestTimeouts};

/// A place where traffic enters.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(crate) struct Listener {
    /// Where to listen.
    #[schemars(example = "0.0.0.0:8443", example = "unix:/run/weir.sock")]
    pub(crate) address: Option<ListenerAddress>,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
    /// The filters that every connection and every exchange passes, by name, in order; responses pass them in
    /// reverse. A listener needs a chain, a cluster, or both. Where no HTTP is spoken each of the filters has to
    /// decide on connections.
    #[schemars(example = json!(["routes", "login"]))]
    pub(crate) chain: List<Name>,
    /// Where an exchange, or a connection that carries no HTTP, goes when no filter chose a cluster.
    #[schemars(example = &"users")]
    pub(crate) cluster: Option<Name>,
    /// Terminate TLS. Without this section the listener speaks plain text.
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) limits: ListenerLimits,
    /// What becomes of `Forwarded` and `X-Forwarded-*` fields that the caller sent.
    pub(crate) forwarded: Forwarded,
    /// What becomes of `grpc-timeout` and `x-request-timeout` (`250ms`, `2s`) fields, in which callers say how long
    /// they wait. They can only shorten what an exchange may take.
    pub(crate) request_timeouts: RequestTimeouts,
    /// Protocols that a caller may change to, if the endpoint agrees: over HTTP/1.1 with `Upgrade`, over HTTP/2 with
    /// extended CONNECT. A request for another one is answered 501.
    #[schemars(example = json!(["websocket"]))]
    pub(crate) upgrades: List<Upgrade>,
    /// Take `CONNECT`: policies see the authority that was asked for, and the tunnel leads to an endpoint of the
    /// cluster they choose, never to the authority itself. Otherwise it is answered 501.
    pub(crate) connect: bool,
    /// Only for `tls_passthrough`: clusters by the name asked for, exact or `*.suffix` (which is any number of labels
    /// before the suffix). The exact one wins, then the longest suffix, then `cluster`; without that, the connection
    /// is refused.
    #[schemars(example = json!({ "db.example.com": "db", "*.example.com": "others" }))]
    pub(crate) sni: BTreeMap<String, String>,
    pub(crate) proxy_protocol: Option<ProxyProtocolIn>,
    /// The system leads connections here that were going elsewhere (`weir capture install`). A connection made to
    /// this address itself, or by this proxy, is refused.
    pub(crate) captured: bool,
    /// Only with `captured`: clusters by where a connection was going - `network`, `network:port` or `:port`, with IPv6
    /// in brackets where a port follows. The longest network wins, then one with a port; what none fits goes to
    /// `cluster` and, without that, is refused. For HTTP this is where exchanges go for which no filter chose a cluster.
    #[schemars(example = json!({ "10.1.0.0/16:8080": "users", "[fd00::]/8:8080": "users", ":5432": "db" }))]
    pub(crate) destinations: BTreeMap<String, String>,
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            address: None,
            protocol: Protocol::default(),
            chain: List::default(),
            cluster: None,
            tls: None,
            limits: ListenerLimits::default(),
            forwarded: Forwarded::default(),
            request_timeouts: RequestTimeouts::default(),
            upgrades: List::of([Upgrade("websocket".into())]),
            connect: false,
            sni: BTreeMap::new(),
            proxy_protocol: None,
            captured: false,
            destinations: BTreeMap::new(),
        }
    }
}

#[derive(Default, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    /// HTTP/1.1, and HTTP/2: over TLS by ALPN, in plain text by prior knowledge.
    #[default]
    Http,
    /// Anything, server first or client first: connections go to the listener's cluster, or to that which a filter of
    /// the chain chose. With `tls`, TLS ends here.
    Tcp,
    /// TLS that ends elsewhere: connections go, as they are, to the cluster that `sni` has for the name they ask for,
    /// or to the listener's cluster, unless a filter of the chain chose another.
    TlsPassthrough,
    /// What the first bytes say: HTTP passes the chain, TLS ends here if there is `tls`, and everything else goes to
    /// the listener's cluster as TCP; of that, filters that decide on connections see the connection, and others
    /// nothing. So does who says nothing for `detect_timeout`: servers that speak first do not
    /// wait.
    Detect,
}

/// A proxy before this one says who its callers are (PROXY protocol, versions 1 and 2).
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["from"]))]
pub(crate) struct ProxyProtocolIn {
    /// Whether each connection has to begin with a header.
    pub(crate) mode: ProxyProtocolMode,
    /// Who is believed. Others are refused where a header is required, and otherwise speak for themselves.
    #[schemars(length(min = 1), example = json!(["10.0.0.0/8", "fd00::/8"]))]
    pub(crate) from: List<Network>,
}

impl Default for ProxyProtocolIn {
    fn default() -> ProxyProtocolIn {
        ProxyProtocolIn { mode: ProxyProtocolMode::Require, from: List::default() }
    }
}

/// TLS towards callers, with `certificates` or with an `identity`; ALPN offers `h2` and `http/1.1`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenerTls {
    /// The one that covers the name the caller asks for (SNI) is shown; else the first.
    #[schemars(length(min = 1), example = json!([{ "cert": "web.pem", "key": "web.key" }]))]
    pub(crate) certificates: List<Certificate>,
    /// Whether callers have to show a certificate.
    pub(crate) client_auth: ClientAuth,
    /// PEM file of the roots that callers' certificates must chain to. Needed unless `client_auth` is `"none"`.
    #[schemars(example = "clients.pem")]
    pub(crate) client_ca: Option<FilePath>,
    /// Show this identity, one of `[identities.NAME]`, in place of certificates.
    #[schemars(example = &"cart")]
    pub(crate) identity: Option<Name>,
    /// With an identity: what is asked of callers.
    pub(crate) mtls: Mtls,
    /// With an identity: who may call, as patterns; policies see who does as `@peer.identity`. Every workload of
    /// the identity's trust domain if absent.
    #[schemars(example = json!(["spiffe://shop.example/ns/*/sa/web"]))]
    pub(crate) peers: List<PeerPattern>,
    /// Accept TLS 1.2 beside 1.3. If absent: with certificates yes, with an identity no.
    #[schemars(example = true)]
    pub(crate) allow_tls12: Option<bool>,
}

impl Default for ListenerTls {
    fn default() -> ListenerTls {
        ListenerTls {
            certificates: List::default(),
            client_auth: ClientAuth::None,
            client_ca: None,
            identity: None,
            mtls: Mtls::default(),
            peers: List::default(),
            allow_tls12: None,
        }
    }
}

/// A certificate and its key.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["cert", "key"]))]
pub(crate) struct Certificate {
    /// PEM file: the certificate, then those that lead to its root.
    #[schemars(example = "web.pem")]
    pub(crate) cert: Option<FilePath>,
    /// PEM file of the private key.
    #[schemars(example = "web.key")]
    pub(crate) key: Option<FilePath>,
}

/// What the listener bears. Beyond a limit an exchange is refused, and counted under that limit's name.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenerLimits {
    /// Connections at once, over all workers.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(crate) connections: u32,
    /// Bytes of a request head; longer ones are answered 431.
    #[schemars(extend("x-least" = "1KiB", "x-most" = "1MiB"))]
    pub(crate) head: Size,
    /// Fields in a request head; more are answered 431.
    #[schemars(range(min = 1, max = 4096))]
    pub(crate) fields: u32,
    /// Bytes of a request body; longer ones are answered 413. Unlimited if absent.
    #[schemars(extend("x-least" = "0B", "x-most" = "1024GiB"), example = "16MiB")]
    pub(crate) body: Option<Size>,
    /// From the first byte to the end of the TLS handshake.
    #[schemars(extend("x-least" = "10ms", "x-most" = "10m"))]
    pub(crate) tls_handshake_timeout: Duration,
    /// From the first byte of a request head to its last; later is answered 408.
    #[schemars(extend("x-least" = "10ms", "x-most" = "10m"))]
    pub(crate) head_timeout: Duration,
    /// How long a connection may be without an exchange.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1d"))]
    pub(crate) idle_timeout: Duration,
    /// The longest silence while a body is in transit, in either direction.
    #[schemars(extend("x-least" = "10ms", "x-most" = "1d"))]
    pub(crate) body_timeout: Duration,
    /// How long the first bytes are waited for where `protocol` is `detect`.
    #[schemars(extend("x-least" = "1ms", "x-most" = "10s"))]
    pub(crate) detect_timeout: Duration,
    /// The longest silence in a tunnel (a WebSocket, `CONNECT`) or a TCP connection, both directions together.
    #[schemars(extend("x-least" = "10ms", "x-most" = "30d"))]
    pub(crate) tunnel_idle_timeout: Duration,
    /// Concurrent streams of one HTTP/2 connection.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) streams: u32,
    /// Requests served on one connection before it is closed gracefully. Unlimited if absent.
    #[schemars(range(min = 1, max = 1_000_000_000), example = 1000)]
    pub(crate) requests: Option<u64>,
}

impl Default for ListenerLimits {
    fn default() -> ListenerLimits {
        ListenerLimits {
            connections: 10_000,
            head: Size::kib(64),
            fields: 128,
            body: None,
            tls_handshake_timeout: Duration::seconds(10),
            head_timeout: Duration::seconds(10),
            idle_timeout: Duration::seconds(60),
            body_timeout: Duration::seconds(60),
            detect_timeout: Duration::milliseconds(50),
            tunnel_idle_timeout: Duration::seconds(3600),
            streams: 128,
            requests: None,
        }
    }
}
