//! Introduction: a proxy before us says who the caller is (PROXY protocol), where config trusts it to.

use std::{net::IpAddr, time::Duration};

use tokio::time::{Instant, timeout_at};
use weir_config::checked::{ProxyProtocol, ProxyProtocolMode};

use crate::{
    proxy_protocol::{Addresses, Begin, LONGEST, parse},
    stream::Raw,
};

/// How a connection was introduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Introduced {
    /// As somebody else's.
    For(Addresses),
    /// It speaks for itself.
    ForItself,
    /// Not as config wants it, or by somebody who may not.
    Refused,
}

/// Reads the header that config expects, and no byte more.
pub(super) async fn introduced(
    raw: &mut Raw,
    peer: Option<IpAddr>,
    spec: &ProxyProtocol,
    patience: Duration,
) -> Introduced {
    // Whoever comes in on a Unix socket is on this machine, and let in by the socket's own rights.
    let trusted = peer.is_none_or(|peer| spec.from.iter().any(|network| network.contains(peer)));
    let required = spec.mode == ProxyProtocolMode::Require;
    if !trusted {
        return if required { Introduced::Refused } else { Introduced::ForItself };
    }
    let until = Instant::now() + patience;
    let mut bytes = vec![0; 256];
    let mut pause = Duration::from_millis(1);
    loop {
        let n = match timeout_at(until, raw.peek(&mut bytes)).await {
            Ok(Ok(n)) if n > 0 => n,
            // Silent: of one who need not speak it is not known what it would say.
            Err(_) if !required => return Introduced::ForItself,
            _ => return Introduced::Refused,
        };
        match parse(&bytes[..n]) {
            Begin::Header(header) => {
                // The bytes are there, so that this does not wait.
                return match raw.skip(header.length).await {
                    Ok(()) => header.addresses.map_or(Introduced::ForItself, Introduced::For),
                    Err(_) => Introduced::Refused,
                };
            }
            Begin::Other if !required => return Introduced::ForItself,
            Begin::Other | Begin::Malformed => return Introduced::Refused,
            Begin::Part if n == bytes.len() && n < LONGEST => bytes.resize(LONGEST, 0),
            // The reactor knows no "more than that".
            Begin::Part => {
                let paused = timeout_at(until, tokio::time::sleep(pause)).await;
                pause = (pause * 2).min(Duration::from_millis(50));
                match paused {
                    Ok(()) => {}
                    Err(_) if required => return Introduced::Refused,
                    Err(_) => return Introduced::ForItself,
                }
            }
        }
    }
}
