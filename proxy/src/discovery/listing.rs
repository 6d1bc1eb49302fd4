//! [`Listing`]: a list of endpoints as config or a file writes it, whose names are followed.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Semaphore, task::AbortHandle};
use weir_config::checked::Endpoint;

use super::{Board, Resolved, dns::Resolver, names};

/// The part of those without a name.
const LITERAL: &str = "";

/// A task that ends when this is dropped.
pub(super) struct Task(AbortHandle);

impl Task {
    pub(super) fn spawn(handle: &Handle, task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(handle.spawn(task).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The list that is followed now.
pub(super) struct Listing {
    pub(super) board: Arc<Board>,
    resolver: Arc<Resolver>,
    lookups: Arc<Semaphore>,
    named: Vec<Named>,
}

/// An endpoint with a name, and who asks for it.
struct Named {
    endpoint: Endpoint,
    part: Arc<str>,
    _task: Task,
}

impl Listing {
    /// Nothing is listed yet.
    pub(super) fn new(board: Arc<Board>, resolver: Arc<Resolver>, lookups: Arc<Semaphore>) -> Self {
        Self { board, resolver, lookups, named: Vec::new() }
    }

    /// With this list.
    pub(super) fn of(mut self, listed: &[Endpoint], handle: &Handle) -> Self {
        self.change_to(listed, handle);
        self
    }

    /// Puts another list in the place of the one before. Names that stay are not asked for anew.
    pub(super) fn change_to(&mut self, listed: &[Endpoint], handle: &Handle) {
        let mut before = std::mem::take(&mut self.named);
        for endpoint in listed.iter().filter(|endpoint| Resolved::literal(endpoint).is_none()) {
            let known = before.iter().position(|named| named.endpoint == *endpoint);
            let named =
                known.map(|at| before.swap_remove(at)).unwrap_or_else(|| self.follow(endpoint, handle));
            self.named.push(named);
        }
        for gone in before {
            self.board.remove(&gone.part);
        }
        self.board.put(&LITERAL.into(), listed.iter().filter_map(Resolved::literal).collect());
    }

    fn follow(&self, endpoint: &Endpoint, handle: &Handle) -> Named {
        // One name may be listed twice, with other labels.
        let twins = self.named.iter().filter(|named| named.endpoint.address == endpoint.address).count();
        let part: Arc<str> = match twins {
            0 => endpoint.address.to_string().into(),
            more => format!("{} ({})", endpoint.address, more + 1).into(),
        };
        self.board.await_part(&part);
        let name = names::Name::new(endpoint.clone(), Arc::clone(&part), Arc::clone(&self.board));
        let (resolver, lookups) = (Arc::clone(&self.resolver), Arc::clone(&self.lookups));
        let task = Task::spawn(handle, name.follow(resolver, lookups));
        Named { endpoint: endpoint.clone(), part, _task: task }
    }
}
