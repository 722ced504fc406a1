//! What every command is given: the global flags, and the doors to the state and to AWS.

use std::env;

use super::Global;
use super::diagnostic::Refusal;
use super::interrupt::Interrupt;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    /// Whether the user has asked to stop.
    pub(crate) interrupt: Interrupt,
}

impl Context {
    /// A context for one run.
    pub(super) fn new(global: Global, interrupt: Interrupt) -> Self {
        Self { global, interrupt }
    }

    /// The cluster a command is about: its argument, or `--name`, or `WINDLASS_CLUSTER_NAME`.
    pub(crate) fn cluster_name(&self, argument: Option<&str>) -> Result<String, Refusal> {
        match (argument, self.global.name.as_deref()) {
            (Some(argument), Some(flag)) if argument != flag => Err(Refusal::new(format!(
                "the cluster is named twice: `{argument}` as the argument and `{flag}` with --name"
            ))),
            (Some(name), _) | (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => setting("WINDLASS_CLUSTER_NAME").ok_or_else(|| {
                Refusal::new("which cluster?").hint("name it with --name, or set WINDLASS_CLUSTER_NAME")
            }),
        }
    }

    /// The state store's address: `--state`, or `WINDLASS_STATE_STORE`.
    pub(crate) fn state_url(&self) -> Result<String, Refusal> {
        self.global.state.clone().or_else(|| setting("WINDLASS_STATE_STORE")).ok_or_else(|| {
            Refusal::new("where is the state?")
                .hint("say it with --state s3://BUCKET, or set WINDLASS_STATE_STORE")
        })
    }
}

/// A variable of the environment; an empty one counts as not set.
fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
