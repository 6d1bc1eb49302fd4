//! Discovery: endpoints that are told from elsewhere and change while the proxy runs.
//!
//! ```text
//! source --list of a part--> Board --"something changed"--> Discovery --10 ms later--> one swap for all
//! ```
//!
//! A source knows the endpoints of a cluster, or parts of them: the hosts of a name, the list in a file, one day a
//! slice that a control plane tells. It says each part whole, whenever that changed, to the cluster's [`Board`], which
//! keeps the last that was known of a part whose source fails. What clusters are made of is taken from there
//! ([`Following::endpoints`]), so that what changes often makes neither sources nor clusters wait for each other.
//!
//! It stands apart from clusters because nothing here is on the path of an exchange: sources have a thread of their
//! own, which is there only if something is followed.

mod board;
mod dns;
mod endpoint;
mod file;
mod listing;
mod names;

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::{Notify, Semaphore},
};
use weir_config::checked::{Address, Cluster, Dns, Endpoints};

pub use board::{Board, Failing, Hub};
pub use endpoint::{Resolved, Target};

use crate::telemetry::metrics::ClusterMetrics;
use dns::Resolver;
use file::Files;
use listing::{Listing, Task};

/// Changes that come within this time of one another are put in force together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Lookups under way at once: a start with ten thousand names must not be a flood.
const LOOKUPS: usize = 64;

/// What follows the sources of all clusters.
#[derive(Default)]
pub struct Discovery {
    hub: Arc<Hub>,
    running: OnceLock<Running>,
    on_change: Arc<OnceLock<OnChange>>,
}

type OnChange = Box<dyn Fn() + Send + Sync>;

/// The thread of the sources.
struct Running {
    handle: Handle,
    files: Arc<Files>,
    lookups: Arc<Semaphore>,
    /// One for all clusters as long as `[dns]` stays the same.
    resolver: Mutex<Option<Arc<Resolver>>>,
    end: Arc<Notify>,
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery").field("runs", &self.running.get().is_some()).finish_non_exhaustive()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        if let Some(running) = self.running.get() {
            running.end.notify_one();
        }
    }
}

impl Discovery {
    /// Has this called, by a thread that may take its time, whenever endpoints of followed clusters changed. Only the
    /// first call counts.
    pub fn tell(&self, on_change: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_change.set(Box::new(on_change));
        // What came before there was anybody to be told.
        self.hub.changed();
    }

    /// Follows the sources of a cluster's endpoints from now on. None: they are fixed. What `before` followed goes on
    /// if it is the same; if only the way of asking differs, what it knew is kept until there are answers.
    ///
    /// # Errors
    /// A file that cannot be read or has an error.
    pub fn follow(
        &self,
        cluster: &Cluster,
        dns: &Dns,
        metrics: Arc<ClusterMetrics>,
        before: Option<&Arc<Following>>,
    ) -> Result<Option<Arc<Following>>, String> {
        if is_fixed(&cluster.endpoints) {
            return Ok(None);
        }
        let same = before.filter(|before| before.endpoints == cluster.endpoints);
        if let Some(same) = same.filter(|same| same.asks(dns)) {
            return Ok(Some(Arc::clone(same)));
        }
        let running = self.running().map_err(|error| format!("its endpoints cannot be followed: {error}"))?;
        let board = Board::new(Arc::clone(&cluster.name), Arc::clone(&self.hub), metrics);
        if let Some(same) = same {
            board.begin_with(&same.board);
        }
        let listing = Listing::new(Arc::clone(&board), running.resolver(dns), Arc::clone(&running.lookups));
        let task = match &cluster.endpoints {
            Endpoints::Listed(listed) => Followed::Listed(listing.of(listed, &running.handle)),
            Endpoints::Destination(_) => return Ok(None),
            Endpoints::File(path) => {
                let files = Arc::clone(&running.files);
                let cluster = Arc::new(cluster.clone());
                Followed::File(file::follow(path, cluster, listing, files, &running.handle)?)
            }
        };
        let (endpoints, dns) = (cluster.endpoints.clone(), dns.clone());
        Ok(Some(Arc::new(Following { endpoints, dns, board, _task: task })))
    }

    /// Waits until each of these has heard of all its sources, well or ill, at most this long. Called by a thread that
    /// may wait.
    pub fn wait(&self, followings: &[Arc<Following>], timeout: Duration) {
        let until = Instant::now() + timeout;
        self.hub.wait_until(until, || followings.iter().all(|following| following.board.has_heard_of_all()));
    }

    fn running(&self) -> std::io::Result<&Running> {
        if let Some(running) = self.running.get() {
            return Ok(running);
        }
        let running = Running::start(&self.hub, &self.on_change)?;
        // Followers are made by one thread at a time; were it otherwise, the second thread would end here.
        Ok(self.running.get_or_init(|| running))
    }
}

impl Running {
    fn start(hub: &Arc<Hub>, on_change: &Arc<OnceLock<OnChange>>) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, files) = (Arc::new(Notify::new()), Arc::new(Files::default()));
        let (ends, watched) = (Arc::clone(&end), Arc::clone(&files));
        let (hub, on_change) = (Arc::clone(hub), Arc::clone(on_change));
        std::thread::Builder::new().name("weir-discovery".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = ends.notified() => {}
                    () = watched.watch() => {}
                    () = pass_on(&hub, &on_change) => {}
                }
            });
        })?;
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Ok(Self { handle, files, lookups, resolver: Mutex::default(), end })
    }

    fn resolver(&self, dns: &Dns) -> Arc<Resolver> {
        let mut resolver = self.resolver.lock().unwrap_or_else(PoisonError::into_inner);
        match &*resolver {
            Some(known) if known.servers() == dns.servers => Arc::clone(known),
            _ => Arc::clone(resolver.insert(Arc::new(Resolver::new(&dns.servers)))),
        }
    }
}

/// Says once for many changes that there were some.
async fn pass_on(hub: &Hub, on_change: &OnceLock<OnChange>) {
    loop {
        hub.change().await;
        tokio::time::sleep(TOGETHER).await;
        if let Some(on_change) = on_change.get() {
            on_change();
        }
    }
}

fn is_fixed(endpoints: &Endpoints) -> bool {
    let named = |address: &Address| matches!(address, Address::Name { .. } | Address::Srv { .. });
    match endpoints {
        Endpoints::Listed(listed) => !listed.iter().any(|endpoint| named(&endpoint.address)),
        Endpoints::Destination(_) => true,
        Endpoints::File(_) => false,
    }
}

/// The endpoints of one cluster, followed for as long as this is held.
pub struct Following {
    endpoints: Endpoints,
    dns: Dns,
    board: Arc<Board>,
    _task: Followed,
}

/// What keeps telling.
#[expect(dead_code, reason = "held until the cluster is followed no more")]
enum Followed {
    Listed(Listing),
    File(Task),
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Following {
    /// Counts up whenever the list changes.
    pub fn version(&self) -> u64 {
        self.board.version()
    }

    /// The list now, with its version.
    pub fn endpoints(&self) -> (u64, Vec<Resolved>) {
        self.board.endpoints()
    }

    /// Sources that fail, and why; what they told last is still in the list.
    pub fn failing(&self) -> Vec<Failing> {
        self.board.failing()
    }

    /// Whether these are the servers that are asked.
    pub fn asks(&self, dns: &Dns) -> bool {
        self.dns.servers == dns.servers
    }
}
