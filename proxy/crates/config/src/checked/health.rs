//! What of a cluster's configuration is about asking endpoints whether they are well.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How endpoints are checked. In brackets: the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What is asked.
    pub check: Check,
    /// From the end of one check to the next (5 s).
    pub interval: Duration,
    /// For one check, connecting included (1 s).
    pub timeout: Duration,
    /// Failures in a row that make an endpoint unhealthy (3).
    pub fall: u32,
    /// Successes in a row that make it healthy (2).
    pub rise: u32,
    /// Before its first checks (healthy).
    pub initial: Initial,
}

/// What an endpoint is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Check {
    /// A `GET`.
    Http {
        /// With query; begins with `/`.
        path: Arc<str>,
        /// None: the cluster's name.
        host: Option<Arc<str>>,
        /// What means that it is well; at least one.
        statuses: Vec<u16>,
    },
    /// `grpc.health.v1.Health/Check`, which must say SERVING.
    Grpc {
        /// Empty: the server as a whole.
        service: Arc<str>,
    },
    /// A connection, with TLS if the cluster has it.
    Tcp,
}

/// How endpoints are asked whether they are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthKind {
    /// A `GET` that is answered with one of `statuses`.
    Http,
    /// `grpc.health.v1.Health/Check`, answered SERVING. Takes HTTP/2.
    Grpc,
    /// A connection can be made.
    Tcp,
}

/// What an endpoint is taken for before its first checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initial {
    /// It is used at once.
    #[default]
    Healthy,
    /// It has to pass first.
    Unhealthy,
}
