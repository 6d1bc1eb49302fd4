//! The label of answers that no endpoint gave. Apart from the others because its values follow from the list of
//! failures, which is kept elsewhere.

use super::labels::Label;
use crate::error::Failure;

/// Why the proxy answered an exchange itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalReply {
    /// A filter's decision.
    Filter,
    /// Something failed.
    Failed(Failure),
    /// The caller asked for no further hop (`Max-Forwards`).
    Reached,
}

impl LocalReply {
    /// The label of [`LocalReply::Reached`].
    pub const REACHED: &'static str = "max_forwards";

    /// The label of a failure.
    pub const fn of(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Label for LocalReply {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = &{
        let mut all = [Self::Filter; Failure::ALL.len() + 2];
        let mut at = 0;
        while at < Failure::ALL.len() {
            all[at + 1] = Self::Failed(Failure::ALL[at]);
            at += 1;
        }
        all[at + 1] = Self::Reached;
        all
    };
    const VALUES: &'static [&'static str] = &{
        let mut values = ["filter"; Failure::ALL.len() + 2];
        let mut at = 0;
        while at < Failure::ALL.len() {
            values[at + 1] = Failure::ALL[at].reason();
            at += 1;
        }
        values[at + 1] = Self::REACHED;
        values
    };

    fn position(self) -> usize {
        match self {
            Self::Filter => 0,
            Self::Failed(failure) => failure as usize + 1,
            Self::Reached => Failure::ALL.len() + 1,
        }
    }
}
