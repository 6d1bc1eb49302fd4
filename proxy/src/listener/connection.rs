//! One connection, from `accept` to its end: TLS if the listener has it, then the HTTP it speaks.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use tokio_rustls::TlsAcceptor;

use super::accept::Accepted;
use crate::{
    http::{
        downstream_h1, downstream_h2,
        opening::{first_byte, in_time},
    },
    message::{ConnectionInfo, Scheme},
    snapshot::{LocalListener, LocalState},
    stream::{Buffer, Deadline, Io, Prefixed, Raw, Transport},
    telemetry::metrics::{Handshake, PeerRefusal},
    tls::{Refused, server::failed_handshake},
    worker::Waiter,
};

/// How HTTP/2 begins (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS connection: a record of the handshake (RFC 8446 5.1). Nothing else that is spoken here
/// begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection of which it is known what it speaks.
enum Opened {
    H1(Arc<ConnectionInfo>, Io, Buffer),
    H2(Arc<ConnectionInfo>, Prefixed),
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    state: &Rc<LocalState>,
    listener: Rc<LocalListener>,
    accepted: Accepted,
    mut closing: Waiter,
) {
    // Boxed, as is all that an idle connection need not hold: it begins once, and then mostly waits.
    match Box::pin(open(state, &listener, accepted, &mut closing)).await {
        Some(Opened::H1(connection, io, buffer)) => {
            downstream_h1::serve(state, &connection, &io, buffer, listener, &mut closing).await;
        }
        Some(Opened::H2(connection, transport)) => {
            Box::pin(downstream_h2::serve(state, &connection, transport, listener, &mut closing)).await;
        }
        None => {}
    }
}

/// None: it ended before anything was asked.
async fn open(
    state: &Rc<LocalState>,
    listener: &LocalListener,
    accepted: Accepted,
    closing: &mut Waiter,
) -> Option<Opened> {
    let (raw, peer) = match accepted {
        Accepted::Tcp(tcp, peer) => (Raw::Tcp(tcp), Some(peer)),
        Accepted::Unix(unix) => (Raw::Unix(unix), None),
    };
    let Some(tls) = listener.plan.tls.as_ref() else {
        return plain(state, listener, raw, peer, closing).await;
    };
    if !tls.takes_plain() {
        return secured(state, listener, raw, peer, closing).await;
    }
    match peeked(listener, raw, closing).await? {
        (TLS_HANDSHAKE, raw) => secured(state, listener, raw, peer, closing).await,
        (_, raw) => plain(state, listener, raw, peer, closing).await,
    }
}

async fn secured(
    state: &Rc<LocalState>,
    listener: &LocalListener,
    raw: Raw,
    peer: Option<SocketAddr>,
    closing: &mut Waiter,
) -> Option<Opened> {
    let tls = listener.plan.tls.as_ref()?;
    let metrics = &listener.plan.metrics;
    let worker = state.worker.index;
    let timeout = listener.plan.config.limits.tls_handshake_timeout;
    if tls.config().is_none() {
        let _ = in_time(Box::pin(tls.arrival()), timeout, closing).await;
    }
    let Some(config) = tls.config() else {
        metrics.handshakes.one(worker, Handshake::Failed);
        metrics.tls_refusals.one(worker, PeerRefusal::NoIdentity);
        return None;
    };
    let handshake = Box::pin(TlsAcceptor::from(config).accept(raw));
    let stream = match in_time(handshake, timeout, closing).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(listener = &*listener.plan.config.name, %error, "TLS handshake failed");
            metrics.handshakes.one(worker, failed_handshake(&error));
            if let Some(refused) = Refused::by_handshake(&error) {
                metrics.tls_refusals.one(worker, refused.reason);
            }
            return None;
        }
        Err(_) => {
            metrics.handshakes.one(worker, Handshake::Timeout);
            return None;
        }
    };
    let settled = match tls.settle(stream.get_ref().1) {
        Ok(settled) => settled,
        Err(refused) => {
            metrics.handshakes.one(worker, Handshake::ClientCertificate);
            metrics.tls_refusals.one(worker, refused.reason);
            return None;
        }
    };
    metrics.handshakes.one(worker, settled.kind);
    let mut connection = ConnectionInfo::plain(Arc::clone(&listener.plan.config.name), peer);
    connection.scheme = Scheme::Https;
    connection.sni = settled.sni.map(|sni| (*sni).into());
    connection.identity = settled.identity;
    let connection = Arc::new(connection);
    let transport = Transport::TlsServer(Box::new(stream));
    Some(match settled.http2 {
        true => Opened::H2(connection, Prefixed::new(Buffer::default(), transport)),
        false => Opened::H1(connection, Io::new(transport), Buffer::default()),
    })
}

/// The first byte, which stays where it is. None: nothing came, or the caller left.
async fn peeked(listener: &LocalListener, raw: Raw, closing: &mut Waiter) -> Option<(u8, Raw)> {
    let io = Io::new(raw.into());
    let mut deadline = Deadline::new();
    deadline.set_after(listener.plan.config.limits.head_timeout);
    if !first_byte(&io, &mut deadline, closing, true).await {
        return None;
    }
    let raw = io.into_transport().into_raw()?;
    let first = deadline.bound(raw.peek()).await.ok()?.ok()??;
    Some((first, raw))
}

/// Without TLS the first bytes tell what is spoken.
async fn plain(
    state: &Rc<LocalState>,
    listener: &LocalListener,
    raw: Raw,
    peer: Option<SocketAddr>,
    closing: &mut Waiter,
) -> Option<Opened> {
    let io = Io::new(raw.into());
    let timeout = listener.plan.config.limits.head_timeout;
    let buffer = first_bytes(state, &io, timeout, closing).await?;
    let connection = Arc::new(ConnectionInfo::plain(Arc::clone(&listener.plan.config.name), peer));
    Some(match buffer.data().starts_with(PREFACE) {
        true => Opened::H2(connection, Prefixed::new(buffer, io.into_transport())),
        false => Opened::H1(connection, io, buffer),
    })
}

/// Reads until it is clear whether this is HTTP/2's preface. None: nothing came, or the caller left.
async fn first_bytes(state: &LocalState, io: &Io, timeout: Duration, closing: &mut Waiter) -> Option<Buffer> {
    let mut deadline = Deadline::new();
    deadline.set_after(timeout);
    if !first_byte(io, &mut deadline, closing, true).await {
        return None;
    }
    let mut buffer = state.worker.buffers.take();
    loop {
        let n = deadline.bound(io.read(&mut buffer, 1)).await.ok()?.ok()?;
        let seen = buffer.data();
        let undecided = seen.len() < PREFACE.len() && PREFACE.starts_with(seen);
        if n > 0 && !undecided {
            return Some(buffer);
        }
        if n == 0 {
            return None;
        }
    }
}
