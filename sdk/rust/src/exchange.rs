//! What a hook is shown: the request's values, a body, the answer to a question, the response, the
//! outcome. All of it borrows from memory that lives as long as the hook.

use crate::backend;
use crate::setup::{Cluster, Field, ResponseField};

/// The values asked for, packed as the contract says: value `i` is `bytes[at[2i]..][..at[2i+1]]`, or
/// absent if `at[2i]` is `u32::MAX`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) at: &'a [u32],
    pub(crate) bytes: &'a [u8],
}

impl<'a> View<'a> {
    fn get(&self, index: u32) -> Option<&'a [u8]> {
        let at = index as usize * 2;
        let (start, len) = (*self.at.get(at)? as usize, *self.at.get(at + 1)? as usize);
        // Absent is u32::MAX, which lies beyond any view the proxy can make.
        self.bytes.get(start..start.checked_add(len)?)
    }
}

fn text(value: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(value?).ok()
}

/// The request, as far as the filter asked for it.
pub struct Request<'a> {
    pub(crate) id: u64,
    pub(crate) view: View<'a>,
}

impl<'a> Request<'a> {
    /// The value, or none if the request has none.
    pub fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.view.get(field.0)
    }

    /// The value as text; none as well if it is not UTF-8.
    pub fn text(&self, field: Field) -> Option<&'a str> {
        text(self.get(field))
    }

    /// The value of `@time.ms` or `@random`.
    pub fn number(&self, field: Field) -> Option<u64> {
        Some(u64::from_le_bytes(self.get(field)?.try_into().ok()?))
    }

    /// A value that was not asked for in `configure`: a call to the proxy, for the rare case.
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        backend::request_value(self.id, name)
    }

    /// Names the exchange in this proxy, while it lasts.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// The whole body of a request.
pub struct Body<'a> {
    pub(crate) id: u64,
    pub(crate) memo: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Body<'a> {
    /// The body.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What `on_request` left with [`Passage::memo`](crate::Passage::memo).
    pub fn memo(&self) -> u64 {
        self.memo
    }

    /// A value of the request, by name as in [`Setup::request`](crate::Setup::request).
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        backend::request_value(self.id, name)
    }

    /// Names the exchange in this proxy, while it lasts.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// What became of a question.
pub struct Answer<'a> {
    pub(crate) id: u64,
    pub(crate) memo: &'a [u8],
    pub(crate) result: Result<AnswerMessage<'a>, AnswerFailure>,
}

impl<'a> Answer<'a> {
    /// The message, or why there is none.
    pub fn result(&self) -> Result<&AnswerMessage<'a>, AnswerFailure> {
        self.result.as_ref().map_err(|failure| *failure)
    }

    /// What the question left with [`Question::memo`](crate::Question::memo).
    pub fn memo(&self) -> &'a [u8] {
        self.memo
    }

    /// A value of the request, by name as in [`Setup::request`](crate::Setup::request).
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        backend::request_value(self.id, name)
    }

    /// Names the exchange in this proxy, while it lasts.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// The answer of the cluster that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerMessage<'a> {
    /// Status of the answer.
    pub status: u16,
    /// Fields in the order received, names in lower case.
    pub fields: Vec<(&'a str, &'a [u8])>,
    /// At most the filter's answer limit (64 KiB by default).
    pub body: &'a [u8],
}

impl<'a> AnswerMessage<'a> {
    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFailure {
    /// No answer in time.
    Timeout,
    /// No endpoint could be reached.
    Unreachable,
    /// A limit of the cluster, or the filter's grants, forbid the question.
    Refused,
    /// The answer is longer than the filter's limit.
    TooLarge,
}

/// The response, as far as the filter asked for it.
pub struct Response<'a> {
    pub(crate) id: u64,
    pub(crate) memo: u64,
    pub(crate) status: u16,
    pub(crate) view: View<'a>,
}

impl<'a> Response<'a> {
    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The field's value, or none if the response has none.
    pub fn get(&self, field: ResponseField) -> Option<&'a [u8]> {
        self.view.get(field.0)
    }

    /// The field's value as text; none as well if it is not UTF-8.
    pub fn text(&self, field: ResponseField) -> Option<&'a str> {
        text(self.get(field))
    }

    /// What `on_request` left with [`Passage::memo`](crate::Passage::memo).
    pub fn memo(&self) -> u64 {
        self.memo
    }

    /// A value of the request, by name as in [`Setup::request`](crate::Setup::request).
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        backend::request_value(self.id, name)
    }

    /// Names the exchange in this proxy, while it lasts.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Names the exchange in this proxy.
    pub id: u64,
    /// What the filter left with [`Passage::memo`](crate::Passage::memo).
    pub memo: u64,
    /// 0: the caller left before a response began.
    pub status: u16,
    /// The cluster that got the last attempt, if this filter named it in `configure`.
    pub cluster: Option<Cluster>,
    /// Attempts made.
    pub attempts: u8,
    /// The response came from the proxy (a filter, a limit, an unreachable cluster).
    pub local: bool,
    /// Either side broke off before the response was whole.
    pub aborted: bool,
    /// From the request's head to the end, in us.
    pub total_us: u64,
    /// From the last attempt's begin to the head of its response, in us; 0 without an attempt.
    pub upstream_us: u64,
    /// Unix time, in ms.
    pub now_ms: u64,
}

impl Outcome {
    /// A value of the request, by name as in [`Setup::request`](crate::Setup::request).
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        backend::request_value(self.id, name)
    }
}
