//! What makes a caller the same caller, and the cookie that makes one.

use weir_sdk::{Field, Request, Setup};

use crate::config::StickyConfig;
use crate::shares::hash;

pub(crate) struct Sticky {
    field: Field,
    cookie: Option<Cookie>,
}

struct Cookie {
    name: String,
    set: bool,
    max_age_s: u64,
}

/// Who the caller is. Each is told by a hash of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The same each time.
    Caller(u64),
    /// Nobody knows: another one each time.
    Random(u64),
    /// Gets a cookie with this id.
    Newcomer(u64),
}

impl Found {
    pub(crate) fn hash(self) -> u64 {
        match self {
            Found::Caller(hash) | Found::Random(hash) => hash,
            Found::Newcomer(id) => hash(cookie_value(id).as_bytes()),
        }
    }
}

impl Sticky {
    pub(crate) fn new(config: &StickyConfig, setup: &mut Setup) -> Result<Self, String> {
        let address = config.address.then(|| "@peer.address".to_owned());
        let identity = config.identity.then(|| "@peer.identity".to_owned());
        let fact = config.fact.as_ref().map(|fact| format!("@{fact}"));
        let header = config.header.as_ref().map(|header| header.to_ascii_lowercase());
        let cookie = config.cookie.as_ref().map(|_| "cookie".to_owned());
        let mut names = [address, identity, fact, header, cookie].into_iter().flatten();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(
                "`sticky` must have exactly one of `header`, `cookie`, `fact`, `identity`, `address`"
                    .to_owned(),
            );
        };
        if config.set && config.cookie.is_none() {
            return Err("`sticky.set` goes with `cookie`".to_owned());
        }
        let cookie = config.cookie.as_ref().map(|name| Cookie {
            name: name.clone(),
            set: config.set,
            max_age_s: config.max_age.as_millis() / 1_000,
        });
        if let Some(cookie) = &cookie {
            cookie.check_name()?;
        }
        Ok(Sticky { field: setup.request(name), cookie })
    }

    pub(crate) fn sets_cookie(&self) -> bool {
        self.cookie.as_ref().is_some_and(|cookie| cookie.set)
    }

    pub(crate) fn find(&self, request: &Request<'_>) -> Found {
        let value = request.get(self.field).and_then(|value| match &self.cookie {
            Some(cookie) => cookie.find(value),
            None => Some(value),
        });
        match value {
            Some(value) if !value.is_empty() => Found::Caller(hash(value)),
            // 56 bits are left of a memo, and 0 means none.
            _ if self.sets_cookie() => Found::Newcomer((weir_sdk::random() >> 8).max(1)),
            _ => Found::Random(weir_sdk::random()),
        }
    }

    /// `Set-Cookie` (RFC 6265 4.1) for a newcomer.
    pub(crate) fn cookie(&self, id: u64, encrypted: bool) -> String {
        let (name, max_age_s) =
            self.cookie.as_ref().map_or(("", 0), |cookie| (cookie.name.as_str(), cookie.max_age_s));
        let secure = if encrypted { "; Secure" } else { "" };
        format!("{name}={}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}", cookie_value(id))
    }
}

impl Cookie {
    /// A token (RFC 6265 4.1.1).
    fn check_name(&self) -> Result<(), String> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(token) {
            return Err(format!("`sticky.cookie`: \"{}\" is not the name of a cookie", self.name));
        }
        Ok(())
    }

    /// The first of this name: user agents send the more specific one first (RFC 6265 5.4).
    fn find<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let mut pairs = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        pairs.find_map(|pair| pair.strip_prefix(self.name.as_bytes())?.strip_prefix(b"="))
    }
}

fn cookie_value(id: u64) -> String {
    format!("{id:014x}")
}
