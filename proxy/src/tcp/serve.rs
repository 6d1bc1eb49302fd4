//! One connection, from the moment it is known where it goes to its end.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use smallvec::SmallVec;
use weir_balance::Ended;
use weir_config::checked::ClusterId;

use super::account::Account;
use crate::{
    clock::Nanos,
    cluster::{Attempt, H1Connection, LocalCluster, Picked, Purpose, Told as Heard},
    error::{Error, Failure},
    message::{ConnectionInfo, Version},
    proxy_protocol::Told,
    snapshot::{LocalListener, LocalState},
    stream::{Buffer, End, Io, Relayed, Side, relay},
    worker::Worker,
};

/// A connection to serve.
#[derive(Debug)]
pub struct Caller {
    /// What is known of it.
    pub connection: ConnectionInfo,
    /// `TCP`, or `TLS` if it passes encrypted.
    pub protocol: &'static str,
    /// The bytes.
    pub io: Io,
    /// What was read of them already.
    pub read: Buffer,
}

/// Connects a caller to an endpoint of the cluster and moves bytes until the end.
/// Without a cluster it is closed, and accounted for.
pub async fn serve(
    state: &Rc<LocalState>,
    listener: &LocalListener,
    caller: Caller,
    cluster: Option<ClusterId>,
) {
    let Caller { connection, protocol, io, read } = caller;
    let account = Account::begin(state, listener, &connection, protocol);
    // Only the cluster is kept: a connection of days must not keep a whole configuration.
    let cluster = leading(state, cluster, &connection);
    let ended = match &cluster {
        Ok(cluster) => carry(&state.worker, listener, cluster, &connection, &io, read, &account).await,
        Err(failure) => Err((*failure).into()),
    };
    if let Err(error) = &ended {
        tracing::debug!(listener = &*listener.plan.config.name, %error, "a TCP connection ended");
        if error.failure != Failure::TunnelIdle {
            io.reset_on_close();
        }
    }
    account.end(ended.err().map(|error| error.failure));
}

fn leading(
    state: &LocalState,
    slot: Option<ClusterId>,
    connection: &ConnectionInfo,
) -> Result<Rc<LocalCluster>, Failure> {
    let snapshot = state.snapshot();
    let cluster = slot.and_then(|slot| snapshot.cluster(slot)).ok_or(Failure::NoRoute)?;
    if !cluster.is_for_destinations() {
        return Ok(Rc::clone(cluster));
    }
    cluster.toward(&state.worker, Some(connection), Version::Http11)
}

async fn carry(
    worker: &Worker,
    listener: &LocalListener,
    cluster: &LocalCluster,
    connection: &ConnectionInfo,
    io: &Io,
    read: Buffer,
    account: &Account<'_>,
) -> Result<(), Error> {
    account.goes_to(&cluster.shared);
    let told = connection.told(io.local_address());
    let (far, _use) = connect(worker, cluster, connection, told, account).await?;
    let idle = listener.plan.config.limits.tunnel_idle_timeout;
    let (near, endpoint) = (End { io, read }, End { io: &far.io, read: Buffer::default() });
    let relayed = relay(worker.means(), near, endpoint, idle, |from, n| account.moved(from, n)).await;
    match relayed {
        Relayed::Whole => Ok(()),
        Relayed::Idle => Err(Failure::TunnelIdle.into()),
        Relayed::Failed(side, error) => {
            far.io.reset_on_close();
            let failure =
                if side == Side::Near { Failure::DownstreamAborted } else { Failure::UpstreamAborted };
            Err(Error::with(failure, error.to_string()))
        }
    }
}

/// Positions of endpoints that were tried.
type Tried = SmallVec<[usize; 4]>;

/// A connection to an endpoint, another one if that fails.
async fn connect<'c>(
    worker: &'c Worker,
    cluster: &'c LocalCluster,
    connection: &ConnectionInfo,
    told: Told,
    account: &Account<'_>,
) -> Result<(H1Connection, Use<'c>), Error> {
    let hash = connection.peer.map(hash_of);
    let mut left = cluster.shared.config.retries;
    let mut tried = Tried::new();
    loop {
        worker.now();
        let picked = cluster.pick(worker, &SmallVec::new(), hash, &tried).ok_or(Failure::NoEndpoint)?;
        let using = Use::begin(worker, cluster, &picked);
        account.tries(picked.endpoint);
        // Boxed, because it is large, and a relay holds it for long.
        let error = match Box::pin(cluster.dial(worker, &picked, Purpose::Bytes(told))).await {
            Ok(far) => {
                account.connected(using.connected());
                return Ok((far, using));
            }
            Err(error) => error,
        };
        using.failed(error.failure);
        drop(using);
        let shared = &cluster.shared;
        let again = left > 0 && error.failure.consequence().retry;
        if !again || !shared.budget.spend(worker.now(), shared.requests_so_far()) {
            return Err(error);
        }
        left -= 1;
        tried.push(picked.index);
        shared.metrics.retries.one(worker.index);
    }
}

/// What balancers with a memory tell callers apart by: their address, the same in every proxy.
fn hash_of(peer: SocketAddr) -> u64 {
    use std::hash::{BuildHasher, Hash};
    let mut hasher = foldhash::quality::FixedState::with_seed(0x5765_6972).build_hasher();
    peer.ip().to_canonical().hash(&mut hasher);
    std::hash::Hasher::finish(&hasher)
}

/// An endpoint's use by one connection: the balancer sees it under way, and at its end how long connecting took.
struct Use<'c> {
    attempt: Attempt<'c>,
    ended: Cell<Option<Ended>>,
}

impl<'c> Use<'c> {
    fn begin(worker: &'c Worker, cluster: &'c LocalCluster, picked: &Picked<'c>) -> Self {
        Self { attempt: Attempt::begin(worker, &cluster.shared, picked), ended: Cell::new(None) }
    }

    /// How long that took.
    fn connected(&self) -> Nanos {
        let took = self.attempt.took();
        self.ended.set(Some(Ended::Answered { rtt: Duration::from_nanos(took) }));
        took
    }

    fn failed(&self, failure: Failure) {
        // A limit of the cluster's is nothing that an endpoint could help.
        if failure.consequence().retry {
            self.ended.set(Some(Ended::Failed));
        }
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        let heard = match self.ended.get() {
            Some(Ended::Failed) => Heard::Bad,
            Some(_) => Heard::Good,
            None => Heard::Nothing,
        };
        self.attempt.end(self.ended.get(), heard);
    }
}
