//! Opening: how long a connection may take to begin, and how little of that is left when its listener closes.
//! Whoever has said nothing by then may never do, and must not hold a drain.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use crate::{
    stream::{Deadline, Elapsed, Io},
    worker::Waiter,
};

/// How long a connection may still be silent when its listener closes. Whoever asks once more in this time is told
/// with the answer not to come back; a connection that is closed at its caller's end may lose a request that is on its
/// way (RFC 9112 9.5), and callers who think, or get no processor, for a second between two requests are common.
const GRACE: Duration = Duration::from_secs(2);
/// What a handshake may still take then.
const FAREWELL: Duration = Duration::from_secs(2);

/// Waits for a caller to begin. False: it was silent for too long, it left, or the listener closes.
pub async fn first_byte(io: &Io, deadline: &mut Deadline, closing: &mut Waiter) -> bool {
    let mut noticed = false;
    poll_fn(|cx| {
        if let Poll::Ready(ready) = io.poll_readable(cx) {
            return Poll::Ready(ready.is_ok());
        }
        if !noticed && closing.poll(cx).is_ready() {
            noticed = true;
            deadline.set_after(GRACE);
        }
        deadline.poll(cx).map(|()| false)
    })
    .await
}

/// Awaits a handshake within its time.
pub async fn in_time<F: Future + Unpin>(
    mut handshake: F,
    timeout: Duration,
    closing: &mut Waiter,
) -> Result<F::Output, Elapsed> {
    let mut deadline = Deadline::new();
    deadline.set_after(timeout);
    let mut noticed = false;
    poll_fn(|cx| {
        if let Poll::Ready(done) = Pin::new(&mut handshake).poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if !noticed && closing.poll(cx).is_ready() {
            noticed = true;
            deadline.set_after(FAREWELL.min(timeout));
        }
        deadline.poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
