//! The component type of a filter: the part of the contract it implements, in the encoding that
//! `wit-component` reads from a custom section when the proxy turns the module into a component.

use wit_component::StringEncoding;
use wit_parser::{Resolve, UnresolvedPackageGroup};

use crate::hooks::Hook;

const CONTRACT: &str = include_str!("../../../wit/policy.wit");

/// The section's content for a filter that exports these hooks.
pub(crate) fn component_type(hooks: &[Hook]) -> Result<Vec<u8>, String> {
    let mut text =
        format!("{CONTRACT}\nworld filter {{ import state; import host; import crypto; export lifecycle;");
    for hook in hooks {
        text.push_str(match hook {
            Hook::Connection => " export connection;",
            Hook::Request => " export request;",
            Hook::RequestBody => " export request-body;",
            Hook::Answer => " export answer;",
            Hook::Response => " export response;",
            Hook::Complete => " export complete;",
        });
    }
    text.push_str(" }\n");
    let mut resolve = Resolve::default();
    let group = UnresolvedPackageGroup::parse("policy.wit", &text).map_err(|e| format!("{e:?}"))?;
    let package = resolve.push_group(group).map_err(|e| format!("{e:?}"))?;
    let world = resolve.select_world(&[package], Some("filter")).map_err(|e| format!("{e:?}"))?;
    wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None).map_err(|e| format!("{e:?}"))
}
