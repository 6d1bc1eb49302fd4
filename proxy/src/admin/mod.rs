//! The admin API: what operators and their tools ask a running proxy.
//!
//! Plain HTTP without authentication, for loopback. It is bounded in connections and bytes, and a browser that
//! visits a hostile page cannot be used to reach it ([`guard`]).

mod guard;
mod views;

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{app::App, telemetry::metrics};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// A head, or an idle connection, may take this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a body, which is read and not looked at.
const BODY: usize = 64 << 10;

type Reply = Response<Full<Bytes>>;

/// The API's socket, bound before anything else begins: an address in use ends the start.
#[derive(Debug)]
pub struct Admin(TcpListener);

impl Admin {
    /// Binds the address.
    pub fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// On a socket that a process before this one listened on, if that is bound to the address.
    pub fn inherited(socket: OwnedFd, address: SocketAddr) -> std::io::Result<Option<Self>> {
        let socket = TcpListener::from(socket);
        let bound = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let fits = bound == address || (address.port() == 0 && bound.ip() == address.ip());
        Ok(fits.then_some(Self(socket)))
    }

    /// Its socket once more, for a successor.
    pub fn descriptor(&self) -> std::io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }

    /// Answers requests from now on, on the runtime this is called in, until a successor does. Tells where.
    pub fn serve(self, app: &Arc<App>) -> std::io::Result<SocketAddr> {
        let socket = tokio::net::TcpListener::from_std(self.0)?;
        let address = socket.local_addr()?;
        tokio::spawn(accept(socket, Arc::clone(app)));
        Ok(address)
    }
}

async fn accept(socket: tokio::net::TcpListener, app: Arc<App>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = app.handed_over() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&app), request));
            let mut server = hyper::server::conn::http1::Builder::new();
            let server = server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A caller who breaks off is nobody's fault.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Call {
    Health,
    Ready,
    Listeners,
    Config,
    Clusters,
    Filters,
    Identities,
    Overload,
    Metrics,
    Reload,
    Drain,
    Swap(String),
}

impl Call {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/health" => Self::Health,
            "/ready" => Self::Ready,
            "/listeners" => Self::Listeners,
            "/config" => Self::Config,
            "/clusters" => Self::Clusters,
            "/filters" => Self::Filters,
            "/identities" => Self::Identities,
            "/overload" => Self::Overload,
            "/metrics" => Self::Metrics,
            "/reload" => Self::Reload,
            "/drain" => Self::Drain,
            other => {
                let name = other.strip_prefix("/filters/")?.strip_suffix("/swap")?;
                Self::Swap((!name.is_empty() && !name.contains('/')).then(|| name.to_owned())?)
            }
        })
    }

    fn acts(&self) -> bool {
        matches!(self, Self::Reload | Self::Drain | Self::Swap(_))
    }

    /// Asked by machines under names of their own, and harmless.
    fn for_machines(&self) -> bool {
        matches!(self, Self::Health | Self::Ready | Self::Metrics)
    }

    fn methods(&self) -> &'static str {
        if self.acts() { "POST" } else { "GET, HEAD" }
    }

    fn allows(&self, method: &Method) -> bool {
        if self.acts() { method == Method::POST } else { matches!(*method, Method::GET | Method::HEAD) }
    }
}

async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (head, body) = request.into_parts();
    let Some(call) = Call::of(head.uri.path()) else {
        return Ok(closing(problem(StatusCode::NOT_FOUND, "there is no such path")));
    };
    if !call.allows(&head.method) {
        let mut reply = problem(StatusCode::METHOD_NOT_ALLOWED, "the method is not allowed here");
        set(&mut reply, ALLOW, call.methods());
        return Ok(closing(reply));
    }
    if !call.for_machines()
        && let Err(reason) = guard::check(&head.uri, &head.headers)
    {
        return Ok(closing(problem(StatusCode::FORBIDDEN, reason)));
    }
    if body.size_hint().lower() > BODY as u64 {
        return Ok(closing(problem(StatusCode::PAYLOAD_TOO_LARGE, "no body is needed")));
    }
    match tokio::time::timeout(HEAD_TIMEOUT, Limited::new(body, BODY).collect()).await {
        Ok(Ok(_)) => Ok(carry_out(app, call).await),
        Ok(Err(_)) => Ok(closing(problem(StatusCode::PAYLOAD_TOO_LARGE, "no body is needed"))),
        Err(_) => Ok(closing(problem(StatusCode::REQUEST_TIMEOUT, "the body did not come"))),
    }
}

async fn carry_out(app: Arc<App>, call: Call) -> Reply {
    match call {
        Call::Health => text("text/plain", "ok\n".into()),
        Call::Ready if app.is_draining() => problem(StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Call::Ready => text("text/plain", "ok\n".into()),
        Call::Listeners => json_reply(StatusCode::OK, &views::listeners(&app)),
        Call::Config => aside(move || json_reply(StatusCode::OK, &app.standing())).await,
        Call::Clusters => json_reply(StatusCode::OK, &views::clusters(&app)),
        Call::Filters => json_reply(StatusCode::OK, &views::filters(&app)),
        Call::Identities => json_reply(StatusCode::OK, &views::identities(&app)),
        Call::Overload => json_reply(StatusCode::OK, &views::overload(&app)),
        Call::Metrics => text(metrics::CONTENT_TYPE, views::metrics(&app)),
        Call::Reload => reply_of(aside(move || app.reload()).await),
        Call::Swap(name) => match aside(move || app.swap_filter(&name).ok_or(())).await {
            Err(()) => problem(StatusCode::NOT_FOUND, "there is no such filter"),
            Ok(outcome) => reply_of(outcome),
        },
        Call::Drain => {
            app.ending.notify_one();
            json_reply(StatusCode::ACCEPTED, &json!({ "result": "draining" }))
        }
    }
}

/// Compiling and reading files would hold up every other request.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn reply_of(outcome: Result<impl Serialize, impl Serialize>) -> Reply {
    match outcome {
        Ok(done) => json_reply(StatusCode::OK, &done),
        Err(refused) => json_reply(StatusCode::CONFLICT, &refused),
    }
}

fn problem(status: StatusCode, reason: &str) -> Reply {
    json_reply(status, &json!({ "problems": [reason] }))
}

fn json_reply(status: StatusCode, value: &impl Serialize) -> Reply {
    let json =
        serde_json::to_string_pretty(value).unwrap_or_else(|error| json!(error.to_string()).to_string());
    let mut reply = text("application/json", json + "\n");
    *reply.status_mut() = status;
    reply
}

fn text(kind: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    set(&mut reply, CONTENT_TYPE, kind);
    set(&mut reply, CACHE_CONTROL, "no-store");
    reply
}

/// A caller who did something wrong begins anew; what is left of the body is not read.
fn closing(mut reply: Reply) -> Reply {
    set(&mut reply, CONNECTION, "close");
    reply
}

fn set(reply: &mut Reply, name: HeaderName, value: &'static str) {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        assert_eq!(Call::of("/filters"), Some(Call::Filters));
        assert_eq!(Call::of("/filters/login/swap"), Some(Call::Swap("login".into())));
        for none in ["/", "/filters/", "/filters//swap", "/filters/swap", "/filters/a/b/swap", "/health/"] {
            assert_eq!(Call::of(none), None, "{none}");
        }
    }

    #[test]
    fn what_acts_is_posted_and_nothing_else_is() {
        for call in [Call::Reload, Call::Drain, Call::Swap("a".into())] {
            assert!(call.allows(&Method::POST) && !call.allows(&Method::GET));
        }
        assert!(Call::Config.allows(&Method::HEAD) && !Call::Config.allows(&Method::POST));
    }
}
