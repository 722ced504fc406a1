//! Every rule that a specification must hold, all problems at once, each with its field.
//!
//! The checks read the filled-in specification, so that a rule holds for defaults, too. What AWS alone knows (whether
//! a zone, an image or a key pair exists) is not checked here.

mod access;
mod change;
mod cluster;
mod dns;
mod etcd;
mod instance_group;
mod network;
mod policies;
mod text;

pub(super) use access::{access, public_key};
pub(super) use instance_group::{GROUP_LABEL, MOST_INSTANCES};
pub(super) use policies::statements;
pub(super) use text::{dns_label, dns_name, net, seconds};

pub use change::check_change;

use super::problem::{ObjectId, Problem, Problems};
use super::v1alpha2::{Cluster, InstanceGroup, Object, SshCredential};

/// Checks a filled-in specification.
pub(super) fn check(cluster: &Cluster, groups: &[InstanceGroup], credentials: &[SshCredential]) -> Problems {
    let mut problems = Problems::new();
    let mut report = Report::of(cluster, &mut problems);
    cluster::check(cluster, groups, &mut report);
    network::check(&cluster.spec, &mut report);
    access::check(&cluster.spec, groups, &mut report);
    dns::check(cluster, &mut report);
    etcd::check(&cluster.spec, groups, &mut report);
    policies::check(&cluster.spec, &mut report);
    instance_group::check_all(cluster, groups, &mut problems);
    for credential in credentials {
        access::check_credential(cluster, credential, &mut Report::of(credential, &mut problems));
    }
    if let Some(second) = credentials.get(1) {
        let message = "a cluster has one SSH key";
        Report::of(second, &mut problems).push(Problem::at("metadata.name", message));
    }
    problems
}

/// Takes the problems of one document.
pub(super) struct Report<'a> {
    object: ObjectId,
    problems: &'a mut Problems,
}

impl<'a> Report<'a> {
    /// Takes the problems of a document.
    pub(super) fn of<T: Object>(document: &T, problems: &'a mut Problems) -> Self {
        Self { object: ObjectId { kind: T::KIND.to_owned(), name: document.name().to_owned() }, problems }
    }

    /// A problem with a field.
    pub(super) fn push(&mut self, problem: Problem) {
        self.problems.push(problem.of(&self.object));
    }

    /// A field that must be there.
    pub(super) fn missing(&mut self, path: impl Into<String>, hint: &str) {
        self.push(Problem::at(path, "this field is missing").hint(hint));
    }

    /// The value of a field, read with its grammar; a problem where it does not follow it.
    pub(super) fn read<T>(
        &mut self,
        path: &str,
        text: Option<&str>,
        grammar: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        match grammar(text?) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.push(Problem { path: path.to_owned(), ..problem });
                None
            }
        }
    }
}
