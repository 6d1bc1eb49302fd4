//! An HTTP/1.1 origin that follows a script byte by byte, and remembers what it saw.
//!
//! For what an ordinary server never does: stopping in the middle, resetting, answering early, dripping,
//! breaking the framing.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpStream, sync::Notify};

use crate::{
    Stream, Wire, eventually,
    tasks::{Owned, listen},
    wire::Head,
};

/// What one connection does, step by step. It closes orderly after the last one.
#[derive(Debug, Clone, Default)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Head,
    Body,
    Read(usize),
    Send(Vec<u8>),
    Drip(Vec<u8>, Duration),
    Pause(Duration),
    Wait(Arc<Notify>),
    Finish,
    Reset,
    Hang,
    Again,
}

impl Script {
    /// Closes at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one request head. The connection ends here if the peer leaves orderly instead.
    #[must_use]
    pub fn head(self) -> Self {
        self.then(Step::Head)
    }

    /// Reads the body of the request read last.
    #[must_use]
    pub fn body(self) -> Self {
        self.then(Step::Body)
    }

    /// Reads so many bytes.
    #[must_use]
    pub fn read(self, bytes: usize) -> Self {
        self.then(Step::Read(bytes))
    }

    /// Sends these bytes.
    #[must_use]
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Sends these bytes one at a time, waiting `between` them.
    #[must_use]
    pub fn drip(self, bytes: impl Into<Vec<u8>>, between: Duration) -> Self {
        self.then(Step::Drip(bytes.into(), between))
    }

    /// Does nothing for this long.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.then(Step::Pause(time))
    }

    /// Waits until the test calls `notify_one` (also before).
    #[must_use]
    pub fn wait(self, gate: &Arc<Notify>) -> Self {
        self.then(Step::Wait(gate.clone()))
    }

    /// Ends the writing side (FIN) and reads on until the peer leaves.
    #[must_use]
    pub fn finish(self) -> Self {
        self.then(Step::Finish)
    }

    /// Ends the connection with a reset.
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Reads on, without a word, until the peer leaves.
    #[must_use]
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    /// From the first step.
    #[must_use]
    pub fn again(self) -> Self {
        self.then(Step::Again)
    }

    /// Answers every request with these bytes, once it has come whole.
    pub fn always(response: impl Into<Vec<u8>>) -> Self {
        Self::new().head().body().send(response).again()
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// How a connection came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The script ended it.
    Scripted,
    /// The peer left orderly.
    PeerLeft,
    /// The peer reset it, or sent what could not be read.
    Broken(String),
}

/// What the origin saw of one connection.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every byte received.
    pub bytes: Vec<u8>,
    /// The request heads read.
    pub heads: Vec<Head>,
    /// None while it lasts.
    pub ending: Option<Ending>,
}

/// The origin. It and its connections end when this is dropped.
#[derive(Debug)]
pub struct ScriptedOrigin {
    address: SocketAddr,
    seen: Record,
    _task: Owned,
}

/// By number of the connection.
type Record = Arc<Mutex<Vec<Seen>>>;

impl ScriptedOrigin {
    /// The same script on every connection.
    pub async fn start(script: Script) -> Result<Self> {
        Self::start_with(None, move |_| script.clone()).await
    }

    /// A script by number of the connection (from 0), over TLS if `tls` is given.
    pub async fn start_with(
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(usize) -> Script + Send + 'static,
    ) -> Result<Self> {
        let seen = Record::default();
        let record = seen.clone();
        let (address, task) = listen(move |number, stream| {
            let (script, record, tls) = (script(number), record.clone(), tls.clone());
            note(&record, number, |_| ());
            async move { serve(stream, tls, script, &record, number).await }
        })
        .await?;
        Ok(Self { address, seen, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it saw so far, by connection.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many request heads it read so far, over all connections.
    pub fn requests(&self) -> usize {
        self.seen().iter().map(|seen| seen.heads.len()).sum()
    }

    /// Waits until what it saw makes `probe` give a value.
    pub async fn until<T>(&self, what: &str, probe: impl Fn(&[Seen]) -> Option<T>) -> Result<T> {
        eventually(what, async || probe(&self.seen()))
            .await
            .with_context(|| format!("the origin saw {:?}", self.seen()))
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    script: Script,
    record: &Record,
    number: usize,
) {
    let ending = match Stream::accept(stream, tls).await {
        Ok(stream) => follow(Wire::new(stream), &script, record, number).await,
        Err(error) => Err(error),
    };
    let ending = ending.unwrap_or_else(|error| Ending::Broken(format!("{error:#}")));
    note(record, number, |seen| seen.ending = Some(ending));
}

async fn follow(mut wire: Wire, script: &Script, record: &Record, number: usize) -> Result<Ending> {
    let mut last = None;
    let mut at = 0;
    while let Some(step) = script.steps.get(at) {
        at += 1;
        let done = match step {
            Step::Head => match wire.head_however_late().await {
                Ok(Some(head)) => {
                    note(record, number, |seen| seen.heads.push(head.clone()));
                    last = Some(head);
                    Ok(())
                }
                Ok(None) => return Ok(Ending::PeerLeft),
                Err(error) => Err(error),
            },
            Step::Body => read_body(&mut wire, last.as_ref()).await,
            Step::Read(bytes) => wire.exactly(*bytes).await.map(drop),
            Step::Send(bytes) => wire.write(bytes).await,
            Step::Drip(bytes, between) => drip(&mut wire, bytes, *between).await,
            Step::Pause(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Step::Wait(gate) => {
                gate.notified().await;
                Ok(())
            }
            Step::Finish => match wire.finish().await {
                Ok(()) => until_gone(&mut wire, record, number).await,
                error => error,
            },
            Step::Hang => until_gone(&mut wire, record, number).await,
            Step::Reset => {
                note(record, number, |seen| seen.bytes = wire.received().to_vec());
                wire.into_stream().reset();
                return Ok(Ending::Scripted);
            }
            Step::Again => {
                at = 0;
                Ok(())
            }
        };
        note(record, number, |seen| seen.bytes = wire.received().to_vec());
        done?;
        if matches!(step, Step::Finish | Step::Hang) {
            return Ok(Ending::PeerLeft);
        }
    }
    Ok(Ending::Scripted)
}

/// Reads, without a deadline, until the peer ends the stream.
async fn until_gone(wire: &mut Wire, record: &Record, number: usize) -> Result<()> {
    while wire.read_some().await? > 0 {
        note(record, number, |seen| seen.bytes = wire.received().to_vec());
    }
    Ok(())
}

async fn read_body(wire: &mut Wire, head: Option<&Head>) -> Result<()> {
    let head = head.context("a script reads a body before a head")?;
    if head.chunked()? {
        return wire.chunked().await.map(drop);
    }
    wire.exactly(head.length()?.unwrap_or(0)).await.map(drop)
}

async fn drip(wire: &mut Wire, bytes: &[u8], between: Duration) -> Result<()> {
    for byte in bytes {
        wire.write(&[*byte]).await?;
        tokio::time::sleep(between).await;
    }
    Ok(())
}

fn note(record: &Record, number: usize, change: impl FnOnce(&mut Seen)) {
    let mut seen = record.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() <= number {
        seen.resize_with(number + 1, Seen::default);
    }
    change(&mut seen[number]);
}
