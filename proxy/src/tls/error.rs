//! What can be wrong with the files TLS needs, said so that an operator can mend it.

use std::{fmt, io, path::PathBuf};

use crate::identity::SvidFault;

/// A file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", file.display())]
pub struct TlsError {
    /// As configured.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: TlsFault,
}

impl TlsError {
    pub(super) fn new(file: impl Into<PathBuf>, fault: TlsFault) -> Self {
        TlsError { file: file.into(), fault }
    }

    /// Config has been checked, so that this is a fault of ours.
    pub(super) fn no_identity(name: &str) -> Self {
        Self::new(name, TlsFault::Refused("there is no such identity".to_owned()))
    }

    /// What the operator may do about it.
    pub fn hint(&self) -> &'static str {
        match &self.fault {
            TlsFault::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                "give the path of a file"
            }
            TlsFault::Unreadable(_) => "let the proxy's user read it",
            TlsFault::TooLarge => "give one certificate chain, one key or one bundle of roots",
            TlsFault::Pem(_) => "the file has to be PEM text: -----BEGIN ...-----",
            TlsFault::NoCertificate => "the file needs a section -----BEGIN CERTIFICATE-----",
            TlsFault::NoKey => "the file needs a section -----BEGIN PRIVATE KEY-----",
            TlsFault::EncryptedKey => "decrypt it: openssl pkey -in KEY -out PLAIN",
            TlsFault::Certificate(_) => "have the certificate issued anew",
            TlsFault::Key(_) => {
                "use an RSA key of 2048 bits or more, an ECDSA key on P-256, P-384 or P-521, or Ed25519"
            }
            TlsFault::KeyMismatch(_) => {
                "cert and key must belong together; the leaf comes first in the chain"
            }
            TlsFault::NoClientCa => "name the roots that client certificates must chain to in client_ca",
            TlsFault::ServerName(_) => "give a DNS name or an IP address",
            TlsFault::Svid(SvidFault::OtherId(_)) => "change `id`, or give the files of that workload",
            TlsFault::Svid(_) => "have it issued as an X.509-SVID: `weir certs svid` shows how",
            TlsFault::Refused(_) => "see the reason",
        }
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum TlsFault {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is larger than any certificate or key.
    TooLarge,
    /// It is not PEM.
    Pem(rustls_pki_types::pem::Error),
    /// There is no certificate in it.
    NoCertificate,
    /// There is no private key in it.
    NoKey,
    /// The private key in it is encrypted.
    EncryptedKey,
    /// A certificate in it is malformed.
    Certificate(String),
    /// The private key is malformed or of a kind that is not supported.
    Key(rustls::Error),
    /// The certificate is for another key; this is the key's file.
    KeyMismatch(PathBuf),
    /// Client certificates are asked for, and no roots are named. The file is the listener's certificate.
    NoClientCa,
    /// The name to expect of origins is not one.
    ServerName(String),
    /// It is not the SVID that is needed.
    Svid(SvidFault),
    /// The TLS library refused the whole.
    Refused(String),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::Unreadable(error) => write!(f, "cannot be read: {error}"),
            TlsFault::TooLarge => f.write_str("is too large for a certificate or key"),
            TlsFault::Pem(error) => write!(f, "is not legal PEM: {error}"),
            TlsFault::NoCertificate => f.write_str("holds no certificate"),
            TlsFault::NoKey => f.write_str("holds no private key"),
            TlsFault::EncryptedKey => f.write_str("holds an encrypted private key"),
            TlsFault::Certificate(reason) => write!(f, "holds a malformed certificate: {reason}"),
            TlsFault::Key(reason) => write!(f, "holds a key that cannot be used: {reason}"),
            TlsFault::KeyMismatch(key) => write!(f, "is not the certificate of the key in {}", key.display()),
            TlsFault::NoClientCa => {
                f.write_str("client certificates are asked for without roots to check them")
            }
            TlsFault::ServerName(name) => write!(f, "'{name}' is no server name"),
            TlsFault::Svid(fault) => fault.fmt(f),
            TlsFault::Refused(reason) => write!(f, "cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for TlsFault {}
