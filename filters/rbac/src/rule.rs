//! One rule: conditions that all have to hold.

use weir_sdk::{Field, Metric, Ready, Request, Setup, Text};

use crate::caller;
use crate::config::{OneOrMany, RuleConfig, TestConfig, ValueConfig};
use crate::path::{Path, is_below};
use crate::subject::Subject;

/// What a rule does with what it fits. Where a request can be read in more than one way, one of them is enough for
/// a rule that denies, and none for a rule that allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Deny,
    Allow,
}

pub(crate) struct Rule {
    name: Text,
    effect: Effect,
    of_caller: Vec<caller::Condition>,
    of_request: Vec<Condition>,
    pub(crate) counter: Metric,
    /// What a request gets that it fits.
    pub(crate) decision: Ready,
}

enum Condition {
    Method(Field, Vec<String>),
    Path(Field, Paths),
    Header(Field, Test),
    Fact(Field, Test),
}

#[derive(Default)]
struct Paths {
    exact: Vec<String>,
    /// Without a slash at the end.
    below: Vec<String>,
}

enum Test {
    Equals(Vec<String>),
    Prefix(String),
    Word(Vec<String>),
    Present(bool),
}

impl Rule {
    pub(crate) fn new(
        config: RuleConfig,
        effect: Effect,
        counter: Metric,
        decision: Ready,
        setup: &mut Setup,
    ) -> Result<Self, String> {
        let mut conditions = Vec::new();
        let of_caller = caller::Condition::all(&config, setup)?;
        if let Some(method) = &config.method {
            let methods = some(method, "method")?.to_vec();
            if let Some(odd) = methods.iter().find(|method| !is_method(method)) {
                return Err(format!("`method`: \"{odd}\" is not a method; they are written in capitals"));
            }
            conditions.push(Condition::Method(setup.request(":method"), methods));
        }
        if config.path.is_some() || config.path_prefix.is_some() {
            conditions.push(Condition::Path(setup.request(":path"), Paths::new(&config)?));
        }
        for (name, value) in &config.headers {
            let test = Test::new(value).map_err(|reason| format!("`headers.{name}`: {reason}"))?;
            let name = name.to_ascii_lowercase();
            if !is_field(&name) {
                return Err(format!("`headers`: \"{name}\" is not the name of a field"));
            }
            conditions.push(Condition::Header(setup.request(name), test));
        }
        for (name, value) in &config.facts {
            let test = Test::new(value).map_err(|reason| format!("`facts.{name}`: {reason}"))?;
            let name = name.strip_prefix('@').unwrap_or(name);
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!("`facts`: \"{name}\" is not the name of a fact"));
            }
            conditions.push(Condition::Fact(setup.request(format!("@{name}")), test));
        }
        let name = Text::Shared(config.name.into());
        Ok(Rule { name, effect, of_caller, of_request: conditions, counter, decision })
    }

    pub(crate) fn name(&self) -> &Text {
        &self.name
    }

    pub(crate) fn fits(&self, subject: Subject<'_>) -> bool {
        let of_request = |request: &Request<'_>| {
            self.of_request.iter().all(|condition| condition.holds(request, self.effect))
        };
        self.of_caller.iter().all(|condition| condition.holds(subject))
            && (self.of_request.is_empty() || subject.request().is_some_and(of_request))
    }
}

impl Condition {
    fn holds(&self, request: &Request<'_>, effect: Effect) -> bool {
        match self {
            Condition::Method(field, methods) => {
                request.text(*field).is_some_and(|method| methods.iter().any(|one| one == method))
            }
            Condition::Path(field, paths) => match Path::of(request.get(*field).unwrap_or_default()) {
                Path::Plain(path) => paths.hold(&path, effect),
                Path::Ambiguous => effect == Effect::Deny,
            },
            Condition::Header(field, test) => test.holds_of_field(request.get(*field), effect),
            Condition::Fact(field, test) => test.holds(request.get(*field)),
        }
    }
}

impl Paths {
    fn new(config: &RuleConfig) -> Result<Self, String> {
        let read = |paths: &Option<OneOrMany>, key: &str| {
            let Some(paths) = paths else { return Ok(Vec::new()) };
            let read = some(paths, key)?.iter().map(|path| match Path::of(path.as_bytes()) {
                Path::Plain(plain) => Ok(plain.into_owned()),
                Path::Ambiguous => Err(format!(
                    "`{key}`: \"{path}\" is not a path that all read alike; it begins with \"/\", without empty \
                     or dot segments, `;` and `\\`"
                )),
            });
            read.collect::<Result<Vec<_>, String>>()
        };
        let below = read(&config.path_prefix, "path_prefix")?;
        let below = below.iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        Ok(Paths { exact: read(&config.path, "path")?, below })
    }

    fn hold(&self, path: &str, effect: Effect) -> bool {
        let is = |exact: &String| match effect {
            Effect::Allow => exact == path,
            // Many origins take a slash at the end for nothing.
            Effect::Deny => exact.trim_end_matches('/') == path.trim_end_matches('/'),
        };
        self.exact.iter().any(is) || self.below.iter().any(|prefix| is_below(path, prefix))
    }
}

impl Test {
    fn new(config: &ValueConfig) -> Result<Self, String> {
        match config {
            ValueConfig::Equals(values) => Ok(Test::Equals(values.all().to_vec())).and_then(Test::checked),
            ValueConfig::Test(TestConfig { prefix: Some(prefix), word: None, present: None }) => {
                Ok(Test::Prefix(prefix.clone()))
            }
            ValueConfig::Test(TestConfig { prefix: None, word: Some(words), present: None }) => {
                Ok(Test::Word(words.all().to_vec())).and_then(Test::checked)
            }
            ValueConfig::Test(TestConfig { prefix: None, word: None, present: Some(present) }) => {
                Ok(Test::Present(*present))
            }
            ValueConfig::Test(_) => Err("must have exactly one of `prefix`, `word`, `present`".to_owned()),
        }
    }

    fn checked(self) -> Result<Self, String> {
        match &self {
            Test::Equals(none) | Test::Word(none) if none.is_empty() => {
                Err("the list is empty: nothing would fit".to_owned())
            }
            _ => Ok(self),
        }
    }

    fn holds(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Test::Present(wanted), value) => value.is_some() == *wanted,
            (_, None) => false,
            (Test::Equals(texts), Some(value)) => texts.iter().any(|text| text.as_bytes() == value),
            (Test::Prefix(prefix), Some(value)) => value.starts_with(prefix.as_bytes()),
            (Test::Word(words), Some(value)) => {
                let found = || value.split(|byte| matches!(byte, b' ' | b',' | b'\t'));
                words.iter().any(|word| found().any(|found| found == word.as_bytes()))
            }
        }
    }

    /// Fields of one name arrive joined with ",": which of them an origin takes is not known. One that fits is enough
    /// to deny.
    fn holds_of_field(&self, value: Option<&[u8]>, effect: Effect) -> bool {
        if self.holds(value) {
            return true;
        }
        let parts = || value.into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        match self {
            Test::Equals(_) | Test::Prefix(_) if effect == Effect::Deny => {
                parts().any(|part| self.holds(Some(part.trim_ascii())))
            }
            _ => false,
        }
    }
}

/// Reads a text, or several.
pub(crate) fn each<T>(
    texts: &OneOrMany,
    key: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let read = some(texts, key)?.iter().map(|text| read(text));
    read.collect::<Result<_, _>>().map_err(|reason| format!("`{key}`: {reason}"))
}

/// The texts, of which there has to be one.
pub(crate) fn some<'a>(texts: &'a OneOrMany, key: &str) -> Result<&'a [String], String> {
    match texts.all() {
        [] => Err(format!("`{key}`: the list is empty: nothing would fit; leave it out to fit everything")),
        all => Ok(all),
    }
}

/// A token in capitals (RFC 9110 9.1).
fn is_method(text: &str) -> bool {
    is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// The name of a field, in lower case (RFC 9110 5.1).
fn is_field(text: &str) -> bool {
    is_token(text)
}

/// RFC 9110 5.6.2.
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}
