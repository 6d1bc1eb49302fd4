//! The segments of a path, and what lies below each of them.
//!
//! Apart from `paths`, because every request walks here: most nodes of a tree have one child, and most segments
//! a few bytes, so comparing beats hashing, and looking at each byte beats what looks at many at once.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Above this many, they are hashed.
const FEW: usize = 4;

/// "/a/b" is "a", "b"; "" and what does not begin with "/" have none.
pub(crate) fn segments(path: &str) -> Segments<'_> {
    Segments { rest: path.strip_prefix('/') }
}

pub(crate) struct Segments<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (segment, rest) = match rest.bytes().position(|byte| byte == b'/') {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        self.rest = rest;
        Some(segment)
    }
}

/// What lies below a node, by the segment that leads there.
#[derive(Debug)]
pub(crate) enum Children<T> {
    Few(Vec<(Box<str>, T)>),
    /// Boxed, because a table has room for more than are in it.
    Many(HashMap<Box<str>, Box<T>, FixedState>),
}

impl<T> Default for Children<T> {
    fn default() -> Self {
        Children::Few(Vec::new())
    }
}

impl<T: Default> Children<T> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Children::Few(few) if few.is_empty())
    }

    pub(crate) fn get(&self, segment: &str) -> Option<&T> {
        match self {
            Children::Few(few) => few.iter().find(|(name, _)| **name == *segment).map(|(_, child)| child),
            Children::Many(many) => many.get(segment).map(Box::as_ref),
        }
    }

    /// The child of this name, which is made if it is not there.
    pub(crate) fn enter(&mut self, segment: &str) -> &mut T {
        if let Children::Few(few) = self
            && few.len() == FEW
            && few.iter().all(|(name, _)| **name != *segment)
        {
            *self = Children::Many(few.drain(..).map(|(name, child)| (name, Box::new(child))).collect());
        }
        match self {
            Children::Few(few) => {
                let at = few.iter().position(|(name, _)| **name == *segment).unwrap_or_else(|| {
                    // One is what most have.
                    few.reserve_exact(1);
                    few.push((segment.into(), T::default()));
                    few.len() - 1
                });
                &mut few[at].1
            }
            Children::Many(many) => many.entry(segment.into()).or_default(),
        }
    }

    pub(crate) fn for_each_mut<'a>(&'a mut self, mut each: impl FnMut(&'a mut T)) {
        match self {
            Children::Few(few) => few.iter_mut().for_each(|(_, child)| each(child)),
            Children::Many(many) => many.values_mut().for_each(|child| each(child)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_every_slash() {
        for (path, wanted) in [
            ("", &[][..]),
            ("a/b", &[]),
            ("/", &[""]),
            ("/a", &["a"]),
            ("/a/b", &["a", "b"]),
            ("/a//b/", &["a", "", "b", ""]),
            ("/\u{e4}/\u{20ac}", &["\u{e4}", "\u{20ac}"]),
        ] {
            assert_eq!(segments(path).collect::<Vec<_>>(), wanted, "{path}");
        }
    }

    #[test]
    fn children_are_found_by_name_be_they_few_or_many() {
        let mut children = Children::<usize>::default();
        assert!(children.is_empty() && children.get("0").is_none());
        for count in 1..=3 * FEW {
            *children.enter(&(count - 1).to_string()) = count;
            for known in 0..count {
                assert_eq!(children.get(&known.to_string()), Some(&(known + 1)), "{known} of {count}");
                assert_eq!(*children.enter(&known.to_string()), known + 1);
            }
            assert_eq!(children.get(&count.to_string()), None);
            let mut seen = Vec::new();
            children.for_each_mut(|child| seen.push(*child));
            seen.sort_unstable();
            assert!(seen.into_iter().eq(1..=count) && !children.is_empty());
        }
    }
}
