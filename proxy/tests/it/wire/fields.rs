//! What becomes of fields on the way: hop-by-hop ones, `Via`, `Forwarded`, `X-Forwarded-*`, `X-Request-Id`.

use anyhow::Result;
use serde_json::Value;
use weir_testkit::{EchoOrigin, Http1, Http2, Response, Script, ScriptedOrigin, WeirProcess};

use super::{logged, metric_is, with};
use crate::stage::{plain, weir};

/// The values of a field as the origin saw it.
fn seen(told: &Response, name: &str) -> Result<Vec<String>> {
    let told = told.json()?;
    let fields = told["fields"].as_array().cloned().unwrap_or_default();
    let of_name = fields.iter().filter(|field| field[0] == name);
    Ok(of_name.map(|field| field[1].as_str().unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn fields_of_one_hop_stay_on_it() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let fields = [
        ("Connection", "keep-alive, X-Mine, Connection"),
        ("X-Mine", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "deflate;q=0.5, trailers"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ("Transfer_Encoding", "chunked"),
        ("X-Other", "2"),
    ];
    let told = client.request("GET", "/", &fields, b"").await?;
    for (name, kept) in [
        ("x-mine", ""),
        ("keep-alive", ""),
        ("proxy-connection", ""),
        ("te", "trailers"),
        ("connection", "te"),
        ("upgrade", ""),
        ("http2-settings", ""),
        ("transfer_encoding", ""),
        ("x-other", "2"),
        ("via", "1.1 weir"),
    ] {
        let expected: &[&str] = if kept.is_empty() { &[] } else { &[kept] };
        assert_eq!(seen(&told, name)?, expected, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_response_loses_its_hops_fields_too() -> Result<()> {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
                  X-Other: 2\r\nContent-Length: 0\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::always(answer)).await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let over_h1 = Http1::connect(weir.address("web")?).await?.get("/").await?;
    let over_h2 = Http2::connect(weir.address("web")?).await?.get("/").await?;
    for told in [over_h1, over_h2] {
        for gone in ["connection", "x-mine", "keep-alive"] {
            assert_eq!(told.field(gone), None, "{gone}");
        }
        assert_eq!(told.field("x-other"), Some("2"));
    }
    Ok(())
}

async fn forwarded(mode: &str) -> Result<(WeirProcess, EchoOrigin)> {
    let origin = EchoOrigin::start("one").await?;
    let config = plain(origin.address(), super::LOGGED);
    let config = with(&config, "listeners.web", &format!("forwarded = \"{mode}\""));
    Ok((weir(config).await?, origin))
}

const CLAIMS: [(&str, &str); 6] = [
    ("Host", "a.example"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "b.example"),
    ("Forwarded", "for=10.0.0.1"),
    ("X-Real-IP", "10.0.0.1"),
];

#[tokio::test]
async fn what_callers_claim_of_themselves_is_replaced_appended_to_or_kept() -> Result<()> {
    let cases: [(&str, [&[&str]; 5]); 3] = [
        ("replace", [&["127.0.0.1"], &["http"], &["a.example"], &[], &[]]),
        (
            "append",
            [
                &["10.0.0.1, 127.0.0.1"],
                &["https"],
                &["b.example"],
                &["for=10.0.0.1, for=127.0.0.1;proto=http"],
                &["10.0.0.1"],
            ],
        ),
        ("keep", [&["10.0.0.1"], &["https"], &["b.example"], &["for=10.0.0.1"], &["10.0.0.1"]]),
    ];
    for (mode, expected) in cases {
        let (weir, _origin) = forwarded(mode).await?;
        let told = Http1::connect(weir.address("web")?).await?.request("GET", "/", &CLAIMS, b"").await?;
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip"];
        for (name, expected) in names.into_iter().zip(expected) {
            assert_eq!(seen(&told, name)?, expected, "{mode}: {name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_request_has_one_id_everywhere() -> Result<()> {
    let (weir, _origin) = forwarded("replace").await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    let own = client.request("GET", "/", &[("X-Request-Id", "mine-1")], b"").await?;
    let none = client.get("/").await?;
    let illegal = client.request("GET", "/", &[("X-Request-Id", "a b")], b"").await?;
    let lines = logged(&weir, 3).await?;
    for (told, line) in [own, none, illegal].iter().zip(&lines) {
        let id = seen(told, "x-request-id")?;
        assert_eq!(id.len(), 1, "{id:?}");
        assert_eq!(line["request_id"], Value::from(id[0].clone()));
        assert_eq!(told.field("x-request-id"), Some(id[0].as_str()));
        assert!(id[0] == "mine-1" || id[0].len() == 32, "{id:?}");
    }
    assert_eq!(lines[0]["request_id"], "mine-1");
    Ok(())
}

#[tokio::test]
async fn an_http2_cookie_that_was_split_is_one_again() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let told = client.request("GET", "/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")], b"").await?;
    assert_eq!(seen(&told, "cookie")?, ["a=1; b=2"]);
    assert_eq!(seen(&told, "host")?, ["test"]);
    assert_eq!(seen(&told, "via")?, ["2.0 weir"]);
    Ok(())
}

#[tokio::test]
async fn options_and_trace_go_as_many_hops_as_they_may() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for (method, given, passed) in [
        ("OPTIONS", "3", "2"),
        ("OPTIONS", "1", "0"),
        ("TRACE", "10", "9"),
        ("OPTIONS", "many", "many"),
        // Only of those two it is a rule.
        ("GET", "0", "0"),
    ] {
        let told = client.request(method, "/", &[("Max-Forwards", given)], b"").await?;
        assert_eq!((told.status, seen(&told, "max-forwards")?), (200, vec![passed.to_owned()]), "{method}");
    }
    let before = origin.requests();
    let told = client.request("OPTIONS", "/", &[("Max-Forwards", "0")], b"").await?;
    assert_eq!((told.status, told.body.len()), (200, 0));
    let fields =
        [("Max-Forwards", "0"), ("Authorization", "Basic eDp5"), ("Cookie", "id=7"), ("X-Mine", "1")];
    let told = client.request("TRACE", "/a?b=c", &fields, b"").await?;
    assert_eq!((told.status, told.field("content-type")), (200, Some("message/http")));
    let text = told.text();
    assert!(
        text.starts_with("TRACE /a?b=c HTTP/1.1\r\nhost: test\r\n") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
    let shown = text.to_ascii_lowercase();
    assert!(shown.contains("\r\nx-mine: 1\r\n") && shown.matches("\r\nhost:").count() == 1, "{text}");
    assert!(!shown.contains("edp5") && !shown.contains("id=7"), "{text}");
    let over_h2 = Http2::connect(weir.address("web")?).await?;
    assert_eq!(over_h2.request("OPTIONS", "/", &[("max-forwards", "0")], b"").await?.status, 200);
    assert_eq!(origin.requests(), before);
    metric_is(&weir, "weir_local_replies_total{reason=\"max_forwards\"}", 3.0).await
}
