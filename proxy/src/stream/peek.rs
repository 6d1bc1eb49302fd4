//! Looking at what a connection has to say, without taking it: whoever is given the connection reads it again.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt, Interest};

use super::Raw;

impl Raw {
    /// Waits until there is something and looks at it; 0 is the end. The same bytes are seen again next time.
    pub async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut look = |socket: BorrowedFd<'_>| -> io::Result<usize> {
                let (_, n) = recv(socket, &mut *bytes, RecvFlags::PEEK)?;
                Ok(n)
            };
            let peeked = match self {
                Raw::Tcp(tcp) => {
                    tcp.readable().await?;
                    tcp.try_io(Interest::READABLE, || look(tcp.as_fd()))
                }
                Raw::Unix(unix) => {
                    unix.readable().await?;
                    unix.try_io(Interest::READABLE, || look(unix.as_fd()))
                }
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked,
            }
        }
    }

    /// Takes so many bytes away.
    pub async fn skip(&mut self, bytes: usize) -> io::Result<()> {
        self.read_exact(&mut vec![0; bytes]).await.map(drop)
    }
}
