use super::*;

fn mount(filesystem: &str) -> MountConfig {
    MountConfig {
        device: "/dev/sdf".into(),
        filesystem: filesystem.into(),
        path: "/data/logs".into(),
        format_options: Vec::new(),
        mount_options: vec!["noatime".into(), "nodev".into()],
    }
}

#[test]
fn a_volume_that_is_not_attached_yet_is_waited_for_and_one_that_holds_anything_needs_somebody() {
    assert_eq!(MountError::NotThere("/dev/sdf".into()).class(), Class::Waiting);
    let [volume, name, wanted, reason] = ["vol-1", "/dev/sdf", "xfs", "it holds ext4"].map(String::from);
    assert_eq!(MountError::NotBlank { volume, name, wanted, reason }.class(), Class::Permanent);
}

mod with_root {
    use std::fs::File;
    use std::io::{Seek as _, SeekFrom, Write as _};
    use std::net::Ipv4Addr;
    use std::process::Stdio;

    use super::*;
    use crate::testing::LoopDevice;
    use crate::testing::fake_ec2::FakeEc2;

    const INSTANCE: &str = "i-0123456789abcdef0";

    /// A machine with a volume of one GiB, as EC2 and the kernel show it.
    struct Machine {
        folder: tempfile::TempDir,
        host: Host,
        ec2: FakeEc2,
        backing: LoopDevice,
    }

    impl Machine {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            File::create(&image).unwrap().set_len(GIB).unwrap();
            let backing = LoopDevice::new(&image);
            let host = Host::folder_with_programs(folder.path().join("machine"));
            let controller = host.path("/sys/class/nvme/nvme1");
            std::fs::create_dir_all(&controller).unwrap();
            std::fs::write(controller.join("serial"), "vol1\n").unwrap();
            std::fs::create_dir_all(host.path("/dev")).unwrap();
            std::os::unix::fs::symlink(&backing.0, host.path("/dev/nvme1n1")).unwrap();
            let ec2 = FakeEc2::start(Ipv4Addr::LOCALHOST).await;
            ec2.change(|held| held.holder = Some(INSTANCE.to_owned()));
            Self { folder, host, ec2, backing }
        }

        async fn ensure(&self, mount: &MountConfig) -> Result<bool, MountError> {
            ensure_all(&self.host, &self.ec2.client().await, INSTANCE, std::slice::from_ref(mount)).await
        }

        fn mount_point(&self) -> PathBuf {
            self.host.path("/data/logs")
        }

        fn unmount(&self) {
            let mut umount = std::process::Command::new("/usr/bin/umount");
            let _ = umount.arg(self.mount_point()).stderr(Stdio::null()).status();
        }

        fn write(&self, at: u64, bytes: &[u8]) {
            let mut file = File::options().write(true).open(&self.backing.0).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(bytes).unwrap();
            file.sync_all().unwrap();
        }

        /// How the file system is mounted.
        fn options(&self) -> String {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            let at = self.mount_point().display().to_string();
            mounts.lines().find(|line| line.contains(&at)).unwrap_or_default().to_owned()
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            self.unmount();
        }
    }

    #[tokio::test]
    async fn a_blank_volume_is_formatted_and_mounted_and_what_is_written_there_is_there_after_a_reboot() {
        let machine = Machine::new().await;
        let mount = mount("ext4");
        assert!(machine.ensure(&mount).await.unwrap());
        assert!(!machine.ensure(&mount).await.unwrap(), "it is right already");
        let options = machine.options();
        assert!(options.contains("noatime") && options.contains("nodev") && options.contains(" ext4 "));
        std::fs::write(machine.mount_point().join("kept"), "kept").unwrap();
        machine.unmount();
        assert!(!machine.mount_point().join("kept").exists());
        assert!(machine.ensure(&mount).await.unwrap());
        assert_eq!(std::fs::read_to_string(machine.mount_point().join("kept")).unwrap(), "kept");
        let begun = std::fs::read_dir(machine.host.path(BEGUN)).unwrap();
        assert_eq!(begun.count(), 0, "nothing is being made any more");
        assert!(machine.folder.path().exists());
    }

    #[tokio::test]
    async fn a_blank_volume_gets_the_file_system_that_is_asked_for_with_the_options_that_are() {
        let machine = Machine::new().await;
        let options = vec!["-L".to_owned(), "logs".to_owned()];
        let mount = MountConfig { format_options: options, ..mount("xfs") };
        // Whether the kernel of the machine that tests run on can mount it plays no part.
        let mounted = machine.ensure(&mount).await;
        let mut blkid = std::process::Command::new("/usr/sbin/blkid");
        let output = blkid.args(["--probe", "--output", "export"]).arg(&machine.backing.0).output().unwrap();
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(found.contains("TYPE=xfs") && found.contains("LABEL=logs"), "{found} {mounted:?}");
        assert!(!machine.host.path(BEGUN).join("vol-1").exists(), "it is made");
    }

    #[tokio::test]
    async fn a_volume_that_holds_something_else_is_left_as_it_is() {
        let machine = Machine::new().await;
        machine.write(4096, b"somebody's data");
        let told = machine.ensure(&mount("ext4")).await.unwrap_err().to_string();
        assert!(
            told.contains("vol-1 (/dev/sdf) is not formatted with ext4") && told.contains("zeros"),
            "{told}"
        );
        // One whose making was cut short holds no zeros either.
        std::fs::create_dir_all(machine.host.path(BEGUN)).unwrap();
        std::fs::write(machine.host.path(BEGUN).join("vol-1"), "").unwrap();
        assert!(machine.ensure(&mount("ext4")).await.unwrap());
        machine.unmount();
        let told = machine.ensure(&mount("xfs")).await.unwrap_err().to_string();
        assert!(told.contains("it holds ext4"), "{told}");
    }

    #[tokio::test]
    async fn a_volume_that_ec2_does_not_know_by_its_name_is_waited_for() {
        let machine = Machine::new().await;
        let other = MountConfig { device: "/dev/sdg".into(), ..mount("ext4") };
        assert!(
            matches!(machine.ensure(&other).await, Err(MountError::NotThere(device)) if device == "/dev/sdg")
        );
    }

    #[tokio::test]
    async fn what_else_is_mounted_there_stays_and_is_told() {
        let machine = Machine::new().await;
        std::fs::create_dir_all(machine.mount_point()).unwrap();
        let mut mounting = std::process::Command::new("/usr/bin/mount");
        assert!(
            mounting.args(["-t", "tmpfs", "none"]).arg(machine.mount_point()).status().unwrap().success()
        );
        let error = machine.ensure(&mount("ext4")).await.unwrap_err();
        assert!(matches!(&error, MountError::OtherMount { .. }), "{error}");
    }
}
