//! Filters that would decide nothing where config puts them: what a chain seems to forbid would pass.

use std::sync::Arc;

use weir_config::checked::{Config, Listener, ListenerProtocol};
use weir_runtime::HookSet;

use crate::chain::FilterPlan;

/// Place and reason for each listener that carries no requests and has a filter that hears of nothing else.
pub(super) fn find(config: &Config, filters: &[Arc<FilterPlan>]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for listener in config.listeners.iter().filter(|listener| carries_no_requests(listener)) {
        for filter in listener.chain.iter().filter_map(|id| filters.get(id.0 as usize)) {
            if !filter.hooks.contains(HookSet::CONNECTION) {
                found.push((format!("listeners.{}.chain", listener.name), told(filter)));
            }
        }
    }
    found
}

fn carries_no_requests(listener: &Listener) -> bool {
    matches!(listener.protocol, ListenerProtocol::Tcp | ListenerProtocol::TlsPassthrough)
}

fn told(filter: &FilterPlan) -> String {
    let (name, exported) = (filter.name(), filter.artifact().exports);
    let help = if exported.contains(HookSet::CONNECTION) {
        "configure it for connections (`rbac`: connection = true)"
    } else {
        "take it out of the chain"
    };
    format!(
        "the filter `{name}` decides on requests only, and this listener carries none: it would let everything \
         through; {help}"
    )
}
