//! Networks: addresses that begin alike; and destinations, which may have a port besides.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
    str::FromStr,
};

use super::value::{Leaf, Rejection, leaf, written};
use crate::checked;

leaf!(Network);

/// An address and how many of its bits count.
pub(crate) struct Network(pub(crate) checked::Network);

impl Leaf for Network {
    const FORMAT: &'static str = "network";
    const MEANING: &'static str = "An IP network or a single address: `\"10.0.0.0/8\"`, `\"fd00::/8\"`, \
        `\"192.0.2.1\"`.";

    fn parse(text: &str) -> Result<Network, Rejection> {
        text.parse()
            .map(Network)
            .map_err(|help: String| Rejection::new(format!("`{text}` is not a network"), help))
    }
}

impl FromStr for checked::Network {
    /// How it is written.
    type Err = String;

    fn from_str(text: &str) -> Result<checked::Network, String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr =
            address.parse().map_err(|_| "write an IP network: \"10.0.0.0/8\", \"fd00::/8\"".to_owned())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("the number of bits is 0 to {most}"))?,
        };
        let network = checked::Network::new(address, bits);
        if network.address != address {
            return Err(format!("bits are set beyond the first {bits}: \"{network}\""));
        }
        Ok(network)
    }
}

impl FromStr for checked::Destination {
    /// How it is written.
    type Err = String;

    fn from_str(text: &str) -> Result<checked::Destination, String> {
        let port = |text: &str| {
            let port = text.parse().ok().filter(|port| *port > 0);
            port.ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
        };
        if let Some(alone) = text.strip_prefix(':').filter(|rest| !rest.starts_with(':')) {
            return Ok(checked::Destination { network: None, port: Some(port(alone)?) });
        }
        let help =
            || "write a network, a port, or both: \"10.0.0.0/8\", \":5432\", \"[fd00::]/8:443\"".to_owned();
        let (network, behind) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or_else(help)?;
            let (bits, behind) = match rest.split_once(':') {
                Some((bits, behind)) => (bits, Some(behind)),
                None => (rest, None),
            };
            (format!("{address}{bits}"), behind)
        } else {
            // An IPv6 address without brackets has no port.
            match text.split_once(':').filter(|(_, rest)| !rest.contains(':')) {
                Some((network, behind)) => (network.to_owned(), Some(behind)),
                None => (text.to_owned(), None),
            }
        };
        let network: checked::Network = match network.parse() {
            Ok(network) => network,
            Err(_) if !network.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') => return Err(help()),
            Err(why) => return Err(why),
        };
        Ok(checked::Destination { network: Some(network), port: behind.map(port).transpose()? })
    }
}

impl Display for checked::Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

written! {
    Network: self, f => self.0.fmt(f);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_hold_their_addresses() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("::/0", "::1", "1.2.3.4"),
        ] {
            let network = Network::parse(text).unwrap().0;
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {text}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} not in {text}");
        }
    }

    #[test]
    fn what_is_not_a_network_is_refused_with_the_right_form() {
        for (text, help) in [
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.1/8", "\"10.0.0.0/8\""),
            ("proxy.example", "\"10.0.0.0/8\""),
            ("10.0.0.0/", "0 to 32"),
        ] {
            let rejection = Network::parse(text).err().unwrap();
            assert!(rejection.help.contains(help), "{text}: {}", rejection.help);
        }
    }

    #[test]
    fn destinations_are_networks_ports_or_both() {
        let parsed = |text: &str| text.parse::<checked::Destination>();
        let network = |text: &str| Some(text.parse::<checked::Network>().unwrap());
        for (text, network, port) in [
            (":5432", None, Some(5432)),
            ("10.0.0.0/8", network("10.0.0.0/8"), None),
            ("10.0.0.0/8:80", network("10.0.0.0/8"), Some(80)),
            ("192.0.2.1:80", network("192.0.2.1"), Some(80)),
            ("fd00::/8", network("fd00::/8"), None),
            ("::1", network("::1"), None),
            ("[fd00::]/8", network("fd00::/8"), None),
            ("[fd00::]/8:443", network("fd00::/8"), Some(443)),
            ("[::1]:443", network("::1"), Some(443)),
        ] {
            assert_eq!(parsed(text), Ok(checked::Destination { network, port }), "{text}");
        }
        for (text, help) in [
            ("", "a port, or both"),
            (":", "1 to 65535"),
            (":0", "1 to 65535"),
            ("10.0.0.0/8:http", "1 to 65535"),
            ("10.0.0.1/8:80", "\"10.0.0.0/8\""),
            ("10.0.0.0/33:80", "0 to 32"),
            ("users.internal:80", "a port, or both"),
            ("[fd00::/8:443", "a port, or both"),
            ("[10.0.0.1]:", "1 to 65535"),
        ] {
            let help_told = parsed(text).unwrap_err();
            assert!(help_told.contains(help), "{text}: {help_told}");
        }
    }
}
