//! What an `impl Policy` block holds: which hooks are written, and the two items the attribute adds.

use syn::{Error, FnArg, ImplItem, ItemImpl, Result, Type, parse_quote};

/// Hooks an author may write, beside `configure`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Connection,
    Request,
    RequestBody,
    Answer,
    Response,
    Complete,
}

const NAMES: [(&str, Hook); 6] = [
    ("on_connection", Hook::Connection),
    ("on_request", Hook::Request),
    ("on_request_body", Hook::RequestBody),
    ("on_answer", Hook::Answer),
    ("on_response", Hook::Response),
    ("on_complete", Hook::Complete),
];

/// Finds the written hooks and adds `type Config` and `const HOOKS` to the block.
pub(crate) fn complete(item: &mut ItemImpl) -> Result<Vec<Hook>> {
    require_policy(item)?;
    let hooks = written(item);
    require_request(item, &hooks)?;
    if !has_config(item) {
        let config = config_type(item)?;
        item.items.insert(0, parse_quote! { type Config = #config; });
    }
    let flags = hooks.iter().map(|hook| {
        let name = match hook {
            Hook::Connection => quote::quote!(CONNECTION),
            Hook::Request => quote::quote!(REQUEST),
            Hook::RequestBody => quote::quote!(REQUEST_BODY),
            Hook::Answer => quote::quote!(ANSWER),
            Hook::Response => quote::quote!(RESPONSE),
            Hook::Complete => quote::quote!(COMPLETE),
        };
        quote::quote!(.with(::weir_sdk::Hooks::#name))
    });
    item.items.insert(
        0,
        parse_quote! {
            const HOOKS: ::weir_sdk::Hooks = ::weir_sdk::Hooks::NONE #(#flags)*;
        },
    );
    Ok(hooks)
}

fn require_policy(item: &ItemImpl) -> Result<()> {
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, "a filter cannot be generic: name one type"));
    }
    let named = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
    if named.is_some_and(|segment| segment.ident == "Policy") {
        return Ok(());
    }
    Err(Error::new_spanned(&item.self_ty, "`filter` goes on `impl Policy for ..`"))
}

/// The later hooks follow a request that passed; without `on_request` nothing would reach them.
fn require_request(item: &ItemImpl, hooks: &[Hook]) -> Result<()> {
    let follows = hooks.contains(&Hook::Answer) || hooks.contains(&Hook::RequestBody);
    if follows && !hooks.contains(&Hook::Request) {
        let text = "`on_request_body` and `on_answer` follow an `on_request`; write that too";
        return Err(Error::new_spanned(&item.self_ty, text));
    }
    Ok(())
}

fn written(item: &ItemImpl) -> Vec<Hook> {
    let methods = item.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method.sig.ident.to_string()),
        _ => None,
    });
    methods.filter_map(|name| NAMES.iter().find(|(known, _)| *known == name).map(|(_, hook)| *hook)).collect()
}

fn has_config(item: &ItemImpl) -> bool {
    item.items.iter().any(|item| matches!(item, ImplItem::Type(alias) if alias.ident == "Config"))
}

/// The type of the first argument of `configure`.
fn config_type(item: &ItemImpl) -> Result<Type> {
    for entry in &item.items {
        let ImplItem::Fn(method) = entry else { continue };
        if method.sig.ident != "configure" {
            continue;
        }
        if let Some(FnArg::Typed(first)) = method.sig.inputs.first() {
            return Ok((*first.ty).clone());
        }
    }
    let text = "`fn configure(config: MyConfig, setup: &mut Setup) -> Result<Self, String>` is missing";
    Err(Error::new_spanned(&item.self_ty, text))
}
