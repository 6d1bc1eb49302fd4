//! Attempt: from a chosen cluster to the end of an endpoint's response.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Exchange, Stop,
    presence::while_present,
    retry::{Again, Failed, Tries},
    timing::Timing,
    tunnel::{Far, Switched, Tunnel},
    upload::{CallerEnd, Flags, upload},
};
use crate::{
    cluster::{Bound, Checkout, Permit, Picked, Reuse},
    error::Failure,
    http::{
        ask::{MIRRORED, mirror},
        h1::HeadLimits,
        incoming::Incoming,
        outgoing::Outgoing,
        pump::{PumpError, pump},
        reply::Reply,
        upstream::{HeadSource, Meta, Sent, h2_request},
        watch::Watch,
    },
    message::Known,
    stream::{Buffer, Deadline},
};

/// Bytes of a response's body that are read for nothing but its connection, and how long that may take.
const DRAINED: usize = 16 * 1024;
const DRAINING: Duration = Duration::from_millis(20);

/// How an attempt went whose response came.
pub(super) struct Relayed {
    /// The endpoint's connection can carry another request.
    pub(super) reusable: bool,
    /// Nothing of the response went to the caller: after so long, another attempt is to be made.
    pub(super) again: Option<Duration>,
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
        let Some(slot) = route.cluster.as_ref().map(|(slot, _)| *slot) else {
            return Err(Failure::NoRoute.into());
        };
        let snapshot = Rc::clone(&self.snapshot);
        let Some(mut cluster) = snapshot.cluster(slot) else { return Err(Failure::NoRoute.into()) };
        self.sofar.cluster = Some(slot);
        let toward;
        if cluster.is_for_destinations() {
            let (connection, version) = (self.heads.request.connection.as_deref(), self.request().version);
            toward = cluster.toward(&self.state.worker, connection, version)?;
            cluster = &toward;
        }
        let worker = self.state.worker.index;
        let Some(_permit) = Permit::acquire(&*cluster.bounds, Bound::Requests, worker) else {
            cluster.bounds.count_limit_hit(Bound::Requests, worker);
            return Err(Failure::RequestLimit.into());
        };
        if self.sofar.tunnel == Some(Tunnel::Connect) {
            let tries = self.begin_tries(cluster, &snapshot.shared.config.retry_policies);
            return Box::pin(self.connect(tries, body, reply, deadline)).await;
        }
        if let Some(copied_to) = self.heads.request.route.mirror
            && self.hold_for_mirror(body, deadline).await?
        {
            mirror(self.state, &snapshot, copied_to, &self.heads.request, body.data());
        }
        let mut tries = self.begin_tries(cluster, &snapshot.shared.config.retry_policies);
        self.attempts(&mut tries, body, reply, deadline).await
    }

    /// Has the body in memory if it is short. Says whether it is.
    async fn hold_for_mirror(
        &mut self,
        body: &mut Incoming<'_>,
        deadline: &mut Deadline,
    ) -> Result<bool, Stop> {
        if body.is_over() || matches!(body, Incoming::Held(_)) {
            return Ok(body.data().len() <= MIRRORED);
        }
        if self.request().content_length().is_none_or(|length| length > MIRRORED as u64) {
            return Ok(false);
        }
        let (held, trailers) = self.hold(body, MIRRORED, deadline).await?;
        body.hold(held, trailers);
        Ok(true)
    }

    async fn attempts(
        &mut self,
        tries: &mut Tries<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        self.prepare_repetition(tries, body);
        let ended = self.try_on(tries, body, reply, deadline).await;
        body.drop_copy();
        self.count_repeated(tries, ended.is_ok());
        ended
    }

    /// Makes attempts until one is the last.
    async fn try_on(
        &mut self,
        tries: &mut Tries<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        // Without filters nothing took time since the clock was read.
        let mut fresh = self.seats.is_empty() && self.heads.request.route.mirror.is_none();
        let cluster = tries.cluster;
        loop {
            if !std::mem::take(&mut fresh) {
                self.state.worker.now();
            }
            let route = &self.heads.request.route;
            let picked = cluster.pick(&self.state.worker, &route.labels, route.hash, tries.avoid());
            let Some(picked) = picked else { return Err(Failure::NoEndpoint.into()) };
            let attempted = match self.hedge(tries, body) {
                None => self.attempt(tries, &picked, body, reply, deadline).await,
                Some(hedge) => Box::pin(self.hedged(hedge, tries, picked, body, reply, deadline)).await,
            };
            let wait = match attempted {
                Ok(None) => return Ok(()),
                Ok(Some(wait)) => wait,
                Err(failed) => match failed.again {
                    Again::Fresh if tries.reuse != Reuse::Never => {
                        tries.reuse = tries.reuse.after_failure();
                        continue;
                    }
                    Again::Fresh | Again::Elsewhere => {
                        self.grant(tries, Duration::ZERO).ok_or(failed.stop)?
                    }
                    Again::No | Again::IfHarmless | Again::FreshIfKept => return Err(failed.stop),
                },
            };
            tries.go_elsewhere(picked.index);
            Box::pin(while_present(body, reply, tokio::time::sleep(wait))).await?;
        }
    }

    /// One attempt at one endpoint, observed.
    ///
    /// What it gives is how long to wait before the next one, if this one's answer is not the last word.
    async fn attempt(
        &mut self,
        tries: &Tries<'_>,
        picked: &Picked<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<Option<Duration>, Failed> {
        let (cluster, reuse) = (tries.cluster, tries.reuse);
        if tries.caller_until.is_some() {
            let now = Instant::from_std(self.state.worker.clock.instant(self.state.worker.recent()));
            self.pass_deadline(tries, now)?;
        }
        body.rewind();
        if tries.begins_anew(body) {
            self.transfer.received.bytes.set(0);
        }
        let mut watch = Watch::begin(&self.state.worker, &cluster.shared, picked);
        self.sofar.attempts = self.sofar.attempts.saturating_add(1);
        self.sofar.endpoint = Some(Arc::clone(picked.endpoint));
        deadline.set(Some(tries.ends));
        let reuse = if self.sofar.tunnel.is_some() { Reuse::Own } else { reuse };
        let checkout = match cluster.kept(picked, reuse) {
            Some(kept) => kept,
            None => {
                // Boxed, because it is large and rare.
                let checkout = Box::pin(cluster.checkout(&self.state.worker, picked, reuse));
                let checkout = deadline.bound(while_present(body, reply, checkout)).await;
                // Whatever it waited for in the queue, it was not this endpoint.
                let checkout = checkout.map_err(|_| Failed::no(Failure::ExchangeTimeout))?;
                checkout?.map_err(|error| {
                    watch.stopped(error.failure);
                    Failed::unconnected(error)
                })?
            }
        };
        let limits = HeadLimits { bytes: cluster.shared.config.limits.head, fields: 256 };
        let (framing, length) = self.body_framing(body);
        let silence = self.listener.plan.config.limits.body_timeout;
        let timing = Timing::new(&self.state.worker, deadline, tries, silence);
        match checkout {
            Checkout::H1(connection) => {
                if body.awaits_invitation() {
                    self.heads.request.head.fields.set_known(Known::Expect, b"100-continue");
                }
                let buffers = &self.state.worker.buffers;
                let mut buffer = Buffer::default();
                let out = buffers.take_output();
                let mut sent =
                    Sent::h1(&connection.io, &mut buffer, buffers, out, self.request(), framing, limits);
                if self.sofar.tunnel.is_some() {
                    sent.ask_for_upgrade(self.request());
                }
                let relayed = self.relay(sent, body, reply, timing, tries, &mut watch).await;
                if let (Some(Switched::H1), Ok(_)) = (self.sofar.switched.take(), &relayed) {
                    let far = Far::H1(&connection.io, buffer);
                    return Box::pin(self.tunnel(far, body, reply)).await.map(|()| None);
                }
                // As the head said: an endpoint that knows no codings may have lost its place.
                let last = !self.request().codings().is_empty();
                let clean = buffer.is_empty();
                self.state.worker.buffers.give(buffer);
                let relayed = relayed.map_err(|failed| self.judge(failed, connection.served > 0, tries))?;
                if relayed.reusable && clean && !last {
                    cluster.give_back(&self.state.worker, picked.index, connection);
                }
                Ok(relayed.again)
            }
            // HTTP/2 has no transfer codings, and undoing them is not for a proxy that nobody asked to.
            Checkout::H2(_) if !self.request().codings().is_empty() => {
                Err(Failed::no(Failure::UnknownCoding))
            }
            Checkout::H2(connection) if self.sofar.tunnel.is_some() => {
                Box::pin(self.extended(tries, connection, body, reply, timing, &mut watch)).await
            }
            Checkout::H2(connection) => {
                let secure = cluster.shared.tls.is_some();
                let request =
                    h2_request(self.request(), cluster.shared.name(), secure, length).map_err(Failed::no)?;
                let sent = Sent::h2(&connection, request, body.is_over()).await.map_err(|error| {
                    connection.retire();
                    Failed::unopened(error)
                })?;
                let relayed = self.relay(sent, body, reply, timing, tries, &mut watch).await;
                connection.ended(relayed.as_ref().err().and_then(Failed::failure));
                relayed.map(|relayed| relayed.again).map_err(|failed| {
                    if failed.again.is_fresh() {
                        connection.retire();
                    }
                    self.judge(failed, connection.kept, tries)
                })
            }
        }
    }

    /// Sends the request and, at the same time, waits for the response and passes it on.
    pub(super) async fn relay(
        &mut self,
        sent: Sent<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        mut timing: Timing<'_>,
        tries: &Tries<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Relayed, Failed> {
        let Sent { mut sink, source } = sent;
        let most = self.listener.plan.config.limits.body.unwrap_or(u64::MAX);
        let flags = Flags::default();
        flags.held_back.set(body.awaits_invitation() && matches!(sink, Outgoing::H1(_)));
        let transfer = self.transfer;
        let outcome = {
            let mut caller = pin!(upload(body, &mut sink, &transfer.received, &flags, most));
            let mut endpoint = pin!(self.endpoint_side(source, reply, &flags, tries, watch));
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
                    .map(|failure| Err(Failed::late(failure)))
            })
            .await
        };
        if let Outgoing::H1(h1) = sink {
            self.state.worker.buffers.give_output(h1.out);
        }
        outcome
            .map(|relayed| {
                let reusable = relayed.reusable && flags.uploaded.get() && !flags.deaf.get();
                Relayed { reusable, ..relayed }
            })
            .inspect_err(|failed| failed.failure().into_iter().for_each(|failure| watch.stopped(failure)))
    }

    /// Awaits the head, and passes the response on.
    async fn endpoint_side(
        &mut self,
        mut source: HeadSource<'_>,
        reply: &mut Reply<'_>,
        flags: &Flags,
        tries: &Tries<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Relayed, Failed> {
        let found = loop {
            let found = poll_fn(|cx| {
                if reply.poll_left(cx).is_ready() {
                    return Poll::Ready(Err(Failed::no(Failure::DownstreamAborted)));
                }
                source.poll_head(cx, &mut self.heads.response).map_err(Failed::headless)
            })
            .await?;
            match self.heads.response.status {
                100 => flags.invited.notify_one(),
                103 => self.early_hints(reply).await?,
                101 if self.sofar.tunnel.is_some() => break found,
                // Nobody asked for the rest.
                101..200 => {}
                _ => break found,
            }
        };
        self.sofar.upstream = watch.answered(&self.heads.response);
        if self.opens_tunnel(&found) {
            flags.answered.set(true);
            if let Some(answer) = self.switch(found, reply)? {
                self.send_answer(answer, reply).await.map_err(Failed::no)?;
            }
            return Ok(Relayed { reusable: false, again: None });
        }
        if let Some(wait) = self.repeat_answer(tries) {
            let (body, meta) = source.into_body(found, &self.heads.response, &self.heads.request.head.method);
            let reusable = meta.keep_alive && Box::pin(drained(body)).await;
            return Ok(Relayed { reusable, again: Some(wait) });
        }
        self.heads.response.fields.strip_hop_by_hop(false);
        self.mark_response(reply);
        let (body, meta) = source.into_body(found, &self.heads.response, &self.heads.request.head.method);
        if flags.held_back.get() && self.heads.response.status < 300 {
            flags.invite_now().await;
        }
        flags.answered.set(true);
        // Whether the body comes nevertheless, nobody can know.
        reply.close |= flags.held_back.get();
        self.pass_on(body, meta, reply).await
    }

    /// Has the head of the response reviewed, and moves its body to the caller.
    pub(super) async fn pass_on(
        &mut self,
        mut body: Incoming<'_>,
        meta: Meta,
        reply: &mut Reply<'_>,
    ) -> Result<Relayed, Failed> {
        let replaced = self.review(meta.length)?;
        if let Some(answer) = replaced {
            self.send_answer(answer, reply).await.map_err(Failed::no)?;
            return Ok(Relayed { reusable: false, again: None });
        }
        self.sofar.status = self.heads.response.status;
        reply.begin(&self.heads.response, meta.length).map_err(Failed::unsent)?;
        pump(&mut body, reply.body(), &self.transfer.sent, u64::MAX).await.map_err(|error| match error {
            PumpError::Source(_) => Failed::no(Failure::UpstreamAborted),
            PumpError::Sink(error) => Failed::unsent(error),
        })?;
        Ok(Relayed { reusable: meta.keep_alive && body.is_over(), again: None })
    }

    /// RFC 8297.
    async fn early_hints(&mut self, reply: &mut Reply<'_>) -> Result<(), Failed> {
        self.heads.response.fields.strip_hop_by_hop(false);
        reply.interim(&self.heads.response).await.map_err(Failed::unsent)
    }
}

/// Reads a body of which nobody wants to know, if it is short and there at once. Says whether it is over.
pub(super) async fn drained(mut body: Incoming<'_>) -> bool {
    let mut left = DRAINED;
    let all = async {
        while let Ok(true) = poll_fn(|cx| body.poll_fill(cx)).await {
            let n = body.data().len();
            let Some(rest) = left.checked_sub(n) else { return };
            left = rest;
            body.consume(n);
        }
    };
    tokio::time::timeout(DRAINING, all).await.is_ok() && body.is_over()
}
