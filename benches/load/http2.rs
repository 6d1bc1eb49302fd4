//! The HTTP/2 load, without TLS by prior knowledge, through the `h2` crate.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::{sync::Notify, task::spawn_local};

use crate::{
    cpu,
    generate::{Asked, Counts, Options, Seen},
    pace::Pace,
};

/// See the end of a run.
const LONGER: Duration = Duration::from_secs(10);

type Sender = h2::client::SendRequest<bytes::Bytes>;

/// What the tasks of a load share.
struct Load {
    requests: Vec<http::Request<()>>,
    counts: RefCell<Counts>,
    /// Requests that may still be sent.
    left: Cell<u64>,
    count: Option<u64>,
    done: Notify,
}

/// Asks for the planned time, or the planned number of times.
pub(crate) fn run(options: &Options, requests: &[Asked]) -> Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = Rc::new(Load {
        requests: requests.iter().map(written).collect::<Result<_>>()?,
        counts: RefCell::new(Counts::new()),
        left: Cell::new(options.count.unwrap_or(u64::MAX)),
        count: options.count,
        done: Notify::new(),
    });
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let mut senders = Vec::with_capacity(options.connections);
        for _ in 0..options.connections {
            let stream = tokio::net::TcpStream::connect(options.target).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            spawn_local(async move { drop(connection.await) });
            senders.push(sender);
        }
        match options.rate {
            Some(rate) => drop(spawn_local(in_time(senders, Rc::clone(&load), Pace::new(rate)?))),
            None => {
                let streams = options.connections * options.streams;
                let one_each = senders.iter().cycle().take(streams).enumerate();
                for (number, sender) in one_each {
                    // Each begins elsewhere, or all would ask for the same at once.
                    let first = number * load.requests.len() / streams;
                    spawn_local(in_turn(sender.clone(), Rc::clone(&load), first));
                }
            }
        }
        tokio::time::sleep(Duration::from_secs_f64(options.warm)).await;
        println!("begin");
        let (from, cpu_before) = (Instant::now(), cpu::own()?);
        if options.count.is_none() {
            *load.counts.borrow_mut() = Counts::new();
        }
        // Over when the time is, or all that was to be asked is through.
        let _ = tokio::time::timeout(Duration::from_secs_f64(options.seconds), load.done.notified()).await;
        // A time in which nothing was answered says nothing: it is made longer.
        let ends = Instant::now() + LONGER;
        while load.counts.borrow().answered == 0 && Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let counts = load.counts.borrow();
        ensure!(counts.failed < 10_000, "the proxy fails most requests");
        counts.seen(from, cpu_before)
    }))
}

/// A closed loop: one request after the other, until the connection fails.
async fn in_turn(sender: Sender, load: Rc<Load>, first: usize) {
    for number in first.. {
        let left = load.left.get();
        load.left.set(left.saturating_sub(1));
        if left == 0 || !load.ask(&sender, number, Instant::now()).await {
            return;
        }
    }
}

/// An open loop: each request when it is due, on the connections in turn.
async fn in_time(senders: Vec<Sender>, load: Rc<Load>, pace: Pace) {
    let mut due = pace.told();
    for (number, sender) in senders.iter().cycle().enumerate() {
        let Some(planned) = due.recv().await else { return };
        let (sender, load) = (sender.clone(), Rc::clone(&load));
        spawn_local(async move { load.ask(&sender, number, planned).await });
    }
}

impl Load {
    /// Asks once; false when the connection has failed.
    async fn ask(&self, sender: &Sender, number: usize, planned: Instant) -> bool {
        let outcome = exchange(sender.clone(), &self.requests[number % self.requests.len()]).await;
        let mut counts = self.counts.borrow_mut();
        match outcome {
            Ok(true) => counts.answered(planned.elapsed()),
            Ok(false) | Err(_) => counts.failed += 1,
        }
        if self.count.is_some_and(|count| counts.answered + counts.failed >= count) {
            self.done.notify_one();
        }
        outcome.is_ok()
    }
}

async fn exchange(sender: Sender, request: &http::Request<()>) -> Result<bool, h2::Error> {
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
