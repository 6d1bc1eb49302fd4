//! How much of its traffic a zone keeps, so that neither the way between zones nor endpoints bear more than they must.
//!
//! Nobody here knows how many callers other zones have; taken is that each zone has as many (what Kubernetes' topology
//! aware routing takes too, and Envoy asks a control plane for). A zone then keeps all of its traffic as long as its
//! endpoints are, with some headroom, as many as the fair part of them.

/// How much more than their fair part the endpoints of a zone take before traffic leaves it: as much as a priority
/// takes more for those that it lost.
const HEADROOM: f64 = 1.4;

/// The part of a zone's own traffic that stays in it, 0 to 1: `own` is what its endpoints in use weigh, `all` what those
/// of all zones do, of which there are `zones`.
pub fn kept_in_zone(own: u64, all: u64, zones: usize) -> f64 {
    if all == 0 {
        return 1.0;
    }
    (own as f64 / all as f64 * zones as f64 * HEADROOM).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_keeps_all_until_it_is_five_sevenths_of_its_fair_part() {
        assert_eq!(kept_in_zone(4, 12, 3), 1.0);
        assert!(kept_in_zone(5, 7 * 3, 3) > 0.999_999);
        assert!((kept_in_zone(4, 7 * 3, 3) - 0.8).abs() < 1e-9);
        assert_eq!(kept_in_zone(0, 8, 3), 0.0, "the whole zone is down");
        assert_eq!(kept_in_zone(1, 1, 3), 1.0, "all others are");
        assert_eq!(kept_in_zone(0, 0, 3), 1.0);
    }
}
