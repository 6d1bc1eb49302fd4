//! The HTTP/2 load, without TLS by prior knowledge, through the `h2` crate.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    cpu,
    generate::{Asked, Latencies, Options, Seen},
};

struct Counts {
    latencies: Latencies,
    answered: u64,
    failed: u64,
}

/// Asks for the planned time, always as many requests at a time as planned.
pub(crate) fn run(options: &Options, requests: &[Asked]) -> Result<Seen> {
    ensure!(options.rate.is_none(), "the HTTP/2 load knows no fixed rate");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let requests: Rc<[http::Request<()>]> = requests.iter().map(written).collect::<Result<_>>()?;
    let counts = Rc::new(RefCell::new(Counts { latencies: Latencies::new(), answered: 0, failed: 0 }));
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        for _ in 0..options.connections {
            let stream = tokio::net::TcpStream::connect(options.target).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            tokio::task::spawn_local(async move { drop(connection.await) });
            for first in 0..options.streams {
                tokio::task::spawn_local(ask(
                    sender.clone(),
                    Rc::clone(&requests),
                    first,
                    Rc::clone(&counts),
                ));
            }
        }
        tokio::time::sleep(Duration::from_secs_f64(options.warm)).await;
        println!("begin");
        let (from, cpu_before) = (Instant::now(), cpu::own()?);
        *counts.borrow_mut() = Counts { latencies: Latencies::new(), answered: 0, failed: 0 };
        tokio::time::sleep(Duration::from_secs_f64(options.seconds)).await;
        let counts = counts.borrow();
        Ok(Seen {
            requests: counts.answered,
            failed: counts.failed,
            seconds: from.elapsed().as_secs_f64(),
            own_cpu: cpu::own()? - cpu_before,
            p50_us: counts.latencies.quantile(0.5),
            p99_us: counts.latencies.quantile(0.99),
        })
    }))
}

/// One request after the other, until the connection fails.
async fn ask(
    sender: h2::client::SendRequest<bytes::Bytes>,
    requests: Rc<[http::Request<()>]>,
    first: usize,
    counts: Rc<RefCell<Counts>>,
) {
    for number in first.. {
        let began = Instant::now();
        let outcome = exchange(sender.clone(), &requests[number % requests.len()]).await;
        let mut counts = counts.borrow_mut();
        match outcome {
            Ok(true) => {
                counts.answered += 1;
                counts.latencies.add(began.elapsed());
            }
            Ok(false) => counts.failed += 1,
            Err(_) => {
                counts.failed += 1;
                return;
            }
        }
    }
}

async fn exchange(
    sender: h2::client::SendRequest<bytes::Bytes>,
    request: &http::Request<()>,
) -> Result<bool, h2::Error> {
    let mut sender = sender.ready().await?;
    let (response, _) = sender.send_request(request.clone(), true)?;
    let (head, mut body) = response.await?.into_parts();
    while let Some(bytes) = body.data().await {
        let length = bytes?.len();
        body.flow_control().release_capacity(length)?;
    }
    Ok(head.status == 200)
}

fn written(asked: &Asked) -> Result<http::Request<()>> {
    let mut request = http::Request::builder()
        .uri(format!("http://localhost{}", asked.path))
        .header("user-agent", "weir-load")
        .header("accept", "*/*");
    for (name, value) in &asked.fields {
        request = request.header(name, value);
    }
    Ok(request.body(())?)
}
