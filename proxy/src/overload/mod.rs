//! Overload: when the process takes more memory than config allows, it takes nothing more on until it does not.
//!
//! The control thread looks ten times a second; workers read one flag. Apart from the limits of listeners and clusters,
//! which count things: what one of those needs nobody knows beforehand, and this is what is left if they were set too
//! high.

mod limit;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use weir_config::checked::MemoryMark;

use crate::{listener::worker::Command, resident, snapshot::Shared, telemetry::metrics::SHARED};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);
/// How often workers are asked to give back what they can while it lasts, and how often the system's limit is read.
const REMIND: Duration = Duration::from_secs(1);

/// Looks after the memory of the process for as long as it runs.
pub async fn watch(shared: Arc<Shared>, workers: Vec<mpsc::UnboundedSender<Command>>) {
    let mut swapped = shared.swapped.subscribe();
    loop {
        let mark = shared.snapshot().config.memory;
        let Some(mark) = mark else {
            let idle = Guard::default();
            tell(&shared, &idle, 0, 0);
            shared.overload.set_mark(0);
            if swapped.changed().await.is_err() {
                return;
            }
            continue;
        };
        if keep_below(mark, &shared, &workers, &mut swapped).await.is_err() {
            return;
        }
    }
}

/// Until config says otherwise. The error: there will be no other.
async fn keep_below(
    mark: MemoryMark,
    shared: &Shared,
    workers: &[mpsc::UnboundedSender<Command>],
    swapped: &mut watch::Receiver<()>,
) -> Result<(), watch::error::RecvError> {
    let mut guard = Guard { on: shared.overload.is_on() };
    let mut reminded: Option<Instant> = None;
    loop {
        if reminded.is_none_or(|last| last.elapsed() >= REMIND) {
            reminded = Some(Instant::now());
            shared.overload.set_mark(bytes(mark));
            if guard.on {
                shed(workers);
            }
        }
        if let Some((taken, _)) = resident::memory()
            && guard.look(taken, shared.overload.mark())
        {
            tell(shared, &guard, taken, shared.overload.mark());
            if guard.on {
                shed(workers);
            }
        }
        if let Ok(changed) = timeout(LOOK, swapped.changed()).await {
            changed?;
            if shared.snapshot().config.memory != Some(mark) {
                return Ok(());
            }
            // Endpoints that change all the time must not make this look all the time.
            sleep(LOOK).await;
        }
    }
}

fn shed(workers: &[mpsc::UnboundedSender<Command>]) {
    workers.iter().for_each(|worker| drop(worker.send(Command::Shed)));
}

/// Puts in force what the guard says.
fn tell(shared: &Shared, guard: &Guard, resident: u64, mark: u64) {
    if shared.overload.is_on() == guard.on {
        return;
    }
    shared.overload.set(guard.on);
    shared.metrics.process.overloaded.set(SHARED, u64::from(guard.on));
    if guard.on {
        shared.metrics.process.overloads.one(SHARED);
        tracing::warn!(resident, mark, "overload: too much memory is taken; nothing more is taken on");
    } else {
        tracing::info!(resident, mark, "overload is over");
    }
}

fn bytes(mark: MemoryMark) -> u64 {
    match mark {
        MemoryMark::Bytes(bytes) => bytes,
        MemoryMark::Percent(percent) => {
            limit::of_process().map_or(u64::MAX, |limit| limit / 100 * u64::from(percent))
        }
    }
}

/// Begins at the mark and ends a tenth below it: else what one exchange needs would turn it on and off.
#[derive(Debug, Default)]
struct Guard {
    on: bool,
}

impl Guard {
    /// Whether that changed anything.
    fn look(&mut self, resident: u64, mark: u64) -> bool {
        let on = resident >= if self.on { mark - mark / 10 } else { mark };
        std::mem::replace(&mut self.on, on) != on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_the_mark_and_ends_a_tenth_below() {
        let mut guard = Guard::default();
        let looks = [0, 999, 1000, 1001, 999, 900, 899, 950, 1000].map(|resident| {
            guard.look(resident, 1000);
            guard.on
        });
        assert_eq!(looks, [false, false, true, true, true, true, false, false, true]);
    }
}
