//! A filter that misbehaves on demand: what the proxy must bear from a guest, at every hook.
//!
//! A request says in its field `x-misdeed` which hook is to do what, as `HOOK MISDEED`, for example
//! `response loop`. Requests without that field pass. The misdeeds of `configure` come from its configuration,
//! those of `update` from the data themselves, those about a connection from the first label of the name that it asks
//! for in TLS.

use serde::Deserialize;
use weir_sdk::{
    Answer, Body, Cluster, Condition, Connection, Decision, Field, Outcome, Policy, Request, Response, Setup,
    Verdict,
};

/// What the proxy may see of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What `configure` does wrong.
    #[serde(default)]
    configure: Option<String>,
    /// Asked when the misdeed is to happen in `on_answer`.
    #[serde(default)]
    cluster: Option<String>,
    /// Show bodies, and so hold heads back.
    #[serde(default)]
    bodies: bool,
    /// Be asked about connections.
    #[serde(default)]
    connections: bool,
}

/// See the module.
pub struct Hostile {
    misdeed: Field,
    cluster: Option<Cluster>,
}

/// What a request may ask for, by position: the memo carries it to the later hooks.
const MISDEEDS: [&str; 9] =
    ["loop", "memory", "trap", "recurse", "giant", "many", "bad-status", "bad-field", "framing-field"];

#[weir_sdk::filter]
impl Policy for Hostile {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        match config.configure.as_deref() {
            None => {}
            Some("refuse") => return Err("refused, as configured".to_owned()),
            Some(misdeed) => drop(commit(misdeed)),
        }
        if !config.bodies {
            setup.without(weir_sdk::Hooks::REQUEST_BODY);
        }
        if !config.connections {
            setup.without(weir_sdk::Hooks::CONNECTION);
        }
        setup.when(Condition::present("x-misdeed"));
        let cluster = config.cluster.map(|name| setup.cluster(name));
        Ok(Self { misdeed: setup.request("x-misdeed"), cluster })
    }

    fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
        let misdeed = connection.sni().and_then(|name| name.split('.').next()).unwrap_or_default();
        match (misdeed, self.cluster) {
            ("giant", _) => Verdict::refuse("x".repeat(6 << 20)),
            // Config may grant it to be asked only.
            ("astray", Some(cluster)) => Verdict::to(cluster),
            ("loop" | "memory" | "trap" | "recurse", _) => {
                drop(commit(misdeed));
                Verdict::pass()
            }
            _ => Verdict::pass(),
        }
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let Some((hook, misdeed)) = request.text(self.misdeed).and_then(|text| text.split_once(' ')) else {
            return Decision::pass().into();
        };
        let memo = memo(hook, misdeed);
        match (hook, self.cluster) {
            ("request", _) => commit(misdeed),
            ("answer", Some(cluster)) => Decision::ask(cluster, "GET", "/").memo(memo.to_le_bytes()).into(),
            _ => Decision::pass().memo(memo).into(),
        }
    }

    fn on_request_body(&mut self, body: &Body<'_>) -> Decision {
        recall("body", body.memo())
    }

    fn on_answer(&mut self, answer: &Answer<'_>) -> Decision {
        let mut memo = [0; 8];
        memo.copy_from_slice(&answer.memo()[..8]);
        recall("answer", u64::from_le_bytes(memo))
    }

    fn on_response(&mut self, response: &Response<'_>) -> Decision {
        recall("response", response.memo())
    }

    fn on_complete(&mut self, outcome: &Outcome) {
        drop(recall("complete", outcome.memo));
    }

    fn update(&mut self, _name: &str, content: &[u8]) -> Result<(), String> {
        match std::str::from_utf8(content) {
            Ok("fine") => Ok(()),
            Ok("refuse") => Err("refused, as the data say".to_owned()),
            Ok(misdeed) => {
                drop(commit(misdeed.trim()));
                Ok(())
            }
            Err(_) => Err("not text".to_owned()),
        }
    }
}

const HOOKS: [&str; 4] = ["body", "answer", "response", "complete"];

/// Hook in the upper half, misdeed in the lower, both from 1; 0 is a good request.
fn memo(hook: &str, misdeed: &str) -> u64 {
    let number = |list: &[&str], name| list.iter().position(|n| *n == name).map_or(0, |at| at as u64 + 1);
    number(&HOOKS, hook) << 32 | number(&MISDEEDS, misdeed)
}

fn recall(hook: &str, memo: u64) -> Decision {
    let name =
        |list: &'static [&str], number: u64| list.get(usize::try_from(number).ok()?.checked_sub(1)?).copied();
    match (name(&HOOKS, memo >> 32), name(&MISDEEDS, memo & 0xffff_ffff)) {
        (Some(wanted), Some(misdeed)) if wanted == hook => commit(misdeed),
        _ => Decision::pass().memo(memo).into(),
    }
}

#[allow(clippy::panic, clippy::empty_loop)] // That is what it is for.
fn commit(misdeed: &str) -> Decision {
    match misdeed {
        "loop" => loop {
            std::hint::black_box(misdeed);
        },
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
        }
        "recurse" => Decision::answer(200).body(deep(1).to_string()).into(),
        // Fits the guest's memory, and nothing that the proxy should take.
        "giant" => Decision::answer(200).body(vec![b'x'; 6 << 20]).into(),
        "many" => {
            let mut passage = Decision::pass();
            for number in 0..50_000 {
                passage = passage.append(format!("x-{number}"), "x");
            }
            passage.into()
        }
        "bad-status" => Decision::answer(999).into(),
        "bad-field" => Decision::pass().set("x bad\r\nname", "y").into(),
        "framing-field" => Decision::pass().set("content-length", "7").into(),
        _ => panic!("a trap, as asked"),
    }
}

#[allow(unconditional_recursion)]
fn deep(depth: u64) -> u64 {
    std::hint::black_box(deep(std::hint::black_box(depth + 1))) + 1
}
