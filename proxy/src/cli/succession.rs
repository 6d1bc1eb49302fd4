//! The place of a process between the one before it and the one after it.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};

use crate::{
    app::App,
    restart::{Estate, Manager, Predecessor, Stage, State},
};

/// Who was before, and how whoever comes after finds this process.
#[derive(Debug)]
pub(super) struct Succession {
    restart: Option<PathBuf>,
    predecessor: Option<Predecessor>,
    manager: Manager,
    stage: Option<Arc<Stage>>,
}

impl Succession {
    pub(super) fn new(restart: Option<PathBuf>, predecessor: Option<Predecessor>) -> Self {
        Self { restart, predecessor, manager: Manager::of_environment(), stage: None }
    }

    /// This process serves: the one before it may end, and the next one may ask. `admin` is the socket of the admin
    /// API.
    pub(super) async fn begin(&mut self, app: &Arc<App>, admin: Option<OwnedFd>) -> Result<()> {
        let stage = self.restart.as_deref().map(Stage::prepare).transpose();
        let stage = stage.with_context(|| {
            let path = self.restart.as_deref().unwrap_or_else(|| "".as_ref());
            format!("restart.socket: {}", path.display())
        })?;
        if let Some(predecessor) = self.predecessor.take() {
            // From here on it would be worse to give up than to go on beside it.
            match tokio::task::spawn_blocking(move || predecessor.relieve()).await? {
                Ok(()) => tracing::info!("took over; the process before drains"),
                Err(error) => tracing::warn!(%error, "the process before did not say that it drains"),
            }
        }
        if let Some(stage) = stage {
            if let Err(error) = stage.publish() {
                tracing::error!(%error, "restart.socket: the next process will not find this one");
            }
            let stage = Arc::new(stage);
            self.stage = Some(Arc::clone(&stage));
            await_successor(stage, Arc::clone(app), admin)?;
        }
        self.manager.tell(State::Ready);
        Ok(())
    }

    /// This process ends.
    pub(super) fn end(&self) {
        self.manager.tell(State::Stopping);
        self.stage.iter().for_each(|stage| stage.leave());
    }
}

/// On a thread of its own: passing sockets is a conversation of a few messages, once in the life of a process.
fn await_successor(stage: Arc<Stage>, app: Arc<App>, admin: Option<OwnedFd>) -> Result<()> {
    let awaiting = std::thread::Builder::new().name("weir-restart".to_owned());
    awaiting.spawn(move || {
        let estate = || {
            let admin = admin.as_ref().map(OwnedFd::try_clone).transpose()?;
            Ok(app.offer()?.map(|offers| Estate { offers, admin }))
        };
        if let Err(error) = stage.wait(estate, || app.hand_over()) {
            tracing::error!(%error, "no successor will be heard");
        }
    })?;
    Ok(())
}
