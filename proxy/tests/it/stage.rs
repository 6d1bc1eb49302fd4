//! What most tests start from: one listener, one cluster, and Weir between them.

use std::net::SocketAddr;

use anyhow::Result;
use weir_testkit::{Launch, WeirProcess};

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
