//! [`Copied`]: a body that goes on as it arrives, and of which a copy is kept, so that it can be sent again. Only
//! requests that may be repeated pay for one.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{BodyError, Incoming};
use crate::message::Fields;

/// See the module.
#[derive(Debug)]
pub struct Copied<'a> {
    from: Incoming<'a>,
    /// All that was used up of `from`; nothing once that was too much.
    copy: Vec<u8>,
    /// How much of the copy was used up since the last beginning.
    at: usize,
    /// Bytes that are kept at the most.
    most: usize,
    too_long: bool,
    /// Bytes of frames that were taken out and did not go on. Their sender waits for leave to send as many.
    unreleased: usize,
    trailers: Option<Fields>,
}

impl<'a> Copied<'a> {
    /// Of `from`, of which nothing was used up yet, up to `most` bytes.
    pub(super) fn new(from: Incoming<'a>, most: usize) -> Self {
        Self { from, copy: Vec::new(), at: 0, most, too_long: false, unreleased: 0, trailers: None }
    }

    /// What it was made of, which cannot begin anew.
    pub(super) fn into_inner(mut self) -> Incoming<'a> {
        self.release(self.unreleased);
        self.from
    }

    /// Bytes that may be used up without its becoming impossible to begin anew.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        if self.repeats() {
            return Poll::Ready(Ok(true));
        }
        self.from.poll_fill(cx)
    }

    pub(super) fn data(&self) -> &[u8] {
        if self.repeats() { &self.copy[self.at..] } else { self.from.data() }
    }

    pub(super) fn consume(&mut self, n: usize) {
        if self.repeats() {
            self.at += n;
            return;
        }
        if self.has_room(n) {
            self.copy.extend_from_slice(&self.from.data()[..n]);
            self.at = self.copy.len();
        }
        self.from.consume(n);
    }

    pub(super) fn take_frame(&mut self, least: usize) -> Option<Bytes> {
        if self.repeats() {
            return None;
        }
        let frame = self.from.take_frame(least)?;
        if self.has_room(frame.len()) {
            self.copy.extend_from_slice(&frame);
            self.at = self.copy.len();
        }
        self.unreleased += frame.len();
        Some(frame)
    }

    pub(super) fn release(&mut self, n: usize) {
        self.unreleased = self.unreleased.saturating_sub(n);
        self.from.release(n);
    }

    pub(super) fn is_over(&self) -> bool {
        !self.repeats() && self.trailers.is_none() && self.from.is_over()
    }

    pub(super) fn rewind(&mut self) {
        self.at = 0;
        self.release(self.unreleased);
    }

    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        if let Some(trailers) = self.from.take_trailers() {
            self.trailers = Some(trailers);
        }
        self.trailers.clone()
    }

    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.from.poll_left(cx)
    }

    pub(super) fn awaits_invitation(&self) -> bool {
        self.from.awaits_invitation()
    }

    /// Whether what comes next stands in the copy.
    fn repeats(&self) -> bool {
        self.at < self.copy.len()
    }

    /// Whether `n` more bytes are kept. If not, nothing is any more.
    fn has_room(&mut self, n: usize) -> bool {
        if !self.too_long && self.copy.len() + n > self.most {
            self.too_long = true;
            self.copy = Vec::new();
            self.at = 0;
        }
        !self.too_long
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// All that comes from where the body stands, in pieces of at most `piece` bytes.
    fn read(body: &mut Incoming<'_>, piece: usize) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        while let Poll::Ready(Ok(true)) = body.poll_fill(&mut cx) {
            let n = body.data().len().min(piece);
            all.extend_from_slice(&body.data()[..n]);
            body.consume(n);
        }
        all
    }

    #[test]
    fn a_body_comes_again_however_far_it_had_come() {
        for first in 0..=10 {
            let mut body = Incoming::held(b"0123456789".to_vec(), None);
            body.keep_copy(10);
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..first {
                assert!(matches!(body.poll_fill(&mut cx), Poll::Ready(Ok(true))));
                body.consume(1);
            }
            // `Held` itself begins anew too, which `Copied` does not make use of.
            body.rewind();
            assert_eq!(read(&mut body, 3), b"0123456789", "after {first}");
            body.rewind();
            assert_eq!(read(&mut body, 100), b"0123456789", "after {first}, again");
            assert!(body.is_over());
        }
    }

    #[test]
    fn what_is_too_long_is_let_go_of_and_goes_on() {
        let mut body = Incoming::held(vec![b'x'; 100], None);
        body.keep_copy(50);
        assert_eq!(read(&mut body, 30).len(), 100);
        assert!(body.is_over());
        let Incoming::Copied(copied) = &body else { panic!("{body:?}") };
        assert!(copied.copy.capacity() == 0 && copied.too_long);
    }

    #[test]
    fn trailers_come_again_too() {
        let mut trailers = Fields::new();
        assert!(trailers.push("x-checked", b"yes"));
        let mut body = Incoming::held(Vec::new(), Some(trailers));
        body.keep_copy(50);
        for _ in 0..2 {
            assert_eq!(read(&mut body, 9), b"");
            assert_eq!(
                body.take_trailers().and_then(|t| t.get("x-checked").map(<[u8]>::to_vec)),
                Some(b"yes".to_vec())
            );
            body.rewind();
        }
    }
}
