//! Reached: OPTIONS and TRACE count down how far they go (`Max-Forwards`, RFC 9110 7.6.2), so that a caller can ask
//! each proxy on the way. At nought this one answers as if it were the origin.

use super::{Exchange, Stop};
use crate::message::{Known, KnownSet, Method, RequestHead};

/// What is not shown again, not even to who sent it (RFC 9110 9.3.8).
const SECRET: KnownSet = KnownSet::of(&[Known::Authorization, Known::Cookie, Known::ProxyAuthorization]);

impl Exchange<'_> {
    /// One hop less; stops if none was left.
    pub(super) fn count_hop(&mut self) -> Result<(), Stop> {
        let head = &mut self.heads.request.head;
        if !matches!(head.method, Method::Options | Method::Trace) {
            return Ok(());
        }
        match head.fields.get_known(Known::MaxForwards).and_then(number) {
            Some(0) => Err(Stop::Reached),
            Some(left) => {
                head.fields.set_known(Known::MaxForwards, (left - 1).to_string().as_bytes());
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Fills the response's head and gives its body: for TRACE the request as it came here.
    pub(super) fn reached_head(&mut self) -> Vec<u8> {
        let (request, response) = (&self.heads.request.head, &mut self.heads.response);
        response.clear();
        response.status = 200;
        if request.method != Method::Trace {
            return Vec::new();
        }
        response.fields.push_known(Known::ContentType, b"message/http");
        traced(request)
    }
}

/// What is no number is for nobody. One that is too large to count is of no consequence.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// A request as HTTP/1.1 writes it (RFC 9112 10.1), without its secrets.
fn traced(request: &RequestHead) -> Vec<u8> {
    let (target, host) = (request.path_and_query(), request.authority());
    let mut text = format!("{} {target} HTTP/1.1\r\n", request.method.as_str()).into_bytes();
    let host = Some(("host", host.as_bytes())).filter(|_| !host.is_empty());
    let fields = request.fields.iter().filter(|(name, _)| !SECRET.contains(Known::of(name)));
    for (name, value) in host.into_iter().chain(fields) {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_number() {
        for (text, told) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("", None),
            ("+1", None),
            ("1 ", None),
            ("-0", None),
            ("1, 2", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(number(text.as_bytes()), told, "{text:?}");
        }
    }
}
