//! The end of an instance's API server, in order, where another instance has one, too: its static pod is taken away, so that
//! the kubelet tells it to end, and it leaves load balancers and the `kubernetes` service before it stops answering
//! (`control_plane/api_server_pod.rs`).
//!
//! An Auto Scaling group ends an instance by taking it out of its target groups first, and waits for as long as they drain it:
//! then their connections are cut (the CLI's `cloud::load_balancing::target_group`). An API server that ends meanwhile has
//! told its clients before to go elsewhere. A Spot instance has two minutes, and nobody takes it out of a target group.

use jiff::{SignedDuration, Timestamp};

use crate::aws::notice::Notices;
use crate::contract::components::API_SERVER;
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::kubernetes::manifests::static_pod;

/// How long before a Spot instance's end its API server begins to end: for its delay, and for what is under way then.
const LEAD: SignedDuration = SignedDuration::from_secs(60);

/// Ends it, where it is time to. Returns whether that began now.
pub fn ensure(host: &Host, config: &NodeConfig, notices: &Notices) -> Result<bool, FileError> {
    if !config.is_one_api_server_of_several() || !is_due(notices, Timestamp::now()) {
        return Ok(false);
    }
    file::ensure_absent(&static_pod(host, API_SERVER))
}

fn is_due(notices: &Notices, now: Timestamp) -> bool {
    let by_its_group = notices.target_state.as_deref() == Some("Terminated");
    by_its_group || notices.spot.as_ref().is_some_and(|spot| now >= spot.time - LEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::notice::SpotNotice;
    use crate::testing;

    /// Whether the API server of a master among so many ends by these notices.
    fn ends(masters: u32, notices: &Notices) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let mut config = testing::master_config();
        config.control_plane.as_mut().unwrap().masters = masters;
        let manifest = static_pod(&host, API_SERVER);
        file::ensure(&manifest, "a pod", file::PRIVATE).unwrap();
        let began = ensure(&host, &config, notices).unwrap();
        assert_eq!(began, !manifest.exists());
        assert!(!began || !ensure(&host, &config, notices).unwrap(), "it ends once");
        began
    }

    fn by_group(state: &str) -> Notices {
        Notices { target_state: Some(state.to_owned()), ..Notices::default() }
    }

    fn by_ec2(seconds: i64) -> Notices {
        let time = Timestamp::now() + SignedDuration::from_secs(seconds);
        Notices { spot: Some(SpotNotice { action: "terminate".into(), time }), ..Notices::default() }
    }

    #[test]
    fn one_api_server_of_several_ends_as_soon_as_its_group_ends_the_instance() {
        assert!(!ends(3, &by_group("InService")) && !ends(3, &Notices::default()));
        assert!(ends(3, &by_group("Terminated")));
    }

    #[test]
    fn a_lone_api_server_answers_for_as_long_as_it_can() {
        assert!(!ends(1, &by_group("Terminated")) && !ends(1, &by_ec2(5)));
    }

    #[test]
    fn that_of_a_spot_instance_ends_a_minute_before_and_not_with_the_notice() {
        assert!(!ends(3, &by_ec2(115)));
        assert!(ends(3, &by_ec2(55)));
    }
}
