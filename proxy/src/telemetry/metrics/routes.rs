//! Numbers of routes, whose names are not in the configuration.
//!
//! A filter names the route it chose, so a name is only known when it is first used. The number of names is
//! bounded: those beyond are counted as `other`. Each worker remembers the names it has met, so that counting
//! for a known route touches nothing that is shared.

use super::{
    Metrics,
    cells::Cells,
    families::{RouteMetrics, Scope},
    labels::CodeClass,
};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The label of routes beyond the bound.
pub const OTHER_ROUTE: &str = "other";

type ByName = HashMap<Arc<str>, Arc<RouteMetrics>>;

/// The routes of a process.
pub(super) struct Routes {
    workers: usize,
    bound: usize,
    /// Read without waiting; replaced as a whole under `adding`.
    by_name: ArcSwap<ByName>,
    adding: Mutex<()>,
    other: Arc<RouteMetrics>,
}

impl Routes {
    pub(super) fn new(workers: usize, bound: usize) -> Self {
        Routes {
            workers,
            bound,
            by_name: ArcSwap::default(),
            adding: Mutex::default(),
            other: fresh(workers),
        }
    }

    /// The numbers of a route, or those of `other` when there is no room for one more name.
    fn route(&self, name: &str) -> Arc<RouteMetrics> {
        let known = self.by_name.load();
        if let Some(route) = known.get(name) {
            return route.clone();
        }
        if name == OTHER_ROUTE || known.len() >= self.bound {
            return self.other.clone();
        }
        drop(known);
        self.add(name)
    }

    fn add(&self, name: &str) -> Arc<RouteMetrics> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.by_name.load_full();
        if let Some(route) = known.get(name) {
            return route.clone();
        }
        if known.len() >= self.bound {
            return self.other.clone();
        }
        let route = fresh(self.workers);
        let mut more = ByName::clone(&known);
        more.insert(name.into(), route.clone());
        self.by_name.store(Arc::new(more));
        route
    }

    /// All routes, by name; `other` if it was needed.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<RouteMetrics>)> {
        let known = self.by_name.load();
        let mut all: Vec<_> = known.iter().map(|(name, route)| (name.clone(), route.clone())).collect();
        all.sort_unstable_by(|(one, _), (another, _)| one.cmp(another));
        if (0..RouteMetrics::WIDTH).any(|cell| self.other.cells().sum(cell) > 0) {
            all.push((OTHER_ROUTE.into(), self.other.clone()));
        }
        all
    }
}

fn fresh(workers: usize) -> Arc<RouteMetrics> {
    Arc::new(RouteMetrics::over(&Cells::new(workers, RouteMetrics::WIDTH)))
}

/// The routes that one worker has met.
pub struct RouteCache {
    metrics: Arc<Metrics>,
    met: HashMap<Box<str>, Arc<RouteMetrics>>,
}

impl RouteCache {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        RouteCache { metrics, met: HashMap::new() }
    }

    /// Counts one exchange that took the route.
    pub fn count(&mut self, worker: usize, name: &str, class: CodeClass) {
        if let Some(route) = self.met.get(name) {
            route.requests.one(worker, class);
            return;
        }
        let routes = &self.metrics.routes;
        let route = routes.route(name);
        route.requests.one(worker, class);
        // Names beyond the bound are not remembered, or memory would grow with them.
        if !Arc::ptr_eq(&route, &routes.other) {
            self.met.insert(name.into(), route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_share_the_numbers_of_other() {
        let routes = Routes::new(1, 2);
        for name in ["a", "b", "c", "d", "a"] {
            routes.route(name).requests.one(0, CodeClass::Successful);
        }
        let counted: Vec<_> = routes
            .all()
            .into_iter()
            .map(|(name, route)| (name.to_string(), route.requests.sum(CodeClass::Successful)))
            .collect();
        assert_eq!(counted, [("a".into(), 2), ("b".into(), 1), ("other".into(), 2)]);
    }

    #[test]
    fn a_worker_remembers_known_names_only() {
        let metrics = Metrics::new(1);
        let mut cache = metrics.route_cache();
        for number in 0..super::super::ROUTES + 100 {
            cache.count(0, &format!("route-{number}"), CodeClass::Successful);
        }
        assert_eq!(cache.met.len(), super::super::ROUTES);
        assert_eq!(metrics.routes.other.requests.sum(CodeClass::Successful), 100);
    }

    #[test]
    fn workers_that_meet_a_name_at_once_count_in_the_same_place() {
        let metrics = Metrics::new(4);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let mut cache = metrics.route_cache();
                scope.spawn(move || {
                    (0..1_000)
                        .for_each(|n| cache.count(worker, &format!("r{}", n % 50), CodeClass::Successful));
                });
            }
        });
        let all = metrics.routes.all();
        assert_eq!(all.len(), 50);
        assert!(all.iter().all(|(_, route)| route.requests.sum(CodeClass::Successful) == 80));
    }
}
