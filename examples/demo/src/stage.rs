//! What the demo runs on: two versions of the service, a secret, and Weir in front.

use std::{net::SocketAddr, path::Path};

use anyhow::{Result, ensure};
use weir_testkit::{Http1, Launch, Response, Signal, WeirProcess};

use crate::{service::Service, token::Secret};

/// Everything that runs. All of it ends when this is dropped.
pub struct Stage {
    /// Version 1 of the service.
    pub(crate) v1: Service,
    /// Version 2.
    pub(crate) v2: Service,
    /// Signs tokens.
    pub(crate) secret: Secret,
    /// The proxy.
    pub(crate) weir: WeirProcess,
}

impl Stage {
    /// Starts everything, `weir` being the path of the binary.
    pub async fn set(weir: &Path) -> Result<Self> {
        let (v1, v2) = (Service::start("v1").await?, Service::start("v2").await?);
        let secret = Secret::new()?;
        let config = configuration(v1.address(), v2.address());
        let weir = Launch::new(weir, config).file("jwks.json", secret.jwks()).start().await?;
        Ok(Self { v1, v2, secret, weir })
    }

    /// Where callers connect to.
    pub(crate) fn front(&self) -> Result<SocketAddr> {
        self.weir.address("web")
    }

    /// GET through Weir, with these fields.
    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        Http1::connect(self.front()?).await?.request("GET", path, fields, b"").await
    }

    /// Tells both versions to fail, or to work again.
    pub(crate) async fn fail(&self, failing: bool) -> Result<()> {
        for service in [&self.v1, &self.v2] {
            let response = Http1::fetch(service.address(), &format!("/fail?on={failing}")).await?;
            ensure!(response.status == 200, "the service answered {}", response.status);
        }
        Ok(())
    }

    /// What Weir has written.
    pub(crate) fn log(&self) -> String {
        self.weir.stderr().join("\n")
    }

    /// Lets Weir drain and end.
    pub async fn leave(mut self) -> Result<()> {
        // It may be ending already: Ctrl-C goes to both.
        let _ = self.weir.signal(Signal::TERM);
        let status = self.weir.ended().await?;
        ensure!(status.success(), "weir ended with {status}:\n{}", self.log());
        Ok(())
    }
}

/// The demo's configuration with the addresses of its services.
pub(crate) fn configuration(v1: SocketAddr, v2: SocketAddr) -> String {
    include_str!("../weir.toml")
        .replace("\"V1\"", &format!("\"{v1}\""))
        .replace("\"V2\"", &format!("\"{v2}\""))
}
