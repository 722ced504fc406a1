//! Operations on a cluster: what commands do, and what anything else that operates clusters does the same way.
//!
//! An operation loads, prepares, holds the lease, applies and records; it prints nothing, asks nobody, and knows no
//! flags. Who calls it shows what it returns, hears of what it does as it does it ([`lease_guard::Listen`], [`crate::apply::Event`]),
//! and asks it to stop ([`Stop`]).
//!
//! | file | operation |
//! |---|---|
//! | [`located`] | AWS as one cluster sees it, once account and region are known to be the cluster's |
//! | [`planning`] | from the state and AWS to a [`planning::PreparedUpdate`] |
//! | [`losses`] | what the cluster had, and what may be it where it isn't found any more |
//! | [`update`] | prepares an update so that it can be applied, applies it, and records it |
//! | [`deletion`] | what there is of a cluster, and its end |
//! | [`specification_change`] | writes a changed specification |
//! | [`restore`] | restores a cluster from a backup |
//! | [`etcd_upkeep`] | clears the alarms of etcd |
//! | [`lease_guard`] | works while holding the cluster's lease |
//! | [`running_cluster`] | a cluster that runs: its specification, and the doors to AWS, the state and the Kubernetes API |
//! | [`skew`] | which versions run, in contrast to those that were asked for |
//! | [`sleep`] | stops all machines of a cluster, and starts them again |
//! | [`stop`] | asks whatever is under way to stop |

pub mod deletion;
mod error;
pub mod etcd_upkeep;
mod keys;
pub mod lease_guard;
pub mod located;
pub mod losses;
pub mod planning;
pub mod restore;
pub mod running_cluster;
pub mod skew;
pub mod sleep;
pub mod specification_change;
pub mod stop;
pub mod update;

pub use self::error::{OperationError, one_line};
pub use self::lease_guard::LeaseGuard;
pub use self::located::Located;
pub use self::running_cluster::RunningCluster;
pub use self::specification_change::{Running, SpecificationChange};
pub use self::stop::Stop;
pub use self::update::SettledUpdate;
