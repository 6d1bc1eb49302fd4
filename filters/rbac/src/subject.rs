//! What a rule is asked about: a request, or a connection.

use std::net::IpAddr;

use weir_sdk::{Connection, Field, Request, Setup};

/// Values that requests and connections have in common, where requests show them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    Identity,
    Address,
    Sni,
    Listener,
}

impl Known {
    pub(crate) fn ask(self, setup: &mut Setup) -> Field {
        setup.request(match self {
            Known::Identity => "@peer.identity",
            Known::Address => "@peer.address",
            Known::Sni => "@tls.sni",
            Known::Listener => "@listener",
        })
    }
}

/// Whom a rule judges.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    Request(&'a Request<'a>),
    Connection(&'a Connection<'a>),
}

impl<'a> Subject<'a> {
    /// The request; rules about requests are not asked about anything else.
    pub(crate) fn request(self) -> Option<&'a Request<'a>> {
        if let Subject::Request(request) = self { Some(request) } else { None }
    }

    pub(crate) fn text(self, known: Known, field: Field) -> Option<&'a str> {
        match (self, known) {
            (Subject::Request(request), _) => request.text(field),
            (Subject::Connection(connection), Known::Identity) => connection.identity(),
            (Subject::Connection(connection), Known::Address) => connection.peer().map(|peer| peer.ip),
            (Subject::Connection(connection), Known::Sni) => connection.sni(),
            (Subject::Connection(connection), Known::Listener) => Some(connection.listener()),
        }
    }

    pub(crate) fn address(self, field: Field) -> Option<IpAddr> {
        self.text(Known::Address, field)?.parse().ok()
    }
}
