//! Routes that share host and path, in the order of config: those that can still match a request are
//! tried one by one, the first wins.
//!
//! Where many routes share a path and differ by one exact value (a tenant's header, a method), trying
//! all of them would cost what the tables were built to avoid. Then they are split by that value.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::condition::{Condition, Want};
use crate::values::{Source, Values};

/// Below this many, splitting saves nothing.
const WORTH_SPLITTING: usize = 8;

/// Positions of routes, ascending.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    rest: Vec<u32>,
    /// Boxed, because few have it and there is one of these for every segment of a path.
    split: Option<Box<Split>>,
}

#[derive(Debug)]
struct Split {
    source: Source,
    by_value: HashMap<Box<[u8]>, Vec<u32>, FixedState>,
}

impl Candidates {
    /// One more; positions come ascending.
    pub(crate) fn push(&mut self, route: u32) {
        self.rest.push(route);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.split.is_none()
    }

    /// Called once, when all are pushed.
    pub(crate) fn finish<'a>(&mut self, conditions: impl Fn(u32) -> &'a [Condition]) {
        if self.rest.len() < WORTH_SPLITTING {
            return;
        }
        let Some(source) = best_source(&self.rest, &conditions) else { return };
        let mut by_value: HashMap<Box<[u8]>, Vec<u32>, FixedState> = HashMap::default();
        self.rest.retain(|route| match exact_value(conditions(*route), &source) {
            Some(value) => {
                by_value.entry(value.into()).or_default().push(*route);
                false
            }
            None => true,
        });
        self.split = Some(Box::new(Split { source, by_value }));
    }

    /// Those that the split does not rule out: two lists, each ascending.
    pub(crate) fn lists(&self, values: &Values<'_>) -> [&[u32]; 2] {
        let split = self.split.as_ref().and_then(|split| {
            let value = values.get(&split.source)?;
            split.by_value.get(&*value)
        });
        [&self.rest, split.map_or(&[], Vec::as_slice)]
    }
}

/// The value that most routes demand exactly; none if splitting by it would not shorten the list.
fn best_source<'a>(routes: &[u32], conditions: &impl Fn(u32) -> &'a [Condition]) -> Option<Source> {
    let mut counted: Vec<(&Source, usize)> = Vec::new();
    for route in routes {
        for condition in
            conditions(*route).iter().filter(|condition| matches!(condition.want, Want::Exact(_)))
        {
            match counted.iter_mut().find(|(source, _)| **source == condition.source) {
                Some((_, count)) => *count += 1,
                None => counted.push((&condition.source, 1)),
            }
        }
    }
    let (source, count) = counted.into_iter().max_by_key(|(_, count)| *count)?;
    (count >= WORTH_SPLITTING / 2).then(|| source.clone())
}

fn exact_value<'a>(conditions: &'a [Condition], source: &Source) -> Option<&'a [u8]> {
    conditions.iter().find_map(|condition| match &condition.want {
        Want::Exact(value) if condition.source == *source => Some(&**value),
        _ => None,
    })
}
