//! The candidate's share by a schedule: which stage it is, and when the next one comes.

use weir_sdk::state::Cell;

use crate::config::Config;

pub(crate) struct Rollout {
    /// When each stage begins (Unix time in ms) and the candidate's share in it.
    stages: Vec<(u64, f64)>,
    /// The last stage that was told in the log, counted from 1.
    told: Cell,
    /// The stage this worker saw last.
    seen: usize,
}

impl Rollout {
    /// Without `start` it begins when the first worker loads it: the time is kept in shared state.
    pub(crate) fn new(config: &Config, name: &str) -> Self {
        let start_ms = match config.start {
            Some(start) => start.unix_ms,
            None => first_load_ms(name),
        };
        let stages = config
            .stages
            .iter()
            .map(|stage| (start_ms.saturating_add(stage.after.as_millis()), stage.weight / 100.0));
        Rollout { stages: stages.collect(), told: Cell::named(&format!("{name}/stage")), seen: 0 }
    }

    /// The candidate's share now, and until when. Before the first stage it has none.
    pub(crate) fn follow(&mut self, now_ms: u64) -> (f64, u64) {
        let begun = self.stages.iter().take_while(|(begin, _)| *begin <= now_ms).count();
        let share = begun.checked_sub(1).map_or(0.0, |stage| self.stages[stage].1);
        if std::mem::replace(&mut self.seen, begun) != begun {
            self.tell(begun, share);
        }
        let next_ms = self.stages.get(begun).map_or(u64::MAX, |(begin, _)| *begin);
        (share, next_ms)
    }

    /// Says in the log that a stage has begun: one worker does, once.
    fn tell(&self, begun: usize, share: f64) {
        let (told, now) = (self.told.load(), begun as i64);
        if told < now && self.told.compare_exchange(told, now).is_ok() {
            let (of, percent) = (self.stages.len(), share * 100.0);
            weir_sdk::info!("stage {begun} of {of}: the candidate gets {percent} %");
        }
    }
}

fn first_load_ms(name: &str) -> u64 {
    let cell = Cell::named(&format!("{name}/start"));
    let now_ms = i64::try_from(weir_sdk::now_ms()).unwrap_or(i64::MAX);
    let start_ms = match cell.compare_exchange(0, now_ms) {
        Ok(()) => now_ms,
        Err(before) => before,
    };
    u64::try_from(start_ms).unwrap_or_default()
}
