//! Detect: what a connection speaks, from its first bytes, which stay where they are.
//!
//! Nothing is ever waited for long: where the server speaks first, there are none.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::stream::Raw;

/// What the first bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// A TLS handshake.
    Tls,
    /// HTTP/1, or the preface of HTTP/2.
    Http,
    /// Something else, or nothing in time.
    Other,
}

/// How HTTP begins: with a method that everybody knows, or with HTTP/2's preface (RFC 9113 3.4).
const HTTP: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// The longest of these.
const LONGEST: usize = 24;

/// Looks at the first bytes until they tell, at most for `patience`.
pub(super) async fn spoken(raw: &Raw, patience: Duration) -> Spoken {
    let until = Instant::now() + patience;
    let mut bytes = [0; LONGEST];
    let mut pause = Duration::from_millis(1);
    loop {
        let seen = match timeout_at(until, raw.peek(&mut bytes)).await {
            Ok(Ok(n)) if n > 0 => look(&bytes[..n]),
            // It has ended, or is silent: whoever it is meant for will see.
            _ => return Spoken::Other,
        };
        if let Some(spoken) = seen {
            return spoken;
        }
        // A part of a word; the reactor knows no "more than that".
        if timeout_at(until, tokio::time::sleep(pause)).await.is_err() {
            return Spoken::Other;
        }
        pause *= 2;
    }
}

/// None: they do not tell yet.
fn look(bytes: &[u8]) -> Option<Spoken> {
    match bytes {
        // A handshake record of any version of TLS (RFC 8446 5.1).
        [22, 3, ..] => return Some(Spoken::Tls),
        [22] => return None,
        _ => {}
    }
    if HTTP.iter().any(|word| bytes.starts_with(word)) {
        return Some(Spoken::Http);
    }
    match HTTP.iter().any(|word| word.starts_with(bytes)) {
        true => None,
        false => Some(Spoken::Other),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;

    #[test]
    fn first_bytes_tell() {
        for (bytes, spoken) in [
            (&b"\x16\x03\x01\x02"[..], Some(Spoken::Tls)),
            (b"\x16", None),
            (b"\x16\x02", Some(Spoken::Other)),
            (b"GET /", Some(Spoken::Http)),
            (b"GE", None),
            (b"GETX", Some(Spoken::Other)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Spoken::Http)),
            (b"PRI * HTTP/2.0\r\n\r\n", None),
            (b"PRI *\0", Some(Spoken::Other)),
            (b"SSH-2.0", Some(Spoken::Other)),
            (b"\0", Some(Spoken::Other)),
        ] {
            assert_eq!(look(bytes), spoken, "{bytes:?}");
        }
        assert_eq!(HTTP.iter().map(|word| word.len()).max(), Some(LONGEST));
    }

    #[tokio::test]
    async fn nobody_is_waited_for_long_and_no_byte_is_taken() {
        let patience = Duration::from_millis(30);
        let (mut caller, near) = UnixStream::pair().unwrap();
        let raw = Raw::Unix(near);
        assert_eq!(spoken(&raw, patience).await, Spoken::Other);
        caller.write_all(b"GE").await.unwrap();
        assert_eq!(spoken(&raw, patience).await, Spoken::Other);
        caller.write_all(b"T /").await.unwrap();
        assert_eq!(spoken(&raw, Duration::from_secs(20)).await, Spoken::Http);
        let Raw::Unix(near) = raw else { unreachable!() };
        let mut bytes = [0; 9];
        assert_eq!(near.try_read(&mut bytes).unwrap(), 5);
    }
}
