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
        let services = first_priority(services);
        let mut asked = JoinSet::new();
        for Service { host, port, weight, .. } in services {
            let resolver = Arc::clone(resolver);
            asked.spawn(async move { (resolver.hosts(&host).await, host, port, weight) });
        }
        let (mut list, mut wrong) = (Vec::new(), Vec::new());
        while let Some(answered) = asked.join_next().await {
            let (answer, host, port, weight) = answered.map_err(|error| error.to_string())?;
            match self.merged(&host, answer) {
                Ok(hosts) => {
                    valid_until = valid_until.min(hosts.valid_until);
                    let at = |ip: IpAddr| Target::Tcp(SocketAddr::new(ip, port));
                    let weight = self.endpoint.weight.saturating_mul(weight).min(HEAVIEST);
                    list.extend(hosts.all().map(|ip| Resolved::at(&self.endpoint, at(ip), weight)));
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

/// Those that are to be tried first (RFC 2782), with weights that leave none out.
fn first_priority(mut services: Vec<Service>) -> Vec<Service> {
    let Some(first) = services.iter().map(|service| service.priority).min() else { return services };
    services.retain(|service| service.priority == first);
    services.truncate(SERVICES);
    services.iter_mut().for_each(|service| service.weight = service.weight.max(1));
    services
}

fn sorted(mut list: Vec<Resolved>) -> Vec<Resolved> {
    list.sort_by(|one, other| one.name.cmp(&other.name));
    list.dedup_by(|one, other| one.target == other.target);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_the_first_priority_serve_and_none_without_a_weight() {
        let service = |priority, weight| Service { host: "a".into(), port: 1, priority, weight };
        let first = first_priority(vec![service(20, 5), service(10, 0), service(10, 7)]);
        let weights: Vec<_> = first.iter().map(|service| (service.priority, service.weight)).collect();
        assert_eq!(weights, [(10, 1), (10, 7)]);
    }
}
