//! Where from: networks, and names in TLS.

use std::net::IpAddr;

/// Addresses that begin alike.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or a single address.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let refused =
            || format!("\"{text}\" is not a network: write \"10.0.0.0/8\", \"fd00::/8\" or one address");
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(refused)?,
        };
        let network = Network { first, bits };
        if value(first) != network.masked(value(first)) {
            return Err(format!("\"{text}\" has bits behind its first {bits}, which count for nothing"));
        }
        Ok(network)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.masked(value(address)) == value(self.first)
    }

    fn masked(&self, value: u128) -> u128 {
        let width = if self.first.is_ipv4() { 32 } else { 128 };
        let rest = width - u32::from(self.bits);
        u128::MAX.checked_shl(rest).map_or(0, |mask| value & mask)
    }
}

fn value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A name that callers ask for in TLS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Exact(String),
    /// With the dot it begins with.
    Below(String),
}

impl Name {
    /// `db.example`, or `*.example` for every name below.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let lower = text.trim_end_matches('.').to_ascii_lowercase();
        let (name, below) = lower.strip_prefix("*.").map_or((&*lower, false), |name| (name, true));
        let legal = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !name.split('.').all(legal) {
            return Err(format!(
                "\"{text}\" is not a name: write \"db.example\", or \"*.example\" for all below"
            ));
        }
        Ok(if below { Name::Below(format!(".{name}")) } else { Name::Exact(name.to_owned()) })
    }

    pub(crate) fn matches(&self, asked: &str) -> bool {
        let asked = asked.trim_end_matches('.');
        match self {
            Name::Exact(name) => asked.eq_ignore_ascii_case(name),
            Name::Below(suffix) => {
                let at = asked.len().checked_sub(suffix.len()).filter(|at| *at > 0);
                at.and_then(|at| asked.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_begins_as_it_does() {
        for (network, address, contains) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::a00:1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::1/128", "2001:db8::2", false),
        ] {
            let parsed = Network::new(network).unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), contains, "{network} {address}");
        }
        for bad in ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "a/8"]
        {
            assert!(Network::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_that_name_or_all_below() {
        for (name, asked, fits) in [
            ("db.example", "db.example", true),
            ("DB.Example.", "db.example", true),
            ("db.example", "x.db.example", false),
            ("*.example", "db.example", true),
            ("*.example", "a.b.example", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "badexample", false),
        ] {
            assert_eq!(Name::new(name).unwrap().matches(asked), fits, "{name} {asked}");
        }
        for bad in ["", "*", "*.", "a..b", "*.*.b", "a b", ".a"] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
