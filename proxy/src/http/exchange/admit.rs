//! Admit: what is true of every request before any policy sees it.

use std::{rc::Rc, sync::Arc};

use weir_config::checked::{Forwarded, ListenerLimits};

use super::{Exchange, Seats, SoFar, Transfer, Tunnel, deadline, trace};
use crate::{
    clock,
    error::{Error, Failure},
    http::incoming::Incoming,
    message::{ConnectionInfo, Fields, Home, Known, RequestHead, RequestId, Version},
    snapshot::{Heads, LocalListener, LocalSnapshot, LocalState},
};

impl<'w> Exchange<'w> {
    pub(super) fn admit(
        state: &'w Rc<LocalState>,
        connection: &Arc<ConnectionInfo>,
        listener: Rc<LocalListener>,
        snapshot: Rc<LocalSnapshot>,
        heads: &'w mut Heads,
        transfer: &'w Transfer,
    ) -> Self {
        let worker = &state.worker;
        let request = &mut heads.request;
        let given = request.head.fields.get_known(Known::XRequestId).and_then(RequestId::adopt);
        request.id = given.unwrap_or_else(|| {
            let id = RequestId::random(worker.random(), worker.random());
            request.head.fields.set_known(Known::XRequestId, id.as_bytes());
            id
        });
        request.trace = trace::carry(&mut request.head.fields);
        forwarded(&mut request.head, connection, listener.plan.config.forwarded);
        via(&mut request.head);
        request.connection = Some(Arc::clone(connection));
        match &connection.home {
            None => request.route.cluster.clone_from(&listener.home),
            Some((slot, _)) if snapshot.cluster(*slot).is_some() => {
                request.route.cluster.clone_from(&connection.home);
            }
            Some(_) => request.route.cluster = home_anew(connection, &listener, &snapshot),
        }
        listener.plan.metrics.requests_active.up(worker.index);
        let begun = worker.now();
        let patience = deadline::of_caller(&mut request.head.fields, listener.plan.config.request_timeouts);
        Self {
            id: worker.next_exchange(),
            begun,
            timed_from: begun,
            caller_until: patience.map(|patience| clock::later(begun, patience)),
            state,
            snapshot,
            listener,
            heads,
            seats: Seats::new(),
            sofar: SoFar::default(),
            transfer,
        }
    }
}

/// Where a captured connection's exchanges go whose cluster has left config: where those of a new one would.
#[cold]
fn home_anew(
    connection: &ConnectionInfo,
    listener: &LocalListener,
    snapshot: &LocalSnapshot,
) -> Option<Home> {
    let known = listener.plan.config.captured.as_ref();
    match known.zip(connection.goes_on_to()).and_then(|(known, to)| known.find(to)) {
        Some(found) => snapshot.home(found.cluster),
        None => listener.home.clone(),
    }
}

impl Exchange<'_> {
    /// Refuses what no policy can make good. Answers which tunnel the request wants.
    pub(super) fn check(&self, body: &Incoming<'_>) -> Result<Option<Tunnel>, Error> {
        if self.state.shared.overload.is_on() {
            return Err(Failure::Overload.into());
        }
        let head = self.request();
        let tunnel = self.wanted_tunnel(body)?;
        let limits = &self.listener.plan.config.limits;
        if head.version == Version::Http2 && exceeds(head, limits) {
            return Err(Failure::HeadTooLarge.into());
        }
        match (limits.body, head.content_length()) {
            (Some(most), Some(length)) if length > most => Err(Failure::BodyTooLarge.into()),
            _ => Ok(tunnel),
        }
    }
}

/// Whether the head of an HTTP/2 request is beyond the limits, counted as HTTP/1.1 would write it: there the
/// codec looks to it.
fn exceeds(head: &RequestHead, limits: &ListenerLimits) -> bool {
    const BESIDE_FIELDS: usize = "  HTTP/1.1\r\nhost: \r\n\r\n".len();
    let line = head.method.as_str().len() + head.path_and_query().len() + head.authority().len();
    line + BESIDE_FIELDS + head.fields.byte_size() > limits.head || head.fields.len() > limits.fields
}

/// Says who asked, for whom, and how: `X-Forwarded-*`, and `Forwarded` (RFC 7239) where it is in use.
fn forwarded(head: &mut RequestHead, connection: &ConnectionInfo, mode: Forwarded) {
    let peer = &*connection.peer_text;
    let scheme = connection.scheme.as_str();
    match mode {
        Forwarded::Keep => return,
        Forwarded::Replace => {
            for known in [Known::Forwarded, Known::XForwardedFor, Known::XForwardedPort, Known::XRealIp] {
                head.fields.remove_known(known);
            }
            head.fields.set_known(Known::XForwardedFor, peer.as_bytes());
            head.fields.set_known(Known::XForwardedProto, scheme.as_bytes());
        }
        Forwarded::Append => {
            extend(&mut head.fields, Known::XForwardedFor, peer);
            if head.fields.get_known(Known::XForwardedProto).is_none() {
                head.fields.set_known(Known::XForwardedProto, scheme.as_bytes());
            }
            if head.fields.get_known(Known::Forwarded).is_some() {
                let node = if peer.contains(':') { format!("\"[{peer}]\"") } else { peer.to_owned() };
                extend(&mut head.fields, Known::Forwarded, &format!("for={node};proto={scheme}"));
            }
            if head.fields.get_known(Known::XForwardedHost).is_some() {
                return;
            }
        }
    }
    // The copy ends the borrow of the head; authorities are short.
    let authority: smallvec::SmallVec<[u8; 64]> = head.authority().as_bytes().into();
    if authority.is_empty() {
        head.fields.remove_known(Known::XForwardedHost);
    } else {
        head.fields.set_known(Known::XForwardedHost, &authority);
    }
}

/// Adds an element to a list field.
fn extend(fields: &mut Fields, known: Known, element: &str) {
    let mut list = Vec::new();
    if fields.joined(known.as_str(), &mut list) {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    fields.set_known(known, &list);
}

/// RFC 9110 7.6.3: a gateway names itself to the origin.
fn via(head: &mut RequestHead) {
    let version = head.version.as_str();
    let mut element = [0u8; 8];
    element[..3].copy_from_slice(version.as_bytes());
    element[3..].copy_from_slice(b" weir");
    head.fields.push_known(Known::Via, &element);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scheme;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new();
        assert!(head.set_authority(b"a.example"));
        for (name, value) in fields {
            assert!(head.fields.push(name, value.as_bytes()));
        }
        head
    }

    fn after(mode: Forwarded, fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut connection = ConnectionInfo::plain("web".into(), Some(([192, 0, 2, 7], 4000).into()));
        connection.scheme = Scheme::Https;
        let mut head = head(fields);
        forwarded(&mut head, &connection, mode);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut all: Vec<_> = head.fields.iter().map(|(n, v)| (n.to_owned(), text(v))).collect();
        all.sort();
        all
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn an_edge_believes_nothing_that_callers_say_of_themselves() {
        let sent =
            [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1"), ("x-real-ip", "10.0.0.1")];
        let expected = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(after(Forwarded::Replace, &sent), pairs(&expected));
    }

    #[test]
    fn behind_another_proxy_lists_grow_and_the_rest_stays() {
        let sent =
            [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1"), ("x-forwarded-proto", "http")];
        let expected = [
            ("forwarded", "for=10.0.0.1, for=192.0.2.7;proto=https"),
            ("x-forwarded-for", "10.0.0.1, 192.0.2.7"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(after(Forwarded::Append, &sent), pairs(&expected));
    }

    #[test]
    fn kept_fields_are_not_touched() {
        let sent = [("x-forwarded-for", "10.0.0.1")];
        assert_eq!(after(Forwarded::Keep, &sent), pairs(&sent));
    }
}
