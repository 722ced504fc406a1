use super::*;

fn blank() -> Evidence {
    Evidence {
        device_size: 20 * GIB,
        volume_size: 20 * GIB,
        recognised: None,
        ends_are_zero: true,
        tag: None,
        initialised: false,
    }
}

fn refused(evidence: &Evidence) -> String {
    match judge(evidence, "demo") {
        Verdict::Refused(reason) => reason,
        other => panic!("{other:?} for {evidence:?}"),
    }
}

#[test]
fn only_all_proofs_together_make_a_volume_blank() {
    assert_eq!(judge(&blank(), "demo"), Verdict::Blank);
    let doubts: [(Evidence, &str); 6] = [
        (Evidence { device_size: 30 * GIB, ..blank() }, "bytes"),
        (Evidence { recognised: Some(Recognised::Other("xfs".into())), ..blank() }, "it holds xfs"),
        (Evidence { ends_are_zero: false, ..blank() }, "zeros"),
        (Evidence { tag: Some("demo".into()), ..blank() }, "it was formatted"),
        (Evidence { tag: Some("other".into()), ..blank() }, "formatted for other"),
        (Evidence { initialised: true, ..blank() }, "etcd was initialised"),
    ];
    for (evidence, reason) in doubts {
        assert!(refused(&evidence).contains(reason), "{evidence:?}");
    }
}

#[test]
fn a_killed_mkfs_is_begun_again_and_nothing_else_is() {
    let begun = Evidence { tag: Some(tags::FORMATTING.into()), ends_are_zero: false, ..blank() };
    assert_eq!(judge(&begun, "demo"), Verdict::Blank);
    let finished = Evidence { recognised: Some(Recognised::Ext4), ..begun.clone() };
    assert_eq!(judge(&finished, "demo"), Verdict::Formatted);
    refused(&Evidence { initialised: true, ..begun.clone() });
    refused(&Evidence { recognised: Some(Recognised::Other("dos".into())), ..begun });
}

#[test]
fn whatever_else_is_true_a_volume_that_may_hold_anything_is_never_blank() {
    let recognised = [None, Some(Recognised::Ext4), Some(Recognised::Other("LVM2_member".into()))];
    let tags = [None, Some("demo"), Some("other"), Some(""), Some(tags::FORMATTING)];
    for device_size in [0, GIB, 20 * GIB] {
        for recognised in &recognised {
            for ends_are_zero in [false, true] {
                for tag in tags {
                    for initialised in [false, true] {
                        let evidence = Evidence {
                            device_size,
                            volume_size: 20 * GIB,
                            recognised: recognised.clone(),
                            ends_are_zero,
                            tag: tag.map(ToOwned::to_owned),
                            initialised,
                        };
                        let empty = ends_are_zero && tag.is_none() || tag == Some(tags::FORMATTING);
                        let blank = recognised.is_none() && device_size == 20 * GIB && !initialised && empty;
                        assert_eq!(judge(&evidence, "demo") == Verdict::Blank, blank, "{evidence:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_last_mount_at_a_path_counts() {
    let mountinfo = "22 1 259:1 / / rw - ext4 /dev/root rw\n\
                     40 22 7:1 / /var/lib/etcd-main rw - ext4 /dev/loop1 rw\n\
                     41 22 7:2 / /var/lib/etcd-main rw - ext4 /dev/loop2 rw\n";
    assert_eq!(mount_at(mountinfo, "/var/lib/etcd-main"), Some("7:2"));
    assert_eq!(mount_at(mountinfo, "/var/lib/etcd"), None);
}

#[test]
fn a_volume_of_another_member_is_refused_and_a_copy_of_ours_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let volume = |id: &str| AttachedVolume {
        volume: crate::aws::ec2::Volume {
            id: id.into(),
            size: 1,
            state: String::new(),
            attachment: None,
            tags: std::collections::BTreeMap::new(),
        },
        device: PathBuf::new(),
    };
    let etcd = |member: &str| EtcdConfig {
        name: "main".into(),
        member: member.into(),
        members: std::collections::BTreeMap::new(),
        version: "3.6.16".into(),
        ..EtcdConfig::default()
    };
    assert!(ensure_note(folder.path(), &volume("vol-1"), "demo", &etcd("a")).unwrap());
    assert!(!ensure_note(folder.path(), &volume("vol-2"), "demo", &etcd("a")).unwrap());
    let error = ensure_note(folder.path(), &volume("vol-1"), "demo", &etcd("b")).unwrap_err();
    assert_eq!(error.to_string(), "vol-1 holds the data of demo/main/a, not of demo/main/b");
    assert!(ensure_note(folder.path(), &volume("vol-1"), "other", &etcd("a")).is_err());
}

mod with_root {
    use super::*;
    use crate::aws::Access;
    use crate::testing::{LoopDevice, etcd_config as etcd};

    /// A volume of one GiB, by its device.
    struct Device {
        folder: tempfile::TempDir,
        host: Host,
        attached: AttachedVolume,
        backing: LoopDevice,
    }

    impl Device {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let image = folder.path().join("image");
            File::create(&image).unwrap().set_len(GIB).unwrap();
            let backing = LoopDevice::new(&image);
            let volume = crate::aws::ec2::Volume {
                id: "vol-1".into(),
                size: 1,
                state: "in-use".into(),
                attachment: None,
                tags: std::collections::BTreeMap::new(),
            };
            let host = Host::folder_with_programs(folder.path().join("machine"));
            let attached = AttachedVolume { volume, device: backing.0.clone() };
            Self { folder, host, attached, backing }
        }

        /// What the agent does at its start, and looks at from time to time. Nothing of it needs EC2 once the volume
        /// is known to be formatted.
        async fn ensure(&self) -> Result<bool, FilesystemError> {
            let store = StateStore::Folder(self.folder.path().join("state"));
            let ec2 = Ec2::open("us-east-1", "demo", &Access::default()).await;
            ensure(&self.host, &ec2, &store, &self.attached, "demo", &etcd()).await
        }

        /// One whose file system is made, and mounted.
        async fn mounted() -> Self {
            let mut device = Self::new();
            format(&device.host, &device.attached).await.unwrap();
            device.attached.volume.tags.insert(tags::FORMATTED.into(), "demo".into());
            assert!(device.ensure().await.unwrap());
            device
        }

        /// EC2 makes the volume larger; the kernel sees it at once.
        fn grow(&self) {
            let image = File::options().write(true).open(self.folder.path().join("image")).unwrap();
            image.set_len(2 * GIB).unwrap();
            let mut losetup = std::process::Command::new("/usr/sbin/losetup");
            assert!(losetup.arg("-c").arg(&self.attached.device).status().unwrap().success());
        }

        /// The same volume as another device, with what has been written to it.
        fn attach_again(&mut self) {
            rustix::fs::sync();
            let (image, copy) = (self.folder.path().join("image"), self.folder.path().join("copy"));
            std::fs::copy(image, &copy).unwrap();
            let backing = LoopDevice::new(&copy);
            self.attached.device.clone_from(&backing.0);
            // The former one is taken away once it is no longer mounted.
            self.backing = backing;
        }

        fn at_mount_point(&self) -> PathBuf {
            self.host.path(mount_point("main"))
        }

        async fn verdict(&self) -> Verdict {
            let recognised = probe(&self.host, &self.attached).await.unwrap();
            judge(&gather(&self.attached, recognised, false).unwrap(), "demo")
        }

        fn write(&self, at: u64, bytes: &[u8]) {
            use std::io::Write;
            let mut file = std::fs::OpenOptions::new().write(true).open(&self.attached.device).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(bytes).unwrap();
            file.sync_all().unwrap();
        }
    }

    impl Drop for Device {
        fn drop(&mut self) {
            let mut umount = std::process::Command::new("/usr/bin/umount");
            let _ = umount.arg(self.at_mount_point()).stderr(std::process::Stdio::null()).status();
        }
    }

    fn is_other_mount(outcome: &Result<bool, FilesystemError>, words: &str) -> bool {
        matches!(outcome, Err(FilesystemError::OtherMount { reason, .. }) if reason.contains(words))
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn a_volume_s_growth_is_seen_at_the_next_look_and_it_is_used_to_its_end() {
        let device = Device::new();
        format(&device.host, &device.attached).await.unwrap();
        assert!(!ensure_grown(&device.host, &device.attached).await.unwrap(), "nothing has changed yet");
        device.grow();
        assert!(ensure_grown(&device.host, &device.attached).await.unwrap());
        assert_eq!(superblock(&device.attached.device).unwrap().size, 2 * GIB);
        assert!(!ensure_grown(&device.host, &device.attached).await.unwrap());
    }

    #[tokio::test]
    #[ignore = "needs root, a loop device, and the right to resize a mounted file system (CAP_SYS_RESOURCE)"]
    async fn a_volume_that_grows_while_it_is_mounted_is_used_to_its_end() {
        let device = Device::mounted().await;
        assert!(!device.ensure().await.unwrap(), "nothing has changed yet");
        device.grow();
        assert!(device.ensure().await.unwrap());
        assert_eq!(superblock(&device.attached.device).unwrap().size, 2 * GIB);
        let room = rustix::fs::statvfs(device.at_mount_point()).unwrap();
        let size = room.f_blocks * room.f_frsize;
        assert!(size > GIB * 3 / 2, "what is mounted is larger, too: {size}");
        assert!(!device.ensure().await.unwrap());
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn a_volume_that_came_back_as_another_device_is_mounted_again_where_the_first_is_gone() {
        let mut device = Device::mounted().await;
        std::fs::write(device.at_mount_point().join("written"), "before").unwrap();
        let Mounted::Other(number) = ({
            device.attach_again();
            mounted(&device.host, &device.attached.device, &mount_point("main")).unwrap()
        }) else {
            panic!("it is another device")
        };
        let still_there = device.host.path(DEVICES).join(number);
        std::fs::create_dir_all(&still_there).unwrap();
        let refused = device.ensure().await;
        assert!(is_other_mount(&refused, "still there"), "{refused:?}");
        std::fs::remove_dir(&still_there).unwrap();
        assert!(device.ensure().await.unwrap());
        let found = mounted(&device.host, &device.attached.device, &mount_point("main")).unwrap();
        assert_eq!(found, Mounted::Device);
        assert_eq!(std::fs::read_to_string(device.at_mount_point().join("written")).unwrap(), "before");
        assert!(!device.ensure().await.unwrap());
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn another_file_system_is_never_mounted_in_the_place_of_one_that_is_gone_and_nothing_is_formatted()
    {
        let mut device = Device::mounted().await;
        device.attach_again();
        device.attached.volume.id = "vol-2".into();
        let refused = device.ensure().await;
        assert!(is_other_mount(&refused, "not the file system"), "a restored snapshot: {refused:?}");
        device.attached.volume.id = "vol-1".into();
        let mut mkfs = std::process::Command::new("/usr/sbin/mkfs.ext4");
        assert!(mkfs.args(["-q", "-F"]).arg(&device.attached.device).status().unwrap().success());
        let refused = device.ensure().await;
        assert!(is_other_mount(&refused, "not the file system"), "{refused:?}");
        device.write(0, &vec![0; 2 << 20]);
        let refused = device.ensure().await;
        assert!(is_other_mount(&refused, "not the file system"), "{refused:?}");
        assert!(superblock(&device.attached.device).is_err(), "it was formatted");
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn a_device_of_zeros_is_blank_and_is_formatted_once() {
        let device = Device::new();
        assert_eq!(device.verdict().await, Verdict::Blank);
        format(&device.host, &device.attached).await.unwrap();
        assert_eq!(device.verdict().await, Verdict::Formatted);
        check(&device.host, &device.attached).await.unwrap();
        let superblock = superblock(&device.attached.device).unwrap();
        assert_eq!((superblock.size, superblock.block_size, superblock.uuid.len()), (GIB, 4096, 32));
        assert!(!ensure_grown(&device.host, &device.attached).await.unwrap());
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn garbage_anywhere_at_the_ends_is_not_blank() {
        let device = Device::new();
        for at in [0, MIB - 1, GIB - MIB, GIB - 1] {
            device.write(at, &[0xa5]);
            assert!(matches!(device.verdict().await, Verdict::Refused(_)), "garbage at {at}");
            device.write(at, &[0]);
            assert_eq!(device.verdict().await, Verdict::Blank);
        }
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn a_partition_table_is_not_blank() {
        let device = Device::new();
        // An empty MS-DOS table with one entry: type 0x83, from sector 2048.
        let mut sector = [0_u8; 512];
        sector[446 + 4] = 0x83;
        sector[446 + 9] = 0x08;
        sector[446 + 12] = 0xff;
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        device.write(0, &sector);
        let Verdict::Refused(reason) = device.verdict().await else { panic!("a partition table") };
        assert_eq!(reason, "it holds dos");
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn after_a_killed_mkfs_the_volume_is_formatted_again() {
        let mut device = Device::new();
        // mkfs writes its superblocks last: one that is killed leaves tables behind that nothing recognises.
        format(&device.host, &device.attached).await.unwrap();
        for group in [0, 1, 3, 5, 7] {
            let start = if group == 0 { SUPERBLOCK } else { group * 32768 * 4096 };
            device.write(start, &[0; SUPERBLOCK_SIZE]);
        }
        let Verdict::Refused(reason) = device.verdict().await else {
            panic!("without the tag it may be anything")
        };
        assert!(reason.contains("zeros"), "{reason}");
        device.attached.volume.tags.insert(tags::FORMATTED.into(), tags::FORMATTING.into());
        assert_eq!(device.verdict().await, Verdict::Blank);
        format(&device.host, &device.attached).await.unwrap();
        assert_eq!(device.verdict().await, Verdict::Formatted);
    }

    #[tokio::test]
    #[ignore = "needs root and a loop device"]
    async fn another_file_system_is_not_blank() {
        let device = Device::new();
        let ext2 =
            std::process::Command::new("/usr/sbin/mkfs.ext2").arg("-q").arg(&device.attached.device).status();
        assert!(ext2.unwrap().success());
        let Verdict::Refused(reason) = device.verdict().await else { panic!("ext2") };
        assert_eq!(reason, "it holds ext2");
    }
}
