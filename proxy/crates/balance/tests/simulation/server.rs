//! The endpoints of the simulations: equal in weight, told apart by a number.

use std::time::Duration;

use weir_balance::{Endpoint, Load};

pub(crate) struct Server {
    load: Load,
    hash: u64,
}

/// So many servers, numbered.
pub(crate) fn servers(count: usize) -> Vec<Server> {
    let load = || Load::new(Duration::from_millis(30), Duration::from_secs(10));
    (0..count as u64).map(|hash| Server { load: load(), hash }).collect()
}

impl Endpoint for Server {
    fn load(&self) -> &Load {
        &self.load
    }

    fn weight(&self) -> u32 {
        1
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}
