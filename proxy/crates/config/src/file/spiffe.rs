//! Values that name workloads: SPIFFE IDs, patterns of them, and the agent that gives them out.

use std::fmt::{self, Display, Formatter};

use super::value::{Leaf, Rejection, leaf, written};
use crate::spiffe::{SpiffeId, SpiffePattern};

leaf!(SpiffeIdText, PeerPattern, WorkloadApi);

/// The name of one workload.
pub(crate) struct SpiffeIdText(pub(crate) SpiffeId);

impl Leaf for SpiffeIdText {
    const FORMAT: &'static str = "spiffe-id";
    const MEANING: &'static str = "The name of a workload: `\"spiffe://shop.example/ns/web/sa/cart\"`.";

    fn parse(text: &str) -> Result<SpiffeIdText, Rejection> {
        SpiffeId::parse(text).map(SpiffeIdText).map_err(|reason| refused(text, "SPIFFE ID", reason))
    }
}

/// The names of some workloads.
pub(crate) struct PeerPattern(pub(crate) SpiffePattern);

impl Leaf for PeerPattern {
    const FORMAT: &'static str = "spiffe-pattern";
    const MEANING: &'static str = "A SPIFFE ID in which `*` stands for any one segment of the path and `**` at \
        the end for one or more: `\"spiffe://shop.example/ns/*/sa/web\"`, `\"spiffe://shop.example/**\"`.";

    fn parse(text: &str) -> Result<PeerPattern, Rejection> {
        SpiffePattern::parse(text)
            .map(PeerPattern)
            .map_err(|reason| refused(text, "pattern of SPIFFE IDs", reason))
    }
}

fn refused(text: &str, what: &str, reason: &str) -> Rejection {
    Rejection::new(format!("`{}` is not a {what}", text.escape_debug()), reason)
}

/// Path of the agent's socket.
pub(crate) struct WorkloadApi(pub(crate) String);

impl Leaf for WorkloadApi {
    const FORMAT: &'static str = "workload-api";
    const MEANING: &'static str = "The Unix socket of a SPIFFE agent: `\"unix:/run/spire/agent.sock\"`.";

    fn parse(text: &str) -> Result<WorkloadApi, Rejection> {
        let reason = || format!("`{}` is not the address of a SPIFFE agent", text.escape_debug());
        // As SPIFFE_ENDPOINT_SOCKET writes it, too (SPIFFE Workload Endpoint 4).
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if path.starts_with('/') && !path.contains('\0') && path.len() <= 107 => {
                Ok(WorkloadApi(path.into()))
            }
            Some(path) if path.len() > 107 => {
                Err(Rejection::new(reason(), "the kernel allows paths of 107 bytes"))
            }
            Some(_) => Err(Rejection::new(reason(), "the path has to be absolute")),
            None if text.starts_with("tcp:") => Err(Rejection::new(
                reason(),
                "agents are asked over Unix sockets only: the kernel tells them who asks",
            )),
            None => Err(Rejection::new(reason(), "for example: \"unix:/run/spire/agent.sock\"")),
        }
    }
}

written! {
    SpiffeIdText: self, f => self.0.fmt(f);
    PeerPattern: self, f => self.0.fmt(f);
    WorkloadApi: self, f => write!(f, "unix:{}", self.0);
}
