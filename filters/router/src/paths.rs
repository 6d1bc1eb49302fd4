//! The routes of one host by path: whole paths in a map, prefixes in a tree of segments.
//!
//! A path regex is kept at the node of its literal beginning, so that only requests on the way through
//! that node try it.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::candidates::Candidates;
use crate::segments::{Children, segments};

/// How a route demands a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathKey {
    /// This path.
    Exact(String),
    /// This path and what lies below it; without a "/" at the end, "" for every path.
    Below(String),
    /// As `Below`, and a regex must match the whole path.
    RegexBelow(String),
}

#[derive(Debug, Default)]
pub(crate) struct Paths {
    exact: HashMap<Box<str>, Candidates, FixedState>,
    root: Node,
    has_regex: bool,
}

#[derive(Debug, Default)]
struct Node {
    below: Candidates,
    regex: Candidates,
    children: Children<Node>,
}

/// Which candidates to look at: regexes are tried only for routes before the best found without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Plain,
    Regex,
}

impl Paths {
    pub(crate) fn insert(&mut self, key: &PathKey, route: u32) {
        match key {
            PathKey::Exact(path) => self.exact.entry(path.as_str().into()).or_default().push(route),
            PathKey::Below(prefix) => self.node(prefix).below.push(route),
            PathKey::RegexBelow(prefix) => {
                self.has_regex = true;
                self.node(prefix).regex.push(route);
            }
        }
    }

    fn node(&mut self, prefix: &str) -> &mut Node {
        segments(prefix).fold(&mut self.root, |node, segment| node.children.enter(segment))
    }

    /// Every list of candidates, once.
    pub(crate) fn for_each_mut(&mut self, mut each: impl FnMut(&mut Candidates)) {
        self.exact.values_mut().for_each(&mut each);
        let mut nodes = vec![&mut self.root];
        while let Some(node) = nodes.pop() {
            each(&mut node.below);
            each(&mut node.regex);
            node.children.for_each_mut(|child| nodes.push(child));
        }
    }

    /// Shows the candidates for a path: at most one list more than the tree is deep.
    pub(crate) fn visit<'a>(&'a self, path: &str, pass: Pass, mut each: impl FnMut(&'a Candidates)) {
        if pass == Pass::Regex && !self.has_regex {
            return;
        }
        if pass == Pass::Plain
            && let Some(exact) = self.exact.get(path)
        {
            each(exact);
        }
        let mut node = &self.root;
        let mut rest = segments(path);
        loop {
            let candidates = if pass == Pass::Regex { &node.regex } else { &node.below };
            if !candidates.is_empty() {
                each(candidates);
            }
            // Most paths go on for longer than the tree does.
            if node.children.is_empty() {
                return;
            }
            match rest.next().and_then(|segment| node.children.get(segment)) {
                Some(child) => node = child,
                None => return,
            }
        }
    }
}

/// The whole segments a regex surely begins with: "/users/[0-9]+" lies below "/users".
pub(crate) fn literal_beginning(pattern: &str) -> String {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    if pattern.contains('|') {
        return String::new();
    }
    let end = pattern.find(|c| r"\.+*?()[]{}^$".contains(c)).unwrap_or(pattern.len());
    let mut literal = &pattern[..end];
    if pattern[end..].starts_with(['?', '*', '{', '+']) {
        literal = literal.char_indices().next_back().map_or("", |(last, _)| &literal[..last]);
    }
    // The last segment may go on: only what "/" ends is sure.
    literal.rfind('/').map_or(String::new(), |end| literal[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_beginning_of_a_regex_is_what_every_match_lies_below() {
        for (pattern, beginning) in [
            ("/users/[0-9]+", "/users"),
            ("^/a/b/c.*", "/a/b"),
            ("/a/?", ""),
            ("/a/b*/c", "/a"),
            ("/a/b/?c", "/a"),
            (r"/v1\.0/x", ""),
            ("/a/(b|c)/d", ""),
            ("(?i)/a/b", ""),
            ("/my-app/x{2}", "/my-app"),
            (".*", ""),
            ("/plain/path", "/plain"),
        ] {
            assert_eq!(literal_beginning(pattern), beginning, "{pattern}");
        }
    }
}
