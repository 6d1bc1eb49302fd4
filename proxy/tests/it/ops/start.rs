//! A start that cannot succeed says why, and ends with 1.

use anyhow::Result;
use weir_testkit::{Launch, Stream};

use crate::stage::{WEIR, plain, weir};

fn nowhere(more: &str) -> String {
    plain(([127, 0, 0, 1], 9).into(), more)
}

/// What it said when it ended.
async fn refused(config: String) -> Result<String> {
    let output = Launch::new(WEIR, config).refused().await?;
    assert_eq!(output.status.code(), Some(1));
    Ok(output.stderr.join("\n"))
}

#[tokio::test]
async fn a_port_of_another_weir_is_not_shared_with_it() -> Result<()> {
    let first = weir(nowhere("")).await?;
    let taken = first.address("web")?;
    let told = refused(nowhere("").replace(
        "[listeners.web]\naddress = \"127.0.0.1:0\"",
        &format!("[listeners.web]\naddress = \"{taken}\""),
    ))
    .await?;
    assert!(told.contains("listeners.web: cannot listen on"), "{told}");
    assert!(told.contains(&taken.to_string()) && told.contains("another process listens there"), "{told}");
    Stream::connect(taken).await?;
    Ok(())
}

#[tokio::test]
async fn an_admin_address_in_use_ends_the_start_before_traffic_is_taken() -> Result<()> {
    let first = weir(nowhere("")).await?;
    let taken = format!("[admin]\naddress = \"{}\"", first.admin()?);
    let told = refused(nowhere("").replace("[admin]\naddress = \"127.0.0.1:0\"", &taken)).await?;
    assert!(told.contains("admin.address: cannot listen on"), "{told}");
    assert!(!told.contains("listening"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_configuration_that_is_wrong_is_told_as_by_check() -> Result<()> {
    let told = refused(nowhere("").replace("cluster = \"origin\"", "cluster = \"orgin\"")).await?;
    for expected in ["weir.toml:9:", "there is no cluster `orgin`", "help: ", "1 error"] {
        assert!(told.contains(expected), "no {expected:?} in\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_files_is_told_too() -> Result<()> {
    let filter = "[filters.a]\nwasm = \"a.wasm\"\n";
    let config = nowhere(filter).replace("cluster = \"origin\"\n", "cluster = \"origin\"\nchain = [\"a\"]\n");
    let output = Launch::new(WEIR, config).file("a.wasm", "nothing").refused().await?;
    let told = output.stderr.join("\n");
    assert!(told.contains("filters.a: not WebAssembly"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_named() -> Result<()> {
    let told = refused(nowhere("[access_log]\nto = \"{dir}/missing/access.log\"\n")).await?;
    assert!(told.contains("access_log.to: ") && told.contains("missing/access.log"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_path_that_is_no_socket_is_not_replaced() -> Result<()> {
    let config = nowhere("[listeners.local]\naddress = \"unix:{dir}/weir.toml\"\ncluster = \"origin\"\n");
    let told = refused(config).await?;
    assert!(told.contains("listeners.local: cannot listen on") && told.contains("no socket"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_cache_that_others_can_write_is_not_used_and_said_so() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
    let cache = format!("[cache]\ndirectory = \"{}\"\n", folder.path().display());
    let weir = weir(nowhere(&cache)).await?;
    weir.line_with("compiled filters are not cached").await?;
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn what_compiling_a_filter_takes_does_not_stay_with_the_proxy() -> Result<()> {
    let filter = "[filters.breaker]\nwasm = \"builtin:circuit-breaker\"\nconfig = { cluster = \"origin\" }\n";
    let config = nowhere(filter).replacen(
        "cluster = \"origin\"\n",
        "cluster = \"origin\"\nchain = [\"breaker\"]\n",
        1,
    );
    let weir = weir(config).await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", weir.id()))?;
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    let kib: u64 = own.trim().trim_end_matches(" kB").parse()?;
    // About 8 MiB; a compiler leaves 30 and more behind.
    assert!(kib < 20 << 10, "{kib} KiB");
    let said = weir.stderr().into_iter().chain(weir.stdout()).collect::<Vec<_>>().join("\n");
    assert!(!said.contains("compiled in the proxy itself"), "{said}");
    Ok(())
}
