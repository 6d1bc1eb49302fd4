//! Keeps browsers away. A page that an operator happens to visit can send requests to loopback, and with a name
//! that it lets lead there (DNS rebinding) it can also read the answers. The one is told by `Origin`, which
//! every browser sends along with such a POST; the other by a `Host` that is a name.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Uri,
    header::{HOST, HeaderName, ORIGIN},
};

/// What a browser says of a request that a page made it send.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not answered, if it is not.
pub(super) fn check(target: &Uri, fields: &HeaderMap) -> Result<(), &'static str> {
    let foreign = fields.get(SEC_FETCH_SITE).is_some_and(|site| site != "none" && site != "same-origin");
    if fields.contains_key(ORIGIN) || foreign {
        return Err("requests of web pages are not answered");
    }
    let host = match target.host() {
        Some(host) => Some(host),
        None => fields.get(HOST).map(|host| host.to_str().map(without_port).unwrap_or_default()),
    };
    match host {
        None => Ok(()),
        Some(host) if host.eq_ignore_ascii_case("localhost") || is_address(host) => Ok(()),
        Some(_) => Err("the host must be an IP address or localhost"),
    }
}

fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&'static str, &str)]) -> bool {
        let fields: HeaderMap = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        check(&Uri::from_static("/reload"), &fields).is_ok()
    }

    #[test]
    fn tools_are_answered_under_an_address() {
        for host in ["127.0.0.1:9901", "127.0.0.1", "[::1]:9901", "[::1]", "localhost:1", "LOCALHOST"] {
            assert!(asked(&[("host", host)]), "{host}");
        }
        assert!(asked(&[]));
    }

    #[test]
    fn pages_are_not_answered() {
        for host in ["rebound.example:9901", "rebound.example", "127.0.0.1.example", "", "localhost.example"]
        {
            assert!(!asked(&[("host", host)]), "{host}");
        }
        assert!(!asked(&[("host", "127.0.0.1"), ("origin", "https://page.example")]));
        assert!(!asked(&[("host", "127.0.0.1"), ("origin", "null")]));
        assert!(!asked(&[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")]));
        assert!(asked(&[("host", "127.0.0.1"), ("sec-fetch-site", "none")]));
    }
}
