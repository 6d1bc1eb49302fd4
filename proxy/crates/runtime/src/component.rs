//! The component lane: a policy run as the component it is, its calls going through wasmtime's own canonical ABI.
//!
//! Any component of the contract runs here, whatever it was made with. Those that need not, run on the
//! [direct lane](crate::direct).

use wasmtime::{
    Store,
    component::{
        Component, ComponentExportIndex, Instance, InstancePre, Linker, TypedFunc, types::ComponentItem,
    },
};

use crate::{
    Answer, AnswerFailure, ConnectionView, Decision, HookSet, Interest, LoadError, Outcome, Values, Verdict,
    View, contract,
    contract::{Config, FormerHooks, Hooks, RawInterest, Seen},
    host::{self, Host},
};

type ConfigureTo<H> = TypedFunc<(Config<'static>,), (Result<RawInterest<H>, String>,)>;
type Update = TypedFunc<(&'static str, &'static [u8]), (Result<(), String>,)>;
type OnConnection = TypedFunc<(ConnectionView<'static>,), (Verdict,)>;
type OnRequest = TypedFunc<(u64, Seen<'static>), (Decision,)>;
type OnRequestBody = TypedFunc<(u64, u64, &'static [u8]), (Decision,)>;
type OnAnswer = TypedFunc<(u64, &'static [u8], Result<Answer, AnswerFailure>), (Decision,)>;
type OnResponse = TypedFunc<(u64, u64, u16, Seen<'static>), (Decision,)>;
type OnComplete = TypedFunc<(u64, u64, Outcome), ()>;

/// A component with its imports, ready to be instantiated.
pub(crate) struct Linked<V: Values> {
    component: InstancePre<Host<V>>,
    exports: Exports,
    /// It may ask for values that it was not shown.
    pub(crate) wants_values: bool,
}

/// Where the functions of the contract are among the component's exports.
struct Exports {
    configure: ComponentExportIndex,
    update: ComponentExportIndex,
    connection: Option<ComponentExportIndex>,
    request: Option<ComponentExportIndex>,
    request_body: Option<ComponentExportIndex>,
    answer: Option<ComponentExportIndex>,
    response: Option<ComponentExportIndex>,
    complete: Option<ComponentExportIndex>,
}

/// The functions of one instance, looked up once.
pub(crate) struct Functions {
    configure: Configure,
    update: Update,
    connection: Option<OnConnection>,
    request: Option<OnRequest>,
    request_body: Option<OnRequestBody>,
    answer: Option<OnAnswer>,
    response: Option<OnResponse>,
    complete: Option<OnComplete>,
}

/// `configure`, with the hooks that its component can name.
enum Configure {
    Now(ConfigureTo<Hooks>),
    Former(ConfigureTo<FormerHooks>),
}

impl<V: Values> Linked<V> {
    /// Fails if it imports something the proxy does not have, or exports a part of the contract without its
    /// functions.
    pub(crate) fn new(
        engine: &wasmtime::Engine,
        component: &Component,
        hooks: HookSet,
    ) -> Result<Self, LoadError> {
        let mut linker = Linker::<Host<V>>::new(engine);
        let linked = host::link(&mut linker, component)
            .and_then(|()| linker.instantiate_pre(component))
            .map_err(|error| LoadError::Import(format!("{error:#}")))?;
        Ok(Self {
            component: linked,
            exports: Exports::find(component, hooks)?,
            wants_values: imports_request_value(engine, component),
        })
    }

    /// Makes an instance, which may run start functions of the guest.
    pub(crate) fn instantiate(&self, store: &mut Store<Host<V>>) -> wasmtime::Result<Instance> {
        self.component.instantiate(store)
    }

    /// Finds the instance's functions. Fails if one has another type than the contract says.
    pub(crate) fn bind(&self, store: &mut Store<Host<V>>, instance: Instance) -> wasmtime::Result<Functions> {
        let exports = &self.exports;
        macro_rules! hook {
            ($name:ident) => {
                exports.$name.map(|index| instance.get_typed_func(&mut *store, &index)).transpose()?
            };
        }
        Ok(Functions {
            configure: Configure::find(store, instance, exports.configure)?,
            connection: hook!(connection),
            update: instance.get_typed_func(&mut *store, exports.update)?,
            request: hook!(request),
            request_body: hook!(request_body),
            answer: hook!(answer),
            response: hook!(response),
            complete: hook!(complete),
        })
    }
}

impl Exports {
    fn find(component: &Component, hooks: HookSet) -> Result<Self, LoadError> {
        let required = |interface, function| {
            let missing = || LoadError::Invalid(format!("weir:policy/{interface} has no `{function}`"));
            find(component, interface, function).ok_or_else(missing)
        };
        let hook = |hook, interface, function| {
            let exported = hooks.contains(hook);
            exported.then(|| required(interface, function)).transpose()
        };
        Ok(Self {
            configure: required("lifecycle", "configure")?,
            update: required("lifecycle", "update")?,
            connection: hook(HookSet::CONNECTION, "connection", "on-connection")?,
            request: hook(HookSet::REQUEST, "request", "on-request")?,
            request_body: hook(HookSet::REQUEST_BODY, "request-body", "on-request-body")?,
            answer: hook(HookSet::ANSWER, "answer", "on-answer")?,
            response: hook(HookSet::RESPONSE, "response", "on-response")?,
            complete: hook(HookSet::COMPLETE, "complete", "on-complete")?,
        })
    }
}

impl Configure {
    /// The error is about the contract as it is now.
    fn find<V: Values>(
        store: &mut Store<Host<V>>,
        instance: Instance,
        index: ComponentExportIndex,
    ) -> wasmtime::Result<Self> {
        instance
            .get_typed_func(&mut *store, index)
            .map(Self::Now)
            .or_else(|error| instance.get_typed_func(&mut *store, index).map(Self::Former).map_err(|_| error))
    }
}

impl Functions {
    pub(crate) fn configure<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        name: &str,
        json: &str,
    ) -> wasmtime::Result<Result<Interest, String>> {
        let config = (Config { name, json },);
        Ok(match self.configure {
            Configure::Now(configure) => configure.call(store, config)?.0.map(Interest::from),
            Configure::Former(configure) => configure.call(store, config)?.0.map(Interest::from),
        })
    }

    pub(crate) fn update<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        name: &str,
        content: &[u8],
    ) -> wasmtime::Result<Result<(), String>> {
        Ok(self.update.call(store, (name, content))?.0)
    }

    pub(crate) fn on_connection<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        view: &ConnectionView<'_>,
    ) -> wasmtime::Result<Verdict> {
        Ok(exported(self.connection)?.call(store, (*view,))?.0)
    }

    pub(crate) fn on_request<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        view: &View,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        (*into,) = exported(self.request)?.call(store, (id, seen(view)))?;
        Ok(())
    }

    pub(crate) fn on_request_body<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        body: &[u8],
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        (*into,) = exported(self.request_body)?.call(store, (id, memo, body))?;
        Ok(())
    }

    pub(crate) fn on_answer<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: &[u8],
        answer: Result<Answer, AnswerFailure>,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        (*into,) = exported(self.answer)?.call(store, (id, memo, answer))?;
        Ok(())
    }

    pub(crate) fn on_response<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        status: u16,
        view: &View,
        into: &mut Decision,
    ) -> wasmtime::Result<()> {
        (*into,) = exported(self.response)?.call(store, (id, memo, status, seen(view)))?;
        Ok(())
    }

    pub(crate) fn on_complete<V: Values>(
        &self,
        store: &mut Store<Host<V>>,
        id: u64,
        memo: u64,
        outcome: &Outcome,
    ) -> wasmtime::Result<()> {
        exported(self.complete)?.call(store, (id, memo, outcome.clone()))
    }
}

fn find(component: &Component, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let name = format!("weir:policy/{interface}@{}", contract::VERSION);
    let interface = component.get_export_index(None, &*name)?;
    component.get_export_index(Some(&interface), function)
}

fn imports_request_value(engine: &wasmtime::Engine, component: &Component) -> bool {
    component.component_type().imports(engine).any(|(name, import)| match import.ty {
        ComponentItem::ComponentInstance(interface) if name.starts_with("weir:policy/host@") => {
            interface.exports(engine).any(|(function, _)| function == host::REQUEST_VALUE)
        }
        _ => false,
    })
}

fn exported<P, R>(function: Option<TypedFunc<P, R>>) -> wasmtime::Result<TypedFunc<P, R>> {
    function.ok_or_else(|| wasmtime::format_err!("the hook is not exported"))
}

#[inline]
fn seen(view: &View) -> Seen<'_> {
    Seen { at: &view.at, bytes: &view.bytes }
}
