//! One question to one name server (RFC 1035), over UDP and, if the answer is too long for that, over TCP.
//!
//! The servers are resolvers that follow aliases themselves; an alias is followed only within their answer.
//! Questions come from a port of the system's choice under a random number, and only their own answers are heard
//! (RFC 5452).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE, rdata::RData};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::Service;

/// Bytes of an answer over UDP; without extensions there are at most 512.
const DATAGRAM: usize = 4_096;
/// Aliases that are followed.
const ALIASES: usize = 16;
/// Records of an answer that are looked at.
const RECORDS: usize = 4_096;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    A,
    Aaaa,
    Srv,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Service(Service),
}

/// What a server knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// At least one record, and until when they hold.
    Answer { records: Vec<Record>, valid_until: Instant },
    /// There is no such name, or nothing of this kind.
    Denied,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoReply {
    #[error("no answer within {0:?}")]
    Silence(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the name cannot be asked for")]
    Name,
    #[error("the answer cannot be read")]
    Malformed,
    #[error("answered {0:?}")]
    Failed(RCODE),
}

/// Asks a server, which may take this long.
pub(super) async fn ask(
    server: SocketAddr,
    name: &str,
    kind: Kind,
    patience: Duration,
) -> Result<Reply, NoReply> {
    let id = random_id()?;
    let question = question(id, name, kind).ok_or(NoReply::Name)?;
    let asking = async {
        let datagram = over_udp(server, &question, id, name).await?;
        match understand(&datagram, name, kind)? {
            Some(reply) => Ok(reply),
            None => {
                let message = over_tcp(server, &question).await?;
                understand(&message, name, kind)?.ok_or(NoReply::Malformed)
            }
        }
    };
    timeout(patience, asking).await.unwrap_or(Err(NoReply::Silence(patience)))
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| io::Error::other("there is no randomness"))?;
    Ok(u16::from_be_bytes(id))
}

fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let kind = match kind {
        Kind::A => TYPE::A,
        Kind::Aaaa => TYPE::AAAA,
        Kind::Srv => TYPE::SRV,
    };
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, QTYPE::TYPE(kind), CLASS::IN.into(), false));
    packet.build_bytes_vec().ok()
}

async fn over_udp(server: SocketAddr, question: &[u8], id: u16, name: &str) -> Result<Vec<u8>, NoReply> {
    let from: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((from, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await?;
        if is_answer(&datagram[..length], id, name) {
            datagram.truncate(length);
            return Ok(datagram);
        }
    }
}

/// Whether this is about the question, and not an earlier one's or a forger's.
fn is_answer(datagram: &[u8], id: u16, name: &str) -> bool {
    let Ok(packet) = Packet::parse(datagram) else { return false };
    let asked = packet.questions.first().is_some_and(|question| same(&question.qname.to_string(), name));
    packet.id() == id && packet.has_flags(PacketFlag::RESPONSE) && asked
}

/// Messages have their length before them (RFC 7766 8).
async fn over_tcp(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, NoReply> {
    let length = u16::try_from(question.len()).map_err(|_| NoReply::Name)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// None: this is only the beginning of the answer.
fn understand(message: &[u8], name: &str, kind: Kind) -> Result<Option<Reply>, NoReply> {
    let packet = Packet::parse(message).map_err(|_| NoReply::Malformed)?;
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Ok(None);
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Some(Reply::Denied)),
        other => return Err(NoReply::Failed(other)),
    }
    let mut aliases: HashMap<String, (String, u32)> = HashMap::new();
    let mut found: HashMap<String, Vec<(Record, u32)>> = HashMap::new();
    for answer in packet.answers.iter().take(RECORDS) {
        let owner = answer.name.to_string().to_ascii_lowercase();
        let record = match (&answer.rdata, kind) {
            (RData::CNAME(alias), _) => {
                aliases.insert(owner, (alias.0.to_string().to_ascii_lowercase(), answer.ttl));
                continue;
            }
            (RData::A(a), Kind::A) => Record::Address(Ipv4Addr::from(a.address).into()),
            (RData::AAAA(aaaa), Kind::Aaaa) => Record::Address(Ipv6Addr::from(aaaa.address).into()),
            (RData::SRV(srv), Kind::Srv) => Record::Service(Service {
                host: srv.target.to_string().to_ascii_lowercase().into(),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight.into(),
            }),
            _ => continue,
        };
        found.entry(owner).or_default().push((record, answer.ttl));
    }
    let (mut owner, mut ttl) = (name.to_ascii_lowercase(), u32::MAX);
    for _ in 0..ALIASES {
        if let Some(records) = found.remove(&owner) {
            let ttl = records.iter().map(|(_, ttl)| *ttl).fold(ttl, u32::min);
            let valid_until = Instant::now() + Duration::from_secs(ttl.into());
            let records = records.into_iter().map(|(record, _)| record).collect();
            return Ok(Some(Reply::Answer { records, valid_until }));
        }
        let Some((alias, alias_ttl)) = aliases.remove(&owner) else { break };
        (owner, ttl) = (alias, ttl.min(alias_ttl));
    }
    Ok(Some(Reply::Denied))
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{
        ResourceRecord,
        rdata::{A, CNAME},
    };

    fn answer(records: Vec<ResourceRecord<'_>>) -> Vec<u8> {
        let mut packet = Packet::new_reply(7);
        let qtype = QTYPE::TYPE(TYPE::A);
        packet.questions.push(Question::new(
            Name::new_unchecked("a.example"),
            qtype,
            CLASS::IN.into(),
            false,
        ));
        packet.answers = records;
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn alias<'a>(from: &'a str, to: &'a str, ttl: u32) -> ResourceRecord<'a> {
        let to = RData::CNAME(CNAME(Name::new_unchecked(to)));
        ResourceRecord::new(Name::new_unchecked(from), CLASS::IN, ttl, to)
    }

    fn address(name: &str, last: u8, ttl: u32) -> ResourceRecord<'_> {
        let address = u32::from(Ipv4Addr::new(10, 0, 0, last));
        ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, ttl, RData::A(A { address }))
    }

    #[test]
    fn aliases_are_followed_and_the_shortest_time_counts() {
        let records = vec![
            address("c.example", 1, 300),
            alias("A.example", "b.example", 20),
            alias("b.example", "c.example", 600),
            address("c.example", 2, 60),
            address("stranger.example", 3, 1),
        ];
        let message = answer(records);
        let Ok(Some(Reply::Answer { records, valid_until })) = understand(&message, "a.example", Kind::A)
        else {
            panic!("no answer");
        };
        assert_eq!(records, [1, 2].map(|last| Record::Address([10, 0, 0, last].into())));
        let left = valid_until.saturating_duration_since(Instant::now());
        assert!(left <= Duration::from_secs(20) && left > Duration::from_secs(15), "{left:?}");
    }

    #[test]
    fn aliases_in_a_circle_lead_nowhere() {
        let message = answer(vec![alias("a.example", "b.example", 1), alias("b.example", "a.example", 1)]);
        assert_eq!(understand(&message, "a.example", Kind::A).unwrap(), Some(Reply::Denied));
    }

    #[test]
    fn only_the_answer_to_this_question_is_heard() {
        let message = answer(vec![]);
        assert!(is_answer(&message, 7, "A.Example."));
        assert!(!is_answer(&message, 8, "a.example") && !is_answer(&message, 7, "b.example"));
        let asked = question(7, "a.example", Kind::A).unwrap();
        assert!(!is_answer(&asked, 7, "a.example"), "a question is no answer");
        assert!(!is_answer(&[], 7, "a.example"));
    }

    #[test]
    fn no_bytes_break_it() {
        let whole = answer(vec![alias("a.example", "b.example", 1), address("b.example", 1, 1)]);
        for length in 0..whole.len() {
            let _ = understand(&whole[..length], "a.example", Kind::A);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x3f, 0xc0, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = understand(&bytes, "a.example", Kind::A);
            }
        }
    }
}
