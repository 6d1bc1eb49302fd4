//! A name server that answers from a table of the test's, over UDP and TCP, well or ill.
//!
//! Messages are written and read by hand (RFC 1035 4): what is judged must not be judged by its own code.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use crate::tasks::Owned;

/// Bytes of the longest answer over UDP.
const DATAGRAM: usize = 512;
/// Kinds of records (RFC 1035 3.2.2, RFC 3596 2.1, RFC 2782).
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// One record of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsRecord {
    /// A or AAAA.
    Address(IpAddr),
    /// SRV: priority, weight, port, host.
    Service(u16, u16, u16, String),
    /// CNAME.
    Alias(String),
}

/// How questions for a name are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsAnswer {
    /// With these, and their time to live in seconds.
    Records(Vec<DnsRecord>, u32),
    /// With a response code: 2 is SERVFAIL, 3 is NXDOMAIN.
    Code(u8),
    /// Not at all.
    Silence,
}

/// The server. It ends when this is dropped. Names that are not in the table do not exist.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    table: Arc<Table>,
    _tasks: [Owned; 2],
}

#[derive(Debug, Default)]
struct Table {
    answers: Mutex<BTreeMap<String, DnsAnswer>>,
    asked: AtomicUsize,
    asked_by_tcp: AtomicUsize,
}

impl DnsServer {
    /// On a port of the system's choice, the same for UDP and TCP.
    pub async fn start() -> Result<Self> {
        let table = Arc::new(Table::default());
        let (udp, tcp) = bind().await?;
        let address = udp.local_addr()?;
        let tasks = [
            Owned::spawn(over_udp(udp, Arc::clone(&table))),
            Owned::spawn(over_tcp(tcp, Arc::clone(&table))),
        ];
        Ok(Self { address, table, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers questions for this name, in lower case, in this way from now on.
    pub fn answer(&self, name: &str, answer: DnsAnswer) {
        self.table.answers().insert(name.to_owned(), answer);
    }

    /// Answers with these addresses, to live for a second.
    pub fn addresses(&self, name: &str, addresses: &[&str]) -> Result<()> {
        let parsed: Result<Vec<IpAddr>, _> = addresses.iter().map(|address| address.parse()).collect();
        let records = parsed?.into_iter().map(DnsRecord::Address).collect();
        self.answer(name, DnsAnswer::Records(records, 1));
        Ok(())
    }

    /// Questions so far.
    pub fn asked(&self) -> usize {
        self.table.asked.load(Relaxed)
    }

    /// Those of them that came over TCP.
    pub fn asked_by_tcp(&self) -> usize {
        self.table.asked_by_tcp.load(Relaxed)
    }
}

impl Table {
    fn answers(&self) -> MutexGuard<'_, BTreeMap<String, DnsAnswer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: silence.
    fn reply(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Relaxed);
        let (name, kind, asked) = read_question(question)?;
        let answer = self.answers().get(&name).cloned().unwrap_or(DnsAnswer::Code(3));
        let (code, records, ttl) = match answer {
            DnsAnswer::Records(records, ttl) => (0, records, ttl),
            DnsAnswer::Code(code) => (code, Vec::new(), 0),
            DnsAnswer::Silence => return None,
        };
        let records: Vec<_> =
            records.iter().filter_map(|record| resource(&name, kind, record, ttl)).collect();
        // Response, recursion desired and available; the question comes back.
        let mut message = [&question[..2], &[0x81, 0x80 | code, 0, 1]].concat();
        message.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
        message.extend([0; 4]);
        message.extend(asked);
        message.extend(records.concat());
        Some(message)
    }
}

/// Another socket may have the port that UDP was given.
async fn bind() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        if let Ok(tcp) = TcpListener::bind(udp.local_addr()?).await {
            return Ok((udp, tcp));
        }
    }
    anyhow::bail!("no port is free for both UDP and TCP")
}

async fn over_udp(socket: UdpSocket, table: Arc<Table>) {
    let mut buffer = [0; DATAGRAM];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let Some(mut reply) = table.reply(&buffer[..length]) else { continue };
        if reply.len() > DATAGRAM {
            // Truncated: the header and the question say so.
            reply[2] |= 0x02;
            reply[6..8].fill(0);
            reply.truncate(length);
        }
        let _ = socket.send_to(&reply, peer).await;
    }
}

async fn over_tcp(socket: TcpListener, table: Arc<Table>) {
    while let Ok((mut stream, _)) = socket.accept().await {
        table.asked_by_tcp.fetch_add(1, Relaxed);
        // Whoever breaks off is nobody's fault.
        let _ = one_over_tcp(&mut stream, &table).await;
    }
}

async fn one_over_tcp(stream: &mut TcpStream, table: &Table) -> Result<()> {
    let mut question = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut question).await?;
    let reply = table.reply(&question).context("silence")?;
    stream.write_u16(reply.len().try_into()?).await?;
    stream.write_all(&reply).await?;
    Ok(())
}

/// The name in lower case, the kind, and the bytes of the question.
fn read_question(message: &[u8]) -> Option<(String, u16, &[u8])> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((labels.join("."), kind, message.get(12..at + 4)?))
}

/// None: not what was asked for.
fn resource(owner: &str, asked: u16, record: &DnsRecord, ttl: u32) -> Option<Vec<u8>> {
    let (kind, data) = match record {
        DnsRecord::Address(IpAddr::V4(ip)) => (A, ip.octets().to_vec()),
        DnsRecord::Address(IpAddr::V6(ip)) => (AAAA, ip.octets().to_vec()),
        DnsRecord::Alias(name) => (CNAME, wire_name(name)),
        DnsRecord::Service(priority, weight, port, host) => {
            let numbers = [priority.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
            (SRV, [numbers, wire_name(host)].concat())
        }
    };
    if kind != asked && kind != CNAME {
        return None;
    }
    let mut bytes = wire_name(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
    bytes.extend(data);
    Some(bytes)
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
