//! What every command is given: the global flags, and the doors to the state and to AWS.

use std::env;

use anyhow::Context as _;

use super::Global;
use super::diagnostic::Refusal;
use super::interrupt::Interrupt;
use super::output;
use crate::aws::{Clients, EndpointError};
use crate::ops::lease_guard::Listen;
use crate::ops::{LeaseGuard, RunningCluster, Stop};
use crate::pki::kubeconfig;
use crate::state::address::Address;
use crate::state::{ClusterState, Journal, LeaseError, Specification, Store};

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    /// Hears of Ctrl-C.
    pub(crate) interrupt: Interrupt,
}

impl Context {
    /// A context for one run.
    pub(super) fn new(global: Global, interrupt: Interrupt) -> Self {
        Self { global, interrupt }
    }

    /// Whether the user has asked to stop.
    pub(crate) fn stop(&self) -> &Stop {
        &self.interrupt.stop
    }

    /// The guard under which a command changes a cluster. `command` is what others are told that is being done.
    pub(crate) fn lease_guard<'a>(&'a self, state: &'a ClusterState, command: &'a str) -> LeaseGuard<'a> {
        LeaseGuard {
            state,
            command,
            allow_downgrade: self.global.allow_windlass_downgrade,
            stop: self.stop(),
            listen: &Said,
        }
    }

    /// The cluster that the user names: the argument, or `--name`, or `WINDLASS_CLUSTER_NAME`.
    pub(crate) fn named_cluster(&self, argument: Option<&str>) -> Result<Option<String>, Refusal> {
        match (argument, self.global.name.as_deref()) {
            (Some(argument), Some(flag)) if argument != flag => Err(Refusal::new(format!(
                "the cluster is named twice: `{argument}` as the argument and `{flag}` with --name"
            ))),
            (Some(name), _) | (None, Some(name)) => Ok(Some(name.to_owned())),
            (None, None) => Ok(setting("WINDLASS_CLUSTER_NAME")),
        }
    }

    /// What `--name` says. A list of clusters is narrowed down by what is typed only, and not by the environment.
    pub(crate) fn name_flag(&self) -> Option<String> {
        self.global.name.clone()
    }

    /// The cluster a command is about, which must be named: for commands that can't be undone.
    pub(crate) fn explicit_cluster_name(&self, argument: Option<&str>) -> Result<String, Refusal> {
        self.named_cluster(argument)?.ok_or_else(|| {
            Refusal::new("which cluster?").hint("name it with --name, or set WINDLASS_CLUSTER_NAME")
        })
    }

    /// The cluster a command is about; where none is named, that of kubectl's current context, which is then said.
    pub(crate) fn cluster_name(&self, argument: Option<&str>) -> Result<String, Refusal> {
        if let Some(name) = self.named_cluster(argument)? {
            return Ok(name);
        }
        let current = kubeconfig::default_path().ok().and_then(|path| kubeconfig::current_context(&path));
        let Some(name) = current else { return self.explicit_cluster_name(argument) };
        output::say(&format!("Using cluster from kubectl context: {name}\n"));
        Ok(name)
    }

    /// The state store's address: `--state`, or `WINDLASS_STATE_STORE`.
    pub(crate) fn state_url(&self) -> Result<String, Refusal> {
        self.global.state.clone().or_else(|| setting("WINDLASS_STATE_STORE")).ok_or_else(|| {
            Refusal::new("where is the state?")
                .hint("say it with --state s3://BUCKET, or set WINDLASS_STATE_STORE")
        })
    }

    /// The flags that a suggested command needs besides its own: `--state`, where only the command line says it.
    pub(crate) fn flags_to_repeat(&self) -> String {
        match (&self.global.state, setting("WINDLASS_STATE_STORE")) {
            (Some(given), set) if set.as_ref() != Some(given) => format!(" --state {given}"),
            _ => String::new(),
        }
    }

    /// Clients for a region; for the one of the environment when none is given.
    ///
    /// # Errors
    ///
    /// Fails where the environment names an endpoint that is no URL.
    pub(crate) async fn clients(&self, region: Option<&str>) -> Result<Clients, EndpointError> {
        Clients::load(region).await
    }

    /// The state store.
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        let url = self.state_url()?;
        match Address::parse(&url)? {
            Address::File(folder) => Ok(Store::file(folder)),
            Address::S3 { .. } => {
                let opened = Store::open(&url, &self.clients(None).await?).await;
                opened.with_context(|| format!("could not open the state store {url}"))
            }
        }
    }

    /// Reads the specification of a cluster. What somebody began to write of it and didn't end is shown as it will be, and
    /// said.
    pub(crate) async fn read(&self, state: &ClusterState) -> anyhow::Result<Specification> {
        state.look_once().await?;
        let read = Box::pin(state.read()).await?;
        if let Some(journal) = &read.unfinished {
            output::say(&unfinished(state, journal, &self.flags_to_repeat()));
        }
        Ok(read)
    }

    /// The running cluster that a command is about.
    pub(crate) async fn running_cluster(&self, argument: Option<&str>) -> anyhow::Result<RunningCluster> {
        let state = self.cluster_state(argument).await?;
        let read = self.read(&state).await?;
        Ok(RunningCluster::open(state, &read).await?)
    }

    /// The state of the cluster that a command plans for: as [`Self::cluster_state`], with all that a plan is made from
    /// read in as few rounds of calls as it takes.
    pub(crate) async fn cluster_state_to_plan(&self, argument: Option<&str>) -> anyhow::Result<ClusterState> {
        let (name, url) = (self.cluster_name(argument)?, self.state_url()?);
        let state = match Address::parse(&url)? {
            Address::File(folder) => ClusterState::new(Store::file(folder), name),
            Address::S3 { .. } => {
                let opened = ClusterState::open(&url, &self.clients(None).await?, name).await;
                opened.with_context(|| format!("could not open the state store {url}"))?
            }
        };
        state.read_ahead().await?;
        Ok(state)
    }

    /// The state of the cluster that a command is about.
    pub(crate) async fn cluster_state(&self, argument: Option<&str>) -> anyhow::Result<ClusterState> {
        let name = self.cluster_name(argument)?;
        Ok(ClusterState::new(self.store().await?, name))
    }
}

/// Says on stderr what a lease guard does.
#[derive(Debug)]
struct Said;

impl Listen for Said {
    fn finished_change(&self, journal: &Journal) {
        output::say(&format!("Finished a change of the specification: {}.", journal.describe()));
    }

    fn not_released(&self, error: &LeaseError) {
        output::say(&format!("warning: could not release the lock: {error}"));
    }
}

/// The warning of a change or a deletion that was begun and not ended.
fn unfinished(state: &ClusterState, journal: &Journal, flags: &str) -> String {
    let (name, began) = (state.name(), journal.describe());
    if journal.is_deletion() {
        format!(
            "warning: `{name}` is being deleted: {began}. To finish it: windlass delete cluster {name}{flags} --yes; to \
             keep what is left: windlass unlock {name}{flags} --undelete"
        )
    } else {
        format!(
            "warning: the specification of `{name}` is only partly written: {began}. What follows is how it will be: the \
             same command finishes it, and so does the next that changes the cluster"
        )
    }
}

/// A variable of the environment; an empty one counts as not set.
fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
