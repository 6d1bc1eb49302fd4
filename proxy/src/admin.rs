//! The admin API: what operators and their tools ask a running proxy.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    app::App,
    telemetry::metrics::{CONTENT_TYPE, Custom},
};

/// Binds the API's socket and answers where it listens; serves from then on.
pub async fn start(app: &Arc<App>, address: SocketAddr) -> std::io::Result<SocketAddr> {
    let socket = TcpListener::bind(address).await?;
    let bound = socket.local_addr()?;
    let app = Arc::clone(app);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = socket.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(Arc::clone(&app), request));
                let mut server = hyper::server::conn::http1::Builder::new();
                let _ = server
                    .timer(hyper_util::rt::TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(10))
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(bound)
}

async fn answer(app: Arc<App>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    Ok(match (request.method().as_str(), path) {
        ("GET", "/health" | "/ready") => text(200, "text/plain", "ok\n".into()),
        ("GET", "/listeners") => json_reply(200, &listeners(&app)),
        ("GET", "/config") => json_reply(200, &app.status()),
        ("GET", "/clusters") => json_reply(200, &clusters(&app)),
        ("GET", "/filters") => json_reply(200, &filters(&app)),
        ("GET", "/metrics") => text(200, CONTENT_TYPE, metrics(&app)),
        ("POST", "/reload") => {
            let reloading = Arc::clone(&app);
            let outcome = tokio::task::spawn_blocking(move || reloading.reload()).await;
            match outcome {
                Ok(Ok(result)) => json_reply(200, &json!({ "result": result })),
                Ok(Err(reason)) => json_reply(409, &json!({ "error": reason })),
                Err(error) => json_reply(500, &json!({ "error": error.to_string() })),
            }
        }
        ("POST", "/drain") => {
            app.ending.notify_one();
            json_reply(202, &json!({ "result": "draining" }))
        }
        (
            _,
            "/reload" | "/drain" | "/health" | "/ready" | "/listeners" | "/config" | "/clusters" | "/filters"
            | "/metrics",
        ) => json_reply(405, &json!({ "error": "method not allowed" })),
        _ => json_reply(404, &json!({ "error": "no such path" })),
    })
}

fn listeners(app: &App) -> Value {
    app.listeners().iter().map(|(name, address)| json!({ "name": &**name, "address": address })).collect()
}

fn clusters(app: &App) -> Value {
    let snapshot = app.shared.snapshot();
    let one = |cluster: &Arc<crate::cluster::Cluster>| {
        let endpoints: Vec<Value> = cluster
            .endpoints
            .iter()
            .map(|endpoint| {
                json!({
                    "address": &*endpoint.name,
                    "weight": endpoint.weight,
                    "labels": endpoint.labels.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect::<serde_json::Map<_, _>>(),
                    "in_flight": endpoint.load.in_flight(),
                    "answered": endpoint.answered.load(Ordering::Relaxed),
                    "failed": endpoint.failed.load(Ordering::Relaxed),
                })
            })
            .collect();
        json!({
            "name": &**cluster.name(),
            "requests": cluster.requests.current(),
            "pending": cluster.pending.current(),
            "connections": cluster.connections.current(),
            "endpoints": endpoints,
        })
    };
    snapshot.clusters.iter().flatten().map(one).collect()
}

fn filters(app: &App) -> Value {
    let snapshot = app.shared.snapshot();
    snapshot
        .filters
        .iter()
        .map(|plan| {
            json!({
                "name": &**plan.name(),
                "generation": plan.generation,
                "sha256": &*plan.sha256,
                "hooks": plan.hooks.names().collect::<Vec<_>>(),
                "nanoseconds": plan.metrics.time.sum_ns(),
                "memory_bytes": plan.memory_bytes.load(Ordering::Relaxed),
            })
        })
        .collect()
}

fn metrics(app: &App) -> String {
    let snapshot = app.shared.snapshot();
    let own: Vec<_> = snapshot.filters.iter().map(|plan| (plan, plan.own_metrics())).collect();
    let custom: Vec<Custom<'_>> = own
        .iter()
        .flat_map(|(plan, metrics)| {
            metrics.iter().map(|metric| Custom {
                filter: plan.name(),
                name: &metric.name,
                help: &metric.help,
                value: metric.value,
            })
        })
        .collect();
    let mut out = String::new();
    app.shared.metrics.render(&custom, &mut out);
    out
}

fn json_reply(status: u16, value: &Value) -> Response<Full<Bytes>> {
    text(status, "application/json", format!("{value}\n"))
}

fn text(status: u16, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}
