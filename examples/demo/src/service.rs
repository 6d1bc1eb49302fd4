//! The service behind Weir in the demo: says its version, and fails on command.
//!
//! `/fail?on=true` makes every other path answer 500, `/fail?on=false` ends that.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// One version, running. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    version: &'static str,
    failing: AtomicBool,
    requests: AtomicU64,
}

impl Service {
    /// Listens on a loopback port that the system gives.
    pub(crate) async fn start(version: &'static str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("binding a loopback port")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { version, failing: AtomicBool::new(false), requests: AtomicU64::new(0) });
        let task = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { address, state, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests answered so far, but for those to `/fail`.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Relaxed)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Fails only if the peer has left already.
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&state, &request);
                async { Ok::<_, Infallible>(response) }
            });
            // A broken connection is its peer's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer(state: &State, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() == "/fail" {
        let failing = request.uri().query() == Some("on=true");
        state.failing.store(failing, Relaxed);
        return reply(200, format!("{} fails from now on: {failing}\n", state.version));
    }
    state.requests.fetch_add(1, Relaxed);
    if state.failing.load(Relaxed) {
        return reply(500, format!("{} is broken\n", state.version));
    }
    reply(200, format!("{} says hello to {}\n", state.version, request.uri().path()))
}

fn reply(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}
