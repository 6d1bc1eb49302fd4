//! The PROXY protocol (haproxy's `proxy-protocol.txt`, versions 1 and 2): what a proxy before us says of a caller, and
//! what we say to one behind us.
//!
//! It stands at the bottom because both sides need it, and knows no I/O: bytes in, bytes out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LONGEST_V1: usize = 107;
/// The longest header that is taken, for those with many additions (TLVs).
pub const LONGEST: usize = 4096;

/// Between whom a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Who opened it.
    pub source: SocketAddr,
    /// Whom it was opened to.
    pub destination: SocketAddr,
}

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// None: the connection is the other proxy's own, or it does not know.
    pub addresses: Option<Addresses>,
    /// Bytes that it takes.
    pub length: usize,
}

/// What stands at the beginning of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// A header.
    Header(Header),
    /// The beginning of one, if more follows.
    Part,
    /// Something else.
    Other,
    /// A header that is not legal.
    Malformed,
}

/// Reads a header. Never more than [`LONGEST`] bytes are wanted.
pub fn parse(bytes: &[u8]) -> Begin {
    let begins = |word: &[u8]| bytes.starts_with(word) || word.starts_with(bytes);
    if begins(SIGNATURE) && !bytes.is_empty() {
        return version_2(bytes);
    }
    if begins(WORD) {
        return version_1(bytes);
    }
    Begin::Other
}

fn version_1(bytes: &[u8]) -> Begin {
    let window = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if window.len() < LONGEST_V1 { Begin::Part } else { Begin::Malformed };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else { return Begin::Malformed };
    let length = end + 2;
    let mut parts = line.split(' ').skip(1);
    let addresses = match parts.next() {
        Some("UNKNOWN") => return Begin::Header(Header { addresses: None, length }),
        Some("TCP4") => addresses_1::<Ipv4Addr>(parts),
        Some("TCP6") => addresses_1::<Ipv6Addr>(parts),
        _ => None,
    };
    match addresses {
        Some(addresses) => Begin::Header(Header { addresses: Some(addresses), length }),
        None => Begin::Malformed,
    }
}

fn addresses_1<'a, A>(mut parts: impl Iterator<Item = &'a str>) -> Option<Addresses>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut ip = || parts.next()?.parse::<A>().ok().map(Into::into);
    let (source, destination): (IpAddr, IpAddr) = (ip()?, ip()?);
    let mut port = || {
        let text = parts.next().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
        text.parse().ok()
    };
    let (from, to) = (port()?, port()?);
    parts.next().is_none().then(|| Addresses {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}

fn version_2(bytes: &[u8]) -> Begin {
    let Some((head, rest)) = bytes.split_at_checked(16) else { return Begin::Part };
    let length = 16 + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > LONGEST || head[12] >> 4 != 2 {
        return Begin::Malformed;
    }
    let Some(rest) = rest.get(..length - 16) else { return Begin::Part };
    // The family's upper half is that of the addresses, the lower one the kind of socket: 1 is a stream.
    let addresses = match (head[12] & 15, head[13]) {
        (0, _) => None,
        (1, 0x11) => match rest.first_chunk::<12>() {
            Some([a, b, c, d, e, f, g, h, ports @ ..]) => {
                Some(addresses_2([*a, *b, *c, *d].into(), [*e, *f, *g, *h].into(), *ports))
            }
            None => return Begin::Malformed,
        },
        (1, 0x21) => {
            let part =
                |at: usize| rest.get(at..at + 16)?.try_into().ok().map(|ip: [u8; 16]| IpAddr::from(ip));
            let ports = rest.get(32..36).and_then(|ports| ports.try_into().ok());
            match (part(0), part(16), ports) {
                (Some(source), Some(destination), Some(ports)) => {
                    Some(addresses_2(source, destination, ports))
                }
                _ => return Begin::Malformed,
            }
        }
        // Unix sockets, datagrams, and what is not known: nothing to use.
        (1, _) => None,
        _ => return Begin::Malformed,
    };
    Begin::Header(Header { addresses, length })
}

fn addresses_2(source: IpAddr, destination: IpAddr, [a, b, c, d]: [u8; 4]) -> Addresses {
    Addresses {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    }
}

/// Whom a header that is written speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The proxy itself: a connection that many callers share.
    Own,
    /// A caller whose address is not known.
    Unknown,
    /// This caller.
    Caller(Addresses),
}

/// A header of version 1.
pub fn write_v1(told: Told) -> Vec<u8> {
    let Told::Caller(addresses) = told else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let Addresses { source, destination } = same_family(addresses);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    )
    .into_bytes()
}

/// A header of version 2.
pub fn write_v2(told: Told) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    let addresses = match told {
        Told::Own => None,
        Told::Unknown => {
            bytes.extend([0x21, 0, 0, 0]);
            return bytes;
        }
        Told::Caller(addresses) => Some(same_family(addresses)),
    };
    match addresses {
        None => bytes.extend([0x20, 0, 0, 0]),
        Some(Addresses { source, destination }) => {
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    bytes.extend([0x21, 0x11, 0, 12]);
                    bytes.extend(source.octets());
                    bytes.extend(destination.octets());
                }
                (source, destination) => {
                    bytes.extend([0x21, 0x21, 0, 36]);
                    bytes.extend(wide(source).octets());
                    bytes.extend(wide(destination).octets());
                }
            }
            bytes.extend(source.port().to_be_bytes());
            bytes.extend(destination.port().to_be_bytes());
        }
    }
    bytes
}

/// A header cannot name two families: then both are written as IPv6.
fn same_family(addresses: Addresses) -> Addresses {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (plain(addresses.source), plain(addresses.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return Addresses { source, destination };
    }
    let widened = |address: SocketAddr| SocketAddr::new(wide(address.ip()).into(), address.port());
    Addresses { source: widened(source), destination: widened(destination) }
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(source: &str, destination: &str) -> Addresses {
        Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn whole(bytes: &[u8]) -> Option<Header> {
        match parse(bytes) {
            Begin::Header(header) => Some(header),
            _ => None,
        }
    }

    #[test]
    fn what_is_written_is_read_and_no_byte_more() {
        let pairs = [
            between("192.0.2.1:1", "198.51.100.2:65535"),
            between("[2001:db8::1]:4711", "[2001:db8::2]:443"),
            between("192.0.2.1:5", "[2001:db8::2]:443"),
        ];
        for addresses in pairs {
            for written in [write_v1(Told::Caller(addresses)), write_v2(Told::Caller(addresses))] {
                let mut bytes = written.clone();
                bytes.extend(b"GET / HTTP/1.1\r\n");
                let read = whole(&bytes).unwrap();
                assert_eq!(read.length, written.len());
                let read = read.addresses.unwrap();
                assert_eq!(read.source.ip().to_canonical(), addresses.source.ip());
                assert_eq!(read.destination.ip().to_canonical(), addresses.destination.ip());
                assert_eq!(
                    (read.source.port(), read.destination.port()),
                    (addresses.source.port(), addresses.destination.port())
                );
                for length in 1..written.len() {
                    assert_eq!(parse(&written[..length]), Begin::Part, "{length}");
                }
            }
        }
    }

    #[test]
    fn who_speaks_for_nobody_names_nobody() {
        for told in [Told::Own, Told::Unknown] {
            for written in [write_v1(told), write_v2(told)] {
                assert_eq!(whole(&written), Some(Header { addresses: None, length: written.len() }));
            }
        }
        let unknown = b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nrest";
        assert_eq!(whole(unknown).unwrap().length, unknown.len() - 4);
    }

    #[test]
    fn additions_are_skipped_and_bounded() {
        let mut bytes = write_v2(Told::Caller(between("192.0.2.1:1", "192.0.2.2:2")));
        bytes[15] += 7;
        bytes.extend([4, 0, 4, 1, 2, 3, 4]);
        assert_eq!(whole(&bytes).unwrap().length, bytes.len());
        bytes[14] = 0xff;
        assert_eq!(parse(&bytes), Begin::Malformed);
    }

    #[test]
    fn what_is_not_legal_is_malformed() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Begin::Malformed, "{line}");
        }
        assert_eq!(parse(&[b"PROXY TCP4 ".as_slice(), &[b'1'; 100]].concat()), Begin::Malformed);
        assert_eq!(parse(b"PROXY TCP4 \xff\xff\r\n"), Begin::Malformed);
        let mut short = write_v2(Told::Caller(between("192.0.2.1:1", "192.0.2.2:2")));
        short[15] = 11;
        assert_eq!(parse(&short), Begin::Malformed);
        for (at, value) in [(12, 0x11), (12, 0x22), (12, 0x2f)] {
            let mut wrong = write_v2(Told::Own);
            wrong[at] = value;
            assert_eq!(parse(&wrong), Begin::Malformed, "{value}");
        }
    }

    #[test]
    fn other_protocols_are_other() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/2.0\r\n\r\n", b"POST /", b"\x16\x03\x01", b"PROXX"]
        {
            assert_eq!(parse(bytes), Begin::Other);
        }
        for bytes in [&b""[..], b"P", b"PR", b"\r\n\r\n"] {
            assert_eq!(parse(bytes), Begin::Part);
        }
    }
}
