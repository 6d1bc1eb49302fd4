//! The two ways in which a policy is run, and where they part.

use wasmtime::{Module, Store, component::Component};

use crate::{
    Answer, AnswerFailure, ConnectionView, Decision, Engine, HookSet, Interest, LoadError, Outcome, Values,
    Verdict, View, component, direct, host::Host,
};

/// How a policy is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// Its only core module is called directly: the fast way.
    Direct,
    /// As a component, and why: words that go on after "because it".
    Component(String),
}

/// Compiled code.
#[derive(Clone)]
pub(crate) enum Code {
    Direct(Module, direct::Plan),
    Component(Component),
}

/// Code with its imports, ready to be instantiated.
pub(crate) enum Linked<V: Values> {
    Direct(wasmtime::InstancePre<Host<V>>, direct::Plan),
    Component(component::Linked<V>),
}

/// The functions of one instance.
pub(crate) enum Functions {
    Direct(Box<direct::Functions>),
    Component(component::Functions),
}

impl<V: Values> Linked<V> {
    /// Fails if the code imports something the proxy does not have, or lacks a function of the contract.
    pub(crate) fn new(engine: &Engine, code: &Code, hooks: HookSet) -> Result<Self, LoadError> {
        let engine = engine.wasmtime();
        match code {
            Code::Direct(module, plan) => {
                let mut linker = wasmtime::Linker::new(engine);
                let linked = direct::link(&mut linker).and_then(|()| linker.instantiate_pre(module));
                let linked = linked.map_err(|error| LoadError::Import(format!("{error:#}")))?;
                Ok(Self::Direct(linked, plan.clone()))
            }
            Code::Component(component) => {
                component::Linked::new(engine, component, hooks).map(Self::Component)
            }
        }
    }

    /// It may ask for values that it was not shown.
    pub(crate) fn wants_values(&self) -> bool {
        match self {
            Self::Direct(_, plan) => plan.wants_values,
            Self::Component(component) => component.wants_values,
        }
    }

    /// Makes an instance (which may run the guest's start functions) and finds its functions. The inner error is
    /// of a function that has another type than the contract says.
    pub(crate) fn instantiate(
        &self,
        store: &mut Store<Host<V>>,
    ) -> wasmtime::Result<Result<Functions, wasmtime::Error>> {
        Ok(match self {
            Self::Direct(module, plan) => {
                let instance = module.instantiate(&mut *store)?;
                direct::Functions::bind(store, instance, plan)
                    .map(|functions| Functions::Direct(Box::new(functions)))
            }
            Self::Component(component) => {
                let instance = component.instantiate(store)?;
                component.bind(store, instance).map(Functions::Component)
            }
        })
    }
}

/// Calls the function of this name on whichever lane it is.
macro_rules! call {
    ($functions:expr, $name:ident($($argument:expr),*)) => {
        match $functions {
            Self::Direct(functions) => functions.$name($($argument),*),
            Self::Component(functions) => functions.$name($($argument),*),
        }
    };
}

impl Functions {
    pub(crate) fn configure<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        name: &str,
        json: &str,
    ) -> wasmtime::Result<Result<Interest, String>> {
        call!(self, configure(store, name, json))
    }

    pub(crate) fn update<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        name: &str,
        content: &[u8],
    ) -> wasmtime::Result<Result<(), String>> {
        call!(self, update(store, name, content))
    }

    pub(crate) fn on_connection<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        view: &ConnectionView<'_>,
    ) -> wasmtime::Result<Verdict> {
        call!(self, on_connection(store, view))
    }

    #[inline]
    pub(crate) fn on_request<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        view: &View,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        call!(self, on_request(store, id, view, into))
    }

    pub(crate) fn on_request_body<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        body: &[u8],
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        call!(self, on_request_body(store, id, memo, body, into))
    }

    pub(crate) fn on_answer<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: &[u8],
        answer: Result<Answer, AnswerFailure>,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        call!(self, on_answer(store, id, memo, answer, into))
    }

    #[inline]
    pub(crate) fn on_response<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        status: u16,
        view: &View,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        call!(self, on_response(store, id, memo, status, view, into))
    }

    #[inline]
    pub(crate) fn on_complete<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        outcome: &Outcome,
    ) -> wasmtime::Result<()> {
        call!(self, on_complete(store, id, memo, outcome))
    }
}
