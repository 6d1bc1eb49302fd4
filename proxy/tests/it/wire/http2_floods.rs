//! Callers that make much work with little: resets, CONTINUATION, SETTINGS, PING, windows that stay shut. Each is
//! bounded, and others do not notice.

use anyhow::Result;
use weir_testkit::{EchoOrigin, Frame, Http2, RawH2, Stream, WeirProcess};

use super::metric_is;
use crate::stage::{plain, weir};

const ENHANCE_YOUR_CALM: u8 = 11;
const MIB: u64 = 1 << 20;

const GET: [(&[u8], &[u8]); 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/delay/10000ms"), (b":authority", b"a")];

struct Stage {
    weir: WeirProcess,
    origin: EchoOrigin,
    client: RawH2,
    before: u64,
}

async fn stage() -> Result<Stage> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    assert_eq!(Http2::connect(weir.address("web")?).await?.get("/").await?.status, 200);
    let before = weir.resident()?;
    Ok(Stage { weir, origin, client, before })
}

impl Stage {
    /// Reads until the connection is over: GOAWAY, if there was one.
    async fn end(&mut self) -> Result<Option<Frame>> {
        let mut goaway = None;
        while let Some(frame) = self.client.frame().await? {
            if frame.kind == 7 {
                goaway = Some(frame);
            }
        }
        Ok(goaway)
    }

    /// Others are served, nothing is left, and memory did not grow much.
    async fn unharmed(&self) -> Result<()> {
        assert_eq!(Http2::connect(self.weir.address("web")?).await?.get("/").await?.status, 200);
        let grown = self.weir.resident()?.saturating_sub(self.before);
        assert!(grown < 16 * MIB, "{} KiB", grown / 1024);
        metric_is(&self.weir, "weir_connections_active{listener=\"web\"}", 0.0).await?;
        metric_is(&self.weir, "weir_requests_active{listener=\"web\"}", 0.0).await?;
        metric_is(&self.weir, "weir_cluster_requests_active{cluster=\"origin\"}", 0.0).await
    }
}

#[tokio::test]
async fn streams_that_are_opened_only_to_be_reset_end_their_connection() -> Result<()> {
    let mut stage = stage().await?;
    let mut sent = 0;
    for number in 0..5_000u32 {
        let stream = 1 + 2 * number;
        let open = stage.client.headers(stream, &GET, true).await;
        if open.is_err() || stage.client.send(3, 0, stream, &[0, 0, 0, 8]).await.is_err() {
            break;
        }
        sent = number;
    }
    // Weir may have gone before the last words were read.
    if let Some(goaway) = stage.end().await? {
        assert_eq!(goaway.payload[7], ENHANCE_YOUR_CALM, "{goaway:?}");
    }
    assert!(stage.origin.requests() < 400, "{} of {sent} reached the origin", stage.origin.requests());
    stage.unharmed().await
}

#[tokio::test]
async fn resets_now_and_then_are_no_attack() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    for _ in 0..150 {
        let mut call = client.open("GET", "/delay/10000ms", &[], true).await?;
        call.body.send_reset(h2::Reason::CANCEL);
        assert_eq!(client.get("/").await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_head_without_end_ends_its_connection() -> Result<()> {
    let mut stage = stage().await?;
    stage.client.send(1, 1, 1, &RawH2::block(&GET)).await?;
    let piece = RawH2::block(&[(b"x", &[b'y'; 8000])]);
    for _ in 0..2_000 {
        if stage.client.send(9, 0, 1, &piece).await.is_err() {
            break;
        }
    }
    let _ = stage.end().await?;
    // Empty pieces never fill a limit of bytes.
    let mut stage = self::stage().await?;
    stage.client.send(1, 1, 1, &RawH2::block(&GET)).await?;
    let mut sent = 0;
    while sent < 50_000 && stage.client.send(9, 0, 1, &[]).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 50_000, "nobody minded");
    let _ = stage.end().await?;
    stage.unharmed().await
}

#[tokio::test]
async fn settings_and_pings_that_nobody_reads_the_answers_of_are_bounded() -> Result<()> {
    for (kind, payload) in [(4, vec![0, 3, 0, 0, 0, 9]), (6, vec![0; 8])] {
        let mut stage = stage().await?;
        let one = [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 0][..], &payload].concat();
        let many = one.repeat(4096);
        let mut written = 0usize;
        // Until Weir ends the connection, or takes no more because its answers are not taken.
        for _ in 0..500 {
            let taken = stage.client.flood(&many).await.unwrap_or(0);
            written += taken;
            if taken < many.len() {
                break;
            }
        }
        let grown = stage.weir.resident()?.saturating_sub(stage.before);
        assert!(grown < 16 * MIB, "{} KiB after {written} bytes of kind {kind}", grown / 1024);
        assert_eq!(Http2::connect(stage.weir.address("web")?).await?.get("/").await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn responses_for_which_no_window_opens_are_given_up() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "[listeners.web.limits]\nbody_timeout = \"500ms\"\n")).await?;
    let mut client = RawH2::over(Stream::connect(weir.address("web")?).await?).await?;
    client.send(4, 0, 0, &[0, 4, 0, 0, 0, 0]).await?;
    for number in 0..50 {
        let mut get = GET;
        get[2].1 = b"/bytes/1000000";
        client.headers(1 + 2 * number, &get, true).await?;
    }
    metric_is(&weir, "weir_local_replies_total{reason=\"write_timeout\"}", 50.0).await?;
    metric_is(&weir, "weir_requests_active{listener=\"web\"}", 0.0).await?;
    metric_is(&weir, "weir_cluster_requests_active{cluster=\"origin\"}", 0.0).await
}
