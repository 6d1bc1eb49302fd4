//! Who calls: patterns of SPIFFE IDs, written as in the proxy's own config.

/// Stands for callers that have no identity.
const ANONYMOUS: &str = "anonymous";

/// Which callers are meant.
#[derive(Debug)]
pub(crate) enum Caller {
    /// Those without an identity.
    Anonymous,
    /// Those whose ID has these segments; `*` is any one, `**` at the end one or more.
    Id(Vec<String>),
}

impl Caller {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text == ANONYMOUS {
            return Ok(Caller::Anonymous);
        }
        let refused = |reason: &str| Err(format!("\"{text}\" {reason}"));
        let Some(rest) = text.strip_prefix("spiffe://") else {
            return refused("is neither a SPIFFE ID (spiffe://trust-domain/path) nor \"anonymous\"");
        };
        let segments: Vec<String> = rest.split('/').map(str::to_owned).collect();
        if segments.len() < 2 || segments.iter().any(String::is_empty) {
            return refused(
                "has an empty part; every workload of a trust domain is spiffe://trust-domain/**",
            );
        }
        if segments[0].contains('*') {
            return refused("has a `*` in its trust domain");
        }
        let last = segments.len() - 1;
        for (at, segment) in segments.iter().enumerate() {
            match segment.as_str() {
                "**" if at < last => return refused("has `**` before its end"),
                "*" | "**" => {}
                segment if segment.contains('*') => return refused("has a `*` within a segment"),
                _ => {}
            }
        }
        Ok(Caller::Id(segments))
    }

    pub(crate) fn matches(&self, identity: Option<&str>) -> bool {
        let (wanted, id) = match (self, identity) {
            (Caller::Anonymous, identity) => return identity.is_none(),
            (Caller::Id(_), None) => return false,
            (Caller::Id(wanted), Some(id)) => (wanted, id),
        };
        let Some(rest) = id.strip_prefix("spiffe://") else { return false };
        let mut found = rest.split('/');
        for wanted in wanted {
            match (wanted.as_str(), found.next()) {
                (_, None | Some("")) => return false,
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
        found.next().is_none()
    }
}
