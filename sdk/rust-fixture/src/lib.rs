//! A filter with every hook and every import, for tests of the SDK: natively through the harness, and
//! as WebAssembly through the real host, so that both agree.

use std::time::Duration;

use serde::Deserialize;
use weir_sdk::crypto::{self, Key};
use weir_sdk::state::{self, Cell, Limit};
use weir_sdk::{
    Answer, AnswerFailure, Body, Cluster, Condition, Connection, Decision, Field, Hooks, Metric, Outcome,
    Policy, Request, Response, ResponseField, Setup, Verdict,
};

/// `cluster` to route to and ask; `quiet` leaves `on_response` out.
#[derive(Deserialize)]
pub struct Config {
    cluster: String,
    #[serde(default)]
    quiet: bool,
}

/// A passage that says everything a passage can.
pub fn everything(cluster: Cluster) -> Decision {
    let passage = Decision::pass()
        .set("x-set", "1")
        .append("x-append", "2".to_owned())
        .remove("x-remove")
        .to(cluster)
        .subset("version", "v2")
        .subset("zone", "a")
        .path("/rewritten?q=1")
        .authority("other.test")
        .timeout(Duration::from_millis(1_500))
        .retries(3)
        .hash(0x0123_4567_89ab_cdef)
        .mirror(cluster)
        .route_name("everything")
        .fact("first", "one")
        .fact("second", "two");
    passage.memo(u64::MAX - 1).keep(Duration::from_secs(60)).delay(Duration::from_millis(250)).into()
}

impl Everything {
    /// Uses every import and tells what came of it.
    fn host(&self, request: &Request<'_>) -> String {
        weir_sdk::info!("asked by {}", request.id());
        let before = self.passed.load();
        let wrong = self.passed.compare_exchange(before + 1, 0);
        let right = self.passed.compare_exchange(before, before + 5);
        state::put("key", b"value", Some(Duration::from_secs(1)));
        let (kept, missing) = (state::get("key"), state::get("no such key"));
        let sum = crypto::sha256(b"abc");
        let verified = self.key.verify("HS256", b"message", &SIGNATURE);
        let forged = self.key.verify("HS256", b"another", &SIGNATURE);
        let differ = weir_sdk::random() != weir_sdk::random();
        format!(
            "{wrong:?} {right:?} {kept:?} {missing:?} {:02x}{:02x} {verified} {forged} {differ} {:?} {}",
            sum[0],
            sum[31],
            request.value("user-agent").map(String::from_utf8),
            weir_sdk::now_ms() > 0,
        )
    }
}

/// HMAC-SHA-256 of "message" under the key of `configure`.
const SIGNATURE: [u8; 32] = [
    0xce, 0xb8, 0x22, 0xce, 0x5a, 0xae, 0x1f, 0xf0, 0x9b, 0x7c, 0xf2, 0x08, 0x50, 0x37, 0xab, 0x77, 0xb4,
    0xdc, 0x84, 0x50, 0x2b, 0x3c, 0x4a, 0xa6, 0x26, 0x6a, 0x66, 0x5f, 0x77, 0x53, 0xb0, 0x9a,
];

/// See the crate's documentation.
pub struct Everything {
    cluster: Cluster,
    path: Field,
    cookie: Field,
    subject: Field,
    time: Field,
    server: ResponseField,
    passed: Cell,
    per_caller: Limit,
    ended: Metric,
    key: Key,
    word: String,
}

#[weir_sdk::filter]
impl Policy for Everything {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        if config.quiet {
            setup.without(Hooks::RESPONSE);
        }
        setup.when(Condition::starts_with(":path", "/"));
        setup.body_limit(16);
        Ok(Everything {
            cluster: setup.cluster(config.cluster),
            path: setup.request(":path"),
            cookie: setup.request("cookie"),
            subject: setup.request("@auth.subject"),
            time: setup.request("@time.ms"),
            server: setup.response("server"),
            passed: Cell::named("passed"),
            per_caller: Limit::named("callers")?,
            ended: Metric::named("ended", "Exchanges that ended."),
            key: Key::from_jwk(
                r#"{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY","alg":"HS256"}"#,
            )?,
            word: String::new(),
        })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        if let Err(wait) = self.per_caller.take("caller", 1) {
            return Decision::answer(429)
                .header("retry-after", wait.as_secs().to_string())
                .reason("limit")
                .into();
        }
        match request.text(self.path) {
            Some("/ask") => Decision::ask(self.cluster, "POST", "/verdict").memo(*b"asked").into(),
            Some("/cookie") => {
                Decision::answer(200).body(request.get(self.cookie).unwrap_or(b"none").to_vec()).into()
            }
            Some("/json") => {
                let read =
                    serde_json::from_slice::<serde_json::Value>(request.get(self.cookie).unwrap_or(b""));
                Decision::answer(200).body(if read.is_ok() { "read" } else { "too deep" }).into()
            }
            Some("/subject") => Decision::pass()
                .set("x-subject", request.text(self.subject).unwrap_or("none").to_owned())
                .into(),
            Some("/time") => {
                Decision::answer(200).body(request.number(self.time).unwrap_or(0).to_string()).into()
            }
            Some("/word") => Decision::answer(200).body(self.word.clone()).into(),
            Some("/agent") => Decision::answer(200)
                .body(request.value("user-agent").unwrap_or_else(|| b"none".to_vec()))
                .into(),
            Some("/everything") => everything(self.cluster),
            Some("/host") => Decision::answer(200).body(self.host(request)).into(),
            Some("/large") => Decision::answer(200).body(vec![b'x'; 100_000]).into(),
            Some("/panic") => panic!("asked to"),
            _ => {
                self.passed.add(1);
                Decision::pass()
                    .to(self.cluster)
                    .fact("seen", "yes")
                    .memo(7)
                    .keep(Duration::from_secs(1))
                    .into()
            }
        }
    }

    fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
        match connection.sni() {
            Some("to.test") => Verdict::to(self.cluster),
            Some("shown.test") => Verdict::refuse(format!("{connection:?}")),
            Some("panic.test") => panic!("asked to"),
            _ => Verdict::pass(),
        }
    }

    fn on_request_body(&mut self, body: &Body<'_>) -> Decision {
        if body.bytes() == b"evil" {
            return Decision::answer(403).reason("evil").into();
        }
        Decision::pass().memo(body.memo()).into()
    }

    fn on_answer(&mut self, answer: &Answer<'_>) -> Decision {
        assert_eq!(answer.memo(), b"asked");
        match answer.result() {
            Ok(message) if message.status == 200 => {
                Decision::pass().set("x-verdict", message.body.to_vec()).into()
            }
            Ok(_) => Decision::answer(403).into(),
            Err(AnswerFailure::Timeout) => Decision::answer(504).into(),
            Err(_) => Decision::answer(503).into(),
        }
    }

    fn on_response(&mut self, response: &Response<'_>) -> Decision {
        if response.get(self.server).is_some() {
            return Decision::pass().remove("server").memo(response.memo()).into();
        }
        Decision::answer(502).reason("anonymous").into()
    }

    fn on_complete(&mut self, outcome: &Outcome) {
        if outcome.memo == 7 && outcome.cluster == Some(self.cluster) {
            self.ended.increment();
        }
    }

    fn update(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        if name != "word" {
            return Err(format!("no data \"{name}\""));
        }
        self.word = String::from_utf8(content.to_vec()).map_err(|error| error.to_string())?;
        Ok(())
    }
}
