//! A SPIFFE agent: the Workload API over a Unix socket, with SVIDs that a test pushes.
//!
//! Written from the specification and by other means than Weir's own client, so that a mistake of the one is not
//! shared by the other.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::{SendStream, server};
use http::{HeaderMap, Request, Response};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

use crate::{Ca, Leaf, tasks::Owned};

/// What the agent has for whoever asks.
#[derive(Clone)]
enum Content {
    /// An encoded `X509SVIDResponse`.
    Svids(Bytes),
    /// A gRPC status other than 0.
    Refusal(&'static str),
}

/// The agent. It and its connections end when this is dropped; the last SVIDs pushed are what callers begin with.
pub struct Agent {
    socket: PathBuf,
    content: watch::Sender<Content>,
    calls: Arc<AtomicUsize>,
    _task: Owned,
}

impl Agent {
    /// Listens on `socket`, with nothing registered for anybody.
    pub fn start(socket: &Path) -> Result<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).with_context(|| format!("binding {}", socket.display()))?;
        let (content, watched) = watch::channel(Content::Refusal("7"));
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let task = Owned::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // What breaks a connection is seen by its peer, whom tests look at.
                let (watched, count) = (watched.clone(), count.clone());
                connections.spawn(async move { drop(serve(stream, watched, count).await) });
            }
        });
        Ok(Self { socket: socket.to_owned(), content, calls, _task: task })
    }

    /// Tells all callers that these are their SVIDs, each with its ID; `ca` is the authority of all.
    pub fn push(&self, svids: &[(&str, &Leaf)], ca: &Ca) {
        let mut message = Vec::new();
        for (id, leaf) in svids {
            let mut svid = Vec::new();
            field(&mut svid, 1, id.as_bytes());
            field(&mut svid, 2, &leaf.der());
            field(&mut svid, 3, leaf.key_der().secret_der());
            field(&mut svid, 4, &ca.der());
            field(&mut message, 1, &svid);
        }
        self.content.send_replace(Content::Svids(message.into()));
    }

    /// Ends all calls with this gRPC status, and every further one.
    pub fn refuse(&self, status: &'static str) {
        self.content.send_replace(Content::Refusal(status));
    }

    /// Calls so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

async fn serve(stream: UnixStream, watched: watch::Receiver<Content>, calls: Arc<AtomicUsize>) -> Result<()> {
    let mut connection = server::handshake(stream).await?;
    let mut streams = JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        calls.fetch_add(1, Relaxed);
        let response = Response::builder().header("content-type", "application/grpc");
        if check(&request).is_err() {
            let refusal = response.header("grpc-status", "3").body(())?;
            respond.send_response(refusal, true)?;
            continue;
        }
        let stream = respond.send_response(response.body(())?, false)?;
        let watched = watched.clone();
        streams.spawn(async move { drop(tell(stream, watched).await) });
    }
    Ok(())
}

/// As a real agent does (SPIFFE Workload Endpoint 6).
fn check(request: &Request<h2::RecvStream>) -> Result<()> {
    let field = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    if request.uri().path() != "/SpiffeWorkloadAPI/FetchX509SVID"
        || request.method() != "POST"
        || field("workload.spiffe.io") != Some(b"true")
        || field("content-type") != Some(b"application/grpc")
        || field("te") != Some(b"trailers")
    {
        bail!("not a call of the Workload API");
    }
    Ok(())
}

async fn tell(mut stream: SendStream<Bytes>, mut watched: watch::Receiver<Content>) -> Result<()> {
    loop {
        let content = watched.borrow_and_update().clone();
        match content {
            Content::Svids(message) => {
                let mut frame = vec![0];
                frame.extend(u32::try_from(message.len())?.to_be_bytes());
                frame.extend_from_slice(&message);
                stream.send_data(frame.into(), false)?;
            }
            Content::Refusal(status) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse()?);
                trailers.insert("grpc-message", "no identity issued".parse()?);
                stream.send_trailers(trailers)?;
                return Ok(());
            }
        }
        watched.changed().await?;
    }
}

/// A length-delimited field of a protobuf message.
fn field(message: &mut Vec<u8>, number: u8, content: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = content.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(content);
}
