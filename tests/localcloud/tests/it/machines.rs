//! Machines that boot: real instances of the machine image, behind a region that tells what the test wants.

mod with_local_cloud {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use localcloud::world::{AttachmentState, InstanceState, Volume, World};
    use localcloud::{LocalCloud, Options, RegionSource, cgroup, cloud_name, namespace, volume};

    use crate::fixture::{Region, world};

    const FIRST: &str = "i-00000000000000001";
    const SECOND: &str = "i-00000000000000002";

    /// A folder on the file system that caches are on: instances' disks can't be on a tmpfs or an overlay.
    fn directory() -> tempfile::TempDir {
        let cache = localcloud::default_directory().with_file_name("tests");
        std::fs::create_dir_all(&cache).unwrap();
        tempfile::tempdir_in(cache.canonicalize().unwrap()).unwrap()
    }

    /// The fixture's world with these of its instances, not launched yet, and two volumes of one GiB.
    fn pending(instances: &[&str]) -> World {
        let mut world = world();
        world.instances.retain(|instance| instances.contains(&instance.id.as_str()));
        world.instances.iter_mut().for_each(|instance| instance.state = InstanceState::Pending);
        for id in ["vol-0123456789abcdef0", "vol-0123456789abcdef1"] {
            let (zone, state) = ("us-east-1a".to_owned(), "available".to_owned());
            world.volumes.push(Volume { id: id.to_owned(), size: 1, zone, state, attachment: None });
        }
        world
    }

    async fn start(region: &Region, directory: &Path) -> LocalCloud {
        let mut options = Options::in_directory(directory.to_owned());
        options.region = RegionSource::At(region.address);
        LocalCloud::start(options).await.unwrap()
    }

    /// What a shell script inside an instance prints; fails with what it said if it fails.
    fn inside(cloud: &LocalCloud, instance: &str, script: &str) -> String {
        let mut command = cloud.instance_command(instance, "sh").unwrap();
        let output = command.args(["-ec", script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything on this machine that belongs to the cloud of this directory.
    fn traces(directory: &Path) -> Vec<String> {
        let prefix = format!("{}-", cloud_name(directory));
        let mut traces: Vec<String> = Vec::new();
        let names = |folder: &str| -> Vec<PathBuf> {
            std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        };
        for path in [names(namespace::DIRECTORY), names("/run/systemd/nspawn/propagate")].concat() {
            if path.file_name().unwrap().to_string_lossy().starts_with(&prefix) {
                traces.push(path.display().to_string());
            }
        }
        let groups = cgroup::Cgroup::with_prefix(&prefix).unwrap();
        traces.extend(groups.directories().iter().map(|group| group.display().to_string()));
        let devices = volume::loop_devices(directory).unwrap();
        traces.extend(devices.iter().map(|device| device.display().to_string()));
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let below = |line: &&str| line.contains(&directory.display().to_string());
        traces.extend(mounts.lines().filter(below).map(str::to_owned));
        for process in names("/proc") {
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&format!("--machine={prefix}")) {
                traces.push(process.display().to_string());
            }
        }
        traces
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the local cloud"]
    async fn an_instance_boots_the_image_and_sees_what_an_instance_of_ec2_sees() {
        let (directory, region) = (directory(), Region::serve(pending(&[FIRST])).await);
        let cloud = start(&region, directory.path()).await;
        let began = Instant::now();
        region.instance(FIRST, InstanceState::Running).await;
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let see = |script: &str| inside(&cloud, FIRST, script).trim().to_owned();
        // The last step of the boot; the agent that it starts has nothing to work with here.
        see("timeout 30 sh -c 'until systemctl is-active --quiet rc-local; do sleep 0.1; done'");
        assert_eq!(see("systemctl --failed --no-legend --plain | grep -v windlass || true"), "");
        assert_eq!(see("hostname"), "ip-172-20-32-11");
        assert_eq!(see("ip -o -4 addr show ens5 | awk '{print $4}'"), "172.20.32.11/19");
        assert_eq!(see("cat /sys/class/net/ens5/mtu; ls /sys/class/net | tr '\\n' ' '"), "9001\nens5 lo");
        assert_eq!(see("getent hosts ip-172-20-32-11.ec2.internal | awk '{print $1}'"), "172.20.32.11");
        let metadata = "token=$(curl -sX PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
                        http://169.254.169.254/latest/api/token)
                        curl -sH \"X-aws-ec2-metadata-token: $token\" http://169.254.169.254/latest/";
        assert_eq!(see(&format!("{metadata}user-data")), "{\"version\":\"windlass/v1\"}");
        assert_eq!(see(&format!("{metadata}meta-data/public-ipv4")), "198.51.100.7");
        let credentials =
            see(&format!("{metadata}meta-data/iam/security-credentials/masters.demo.example.com"));
        assert!(credentials.contains("ASIAEXAMPLE"), "{credentials}");
        assert_eq!(
            see("systemctl show -P Environment windlass-bootstrap"),
            "AWS_ENDPOINT_URL=http://192.0.2.1:4566 AWS_ENDPOINT_URL_S3=http://192.0.2.254:4566"
        );
        assert_eq!(see("ctr -n k8s.io images ls -q | grep -c registry.k8s.io/kube-apiserver:"), "1");
        assert_eq!(see("ls -A /sys/class/nvme"), "");
        let before = std::fs::read_to_string("/proc/sys/kernel/panic").unwrap();
        see("echo 77 >/proc/sys/kernel/panic");
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/panic").unwrap(), before);
        assert_eq!(see("cat /proc/sys/kernel/panic"), "77");
        assert!(region.consoles().contains("systemd 25"), "{}", region.consoles());
        cloud.stop().await.unwrap();
        assert_eq!(traces(directory.path()), Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the local cloud"]
    async fn a_volume_outlives_its_instance_and_is_busy_while_it_is_mounted() {
        let (directory, region) = (directory(), Region::serve(pending(&[FIRST, SECOND])).await);
        let cloud = start(&region, directory.path()).await;
        region.instance(FIRST, InstanceState::Running).await;
        region.instance(SECOND, InstanceState::Running).await;
        let volume = "vol-0123456789abcdef0";
        for id in [volume, "vol-0123456789abcdef1"] {
            region.attach(id, FIRST);
            region.attachment(id, Some(AttachmentState::Attached)).await;
        }
        assert_eq!(
            inside(&cloud, FIRST, "cat /sys/class/nvme/nvme*/serial | tr -d ' '"),
            "vol0123456789abcdef0\nvol0123456789abcdef1\n"
        );
        let link = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0";
        assert_eq!(inside(&cloud, FIRST, &format!("readlink -f {link}")), "/dev/nvme1n1\n");
        assert_eq!(inside(&cloud, FIRST, "blockdev --getsize64 /dev/nvme1n1"), "1073741824\n");
        let fill = "mkfs.ext4 -q /dev/nvme1n1; mount /dev/nvme1n1 /mnt; echo kept >/mnt/file; sync";
        inside(&cloud, FIRST, fill);

        detach(&region, volume);
        region.attachment(volume, Some(AttachmentState::Busy)).await;
        inside(&cloud, FIRST, "test -b /dev/nvme1n1; umount /mnt");
        region.attachment(volume, None).await;
        inside(
            &cloud,
            FIRST,
            "test ! -e /dev/nvme1n1; test ! -e /sys/class/nvme/nvme1; test -b /dev/nvme2n1",
        );

        region.attach(volume, FIRST);
        region.attachment(volume, Some(AttachmentState::Attached)).await;
        inside(&cloud, FIRST, "mount /dev/nvme1n1 /mnt");
        let killed = Instant::now();
        cloud.kill(FIRST).unwrap();
        region.instance(FIRST, InstanceState::Terminated).await;
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
        region.attach(volume, SECOND);
        region.attachment(volume, Some(AttachmentState::Attached)).await;
        assert_eq!(inside(&cloud, SECOND, "mount /dev/nvme1n1 /mnt; cat /mnt/file; umount /mnt"), "kept\n");

        detach(&region, volume);
        region.attachment(volume, None).await;
        region.change(|world| world.volumes.clear());
        region.change(|world| world.instances.iter_mut().for_each(|i| i.state = InstanceState::ShuttingDown));
        region.instance(SECOND, InstanceState::Terminated).await;
        let left: Vec<_> = std::fs::read_dir(directory.path().join("volumes")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        cloud.stop().await.unwrap();
        assert_eq!(traces(directory.path()), Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the local cloud"]
    async fn an_instance_that_is_stopped_or_rebooted_keeps_its_disk_and_its_volume_and_nothing_else() {
        let (directory, region) = (directory(), Region::serve(pending(&[FIRST])).await);
        let cloud = start(&region, directory.path()).await;
        region.instance(FIRST, InstanceState::Running).await;
        let volume = "vol-0123456789abcdef0";
        region.attach(volume, FIRST);
        region.attachment(volume, Some(AttachmentState::Attached)).await;
        let remember = "mkfs.ext4 -q /dev/nvme1n1; echo kept >/root/kept; echo lost >/run/lost; \
                        ip address add 172.20.32.99/32 dev ens5; sync";
        inside(&cloud, FIRST, remember);
        let check = "cat /root/kept; test ! -e /run/lost; test -z \"$(ip -o address show to 172.20.32.99)\"; \
                     blkid -o value -s TYPE /dev/nvme1n1";

        let leader = |status: &localcloud::status::Status| status.instances[0].pid;
        let before = leader(&cloud.status().borrow());
        region.change(|world| world.instances[0].reboots += 1);
        let mut status = cloud.status();
        let rebooted = status.wait_for(|now| leader(now).is_some() && leader(now) != before);
        tokio::time::timeout(Duration::from_mins(1), rebooted).await.unwrap().unwrap();
        region.attachment(volume, Some(AttachmentState::Attached)).await;
        let volume_is_back = "timeout 30 sh -c 'until test -b /dev/nvme1n1; do sleep 0.1; done'";
        inside(&cloud, FIRST, volume_is_back);
        assert_eq!(inside(&cloud, FIRST, check), "kept\next4\n");

        region.change(|world| world.instances[0].state = InstanceState::Stopping);
        region.instance(FIRST, InstanceState::Stopped).await;
        assert!(cloud.instance_command(FIRST, "true").is_err(), "it is off");
        region.change(|world| world.instances[0].state = InstanceState::Pending);
        region.instance(FIRST, InstanceState::Running).await;
        inside(&cloud, FIRST, volume_is_back);
        assert_eq!(inside(&cloud, FIRST, check), "kept\next4\n");

        region.change(|world| world.instances[0].state = InstanceState::Stopping);
        region.instance(FIRST, InstanceState::Stopped).await;
        region.change(|world| world.instances[0].state = InstanceState::ShuttingDown);
        region.instance(FIRST, InstanceState::Terminated).await;
        cloud.stop().await.unwrap();
        assert_eq!(traces(directory.path()), Vec::<String>::new());
    }

    fn detach(region: &Region, volume: &str) {
        region.change(|world| {
            let volume = world.volumes.iter_mut().find(|known| known.id == volume).unwrap();
            volume.attachment.as_mut().unwrap().state = AttachmentState::Detaching;
        });
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs the local cloud"]
    async fn an_instance_of_an_unknown_image_is_terminated_and_says_why() {
        let mut world = pending(&[FIRST]);
        world.instances[0].image = "ami-unknown".to_owned();
        let (directory, region) = (directory(), Region::serve(world).await);
        let cloud = start(&region, directory.path()).await;
        region.instance(FIRST, InstanceState::Terminated).await;
        assert!(region.consoles().contains("there is no image ami-unknown"), "{}", region.consoles());
        drop(cloud);
        assert_eq!(traces(directory.path()), Vec::<String>::new());
    }

    #[test]
    #[ignore = "needs the local cloud"]
    fn a_cloud_whose_process_was_killed_is_taken_away_by_down() {
        let directory = directory();
        let localcloud = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_localcloud"));
            command.arg("--dir").arg(directory.path());
            command
        };
        assert!(localcloud().args(["up", "--background"]).status().unwrap().success());
        let status = localcloud::status::Status::read(directory.path()).unwrap().unwrap();
        assert!(!traces(directory.path()).is_empty());
        let again = localcloud().args(["up", "--background"]).output().unwrap();
        assert!(!again.status.success());
        assert!(String::from_utf8_lossy(&again.stderr).contains("already runs"), "{again:?}");
        let health = ["exec", "--", "curl", "-sf", "http://192.0.2.1:4566/_region/health"];
        let health = localcloud().args(health).output().unwrap();
        assert!(String::from_utf8_lossy(&health.stdout).contains("true"), "{health:?}");

        let killed = Command::new("kill").args(["-9", &status.pid.to_string()]).status().unwrap();
        assert!(killed.success());
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(status.region).is_ok() {
            assert!(Instant::now() < until, "the region outlives its cloud");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(localcloud().arg("down").status().unwrap().success());
        assert_eq!(traces(directory.path()), Vec::<String>::new());
        assert!(localcloud().arg("down").status().unwrap().success(), "there is nothing left to do");
    }
}
