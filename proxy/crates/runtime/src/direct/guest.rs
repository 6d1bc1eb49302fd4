//! Calls into a core module: arguments lowered, the function called, its answer lifted, `post-return` called.
//!
//! CanonicalABI.md, "canon lift": in this order, for every function alike.

use wasmtime::{AsContextMut, Instance, Memory, Store, StoreContextMut, TypedFunc, WasmParams};

use super::{
    answers::{self, DECISION},
    lift::{Lift, Malformed, Pair},
    lower::{Lower, Realloc, Ties, secluded},
    plan::{Export, Plan},
};
use crate::{Answer, AnswerFailure, ConnectionView, Decision, Interest, Outcome, Verdict, View, host::Host};

/// The functions of one instance, looked up once.
pub(crate) struct Functions {
    memory: Memory,
    realloc: Realloc,
    configure: Function<OfTwoLists>,
    update: Function<OfTwoLists>,
    connection: Option<Function<u32>>,
    request: Option<Function<OfRequest>>,
    request_body: Option<Function<OfBody>>,
    answer: Option<Function<OfAnswer>>,
    response: Option<Function<OfResponse>>,
    complete: Option<Complete>,
}

/// Parameters, flattened. A list is its address and its length.
type OfTwoLists = (u32, u32, u32, u32);
/// `id`, `view.at`, `view.bytes`.
type OfRequest = (u64, u32, u32, u32, u32);
/// `id`, `memo`, `body`.
type OfBody = (u64, u64, u32, u32);
/// `id`, `memo`, whether it failed, and what the cases of `answer` have in common.
type OfAnswer = (u64, u32, u32, u32, u32, u32, u32, u32, u32);
/// `id`, `memo`, `status`, `view.at`, `view.bytes`.
type OfResponse = (u64, u64, u32, u32, u32, u32, u32);
/// `id`, `memo` and the fields of `outcome`, its `cluster` being two.
type OfComplete = (u64, u64, u32, u32, u32, u32, u32, u32, u64, u64, u64);

/// A function that returns the address of its answer.
struct Function<P> {
    call: TypedFunc<P, u32>,
    post_return: Option<TypedFunc<u32, ()>>,
}

/// `on-complete`, which answers nothing: numbers only.
struct Complete {
    call: TypedFunc<OfComplete, ()>,
    post_return: Option<TypedFunc<(), ()>>,
}

impl Functions {
    /// Finds the functions, and ties the imports to the instance.
    pub(crate) fn bind<V: 'static>(
        store: &mut Store<Host<V>>,
        instance: Instance,
        plan: &Plan,
    ) -> wasmtime::Result<Self> {
        let memory = instance.get_memory(&mut *store, &plan.memory);
        let memory = memory.ok_or_else(|| wasmtime::format_err!("no memory `{}`", plan.memory))?;
        let realloc: Realloc = instance.get_typed_func(&mut *store, &plan.realloc)?;
        store.data_mut().ties = Ties::new(memory, realloc.clone());
        let mut find = Find { store, instance, plan };
        Ok(Self {
            memory,
            realloc,
            configure: find.required("configure")?,
            update: find.required("update")?,
            connection: find.function("on-connection")?,
            request: find.function("on-request")?,
            request_body: find.function("on-request-body")?,
            answer: find.function("on-answer")?,
            response: find.function("on-response")?,
            complete: find.complete()?,
        })
    }

    pub(crate) fn configure<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        name: &str,
        json: &str,
    ) -> wasmtime::Result<Result<Interest, String>> {
        let mut lower = self.lower(store);
        let (name, json) = (lower.bytes(name.as_bytes())?, lower.bytes(json.as_bytes())?);
        self.call(lower.store, &self.configure, (name.0, name.1, json.0, json.1), answers::configured)
    }

    pub(crate) fn update<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        name: &str,
        content: &[u8],
    ) -> wasmtime::Result<Result<(), String>> {
        let mut lower = self.lower(store);
        let (name, content) = (lower.bytes(name.as_bytes())?, lower.bytes(content)?);
        self.call(lower.store, &self.update, (name.0, name.1, content.0, content.1), answers::updated)
    }

    /// What it is shown are more values than parameters may be: they go by the address of a record.
    pub(crate) fn on_connection<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        view: &ConnectionView<'_>,
    ) -> wasmtime::Result<Verdict> {
        let function = exported(self.connection.as_ref())?;
        let mut lower = self.lower(store);
        let view = lower.connection(view)?;
        self.call(lower.store, function, view, answers::verdict)
    }

    #[inline]
    pub(crate) fn on_request<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        view: &View,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        let function = exported(self.request.as_ref())?;
        let mut lower = self.lower(store);
        let (at, bytes) = shown(&mut lower, view)?;
        self.call(lower.store, function, (id, at.0, at.1, bytes.0, bytes.1), |lift, record| {
            answers::decision(lift, record, into)
        })
    }

    pub(crate) fn on_request_body<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        body: &[u8],
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        let function = exported(self.request_body.as_ref())?;
        let mut lower = self.lower(store);
        let body = lower.bytes(body)?;
        self.call(lower.store, function, (id, memo, body.0, body.1), |lift, record| {
            answers::decision(lift, record, into)
        })
    }

    /// The failure's number stands where the status does otherwise, and the rest is 0.
    pub(crate) fn on_answer<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: &[u8],
        answer: Result<Answer, AnswerFailure>,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        let function = exported(self.answer.as_ref())?;
        let mut lower = self.lower(store);
        let memo = lower.bytes(memo)?;
        let (failed, first, fields, body) = match &answer {
            Ok(answer) => {
                let (status, fields, body) = lower.answer(answer)?;
                (0, status, fields, body)
            }
            Err(failure) => (1, *failure as u32, (0, 0), (0, 0)),
        };
        let arguments = (id, memo.0, memo.1, failed, first, fields.0, fields.1, body.0, body.1);
        self.call(lower.store, function, arguments, |lift, record| answers::decision(lift, record, into))
    }

    #[inline]
    pub(crate) fn on_response<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        status: u16,
        view: &View,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        let function = exported(self.response.as_ref())?;
        let mut lower = self.lower(store);
        let (at, bytes) = shown(&mut lower, view)?;
        let arguments = (id, memo, status.into(), at.0, at.1, bytes.0, bytes.1);
        self.call(lower.store, function, arguments, |lift, record| answers::decision(lift, record, into))
    }

    #[inline]
    pub(crate) fn on_complete<V: 'static>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        outcome: &Outcome,
    ) -> wasmtime::Result<()> {
        let Complete { call, post_return } = exported(self.complete.as_ref())?;
        let mut store = store.as_context_mut();
        let arguments = (
            id,
            memo,
            outcome.status.into(),
            u32::from(outcome.cluster.is_some()),
            outcome.cluster.unwrap_or_default(),
            outcome.attempts.into(),
            outcome.local.into(),
            outcome.aborted.into(),
            outcome.total_us,
            outcome.upstream_us,
            outcome.now_ms,
        );
        call.call(&mut store, arguments)?;
        match post_return {
            Some(post_return) => secluded(&mut store, |store| post_return.call(store, ())),
            None => Ok(()),
        }
    }

    #[inline]
    fn lower<'a, V: 'static>(&'a self, store: &'a mut Store<Host<V>>) -> Lower<'a, V> {
        Lower { store: store.as_context_mut(), memory: self.memory, realloc: &self.realloc }
    }

    /// Calls with lowered arguments and reads the answer. Of all answers only a decision has a number of 64 bits in
    /// it, and is aligned to that.
    #[inline]
    fn call<V: 'static, P: WasmParams, T, const SIZE: usize>(
        &self,
        mut store: StoreContextMut<'_, Host<V>>,
        function: &Function<P>,
        arguments: P,
        read: impl FnOnce(&mut Lift<'_>, &[u8; SIZE]) -> Result<T, Malformed>,
    ) -> wasmtime::Result<T> {
        let align = if SIZE == DECISION { 8 } else { 4 };
        let address = function.call.call(&mut store, arguments)?;
        let limit = store.data().meter.limits().answer;
        let mut lift = Lift::new(self.memory.data(&store), limit);
        let record = lift.result::<SIZE>(address, align)?;
        let answer = read(&mut lift, record)?;
        if let Some(post_return) = &function.post_return {
            secluded(&mut store, |store| post_return.call(store, address))?;
        }
        Ok(answer)
    }
}

#[inline]
fn shown<V: 'static>(lower: &mut Lower<'_, V>, view: &View) -> wasmtime::Result<(Pair, Pair)> {
    Ok((lower.words(&view.at)?, lower.bytes(&view.bytes)?))
}

#[inline]
fn exported<T>(function: Option<&T>) -> wasmtime::Result<&T> {
    function.ok_or_else(|| wasmtime::format_err!("the hook is not exported"))
}

/// Looks functions up by their names in the contract.
struct Find<'a, V: 'static> {
    store: &'a mut Store<Host<V>>,
    instance: Instance,
    plan: &'a Plan,
}

impl<'a, V: 'static> Find<'a, V> {
    fn required<P: WasmParams>(&mut self, name: &str) -> wasmtime::Result<Function<P>> {
        self.function(name)?.ok_or_else(|| wasmtime::format_err!("no function `{name}`"))
    }

    fn function<P: WasmParams>(&mut self, name: &str) -> wasmtime::Result<Option<Function<P>>> {
        let Some(Export { core, post_return, .. }) = self.export(name) else { return Ok(None) };
        let call = self.instance.get_typed_func(&mut *self.store, core)?;
        let post_return = post_return.as_ref();
        let post_return = post_return.map(|name| self.instance.get_typed_func(&mut *self.store, name));
        Ok(Some(Function { call, post_return: post_return.transpose()? }))
    }

    fn complete(&mut self) -> wasmtime::Result<Option<Complete>> {
        let Some(Export { core, post_return, .. }) = self.export("on-complete") else { return Ok(None) };
        let call = self.instance.get_typed_func(&mut *self.store, core)?;
        let post_return = post_return.as_ref();
        let post_return = post_return.map(|name| self.instance.get_typed_func(&mut *self.store, name));
        Ok(Some(Complete { call, post_return: post_return.transpose()? }))
    }

    fn export(&self, name: &str) -> Option<&'a Export> {
        let plan = self.plan;
        plan.exports.iter().find(|export| export.function == name)
    }
}
