//! One configured filter: an artifact that is linked, limited and joined with its shared state.

use std::sync::Arc;

use crate::{
    Artifact, Buckets, Engine, Fault, HookSet, Instance, Interest, Limits, LoadError, Shared, Values,
    engine::Counted, lane::Linked,
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
    pub(crate) linked: Linked<V>,
    _counted: Counted,
}

impl<V: Values> Program<V> {
    /// Links a filter. Fails if it imports something the proxy does not have, or exports a part of the
    /// contract without its functions.
    pub fn new(engine: &Engine, artifact: &Artifact, settings: ProgramSettings) -> Result<Self, LoadError> {
        Ok(Self(Arc::new(Inner {
            linked: Linked::new(engine, &artifact.code, artifact.exports)?,
            engine: engine.clone(),
            settings,
            artifact: artifact.clone(),
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
