//! [`Deadline`]: a timer that is re-armed by writing down an instant.
//!
//! An exchange sets several deadlines and meets nearly all of them, so arming must cost nothing: the
//! timer in the reactor is only moved when it would fire too late, and looks again when it fires early.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Something took longer than its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// A deadline that can be moved at will.
#[derive(Debug)]
pub struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Without a deadline: never elapses.
    pub fn new() -> Self {
        Self { at: None, timer: None }
    }

    /// Elapses at `at`; none = never.
    pub fn set(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    /// Elapses after `duration` from now.
    pub fn set_after(&mut self, duration: Duration) {
        self.at = Instant::now().checked_add(duration);
    }

    /// When it elapses.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }

    /// Runs `future` until the deadline.
    pub async fn bound<F: Future>(&mut self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moving_it_later_keeps_it_from_elapsing() {
        let mut deadline = Deadline::new();
        deadline.set_after(Duration::from_secs(1));
        assert_eq!(deadline.bound(tokio::time::sleep(Duration::from_millis(900))).await, Ok(()));
        deadline.set_after(Duration::from_secs(1));
        assert_eq!(deadline.bound(tokio::time::sleep(Duration::from_millis(900))).await, Ok(()));
        assert_eq!(deadline.bound(tokio::time::sleep(Duration::from_millis(200))).await, Err(Elapsed));
    }

    #[tokio::test(start_paused = true)]
    async fn moving_it_earlier_makes_it_elapse_earlier() {
        let mut deadline = Deadline::new();
        deadline.set_after(Duration::from_secs(100));
        assert_eq!(deadline.bound(std::future::ready(1)).await, Ok(1));
        deadline.set_after(Duration::from_secs(1));
        let before = Instant::now();
        assert_eq!(deadline.bound(std::future::pending::<()>()).await, Err(Elapsed));
        assert!(before.elapsed() < Duration::from_secs(2));
    }
}
