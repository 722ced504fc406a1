use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// A master whose volume, addresses and Elastic IP are looked at: its programs, mounts and addresses are real, and a loop
/// device stands for the volume's.
mod with_root {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::aws::identity::InstanceIdentity;
    use crate::contract::config::NodeConfig;
    use crate::contract::report::FailingTask;
    use crate::host::Host;
    use crate::storage::etcd_data;
    use crate::testing::fake_ec2::FakeEc2;
    use crate::testing::{LoopDevice, agent, identity, master_config};

    /// Addresses for documentation (RFC 5737), which nobody has.
    const STABLE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    /// The same of IPv6 (RFC 3849).
    const STABLE_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xc000, 0x20a);
    const ELASTIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    const OTHER_ELASTIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

    struct Master {
        folder: tempfile::TempDir,
        agent: Agent,
        ec2: FakeEc2,
        addresses: watch::Sender<Addresses>,
        device: LoopDevice,
    }

    impl Master {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
            let ec2 = FakeEc2::start(ELASTIC).await;
            let config = NodeConfig { cluster: "demo".into(), ..master_config() };
            let agent = Agent {
                host: Host::folder_with_programs(folder.path().join("machine")),
                // The hardware address of the loopback.
                identity: InstanceIdentity { mac: "00:00:00:00:00:00".into(), ..identity() },
                ec2: ec2.client().await,
                ..agent(folder.path(), config).await
            };
            let addresses = Addresses {
                primary: Some(Ipv4Addr::LOCALHOST),
                stable: Some(STABLE),
                stable_ipv6: Some(STABLE_IPV6),
                ..Addresses::default()
            };
            let master = Self {
                folder,
                agent,
                ec2,
                addresses: watch::channel(addresses).0,
                device: LoopDevice::new(&image),
            };
            master.link(&master.device.0);
            master
        }

        /// What udev does for a volume's device.
        fn link(&self, device: &Path) {
            let link = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol1";
            let link = self.agent.host.path(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(device, link).unwrap();
        }

        /// Looks once, and returns what fails.
        async fn look(&self) -> Vec<FailingTask> {
            let control_plane = self.agent.config.control_plane.as_ref().unwrap();
            let mut volumes = VolumeAttachments::of(control_plane);
            look_at_volumes_and_addresses(&self.agent, control_plane, &mut volumes, &self.addresses).await;
            self.agent.reporter.status().failing
        }

        fn mount_point(&self) -> PathBuf {
            self.agent.host.path(etcd_data::mount_point("main"))
        }

        fn note(&self) -> bool {
            self.mount_point().join("windlass.json").exists()
        }

        fn has_addresses() -> bool {
            let shown = std::process::Command::new("/usr/sbin/ip").args(["address", "show", "lo"]).output();
            let shown = String::from_utf8_lossy(&shown.unwrap().stdout).into_owned();
            shown.contains(&format!("{STABLE}/32")) && shown.contains(&format!("{STABLE_IPV6}/128"))
        }

        fn unmount(&self) {
            let _ = std::process::Command::new("/usr/bin/umount").arg("-q").arg(self.mount_point()).status();
        }

        fn take_addresses() {
            for address in [format!("{STABLE}/32"), format!("{STABLE_IPV6}/128")] {
                let mut ip = std::process::Command::new("/usr/sbin/ip");
                let _ = ip
                    .args(["address", "del", &address, "dev", "lo"])
                    .stderr(std::process::Stdio::null())
                    .status();
            }
        }
    }

    impl Drop for Master {
        fn drop(&mut self) {
            self.unmount();
            Self::take_addresses();
        }
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn what_a_running_master_loses_is_put_right_unless_its_volume_is_another_s() {
        let mut master = Master::start().await;
        let me = identity().id;
        assert_eq!(master.look().await, []);
        let is_right = |master: &Master, elastic: Ipv4Addr| {
            let held = master.ec2.held();
            assert_eq!(held.holder.as_deref(), Some(me.as_str()));
            assert_eq!(held.secondary, Some(STABLE.to_string()));
            assert_eq!(held.ipv6, Some(STABLE_IPV6.to_string()));
            assert_eq!(held.associated, Some(("eni-1".to_owned(), STABLE.to_string())));
            assert!(master.note() && Master::has_addresses());
            assert_eq!(master.addresses.borrow().elastic, Some(elastic), "the certificate has to name it");
        };
        is_right(&master, ELASTIC);

        // Unmounted, and the addresses are gone, on the machine and in EC2; the Elastic IP was replaced.
        master.unmount();
        assert!(!master.note());
        Master::take_addresses();
        master.ec2.change(|held| (held.secondary, held.ipv6, held.associated) = (None, None, None));
        master.ec2.change(|held| held.elastic = Some(OTHER_ELASTIC));
        assert_eq!(master.look().await, []);
        is_right(&master, OTHER_ELASTIC);

        // Detached by hand: it is attached again, and is another device then.
        std::fs::write(master.mount_point().join("written"), "before").unwrap();
        rustix::fs::sync();
        let copy = master.folder.path().join("copy");
        std::fs::copy(master.folder.path().join("image"), &copy).unwrap();
        let device = LoopDevice::new(&copy);
        master.link(&device.0);
        master.device = device;
        master.ec2.change(|held| held.holder = None);
        assert_eq!(master.look().await, []);
        is_right(&master, OTHER_ELASTIC);
        assert_eq!(std::fs::read_to_string(master.mount_point().join("written")).unwrap(), "before");

        // Another master has taken the volume: nothing that moves with it is taken from that one.
        let other = Some("i-0fedcba9876543210".to_owned());
        master.ec2.change(|held| (held.holder, held.secondary, held.ipv6) = (other, None, None));
        let failing = master.look().await;
        assert_eq!(failing.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["ensure_volume"]);
        assert!(failing[0].error.contains("held by i-0fedcba9876543210"), "{}", failing[0].error);
        assert_eq!((master.ec2.held().secondary, master.ec2.held().ipv6), (None, None));
    }
}
