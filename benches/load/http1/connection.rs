//! One connection of the load: bytes of a question out, an answer in.

use std::{io, time::Instant};

use crate::stream::Stream;

/// What answers a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// A response of HTTP/1.1 with status 200.
    Ok,
    /// These bytes.
    Bytes(Vec<u8>),
}

pub(super) struct Connection {
    stream: Stream,
    /// While the connection has yet to become a WebSocket: questions that wait for it.
    held: Option<Vec<u8>>,
    /// Of the answer: the head so far, then the bytes still to come.
    head: Vec<u8>,
    missing: Option<usize>,
    /// Since when the answer is waited for; idle without.
    pub(super) since: Option<Instant>,
    /// Which request is the next one here.
    pub(super) next: usize,
}

impl Connection {
    /// With a request to become something else than HTTP/1.1 first, if there is one.
    pub(super) fn new(mut stream: Stream, opening: Option<&[u8]>, next: usize) -> Self {
        if let Some(opening) = opening {
            // An error shows at the next read.
            let _ = stream.send(opening);
        }
        let held = opening.map(|_| Vec::new());
        Self { stream, held, head: Vec::new(), missing: None, since: None, next }
    }

    /// Sends a request, planned for then.
    pub(super) fn ask(&mut self, request: &[u8], at: Instant) {
        self.since = Some(at);
        self.next += 1;
        match &mut self.held {
            Some(held) => held.extend_from_slice(request),
            // An error shows at the next read.
            None => drop(self.stream.send(request)),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    /// See there.
    pub(super) fn drained_by(&self, length: usize, buffer: &[u8]) -> bool {
        self.stream.drained_by(length, buffer)
    }

    /// Takes bytes: whether the answer is whole now; none if it is not what was asked for.
    pub(super) fn take(&mut self, bytes: &[u8], answer: &Answer) -> Option<bool> {
        if self.held.is_some() {
            let Some((_, beyond)) = self.head(bytes, b"HTTP/1.1 101")? else { return Some(false) };
            let held = self.held.take()?;
            // An error shows at the next read.
            let _ = self.stream.send(&held);
            // Nobody but the load speaks first on what was opened.
            return (beyond == 0).then_some(false);
        }
        match answer {
            Answer::Ok => self.take_response(bytes),
            Answer::Bytes(expected) => {
                let missing = self.missing.unwrap_or(expected.len());
                let rest = expected.get(expected.len() - missing..)?.strip_prefix(bytes)?;
                self.missing = (!rest.is_empty()).then_some(rest.len());
                Some(rest.is_empty())
            }
        }
    }

    fn take_response(&mut self, mut bytes: &[u8]) -> Option<bool> {
        if self.missing.is_none() {
            let Some((length, beyond)) = self.head(bytes, b"HTTP/1.1 200")? else { return Some(false) };
            bytes = &bytes[bytes.len() - beyond..];
            self.missing = Some(length?);
        }
        let missing = self.missing?.checked_sub(bytes.len())?;
        self.missing = (missing > 0).then_some(missing);
        Some(missing == 0)
    }

    /// Takes bytes of a head that has to begin so: when it is whole, what it says of the length of the body, and how
    /// many of the bytes are beyond it.
    fn head(&mut self, bytes: &[u8], begins: &[u8]) -> Option<Option<(Option<usize>, usize)>> {
        self.head.extend_from_slice(bytes);
        let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return Some(None) };
        if !self.head.starts_with(begins) {
            return None;
        }
        let (length, beyond) = (content_length(&self.head[..end]), self.head.len() - end - 4);
        self.head.clear();
        Some(Some((length, beyond)))
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}
