//! An origin that costs next to nothing: one thread, one `epoll`, the same bytes for every request.

use std::io::{ErrorKind, Read, Write};

use anyhow::Result;
use clap::Args;
use mio::{Events, Interest, Poll, Token, net::TcpListener, net::TcpStream};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Bytes of the body of every answer.
    #[arg(long)]
    body: usize,
}

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// How much of the end of a head (`\r\n\r\n`) was seen last.
    matched: usize,
    /// Answers owed, and how much of the first of them is written.
    owed: usize,
    written: usize,
}

/// Prints its address, and answers until it is killed.
pub(crate) fn serve(options: &Options) -> Result<()> {
    let answer = answer(options.body);
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
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            if !connection.serve(&mut buffer, &answer) {
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

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Vec<Option<Connection>>) -> Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let free = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        if free == connections.len() {
            connections.push(None);
        }
        poll.registry().register(&mut stream, Token(free), Interest::READABLE | Interest::WRITABLE)?;
        connections[free] = Some(Connection { stream, matched: 0, owed: 0, written: 0 });
    }
    Ok(())
}

impl Connection {
    /// Reads and answers what there is; false when the connection is over.
    fn serve(&mut self, buffer: &mut [u8], answer: &[u8]) -> bool {
        loop {
            if !self.write(answer) {
                return false;
            }
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    self.count(&buffer[..length]);
                    if !self.write(answer) {
                        return false;
                    }
                    // Edge-triggered: a short read means that there is no more.
                    if length < buffer.len() {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
