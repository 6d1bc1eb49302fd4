//! The circuit breaker through the native harness.
#![allow(missing_docs, clippy::unwrap_used)]

mod config;
mod counting;
mod phases;
mod readme;

use serde_json::{Value, json};
use weir_filter_circuit_breaker::CircuitBreaker;
use weir_sdk::Outcome;
use weir_sdk::testing::{Exchange, Filter};

type Breaker = Filter<CircuitBreaker>;

fn breaker(config: Value) -> Breaker {
    Filter::new(config).unwrap()
}

fn plain() -> Breaker {
    breaker(json!({ "cluster": "users" }))
}

fn begin(breaker: &Breaker) -> Exchange<CircuitBreaker> {
    breaker.request().route_cluster("users").begin()
}

/// Whether an exchange would go to the cluster; if it does, it ends with this status.
fn sends(breaker: &Breaker, status: u16) -> bool {
    let mut exchange = begin(breaker);
    if !exchange.passed() {
        return false;
    }
    exchange.end(status);
    true
}

/// An outcome that the proxy made: an attempt that came to nothing.
fn local(exchange: &Exchange<CircuitBreaker>, status: u16) -> Outcome {
    Outcome { status, local: true, ..exchange.outcome() }
}

/// Lets it fail until it opens.
fn open(breaker: &Breaker) {
    for _ in 0..7 {
        assert!(sends(breaker, 500));
    }
    assert!(!sends(breaker, 200), "seven failures in a row did not open it");
}
