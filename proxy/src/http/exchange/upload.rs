//! Upload: the caller's side of an attempt. It sends the request's body on, then watches whether the caller
//! stays.

use std::{
    cell::Cell,
    future::{pending, poll_fn},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Exchange, decide::body_failed};
use crate::{
    error::{Error, Failure},
    http::{
        h1::Framing,
        incoming::{BodyError, Incoming},
        outgoing::{Outgoing, SendError},
        pump::{Progress, PumpError, pump},
    },
};

/// How long an endpoint may take to invite a body that its caller holds back. RFC 9110 10.1.1 wants nobody to
/// wait for ever: endpoints that do not know the expectation never say a word.
const INVITATION: Duration = Duration::from_secs(1);

/// What both sides of an attempt tell each other and the clock.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// The request went out whole, or the endpoint takes no more of it.
    pub uploaded: Cell<bool>,
    /// The endpoint takes no more of the request.
    pub deaf: Cell<bool>,
    /// The final head came.
    pub answered: Cell<bool>,
    /// The caller holds the body back until it is invited.
    pub held_back: Cell<bool>,
    /// The endpoint said 100.
    pub invited: Notify,
}

impl Flags {
    /// An endpoint that answers well before it has said 100 means to read on. The caller is invited before it
    /// sees that answer, for it would not send its body after.
    pub(super) async fn invite_now(&self) {
        self.invited.notify_one();
        while self.held_back.get() {
            tokio::task::yield_now().await;
        }
    }
}

/// How the caller's side of an attempt ended.
pub(super) enum CallerEnd {
    Body(BodyError),
    Left,
    EndpointDeaf,
}

impl CallerEnd {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Body(error) => body_failed(error),
            Self::Left | Self::EndpointDeaf => Failure::DownstreamAborted.into(),
        }
    }
}

/// Sends the request. Only ends when something is wrong.
pub(super) async fn upload(
    body: &mut Incoming<'_>,
    sink: &mut Outgoing<'_>,
    received: &Progress,
    flags: &Flags,
    most: u64,
) -> CallerEnd {
    if flags.held_back.get() && !await_invitation(sink, flags).await {
        return CallerEnd::EndpointDeaf;
    }
    match pump(body, sink, received, most).await {
        Ok(()) => {}
        Err(PumpError::Source(error)) => return CallerEnd::Body(error),
        Err(PumpError::Sink(SendError::Length)) => return CallerEnd::Body(BodyError::Length),
        Err(PumpError::Sink(_)) => return CallerEnd::EndpointDeaf,
    }
    flags.uploaded.set(true);
    poll_fn(|cx| body.poll_left(cx)).await;
    CallerEnd::Left
}

/// Sends the head and waits until the endpoint wants the body; false: it cannot be reached. Does not come back
/// once the endpoint has answered without it.
async fn await_invitation(sink: &mut Outgoing<'_>, flags: &Flags) -> bool {
    if sink.flush().await.is_err() {
        return false;
    }
    // Late is as good as invited.
    let _ = tokio::time::timeout(INVITATION, flags.invited.notified()).await;
    if flags.answered.get() {
        return pending().await;
    }
    flags.held_back.set(false);
    true
}

impl Exchange<'_> {
    /// How the request's body is delimited on the way on, and its length if known.
    pub(super) fn body_framing(&self, body: &Incoming<'_>) -> (Framing, Option<u64>) {
        let head = self.request();
        match (body, self.request().content_length()) {
            // Only chunks carry trailers, and only they may have codings beneath.
            (Incoming::Held(held), length) if held.has_trailers() => (Framing::Chunked, length),
            (body, length) if !head.codings().is_empty() && !body.is_over() => (Framing::Chunked, length),
            (Incoming::Held(_), _) if !body.is_over() => {
                let length = body.data().len() as u64;
                (Framing::Length(length), Some(length))
            }
            (_, Some(length)) => (Framing::Length(length), Some(length)),
            (body, None) if !body.is_over() => (Framing::Chunked, None),
            // RFC 9110 8.6: a request that is expected to have content says that there is none.
            _ if matches!(head.method.as_str(), "POST" | "PUT" | "PATCH") => (Framing::Length(0), None),
            _ => (Framing::None, None),
        }
    }
}
