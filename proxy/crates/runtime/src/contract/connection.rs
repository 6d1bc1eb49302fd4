//! What `on-connection` is shown and answers. Apart from the other types because none of it is part of an exchange.

use wasmtime::component::{ComponentType, Lift, Lower};

/// A party's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct Address<'a> {
    /// IPv4 or IPv6, without brackets.
    pub ip: &'a str,
    /// The port.
    pub port: u16,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub enum Protocol {
    /// Bytes.
    #[default]
    #[component(name = "tcp")]
    Tcp,
    /// TLS that does not end here.
    #[component(name = "tls")]
    Tls,
    /// HTTP/1.
    #[component(name = "http1")]
    Http1,
    /// HTTP/2.
    #[component(name = "http2")]
    Http2,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub struct ConnectionView<'a> {
    /// The listener's name.
    pub listener: &'a str,
    /// What is spoken.
    pub protocol: Protocol,
    /// TLS ended here.
    pub secure: bool,
    /// The caller; none on a Unix socket.
    pub peer: Option<Address<'a>>,
    /// Where it came in; none on a Unix socket.
    pub local: Option<Address<'a>>,
    /// Where the caller meant to go.
    pub destination: Option<Address<'a>>,
    /// The name asked for in TLS, in lower case.
    pub sni: Option<&'a str>,
    /// URI SAN of the caller's certificate.
    pub identity: Option<&'a str>,
}

/// What becomes of a connection.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub enum Verdict {
    /// It goes on, perhaps to this position in [`Interest::clusters`](super::Interest::clusters).
    #[component(name = "pass")]
    Pass(Option<u32>),
    /// It is closed, for this reason.
    #[component(name = "refuse")]
    Refuse(String),
}
