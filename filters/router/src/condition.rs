//! What a route demands of a request beside host and path: tests on single values.

use regex_lite::Regex;
use weir_sdk::Setup;

use crate::config::{MatchConfig, NamedTest};
use crate::values::{Shown, Source, Values};

/// A demand on one value.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) source: Source,
    pub(crate) want: Want,
}

#[derive(Debug)]
pub(crate) enum Want {
    Present,
    Absent,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Matches(Regex),
    /// One of these.
    Any(Vec<Want>),
}

impl Condition {
    pub(crate) fn holds(&self, values: &Values<'_>) -> bool {
        self.want.fits(values.get(&self.source).as_deref())
    }
}

impl Want {
    fn fits(&self, value: Option<&[u8]>) -> bool {
        match self {
            Want::Present => value.is_some(),
            Want::Absent => value.is_none(),
            Want::Exact(wanted) => value == Some(wanted),
            Want::Prefix(prefix) => value.is_some_and(|value| value.starts_with(prefix)),
            Want::Matches(regex) => value
                .and_then(|value| std::str::from_utf8(value).ok())
                .is_some_and(|text| regex.is_match(text)),
            Want::Any(wants) => wants.iter().any(|want| want.fits(value)),
        }
    }
}

/// The conditions of a route, and the values they need asked for.
pub(crate) fn compile(
    config: &MatchConfig,
    shown: &mut Shown,
    setup: &mut Setup,
) -> Result<Vec<Condition>, String> {
    let mut conditions = Vec::new();
    let methods = config.method.as_slice();
    if !methods.is_empty() {
        let wants = methods.iter().map(|method| exact(method)).collect();
        conditions.push(Condition { source: shown.ask_method(setup), want: one_of(wants) });
    }
    for test in &config.headers {
        let source = shown.ask_header(setup, &field_name(&test.name)?);
        conditions.push(Condition { source, want: want(test).map_err(|e| format!("headers: {e}"))? });
    }
    for test in &config.query {
        let source = shown.ask_query(setup, &test.name);
        conditions.push(Condition { source, want: want(test).map_err(|e| format!("query: {e}"))? });
    }
    let identities = config.identity.as_slice();
    if !identities.is_empty() {
        let wants = identities.iter().map(|identity| match identity.strip_suffix('*') {
            Some(prefix) => Want::Prefix(prefix.as_bytes().into()),
            None => exact(identity),
        });
        conditions.push(Condition { source: shown.ask_identity(setup), want: one_of(wants.collect()) });
    }
    Ok(conditions)
}

/// A regular expression for a whole value.
pub(crate) fn whole(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| format!("regex \"{pattern}\": {error}"))
}

fn exact(text: &str) -> Want {
    Want::Exact(text.as_bytes().into())
}

fn one_of(mut wants: Vec<Want>) -> Want {
    match wants.len() {
        1 => wants.remove(0),
        _ => Want::Any(wants),
    }
}

fn want(test: &NamedTest) -> Result<Want, String> {
    let present = match (test.present, test.absent) {
        (None, None) => None,
        (Some(present), None) => Some(present),
        (None, Some(absent)) => Some(!absent),
        (Some(_), Some(_)) => return Err(format!("\"{}\": `present` or `absent`, not both", test.name)),
    };
    match (&test.exact, &test.prefix, &test.regex, present) {
        (None, None, None, None | Some(true)) => Ok(Want::Present),
        (None, None, None, Some(false)) => Ok(Want::Absent),
        (Some(text), None, None, None) => Ok(exact(text)),
        (None, Some(text), None, None) => Ok(Want::Prefix(text.as_bytes().into())),
        (None, None, Some(pattern), None) => Ok(Want::Matches(whole(pattern)?)),
        _ => Err(format!("\"{}\": only one of `exact`, `prefix`, `regex`, `present`, `absent`", test.name)),
    }
}

/// A field's name in lower case, if it can be one (RFC 9110 5.1). Host and path have keys of their own.
fn field_name(name: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("headers: \"{name}\" cannot be a field's name"));
    }
    let name = name.to_ascii_lowercase();
    if name == "host" {
        return Err("headers: the host is matched by `host`".to_owned());
    }
    Ok(name)
}
