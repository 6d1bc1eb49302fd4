//! A filter that counts by caller in a bucket of the proxy's configuration.

use std::time::Duration;

use serde_json::json;
use weir_sdk::state::Limit;
use weir_sdk::testing::Filter;
use weir_sdk::{Condition, Decision, Field, NoConfig, Policy, Request, Setup};

struct Quota {
    per_user: Limit,
    subject: Field,
}

#[weir_sdk::filter]
impl Policy for Quota {
    fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
        setup.when(Condition::present("@auth.subject"));
        Ok(Quota { per_user: Limit::named("per-user")?, subject: setup.request("@auth.subject") })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let Some(subject) = request.text(self.subject) else {
            return Decision::pass().into();
        };
        match self.per_user.take(subject, 1) {
            Ok(()) => Decision::pass().into(),
            Err(wait) => Decision::answer(429)
                .header("retry-after", wait.as_secs().max(1).to_string())
                .reason("quota")
                .into(),
        }
    }
}

#[test]
fn each_user_has_a_bucket_that_fills_with_time() {
    let filter = Filter::<Quota>::builder().limit("per-user", 1.0, 2).build(json!({})).unwrap();
    let send = |user: &str| filter.request().fact("auth.subject", user).send().status();
    assert_eq!((send("alice"), send("alice"), send("alice")), (None, None, Some(429)));
    assert_eq!(send("bob"), None);
    filter.advance(Duration::from_secs(1));
    assert_eq!((send("alice"), send("alice")), (None, Some(429)));
}

#[test]
fn callers_that_nobody_knows_are_not_shown_to_it() {
    let filter = Filter::<Quota>::builder().limit("per-user", 1.0, 1).build(json!({})).unwrap();
    assert!(!filter.request().begin().shown());
    assert!(Filter::<Quota>::new(json!({})).is_err(), "config has no such limit");
}
