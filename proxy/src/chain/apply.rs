//! Carrying decisions out: checked first, applied whole or not at all.
//!
//! What a filter answers comes from code that the proxy does not trust. Everything here answers an error
//! text for a decision that cannot be carried out; the caller makes it a fault.

use weir_runtime::{
    Passage, Reply,
    contract::{Edit, Route},
};

use super::{FilterPlan, recipe::Shown};
use crate::message::{Fields, Known, KnownSet, Request, legal_name, legal_value};

/// Fields that frame or route a message: no policy edits them.
const FRAMING: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLength,
    Known::Host,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Facts that one exchange may gather.
const FACTS: usize = 64;
/// Bytes that edits may add to one head.
const EDIT_BYTES: usize = 64 * 1024;

/// Applies a passage of `on-request`, `on-request-body` or `on-answer`.
pub fn apply_to_request(plan: &FilterPlan, passage: &Passage, request: &mut Request) -> Result<(), String> {
    check_edits(&passage.edits)?;
    if request.facts.len() + passage.facts.len() > FACTS {
        return Err(format!("more than {FACTS} facts"));
    }
    if let Some(fact) = passage.facts.iter().find(|fact| !Shown::is_fact(&fact.name)) {
        return Err(format!("{:?} cannot be the name of a fact", fact.name));
    }
    if let Some(route) = &passage.route {
        apply_route(plan, route, request)?;
    }
    edit(&passage.edits, &mut request.head.fields);
    request.facts.extend(passage.facts.iter().map(|f| (f.name.as_str().into(), f.value.as_str().into())));
    Ok(())
}

/// Applies a passage of `on-response`.
pub fn apply_to_response(passage: &Passage, fields: &mut Fields) -> Result<(), String> {
    check_edits(&passage.edits)?;
    edit(&passage.edits, fields);
    Ok(())
}

/// Checks a reply before it is sent.
pub fn check_reply(reply: &Reply) -> Result<(), String> {
    if !(200..600).contains(&reply.status) {
        return Err(format!("{} is no final status", reply.status));
    }
    reply.fields.iter().try_for_each(|(name, value)| check_field(name, Some(value), KnownSet::NONE))
}

fn apply_route(plan: &FilterPlan, route: &Route, request: &mut Request) -> Result<(), String> {
    let cluster = route.cluster.map(|position| plan.granted(position)).transpose()?;
    let mirror = route.mirror.map(|position| plan.granted(position)).transpose()?;
    let both = route.path.is_some() && route.authority.is_some();
    let path_before = both.then(|| request.head.path_and_query().to_owned());
    if let Some(path) = &route.path
        && !(path.starts_with(b"/") && request.head.set_path_and_query(path))
    {
        return Err("routes to an illegal path".into());
    }
    if let Some(authority) = &route.authority
        && !request.head.set_authority(authority.as_bytes())
    {
        if let Some(path) = path_before {
            request.head.set_path_and_query(path.as_bytes());
        }
        return Err("routes to an illegal authority".into());
    }
    let choice = &mut request.route;
    if let Some(cluster) = cluster {
        choice.cluster = Some((cluster.id, cluster.name.clone()));
    }
    choice.mirror = mirror.map(|m| m.id).or(choice.mirror);
    for (label, value) in &route.subset {
        choice.require(label, value);
    }
    choice.timeout_ms = route.timeout_ms.or(choice.timeout_ms);
    choice.retries = route.retries.or(choice.retries);
    choice.hash = route.hash.or(choice.hash);
    if let Some(name) = &route.name {
        choice.name = Some(name.as_str().into());
    }
    Ok(())
}

fn check_edits(edits: &[Edit]) -> Result<(), String> {
    let mut bytes = 0;
    for edit in edits {
        match edit {
            Edit::Set((name, value)) | Edit::Append((name, value)) => {
                check_field(name, Some(value), FRAMING)?;
                bytes += name.len() + value.len();
            }
            Edit::Remove(name) => check_field(name, None, FRAMING)?,
        }
    }
    if bytes > EDIT_BYTES {
        return Err(format!("edits add more than {EDIT_BYTES} bytes"));
    }
    Ok(())
}

fn check_field(name: &str, value: Option<&[u8]>, refused: KnownSet) -> Result<(), String> {
    if !legal_name(name.as_bytes()) {
        return Err(format!("{name:?} is no field name"));
    }
    if value.is_some_and(|v| !legal_value(v)) {
        return Err(format!("the value of {name:?} is not legal"));
    }
    if refused.contains(Known::of(name)) {
        return Err(format!("{name:?} is the proxy's own to write"));
    }
    Ok(())
}

fn edit(edits: &[Edit], fields: &mut Fields) {
    for edit in edits {
        match edit {
            Edit::Set((name, value)) => fields.set(name, value),
            Edit::Append((name, value)) => fields.append(name, value),
            Edit::Remove(name) => fields.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &[u8]) -> Edit {
        Edit::Set((name.into(), value.into()))
    }

    #[test]
    fn illegal_edits_change_nothing() {
        let mut fields = Fields::new();
        for bad in [
            set("a b", b"1"),
            set("", b"1"),
            set(":path", b"/"),
            set("x", b"a\r\nb: c"),
            set("x", b"a\0"),
            set("content-length", b"1"),
            set("Transfer-Encoding", b"chunked"),
            set("host", b"other"),
            set("x", &[b'a'; EDIT_BYTES + 1]),
            Edit::Remove("connection".into()),
            Edit::Append(("te".into(), b"trailers".into())),
        ] {
            let passage = Passage { edits: vec![set("x-good", b"1"), bad.clone()], ..Passage::default() };
            assert!(apply_to_response(&passage, &mut fields).is_err(), "{bad:?}");
            assert!(fields.is_empty());
        }
    }

    #[test]
    fn replies_are_checked() {
        let reply = |status, fields: &[(&str, &[u8])]| Reply {
            status,
            fields: fields.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect(),
            body: vec![],
            reason: String::new(),
            keep_ms: 0,
        };
        assert!(check_reply(&reply(204, &[("x", b"y")])).is_ok());
        assert!(check_reply(&reply(101, &[])).is_err());
        assert!(check_reply(&reply(600, &[])).is_err());
        assert!(check_reply(&reply(200, &[("x", b"\n")])).is_err());
    }
}
