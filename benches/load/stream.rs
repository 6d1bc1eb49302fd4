//! A connection that never blocks, plain or over TLS: what load and origin have in common.

use std::io::{self, ErrorKind, Read, Write};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::Connection;

pub(crate) struct Stream {
    tcp: TcpStream,
    tls: Option<Box<Connection>>,
    /// Bytes not yet taken by the kernel.
    unsent: Vec<u8>,
}

impl Stream {
    /// Over TLS if there is a session for it.
    pub(crate) fn new(tcp: TcpStream, tls: Option<Connection>) -> Self {
        let mut tls = tls.map(Box::new);
        if let Some(tls) = &mut tls {
            // Messages are small, and are taken whole.
            tls.set_buffer_limit(None);
        }
        Self { tcp, tls, unsent: Vec::new() }
    }

    /// Events of it will have this token; edge-triggered, in both directions.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.tcp, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether a read that did not fill its buffer has found all there was, until the next event. Records of TLS end
    /// where they like.
    pub(crate) fn drained_by(&self, length: usize, buffer: &[u8]) -> bool {
        self.tls.is_none() && length < buffer.len()
    }

    /// Takes all of these bytes, and gives the kernel what it has room for.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.unsent.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Gives the kernel what it has room for, without keeping the rest; how much it took.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tls.is_some() || !self.unsent.is_empty() {
            return self.send(bytes).map(|()| bytes.len());
        }
        self.tcp.write(bytes)
    }

    /// Gives the kernel as much of what was taken as it has room for now.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            if self.unsent.is_empty() {
                return Ok(());
            }
            return match self.tcp.write(&self.unsent) {
                Ok(length) => {
                    self.unsent.drain(..length);
                    Ok(())
                }
                Err(error) if waits(&error) => Ok(()),
                Err(error) => Err(error),
            };
        };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if waits(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// 0 is the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            self.flush()?;
        }
    }
}

/// Not an error, but not yet: the kernel has no more, or is still connecting.
pub(crate) fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
