//! The crowd: how many connections each worker has, over all listeners. It tells where a new one goes, and
//! when a worker that drains is done.
//!
//! A connection counts from the moment a worker was chosen for it, not from the moment that worker gets to
//! it: a colleague that is busy would be sent a whole burst.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// The connections of all workers.
#[derive(Debug)]
pub struct Crowd {
    connections: Box<[AtomicU64]>,
    /// Sockets that are still accepted from, over all workers.
    accepting: AtomicUsize,
}

impl Crowd {
    /// Nobody yet, at this many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        let connections = (0..workers).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { connections, accepting: AtomicUsize::new(0) })
    }

    /// A place for a connection that this worker accepted: at another one if that has clearly fewer. Few
    /// connections are evened out exactly: they may be HTTP/2 ones that live long.
    pub(super) fn place(self: &Arc<Self>, accepted_by: usize) -> Place {
        let count = |worker: &AtomicU64| worker.load(Ordering::Relaxed);
        let mine = count(&self.connections[accepted_by]);
        let least = self.connections.iter().map(count).enumerate().min_by_key(|(_, count)| *count);
        match least {
            Some((worker, least)) if mine > least + least / 8 => self.place_at(worker),
            _ => self.place_at(accepted_by),
        }
    }

    /// A place for a connection at this worker, whatever the others have.
    pub(super) fn place_at(self: &Arc<Self>, worker: usize) -> Place {
        self.connections[worker].fetch_add(1, Ordering::Relaxed);
        Place { crowd: Arc::clone(self), worker }
    }

    /// One more socket is accepted from.
    pub(super) fn accept(self: &Arc<Self>) -> Accepting {
        self.accepting.fetch_add(1, Ordering::Relaxed);
        Accepting(Arc::clone(self))
    }

    /// Whether this worker has no connection and will get none, from itself or from a colleague.
    pub(super) fn is_over(&self, worker: usize) -> bool {
        // In this order: whoever ended accepting before had counted all that it accepted.
        self.accepting.load(Ordering::Acquire) == 0 && self.connections[worker].load(Ordering::Relaxed) == 0
    }
}

/// Counts one connection at a worker as long as it lives.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    pub(super) worker: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.connections[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one socket that is accepted from.
#[derive(Debug)]
pub(super) struct Accepting(Arc<Crowd>);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_spread_before_any_worker_looks_up() {
        let crowd = Crowd::new(3);
        let burst: Vec<_> = (0..90).map(|_| crowd.place(0)).collect();
        for worker in 0..3 {
            let there = burst.iter().filter(|place| place.worker == worker).count();
            assert!((25..=35).contains(&there), "worker {worker} has {there} of 90");
        }
    }

    #[test]
    fn few_connections_are_evened_out_and_places_become_free() {
        let crowd = Crowd::new(2);
        let four: Vec<_> = (0..4).map(|_| crowd.place(1)).collect();
        assert_eq!(four.iter().filter(|place| place.worker == 0).count(), 2);
        drop(four);
        assert_eq!(crowd.place(1).worker, 1);
        assert!(crowd.is_over(0) && crowd.is_over(1));
    }

    #[test]
    fn a_worker_is_not_done_while_a_colleague_may_hand_it_a_connection() {
        let crowd = Crowd::new(2);
        let accepting = crowd.accept();
        assert!(!crowd.is_over(1));
        let handed = crowd.place_at(1);
        drop(accepting);
        assert!(crowd.is_over(0) && !crowd.is_over(1));
        drop(handed);
        assert!(crowd.is_over(1));
    }
}
