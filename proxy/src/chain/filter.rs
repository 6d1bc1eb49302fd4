//! [`LocalFilter`]: one worker's side of a filter - calling its hooks, remembering, and what a fault means.

use std::{
    cell::{Cell, RefCell},
    ops::Deref,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use weir_config::checked::OnFault;
use weir_runtime::{Answer, AnswerFailure, Decision, Fault, HookSet, Instance, Outcome, View};

use super::{
    FilterPlan,
    instance::{Absent, Slot},
    memory::DecisionMemory,
};
use crate::{
    error::{Error, Failure},
    message::{Request, ResponseHead},
    telemetry::metrics::{FilterFault, Hook, Remembered},
    worker::Worker,
};

/// One call in so many is timed; what the metrics show is scaled up.
const TIMED: u32 = 16;

/// A filter on one worker.
#[derive(Debug)]
pub struct LocalFilter {
    /// What all workers share.
    pub plan: Arc<FilterPlan>,
    slot: RefCell<Slot>,
    view: RefCell<View>,
    memory: RefCell<DecisionMemory>,
    calls: Cell<u32>,
    last_good: Option<Rc<LocalFilter>>,
}

/// A decision: made now, or remembered.
#[derive(Debug)]
pub enum Given {
    /// The filter was called.
    Fresh(Decision),
    /// It said so before.
    Kept(Rc<Decision>),
}

impl Deref for Given {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        match self {
            Self::Fresh(decision) => decision,
            Self::Kept(decision) => decision,
        }
    }
}

/// What came of asking a filter.
#[derive(Debug)]
pub enum Ruling {
    /// It decided.
    Decided(Given),
    /// It failed, and config says to go on without it.
    Skipped,
    /// It failed, and config says that this denies.
    Denied(Error),
}

/// A ruling, and which generation of the filter made it: that one gets the later hooks.
pub type Ruled = (Rc<LocalFilter>, Ruling);

impl LocalFilter {
    /// This worker's side of `plan`.
    pub fn new(plan: Arc<FilterPlan>) -> Self {
        let last_good = plan.last_good.clone().map(|plan| Rc::new(Self::new(plan)));
        Self {
            memory: RefCell::new(DecisionMemory::new(plan.config.limits.remembered)),
            plan,
            slot: RefCell::default(),
            view: RefCell::default(),
            calls: Cell::new(0),
            last_good,
        }
    }

    /// Whether the filter wants to hear of this hook.
    pub fn wants(&self, hook: HookSet) -> bool {
        self.plan.hooks.contains(hook)
    }

    /// Takes the prepared instance, so that the first exchange does not.
    pub fn warm(&self, worker: &Worker) {
        let _ = self.slot.borrow_mut().instance(worker, &self.plan);
    }

    /// `on-request`.
    pub fn on_request(self: &Rc<Self>, worker: &Worker, id: u64, request: &mut Request) -> Ruled {
        let mut view = self.view.take();
        self.plan.recipe.view_request(worker, request, &mut view);
        let outcome = self.decide(worker, id, &view, request);
        self.view.replace(view);
        match outcome {
            Ok(given) => (Rc::clone(self), Ruling::Decided(given)),
            Err(error) => self.after_fault(error, |other| other.on_request(worker, id, request)),
        }
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
        self.rule(
            self.call(worker, Hook::RequestBody, |instance| {
                instance.on_request_body(id, memo, body, request)
            }),
        )
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
        self.rule(self.call(worker, Hook::Answer, |instance| instance.on_answer(id, memo, answer, request)))
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
        let mut view = self.view.take();
        self.plan.recipe.view_response(head, &mut view);
        let outcome = self.call(worker, Hook::Response, |instance| {
            instance.on_response(id, memo, head.status, &view, request)
        });
        self.view.replace(view);
        self.rule(outcome)
    }

    /// `on-complete`. A fault is counted and costs nobody anything.
    pub fn on_complete(&self, worker: &Worker, id: u64, memo: u64, outcome: &Outcome) {
        let _ = self.call(worker, Hook::Complete, |instance| instance.on_complete(id, memo, outcome));
    }

    /// A later hook of this very filter answered what cannot be carried out.
    pub fn wrong_answer(&self, worker: &Worker, reason: &str) -> Ruling {
        let fault = Fault::WrongAnswer(reason.to_owned());
        self.rule(Err(self.faulted(worker, &fault)))
    }

    fn decide(&self, worker: &Worker, id: u64, view: &View, request: &mut Request) -> Result<Given, Error> {
        let remembers = self.plan.recipe.lasting && self.plan.config.limits.remembered > 0;
        if remembers && self.plan.data.version() == self.slot.borrow().data_version() {
            let kept = self.memory.borrow().recall(view, worker.clock.now());
            if let Some(kept) = kept {
                self.plan.metrics.remembered.one(worker.index, Remembered::Hit);
                return Ok(Given::Kept(kept));
            }
        }
        let decision = self.call(worker, Hook::Request, |instance| instance.on_request(id, view, request))?;
        let keep_ms = match &decision {
            Decision::Pass(passage) => passage.keep_ms,
            Decision::Answer(reply) => reply.keep_ms,
            Decision::Ask(_) => 0,
        };
        if !remembers || keep_ms == 0 {
            return Ok(Given::Fresh(decision));
        }
        self.plan.metrics.remembered.one(worker.index, Remembered::Miss);
        let now = worker.clock.now();
        let decision = Rc::new(decision);
        let until = now + u64::from(keep_ms) * 1_000_000;
        self.memory.borrow_mut().keep(view, Rc::clone(&decision), until, now);
        Ok(Given::Kept(decision))
    }

    /// Calls a hook on the instance, if there is one.
    fn call<T>(
        &self,
        worker: &Worker,
        hook: Hook,
        call: impl FnOnce(&mut Instance<Request>) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut slot = self.slot.borrow_mut();
        let (instance, data_changed) =
            slot.instance(worker, &self.plan).map_err(|absent| self.absent(worker, &absent))?;
        if data_changed {
            self.memory.borrow_mut().clear();
        }
        self.plan.metrics.calls.one(worker.index, hook);
        let calls = self.calls.get();
        self.calls.set(calls.wrapping_add(1));
        let outcome = if calls.is_multiple_of(TIMED) {
            let begin = worker.clock.now();
            let outcome = call(instance);
            let nanos = (worker.clock.now() - begin) * u64::from(TIMED);
            self.plan.metrics.time.add_ns(worker.index, nanos);
            self.plan.memory_bytes.store(instance.memory_bytes() as u64, Ordering::Relaxed);
            outcome
        } else {
            call(instance)
        };
        let recycle = instance.must_recycle();
        outcome
            .inspect(|_| {
                if recycle {
                    slot.discard()
                }
            })
            .map_err(|fault| {
                slot.discard();
                self.faulted(worker, &fault)
            })
    }

    fn faulted(&self, worker: &Worker, fault: &Fault) -> Error {
        self.plan.metrics.faults.one(worker.index, label(fault));
        let (filter, generation) = (&**self.plan.name(), self.plan.generation);
        tracing::warn!(target: "weir::filter", filter, generation, %fault, "filter fault");
        Error::with(Failure::FilterFault, format!("filter {filter}: {}", fault.kind()))
    }

    fn absent(&self, worker: &Worker, absent: &Absent) -> Error {
        let filter = &**self.plan.name();
        let kind = match absent {
            Absent::HeldBack => "held-back",
            Absent::Failed(reason) => {
                tracing::error!(target: "weir::filter", filter, reason, "no instance could be made");
                "no-instance"
            }
        };
        self.plan.metrics.faults.one(worker.index, FilterFault::Unavailable);
        Error::with(Failure::FilterFault, format!("filter {filter}: {kind}"))
    }

    /// What config says of a fault in `on-request`, where another generation can still step in.
    fn after_fault(self: &Rc<Self>, error: Error, ask: impl FnOnce(&Rc<Self>) -> Ruled) -> Ruled {
        match (self.plan.config.on_fault, &self.last_good) {
            (OnFault::LastGood, Some(other)) => ask(other),
            _ => (Rc::clone(self), self.rule(Err::<Decision, _>(error))),
        }
    }

    /// What config says of a fault later on.
    fn rule(&self, outcome: Result<Decision, Error>) -> Ruling {
        match (outcome, self.plan.config.on_fault) {
            (Ok(decision), _) => Ruling::Decided(Given::Fresh(decision)),
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
