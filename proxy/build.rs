//! Builds the standard filters to WebAssembly and embeds them, so that `builtin:NAME` is always there.
//!
//! They are members of this workspace and are built by its own cargo into a target folder of their own: a
//! plain `cargo build` of the proxy needs nothing before it but the wasm target.

use std::{env, fs, path::PathBuf, process::Command};

use sha2::{Digest, Sha256};

const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    for input in ["filters", "sdk/rust", "sdk/rust-macros", "wit", "Cargo.lock", ".cargo/config.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let mut names: Vec<String> = fs::read_dir(root.join("filters"))
        .expect("the workspace has filters")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| root.join("filters").join(name).join("Cargo.toml").is_file())
        .collect();
    names.sort();
    let target_dir = out.join("filters");
    let mut cargo = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.current_dir(&root).args(["build", "--locked", "--profile", "filter", "--target", TARGET]);
    for name in &names {
        cargo.arg("--package").arg(format!("weir-filter-{name}"));
    }
    cargo.arg("--target-dir").arg(&target_dir);
    // Flags for the native build must not leak into the filters'.
    for leaking in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(leaking);
    }
    let built = cargo.status().expect("cargo can be called");
    assert!(
        built.success(),
        "the standard filters could not be built; if the target is missing: rustup target add {TARGET}"
    );
    let mut table = String::from(
        "/// Name, code and SHA-256 of each standard filter.\npub static BUILTINS: &[(&str, &[u8], [u8; 32])] = &[\n",
    );
    for name in &names {
        let file = target_dir
            .join(TARGET)
            .join("filter")
            .join(format!("weir_filter_{}.wasm", name.replace('-', "_")));
        let code = fs::read(&file).expect("the filter was built");
        let digest: [u8; 32] = Sha256::digest(code).into();
        table.push_str(&format!("    ({name:?}, include_bytes!({file:?}), {digest:?}),\n"));
    }
    table.push_str("];\n");
    fs::write(out.join("builtins.rs"), table).expect("OUT_DIR can be written");
}
