//! What is no request: counted and written down here, since no exchange will give an account of it.

use crate::{
    error::Error,
    message::{ConnectionInfo, Version},
    snapshot::{LocalListener, LocalState},
    telemetry::{
        access_log::{Flags, Record},
        metrics::{CodeClass, LocalReply},
    },
};

/// Accounts for a refusal. `status` is what the caller was told, 0 if nothing; `told` says whether that
/// went out.
pub(super) fn account(
    state: &LocalState,
    connection: &ConnectionInfo,
    listener: &LocalListener,
    (version, status, told): (Version, u16, bool),
    error: &Error,
) {
    let worker = state.worker.index;
    listener.plan.metrics.requests.one(worker, CodeClass::of(status));
    state.shared.metrics.process.local_replies.one(worker, LocalReply::of(error.failure));
    let Some(log) = &state.access_log else { return };
    log.borrow_mut().log(&Record {
        time_unix_ms: crate::clock::unix_ms(),
        listener: &listener.plan.config.name,
        peer: connection.peer.map(|peer| peer.ip().to_canonical()),
        identity: connection.identity.as_deref(),
        protocol: version.protocol(),
        status,
        reason: Some(error.failure.reason()),
        flags: Flags { downstream_aborted: !told, ..Flags::default() },
        ..Record::default()
    });
}
