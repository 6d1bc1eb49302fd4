//! [`Closing`]: how one worker's part of a listener comes to an end, its sockets and its connections each for itself:
//! when memory runs short, connections go and sockets stay.

use crate::worker::Signal;

/// What is raised when it ends.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Accepting on its sockets.
    pub(super) accepting: Signal,
    /// Its connections, as soon as they have nothing to do.
    pub(super) connections: Signal,
}

impl Closing {
    /// All of it.
    pub(super) fn raise(&self) {
        self.accepting.raise();
        self.connections.raise();
    }

    /// The connections that there are, and none that come later.
    pub(super) fn raise_for_those_there(&mut self) {
        std::mem::take(&mut self.connections).raise();
    }
}
