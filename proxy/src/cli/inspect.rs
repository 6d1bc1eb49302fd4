//! `weir filter inspect`: what a WebAssembly file is, and whether Weir would run it.

use std::{fmt::Write, process::ExitCode};

use anyhow::{Context, Result, bail};
use weir_runtime::{Allocation, Engine, EngineSettings, Inspection, Kind, Lane};

use super::print;
use crate::app;

/// Looks at a file, or at a filter that comes with Weir.
pub(super) fn inspect(file: &str) -> Result<ExitCode> {
    let bytes = match file.strip_prefix("builtin:") {
        Some(name) => match app::builtin(name) {
            Some(code) => code.to_vec(),
            None => bail!("there is no builtin:{name}; there are: {}", builtins()),
        },
        None => std::fs::read(file).with_context(|| format!("{file} cannot be read"))?,
    };
    let inspection = weir_runtime::inspect(&bytes).with_context(|| file.to_owned())?;
    print(&told(file, &inspection))?;
    // The rest of what can be wrong shows only when it is compiled and linked.
    let engine = Engine::with_allocation(EngineSettings::default(), Allocation::OnDemand)?;
    engine.load(&bytes).with_context(|| file.to_owned())?;
    Ok(ExitCode::SUCCESS)
}

fn builtins() -> String {
    app::BUILTINS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

fn told(file: &str, is: &Inspection) -> String {
    let mut text = format!("{file}\n");
    let mut line = |name: &str, value: &str| {
        // Writing to memory does not fail.
        let _ = writeln!(text, "  {name:<9}{value}");
    };
    let form = if is.core { "core module, made a component when loaded" } else { "component" };
    line("kind", &format!("{} ({form})", kind(is.kind)));
    line(
        "contract",
        &is.contract.as_ref().map_or("none".to_owned(), |version| format!("weir:policy@{version}")),
    );
    line("hooks", &listed(is.hooks.names()));
    if is.kind == Kind::Policy {
        line("lane", &lane(&is.lane));
    }
    line("imports", &listed(is.imports.iter().map(String::as_str)));
    line("size", &format!("{} bytes", is.size));
    line("sha256", &is.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    text
}

fn lane(lane: &Lane) -> String {
    match lane {
        Lane::Direct => "direct".to_owned(),
        Lane::Component(reason) => format!("component, because it {reason}"),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Policy => "policy",
        Kind::Middleware => "wasi:http middleware",
        Kind::ProxyWasm => "proxy-wasm",
        Kind::Unknown => "no filter",
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
