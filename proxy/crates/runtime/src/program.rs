//! One configured filter: an artifact that is linked, limited and joined with its shared state.

use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre, Linker, types::ComponentItem};

use crate::{
    Artifact, Buckets, Engine, Fault, HookSet, Instance, Interest, Limits, LoadError, Shared, Values,
    engine::Counted,
    host::{self, Host},
};

/// What makes a filter of an artifact.
#[derive(Clone)]
pub struct ProgramSettings {
    /// The filter's name in config.
    pub name: Arc<str>,
    /// Bounds of each instance.
    pub limits: Limits,
    /// The state that belongs to the name.
    pub shared: Arc<Shared>,
    /// The rate limits it may use.
    pub buckets: Arc<Buckets>,
}

/// A filter ready to be instantiated, on any thread. Cheap to clone.
pub struct Program<V: Values>(pub(crate) Arc<Inner<V>>);

impl<V: Values> Clone for Program<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(crate) struct Inner<V: Values> {
    pub(crate) engine: Engine,
    pub(crate) settings: ProgramSettings,
    pub(crate) artifact: Artifact,
    pub(crate) linked: InstancePre<Host<V>>,
    pub(crate) exports: Exports,
    /// The component may ask for values that it was not shown.
    pub(crate) wants_values: bool,
    _counted: Counted,
}

/// Where the functions of the contract are among the component's exports.
pub(crate) struct Exports {
    pub(crate) configure: ComponentExportIndex,
    pub(crate) update: ComponentExportIndex,
    pub(crate) request: Option<ComponentExportIndex>,
    pub(crate) request_body: Option<ComponentExportIndex>,
    pub(crate) answer: Option<ComponentExportIndex>,
    pub(crate) response: Option<ComponentExportIndex>,
    pub(crate) complete: Option<ComponentExportIndex>,
}

impl<V: Values> Program<V> {
    /// Links a filter. Fails if it imports something the proxy does not have, or exports a part of the
    /// contract without its functions.
    pub fn new(engine: &Engine, artifact: &Artifact, settings: ProgramSettings) -> Result<Self, LoadError> {
        let mut linker = Linker::<Host<V>>::new(engine.wasmtime());
        let linked = host::link(&mut linker, &artifact.component)
            .and_then(|()| linker.instantiate_pre(&artifact.component))
            .map_err(|error| LoadError::Import(format!("{error:#}")))?;
        Ok(Self(Arc::new(Inner {
            exports: Exports::find(artifact)?,
            wants_values: imports_request_value(engine, artifact),
            engine: engine.clone(),
            settings,
            artifact: artifact.clone(),
            linked,
            _counted: engine.count_program(),
        })))
    }

    /// Makes an instance and calls `configure` in it. The instance belongs to one worker; `update` it
    /// with the filter's data before the first hook.
    pub fn instantiate(&self, config_json: &str) -> Result<(Instance<V>, Interest), Fault> {
        Instance::new(self, config_json)
    }

    /// The filter's name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.settings.name
    }

    /// The hooks it exports, wanted or not.
    pub fn exports(&self) -> HookSet {
        self.0.artifact.exports
    }

    /// The artifact it was made of.
    pub fn artifact(&self) -> &Artifact {
        &self.0.artifact
    }

    /// The state that belongs to its name.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.0.settings.shared
    }
}

impl Exports {
    fn find(artifact: &Artifact) -> Result<Self, LoadError> {
        let required = |interface, function| {
            let missing = || LoadError::Invalid(format!("weir:policy/{interface} has no `{function}`"));
            find(artifact, interface, function).ok_or_else(missing)
        };
        let hook = |hook, interface, function| {
            let exported = artifact.exports.contains(hook);
            exported.then(|| required(interface, function)).transpose()
        };
        Ok(Self {
            configure: required("lifecycle", "configure")?,
            update: required("lifecycle", "update")?,
            request: hook(HookSet::REQUEST, "request", "on-request")?,
            request_body: hook(HookSet::REQUEST_BODY, "request-body", "on-request-body")?,
            answer: hook(HookSet::ANSWER, "answer", "on-answer")?,
            response: hook(HookSet::RESPONSE, "response", "on-response")?,
            complete: hook(HookSet::COMPLETE, "complete", "on-complete")?,
        })
    }
}

fn find(artifact: &Artifact, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let component = &artifact.component;
    let name = format!("weir:policy/{interface}@{}", crate::contract::VERSION);
    let interface = component.get_export_index(None, &*name)?;
    component.get_export_index(Some(&interface), function)
}

fn imports_request_value(engine: &Engine, artifact: &Artifact) -> bool {
    let engine = engine.wasmtime();
    let ty = artifact.component.component_type();
    ty.imports(engine).any(|(name, import)| match import.ty {
        ComponentItem::ComponentInstance(interface) if name.starts_with("weir:policy/host@") => {
            interface.exports(engine).any(|(function, _)| function == host::REQUEST_VALUE)
        }
        _ => false,
    })
}
