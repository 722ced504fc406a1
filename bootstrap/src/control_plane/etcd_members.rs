//! How a member of an etcd cluster whose volume was lost comes back: through the other members, as a learner on a new, blank
//! volume, and never as a new cluster.
//!
//! | what the members say of this one | next |
//! |---|---|
//! | it was started before | it is removed: what it knew is lost |
//! | it isn't there, and another one is joining | wait: etcd takes one learner at a time |
//! | it isn't there | it is added as a learner |
//! | it was never started | it starts, with exactly the members that there are |
//!
//! Every row can be the first of a run, so that a run that was killed goes on. Before each, the others answer a read that
//! needs a quorum: nothing is removed where that might cost it. The order to join stays on the volume until the member votes.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ::etcd_client::{Client, Error, MemberAddOptions};

use crate::agent::Agent;
use crate::contract::config::{ControlPlaneConfig, EtcdConfig};
use crate::control_plane::etcd_client::{self, EtcdClientError};
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data;

/// Waits until the members that have joined may vote.
pub const PROMOTE: Step = Step::until_done("ensure_etcd_members_vote").outside();

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A key that nothing is kept at: reading it asks a quorum.
const NO_KEY: &str = "windlass.dev/quorum";
/// How many calls a try makes at most: remove, add, and a look after each.
const CALLS: usize = 4;

/// Why a member can't join yet.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody answers.
    #[error(transparent)]
    Client(#[from] EtcdClientError),
    /// No answer.
    #[error("the other members of etcd {etcd} did not answer in {} s while {doing}", PATIENCE.as_secs())]
    Silent {
        /// The etcd cluster.
        etcd: String,
        /// What was being done.
        doing: &'static str,
    },
    /// etcd refused.
    #[error("the other members of etcd {etcd} failed at {doing}")]
    Etcd {
        /// The etcd cluster.
        etcd: String,
        /// What was being done.
        doing: &'static str,
        /// What was said.
        #[source]
        source: Box<Error>,
    },
    /// Something else comes first.
    #[error("etcd {etcd}: {why}")]
    Wait {
        /// The etcd cluster.
        etcd: String,
        /// What is waited for.
        why: String,
    },
    /// A file of the volume.
    #[error("the order to join can't be kept on etcd's volume")]
    File(#[source] FileError),
    /// The configuration lacks this member.
    #[error("the configuration of etcd {0} has no address of its own member")]
    NoAddress(String),
}

impl Classed for JoinError {
    fn class(&self) -> Class {
        match self {
            Self::NoAddress(_) => Class::Permanent,
            Self::File(_) => Class::Passing,
            _ => Class::Waiting,
        }
    }
}

/// A member, as the others list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// etcd's id.
    pub id: u64,
    /// Its name; empty until it is first started.
    pub name: String,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
    /// Whether it doesn't vote.
    pub learner: bool,
}

/// What comes next for a member that has no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The member that it was goes.
    Remove(u64),
    /// It is added as a learner.
    Add,
    /// Something else comes first.
    Wait(String),
    /// It starts, with this `--initial-cluster`.
    Start(String),
}

/// Decides what comes next.
pub fn decide(listed: &[Listed], etcd: &EtcdConfig, own_url: &str) -> Next {
    let is_own = |member: &&Listed| {
        member.name == etcd.member || member.peer_urls.iter().any(|peer_url| peer_url == own_url)
    };
    let was_started = |member: &&Listed| !member.name.is_empty();
    if let Some(former) = listed.iter().filter(is_own).find(was_started) {
        let joining = other_joining(listed, is_own, etcd);
        return joining.map_or(Next::Remove(former.id), Next::Wait);
    }
    if listed.iter().any(|member| is_own(&member)) {
        return initial_cluster(listed, etcd).map_or_else(Next::Wait, Next::Start);
    }
    other_joining(listed, is_own, etcd).map_or(Next::Add, Next::Wait)
}

/// Why another member comes first: its list of members must not change while it starts.
fn other_joining(listed: &[Listed], is_own: impl Fn(&&Listed) -> bool, etcd: &EtcdConfig) -> Option<String> {
    let others = listed.iter().filter(|member| !is_own(member));
    let joining = others.into_iter().find(|member| member.learner || member.name.is_empty())?;
    let name = name_of(joining, etcd).unwrap_or_else(|| joining.peer_urls.join(", "));
    Some(format!("{name} is joining, and etcd takes one learner at a time"))
}

/// A member's name: one that was never started has none, and is known by its address.
fn name_of(member: &Listed, etcd: &EtcdConfig) -> Option<String> {
    if !member.name.is_empty() {
        return Some(member.name.clone());
    }
    let known = |address: &Ipv4Addr| member.peer_urls.contains(&peer_url(*address, etcd));
    etcd.members.iter().find(|(_, address)| known(address)).map(|(name, _)| name.clone())
}

fn initial_cluster(listed: &[Listed], etcd: &EtcdConfig) -> Result<String, String> {
    let mut all = Vec::new();
    for member in listed {
        let name = name_of(member, etcd).ok_or_else(|| {
            format!("the member at {} was never started, and has no name", member.peer_urls.join(", "))
        })?;
        all.extend(member.peer_urls.iter().map(|peer_url| format!("{name}={peer_url}")));
    }
    all.sort();
    Ok(all.join(","))
}

fn peer_url(address: Ipv4Addr, etcd: &EtcdConfig) -> String {
    format!("https://{address}:{}", etcd.ports.peer)
}

fn own_url(etcd: &EtcdConfig) -> Result<String, JoinError> {
    let address = etcd.members.get(&etcd.member).ok_or_else(|| JoinError::NoAddress(etcd.name.clone()))?;
    Ok(peer_url(*address, etcd))
}

/// Brings the others to expect this member, and returns the `--initial-cluster` that it starts with. Keeps the order to join on
/// the volume, which goes when the member votes.
pub async fn join(host: &Host, etcd: &EtcdConfig) -> Result<String, JoinError> {
    let mut others = Others::connect(host, etcd).await?;
    for _ in 0..CALLS {
        others.check_quorum().await?;
        match decide(&others.list().await?, etcd, &own_url(etcd)?) {
            Next::Remove(id) => others.remove(id).await?,
            Next::Add => others.add(&own_url(etcd)?).await?,
            Next::Wait(why) => return Err(others.wait(why)),
            Next::Start(initial_cluster) => {
                file::ensure(&order(host, etcd), initial_cluster.as_str(), file::PUBLIC)
                    .map_err(JoinError::File)?;
                return Ok(initial_cluster);
            }
        }
    }
    Err(others.wait("its members change again and again".to_owned()))
}

/// Where the order to join is kept: beside the data, so that it goes where that goes.
fn order(host: &Host, etcd: &EtcdConfig) -> PathBuf {
    host.path(etcd_data::mount_point(&etcd.name)).join("joining")
}

/// The step. Members that have not just joined are asked nothing.
pub async fn run(agent: &Agent, control_plane: &ControlPlaneConfig) -> Result<(), StepError> {
    let promote_all = async || {
        let mut changed = false;
        for etcd in control_plane.etcd_clusters() {
            changed |= promote(&agent.host, etcd).await?;
        }
        Ok::<_, JoinError>(Done::changed_if(changed))
    };
    let joining =
        control_plane.etcd_clusters().any(|etcd| !matches!(file::read(&order(&agent.host, etcd)), Ok(None)));
    if joining { PROMOTE.run(&agent.reporter, promote_all).await } else { Ok(()) }
}

/// Lets a member vote that has joined, once etcd says that it has caught up. Returns whether there was anything to do.
pub async fn promote(host: &Host, etcd: &EtcdConfig) -> Result<bool, JoinError> {
    if file::read(&order(host, etcd)).map_err(JoinError::File)?.is_none() {
        return Ok(false);
    }
    let mut others = Others::connect(host, etcd).await?;
    others.check_quorum().await?;
    let own_url = own_url(etcd)?;
    let listed = others.list().await?;
    let Some(own) = listed.iter().find(|member| member.peer_urls.contains(&own_url)) else {
        return Err(others.wait(format!("{} is not among its members", etcd.member)));
    };
    if own.name.is_empty() {
        return Err(others.wait(format!("{} has joined and is not started yet", etcd.member)));
    }
    if own.learner {
        others.promote(own.id).await?;
    }
    file::ensure_absent(&order(host, etcd)).map_err(JoinError::File)?;
    Ok(true)
}

/// The other members.
struct Others<'e> {
    client: Client,
    etcd: &'e EtcdConfig,
}

impl<'e> Others<'e> {
    async fn connect(host: &Host, etcd: &'e EtcdConfig) -> Result<Self, JoinError> {
        Ok(Self { client: etcd_client::others(host, etcd).await?, etcd })
    }

    fn wait(&self, why: String) -> JoinError {
        JoinError::Wait { etcd: self.etcd.name.clone(), why }
    }

    async fn asked<T>(
        etcd: &str,
        doing: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, JoinError> {
        let answer = tokio::time::timeout(PATIENCE, call).await;
        let answer = answer.map_err(|_| JoinError::Silent { etcd: etcd.to_owned(), doing })?;
        answer.map_err(|source| JoinError::Etcd { etcd: etcd.to_owned(), doing, source: Box::new(source) })
    }

    /// A read that only a quorum answers. That is one of the cluster with the lost member in it; without it, no more are needed.
    async fn check_quorum(&mut self) -> Result<(), JoinError> {
        let read = self.client.get(NO_KEY, None);
        Self::asked(&self.etcd.name, "a read that needs a quorum", read).await.map(drop)
    }

    async fn list(&mut self) -> Result<Vec<Listed>, JoinError> {
        let answer = Self::asked(&self.etcd.name, "listing members", self.client.member_list()).await?;
        let listed = answer.members().iter().map(|member| Listed {
            id: member.id(),
            name: member.name().to_owned(),
            peer_urls: member.peer_urls().to_vec(),
            learner: member.is_learner(),
        });
        Ok(listed.collect())
    }

    async fn remove(&mut self, id: u64) -> Result<(), JoinError> {
        tracing::info!(etcd = self.etcd.name, id, "the member that has lost its volume is removed");
        let call = self.client.member_remove(id);
        Self::asked(&self.etcd.name, "removing the lost member", call).await.map(drop)
    }

    async fn add(&mut self, peer_url: &str) -> Result<(), JoinError> {
        tracing::info!(etcd = self.etcd.name, peer_url, "this member is added as a learner");
        let options = MemberAddOptions::new().with_is_learner();
        let call = self.client.member_add([peer_url], Some(options));
        Self::asked(&self.etcd.name, "adding this member as a learner", call).await.map(drop)
    }

    async fn promote(&mut self, id: u64) -> Result<(), JoinError> {
        let call = self.client.member_promote(id);
        Self::asked(&self.etcd.name, "letting this member vote", call).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://127.0.0.1:2380";

    fn etcd() -> EtcdConfig {
        let members = [("a", "127.0.0.1"), ("b", "127.0.0.2"), ("c", "127.0.0.3")];
        let members = members.map(|(name, address)| (name.to_owned(), address.parse().unwrap()));
        EtcdConfig { members: members.into(), ..crate::testing::etcd_config() }
    }

    fn listed(id: u8, name: &str, learner: bool) -> Listed {
        let peer_urls = vec![format!("https://127.0.0.{id}:2380")];
        Listed { id: id.into(), name: name.to_owned(), peer_urls, learner }
    }

    #[test]
    fn a_member_is_removed_once_added_once_and_started_with_exactly_the_members_that_there_are() {
        let [a, b, c] = [listed(1, "a", false), listed(2, "b", false), listed(3, "c", false)];
        let added = listed(1, "", true);
        let elsewhere = Listed { id: 9, peer_urls: vec!["https://127.0.0.9:2380".to_owned()], ..a.clone() };
        let all = format!("a={OWN},b=https://127.0.0.2:2380,c=https://127.0.0.3:2380");
        let wait =
            |name: &str| Next::Wait(format!("{name} is joining, and etcd takes one learner at a time"));
        let table = [
            ("as it was", vec![a.clone(), b.clone(), c.clone()], Next::Remove(1)),
            ("by its name, elsewhere", vec![elsewhere.clone(), b.clone(), c.clone()], Next::Remove(9)),
            ("removed", vec![b.clone(), c.clone()], Next::Add),
            ("added", vec![added.clone(), b.clone(), c.clone()], Next::Start(all.clone())),
            ("added before the old one went", vec![elsewhere, added.clone(), b.clone()], Next::Remove(9)),
            (
                "its learner was started and lost",
                vec![listed(1, "a", true), b.clone(), c.clone()],
                Next::Remove(1),
            ),
            ("another was added", vec![a.clone(), b.clone(), listed(3, "", true)], wait("c")),
            ("another learns", vec![b.clone(), listed(3, "c", true)], wait("c")),
            ("both were added", vec![added, b, listed(3, "", true)], Next::Start(all)),
        ];
        for (case, members, expected) in table {
            assert_eq!(decide(&members, &etcd(), OWN), expected, "{case}");
        }
    }
}
