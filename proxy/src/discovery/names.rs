//! One name: asked for again whenever the time of its answer is up, or, when there is none, ever more slowly.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use weir_balance::{Backoff, Wyrand};
use weir_config::checked::{Address, Endpoint};

use super::{
    Board, Resolved, Target,
    dns::{Hosts, Resolver, Service},
};

/// Bounds of the time between two lookups: answers may ask for none, or for a week.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(3600);
/// How long one lookup may take, all servers and names of a search included.
const PATIENCE: Duration = Duration::from_secs(15);
/// Hosts of one service that are asked for.
const SERVICES: usize = 256;
/// The largest weight of an endpoint.
const HEAVIEST: u32 = 65_535;

/// A name that is followed.
pub(super) struct Name {
    endpoint: Endpoint,
    part: Arc<str>,
    board: Arc<Board>,
    /// The last addresses of each host: one that cannot be learned now is what it was.
    known: HashMap<Arc<str>, Hosts>,
}

/// What a name stands for, and for how long.
struct Answer {
    list: Vec<Resolved>,
    valid_until: Instant,
}

impl Name {
    pub(super) fn new(endpoint: Endpoint, part: Arc<str>, board: Arc<Board>) -> Self {
        Self { endpoint, part, board, known: HashMap::new() }
    }

    /// Asks and tells, for as long as it is wanted.
    pub(super) async fn follow(mut self, resolver: Arc<Resolver>, lookups: Arc<Semaphore>) {
        let mut random = Wyrand::new(RandomState::new().hash_one(&self.part));
        let mut failures = 0;
        loop {
            let Ok(turn) = lookups.acquire().await else { return };
            let answer = timeout(PATIENCE, self.look_up(&resolver)).await;
            drop(turn);
            let wait = match answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}"))) {
                Ok(Answer { list, valid_until }) => {
                    failures = 0;
                    self.board.put(&self.part, list);
                    valid_until.saturating_duration_since(Instant::now()).clamp(SOONEST, LATEST)
                }
                Err(reason) => {
                    failures += 1;
                    self.board.fail(&self.part, reason);
                    Backoff::RECREATE.wait(failures, &mut random)
                }
            };
            sleep(wait).await;
        }
    }

    async fn look_up(&mut self, resolver: &Arc<Resolver>) -> Result<Answer, String> {
        match self.endpoint.address.clone() {
            Address::Name { host, port } => {
                let hosts = self.merged(&host, resolver.hosts(&host).await)?;
                let at = |ip: IpAddr| Target::Tcp(SocketAddr::new(ip, port));
                let weight = self.endpoint.weight;
                let list = hosts.all().map(|ip| Resolved::at(&self.endpoint, at(ip), weight)).collect();
                Ok(Answer { list: sorted(list), valid_until: hosts.valid_until })
            }
            Address::Srv { service } => self.look_up_service(resolver, &service).await,
            Address::Tcp(_) | Address::Unix(_) => Err("this is no name".to_owned()),
        }
    }

    async fn look_up_service(&mut self, resolver: &Arc<Resolver>, service: &str) -> Result<Answer, String> {
        let (services, mut valid_until) = resolver.services(service).await?;
        let mut asked = JoinSet::new();
        for (rank, Service { host, port, weight, .. }) in ranked(services) {
            let resolver = Arc::clone(resolver);
            asked.spawn(async move { (resolver.hosts(&host).await, host, port, weight, rank) });
        }
        let (mut list, mut wrong) = (Vec::new(), Vec::new());
        while let Some(answered) = asked.join_next().await {
            let (answer, host, port, weight, rank) = answered.map_err(|error| error.to_string())?;
            match self.merged(&host, answer) {
                Ok(hosts) => {
                    valid_until = valid_until.min(hosts.valid_until);
                    let at = |ip: IpAddr| Target::Tcp(SocketAddr::new(ip, port));
                    let weight = self.endpoint.weight.saturating_mul(weight).min(HEAVIEST);
                    let priority = self.endpoint.priority.saturating_add(rank);
                    let one = |ip| Resolved { priority, ..Resolved::at(&self.endpoint, at(ip), weight) };
                    list.extend(hosts.all().map(one));
                }
                Err(reason) => wrong.push(reason),
            }
        }
        match wrong.into_iter().next() {
            Some(reason) if list.is_empty() => Err(reason),
            _ => Ok(Answer { list: sorted(list), valid_until }),
        }
    }

    /// An answer, completed by what is known: of a family that cannot be learned now, the last addresses count.
    fn merged(&mut self, host: &Arc<str>, answer: Result<Hosts, String>) -> Result<Hosts, String> {
        let mut hosts = answer?;
        if let Some(known) = self.known.get(host) {
            hosts.complete(known);
        }
        self.known.insert(Arc::clone(host), hosts.clone());
        Ok(hosts)
    }
}

/// As many as are followed, those first that are to be tried first (RFC 2782). Each with the number of its priority
/// among theirs, from 0, and with a weight that leaves none out.
fn ranked(mut services: Vec<Service>) -> Vec<(u32, Service)> {
    services.sort_by_key(|service| service.priority);
    services.truncate(SERVICES);
    services.iter_mut().for_each(|service| service.weight = service.weight.max(1));
    let (mut rank, mut last) = (0, services.first().map(|service| service.priority));
    let one = |service: Service| {
        rank += u32::from(last != Some(service.priority));
        last = Some(service.priority);
        (rank, service)
    };
    services.into_iter().map(one).collect()
}

/// Each place once, at the best of its priorities.
fn sorted(mut list: Vec<Resolved>) -> Vec<Resolved> {
    list.sort_by(|one, other| (&one.name, one.priority).cmp(&(&other.name, other.priority)));
    list.dedup_by(|one, other| one.target == other.target);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_ranked_by_their_priorities_and_none_is_without_a_weight() {
        let service = |priority, weight| Service { host: "a".into(), port: 1, priority, weight };
        let all = ranked(vec![service(20, 5), service(10, 0), service(700, 2), service(10, 7)]);
        let weights: Vec<_> = all.iter().map(|(rank, service)| (*rank, service.weight)).collect();
        assert_eq!(weights, [(0, 1), (0, 7), (1, 5), (2, 2)]);
        assert!(ranked(vec![]).is_empty());
    }
}
