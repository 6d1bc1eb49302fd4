//! [`FilterPlan`]: a filter of one generation, prepared completely before any exchange meets it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use weir_config::checked::{self, ClusterId};
use weir_runtime::{Artifact, Fault, HookSet, Interest, Program};

use super::{DataSet, recipe::Recipe, tally::Prepared};
use crate::{clock::unix_ms, message::Request, telemetry::metrics::FilterMetrics};

/// A filter of one generation, shared by workers.
pub struct FilterPlan {
    /// What it was made from.
    pub config: checked::Filter,
    /// Counts up with each change of this filter.
    pub generation: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: Box<str>,
    /// Hooks that are exported and wanted.
    pub hooks: HookSet,
    /// Clusters, at the positions that the filter uses.
    pub clusters: Vec<Granted>,
    /// Bytes of a body to show whole.
    pub body_limit: usize,
    /// What to show.
    pub recipe: Recipe,
    /// What config lists under `data`.
    pub data: Arc<DataSet>,
    /// What is counted.
    pub metrics: Arc<FilterMetrics>,
    /// The generation before, for `on_fault = "last_good"`.
    pub last_good: Option<Arc<FilterPlan>>,
    program: Program<Request>,
    prepared: Mutex<Vec<Prepared>>,
    last_fault: Mutex<Option<LastFault>>,
}

/// What went wrong last in a filter.
#[derive(Debug, Clone)]
pub struct LastFault {
    /// When, Unix time.
    pub unix_ms: u64,
    /// What.
    pub fault: Fault,
}

impl std::fmt::Debug for FilterPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterPlan").field("name", self.name()).field("generation", &self.generation).finish()
    }
}

/// A cluster that a filter named.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Its slot.
    pub id: ClusterId,
    /// Its name.
    pub name: Arc<str>,
    /// The filter may route to it.
    pub route: bool,
    /// The filter may ask it.
    pub ask: bool,
}

/// What a plan is prepared from.
pub struct Prepare {
    /// From config.
    pub config: checked::Filter,
    /// See [`FilterPlan::generation`].
    pub generation: u64,
    /// See [`FilterPlan::sha256`].
    pub sha256: Box<str>,
    /// Compiled and linked.
    pub program: Program<Request>,
    /// Names and slots of all clusters.
    pub clusters: Arc<HashMap<Arc<str>, ClusterId>>,
    /// Read already.
    pub data: Arc<DataSet>,
    /// See [`FilterPlan::metrics`].
    pub metrics: Arc<FilterMetrics>,
    /// See [`FilterPlan::last_good`].
    pub last_good: Option<Arc<FilterPlan>>,
    /// How many instances to make at once.
    pub instances: usize,
}

/// Why a filter could not be prepared; for the operator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("filter {filter}: {reason}")]
pub struct PlanError {
    /// Its name.
    pub filter: Arc<str>,
    /// What is wrong, and where known, what to do.
    pub reason: String,
}

impl FilterPlan {
    /// Makes the first instances, has them configured and shown their data, and resolves what the filter
    /// asked for.
    pub fn prepare(from: Prepare) -> Result<Self, PlanError> {
        let filter = Arc::clone(&from.config.name);
        let fail = |reason: String| PlanError { filter: Arc::clone(&filter), reason };
        let mut prepared = Vec::with_capacity(from.instances);
        let make = || make(&from.program, &from.config, &from.data, &from.metrics);
        let (first, interest) = make().map_err(|fault| fail(fault.to_string()))?;
        prepared.push(first);
        while prepared.len() < from.instances {
            prepared.push(make().map_err(|fault| fail(fault.to_string()))?.0);
        }
        let recipe = Recipe::new(&interest.request, &interest.response, &interest.when).map_err(&fail)?;
        let clusters = grant(&from.config, &interest, &from.clusters).map_err(&fail)?;
        Ok(Self {
            body_limit: (interest.body_limit as usize).min(from.config.limits.body),
            generation: from.generation,
            sha256: from.sha256,
            hooks: interest.hooks,
            clusters,
            recipe,
            data: from.data,
            metrics: from.metrics,
            last_good: from.last_good,
            program: from.program,
            prepared: Mutex::new(prepared),
            last_fault: Mutex::default(),
            config: from.config,
        })
    }

    /// The same plan with nothing behind it: one generation back is as far as a fault falls.
    pub fn without_fallback(self: &Arc<Self>) -> Arc<Self> {
        if self.last_good.is_none() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            config: self.config.clone(),
            generation: self.generation,
            sha256: self.sha256.clone(),
            hooks: self.hooks,
            clusters: self.clusters.clone(),
            body_limit: self.body_limit,
            recipe: self.recipe.clone(),
            data: Arc::clone(&self.data),
            metrics: Arc::clone(&self.metrics),
            last_good: None,
            program: self.program.clone(),
            prepared: Mutex::default(),
            last_fault: Mutex::new(self.last_fault()),
        })
    }

    /// The name in config, logs and metrics.
    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// An instance: one prepared before if there is one left, else a new one.
    pub fn instance(&self) -> Result<Prepared, Fault> {
        let ready = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match ready {
            Some(prepared) => Ok(prepared),
            None => Ok(make(&self.program, &self.config, &self.data, &self.metrics)?.0),
        }
    }

    /// Notes what went wrong, for whoever asks.
    pub fn note_fault(&self, fault: &Fault) {
        let noted = LastFault { unix_ms: unix_ms(), fault: fault.clone() };
        self.last_fault.lock().unwrap_or_else(PoisonError::into_inner).replace(noted);
    }

    /// What went wrong last.
    pub fn last_fault(&self) -> Option<LastFault> {
        self.last_fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the filter takes new data: asked of an instance of its own, so
    /// that data which break it reach no worker.
    pub fn takes_data(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let made = make(&self.program, &self.config, &self.data, &self.metrics);
        let mut prepared = made.map_err(|fault| fault.to_string())?.0;
        match prepared.instance.update(name, content) {
            Ok(accepted) => accepted,
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Its code, compiled.
    pub fn artifact(&self) -> &Artifact {
        self.program.artifact()
    }

    /// What the filter itself counts.
    pub fn own_metrics(&self) -> Vec<weir_runtime::Metric> {
        self.program.shared().metrics()
    }

    /// The cluster at a position that the filter gave, if it may route to it.
    pub fn granted(&self, position: u32) -> Result<&Granted, &'static str> {
        let granted = self.clusters.get(position as usize).ok_or("routes to a cluster it did not name")?;
        if granted.route { Ok(granted) } else { Err("routes to a cluster that it may only ask") }
    }

    /// The position this filter gave to cluster `id`.
    pub fn position_of(&self, id: ClusterId) -> Option<u32> {
        self.clusters.iter().position(|granted| granted.id == id).map(|at| at as u32)
    }
}

fn make(
    program: &Program<Request>,
    config: &checked::Filter,
    data: &DataSet,
    metrics: &Arc<FilterMetrics>,
) -> Result<(Prepared, Interest), Fault> {
    let (mut instance, interest) = program.instantiate(&config.config_json)?;
    let data_version = data.version();
    for entry in data.since(0) {
        if let Err(reason) = instance.update(&entry.name, &entry.content)? {
            return Err(Fault::Configure(format!("data {:?} refused: {reason}", &*entry.name)));
        }
    }
    Ok((Prepared::new(instance, data_version, Arc::clone(metrics)), interest))
}

fn grant(
    config: &checked::Filter,
    interest: &Interest,
    known: &HashMap<Arc<str>, ClusterId>,
) -> Result<Vec<Granted>, String> {
    let to_route: Option<HashSet<ClusterId>> =
        config.grants.clusters.as_ref().map(|granted| granted.iter().copied().collect());
    let one = |name: &String| {
        let Some((known, &id)) = known.get_key_value(name.as_str()) else {
            return Err(format!("names cluster {name:?}, which config does not know"));
        };
        let route = to_route.as_ref().is_none_or(|granted| granted.contains(&id));
        let ask = config.grants.ask.contains(&id);
        if !route && !ask {
            return Err(format!(
                "names cluster {name:?}, which is not granted: add it to grants.clusters (to route to it) or grants.ask"
            ));
        }
        Ok(Granted { id, name: Arc::clone(known), route, ask })
    };
    interest.clusters.iter().map(one).collect()
}
