//! One connection, from `accept` to its end: the introduction by another proxy, TLS, then the HTTP it speaks or the
//! endpoint it goes to.

use std::{rc::Rc, sync::Arc, time::Duration};

use tokio_rustls::TlsAcceptor;
use weir_config::checked::{ClusterId, ListenerProtocol, ProxyProtocolMode};

use super::{
    accept::Accepted,
    admission::admitted,
    captured::original,
    detect::{Spoken, spoken},
    introduction::{Introduced, introduced},
};
use crate::{
    http::{
        downstream_h1, downstream_h2,
        opening::{first_byte, in_time},
    },
    message::{ConnectionInfo, Scheme},
    snapshot::{LocalListener, LocalState},
    stream::{Buffer, Deadline, Io, Prefixed, Raw, Transport},
    tcp::{self, Caller},
    telemetry::metrics::{Handshake, PeerRefusal, Refusal},
    tls::{Refused, server::failed_handshake},
    worker::Waiter,
};

/// How HTTP/2 begins (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS connection: a record of the handshake (RFC 8446 5.1). Nothing else that is spoken here
/// begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection of which it is known what it speaks, or where it goes.
pub(super) enum Opened {
    H1(Arc<ConnectionInfo>, Io, Buffer),
    H2(Arc<ConnectionInfo>, Prefixed),
    /// None: config does not say where, so that a filter has to.
    Tcp(Box<Caller>, Option<ClusterId>),
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    state: &Rc<LocalState>,
    listener: Rc<LocalListener>,
    accepted: Accepted,
    mut closing: Waiter,
) {
    // Boxed, as is all that an idle connection need not hold: it begins once, and then mostly waits.
    let opened = Box::pin(open(state, &listener, accepted, &mut closing)).await;
    match opened.and_then(|opened| admitted(state, &listener, opened)) {
        Some(Opened::H1(connection, io, buffer)) => {
            downstream_h1::serve(state, &connection, &io, buffer, listener, &mut closing).await;
        }
        Some(Opened::H2(connection, transport)) => {
            Box::pin(downstream_h2::serve(state, &connection, transport, listener, &mut closing)).await;
        }
        Some(Opened::Tcp(caller, None)) if caller.protocol == "TLS" => {
            refused(state, &listener, Refusal::Name);
        }
        Some(Opened::Tcp(caller, cluster)) => {
            // Boxed: what an idle HTTP connection need not have room for.
            Box::pin(tcp::serve(state, &listener, *caller, cluster)).await;
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
    let config = &listener.plan.config;
    let mut destination = None;
    if let (Some(_), Accepted::Tcp(tcp, peer)) = (&config.captured, &accepted) {
        match original(tcp, *peer) {
            Ok(found) => destination = Some(found),
            Err(why) => return refused(state, listener, why),
        }
    }
    let (mut raw, mut peer) = match accepted {
        Accepted::Tcp(tcp, peer) => (Raw::Tcp(tcp), Some(peer)),
        Accepted::Unix(unix) => (Raw::Unix(unix), None),
    };
    if let Some(spec) = &config.proxy_protocol {
        let waits = spec.mode == ProxyProtocolMode::Require || config.protocol == ListenerProtocol::Http;
        // A server that speaks first must not wait for a header that may not come.
        let patience = if waits { config.limits.head_timeout } else { config.limits.detect_timeout };
        let introduction = Box::pin(introduced(&mut raw, peer.map(|peer| peer.ip()), spec, patience));
        match in_time(introduction, patience * 2, closing).await {
            Ok(Introduced::For(addresses)) => {
                (peer, destination) = (Some(addresses.source), Some(addresses.destination));
            }
            Ok(Introduced::ForItself) => {}
            Ok(Introduced::Refused) | Err(_) => return refused(state, listener, Refusal::Introduction),
        }
    }
    let tls = listener.plan.tls.is_some();
    let permissive = listener.plan.tls.as_ref().is_some_and(|tls| tls.takes_plain());
    let mut connection = ConnectionInfo::plain(Arc::clone(&config.name), peer);
    connection.destination = destination;
    if let (Some(known), Some(to)) = (&config.captured, destination) {
        connection.captured = true;
        if let Some(found) = known.find(to) {
            let home = state.snapshot().home(found.cluster);
            // Config may have changed this very moment: what it led elsewhere then must not pass for unknown.
            if home.is_none() {
                return refused(state, listener, Refusal::Destination);
            }
            (connection.home, connection.by_port) = (home, found.by_port);
        }
        // TLS that passes may yet ask for a name that is known.
        let nowhere = connection.home.is_none() && !known.is_empty() && config.cluster.is_none();
        if nowhere && config.protocol != ListenerProtocol::TlsPassthrough {
            return refused(state, listener, Refusal::Destination);
        }
    }
    match config.protocol {
        ListenerProtocol::Http if permissive => match peeked(listener, raw, closing).await? {
            (TLS_HANDSHAKE, raw) => secured(state, listener, raw, connection, closing).await,
            (_, raw) => plain(state, listener, raw, connection, closing).await,
        },
        // Nobody who waits for the server's word is waited for in turn.
        ListenerProtocol::Tcp if permissive => match spoken(&raw, config.limits.detect_timeout).await {
            Spoken::Tls => secured(state, listener, raw, connection, closing).await,
            Spoken::Http | Spoken::Other => Some(passed(listener, raw, connection, "TCP")),
        },
        ListenerProtocol::Http | ListenerProtocol::Tcp if tls => {
            secured(state, listener, raw, connection, closing).await
        }
        ListenerProtocol::Http => plain(state, listener, raw, connection, closing).await,
        ListenerProtocol::Tcp => Some(passed(listener, raw, connection, "TCP")),
        ListenerProtocol::TlsPassthrough => by_name(state, listener, raw, connection, closing).await,
        ListenerProtocol::Detect => match spoken(&raw, config.limits.detect_timeout).await {
            Spoken::Http => plain(state, listener, raw, connection, closing).await,
            Spoken::Tls if tls => secured(state, listener, raw, connection, closing).await,
            Spoken::Tls => Some(passed(listener, raw, connection, "TLS")),
            Spoken::Other => Some(passed(listener, raw, connection, "TCP")),
        },
    }
}

/// Goes to its cluster whatever it is.
fn passed(listener: &LocalListener, raw: Raw, connection: ConnectionInfo, protocol: &'static str) -> Opened {
    let cluster = home(listener, &connection);
    let caller = Caller { connection, protocol, io: Io::new(raw.into()), read: Buffer::default() };
    Opened::Tcp(Box::new(caller), cluster)
}

/// Where a connection goes that nobody understands.
fn home(listener: &LocalListener, connection: &ConnectionInfo) -> Option<ClusterId> {
    connection.home.as_ref().map(|(slot, _)| *slot).or(listener.plan.config.cluster)
}

/// TLS that ends elsewhere goes where config has its name.
async fn by_name(
    state: &LocalState,
    listener: &LocalListener,
    raw: Raw,
    mut connection: ConnectionInfo,
    closing: &mut Waiter,
) -> Option<Opened> {
    let io = Io::new(raw.into());
    let timeout = listener.plan.config.limits.tls_handshake_timeout;
    let read = in_time(Box::pin(tcp::hello(&io, state.worker.buffers.take())), timeout, closing).await;
    let Ok(Some(tcp::Hello { sni, read })) = read else {
        return refused(state, listener, Refusal::Hello);
    };
    let own = connection.home.as_ref().map(|(slot, _)| *slot);
    let cluster = tcp::route(&listener.plan.config, sni.as_deref(), own);
    connection.sni = sni;
    let caller = Caller { connection, protocol: "TLS", io, read };
    Some(Opened::Tcp(Box::new(caller), cluster))
}

pub(super) fn refused(state: &LocalState, listener: &LocalListener, why: Refusal) -> Option<Opened> {
    listener.plan.metrics.refused.one(state.worker.index, why);
    None
}

async fn secured(
    state: &Rc<LocalState>,
    listener: &LocalListener,
    raw: Raw,
    mut connection: ConnectionInfo,
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
    let handshake = Box::pin(TlsAcceptor::from(offering(listener, config)).accept(raw));
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
    connection.scheme = Scheme::Https;
    connection.sni = settled.sni.map(|sni| (*sni).into());
    connection.identity = settled.identity;
    let transport = Transport::TlsServer(Box::new(stream));
    if listener.plan.config.protocol == ListenerProtocol::Tcp {
        let (io, read) = (Io::new(transport), Buffer::default());
        let cluster = home(listener, &connection);
        let caller = Caller { connection, protocol: "TCP", io, read };
        return Some(Opened::Tcp(Box::new(caller), cluster));
    }
    let connection = Arc::new(connection);
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
    if !first_byte(&io, &mut deadline, closing).await {
        return None;
    }
    let raw = io.into_transport().into_raw()?;
    let mut first = [0; 1];
    let n = deadline.bound(raw.peek(&mut first)).await.ok()?.ok()?;
    (n > 0).then_some((first[0], raw))
}

/// For what is not HTTP, what a caller says it speaks (ALPN) is for whoever understands it.
fn offering(listener: &LocalListener, config: Arc<rustls::ServerConfig>) -> Arc<rustls::ServerConfig> {
    if listener.plan.config.protocol != ListenerProtocol::Tcp {
        return config;
    }
    let mut config = (*config).clone();
    config.alpn_protocols.clear();
    Arc::new(config)
}

/// Without TLS the first bytes tell what is spoken.
async fn plain(
    state: &Rc<LocalState>,
    listener: &LocalListener,
    raw: Raw,
    connection: ConnectionInfo,
    closing: &mut Waiter,
) -> Option<Opened> {
    let io = Io::new(raw.into());
    let timeout = listener.plan.config.limits.head_timeout;
    let buffer = first_bytes(state, &io, timeout, closing).await?;
    let connection = Arc::new(connection);
    Some(match buffer.data().starts_with(PREFACE) {
        true => Opened::H2(connection, Prefixed::new(buffer, io.into_transport())),
        false => Opened::H1(connection, io, buffer),
    })
}

/// Reads until it is clear whether this is HTTP/2's preface. None: nothing came, or the caller left.
async fn first_bytes(state: &LocalState, io: &Io, timeout: Duration, closing: &mut Waiter) -> Option<Buffer> {
    let mut deadline = Deadline::new();
    deadline.set_after(timeout);
    if !first_byte(io, &mut deadline, closing).await {
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
