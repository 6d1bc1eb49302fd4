//! An origin that costs next to nothing: one thread, one `epoll`, the same bytes for every request, or those that came.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use mio::{Events, Interest, Poll, Token, net::TcpListener};
use rustls::{ServerConfig, ServerConnection};

use crate::{
    stream::{Stream, waits},
    tls, websocket,
};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What it does.
    #[arg(long)]
    manner: Manner,
    /// Bytes of the body of every answer.
    #[arg(long)]
    body: usize,
    /// Speak TLS: its own certificate with its key (PEM).
    #[arg(long, requires = "ca")]
    own: Option<PathBuf>,
    /// The authority that signed what callers have to show then (PEM).
    #[arg(long)]
    ca: Option<PathBuf>,
}

/// What an origin does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manner {
    /// Answers every HTTP request.
    Answer,
    /// Opens a WebSocket, and sends messages back.
    Websocket,
    /// Sends bytes back.
    Echo,
}

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: Stream,
    /// How much of the end of a head (`\r\n\r\n`) was seen last.
    matched: usize,
    /// Answers owed, and how much of the first of them is written.
    owed: usize,
    written: usize,
    /// Of a WebSocket, when it is open: the part of a message that has come.
    message: Option<Vec<u8>>,
}

/// What all connections have in common.
struct Origin {
    manner: Manner,
    /// To every request.
    answer: Vec<u8>,
    tls: Option<Arc<ServerConfig>>,
}

/// Prints its address, and answers until it is killed.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let own = |own: &Path| tls::server(options.ca.as_deref().context("--own needs --ca")?, own);
    let tls = options.own.as_deref().map(own).transpose()?;
    let origin = Origin { manner: options.manner, answer: answer(options.body), tls };
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("{}", listener.local_addr()?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Events::with_capacity(512);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                origin.accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            if !connection.serve(&mut buffer, &origin) {
                *slot = None;
            }
        }
    }
}

fn answer(body: usize) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {body}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    answer
}

impl Origin {
    fn accept(
        &self,
        listener: &TcpListener,
        poll: &Poll,
        connections: &mut Vec<Option<Connection>>,
    ) -> Result<()> {
        while let Ok((tcp, _)) = listener.accept() {
            tcp.set_nodelay(true)?;
            let tls = self.tls.as_ref().map(|config| ServerConnection::new(Arc::clone(config)));
            let mut stream = Stream::new(tcp, tls.transpose()?.map(Into::into));
            let free = connections.iter().position(Option::is_none).unwrap_or(connections.len());
            if free == connections.len() {
                connections.push(None);
            }
            stream.register(poll.registry(), Token(free))?;
            connections[free] = Some(Connection { stream, matched: 0, owed: 0, written: 0, message: None });
        }
        Ok(())
    }
}

impl Connection {
    /// Reads and answers what there is; false when the connection is over.
    fn serve(&mut self, buffer: &mut [u8], origin: &Origin) -> bool {
        if self.stream.flush().is_err() {
            return false;
        }
        loop {
            if !self.write(&origin.answer) {
                return false;
            }
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    if !self.take(&buffer[..length], origin) {
                        return false;
                    }
                    // Edge-triggered: a short read means that there is no more.
                    if self.stream.drained_by(length, buffer) {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], origin: &Origin) -> bool {
        match (origin.manner, &mut self.message) {
            (Manner::Echo, _) => self.stream.send(bytes).is_ok(),
            (Manner::Answer, _) => {
                self.count(bytes);
                self.write(&origin.answer)
            }
            (Manner::Websocket, None) => {
                self.count(bytes);
                if self.owed == 0 {
                    return true;
                }
                self.owed = 0;
                // The first message does not come before this.
                self.message = Some(Vec::new());
                self.stream.send(websocket::OPENED).is_ok()
            }
            (Manner::Websocket, Some(message)) => {
                message.extend_from_slice(bytes);
                let mut answer = Vec::with_capacity(bytes.len());
                websocket::echo(message, &mut answer) && self.stream.send(&answer).is_ok()
            }
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.matched = match (self.matched, byte) {
                (0 | 2, b'\r') => self.matched + 1,
                (1, b'\n') => 2,
                (3, b'\n') => {
                    self.owed += 1;
                    0
                }
                (_, b'\r') => 1,
                _ => 0,
            };
        }
    }

    fn write(&mut self, answer: &[u8]) -> bool {
        while self.owed > 0 {
            match self.stream.write(&answer[self.written..]) {
                Ok(length) => {
                    self.written += length;
                    if self.written == answer.len() {
                        self.written = 0;
                        self.owed -= 1;
                    }
                }
                Err(error) if waits(&error) => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
