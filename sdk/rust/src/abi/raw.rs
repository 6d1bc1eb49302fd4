//! The contract's types as they lie in memory (canonical ABI, 32-bit pointers, UTF-8).

use std::ptr;

/// `string` and `list<_>`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawList {
    pub(super) at: *const u8,
    pub(super) len: usize,
}

impl RawList {
    pub(super) const EMPTY: RawList = RawList { at: ptr::dangling(), len: 0 };

    pub(super) const fn of(bytes: &[u8]) -> Self {
        RawList { at: bytes.as_ptr(), len: bytes.len() }
    }

    pub(super) const fn of_items<T>(items: &[T]) -> Self {
        RawList { at: items.as_ptr().cast(), len: items.len() }
    }
}

/// `tuple<string, string>`, `tuple<string, list<u8>>` and `fact`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawPair {
    pub(super) name: RawList,
    pub(super) value: RawList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawOption<T> {
    pub(super) some: u8,
    pub(super) value: T,
}

impl<T> RawOption<T> {
    pub(super) fn of(value: Option<T>, nothing: T) -> Self {
        RawOption { some: u8::from(value.is_some()), value: value.unwrap_or(nothing) }
    }
}

/// Cases in order: set, append, remove (which has the name only).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawEdit {
    pub(super) case: u8,
    pub(super) field: RawPair,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawRoute {
    pub(super) cluster: RawOption<u32>,
    pub(super) subset: RawList,
    pub(super) path: RawOption<RawList>,
    pub(super) authority: RawOption<RawList>,
    pub(super) timeout_ms: RawOption<u32>,
    pub(super) retries: RawOption<u8>,
    pub(super) hash: RawOption<u64>,
    pub(super) mirror: RawOption<u32>,
    pub(super) name: RawOption<RawList>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawPassage {
    pub(super) edits: RawList,
    pub(super) route: RawOption<RawRoute>,
    pub(super) facts: RawList,
    pub(super) memo: u64,
    pub(super) keep_ms: u32,
    pub(super) delay_ms: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawReply {
    pub(super) status: u16,
    pub(super) fields: RawList,
    pub(super) body: RawList,
    pub(super) reason: RawList,
    pub(super) keep_ms: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawQuestion {
    pub(super) cluster: u32,
    pub(super) method: RawList,
    pub(super) path: RawList,
    pub(super) fields: RawList,
    pub(super) body: RawList,
    pub(super) timeout_ms: u32,
    pub(super) memo: RawList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union RawCases {
    pub(super) pass: RawPassage,
    pub(super) answer: RawReply,
    pub(super) ask: RawQuestion,
}

/// Cases in order: pass, answer, ask.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawDecision {
    pub(super) case: u8,
    pub(super) body: RawCases,
}

/// Cases of the test in order: present, absent, equals, starts-with.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawCondition {
    pub(super) name: RawList,
    pub(super) case: u8,
    pub(super) text: RawList,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawInterest {
    pub(super) hooks: u8,
    pub(super) when: RawList,
    pub(super) request: RawList,
    pub(super) response: RawList,
    pub(super) clusters: RawList,
    pub(super) body_limit: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union RawConfigured {
    pub(super) interest: RawInterest,
    pub(super) error: RawList,
}

/// `result<interest, string>`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawConfigureResult {
    pub(super) failed: u8,
    pub(super) value: RawConfigured,
}

/// `result<_, string>`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawUpdateResult {
    pub(super) failed: u8,
    pub(super) error: RawList,
}

/// `address` of `connection`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawAddress {
    pub(super) ip: RawList,
    pub(super) port: u16,
}

/// `connection-view`. Protocols in order: tcp, tls, http1, http2.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawConnection {
    pub(super) listener: RawList,
    pub(super) protocol: u8,
    pub(super) secure: u8,
    pub(super) peer: RawOption<RawAddress>,
    pub(super) local: RawOption<RawAddress>,
    pub(super) destination: RawOption<RawAddress>,
    pub(super) sni: RawOption<RawList>,
    pub(super) identity: RawOption<RawList>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union RawVerdicts {
    pub(super) pass: RawOption<u32>,
    pub(super) refuse: RawList,
}

/// Cases in order: pass, refuse.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct RawVerdict {
    pub(super) case: u8,
    pub(super) body: RawVerdicts,
}

// As CanonicalABI.md computes them from wit/policy.wit; a change there must change something here.
const _: () = {
    assert!(size_of::<RawPair>() == 16);
    assert!(size_of::<RawEdit>() == 20);
    assert!(size_of::<RawRoute>() == 96);
    assert!(size_of::<RawPassage>() == 136);
    assert!(size_of::<RawReply>() == 32);
    assert!(size_of::<RawQuestion>() == 48);
    assert!(size_of::<RawDecision>() == 144);
    assert!(size_of::<RawCondition>() == 20);
    assert!(size_of::<RawInterest>() == 40);
    assert!(size_of::<RawConfigureResult>() == 44);
    assert!(size_of::<RawUpdateResult>() == 12);
    assert!(size_of::<RawConnection>() == 84);
    assert!(size_of::<RawVerdict>() == 12);
};
