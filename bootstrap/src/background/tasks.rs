//! The tasks that are under way.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

/// The tasks; they end when this is dropped.
#[derive(Debug, Default)]
pub struct Tasks {
    started: BTreeSet<&'static str>,
    running: JoinSet<()>,
    decisive: JoinSet<()>,
}

impl Tasks {
    /// Starts one. `name` is under what the report tells of it.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.started.insert(name);
        self.running.spawn(task);
    }

    /// Starts one whose end is the end of all: the boot is to be gone through again.
    pub fn start_decisive(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.started.insert(name);
        self.decisive.spawn(task);
    }

    /// Ends when a decisive one does.
    pub async fn over(&mut self) {
        if self.decisive.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// The names of those that were started.
    pub fn started(&self) -> &BTreeSet<&'static str> {
        &self.started
    }
}
