//! What the documents tell to type is typed: every `sh` block of every document is gone through, and a command
//! that no test knows how to try fails.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use weir_testkit::{Launch, Output, Signal};

use crate::stage::WEIR;

const DOCUMENTS: [&str; 15] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/operations.md",
    "docs/configuration.md",
    "docs/filter-authors-guide.md",
    "docs/request-path.md",
    "examples/demo/README.md",
    "examples/grpc/README.md",
    "examples/hello-filter/README.md",
    "examples/mtls-pair/README.md",
    "examples/node-proxy/README.md",
    "examples/sidecar-pair/README.md",
    "examples/tcp/README.md",
    "examples/websocket/README.md",
    "benches/README.md",
];

/// Commands of others: they begin with one of these.
const OTHERS: [&str; 16] = [
    "git clone ",
    "cd ",
    "rustup target add ",
    "cargo new ",
    "cargo test",
    "cargo build ",
    "cargo bench",
    "cargo fuzz ",
    "python3 -m http.server ",
    "wasm-tools ",
    "openssl ",
    "h2spec ",
    "key=",
    "WEIR_ROTATION_SECONDS=",
    "sudo ",
    "mv ",
];

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(document: &str) -> Result<String> {
    std::fs::read_to_string(workspace().join(document)).with_context(|| document.to_owned())
}

/// Commands of a document's `sh` blocks, without their comments.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines =
        blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    let bare = lines.map(|line| {
        let command = line.split(" #").next().unwrap_or_default();
        command.trim().trim_matches(['(', ')', '&', ' ']).to_owned()
    });
    bare.filter(|command| !command.is_empty() && !command.starts_with('#')).collect()
}

/// The README's configuration, on ports of the system's.
fn configuration() -> Result<String> {
    let readme = read("README.md")?;
    let config =
        readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).context("toml")?;
    let anywhere = config.replace("127.0.0.1:9901", "127.0.0.1:0").replace("127.0.0.1:8080", "127.0.0.1:0");
    ensure!(anywhere.matches("127.0.0.1:0").count() == 2, "{config}");
    Ok(anywhere)
}

/// A file that documents speak of, in a folder of the test's.
fn stand_in(folder: &Path, argument: &str) -> Result<PathBuf> {
    let path = folder.join(argument.replace(['/', '.'], "_"));
    match argument.rsplit('.').next() {
        Some("toml") => std::fs::write(&path, configuration()?)?,
        Some("wasm") => std::fs::write(&path, super::variant("router", 1)?)?,
        _ => bail!("no test knows what {argument} is"),
    }
    Ok(path)
}

async fn type_weir(arguments: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    match arguments {
        ["run", "--config", _] => {
            let mut weir = Launch::new(WEIR, configuration()?).start().await?;
            weir.signal(Signal::TERM)?;
            ensure!(weir.ended().await?.success());
            return Ok(());
        }
        ["check", "--config", file] => {
            let file = stand_in(folder.path(), file)?.display().to_string();
            return succeeds(&["check", "--config", &file]).await;
        }
        ["filter", "inspect", file] if !file.starts_with("builtin:") => {
            let file = stand_in(folder.path(), file)?.display().to_string();
            return succeeds(&["filter", "inspect", &file]).await;
        }
        ["certs", ..] => return type_certs(folder.path(), arguments).await,
        ["filter", "inspect", _] | ["schema" | "version"] | ["capture", "print", ..] => {}
        _ => bail!("no test knows this command"),
    }
    succeeds(arguments).await
}

/// Folders that documents name become some of the test's; what one command needs, the one before makes.
async fn type_certs(folder: &Path, arguments: &[&str]) -> Result<()> {
    let inside = |arguments: &[&str]| -> Vec<String> {
        let mut folders = false;
        let one = |argument: &&str| {
            let is_folder = std::mem::replace(&mut folders, ["--ca", "--out"].contains(argument));
            if is_folder { folder.join(argument).display().to_string() } else { (*argument).to_owned() }
        };
        arguments.iter().map(one).collect()
    };
    if let Some(at) = arguments.iter().position(|argument| *argument == "--ca") {
        let id = arguments.iter().find_map(|argument| argument.strip_prefix("spiffe://"));
        let domain = id.and_then(|id| id.split('/').next()).context("--id")?;
        let made = inside(&["certs", "ca", "--trust-domain", domain, "--out", arguments[at + 1]]);
        succeeds(&made.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    }
    succeeds(&inside(arguments).iter().map(String::as_str).collect::<Vec<_>>()).await
}

async fn succeeds(arguments: &[&str]) -> Result<()> {
    let output = Output::of(WEIR, arguments).await?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// `curl` at the admin API; what is asked of other addresses belongs to other tests.
async fn type_curl(words: &[&str]) -> Result<()> {
    let Some(path) = words.iter().find_map(|word| word.strip_prefix("http://127.0.0.1:9901")) else {
        return Ok(());
    };
    let weir = Launch::new(WEIR, configuration()?).start().await?;
    let posted = words.windows(2).any(|pair| pair == ["-X", "POST"]);
    let told = if posted { weir.admin_post(path, b"").await? } else { weir.admin_get(path).await? };
    ensure!(told.status < 300, "{path} answers {}: {}", told.status, told.text());
    Ok(())
}

/// The chores that `cargo xtask` lists.
fn chores() -> Result<Vec<String>> {
    let source = read("xtask/src/main.rs")?;
    let usage = source.split("usage: cargo xtask CHORE").nth(1).and_then(|rest| rest.split("\";").next());
    let lines = usage.context("xtask's usage")?.lines().filter_map(|line| line.trim().split("  ").next());
    Ok(lines.filter(|chore| !chore.is_empty()).map(str::to_owned).collect())
}

async fn type_it(command: &str) -> Result<()> {
    // Only the first part of a pipe is ours.
    let first = command.split(" | ").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    match &*words {
        // Its options are tried by its own tests, since they need what only those build.
        ["cargo", "xtask", "bench", kind, ..] => {
            ensure!(chores()?.contains(&format!("bench {kind}")), "there is no benchmark {kind:?}");
            Ok(())
        }
        ["cargo", "xtask", chore @ ..] => {
            let chore = chore.join(" ");
            ensure!(chores()?.contains(&chore), "cargo xtask has no chore {chore:?}");
            Ok(())
        }
        ["cargo", "run", "--release", "-p", "weir", "--", arguments @ ..] => type_weir(arguments).await,
        ["curl", rest @ ..] => type_curl(rest).await,
        [program, arguments @ ..] if *program == "weir" || program.ends_with("/weir") => {
            type_weir(arguments).await
        }
        _ if OTHERS.iter().any(|other| first.starts_with(other)) => Ok(()),
        _ => bail!("no test knows this command"),
    }
}

#[tokio::test]
async fn every_command_in_the_documents_does_what_it_should() -> Result<()> {
    let mut wrong = Vec::new();
    let mut typed = std::collections::BTreeSet::new();
    for document in DOCUMENTS {
        for command in commands(&read(document)?) {
            if typed.insert(command.clone())
                && let Err(error) = type_it(&command).await
            {
                wrong.push(format!("{document}: {command}\n    {error:#}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for needed in
        ["weir check --config weir.toml", "weir run --config weir.toml", "weir version", "weir schema"]
    {
        assert!(typed.contains(needed), "no document tells of `{needed}`");
    }
    Ok(())
}

#[test]
fn commands_are_found() {
    let text = "```sh\nweir version   # says it\n# nothing\n(cd a && b) &\n```\n```toml\nx\n```\n```sh\nc \\\n d\n```";
    assert_eq!(commands(text), ["weir version", "cd a && b", "c   d"]);
}
