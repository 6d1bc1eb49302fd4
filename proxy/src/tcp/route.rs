//! Where TLS that passes goes: by the name it asks for.

use weir_config::checked::{ClusterId, Listener};

/// The cluster for a name in lower case: the exact name's, else the longest suffix's, else the connection's own, else the
/// listener's.
pub fn route(listener: &Listener, name: Option<&str>, own: Option<ClusterId>) -> Option<ClusterId> {
    let found = name.and_then(|name| {
        let exact = listener.sni.get(name);
        exact.or_else(|| {
            let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
            dots.map(|(at, _)| &name[at..]).find_map(|suffix| listener.sni.get(&*format!("*{suffix}")))
        })
    });
    found.copied().or(own).or(listener.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_name_wins_then_the_longest_suffix() {
        let text = r#"
            [listeners.tls]
            address = "127.0.0.1:0"
            protocol = "tls_passthrough"
            cluster = "others"
            [listeners.tls.sni]
            "a.example.com" = "exact"
            "*.example.com" = "suffix"
            "*.b.example.com" = "longer"
            [clusters.others]
            endpoints = [{ address = "127.0.0.1:1" }]
            [clusters.exact]
            endpoints = [{ address = "127.0.0.1:1" }]
            [clusters.suffix]
            endpoints = [{ address = "127.0.0.1:1" }]
            [clusters.longer]
            endpoints = [{ address = "127.0.0.1:1" }]
        "#;
        let mut config = weir_config::parse(text, std::path::Path::new("."), "test").unwrap();
        let mut listener = config.listeners.remove(0);
        for (name, cluster) in [
            (Some("a.example.com"), Some(1)),
            (Some("c.example.com"), Some(2)),
            (Some("x.y.example.com"), Some(2)),
            (Some("x.b.example.com"), Some(3)),
            (Some("example.com"), Some(0)),
            (Some("badexample.com"), Some(0)),
            (Some(".example.com"), Some(0)),
            (None, Some(0)),
        ] {
            assert_eq!(route(&listener, name, None), cluster.map(ClusterId), "{name:?}");
        }
        listener.cluster = None;
        assert_eq!(route(&listener, Some("other"), None), None);
        assert_eq!(route(&listener, Some("other"), Some(ClusterId(2))), Some(ClusterId(2)));
        assert_eq!(route(&listener, Some("a.example.com"), Some(ClusterId(2))), Some(ClusterId(1)));
    }
}
