//! Building a request in a test.

use super::exchange::Exchange;
use super::filter::Filter;
use super::head::Head;
use crate::decision::Decision;
use crate::policy::Policy;

/// A request under construction: `GET http://test/` from 127.0.0.1 unless said otherwise.
pub struct RequestBuilder<P: Policy> {
    filter: Filter<P>,
    head: Head,
}

impl<P: Policy> RequestBuilder<P> {
    pub(super) fn new(filter: Filter<P>) -> Self {
        let mut builder = RequestBuilder {
            filter,
            head: Head {
                method: "GET".to_owned(),
                scheme: "http".to_owned(),
                authority: "test".to_owned(),
                path: "/".to_owned(),
                query: None,
                fields: Vec::new(),
                facts: Default::default(),
                body: Vec::new(),
            },
        };
        builder = builder.peer_address("127.0.0.1").listener("test");
        builder.fact("request.id", "test")
    }

    /// `:method`.
    pub fn method(mut self, method: &str) -> Self {
        self.head.method = method.to_owned();
        self
    }

    /// `:scheme`.
    pub fn scheme(mut self, scheme: &str) -> Self {
        self.head.scheme = scheme.to_owned();
        self
    }

    /// `:authority`.
    pub fn authority(mut self, authority: &str) -> Self {
        self.head.authority = authority.to_owned();
        self
    }

    /// `:path`, and `:query` after a "?".
    pub fn path(mut self, path: &str) -> Self {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path, None),
        };
        self.head.path = path.to_owned();
        self.head.query = query;
        self
    }

    /// One more field. `host` sets the authority.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = name.to_ascii_lowercase();
        if name == "host" {
            self.head.authority = String::from_utf8_lossy(value.as_ref()).into_owned();
        } else {
            self.head.fields.push((name, value.as_ref().to_vec()));
        }
        self
    }

    /// The body, for filters that have `on_request_body`.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.head.body = body.as_ref().to_vec();
        self
    }

    /// A fact of an earlier filter, without "@".
    pub fn fact(mut self, name: &str, value: &str) -> Self {
        self.head.facts.insert(name.to_owned(), value.to_owned());
        self
    }

    /// `@peer.address`.
    pub fn peer_address(self, address: &str) -> Self {
        self.fact("peer.address", address)
    }

    /// `@peer.identity`.
    pub fn peer_identity(self, identity: &str) -> Self {
        self.fact("peer.identity", identity)
    }

    /// `@tls.sni`.
    pub fn sni(self, name: &str) -> Self {
        self.fact("tls.sni", name)
    }

    /// `@listener`.
    pub fn listener(self, name: &str) -> Self {
        self.fact("listener", name)
    }

    /// `@route.cluster`: what earlier filters chose.
    pub fn route_cluster(self, name: &str) -> Self {
        self.fact("route.cluster", name)
    }

    /// Sends the head and returns what `on_request` decides; a plain pass if the filter's `when` is
    /// not met.
    pub fn send(self) -> Decision {
        Exchange::begin(self.filter, self.head).into_decision()
    }

    /// Sends the request, its body included, and stays with the exchange.
    pub fn begin(self) -> Exchange<P> {
        let mut exchange = Exchange::begin(self.filter, self.head);
        exchange.show_body();
        exchange
    }
}
