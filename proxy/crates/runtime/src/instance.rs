//! A running filter: one guest, one worker, one call at a time.

use std::{mem, sync::Arc};

use wasmtime::{PoolConcurrencyLimitError, Store};

use crate::{
    Answer, AnswerFailure, ConnectionView, Decision, Fault, HookSet, Interest, Outcome, Passage, Program,
    Values, Verdict, View,
    engine::Counted,
    fault::classify,
    host::{Host, Phase},
    lane::Functions,
    limits::{GRACE_TICKS, Meter},
    ticker::Signal,
};

/// One instance of a [`Program`], for one worker.
pub struct Instance<V: Values> {
    store: Store<Host<V>>,
    program: Program<V>,
    functions: Functions,
    /// What follows is at hand here because every hook needs it.
    signal: Arc<Signal>,
    exports: HookSet,
    wants_values: bool,
    /// Bytes of memory after the last `configure` or `update`.
    settled_memory: usize,
    calls: u64,
    poisoned: bool,
    _counted: Counted,
}

impl<V: Values> Instance<V> {
    pub(crate) fn new(program: &Program<V>, config_json: &str) -> Result<(Self, Interest), Fault> {
        let mut store = new_store(program);
        let functions = bind(&mut store, program)?;
        let mut instance = Self {
            store,
            program: program.clone(),
            functions,
            signal: Arc::clone(program.0.engine.signal()),
            exports: program.exports(),
            wants_values: program.0.linked.wants_values(),
            settled_memory: 0,
            calls: 0,
            poisoned: false,
            _counted: program.0.engine.count_instance(),
        };
        let interest = instance.configure(config_json)?;
        instance.settled_memory = instance.memory_bytes();
        Ok((instance, interest))
    }

    fn configure(&mut self, json: &str) -> Result<Interest, Fault> {
        let name = self.program.name().clone();
        let answer = self.call(Phase::Configure, |f, store| f.configure(store, &name, json))?;
        let interest = answer.map_err(Fault::Configure)?;
        let missing = interest.hooks.without(self.exports);
        if !missing.is_empty() {
            return Err(Fault::Configure(format!("wants hooks it does not export: {missing:?}")));
        }
        Ok(interest)
    }

    /// Hands over data that config lists for the filter. The inner error is the filter's own: it keeps
    /// what it knew, and the instance stays usable.
    pub fn update(&mut self, name: &str, content: &[u8]) -> Result<Result<(), String>, Fault> {
        let answer = self.call(Phase::Update, |f, store| f.update(store, name, content))?;
        self.settled_memory = self.memory_bytes();
        Ok(answer)
    }

    /// A connection arrived.
    pub fn on_connection(&mut self, view: &ConnectionView<'_>) -> Result<Verdict, Fault> {
        self.exported(HookSet::CONNECTION)?;
        self.call(Phase::Connection, |f, store| f.on_connection(store, view))
    }

    /// The head of a request arrived.
    #[inline]
    pub fn on_request(&mut self, id: u64, view: &View, values: &mut V) -> Result<Decision, Fault> {
        let mut decision = nothing_decided();
        self.on_request_into(id, view, values, &mut decision)?;
        Ok(decision)
    }

    /// As [`on_request`](Self::on_request), into a place that may have held another decision. After a fault it
    /// means nothing.
    #[inline]
    pub fn on_request_into(
        &mut self,
        id: u64,
        view: &View,
        values: &mut V,
        into: &mut Decision,
    ) -> Result<(), Fault> {
        self.decide(HookSet::REQUEST, id, values, into, |f, store, into| f.on_request(store, id, view, into))
    }

    /// The body of a request arrived whole.
    pub fn on_request_body(
        &mut self,
        id: u64,
        memo: u64,
        body: &[u8],
        values: &mut V,
    ) -> Result<Decision, Fault> {
        let mut decision = nothing_decided();
        self.decide(HookSet::REQUEST_BODY, id, values, &mut decision, |f, store, into| {
            f.on_request_body(store, id, memo, body, into)
        })?;
        Ok(decision)
    }

    /// The answer to a question arrived, or failed to.
    pub fn on_answer(
        &mut self,
        id: u64,
        memo: &[u8],
        answer: Result<Answer, AnswerFailure>,
        values: &mut V,
    ) -> Result<Decision, Fault> {
        let mut decision = nothing_decided();
        self.decide(HookSet::ANSWER, id, values, &mut decision, |f, store, into| {
            f.on_answer(store, id, memo, answer, into)
        })?;
        Ok(decision)
    }

    /// The head of a response arrived.
    #[inline]
    pub fn on_response(
        &mut self,
        id: u64,
        memo: u64,
        status: u16,
        view: &View,
        values: &mut V,
    ) -> Result<Decision, Fault> {
        let mut decision = nothing_decided();
        self.on_response_into(id, memo, status, view, values, &mut decision)?;
        Ok(decision)
    }

    /// As [`on_response`](Self::on_response), into a place that may have held another decision. After a fault it
    /// means nothing.
    #[inline]
    pub fn on_response_into(
        &mut self,
        id: u64,
        memo: u64,
        status: u16,
        view: &View,
        values: &mut V,
        into: &mut Decision,
    ) -> Result<(), Fault> {
        self.decide(HookSet::RESPONSE, id, values, into, |f, store, into| {
            f.on_response(store, id, memo, status, view, into)
        })
    }

    /// The exchange is over.
    pub fn on_complete(&mut self, id: u64, memo: u64, outcome: &Outcome) -> Result<(), Fault> {
        self.exported(HookSet::COMPLETE)?;
        self.call(Phase::Hook(id), |f, store| f.on_complete(store, id, memo, outcome))
    }

    /// Bytes of linear memory held now.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().meter.memory()
    }

    /// Calls of hooks and updates so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The instance should be replaced at the next quiet moment: it was called very often, or it has
    /// used up three quarters of what was left of its memory when it was set up (a leak, mostly).
    pub fn must_recycle(&self) -> bool {
        let limits = self.store.data().meter.limits();
        let left = limits.memory.saturating_sub(self.settled_memory);
        let grown = self.memory_bytes().saturating_sub(self.settled_memory);
        self.poisoned || self.calls >= limits.calls || (grown > 0 && grown >= left / 4 * 3)
    }

    /// The program it is an instance of.
    pub fn program(&self) -> &Program<V> {
        &self.program
    }

    /// Calls a hook that decides, with the exchange's values moved in if the guest could ask for them.
    ///
    /// A decision is some hundred bytes, so it is read into its place and looked at there.
    #[inline]
    fn decide(
        &mut self,
        hook: HookSet,
        id: u64,
        values: &mut V,
        into: &mut Decision,
        call: impl FnOnce(&Functions, &mut Store<Host<V>>, &mut Decision) -> wasmtime::Result<()>,
    ) -> Result<(), Fault> {
        self.exported(hook)?;
        self.begin(Phase::Hook(id))?;
        if self.wants_values {
            mem::swap(&mut self.store.data_mut().values, values);
        }
        let result = call(&self.functions, &mut self.store, into);
        self.store.data_mut().meter.end();
        if self.wants_values {
            mem::swap(&mut self.store.data_mut().values, values);
        }
        match result {
            Ok(()) if self.allows(into, hook) => Ok(()),
            Ok(()) => Err(self.refuse(into, hook)),
            Err(error) => Err(self.poison(&error)),
        }
    }

    /// Calls a function that decides nothing.
    #[inline]
    fn call<T>(
        &mut self,
        phase: Phase,
        call: impl FnOnce(&Functions, &mut Store<Host<V>>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        self.begin(phase)?;
        let result = call(&self.functions, &mut self.store);
        self.store.data_mut().meter.end();
        result.map_err(|error| self.poison(&error))
    }

    /// The proxy calls only hooks that `configure` asked for, which are exported; another call is refused.
    #[inline]
    fn exported(&self, hook: HookSet) -> Result<(), Fault> {
        if self.exports.contains(hook) {
            return Ok(());
        }
        Err(Fault::WrongAnswer("the hook is not exported".to_owned()))
    }

    /// Every call into the guest begins here: budgets are full, and the clock runs.
    #[inline]
    fn begin(&mut self, phase: Phase) -> Result<(), Fault> {
        if self.poisoned {
            return Err(Fault::Poisoned);
        }
        self.calls += 1;
        self.store.data_mut().begin(phase);
        self.store.set_epoch_deadline(GRACE_TICKS);
        self.signal.touch();
        Ok(())
    }

    #[cold]
    fn poison(&mut self, error: &wasmtime::Error) -> Fault {
        self.poisoned = true;
        classify(error, self.store.data().meter.memory_refused())
    }

    /// Whether this hook may decide so.
    #[inline]
    fn allows(&self, decision: &Decision, hook: HookSet) -> bool {
        match decision {
            Decision::Pass(_) => true,
            Decision::Answer(reply) => (200..=599).contains(&reply.status),
            Decision::Ask(_) => hook != HookSet::RESPONSE && self.exports.contains(HookSet::ANSWER),
        }
    }

    #[cold]
    fn refuse(&mut self, decision: &Decision, hook: HookSet) -> Fault {
        self.poisoned = true;
        Fault::WrongAnswer(match decision {
            Decision::Answer(reply) => format!("status {}", reply.status),
            Decision::Ask(_) if hook == HookSet::RESPONSE => "asks in on-response".to_owned(),
            Decision::Ask(_) | Decision::Pass(_) => "asks without exporting on-answer".to_owned(),
        })
    }
}

/// What a decision is read into.
#[inline]
fn nothing_decided() -> Decision {
    Decision::Pass(Passage::default())
}

fn new_store<V: Values>(program: &Program<V>) -> Store<Host<V>> {
    let settings = &program.0.settings;
    let meter = Meter::new(settings.limits);
    let host = Host::new(settings.name.clone(), settings.shared.clone(), settings.buckets.clone(), meter);
    let mut store = Store::new(program.0.engine.wasmtime(), host);
    store.limiter(|host| &mut host.meter);
    store.set_hostcall_fuel(settings.limits.answer);
    store.set_epoch_deadline(GRACE_TICKS);
    let signal = Arc::clone(program.0.engine.signal());
    signal.touch();
    store.epoch_deadline_callback(move |mut store| store.data_mut().meter.at_deadline(&signal));
    store
}

/// Instantiates (which may run the guest's start functions) and finds the functions.
fn bind<V: Values>(store: &mut Store<Host<V>>, program: &Program<V>) -> Result<Functions, Fault> {
    let made = program.0.linked.instantiate(store);
    store.data_mut().meter.end();
    match made {
        Ok(Ok(functions)) => Ok(functions),
        Ok(Err(error)) => {
            Err(Fault::Configure(format!("an export has another type than the contract's: {error:#}")))
        }
        Err(error) if error.is::<PoolConcurrencyLimitError>() => Err(Fault::NoRoom(error.to_string())),
        Err(error) => Err(classify(&error, store.data().meter.memory_refused())),
    }
}
