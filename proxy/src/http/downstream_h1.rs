//! A caller's HTTP/1.1 connection: one exchange after the other, and little memory in between.

use std::{
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    exchange::{self, Ending, failure_head},
    h1::{BadRequest, Connection, Framing, HeadLimits, Parsed, Scan, parse_request, write_response},
    incoming::Incoming,
    opening::first_byte,
    outgoing::H1Outgoing,
    refused,
    reply::Reply,
};
use crate::{
    error::{Error, Failure},
    message::{ConnectionInfo, Known, ResponseHead, Version},
    snapshot::{Heads, LocalListener, LocalState},
    stream::{Buffer, Deadline, Elapsed, Io},
    worker::Waiter,
};

/// An unread body up to this size is read and dropped to keep the connection.
const DRAINED: usize = 256 * 1024;
/// How long to wait for it, and for a caller to take a last answer in.
const LINGER: Duration = Duration::from_secs(2);

/// A connection that was silent for so long gives the memory of its exchanges back.
const LULL: Duration = Duration::from_secs(2);
/// So many of a worker's connections may wait that long, so that the memory is bounded however many there are;
/// the others give it back at once.
const LINGERERS: usize = 256;

/// What an exchange leaves its connection fit for.
enum Afterwards {
    Another,
    /// Another, which lets itself be waited for until then.
    Idle(Option<Instant>),
    End,
    /// A response was cut off: an orderly end could be taken for the end of its body.
    Reset,
}

/// What ended the wait for a request.
enum Waited {
    Request(Parsed),
    /// Nothing more will come, or nothing shall.
    Over,
    Bad(Failure, &'static str),
}

/// Serves a connection until it ends. `buffer` holds what was read of it already.
pub async fn serve(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    io: &Io,
    mut buffer: Buffer,
    mut listener: Rc<LocalListener>,
    closing: &mut Waiter,
) {
    let mut deadline = Deadline::new();
    deadline.set_after(listener.plan.config.limits.head_timeout);
    let mut served = 0u64;
    loop {
        if buffer.is_empty() {
            // The memory goes back while nothing is there.
            state.worker.buffers.give(std::mem::take(&mut buffer));
            if !first_byte(io, &mut deadline, closing).await {
                break;
            }
        }
        // Boxed, so that an idle connection does not hold the memory of an exchange.
        let busy = Box::pin(busy(
            state,
            connection,
            io,
            &mut buffer,
            &mut listener,
            &mut deadline,
            closing,
            &mut served,
        ));
        match busy.await {
            Afterwards::Another => {}
            Afterwards::Idle(until) => deadline.set(until),
            Afterwards::End => break,
            Afterwards::Reset => {
                state.worker.buffers.give(buffer);
                return io.reset_on_close();
            }
        }
    }
    state.worker.buffers.give(buffer);
    deadline.set_after(LINGER);
    let _ = deadline.bound(io.shutdown()).await;
}

/// Serves requests as long as one soon follows the other.
#[expect(clippy::too_many_arguments, reason = "the parts of a connection, each borrowed while it is busy")]
async fn busy(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    io: &Io,
    buffer: &mut Buffer,
    listener: &mut Rc<LocalListener>,
    deadline: &mut Deadline,
    closing: &mut Waiter,
    served: &mut u64,
) -> Afterwards {
    loop {
        let mut heads = state.take_heads();
        let parsed = match await_head(state, io, listener, buffer, &mut heads, deadline).await {
            Waited::Request(parsed) => parsed,
            Waited::Over => {
                state.give_heads(heads);
                return Afterwards::End;
            }
            Waited::Bad(failure, detail) => {
                refuse(state, connection, io, listener, &Error::new(failure, detail)).await;
                state.give_heads(heads);
                linger(io, buffer, deadline).await;
                return Afterwards::End;
            }
        };
        let snapshot = state.snapshot();
        if let Some(current) = snapshot.listener(&connection.listener) {
            *listener = Rc::clone(current);
        }
        *served += 1;
        let last = listener.plan.config.limits.requests.is_some_and(|most| *served >= most);
        let close = !parsed.keep_alive || last || closing.is_raised();
        let served =
            one(state, connection, io, listener, snapshot, heads, buffer, parsed, close, deadline).await;
        let Afterwards::Another = served else { return served };
        if buffer.is_empty() {
            // The exchange has just ended, and noted when.
            let until = state.worker.after(listener.plan.config.limits.idle_timeout);
            if !soon(state, io, buffer, until, deadline, closing).await {
                return Afterwards::Idle(until);
            }
            deadline.set(until);
        }
    }
}

/// Waits a little for the next request. False: it takes its time, shall not come, or too many wait already.
async fn soon(
    state: &LocalState,
    io: &Io,
    buffer: &mut Buffer,
    until: Option<Instant>,
    deadline: &mut Deadline,
    closing: &mut Waiter,
) -> bool {
    let Some(_lingering) = state.worker.linger(LINGERERS) else { return false };
    // Another connection has more use for it meanwhile.
    state.worker.buffers.give(std::mem::take(buffer));
    let lull = state.worker.after(LULL);
    deadline.set(until.min(lull).or(lull));
    poll_fn(|cx| {
        if io.poll_readable(cx).is_ready() {
            return Poll::Ready(true);
        }
        if closing.poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        deadline.poll(cx).map(|()| false)
    })
    .await
}

/// One exchange.
#[expect(clippy::too_many_arguments, reason = "the parts of a connection, each borrowed for one exchange")]
async fn one(
    state: &Rc<LocalState>,
    connection: &Arc<ConnectionInfo>,
    io: &Io,
    listener: &Rc<LocalListener>,
    snapshot: Rc<crate::snapshot::LocalSnapshot>,
    mut heads: Box<Heads>,
    buffer: &mut Buffer,
    parsed: Parsed,
    close: bool,
    deadline: &mut Deadline,
) -> Afterwards {
    let request = &mut heads.request.head;
    request.fields.strip_hop_by_hop(parsed.upgrade);
    request.fields.remove_known(Known::Expect);
    let version = request.version;
    if buffer.is_empty() && parsed.framing.is_empty() {
        // Nothing is left to read: others have more use for the memory until the next request.
        state.worker.buffers.give(std::mem::take(buffer));
    }
    let mut body = Incoming::h1(io, buffer, parsed.framing);
    if parsed.expect_continue && version == Version::Http11 {
        body.invite_first();
    }
    let out = state.worker.buffers.take_output();
    let mut reply = Reply::h1(H1Outgoing::new(io, out), version, close);
    let ending = exchange::run(
        state,
        connection,
        Rc::clone(listener),
        snapshot,
        heads,
        &mut body,
        &mut reply,
        deadline,
    )
    .await;
    let close = reply.close;
    let begun = reply.begun();
    if let Some(out) = reply.into_output() {
        state.worker.buffers.give_output(out);
    }
    match ending {
        Ending::Whole => {}
        Ending::Broken | Ending::Abandoned if begun => return Afterwards::Reset,
        Ending::Broken | Ending::Abandoned => return Afterwards::End,
    }
    // A caller who still waits to be invited may or may not send its body: only closing is clear.
    let reusable = !close && !body.awaits_invitation() && drain(&mut body, deadline).await;
    if !reusable && !body.is_over() {
        let mut rest = Buffer::default();
        linger(io, &mut rest, deadline).await;
    }
    if reusable { Afterwards::Another } else { Afterwards::End }
}

/// Reads a request's head, which may take its own time once it has begun.
async fn await_head(
    state: &LocalState,
    io: &Io,
    listener: &LocalListener,
    buffer: &mut Buffer,
    heads: &mut Heads,
    deadline: &mut Deadline,
) -> Waited {
    let limits = &listener.plan.config.limits;
    let head_limits = HeadLimits { bytes: limits.head, fields: limits.fields };
    let mut scan = Scan::default();
    if buffer.is_bare() {
        *buffer = state.worker.buffers.take();
    }
    let mut timed = false;
    loop {
        if !buffer.is_empty() {
            match parse_request(buffer.data(), &mut scan, head_limits, &mut heads.request.head) {
                Ok(Some(parsed)) => {
                    buffer.consume(parsed.head_len);
                    return Waited::Request(parsed);
                }
                Ok(None) => {}
                Err(bad) => return Waited::Bad(failure_of(bad), bad.reason()),
            }
        }
        if !timed && !buffer.is_empty() {
            deadline.set_after(limits.head_timeout);
            timed = true;
        }
        match deadline.bound(io.read(buffer, 1)).await {
            Ok(Ok(0)) | Ok(Err(_)) => return Waited::Over,
            Ok(Ok(_)) => {}
            Err(Elapsed) if buffer.is_empty() => return Waited::Over,
            Err(Elapsed) => return Waited::Bad(Failure::HeadTimeout, ""),
        }
    }
}

fn failure_of(bad: BadRequest) -> Failure {
    if bad == BadRequest::MethodTooLong {
        return Failure::NotImplemented;
    }
    match bad.status() {
        414 => Failure::TargetTooLong,
        417 => Failure::ExpectationFailed,
        431 => Failure::HeadTooLarge,
        501 => Failure::UnknownCoding,
        505 => Failure::UnknownVersion,
        _ => Failure::BadRequest,
    }
}

/// Answers what is no request; the connection closes.
async fn refuse(
    state: &LocalState,
    connection: &ConnectionInfo,
    io: &Io,
    listener: &LocalListener,
    error: &Error,
) {
    let mut head = ResponseHead::new(400);
    let body = failure_head(error, &mut head);
    head.fields.push_known(Known::Date, state.date.borrow_mut().at(SystemTime::now()));
    let mut out = state.worker.buffers.take_output();
    write_response(&mut out, &head, Framing::Length(body.len() as u64), Connection::Close);
    out.extend_from_slice(&body);
    let sent = tokio::time::timeout(LINGER, io.write_all(&out)).await;
    state.worker.buffers.give_output(out);
    let told = (Version::Http11, head.status, matches!(sent, Ok(Ok(()))));
    refused::account(state, connection, listener, told, error);
}

/// Reads what is left of a small body. False: it is not small, or late.
async fn drain(body: &mut Incoming<'_>, deadline: &mut Deadline) -> bool {
    if body.is_over() {
        return true;
    }
    let mut left = DRAINED;
    deadline.set_after(LINGER);
    let drained = deadline.bound(async {
        while let Ok(true) = poll_fn(|cx| body.poll_fill(cx)).await {
            let n = body.data().len();
            body.consume(n);
            if n > left {
                return;
            }
            left -= n;
        }
    });
    drained.await.is_ok() && body.is_over()
}

/// Closing at once with bytes unread would reset the connection, and the caller might lose the answer
/// (RFC 9112 9.6): say that we are done, and read on for a moment.
async fn linger(io: &Io, buffer: &mut Buffer, deadline: &mut Deadline) {
    deadline.set_after(LINGER);
    let _ = deadline
        .bound(async {
            if io.shutdown().await.is_err() {
                return;
            }
            let mut left = DRAINED;
            while let Ok(n) = io.read(buffer, 1).await {
                buffer.consume(buffer.len());
                if n == 0 || n > left {
                    return;
                }
                left -= n;
            }
        })
        .await;
}
