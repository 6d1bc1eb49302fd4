//! Tunnels: exchanges that become something else than HTTP - a WebSocket or another upgrade (RFC 9110 7.8), the same
//! over HTTP/2 (RFC 8441), or what `CONNECT` asks for (RFC 9110 9.3.6).
//!
//! Policies see and decide on the request as on any other, in one form whichever version carried it: an upgrade is a
//! `GET` with `upgrade`. Once both sides have agreed, bytes go both ways until both have ended; that end is the
//! exchange's.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    Exchange,
    retry::{Failed, Tries},
    timing::Timing,
};
use crate::{
    cluster::H2Connection,
    error::{Error, Failure},
    http::{
        h1::Framing,
        incoming::Incoming,
        outgoing::{H1Outgoing, H2Outgoing, Outgoing},
        pump::{PumpError, pump},
        reply::{Length, Reply},
        syntax::tokens,
        upstream::{H1OrH2, Sent, h2_request},
        watch::Watch,
        websocket,
    },
    message::{Fields, Known, Method},
    stream::{Buffer, Deadline, End, Io, Relayed, Side, relay},
};

/// What a request wants in place of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// Another protocol, in agreement with the endpoint.
    Upgrade,
    /// A connection to an endpoint.
    Connect,
}

/// An endpoint has agreed.
#[derive(Debug)]
pub(super) enum Switched {
    /// The connection is the tunnel's.
    H1,
    /// The stream is; this is where it is read.
    H2(h2::RecvStream),
}

/// The endpoint's side of a tunnel.
pub(super) enum Far<'a> {
    /// A connection, and what was read of it already.
    H1(&'a Io, Buffer),
    /// A stream.
    H2(h2::RecvStream, H2Outgoing),
}

impl Exchange<'_> {
    /// Whether the request wants a tunnel, if the listener allows such a one.
    pub(super) fn wanted_tunnel(&self, body: &Incoming<'_>) -> Result<Option<Tunnel>, Error> {
        let head = self.request();
        let config = &self.listener.plan.config;
        if head.method == Method::Connect {
            return if config.connect {
                Ok(Some(Tunnel::Connect))
            } else {
                Err(Failure::NotImplemented.into())
            };
        }
        // The connection leaves `upgrade` only where one is asked for.
        if head.fields.get_known(Known::Upgrade).is_none() {
            return Ok(None);
        }
        let known =
            |protocol: &[u8]| config.upgrades.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(protocol));
        // Of several the endpoint may take any. Where a body ends and the other protocol begins, not all agree.
        let allowed = head.fields.all_known(Known::Upgrade).flat_map(tokens).all(known);
        match allowed && body.is_over() && head.content_length().is_none() {
            true => Ok(Some(Tunnel::Upgrade)),
            false => Err(Failure::NotImplemented.into()),
        }
    }

    /// Whether this response opens the tunnel that was asked for.
    pub(super) fn opens_tunnel(&self, found: &H1OrH2) -> bool {
        self.sofar.tunnel.is_some()
            && match found {
                H1OrH2::H1(_) => self.heads.response.status == 101,
                H1OrH2::H2(_) => (200..300).contains(&self.heads.response.status),
            }
    }

    /// Has the response that opens a tunnel reviewed, and sends it in the caller's version.
    pub(super) fn switch(
        &mut self,
        found: H1OrH2,
        reply: &mut Reply<'_>,
    ) -> Result<Option<super::Answer>, Failed> {
        self.translate(&found, reply.is_h2())?;
        self.mark_response(reply);
        if let Some(answer) = self.review(Length::None)? {
            return Ok(Some(answer));
        }
        self.sofar.status = self.heads.response.status;
        self.sofar.upgraded = true;
        reply.switch(&self.heads.response).map_err(Failed::unsent)?;
        self.sofar.switched = Some(match found {
            H1OrH2::H1(_) => Switched::H1,
            H1OrH2::H2(stream) => Switched::H2(stream),
        });
        Ok(None)
    }

    /// Makes the head say yes in the caller's version.
    fn translate(&mut self, found: &H1OrH2, to_h2: bool) -> Result<(), Failed> {
        let crate::snapshot::Heads { request, response } = &mut *self.heads;
        let wrong = |what| Failed::no(Error::new(Failure::UpstreamProtocol, what));
        let asked = &request.head.fields;
        let wanted = first_wanted(asked);
        response.fields.strip_hop_by_hop(true);
        let fields = &mut response.fields;
        match (found, to_h2) {
            (H1OrH2::H1(_), false) => {
                let mut offered = asked.all_known(Known::Upgrade).flat_map(tokens);
                let chosen = fields.get_known(Known::Upgrade).unwrap_or_default();
                if !offered.any(|one| one.eq_ignore_ascii_case(chosen)) {
                    return Err(wrong("switches to another protocol"));
                }
            }
            (H1OrH2::H1(_), true) => {
                // The key is one of ours: nobody else would look at what it was answered with.
                if wanted.eq_ignore_ascii_case(websocket::NAME)
                    && fields.get(websocket::ACCEPT) != websocket::accepted(asked).as_deref()
                {
                    return Err(wrong("takes a WebSocket with the wrong key"));
                }
                fields.remove_known(Known::Upgrade);
                fields.remove(websocket::ACCEPT);
                response.status = 200;
            }
            (H1OrH2::H2(_), false) => {
                fields.set_known(Known::Upgrade, &wanted);
                if let Some(accepted) = websocket::accepted(asked) {
                    fields.set(websocket::ACCEPT, &accepted);
                }
                response.status = 101;
            }
            (H1OrH2::H2(_), true) => {}
        }
        Ok(())
    }

    /// An upgrade by extended CONNECT (RFC 8441) at an endpoint that speaks HTTP/2.
    pub(super) async fn extended(
        &mut self,
        tries: &Tries<'_>,
        connection: H2Connection,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        timing: Timing<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Duration>, Failed> {
        let cluster = tries.cluster;
        if !connection.takes_tunnels().await {
            let detail = "the endpoint takes no tunnels over HTTP/2";
            return Err(Failed::no(Error::new(Failure::NotImplemented, detail)));
        }
        let secure = cluster.shared.tls.is_some();
        let mut request =
            h2_request(self.request(), cluster.shared.name(), secure, None).map_err(Failed::no)?;
        let wanted = first_wanted(&self.request().fields);
        let wanted = String::from_utf8_lossy(&wanted).to_ascii_lowercase();
        *request.method_mut() = http::Method::CONNECT;
        request.headers_mut().remove(websocket::KEY);
        request.extensions_mut().insert(h2::ext::Protocol::from(wanted.as_str()));
        let (sent, sink) = Sent::h2_tunnel(&connection, request).await.map_err(|error| {
            connection.retire();
            Failed::unopened(error)
        })?;
        let relayed = self.relay(sent, body, reply, timing, tries, watch).await;
        connection.ended(relayed.as_ref().err().and_then(Failed::failure));
        match (self.sofar.switched.take(), relayed) {
            (Some(Switched::H2(stream)), Ok(_)) => {
                self.tunnel(Far::H2(stream, sink), body, reply).await.map(|()| None)
            }
            (_, relayed) => relayed
                .map(|relayed| relayed.again)
                .map_err(|failed| self.judge(failed, connection.kept, tries)),
        }
    }

    /// Moves bytes both ways until the tunnel's end.
    pub(super) async fn tunnel(
        &mut self,
        far: Far<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Failed> {
        let limits = &self.listener.plan.config.limits;
        let idle = limits.tunnel_idle_timeout;
        reply.close = true;
        let flushed = tokio::time::timeout(limits.body_timeout, reply.body().flush()).await;
        flushed.map_err(|_| Failure::WriteTimeout)?.map_err(Failed::unsent)?;
        let near = reply.take_tunnel();
        let ended = match (near, far) {
            (None, Far::H1(io, read)) => self.connections(body, io, read, idle).await?,
            (near, far) => Box::pin(self.streams(near, far, body, reply, idle)).await?,
        };
        match ended {
            Relayed::Whole => Ok(()),
            // An orderly end: nobody takes the rest of a tunnel for whole or not.
            Relayed::Idle => {
                self.sofar.aborted = Some(Failure::TunnelIdle);
                let _ = tokio::time::timeout(FAREWELL, reply.body().end(None)).await;
                Ok(())
            }
            Relayed::Failed(Side::Near, _) => Err(Failure::DownstreamAborted.into()),
            Relayed::Failed(Side::Far, _) => Err(Failure::UpstreamAborted.into()),
        }
    }

    /// Between two connections.
    async fn connections(
        &self,
        body: &mut Incoming<'_>,
        io: &Io,
        read: Buffer,
        idle: Duration,
    ) -> Result<Relayed, Failed> {
        let Some((near, buffer)) = body.connection() else { return Err(Failure::DownstreamAborted.into()) };
        let near = End { io: near, read: std::mem::take(buffer) };
        let transfer = self.transfer;
        let relayed = relay(self.state.worker.means(), near, End { io, read }, idle, |side, n| {
            let progress = if side == Side::Near { &transfer.received } else { &transfer.sent };
            progress.bytes.set(progress.bytes.get() + n as u64);
        });
        let relayed = relayed.await;
        if let Relayed::Failed(..) = relayed {
            io.reset_on_close();
        }
        Ok(relayed)
    }

    /// Where one side at least is a stream of HTTP/2.
    async fn streams(
        &self,
        near: Option<h2::RecvStream>,
        far: Far<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        idle: Duration,
    ) -> Result<Relayed, Failed> {
        let mut far_read;
        let mut near_io = None;
        let mut near_in = match near {
            Some(stream) => Incoming::h2(stream),
            None => {
                let (io, buffer) = body.connection().ok_or(Failure::DownstreamAborted)?;
                near_io = Some(io);
                Incoming::h1(io, buffer, Framing::UntilClose)
            }
        };
        let (mut far_in, mut far_out, far_io) = match far {
            Far::H1(io, read) => {
                far_read = read;
                let mut out = H1Outgoing::new(io, self.state.worker.buffers.take_output());
                out.begin_body(Framing::UntilClose);
                (Incoming::h1(io, &mut far_read, Framing::UntilClose), Outgoing::H1(out), Some(io))
            }
            Far::H2(stream, sink) => (Incoming::h2(stream), Outgoing::H2(sink), None),
        };
        let transfer = self.transfer;
        let ended = {
            let up = async {
                let pumped = pump(&mut near_in, &mut far_out, &transfer.received, u64::MAX).await;
                finish(pumped, far_io, Side::Near).await
            };
            let down = async {
                let pumped = pump(&mut far_in, reply.body(), &transfer.sent, u64::MAX).await;
                finish(pumped, near_io, Side::Far).await
            };
            let mut both = pin!(async { tokio::try_join!(up, down) });
            let mut deadline = Deadline::new();
            deadline.set_after(idle);
            poll_fn(|cx| {
                match both.as_mut().poll(cx) {
                    Poll::Ready(Ok(_)) => return Poll::Ready(Relayed::Whole),
                    Poll::Ready(Err((side, error))) => return Poll::Ready(Relayed::Failed(side, error)),
                    Poll::Pending => {}
                }
                while deadline.poll(cx).is_ready() {
                    if !(transfer.received.moved.take() | transfer.sent.moved.take()) {
                        return Poll::Ready(Relayed::Idle);
                    }
                    deadline.set_after(idle);
                }
                Poll::Pending
            })
            .await
        };
        match far_out {
            Outgoing::H1(out) => self.state.worker.buffers.give_output(out.out),
            Outgoing::H2(mut stream) if matches!(ended, Relayed::Failed(..) | Relayed::Idle) => {
                stream.reset(h2::Reason::CANCEL);
            }
            _ => {}
        }
        if let (Some(io), Relayed::Failed(..)) = (far_io, &ended) {
            io.reset_on_close();
        }
        Ok(ended)
    }
}

/// The protocol that a request prefers (RFC 9110 7.8): of several, HTTP/2 can ask for one.
fn first_wanted(request: &Fields) -> SmallVec<[u8; 16]> {
    request.all_known(Known::Upgrade).flat_map(tokens).next().unwrap_or_default().into()
}

/// How long a caller may take to hear that its tunnel ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The end of one way through a tunnel, which comes from `side`: the other side is told.
async fn finish(pumped: Result<(), PumpError>, to: Option<&Io>, side: Side) -> Result<(), (Side, io::Error)> {
    let other = if side == Side::Near { Side::Far } else { Side::Near };
    match pumped {
        Ok(()) => {}
        Err(PumpError::Source(_)) => return Err((side, io::ErrorKind::ConnectionAborted.into())),
        Err(PumpError::Sink(_)) => return Err((other, io::ErrorKind::ConnectionAborted.into())),
    }
    match to {
        Some(io) => io.shutdown().await.map_err(|error| (other, error)),
        None => Ok(()),
    }
}
