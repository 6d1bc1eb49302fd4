//! A compiled policy, and how bytes become one.

use std::{borrow::Cow, fmt, sync::Arc};

use wasmtime::{Module, component::Component};

use crate::{
    Lane,
    cache::{Kept, Passing},
    contract, direct,
    engine::Engine,
    inspect::{self, Inspection, Kind, Outline},
    lane::Code,
};

/// The largest file that is looked at.
const MAX_BYTES: usize = 64 << 20;

/// Why bytes are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Neither a component nor a core module.
    #[error("not WebAssembly: {0}")]
    NotWasm(String),
    /// Longer than 64 MiB.
    #[error("{0} bytes is more than the 64 MiB that are allowed")]
    TooLarge(usize),
    /// WebAssembly of a kind that this engine does not run.
    #[error("{}", no_policy(.0))]
    NoPolicy(Kind),
    /// A contract of another version.
    #[error("built for weir:policy@{0}; this proxy speaks {version}", version = contract::VERSION)]
    Version(String),
    /// An import that nobody provides.
    #[error("imports `{0}`, which the proxy does not provide")]
    Import(String),
    /// The core module does not fit the component type it carries.
    #[error("cannot be made a component: {0}")]
    Encode(String),
    /// The compiler came to grief over it.
    #[error("cannot be compiled: {0}")]
    Compiler(String),
    /// Invalid code, or an item of the contract with another type.
    #[error("invalid: {0}")]
    Invalid(String),
}

fn no_policy(kind: &Kind) -> &'static str {
    match kind {
        Kind::Middleware => "a wasi:http component; these are not run yet",
        Kind::ProxyWasm => "a proxy-wasm module; these are not run yet",
        Kind::Policy | Kind::Unknown => {
            "no policy: it does not export weir:policy/lifecycle, nor carries a component type that does"
        }
    }
}

/// A set of hooks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HookSet(u8);

impl HookSet {
    /// No hook.
    pub const NONE: Self = Self(0);
    /// `on-request`.
    pub const REQUEST: Self = Self(1);
    /// `on-request-body`.
    pub const REQUEST_BODY: Self = Self(2);
    /// `on-answer`.
    pub const ANSWER: Self = Self(4);
    /// `on-response`.
    pub const RESPONSE: Self = Self(8);
    /// `on-complete`.
    pub const COMPLETE: Self = Self(16);
    /// `on-connection`.
    pub const CONNECTION: Self = Self(32);

    /// Each hook with the interface that exports it.
    pub(crate) const NAMED: [(Self, &'static str); 6] = [
        (Self::CONNECTION, "connection"),
        (Self::REQUEST, "request"),
        (Self::REQUEST_BODY, "request-body"),
        (Self::ANSWER, "answer"),
        (Self::RESPONSE, "response"),
        (Self::COMPLETE, "complete"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is only in this set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Every hook of the other set is in this one.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// There is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names as in `wit/policy.wit`, in the order in which a connection and its exchanges meet them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.into_iter().filter(move |(hook, _)| self.contains(*hook)).map(|(_, name)| name)
    }
}

impl fmt::Debug for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A compiled policy. Cheap to clone.
#[derive(Clone)]
pub struct Artifact {
    /// Of the bytes as they were given.
    pub sha256: [u8; 32],
    /// The hooks it exports.
    pub exports: HookSet,
    /// What was found without compiling.
    pub inspection: Arc<Inspection>,
    /// The compiled code came from the cache.
    pub from_cache: bool,
    pub(crate) code: Code,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact").field("inspection", &self.inspection).finish_non_exhaustive()
    }
}

pub(crate) fn load(engine: &Engine, bytes: &[u8], sha256: [u8; 32]) -> Result<Artifact, LoadError> {
    if bytes.len() > MAX_BYTES {
        return Err(LoadError::TooLarge(bytes.len()));
    }
    let outline = Outline::read(bytes)?;
    let cached = engine.cache().and_then(|cache| cache.take(&sha256, engine.wasmtime()));
    let from_cache = cached.is_some();
    let compiled = match cached {
        Some(kept) => Some(kept),
        None => compile_elsewhere(engine, &sha256, bytes)?,
    };
    let (inspection, code) = match compiled {
        Some(kept) => (look_at_compiled(outline, &kept, bytes), kept.code),
        None => compile_accepted(engine, outline, bytes)?,
    };
    accept(&inspection)?;
    Ok(Artifact { sha256, exports: inspection.hooks, inspection: Arc::new(inspection), from_cache, code })
}

/// With compiled code stands what was known of it, so a core module need not be made a component for that.
fn look_at_compiled(outline: Outline, kept: &Kept, bytes: &[u8]) -> Inspection {
    let outline = if outline.is_to_be_encoded() {
        let (imports, exports) = (kept.imports.clone(), kept.exports.clone());
        outline.as_component(Outline::of_names(imports, exports))
    } else {
        outline
    };
    outline.judge(bytes, kept.lane.clone())
}

/// None: this process has to compile. What the other one compiled without a cache is kept by its mapping.
fn compile_elsewhere(engine: &Engine, sha256: &[u8; 32], bytes: &[u8]) -> Result<Option<Kept>, LoadError> {
    let Some(compiler) = engine.compiler() else { return Ok(None) };
    let passing = if engine.cache().is_none() { Passing::make(engine.wasmtime()) } else { None };
    let Some(cache) = engine.cache().or(passing.as_ref().map(Passing::cache)) else { return Ok(None) };
    let compiled = compiler.compile(cache.folder(), engine.instances(), bytes)?;
    Ok(if compiled { cache.take(sha256, engine.wasmtime()) } else { None })
}

fn compile_accepted(
    engine: &Engine,
    outline: Outline,
    bytes: &[u8],
) -> Result<(Inspection, Code), LoadError> {
    let (outline, component) = if outline.is_to_be_encoded() {
        let encoded = inspect::encode(bytes)?;
        (outline.as_component(Outline::read(&encoded)?), Cow::Owned(encoded))
    } else {
        (outline, Cow::Borrowed(bytes))
    };
    let found = if engine.is_direct() {
        direct::find(&component)
    } else {
        Err("is told not to be called directly".to_owned())
    };
    let lane = found.as_ref().map_or_else(|reason| Lane::Component(reason.clone()), |_direct| Lane::Direct);
    let inspection = outline.judge(bytes, lane);
    accept(&inspection)?;
    let code = compile(engine, &inspection, &component, found.ok())?;
    Ok((inspection, code))
}

/// Refuses what could be compiled but never run.
fn accept(inspection: &Inspection) -> Result<(), LoadError> {
    if let Some(version) = &inspection.contract
        && !speaks(version)
    {
        return Err(LoadError::Version(version.clone()));
    }
    if inspection.kind != Kind::Policy {
        return Err(LoadError::NoPolicy(inspection.kind));
    }
    let foreign = inspection.imports.iter().find(|name| !is_provided(name));
    foreign.map_or(Ok(()), |name| Err(LoadError::Import(name.clone())))
}

/// Within 0.x a minor step may break, a patch may not.
fn speaks(version: &str) -> bool {
    let minor = |v: &str| v.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    minor(version) == minor(contract::VERSION)
}

fn is_provided(import: &str) -> bool {
    let wasi = |rest: &str| rest.split_once('@').is_some_and(|(_, version)| version.starts_with("0.2."));
    import.starts_with("weir:policy/") || import.strip_prefix("wasi:").is_some_and(wasi)
}

/// With a cache, what was compiled is put there and mapped from there: the kernel can then take its
/// memory back whenever it is short of it.
fn compile(
    engine: &Engine,
    inspection: &Inspection,
    component: &[u8],
    direct: Option<direct::Direct<'_>>,
) -> Result<Code, LoadError> {
    engine.count_compiled();
    let compiled = match direct {
        Some(direct) => {
            Module::from_binary(engine.wasmtime(), direct.module).map(|m| Code::Direct(m, direct.plan))
        }
        None => Component::from_binary(engine.wasmtime(), component).map(Code::Component),
    };
    let code = compiled.map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
    let Some(cache) = engine.cache() else { return Ok(code) };
    let kept = Kept {
        code,
        lane: inspection.lane.clone(),
        imports: inspection.imports.clone(),
        exports: inspection.exports.clone(),
    };
    cache.keep(&inspection.sha256, &kept);
    Ok(cache.take(&inspection.sha256, engine.wasmtime()).unwrap_or(kept).code)
}
