//! What the exports of a filter call: values in, the hook, the decision out.

use std::slice;

use super::raw::{RawAddress, RawConnection, RawList, RawOption, RawPair};
use super::{Slot, arena, imports, lower};
use crate::connection::{Address, Connection, Protocol};
use crate::exchange::{Answer, AnswerFailure, AnswerMessage, Body, Outcome, Request, Response, View};
use crate::host::Level;
use crate::policy::{Config, Policy};
use crate::setup::{Cluster, Setup};

/// A list the proxy passed. It lies in the arena until the hook returns.
unsafe fn list<'a, T>(at: *const T, len: usize) -> &'a [T] {
    // SAFETY: the proxy passes a range it was given by `realloc`, aligned for T; an empty list's
    // pointer is not null either, but may be anything: that one is not used.
    if len == 0 { &[] } else { unsafe { slice::from_raw_parts(at, len) } }
}

unsafe fn text<'a>(at: *const u8, len: usize) -> &'a str {
    std::str::from_utf8(unsafe { list(at, len) }).unwrap_or_default()
}

pub unsafe fn configure<P: Policy>(
    slot: &Slot<P>,
    name: *const u8,
    name_len: usize,
    json: *const u8,
    json_len: usize,
) -> *const u8 {
    log_panics();
    let (name, json) = unsafe { (text(name, name_len), text(json, json_len)) };
    let mut setup = Setup::new(name.to_owned(), P::HOOKS);
    let configured =
        P::Config::from_json(json).and_then(|config| P::configure(config, &mut setup)).map(|filter| {
            slot.fill(filter);
            setup
        });
    arena::reset();
    lower::configured(configured)
}

/// A panic traps; without this the operator would not learn where.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| imports::log(Level::Error, &panic.to_string())));
}

pub unsafe fn update<P: Policy>(
    slot: &Slot<P>,
    name: *const u8,
    name_len: usize,
    content: *const u8,
    len: usize,
) -> *const u8 {
    let (name, content) = unsafe { (text(name, name_len), list(content, len)) };
    let result = slot.with(|filter| filter.update(name, content));
    arena::reset();
    lower::updated(result)
}

/// What is shown does not fit into parameters: it comes as a record.
pub unsafe fn on_connection<P: Policy>(slot: &Slot<P>, shown: *const RawConnection) -> *const u8 {
    // SAFETY: the proxy passes a record that it laid out in a range given by `realloc`, aligned for it.
    let shown = unsafe { &*shown };
    let connection = Connection {
        listener: unsafe { of_list(shown.listener) },
        protocol: match shown.protocol {
            0 => Protocol::Tcp,
            1 => Protocol::Tls,
            2 => Protocol::Http1,
            _ => Protocol::Http2,
        },
        secure: shown.secure != 0,
        peer: unsafe { address(&shown.peer) },
        local: unsafe { address(&shown.local) },
        destination: unsafe { address(&shown.destination) },
        sni: unsafe { optional_text(&shown.sni) },
        identity: unsafe { optional_text(&shown.identity) },
    };
    let verdict = slot.with(|filter| filter.on_connection(&connection));
    arena::reset();
    lower::verdict(verdict)
}

unsafe fn of_list<'a>(list: RawList) -> &'a str {
    unsafe { text(list.at, list.len) }
}

/// What lies behind a case that is none may be anything, and is not read.
unsafe fn optional_text<'a>(option: &RawOption<RawList>) -> Option<&'a str> {
    (option.some != 0).then(|| unsafe { of_list(option.value) })
}

unsafe fn address<'a>(option: &RawOption<RawAddress>) -> Option<Address<'a>> {
    let RawAddress { ip, port } = option.value;
    (option.some != 0).then(|| Address { ip: unsafe { of_list(ip) }, port })
}

pub unsafe fn on_request<P: Policy>(
    slot: &Slot<P>,
    id: u64,
    at: *const u32,
    at_len: usize,
    bytes: *const u8,
    len: usize,
) -> *const u8 {
    let view = unsafe { View { at: list(at, at_len), bytes: list(bytes, len) } };
    let decision = slot.with(|filter| filter.on_request(&Request { id, view }));
    arena::reset();
    lower::decision(decision)
}

pub unsafe fn on_request_body<P: Policy>(
    slot: &Slot<P>,
    id: u64,
    memo: u64,
    body: *const u8,
    len: usize,
) -> *const u8 {
    let bytes = unsafe { list(body, len) };
    let decision = slot.with(|filter| filter.on_request_body(&Body { id, memo, bytes }));
    arena::reset();
    lower::decision(decision)
}

/// `result<answer, failure>` comes flattened: on failure its number stands in the place of the status.
pub unsafe fn on_answer<P: Policy>(
    slot: &Slot<P>,
    id: u64,
    memo: *const u8,
    memo_len: usize,
    failed: u32,
    status: u32,
    fields: *const RawPair,
    fields_len: usize,
    body: *const u8,
    body_len: usize,
) -> *const u8 {
    let result = match (failed, status) {
        (0, status) => {
            let fields = unsafe { list(fields, fields_len) };
            let field = |pair: &RawPair| unsafe {
                (text(pair.name.at, pair.name.len), list(pair.value.at, pair.value.len))
            };
            Ok(AnswerMessage {
                status: status as u16,
                fields: fields.iter().map(field).collect(),
                body: unsafe { list(body, body_len) },
            })
        }
        (_, 0) => Err(AnswerFailure::Timeout),
        (_, 1) => Err(AnswerFailure::Unreachable),
        (_, 2) => Err(AnswerFailure::Refused),
        _ => Err(AnswerFailure::TooLarge),
    };
    let memo = unsafe { list(memo, memo_len) };
    let decision = slot.with(|filter| filter.on_answer(&Answer { id, memo, result }));
    arena::reset();
    lower::decision(decision)
}

pub unsafe fn on_response<P: Policy>(
    slot: &Slot<P>,
    id: u64,
    memo: u64,
    status: u32,
    at: *const u32,
    at_len: usize,
    bytes: *const u8,
    len: usize,
) -> *const u8 {
    let view = unsafe { View { at: list(at, at_len), bytes: list(bytes, len) } };
    let response = Response { id, memo, status: status as u16, view };
    let decision = slot.with(|filter| filter.on_response(&response));
    arena::reset();
    lower::decision(decision)
}

pub fn outcome(
    id: u64,
    memo: u64,
    status: u32,
    has_cluster: u32,
    cluster: u32,
    attempts: u32,
    local: u32,
    aborted: u32,
    total_us: u64,
    upstream_us: u64,
    now_ms: u64,
) -> Outcome {
    Outcome {
        id,
        memo,
        status: status as u16,
        cluster: (has_cluster != 0).then(|| Cluster::at(cluster)),
        attempts: attempts as u8,
        local: local != 0,
        aborted: aborted != 0,
        total_us,
        upstream_us,
        now_ms,
    }
}

pub fn on_complete<P: Policy>(slot: &Slot<P>, outcome: &Outcome) {
    slot.with(|filter| filter.on_complete(outcome));
    arena::reset();
}
