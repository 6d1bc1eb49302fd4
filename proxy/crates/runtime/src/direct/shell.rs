//! Recognises the wrappings that tools put around a core module, so that they can be seen through.
//!
//! A component exports an interface as an instance, and the usual way to make one is a component of its own
//! that only hands functions on ([`Shell`]). And an import that needs the module's memory cannot be given to
//! the module before that memory exists, so tools give it a function that jumps through a table ([`jumps`]) and
//! fill that table later ([`fills`]). Each is taken for what it is only if it is that and nothing else.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentTypeRef, ElementItems, ElementKind, ExternalKind,
    FunctionBody, Operator, Parser, Payload, TypeRef,
};

use super::layout::{at, text};

/// A component that exports nothing but what it imports.
pub(super) struct Shell<'a> {
    /// The name of each function that is exported, and of the import that it is.
    pub(super) functions: Vec<(&'a str, &'a str)>,
}

impl<'a> Shell<'a> {
    pub(super) fn read(component: &'a [u8]) -> Result<Self, String> {
        let mut space: Vec<&str> = Vec::new();
        let mut functions = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(text)? {
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        let import = import.map_err(text)?;
                        match import.ty {
                            ComponentTypeRef::Func(_) => space.push(import.name.name),
                            ComponentTypeRef::Type(_) => {}
                            _ => return Err(not_plain()),
                        }
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        let export = export.map_err(text)?;
                        match export.kind {
                            ComponentExternalKind::Func => {
                                let import = *at(&space, export.index)?;
                                functions.push((export.name.name, import));
                                space.push(import);
                            }
                            ComponentExternalKind::Type => {}
                            _ => return Err(not_plain()),
                        }
                    }
                }
                Payload::ComponentAliasSection(section) => {
                    for alias in section {
                        let ComponentAlias::Outer { .. } = alias.map_err(text)? else {
                            return Err(not_plain());
                        };
                    }
                }
                Payload::Version { .. }
                | Payload::End(_)
                | Payload::ComponentTypeSection(_)
                | Payload::CustomSection(_) => {}
                _ => return Err(not_plain()),
            }
        }
        Ok(Self { functions })
    }
}

fn not_plain() -> String {
    "has a component inside that does more than to hand functions on".to_owned()
}

/// What a module of jumps exports.
pub(super) struct Jumps<'a> {
    /// Functions with the place in the table that each jumps to.
    pub(super) functions: Vec<(&'a str, u32)>,
    pub(super) table: &'a str,
}

/// Reads a module in which function `i` hands its parameters to whatever is in place `i` of its only table.
pub(super) fn jumps(module: &[u8]) -> Result<Jumps<'_>, String> {
    let other = || "has a core module that is neither the filter nor a way to its imports".to_owned();
    let (mut functions, mut table, mut bodies) = (Vec::new(), None, 0);
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(text)? {
            Payload::TableSection(section) if section.count() == 1 => {}
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.map_err(text)?;
                    match export.kind {
                        ExternalKind::Func => functions.push((export.name, export.index)),
                        ExternalKind::Table => table = Some(export.name),
                        _ => return Err(other()),
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                if !is_jump(&body, bodies).map_err(text)? {
                    return Err(other());
                }
                bodies += 1;
            }
            Payload::Version { .. }
            | Payload::End(_)
            | Payload::TypeSection(_)
            | Payload::FunctionSection(_)
            | Payload::CodeSectionStart { .. }
            | Payload::CustomSection(_) => {}
            _ => return Err(other()),
        }
    }
    table.map(|table| Jumps { functions, table }).ok_or_else(other)
}

fn is_jump(body: &FunctionBody<'_>, index: u32) -> wasmparser::Result<bool> {
    if body.get_locals_reader()?.get_count() != 0 {
        return Ok(false);
    }
    let mut operators = body.get_operators_reader()?;
    let mut parameters = 0;
    let place = loop {
        match operators.read()? {
            Operator::LocalGet { local_index } if local_index == parameters => parameters += 1,
            Operator::I32Const { value } => break value,
            _ => return Ok(false),
        }
    };
    // That all parameters are handed on follows from the types, which were validated.
    let call = matches!(operators.read()?, Operator::CallIndirect { table_index: 0, .. });
    let end = matches!(operators.read()?, Operator::End);
    Ok(call && end && operators.eof() && u32::try_from(place) == Ok(index))
}

/// What a module that fills the table imports.
pub(super) struct Fills<'a> {
    /// The import that goes to each place of the table.
    pub(super) places: Vec<&'a str>,
    pub(super) table: &'a str,
}

/// Reads a module that does nothing but to put its imported functions into its imported table, from 0 on.
pub(super) fn fills(module: &[u8]) -> Result<Fills<'_>, String> {
    let other = || "has a core module that does more than to fill in its imports".to_owned();
    let (mut imports, mut table, mut places) = (Vec::new(), None, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(text)? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(text)?;
                    match import.ty {
                        TypeRef::Func(_) if import.module.is_empty() => imports.push(import.name),
                        TypeRef::Table(_) if import.module.is_empty() => table = Some(import.name),
                        _ => return Err(other()),
                    }
                }
            }
            Payload::ElementSection(section) if section.count() == 1 => {
                for element in section {
                    let element = element.map_err(text)?;
                    let ElementKind::Active { table_index: None | Some(0), offset_expr } = element.kind
                    else {
                        return Err(other());
                    };
                    let mut offset = offset_expr.get_operators_reader();
                    if !matches!(offset.read().map_err(text)?, Operator::I32Const { value: 0 }) {
                        return Err(other());
                    }
                    let ElementItems::Functions(items) = element.items else { return Err(other()) };
                    for function in items {
                        places.push(*at(&imports, function.map_err(text)?)?);
                    }
                }
            }
            Payload::Version { .. }
            | Payload::End(_)
            | Payload::TypeSection(_)
            | Payload::CustomSection(_) => {}
            _ => return Err(other()),
        }
    }
    table.map(|table| Fills { places, table }).ok_or_else(other)
}
