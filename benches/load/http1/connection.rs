//! One connection of the load: bytes of a request out, an answer in, with or without TLS.

use std::{
    io::{ErrorKind, Read, Write},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use mio::net::TcpStream;
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::{CertificateDer, pem::PemObject};

pub(super) struct Connection {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    /// Bytes of the request not yet taken by the kernel.
    unsent: Vec<u8>,
    /// Of the answer: the head so far, then the body bytes still to come.
    head: Vec<u8>,
    missing: Option<usize>,
    /// Since when the answer is waited for; idle without.
    pub(super) since: Option<Instant>,
    /// Which request is the next one here.
    pub(super) next: usize,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, tls: Option<ClientConnection>, next: usize) -> Self {
        Self { stream, tls, unsent: Vec::new(), head: Vec::new(), missing: None, since: None, next }
    }

    pub(super) fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Sends a request, planned for then.
    pub(super) fn ask(&mut self, request: &[u8], at: Instant) {
        self.since = Some(at);
        self.next += 1;
        match &mut self.tls {
            // Cannot fail: the buffer of a client connection is unbounded.
            Some(tls) => drop(tls.writer().write_all(request)),
            None => self.unsent.extend_from_slice(request),
        }
        // An error shows at the next read.
        let _ = self.flush();
    }

    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        let done = match &mut self.tls {
            Some(tls) => return send(tls, &mut self.stream),
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

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
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
            send(tls, &mut self.stream)?;
        }
    }

    /// Takes bytes of the answer: whether it is whole now; none if it is not what was asked for.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Option<bool> {
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

/// Hands the kernel as much of what TLS has to send as it takes now.
fn send(tls: &mut ClientConnection, stream: &mut TcpStream) -> std::io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(_) => {}
            Err(error) if waits(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Not an error, but not yet: the kernel has no more, or is still connecting.
pub(super) fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
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
