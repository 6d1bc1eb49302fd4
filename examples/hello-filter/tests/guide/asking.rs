//! A filter that asks somebody else before it decides.

use std::time::Duration;

use serde_json::json;
use weir_sdk::testing::Filter;
use weir_sdk::{Answer, AnswerFailure, Cluster, Decision, Field, NoConfig, Policy, Request, Setup};

struct Gate {
    authority: Cluster,
    token: Field,
}

#[weir_sdk::filter]
impl Policy for Gate {
    fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
        Ok(Gate { authority: setup.cluster("authority"), token: setup.request("authorization") })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let Some(token) = request.get(self.token) else {
            return Decision::answer(401).header("www-authenticate", "Bearer").reason("no_token").into();
        };
        Decision::ask(self.authority, "GET", "/verdict")
            .header("authorization", token.to_vec())
            .timeout(Duration::from_millis(500))
            .into()
    }

    fn on_answer(&mut self, answer: &Answer<'_>) -> Decision {
        match answer.result() {
            Ok(message) if message.status == 200 => {
                let user = String::from_utf8_lossy(message.body).into_owned();
                Decision::pass().fact("auth.subject", user).into()
            }
            Ok(_) => Decision::answer(403).reason("refused").into(),
            Err(_) => Decision::answer(503).reason("authority_silent").into(),
        }
    }
}

#[test]
fn whoever_the_authority_knows_gets_in() {
    let filter = Filter::<Gate>::builder().clusters(["authority"]).build(json!({})).unwrap();
    assert_eq!(filter.request().send().status(), Some(401));

    let mut exchange = filter.request().header("authorization", "Bearer 7").begin();
    assert_eq!(exchange.decision().question().unwrap().path, "/verdict");
    exchange.answered(200, &[], "alice");
    assert!(exchange.passed());
    assert_eq!(exchange.fact("auth.subject").as_deref(), Some("alice"));
}

#[test]
fn an_authority_that_refuses_or_is_silent_lets_nobody_in() {
    let filter = Filter::<Gate>::new(json!({})).unwrap();
    let ask = || filter.request().header("authorization", "Bearer 7").begin();
    assert_eq!(ask().answered(404, &[], "").status(), Some(403));
    assert_eq!(ask().unanswered(AnswerFailure::Timeout).status(), Some(503));
}
