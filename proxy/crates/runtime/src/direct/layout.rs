//! How a component is put together, read without compiling it: which core functions it lifts and lowers, and
//! of which instances.
//!
//! A component is a list of definitions that number themselves, each kind in its own index space (the Component
//! Model's Binary.md, "Index Spaces"). This keeps those spaces that matter to a component of `weir:policy` and
//! refuses, with the reason, every definition that such a component has no use for. What the definitions come
//! to is [`super::plan`]'s to say.

use std::ops::Range;

use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentTypeRef, Encoding, ExternalKind, Instance, Parser, Payload,
};

use super::shell::Shell;

/// The definitions of one component, by their indices.
#[derive(Default)]
pub(super) struct Layout<'a> {
    pub(super) modules: Vec<&'a [u8]>,
    pub(super) core_instances: Vec<CoreInstance<'a>>,
    pub(super) core_functions: Vec<CoreFunction<'a>>,
    pub(super) memories: Vec<CoreExport<'a>>,
    pub(super) tables: Vec<CoreExport<'a>>,
    pub(super) functions: Vec<Function<'a>>,
    pub(super) instances: Vec<InterfaceInstance<'a>>,
    /// Each with its instance.
    pub(super) exports: Vec<(&'a str, u32)>,
    shells: Vec<Shell<'a>>,
}

/// A core instance.
pub(super) enum CoreInstance<'a> {
    /// Of a module, with the instances that its imports are taken from.
    Module { module: u32, arguments: Vec<(&'a str, u32)> },
    /// Put together of other instances' exports.
    Exports(Vec<wasmparser::Export<'a>>),
}

/// Something that a core instance exports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct CoreExport<'a> {
    pub(super) instance: u32,
    pub(super) name: &'a str,
}

/// A core function.
#[derive(Clone, Copy)]
pub(super) enum CoreFunction<'a> {
    Export(CoreExport<'a>),
    /// `canon lower` of an imported function.
    Lowered {
        function: Imported<'a>,
        options: Options,
    },
}

/// A function of an imported interface.
#[derive(Clone, Copy)]
pub(super) struct Imported<'a> {
    pub(super) interface: &'a str,
    pub(super) name: &'a str,
}

/// A function of the component.
#[derive(Clone, Copy)]
pub(super) enum Function<'a> {
    Imported(Imported<'a>),
    /// `canon lift` of a core function.
    Lifted {
        core: u32,
        options: Options,
    },
}

/// An instance of an interface.
#[derive(Clone)]
pub(super) enum InterfaceInstance<'a> {
    Imported(&'a str),
    /// Functions by name; its types are of no interest.
    Made(Vec<(&'a str, u32)>),
}

/// Options of the canonical ABI, as indices. Strings are UTF-8.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) memory: Option<u32>,
    pub(super) realloc: Option<u32>,
    pub(super) post_return: Option<u32>,
}

impl<'a> Layout<'a> {
    pub(super) fn read(component: &'a [u8]) -> Result<Self, String> {
        let mut layout = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(text)? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 && encoding == Encoding::Module {
                        return Err("is a core module without a component type".to_owned());
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                outermost if depth == 1 => layout.note(component, outermost)?,
                _ => {}
            }
        }
        Ok(layout)
    }

    fn note(&mut self, component: &'a [u8], payload: Payload<'a>) -> Result<(), String> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                self.modules.push(inside(component, unchecked_range)?);
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                self.shells.push(Shell::read(inside(component, unchecked_range)?)?);
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import.map_err(text)?;
                    let ComponentTypeRef::Instance(_) = import.ty else {
                        return Err(format!("imports `{}`, which is no interface", import.name.name));
                    };
                    self.instances.push(InterfaceInstance::Imported(import.name.name));
                }
            }
            Payload::ComponentAliasSection(section) => {
                section.into_iter().try_for_each(|alias| self.alias(&alias.map_err(text)?))?;
            }
            Payload::InstanceSection(section) => {
                section.into_iter().try_for_each(|instance| self.core_instance(instance.map_err(text)?))?;
            }
            Payload::ComponentInstanceSection(section) => {
                section.into_iter().try_for_each(|instance| self.instance(&instance.map_err(text)?))?;
            }
            Payload::ComponentCanonicalSection(section) => {
                section.into_iter().try_for_each(|function| self.canonical(function.map_err(text)?))?;
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export.map_err(text)?;
                    let name = export.name.name;
                    if export.kind != ComponentExternalKind::Instance {
                        return Err(format!("exports `{name}`, which is no interface"));
                    }
                    self.exports.push((name, export.index));
                    // An export is a new definition of what it exports.
                    self.instances.push(at(&self.instances, export.index)?.clone());
                }
            }
            // What the functions' types are is judged apart.
            Payload::ComponentTypeSection(_) | Payload::CustomSection(_) => {}
            Payload::ComponentStartSection { .. } => {
                return Err("has a start function of its own".to_owned());
            }
            _ => return Err("has a section that a policy has no use for".to_owned()),
        }
        Ok(())
    }

    fn alias(&mut self, alias: &ComponentAlias<'a>) -> Result<(), String> {
        match *alias {
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. } => {}
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Func, instance_index, name } => {
                let function = match at(&self.instances, instance_index)? {
                    InterfaceInstance::Imported(interface) => {
                        Function::Imported(Imported { interface, name })
                    }
                    InterfaceInstance::Made(functions) => *at(&self.functions, named(functions, name)?)?,
                };
                self.functions.push(function);
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index: instance, name } => {
                let export = CoreExport { instance, name };
                match kind {
                    ExternalKind::Func => self.core_functions.push(CoreFunction::Export(export)),
                    ExternalKind::Memory => self.memories.push(export),
                    ExternalKind::Table => self.tables.push(export),
                    _ => return Err(format!("names `{name}` of a core module, which is no function")),
                }
            }
            _ => return Err("has an alias that a policy has no use for".to_owned()),
        }
        Ok(())
    }

    fn core_instance(&mut self, instance: Instance<'a>) -> Result<(), String> {
        self.core_instances.push(match instance {
            Instance::Instantiate { module_index: module, args } => {
                let arguments = args.iter().map(|argument| (argument.name, argument.index)).collect();
                CoreInstance::Module { module, arguments }
            }
            Instance::FromExports(exports) => CoreInstance::Exports(exports.into_vec()),
        });
        Ok(())
    }

    fn instance(&mut self, instance: &ComponentInstance<'a>) -> Result<(), String> {
        let mut functions = Vec::new();
        match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let given: Vec<(&str, u32)> = args
                    .iter()
                    .filter(|argument| argument.kind == ComponentExternalKind::Func)
                    .map(|argument| (argument.name, argument.index))
                    .collect();
                for (name, import) in &at(&self.shells, *component_index)?.functions {
                    functions.push((*name, named(&given, import)?));
                }
            }
            ComponentInstance::FromExports(exports) => {
                let exported = exports.iter().filter(|export| export.kind == ComponentExternalKind::Func);
                functions.extend(exported.map(|export| (export.name.name, export.index)));
            }
        }
        self.instances.push(InterfaceInstance::Made(functions));
        Ok(())
    }

    fn canonical(&mut self, function: CanonicalFunction) -> Result<(), String> {
        match function {
            CanonicalFunction::Lift { core_func_index: core, options, .. } => {
                self.functions.push(Function::Lifted { core, options: Options::read(&options)? });
            }
            CanonicalFunction::Lower { func_index, options } => {
                let options = Options::read(&options)?;
                let Function::Imported(function) = *at(&self.functions, func_index)? else {
                    return Err("calls a function of its own by way of the canonical ABI".to_owned());
                };
                self.core_functions.push(CoreFunction::Lowered { function, options });
            }
            _ => return Err("uses a built-in function of the component model".to_owned()),
        }
        Ok(())
    }
}

impl Options {
    fn read(options: &[CanonicalOption]) -> Result<Self, String> {
        let mut read = Self::default();
        for option in options {
            match option {
                CanonicalOption::UTF8 => {}
                CanonicalOption::Memory(index) => read.memory = Some(*index),
                CanonicalOption::Realloc(index) => read.realloc = Some(*index),
                CanonicalOption::PostReturn(index) => read.post_return = Some(*index),
                other => return Err(format!("crosses with the option {other:?}")),
            }
        }
        Ok(read)
    }
}

/// The definition with an index.
pub(super) fn at<T>(space: &[T], index: u32) -> Result<&T, String> {
    space.get(index as usize).ok_or_else(|| format!("refers to {index}, which is not defined"))
}

/// The index that goes with a name.
pub(super) fn named(list: &[(&str, u32)], name: &str) -> Result<u32, String> {
    let found = list.iter().find(|(known, _)| *known == name);
    found.map(|(_, index)| *index).ok_or_else(|| format!("refers to `{name}`, which is not given"))
}

pub(super) fn text(error: wasmparser::BinaryReaderError) -> String {
    error.message().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn inside(bytes: &[u8], range: Range<usize>) -> Result<&[u8], String> {
    bytes.get(range).ok_or_else(|| "is cut off".to_owned())
}
