//! Finds the first route that matches, at a cost that does not grow with their number: host, then
//! path, then the few candidates left, in the order of config.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::FixedState;
use regex_lite::Regex;

use crate::condition::Condition;
use crate::paths::{Pass, PathKey, Paths};
use crate::values::Values;

/// What a route demands.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(crate) hosts: Vec<HostKey>,
    pub(crate) path: PathKey,
    pub(crate) regex: Option<Regex>,
    pub(crate) conditions: Vec<Condition>,
}

/// In lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostKey {
    Any,
    Exact(String),
    /// Hosts that end in "." and this.
    Below(String),
}

/// What is left to look at once host and path have led to a route.
#[derive(Debug)]
struct Demand {
    regex: Option<Box<Regex>>,
    conditions: Box<[Condition]>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    demands: Vec<Demand>,
    exact: HashMap<Box<str>, Paths, FixedState>,
    below: HashMap<Box<str>, Paths, FixedState>,
    /// Labels of the longest name in `below`: no need to look for longer ones.
    deepest: usize,
    any: Paths,
    has_regex: bool,
    /// Routes looked at so far: what must not grow with their number.
    #[cfg(test)]
    looked_at: std::cell::Cell<usize>,
}

impl Table {
    /// One more route, behind those before.
    pub(crate) fn push(&mut self, matcher: Matcher) {
        let position = self.demands.len() as u32;
        self.has_regex |= matches!(matcher.path, PathKey::RegexBelow(_));
        for host in matcher.hosts {
            let paths = match host {
                HostKey::Any => &mut self.any,
                HostKey::Exact(name) => self.exact.entry(name.into()).or_default(),
                HostKey::Below(name) => {
                    self.deepest = self.deepest.max(name.split('.').count());
                    self.below.entry(name.into()).or_default()
                }
            };
            paths.insert(&matcher.path, position);
        }
        let (regex, conditions) = (matcher.regex.map(Box::new), matcher.conditions.into());
        self.demands.push(Demand { regex, conditions });
    }

    /// Called once, when all are pushed.
    pub(crate) fn finish(&mut self) {
        let demands = &self.demands;
        let conditions = |route: u32| &*demands[route as usize].conditions;
        let hosts = self.exact.values_mut().chain(self.below.values_mut());
        for paths in hosts.chain([&mut self.any]) {
            paths.for_each_mut(|candidates| candidates.finish(conditions));
        }
    }

    /// The position of the first route that matches.
    pub(crate) fn find(&self, values: &Values<'_>) -> Option<usize> {
        let by_host = !(self.exact.is_empty() && self.below.is_empty());
        let host = if by_host { host_of(values.authority) } else { Cow::Borrowed("") };
        let passes: &[Pass] = if self.has_regex { &[Pass::Plain, Pass::Regex] } else { &[Pass::Plain] };
        let mut best = u32::MAX;
        for pass in passes.iter().copied() {
            self.hosts(&host, |paths| {
                paths.visit(values.path, pass, |candidates| {
                    for list in candidates.lists(values) {
                        let earlier = list.iter().copied().take_while(|route| *route < best);
                        if let Some(first) = { earlier }.find(|route| self.matches(*route, values)) {
                            best = first;
                        }
                    }
                });
            });
        }
        (best != u32::MAX).then_some(best as usize)
    }

    fn matches(&self, route: u32, values: &Values<'_>) -> bool {
        #[cfg(test)]
        self.looked_at.set(self.looked_at.get() + 1);
        let demand = &self.demands[route as usize];
        demand.conditions.iter().all(|condition| condition.holds(values))
            && demand.regex.as_ref().is_none_or(|regex| regex.is_match(values.path))
    }

    /// The tables that a host name leads to.
    fn hosts<'a>(&'a self, host: &str, mut each: impl FnMut(&'a Paths)) {
        if let Some(paths) = self.exact.get(host) {
            each(paths);
        }
        if !self.below.is_empty() {
            let dots = host.bytes().enumerate().rev().filter(|(_, byte)| *byte == b'.');
            // A dot at the front has no label before it, so nothing lies "below" what follows.
            for (dot, _) in dots.take(self.deepest).filter(|(dot, _)| *dot > 0) {
                if let Some(paths) = self.below.get(&host[dot + 1..]) {
                    each(paths);
                }
            }
        }
        each(&self.any);
    }
}

/// The host of an authority (RFC 3986 3.2.2) in lower case: without port, without the dot at the end.
pub(crate) fn host_of(authority: &str) -> Cow<'_, str> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
