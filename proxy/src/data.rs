//! Data of filters while they run: files that changed, addresses whose time has come.
//!
//! It stands apart from reloading because nothing is built: new content goes to the filters that run, through
//! their own `update`, and no generation changes. Before any worker shows it to its instance, an instance of its
//! own is asked, so that content which a filter refuses, or breaks on, reaches none that works.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use weir_balance::{Backoff, Random, Wyrand};
use weir_config::checked::{ClusterId, DataSource};
use weir_runtime::{Answer, AnswerFailure};

use crate::{
    chain::{DATA_LARGEST, FilterPlan, read_data},
    http::ask::Question,
    listener::worker::{Command, Errand},
    snapshot::{Shared, Snapshot},
    telemetry::metrics::{DataRead, SHARED},
};

/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ways to all workers.
pub type Workers = [mpsc::UnboundedSender<Command>];

/// New content that its filter takes, not yet in force.
pub struct Accepted {
    plan: Arc<FilterPlan>,
    name: Arc<str>,
    content: Arc<[u8]>,
}

/// The place in config.
impl std::fmt::Display for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "filters.{}.data.{}", self.plan.name(), self.name)
    }
}

impl Accepted {
    /// Puts the content in force: every instance is shown it before its next hook.
    pub fn apply(self) {
        if self.plan.data.put(&self.name, self.content) {
            self.plan.metrics.data.one(SHARED, DataRead::Applied);
            tracing::info!(filter = &**self.plan.name(), data = &*self.name, "new data");
        }
    }
}

/// Reads the data files of a snapshot's filters, and has changed ones judged. Answers all that is wrong;
/// then nothing has changed.
pub fn changed_files(snapshot: &Snapshot) -> Result<Vec<Accepted>, Vec<String>> {
    let (mut accepted, mut wrong) = (Vec::new(), Vec::new());
    for plan in &snapshot.filters {
        for (name, source) in &plan.config.data {
            let DataSource::File(path) = source else { continue };
            let judged = match read_data(path) {
                Ok(content) => judge(plan, name, content),
                Err(reason) => {
                    plan.metrics.data.one(SHARED, DataRead::Failed);
                    Err(reason)
                }
            };
            match judged {
                Ok(news) => accepted.extend(news),
                Err(reason) => wrong.push(format!("filters.{}.data.{name}: {reason}", plan.name())),
            }
        }
    }
    if wrong.is_empty() { Ok(accepted) } else { Err(wrong) }
}

/// Fetches what the filters of a snapshot that is not yet in force cannot begin without: data from addresses
/// that `before` did not have. Called by a thread that may wait. Answers what could not be had.
pub fn first_fetch(
    snapshot: &Arc<Snapshot>,
    before: Option<&Snapshot>,
    workers: &Workers,
) -> Result<(), Vec<String>> {
    let known: Vec<Place> = before.map(places).unwrap_or_default();
    let fetches: Vec<_> = places(snapshot)
        .into_iter()
        .filter(|place| !known.contains(place))
        .filter_map(|place| {
            let plan = plan_of(snapshot, &place)?;
            plan.data.content(&place.name).is_none().then(|| {
                let answer = send(&place, Some(Arc::clone(snapshot)), workers);
                (plan, place, answer)
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for (plan, place, answer) in fetches {
        let fetched = answer.and_then(|answer| understand(answer.blocking_recv()));
        match fetched.and_then(|content| judge(&plan, &place.name, content)) {
            Ok(news) => news.into_iter().for_each(Accepted::apply),
            Err(reason) => wrong.push(format!("filters.{}.data.{}: {reason}", place.filter, place.name)),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// What was fetched for the generation before while the next one was prepared.
pub fn carry_over(before: &Snapshot, snapshot: &Snapshot) {
    let known = places(before);
    for place in places(snapshot).iter().filter(|place| known.contains(place)) {
        let (Some(old), Some(new)) = (plan_of(before, place), plan_of(snapshot, place)) else { continue };
        if !Arc::ptr_eq(&old, &new)
            && let Some(content) = old.data.content(&place.name)
            && let Ok(Some(news)) = judge(&new, &place.name, content)
        {
            news.apply();
        }
    }
}

/// Fetches the data of all filters again and again, each at its own pace, for as long as the process runs.
pub async fn keep_fresh(shared: Arc<Shared>, workers: Vec<mpsc::UnboundedSender<Command>>) {
    let workers: Arc<Workers> = workers.into();
    let mut swapped = shared.swapped.subscribe();
    let mut kept: HashMap<Place, JoinHandle<()>> = HashMap::new();
    loop {
        let wanted = places(&shared.snapshot());
        kept.retain(|place, task| {
            let stays = wanted.contains(place);
            if !stays {
                task.abort();
            }
            stays
        });
        for place in wanted {
            kept.entry(place).or_insert_with_key(|place| {
                tokio::spawn(keep_one(Arc::clone(&shared), Arc::clone(&workers), place.clone()))
            });
        }
        if swapped.changed().await.is_err() {
            return;
        }
    }
}

async fn keep_one(shared: Arc<Shared>, workers: Arc<Workers>, place: Place) {
    let mut random = Wyrand::new(RandomState::new().hash_one(&place.name));
    let absent = plan_of(&shared.snapshot(), &place).is_some_and(|p| p.data.content(&place.name).is_none());
    let mut failures = u32::from(absent);
    loop {
        let wait = match failures {
            // Spread a little, so that many proxies do not come at once.
            0 => place.refresh.mul_f64(0.9 + 0.1 * random.unit()),
            _ => Backoff::RECREATE.wait(failures, &mut random).min(place.refresh),
        };
        tokio::time::sleep(wait).await;
        match refresh(&shared, &workers, &place).await {
            Ok(()) => failures = 0,
            Err(reason) => {
                failures = failures.saturating_add(1);
                let (filter, data) = (&*place.filter, &*place.name);
                tracing::warn!(
                    filter,
                    data,
                    failures,
                    reason,
                    "data could not be refreshed; the old stay in force"
                );
            }
        }
    }
}

/// One fetch, for whichever generation is in force when its answer is there.
async fn refresh(shared: &Arc<Shared>, workers: &Workers, place: &Place) -> Result<(), String> {
    let fetched = match send(place, None, workers) {
        Ok(answer) => understand(answer.await),
        Err(reason) => Err(reason),
    };
    loop {
        let Some(plan) = plan_of(&shared.snapshot(), place) else { return Ok(()) };
        let content = fetched.clone().inspect_err(|_| plan.metrics.data.one(SHARED, DataRead::Failed))?;
        let (judging, name) = (Arc::clone(&plan), Arc::clone(&place.name));
        let judged = tokio::task::spawn_blocking(move || judge(&judging, &name, content)).await;
        match judged.map_err(|error| error.to_string())?? {
            None => plan.metrics.data.one(SHARED, DataRead::Unchanged),
            Some(news) => {
                news.apply();
                workers.iter().for_each(|worker| drop(worker.send(Command::Refresh)));
            }
        }
        // A swap meanwhile: its generation began with what was known before.
        if plan_of(&shared.snapshot(), place).is_none_or(|now| Arc::ptr_eq(&now, &plan)) {
            return Ok(());
        }
    }
}

/// Has the filter judge content, if it is new.
fn judge(plan: &Arc<FilterPlan>, name: &Arc<str>, content: Arc<[u8]>) -> Result<Option<Accepted>, String> {
    if plan.data.content(name).is_some_and(|known| known == content) {
        return Ok(None);
    }
    if let Err(reason) = plan.takes_data(name, &content) {
        plan.metrics.data.one(SHARED, DataRead::Refused);
        return Err(format!("refused by the filter: {reason}"));
    }
    Ok(Some(Accepted { plan: Arc::clone(plan), name: Arc::clone(name), content }))
}

/// One address that a filter's data come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    filter: Arc<str>,
    name: Arc<str>,
    cluster: ClusterId,
    authority: Arc<str>,
    path: Arc<str>,
    refresh: Duration,
}

fn places(snapshot: &Snapshot) -> Vec<Place> {
    let mut places = Vec::new();
    for plan in &snapshot.filters {
        for (name, source) in &plan.config.data {
            let DataSource::Url { cluster, authority, path, refresh } = source else { continue };
            places.push(Place {
                filter: Arc::clone(plan.name()),
                name: Arc::clone(name),
                cluster: *cluster,
                authority: Arc::clone(authority),
                path: Arc::clone(path),
                refresh: *refresh,
            });
        }
    }
    places
}

fn plan_of(snapshot: &Snapshot, place: &Place) -> Option<Arc<FilterPlan>> {
    snapshot.filters.iter().find(|plan| *plan.name() == place.filter).map(Arc::clone)
}

type Fetched = Result<Answer, AnswerFailure>;

/// Has some worker fetch.
fn send(
    place: &Place,
    ahead: Option<Arc<Snapshot>>,
    workers: &Workers,
) -> Result<oneshot::Receiver<Fetched>, String> {
    let question = Question::get(place.cluster, &place.authority, &place.path, PATIENCE)
        .ok_or("the address is not legal in a request")?;
    let (reply, answer) = oneshot::channel();
    let any = RandomState::new().hash_one(place) as usize % workers.len().max(1);
    let worker = workers.get(any).ok_or("there are no workers")?;
    let errand = Errand { question, most: DATA_LARGEST, ahead, reply };
    worker.send(Command::Ask(errand)).map_err(|_| "the proxy goes down".to_owned())?;
    Ok(answer)
}

fn understand(answer: Result<Fetched, oneshot::error::RecvError>) -> Result<Arc<[u8]>, String> {
    let answer = answer.map_err(|_| "the proxy goes down".to_owned())?;
    let answer = answer.map_err(|failure| match failure {
        AnswerFailure::Timeout => format!("no answer within {PATIENCE:?}"),
        AnswerFailure::Unreachable => "no endpoint of its cluster could be reached".to_owned(),
        AnswerFailure::Refused => "a limit of its cluster is reached".to_owned(),
        AnswerFailure::TooLarge => format!("the answer is longer than {DATA_LARGEST} bytes"),
    })?;
    match answer.status {
        200 => Ok(answer.body.into()),
        other => Err(format!("answered with status {other}")),
    }
}
