//! A decision that is made once and given again and again.
//!
//! Most policies say the same few things all the time. Said anew, a decision is built, moved, laid out for the
//! proxy and dropped for every exchange; one that is ready costs a reference count.

use std::fmt;
use std::rc::Rc;

use crate::decision::Decision;

/// A decision made in `configure`, to be answered by any hook with `(&ready).into()`.
///
/// ```
/// use weir_sdk::{Decision, Ready};
///
/// let refused = Ready::new(Decision::answer(403).reason("agent"));
/// assert_eq!(Decision::from(&refused).status(), Some(403));
/// ```
#[derive(Clone)]
pub struct Ready(Rc<Made>);

struct Made {
    /// Never itself `Ready`.
    decision: Decision,
    /// As the proxy reads it; points into `decision`. Boxed, because most of many are never given.
    #[cfg(target_family = "wasm")]
    laid: std::cell::OnceCell<Box<crate::abi::Laid>>,
}

impl Ready {
    /// Keeps this decision.
    pub fn new(decision: impl Into<Decision>) -> Self {
        match decision.into() {
            Decision::Ready(ready) => ready,
            decision => Ready(Rc::new(Made {
                decision,
                #[cfg(target_family = "wasm")]
                laid: std::cell::OnceCell::new(),
            })),
        }
    }

    /// What was kept.
    pub fn decision(&self) -> &Decision {
        &self.0.decision
    }

    /// Where it is laid out, which stays so for as long as there is a clone of this.
    #[cfg(target_family = "wasm")]
    pub(crate) fn laid(&self) -> *const u8 {
        self.0.laid.get_or_init(|| Box::new(crate::abi::Laid::of(&self.0.decision))).place()
    }
}

impl From<&Ready> for Decision {
    fn from(ready: &Ready) -> Self {
        Decision::Ready(ready.clone())
    }
}

impl From<Ready> for Decision {
    fn from(ready: Ready) -> Self {
        Decision::Ready(ready)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.decision().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_equal_to_what_it_was_made_from() {
        let made: Decision = Decision::pass().memo(7).fact("a", "b").into();
        let ready = Ready::new(made.clone());
        assert_eq!(Decision::from(&ready), made);
        assert_eq!(made, Decision::from(&ready));
        assert_eq!(Decision::from(Ready::new(&ready)), made);
        assert_eq!(Decision::from(&ready).passage().map(|passage| passage.memo), Some(7));
        assert_ne!(Decision::from(&ready), Decision::pass().memo(8).into());
        assert_ne!(Decision::from(&ready), Decision::answer(404).into());
    }
}
