//! A caller's HTTP/2 connection: a task for each stream, one exchange each.

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};

use super::{exchange, fields_h2::push_map, incoming::Incoming, reply::Reply};
use crate::{
    message::{ConnectionInfo, Known, Method, RequestHead, Scheme, Version},
    snapshot::{LocalListener, LocalState},
    stream::{Deadline, Prefixed},
    worker::{Signal, Waiter},
};

/// Streams that a caller may open and reset before it is taken for an attack (CVE-2023-44487).
const RESETS: usize = 100;

/// Serves a connection until it ends.
pub async fn serve(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    transport: Prefixed,
    listener: Rc<LocalListener>,
    closing: &mut Waiter,
) {
    let limits = &listener.plan.config.limits;
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_concurrent_reset_streams(RESETS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(1024))
        .max_send_buffer_size(256 * 1024)
        .handshake::<_, Bytes>(transport);
    let Ok(Ok(mut h2)) = tokio::time::timeout(limits.head_timeout, handshake).await else { return };
    let mut deadline = Deadline::new();
    let active = Rc::new(());
    let broken = Signal::default();
    let mut drained = false;
    loop {
        let idle = Rc::strong_count(&active) == 1;
        deadline.set(None);
        if idle {
            deadline.set_after(limits.idle_timeout);
        }
        let accepted = deadline.bound(poll_fn(|cx| {
            if !drained && closing.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            h2.poll_accept(cx).map(Some)
        }));
        let next = match accepted.await {
            Ok(Some(Some(next))) => next,
            Ok(Some(None)) => break,
            // Idle for too long, or going down: GOAWAY, and what is under way may finish.
            Ok(None) | Err(_) if drained => break,
            Ok(None) | Err(_) => {
                h2.graceful_shutdown();
                drained = true;
                continue;
            }
        };
        let Ok((request, respond)) = next else { break };
        let stream = Stream {
            state: Rc::clone(state),
            connection: Arc::clone(connection),
            listener: Rc::clone(&listener),
            broken: broken.clone(),
            _active: Rc::clone(&active),
        };
        tokio::task::spawn_local(stream.serve(request, respond));
    }
    broken.raise();
    let _ = tokio::time::timeout(Duration::from_secs(2), poll_fn(|cx| h2.poll_closed(cx))).await;
}

/// What a stream's task takes along.
struct Stream {
    state: Rc<LocalState>,
    connection: Arc<ConnectionInfo>,
    listener: Rc<LocalListener>,
    /// The connection is gone.
    broken: Signal,
    _active: Rc<()>,
}

impl Stream {
    async fn serve(self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let mut heads = self.state.take_heads();
        let (parts, stream) = request.into_parts();
        if !fill(&mut heads.request.head, &parts) {
            // RFC 9113 8.1.1: a malformed request is a stream error.
            respond.send_reset(h2::Reason::PROTOCOL_ERROR);
            self.state.give_heads(heads);
            return;
        }
        let snapshot = self.state.snapshot();
        let listener = snapshot.listener(&self.connection.listener).unwrap_or(&self.listener);
        let listener = Rc::clone(listener);
        let mut body = Incoming::h2(stream);
        let mut reply = Reply::h2(respond);
        let mut deadline = Deadline::new();
        let state = Rc::clone(&self.state);
        let exchange = exchange::run(
            &state,
            &self.connection,
            listener,
            snapshot,
            heads,
            &mut body,
            &mut reply,
            &mut deadline,
        );
        let mut exchange = std::pin::pin!(exchange);
        let mut broken = self.broken.waiter();
        poll_fn(|cx| {
            if Future::poll(exchange.as_mut(), cx).is_ready() || broken.poll(cx).is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
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
    if head.method != Method::Connect && !head.set_path_and_query(path.as_bytes()) {
        return false;
    }
    if !push_map(&mut head.fields, &parts.headers) {
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

fn join_cookies(head: &mut RequestHead) {
    if head.fields.all_known(Known::Cookie).nth(1).is_none() {
        return;
    }
    let mut joined = Vec::new();
    head.fields.joined(Known::Cookie.as_str(), &mut joined);
    head.fields.set(Known::Cookie.as_str(), &joined);
}
