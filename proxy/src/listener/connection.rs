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
    telemetry::metrics::Handshake,
    tls::server::{Settled, failed_handshake},
    worker::Waiter,
};

/// How HTTP/2 begins (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends.
pub(super) async fn serve(
    state: &Rc<LocalState>,
    listener: Rc<LocalListener>,
    accepted: Accepted,
    mut closing: Waiter,
) {
    let (raw, peer) = match accepted {
        Accepted::Tcp(tcp, peer) => (Raw::Tcp(tcp), Some(peer)),
        Accepted::Unix(unix) => (Raw::Unix(unix), None),
    };
    let name = Arc::clone(&listener.plan.config.name);
    if listener.plan.tls.is_some() {
        secured(state, listener, raw, peer, &mut closing).await;
    } else {
        let connection = Arc::new(ConnectionInfo::plain(name, peer));
        let transport = match raw {
            Raw::Tcp(tcp) => Transport::Tcp(tcp),
            Raw::Unix(unix) => Transport::Unix(unix),
        };
        plain(state, &connection, listener, Io::new(transport), &mut closing).await;
    }
}

async fn secured(
    state: &Rc<LocalState>,
    listener: Rc<LocalListener>,
    raw: Raw,
    peer: Option<SocketAddr>,
    closing: &mut Waiter,
) {
    let Some(tls) = &listener.plan.tls else { return };
    let metrics = &listener.plan.metrics;
    let worker = state.worker.index;
    let timeout = listener.plan.config.limits.tls_handshake_timeout;
    // Boxed: the handshake's state must not stay part of an idle connection.
    let handshake = Box::pin(TlsAcceptor::from(tls.config()).accept(raw));
    let stream = match in_time(handshake, timeout, closing).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(listener = &*listener.plan.config.name, %error, "TLS handshake failed");
            return metrics.handshakes.one(worker, failed_handshake(&error));
        }
        Err(_) => return metrics.handshakes.one(worker, Handshake::Timeout),
    };
    let settled = Settled::of(stream.get_ref().1);
    metrics.handshakes.one(worker, settled.kind);
    let mut connection = ConnectionInfo::plain(Arc::clone(&listener.plan.config.name), peer);
    connection.scheme = Scheme::Https;
    connection.sni = settled.sni.map(|sni| (*sni).into());
    connection.identity = settled.peer.and_then(|peer| peer.uri).map(|uri| (*uri).into());
    let connection = Arc::new(connection);
    let transport = Transport::TlsServer(Box::new(stream));
    if settled.http2 {
        let transport = Prefixed::new(Buffer::default(), transport);
        downstream_h2::serve(state, &connection, transport, listener, closing).await;
    } else {
        downstream_h1::serve(state, &connection, &Io::new(transport), Buffer::default(), listener, closing)
            .await;
    }
}

/// Without TLS the first bytes tell what is spoken.
async fn plain(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    listener: Rc<LocalListener>,
    io: Io,
    closing: &mut Waiter,
) {
    let timeout = listener.plan.config.limits.head_timeout;
    let Some(buffer) = first_bytes(state, &io, timeout, closing).await else { return };
    if buffer.data().starts_with(PREFACE) {
        let transport = Prefixed::new(buffer, io.into_transport());
        Box::pin(downstream_h2::serve(state, connection, transport, listener, closing)).await;
    } else {
        downstream_h1::serve(state, connection, &io, buffer, listener, closing).await;
    }
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
