//! Requests that two servers could read differently, sent to Weir before an origin that keeps every byte: what
//! reaches it must be readable in one way only (RFC 9112 6.3, 11.2).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_testkit::{Script, ScriptedOrigin, Stream, WeirProcess, within};

use crate::stage::{plain, weir};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Sent behind every case: it must never be taken for part of it.
const MARK: &str = "GET /mark HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[derive(Deserialize)]
struct Case {
    name: String,
    tier: String,
    request: String,
    #[serde(default)]
    fill: usize,
}

impl Case {
    /// Each character stands for one byte.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.request.chars().map(|c| c as u8).collect();
        bytes.resize(bytes.len() + self.fill, b'x');
        bytes
    }
}

/// What came of one case.
struct Outcome {
    /// Statuses that the caller saw, in order.
    statuses: Vec<u16>,
    /// Request lines that the origin saw, in order.
    lines: Vec<String>,
}

struct Stage {
    weir: WeirProcess,
    origin: ScriptedOrigin,
}

impl Stage {
    async fn new() -> Result<Self> {
        let origin = ScriptedOrigin::start(Script::always(OK)).await?;
        let limits = "[listeners.web.limits]\nhead_timeout = \"300ms\"\nbody_timeout = \"300ms\"\n";
        let weir = weir(plain(origin.address(), limits)).await?;
        Ok(Self { weir, origin })
    }

    /// Sends the case and the mark on one connection. Fails if what reached the origin is not strictly legal:
    /// the origin's parser shares no code with Weir's.
    async fn play(&self, bytes: &[u8]) -> Result<Outcome> {
        let before = self.lines()?.len();
        let mut stream = Stream::connect(self.weir.address("web")?).await?;
        // Weir may refuse and leave before everything is sent.
        let _ = stream.write_all(&[bytes, MARK.as_bytes()].concat()).await;
        let mut told = Vec::new();
        let mut piece = [0; 4096];
        loop {
            // An answered connection is kept: silence ends the case then.
            let patience =
                if count(&told) >= 2 { Duration::from_millis(20) } else { Duration::from_secs(20) };
            match tokio::time::timeout(patience, stream.read(&mut piece)).await {
                Ok(Ok(n)) if n > 0 => told.extend_from_slice(&piece[..n]),
                Ok(_) => break,
                Err(_) if count(&told) >= 2 => break,
                Err(_) => anyhow::bail!("no end of {:?}", String::from_utf8_lossy(&told)),
            }
        }
        let statuses = statuses(&told);
        let lines = self.lines()?.split_off(before);
        Ok(Outcome { statuses, lines })
    }

    fn lines(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for seen in self.origin.seen() {
            ensure!(
                !matches!(seen.ending, Some(weir_testkit::Ending::Broken(_))) || seen.heads.is_empty(),
                "the origin could not read {:?}: {:?}",
                String::from_utf8_lossy(&seen.bytes[seen.bytes.len().saturating_sub(1000)..]),
                seen.ending
            );
            for head in seen.heads {
                ensure!(head.all("host").count() == 1, "host of {head:?}");
                ensure!(!(head.chunked()? && head.length()?.is_some()), "framing of {head:?}");
                // What a CGI-like server would read as a framing field.
                let alike = |name: &str| {
                    matches!(&*name.to_ascii_lowercase(), "transfer_encoding" | "content_length")
                };
                ensure!(!head.fields.iter().any(|(name, _)| alike(name)), "{head:?}");
                lines.push(head.start);
            }
        }
        Ok(lines)
    }
}

fn statuses(told: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(told);
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|line| line.get(..3)?.parse().ok()).filter(|status| *status >= 200).collect()
}

fn count(told: &[u8]) -> usize {
    statuses(told).len()
}

/// Every request that was answered well reached the origin once, and nothing else did.
fn fits(case: &str, outcome: &Outcome) -> Result<()> {
    let good = outcome.statuses.iter().filter(|status| **status == 200).count();
    ensure!(
        outcome.lines.len() == good || outcome.statuses.last() == Some(&408),
        "{case}: {good} good answers, {:?} at the origin",
        outcome.lines
    );
    ensure!(!outcome.statuses.is_empty(), "{case}: no answer");
    let refused = outcome.statuses.iter().position(|status| *status >= 400);
    ensure!(refused.is_none_or(|at| at + 1 == outcome.statuses.len()), "{case}: {:?}", outcome.statuses);
    Ok(())
}

#[tokio::test]
async fn the_desync_corpus_reaches_the_origin_in_one_reading_only() -> Result<()> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../corpora/desync_guardian.json"))?;
    ensure!(cases.len() == 159, "{} cases", cases.len());
    let stage = Stage::new().await?;
    let (mut refused, mut accepted) = (Vec::new(), Vec::new());
    for case in &cases {
        let what = format!("{} ({:?})", case.name, case.request);
        let outcome = stage.play(&case.bytes()).await.with_context(|| what.clone())?;
        fits(&what, &outcome)?;
        match (case.tier.as_str(), outcome.statuses[0] == 200) {
            ("compliant", false) => refused.push(&*case.name),
            ("severe" | "ambiguous", true) => accepted.push(&*case.name),
            _ => {}
        }
    }
    assert_eq!(
        (refused.as_slice(), accepted.as_slice()),
        (STRICTER, UNAMBIGUOUS),
        "compliant but refused, ambiguous but accepted"
    );
    Ok(())
}

/// Cases that the corpus calls compliant and the RFCs do not: `chunked` has no parameters (RFC 9112 7.1), and a
/// target is a URI, which has neither bytes beyond ASCII nor a fragment (RFC 9112 3.2, RFC 3986).
const STRICTER: &[&str] = &[
    "more-compliant-tests.yaml: TE with custom parameters OK",
    "rfc-compliant.yaml: Transfer-Encoding with a param: chunked;custom_param",
    "rfc-compliant.yaml: Compliant URL",
    "rfc-compliant.yaml: International in URI",
    "rfc-compliant.yaml: Empty URI",
];

/// Cases that the corpus calls ambiguous because some server misreads them, and that have one meaning here: they
/// are written anew on their way to the origin,
/// with one framing, and without the fields whose underscores some servers read as hyphens.
const UNAMBIGUOUS: &[&str] = &[
    "ambiguous.yaml: Transfer_Encoding with underscore.",
    "ambiguous.yaml: Content_Length with underscore.",
    "ambiguous.yaml: Get with a body and Content-Length",
    "ambiguous.yaml: Get with a body and Transfer-Encoding",
    "ambiguous.yaml: Head with a body and Content-Length",
    "ambiguous.yaml: Head with a body and Transfer-Encoding",
    "ambiguous.yaml: Transfer-Encoding with multiple hyphens",
    "ambiguous.yaml: Transfer-Encoding with multiple delimiters",
    "real-life-test-cases.yaml: Has a CL in GET",
    "real-life-test-cases.yaml: Has a TE in GET",
];

/// Framing tricks beyond the corpus; none may be accepted.
const TRICKS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\nX: y\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET / http/1.1\r\nHost: a\r\n\r\n",
    "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
];

#[tokio::test]
async fn framing_tricks_are_refused_and_reach_no_origin_whole() -> Result<()> {
    let stage = Stage::new().await?;
    for trick in TRICKS {
        let outcome =
            within(trick, stage.play(trick.as_bytes())).await?.with_context(|| format!("{trick:?}"))?;
        assert_eq!(outcome.statuses, [400], "{trick:?}");
        // A body that breaks after its head was forwarded is cut off at the origin, never ended.
        let whole = outcome.lines.iter().filter(|line| line.contains("/mark")).count();
        assert_eq!(whole, 0, "{trick:?}");
    }
    Ok(())
}
