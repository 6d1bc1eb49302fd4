//! Requests that the proxy sends of its own: questions of filters, fetches of data, mirrored copies.
//!
//! They go through clusters like any attempt - balanced, limited, observed by nobody - but have no caller:
//! the request is in memory, and so is the answer, up to a bound.

use std::{future::poll_fn, rc::Rc, time::Duration};

use weir_config::checked::ClusterId;
use weir_runtime::{Answer, AnswerFailure};

use super::{
    h1::{Framing, HeadLimits},
    incoming::Incoming,
    outgoing::Outgoing,
    upstream::Sent,
};
use crate::{
    chain::LocalFilter,
    cluster::{Bound, Checkout, Permit},
    error::{Error, Failure},
    message::{Known, Method, Request, RequestHead, ResponseHead, Scheme},
    snapshot::{LocalSnapshot, LocalState},
};

/// Longest a question may take, whatever it says.
const LONGEST: Duration = Duration::from_secs(60);
/// Bodies up to this size are mirrored.
const MIRRORED: usize = 64 * 1024;

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
    let timeout = question.timeout;
    match tokio::time::timeout(timeout, send(state, snapshot, &question, most)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match error.failure {
            Failure::RequestLimit | Failure::PendingLimit => AnswerFailure::Refused,
            Failure::BodyTooLarge | Failure::UpstreamHeadTooLarge => AnswerFailure::TooLarge,
            Failure::ConnectTimeout => AnswerFailure::Timeout,
            _ => AnswerFailure::Unreachable,
        }),
        Err(_) => Err(AnswerFailure::Timeout),
    }
}

async fn send(
    state: &LocalState,
    snapshot: &LocalSnapshot,
    question: &Question,
    most: usize,
) -> Result<Answer, Error> {
    let worker = &state.worker;
    let cluster = snapshot.cluster(question.cluster).ok_or(Failure::NoRoute)?;
    let _permit = Permit::acquire(&cluster.shared, Bound::Requests).ok_or(Failure::RequestLimit)?;
    let picked = cluster.pick(worker, &Default::default(), None, &[]).ok_or(Failure::NoEndpoint)?;
    let framing = match (question.body.len(), question.head.method.is_safe()) {
        (0, true) => Framing::None,
        (length, _) => Framing::Length(length as u64),
    };
    let limits = HeadLimits { bytes: cluster.shared.config.limits.head, fields: 256 };
    // A kept connection may just have been closed: one more try over a new one.
    let mut fresh = false;
    loop {
        let mut buffer = worker.buffers.take();
        match cluster.checkout(worker, &picked, fresh).await? {
            Checkout::H1(connection) => {
                let out = worker.buffers.take_output();
                let sent = Sent::h1(&connection.io, &mut buffer, out, &question.head, framing, limits);
                let outcome = converse(sent, question, most).await;
                let clean = buffer.is_empty();
                worker.buffers.give(buffer);
                match outcome {
                    Err(error)
                        if !fresh && connection.served > 0 && error.failure == Failure::UpstreamClosed =>
                    {
                        fresh = true;
                    }
                    Err(error) => return Err(error),
                    Ok((answer, keep_alive)) => {
                        if keep_alive && clean {
                            cluster.give_back(worker, picked.index, connection);
                        }
                        return Ok(answer);
                    }
                }
            }
            Checkout::H2(mut connection) => {
                let scheme = if cluster.shared.tls.is_some() { Scheme::Https } else { Scheme::Http };
                let length = (!question.body.is_empty()).then_some(question.body.len() as u64);
                let ends = length.is_none();
                match Sent::h2(&mut connection, &question.head, scheme, ends, length).await {
                    Ok(sent) => return converse(sent, question, most).await.map(|(answer, _)| answer),
                    Err(_) if !fresh => {
                        connection.retire();
                        fresh = true;
                    }
                    Err(error) => return Err(Error::with(Failure::UpstreamClosed, error.to_string())),
                }
            }
        }
    }
}

async fn converse(sent: Sent<'_>, question: &Question, most: usize) -> Result<(Answer, bool), Error> {
    let Sent { mut sink, mut source } = sent;
    // An endpoint that stops listening may still answer, so a failed send is told by the head's absence.
    let _ = upload(&mut sink, &question.body).await;
    let mut head = ResponseHead::new(200);
    let found = loop {
        let found =
            poll_fn(|cx| source.poll_head(cx, &mut head)).await.map_err(|error| error.into_error())?;
        if head.status >= 200 {
            break found;
        }
    };
    head.fields.strip_hop_by_hop(false);
    let (mut body, meta) = source.into_body(found, &head, &question.head.method);
    let mut content = Vec::new();
    while poll_fn(|cx| body.poll_fill(cx)).await.map_err(|_| Failure::UpstreamAborted)? {
        let n = body.data().len();
        if content.len() + n > most {
            return Err(Failure::BodyTooLarge.into());
        }
        content.extend_from_slice(body.data());
        body.consume(n);
    }
    let fields = head.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    Ok((Answer { status: head.status, fields, body: content }, meta.keep_alive))
}

async fn upload(sink: &mut Outgoing<'_>, body: &[u8]) -> Result<(), super::outgoing::SendError> {
    if !body.is_empty() {
        sink.data(body).await?;
    }
    sink.end(None).await
}

/// Sends a copy of the request to another cluster, without waiting for it. Bodies up to 64 KiB are held for
/// that; a request with a longer one, or one of unknown length, is not mirrored.
pub async fn mirror(
    state: &Rc<LocalState>,
    snapshot: &Rc<LocalSnapshot>,
    cluster: ClusterId,
    request: &Request,
    body: &mut Incoming<'_>,
) {
    if !body.is_over() && !matches!(body, Incoming::Held(_)) {
        let length = request.head.fields.get_known(Known::ContentLength);
        let length = length.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
        if length.is_none_or(|length| length > MIRRORED) || hold(body).await.is_err() {
            return;
        }
    }
    let mut head = request.head.clone();
    head.fields.remove_known(Known::ContentLength);
    let content = body.data().to_vec();
    let question = Question { cluster, head, body: content, timeout: LONGEST, memo: Vec::new() };
    let (state, snapshot) = (Rc::clone(state), Rc::clone(snapshot));
    tokio::task::spawn_local(async move {
        let _ = ask(&state, &snapshot, question, 16 * 1024 * 1024).await;
    });
}

/// Reads a body whose length is known to be small.
async fn hold(body: &mut Incoming<'_>) -> Result<(), super::incoming::BodyError> {
    let mut held = Vec::new();
    while poll_fn(|cx| body.poll_fill(cx)).await? {
        let n = body.data().len();
        held.extend_from_slice(body.data());
        body.consume(n);
    }
    let trailers = body.take_trailers();
    *body = Incoming::held(held, trailers);
    Ok(())
}
