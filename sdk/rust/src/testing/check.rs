//! What the proxy refuses as a wrong answer. In a test it panics, so that it is found there.

use crate::connection::Verdict;
use crate::decision::{Decision, Edit, Passage, Question, Reply, Route};
use crate::setup::Cluster;

/// Fields that frame or route a message: the proxy's to write.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Facts the proxy states itself.
const OWN_FACTS: [&str; 8] = [
    "peer.address",
    "peer.identity",
    "tls.sni",
    "listener",
    "request.id",
    "route.cluster",
    "time.ms",
    "random",
];

/// A decision about a request, of a filter that named this many clusters.
pub(super) fn request_decision(decision: &Decision, clusters: usize) {
    match decision.plain() {
        Decision::Pass(passage) => check_passage(passage, clusters),
        Decision::Answer(reply) => check_reply(reply),
        Decision::Ask(question) => check_question(question, clusters),
        Decision::Ready(_) => unreachable!("what is plain is not ready"),
    }
}

/// A decision about a response.
pub(super) fn response_decision(decision: &Decision) {
    match decision.plain() {
        Decision::Pass(passage) => check_passage(passage, usize::MAX),
        Decision::Answer(reply) => check_reply(reply),
        Decision::Ask(_) => refuse("a question in `on_response`"),
        Decision::Ready(_) => unreachable!("what is plain is not ready"),
    }
}

/// A verdict on a connection, of a filter that named this many clusters.
pub(super) fn verdict(verdict: &Verdict, clusters: usize) {
    check_cluster(verdict.cluster(), clusters);
}

fn refuse(what: &str) -> ! {
    panic!("the proxy would refuse this decision: {what}")
}

fn check_passage(passage: &Passage, clusters: usize) {
    for edit in &passage.edits {
        match edit {
            Edit::Set(name, value) | Edit::Append(name, value) => {
                check_name(name);
                check_value(name, value);
            }
            Edit::Remove(name) => check_name(name),
        }
    }
    for (name, _) in &passage.facts {
        if OWN_FACTS.contains(&&**name) {
            refuse(&format!("fact \"{}\" is the proxy's own", &**name));
        }
    }
    if let Some(route) = &passage.route {
        check_route(route, clusters);
    }
}

fn check_route(route: &Route, clusters: usize) {
    check_cluster(route.cluster, clusters);
    check_cluster(route.mirror, clusters);
    if route.path.as_ref().is_some_and(|path| path.first() != Some(&b'/') || path.iter().any(|b| *b <= b' '))
    {
        refuse(&format!("path {:?}", route.path));
    }
}

fn check_cluster(cluster: Option<Cluster>, clusters: usize) {
    if cluster.is_some_and(|cluster| cluster.position() as usize >= clusters) {
        refuse("a cluster that `configure` did not name");
    }
}

fn check_reply(reply: &Reply) {
    if !(200..=599).contains(&reply.status) {
        refuse(&format!("status {}", reply.status));
    }
    for (name, value) in &reply.fields {
        check_name(name);
        check_value(name, value);
    }
}

fn check_question(question: &Question, clusters: usize) {
    check_cluster(Some(question.cluster), clusters);
    if !question.path.starts_with('/') {
        refuse(&format!("a question's path {:?}", question.path));
    }
    for (name, value) in &question.fields {
        if &**name != "host" {
            check_name(name);
        }
        check_value(name, value);
    }
}

/// A token in lower case (RFC 9110 5.1, 5.6.2; RFC 9113 8.2.1), and not one that frames a message.
fn check_name(name: &str) {
    let token =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        refuse(&format!("field name {name:?} (names are tokens in lower case)"));
    }
    if FRAMING.contains(&name) {
        refuse(&format!("field \"{name}\" is the proxy's to write"));
    }
}

/// No control characters but HTAB (RFC 9110 5.5).
fn check_value(name: &str, value: &[u8]) {
    if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
        refuse(&format!("the value of field \"{name}\" has a control character"));
    }
}
