//! How a decision goes back: laid out in place, kept alive until the next hook returns.

use super::Single;
use super::raw::{
    RawCases, RawCondition, RawConfigureResult, RawConfigured, RawDecision, RawEdit, RawInterest, RawList,
    RawOption, RawPair, RawPassage, RawQuestion, RawReply, RawRoute, RawUpdateResult, RawVerdict,
    RawVerdicts,
};
use crate::connection::Verdict;
use crate::decision::{Decision, Edit, Passage, Question, Reply, Route};
use crate::setup::{Cluster, Setup, Test};
use crate::text::{Bytes, Text};

/// What the last hook answered, and how it is laid out.
struct Outbox {
    decision: Option<Decision>,
    laid: Laid,
    error: String,
    updated: RawUpdateResult,
    verdict: Option<Verdict>,
    judged: RawVerdict,
}

/// A decision as the proxy reads it. The lists' memory is used again and again.
pub(crate) struct Laid {
    edits: Vec<RawEdit>,
    pairs: Vec<RawPair>,
    raw: RawDecision,
}

const NO_REPLY: RawReply =
    RawReply { status: 0, fields: RawList::EMPTY, body: RawList::EMPTY, reason: RawList::EMPTY, keep_ms: 0 };

const NO_ROUTE: RawRoute = RawRoute {
    cluster: RawOption { some: 0, value: 0 },
    subset: RawList::EMPTY,
    path: RawOption { some: 0, value: RawList::EMPTY },
    authority: RawOption { some: 0, value: RawList::EMPTY },
    timeout_ms: RawOption { some: 0, value: 0 },
    retries: RawOption { some: 0, value: 0 },
    hash: RawOption { some: 0, value: 0 },
    mirror: RawOption { some: 0, value: 0 },
    name: RawOption { some: 0, value: RawList::EMPTY },
};

const BARE_PASSAGE: RawPassage = RawPassage {
    // Where nothing lies, too, addresses are aligned as for what could.
    edits: RawList::of_items::<RawEdit>(&[]),
    route: RawOption { some: 0, value: NO_ROUTE },
    facts: RawList::of_items::<RawPair>(&[]),
    memo: 0,
    keep_ms: 0,
    delay_ms: 0,
};

static OUTBOX: Single<Outbox> = Single::new(Outbox {
    decision: None,
    laid: Laid::EMPTY,
    error: String::new(),
    updated: RawUpdateResult { failed: 0, error: RawList::EMPTY },
    verdict: None,
    judged: RawVerdict { case: 0, body: RawVerdicts { pass: RawOption { some: 0, value: 0 } } },
});

/// A passage of numbers alone, as most are: laid out beforehand but for those.
static BARE: Single<RawDecision> =
    Single::new(RawDecision { case: 0, body: RawCases { pass: BARE_PASSAGE } });

/// Lays a decision out and returns where.
#[inline]
pub(super) fn decision(decision: Decision) -> *const u8 {
    if let Decision::Pass(Passage { edits, route: None, facts, memo, keep_ms, delay_ms }) = &decision
        && edits.is_empty()
        && facts.is_empty()
    {
        // SAFETY: the only reference; what the proxy read of the last decision it has copied.
        let bare = unsafe { BARE.get() };
        bare.body.pass.memo = *memo;
        bare.body.pass.keep_ms = *keep_ms;
        bare.body.pass.delay_ms = *delay_ms;
        return (&raw const *bare).cast();
    }
    // SAFETY: the only reference; what the proxy read of the last decision it has copied.
    let Outbox { decision: kept, laid, .. } = unsafe { OUTBOX.get() };
    match kept.insert(decision) {
        Decision::Ready(ready) => ready.laid(),
        plain => laid.lay(plain),
    }
}

impl Laid {
    const EMPTY: Laid = Laid {
        edits: Vec::new(),
        pairs: Vec::new(),
        raw: RawDecision { case: 0, body: RawCases { answer: NO_REPLY } },
    };

    /// For as long as the decision is neither moved nor changed.
    pub(crate) fn of(decision: &Decision) -> Self {
        let mut laid = Laid::EMPTY;
        laid.lay(decision);
        laid
    }

    pub(crate) fn place(&self) -> *const u8 {
        (&raw const self.raw).cast()
    }

    fn lay(&mut self, decision: &Decision) -> *const u8 {
        let Laid { edits, pairs, raw } = self;
        edits.clear();
        pairs.clear();
        match decision.plain() {
            Decision::Pass(passage) => {
                raw.case = 0;
                raw.body.pass = lower_passage(passage, edits, pairs);
            }
            Decision::Answer(reply) => {
                raw.case = 1;
                raw.body.answer = lower_reply(reply, pairs);
            }
            Decision::Ask(question) => {
                raw.case = 2;
                raw.body.ask = lower_question(question, pairs);
            }
            // What is plain is not ready.
            Decision::Ready(_) => core::arch::wasm32::unreachable(),
        }
        self.place()
    }
}

fn lower_passage(passage: &Passage, edits: &mut Vec<RawEdit>, pairs: &mut Vec<RawPair>) -> RawPassage {
    edits.extend(passage.edits.iter().map(lower_edit));
    // Both lists of pairs are pushed before either is pointed at: pushing may move them.
    let subset = passage.route.as_ref().map_or(&[][..], |route| &route.subset);
    pairs.extend(subset.iter().map(|(name, value)| pair(name, value.as_bytes())));
    pairs.extend(passage.facts.iter().map(|(name, value)| pair(name, value.as_bytes())));
    let (subset, facts) = pairs.split_at(subset.len());
    let route = passage.route.as_ref().map(|route| lower_route(route, subset));
    RawPassage {
        edits: RawList::of_items(edits),
        route: RawOption::of(route, NO_ROUTE),
        facts: RawList::of_items(facts),
        memo: passage.memo,
        keep_ms: passage.keep_ms,
        delay_ms: passage.delay_ms,
    }
}

fn lower_edit(edit: &Edit) -> RawEdit {
    match edit {
        Edit::Set(name, value) => RawEdit { case: 0, field: pair(name, value) },
        Edit::Append(name, value) => RawEdit { case: 1, field: pair(name, value) },
        Edit::Remove(name) => RawEdit { case: 2, field: pair(name, b"") },
    }
}

fn lower_route(route: &Route, subset: &[RawPair]) -> RawRoute {
    let text =
        |text: &Option<Text>| RawOption::of(text.as_ref().map(|t| RawList::of(t.as_bytes())), RawList::EMPTY);
    let cluster = |cluster: Option<Cluster>| RawOption::of(cluster.map(Cluster::position), 0);
    RawRoute {
        cluster: cluster(route.cluster),
        subset: RawList::of_items(subset),
        path: RawOption::of(route.path.as_ref().map(|path| RawList::of(path)), RawList::EMPTY),
        authority: text(&route.authority),
        timeout_ms: RawOption::of(route.timeout_ms, 0),
        retries: RawOption::of(route.retries, 0),
        hash: RawOption::of(route.hash, 0),
        mirror: cluster(route.mirror),
        name: text(&route.name),
    }
}

fn lower_reply(reply: &Reply, pairs: &mut Vec<RawPair>) -> RawReply {
    RawReply {
        status: reply.status,
        fields: fields(&reply.fields, pairs),
        body: RawList::of(&reply.body),
        reason: RawList::of(reply.reason.as_bytes()),
        keep_ms: reply.keep_ms,
    }
}

fn lower_question(question: &Question, pairs: &mut Vec<RawPair>) -> RawQuestion {
    RawQuestion {
        cluster: question.cluster.position(),
        method: RawList::of(question.method.as_bytes()),
        path: RawList::of(question.path.as_bytes()),
        fields: fields(&question.fields, pairs),
        body: RawList::of(&question.body),
        timeout_ms: question.timeout_ms,
        memo: RawList::of(&question.memo),
    }
}

fn fields(fields: &[(Text, Bytes)], pairs: &mut Vec<RawPair>) -> RawList {
    pairs.extend(fields.iter().map(|(name, value)| pair(name, value)));
    RawList::of_items(pairs)
}

fn pair(name: &str, value: &[u8]) -> RawPair {
    RawPair { name: RawList::of(name.as_bytes()), value: RawList::of(value) }
}

/// Lays a verdict out and returns where.
pub(super) fn verdict(verdict: Verdict) -> *const u8 {
    // SAFETY: as in `decision`.
    let Outbox { verdict: kept, judged, .. } = unsafe { OUTBOX.get() };
    *judged = match kept.insert(verdict) {
        Verdict::Pass(cluster) => {
            let pass = RawOption::of(cluster.map(Cluster::position), 0);
            RawVerdict { case: 0, body: RawVerdicts { pass } }
        }
        Verdict::Refuse(reason) => {
            RawVerdict { case: 1, body: RawVerdicts { refuse: RawList::of(reason.as_bytes()) } }
        }
    };
    (&raw const *judged).cast()
}

/// Lays out what `configure` answers. Called once per instance: what it points at is leaked.
pub(super) fn configured(result: Result<Setup, String>) -> *const u8 {
    let raw = match result {
        Ok(setup) => RawConfigureResult { failed: 0, value: RawConfigured { interest: lower_setup(setup) } },
        Err(text) => {
            let error = RawList::of(text.leak().as_bytes());
            RawConfigureResult { failed: 1, value: RawConfigured { error } }
        }
    };
    (&raw const *Box::leak(Box::new(raw))).cast()
}

fn lower_setup(setup: Setup) -> RawInterest {
    let setup: &'static Setup = Box::leak(Box::new(setup));
    let names = |names: &'static [Text]| {
        let lists: Vec<RawList> = names.iter().map(|name| RawList::of(name.as_bytes())).collect();
        RawList::of_items(lists.leak())
    };
    let when: Vec<RawCondition> = setup
        .when
        .iter()
        .map(|condition| {
            let (case, text) = match &condition.test {
                Test::Present => (0, RawList::EMPTY),
                Test::Absent => (1, RawList::EMPTY),
                Test::Equals(text) => (2, RawList::of(text.as_bytes())),
                Test::StartsWith(text) => (3, RawList::of(text.as_bytes())),
            };
            RawCondition { name: RawList::of(condition.name.as_bytes()), case, text }
        })
        .collect();
    RawInterest {
        hooks: setup.hooks.contract_bits(),
        when: RawList::of_items(when.leak()),
        request: names(&setup.request),
        response: names(&setup.response),
        clusters: names(&setup.clusters),
        body_limit: setup.shown_body(),
    }
}

/// Lays out what `update` answers.
pub(super) fn updated(result: Result<(), String>) -> *const u8 {
    // SAFETY: as in `decision`.
    let outbox = unsafe { OUTBOX.get() };
    outbox.updated.failed = u8::from(result.is_err());
    outbox.error = result.err().unwrap_or_default();
    outbox.updated.error = RawList::of(outbox.error.as_bytes());
    (&raw const outbox.updated).cast()
}
