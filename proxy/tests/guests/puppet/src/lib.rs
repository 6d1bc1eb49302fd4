//! A filter that does at each hook what the request says, and shows what it was told: so a test can have any
//! decision made, in any place of a chain, without a guest of its own.
//!
//! With the tag `a`, the script of `on_request` is the field `x-a`; those of the later hooks are `x-a-body`,
//! `x-a-answer` and `x-a-response`, read on demand. A script is a list of commands, separated by ";". See
//! [`script`] for what there is. What becomes of connections is configured: there is no request to say it.

mod script;

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_sdk::{
    Answer, AnswerFailure, Body, Cluster, Condition, Connection, Decision, Field, Hooks, Metric, Outcome,
    Policy, Request, Response, ResponseField, Setup, Verdict,
    state::{Cell, Limit},
};

use script::Scene;

/// What the proxy may see of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Tells puppets of one chain apart.
    tag: String,
    /// Names to be shown in `on_request`, after the script.
    request: Vec<String>,
    /// Fields to be shown in `on_response`.
    response: Vec<String>,
    /// Clusters, by the position that scripts use.
    clusters: Vec<String>,
    /// Hooks to do without.
    without: Vec<String>,
    /// Only requests with this field.
    when: Option<String>,
    /// A rate limit to take from.
    limit: Option<String>,
    /// Bytes of a body.
    body_limit: u32,
    /// What `configure` answers.
    refuse: Option<String>,
    /// What becomes of connections, by the name that they ask for in TLS, "" if for none: `to 0`, `refuse WHY`, or
    /// `show`, which refuses with all that is known. Others pass; without any, connections are not asked about.
    connections: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tag: "a".to_owned(),
            request: Vec::new(),
            response: Vec::new(),
            clusters: Vec::new(),
            without: vec!["request_body".to_owned()],
            when: None,
            limit: None,
            body_limit: 1024,
            refuse: None,
            connections: BTreeMap::new(),
        }
    }
}

/// See the crate.
pub struct Puppet {
    tag: String,
    script: Field,
    request: Vec<Field>,
    response: Vec<ResponseField>,
    clusters: Vec<Cluster>,
    limit: Option<Limit>,
    calls: Cell,
    completed: Metric,
    connections: BTreeMap<String, String>,
    data: BTreeMap<String, String>,
}

#[weir_sdk::filter]
impl Policy for Puppet {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        if let Some(reason) = config.refuse {
            return Err(reason);
        }
        for hook in &config.without {
            setup.without(match hook.as_str() {
                "request" => Hooks::REQUEST,
                "request_body" => Hooks::REQUEST_BODY,
                "response" => Hooks::RESPONSE,
                "complete" => Hooks::COMPLETE,
                other => return Err(format!("no hook {other:?}")),
            });
        }
        if config.connections.is_empty() {
            setup.without(Hooks::CONNECTION);
        }
        if let Some(field) = config.when {
            setup.when(Condition::present(field));
        }
        setup.body_limit(config.body_limit);
        Ok(Self {
            script: setup.request(format!("x-{}", config.tag)),
            request: config.request.into_iter().map(|name| setup.request(name)).collect(),
            response: config.response.into_iter().map(|name| setup.response(name)).collect(),
            clusters: config.clusters.into_iter().map(|name| setup.cluster(name)).collect(),
            limit: config.limit.map(|name| Limit::named(&name)).transpose()?,
            calls: Cell::named("calls"),
            completed: Metric::named("completed", "Exchanges that the puppet saw the end of."),
            connections: config.connections,
            tag: config.tag,
            data: BTreeMap::new(),
        })
    }

    fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
        self.calls.add(1);
        let script = self.connections.get(connection.sni().unwrap_or_default());
        match script.and_then(|script| script.split_once(' ')) {
            Some(("to", at)) => {
                Verdict::Pass(at.parse().ok().and_then(|at: usize| self.clusters.get(at).copied()))
            }
            Some(("refuse", why)) => Verdict::refuse(why.to_owned()),
            _ if script.is_some_and(|script| script == "show") => Verdict::refuse(format!("{connection:?}")),
            _ => Verdict::pass(),
        }
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        self.calls.add(1);
        let shown: Vec<_> =
            self.request.iter().map(|field| request.get(*field).map(<[u8]>::to_vec)).collect();
        let script = request.text(self.script).unwrap_or_default().to_owned();
        self.play(&script, &shown, "", &|name| request.value(name))
    }

    fn on_request_body(&mut self, body: &Body<'_>) -> Decision {
        let told = format!("{} {}", body.memo(), String::from_utf8_lossy(body.bytes()));
        self.play_later("body", told.trim_end(), &[], body.memo(), &|name| body.value(name))
    }

    fn on_answer(&mut self, answer: &Answer<'_>) -> Decision {
        let memo = String::from_utf8_lossy(answer.memo()).into_owned();
        let told = match answer.result() {
            Ok(message) => format!(
                "{memo} {} {} {}",
                message.status,
                String::from_utf8_lossy(message.get("x-origin").unwrap_or(b"-")),
                message.body.len(),
            ),
            Err(AnswerFailure::Timeout) => format!("{memo} timeout"),
            Err(AnswerFailure::Unreachable) => format!("{memo} unreachable"),
            Err(AnswerFailure::Refused) => format!("{memo} refused"),
            Err(AnswerFailure::TooLarge) => format!("{memo} too-large"),
        };
        self.play_later("answer", &told, &[], 0, &|name| answer.value(name))
    }

    fn on_response(&mut self, response: &Response<'_>) -> Decision {
        let shown: Vec<_> =
            self.response.iter().map(|field| response.get(*field).map(<[u8]>::to_vec)).collect();
        let told = format!("{} {}", response.status(), response.memo());
        self.play_later("response", &told, &shown, response.memo(), &|name| response.value(name))
    }

    fn on_complete(&mut self, outcome: &Outcome) {
        self.completed.increment();
        let cluster = self.clusters.iter().position(|known| Some(*known) == outcome.cluster);
        weir_sdk::info!(
            "{} ended: status {} cluster {cluster:?} attempts {} local {} aborted {} memo {}",
            self.tag,
            outcome.status,
            outcome.attempts,
            outcome.local,
            outcome.aborted,
            outcome.memo,
        );
    }

    fn update(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(content).map_err(|error| error.to_string())?.trim();
        match text {
            "refuse" => return Err("these data are refused".to_owned()),
            "trap" => std::process::abort(),
            _ => {}
        }
        self.data.insert(name.to_owned(), text.to_owned());
        Ok(())
    }
}

type Value<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

impl Puppet {
    fn play_later(
        &self,
        hook: &str,
        told: &str,
        shown: &[Option<Vec<u8>>],
        memo: u64,
        value: Value<'_>,
    ) -> Decision {
        let script = value(&format!("x-{}-{hook}", self.tag)).unwrap_or_default();
        let script = String::from_utf8_lossy(&script);
        if script.is_empty() {
            return Decision::pass().memo(memo).into();
        }
        self.play(&script, shown, told, value)
    }

    fn play(&self, script: &str, shown: &[Option<Vec<u8>>], told: &str, value: Value<'_>) -> Decision {
        let scene = Scene {
            tag: &self.tag,
            shown,
            told,
            value,
            clusters: &self.clusters,
            limit: self.limit,
            calls: self.calls,
            data: &self.data,
        };
        scene.play(script)
    }
}
