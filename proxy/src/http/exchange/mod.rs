//! One exchange, from a request's head to the account of it. This file is the story; each step lives in the
//! file that has its name.
//!
//! ```text
//! admit     request id, forwarded fields, limits
//! decide    the chain, in order: may answer, may ask and resume, may hold the body
//! reached   OPTIONS and TRACE that want to go no further
//! attempt*  pick an endpoint, check a connection out, send, await the head
//! review    the chain, in reverse order
//! reply     head out, body streamed
//! account   the chain's on-complete; metrics, access log - exactly once
//! ```

mod account;
mod admit;
mod answer;
mod attempt;
mod connect;
mod deadline;
mod decide;
mod grpc;
mod hedge;
mod presence;
mod reached;
mod retry;
mod review;
mod terms;
mod timing;
mod trace;
mod tunnel;
mod upload;

pub(super) use answer::failure_head;

use std::{rc::Rc, sync::Arc};

use smallvec::SmallVec;
use weir_config::checked::ClusterId;

use self::tunnel::{Switched, Tunnel};
use super::{incoming::Incoming, pump::Progress, reply::Reply};
use crate::{
    chain::LocalFilter,
    clock::Nanos,
    cluster::Endpoint,
    error::{Error, Failure},
    message::{ConnectionInfo, RequestHead},
    snapshot::{Heads, LocalListener, LocalSnapshot, LocalState},
    stream::Deadline,
};

/// One request and its response.
#[derive(Debug)]
pub struct Exchange<'w> {
    state: &'w Rc<LocalState>,
    snapshot: Rc<LocalSnapshot>,
    listener: Rc<LocalListener>,
    /// Its number in hooks.
    id: u64,
    begun: Nanos,
    /// When its own time began to run: at its begin, or when its body was there if a filter waited for that.
    timed_from: Nanos,
    /// When its caller has waited long enough, if the caller says so.
    caller_until: Option<Nanos>,
    heads: &'w mut Heads,
    seats: Seats,
    sofar: SoFar,
    /// Outside of the exchange, so that both sides of an attempt can write to it.
    transfer: &'w Transfer,
}

/// Filters that saw the request, in order of the chain.
type Seats = SmallVec<[Seat; 4]>;

/// A filter's place in an exchange.
#[derive(Debug)]
struct Seat {
    /// The generation that decided.
    filter: Rc<LocalFilter>,
    memo: u64,
    /// It passed the request, so it hears of the end.
    passed: bool,
}

/// What happened so far; what the account is made of.
#[derive(Debug, Default)]
struct SoFar {
    /// Status that went downstream; 0 before.
    status: u16,
    /// Why the proxy answered itself.
    local: Option<Local>,
    aborted: Option<Failure>,
    /// It came to its own end; without, it was dropped.
    ended: bool,
    cluster: Option<ClusterId>,
    endpoint: Option<Arc<Endpoint>>,
    attempts: u8,
    upstream: Nanos,
    /// What it wants in place of HTTP, if the listener allows that.
    tunnel: Option<Tunnel>,
    /// An endpoint has just agreed to it.
    switched: Option<Switched>,
    /// It is no longer HTTP, or was not at its end.
    upgraded: bool,
}

/// What moved, in both directions.
#[derive(Debug, Default)]
struct Transfer {
    /// Of the request's body.
    received: Progress,
    /// Of the response's body.
    sent: Progress,
}

/// Who answered in the origin's place.
#[derive(Debug)]
enum Local {
    /// The proxy.
    Failure(Error),
    /// A filter, with its reason.
    Filter(Rc<LocalFilter>, Box<str>),
    /// The proxy, whom the caller had asked.
    Reached,
}

/// Why an exchange does not go on to an endpoint, or not any further.
#[derive(Debug)]
enum Stop {
    /// A filter answers. Boxed, because every step on the way of an exchange makes room for it.
    Answer(Box<Answer>),
    /// Something failed.
    Failed(Error),
    /// The caller asked for no further hop.
    Reached,
}

/// A filter's own reply, checked.
#[derive(Debug)]
struct Answer {
    by: Rc<LocalFilter>,
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    reason: Box<str>,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How an exchange ended, for its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The response is out whole; the request's body may still have bytes to come.
    Whole,
    /// The response is not whole, or there is none.
    Broken,
    /// So because the caller left or did not take it.
    Abandoned,
}

/// Runs one exchange to its end. `heads` holds the request's head; the response goes to `reply`.
#[expect(clippy::too_many_arguments, reason = "what a connection lends to an exchange")]
pub async fn run(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    listener: Rc<LocalListener>,
    snapshot: Rc<LocalSnapshot>,
    mut heads: Box<Heads>,
    body: &mut Incoming<'_>,
    reply: &mut Reply<'_>,
    deadline: &mut Deadline,
) -> Ending {
    let transfer = Transfer::default();
    let mut exchange = Exchange::admit(state, connection, listener, snapshot, &mut heads, &transfer);
    match exchange.carry(body, reply, deadline).await {
        Ok(()) => {}
        Err(stop) if reply.begun() => exchange.break_off(stop, reply),
        Err(stop) => exchange.answer_locally(stop, reply, deadline).await,
    }
    exchange.sofar.ended = true;
    let ending = match exchange.sofar.aborted {
        None | Some(Failure::TunnelIdle) => Ending::Whole,
        Some(failure) if failure.is_callers() => Ending::Abandoned,
        Some(_) => Ending::Broken,
    };
    drop(exchange);
    state.give_heads(heads);
    ending
}

impl Exchange<'_> {
    async fn carry(
        &mut self,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        self.sofar.tunnel = self.check(body)?;
        self.decide(body, reply, deadline).await?;
        self.count_hop()?;
        self.forward(body, reply, deadline).await
    }

    fn request(&self) -> &RequestHead {
        &self.heads.request.head
    }

    /// The head of a response is under way: whatever goes wrong now can only break it off.
    fn break_off(&mut self, stop: Stop, reply: &mut Reply<'_>) {
        let failure = match stop {
            Stop::Failed(error) => error.failure,
            Stop::Answer(_) | Stop::Reached => Failure::UpstreamAborted,
        };
        self.sofar.aborted = Some(failure);
        reply.abort();
    }
}
