//! The entry points of a filter: the core exports that the canonical ABI names, each one line into
//! `weir_sdk::abi`, which knows how values cross.

use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use syn::{Error, Result, Type};

use crate::hooks::Hook;
use crate::world;

/// Everything a filter exports; compiled for WebAssembly targets only.
pub(crate) fn entry_points(filter: &Type, hooks: &[Hook]) -> Result<TokenStream> {
    let section = world::component_type(hooks)
        .map_err(|text| Error::new(Span::call_site(), format!("the contract does not encode: {text}")))?;
    let size = section.len();
    let section = Literal::byte_string(&section);
    let hooks = hooks.iter().copied().map(hook);
    let lifecycle = lifecycle(filter);
    Ok(quote! {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code)]
        const _: () = {
            use ::weir_sdk::abi::{self, Slot};

            static FILTER: Slot<#filter> = Slot::new();

            #[used]
            #[unsafe(link_section = "component-type:weir-filter")]
            static COMPONENT_TYPE: [u8; #size] = *#section;

            #[unsafe(export_name = "cabi_realloc")]
            unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
                unsafe { abi::realloc(old, old_size, align, size) }
            }
            #lifecycle
            #(#hooks)*
        };
    })
}

fn lifecycle(filter: &Type) -> TokenStream {
    quote! {
        #[unsafe(export_name = "weir:policy/lifecycle@0.1.0#configure")]
        unsafe extern "C" fn configure(name: *const u8, name_len: usize, json: *const u8, json_len: usize) -> *const u8 {
            unsafe { abi::configure::<#filter>(&FILTER, name, name_len, json, json_len) }
        }
        #[unsafe(export_name = "weir:policy/lifecycle@0.1.0#update")]
        unsafe extern "C" fn update(name: *const u8, name_len: usize, bytes: *const u8, len: usize) -> *const u8 {
            unsafe { abi::update::<#filter>(&FILTER, name, name_len, bytes, len) }
        }
    }
}

fn hook(hook: Hook) -> TokenStream {
    match hook {
        Hook::Connection => quote! {
            #[unsafe(export_name = "weir:policy/connection@0.1.0#on-connection")]
            unsafe extern "C" fn on_connection(shown: *const abi::RawConnection) -> *const u8 {
                unsafe { abi::on_connection(&FILTER, shown) }
            }
        },
        Hook::Request => quote! {
            #[unsafe(export_name = "weir:policy/request@0.1.0#on-request")]
            unsafe extern "C" fn on_request(
                id: u64, at: *const u32, at_len: usize, bytes: *const u8, len: usize,
            ) -> *const u8 {
                unsafe { abi::on_request(&FILTER, id, at, at_len, bytes, len) }
            }
        },
        Hook::RequestBody => quote! {
            #[unsafe(export_name = "weir:policy/request-body@0.1.0#on-request-body")]
            unsafe extern "C" fn on_request_body(id: u64, memo: u64, body: *const u8, len: usize) -> *const u8 {
                unsafe { abi::on_request_body(&FILTER, id, memo, body, len) }
            }
        },
        Hook::Answer => quote! {
            #[unsafe(export_name = "weir:policy/answer@0.1.0#on-answer")]
            unsafe extern "C" fn on_answer(
                id: u64, memo: *const u8, memo_len: usize, failed: u32, status: u32,
                fields: *const abi::RawPair, fields_len: usize, body: *const u8, body_len: usize,
            ) -> *const u8 {
                unsafe {
                    abi::on_answer(&FILTER, id, memo, memo_len, failed, status, fields, fields_len, body, body_len)
                }
            }
        },
        Hook::Response => quote! {
            #[unsafe(export_name = "weir:policy/response@0.1.0#on-response")]
            unsafe extern "C" fn on_response(
                id: u64, memo: u64, status: u32, at: *const u32, at_len: usize, bytes: *const u8, len: usize,
            ) -> *const u8 {
                unsafe { abi::on_response(&FILTER, id, memo, status, at, at_len, bytes, len) }
            }
        },
        Hook::Complete => quote! {
            #[unsafe(export_name = "weir:policy/complete@0.1.0#on-complete")]
            unsafe extern "C" fn on_complete(
                id: u64, memo: u64, status: u32, has_cluster: u32, cluster: u32, attempts: u32, local: u32,
                aborted: u32, total_us: u64, upstream_us: u64, now_ms: u64,
            ) {
                let outcome = abi::outcome(
                    id, memo, status, has_cluster, cluster, attempts, local, aborted, total_us, upstream_us, now_ms,
                );
                abi::on_complete(&FILTER, &outcome);
            }
        },
    }
}
