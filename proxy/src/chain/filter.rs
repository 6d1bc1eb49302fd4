//! [`LocalFilter`]: one worker's side of a filter - calling its hooks, remembering, and what a fault means.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
    sync::Arc,
};

use weir_config::checked::OnFault;
use weir_runtime::{Answer, AnswerFailure, Decision, Fault, HookSet, Instance, Outcome, Passage, View};

use super::{
    FilterPlan,
    instance::{Absent, Slot},
    memory::{DecisionMemory, Recalled},
};
use crate::{
    error::{Error, Failure},
    message::{Request, ResponseHead},
    telemetry::metrics::{FilterFault, Hook, Remembered},
    worker::Worker,
};

/// One call in so many is timed; what the metrics show is scaled up.
const TIMED: u32 = 16;
/// Faults that are written to the log in one second, for each worker and filter: strangers may be able to
/// cause them. All are counted.
const LOGGED: u32 = 5;

/// A filter on one worker.
#[derive(Debug)]
pub struct LocalFilter {
    /// What all workers share.
    pub plan: Arc<FilterPlan>,
    slot: RefCell<Slot>,
    view: RefCell<View>,
    /// The last passage, to be written over once nobody holds it any more.
    spare: RefCell<Option<Rc<Decision>>>,
    memory: RefCell<DecisionMemory>,
    /// The version of the data that what is remembered was decided with.
    memory_of: Cell<u64>,
    calls: Cell<u32>,
    /// The second in which faults were logged last, and how many.
    logged: Cell<(u64, u32)>,
    last_good: Option<Rc<LocalFilter>>,
}

/// A decision: made now, or remembered. Cheap to hand on, which a decision itself is not.
#[derive(Debug)]
pub struct Given(Rc<Decision>);

impl Given {
    fn new(decision: Decision) -> Self {
        Self(Rc::new(decision))
    }
}

impl Deref for Given {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        &self.0
    }
}

/// What came of asking a filter.
#[derive(Debug)]
pub enum Ruling<T = Given> {
    /// It decided.
    Decided(T),
    /// It failed, and config says to go on without it.
    Skipped,
    /// It failed, and config says that this denies.
    Denied(Error),
}

impl LocalFilter {
    /// This worker's side of `plan`.
    pub fn new(plan: Arc<FilterPlan>) -> Self {
        let fallback = plan.last_good.clone().filter(|_| plan.config.on_fault == OnFault::LastGood);
        let last_good = fallback.map(|plan| Rc::new(Self::new(plan)));
        Self {
            memory: RefCell::new(DecisionMemory::new(plan.config.limits.remembered)),
            plan,
            slot: RefCell::default(),
            view: RefCell::default(),
            spare: RefCell::default(),
            memory_of: Cell::new(0),
            calls: Cell::new(0),
            logged: Cell::default(),
            last_good,
        }
    }

    /// Whether the filter wants to hear of this hook.
    pub fn wants(&self, hook: HookSet) -> bool {
        self.plan.hooks.contains(hook)
    }

    /// The generation before this one, which decides when this one fails, if config wants that.
    pub fn last_good(&self) -> Option<&Rc<Self>> {
        self.last_good.as_ref()
    }

    /// Takes the prepared instance and shows it what data are new, so that no exchange has to wait for that.
    pub fn warm(&self, worker: &Worker) {
        if let Err(absent) = self.slot.borrow_mut().instance(worker, &self.plan) {
            self.absent(worker, &absent);
        }
    }

    /// `on-request`.
    pub fn on_request(&self, worker: &Worker, id: u64, request: &mut Request) -> Ruling {
        let mut view = self.view.borrow_mut();
        self.plan.recipe.view_request(worker, request, &mut view);
        self.rule(self.decide(worker, id, &view, request))
    }

    /// `on-request-body`.
    pub fn on_request_body(
        self: &Rc<Self>,
        worker: &Worker,
        id: u64,
        memo: u64,
        body: &[u8],
        request: &mut Request,
    ) -> Ruling {
        let outcome = self
            .call(worker, Hook::RequestBody, |instance| instance.on_request_body(id, memo, body, request));
        self.rule(outcome.map(Given::new))
    }

    /// `on-answer`.
    pub fn on_answer(
        self: &Rc<Self>,
        worker: &Worker,
        id: u64,
        memo: &[u8],
        answer: Result<Answer, AnswerFailure>,
        request: &mut Request,
    ) -> Ruling {
        let outcome =
            self.call(worker, Hook::Answer, |instance| instance.on_answer(id, memo, answer, request));
        self.rule(outcome.map(Given::new))
    }

    /// `on-response`.
    pub fn on_response(
        self: &Rc<Self>,
        worker: &Worker,
        id: u64,
        memo: u64,
        head: &ResponseHead,
        request: &mut Request,
    ) -> Ruling {
        let mut view = self.view.borrow_mut();
        self.plan.recipe.view_response(head, &mut view);
        let outcome = self.call_into(worker, Hook::Response, |instance, into| {
            instance.on_response_into(id, memo, head.status, &view, request, into)
        });
        self.rule(outcome)
    }

    /// `on-complete`. A fault is counted and costs nobody anything.
    pub fn on_complete(&self, worker: &Worker, id: u64, memo: u64, outcome: &Outcome) {
        let _ = self.call(worker, Hook::Complete, |instance| instance.on_complete(id, memo, outcome));
    }

    /// A hook of this very filter answered what cannot be carried out: as any fault, that costs the instance.
    pub fn wrong_answer(&self, worker: &Worker, reason: &str) -> Ruling {
        self.rule(Err(self.wrong(worker, reason)))
    }

    /// As [`wrong_answer`](Self::wrong_answer), before config is asked what follows.
    pub(super) fn wrong(&self, worker: &Worker, reason: &str) -> Error {
        let fault = Fault::WrongAnswer(reason.to_owned());
        self.slot.borrow_mut().discard();
        self.memory.borrow_mut().clear();
        self.faulted(worker, &fault)
    }

    fn decide(&self, worker: &Worker, id: u64, view: &View, request: &mut Request) -> Result<Given, Error> {
        let remembers = self.plan.recipe.lasting && self.plan.config.limits.remembered > 0;
        let recalled = if remembers { self.recall(worker, view) } else { Recalled::Unasked };
        if let Recalled::Known(kept) = recalled {
            self.plan.metrics.remembered.one(worker.index, Remembered::Hit);
            return Ok(Given(kept));
        }
        let given = self.call_into(worker, Hook::Request, |instance, into| {
            instance.on_request_into(id, view, request, into)
        })?;
        let keep_ms = match &*given {
            Decision::Pass(passage) => passage.keep_ms,
            Decision::Answer(reply) => reply.keep_ms,
            Decision::Ask(_) => 0,
        };
        if remembers && keep_ms > 0 {
            self.keep(worker, view, &given, keep_ms, recalled == Recalled::Unasked);
        }
        Ok(given)
    }

    fn recall(&self, worker: &Worker, view: &View) -> Recalled {
        let mut memory = self.memory.borrow_mut();
        let version = self.plan.data.version();
        if self.memory_of.replace(version) != version {
            memory.clear();
        }
        // The exchange read the clock when it began.
        memory.recall(view, worker.recent())
    }

    fn keep(&self, worker: &Worker, view: &View, given: &Given, keep_ms: u32, unasked: bool) {
        if unasked {
            self.plan.metrics.remembered.one(worker.index, Remembered::Skipped);
            return;
        }
        self.plan.metrics.remembered.one(worker.index, Remembered::Miss);
        let now = worker.now();
        let until = now + u64::from(keep_ms) * 1_000_000;
        self.memory.borrow_mut().keep(view, Rc::clone(&given.0), until, now);
    }

    /// Calls a hook that decides. The decision is read into its place: it is some hundred bytes, and every step
    /// between the guest and the exchange would copy it.
    fn call_into(
        &self,
        worker: &Worker,
        hook: Hook,
        call: impl FnOnce(&mut Instance<Request>, &mut Decision) -> Result<(), Fault>,
    ) -> Result<Given, Error> {
        let spare = self.spare.take().filter(|spare| Rc::strong_count(spare) == 1);
        let mut place = spare.unwrap_or_else(|| Rc::new(Decision::Pass(Passage::default())));
        // Never copies: nobody else has it.
        let into = Rc::make_mut(&mut place);
        self.call(worker, hook, |instance| call(instance, into))?;
        // A reply may be large; it is not kept for the sake of its place.
        if matches!(*place, Decision::Pass(_)) {
            self.spare.replace(Some(Rc::clone(&place)));
        }
        Ok(Given(place))
    }

    /// Calls a hook on the instance, if there is one.
    pub(super) fn call<T>(
        &self,
        worker: &Worker,
        hook: Hook,
        call: impl FnOnce(&mut Instance<Request>) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut slot = self.slot.borrow_mut();
        let prepared = slot.instance(worker, &self.plan).map_err(|absent| self.absent(worker, &absent))?;
        self.plan.metrics.calls.one(worker.index, hook);
        let calls = self.calls.get();
        self.calls.set(calls.wrapping_add(1));
        let outcome = if calls.is_multiple_of(TIMED) {
            let begin = worker.clock.now();
            let outcome = call(&mut prepared.instance);
            let nanos = worker.clock.now() - begin;
            self.plan.metrics.time.add_ns(worker.index, nanos * u64::from(TIMED));
            if hook == Hook::Request {
                self.memory.borrow_mut().took(nanos);
            }
            outcome
        } else {
            call(&mut prepared.instance)
        };
        prepared.measure();
        if outcome.is_err() || prepared.instance.must_recycle() {
            slot.discard();
        }
        outcome.map_err(|fault| self.faulted(worker, &fault))
    }

    fn faulted(&self, worker: &Worker, fault: &Fault) -> Error {
        self.plan.metrics.faults.one(worker.index, label(fault));
        self.plan.note_fault(fault);
        let (filter, generation) = (&**self.plan.name(), self.plan.generation);
        if self.may_log(worker) {
            tracing::warn!(target: "weir::filter", filter, generation, %fault, "filter fault");
        }
        Error::with(Failure::FilterFault, format!("filter {filter}: {}", fault.kind()))
    }

    fn absent(&self, worker: &Worker, absent: &Absent) -> Error {
        match absent {
            Absent::Failed(fault) => self.faulted(worker, fault),
            Absent::HeldBack => {
                self.plan.metrics.faults.one(worker.index, FilterFault::Unavailable);
                let filter = self.plan.name();
                Error::with(Failure::FilterFault, format!("filter {filter}: held-back"))
            }
        }
    }

    fn may_log(&self, worker: &Worker) -> bool {
        let second = worker.clock.now() / 1_000_000_000;
        let (last, count) = self.logged.get();
        let count = if last == second { count } else { 0 };
        self.logged.set((second, count.saturating_add(1)));
        count < LOGGED
    }

    /// What config says of a fault.
    pub(super) fn rule<T>(&self, outcome: Result<T, Error>) -> Ruling<T> {
        match (outcome, self.plan.config.on_fault) {
            (Ok(decided), _) => Ruling::Decided(decided),
            (Err(_), OnFault::Skip) => Ruling::Skipped,
            (Err(error), OnFault::Deny | OnFault::LastGood) => Ruling::Denied(error),
        }
    }
}

/// How a fault is counted.
fn label(fault: &Fault) -> FilterFault {
    match fault {
        Fault::Trap(_) => FilterFault::Trap,
        Fault::OutOfTime => FilterFault::OutOfTime,
        Fault::OutOfMemory => FilterFault::OutOfMemory,
        Fault::TooManyHostCalls => FilterFault::TooManyHostCalls,
        Fault::WrongAnswer(_) => FilterFault::WrongAnswer,
        Fault::Configure(_) => FilterFault::Configure,
        Fault::NoRoom(_) | Fault::Poisoned => FilterFault::Unavailable,
    }
}
