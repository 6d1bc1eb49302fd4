//! What a hook answers: let the exchange pass, answer it, or ask somebody first.
//!
//! Decisions are values. They are built here with one method per thing that can be said, end in
//! `.into()`, and are compared with `==` in tests. The types mirror `weir:policy/types` field by field.

use std::time::Duration;

use crate::ready::Ready;
use crate::setup::Cluster;
use crate::text::{Bytes, Text};

/// What a hook answers. Built by [`Decision::pass`], [`Decision::answer`] or [`Decision::ask`].
#[derive(Debug, Clone)]
pub enum Decision {
    /// The exchange goes on.
    Pass(Passage),
    /// The caller is answered; nothing is sent upstream.
    Answer(Reply),
    /// The exchange waits for the answer to a question, which goes to `on_answer`.
    Ask(Question),
    /// One of these, made before. Equal to what it was made from.
    Ready(Ready),
}

impl PartialEq for Decision {
    fn eq(&self, other: &Self) -> bool {
        match (self.plain(), other.plain()) {
            (Decision::Pass(one), Decision::Pass(other)) => one == other,
            (Decision::Answer(one), Decision::Answer(other)) => one == other,
            (Decision::Ask(one), Decision::Ask(other)) => one == other,
            _ => false,
        }
    }
}

impl Decision {
    /// Let the exchange go on, changed by what the passage's methods say.
    pub fn pass() -> Passage {
        Passage::default()
    }

    /// Answer the caller. `status` is 200 to 599; anything else is a fault.
    pub fn answer(status: u16) -> Reply {
        Reply {
            status,
            fields: Vec::new(),
            body: Bytes::default(),
            reason: Text::Static("policy"),
            keep_ms: 0,
        }
    }

    /// Ask a cluster that config granted, at most 8 times in one exchange. `path` begins with "/".
    /// Waits one second unless [`Question::timeout`] says otherwise.
    pub fn ask(cluster: Cluster, method: impl Into<Text>, path: impl Into<Text>) -> Question {
        Question {
            cluster,
            method: method.into(),
            path: path.into(),
            fields: Vec::new(),
            body: Bytes::default(),
            timeout_ms: 1_000,
            memo: Vec::new(),
        }
    }

    /// The decision itself: never `Ready`.
    pub fn plain(&self) -> &Decision {
        match self {
            Decision::Ready(ready) => ready.decision(),
            plain => plain,
        }
    }

    /// The passage, if the exchange goes on.
    pub fn passage(&self) -> Option<&Passage> {
        if let Decision::Pass(passage) = self.plain() { Some(passage) } else { None }
    }

    /// The reply, if the caller is answered.
    pub fn reply(&self) -> Option<&Reply> {
        if let Decision::Answer(reply) = self.plain() { Some(reply) } else { None }
    }

    /// The question, if one is asked.
    pub fn question(&self) -> Option<&Question> {
        if let Decision::Ask(question) = self.plain() { Some(question) } else { None }
    }

    /// The status of the reply, if the caller is answered.
    pub fn status(&self) -> Option<u16> {
        self.reply().map(|reply| reply.status)
    }

    /// The reason of the reply, if the caller is answered.
    pub fn reason(&self) -> Option<&str> {
        self.reply().map(|reply| &*reply.reason)
    }
}

impl From<Passage> for Decision {
    fn from(passage: Passage) -> Self {
        Decision::Pass(passage)
    }
}

impl From<Reply> for Decision {
    fn from(reply: Reply) -> Self {
        Decision::Answer(reply)
    }
}

impl From<Question> for Decision {
    fn from(question: Question) -> Self {
        Decision::Ask(question)
    }
}

/// One change to a message head. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Replace every field of this name by one.
    Set(Text, Bytes),
    /// Add one more field of this name.
    Append(Text, Bytes),
    /// Remove every field of this name.
    Remove(Text),
}

/// The exchange goes on, with these changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Passage {
    /// Changes to the head: the request's, or in `on_response` the response's.
    pub edits: Vec<Edit>,
    /// Where and how to send the exchange; `None` keeps what earlier filters said.
    pub route: Option<Route>,
    /// What later filters, the access log and traces get to know.
    pub facts: Vec<(Text, Text)>,
    /// Given back to this filter's later hooks of the exchange.
    pub memo: u64,
    /// How long the proxy may reuse this decision for an equal view, in ms.
    pub keep_ms: u32,
    /// How long the exchange is held up, in ms.
    pub delay_ms: u32,
}

impl Passage {
    /// Replaces every field of this name by one.
    pub fn set(mut self, name: impl Into<Text>, value: impl Into<Bytes>) -> Self {
        self.edits.push(Edit::Set(name.into(), value.into()));
        self
    }

    /// Adds one more field of this name.
    pub fn append(mut self, name: impl Into<Text>, value: impl Into<Bytes>) -> Self {
        self.edits.push(Edit::Append(name.into(), value.into()));
        self
    }

    /// Removes every field of this name.
    pub fn remove(mut self, name: impl Into<Text>) -> Self {
        self.edits.push(Edit::Remove(name.into()));
        self
    }

    /// Sends the exchange to this cluster.
    pub fn to(self, cluster: Cluster) -> Self {
        self.routed(|route| route.cluster = Some(cluster))
    }

    /// Only to endpoints that carry this label.
    pub fn subset(self, label: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.routed(|route| route.subset.push((label.into(), value.into())))
    }

    /// Path and query to send instead of those received; begins with "/".
    pub fn path(self, path: impl Into<Bytes>) -> Self {
        self.routed(|route| route.path = Some(path.into()))
    }

    /// Authority (`Host`) to send instead of the one received.
    pub fn authority(self, authority: impl Into<Text>) -> Self {
        self.routed(|route| route.authority = Some(authority.into()))
    }

    /// Time for the whole exchange, retries included.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.routed(|route| route.timeout_ms = Some(millis(timeout)))
    }

    /// Further attempts allowed, within the cluster's own bound.
    pub fn retries(self, retries: u8) -> Self {
        self.routed(|route| route.retries = Some(retries))
    }

    /// Key for consistent-hash balancers.
    pub fn hash(self, key: u64) -> Self {
        self.routed(|route| route.hash = Some(key))
    }

    /// Copies the request to this cluster as well; its reply is read and forgotten.
    pub fn mirror(self, cluster: Cluster) -> Self {
        self.routed(|route| route.mirror = Some(cluster))
    }

    /// The route's name in metrics.
    pub fn route_name(self, name: impl Into<Text>) -> Self {
        self.routed(|route| route.name = Some(name.into()))
    }

    /// States a fact: later filters may ask for it as `@NAME`.
    pub fn fact(mut self, name: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }

    /// A number given back to this filter's later hooks of the exchange.
    pub fn memo(mut self, memo: u64) -> Self {
        self.memo = memo;
        self
    }

    /// Lets the proxy reuse this decision for an equal view, without a call, for this long.
    /// Counts only in `on_request`.
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep_ms = millis(time);
        self
    }

    /// Holds the exchange up (fault injection), within its own time.
    pub fn delay(mut self, time: Duration) -> Self {
        self.delay_ms = millis(time);
        self
    }

    fn routed(mut self, change: impl FnOnce(&mut Route)) -> Self {
        change(self.route.get_or_insert_default());
        self
    }
}

/// Where and how to send the exchange. What is not said keeps what an earlier filter said, else the
/// cluster's default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Route {
    /// The cluster that gets the exchange.
    pub cluster: Option<Cluster>,
    /// Labels an endpoint must carry.
    pub subset: Vec<(Text, Text)>,
    /// Path and query to send.
    pub path: Option<Bytes>,
    /// Authority to send.
    pub authority: Option<Text>,
    /// Time for the whole exchange, in ms.
    pub timeout_ms: Option<u32>,
    /// Further attempts allowed.
    pub retries: Option<u8>,
    /// Key for consistent-hash balancers.
    pub hash: Option<u64>,
    /// A cluster that gets a copy.
    pub mirror: Option<Cluster>,
    /// The route's name in metrics.
    pub name: Option<Text>,
}

/// An answer of the filter's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Fields of the head; `content-length` is the proxy's to write.
    pub fields: Vec<(Text, Bytes)>,
    /// The body, whole.
    pub body: Bytes,
    /// One word for the access log and the metrics.
    pub reason: Text,
    /// As [`Passage::keep_ms`].
    pub keep_ms: u32,
}

impl Reply {
    /// Adds a field to the head.
    pub fn header(mut self, name: impl Into<Text>, value: impl Into<Bytes>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// One word for the access log and the metrics; "policy" unless said.
    pub fn reason(mut self, reason: impl Into<Text>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Lets the proxy give this answer again for an equal view, without a call, for this long.
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep_ms = millis(time);
        self
    }
}

/// A request to a granted cluster, made while the exchange waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Whom to ask.
    pub cluster: Cluster,
    /// The method.
    pub method: Text,
    /// Path and query; begins with "/".
    pub path: Text,
    /// Fields of the head; `host` sets the authority.
    pub fields: Vec<(Text, Bytes)>,
    /// The body, whole.
    pub body: Bytes,
    /// How long to wait, in ms.
    pub timeout_ms: u32,
    /// Given back to `on_answer`, which may run in another instance.
    pub memo: Vec<u8>,
}

impl Question {
    /// Adds a field to the head.
    pub fn header(mut self, name: impl Into<Text>, value: impl Into<Bytes>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// How long to wait for the answer, within the exchange's own time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = millis(timeout);
        self
    }

    /// Bytes given back to `on_answer`.
    pub fn memo(mut self, memo: impl Into<Vec<u8>>) -> Self {
        self.memo = memo.into();
        self
    }
}

/// Whole milliseconds, rounded up so that a short time is never "none".
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
