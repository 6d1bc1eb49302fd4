//! The commands of a script, and the decision they add up to.
//!
//! | command | effect |
//! |---|---|
//! | `set N V`, `append N V`, `remove N` | edits |
//! | `to I`, `mirror I` | clusters by position |
//! | `subset L V`, `path P`, `authority A`, `timeout MS`, `retries N`, `hash N`, `name R` | the rest of the route |
//! | `fact N V`, `memo N`, `keep MS`, `delay MS` | the rest of a passage |
//! | `answer STATUS BODY` | a reply in place of the passage; `field N V` and `reason R` go with it |
//! | `ask I PATH MS MEMO` | a question |
//! | `shown` | sets `x-TAG-shown` to the values shown, joined with "\|", "-" for absent ones |
//! | `told` | sets `x-TAG-told` to what the hook was told besides |
//! | `value N` | sets `x-TAG-value` to a value on demand |
//! | `count` | sets `x-TAG-count` to the calls so far and to a keyed value that grows with each `count` |
//! | `data N` | sets `x-TAG-data` to the data of that name |
//! | `take KEY` | answers 429 unless the limit gives a token |
//! | `trap` | traps |

use std::{collections::BTreeMap, time::Duration};

use weir_sdk::{
    Cluster, Decision, Passage, Question, Reply,
    state::{self, Cell, Limit},
};

/// What a script plays in.
pub(crate) struct Scene<'a> {
    pub(crate) tag: &'a str,
    pub(crate) shown: &'a [Option<Vec<u8>>],
    pub(crate) told: &'a str,
    pub(crate) value: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    pub(crate) clusters: &'a [Cluster],
    pub(crate) limit: Option<Limit>,
    pub(crate) calls: Cell,
    pub(crate) data: &'a BTreeMap<String, String>,
}

#[derive(Default)]
struct Made {
    reply: Option<Reply>,
    question: Option<Question>,
}

impl Scene<'_> {
    pub(crate) fn play(&self, script: &str) -> Decision {
        let mut passage = Decision::pass();
        let mut made = Made::default();
        for command in script.split(';').map(str::trim).filter(|command| !command.is_empty()) {
            let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
            passage = self.command(verb, rest, passage, &mut made);
        }
        match made {
            Made { question: Some(question), .. } => question.into(),
            Made { reply: Some(reply), .. } => reply.into(),
            Made { .. } => passage.into(),
        }
    }

    #[allow(clippy::panic)] // A script with a mistake, or one that wants to.
    fn command(&self, verb: &str, rest: &str, passage: Passage, made: &mut Made) -> Passage {
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let owned = |text: &str| text.to_owned();
        match verb {
            "set" => passage.set(owned(first), owned(second)),
            "append" => passage.append(owned(first), owned(second)),
            "remove" => passage.remove(owned(first)),
            "to" => passage.to(self.cluster(first)),
            "mirror" => passage.mirror(self.cluster(first)),
            "subset" => passage.subset(owned(first), owned(second)),
            "path" => passage.path(owned(rest)),
            "authority" => passage.authority(owned(rest)),
            "timeout" => passage.timeout(milliseconds(first)),
            "retries" => passage.retries(number(first) as u8),
            "hash" => passage.hash(number(first)),
            "name" => passage.route_name(owned(first)),
            "fact" => passage.fact(owned(first), owned(second)),
            "memo" => passage.memo(number(first)),
            "delay" => passage.delay(milliseconds(first)),
            "keep" => {
                made.reply = made.reply.take().map(|reply| reply.keep(milliseconds(first)));
                passage.keep(milliseconds(first))
            }
            "shown" => self.tell(passage, "shown", self.shown_text()),
            "told" => self.tell(passage, "told", owned(self.told)),
            "value" => self.tell(passage, "value", text((self.value)(first).as_deref())),
            "data" => self.tell(passage, "data", self.data.get(first).cloned().unwrap_or_else(|| owned("-"))),
            "count" => self.tell(passage, "count", format!("{} {}", self.calls.load(), keyed_count())),
            "trap" => panic!("a trap, as asked"),
            _ => {
                self.ending(verb, first, second, made);
                passage
            }
        }
    }

    #[allow(clippy::panic)] // A script with a mistake.
    fn ending(&self, verb: &str, first: &str, second: &str, made: &mut Made) {
        match verb {
            "answer" => {
                made.reply = Some(Decision::answer(number(first) as u16).body(second.to_owned()));
            }
            "field" => {
                let (name, value) = (first.to_owned(), second.to_owned());
                made.reply = made.reply.take().map(|reply| reply.header(name, value));
            }
            "reason" => made.reply = made.reply.take().map(|reply| reply.reason(first.to_owned())),
            "ask" => {
                let mut words = second.splitn(3, ' ');
                let mut word = || words.next().unwrap_or_default().to_owned();
                let question = Decision::ask(self.cluster(first), "GET", word());
                made.question = Some(question.timeout(milliseconds(&word())).memo(word()));
            }
            "take" => {
                if let Some(Err(wait)) = self.limit.map(|limit| limit.take(first, 1)) {
                    let wait = wait.as_millis().to_string();
                    made.reply = Some(Decision::answer(429).header("x-wait-ms", wait).reason("limit"));
                }
            }
            other => panic!("no command {other:?}"),
        }
    }

    fn tell(&self, passage: Passage, what: &str, text: String) -> Passage {
        passage.set(format!("x-{}-{what}", self.tag), text)
    }

    #[allow(clippy::panic)] // A script with a mistake.
    fn cluster(&self, position: &str) -> Cluster {
        let known = self.clusters.get(number(position) as usize);
        known.copied().unwrap_or_else(|| panic!("no cluster {position}"))
    }

    fn shown_text(&self) -> String {
        let values: Vec<_> = self.shown.iter().map(|value| text(value.as_deref())).collect();
        values.join("|")
    }
}

/// A keyed value that grows by one.
fn keyed_count() -> u64 {
    let before = state::get("count").and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    let now = before.unwrap_or(0) + 1;
    state::put("count", &now.to_le_bytes(), None);
    now
}

fn text(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "-".to_owned(), |bytes| String::from_utf8_lossy(bytes).replace("\r\n", "~"))
}

fn milliseconds(text: &str) -> Duration {
    Duration::from_millis(number(text))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
