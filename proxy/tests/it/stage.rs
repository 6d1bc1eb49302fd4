//! What most tests start from: one listener, one cluster, and Weir between them.

use std::{net::SocketAddr, process::Command};

use anyhow::Result;
use weir_testkit::{Launch, Namespace, WeirProcess};

/// The binary under test.
pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A configuration with the listener `web` on a port of the system's, the cluster `origin`, an admin API, and
/// whatever a test adds.
pub(crate) fn plain(origin: SocketAddr, more: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n\n[workers]\ncount = 2\n\n\
         [listeners.web]\naddress = \"127.0.0.1:0\"\ncluster = \"origin\"\n\n\
         [clusters.origin]\nendpoints = [{{ address = \"{origin}\" }}]\n\n{more}\n"
    )
}

/// Weir with this configuration.
pub(crate) async fn weir(config: impl Into<String>) -> Result<WeirProcess> {
    Launch::new(WEIR, config).start().await
}

/// A network of the test's own, or a word about why there is none.
pub(crate) fn namespace() -> Option<Namespace> {
    match Namespace::new() {
        Ok(namespace) => Some(namespace),
        Err(reason) => {
            eprintln!("SKIPPED: {reason:#}");
            None
        }
    }
}

/// Whether there is such a program, with a word if there is not.
pub(crate) fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: there is no {program}");
    }
    there
}
