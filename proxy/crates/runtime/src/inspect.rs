//! Looks at WebAssembly without compiling it: which kind of filter is it, what does it want?

use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::{HookSet, Lane, LoadError, direct};

/// How WebAssembly begins, modules and components alike.
const MAGIC: &[u8] = b"\0asm";

/// What bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Speaks `weir:policy`.
    Policy,
    /// Exports `wasi:http`.
    Middleware,
    /// A core module that speaks the proxy-wasm ABI.
    ProxyWasm,
    /// WebAssembly, but no filter.
    Unknown,
}

/// What can be said of a filter without compiling it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Which contract it speaks.
    pub kind: Kind,
    /// The hooks it exports.
    pub hooks: HookSet,
    /// Names of its imports, as a component if it can be made one.
    pub imports: Vec<String>,
    /// Names of its exports.
    pub exports: Vec<String>,
    /// Version of `weir:policy` it was built for.
    pub contract: Option<String>,
    /// It is a core module that is made a component when loaded.
    pub core: bool,
    /// Core modules inside, its own included.
    pub core_modules: u32,
    /// How it is called, if it is a policy.
    pub lane: Lane,
    /// Bytes.
    pub size: usize,
    /// Of all its bytes.
    pub sha256: [u8; 32],
}

/// Looks at a file's bytes. Fails only if they are not WebAssembly, or carry a component type that the
/// module does not fit.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let outline = Outline::read(bytes)?;
    if !outline.is_to_be_encoded() {
        return Ok(outline.judge(bytes, lane_of(bytes)));
    }
    let component = encode(bytes)?;
    Ok(outline.as_component(Outline::read(&component)?).judge(bytes, lane_of(&component)))
}

fn lane_of(component: &[u8]) -> Lane {
    direct::find(component).map_or_else(Lane::Component, |_direct| Lane::Direct)
}

/// Makes a core module with an embedded component type a component.
pub(crate) fn encode(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| LoadError::Encode(format!("{error:#}")))
}

/// The outermost names, as they stand in the bytes.
#[derive(Default)]
pub(crate) struct Outline {
    is_core: bool,
    has_component_type: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    core_modules: u32,
    /// Of the core module that these names were made of.
    encoded: bool,
}

impl Outline {
    /// A core module that carries a component type and is made a component.
    pub(crate) fn is_to_be_encoded(&self) -> bool {
        self.is_core && self.has_component_type
    }

    /// What it is once made the component with these names.
    pub(crate) fn as_component(&self, component: Self) -> Self {
        Self { encoded: true, core_modules: self.core_modules, ..component }
    }

    /// Of a component that is known by its names only.
    pub(crate) fn of_names(imports: Vec<String>, exports: Vec<String>) -> Self {
        Self { imports, exports, ..Self::default() }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        if !bytes.starts_with(MAGIC) {
            return Err(LoadError::NotWasm("does not begin with \"\\0asm\"".to_owned()));
        }
        let mut outline = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(not_wasm)?;
            match payload {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    if encoding == Encoding::Module {
                        outline.core_modules += 1;
                        outline.is_core |= depth == 1;
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                outermost if depth == 1 => outline.note(outermost).map_err(not_wasm)?,
                _ => {}
            }
        }
        Ok(outline)
    }

    fn note(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    self.imports.push(format!("{}#{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export?.name.to_owned());
                }
            }
            Payload::CustomSection(section) => {
                self.has_component_type |= section.name().starts_with("component-type");
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn judge(self, bytes: &[u8], lane: Lane) -> Inspection {
        let hooks = HookSet::NAMED.into_iter().filter(|(_, name)| self.exports_policy(name));
        Inspection {
            kind: self.kind(),
            hooks: hooks.fold(HookSet::NONE, |set, (hook, _)| set.with(hook)),
            contract: self.exports.iter().find_map(|name| contract_version(name)),
            core: self.is_core || self.encoded,
            core_modules: self.core_modules,
            lane,
            size: bytes.len(),
            sha256: Sha256::digest(bytes).into(),
            imports: self.imports,
            exports: self.exports,
        }
    }

    fn kind(&self) -> Kind {
        let exports = |prefix: &str| self.exports.iter().any(|name| name.starts_with(prefix));
        if self.is_core {
            return if exports("proxy_abi_version_") { Kind::ProxyWasm } else { Kind::Unknown };
        }
        if self.exports_policy("lifecycle") {
            return Kind::Policy;
        }
        if exports("wasi:http/") { Kind::Middleware } else { Kind::Unknown }
    }

    fn exports_policy(&self, interface: &str) -> bool {
        self.exports.iter().any(|name| {
            let name = name.strip_prefix("weir:policy/").unwrap_or_default();
            name.split_once('@').map_or(name, |(name, _)| name) == interface
        })
    }
}

fn contract_version(export: &str) -> Option<String> {
    let name = export.strip_prefix("weir:policy/")?;
    name.split_once('@').map(|(_, version)| version.to_owned())
}

fn not_wasm(error: wasmparser::BinaryReaderError) -> LoadError {
    // A reason is one line, wherever it is shown.
    LoadError::NotWasm(error.message().split_whitespace().collect::<Vec<_>>().join(" "))
}
