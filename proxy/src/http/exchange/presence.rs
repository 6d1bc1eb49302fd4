//! Presence: work on an exchange's behalf goes on only as long as its caller stays.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::{
    error::Failure,
    http::{incoming::Incoming, reply::Reply},
};

/// Awaits `work`, unless the caller leaves before it is done.
///
/// An HTTP/2 caller leaves by a reset of the stream; an HTTP/1.1 caller by ending or resetting its connection
/// once the whole request is there. That it only ended its own direction cannot be told from that, and counts
/// as leaving.
pub(super) async fn while_present<F: Future>(
    body: &mut Incoming<'_>,
    reply: &mut Reply<'_>,
    work: F,
) -> Result<F::Output, Failure> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if reply.poll_left(cx).is_ready() || body.poll_left(cx).is_ready() {
            return Poll::Ready(Err(Failure::DownstreamAborted));
        }
        Poll::Pending
    })
    .await
}
