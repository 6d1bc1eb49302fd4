//! Tasks that end when their owner goes, so that no origin outlives its test.

use std::{future::Future, net::SocketAddr};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A task that is aborted when this is dropped, with all it holds.
#[derive(Debug)]
pub(crate) struct Owned(JoinHandle<()>);

impl Owned {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens on a loopback port given by the system: see [`listen_at`].
pub(crate) async fn listen<F, Fut>(serve: F) -> Result<(SocketAddr, Owned)>
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    listen_at(SocketAddr::from(([127, 0, 0, 1], 0)), serve).await
}

/// Listens, and runs `serve` for each connection (numbered from 0) until the returned task is dropped; the
/// connections end with it.
pub(crate) async fn listen_at<F, Fut>(address: SocketAddr, serve: F) -> Result<(SocketAddr, Owned)>
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
    let address = listener.local_addr()?;
    let task = Owned::spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            // A failure here only means that the peer has left already.
            let _ = stream.set_nodelay(true);
            connections.spawn(serve(number, stream));
            while connections.try_join_next().is_some() {}
        }
    });
    Ok((address, task))
}
