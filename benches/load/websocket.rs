//! What load and origin need of WebSocket (RFC 6455): how it is opened, and messages of one frame that come back.

/// Bytes of a message of the load.
pub(crate) const MESSAGE: usize = 128;
/// The fields that ask for it, with the key of the RFC's example (1.3).
pub(crate) const OPENING: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];
/// What is answered to that, and to no other key.
pub(crate) const OPENED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A whole message of bytes, and the code of a close (RFC 6455 5.2).
const BINARY: u8 = 0x82;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;
/// Of the load's messages: any will do, and 0 would be none.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A message of the load: masked, as callers' are (5.3).
pub(crate) fn message() -> Vec<u8> {
    let mut frame = head(BINARY, MESSAGE);
    frame[1] |= MASKED;
    frame.extend(MASK);
    frame.extend(masked(&[b'x'; MESSAGE], MASK));
    frame
}

/// The same, as it comes back.
pub(crate) fn echoed() -> Vec<u8> {
    let mut frame = head(BINARY, MESSAGE);
    frame.extend([b'x'; MESSAGE]);
    frame
}

/// Takes whole frames off the front of `read` and writes to `answer` what goes back; false when it is over.
pub(crate) fn echo(read: &mut Vec<u8>, answer: &mut Vec<u8>) -> bool {
    let mut taken = 0;
    while let Some(frame) = Frame::first(&read[taken..]) {
        if frame.first & 0x0f == CLOSE {
            return false;
        }
        answer.extend(head(frame.first, frame.payload.len()));
        answer.extend(masked(frame.payload, frame.mask));
        taken += frame.length;
    }
    read.drain(..taken);
    true
}

/// The first bytes of a frame that is not masked.
fn head(first: u8, length: usize) -> Vec<u8> {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => vec![first, short],
        (_, Ok(two)) => [&[first, 126][..], &two.to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

fn masked(payload: &[u8], mask: [u8; 4]) -> impl Iterator<Item = u8> {
    payload.iter().zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask)
}

/// A caller's frame.
struct Frame<'a> {
    /// Its last-of-a-message bit, and its opcode.
    first: u8,
    mask: [u8; 4],
    payload: &'a [u8],
    /// Of all of it.
    length: usize,
}

impl<'a> Frame<'a> {
    /// None: not all of it is there.
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let ([first, second], rest) = bytes.split_first_chunk::<2>()?;
        let (length, rest) = match second & !MASKED {
            126 => rest
                .split_first_chunk::<2>()
                .map(|(two, rest)| (u64::from(u16::from_be_bytes(*two)), rest))?,
            127 => rest.split_first_chunk::<8>().map(|(eight, rest)| (u64::from_be_bytes(*eight), rest))?,
            short => (u64::from(short), rest),
        };
        let (mask, rest) = rest.split_first_chunk::<4>()?;
        let payload = rest.get(..usize::try_from(length).ok()?)?;
        let length = bytes.len() - rest.len() + payload.len();
        Some(Self { first: *first, mask: *mask, payload, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_unmasked_in_however_many_pieces_it_came() {
        let message = message();
        for cut in 0..=message.len() {
            let (mut read, mut answer) = (message[..cut].to_vec(), Vec::new());
            assert!(echo(&mut read, &mut answer));
            read.extend_from_slice(&message[cut..]);
            read.extend_from_slice(&message);
            assert!(echo(&mut read, &mut answer));
            assert_eq!((answer, read.len()), ([echoed(), echoed()].concat(), 0), "cut at {cut}");
        }
    }

    #[test]
    fn a_short_and_a_long_message_keep_their_length() {
        for (length, head) in [(5, 2), (125, 2), (126, 4), (70_000, 10)] {
            let mut read = super::head(BINARY, length);
            read[1] |= MASKED;
            read.extend(MASK);
            read.extend(masked(&vec![7; length], MASK));
            let mut answer = Vec::new();
            assert!(echo(&mut read, &mut answer));
            assert_eq!((answer.len(), &answer[head..]), (head + length, &vec![7; length][..]));
        }
    }

    #[test]
    fn a_close_is_the_end() {
        assert!(!echo(&mut vec![0x88, 0x80, 0, 0, 0, 0], &mut Vec::new()));
    }
}
