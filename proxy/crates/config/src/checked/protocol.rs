//! What is spoken at a listener, and what proxies before and behind this one say of callers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is spoken at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP.
    Http,
    /// Anything; the listener has a cluster.
    Tcp,
    /// TLS that ends elsewhere; the listener has a cluster, names, or both.
    TlsPassthrough,
    /// What the first bytes say; the listener has a cluster.
    Detect,
}

impl ListenerProtocol {
    /// As it is configured.
    pub const fn name(self) -> &'static str {
        match self {
            ListenerProtocol::Http => "http",
            ListenerProtocol::Tcp => "tcp",
            ListenerProtocol::TlsPassthrough => "tls_passthrough",
            ListenerProtocol::Detect => "detect",
        }
    }
}

/// A proxy before a listener says who its callers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Whether it has to.
    pub mode: ProxyProtocolMode,
    /// Who is believed; at least one.
    pub from: Vec<Network>,
}

/// Whether connections have to begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocolMode {
    /// One without is refused.
    Require,
    /// One without speaks for itself.
    Accept,
}

/// The version of the PROXY protocol that endpoints are told a caller's address in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocolVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// IP addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The first of them.
    pub address: IpAddr,
    /// How many bits they have in common.
    pub bits: u8,
}

impl Network {
    /// Those that begin as `address` does. `bits` beyond its length count as that.
    pub fn new(address: IpAddr, bits: u8) -> Network {
        match address {
            IpAddr::V4(ip) => {
                let kept = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
                Network { address: Ipv4Addr::from_bits(ip.to_bits() & kept).into(), bits: bits.min(32) }
            }
            IpAddr::V6(ip) => {
                let kept = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
                Network { address: Ipv6Addr::from_bits(ip.to_bits() & kept).into(), bits: bits.min(128) }
            }
        }
    }

    /// Whether an address is one of them. An IPv4 address is one however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && Network::new(address, self.bits).address == self.address
    }
}

/// How a listener treats `X-Forwarded-*` and `Forwarded` fields of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// Replace whatever the caller sent: right at an edge, where callers are not believed.
    #[default]
    Replace,
    /// Add to what the caller sent (behind another proxy).
    Append,
    /// Pass as received.
    Keep,
}
