//! A caller's HTTP/2 connection: a task for each stream, one exchange each.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use weir_config::checked::Listener;

use super::{
    exchange::{self, Ending},
    fields_h2::push_map,
    incoming::Incoming,
    opening::in_time,
    refused,
    reply::Reply,
    websocket,
};
use crate::{
    error::{Error, Failure},
    message::{ConnectionInfo, Known, Method, RequestHead, Scheme, Version, legal_name},
    snapshot::{LocalListener, LocalState},
    stream::{Deadline, Prefixed},
    worker::{Signal, Waiter, Worker},
};

/// How many more streams a caller may reset than it lets finish, before it is taken for an attack
/// (CVE-2023-44487): a reset is cheap, and the exchange that it cancels was not.
const RESETS: u32 = 100;
/// How long a connection may take to end that nothing more is expected of.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a connection that was told to go away may still be without a stream: its caller may not have read that yet,
/// or not all of the last response.
const PARTING: Duration = Duration::from_secs(4);

/// What a connection does next.
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one step")]
enum Next {
    Accepted(http::Request<RecvStream>, SendResponse<Bytes>),
    /// The caller is gone, or broke the protocol: the library has said so.
    Ended,
    /// The listener closes.
    Closing,
    /// Nothing happened for too long.
    Idle,
    /// The caller opens streams only to reset them.
    Abused,
}

/// Serves a connection until it ends.
pub async fn serve(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    transport: Prefixed,
    listener: Rc<LocalListener>,
    closing: &mut Waiter,
) {
    let limits = &listener.plan.config.limits;
    let handshake = settings(&listener.plan.config).handshake(transport);
    let Ok(Ok(mut h2)) = in_time(handshake, limits.head_timeout, closing).await else { return };
    let streams = Rc::new(Streams::default());
    let broken = Signal::default();
    let (mut served, mut leaving) = (0u64, false);
    loop {
        let patience = if leaving { PARTING } else { limits.idle_timeout };
        match next(&mut h2, &streams, (!leaving).then_some(&mut *closing), patience).await {
            Next::Accepted(request, respond) => {
                served += 1;
                let stream = Stream {
                    state: Rc::clone(state),
                    connection: Arc::clone(connection),
                    listener: Rc::clone(&listener),
                    broken: broken.clone(),
                    place: Place::take(&streams),
                };
                // Boxed here: the runtime would move it, and it is large, several times before it is at its place.
                tokio::task::spawn_local(Box::pin(stream.serve(request, respond)));
                if !leaving && limits.requests.is_some_and(|most| served >= most) {
                    leaving = true;
                    h2.graceful_shutdown();
                }
            }
            Next::Closing | Next::Idle if !leaving => {
                // GOAWAY; what is under way may finish.
                leaving = true;
                h2.graceful_shutdown();
            }
            Next::Abused => {
                h2.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                break;
            }
            Next::Idle => {
                // It never confirmed to have heard. What it opens now it is told to ask for elsewhere (RFC 9113 6.8):
                // a mere end would leave it in doubt.
                h2.abrupt_shutdown(h2::Reason::NO_ERROR);
                break;
            }
            Next::Ended | Next::Closing => break,
        }
    }
    broken.raise();
    let _ = tokio::time::timeout(FAREWELL, poll_fn(|cx| h2.poll_closed(cx))).await;
}

fn settings(config: &Listener) -> h2::server::Builder {
    let limits = &config.limits;
    const PENDING_RESETS: usize = RESETS as usize;
    let mut settings = h2::server::Builder::new();
    settings
        .max_concurrent_streams(limits.streams)
        // Somewhat more than is allowed, so that what is too large meets an answer with a reason.
        .max_header_list_size(u32::try_from(limits.head.saturating_mul(2)).unwrap_or(u32::MAX))
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_concurrent_reset_streams(PENDING_RESETS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(1024))
        .max_send_buffer_size(256 * 1024);
    if !config.upgrades.is_empty() {
        settings.enable_connect_protocol();
    }
    settings
}

async fn next(
    h2: &mut h2::server::Connection<Prefixed, Bytes>,
    streams: &Streams,
    mut closing: Option<&mut Waiter>,
    patience: Duration,
) -> Next {
    let mut idle = Deadline::new();
    poll_fn(|cx| {
        if closing.as_mut().is_some_and(|closing| closing.poll(cx).is_ready()) {
            return Poll::Ready(Next::Closing);
        }
        if let Poll::Ready(accepted) = h2.poll_accept(cx) {
            return Poll::Ready(match accepted {
                Some(Ok((request, respond))) => Next::Accepted(request, respond),
                Some(Err(_)) | None => Next::Ended,
            });
        }
        if streams.resets.get() > RESETS {
            return Poll::Ready(Next::Abused);
        }
        streams.connection.replace(Some(cx.waker().clone()));
        if streams.open.get() > 0 {
            idle.set(None);
            return Poll::Pending;
        }
        if idle.at().is_none() {
            idle.set_after(patience);
        }
        idle.poll(cx).map(|()| Next::Idle)
    })
    .await
}

/// What a connection knows of its streams.
#[derive(Debug, Default)]
struct Streams {
    open: Cell<usize>,
    /// Streams reset by the caller, less those that finished.
    resets: Cell<u32>,
    /// Woken when a stream ends.
    connection: RefCell<Option<Waker>>,
}

/// A stream's place among those of its connection.
struct Place(Rc<Streams>);

impl Place {
    fn take(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(Rc::clone(streams))
    }

    fn ended(&self, ending: Ending) {
        let resets = self.0.resets.get();
        self.0.resets.set(match ending {
            Ending::Abandoned => resets.saturating_add(1),
            Ending::Whole | Ending::Broken => resets.saturating_sub(1),
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if let Some(connection) = self.0.connection.take() {
            connection.wake();
        }
    }
}

/// What a stream's task takes along.
struct Stream {
    state: Rc<LocalState>,
    connection: Arc<ConnectionInfo>,
    listener: Rc<LocalListener>,
    /// The connection is gone.
    broken: Signal,
    place: Place,
}

impl Stream {
    async fn serve(self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let state = &self.state;
        let mut heads = state.take_heads();
        let (parts, stream) = request.into_parts();
        let filled = fill(&mut heads.request.head, &parts) && {
            extend(&mut heads.request.head, &parts, &state.worker)
        };
        if !filled {
            // RFC 9113 8.1.1: a malformed request is a stream error.
            respond.send_reset(h2::Reason::PROTOCOL_ERROR);
            state.give_heads(heads);
            let error = Error::new(Failure::BadRequest, "head");
            return refused::account(
                state,
                &self.connection,
                &self.listener,
                (Version::Http2, 0, true),
                &error,
            );
        }
        let snapshot = state.snapshot();
        let listener = snapshot.listener(&self.connection.listener).unwrap_or(&self.listener);
        let listener = Rc::clone(listener);
        // What comes on a tunnel's stream is no body.
        let (mut body, mut reply) = match parts.method {
            http::Method::CONNECT => (Incoming::held(Vec::new(), None), Reply::h2_tunnel(respond, stream)),
            _ => (Incoming::h2(stream), Reply::h2(respond)),
        };
        let mut deadline = Deadline::new();
        let connection = &self.connection;
        let exchange =
            exchange::run(state, connection, listener, snapshot, heads, &mut body, &mut reply, &mut deadline);
        let mut exchange = std::pin::pin!(exchange);
        let mut broken = self.broken.waiter();
        let ended = poll_fn(|cx| match Future::poll(exchange.as_mut(), cx) {
            Poll::Ready(ending) => Poll::Ready(Some(ending)),
            Poll::Pending => broken.poll(cx).map(|()| None),
        });
        if let Some(ending) = ended.await {
            self.place.ended(ending);
        }
    }
}

/// The head of a request from what the library read (RFC 9113 8.3.1). False: it is malformed.
fn fill(head: &mut RequestHead, parts: &http::request::Parts) -> bool {
    head.clear();
    head.version = Version::Http2;
    let Some(method) = Method::parse(parts.method.as_str().as_bytes()) else { return false };
    head.method = method;
    head.scheme = parts.uri.scheme_str().and_then(|scheme| Scheme::parse(scheme.as_bytes()));
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let plain_connect =
        head.method == Method::Connect && parts.extensions.get::<h2::ext::Protocol>().is_none();
    if !plain_connect && !head.set_path_and_query(path.as_bytes()) {
        return false;
    }
    if !push_map(&mut head.fields, &parts.headers) {
        return false;
    }
    if head.fields.all_known(Known::Host).nth(1).is_some() {
        return false;
    }
    let host = head.fields.get_known(Known::Host).map(<[u8]>::to_vec);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let legal = match (authority, host.as_deref()) {
        (Some(authority), Some(host)) => {
            authority.eq_ignore_ascii_case(host) && head.set_authority(authority)
        }
        (Some(one), None) | (None, Some(one)) => head.set_authority(one),
        (None, None) => false,
    };
    head.fields.remove_known(Known::Host);
    // The library joins nothing; a cookie that was split for compression is one again (RFC 9113 8.2.3).
    join_cookies(head);
    head.fields.strip_hop_by_hop(false);
    head.fields.remove_known(Known::Expect);
    legal
}

/// Extended CONNECT (RFC 8441 4) in the form that the exchange knows: as HTTP/1.1 asks for an upgrade. False: it is
/// malformed.
fn extend(head: &mut RequestHead, parts: &http::request::Parts, worker: &Worker) -> bool {
    if head.method == Method::Connect && head.content_length().is_some() {
        return false;
    }
    let Some(protocol) = parts.extensions.get::<h2::ext::Protocol>() else { return true };
    head.method = Method::Get;
    let protocol = protocol.as_str().as_bytes();
    if protocol.eq_ignore_ascii_case(websocket::NAME) {
        head.fields.set(websocket::KEY, &websocket::key(worker.random(), worker.random()));
    }
    legal_name(protocol) && head.fields.push_known(Known::Upgrade, protocol)
}

fn join_cookies(head: &mut RequestHead) {
    if head.fields.all_known(Known::Cookie).nth(1).is_none() {
        return;
    }
    let mut joined = Vec::new();
    head.fields.joined(Known::Cookie.as_str(), &mut joined);
    head.fields.set_known(Known::Cookie, &joined);
}
