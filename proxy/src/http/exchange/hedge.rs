//! Hedging: when an endpoint takes long to answer, another one is asked too, and the first good answer is taken (Dean
//! and Barroso, "The Tail at Scale", 2013). It stands apart from the ordinary attempt, which knows nothing of it: here
//! requests are in memory, several are under way at once, and responses are read no further than their heads until
//! one is chosen.

mod lane;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use smallvec::SmallVec;
use tokio::time::{Instant, Sleep, sleep};
use weir_config::checked::Hedge;

use super::{
    Exchange,
    attempt::{Relayed, drained},
    retry::{Again, Failed, Tries},
    timing::Timing,
};
use crate::{
    cluster::Picked,
    error::Failure,
    http::{
        incoming::Incoming,
        reply::Reply,
        upstream::{Meta, h2_meta},
        watch::Watch,
    },
    snapshot::LocalState,
    stream::Deadline,
    telemetry::metrics::{Denied, Hedged},
};
use lane::{Carrier, Heard, What, ask};

/// Longer bodies are not sent twice at once: by the time they are there, the first answer may be too.
const LARGEST: usize = 64 * 1024;

impl Exchange<'_> {
    /// How this exchange is hedged, if it is: only what does no harm to do twice, and is in memory.
    pub(super) fn hedge<'c>(&self, tries: &Tries<'c>, body: &Incoming<'_>) -> Option<&'c Hedge> {
        let hedge = tries.terms.hedge()?;
        let head = self.request();
        let in_memory = match body {
            Incoming::Held(held) => !held.has_trailers() && body.data().len() <= LARGEST,
            body => body.is_over(),
        };
        // A tunnel belongs to whoever opened it.
        let plain = head.codings().is_empty() && !body.awaits_invitation() && self.sofar.tunnel.is_none();
        (in_memory && plain && head.method.is_idempotent()).then_some(hedge)
    }

    /// As an attempt, by several endpoints if the first is slow.
    pub(super) async fn hedged(
        &mut self,
        hedge: &Hedge,
        tries: &mut Tries<'_>,
        first: Picked<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<Option<Duration>, Failed> {
        body.rewind();
        if tries.caller_until.is_some() {
            let now = Instant::from_std(self.state.worker.clock.instant(self.state.worker.recent()));
            self.pass_deadline(tries, now)?;
        }
        let (framing, length) = self.body_framing(body);
        // Out of the body, which is watched for the caller's leaving meanwhile.
        let content = body.data().to_vec();
        body.consume(content.len());
        self.transfer.received.bytes.set(content.len() as u64);
        let state = self.state;
        self.sofar.endpoint = Some(Arc::clone(first.endpoint));
        let (round, lanes) = {
            let what = What { request: self.request(), content: &content, framing, length };
            let lanes = SmallVec::new();
            let timer = Box::pin(sleep(hedge.after));
            let mut race = Race { exchange: self, state, tries, hedge, what, lanes, timer, spare: None };
            race.begin(first);
            let round = race.run(body, reply, deadline).await;
            (round, race.lanes.len())
        };
        self.sofar.attempts = self.sofar.attempts.saturating_add(lanes as u8);
        let Round { lane, picked, mut watch, heard } = round?;
        if lanes > 1 {
            let outcome = if lane == 0 { Hedged::Lost } else { Hedged::Won };
            tries.cluster.shared.metrics.hedges.one(state.worker.index, outcome);
        }
        tries.also_tried(picked.index);
        self.sofar.endpoint = Some(Arc::clone(picked.endpoint));
        self.sofar.upstream = watch.answered(&heard.head);
        self.heads.response = heard.head;
        let again = self.repeat_answer(tries);
        let silence = self.listener.plan.config.limits.body_timeout;
        let timing = Timing::new(&state.worker, deadline, tries, silence);
        let relayed = match heard.carrier {
            Carrier::H1(connection, mut buffer, meta) => {
                let incoming = Incoming::h1(&connection.io, &mut buffer, meta.framing);
                let relayed = self.deliver(incoming, meta, again, body, reply, timing).await;
                let clean = buffer.is_empty();
                state.worker.buffers.give(buffer);
                if relayed.as_ref().is_ok_and(|relayed| relayed.reusable) && clean {
                    tries.cluster.give_back(&state.worker, picked.index, connection);
                }
                relayed
            }
            Carrier::H2(connection, stream) => {
                let meta = h2_meta(&stream, &self.heads.response, &self.heads.request.head.method);
                let relayed = self.deliver(Incoming::h2(stream), meta, again, body, reply, timing).await;
                connection.ended(relayed.as_ref().err().and_then(Failed::failure));
                relayed
            }
        };
        relayed
            .map(|relayed| relayed.again)
            .inspect_err(|failed| failed.failure().into_iter().for_each(|failure| watch.stopped(failure)))
    }

    /// Passes the chosen response on, unless another attempt is to be made.
    async fn deliver(
        &mut self,
        incoming: Incoming<'_>,
        meta: Meta,
        again: Option<Duration>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        mut timing: Timing<'_>,
    ) -> Result<Relayed, Failed> {
        if again.is_some() {
            let reusable = meta.keep_alive && drained(incoming).await;
            return Ok(Relayed { reusable, again });
        }
        self.heads.response.fields.strip_hop_by_hop(false);
        self.mark_response(reply);
        let transfer = self.transfer;
        let mut passing = pin!(self.pass_on(incoming, meta, reply));
        poll_fn(|cx| {
            if let Poll::Ready(passed) = passing.as_mut().poll(cx) {
                return Poll::Ready(passed);
            }
            if body.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Failed::no(Failure::DownstreamAborted)));
            }
            timing.poll(cx, true, true, transfer).map(|failure| Err(Failed::late(failure)))
        })
        .await
    }
}

/// An attempt that is under way beside others.
struct Lane<'l, 'c> {
    picked: Picked<'c>,
    watch: Watch<'c>,
    asking: Pin<Box<dyn Future<Output = Result<Heard, Failed>> + 'l>>,
}

/// The attempt whose response is taken.
struct Round<'c> {
    /// Which one it was, from 0.
    lane: usize,
    picked: Picked<'c>,
    watch: Watch<'c>,
    heard: Heard,
}

/// All attempts that are under way for one exchange. Those that lost are given up when this is dropped: a stream is
/// reset, a connection closed.
struct Race<'l, 'c, 'w> {
    exchange: &'l Exchange<'w>,
    state: &'c LocalState,
    tries: &'l Tries<'c>,
    hedge: &'l Hedge,
    what: What<'l>,
    /// Those that ended are gone.
    lanes: SmallVec<[Option<Lane<'l, 'c>>; 2]>,
    timer: Pin<Box<Sleep>>,
    /// An answer to take if there is no better one.
    spare: Option<Round<'c>>,
}

impl<'l, 'c: 'l> Race<'l, 'c, '_> {
    fn begin(&mut self, picked: Picked<'c>) {
        let (cluster, worker) = (self.tries.cluster, &self.state.worker);
        let watch = Watch::begin(worker, &cluster.shared, &picked);
        let asking = Box::pin(ask(self.state, cluster, picked, self.what));
        self.lanes.push(Some(Lane { picked, watch, asking }));
    }

    /// The first good answer; else the last that there was.
    async fn run(
        &mut self,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<Round<'c>, Failed> {
        let per_try = self.tries.terms.per_try_timeout();
        let until = per_try.and_then(|per_try| Instant::now().checked_add(per_try));
        let own = until.is_some_and(|until| until < self.tries.ends);
        deadline.set(if own { until } else { Some(self.tries.ends) });
        poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_lanes(cx) {
                return Poll::Ready(ended);
            }
            if reply.poll_left(cx).is_ready() || body.poll_left(cx).is_ready() {
                return Poll::Ready(Err(Failed::no(Failure::DownstreamAborted)));
            }
            if deadline.poll(cx).is_ready() {
                return Poll::Ready(self.late(own));
            }
            while self.lanes.len() <= usize::from(self.hedge.most) && self.timer.as_mut().poll(cx).is_ready()
            {
                self.timer.as_mut().reset(Instant::now() + self.hedge.after);
                if !self.begin_another() {
                    // Nobody to ask, or nothing left to ask for.
                    self.timer.as_mut().reset(self.tries.ends + Duration::from_secs(1));
                    break;
                }
                if let Poll::Ready(ended) = self.poll_lanes(cx) {
                    return Poll::Ready(ended);
                }
            }
            Poll::Pending
        })
        .await
    }

    fn poll_lanes(&mut self, cx: &mut Context<'_>) -> Poll<Result<Round<'c>, Failed>> {
        let mut failed = None;
        for (number, place) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = place else { continue };
            let Poll::Ready(outcome) = lane.asking.as_mut().poll(cx) else { continue };
            let Some(Lane { picked, mut watch, .. }) = place.take() else { continue };
            match outcome {
                Ok(heard) => {
                    let good = !self.exchange.is_worth_repeating(self.tries, &heard.head);
                    let round = Round { lane: number, picked, watch, heard };
                    if good {
                        return Poll::Ready(Ok(round));
                    }
                    self.spare = Some(round);
                }
                Err(error) => {
                    error.failure().into_iter().for_each(|failure| watch.stopped(failure));
                    failed = Some(error);
                }
            }
        }
        if self.lanes.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        match (self.spare.take(), failed) {
            (Some(spare), _) => Poll::Ready(Ok(spare)),
            (None, Some(failed)) => Poll::Ready(Err(failed)),
            (None, None) => Poll::Pending,
        }
    }

    /// Asks one more endpoint, if there is one and the budget allows.
    fn begin_another(&mut self) -> bool {
        let (cluster, worker) = (self.tries.cluster, &self.state.worker);
        let now = worker.now();
        let mut asked: SmallVec<[usize; 4]> = self.tries.avoid().into();
        asked.extend(self.lanes.iter().flatten().map(|lane| lane.picked.index));
        asked.extend(self.spare.as_ref().map(|round| round.picked.index));
        let route = &self.exchange.heads.request.route;
        let picked = cluster.pick(worker, &route.labels, route.hash, &asked);
        let Some(picked) = picked.filter(|picked| !asked.contains(&picked.index)) else { return false };
        let shared = &cluster.shared;
        if !shared.budget.spend(now, shared.requests_so_far()) {
            shared.metrics.retries_denied.one(worker.index, Denied::Budget);
            if picked.probe {
                shared.forgo(picked.endpoint, now);
            }
            return false;
        }
        self.begin(picked);
        true
    }

    /// Time is over for all.
    fn late(&mut self, own: bool) -> Result<Round<'c>, Failed> {
        if let Some(spare) = self.spare.take() {
            return Ok(spare);
        }
        let callers = self.tries.caller_until == Some(self.tries.ends);
        let failure = match own {
            true => Failure::AttemptTimeout,
            false if callers => Failure::CallerDeadline,
            false => Failure::ExchangeTimeout,
        };
        self.lanes.iter_mut().flatten().for_each(|lane| lane.watch.stopped(failure));
        let again = if own { Again::Elsewhere } else { Again::No };
        Err(Failed { stop: failure.into(), again })
    }
}
