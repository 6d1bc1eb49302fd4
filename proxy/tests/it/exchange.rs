//! Ordinary exchanges, over every protocol on both sides.

use anyhow::Result;
use weir_testkit::{EchoOptions, EchoOrigin, EchoProtocol, Http1, Http2};

use crate::stage::{plain, weir};

#[tokio::test]
async fn http1_to_http1() -> Result<()> {
    let origin = EchoOrigin::start("one").await?;
    let weir = weir(plain(origin.address(), "")).await?;
    let mut client = Http1::connect(weir.address("web")?).await?;
    for number in 0..3 {
        let told = client.request("POST", "/echo?a=b", &[("x-n", "1")], b"hello").await?;
        assert_eq!((told.status, told.text().as_str()), (200, "hello"), "{number}");
    }
    assert_eq!(origin.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn http2_to_http2() -> Result<()> {
    let options = EchoOptions { protocol: EchoProtocol::H2, ..EchoOptions::default() };
    let origin = EchoOrigin::start_with(options).await?;
    let config =
        plain(origin.address(), "").replace("[clusters.origin]", "[clusters.origin]\nprotocol = \"h2\"");
    let weir = weir(config).await?;
    let client = Http2::connect(weir.address("web")?).await?;
    let told = client.request("POST", "/echo", &[], b"hello").await?;
    assert_eq!((told.status, told.text().as_str()), (200, "hello"));
    Ok(())
}
