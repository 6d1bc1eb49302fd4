//! How long a subject takes from its start to its first answer.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    generate::Asked,
    rounds::Quartiles,
    subjects::{Stage, Subject},
    work::{Policies, Work},
};

/// One subject's start.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) subject: &'static str,
    pub(crate) policies: Policies,
    /// Milliseconds, with nothing prepared.
    pub(crate) cold_ms: Quartiles,
    /// Milliseconds, with compiled filters kept from a run before (Weir with policies).
    pub(crate) warm_ms: Option<Quartiles>,
}

pub(crate) fn run(
    weir: &Path,
    subjects: &[Subject],
    policies: Policies,
    rounds: usize,
) -> Result<Vec<Start>> {
    let mut starts = Vec::new();
    for &subject in subjects {
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let stage = Stage::set(weir, None, Work::H1, policies)?;
            let Ok(first) = once(&stage, subject)? else { break };
            cold.push(first);
            if subject == Subject::Weir && policies != Policies::None {
                warm.extend(once(&stage, subject)?.ok());
            }
        }
        if !cold.is_empty() {
            let warm_ms = (!warm.is_empty()).then(|| Quartiles::of(warm));
            starts.push(Start { subject: subject.name(), policies, cold_ms: Quartiles::of(cold), warm_ms });
        }
    }
    Ok(starts)
}

/// Milliseconds to the first 200; or why the subject cannot do this.
fn once(stage: &Stage, subject: Subject) -> Result<Result<f64, String>> {
    let text = std::fs::read(stage.requests())?;
    let asked: Vec<Asked> = serde_json::from_slice(&text)?;
    let asked = asked.first().context("a request")?;
    let mut request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", asked.path);
    asked.fields.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str("\r\n");
    let began = Instant::now();
    let running = match stage.start(subject) {
        Ok(running) => running,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut stream = TcpStream::connect(running.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{} answered {:?}", subject.name(), answer.get(..12));
    Ok(Ok(began.elapsed().as_secs_f64() * 1e3))
}
