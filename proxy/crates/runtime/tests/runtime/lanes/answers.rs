//! What a guest answers, well-formed and not: decisions laid out in memory as a toolchain would, then spoilt.

use std::cell::RefCell;

use proptest::{collection::vec, option, prelude::*};
use weir_runtime::{
    AnswerFailure, Decision, Fault, Passage, Question, Reply, View,
    contract::{Edit, Fact, Route},
};

use super::{Both, Known, both_start, for_all};
use crate::guest::{DECISION, Guest, INTEREST};

/// Memory from [`DECISION`] on, as a guest lays an answer out.
#[derive(Debug, Clone)]
struct Image(Vec<u8>);

impl Image {
    fn of(decision: &Decision) -> Self {
        let mut image = Self(vec![0; 144]);
        match decision {
            Decision::Pass(passage) => image.passage(8, passage),
            Decision::Answer(reply) => {
                image.0[0] = 1;
                image.reply(8, reply);
            }
            Decision::Ask(question) => {
                image.0[0] = 2;
                image.question(8, question);
            }
        }
        image
    }

    fn passage(&mut self, at: usize, passage: &Passage) {
        let edits = self.allocate(passage.edits.len() * 20);
        self.list(at, edits, passage.edits.len());
        for (edit, at) in passage.edits.iter().zip((edits..).step_by(20)) {
            let (case, name, value) = match edit {
                Edit::Set((name, value)) => (0, name, value.as_slice()),
                Edit::Append((name, value)) => (1, name, value.as_slice()),
                Edit::Remove(name) => (2, name, &b""[..]),
            };
            self.0[at] = case;
            self.bytes(at + 4, name.as_bytes());
            self.bytes(at + 12, value);
        }
        if let Some(route) = &passage.route {
            self.0[at + 8] = 1;
            self.route(at + 16, route);
        }
        let facts = passage.facts.iter().map(|fact| (fact.name.as_bytes(), fact.value.as_bytes()));
        self.pairs(at + 112, facts.collect());
        self.put(at + 120, &passage.memo.to_le_bytes());
        self.put(at + 128, &passage.keep_ms.to_le_bytes());
        self.put(at + 132, &passage.delay_ms.to_le_bytes());
    }

    fn route(&mut self, at: usize, route: &Route) {
        self.optional(at, 4, route.cluster.map(u32::to_le_bytes));
        let subset = route.subset.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.pairs(at + 8, subset.collect());
        self.optional_bytes(at + 16, route.path.as_deref());
        self.optional_bytes(at + 28, route.authority.as_ref().map(String::as_bytes));
        self.optional(at + 40, 4, route.timeout_ms.map(u32::to_le_bytes));
        self.optional(at + 48, 1, route.retries.map(u8::to_le_bytes));
        self.optional(at + 56, 8, route.hash.map(u64::to_le_bytes));
        self.optional(at + 72, 4, route.mirror.map(u32::to_le_bytes));
        self.optional_bytes(at + 80, route.name.as_ref().map(String::as_bytes));
    }

    fn reply(&mut self, at: usize, reply: &Reply) {
        self.put(at, &reply.status.to_le_bytes());
        self.fields(at + 4, &reply.fields);
        self.bytes(at + 12, &reply.body);
        self.bytes(at + 20, reply.reason.as_bytes());
        self.put(at + 28, &reply.keep_ms.to_le_bytes());
    }

    fn question(&mut self, at: usize, question: &Question) {
        self.put(at, &question.cluster.to_le_bytes());
        self.bytes(at + 4, question.method.as_bytes());
        self.bytes(at + 12, question.path.as_bytes());
        self.fields(at + 20, &question.fields);
        self.bytes(at + 28, &question.body);
        self.put(at + 36, &question.timeout_ms.to_le_bytes());
        self.bytes(at + 40, &question.memo);
    }

    fn fields(&mut self, at: usize, fields: &[(String, Vec<u8>)]) {
        self.pairs(at, fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect());
    }

    fn pairs(&mut self, at: usize, pairs: Vec<(&[u8], &[u8])>) {
        let items = self.allocate(pairs.len() * 16);
        self.list(at, items, pairs.len());
        for ((name, value), at) in pairs.into_iter().zip((items..).step_by(16)) {
            self.bytes(at, name);
            self.bytes(at + 8, value);
        }
    }

    fn optional<const N: usize>(&mut self, at: usize, offset: usize, value: Option<[u8; N]>) {
        if let Some(value) = value {
            self.0[at] = 1;
            self.put(at + offset, &value);
        }
    }

    fn optional_bytes(&mut self, at: usize, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.0[at] = 1;
            self.bytes(at + 4, value);
        }
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        let to = self.allocate(bytes.len());
        self.put(to, bytes);
        self.list(at, to, bytes.len());
    }

    fn list(&mut self, at: usize, to: usize, length: usize) {
        self.put(at, &(DECISION + to as u32).to_le_bytes());
        self.put(at + 4, &(length as u32).to_le_bytes());
    }

    fn allocate(&mut self, size: usize) -> usize {
        let at = self.0.len().next_multiple_of(8);
        self.0.resize(at + size, 0);
        at
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn text() -> impl Strategy<Value = String> {
    ".{0,6}"
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..12)
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    vec((text(), bytes()), 0..4)
}

prop_compose! {
    fn route()(
        (cluster, timeout_ms, retries) in any::<(Option<u32>, Option<u32>, Option<u8>)>(),
        (hash, mirror) in any::<(Option<u64>, Option<u32>)>(),
        subset in vec((text(), text()), 0..3),
        path in option::of(bytes()),
        authority in option::of(text()),
        name in option::of(text()),
    ) -> Route {
        Route { cluster, subset, path, authority, timeout_ms, retries, hash, mirror, name }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (text(), bytes()).prop_map(Edit::Set),
        (text(), bytes()).prop_map(Edit::Append),
        text().prop_map(Edit::Remove),
    ]
}

prop_compose! {
    fn passage()(
        edits in vec(edit(), 0..4),
        route in option::of(route()),
        facts in vec((text(), text()).prop_map(|(name, value)| Fact { name, value }), 0..3),
        (memo, keep_ms, delay_ms) in any::<(u64, u32, u32)>(),
    ) -> Passage {
        Passage { edits, route, facts, memo, keep_ms, delay_ms }
    }
}

prop_compose! {
    fn reply()(
        status in 200_u16..600, fields in fields(), body in bytes(), reason in text(), keep_ms in any::<u32>(),
    ) -> Reply {
        Reply { status, fields, body, reason, keep_ms }
    }
}

prop_compose! {
    fn question()(
        (cluster, timeout_ms) in any::<(u32, u32)>(),
        method in text(), path in text(), fields in fields(), body in bytes(), memo in bytes(),
    ) -> Question {
        Question { cluster, method, path, fields, body, timeout_ms, memo }
    }
}

fn decision() -> impl Strategy<Value = Decision> {
    prop_oneof![
        passage().prop_map(Decision::Pass),
        reply().prop_map(Decision::Answer),
        question().prop_map(Decision::Ask),
    ]
}

/// Words that look like cases, addresses and lengths, near all the bounds there are.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0_u32..5,
        4 => (DECISION..DECISION + 256).prop_map(|at| at & !3),
        1 => DECISION..DECISION + 256,
        1 => (2_u32 << 16) - 20..(2 << 16) + 20,
        1 => any::<u32>(),
    ]
}

/// Answers each hook with the decision that it finds in what it is shown, at the address that is the id.
fn parrot() -> Guest {
    let repeat = |from: &str, length: &str| {
        format!(
            "(memory.copy (i32.const {DECISION}) (local.get {from}) (local.get {length})) \
             (i32.wrap_i64 (local.get $id))"
        )
    };
    Guest::new()
        .hook("request", repeat("$bytes", "$len"))
        .hook("request-body", repeat("$body", "$len"))
        .hook("answer", repeat("$memo", "$memo-len"))
        .hook("response", repeat("$bytes", "$len"))
        .update(&format!(
            "(memory.copy (i32.const {DECISION}) (local.get $content) (local.get $content-len)) \
             (call $reset) (i32.const {DECISION})"
        ))
}

/// Shows a guest an image at each of its hooks.
fn at_each_hook(both: &mut Both, image: &[u8], address: u64) -> [Result<Decision, Fault>; 4] {
    let mut view = View::new();
    view.push(Some(image));
    [
        both.same(|instance| instance.on_request(address, &view, &mut Known)),
        both.same(|instance| instance.on_request_body(address, 0, image, &mut Known)),
        both.same(|instance| instance.on_answer(address, image, Err(AnswerFailure::Timeout), &mut Known)),
        both.same(|instance| instance.on_response(address, 0, 200, &view, &mut Known)),
    ]
}

#[test]
fn every_decision_comes_back_as_it_was_laid_out() {
    let both = RefCell::new(Both::of(&parrot()));
    for_all(400, decision(), |decision| {
        let image = Image::of(&decision).0;
        let [request, body, answer, response] = at_each_hook(&mut both.borrow_mut(), &image, DECISION.into());
        for came_to in [request, body, answer] {
            assert_eq!(came_to.as_ref(), Ok(&decision));
        }
        match &decision {
            Decision::Ask(_) => assert!(matches!(response, Err(Fault::WrongAnswer(_)))),
            _ => assert_eq!(response, Ok(decision)),
        }
    });
}

#[test]
fn spoilt_decisions_are_the_same_faults() {
    let both = RefCell::new(Both::of(&parrot()));
    let spoilt = vec((any::<prop::sample::Index>(), word()), 1..4);
    let address = prop_oneof![8 => Just(DECISION), 1 => word()];
    for_all(1_500, (decision(), spoilt, address), |(decision, spoilt, address)| {
        let mut image = Image::of(&decision).0;
        for (at, word) in spoilt {
            let at = at.index(image.len() / 4) * 4;
            image[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        _ = at_each_hook(&mut both.borrow_mut(), &image, address.into());
    });
}

#[test]
fn spoilt_bytes_are_the_same_faults() {
    let both = RefCell::new(Both::of(&parrot()));
    let spoilt = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    for_all(800, (decision(), spoilt), |(decision, spoilt)| {
        let mut image = Image::of(&decision).0;
        for (at, byte) in spoilt {
            let at = at.index(image.len());
            image[at] = byte;
        }
        _ = at_each_hook(&mut both.borrow_mut(), &image, DECISION.into());
    });
}

#[test]
fn whatever_lies_there_is_the_same_decision_or_fault() {
    let both = RefCell::new(Both::of(&parrot()));
    for_all(1_500, vec(word(), 36..60), |words| {
        let image: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        _ = at_each_hook(&mut both.borrow_mut(), &image, DECISION.into());
        _ = both.borrow_mut().same(|instance| instance.update("data", &image));
    });
}

#[test]
fn whatever_configure_answers_is_the_same_interest_or_fault() {
    for_all(60, (0_u32..3, vec(word(), 10..70)), |(case, words)| {
        // Longer lists of names than there is memory are rare.
        let image: Vec<u8> = [case].into_iter().chain(words).flat_map(u32::to_le_bytes).collect();
        let guest =
            Guest::new().hook("request", "i32.const 2048").bytes(DECISION, &image).configure(&format!(
                "(memory.copy (i32.const {INTEREST}) (i32.const {DECISION}) (i32.const {}))",
                image.len()
            ));
        _ = both_start(&guest);
    });
}

#[test]
fn answers_beyond_the_limit_are_the_same_faults() {
    let both = RefCell::new(Both::of(&parrot().pages(64)));
    // Lists of edits, facts and bytes; each counts by its size here.
    for_all(200, (0_u32..4, 0_u32..2_100_000), |(what, length)| {
        let mut image = vec![0; 144];
        let mut put = |at: usize, word: u32| image[at..at + 4].copy_from_slice(&word.to_le_bytes());
        match what {
            0 => put(12, length / 20),
            1 => put(124, length / 16),
            2 => {
                put(0, 1);
                put(8, 200);
                put(24, length);
            }
            _ => {
                put(0, 1);
                put(8, 200);
                put(32, length);
            }
        }
        _ = at_each_hook(&mut both.borrow_mut(), &image, DECISION.into());
    });
}
