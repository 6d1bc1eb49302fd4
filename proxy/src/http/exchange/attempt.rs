//! Attempt: from a chosen cluster to the end of an endpoint's response.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{Exchange, Stop, decide::body_failed, timing::Timing, watch::Watch};
use crate::{
    cluster::{Bound, Checkout, H1Connection, LocalCluster, Permit, Picked},
    error::{Error, Failure},
    http::{
        ask::mirror,
        h1::{Framing, HeadLimits},
        incoming::{BodyError, Incoming},
        outgoing::{Outgoing, SendError},
        pump::{Progress, PumpError, pump},
        reply::Reply,
        upstream::{HeadError, HeadSource, Sent},
    },
    message::{Known, Scheme},
    stream::Deadline,
};

/// Positions of endpoints that were tried.
type Tried = SmallVec<[usize; 4]>;

/// How an attempt failed.
struct Failed {
    stop: Stop,
    /// Trying again cannot do what was done already: nothing of the request was acted upon.
    again: Again,
}

#[derive(PartialEq, Eq)]
enum Again {
    /// Not.
    No,
    /// At another endpoint.
    Elsewhere,
    /// At the same one, over a new connection: the kept one was closed while it idled.
    Fresh,
}

impl Failed {
    fn no(stop: impl Into<Stop>) -> Self {
        Self { stop: stop.into(), again: Again::No }
    }
}

impl Exchange<'_> {
    /// Sends the request to the cluster that was chosen and the response to the caller.
    pub(super) async fn forward(
        &mut self,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        let route = &self.heads.request.route;
        let chosen = route.cluster.as_ref().map(|(slot, _)| *slot).or(self.listener.plan.config.cluster);
        let Some(slot) = chosen else { return Err(Failure::NoRoute.into()) };
        let snapshot = Rc::clone(&self.snapshot);
        let Some(cluster) = snapshot.cluster(slot) else { return Err(Failure::NoRoute.into()) };
        self.sofar.cluster = Some(slot);
        let Some(_permit) = Permit::acquire(&cluster.shared, Bound::Requests) else {
            cluster
                .shared
                .metrics
                .limit_hits
                .one(self.state.worker.index, crate::telemetry::metrics::LimitHit::Requests);
            return Err(Failure::RequestLimit.into());
        };
        if let Some(mirrored) = self.heads.request.route.mirror {
            mirror(self.state, &snapshot, mirrored, &self.heads.request, body).await;
        }
        self.attempts(cluster, body, reply, deadline).await
    }

    async fn attempts(
        &mut self,
        cluster: &Rc<LocalCluster>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        let route = &self.heads.request.route;
        let config = &cluster.shared.config;
        let timeout = route.timeout_ms.map_or(config.exchange_timeout, |ms| Duration::from_millis(ms.into()));
        let mut left = route.retries.unwrap_or(config.retries);
        let ends = Instant::from_std(self.state.worker.clock.instant(self.begun)) + timeout;
        let mut tried = Tried::new();
        let mut fresh = false;
        loop {
            let route = &self.heads.request.route;
            let avoid: &[usize] = if fresh { &[] } else { &tried };
            let picked = cluster.pick(&self.state.worker, &route.labels, route.hash, avoid);
            let Some(picked) = picked else { return Err(Failure::NoEndpoint.into()) };
            let failed =
                match self.attempt(cluster, &picked, fresh, (ends, timeout), body, reply, deadline).await {
                    Ok(()) => return Ok(()),
                    Err(failed) => failed,
                };
            match failed.again {
                Again::Fresh if !fresh => fresh = true,
                Again::Elsewhere if left > 0 => {
                    left -= 1;
                    fresh = false;
                    tried.push(picked.index);
                    cluster.shared.metrics.retries.one(self.state.worker.index);
                }
                _ => return Err(failed.stop),
            }
        }
    }

    /// One attempt at one endpoint, observed.
    #[expect(clippy::too_many_arguments, reason = "called once; a struct would only name them again")]
    async fn attempt(
        &mut self,
        cluster: &Rc<LocalCluster>,
        picked: &Picked,
        fresh: bool,
        (ends, timeout): (Instant, Duration),
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Failed> {
        let mut watch = Watch::begin(&self.state.worker, &cluster.shared, &picked.endpoint);
        self.sofar.attempts = self.sofar.attempts.saturating_add(1);
        self.sofar.endpoint = Some(Arc::clone(&picked.endpoint));
        deadline.set(Some(ends));
        let checkout = match deadline.bound(cluster.checkout(&self.state.worker, picked, fresh)).await {
            Ok(Ok(checkout)) => checkout,
            Ok(Err(error)) => {
                let again = if error.failure.consequence().retry { Again::Elsewhere } else { Again::No };
                let stop = error.into();
                watch.stopped(&stop);
                return Err(Failed { stop, again });
            }
            Err(_) => {
                let stop = Failure::ExchangeTimeout.into();
                watch.stopped(&stop);
                return Err(Failed { stop, again: Again::No });
            }
        };
        let limits = HeadLimits { bytes: cluster.shared.config.limits.head, fields: 256 };
        let (framing, length) = self.body_framing(body);
        let silence = self.listener.plan.config.limits.body_timeout;
        let timing = Timing::new(deadline, ends, timeout, silence);
        match checkout {
            Checkout::H1(connection) => {
                let mut buffer = self.state.worker.buffers.take();
                let out = self.state.worker.buffers.take_output();
                let sent = Sent::h1(&connection.io, &mut buffer, out, self.request(), framing, limits);
                let relayed = self.relay(sent, body, reply, timing, &mut watch).await;
                let clean = buffer.is_empty();
                self.state.worker.buffers.give(buffer);
                match relayed {
                    Ok(true) if clean => cluster.give_back(&self.state.worker, picked.index, connection),
                    Ok(_) => {}
                    Err(failed) => return Err(self.judge(failed, &connection, body)),
                }
                Ok(())
            }
            Checkout::H2(mut connection) => {
                let scheme = if cluster.shared.tls.is_some() { Scheme::Https } else { Scheme::Http };
                let opened = Sent::h2(&mut connection, self.request(), scheme, body.is_over(), length).await;
                let sent = opened.map_err(|error| {
                    connection.retire();
                    Failed { stop: HeadError::H2(error).into_error().into(), again: Again::Fresh }
                })?;
                self.relay(sent, body, reply, timing, &mut watch).await.map(|_| ())
            }
        }
    }

    /// How the request's body is delimited on the way on, and its length if known.
    fn body_framing(&self, body: &Incoming<'_>) -> (Framing, Option<u64>) {
        let head = self.request();
        let length = head.fields.get_known(Known::ContentLength);
        let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        match (body, length) {
            (Incoming::Held(_), _) => {
                let length = body.data().len() as u64;
                (Framing::Length(length), Some(length))
            }
            // A GET without a body says nothing of one; a POST without one says 0.
            (_, Some(length)) => (Framing::Length(length), Some(length)),
            (body, None) if body.is_over() => (Framing::None, None),
            (_, None) => (Framing::Chunked, None),
        }
    }

    /// A kept connection that fails before the first byte was probably closed while it idled: the request
    /// may go again, if nothing of its body is gone and doing it twice does no harm (RFC 9112 9.3.1).
    fn judge(&self, mut failed: Failed, connection: &H1Connection, body: &Incoming<'_>) -> Failed {
        let untouched = self.transfer.received.bytes.get() == 0 || matches!(body, Incoming::Held(_));
        if failed.again == Again::Fresh
            && !(connection.served > 0 && untouched && self.request().method.is_idempotent())
        {
            failed.again = Again::No;
        }
        failed
    }

    /// Sends the request and, at the same time, waits for the response and passes it on. Says whether the
    /// endpoint's connection can be used again.
    async fn relay(
        &mut self,
        sent: Sent<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        mut timing: Timing<'_>,
        watch: &mut Watch,
    ) -> Result<bool, Failed> {
        let Sent { mut sink, source } = sent;
        let most = self.listener.plan.config.limits.body.unwrap_or(u64::MAX);
        let flags = Flags::default();
        let transfer = self.transfer;
        let outcome = {
            let mut caller = pin!(caller_side(body, &mut sink, &transfer.received, &flags, most));
            let mut endpoint = pin!(self.endpoint_side(source, reply, &flags, watch));
            let mut caller_done = false;
            poll_fn(|cx| {
                if !caller_done && let Poll::Ready(ended) = caller.as_mut().poll(cx) {
                    caller_done = true;
                    // If the endpoint stopped listening it may still have said why: read on.
                    if !matches!(ended, CallerEnd::EndpointDeaf) {
                        return Poll::Ready(Err(Failed::no(ended.into_error())));
                    }
                    flags.deaf.set(true);
                    flags.uploaded.set(true);
                }
                if let Poll::Ready(outcome) = endpoint.as_mut().poll(cx) {
                    return Poll::Ready(outcome);
                }
                timing
                    .poll(cx, flags.uploaded.get(), flags.answered.get(), transfer)
                    .map(|failure| Err(Failed::no(failure)))
            })
            .await
        };
        if let Outgoing::H1(h1) = sink {
            self.state.worker.buffers.give_output(h1.out);
        }
        outcome.map(|keep_alive| keep_alive && flags.uploaded.get() && !flags.deaf.get())
    }

    /// Awaits the head, has it reviewed, and moves the body to the caller.
    async fn endpoint_side(
        &mut self,
        mut source: HeadSource<'_>,
        reply: &mut Reply<'_>,
        flags: &Flags,
        watch: &mut Watch,
    ) -> Result<bool, Failed> {
        let found = loop {
            let found = poll_fn(|cx| {
                if reply.poll_left(cx).is_ready() {
                    return Poll::Ready(Err(Failed::no(Failure::DownstreamAborted)));
                }
                source.poll_head(cx, &mut self.heads.response).map_err(head_failed)
            })
            .await
            .inspect_err(|failed| watch.stopped(&failed.stop))?;
            match self.heads.response.status {
                100..200 => self.interim(reply).await?,
                _ => break found,
            }
        };
        self.sofar.upstream = watch.answered(&self.heads.response);
        self.heads.response.fields.strip_hop_by_hop(false);
        let (mut body, meta) = source.into_body(found, &self.heads.response, &self.heads.request.head.method);
        flags.answered.set(true);
        let replaced = self.review(meta.length)?;
        if let Some(answer) = replaced {
            self.send_answer(answer, reply).await.map_err(Failed::no)?;
            return Ok(false);
        }
        self.sofar.status = self.heads.response.status;
        reply.begin(&self.heads.response, meta.length).map_err(caller_gone)?;
        pump(&mut body, reply.body(), &self.transfer.sent, u64::MAX).await.map_err(|error| match error {
            PumpError::Source(_) => Failed::no(Failure::UpstreamAborted),
            PumpError::Sink(error) => caller_gone(error),
        })?;
        Ok(meta.keep_alive && body.is_over())
    }

    /// 103 goes on to the caller; 100 answered our own invitation; the rest nobody asked for.
    async fn interim(&mut self, reply: &mut Reply<'_>) -> Result<(), Failed> {
        if self.heads.response.status != 103 {
            return Ok(());
        }
        self.heads.response.fields.strip_hop_by_hop(false);
        reply.interim(&self.heads.response).await.map_err(caller_gone)
    }
}

/// What both sides of an attempt tell each other and the clock.
#[derive(Debug, Default)]
struct Flags {
    /// The request went out whole, or the endpoint takes no more of it.
    uploaded: Cell<bool>,
    /// The endpoint takes no more of the request.
    deaf: Cell<bool>,
    /// The final head came.
    answered: Cell<bool>,
}

/// How the caller's side of an attempt ended.
enum CallerEnd {
    Body(BodyError),
    Left,
    EndpointDeaf,
}

impl CallerEnd {
    fn into_error(self) -> Error {
        match self {
            Self::Body(error) => body_failed(error),
            Self::Left | Self::EndpointDeaf => Failure::DownstreamAborted.into(),
        }
    }
}

/// Sends the request's body, then watches whether the caller stays. Only ends when something is wrong.
async fn caller_side(
    body: &mut Incoming<'_>,
    sink: &mut Outgoing<'_>,
    received: &Progress,
    flags: &Flags,
    most: u64,
) -> CallerEnd {
    match pump(body, sink, received, most).await {
        Ok(()) => {}
        Err(PumpError::Source(error)) => return CallerEnd::Body(error),
        Err(PumpError::Sink(_)) => return CallerEnd::EndpointDeaf,
    }
    flags.uploaded.set(true);
    poll_fn(|cx| body.poll_left(cx)).await;
    CallerEnd::Left
}

fn head_failed(error: HeadError) -> Failed {
    let again = match &error {
        HeadError::Silent(_) => Again::Fresh,
        unprocessed if unprocessed.is_unprocessed() => Again::Fresh,
        _ => Again::No,
    };
    Failed { stop: error.into_error().into(), again }
}

fn caller_gone(error: SendError) -> Failed {
    let failure = match error {
        SendError::Length => Failure::UpstreamProtocol,
        SendError::Io(_) | SendError::H2(_) => Failure::DownstreamAborted,
    };
    Failed::no(failure)
}

impl From<Stop> for Failed {
    fn from(stop: Stop) -> Self {
        Self::no(stop)
    }
}
