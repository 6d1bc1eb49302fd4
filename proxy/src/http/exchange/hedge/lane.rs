//! One of the attempts of a hedged exchange: it asks one endpoint, and reads no further than the head of the response.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Poll, ready},
};

use crate::{
    cluster::{Checkout, H1Connection, H2Connection, LocalCluster, Picked, Reuse},
    error::Failure,
    http::{
        exchange::retry::{Again, Failed},
        h1::{Framing, HeadLimits},
        outgoing::{Outgoing, SendError},
        upstream::{H1OrH2, Meta, Sent, h2_request},
    },
    message::{RequestHead, ResponseHead},
    snapshot::LocalState,
    stream::Buffer,
};

/// What all attempts send.
#[derive(Clone, Copy)]
pub(super) struct What<'l> {
    pub(super) request: &'l RequestHead,
    pub(super) content: &'l [u8],
    pub(super) framing: Framing,
    pub(super) length: Option<u64>,
}

/// A response as far as its head.
pub(super) struct Heard {
    pub(super) head: ResponseHead,
    pub(super) carrier: Carrier,
}

/// What the rest of it comes over.
pub(super) enum Carrier {
    H1(H1Connection, Buffer, Meta),
    H2(H2Connection, h2::RecvStream),
}

/// Asks one endpoint, over as many connections as it takes to find one that is not closed.
pub(super) async fn ask(
    state: &LocalState,
    cluster: &LocalCluster,
    picked: Picked<'_>,
    what: What<'_>,
) -> Result<Heard, Failed> {
    let mut reuse = Reuse::Any;
    loop {
        match ask_once(state, cluster, &picked, reuse, what).await {
            Err(failed) if failed.again == Again::Fresh && reuse != Reuse::Never => {
                reuse = reuse.after_failure();
            }
            // What is asked here does no harm.
            Err(Failed { stop, again: Again::Fresh | Again::FreshIfKept | Again::IfHarmless }) => {
                return Err(Failed { stop, again: Again::Elsewhere });
            }
            other => return other,
        }
    }
}

async fn ask_once(
    state: &LocalState,
    cluster: &LocalCluster,
    picked: &Picked<'_>,
    reuse: Reuse,
    what: What<'_>,
) -> Result<Heard, Failed> {
    let worker = &state.worker;
    let settle = |mut failed: Failed, kept: bool| {
        if failed.again == Again::FreshIfKept {
            failed.again = if kept { Again::Fresh } else { Again::Elsewhere };
        }
        failed
    };
    let checkout = cluster.checkout(worker, picked, reuse).await.map_err(Failed::unconnected)?;
    match checkout {
        Checkout::H1(connection) => {
            let mut buffer = Buffer::default();
            let limits = HeadLimits { bytes: cluster.shared.config.limits.head, fields: 256 };
            let out = worker.buffers.take_output();
            let sent = Sent::h1(
                &connection.io,
                &mut buffer,
                &worker.buffers,
                out,
                what.request,
                what.framing,
                limits,
            );
            let (head, found, is_sent) =
                listen(sent, what.content).await.map_err(|failed| settle(failed, connection.served > 0))?;
            let H1OrH2::H1(mut meta) = found else { return Err(Failed::no(Failure::UpstreamProtocol)) };
            meta.keep_alive &= is_sent;
            Ok(Heard { head, carrier: Carrier::H1(connection, buffer, meta) })
        }
        Checkout::H2(connection) => {
            let secure = cluster.shared.tls.is_some();
            let request = h2_request(what.request, cluster.shared.name(), secure, what.length);
            let request = request.map_err(Failed::no)?;
            let sent = Sent::h2(&connection, request, what.content.is_empty()).await.map_err(|error| {
                connection.retire();
                Failed::unopened(error)
            })?;
            let (head, found, _) = listen(sent, what.content).await.map_err(|failed| {
                if failed.again.is_fresh() {
                    connection.retire();
                }
                settle(failed, connection.kept)
            })?;
            let H1OrH2::H2(stream) = found else { return Err(Failed::no(Failure::UpstreamProtocol)) };
            Ok(Heard { head, carrier: Carrier::H2(connection, stream) })
        }
    }
}

/// Sends the request and, at the same time, waits for the head of the response. Says whether all was sent by then.
async fn listen(sent: Sent<'_>, content: &[u8]) -> Result<(ResponseHead, H1OrH2, bool), Failed> {
    let Sent { mut sink, mut source } = sent;
    let mut head = ResponseHead::new(200);
    let mut is_sent = false;
    let found = {
        let mut sending = pin!(send(&mut sink, content));
        poll_fn(|cx| {
            // An endpoint that stops listening may have said why.
            is_sent = is_sent || sending.as_mut().poll(cx).is_ready();
            loop {
                let found = ready!(source.poll_head(cx, &mut head)).map_err(Failed::headless)?;
                if head.status >= 200 {
                    return Poll::Ready(Ok::<_, Failed>(found));
                }
            }
        })
        .await?
    };
    Ok((head, found, is_sent))
}

async fn send(sink: &mut Outgoing<'_>, content: &[u8]) -> Result<(), SendError> {
    if !content.is_empty() {
        sink.data(content).await?;
    }
    sink.end(None).await
}
