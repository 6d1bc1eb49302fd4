//! One check of an endpoint's health: over a connection of its own, so that it neither waits for exchanges nor takes
//! their places, and with the cluster's protocol and TLS, so that it fails where they would.

use std::future::poll_fn;

use bytes::Bytes;
use weir_config::checked::{Check, Health};

use super::{
    h1::{Framing, HeadLimits},
    incoming::Incoming,
    outgoing::{H2Outgoing, Outgoing},
    upstream::{H1OrH2, HeadSource, Sent, h2_request},
};
use crate::{
    cluster::{Cluster, Connected, Endpoint},
    error::{Error, Failure},
    message::{Fields, Known, Method, RequestHead, ResponseHead},
    stream::{Buffer, Io},
    worker::Worker,
};

/// What of an answer's body is read.
const LARGEST: usize = 16 * 1024;

/// Checks an endpoint. The error says, for people, why it is not well.
pub async fn check(
    worker: &Worker,
    cluster: &Cluster,
    endpoint: &Endpoint,
    health: &Health,
) -> Result<(), String> {
    match tokio::time::timeout(health.timeout, ask(worker, cluster, endpoint, health)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {:?}", health.timeout)),
    }
}

async fn ask(worker: &Worker, cluster: &Cluster, endpoint: &Endpoint, health: &Health) -> Result<(), String> {
    let connected = Connected::to(cluster, endpoint).await.map_err(|error| error.to_string())?;
    match &health.check {
        Check::Tcp => Ok(()),
        Check::Http { path, host, statuses } => {
            let host = host.as_deref().unwrap_or(cluster.name());
            let head = head(Method::Get, host, path, &[])?;
            let answer = converse(worker, cluster, connected, &head, &[]).await?;
            match statuses.contains(&answer.head.status) {
                true => Ok(()),
                false => Err(format!("answered with status {}", answer.head.status)),
            }
        }
        Check::Grpc { service } => {
            let fields = [("content-type", "application/grpc"), ("te", "trailers")];
            let head = head(Method::Post, cluster.name(), "/grpc.health.v1.Health/Check", &fields)?;
            judge_grpc(&converse(worker, cluster, connected, &head, &request_for(service)).await?)
        }
    }
}

fn head(method: Method, host: &str, path: &str, fields: &[(&str, &str)]) -> Result<RequestHead, String> {
    let mut head = RequestHead::new();
    head.method = method;
    let legal = head.set_authority(host.as_bytes()) && head.set_path_and_query(path.as_bytes());
    let legal =
        fields.iter().fold(legal, |legal, (name, value)| legal && head.fields.push(name, value.as_bytes()));
    let legal = legal && head.fields.push("user-agent", b"weir-health");
    legal.then_some(head).ok_or_else(|| "the path or the host is not legal in a request".to_owned())
}

/// What an endpoint said.
struct Answer {
    head: ResponseHead,
    body: Vec<u8>,
    trailers: Option<Fields>,
}

/// Sends the one request of a connection.
async fn converse(
    worker: &Worker,
    cluster: &Cluster,
    connected: Connected,
    head: &RequestHead,
    body: &[u8],
) -> Result<Answer, String> {
    match connected {
        Connected::H1(io) => converse_h1(worker, cluster, &io, head, body).await,
        Connected::H2(io) => {
            let told = |error: h2::Error| error.to_string();
            let mut builder = h2::client::Builder::new();
            builder.enable_push(false);
            let handshake = builder.handshake::<_, Bytes>(io.into_transport());
            let (send, connection) = handshake.await.map_err(told)?;
            let talk = async {
                let secure = cluster.tls.is_some();
                let length = (!body.is_empty()).then_some(body.len() as u64);
                let request =
                    h2_request(head, cluster.name(), secure, length).map_err(|error| error.to_string())?;
                let mut send = send.ready().await.map_err(told)?;
                let (response, stream) = send.send_request(request, body.is_empty()).map_err(told)?;
                let sink =
                    if body.is_empty() { Outgoing::Ended } else { Outgoing::H2(H2Outgoing::new(stream)) };
                answer(Sent { sink, source: HeadSource::H2(response) }, head, body).await
            };
            tokio::select! {
                answer = talk => answer,
                // Without a driver nothing moves; when it ends, so does the talk.
                ended = connection => Err(ended.err().map_or_else(|| "closed".to_owned(), told)),
            }
        }
    }
}

async fn converse_h1(
    worker: &Worker,
    cluster: &Cluster,
    io: &Io,
    head: &RequestHead,
    body: &[u8],
) -> Result<Answer, String> {
    let mut buffer = Buffer::default();
    let limits = HeadLimits { bytes: cluster.config.limits.head, fields: 256 };
    let framing = if body.is_empty() { Framing::None } else { Framing::Length(body.len() as u64) };
    let out = worker.buffers.take_output();
    let sent = Sent::h1(io, &mut buffer, &worker.buffers, out, head, framing, limits);
    let answer = answer(sent, head, body).await;
    worker.buffers.give(buffer);
    answer
}

async fn answer(sent: Sent<'_>, head: &RequestHead, body: &[u8]) -> Result<Answer, String> {
    let Sent { mut sink, mut source } = sent;
    // If it does not listen, it may still answer.
    let _ = async {
        if !body.is_empty() {
            sink.data(body).await?;
        }
        sink.end(None).await
    }
    .await;
    let mut answer = Answer { head: ResponseHead::new(200), body: Vec::new(), trailers: None };
    let found: H1OrH2 = loop {
        let found = poll_fn(|cx| source.poll_head(cx, &mut answer.head)).await;
        let found = found.map_err(|error| error.into_error().to_string())?;
        if answer.head.status >= 200 {
            break found;
        }
    };
    let (mut incoming, _) = source.into_body(found, &answer.head, &head.method);
    read(&mut incoming, &mut answer).await.map_err(|error| error.to_string())?;
    Ok(answer)
}

async fn read(incoming: &mut Incoming<'_>, answer: &mut Answer) -> Result<(), Error> {
    while poll_fn(|cx| incoming.poll_fill(cx)).await.map_err(|_| Failure::UpstreamAborted)? {
        let n = incoming.data().len();
        if answer.body.len() + n > LARGEST {
            // A page for people: its status has told all.
            return Ok(());
        }
        answer.body.extend_from_slice(incoming.data());
        incoming.consume(n);
    }
    answer.trailers = incoming.take_trailers();
    Ok(())
}

/// `HealthCheckRequest` (gRPC health checking protocol, v1) as a length-prefixed message: field 1, the name.
fn request_for(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// `HealthCheckResponse`: field 1 is the status, 1 means SERVING.
fn judge_grpc(answer: &Answer) -> Result<(), String> {
    if answer.head.status != 200 {
        return Err(format!("answered with status {}", answer.head.status));
    }
    let status = answer.head.fields.get_known(Known::GrpcStatus);
    let status = status.or_else(|| answer.trailers.as_ref()?.get_known(Known::GrpcStatus));
    match status {
        Some(b"0") => {}
        Some(other) => return Err(format!("grpc-status {}", String::from_utf8_lossy(other))),
        None => return Err("no grpc-status".to_owned()),
    }
    match answer.body.as_slice() {
        [0, _, _, _, _, 0x08, 1, ..] => Ok(()),
        [0, _, _, _, _, 0x08, 2, ..] => Err("NOT_SERVING".to_owned()),
        _ => Err("not SERVING".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_service() {
        assert_eq!(request_for(""), [0, 0, 0, 0, 0]);
        assert_eq!(request_for("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = request_for(&"x".repeat(300));
        assert_eq!((&long[1..5], &long[5..8]), (&[0, 0, 1, 47][..], &[0x0a, 0xac, 0x02][..]));
    }

    fn judged(body: &[u8], status: &str) -> Result<(), String> {
        let mut trailers = Fields::new();
        assert!(trailers.push("grpc-status", status.as_bytes()));
        judge_grpc(&Answer { head: ResponseHead::new(200), body: body.to_vec(), trailers: Some(trailers) })
    }

    #[test]
    fn only_serving_is_well() {
        assert_eq!(judged(&[0, 0, 0, 0, 2, 8, 1], "0"), Ok(()));
        assert!(judged(&[0, 0, 0, 0, 2, 8, 2], "0").is_err_and(|why| why == "NOT_SERVING"));
        for (body, status) in [(&[0, 0, 0, 0, 0][..], "0"), (&[], "0"), (&[0, 0, 0, 0, 2, 8, 1], "5")] {
            assert!(judged(body, status).is_err(), "{body:?} {status}");
        }
    }
}
