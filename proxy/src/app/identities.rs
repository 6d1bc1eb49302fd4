//! Which agents are listened to: one call for each identity of the configuration in force that names one.

use std::{collections::HashMap, sync::Arc};

use tokio::task::JoinHandle;
use weir_config::checked::{self, IdentitySource};

use crate::{
    identity::{Identity, workload_api},
    snapshot::{Shared, Snapshot},
};

/// Listens to the agents that config names, for as long as the process runs.
pub(super) async fn keep_fresh(shared: Arc<Shared>) {
    let mut following: HashMap<Arc<str>, Following> = HashMap::new();
    let mut swapped = shared.swapped.subscribe();
    loop {
        let snapshot = shared.snapshot();
        following.retain(|_, one| agents(&snapshot).any(|(spec, identity)| one.is(spec, identity)));
        for (spec, identity) in agents(&snapshot) {
            following
                .entry(Arc::clone(&spec.name))
                .or_insert_with(|| Following::new(spec.clone(), Arc::clone(identity)));
        }
        if swapped.changed().await.is_err() {
            return;
        }
    }
}

fn agents(snapshot: &Snapshot) -> impl Iterator<Item = (&checked::Identity, &Arc<Identity>)> {
    let all = snapshot.config.identities.iter().zip(&snapshot.identities);
    all.filter(|(spec, _)| matches!(spec.source, IdentitySource::WorkloadApi(_)))
}

/// A call that ends when this is dropped.
struct Following {
    spec: checked::Identity,
    identity: Arc<Identity>,
    task: JoinHandle<()>,
}

impl Following {
    fn new(spec: checked::Identity, identity: Arc<Identity>) -> Self {
        let (called, of) = (spec.clone(), Arc::clone(&identity));
        let task = tokio::spawn(async move {
            if let IdentitySource::WorkloadApi(socket) = &called.source {
                workload_api::follow(of, socket, called.id.as_ref()).await;
            }
        });
        Self { spec, identity, task }
    }

    fn is(&self, spec: &checked::Identity, identity: &Arc<Identity>) -> bool {
        self.spec == *spec && Arc::ptr_eq(&self.identity, identity)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}
