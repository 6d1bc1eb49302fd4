//! Networks: addresses that begin alike.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
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
        let refuse = |help: String| Rejection::new(format!("`{text}` is not a network"), help);
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address
            .parse()
            .map_err(|_| refuse("write an IP network: \"10.0.0.0/8\", \"fd00::/8\"".into()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(|| refuse(format!("the number of bits is 0 to {most}")))?,
        };
        let network = checked::Network::new(address, bits);
        if network.address != address {
            return Err(refuse(format!("bits are set beyond the first {bits}: \"{network}\"")));
        }
        Ok(Network(network))
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
}
