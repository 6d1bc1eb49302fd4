//! Decide: the filters of the chain, in order.

use std::{future::poll_fn, rc::Rc, time::Duration};

use weir_runtime::{Decision, HookSet};

use super::{Answer, Exchange, Seat, Stop, presence::while_present};
use crate::{
    chain::{LocalFilter, Ruling, apply_to_request, check_reply},
    error::{Error, Failure},
    http::{
        ask::{Question, ask},
        incoming::{BodyError, Incoming},
        reply::Reply,
    },
    message::Fields,
    stream::{Deadline, Elapsed},
};

/// How often one exchange may ask.
const QUESTIONS: u8 = 8;

/// What a filter's decision comes to.
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one step")]
enum Next {
    Pass,
    Ask(Question),
}

impl Exchange<'_> {
    /// Asks every filter that wants to be asked. `Ok` means that the request goes on.
    pub(super) async fn decide(
        &mut self,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        // The listener is taken along, since each step changes the exchange.
        let listener = Rc::clone(&self.listener);
        for filter in &listener.chain {
            if !filter.plan.recipe.wants(&self.heads.request) {
                continue;
            }
            self.ask_filter(filter, body, reply, deadline).await?;
        }
        Ok(())
    }

    async fn ask_filter(
        &mut self,
        filter: &Rc<LocalFilter>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        let at = self.seats.len();
        let mut filter = Rc::clone(filter);
        self.seats.push(Seat { filter: Rc::clone(&filter), memo: 0, passed: false });
        if filter.wants(HookSet::REQUEST) {
            let (by, ruling) = filter.on_request(&self.state.worker, self.id, &mut self.heads.request);
            self.seats[at].filter = Rc::clone(&by);
            filter = by;
            self.carry_out(&filter, at, ruling, body, reply, deadline).await?;
        }
        if filter.wants(HookSet::REQUEST_BODY) {
            let memo = self.seats[at].memo;
            let held = self.hold(body, filter.plan.body_limit, deadline).await?;
            let ruling =
                filter.on_request_body(&self.state.worker, self.id, memo, &held.0, &mut self.heads.request);
            body.hold(held.0, held.1);
            self.carry_out(&filter, at, ruling, body, reply, deadline).await?;
        }
        self.seats[at].passed = true;
        Ok(())
    }

    /// Carries a ruling out, asking for the filter as often as it wants and may.
    async fn carry_out(
        &mut self,
        filter: &Rc<LocalFilter>,
        at: usize,
        mut ruling: Ruling,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        for _ in 0..=QUESTIONS {
            let question = match self.apply(filter, at, ruling, body, reply, deadline).await? {
                Next::Pass => return Ok(()),
                Next::Ask(question) => question,
            };
            let memo = question.memo.clone();
            let bound = filter.plan.config.limits.answer;
            let asking = ask(self.state, &self.snapshot, question, bound);
            let answer = while_present(body, reply, asking).await?;
            ruling = filter.on_answer(&self.state.worker, self.id, &memo, answer, &mut self.heads.request);
        }
        let name = filter.plan.name();
        Err(Error::with(Failure::FilterAskedTooOften, format!("filter {name}")).into())
    }

    async fn apply(
        &mut self,
        filter: &Rc<LocalFilter>,
        at: usize,
        ruling: Ruling,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<Next, Stop> {
        let mut ruling = ruling;
        // Twice at the most: a decision that cannot be carried out becomes a fault, which is ruled on.
        loop {
            let given = match ruling {
                Ruling::Decided(given) => given,
                Ruling::Skipped => return Ok(Next::Pass),
                Ruling::Denied(error) => return Err(error.into()),
            };
            let wrong = match &*given {
                Decision::Pass(passage) => {
                    match apply_to_request(&filter.plan, passage, &mut self.heads.request) {
                        Ok(()) => {
                            self.seats[at].memo = passage.memo;
                            if passage.delay_ms > 0 {
                                deadline.set(None);
                                while_present(body, reply, delay(passage.delay_ms)).await?;
                            }
                            return Ok(Next::Pass);
                        }
                        Err(wrong) => wrong,
                    }
                }
                Decision::Answer(given) => match check_reply(given) {
                    Ok(()) => return Err(Stop::Answer(Answer::new(filter, given))),
                    Err(wrong) => wrong,
                },
                Decision::Ask(question) => match Question::check(filter, question) {
                    Ok(question) => return Ok(Next::Ask(question)),
                    Err(wrong) => wrong,
                },
            };
            ruling = filter.wrong_answer(&self.state.worker, &wrong);
        }
    }

    /// Reads the whole body, up to `most` bytes.
    pub(super) async fn hold(
        &mut self,
        body: &mut Incoming<'_>,
        most: usize,
        deadline: &mut Deadline,
    ) -> Result<(Vec<u8>, Option<Fields>), Stop> {
        let limits = &self.listener.plan.config.limits;
        let most = limits.body.map_or(most, |body| most.min(usize::try_from(body).unwrap_or(usize::MAX)));
        let silence = limits.body_timeout;
        let mut held = Vec::new();
        loop {
            deadline.set_after(silence);
            match deadline.bound(poll_fn(|cx| body.poll_fill(cx))).await {
                Err(Elapsed) => return Err(Failure::BodyTimeout.into()),
                Ok(Err(error)) => return Err(body_failed(error).into()),
                Ok(Ok(false)) => return Ok((held, body.take_trailers())),
                Ok(Ok(true)) => {}
            }
            let n = body.data().len();
            if held.len() + n > most {
                return Err(Failure::BodyTooLarge.into());
            }
            held.extend_from_slice(body.data());
            body.consume(n);
            self.transfer.received.bytes.set(held.len() as u64);
        }
    }
}

impl Answer {
    pub(super) fn new(by: &Rc<LocalFilter>, reply: &weir_runtime::Reply) -> Self {
        Self {
            by: Rc::clone(by),
            status: reply.status,
            fields: reply.fields.clone(),
            body: reply.body.clone(),
            reason: reply.reason.as_str().into(),
        }
    }
}

/// Fault injection, bounded.
async fn delay(ms: u32) {
    const LONGEST: Duration = Duration::from_secs(300);
    tokio::time::sleep(Duration::from_millis(u64::from(ms)).min(LONGEST)).await;
}

/// What a broken request body means.
pub(super) fn body_failed(error: BodyError) -> Error {
    match error {
        BodyError::TooLarge => Failure::BodyTooLarge.into(),
        BodyError::Length => Error::new(Failure::BadRequest, "length"),
        BodyError::Framing(bad) => Error::new(Failure::BadRequest, bad.reason()),
        BodyError::Io(error) => Error::with(Failure::DownstreamAborted, error.to_string()),
        BodyError::H2(error) => Error::with(Failure::DownstreamAborted, error.to_string()),
    }
}
