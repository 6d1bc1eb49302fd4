//! Filters whose workers share what they know.

use std::time::Duration;

use serde_json::json;
use weir_sdk::state::{self, Cell};
use weir_sdk::testing::Filter;
use weir_sdk::{Decision, Field, NoConfig, Outcome, Policy, Request, Setup};

const MOST: i64 = 2;
const COUNTED: u64 = 1;

struct Doorman {
    under_way: Cell,
}

#[weir_sdk::filter]
impl Policy for Doorman {
    fn configure(_: NoConfig, _: &mut Setup) -> Result<Self, String> {
        Ok(Doorman { under_way: Cell::named("under-way") })
    }

    fn on_request(&mut self, _: &Request<'_>) -> Decision {
        if self.under_way.add(1) > MOST {
            self.under_way.add(-1);
            return Decision::answer(503).header("retry-after", "1").reason("crowded").into();
        }
        Decision::pass().memo(COUNTED).into()
    }

    fn on_complete(&mut self, outcome: &Outcome) {
        if outcome.memo == COUNTED {
            self.under_way.add(-1);
        }
    }
}

#[test]
fn workers_count_together() {
    let one = Filter::<Doorman>::new(json!({})).unwrap();
    let other = one.another().unwrap();
    let (mut first, second) = (one.request().begin(), other.request().begin());
    assert!(first.passed() && second.passed());
    assert_eq!(other.request().send().reason(), Some("crowded"));
    first.end(200);
    assert_eq!(one.cell("under-way"), 1);
    assert!(other.request().begin().passed());
}

mod once {
    //! A request that names itself is let through once.
    use super::*;

    pub(super) struct Once {
        pub(super) key: Field,
    }

    #[weir_sdk::filter]
    impl Policy for Once {
        fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
            Ok(Once { key: setup.request("idempotency-key") })
        }

        fn on_request(&mut self, request: &Request<'_>) -> Decision {
            let Some(key) = request.text(self.key) else {
                return Decision::answer(400).reason("no_key").into();
            };
            if state::get(key).is_some() {
                return Decision::answer(409).reason("repeated").into();
            }
            state::put(key, b"", Some(Duration::from_secs(600)));
            Decision::pass().into()
        }
    }
}

#[test]
fn a_key_is_known_to_the_next_version_until_its_time_is_over() {
    let filter = Filter::<once::Once>::new(json!({})).unwrap();
    let status =
        |filter: &Filter<once::Once>| filter.request().header("idempotency-key", "a").send().status();
    assert_eq!((status(&filter), status(&filter)), (None, Some(409)));
    let swapped = filter.swapped(json!({})).unwrap();
    assert_eq!(status(&swapped), Some(409));
    filter.advance(Duration::from_secs(600));
    assert_eq!(status(&swapped), None);
}
