//! Answers that no endpoint gave: a filter's own, and the proxy's for what failed.

use super::{Answer, Exchange, Local, Stop, grpc};
use crate::{
    error::{Error, Failure},
    http::{
        outgoing::SendError,
        reply::{Length, Reply},
    },
    message::{Known, KnownSet, Method, ResponseHead},
    stream::Deadline,
};

/// Fields that a filter's reply cannot set: they frame the message.
const FRAMING: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLength,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
]);

impl Exchange<'_> {
    /// Answers in the origin's place. The filters review this response as any other, unless one of them
    /// is what failed.
    pub(super) async fn answer_locally(
        &mut self,
        stop: Stop,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) {
        let Some(answer) = self.local_head(stop) else { return reply.abort() };
        // What follows on the connection is no request, or nobody knows when it will come.
        reply.close |=
            matches!(&self.sofar.local, Some(Local::Failure(error)) if error.failure.ends_connection());
        let reviewed = match &self.sofar.local {
            Some(Local::Failure(error)) if error.failure == Failure::FilterFault => Ok(None),
            _ => self.review(Length::Known(answer.len() as u64)),
        };
        let body = match reviewed {
            Ok(None) => answer,
            Ok(Some(replaced)) => self.answered_by(replaced),
            Err(stop) => match self.local_head(stop) {
                Some(body) => body,
                None => return reply.abort(),
            },
        };
        let silence = self.listener.plan.config.limits.body_timeout;
        deadline.set_after(silence);
        let failure = match deadline.bound(self.send_local(&body, reply)).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => Failure::DownstreamAborted,
            Err(_) => Failure::WriteTimeout,
        };
        self.sofar.aborted = Some(failure);
        reply.abort();
    }

    /// Fills the response's head and gives its body; none if nobody is there to answer.
    fn local_head(&mut self, stop: Stop) -> Option<Vec<u8>> {
        match stop {
            Stop::Answer(answer) => {
                answer.fill(&mut self.heads.response);
                let mut body = self.answered_by(*answer);
                let head = &mut self.heads.response;
                let own = head.fields.get_known(Known::GrpcStatus).is_some();
                if head.status >= 400 && !own && grpc::is_grpc(&self.heads.request.head) {
                    // Why a filter refuses is for the log; callers are told no more than others.
                    grpc::answer(head, reason(head.status));
                    body.clear();
                }
                Some(body)
            }
            Stop::Reached => {
                self.sofar.local = Some(Local::Reached);
                Some(self.reached_head())
            }
            Stop::Failed(error) => {
                let status = error.failure.consequence().status;
                if status == 0 {
                    self.sofar.aborted = Some(error.failure);
                    return None;
                }
                let mut body = failure_head(&error, &mut self.heads.response);
                if grpc::is_grpc(self.request()) {
                    grpc::answer(&mut self.heads.response, error.failure.reason());
                    body.clear();
                }
                self.sofar.local = Some(Local::Failure(error));
                Some(body)
            }
        }
    }

    /// Writes down whose answer it is that goes out, and gives its body.
    fn answered_by(&mut self, answer: Answer) -> Vec<u8> {
        let Answer { by, body, reason, .. } = answer;
        self.sofar.local = Some(Local::Filter(by, reason));
        body
    }

    /// A filter replaced the response that an endpoint gave.
    pub(super) async fn send_answer(&mut self, answer: Answer, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let body = self.answered_by(answer);
        self.send_local(&body, reply).await.map_err(|_| Failure::DownstreamAborted.into())
    }

    /// Tells the caller the exchange's id, for whoever will ask about it, and not to come back while the process
    /// goes down.
    pub(super) fn mark_response(&mut self, reply: &mut Reply<'_>) {
        reply.close |= self.state.worker.draining.is_raised();
        let id = &self.heads.request.id;
        self.heads.response.fields.set_known(Known::XRequestId, id.as_bytes());
    }

    async fn send_local(&mut self, body: &[u8], reply: &mut Reply<'_>) -> Result<(), SendError> {
        self.mark_response(reply);
        let head = &mut self.heads.response;
        if head.fields.get_known(Known::Date).is_none() {
            let mut date = self.state.date.borrow_mut();
            head.fields.push_known(Known::Date, date.at(std::time::SystemTime::now()));
        }
        let to_head = self.heads.request.head.method == Method::Head;
        let whole = body.is_empty() && head.fields.get_known(Known::GrpcStatus).is_some();
        self.sofar.status = head.status;
        if to_head || whole || matches!(head.status, 204 | 304) {
            if to_head && head.status != 204 && head.status != 304 {
                head.fields.set_known(Known::ContentLength, body.len().to_string().as_bytes());
            }
            reply.begin(head, Length::None)?;
            return reply.body().end(None).await;
        }
        reply.begin(head, Length::Known(body.len() as u64))?;
        if !body.is_empty() {
            reply.body().data(body).await?;
            self.transfer.sent.bytes.set(body.len() as u64);
        }
        reply.body().end(None).await
    }
}

/// In words (RFC 9110 15).
fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

impl Answer {
    /// Makes this the response's head.
    pub(super) fn fill(&self, head: &mut ResponseHead) {
        head.clear();
        head.status = self.status;
        for (name, value) in &self.fields {
            if !FRAMING.contains(Known::of(name)) {
                head.fields.push(name, value);
            }
        }
    }
}

/// The head and the body of the proxy's own answer to a failure: a line for people, `Proxy-Status` for
/// programs (RFC 9209).
pub(in crate::http) fn failure_head(error: &Error, head: &mut ResponseHead) -> Vec<u8> {
    let row = error.failure.consequence();
    head.clear();
    head.status = row.status;
    let mut status = format!("weir; error={}", row.proxy_status);
    let detail: String =
        error.detail.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
    let detail = if detail.is_empty() { row.reason.to_owned() } else { format!("{}: {detail}", row.reason) };
    status.push_str("; details=\"");
    status.push_str(&detail);
    status.push('"');
    head.fields.push_known(Known::ProxyStatus, status.as_bytes());
    head.fields.push_known(Known::ContentType, b"text/plain; charset=utf-8");
    if row.status == 503 {
        head.fields.push_known(Known::RetryAfter, b"1");
    }
    format!("{}\n", row.reason.replace('_', " ")).into_bytes()
}
