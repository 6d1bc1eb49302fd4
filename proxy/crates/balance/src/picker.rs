//! Chooses the endpoint of an attempt. One [`Picker`] belongs to one list of endpoints, a cluster's or a subset's;
//! when the list or a weight changes, a new picker is built and shared by all workers.

use std::fmt;

use crate::maglev::Maglev;
use crate::ring::Ring;
use crate::rotation::Rotation;
use crate::sampler::{Member, Sampler};
use crate::{Endpoint, Nanos, Random};

/// How endpoints are chosen. All respect weights: with weight 0 an endpoint is picked only if all have 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// In turn. Exact by weight, whatever the number of workers.
    RoundRobin,
    /// By chance, in proportion to weights.
    Random,
    /// Of two drawn by weight, the one with fewer attempts in flight for its weight (Mitzenmacher, "The Power of
    /// Two Choices in Randomized Load Balancing", 2001).
    LeastRequest,
    /// Of two drawn by weight, the one with the smaller [`Load::score`](crate::Load::score), attempts in flight
    /// being counted by weight.
    #[default]
    PeakEwma,
    /// By hash, on a ring: 160 points an endpoint, 131,072 in all.
    RingHash,
    /// By hash, in a table of 65,537 slots.
    Maglev,
}

/// What an attempt asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// The key for [`Algorithm::RingHash`] and [`Algorithm::Maglev`]; need not be well mixed. Without it they
    /// choose by chance.
    pub hash: Option<u64>,
    /// Positions that were tried already. They are picked again only if there is no other.
    pub avoid: &'a [usize],
}

/// Draws before one is taken whatever its part: where all take a tenth, one in thirty picks comes to that.
const DRAWS: usize = 32;

/// The choice among the endpoints of one list.
pub struct Picker {
    endpoints: usize,
    sampler: Sampler,
    choice: Choice,
}

/// An [`Algorithm`] with what it needs.
#[expect(
    clippy::large_enum_variant,
    reason = "one for a list of endpoints; a box would be one more hop on each pick"
)]
enum Choice {
    RoundRobin(Rotation),
    Random,
    LeastRequest,
    PeakEwma,
    RingHash(Ring),
    Maglev(Maglev),
}

impl Picker {
    /// Prepares the choice among `endpoints`. Takes memory and time for their number (4 bytes a turn of round
    /// robin, 12 a point of a ring, 256 KiB for a Maglev table), bounded whatever their weights.
    pub fn new<E: Endpoint>(algorithm: Algorithm, endpoints: &[E]) -> Self {
        let sampler = Sampler::new(&members(endpoints));
        let choice = match algorithm {
            Algorithm::RoundRobin => Choice::RoundRobin(Rotation::new(sampler.members())),
            Algorithm::Random => Choice::Random,
            Algorithm::LeastRequest => Choice::LeastRequest,
            Algorithm::PeakEwma => Choice::PeakEwma,
            Algorithm::RingHash => Choice::RingHash(Ring::new(sampler.members())),
            Algorithm::Maglev => Choice::Maglev(Maglev::new(sampler.members())),
        };
        Self { endpoints: endpoints.len(), sampler, choice }
    }

    /// The position of the endpoint to try. `endpoints` is the list the picker was built for; `None` if that is
    /// empty (or another list is given, which is a mistake).
    pub fn pick<E: Endpoint>(
        &self,
        endpoints: &[E],
        now: Nanos,
        random: &mut impl Random,
        ask: &Ask<'_>,
    ) -> Option<usize> {
        debug_assert_eq!(endpoints.len(), self.endpoints, "not the list the picker was built for");
        if endpoints.len() != self.endpoints {
            return None;
        }
        if ask.avoid.is_empty() {
            return self.choose(endpoints, now, random, ask.hash, |_| false);
        }
        self.choose(endpoints, now, random, ask.hash, |index| ask.avoid.contains(&index))
            .or_else(|| self.choose(endpoints, now, random, ask.hash, |_| false))
    }

    /// The position of an endpoint that is not skipped, if there is one; otherwise as [`pick`](Self::pick).
    pub fn pick_unless<E: Endpoint>(
        &self,
        endpoints: &[E],
        now: Nanos,
        random: &mut impl Random,
        hash: Option<u64>,
        skip: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if endpoints.len() != self.endpoints {
            return None;
        }
        self.choose(endpoints, now, random, hash, skip)
    }

    /// As [`pick_unless`](Self::pick_unless), where some endpoints take only a `part` (above 0, to 1) of their weight.
    ///
    /// Not where a key chooses by [`Algorithm::RingHash`] or [`Algorithm::Maglev`]: keys would move to and fro.
    pub fn pick_by_part<E: Endpoint, R: Random>(
        &self,
        endpoints: &[E],
        now: Nanos,
        random: &mut R,
        hash: Option<u64>,
        skip: impl Fn(usize) -> bool,
        part: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        if endpoints.len() != self.endpoints {
            return None;
        }
        let draw = |random: &mut R| taken_by_part(random, &part, |random| self.sampler.draw(random, &skip));
        // With replacement, as for unequal weights: see `better_of_two`.
        let better = |random: &mut R, cost: &dyn Fn(usize) -> f64| {
            let (first, second) = (draw(random)?, draw(random)?);
            Some(if second != first && cost(second) < cost(first) { second } else { first })
        };
        let crowding = |index: usize| {
            let endpoint = &endpoints[index];
            let burden = self.sampler.burden(endpoint.weight()) / part(index);
            f64::from(endpoint.load().in_flight()) * burden + 1.0
        };
        match (&self.choice, hash) {
            (Choice::RingHash(_) | Choice::Maglev(_), Some(_)) => {
                self.choose(endpoints, now, random, hash, &skip)
            }
            (Choice::RoundRobin(rotation), _) => {
                taken_by_part(random, &part, |random| rotation.next(random, &skip))
            }
            (Choice::LeastRequest, _) => better(random, &crowding),
            (Choice::PeakEwma, _) => {
                better(random, &|index| endpoints[index].load().expected(now) * crowding(index))
            }
            (Choice::Random | Choice::RingHash(_) | Choice::Maglev(_), _) => draw(random),
        }
    }

    fn choose<E: Endpoint>(
        &self,
        endpoints: &[E],
        now: Nanos,
        random: &mut impl Random,
        hash: Option<u64>,
        skip: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        match (&self.choice, hash) {
            (Choice::RoundRobin(rotation), _) => rotation.next(random, skip),
            (Choice::LeastRequest, _) => {
                self.better_of_two(random, skip, |index| self.crowding(&endpoints[index]))
            }
            (Choice::PeakEwma, _) => self.better_of_two(random, skip, |index| {
                let endpoint = &endpoints[index];
                endpoint.load().expected(now) * self.crowding(endpoint)
            }),
            (Choice::RingHash(ring), Some(key)) => ring.owner(key, skip),
            // An endpoint of less than a slot's weight owns none, yet is better than one to avoid.
            (Choice::Maglev(maglev), Some(key)) => {
                maglev.owner(key, &skip).or_else(|| self.sampler.draw(random, &skip))
            }
            (Choice::Random | Choice::RingHash(_) | Choice::Maglev(_), _) => self.sampler.draw(random, skip),
        }
    }

    /// Draws twice and keeps the cheaper; at equal cost the first, so that idle endpoints share by weight.
    ///
    /// Equal weights are drawn without replacement. Others with: each endpoint then keeps a part of the traffic
    /// near its share, where of a heavy and a light endpoint one would always win.
    fn better_of_two(
        &self,
        random: &mut impl Random,
        skip: impl Fn(usize) -> bool,
        cost: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        let first = self.sampler.draw(random, &skip)?;
        let second = if self.sampler.even() {
            self.sampler.draw(random, |index| index == first || skip(index))
        } else {
            self.sampler.draw(random, &skip)
        };
        match second {
            Some(second) if second != first && cost(second) < cost(first) => Some(second),
            _ => Some(first),
        }
    }

    /// Attempts in flight, this one included; those under way count less where the weight is more.
    fn crowding<E: Endpoint>(&self, endpoint: &E) -> f64 {
        f64::from(endpoint.load().in_flight()) * self.sampler.burden(endpoint.weight()) + 1.0
    }
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = match self.choice {
            Choice::RoundRobin(_) => Algorithm::RoundRobin,
            Choice::Random => Algorithm::Random,
            Choice::LeastRequest => Algorithm::LeastRequest,
            Choice::PeakEwma => Algorithm::PeakEwma,
            Choice::RingHash(_) => Algorithm::RingHash,
            Choice::Maglev(_) => Algorithm::Maglev,
        };
        f.debug_struct("Picker").field("algorithm", &algorithm).field("endpoints", &self.endpoints).finish()
    }
}

/// Draws until one is taken, each with the chance of its part: so all are drawn in proportion to weight and part.
fn taken_by_part<R: Random>(
    random: &mut R,
    part: impl Fn(usize) -> f64,
    draw: impl Fn(&mut R) -> Option<usize>,
) -> Option<usize> {
    let mut drawn = draw(random)?;
    for _ in 0..DRAWS {
        let part = part(drawn);
        if part >= 1.0 || random.unit() < part {
            break;
        }
        drawn = draw(random)?;
    }
    Some(drawn)
}

/// Those that may be picked: all with a weight, or all alike if none has.
fn members<E: Endpoint>(endpoints: &[E]) -> Vec<Member> {
    let none_weighs = endpoints.iter().all(|endpoint| endpoint.weight() == 0);
    let member = |(index, endpoint): (usize, &E)| {
        let weight = if none_weighs { 1 } else { endpoint.weight() };
        Member { index: index as u32, weight, hash: endpoint.hash() }
    };
    endpoints.iter().enumerate().map(member).filter(|member| member.weight > 0).collect()
}
