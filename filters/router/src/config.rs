//! The filter's `config` table. The README says what each key means.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use weir_sdk::Span;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) routes: Option<RawRoutes>,
    #[serde(default)]
    pub(crate) no_match: NoMatch,
    pub(crate) remember: Option<Span>,
}

/// An array of [`RouteConfig`]s; read one at a time, since ten thousand at once would take more memory than all
/// that is made from them.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawRoutes(Box<RawValue>);

impl RawRoutes {
    /// How many there are, for room that is taken once: a list that grows leaves all its former places behind, and
    /// a filter's memory never shrinks. Exact for what is an array.
    pub(crate) fn count(&self) -> usize {
        let (mut depth, mut commas, mut elements) = (0_usize, 0_usize, false);
        let mut bytes = self.0.get().bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => {
                    elements = true;
                    while let Some(inner) = bytes.next().filter(|byte| *byte != b'"') {
                        if inner == b'\\' {
                            bytes.next();
                        }
                    }
                }
                b'[' | b'{' => {
                    elements |= depth > 0;
                    depth += 1;
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' if depth == 1 => commas += 1,
                byte => elements |= !byte.is_ascii_whitespace(),
            }
        }
        commas + usize::from(elements)
    }

    /// Hands each route to `take`, with its position, until one is refused. The error names the route, unless it
    /// is `take`'s own.
    pub(crate) fn each(
        &self,
        take: impl FnMut(usize, RouteConfig) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut refused = None;
        let each = Each { take, refused: &mut refused };
        let read = serde_json::Deserializer::from_str(self.0.get()).deserialize_seq(each);
        match (refused, read) {
            (Some(refused), _) => Err(refused),
            (None, read) => read.map_err(|error| format!("`routes`: {error}")),
        }
    }
}

struct Each<'a, F> {
    take: F,
    /// Apart from serde's errors, which would add where in the JSON it was: nobody has written that.
    refused: &'a mut Option<String>,
}

impl<'de, F: FnMut(usize, RouteConfig) -> Result<(), String>> Visitor<'de> for Each<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of routes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut routes: A) -> Result<(), A::Error> {
        for at in 0.. {
            let taken = match routes.next_element::<RouteConfig>() {
                Ok(Some(route)) => (self.take)(at, route),
                Ok(None) => break,
                Err(error) => Err(format!("route {}: {error}", at + 1)),
            };
            if let Err(reason) = taken {
                *self.refused = Some(reason);
                return Err(de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// What becomes of a request that no route matches: `"pass"`, or the status of an answer.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum NoMatch {
    Answer(u16),
    Word(Word),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Pass,
}

impl Default for NoMatch {
    fn default() -> Self {
        NoMatch::Answer(404)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteConfig {
    pub(crate) name: Option<String>,
    #[serde(default, rename = "match")]
    pub(crate) matches: MatchConfig,
    pub(crate) cluster: Option<String>,
    pub(crate) redirect: Option<RedirectConfig>,
    pub(crate) reply: Option<ReplyConfig>,
    pub(crate) timeout: Option<Span>,
    pub(crate) retries: Option<u8>,
    pub(crate) retry_policy: Option<String>,
    #[serde(default)]
    pub(crate) rewrite: RewriteConfig,
    pub(crate) mirror: Option<String>,
    #[serde(default)]
    pub(crate) subset: BTreeMap<String, String>,
    pub(crate) hash: Option<HashConfig>,
    #[serde(default)]
    pub(crate) request_headers: EditsConfig,
    #[serde(default)]
    pub(crate) response_headers: EditsConfig,
    pub(crate) fault: Option<FaultConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchConfig {
    #[serde(default)]
    pub(crate) host: OneOrMany,
    pub(crate) path: Option<String>,
    pub(crate) path_prefix: Option<String>,
    pub(crate) path_regex: Option<String>,
    #[serde(default)]
    pub(crate) method: OneOrMany,
    #[serde(default)]
    pub(crate) headers: Vec<NamedTest>,
    #[serde(default)]
    pub(crate) query: Vec<NamedTest>,
    #[serde(default)]
    pub(crate) identity: OneOrMany,
}

#[derive(Debug)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// By hand: serde's way for either of two types keeps a copy of the value to try both, and every route has one.
impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or an array of texts")
            }

            fn visit_str<E: de::Error>(self, one: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(one.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = items.next_element()? {
                    many.push(one);
                }
                Ok(OneOrMany::Many(many))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Default for OneOrMany {
    fn default() -> Self {
        OneOrMany::Many(Vec::new())
    }
}

impl OneOrMany {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

/// One of `exact`, `prefix`, `regex`, `present`, `absent`; none means present.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedTest {
    pub(crate) name: String,
    pub(crate) exact: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) regex: Option<String>,
    pub(crate) present: Option<bool>,
    pub(crate) absent: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewriteConfig {
    pub(crate) path_prefix: Option<String>,
    pub(crate) authority: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedirectConfig {
    #[serde(default = "found")]
    pub(crate) status: u16,
    pub(crate) scheme: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    pub(crate) path_prefix: Option<String>,
    #[serde(default)]
    pub(crate) strip_query: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplyConfig {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

/// Exactly one of `header`, `cookie`, `query`, `address`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HashConfig {
    pub(crate) header: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) query: Option<String>,
    #[serde(default)]
    pub(crate) address: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditsConfig {
    #[serde(default)]
    pub(crate) set: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) append: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) remove: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultConfig {
    pub(crate) delay: Option<Span>,
    #[serde(default = "always")]
    pub(crate) delay_percent: f64,
    pub(crate) abort: Option<u16>,
    #[serde(default = "always")]
    pub(crate) abort_percent: f64,
}

fn found() -> u16 {
    302
}

fn always() -> f64 {
    100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_counted_as_they_are_read() {
        let counted = |text: &str| serde_json::from_str::<RawRoutes>(text).unwrap().count();
        for (text, elements) in [
            ("[]", 0),
            (" [ \n ] ", 0),
            ("[{}]", 1),
            ("[[]]", 1),
            (r#"[ { "a": [1, 2, {"b": 3}] } , {"c,": "d],\",[" } ]"#, 2),
            (r#"["\\", "[", 1, null]"#, 4),
        ] {
            assert_eq!(counted(text), elements, "{text}");
        }
    }
}
