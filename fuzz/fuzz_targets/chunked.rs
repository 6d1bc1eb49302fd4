//! A chunked body means the same in whatever pieces it arrives, and after it was written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::fields::Fields;
use weir::http::h1::{BadChunk, ChunkedDecoder, HeadLimits, write_chunk, write_last_chunk};

const TRAILERS: HeadLimits = HeadLimits { bytes: 4096, fields: 32 };

/// Data, trailers, and how long the body is; none while it is not complete.
type Body = Option<(Vec<u8>, Fields, usize)>;

/// Decodes a body that arrives in pieces of this size.
fn decode(body: &[u8], piece: usize) -> Result<Body, BadChunk> {
    let mut decoder = ChunkedDecoder::new(TRAILERS);
    let (mut data, mut at, mut arrived) = (Vec::new(), 0, 0);
    while at < body.len() && !decoder.is_done() {
        if at == arrived {
            arrived = (arrived + piece).min(body.len());
        }
        let decoded = decoder.decode(&body[at..arrived])?;
        assert!(decoded.consumed > 0, "a call with input takes some of it");
        assert!(decoded.data.end <= decoded.consumed);
        data.extend_from_slice(&body[at..][decoded.data]);
        at += decoded.consumed;
    }
    Ok(decoder.is_done().then(|| (data, decoder.trailers().clone(), at)))
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, body)) = input.split_first() else { return };
    let whole = decode(body, body.len());
    assert_eq!(whole, decode(body, usize::from(piece).max(1)), "in pieces it reads differently");

    let Ok(Some((data, trailers, length))) = whole else { return };
    assert!(data.len() < length && length <= body.len());
    let mut sent = Vec::new();
    data.chunks(7).for_each(|chunk| write_chunk(&mut sent, chunk));
    write_last_chunk(&mut sent, &trailers);
    let written = sent.len();
    assert_eq!(decode(&sent, sent.len()), Ok(Some((data, trailers, written))));
});
