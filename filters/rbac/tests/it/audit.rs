//! Looking at what rules would do before they do it.

use serde_json::json;
use weir_sdk::Level;

use crate::{WEB, filter};

#[test]
fn audit_lets_through_and_tells_each_time() {
    let filter = filter(json!({
        "audit": true,
        "deny": [{ "name": "no-admin", "path_prefix": "/admin" }],
        "allow": [{ "name": "web", "from": WEB }],
    }));
    let denied = filter.request().peer_identity(WEB).path("/admin").begin();
    assert_eq!(denied.fact("rbac.audit").as_deref(), Some("no-admin"));
    assert_eq!((denied.fact("rbac.rule"), denied.passage().keep_ms), (None, 0));
    let unmatched = filter.request().begin();
    assert_eq!(unmatched.fact("rbac.audit").as_deref(), Some("no_rule"));
    let allowed = filter.request().peer_identity(WEB).begin();
    assert_eq!(allowed.fact("rbac.audit"), None);
    assert_eq!((allowed.fact("rbac.rule").as_deref(), allowed.passage().keep_ms), (Some("web"), 60_000));
    assert_eq!(filter.metric("audited"), 2);
    let expected = [
        (Level::Warn, format!("would be denied (no-admin): {WEB}")),
        (Level::Warn, "would be denied (no_rule): a caller without identity".to_owned()),
    ];
    assert_eq!(filter.log_lines(), expected);
}

#[test]
fn audit_needs_no_rules_to_begin_with() {
    let filter = filter(json!({ "audit": true }));
    assert!(filter.request().send().passage().is_some());
    assert_eq!(filter.metric("audited"), 1);
}
