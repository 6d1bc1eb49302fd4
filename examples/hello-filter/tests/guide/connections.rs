//! A filter that decides who gets in, and to whom, before anything is said.

use serde_json::json;
use weir_sdk::testing::Filter;
use weir_sdk::{Cluster, Connection, NoConfig, Policy, Setup, Verdict};

struct Entrance {
    reports: Cluster,
}

#[weir_sdk::filter]
impl Policy for Entrance {
    fn configure(_: NoConfig, setup: &mut Setup) -> Result<Self, String> {
        Ok(Entrance { reports: setup.cluster("reports") })
    }

    fn on_connection(&mut self, connection: &Connection<'_>) -> Verdict {
        match (connection.identity(), connection.sni()) {
            (None, _) => Verdict::refuse("nobody"),
            (_, Some("reports.internal")) => Verdict::to(self.reports),
            _ => Verdict::pass(),
        }
    }
}

#[test]
fn somebody_gets_in_and_reports_go_to_their_own() {
    let filter = Filter::<Entrance>::new(json!({})).unwrap();
    let verdict = filter.connection().identity("spiffe://td/sa/web").sni("reports.internal").send();
    assert_eq!(verdict.cluster(), Some(filter.cluster("reports")));
    assert_eq!(filter.connection().identity("spiffe://td/sa/web").send(), Verdict::pass());
    assert_eq!(filter.connection().sni("reports.internal").send().reason(), Some("nobody"));
}
