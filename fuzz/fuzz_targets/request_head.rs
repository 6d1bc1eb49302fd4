//! Whatever is accepted as a request means the same to the origin that gets it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::h1::{
    BadRequest, Connection, Framing, HeadLimits, Parsed, Scan, parse_request, write_request,
};
use weir::http::head::RequestHead;
use weir::http::known::Known;

const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 64 };

/// Of the origin: room for the lines that the proxy adds.
const ORIGIN_LIMITS: HeadLimits = HeadLimits { bytes: 16_384, fields: 128 };

type Read = Result<Option<(RequestHead, Parsed)>, BadRequest>;

/// Reads a request of which first one piece arrives, then the whole.
fn read(text: &[u8], first: usize, limits: HeadLimits) -> Read {
    let (mut head, mut scan) = (RequestHead::new(), Scan::default());
    let mut parsed = parse_request(&text[..first], &mut scan, limits, &mut head)?;
    if parsed.is_none() {
        parsed = parse_request(text, &mut scan, limits, &mut head)?;
    }
    Ok(parsed.map(|parsed| (head, parsed)))
}

/// Lines end in CRLF, and only lines do.
fn has_stray_line_end(text: &[u8]) -> bool {
    let lone_lf = text.iter().enumerate().any(|(at, &b)| b == b'\n' && (at == 0 || text[at - 1] != b'\r'));
    let lone_cr = text.iter().enumerate().any(|(at, &b)| b == b'\r' && text.get(at + 1) != Some(&b'\n'));
    lone_lf || lone_cr
}

fuzz_target!(|input: &[u8]| {
    let Some((&cut, text)) = input.split_first() else { return };
    let whole = read(text, text.len(), LIMITS);
    let pieces = read(text, usize::from(cut).min(text.len()), LIMITS);
    assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok(), "in pieces it reads differently");

    let Ok(Some((mut head, parsed))) = whole else { return };
    assert!(parsed.head_len <= text.len());
    assert!(!has_stray_line_end(&text[..parsed.head_len]));
    head.fields.strip_hop_by_hop(parsed.upgrade);

    let connection = if parsed.upgrade { Connection::Upgrade } else { Connection::Implied };
    let mut sent = Vec::new();
    write_request(&mut sent, &head, parsed.framing, connection);
    assert!(!has_stray_line_end(&sent));
    let (mut again, there) =
        read(&sent, 0, ORIGIN_LIMITS).expect("what is sent is valid").expect("and whole");
    assert_eq!((there.head_len, there.framing), (sent.len(), parsed.framing));
    if head.codings().is_empty() {
        assert!(there.keep_alive);
        assert_eq!(there.upgrade, parsed.upgrade);
    }

    // The fields that the writer makes from values, and those of the connection, aside.
    again.fields.strip_hop_by_hop(there.upgrade);
    for known in [Known::ContentLength, Known::Te, Known::Upgrade] {
        again.fields.remove_known(known);
        head.fields.remove_known(known);
    }
    assert_eq!(again.fields, head.fields);
    assert_eq!((&again.method, again.codings()), (&head.method, head.codings()));
    assert_eq!((again.authority(), again.path_and_query()), (head.authority(), head.path_and_query()));
    assert_ne!(parsed.framing, Framing::UntilClose);
});
