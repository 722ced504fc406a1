//! An emulated region of a test's own, which ends with the test, for tests that don't await its control API.

use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, mpsc};

use localcloud::process::Owned;
use localcloud::region::{Error, Region as Control};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use windlass::aws::Clients;

use super::operator;

/// What the region is told of a machine image of windlass's, as its image build tags it.
pub(crate) fn machine_image(kubernetes: &str) -> Value {
    machine_image_of(kubernetes, "amd64")
}

/// That of an architecture.
fn machine_image_of(kubernetes: &str, architecture: &str) -> Value {
    json!({
        "name": format!("windlass-{kubernetes}-debian-13-{architecture}-1"),
        "architecture": if architecture == "amd64" { "x86_64" } else { architecture },
        "tags": {
            "windlass.dev/kubernetes-version": kubernetes,
            "windlass.dev/etcd-version": windlass::spec::versions::default_etcd(),
            "windlass.dev/node-config": "windlass/v6",
            "windlass.dev/architecture": architecture,
        },
    })
}

/// Where requests to control APIs are made: tests that have a runtime can't block it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Does something that must succeed, and blocks until it is done.
fn wait<T: Send + 'static>(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    RUNTIME.spawn(async move { drop(sender.send(work.await)) });
    receiver.recv().unwrap().unwrap()
}

/// The length of the longest chain of calls of a journal of which each began when the one before had ended.
pub(crate) fn rounds(journal: &[Value]) -> usize {
    let of = |call: &Value| {
        let began = call["began"].as_f64().unwrap();
        (began + call["seconds"].as_f64().unwrap(), began)
    };
    let mut calls: Vec<(f64, f64)> = journal.iter().map(of).collect();
    calls.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut rounds, mut ended) = (0, 0.0);
    for (end, began) in calls {
        if began >= ended {
            (rounds, ended) = (rounds + 1, end);
        }
    }
    rounds
}

/// An emulated region.
pub(crate) struct Region {
    control: Control,
    _process: Owned,
    name: &'static str,
    /// `http://127.0.0.1:<port>`.
    pub(crate) url: String,
}

impl Region {
    /// Starts one, `us-east-1`, and waits until it listens.
    pub(crate) fn start() -> Self {
        Self::start_as("us-east-1")
    }

    /// Starts one of another name.
    pub(crate) fn start_as(name: &'static str) -> Self {
        let (control, process) = wait(Control::fork(name));
        let url = format!("http://{}", control.address());
        Self { control, _process: process, name, url }
    }

    /// What a process needs in its environment to use this region instead of AWS.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 5] {
        operator::environment(self.name, &self.url)
    }

    /// windlass, without arguments, for the administrator of this region, with a home folder and a state store.
    pub(crate) fn operator(&self, home: &Path, store: &str) -> Command {
        operator::command_in(self.name, &self.url, home, store)
    }

    /// Clients of this region.
    pub(crate) async fn clients(&self) -> Clients {
        Clients::for_endpoint(self.name, &self.url).await
    }

    /// Registers a machine image of windlass's, for a version of Kubernetes.
    pub(crate) fn register_image(&self, kubernetes: &str) {
        self.ask("POST", "images", &machine_image(kubernetes));
    }

    /// Registers one for machines of an architecture, `amd64` or `arm64`.
    pub(crate) fn register_image_of(&self, kubernetes: &str, architecture: &str) {
        self.ask("POST", "images", &machine_image_of(kubernetes, architecture));
    }

    /// Makes every answer of a service late.
    pub(crate) fn delay(&self, service: &str, milliseconds: u32) {
        self.inject(&json!([{"service": service, "latencyMs": milliseconds, "times": null}]));
    }

    /// Every AWS request since the journal was last forgotten.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let control = self.control.clone();
        wait(async move { control.journal().await })
    }

    /// Forgets the requests so far.
    pub(crate) fn forget_journal(&self) {
        let control = self.control.clone();
        wait(async move { control.forget_journal().await });
    }

    /// Adds faults.
    pub(crate) fn inject(&self, faults: &Value) {
        let (control, faults) = (self.control.clone(), faults.clone());
        wait(async move { control.inject(&faults).await });
    }

    /// Ends all faults, and lets go of what they hold.
    pub(crate) fn clear_faults(&self) {
        let control = self.control.clone();
        wait(async move { control.clear_faults().await });
    }

    /// The requests that faults hold now.
    pub(crate) fn held(&self) -> Vec<Value> {
        let control = self.control.clone();
        wait(async move { control.held().await })
    }

    /// The ids or names of all that there is, by kind.
    pub(crate) fn inventory(&self) -> Value {
        let control = self.control.clone();
        wait(async move { control.inventory().await })
    }

    /// Asks the control API for anything else, such as `POST images`; returns the answer.
    pub(crate) fn ask(&self, method: &'static str, path: &str, body: &Value) -> Value {
        let (control, path, body) = (self.control.clone(), path.to_owned(), body.clone());
        wait(async move {
            match method {
                "GET" => control.get(&path).await,
                "DELETE" => control.delete(&path).await,
                _ => control.post(&path, &body).await,
            }
        })
    }

    /// Calls a service of AWS's that takes forms; returns the answer.
    pub(crate) fn call(&self, service: &str, form: &str) -> String {
        let (control, service, form) = (self.control.clone(), service.to_owned(), form.to_owned());
        wait(async move { control.call(&service, form).await })
    }
}
