//! The tasks that are under way.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

/// The tasks; they end when this is dropped.
#[derive(Debug, Default)]
pub struct Tasks {
    started: BTreeSet<&'static str>,
    running: JoinSet<()>,
}

impl Tasks {
    /// Starts one. `name` is under what the report tells of it.
    pub fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.started.insert(name);
        self.running.spawn(task);
    }

    /// The names of those that were started.
    pub fn started(&self) -> &BTreeSet<&'static str> {
        &self.started
    }
}
