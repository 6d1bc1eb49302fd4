//! Moving a body from where it arrives to where it goes.

use std::{cell::Cell, future::poll_fn, task::Poll};

use super::{
    incoming::{BodyError, Incoming},
    outgoing::{Outgoing, SendError},
};

/// Frames of so many bytes go on as they are; smaller ones gain more from being gathered than a copy costs.
const WHOLE: usize = 4 * 1024;

/// Which side broke off.
#[derive(Debug)]
pub(super) enum PumpError {
    /// Where the body comes from.
    Source(BodyError),
    /// Where it goes.
    Sink(SendError),
}

/// What has moved so far; read by timers and by the account.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes of body.
    pub bytes: Cell<u64>,
    /// Something moved since a timer looked.
    pub moved: Cell<bool>,
    /// What arrived waits for the receiver, who is to blame for silence then.
    pub sinking: Cell<bool>,
}

/// Moves all of `source` to `sink`, trailers included, and ends the message.
///
/// `most` bounds the body's bytes. When the source has nothing at the moment, what was gathered is
/// flushed: a stream of small messages is never held back.
pub(super) async fn pump(
    source: &mut Incoming<'_>,
    sink: &mut Outgoing<'_>,
    progress: &Progress,
    most: u64,
) -> Result<(), PumpError> {
    loop {
        let more = match poll_fn(|cx| Poll::Ready(source.poll_fill(cx))).await {
            Poll::Ready(more) => more,
            Poll::Pending => {
                progress.sinking.set(true);
                sink.flush().await.map_err(PumpError::Sink)?;
                progress.sinking.set(false);
                // Nobody may want what comes next.
                let next = poll_fn(|cx| match sink.poll_reset(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => source.poll_fill(cx).map(Some),
                });
                next.await.ok_or(PumpError::Sink(SendError::Left))?
            }
        };
        progress.moved.set(true);
        if !more.map_err(PumpError::Source)? {
            let trailers = source.take_trailers();
            progress.sinking.set(true);
            return sink.end(trailers.as_ref()).await.map_err(PumpError::Sink);
        }
        let n = source.data().len();
        let bytes = progress.bytes.get() + n as u64;
        if bytes > most {
            return Err(PumpError::Source(BodyError::TooLarge));
        }
        progress.bytes.set(bytes);
        progress.sinking.set(true);
        if let Some(frame) = source.take_frame(WHOLE) {
            sink.frame(frame).await.map_err(PumpError::Sink)?;
            source.release(n);
        } else {
            sink.data(source.data()).await.map_err(PumpError::Sink)?;
            source.consume(n);
        }
        progress.sinking.set(false);
        progress.moved.set(true);
    }
}
