//! The filter's `config` table. The README says what each key means.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_sdk::Span;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub(crate) deny: Vec<RuleConfig>,
    #[serde(default)]
    pub(crate) allow: Vec<RuleConfig>,
    #[serde(default)]
    pub(crate) audit: bool,
    #[serde(default)]
    pub(crate) connection: bool,
    #[serde(default = "minute")]
    pub(crate) remember: Span,
}

/// One rule. What is not written is not asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleConfig {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) from: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) address: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) sni: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) listener: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) method: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) path: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) path_prefix: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, ValueConfig>,
    #[serde(default)]
    pub(crate) facts: BTreeMap<String, ValueConfig>,
}

impl RuleConfig {
    /// The first key that says something of requests, which no connection has.
    pub(crate) fn about_requests(&self) -> Option<&'static str> {
        let keys = [
            ("method", self.method.is_some()),
            ("path", self.path.is_some()),
            ("path_prefix", self.path_prefix.is_some()),
            ("headers", !self.headers.is_empty()),
            ("facts", !self.facts.is_empty()),
        ];
        keys.into_iter().find_map(|(key, said)| said.then_some(key))
    }
}

/// A text, or several of which one has to fit.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn all(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// What a value has to be: one of some texts, or what a table says.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ValueConfig {
    Equals(OneOrMany),
    Test(TestConfig),
}

/// Exactly one of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestConfig {
    pub(crate) prefix: Option<String>,
    pub(crate) word: Option<OneOrMany>,
    pub(crate) present: Option<bool>,
}

fn minute() -> Span {
    Span::seconds(60)
}
