//! The engine that policies run on: how wasmtime is set up, and why.
//!
//! Concurrency support is off: a policy hook never waits, and a call costs a quarter of what it costs
//! with the bookkeeping for tasks. Instances come from a pool reserved at start; where the address space
//! does not allow that (a container with a limit on virtual memory) they are made on demand.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, InstanceAllocationStrategy, MemoryType, PoolingAllocationConfig, Store, WasmBacktraceDetails,
};

use crate::{
    artifact::{self, Artifact, LoadError},
    cache::Cache,
    compiler::Compiler,
    ticker::{Signal, Ticker},
};

/// How to set up an [`Engine`].
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Folder for compiled filters; none: compile at every start. Made if it does not exist.
    pub cache: Option<PathBuf>,
    /// Compiles in a process of its own; none: in this one.
    pub compiler: Option<Compiler>,
    /// Instances that can live at once: workers times filters, twice that while generations overlap.
    pub instances: u32,
    /// Call policies directly that can be; else all run as components, for comparison. What is not the default is
    /// compiled in this process.
    pub direct: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { cache: None, compiler: None, instances: 256, direct: true }
    }
}

/// Where instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From slots reserved at start.
    Pool,
    /// Mapped when needed, with room reserved for guard-free access.
    OnDemand,
    /// Mapped when needed, small reservations and explicit bounds checks: for a tight address space.
    Compact,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {0}")]
pub struct EngineError(String);

/// Compiles and runs policies. Cheap to clone; one per process is enough.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    wasmtime: wasmtime::Engine,
    allocation: Allocation,
    cache: Option<Cache>,
    compiler: Option<Compiler>,
    instances: u32,
    direct: bool,
    ticker: Ticker,
    live: Live,
}

/// What is alive, so that a test can prove that nothing stays behind.
#[derive(Default)]
struct Live {
    compiled: AtomicUsize,
    programs: Arc<AtomicUsize>,
    instances: Arc<AtomicUsize>,
}

/// Counts itself in and out.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Engine {
    /// Sets up an engine: the pool if the address space has room for it, else on demand.
    pub fn new(settings: EngineSettings) -> Result<Self, EngineError> {
        let mut refused = String::new();
        for allocation in [Allocation::Pool, Allocation::OnDemand, Allocation::Compact] {
            match probe(allocation, settings.instances) {
                Ok(wasmtime) => {
                    if allocation != Allocation::Pool {
                        tracing::warn!(reason = refused, "filter instances are made on demand");
                    }
                    return Self::with(wasmtime, allocation, settings);
                }
                Err(error) => refused = format!("{error:#}"),
            }
        }
        Err(EngineError(refused))
    }

    /// Sets up an engine that allocates in this way, or says why it cannot.
    pub fn with_allocation(settings: EngineSettings, allocation: Allocation) -> Result<Self, EngineError> {
        let wasmtime =
            probe(allocation, settings.instances).map_err(|error| EngineError(format!("{error:#}")))?;
        Self::with(wasmtime, allocation, settings)
    }

    fn with(
        wasmtime: wasmtime::Engine,
        allocation: Allocation,
        settings: EngineSettings,
    ) -> Result<Self, EngineError> {
        let cache = settings.cache.and_then(|folder| Cache::open(&folder, &wasmtime, settings.direct));
        let ticker = Ticker::start(wasmtime.clone()).map_err(|error| EngineError(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            wasmtime,
            allocation,
            cache,
            compiler: settings.compiler.filter(|_| settings.direct),
            instances: settings.instances,
            direct: settings.direct,
            ticker,
            live: Live::default(),
        })))
    }

    /// Takes a component, or a core module that carries its component type, from compiled code in the
    /// cache or by compiling it (tens to hundreds of milliseconds: not on a worker).
    pub fn load(&self, bytes: &[u8]) -> Result<Artifact, LoadError> {
        self.load_known(bytes, Sha256::digest(bytes).into())
    }

    /// As [`load`](Self::load), for who has the SHA-256 of the bytes already: it is what the cache goes by.
    pub fn load_known(&self, bytes: &[u8], sha256: [u8; 32]) -> Result<Artifact, LoadError> {
        artifact::load(self, bytes, sha256)
    }

    /// How instances are allocated.
    pub fn allocation(&self) -> Allocation {
        self.0.allocation
    }

    /// Instances alive on this engine.
    pub fn live_instances(&self) -> usize {
        self.0.live.instances.load(Relaxed)
    }

    /// Filters that this process compiled itself, for want of a cache and of another process.
    pub fn compiled_here(&self) -> usize {
        self.0.live.compiled.load(Relaxed)
    }

    /// Programs alive on this engine.
    pub fn live_programs(&self) -> usize {
        self.0.live.programs.load(Relaxed)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.wasmtime
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    pub(crate) fn count_compiled(&self) {
        self.0.live.compiled.fetch_add(1, Relaxed);
    }

    pub(crate) fn compiler(&self) -> Option<&Compiler> {
        self.0.compiler.as_ref()
    }

    /// As it was set up with.
    pub(crate) fn instances(&self) -> u32 {
        self.0.instances
    }

    /// Whether policies that can be are called directly.
    pub(crate) fn is_direct(&self) -> bool {
        self.0.direct
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        self.0.ticker.signal()
    }

    pub(crate) fn count_program(&self) -> Counted {
        Counted::new(&self.0.live.programs)
    }

    pub(crate) fn count_instance(&self) -> Counted {
        Counted::new(&self.0.live.instances)
    }
}

/// Sets wasmtime up and makes one memory, because on demand the first failure would come only then.
fn probe(allocation: Allocation, instances: u32) -> wasmtime::Result<wasmtime::Engine> {
    let engine = wasmtime::Engine::new(&config(allocation, instances))?;
    let mut store = Store::new(&engine, ());
    wasmtime::Memory::new(&mut store, MemoryType::new(1, None))?;
    Ok(engine)
}

fn config(allocation: Allocation, instances: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        // A guest's numbers must not depend on the machine, so that a recording can be replayed.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // Beyond 4 GiB no policy has business, and one memory each is what limits are told in.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        // Only function names are shown after a trap.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        .native_unwind_info(false)
        .max_wasm_stack(512 << 10);
    match allocation {
        Allocation::Pool => {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
        }
        Allocation::OnDemand => {
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        }
        Allocation::Compact => {
            config
                .allocation_strategy(InstanceAllocationStrategy::OnDemand)
                .memory_reservation(0)
                .memory_reservation_for_growth(1 << 20)
                .memory_guard_size(64 << 10);
        }
    }
    config
}

/// A component made of one core module has two or three core instances and tables: the module, the shim
/// that ties imports to its memory, and the fix-up.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let instances = instances.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        // The true bound is each filter's own and kept by its store.
        .max_memory_size(4 << 30)
        .max_unused_warm_slots(16)
        .linear_memory_keep_resident(0)
        .table_keep_resident(0);
    pool
}
