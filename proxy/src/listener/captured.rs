//! Captured: where a connection was going before the system led it here.

use std::{io, net::SocketAddr};

use socket2::{SockAddr, SockRef};
use tokio::net::TcpStream;

use super::accept::unmapped;
use crate::{capture::circle, telemetry::metrics::Refusal};

/// Where a connection of `peer` was going. Err: it would go round in circles - made to this very address, it was not
/// going anywhere else; made by the proxy itself, it has been here before.
pub(super) fn original(tcp: &TcpStream, peer: SocketAddr) -> Result<SocketAddr, Refusal> {
    let told = told(SockRef::from(tcp), peer.is_ipv4()).ok().and_then(|address| address.as_socket());
    let (Some(told), Ok(own)) = (told, tcp.local_addr()) else { return Err(Refusal::NotCaptured) };
    let (destination, own) = (unmapped(told), unmapped(own));
    if (destination.ip(), destination.port()) == (own.ip(), own.port()) {
        return Err(Refusal::NotCaptured);
    }
    match circle::is_closed_by(peer, destination) {
        true => Err(Refusal::Circle),
        false => Ok(destination),
    }
}

/// What the system tells (`SO_ORIGINAL_DST`, `IP6T_SO_ORIGINAL_DST`). It is an error where nothing is captured at all;
/// where something is, others are told their own address.
#[cfg(target_os = "linux")]
fn told(socket: SockRef<'_>, ipv4: bool) -> io::Result<SockAddr> {
    // By the family that the connection has, and not by the socket's, which may serve both.
    if ipv4 { socket.original_dst_v4() } else { socket.original_dst_v6() }
}

#[cfg(not(target_os = "linux"))]
fn told(_: SockRef<'_>, _: bool) -> io::Result<SockAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
