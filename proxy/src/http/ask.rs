//! Requests that the proxy sends of its own: questions of filters, fetches of data, mirrored copies.
//!
//! They go through clusters like any attempt - balanced, limited, counted - but have no caller:
//! the request is in memory, and so is the answer, up to a bound.

use std::{future::poll_fn, rc::Rc, time::Duration};

use weir_config::checked::ClusterId;
use weir_runtime::{Answer, AnswerFailure};

use super::{
    h1::{Framing, HeadLimits},
    outgoing::{Outgoing, SendError},
    upstream::{HeadError, Sent, h2_request},
    watch::Watch,
};
use crate::{
    chain::LocalFilter,
    cluster::{Bound, Checkout, LocalCluster, Permit, Picked, Reuse},
    error::{Error, Failure},
    message::{Known, Method, Request, RequestHead, ResponseHead},
    snapshot::{LocalSnapshot, LocalState},
    stream::Buffer,
    worker::Worker,
};

/// Longest a question may take, whatever it says.
const LONGEST: Duration = Duration::from_secs(60);
/// Bodies up to this size are mirrored; a request with a longer one, or one of unknown length, is not.
pub(super) const MIRRORED: usize = 64 * 1024;

/// A request of the proxy's own, checked.
#[derive(Debug)]
pub struct Question {
    /// Where to.
    pub cluster: ClusterId,
    /// What.
    pub head: RequestHead,
    /// All of it.
    pub body: Vec<u8>,
    /// How long to wait for the whole answer.
    pub timeout: Duration,
    /// Given back to the filter.
    pub memo: Vec<u8>,
}

impl Question {
    /// A `GET`.
    pub fn get(cluster: ClusterId, authority: &str, path: &str, timeout: Duration) -> Option<Self> {
        let mut head = RequestHead::new();
        let legal = head.set_authority(authority.as_bytes()) && head.set_path_and_query(path.as_bytes());
        legal.then_some(Self { cluster, head, body: Vec::new(), timeout, memo: Vec::new() })
    }

    /// Checks what a filter asks.
    pub fn check(filter: &Rc<LocalFilter>, question: &weir_runtime::Question) -> Result<Self, String> {
        let position = question.cluster as usize;
        let granted = filter.plan.clusters.get(position).ok_or("asks a cluster it did not name")?;
        if !granted.ask {
            return Err(format!("asks cluster {:?} without grants.ask", &*granted.name));
        }
        let mut head = RequestHead::new();
        head.method = Method::parse(question.method.as_bytes()).ok_or("asks with an illegal method")?;
        if head.method == Method::Connect {
            return Err("asks with CONNECT".into());
        }
        if !question.path.starts_with('/') || !head.set_path_and_query(question.path.as_bytes()) {
            return Err("asks for an illegal path".into());
        }
        let mut authority = granted.name.as_bytes();
        for (name, value) in &question.fields {
            if name.eq_ignore_ascii_case("host") {
                authority = value;
            } else if !head.fields.push(name, value) {
                return Err(format!("asks with an illegal field {name:?}"));
            }
        }
        if !head.set_authority(authority) {
            return Err("asks with an illegal host".into());
        }
        head.fields.strip_hop_by_hop(false);
        head.fields.remove_known(Known::ContentLength);
        let timeout = Duration::from_millis(question.timeout_ms.into()).min(LONGEST);
        Ok(Self {
            cluster: granted.id,
            head,
            body: question.body.clone(),
            timeout,
            memo: question.memo.clone(),
        })
    }
}

/// Asks, and waits for the whole answer, of whose body at most `most` bytes are taken.
pub async fn ask(
    state: &LocalState,
    snapshot: &LocalSnapshot,
    question: Question,
    most: usize,
) -> Result<Answer, AnswerFailure> {
    let mut content = Vec::new();
    let take = |data: &[u8]| {
        let fits = content.len() + data.len() <= most;
        if fits {
            content.extend_from_slice(data);
        }
        fits
    };
    let head = match tokio::time::timeout(question.timeout, send(state, snapshot, &question, take)).await {
        Ok(Ok(head)) => head,
        Ok(Err(error)) => {
            return Err(match error.failure {
                Failure::RequestLimit | Failure::PendingLimit => AnswerFailure::Refused,
                Failure::BodyTooLarge | Failure::UpstreamHeadTooLarge => AnswerFailure::TooLarge,
                Failure::ConnectTimeout => AnswerFailure::Timeout,
                _ => AnswerFailure::Unreachable,
            });
        }
        Err(_) => return Err(AnswerFailure::Timeout),
    };
    let fields = head.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    Ok(Answer { status: head.status, fields, body: content })
}

/// Sends a copy of the request, with all of its body, to another cluster, without waiting for it. Nobody
/// hears how it went but that cluster's numbers; its limits bound how many copies are under way.
pub(super) fn mirror(
    state: &Rc<LocalState>,
    snapshot: &Rc<LocalSnapshot>,
    cluster: ClusterId,
    request: &Request,
    body: &[u8],
) {
    let Some(target) = snapshot.cluster(cluster) else { return };
    let timeout = target.shared.config.exchange_timeout;
    let mut head = request.head.clone();
    head.fields.remove_known(Known::ContentLength);
    let question = Question { cluster, head, body: body.to_vec(), timeout, memo: Vec::new() };
    let (state, snapshot) = (Rc::clone(state), Rc::clone(snapshot));
    tokio::task::spawn_local(async move {
        // The answer is read to its end, so that the connection can be used again, and forgotten.
        let _ = tokio::time::timeout(timeout, send(&state, &snapshot, &question, |_| true)).await;
    });
}

/// Sends a question; `take` is given the answer's body and says whether it wants the rest.
async fn send(
    state: &LocalState,
    snapshot: &LocalSnapshot,
    question: &Question,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<ResponseHead, Error> {
    let worker = &state.worker;
    let cluster = snapshot.cluster(question.cluster).ok_or(Failure::NoRoute)?;
    let Some(_permit) = Permit::acquire(&*cluster.bounds, Bound::Requests, worker.index) else {
        cluster.bounds.count_limit_hit(Bound::Requests, worker.index);
        return Err(Failure::RequestLimit.into());
    };
    let mut tried = Vec::new();
    let mut reuse = Reuse::Any;
    loop {
        let avoid: &[usize] = if reuse == Reuse::Any { &tried } else { &[] };
        worker.now();
        let picked = cluster.pick(worker, &Default::default(), None, avoid).ok_or(Failure::NoEndpoint)?;
        let mut watch = Watch::begin(worker, &cluster.shared, &picked);
        let failed = match try_once(worker, cluster, &picked, reuse, question, &mut watch, &mut take).await {
            Ok(head) => return Ok(head),
            Err(failed) => failed,
        };
        watch.stopped(failed.error.failure);
        match failed.again {
            Again::Fresh if reuse != Reuse::Never => reuse = reuse.after_failure(),
            Again::Elsewhere if tried.len() < usize::from(cluster.shared.config.retries) => {
                reuse = Reuse::Any;
                tried.push(picked.index);
                cluster.shared.metrics.retries.one(worker.index);
            }
            _ => return Err(failed.error),
        }
    }
}

/// A question that was not answered.
struct Failed {
    error: Error,
    again: Again,
}

/// Where it may be asked again. The rules are those of exchanges.
enum Again {
    No,
    Elsewhere,
    Fresh,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), again: Again::No }
    }
}

async fn try_once(
    worker: &Worker,
    cluster: &LocalCluster,
    picked: &Picked<'_>,
    reuse: Reuse,
    question: &Question,
    watch: &mut Watch<'_>,
    take: &mut impl FnMut(&[u8]) -> bool,
) -> Result<ResponseHead, Failed> {
    let checkout = cluster.checkout(worker, picked, reuse).await.map_err(|error| {
        let again = if error.failure.consequence().retry { Again::Elsewhere } else { Again::No };
        Failed { error, again }
    })?;
    match checkout {
        Checkout::H1(connection) => {
            let mut buffer = Buffer::default();
            let out = worker.buffers.take_output();
            let limits = HeadLimits { bytes: cluster.shared.config.limits.head, fields: 256 };
            let framing = match (question.body.len(), question.head.method.is_safe()) {
                (0, true) => Framing::None,
                (length, _) => Framing::Length(length as u64),
            };
            let sent =
                Sent::h1(&connection.io, &mut buffer, &worker.buffers, out, &question.head, framing, limits);
            let outcome = converse(sent, question, connection.served > 0, watch, take).await;
            let clean = buffer.is_empty();
            worker.buffers.give(buffer);
            let (head, keep_alive) = outcome?;
            if keep_alive && clean {
                cluster.give_back(worker, picked.index, connection);
            }
            Ok(head)
        }
        Checkout::H2(connection) => {
            let length = (!question.body.is_empty()).then_some(question.body.len() as u64);
            let secure = cluster.shared.tls.is_some();
            let request = h2_request(&question.head, cluster.shared.name(), secure, length)?;
            let sent = Sent::h2(&connection, request, length.is_none()).await.map_err(|error| {
                connection.retire();
                Failed { error: HeadError::H2(error).into_error(), again: Again::Fresh }
            })?;
            let (head, _) = converse(sent, question, connection.kept, watch, take).await?;
            connection.ended(None);
            Ok(head)
        }
    }
}

/// Sends the question and reads the answer. Says whether the connection can be used again.
async fn converse(
    sent: Sent<'_>,
    question: &Question,
    kept: bool,
    watch: &mut Watch<'_>,
    take: &mut impl FnMut(&[u8]) -> bool,
) -> Result<(ResponseHead, bool), Failed> {
    let Sent { mut sink, mut source } = sent;
    // An endpoint that stops listening may still answer, so a failed send is told by the head's absence.
    let uploaded = upload(&mut sink, &question.body).await.is_ok();
    let mut head = ResponseHead::new(200);
    let found = loop {
        let found = poll_fn(|cx| source.poll_head(cx, &mut head)).await.map_err(|error| {
            let again = match &error {
                HeadError::Silent(_) if kept && question.head.method.is_idempotent() => Again::Fresh,
                _ => Again::No,
            };
            Failed { error: error.into_error(), again }
        })?;
        if head.status >= 200 {
            break found;
        }
    };
    watch.answered(&head);
    head.fields.strip_hop_by_hop(false);
    let (mut body, meta) = source.into_body(found, &head, &question.head.method);
    while poll_fn(|cx| body.poll_fill(cx)).await.map_err(|_| Failure::UpstreamAborted)? {
        let n = body.data().len();
        if !take(body.data()) {
            return Err(Failure::BodyTooLarge.into());
        }
        body.consume(n);
    }
    Ok((head, meta.keep_alive && uploaded && body.is_over()))
}

async fn upload(sink: &mut Outgoing<'_>, body: &[u8]) -> Result<(), SendError> {
    if !body.is_empty() {
        sink.data(body).await?;
    }
    sink.end(None).await
}
