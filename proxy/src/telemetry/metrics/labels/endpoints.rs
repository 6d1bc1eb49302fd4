//! Labels of what becomes of a cluster's endpoints: apart, since they are about endpoints and not about exchanges.

use super::Label;

label! {
    /// Why an endpoint was ejected.
    Ejected "reason" {
        /// It failed so many times in a row.
        Consecutive "consecutive_failures",
        /// Far fewer of its answers were good than of the others'.
        SuccessRate "success_rate",
        /// The request that was to bring it back failed.
        Probe "probe",
    }
}

label! {
    /// What a check of an endpoint's health came to.
    Checked "result" {
        /// It is well.
        Passed "passed",
        /// It is not, or did not answer in time.
        Failed "failed",
    }
}

label! {
    /// Whose answer a hedged exchange got.
    Hedged "outcome" {
        /// One of those that were asked later.
        Won "won",
        /// The first one's.
        Lost "lost",
    }
}

label! {
    /// Where the endpoint of an attempt is.
    Zone "zone" {
        /// In the proxy's own zone.
        Own "own",
        /// In another one, or nobody knows.
        Other "other",
    }
}
