//! A service that is slow for a few seconds, and callers who try again: without a budget the repetitions keep it
//! overloaded after it has recovered ("Metastable Failures in Distributed Systems", Bronson et al., HotOS 2021).
//!
//! Ten servers work on one request at a time, first come first served, for 10 ms in the mean: 1,000 a second, of
//! which 700 are asked for. For five seconds they take three times as long. Nobody waits longer than 200 ms for an
//! attempt; the server does not learn that, and works on what nobody waits for any more.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use weir_balance::{Algorithm, Ask, Backoff, Budget, Ended, Endpoint, Nanos, Picker, Wyrand};

use crate::{
    engine::{MS, SECOND, exponential},
    server::{Server, servers},
};

const SEED: u64 = 601;
const SERVERS: usize = 10;
const PER_SECOND: f64 = 700.0;
const PATIENCE: Nanos = 200 * MS;
const SLOW: std::ops::Range<Nanos> = 20 * SECOND..25 * SECOND;
const END: Nanos = 120 * SECOND;
/// When a service that is let alone has long caught up.
const AFTER: std::ops::Range<Nanos> = 80 * SECOND..118 * SECOND;

#[derive(Clone, Copy)]
enum Retries {
    None,
    Unbounded,
    Budgeted,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// One more attempt of this request.
    Attempt(usize),
    /// A server is done with its attempt.
    Done(usize),
    /// The caller gives this attempt up.
    TooLate(usize),
}

struct Request {
    arrived: Nanos,
    attempts: u32,
    answered: bool,
}

struct Attempt {
    request: usize,
    server: usize,
    over: bool,
}

struct World {
    retries: Retries,
    servers: Vec<Server>,
    picker: Picker,
    random: Wyrand,
    budget: Budget,
    events: BinaryHeap<Reverse<(Nanos, Event)>>,
    requests: Vec<Request>,
    attempts: Vec<Attempt>,
    /// Attempts at each server, the one it works on first.
    queues: Vec<VecDeque<usize>>,
}

impl World {
    fn new(retries: Retries) -> Self {
        let servers = servers(SERVERS);
        Self {
            retries,
            picker: Picker::new(Algorithm::LeastRequest, &servers),
            servers,
            random: Wyrand::new(SEED),
            budget: Budget::new(20, 10),
            events: BinaryHeap::from([Reverse((0, Event::Arrival))]),
            requests: Vec::new(),
            attempts: Vec::new(),
            queues: vec![VecDeque::new(); SERVERS],
        }
    }

    fn run(&mut self) {
        while let Some(Reverse((now, event))) = self.events.pop() {
            match event {
                _ if now > END => return,
                Event::Arrival => {
                    let next = now + exponential(1e9 / PER_SECOND, &mut self.random);
                    self.events.push(Reverse((next, Event::Arrival)));
                    self.requests.push(Request { arrived: now, attempts: 0, answered: false });
                    self.budget.look(now, self.requests.len() as u64);
                    self.attempt(now, self.requests.len() - 1);
                }
                Event::Attempt(request) => self.attempt(now, request),
                Event::Done(server) => self.done(now, server),
                Event::TooLate(attempt) => self.give_up(now, attempt),
            }
        }
    }

    fn attempt(&mut self, now: Nanos, request: usize) {
        self.requests[request].attempts += 1;
        let pick = self.picker.pick(&self.servers, now, &mut self.random, &Ask::default());
        let server = pick.expect("there are servers");
        self.servers[server].load().begin();
        let attempt = self.attempts.len();
        self.attempts.push(Attempt { request, server, over: false });
        self.events.push(Reverse((now + PATIENCE, Event::TooLate(attempt))));
        self.queues[server].push_back(attempt);
        if self.queues[server].len() == 1 {
            self.begin(now, server);
        }
    }

    fn begin(&mut self, now: Nanos, server: usize) {
        let mean = if SLOW.contains(&now) { 30 * MS } else { 10 * MS };
        let takes = exponential(mean as f64, &mut self.random);
        self.events.push(Reverse((now + takes, Event::Done(server))));
    }

    fn done(&mut self, now: Nanos, server: usize) {
        let attempt = self.queues[server].pop_front().expect("it worked on one");
        if !std::mem::replace(&mut self.attempts[attempt].over, true) {
            let request = &mut self.requests[self.attempts[attempt].request];
            request.answered = true;
            let rtt = std::time::Duration::from_nanos(now - request.arrived);
            self.servers[server].load().end(now, Ended::Answered { rtt });
        }
        if !self.queues[server].is_empty() {
            self.begin(now, server);
        }
    }

    fn give_up(&mut self, now: Nanos, attempt: usize) {
        let Attempt { request, server, over } = &mut self.attempts[attempt];
        if std::mem::replace(over, true) {
            return;
        }
        let request = *request;
        self.servers[*server].load().end(now, Ended::Failed);
        let tried = self.requests[request].attempts;
        let granted = match self.retries {
            Retries::None => false,
            Retries::Unbounded => tried < 4,
            Retries::Budgeted => tried < 4 && self.budget.spend(now, self.requests.len() as u64),
        };
        if granted {
            let wait = Backoff::RETRY.wait(tried, &mut self.random).as_nanos() as Nanos;
            self.events.push(Reverse((now + wait, Event::Attempt(request))));
        }
    }
}

/// Of the requests that arrive long after the service was slow, the part that is answered; and attempts for each
/// request, from the moment it became slow.
fn run(retries: Retries) -> (f64, f64) {
    let mut world = World::new(retries);
    world.run();
    let after = || world.requests.iter().filter(|request| AFTER.contains(&request.arrived));
    let answered = after().filter(|request| request.answered).count() as f64 / after().count() as f64;
    let since = || world.requests.iter().filter(|request| request.arrived >= SLOW.start);
    let attempts = since().map(|request| f64::from(request.attempts)).sum::<f64>() / since().count() as f64;
    (answered * 100.0, attempts)
}

#[test]
fn a_budget_lets_a_service_recover_that_repetitions_would_keep_down() {
    let [none, unbounded, budgeted] = [Retries::None, Retries::Unbounded, Retries::Budgeted].map(run);
    println!(
        "five slow seconds, up to three retries, seed {SEED}: answered a minute later, and attempts for a request: \
         no retries {:.2} %, {:.3}; without budget {:.2} %, {:.3}; with budget {:.2} %, {:.3}",
        none.0, none.1, unbounded.0, unbounded.1, budgeted.0, budgeted.1
    );
    assert!(none.0 > 99.0, "seed {SEED}: {none:?}");
    assert!(unbounded.0 < 10.0 && unbounded.1 > 3.0, "seed {SEED}: {unbounded:?}");
    assert!(budgeted.0 > 99.9 && budgeted.1 < 1.22, "seed {SEED}: {budgeted:?}");
}
