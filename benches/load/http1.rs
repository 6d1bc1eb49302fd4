//! The HTTP/1.1 load: one thread, one `epoll`; over TLS too, with connections kept or made anew.

use std::{
    io::{ErrorKind, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

use crate::{
    cpu,
    generate::{Asked, Latencies, Options, Seen},
    work::Wire,
};

struct Connection {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    /// Bytes of the request not yet taken by the kernel.
    unsent: Vec<u8>,
    /// Of the answer: the head so far, then the body bytes still to come.
    head: Vec<u8>,
    missing: Option<usize>,
    /// Since when the answer is waited for; idle without.
    since: Option<Instant>,
    next: usize,
}

struct Load<'a> {
    options: &'a Options,
    requests: Vec<Vec<u8>>,
    tls: Option<Arc<ClientConfig>>,
    latencies: Latencies,
    answered: u64,
    failed: u64,
}

/// Asks for the planned time.
pub(crate) fn run(options: &Options, requests: &[Asked]) -> Result<Seen> {
    let tls = match (options.wire, &options.ca) {
        (Wire::H1, _) => None,
        (_, Some(ca)) => Some(client_config(ca)?),
        (_, None) => bail!("TLS needs --ca"),
    };
    let requests = requests.iter().map(written).collect();
    let mut load = Load { options, requests, tls, latencies: Latencies::new(), answered: 0, failed: 0 };
    let mut poll = Poll::new()?;
    let mut connections = Vec::with_capacity(options.connections);
    for number in 0..options.connections {
        connections.push(load.connect(&poll, number, number)?);
    }
    let began = Instant::now();
    let (counts_from, ends) = (
        began + Duration::from_secs_f64(options.warm),
        began + Duration::from_secs_f64(options.warm + options.seconds),
    );
    let mut counting = None;
    let mut pace = options.rate.map(|rate| Pace { rate, began, sent: 0 });
    let mut events = Events::with_capacity(512);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let now = Instant::now();
        if counting.is_none() && now >= counts_from {
            println!("begin");
            (load.answered, load.failed, load.latencies) = (0, 0, Latencies::new());
            counting = Some((now, cpu::own()?));
        }
        if now >= ends {
            break;
        }
        match &mut pace {
            None => {
                for connection in connections.iter_mut().filter(|c| c.since.is_none()) {
                    load.ask(connection, now);
                }
            }
            Some(pace) => {
                let mut free = connections.iter_mut().filter(|c| c.since.is_none());
                while pace.due(now) {
                    let Some(connection) = free.next() else { break };
                    let planned = pace.take();
                    load.ask(connection, planned);
                }
            }
        }
        let wait = if pace.is_some() { Duration::from_micros(200) } else { Duration::from_millis(20) };
        poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let number = event.token().0;
            if !load.progress(&mut connections[number], &mut buffer) {
                let next = connections[number].next;
                connections[number] = load.connect(&poll, number, next)?;
            }
        }
        ensure!(load.failed < 10_000, "the proxy fails most requests");
    }
    let (from, cpu_before) = counting.context("no time to count")?;
    Ok(Seen {
        requests: load.answered,
        failed: load.failed,
        seconds: from.elapsed().as_secs_f64(),
        own_cpu: cpu::own()? - cpu_before,
        p50_us: load.latencies.quantile(0.5),
        p99_us: load.latencies.quantile(0.99),
    })
}

/// When an open loop is to send: latencies count from the planned moment, not from when a connection was free.
struct Pace {
    rate: f64,
    began: Instant,
    sent: u64,
}

impl Pace {
    fn planned(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.sent as f64 / self.rate)
    }

    fn due(&self, now: Instant) -> bool {
        self.planned() <= now
    }

    fn take(&mut self) -> Instant {
        let planned = self.planned();
        self.sent += 1;
        planned
    }
}

impl Load<'_> {
    fn connect(&self, poll: &Poll, number: usize, next: usize) -> Result<Connection> {
        let mut stream = TcpStream::connect(self.options.target)?;
        poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        let tls = match &self.tls {
            Some(config) => {
                Some(ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?)
            }
            None => None,
        };
        Ok(Connection { stream, tls, unsent: Vec::new(), head: Vec::new(), missing: None, since: None, next })
    }

    fn ask(&mut self, connection: &mut Connection, at: Instant) {
        connection.since = Some(at);
        let request = &self.requests[connection.next % self.requests.len()];
        connection.next += 1;
        match &mut connection.tls {
            // Cannot fail: the buffer of a client connection is unbounded.
            Some(tls) => drop(tls.writer().write_all(request)),
            None => connection.unsent.extend_from_slice(request),
        }
        // An error shows at the next read.
        let _ = connection.flush();
    }

    /// Goes on; false when a new connection is needed.
    fn progress(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> bool {
        if connection.flush().is_err() {
            self.failed += 1;
            return false;
        }
        loop {
            match connection.read(buffer) {
                Ok(0) => {
                    self.failed += u64::from(connection.since.is_some());
                    return false;
                }
                Ok(length) => {
                    let Some(done) = connection.take(&buffer[..length]) else {
                        self.failed += 1;
                        return false;
                    };
                    if done {
                        if let Some(since) = connection.since.take() {
                            self.latencies.add(since.elapsed());
                        }
                        self.answered += 1;
                        if self.options.wire == Wire::TlsNew {
                            return false;
                        }
                        if self.options.rate.is_none() {
                            self.ask(connection, Instant::now());
                        }
                    }
                    if connection.tls.is_none() && length < buffer.len() {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::NotConnected => return true,
                Err(_) => {
                    self.failed += 1;
                    return false;
                }
            }
        }
    }
}

impl Connection {
    fn flush(&mut self) -> std::io::Result<()> {
        let done = match &mut self.tls {
            Some(tls) => {
                while tls.wants_write() {
                    match tls.write_tls(&mut self.stream) {
                        Ok(_) => {}
                        Err(error) if waits(&error) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
                return Ok(());
            }
            None if self.unsent.is_empty() => return Ok(()),
            None => self.stream.write(&self.unsent),
        };
        match done {
            Ok(length) => drop(self.unsent.drain(..length)),
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(std::io::Error::other)?;
            while tls.wants_write() {
                if let Err(error) = tls.write_tls(&mut self.stream) {
                    if waits(&error) {
                        break;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Takes bytes of the answer: whether it is whole now; none if it is not what was asked for.
    fn take(&mut self, mut bytes: &[u8]) -> Option<bool> {
        if self.missing.is_none() {
            self.head.extend_from_slice(bytes);
            let end = self.head.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { return Some(false) };
            if !self.head.starts_with(b"HTTP/1.1 200") {
                return None;
            }
            let length = content_length(&self.head[..end])?;
            let beyond = self.head.len() - end - 4;
            bytes = &bytes[bytes.len() - beyond..];
            self.missing = Some(length);
            self.head.clear();
        }
        let missing = self.missing?.checked_sub(bytes.len())?;
        self.missing = (missing > 0).then_some(missing);
        Some(missing == 0)
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

/// The bytes of the requests in a file.
pub(crate) fn requests(file: &std::path::Path) -> Result<Vec<Vec<u8>>> {
    let asked: Vec<Asked> = serde_json::from_slice(&std::fs::read(file)?)?;
    Ok(asked.iter().map(written).collect())
}

fn written(asked: &Asked) -> Vec<u8> {
    let mut text =
        format!("GET {} HTTP/1.1\r\nhost: localhost\r\nuser-agent: weir-load\r\naccept: */*\r\n", asked.path);
    for (name, value) in &asked.fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// What trusts this authority and speaks HTTP/1.1.
pub(crate) fn client_config(ca: &std::path::Path) -> Result<Arc<ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // New connections are to cost whole handshakes.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}
