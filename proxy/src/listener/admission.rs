//! Admission: what the filters of the listener's chain say of a connection, once it is known who calls and before
//! anything is served on it.

use std::{net::SocketAddr, sync::Arc};

use weir_runtime::{
    ConnectionView,
    contract::{Address, Protocol},
};

use super::connection::{Opened, refused};
use crate::{
    chain::{Refused, judge_connection, judges_connections},
    clock,
    message::{ConnectionInfo, Home, Scheme, Version},
    snapshot::{LocalListener, LocalState},
    telemetry::{access_log::Record, metrics::Refusal},
};

/// Has the chain judge a connection. None: it was refused, and is closed by being dropped.
pub(super) fn admitted(state: &LocalState, listener: &LocalListener, mut opened: Opened) -> Option<Opened> {
    let chain = listener.chain();
    if !judges_connections(&chain) {
        return Some(opened);
    }
    let known = Known::of(&opened);
    let verdict = judge_connection(&state.worker, &chain, &known.view());
    match verdict {
        Ok(None) => {}
        Ok(Some(chosen)) => opened.send_to(chosen),
        Err(by) => return known.refuse(state, listener, &by),
    }
    Some(opened)
}

impl Opened {
    fn send_to(&mut self, chosen: Home) {
        match self {
            // Never copies: nobody else has it yet.
            Self::H1(connection, ..) | Self::H2(connection, ..) => {
                Arc::make_mut(connection).home = Some(chosen);
            }
            Self::Tcp(_, cluster) => *cluster = Some(chosen.0),
        }
    }
}

/// What is shown of a connection, with text of its own where there is none.
struct Known<'a> {
    connection: &'a ConnectionInfo,
    protocol: Protocol,
    /// As the access log has it.
    told: &'static str,
    local: Option<(String, u16)>,
    destination: Option<(String, u16)>,
}

impl<'a> Known<'a> {
    fn of(opened: &'a Opened) -> Self {
        let (connection, protocol, told, local) = match opened {
            Opened::H1(connection, io, _) => {
                (&**connection, Protocol::Http1, Version::Http11.protocol(), io.local_address())
            }
            Opened::H2(connection, transport) => {
                (&**connection, Protocol::Http2, Version::Http2.protocol(), transport.local_address())
            }
            Opened::Tcp(caller, _) => {
                let protocol = if caller.protocol == "TLS" { Protocol::Tls } else { Protocol::Tcp };
                (&caller.connection, protocol, caller.protocol, caller.io.local_address())
            }
        };
        let (local, destination) = (local.map(written), connection.destination.map(written));
        Self { connection, protocol, told, local, destination }
    }

    fn view(&self) -> ConnectionView<'_> {
        let connection = self.connection;
        let peer = connection.peer.map(|peer| Address { ip: &connection.peer_text, port: peer.port() });
        ConnectionView {
            listener: &connection.listener,
            protocol: self.protocol,
            secure: connection.scheme == Scheme::Https,
            peer,
            local: address(&self.local),
            destination: address(&self.destination),
            sni: connection.sni.as_deref(),
            identity: connection.identity.as_deref(),
        }
    }

    /// Counts the refusal and writes it down: no exchange and no relay will.
    fn refuse(&self, state: &LocalState, listener: &LocalListener, by: &Refused) -> Option<Opened> {
        let connection = self.connection;
        let reason = by.reason();
        tracing::debug!(
            listener = &*connection.listener,
            filter = &*by.filter,
            reason,
            "a connection was refused"
        );
        if let Some(log) = &state.access_log {
            log.borrow_mut().log(&Record {
                tcp: true,
                time_unix_ms: clock::unix_ms(),
                listener: &connection.listener,
                peer: connection.peer.map(|peer| peer.ip().to_canonical()),
                identity: connection.identity.as_deref(),
                sni: connection.sni.as_deref(),
                protocol: self.told,
                reason: Some(reason),
                filter: Some(&by.filter),
                ..Record::default()
            });
        }
        let why = if by.reason.is_some() { Refusal::Policy } else { Refusal::FilterFault };
        refused(state, listener, why)
    }
}

fn written(address: SocketAddr) -> (String, u16) {
    (address.ip().to_canonical().to_string(), address.port())
}

fn address(of: &Option<(String, u16)>) -> Option<Address<'_>> {
    of.as_ref().map(|(ip, port)| Address { ip, port: *port })
}
