//! The attribute that exports a Weir filter: `#[weir_sdk::filter] impl Policy for MyFilter { .. }`.
//!
//! It sees which hooks are written and exports those and no others, so that the proxy never crosses
//! into a filter for a hook it does not have. Three files: `hooks` knows what an impl block may hold,
//! `export` writes the entry points, `world` encodes the component type the proxy reads.

mod export;
mod hooks;
mod world;

use proc_macro::TokenStream;
use syn::{ItemImpl, parse_macro_input};

/// Exports a filter.
///
/// Goes on `impl Policy for MyFilter`. It fills in `Policy::Config` from the first argument of
/// `configure` and `Policy::HOOKS` from the hooks that are written, and on WebAssembly targets adds
/// the entry points and the component type. One filter to a crate.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        let at = proc_macro2::Span::call_site();
        return syn::Error::new(at, "`filter` takes no arguments").to_compile_error().into();
    }
    let item = parse_macro_input!(item as ItemImpl);
    expand(item).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(mut item: ItemImpl) -> syn::Result<proc_macro2::TokenStream> {
    let hooks = hooks::complete(&mut item)?;
    let exports = export::entry_points(&item.self_ty, &hooks)?;
    Ok(quote::quote! {
        #item
        #exports
    })
}
