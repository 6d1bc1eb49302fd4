//! What crosses but is not handed out.

#![allow(missing_docs, reason = "the macro documents nothing")]

use wasmtime::component::{ComponentType, Lift, Lower, flags};

use super::{Condition, Interest, hooks_of};

flags! {
    Hooks {
        #[component(name = "request")]
        const REQUEST;
        #[component(name = "request-body")]
        const REQUEST_BODY;
        #[component(name = "response")]
        const RESPONSE;
        #[component(name = "complete")]
        const COMPLETE;
        #[component(name = "connection")]
        const CONNECTION;
    }
}

// Of components that were built before there was `connection`.
flags! {
    FormerHooks {
        #[component(name = "request")]
        const REQUEST;
        #[component(name = "request-body")]
        const REQUEST_BODY;
        #[component(name = "response")]
        const RESPONSE;
        #[component(name = "complete")]
        const COMPLETE;
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct RawInterest<H> {
    hooks: H,
    when: Vec<Condition>,
    request: Vec<String>,
    response: Vec<String>,
    clusters: Vec<String>,
    #[component(name = "body-limit")]
    body_limit: u32,
}

impl From<RawInterest<Hooks>> for Interest {
    fn from(raw: RawInterest<Hooks>) -> Self {
        let flags =
            [Hooks::REQUEST, Hooks::REQUEST_BODY, Hooks::RESPONSE, Hooks::COMPLETE, Hooks::CONNECTION];
        let bits = (0..).zip(flags).filter(|(_, flag)| raw.hooks & *flag == *flag);
        let bits = bits.fold(0, |bits, (bit, _)| bits | 1 << bit);
        raw.into_interest(bits)
    }
}

impl From<RawInterest<FormerHooks>> for Interest {
    fn from(raw: RawInterest<FormerHooks>) -> Self {
        let flags =
            [FormerHooks::REQUEST, FormerHooks::REQUEST_BODY, FormerHooks::RESPONSE, FormerHooks::COMPLETE];
        let bits = (0..).zip(flags).filter(|(_, flag)| raw.hooks & *flag == *flag);
        let bits = bits.fold(0, |bits, (bit, _)| bits | 1 << bit);
        raw.into_interest(bits)
    }
}

impl<H> RawInterest<H> {
    fn into_interest(self, bits: u8) -> Interest {
        let Self { hooks: _, when, request, response, clusters, body_limit } = self;
        Interest { hooks: hooks_of(bits), when, request, response, clusters, body_limit }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Config<'a> {
    pub(crate) name: &'a str,
    pub(crate) json: &'a str,
}

/// A [`crate::View`] on its way into a guest.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Seen<'a> {
    pub(crate) at: &'a [u32],
    pub(crate) bytes: &'a [u8],
}
