//! The simulated world: requests arrive at random (Poisson), a picker chooses their server, servers take time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use weir_balance::{Algorithm, Ask, Ended, Endpoint, Nanos, Picker, Random, Wyrand};

use crate::server::{Server, servers};

pub(crate) const MS: Nanos = 1_000_000;
pub(crate) const SECOND: Nanos = 1_000 * MS;

/// What is simulated.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) algorithm: Algorithm,
    pub(crate) servers: usize,
    /// Requests a server works on at a time; others wait there, first come first served.
    pub(crate) workers: usize,
    /// Requests a second, over all servers.
    pub(crate) per_second: f64,
    /// Requests that arrive earlier are not recorded.
    pub(crate) warm_up: Nanos,
    /// For how long arrivals are recorded.
    pub(crate) recorded: Nanos,
    pub(crate) seed: u64,
}

/// What a server makes of a request.
pub(crate) struct Service {
    pub(crate) takes: Nanos,
    /// It refuses, naming this `Retry-After` (zero: none).
    pub(crate) refuses: Option<Duration>,
}

/// A recorded request.
pub(crate) struct Record {
    pub(crate) server: usize,
    /// From arrival to answer, waiting included.
    pub(crate) took: Nanos,
}

/// Runs a plan until every recorded request has its answer. `serve` is told the server and the time.
pub(crate) fn simulate(plan: &Plan, serve: impl Fn(usize, Nanos, &mut Wyrand) -> Service) -> Vec<Record> {
    let mut world = World::new(plan, serve);
    world.run();
    world.records
}

/// The same where a server takes only a part of its share at a time.
pub(crate) fn simulate_by_part(
    plan: &Plan,
    serve: impl Fn(usize, Nanos, &mut Wyrand) -> Service,
    part: &dyn Fn(usize, Nanos) -> f64,
) -> Vec<Record> {
    let mut world = World { part: Some(part), ..World::new(plan, serve) };
    world.run();
    world.records
}

/// A time with this mean, exponentially distributed.
pub(crate) fn exponential(mean: f64, random: &mut Wyrand) -> Nanos {
    (-mean * (1.0 - random.unit()).ln()) as Nanos
}

/// The time within which this part of the requests (0.99: p99) was answered, milliseconds.
pub(crate) fn percentile_ms(records: &[Record], part: f64) -> f64 {
    let mut times: Vec<Nanos> = records.iter().map(|record| record.took).collect();
    let at = ((times.len() as f64 * part) as usize).min(times.len() - 1);
    let (_, time, _) = times.select_nth_unstable(at);
    *time as f64 / MS as f64
}

pub(crate) fn mean_ms(records: &[Record]) -> f64 {
    records.iter().map(|record| record.took as f64).sum::<f64>() / records.len() as f64 / MS as f64
}

/// The part of the requests that one server got.
pub(crate) fn share(records: &[Record], server: usize) -> f64 {
    records.iter().filter(|record| record.server == server).count() as f64 / records.len() as f64
}

#[derive(Default)]
struct Desk {
    busy: usize,
    /// When those that wait arrived.
    waiting: VecDeque<Nanos>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Done { server: usize, arrived: Nanos, refuses: Option<Duration> },
}

struct World<'a, S> {
    plan: &'a Plan,
    serve: S,
    part: Option<&'a dyn Fn(usize, Nanos) -> f64>,
    servers: Vec<Server>,
    desks: Vec<Desk>,
    picker: Picker,
    random: Wyrand,
    events: BinaryHeap<Reverse<(Nanos, Event)>>,
    records: Vec<Record>,
    /// Requests to record that have no answer yet.
    outstanding: usize,
}

impl<'a, S: Fn(usize, Nanos, &mut Wyrand) -> Service> World<'a, S> {
    fn new(plan: &'a Plan, serve: S) -> Self {
        let servers = servers(plan.servers);
        Self {
            plan,
            serve,
            part: None,
            picker: Picker::new(plan.algorithm, &servers),
            desks: servers.iter().map(|_| Desk::default()).collect(),
            servers,
            random: Wyrand::new(plan.seed),
            events: BinaryHeap::from([Reverse((0, Event::Arrival))]),
            records: Vec::new(),
            outstanding: 0,
        }
    }

    fn run(&mut self) {
        let end = self.plan.warm_up + self.plan.recorded;
        while let Some(Reverse((now, event))) = self.events.pop() {
            match event {
                Event::Arrival => self.arrive(now),
                Event::Done { server, arrived, refuses } => self.finish(now, server, arrived, refuses),
            }
            if now > end && self.outstanding == 0 {
                break;
            }
        }
    }

    fn is_recorded(&self, arrived: Nanos) -> bool {
        (self.plan.warm_up..self.plan.warm_up + self.plan.recorded).contains(&arrived)
    }

    fn arrive(&mut self, now: Nanos) {
        let next = now + exponential(1e9 / self.plan.per_second, &mut self.random);
        self.events.push(Reverse((next, Event::Arrival)));
        let pick = match self.part {
            None => self.picker.pick(&self.servers, now, &mut self.random, &Ask::default()),
            Some(part) => {
                let part = |server| part(server, now);
                self.picker.pick_by_part(&self.servers, now, &mut self.random, None, |_| false, part)
            }
        };
        let server = pick.expect("there are servers");
        self.servers[server].load().begin();
        self.outstanding += usize::from(self.is_recorded(now));
        if self.desks[server].busy < self.plan.workers {
            self.desks[server].busy += 1;
            self.start(now, server, now);
        } else {
            self.desks[server].waiting.push_back(now);
        }
    }

    fn start(&mut self, now: Nanos, server: usize, arrived: Nanos) {
        let service = (self.serve)(server, now, &mut self.random);
        let done = Event::Done { server, arrived, refuses: service.refuses };
        self.events.push(Reverse((now + service.takes, done)));
    }

    fn finish(&mut self, now: Nanos, server: usize, arrived: Nanos, refuses: Option<Duration>) {
        let took = now - arrived;
        let ended = match refuses {
            Some(hold) => Ended::Refused { hold },
            None => Ended::Answered { rtt: Duration::from_nanos(took) },
        };
        self.servers[server].load().end(now, ended);
        if self.is_recorded(arrived) {
            self.outstanding -= 1;
            self.records.push(Record { server, took });
        }
        match self.desks[server].waiting.pop_front() {
            Some(waited_since) => self.start(now, server, waited_since),
            None => self.desks[server].busy -= 1,
        }
    }
}
