//! An ordinary origin, served by hyper over HTTP/1.1 or HTTP/2, that tells what it was asked.
//!
//! It answers any path with JSON about the request:
//! `{"origin", "connection", "request", "version", "method", "path", "authority", "fields": [[name, value]...],
//! "body_length", "body_sha256", "body", "trailers"}`, `body` being at most 4 KiB of it. Some paths do something
//! else instead:
//!
//! | path | answer |
//! |---|---|
//! | `/status/503` | that status, with the same JSON |
//! | `/delay/50ms` | the same JSON, later |
//! | `/bytes/1000000` | so many bytes, streamed |
//! | `/echo` | the body, streamed back as it comes, trailers included |
//! | `/trailers` | chunked `body` with the trailer `x-checked: yes` |
//! | `/grpc-status/5` | a gRPC answer without messages: trailers only |
//!
//! A request of `content-type: application/grpc` gets its messages back and the trailer `grpc-status: 0`.
//! On every path the query may add `status=`, `delay=` (ms) and, several times, `field=name:value`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context as Task, Poll},
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use crate::{
    Stream,
    tasks::{Owned, listen_at},
};

/// What the origin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EchoProtocol {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2 at once.
    H2,
    /// What ALPN says.
    Alpn,
}

/// How an origin is to be.
#[derive(Debug, Clone, Default)]
pub struct EchoOptions {
    /// Named in its answers, and in the field `x-origin`.
    pub name: String,
    /// What it speaks.
    pub protocol: EchoProtocol,
    /// Over TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// The origin. It and its connections end when this is dropped.
#[derive(Debug)]
pub struct EchoOrigin {
    address: SocketAddr,
    counts: Arc<Counts>,
    _task: Owned,
}

#[derive(Debug, Default)]
struct Counts {
    name: String,
    connections: AtomicUsize,
    requests: AtomicUsize,
    failing: AtomicBool,
}

impl EchoOrigin {
    /// HTTP/1.1 without TLS.
    pub async fn start(name: &str) -> Result<Self> {
        Self::start_with(EchoOptions { name: name.to_owned(), ..EchoOptions::default() }).await
    }

    /// As `options` say.
    pub async fn start_with(options: EchoOptions) -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), options).await
    }

    /// As `options` say, at an address of the caller's, who has a network of its own.
    pub async fn start_at(address: SocketAddr, options: EchoOptions) -> Result<Self> {
        let counts = Arc::new(Counts { name: options.name, ..Counts::default() });
        let for_task = counts.clone();
        let (address, task) = listen_at(address, move |number, stream| {
            for_task.connections.fetch_add(1, Relaxed);
            serve(stream, options.tls.clone(), options.protocol, for_task.clone(), number)
        })
        .await?;
        Ok(Self { address, counts, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Relaxed)
    }

    /// Requests answered so far.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Relaxed)
    }

    /// From now on every request is answered 500, until this is called with false.
    pub fn fail(&self, failing: bool) {
        self.counts.failing.store(failing, Relaxed);
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    protocol: EchoProtocol,
    counts: Arc<Counts>,
    connection: usize,
) {
    // A failed handshake or a broken connection is the peer's affair: tests look at what the peer reports.
    let Ok(stream) = Stream::accept(stream, tls).await else { return };
    let h2 = match protocol {
        EchoProtocol::H1 => false,
        EchoProtocol::H2 => true,
        EchoProtocol::Alpn => stream.alpn() == Some(b"h2"),
    };
    let service = service_fn(move |request| answer(counts.clone(), connection, request));
    let stream = TokioIo::new(stream);
    let _ = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        let mut http1 = hyper::server::conn::http1::Builder::new();
        http1.timer(TokioTimer::new()).half_close(true).serve_connection(stream, service).await
    };
}

async fn answer(
    counts: Arc<Counts>,
    connection: usize,
    request: Request<Incoming>,
) -> Result<Response<EchoBody>, Infallible> {
    let number = counts.requests.fetch_add(1, Relaxed);
    let wish = Wish::of(&request);
    if let Some(delay) = wish.delay {
        tokio::time::sleep(delay).await;
    }
    let status = if counts.failing.load(Relaxed) { 500 } else { wish.status };
    let grpc =
        request.headers().get("content-type").is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"));
    let mut response = match wish.kind {
        Kind::Bytes(length) => Response::new(EchoBody::Repeat(length)),
        Kind::Echo => Response::new(EchoBody::Echo(request.into_body(), None)),
        Kind::Trailers => Response::new(EchoBody::of(b"body".as_slice(), trailer("x-checked", "yes"))),
        Kind::GrpcStatus(code) => {
            let mut response = Response::new(EchoBody::Frames(VecDeque::new()));
            set(response.headers_mut(), "grpc-status", &code);
            set(response.headers_mut(), "content-type", "application/grpc");
            response
        }
        Kind::Report if grpc => {
            let mut response =
                Response::new(EchoBody::Echo(request.into_body(), Some(trailer("grpc-status", "0"))));
            set(response.headers_mut(), "content-type", "application/grpc");
            response
        }
        Kind::Report => report(&counts.name, connection, number, request).await,
    };
    set(response.headers_mut(), "x-origin", &counts.name);
    for (name, value) in &wish.fields {
        set(response.headers_mut(), name, value);
    }
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    Ok(response)
}

async fn report(
    origin: &str,
    connection: usize,
    number: usize,
    request: Request<Incoming>,
) -> Response<EchoBody> {
    let (head, body) = request.into_parts();
    let collected = match body.collect().await {
        Ok(collected) => collected,
        Err(error) => {
            let mut response = Response::new(EchoBody::whole(format!("the body broke off: {error}\n")));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            return response;
        }
    };
    let trailers = collected.trailers().map(pairs).unwrap_or_default();
    let body = collected.to_bytes();
    let text = serde_json::json!({
        "origin": origin,
        "connection": connection,
        "request": number,
        "version": format!("{:?}", head.version),
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map_or("", |p| p.as_str()),
        "authority": head.uri.authority().map(|a| a.as_str()),
        "fields": pairs(&head.headers),
        "body_length": body.len(),
        "body_sha256": hex(&Sha256::digest(&body)),
        "body": String::from_utf8_lossy(&body[..body.len().min(4096)]),
        "trailers": trailers,
    });
    let mut response = Response::new(EchoBody::whole(text.to_string()));
    set(response.headers_mut(), "content-type", "application/json");
    response
}

/// What the path and the query ask for.
struct Wish {
    kind: Kind,
    status: u16,
    delay: Option<Duration>,
    fields: Vec<(String, String)>,
}

enum Kind {
    Report,
    Bytes(u64),
    Echo,
    Trailers,
    GrpcStatus(String),
}

impl Wish {
    fn of(request: &Request<Incoming>) -> Self {
        let mut wish = Self { kind: Kind::Report, status: 200, delay: None, fields: Vec::new() };
        let path = request.uri().path();
        let (first, rest) =
            path[1.min(path.len())..].split_once('/').unwrap_or((&path[1.min(path.len())..], ""));
        match first {
            "status" => wish.status = rest.parse().unwrap_or(400),
            "delay" => wish.delay = milliseconds(rest),
            "bytes" => wish.kind = Kind::Bytes(rest.parse().unwrap_or(0)),
            "echo" => wish.kind = Kind::Echo,
            "trailers" => wish.kind = Kind::Trailers,
            "grpc-status" => wish.kind = Kind::GrpcStatus(rest.to_owned()),
            _ => {}
        }
        for (name, value) in request.uri().query().unwrap_or("").split('&').filter_map(|p| p.split_once('='))
        {
            match name {
                "status" => wish.status = value.parse().unwrap_or(400),
                "delay" => wish.delay = milliseconds(value),
                "field" => {
                    wish.fields.extend(value.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned())))
                }
                _ => {}
            }
        }
        wish
    }
}

/// `50` or `50ms`.
fn milliseconds(text: &str) -> Option<Duration> {
    text.trim_end_matches("ms").parse().ok().map(Duration::from_millis)
}

/// The bodies the origin answers with.
enum EchoBody {
    Frames(VecDeque<Frame<Bytes>>),
    Repeat(u64),
    /// The request's body, then these trailers in place of its own.
    Echo(Incoming, Option<HeaderMap>),
}

impl EchoBody {
    fn whole(text: impl Into<Bytes>) -> Self {
        Self::Frames([Frame::data(text.into())].into())
    }

    fn of(data: &'static [u8], trailers: HeaderMap) -> Self {
        Self::Frames([Frame::data(Bytes::from_static(data)), Frame::trailers(trailers)].into())
    }
}

impl Body for EchoBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        const PIECE: [u8; 16 * 1024] = [b'x'; 16 * 1024];
        match self.get_mut() {
            Self::Frames(frames) => Poll::Ready(frames.pop_front().map(Ok)),
            Self::Repeat(0) => Poll::Ready(None),
            Self::Repeat(left) => {
                let length = (*left).min(PIECE.len() as u64);
                *left -= length;
                let piece = Bytes::from_static(&PIECE).slice(..usize::try_from(length).unwrap_or(0));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Echo(body, trailers) => match Pin::new(body).poll_frame(task) {
                Poll::Ready(None) => Poll::Ready(trailers.take().map(|t| Ok(Frame::trailers(t)))),
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && trailers.is_some() => {
                    Poll::Ready(trailers.take().map(|t| Ok(Frame::trailers(t))))
                }
                other => other,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Frames(frames) => frames.is_empty(),
            Self::Repeat(left) => *left == 0,
            Self::Echo(body, trailers) => body.is_end_stream() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Frames(frames) if frames.iter().all(Frame::is_data) => {
                let length = frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
                SizeHint::with_exact(length)
            }
            Self::Repeat(left) => SizeHint::with_exact(*left),
            _ => SizeHint::default(),
        }
    }
}

fn trailer(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
}

/// Adds a field; one that is not legal is left out, and its test will miss it.
fn set(fields: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        fields.append(name, value);
    }
}

fn pairs(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
