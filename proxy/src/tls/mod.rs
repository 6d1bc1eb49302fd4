//! TLS on both sides of the proxy: what is shown to callers and to origins, and who they turn out to be.
//!
//! Only rustls with aws-lc-rs is used: TLS 1.3, and 1.2 where config allows it, with the hybrid key exchange
//! X25519MLKEM768 preferred. Files are read once, checked as a whole and swapped as a whole, so that a half
//! written certificate never comes into force.

pub mod client;
mod error;
mod files;
#[cfg(test)]
mod identity_tests;
pub mod peer;
pub mod refusal;
pub mod server;
mod sni;
mod svid_files;
#[cfg(test)]
mod tests;
mod verifier;

pub use client::ClientTls;
pub use error::{TlsError, TlsFault};
pub use peer::PeerIdentity;
pub use refusal::Refused;
pub use server::ServerTls;
pub use svid_files::read_svid;

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider, version};
use std::sync::{Arc, LazyLock};

/// ALPN name of HTTP/2 (RFC 9113 3.1).
pub const H2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1 (RFC 7301 6).
pub const HTTP_1_1: &[u8] = b"http/1.1";

/// One provider for the process: its tables are not small.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

fn versions(allow_tls12: bool) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    if allow_tls12 { &BOTH } else { &BOTH[..1] }
}
