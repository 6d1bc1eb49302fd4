//! What a caller gets while the breaker is open.

use weir_sdk::{Cluster, Decision, Reply, Setup};

use crate::config::{Config, FallbackConfig, ReplyConfig};

pub(crate) enum Fallback {
    Cluster(Cluster),
    Reply { reply: Reply, retry_after: bool },
}

impl Fallback {
    /// 503 unless config says otherwise.
    pub(crate) fn new(config: &Config, setup: &mut Setup) -> Result<Self, String> {
        let Some(fallback) = &config.fallback else { return Ok(reply(Decision::answer(503))) };
        match fallback {
            FallbackConfig { cluster: Some(cluster), reply: None } if *cluster != config.cluster => {
                Ok(Fallback::Cluster(setup.cluster(cluster.clone())))
            }
            FallbackConfig { cluster: Some(_), reply: None } => {
                Err("`fallback.cluster` is the cluster that is broken".to_owned())
            }
            FallbackConfig { cluster: None, reply: Some(config) } => {
                fixed_reply(config).map(reply).map_err(|error| format!("`fallback.reply`: {error}"))
            }
            _ => Err("`fallback`: one of `cluster` and `reply`".to_owned()),
        }
    }

    /// For a caller who may come again in `wait_ms`.
    pub(crate) fn decide(&self, wait_ms: u64) -> Decision {
        match self {
            Fallback::Cluster(cluster) => Decision::pass().to(*cluster).into(),
            Fallback::Reply { reply, retry_after: false } => reply.clone().into(),
            Fallback::Reply { reply, retry_after: true } => {
                // Whole seconds (RFC 9110 10.2.3), at least one.
                let seconds = wait_ms.div_ceil(1_000).max(1);
                reply.clone().header("retry-after", seconds.to_string()).into()
            }
        }
    }
}

/// 503 says when to come again (RFC 9110 15.6.4), unless config already does.
fn reply(reply: Reply) -> Fallback {
    let said = reply.fields.iter().any(|(name, _)| *name == "retry-after");
    Fallback::Reply { retry_after: reply.status == 503 && !said, reply: reply.reason("breaker_open") }
}

fn fixed_reply(config: &ReplyConfig) -> Result<Reply, String> {
    if !(200..=599).contains(&config.status) {
        return Err("`status` must be 200 to 599".to_owned());
    }
    let mut reply = Decision::answer(config.status);
    for (name, value) in &config.headers {
        let name = name.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) || name == "content-length" {
            return Err(format!("field \"{name}\" cannot be written"));
        }
        if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(format!("{value:?} cannot be a field's value"));
        }
        reply = reply.header(name, value.clone());
    }
    let typed = reply.fields.iter().any(|(name, _)| *name == "content-type");
    if !typed && !config.body.is_empty() {
        reply = reply.header("content-type", "text/plain; charset=utf-8");
    }
    Ok(reply.body(config.body.clone()))
}
