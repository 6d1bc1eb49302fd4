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
/// Time for filters before it is known where an exchange goes.
const LONGEST: Duration = Duration::from_secs(60);

/// What a filter's decision comes to.
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one step")]
enum Next {
    Pass(Passed),
    Ask(Question),
}

/// Whether a filter let the exchange go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// It did, so it hears of the response and of the end.
    Yes,
    /// It failed, and config says to go on as if it were not there.
    WithoutIt,
}

impl Exchange<'_> {
    /// Asks every filter that wants to be asked. `Ok` means that the request goes on.
    pub(super) async fn decide(
        &mut self,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        for filter in self.listener.chain().iter() {
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
        let mut filter = filter;
        self.seats.push(Seat { filter: Rc::clone(filter), memo: 0, passed: false });
        while filter.wants(HookSet::REQUEST) {
            let ruling = filter.on_request(&self.state.worker, self.id, &mut self.heads.request);
            if self.passes_at_once(filter, at, &ruling) {
                break;
            }
            match (self.carry_out(filter, at, ruling, body, reply, deadline).await, filter.last_good()) {
                (Ok(Passed::Yes), _) => break,
                (Ok(Passed::WithoutIt), _) => return Ok(()),
                // The generation before decides in its place, and gets the later hooks.
                (Err(Stop::Failed(error)), Some(other)) if error.failure == Failure::FilterFault => {
                    self.seats[at].filter = Rc::clone(other);
                    filter = other;
                }
                (Err(stop), _) => return Err(stop),
            }
        }
        // Whatever comes of the body: the filter hears of the end of what it let pass.
        self.seats[at].passed = true;
        if filter.wants(HookSet::REQUEST_BODY) {
            let memo = self.seats[at].memo;
            let held = self.hold(body, filter.plan.body_limit, deadline).await?;
            let ruling =
                filter.on_request_body(&self.state.worker, self.id, memo, &held.0, &mut self.heads.request);
            body.hold(held.0, held.1);
            self.carry_out(filter, at, ruling, body, reply, deadline).await?;
        }
        Ok(())
    }

    /// Carries out what filters mostly answer, without a future for it: a passage that holds nothing up. False:
    /// nothing was done.
    fn passes_at_once(&mut self, filter: &LocalFilter, at: usize, ruling: &Ruling) -> bool {
        let Ruling::Decided(given) = ruling else { return false };
        let Decision::Pass(passage) = &**given else { return false };
        if passage.delay_ms > 0 || apply_to_request(&filter.plan, passage, &mut self.heads.request).is_err() {
            return false;
        }
        self.seats[at].memo = passage.memo;
        true
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
    ) -> Result<Passed, Stop> {
        for asked in 0..=QUESTIONS {
            let mut question = match self.apply(filter, at, ruling, body, reply, deadline).await? {
                Next::Pass(passed) => return Ok(passed),
                Next::Ask(_) if asked == QUESTIONS => break,
                Next::Ask(question) => question,
            };
            question.timeout = question.timeout.min(self.time_left());
            let memo = question.memo.clone();
            let bound = filter.plan.config.limits.answer;
            // Boxed, because it is large and rare.
            let asking = Box::pin(ask(self.state, &self.snapshot, question, bound));
            let answer = while_present(body, reply, asking).await?;
            ruling = filter.on_answer(&self.state.worker, self.id, &memo, answer, &mut self.heads.request);
        }
        match filter.wrong_answer(&self.state.worker, "asks too often") {
            Ruling::Skipped => Ok(Passed::WithoutIt),
            _ => {
                Err(Error::with(Failure::FilterAskedTooOften, format!("filter {}", filter.plan.name()))
                    .into())
            }
        }
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
                Ruling::Skipped => return Ok(Next::Pass(Passed::WithoutIt)),
                Ruling::Denied(error) => return Err(error.into()),
            };
            let wrong = match &*given {
                Decision::Pass(passage) => {
                    match apply_to_request(&filter.plan, passage, &mut self.heads.request) {
                        Ok(()) => {
                            self.seats[at].memo = passage.memo;
                            if passage.delay_ms > 0 {
                                deadline.set(None);
                                self.delay(passage.delay_ms, body, reply).await?;
                            }
                            return Ok(Next::Pass(Passed::Yes));
                        }
                        Err(wrong) => wrong,
                    }
                }
                Decision::Answer(given) => match check_reply(given) {
                    Ok(()) => return Err(Stop::Answer(Box::new(Answer::new(filter, given)))),
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

    /// Fault injection, within the exchange's own time.
    async fn delay(&self, ms: u32, body: &mut Incoming<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let (wished, left) = (Duration::from_millis(u64::from(ms)), self.time_left());
        while_present(body, reply, tokio::time::sleep(wished.min(left))).await?;
        if wished < left { Ok(()) } else { Err(Failure::ExchangeTimeout.into()) }
    }

    /// What is left of the exchange's time, as far as it is known by now.
    fn time_left(&self) -> Duration {
        let route = &self.heads.request.route;
        let cluster = route.cluster.as_ref().and_then(|(slot, _)| self.snapshot.cluster(*slot));
        let timeout = match (route.timeout_ms, cluster) {
            (Some(ms), _) => Duration::from_millis(ms.into()),
            (None, Some(cluster)) => cluster.shared.config.exchange_timeout,
            (None, None) => LONGEST,
        };
        let now = self.state.worker.now();
        let left = timeout.saturating_sub(Duration::from_nanos(now.saturating_sub(self.timed_from)));
        self.caller_until.map_or(left, |until| left.min(Duration::from_nanos(until.saturating_sub(now))))
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
        let comes = !body.is_over() && !matches!(body, Incoming::Held(_));
        loop {
            deadline.set_after(silence);
            match deadline.bound(poll_fn(|cx| body.poll_fill(cx))).await {
                Err(Elapsed) => return Err(Failure::BodyTimeout.into()),
                Ok(Err(error)) => return Err(body_failed(error).into()),
                Ok(Ok(false)) => {
                    if comes {
                        self.timed_from = self.state.worker.now();
                    }
                    return Ok((held, body.take_trailers()));
                }
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
