//! The name in a TLS hello, read and left as it is: what passes encrypted is routed by it (RFC 6066 3).

use rustls::server::Acceptor;

use crate::stream::{Buffer, Io};

/// The longest hello that is read, its records included. Those of post-quantum key exchanges take 2 KiB.
const LONGEST: usize = 16 * 1024;

/// What a hello says.
#[derive(Debug)]
pub struct Hello {
    /// The name asked for, in lower case; none if there is none.
    pub sni: Option<Box<str>>,
    /// The bytes that were read, the hello and perhaps more.
    pub read: Buffer,
}

/// Reads a connection's hello. None: it is none, it is too long, or the caller left. The caller bounds the time.
pub async fn hello(io: &Io, mut read: Buffer) -> Option<Hello> {
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        let mut fresh = &read.data()[seen..];
        while !fresh.is_empty() {
            match acceptor.read_tls(&mut fresh) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let sni =
                        accepted.client_hello().server_name().map(|name| name.to_ascii_lowercase().into());
                    return Some(Hello { sni, read });
                }
                Ok(None) => {}
                Err(_) => return None,
            }
        }
        seen = read.len();
        if seen >= LONGEST || io.read(&mut read, 1).await.ok()? == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::{io::AsyncWriteExt, net::UnixStream};

    use super::*;
    use crate::stream::Transport;

    /// The hello of a client that asks for `name`.
    fn of_client(name: &'static str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same handshake message in records of `size` bytes.
    fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
        let pieces = hello[5..].chunks(size);
        pieces.flat_map(|piece| [&[22, 3, 1, 0, piece.len() as u8][..], piece].concat()).collect()
    }

    async fn read(bytes: &[u8]) -> Option<Hello> {
        let (mut caller, near) = UnixStream::pair().unwrap();
        let io = Io::new(Transport::Unix(near));
        let send = async {
            for piece in bytes.chunks(100) {
                // Whoever is refused does not read on.
                let _ = caller.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            drop(caller);
        };
        tokio::join!(hello(&io, Buffer::default()), send).0
    }

    #[tokio::test]
    async fn the_name_is_read_and_the_bytes_are_kept() {
        for bytes in [of_client("One.Example"), fragmented(&of_client("one.example"), 50)] {
            let told = read(&bytes).await.unwrap();
            assert_eq!(told.sni.as_deref(), Some("one.example"));
            assert!(bytes.starts_with(told.read.data()) || told.read.data() == bytes);
        }
        let told = read(&of_client("127.0.0.1")).await.unwrap();
        assert_eq!(told.sni, None);
    }

    #[tokio::test]
    async fn what_is_no_hello_is_refused() {
        let good = of_client("one.example");
        let mut long = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
        long.resize(40_000, 0);
        let mut cases = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 100], long, Vec::new()];
        cases.extend((0..good.len()).map(|length| good[..length].to_vec()));
        for bytes in cases {
            assert!(read(&bytes).await.is_none(), "{:?}", &bytes[..bytes.len().min(20)]);
        }
    }

    #[tokio::test]
    async fn no_byte_of_a_hello_makes_it_panic() {
        let good = of_client("one.example");
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = read(&bytes).await;
            }
        }
    }
}
