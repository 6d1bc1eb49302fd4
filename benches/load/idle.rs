//! Memory: of an idle subject, and of each idle connection.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde::Serialize;

use crate::{
    cpu, http1,
    subjects::{Stage, Subject},
    work::{Policies, Work},
};

/// How long a subject may take to find that a connection is idle.
const SETTLED: Duration = Duration::from_secs(4);

/// One subject's memory.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) subject: &'static str,
    pub(crate) policies: Policies,
    /// Resident, a second after the first answer.
    pub(crate) resident_mib: f64,
    pub(crate) connections: usize,
    pub(crate) kib_per_connection: f64,
    pub(crate) kib_per_tls_connection: f64,
}

pub(crate) fn run(
    weir: &Path,
    cache: &Path,
    subjects: &[Subject],
    policies: Policies,
    connections: usize,
) -> Result<Vec<Idle>> {
    let mut all = Vec::new();
    for &subject in subjects {
        let stage = Stage::set(weir, Some(cache), Work::H1, policies)?;
        let Ok((resident_mib, kib_per_connection)) = held(&stage, subject, connections)? else { continue };
        let stage = Stage::set(weir, Some(cache), Work::Tls, policies)?;
        let tls = held(&stage, subject, connections / 4)?.map_or(f64::NAN, |(_, kib)| kib);
        let subject = subject.name();
        all.push(Idle {
            subject,
            policies,
            resident_mib,
            connections,
            kib_per_connection,
            kib_per_tls_connection: tls,
        });
    }
    Ok(all)
}

/// MiB with one connection, KiB for each further one that was answered once and then kept idle.
fn held(stage: &Stage, subject: Subject, connections: usize) -> Result<Result<(f64, f64), String>> {
    let running = match stage.start(subject) {
        Ok(running) => running,
        Err(reason) => return Ok(Err(reason)),
    };
    let asked = http1::requests(&stage.requests())?;
    let request = asked.first().context("a request")?;
    let tls = if stage.work == Work::Tls { Some(http1::client_config(&stage.ca())?) } else { None };
    let mut kept = vec![answered(&running.address, request, tls.as_ref())?];
    let settled = || {
        std::thread::sleep(SETTLED);
        cpu::resident(running.id())
    };
    let before = settled()?;
    for _ in 0..connections {
        kept.push(answered(&running.address, request, tls.as_ref())?);
    }
    let after = settled()?;
    Ok(Ok((before, (after - before) * 1024.0 / connections as f64)))
}

/// Keeps a connection, and what TLS needs to have it alive.
enum Kept {
    Plain(#[expect(dead_code, reason = "held open")] TcpStream),
    Tls(#[expect(dead_code, reason = "held open")] Box<StreamOwned<ClientConnection, TcpStream>>),
}

fn answered(
    address: &std::net::SocketAddr,
    request: &[u8],
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> Result<Kept> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let Some(config) = tls else {
        ask(&mut stream, request)?;
        return Ok(Kept::Plain(stream));
    };
    let client = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
    let mut stream = Box::new(StreamOwned::new(client, stream));
    ask(&mut stream, request)?;
    Ok(Kept::Tls(stream))
}

fn ask(stream: &mut (impl Read + Write), request: &[u8]) -> Result<()> {
    stream.write_all(request)?;
    let mut answer = [0; 4096];
    let mut length = 0;
    // The body is 128 `x`.
    while !answer[..length].ends_with(b"xxxxxxxx") || length < 128 {
        let more = stream.read(&mut answer[length..])?;
        ensure!(more > 0, "the connection was closed");
        length += more;
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "answered {:?}", String::from_utf8_lossy(&answer[..12]));
    Ok(())
}

/// Ten thousand connections need as many descriptors, here and in the subjects: takes what there is.
pub(crate) fn raise_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum }).context("descriptors")
}
