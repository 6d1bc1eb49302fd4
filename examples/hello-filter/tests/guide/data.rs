//! A filter that is told by a file whom to turn away, and whose decisions are remembered.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use weir_sdk::testing::Filter;
use weir_sdk::{Decision, Field, NoConfig, Policy, Request, Setup};

struct Blocklist {
    blocked: HashSet<String>,
    peer: Field,
}

#[weir_sdk::filter]
impl Policy for Blocklist {
    fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
        Ok(Blocklist { blocked: HashSet::new(), peer: setup.request("@peer.address") })
    }

    fn update(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        if name != "blocklist" {
            return Err(format!("no use for data \"{name}\""));
        }
        let text = str::from_utf8(content).map_err(|error| error.to_string())?;
        self.blocked = text.lines().map(|line| line.trim().to_owned()).collect();
        weir_sdk::info!("{} addresses are blocked", self.blocked.len());
        Ok(())
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let blocked = request.text(self.peer).is_some_and(|peer| self.blocked.contains(peer));
        if blocked {
            return Decision::answer(403).reason("blocked").keep(Duration::from_secs(60)).into();
        }
        Decision::pass().keep(Duration::from_secs(60)).into()
    }
}

#[test]
fn a_new_list_takes_the_place_of_the_old_and_a_bad_one_does_not() {
    let filter = Filter::<Blocklist>::builder().data("blocklist", "10.0.0.7\n").build(json!({})).unwrap();
    let send = |address: &str| filter.request().peer_address(address).send().status();
    assert_eq!((send("10.0.0.7"), send("10.0.0.8")), (Some(403), None));
    assert!(filter.update("blocklist", [0xff]).is_err());
    assert_eq!((send("10.0.0.7"), send("10.0.0.8")), (Some(403), None));
    filter.update("blocklist", "10.0.0.8\n").unwrap();
    assert_eq!((send("10.0.0.7"), send("10.0.0.8")), (None, Some(403)));
    assert_eq!(filter.log_lines().len(), 2);
}
