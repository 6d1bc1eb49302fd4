//! Whether the functions of a component have the contract's types, which a component's host checks when it
//! links and which nobody checks for a core module: there, a list of words and a list of bytes look alike.
//!
//! What the contract says is read from `wit/policy.wit` itself.

use std::iter::zip;

use wit_parser::{
    Case, Flags, Function, InterfaceId, Resolve, Type, TypeDefKind, WorldItem,
    decoding::{DecodedWasm, decode},
};

use crate::contract;

const POLICY_WIT: &str = include_str!("../../../../../wit/policy.wit");

/// Fails with the first function that is not the contract's.
pub(super) fn check(component: &[u8]) -> Result<(), String> {
    let decoded = decode(component).map_err(|error| format!("cannot be read: {error}"))?;
    let DecodedWasm::Component(filter, world) = decoded else { return Err("is no component".to_owned()) };
    let mut contract = Resolve::default();
    contract.push_str("policy.wit", POLICY_WIT).map_err(|error| error.to_string())?;
    let world = &filter.worlds[world];
    for item in world.imports.values().chain(world.exports.values()) {
        let WorldItem::Interface { id, .. } = item else {
            return Err("imports or exports more than interfaces".to_owned());
        };
        check_interface(&filter, *id, &contract)?;
    }
    Ok(())
}

fn check_interface(filter: &Resolve, id: InterfaceId, contract: &Resolve) -> Result<(), String> {
    let name = filter.id_of(id).ok_or("has an interface without a name")?;
    let known = contract.interfaces.iter().find(|(known, _)| contract.id_of(*known).as_ref() == Some(&name));
    let (_, known) = known.ok_or_else(|| format!("imports or exports `{name}`"))?;
    let both = Both { filter, contract };
    for (function, is) in &filter.interfaces[id].functions {
        let same = known.functions.get(function).is_some_and(|known| both.same_function(is, known));
        if !same {
            return Err(format!("`{function}` of `{name}` is another than in {}", contract::VERSION));
        }
    }
    Ok(())
}

/// Walks over two types at once; the contract's ends it.
struct Both<'a> {
    filter: &'a Resolve,
    contract: &'a Resolve,
}

impl Both<'_> {
    fn same_function(&self, is: &Function, known: &Function) -> bool {
        let parameters =
            |function: &Function| -> Vec<Type> { function.params.iter().map(|p| p.ty).collect() };
        is.kind == known.kind
            && self.same_all(&parameters(is), &parameters(known))
            && self.same_optional(is.result, known.result)
    }

    fn same(&self, is: Type, known: Type) -> bool {
        let (is, known) = (resolved(self.filter, is), resolved(self.contract, known));
        let (Type::Id(is_id), Type::Id(known_id)) = (is, known) else { return is == known };
        match (&self.filter.types[is_id].kind, &self.contract.types[known_id].kind) {
            (TypeDefKind::Record(is), TypeDefKind::Record(known)) => {
                is.fields.len() == known.fields.len()
                    && zip(&is.fields, &known.fields)
                        .all(|(is, known)| is.name == known.name && self.same(is.ty, known.ty))
            }
            (TypeDefKind::Variant(is), TypeDefKind::Variant(known)) => {
                is.cases.len() == known.cases.len()
                    && zip(&is.cases, &known.cases).all(|(is, known)| self.same_case(is, known))
            }
            (TypeDefKind::Tuple(is), TypeDefKind::Tuple(known)) => self.same_all(&is.types, &known.types),
            (TypeDefKind::Option(is), TypeDefKind::Option(known))
            | (TypeDefKind::List(is), TypeDefKind::List(known)) => self.same(*is, *known),
            (TypeDefKind::Result(is), TypeDefKind::Result(known)) => {
                self.same_optional(is.ok, known.ok) && self.same_optional(is.err, known.err)
            }
            (TypeDefKind::Enum(is), TypeDefKind::Enum(known)) => {
                is.cases.iter().map(|case| &case.name).eq(known.cases.iter().map(|case| &case.name))
            }
            (TypeDefKind::Flags(is), TypeDefKind::Flags(known)) => {
                let names = |flags: &Flags| -> Vec<String> {
                    flags.flags.iter().map(|flag| flag.name.clone()).collect()
                };
                let (is, mut known) = (names(is), names(known));
                // With the last ones missing, it was built before they were added: they lie in the same byte.
                is == known || {
                    known.retain(|name| !contract::ADDED_HOOKS.contains(&name.as_str()));
                    is == known
                }
            }
            _ => false,
        }
    }

    fn same_case(&self, is: &Case, known: &Case) -> bool {
        is.name == known.name && self.same_optional(is.ty, known.ty)
    }

    fn same_all(&self, is: &[Type], known: &[Type]) -> bool {
        is.len() == known.len() && zip(is, known).all(|(is, known)| self.same(*is, *known))
    }

    fn same_optional(&self, is: Option<Type>, known: Option<Type>) -> bool {
        match (is, known) {
            (None, None) => true,
            (Some(is), Some(known)) => self.same(is, known),
            _ => false,
        }
    }
}

/// What a name stands for. Names are acyclic in what was validated.
fn resolved(of: &Resolve, mut ty: Type) -> Type {
    while let Type::Id(id) = ty
        && let TypeDefKind::Type(other) = of.types[id].kind
    {
        ty = other;
    }
    ty
}
