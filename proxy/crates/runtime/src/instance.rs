//! A running filter: one guest, one worker, one call at a time.

use std::{mem, sync::Arc};

use wasmtime::{
    PoolConcurrencyLimitError, Store,
    component::{ComponentNamedList, Lift, Lower, TypedFunc},
};

use crate::{
    Answer, AnswerFailure, Decision, Fault, HookSet, Interest, Outcome, Program, Values, View,
    contract::{Config, RawInterest, Seen},
    engine::Counted,
    fault::classify,
    host::{Host, Phase},
    limits::{GRACE_TICKS, Meter},
    ticker::Signal,
};

type Configure = TypedFunc<(Config<'static>,), (Result<RawInterest, String>,)>;
type Update = TypedFunc<(&'static str, &'static [u8]), (Result<(), String>,)>;
type OnRequest = TypedFunc<(u64, Seen<'static>), (Decision,)>;
type OnRequestBody = TypedFunc<(u64, u64, &'static [u8]), (Decision,)>;
type OnAnswer = TypedFunc<(u64, &'static [u8], Result<Answer, AnswerFailure>), (Decision,)>;
type OnResponse = TypedFunc<(u64, u64, u16, Seen<'static>), (Decision,)>;
type OnComplete = TypedFunc<(u64, u64, Outcome), ()>;

/// One instance of a [`Program`], for one worker.
pub struct Instance<V: Values> {
    store: Store<Host<V>>,
    program: Program<V>,
    functions: Functions,
    /// Both are at hand here because every hook needs them.
    signal: Arc<Signal>,
    wants_values: bool,
    /// Bytes of memory after the last `configure` or `update`.
    settled_memory: usize,
    calls: u64,
    poisoned: bool,
    _counted: Counted,
}

/// The guest's functions, looked up once.
struct Functions {
    update: Update,
    request: Option<OnRequest>,
    request_body: Option<OnRequestBody>,
    answer: Option<OnAnswer>,
    response: Option<OnResponse>,
    complete: Option<OnComplete>,
}

impl<V: Values> Instance<V> {
    pub(crate) fn new(program: &Program<V>, config_json: &str) -> Result<(Self, Interest), Fault> {
        let mut store = new_store(program);
        let (functions, configure) = bind(&mut store, program)?;
        let mut instance = Self {
            store,
            program: program.clone(),
            functions,
            signal: Arc::clone(program.0.engine.signal()),
            wants_values: program.0.wants_values,
            settled_memory: 0,
            calls: 0,
            poisoned: false,
            _counted: program.0.engine.count_instance(),
        };
        let interest = instance.configure(&configure, config_json)?;
        instance.settled_memory = instance.memory_bytes();
        Ok((instance, interest))
    }

    fn configure(&mut self, function: &Configure, json: &str) -> Result<Interest, Fault> {
        let name = self.program.name().clone();
        let (answer,) = self.call(Phase::Configure, function, (Config { name: &name, json },))?;
        let interest = Interest::from(answer.map_err(Fault::Configure)?);
        let missing = interest.hooks.without(self.program.exports());
        if !missing.is_empty() {
            return Err(Fault::Configure(format!("wants hooks it does not export: {missing:?}")));
        }
        Ok(interest)
    }

    /// Hands over data that config lists for the filter. The inner error is the filter's own: it keeps
    /// what it knew, and the instance stays usable.
    pub fn update(&mut self, name: &str, content: &[u8]) -> Result<Result<(), String>, Fault> {
        let function = self.functions.update;
        let (answer,) = self.call(Phase::Update, &function, (name, content))?;
        self.settled_memory = self.memory_bytes();
        Ok(answer)
    }

    /// The head of a request arrived.
    #[inline]
    pub fn on_request(&mut self, id: u64, view: &View, values: &mut V) -> Result<Decision, Fault> {
        let function = exported(self.functions.request)?;
        self.decide(HookSet::REQUEST, id, values, &function, (id, seen(view)))
    }

    /// The body of a request arrived whole.
    pub fn on_request_body(
        &mut self,
        id: u64,
        memo: u64,
        body: &[u8],
        values: &mut V,
    ) -> Result<Decision, Fault> {
        let function = exported(self.functions.request_body)?;
        self.decide(HookSet::REQUEST_BODY, id, values, &function, (id, memo, body))
    }

    /// The answer to a question arrived, or failed to.
    pub fn on_answer(
        &mut self,
        id: u64,
        memo: &[u8],
        answer: Result<Answer, AnswerFailure>,
        values: &mut V,
    ) -> Result<Decision, Fault> {
        let function = exported(self.functions.answer)?;
        self.decide(HookSet::ANSWER, id, values, &function, (id, memo, answer))
    }

    /// The head of a response arrived.
    pub fn on_response(
        &mut self,
        id: u64,
        memo: u64,
        status: u16,
        view: &View,
        values: &mut V,
    ) -> Result<Decision, Fault> {
        let function = exported(self.functions.response)?;
        self.decide(HookSet::RESPONSE, id, values, &function, (id, memo, status, seen(view)))
    }

    /// The exchange is over.
    pub fn on_complete(&mut self, id: u64, memo: u64, outcome: &Outcome) -> Result<(), Fault> {
        let function = exported(self.functions.complete)?;
        self.call(Phase::Hook(id), &function, (id, memo, outcome.clone()))
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
    /// A decision is some hundred bytes, so it is looked at where it lies and moved once.
    #[inline]
    fn decide<P>(
        &mut self,
        hook: HookSet,
        id: u64,
        values: &mut V,
        function: &TypedFunc<P, (Decision,)>,
        arguments: P,
    ) -> Result<Decision, Fault>
    where
        P: ComponentNamedList + Lower,
    {
        self.begin(Phase::Hook(id))?;
        if self.wants_values {
            mem::swap(&mut self.store.data_mut().values, values);
        }
        let result = function.call(&mut self.store, arguments);
        self.store.data_mut().meter.end();
        if self.wants_values {
            mem::swap(&mut self.store.data_mut().values, values);
        }
        match result {
            Ok((decision,)) if self.allows(&decision, hook) => Ok(decision),
            Ok((decision,)) => Err(self.refuse(&decision, hook)),
            Err(error) => Err(self.poison(&error)),
        }
    }

    /// Calls a function that decides nothing.
    fn call<P, R>(&mut self, phase: Phase, function: &TypedFunc<P, R>, arguments: P) -> Result<R, Fault>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.begin(phase)?;
        let result = function.call(&mut self.store, arguments);
        self.store.data_mut().meter.end();
        result.map_err(|error| self.poison(&error))
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
            Decision::Ask(_) => hook != HookSet::RESPONSE && self.functions.answer.is_some(),
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
fn bind<V: Values>(
    store: &mut Store<Host<V>>,
    program: &Program<V>,
) -> Result<(Functions, Configure), Fault> {
    let linked = &program.0.linked;
    let made = linked.instantiate(&mut *store);
    store.data_mut().meter.end();
    let instance = match made {
        Ok(instance) => instance,
        Err(error) if error.is::<PoolConcurrencyLimitError>() => {
            return Err(Fault::NoRoom(error.to_string()));
        }
        Err(error) => return Err(classify(&error, store.data().meter.memory_refused())),
    };
    let exports = &program.0.exports;
    macro_rules! hook {
        ($name:ident) => {
            exports
                .$name
                .map(|index| instance.get_typed_func(&mut *store, &index))
                .transpose()
                .map_err(mistyped)?
        };
    }
    let functions = Functions {
        update: instance.get_typed_func(&mut *store, exports.update).map_err(mistyped)?,
        request: hook!(request),
        request_body: hook!(request_body),
        answer: hook!(answer),
        response: hook!(response),
        complete: hook!(complete),
    };
    let configure = instance.get_typed_func(&mut *store, exports.configure).map_err(mistyped)?;
    Ok((functions, configure))
}

fn mistyped(error: wasmtime::Error) -> Fault {
    Fault::Configure(format!("an export has another type than the contract's: {error:#}"))
}

/// The proxy calls only hooks that `configure` asked for, which are exported; another call is refused.
#[inline]
fn exported<P, R>(function: Option<TypedFunc<P, R>>) -> Result<TypedFunc<P, R>, Fault> {
    function.ok_or_else(|| Fault::WrongAnswer("the hook is not exported".to_owned()))
}

#[inline]
fn seen(view: &View) -> Seen<'_> {
    Seen { at: &view.at, bytes: &view.bytes }
}
