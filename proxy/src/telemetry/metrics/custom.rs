//! Counters that filters define themselves.
//!
//! The runtime keeps their numbers; here they get a name that is legal, bounded in length and not one of the
//! proxy's own, so that no filter can spoil a scrape.

use super::families::{FilterMetrics, Scope};
use std::collections::BTreeMap;

/// A counter of a filter, as it stands now.
#[derive(Debug, Clone)]
pub struct Custom<'a> {
    /// The filter's name in the configuration.
    pub filter: &'a str,
    /// What the filter calls it.
    pub name: &'a str,
    /// What the filter says it means.
    pub help: &'a str,
    /// Its value.
    pub value: u64,
}

/// One family of filters' counters.
pub(super) struct CustomFamily<'a> {
    pub(super) help: &'a str,
    pub(super) by_filter: BTreeMap<&'a str, u64>,
}

/// Counters by the name of their family. Filters that define the same name share a family; names of one
/// filter that become the same are added up.
pub(super) fn by_family<'a>(counters: &[Custom<'a>]) -> BTreeMap<String, CustomFamily<'a>> {
    let mut families = BTreeMap::new();
    for counter in counters {
        let family = families
            .entry(family_name(counter.name))
            .or_insert_with(|| CustomFamily { help: counter.help, by_filter: BTreeMap::new() });
        let value = family.by_filter.entry(counter.filter).or_insert(0u64);
        *value = value.wrapping_add(counter.value);
    }
    families
}

/// Characters of a filter's own name that are kept.
const NAME_MAX: usize = 64;

fn family_name(name: &str) -> String {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let legal: String = name
        .chars()
        .take(NAME_MAX)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    let family = format!("weir_filter_{legal}_total");
    if FilterMetrics::FAMILIES.iter().any(|own| own.name == family) {
        return format!("weir_filter_own_{legal}_total");
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_legal_and_never_one_of_the_proxys_own() {
        assert_eq!(family_name("opened"), "weir_filter_opened_total");
        assert_eq!(family_name("opened_total"), "weir_filter_opened_total");
        assert_eq!(family_name("Bad name\n{}"), "weir_filter_bad_name____total");
        assert_eq!(family_name("calls"), "weir_filter_own_calls_total");
        assert_eq!(family_name(&"x".repeat(1_000)).len(), "weir_filter__total".len() + NAME_MAX);
    }

    #[test]
    fn names_of_one_filter_that_become_the_same_are_added_up() {
        let counter = |filter, name, value| Custom { filter, name, help: "", value };
        let families = by_family(&[counter("f", "a-b", 1), counter("f", "a.b", 2), counter("g", "a_b", 4)]);
        let values: Vec<_> = families["weir_filter_a_b_total"].by_filter.iter().collect();
        assert_eq!(values, [(&"f", &3), (&"g", &4)]);
    }
}
