//! An origin that is a function of its connections: for whatever is no HTTP, or no longer.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use anyhow::Result;

use crate::{
    Stream, Wire,
    tasks::{Owned, listen_at},
};

/// The origin. It and its connections end when this is dropped.
#[derive(Debug)]
pub struct RawOrigin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _task: Owned,
}

impl RawOrigin {
    /// `serve` is given each connection, after the TLS handshake if `tls` is given. An error ends that connection:
    /// what went wrong is seen by its peer.
    pub async fn start<F, Fut>(tls: Option<Arc<rustls::ServerConfig>>, serve: F) -> Result<Self>
    where
        F: Fn(Wire) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), tls, serve).await
    }

    /// The same at an address of the caller's, who has a network of its own.
    pub async fn start_at<F, Fut>(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        serve: F,
    ) -> Result<Self>
    where
        F: Fn(Wire) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let (serve, connections) = (Arc::new(serve), Arc::new(AtomicUsize::new(0)));
        let count = connections.clone();
        let (address, task) = listen_at(address, move |_, stream| {
            count.fetch_add(1, SeqCst);
            let (serve, tls) = (serve.clone(), tls.clone());
            async move {
                let Ok(stream) = Stream::accept(stream, tls).await else { return };
                let _ = serve(Wire::new(stream)).await;
            }
        })
        .await?;
        Ok(Self { address, connections, _task: task })
    }

    /// Sends a banner, if there is one, and then everything back, to the end of what it is sent.
    pub async fn echo(tls: Option<Arc<rustls::ServerConfig>>, banner: &'static str) -> Result<Self> {
        Self::start(tls, move |mut wire| async move {
            wire.write(banner.as_bytes()).await?;
            wire.echo().await
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections taken so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}
