//! One exchange in a test, from its request to its end, step by step as the proxy takes them.

use std::cell::RefCell;
use std::rc::Rc;

use super::check;
use super::filter::Filter;
use super::head::{Head, Packed, joined};
use crate::decision::{Decision, Passage};
use crate::exchange::{Answer, AnswerFailure, AnswerMessage, Body, Outcome, Request, Response};
use crate::policy::{Hooks, Policy};
use crate::setup::Cluster;

/// As the proxy bounds it.
const MAX_QUESTIONS: u32 = 8;

/// An exchange under way. Several may be under way at once.
pub struct Exchange<P: Policy> {
    filter: Filter<P>,
    id: u64,
    head: Rc<RefCell<Head>>,
    /// The filter's `when` is met: it sees this exchange.
    shown: bool,
    decision: Decision,
    memo: u64,
    cluster: Option<Cluster>,
    questions: u32,
    completed: bool,
}

impl<P: Policy> Exchange<P> {
    pub(super) fn begin(filter: Filter<P>, head: Head) -> Self {
        let shown = head.meets(&filter.setup().when, filter.world());
        let mut exchange = Exchange {
            id: filter.next_id(),
            head: Rc::new(RefCell::new(head)),
            shown,
            decision: Decision::pass().into(),
            memo: 0,
            cluster: None,
            questions: 0,
            completed: false,
            filter,
        };
        if exchange.wants(Hooks::REQUEST) {
            let decision = exchange.call_request();
            exchange.settle(decision);
        }
        exchange
    }

    pub(super) fn into_decision(self) -> Decision {
        self.decision
    }

    /// What the filter decided last about the request.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The passage; panics if the request did not pass.
    pub fn passage(&self) -> &Passage {
        self.decision.passage().unwrap_or_else(|| panic!("the request did not pass: {:?}", self.decision))
    }

    /// Whether the request passed.
    pub fn passed(&self) -> bool {
        self.decision.passage().is_some()
    }

    /// Whether the filter was shown the exchange at all (its `when`).
    pub fn shown(&self) -> bool {
        self.shown
    }

    /// A field of the request as it would go upstream, several joined.
    pub fn request_header(&self, name: &str) -> Option<String> {
        let value = joined(&self.head.borrow().fields, name)?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// A fact by name, without "@".
    pub fn fact(&self, name: &str) -> Option<String> {
        self.head.borrow().facts.get(name).cloned()
    }

    /// The question's answer arrived. Returns what the filter decides then.
    pub fn answered(&mut self, status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> &Decision {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        self.answer(Ok(AnswerMessage { status, fields, body: body.as_ref() }))
    }

    /// The question has no answer. Returns what the filter decides then.
    pub fn unanswered(&mut self, failure: AnswerFailure) -> &Decision {
        self.answer(Err(failure))
    }

    /// The head of a response arrived. Returns what the filter makes of it.
    pub fn respond(&mut self, status: u16, fields: &[(&str, &str)]) -> Decision {
        if !self.wants(Hooks::RESPONSE) || !self.passed() {
            return Decision::pass().into();
        }
        let fields: Vec<(String, Vec<u8>)> = fields
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec()))
            .collect();
        let packed = Packed::of(&self.filter.setup().response, |name| joined(&fields, name));
        let response = Response { id: self.id, memo: self.memo, status, view: packed.view() };
        let decision = self.filter.enter(self.scope(), |policy| policy.on_response(&response));
        check::response_decision(&decision);
        if let Some(passage) = decision.passage() {
            self.memo = passage.memo;
        }
        decision
    }

    /// An outcome to change where it matters: 200 from the cluster the filter chose, or an earlier one
    /// did (`@route.cluster`), one attempt, 10 ms, now.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            id: self.id,
            memo: self.memo,
            status: 200,
            cluster: self.cluster.or_else(|| self.earlier_choice()),
            attempts: 1,
            local: false,
            aborted: false,
            total_us: 10_000,
            upstream_us: 10_000,
            now_ms: self.filter.now_ms(),
        }
    }

    /// The exchange is over; once. The filter is told if the request passed.
    pub fn complete(&mut self, outcome: Outcome) {
        assert!(!self.completed, "an exchange ends once");
        self.completed = true;
        if self.wants(Hooks::COMPLETE) && self.passed() {
            self.filter.enter(self.scope(), |policy| policy.on_complete(&outcome));
        }
    }

    /// The exchange is over with this status from upstream.
    pub fn end(&mut self, status: u16) {
        self.complete(Outcome { status, ..self.outcome() });
    }

    /// The cluster that earlier filters chose, if this one named it.
    fn earlier_choice(&self) -> Option<Cluster> {
        let head = self.head.borrow();
        let chosen = head.facts.get("route.cluster")?;
        let at = self.filter.setup().clusters.iter().position(|name| **name == **chosen)?;
        Some(Cluster::at(at as u32))
    }

    fn wants(&self, hook: Hooks) -> bool {
        self.shown && self.filter.setup().hooks.contains(hook)
    }

    fn scope(&self) -> Option<(u64, Rc<RefCell<Head>>)> {
        Some((self.id, Rc::clone(&self.head)))
    }

    fn call_request(&self) -> Decision {
        let packed = {
            let head = self.head.borrow();
            Packed::of(&self.filter.setup().request, |name| head.value(name, self.filter.world()))
        };
        let request = Request { id: self.id, view: packed.view() };
        self.filter.enter(self.scope(), |policy| policy.on_request(&request))
    }

    /// The body is shown once the head has passed.
    pub(super) fn show_body(&mut self) {
        if !self.passed() || !self.wants(Hooks::REQUEST_BODY) {
            return;
        }
        let body = self.head.borrow().body.clone();
        if body.len() > self.filter.setup().shown_body() as usize {
            self.decision = Decision::answer(413).reason("body_too_large").into();
            return;
        }
        let body = Body { id: self.id, memo: self.memo, bytes: &body };
        let decision = self.filter.enter(self.scope(), |policy| policy.on_request_body(&body));
        self.settle(decision);
    }

    fn answer(&mut self, result: Result<AnswerMessage<'_>, AnswerFailure>) -> &Decision {
        let Some(question) = self.decision.question() else {
            panic!("no question was asked: {:?}", self.decision)
        };
        assert!(P::HOOKS.contains(Hooks::ANSWER), "a filter that asks needs `on_answer`");
        let answer = Answer { id: self.id, memo: &question.memo, result };
        let decision = self.filter.enter(self.scope(), |policy| policy.on_answer(&answer));
        self.settle(decision);
        &self.decision
    }

    /// Checks a decision about the request as the proxy would, and carries it out.
    fn settle(&mut self, decision: Decision) {
        let clusters = self.filter.setup().clusters.len();
        check::request_decision(&decision, clusters);
        match decision.plain() {
            Decision::Pass(passage) => {
                self.head.borrow_mut().apply(passage);
                self.memo = passage.memo;
                self.cluster = passage.route.as_ref().and_then(|route| route.cluster).or(self.cluster);
            }
            Decision::Ask(_) => {
                self.questions += 1;
                assert!(self.questions <= MAX_QUESTIONS, "an exchange may ask {MAX_QUESTIONS} times");
            }
            Decision::Answer(_) | Decision::Ready(_) => {}
        }
        self.decision = decision;
    }
}
