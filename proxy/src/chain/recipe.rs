//! What a filter asked to see, resolved once, and the view that is made of it for each exchange.

use std::borrow::Cow;

use weir_runtime::{
    Values, View,
    contract::{Condition, Test},
};

use crate::{
    message::{FieldName, Request, ResponseHead},
    worker::Worker,
};

/// One value that the contract can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A field by name.
    Field(FieldName),
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:query`
    Query,
    /// `:fields`
    Fields,
    /// `@peer.address`
    PeerAddress,
    /// `@peer.identity`
    PeerIdentity,
    /// `@tls.sni`
    Sni,
    /// `@listener`
    Listener,
    /// `@request.id`
    RequestId,
    /// `@route.cluster`
    RouteCluster,
    /// `@time.ms`
    Time,
    /// `@random`
    Random,
    /// A fact of an earlier filter.
    Fact(Box<str>),
}

impl Shown {
    /// The value a name stands for. Field names must be legal and in lower case.
    pub fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            ":method" => Self::Method,
            ":scheme" => Self::Scheme,
            ":authority" => Self::Authority,
            ":path" => Self::Path,
            ":query" => Self::Query,
            ":fields" => Self::Fields,
            "@peer.address" => Self::PeerAddress,
            "@peer.identity" => Self::PeerIdentity,
            "@tls.sni" => Self::Sni,
            "@listener" => Self::Listener,
            "@request.id" => Self::RequestId,
            "@route.cluster" => Self::RouteCluster,
            "@time.ms" => Self::Time,
            "@random" => Self::Random,
            _ if name.starts_with('@') && name.len() > 1 => Self::Fact(name[1..].into()),
            _ => return field_name(name).map(Self::Field),
        })
    }

    /// Whether a filter may call a fact of its own `name` (without "@").
    pub fn is_fact(name: &str) -> bool {
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && !Self::is_own(name.as_bytes())
    }

    /// What the proxy itself knows goes by such names. Patterns, because every fact of every exchange comes by.
    fn is_own(name: &[u8]) -> bool {
        matches!(
            name,
            [b'p', b'e', b'e', b'r', b'.', ..]
                | [b't', b'l', b's', b'.', ..]
                | [b'r', b'o', b'u', b't', b'e', b'.', ..]
                | [b'r', b'e', b'q', b'u', b'e', b's', b't', b'.', ..]
                | [b't', b'i', b'm', b'e', b'.', ..]
                | b"listener"
                | b"random"
        )
    }

    /// Changes with each exchange, so that nothing it was part of can be remembered.
    fn is_fleeting(&self) -> bool {
        matches!(self, Self::Time | Self::Random | Self::RequestId)
    }

    fn of<'a>(&self, request: &'a Request) -> Option<Cow<'a, [u8]>> {
        let head = &request.head;
        let connection = request.connection.as_deref();
        let text: Option<&str> = match self {
            Self::Field(name) => return request.field(name),
            Self::Fields => return Some(Cow::Owned(request.fields_text())),
            Self::Method => Some(head.method.as_str()),
            Self::Scheme => connection.map(|c| c.scheme.as_str()),
            Self::Authority => Some(head.authority()).filter(|a| !a.is_empty()),
            Self::Path => Some(head.path()),
            Self::Query => head.query(),
            Self::PeerAddress => connection.map(|c| &*c.peer_text),
            Self::PeerIdentity => connection.and_then(|c| c.identity.as_deref()),
            Self::Sni => connection.and_then(|c| c.sni.as_deref()),
            Self::Listener => connection.map(|c| &*c.listener),
            Self::RequestId => Some(request.id.as_str()),
            Self::RouteCluster => request.route.cluster.as_ref().map(|(_, name)| &**name),
            Self::Fact(name) => request.fact(name),
            Self::Time | Self::Random => None,
        };
        text.map(|t| Cow::Borrowed(t.as_bytes()))
    }
}

fn field_name(name: &str) -> Result<FieldName, String> {
    FieldName::new(name)
        .ok_or_else(|| format!("{name:?} is neither a field name in lower case nor a name of the contract"))
}

impl Values for Request {
    fn value(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        Shown::parse(name).ok()?.of(self)
    }
}

/// How to make a filter's views.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    request: Vec<Shown>,
    response: Vec<FieldName>,
    when: Vec<(Shown, Test)>,
    /// A decision on this view may be remembered.
    pub lasting: bool,
}

impl Recipe {
    /// Resolves the names of an interest.
    pub fn new(request: &[String], response: &[String], when: &[Condition]) -> Result<Self, String> {
        let request = request.iter().map(|name| Shown::parse(name)).collect::<Result<Vec<_>, _>>()?;
        let response = response.iter().map(|name| field_name(name)).collect::<Result<_, _>>()?;
        let when = when
            .iter()
            .map(|c| Ok((Shown::parse(&c.name)?, c.test.clone())))
            .collect::<Result<_, String>>()?;
        let lasting = !request.iter().any(Shown::is_fleeting);
        Ok(Self { request, response, when, lasting })
    }

    /// Whether the filter wants to see this exchange at all.
    pub fn wants(&self, request: &Request) -> bool {
        self.when.is_empty()
            || self.when.iter().any(|(shown, test)| holds(test, shown.of(request).as_deref()))
    }

    /// Fills `view` for `on-request`.
    pub fn view_request(&self, worker: &Worker, request: &Request, view: &mut View) {
        view.clear();
        for shown in &self.request {
            match shown {
                Shown::Time => view.push(Some(&crate::clock::unix_ms().to_le_bytes())),
                Shown::Random => view.push(Some(&worker.random().to_le_bytes())),
                _ => view.push(shown.of(request).as_deref()),
            }
        }
    }

    /// Fills `view` for `on-response`.
    pub fn view_response(&self, head: &ResponseHead, view: &mut View) {
        view.clear();
        for name in &self.response {
            view.push_joined(head.fields.all_of(name), b", ");
        }
    }
}

fn holds(test: &Test, value: Option<&[u8]>) -> bool {
    match test {
        Test::Present => value.is_some(),
        Test::Absent => value.is_none(),
        Test::Equals(text) => value == Some(text.as_bytes()),
        Test::StartsWith(text) => value.is_some_and(|v| v.starts_with(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_what_the_contract_says() {
        assert_eq!(Shown::parse(":path"), Ok(Shown::Path));
        assert_eq!(Shown::parse("@auth.subject"), Ok(Shown::Fact("auth.subject".into())));
        assert_eq!(Shown::parse("x-user"), field_name("x-user").map(Shown::Field));
        for bad in ["X-User", "", ":nothing", "a b", "@"] {
            assert!(Shown::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn facts_cannot_pass_for_what_the_proxy_knows() {
        assert!(Shown::is_fact("auth.subject"));
        for own in ["peer.identity", "route.cluster", "listener", "", "a b"] {
            assert!(!Shown::is_fact(own), "{own:?}");
        }
    }

    #[test]
    fn a_view_shows_values_in_the_order_asked() {
        let mut request = Request::default();
        assert!(request.head.set_path_and_query(b"/a?b=c"));
        assert!(request.head.fields.push("x-a", b"1") && request.head.fields.push("x-a", b"2"));
        request.facts.push(("who".into(), "me".into()));
        let names = [":query", "x-a", "x-b", "@who", ":path"].map(String::from);
        let when = [Condition { name: "x-a".into(), test: Test::StartsWith("1".into()) }];
        let recipe = Recipe::new(&names, &[], &when).unwrap();
        assert!(recipe.lasting && recipe.wants(&request));
        let worker = Worker::new(0, crate::clock::Clock::start(), 1);
        let mut view = View::new();
        recipe.view_request(&worker, &request, &mut view);
        let values: Vec<_> = (0..5).map(|i| view.value(i)).collect();
        assert_eq!(values, [Some(&b"b=c"[..]), Some(b"1, 2"), None, Some(b"me"), Some(b"/a")]);
        request.head.fields.remove("x-a");
        assert!(!recipe.wants(&request));
    }
}
