//! Building a snapshot: everything that can fail happens here, before anything changes.
//!
//! What config did not change is taken over from the snapshot before - clusters with their endpoints' load,
//! filters with their instances, certificates - so that a reload costs what it changes.

mod clusters;
mod deaf;

use std::{
    borrow::Cow,
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use weir_config::checked::{self, Config, DataSource, WasmSource};
use weir_runtime::{BucketSettings, Buckets, Engine, Limits, Program, ProgramSettings, SharedSettings};

use super::{Alive, ListenerPlan, Renewal, Snapshot, identities::Identities, slots::Slots};
use crate::{
    chain::{DataSet, FilterPlan, Prepare, read_data},
    cluster::Cluster,
    discovery::Discovery,
    telemetry::metrics::{Metrics, SHARED},
    tls::{ServerTls, TlsError},
};

/// What keeps a configuration from coming into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// Which section: `filters.login`.
    pub place: String,
    /// What is wrong, and where known, what to do.
    pub reason: String,
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// A configuration that can come into force.
#[derive(Debug)]
pub struct Built {
    /// All of it is new or taken over.
    pub snapshot: Snapshot,
    /// Changed certificates of what was taken over; to be adopted together with the snapshot.
    pub renewals: Vec<Renewal>,
    /// For [`Builder::settle`].
    pub settled: Settled,
}

/// What the next snapshot is built upon, once this one is in force.
pub struct Settled {
    slots: Slots,
    buckets: Arc<Buckets>,
}

impl std::fmt::Debug for Settled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settled").field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// Finds the code of a built-in filter, and its SHA-256.
pub type Builtins = fn(&str) -> Option<(&'static [u8], [u8; 32])>;

/// Makes snapshots, one after the other.
pub struct Builder {
    engine: Engine,
    metrics: Arc<Metrics>,
    builtins: Builtins,
    workers: usize,
    discovery: Option<Arc<Discovery>>,
    slots: Slots,
    buckets: Arc<Buckets>,
    /// State of filters by name: it survives swaps.
    states: HashMap<Arc<str>, Arc<weir_runtime::Shared>>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Builder {
    /// Nothing built yet. Without discovery names are not resolved.
    pub fn new(
        engine: Engine,
        metrics: Arc<Metrics>,
        builtins: Builtins,
        workers: usize,
        discovery: Option<Arc<Discovery>>,
    ) -> Self {
        let (slots, buckets, states) = Default::default();
        Self { engine, metrics, builtins, workers, discovery, slots, buckets, states }
    }

    /// The engine that filters run on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Builds the snapshot of a configuration, taking over from `before` what did not change, or answers all
    /// that is wrong. Nothing changes before [`Builder::settle`].
    pub fn build(&mut self, mut config: Config, before: Option<&Snapshot>) -> Result<Built, Vec<BuildError>> {
        let slots = self.slots.renewed(&config);
        slots.number(&mut config);
        let limits = config.limits.iter().map(|limit| BucketSettings {
            name: Arc::clone(&limit.name),
            per_second: limit.per_second,
            burst: limit.burst,
        });
        let same_limits = before.is_some_and(|b| b.config.limits == config.limits);
        let buckets =
            if same_limits { Arc::clone(&self.buckets) } else { Arc::new(self.buckets.renewed(limits)) };

        let errors = Mutex::new(Vec::new());
        let fail = |place: String, reason: String| {
            errors.lock().unwrap_or_else(PoisonError::into_inner).push(BuildError { place, reason });
        };
        let identities = Identities::prepare(&config, before, &self.metrics);
        let mut clusters: Vec<Option<Arc<Cluster>>> = (0..slots.len()).map(|_| None).collect();
        for (cluster, built) in self.clusters(&config, before, &identities) {
            match built {
                Ok(built) => clusters[slots.of(&cluster.name).unwrap_or_default()] = Some(built),
                Err(reason) => fail(format!("clusters.{}", cluster.name), reason),
            }
        }
        let mut listeners = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            match self.listener(listener, before, &identities) {
                Ok(built) => listeners.push(built),
                Err(reason) => fail(format!("listeners.{}", listener.name), reason),
            }
        }
        let mut filters = Vec::with_capacity(config.filters.len());
        for filter in &config.filters {
            match self.filter(filter, before, &slots, &buckets) {
                Ok(built) => filters.push(built),
                Err(reason) => fail(format!("filters.{}", filter.name), reason),
            }
        }
        let (mut renewals, mut failed) = Renewal::find(&listeners, &clusters);
        if filters.len() == config.filters.len() {
            deaf::find(&config, &filters).into_iter().for_each(|(place, reason)| fail(place, reason));
        }
        let Identities { all: identities, renewals: svids, failed: unusable } = identities;
        renewals.extend(svids);
        failed.extend(unusable);
        self.metrics.process.certificate_failures.add(SHARED, failed.len() as u64);
        failed.iter().for_each(|(place, error)| fail(place.clone(), told(error)));
        let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !errors.is_empty() {
            return Err(errors);
        }
        let generation = before.map_or(1, |b| b.generation + 1);
        let (config, _alive) = (Arc::new(config), Alive::new());
        Ok(Built {
            snapshot: Snapshot { generation, config, listeners, filters, clusters, identities, _alive },
            renewals,
            settled: Settled { slots, buckets },
        })
    }

    /// The snapshot that was built is in force: the next one is built upon it.
    pub fn settle(&mut self, settled: Settled, config: &Config) {
        (self.slots, self.buckets) = (settled.slots, settled.buckets);
        self.settle_states(config);
    }

    /// The snapshot before, with the code of one filter read again. None: it is as it was.
    pub fn with_filter(&mut self, name: &str, before: &Snapshot) -> Result<Option<Snapshot>, BuildError> {
        let place = format!("filters.{name}");
        let Some(at) = before.filters.iter().position(|plan| **plan.name() == *name) else {
            return Err(BuildError { place, reason: "there is no such filter".to_owned() });
        };
        let (slots, buckets) = (self.slots.clone(), Arc::clone(&self.buckets));
        let built = self
            .filter(&before.filters[at].config, Some(before), &slots, &buckets)
            .map_err(|reason| BuildError { place, reason })?;
        if Arc::ptr_eq(&built, &before.filters[at]) {
            return Ok(None);
        }
        let mut filters = before.filters.clone();
        filters[at] = built;
        if let Some((place, reason)) = deaf::find(&before.config, &filters).into_iter().next() {
            return Err(BuildError { place, reason });
        }
        Ok(Some(Snapshot {
            generation: before.generation + 1,
            config: Arc::clone(&before.config),
            listeners: before.listeners.clone(),
            filters,
            clusters: before.clusters.clone(),
            identities: before.identities.clone(),
            _alive: Alive::new(),
        }))
    }

    fn listener(
        &self,
        config: &checked::Listener,
        before: Option<&Snapshot>,
        identities: &Identities,
    ) -> Result<Arc<ListenerPlan>, String> {
        let kept = before.and_then(|b| b.listeners.iter().find(|plan| plan.config.name == config.name));
        let kept_tls = kept.filter(|plan| plan.config.tls == config.tls).and_then(|plan| plan.tls.clone());
        let tls = match (&config.tls, kept_tls) {
            (Some(_), Some(kept)) => Some(kept),
            (Some(tls), None) => {
                let loaded = ServerTls::load(tls, |name| identities.find(name));
                Some(Arc::new(loaded.map_err(|error| told(&error))?))
            }
            (None, _) => None,
        };
        let metrics = self.metrics.listener(&config.name);
        Ok(Arc::new(ListenerPlan { config: config.clone(), tls, metrics }))
    }

    fn filter(
        &mut self,
        config: &checked::Filter,
        before: Option<&Snapshot>,
        slots: &Slots,
        buckets: &Arc<Buckets>,
    ) -> Result<Arc<FilterPlan>, String> {
        let (bytes, digest) = self.code(config)?;
        let sha256 = hex(&digest);
        if let Some(expected) = &config.sha256
            && *expected != digest
        {
            return Err(format!("the file's sha256 is {sha256}, config expects {}", hex(expected)));
        }
        let earlier = before.and_then(|b| b.filters.iter().find(|plan| plan.config.name == config.name));
        // A filter holds on to the buckets that it found in `configure`.
        if let Some(kept) = earlier
            && Arc::ptr_eq(buckets, &self.buckets)
            && kept.config == *config
            && *kept.sha256 == *sha256
            && slots.still_hold(kept)
        {
            return Ok(Arc::clone(kept));
        }
        let data = first_data(config, earlier)?;
        // The same code under another configuration is not compiled again.
        let known = before.and_then(|b| b.filters.iter().find(|plan| *plan.sha256 == *sha256));
        let artifact = match known {
            Some(plan) => plan.artifact().clone(),
            None => self.engine.load_known(&bytes, digest).map_err(|error| error.to_string())?,
        };
        let shared = Arc::clone(
            self.states
                .entry(Arc::clone(&config.name))
                .or_insert_with(|| Arc::new(weir_runtime::Shared::new(shared_settings(config)))),
        );
        let limits = Limits {
            time: config.limits.time,
            memory: config.limits.memory,
            host_calls: config.limits.host_calls,
            ..Limits::default()
        };
        let (name, buckets) = (Arc::clone(&config.name), Arc::clone(buckets));
        let settings = ProgramSettings { name, limits, shared, buckets };
        let program = Program::new(&self.engine, &artifact, settings).map_err(|error| error.to_string())?;
        let last_good =
            earlier.filter(|plan| config.on_fault == checked::OnFault::LastGood && slots.still_hold(plan));
        let plan = FilterPlan::prepare(Prepare {
            config: config.clone(),
            generation: earlier.map_or(1, |plan| plan.generation + 1),
            sha256: sha256.into(),
            program,
            clusters: Arc::clone(slots.by_name()),
            data,
            metrics: self.metrics.filter(&config.name),
            last_good: last_good.map(FilterPlan::without_fallback),
            instances: self.workers,
        });
        plan.map(Arc::new).map_err(|error| error.reason)
    }

    /// Nothing of a refused configuration may reach the state that the running filters use.
    fn settle_states(&mut self, config: &Config) {
        self.states.retain(|name, _| config.filters.iter().any(|filter| filter.name == *name));
        for filter in &config.filters {
            if let Some(state) = self.states.get(&filter.name) {
                state.apply(shared_settings(filter));
            }
        }
    }

    /// With its SHA-256.
    fn code(&self, config: &checked::Filter) -> Result<(Cow<'static, [u8]>, [u8; 32]), String> {
        match &config.wasm {
            WasmSource::Builtin(name) => (self.builtins)(name)
                .map(|(code, digest)| (Cow::Borrowed(code), digest))
                .ok_or_else(|| format!("this binary has no built-in filter {name:?}")),
            WasmSource::File(path) => {
                let code = read(path)?;
                let digest = Sha256::digest(&code).into();
                Ok((Cow::Owned(code), digest))
            }
        }
    }
}

/// The data that a new generation of a filter begins with: its files as they are now, and what the
/// generation before knows of the addresses that stay. The rest is fetched by [`crate::data`].
fn first_data(config: &checked::Filter, earlier: Option<&Arc<FilterPlan>>) -> Result<Arc<DataSet>, String> {
    let data = DataSet::default();
    for (name, source) in &config.data {
        let content = match source {
            DataSource::File(path) => Some(read_data(path)?),
            DataSource::Url { .. } => earlier
                .filter(|plan| plan.config.data.get(name).is_some_and(|known| is_same_place(known, source)))
                .and_then(|plan| plan.data.content(name)),
        };
        if let Some(content) = content {
            data.put(name, content);
        }
    }
    Ok(Arc::new(data))
}

/// Whether content comes from the same address, however often it is fetched.
fn is_same_place(one: &DataSource, other: &DataSource) -> bool {
    let place = |source: &DataSource| match source {
        DataSource::File(_) => None,
        DataSource::Url { cluster, authority, path, .. } => {
            Some((*cluster, Arc::clone(authority), Arc::clone(path)))
        }
    };
    place(one).is_some() && place(one) == place(other)
}

fn shared_settings(config: &checked::Filter) -> SharedSettings {
    SharedSettings { state_bytes: config.limits.state, ..SharedSettings::default() }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// With what to do about it.
fn told(error: &TlsError) -> String {
    format!("{error} ({})", error.hint())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
