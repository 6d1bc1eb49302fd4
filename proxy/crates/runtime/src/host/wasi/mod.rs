//! Stand-ins for WASI 0.2.
//!
//! Toolchains import WASI whether a filter needs it or not: Rust's standard library for `println!` and
//! `HashMap`, others for their runtime's start. Here is what keeps such guests alive and gives them
//! nothing: output becomes log lines, clocks and random numbers work, waiting does not wait, files and
//! sockets are absent. An interface is defined only if the component imports it, under the very version
//! that it names; a function without a stand-in ends the guest when it is called.

mod absent;
mod ambient;
mod streams;

use wasmtime::component::{
    Component, Linker, LinkerInstance, ResourceType,
    types::{ComponentInstance, ComponentItem},
};

use super::{Host, Values, forbid};
pub(super) use streams::Streams;

pub(super) fn link<V: Values>(linker: &mut Linker<Host<V>>, component: &Component) -> wasmtime::Result<()> {
    linker.allow_shadowing(true); // a stand-in takes the place of a stub
    for (name, import) in component.component_type().imports(component.engine()) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let Some((interface_name, _version)) = name.split_once('@') else { continue };
        if !interface_name.starts_with("wasi:") {
            continue;
        }
        let mut instance = linker.instance(name)?;
        stub(&mut instance, interface_name, &interface, component)?;
        ambient::link(&mut instance, interface_name)?;
        streams::link(&mut instance, interface_name)?;
        absent::link(&mut instance, interface_name)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Every resource, and for every function a trap.
fn stub<V: Values>(
    instance: &mut LinkerInstance<'_, Host<V>>,
    interface_name: &str,
    interface: &ComponentInstance,
    component: &Component,
) -> wasmtime::Result<()> {
    for (name, item) in interface.exports(component.engine()) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let function = format!("{interface_name}#{name}");
                instance.func_new(name, move |_, _, _, _| {
                    forbid(format!("`{function}`, which the proxy does not have"))
                })?;
            }
            // A stand-in's resource is a bare number, so there is nothing to take down.
            ComponentItem::Resource(_) => instance.resource(name, resource(name), |_, _| Ok(()))?,
            _ => {}
        }
    }
    Ok(())
}

/// Resources by their WASI names, which are the same wherever an interface uses another's.
fn resource(name: &str) -> ResourceType {
    match name {
        "error" => ResourceType::host::<streams::IoError>(),
        "input-stream" => ResourceType::host::<streams::InputStream>(),
        "output-stream" => ResourceType::host::<streams::OutputStream>(),
        "pollable" => ResourceType::host::<streams::Pollable>(),
        "descriptor" => ResourceType::host::<absent::Descriptor>(),
        "network" => ResourceType::host::<absent::Network>(),
        "tcp-socket" | "udp-socket" => ResourceType::host::<absent::Socket>(),
        "resolve-address-stream" => ResourceType::host::<absent::Addresses>(),
        "terminal-input" | "terminal-output" => ResourceType::host::<absent::Terminal>(),
        _ => ResourceType::host::<absent::Nothing>(),
    }
}
