//! Whether a component can be called directly, and by which names: its one core module, what that exports, and
//! proof that its imports are the contract's.

use serde::{Deserialize, Serialize};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use super::{
    layout::{
        CoreExport, CoreFunction, CoreInstance, Function, Imported, InterfaceInstance, Layout, Options, at,
        named, text,
    },
    shell, typed,
};
use crate::{contract, host};

/// Interfaces that a policy may export, with all their functions. No two functions have the same name.
const EXPORTED: [(&str, &[&str]); 7] = [
    ("lifecycle", &["configure", "update"]),
    ("connection", &["on-connection"]),
    ("request", &["on-request"]),
    ("request-body", &["on-request-body"]),
    ("answer", &["on-answer"]),
    ("response", &["on-response"]),
    ("complete", &["on-complete"]),
];

/// How to call a core module directly: the names of its exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(super) memory: String,
    pub(super) realloc: String,
    pub(super) exports: Vec<Export>,
    /// It may ask for values that it was not shown.
    pub(crate) wants_values: bool,
}

/// A function of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Export {
    /// Its name in the contract.
    pub(super) function: String,
    /// The core function.
    pub(super) core: String,
    /// To be called with the result when that was read.
    pub(super) post_return: Option<String>,
}

/// A core module and how to call it.
pub(crate) struct Direct<'a> {
    pub(crate) module: &'a [u8],
    pub(crate) plan: Plan,
}

/// Looks at a component. The error says why it has to be called as such.
pub(crate) fn find(component: &[u8]) -> Result<Direct<'_>, String> {
    let layout = Layout::read(component)?;
    let main = Main::find(&layout)?;
    let module = main.module;
    let plan = main.plan()?;
    typed::check(component)?;
    Ok(Direct { module, plan })
}

/// The instance of the filter's own module, and what is known of it so far.
struct Main<'l, 'a> {
    layout: &'l Layout<'a>,
    instance: u32,
    module: &'a [u8],
    arguments: &'l [(&'a str, u32)],
    memory: Option<&'a str>,
    realloc: Option<&'a str>,
}

impl<'l, 'a> Main<'l, 'a> {
    /// The instance whose function is lifted first; that there is no other will show.
    fn find(layout: &'l Layout<'a>) -> Result<Self, String> {
        let lifted = layout.functions.iter().find_map(|function| match function {
            Function::Lifted { core, .. } => Some(*core),
            Function::Imported(_) => None,
        });
        let lifted = lifted.ok_or("has no function of its own")?;
        let CoreFunction::Export(CoreExport { instance, .. }) = *at(&layout.core_functions, lifted)? else {
            return Err("exports what it imports".to_owned());
        };
        let CoreInstance::Module { module, arguments } = at(&layout.core_instances, instance)? else {
            return Err("exports functions of an instance that is put together".to_owned());
        };
        let module = *at(&layout.modules, *module)?;
        Ok(Self { layout, instance, module, arguments, memory: None, realloc: None })
    }

    fn plan(mut self) -> Result<Plan, String> {
        let exports = self.exports()?;
        let wants_values = self.check_imports()?;
        Ok(Plan {
            memory: self.memory.ok_or("has no memory")?.to_owned(),
            realloc: self.realloc.ok_or("has no function to allocate with")?.to_owned(),
            exports,
            wants_values,
        })
    }

    fn exports(&mut self) -> Result<Vec<Export>, String> {
        let layout = self.layout;
        let mut exports = Vec::new();
        for (interface, instance) in &layout.exports {
            let known = EXPORTED.iter().find(|(known, _)| *interface == versioned(known));
            let (_, expected) = known.ok_or_else(|| format!("exports `{interface}`"))?;
            let InterfaceInstance::Made(functions) = at(&layout.instances, *instance)? else {
                return Err(format!("exports `{interface}`, which it imports"));
            };
            for name in *expected {
                let function = named(functions, name)?;
                let Function::Lifted { core, options } = *at(&layout.functions, function)? else {
                    return Err(format!("exports `{name}`, which it imports"));
                };
                let post_return = options.post_return.map(|index| self.own_function(index)).transpose()?;
                self.take(options)?;
                exports.push(Export {
                    function: (*name).to_owned(),
                    core: self.own_function(core)?.to_owned(),
                    post_return: post_return.map(str::to_owned),
                });
            }
        }
        Ok(exports)
    }

    /// One memory and one allocator, both the module's own, serve all crossings.
    fn take(&mut self, options: Options) -> Result<(), String> {
        if let Some(index) = options.memory {
            let memory = self.own(*at(&self.layout.memories, index)?)?;
            if *self.memory.get_or_insert(memory) != memory {
                return Err("has more than one memory".to_owned());
            }
        }
        if let Some(index) = options.realloc {
            let realloc = self.own_function(index)?;
            if *self.realloc.get_or_insert(realloc) != realloc {
                return Err("allocates in more than one way".to_owned());
            }
        }
        Ok(())
    }

    fn own_function(&self, index: u32) -> Result<&'a str, String> {
        match *at(&self.layout.core_functions, index)? {
            CoreFunction::Export(export) => self.own(export),
            CoreFunction::Lowered { .. } => Err("exports what it imports".to_owned()),
        }
    }

    fn own(&self, export: CoreExport<'a>) -> Result<&'a str, String> {
        if export.instance == self.instance {
            Ok(export.name)
        } else {
            Err("is made of more than one core module".to_owned())
        }
    }

    /// Every import of the module is the function of the contract that its name says, by way of the canonical
    /// ABI. True if values on demand are among them.
    fn check_imports(&mut self) -> Result<bool, String> {
        let detour = self.detour()?;
        let mut wants_values = false;
        for payload in Parser::new(0).parse_all(self.module) {
            match payload.map_err(text)? {
                // It would run before the table of a detour is filled.
                Payload::StartSection { .. } => return Err("has a start function".to_owned()),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(text)?;
                        let (interface, name) = (import.module, import.name);
                        if !matches!(import.ty, TypeRef::Func(_)) {
                            return Err(format!("imports `{name}`, which is no function"));
                        }
                        let (is, options) = self.resolve(detour.as_ref(), interface, name)?;
                        if (is.interface, is.name) != (interface, name) || !is_contract(interface) {
                            return Err(format!("imports `{}` of `{}`", is.name, is.interface));
                        }
                        self.take(options)?;
                        wants_values |= (interface, name) == (host::INTERFACE, host::REQUEST_VALUE);
                    }
                }
                _ => {}
            }
        }
        Ok(wants_values)
    }

    fn resolve(
        &self,
        detour: Option<&Detour<'a>>,
        module: &str,
        name: &str,
    ) -> Result<(Imported<'a>, Options), String> {
        let index = function_of(self.layout, named(self.arguments, module)?, name)?;
        let index = match (*at(&self.layout.core_functions, index)?, detour) {
            (CoreFunction::Export(export), Some(detour)) => detour.target(self.layout, export)?,
            _ => index,
        };
        match *at(&self.layout.core_functions, index)? {
            CoreFunction::Lowered { function, options } => Ok((function, options)),
            CoreFunction::Export(_) => Err("is made of more than one core module".to_owned()),
        }
    }

    /// Beside the module itself there are no instances of modules, or the two of a detour.
    fn detour(&self) -> Result<Option<Detour<'a>>, String> {
        let mut others = Vec::new();
        for (index, instance) in (0_u32..).zip(&self.layout.core_instances) {
            if let CoreInstance::Module { module, arguments } = instance
                && index != self.instance
            {
                others.push((index, *at(&self.layout.modules, *module)?, arguments.as_slice()));
            }
        }
        match *others.as_slice() {
            [] => Ok(None),
            [(jumps, from, []), (_, to, [("", given)])] => Ok(Some(Detour {
                instance: jumps,
                jumps: shell::jumps(from)?,
                fills: shell::fills(to)?,
                given: *given,
            })),
            _ => Err("is made of more than one core module".to_owned()),
        }
    }
}

/// The way that imports take which need the memory of the module that imports them.
struct Detour<'a> {
    instance: u32,
    jumps: shell::Jumps<'a>,
    fills: shell::Fills<'a>,
    /// The instance that is put together for filling in.
    given: u32,
}

impl<'a> Detour<'a> {
    /// The core function that a jump ends at.
    fn target(&self, layout: &Layout<'a>, jump: CoreExport<'a>) -> Result<u32, String> {
        if jump.instance != self.instance {
            return Err("is made of more than one core module".to_owned());
        }
        let table = given(layout, self.given, self.fills.table, ExternalKind::Table)?;
        if *at(&layout.tables, table)? != (CoreExport { instance: self.instance, name: self.jumps.table }) {
            return Err("fills in another table than it uses".to_owned());
        }
        let place = named(&self.jumps.functions, jump.name)?;
        function_of(layout, self.given, at(&self.fills.places, place)?)
    }
}

fn function_of(layout: &Layout<'_>, instance: u32, name: &str) -> Result<u32, String> {
    given(layout, instance, name, ExternalKind::Func)
}

/// What an instance that is put together gives under a name.
fn given(layout: &Layout<'_>, instance: u32, name: &str, kind: ExternalKind) -> Result<u32, String> {
    let CoreInstance::Exports(exports) = at(&layout.core_instances, instance)? else {
        return Err("imports from a core module".to_owned());
    };
    let found = exports.iter().find(|export| export.name == name && export.kind == kind);
    found.map(|export| export.index).ok_or_else(|| format!("refers to `{name}`, which is not given"))
}

fn is_contract(interface: &str) -> bool {
    interface.starts_with("weir:policy/") && interface.ends_with(&format!("@{}", contract::VERSION))
}

fn versioned(interface: &str) -> String {
    format!("weir:policy/{interface}@{}", contract::VERSION)
}
