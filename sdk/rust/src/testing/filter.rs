//! A filter under test: its instance, and the world it shares with other instances.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::backend::{Scope, enter};
use super::connection::ConnectionBuilder;
use super::head::Head;
use super::jwk::Key;
use super::request::RequestBuilder;
use super::world::World;
use crate::host::Level;
use crate::policy::{Config, Hooks, Policy};
use crate::setup::{Cluster, Condition, Setup};

/// An instance of a filter in a test. Clones are the same instance; [`Filter::another`] is a second
/// one, as another worker would have, in the same world.
pub struct Filter<P: Policy> {
    world: Rc<World>,
    instance: Rc<Instance<P>>,
}

struct Instance<P> {
    policy: RefCell<P>,
    setup: Setup,
    keys: Rc<RefCell<Vec<Key>>>,
    made_with: Made,
    next_id: std::cell::Cell<u64>,
}

#[derive(Clone)]
struct Made {
    name: String,
    json: String,
    clusters: Option<Vec<String>>,
    data: Vec<(String, Vec<u8>)>,
}

impl<P: Policy> Clone for Filter<P> {
    fn clone(&self) -> Self {
        Filter { world: Rc::clone(&self.world), instance: Rc::clone(&self.instance) }
    }
}

impl<P: Policy> Filter<P> {
    /// A filter with this config. The error is the one `configure` gave.
    pub fn new(config: Value) -> Result<Self, String> {
        Self::builder().build(config)
    }

    /// A filter whose surroundings matter: its name, the clusters config knows, data, limits, seed.
    pub fn builder() -> Builder<P> {
        Builder {
            world: World::new(),
            made: Made { name: "filter".to_owned(), json: String::new(), clusters: None, data: Vec::new() },
            filter: std::marker::PhantomData,
        }
    }

    /// A second instance with the same config, sharing state, clock and metrics: another worker's.
    pub fn another(&self) -> Result<Self, String> {
        instantiate(Rc::clone(&self.world), self.instance.made_with.clone())
    }

    /// The same world with another config, as after a swap.
    pub fn swapped(&self, config: Value) -> Result<Self, String> {
        let made = Made { json: config.to_string(), ..self.instance.made_with.clone() };
        instantiate(Rc::clone(&self.world), made)
    }

    /// Begins a request.
    pub fn request(&self) -> RequestBuilder<P> {
        RequestBuilder::new(self.clone())
    }

    /// Begins a connection.
    pub fn connection(&self) -> ConnectionBuilder<P> {
        ConnectionBuilder::new(self.clone())
    }

    /// Brings new data, as when a file of the filter's `data` changes.
    pub fn update(&self, name: &str, content: impl AsRef<[u8]>) -> Result<(), String> {
        self.enter(None, |policy| policy.update(name, content.as_ref()))
    }

    /// The clock, Unix time in ms.
    pub fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    /// Sets the clock.
    pub fn set_now_ms(&self, now_ms: u64) {
        self.world.set_now_ms(now_ms);
    }

    /// Moves the clock on.
    pub fn advance(&self, time: Duration) {
        self.world.set_now_ms(self.now_ms() + u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// The value of a cell; 0 if no instance asked for it.
    pub fn cell(&self, name: &str) -> i64 {
        self.world.cell_named(name).unwrap_or_default()
    }

    /// The value of a counter; panics if no instance asked for it.
    pub fn metric(&self, name: &str) -> u64 {
        self.world.metric_named(name).unwrap_or_else(|| panic!("the filter has no metric \"{name}\""))
    }

    /// Every line logged so far.
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        self.world.lines()
    }

    /// The handle of a cluster; panics if `configure` did not name it.
    pub fn cluster(&self, name: &str) -> Cluster {
        let at = self.setup().clusters.iter().position(|known| *known == *name);
        Cluster::at(at.unwrap_or_else(|| panic!("the filter did not name cluster \"{name}\"")) as u32)
    }

    /// The name of a cluster.
    pub fn cluster_name(&self, cluster: Cluster) -> &str {
        &self.setup().clusters[cluster.position() as usize]
    }

    /// The values of the request it asked for, in order.
    pub fn shown(&self) -> Vec<&str> {
        self.setup().request.iter().map(|name| &**name).collect()
    }

    /// The fields of the response it asked for, in order.
    pub fn shown_of_response(&self) -> Vec<&str> {
        self.setup().response.iter().map(|name| &**name).collect()
    }

    /// The hooks it wants to be called for.
    pub fn hooks(&self) -> Hooks {
        self.setup().hooks
    }

    /// The conditions under which it is shown an exchange.
    pub fn conditions(&self) -> &[Condition] {
        &self.setup().when
    }

    /// Looks into the filter itself, as a hook without an exchange could.
    pub fn with<T>(&self, look: impl FnOnce(&mut P) -> T) -> T {
        self.enter(None, look)
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.instance.setup
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn next_id(&self) -> u64 {
        let id = self.instance.next_id.get();
        self.instance.next_id.set(id + 1);
        id
    }

    /// Runs a hook of this instance.
    pub(super) fn enter<T>(
        &self,
        exchange: Option<(u64, Rc<RefCell<Head>>)>,
        hook: impl FnOnce(&mut P) -> T,
    ) -> T {
        let scope = Scope {
            world: Rc::clone(&self.world),
            keys: Rc::clone(&self.instance.keys),
            exchange,
            configuring: false,
        };
        enter(scope, || hook(&mut self.instance.policy.borrow_mut()))
    }
}

/// The surroundings of a filter under test.
pub struct Builder<P: Policy> {
    world: World,
    made: Made,
    filter: std::marker::PhantomData<fn() -> P>,
}

impl<P: Policy> Builder<P> {
    /// The filter's name in config; "filter" unless said.
    pub fn name(mut self, name: &str) -> Self {
        self.made.name = name.to_owned();
        self
    }

    /// The clusters that config knows and grants; any, unless said.
    pub fn clusters<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.made.clusters = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// A rate limit that config names.
    pub fn limit(self, name: &str, per_second: f64, burst: u32) -> Self {
        self.world.add_limit(name.to_owned(), per_second, burst);
        self
    }

    /// An entry of the filter's `data`, brought by `update` before the first hook.
    pub fn data(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.made.data.push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// The time it begins, Unix time in ms.
    pub fn now_ms(self, now_ms: u64) -> Self {
        self.world.set_now_ms(now_ms);
        self
    }

    /// The seed of its random numbers; 1 unless said.
    pub fn seed(self, seed: u64) -> Self {
        self.world.set_seed(seed);
        self
    }

    /// The filter, configured and with its data. The error is the filter's own, or says which cluster
    /// it may not name.
    pub fn build(self, config: Value) -> Result<Filter<P>, String> {
        instantiate(Rc::new(self.world), Made { json: config.to_string(), ..self.made })
    }
}

fn instantiate<P: Policy>(world: Rc<World>, made: Made) -> Result<Filter<P>, String> {
    let keys = Rc::new(RefCell::new(Vec::new()));
    let scope = Scope { world: Rc::clone(&world), keys: Rc::clone(&keys), exchange: None, configuring: true };
    let mut setup = Setup::new(made.name.clone(), P::HOOKS);
    let config = P::Config::from_json(&made.json)?;
    let policy = enter(scope, || P::configure(config, &mut setup))?;
    require_known(&setup, &made)?;
    let data = made.data.clone();
    let instance = Instance {
        policy: RefCell::new(policy),
        setup,
        keys,
        made_with: made,
        next_id: std::cell::Cell::new(1),
    };
    let filter = Filter { world, instance: Rc::new(instance) };
    for (name, content) in data {
        filter.update(&name, content)?;
    }
    Ok(filter)
}

fn require_known(setup: &Setup, made: &Made) -> Result<(), String> {
    let Some(known) = &made.clusters else { return Ok(()) };
    match setup.clusters.iter().find(|name| !known.iter().any(|known| known == &***name)) {
        Some(name) => Err(format!("cluster \"{}\" is unknown or not granted", &**name)),
        None => Ok(()),
    }
}
