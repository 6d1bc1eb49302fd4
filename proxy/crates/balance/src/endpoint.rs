//! What a picker needs to know of an endpoint. The proxy owns the endpoints themselves, with their addresses,
//! labels and pools.

use std::sync::Arc;

use crate::Load;

/// One place that a cluster's attempts may go to.
pub trait Endpoint {
    /// What is under way there, and how fast it answers.
    fn load(&self) -> &Load;

    /// Its share of the traffic, relative to the others of its list. 0: none, unless all are 0.
    fn weight(&self) -> u32;

    /// Its identity for consistent hashing: the same in each process and after each reload, so made of the address
    /// by a hash without a random key.
    fn hash(&self) -> u64;
}

impl<E: Endpoint + ?Sized> Endpoint for Arc<E> {
    fn load(&self) -> &Load {
        (**self).load()
    }

    fn weight(&self) -> u32 {
        (**self).weight()
    }

    fn hash(&self) -> u64 {
        (**self).hash()
    }
}

impl<E: Endpoint + ?Sized> Endpoint for &E {
    fn load(&self) -> &Load {
        (**self).load()
    }

    fn weight(&self) -> u32 {
        (**self).weight()
    }

    fn hash(&self) -> u64 {
        (**self).hash()
    }
}
