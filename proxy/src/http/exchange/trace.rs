//! Trace context on its way through: a part of admitting a request, apart because its rules are W3C's own.

use crate::{
    message::{Fields, Known},
    telemetry::trace_context::{TraceParent, carried},
};

/// Takes away what is not valid, and tells which trace the request is part of.
pub(super) fn carry(fields: &mut Fields) -> Option<TraceParent> {
    let received = fields.get_known(Known::Traceparent).is_some();
    if !received && fields.get_known(Known::Tracestate).is_none() {
        return None;
    }
    let carried = carried(fields.all_known(Known::Traceparent), fields.all_known(Known::Tracestate));
    if carried.is_none() {
        fields.remove_known(Known::Traceparent);
    }
    match carried.as_ref().and_then(|carried| carried.state.as_deref()) {
        Some(state) => _ = fields.set_known(Known::Tracestate, state),
        None => _ = fields.remove_known(Known::Tracestate),
    }
    carried.map(|carried| carried.parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn after(sent: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = Fields::new();
        sent.iter().for_each(|(name, value)| assert!(fields.push(name, value.as_bytes())));
        carry(&mut fields);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        fields.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_valid_trace_goes_on_unchanged() {
        let sent = [("a", "1"), ("traceparent", VALID), ("tracestate", "x=1")];
        assert_eq!(after(&sent), pairs(&sent));
        let lines = [("traceparent", VALID), ("tracestate", "x=1"), ("tracestate", "y=2")];
        assert_eq!(after(&lines), pairs(&[("traceparent", VALID), ("tracestate", "x=1,y=2")]));
    }

    #[test]
    fn what_is_not_valid_does_not() {
        for parents in [&[][..], &["nonsense"], &[VALID, VALID]] {
            let mut sent: Vec<_> = parents.iter().map(|parent| ("traceparent", *parent)).collect();
            sent.extend([("a", "1"), ("tracestate", "x=1")]);
            assert_eq!(after(&sent), pairs(&[("a", "1")]), "{parents:?}");
        }
        let state = [("traceparent", VALID), ("tracestate", "=")];
        assert_eq!(after(&state), pairs(&[("traceparent", VALID)]));
    }
}
