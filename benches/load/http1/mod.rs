//! The load of everything but HTTP/2: one thread, one `epoll`. HTTP/1.1, over TLS too, with connections kept or made
//! anew; and what a connection can be used for instead: messages of a WebSocket, and plain bytes.

mod connection;

use std::{
    collections::VecDeque,
    io::ErrorKind,
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream, unix::SourceFd};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;

use crate::{
    cpu,
    generate::{Asked, Counts, Options, Seen},
    pace::{Alarm, Pace},
    stream::{Stream, waits},
    tls, websocket,
    work::Wire,
};
use connection::{Answer, Connection};

/// See the end of a run.
const LONGER: Duration = Duration::from_secs(10);
const ALARM: Token = Token(usize::MAX);

struct Load<'a> {
    options: &'a Options,
    /// What makes a connection a WebSocket.
    openings: Vec<Vec<u8>>,
    requests: Vec<Vec<u8>>,
    /// What answers each of them.
    answer: Answer,
    tls: Option<Arc<ClientConfig>>,
    counts: Counts,
    /// Requests sent, those that are not counted too.
    sent: u64,
    /// Connections that wait for nothing, the one that has done so longest first.
    idle: VecDeque<usize>,
}

/// Asks for the planned time, or the planned number of times.
pub(crate) fn run(options: &Options, requests: &[Asked]) -> Result<Seen> {
    let mut load = Load::new(options, requests)?;
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(options.connections);
    for number in 0..options.connections {
        // Each begins elsewhere, or all would ask for the same at once.
        let first = number * requests.len() / options.connections;
        connections.push(load.connect(&poll, number, first)?);
    }
    let alarm = Alarm::new()?;
    poll.registry().register(&mut SourceFd(&alarm.as_raw_fd()), ALARM, Interest::READABLE)?;
    let mut pace = options.rate.map(Pace::new).transpose()?;
    let began = Instant::now();
    let counts_from = began + Duration::from_secs_f64(options.warm);
    let ends = counts_from + Duration::from_secs_f64(options.seconds);
    let mut counting = None;
    let mut events = Events::with_capacity(512);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let now = Instant::now();
        if counting.is_none() && now >= counts_from {
            println!("begin");
            load.counts = Counts::new();
            counting = Some((now, cpu::own()?));
        }
        // A time in which nothing was answered says nothing: it is made longer.
        let over = now >= ends && load.counts.answered > 0 || now >= ends + LONGER;
        if over || options.done(&load.counts) {
            break;
        }
        let waits = load.ask_idle(&mut connections, pace.as_mut(), now);
        if let Some(pace) = pace.as_ref().filter(|_| waits) {
            alarm.set(pace)?;
        }
        poll.poll(&mut events, Some(Duration::from_millis(20)))?;
        for event in events.iter().filter(|event| event.token() != ALARM) {
            let number = event.token().0;
            if !load.progress(&mut connections[number], number, &mut buffer) {
                let next = connections[number].next;
                connections[number] = load.connect(&poll, number, next)?;
                if !load.idle.contains(&number) {
                    load.idle.push_back(number);
                }
            }
        }
        ensure!(load.counts.failed < 10_000, "the proxy fails most requests");
    }
    let (from, cpu_before) = counting.context("no time to count")?;
    load.counts.seen(from, cpu_before)
}

impl<'a> Load<'a> {
    fn new(options: &'a Options, asked: &[Asked]) -> Result<Self> {
        let tls = match &options.ca {
            Some(ca) if options.wire.is_tls() => {
                let own = options.own.as_deref().filter(|_| options.wire.is_mutual());
                Some(tls::client(ca, own)?)
            }
            None if options.wire.is_tls() => bail!("TLS needs --ca"),
            _ => None,
        };
        let (openings, requests, answer) = match options.wire {
            Wire::Websocket => {
                let openings = asked.iter().map(|asked| written(asked, &websocket::OPENING));
                let echoed = Answer::Bytes(websocket::echoed());
                (openings.collect(), vec![websocket::message()], echoed)
            }
            Wire::Echo => {
                let message = vec![b'x'; websocket::MESSAGE];
                (Vec::new(), vec![message.clone()], Answer::Bytes(message))
            }
            _ => (Vec::new(), asked.iter().map(|asked| written(asked, &[])).collect(), Answer::Ok),
        };
        let idle = (0..options.connections).collect();
        Ok(Self { options, openings, requests, answer, tls, counts: Counts::new(), sent: 0, idle })
    }

    fn connect(&self, poll: &Poll, number: usize, next: usize) -> Result<Connection> {
        let stream = TcpStream::connect(self.options.target)?;
        let tls = match &self.tls {
            Some(config) => {
                Some(ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?)
            }
            None => None,
        };
        let mut stream = Stream::new(stream, tls.map(Into::into));
        stream.register(poll.registry(), Token(number))?;
        let opening = self.openings.get(number % self.openings.len().max(1));
        Ok(Connection::new(stream, opening.map(Vec::as_slice), next))
    }

    /// Asks on connections that are idle: on all of them, or on as many as are due now. Whether the next one is
    /// only to be waited for.
    fn ask_idle(
        &mut self,
        connections: &mut [Connection],
        mut pace: Option<&mut Pace>,
        now: Instant,
    ) -> bool {
        while let Some(&number) = self.idle.front() {
            if self.options.count.is_some_and(|count| self.sent >= count) {
                return false;
            }
            let at = match &mut pace {
                Some(pace) => match pace.due(now) {
                    Some(planned) => planned,
                    None => return true,
                },
                None => now,
            };
            self.idle.pop_front();
            self.sent += 1;
            let connection = &mut connections[number];
            let request = &self.requests[connection.next % self.requests.len()];
            connection.ask(request, at);
        }
        false
    }

    /// Goes on; false when a new connection is needed.
    fn progress(&mut self, connection: &mut Connection, number: usize, buffer: &mut [u8]) -> bool {
        if connection.flush().is_err() {
            self.counts.failed += 1;
            return false;
        }
        loop {
            let length = match connection.read(buffer) {
                Ok(0) => {
                    self.counts.failed += u64::from(connection.since.is_some());
                    return false;
                }
                Ok(length) => length,
                Err(error) if waits(&error) => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.counts.failed += 1;
                    return false;
                }
            };
            match connection.take(&buffer[..length], &self.answer) {
                None => {
                    self.counts.failed += 1;
                    return false;
                }
                Some(false) => {}
                Some(true) => {
                    if let Some(since) = connection.since.take() {
                        self.counts.answered(since.elapsed());
                    }
                    if self.options.wire.is_anew() {
                        return false;
                    }
                    self.again(connection, number);
                }
            }
            // Edge-triggered: a short read means that there is no more.
            if connection.drained_by(length, buffer) {
                return true;
            }
        }
    }

    /// A closed loop asks again at once; an open one when it is time to.
    fn again(&mut self, connection: &mut Connection, number: usize) {
        if self.options.rate.is_some() || self.options.count.is_some_and(|count| self.sent >= count) {
            return self.idle.push_back(number);
        }
        self.sent += 1;
        let request = &self.requests[connection.next % self.requests.len()];
        connection.ask(request, Instant::now());
    }
}

/// The bytes of the requests in a file.
pub(crate) fn requests(file: &std::path::Path) -> Result<Vec<Vec<u8>>> {
    let asked: Vec<Asked> = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(asked.iter().map(|asked| written(asked, &[])).collect())
}

/// With further fields.
fn written(asked: &Asked, more: &[(&str, &str)]) -> Vec<u8> {
    let mut text =
        format!("GET {} HTTP/1.1\r\nhost: localhost\r\nuser-agent: weir-load\r\naccept: */*\r\n", asked.path);
    let fields = asked.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in fields.chain(more.iter().copied()) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
