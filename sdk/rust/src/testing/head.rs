//! A request as the proxy knows it, and the values it shows of it by name.

use std::collections::BTreeMap;

use super::world::World;
use crate::decision::{Edit, Passage};
use crate::exchange::View;
use crate::setup::Condition;
use crate::text::Text;

/// A request's head with what the proxy knows beside it.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// Facts of filters, and what the proxy states itself, by name without "@".
    pub(super) facts: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Head {
    /// A value by its name in `interest.request`.
    pub(super) fn value(&self, name: &str, world: &World) -> Option<Vec<u8>> {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        match name {
            ":method" => text(&self.method),
            ":scheme" => text(&self.scheme),
            ":authority" => text(&self.authority),
            ":path" => text(&self.path),
            ":query" => text(self.query.as_deref()?),
            ":fields" => Some(self.all_fields()),
            "@time.ms" => Some(world.now_ms().to_le_bytes().to_vec()),
            "@random" => Some(world.random().to_le_bytes().to_vec()),
            _ => match name.strip_prefix('@') {
                Some(fact) => text(self.facts.get(fact)?),
                None => joined(&self.fields, name),
            },
        }
    }

    fn all_fields(&self) -> Vec<u8> {
        self.fields
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat())
            .collect()
    }

    /// Whether a filter with these conditions is shown the exchange.
    pub(super) fn meets(&self, when: &[Condition], world: &World) -> bool {
        when.is_empty()
            || when.iter().any(|condition| condition.holds(self.value(&condition.name, world).as_deref()))
    }

    /// Carries out what a filter decided, for the filter's own later calls to see.
    pub(super) fn apply(&mut self, passage: &Passage) {
        edit(&mut self.fields, &passage.edits);
        for (name, value) in &passage.facts {
            self.facts.insert(name.to_string(), value.to_string());
        }
    }
}

/// Carries out edits on a head.
fn edit(fields: &mut Vec<(String, Vec<u8>)>, edits: &[Edit]) {
    for edit in edits {
        match edit {
            Edit::Set(name, value) => {
                fields.retain(|(known, _)| *known != **name);
                fields.push((name.to_string(), value.to_vec()));
            }
            Edit::Append(name, value) => fields.push((name.to_string(), value.to_vec())),
            Edit::Remove(name) => fields.retain(|(known, _)| *known != **name),
        }
    }
}

/// Every field of this name in one value (RFC 9110 5.3, RFC 9113 8.2.3).
pub(super) fn joined(fields: &[(String, Vec<u8>)], name: &str) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> =
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_slice()).collect();
    let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
    (!values.is_empty()).then(|| values.join(separator))
}

/// Values packed as the proxy packs them.
pub(super) struct Packed {
    at: Vec<u32>,
    bytes: Vec<u8>,
}

impl Packed {
    pub(super) fn of(names: &[Text], value: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let mut packed = Packed { at: Vec::new(), bytes: Vec::new() };
        for name in names {
            match value(name) {
                Some(value) => {
                    packed.at.extend([packed.bytes.len() as u32, value.len() as u32]);
                    packed.bytes.extend(value);
                }
                None => packed.at.extend([u32::MAX, 0]),
            }
        }
        packed
    }

    pub(super) fn view(&self) -> View<'_> {
        View { at: &self.at, bytes: &self.bytes }
    }
}
