use super::*;
use crate::aws::ec2::Attachment;

const LONG: Duration = Duration::from_secs(61);

fn volume(state: &str, attachment: Option<(&str, &str)>) -> Volume {
    Volume {
        id: "vol-0abc".into(),
        size: 20,
        state: state.into(),
        attachment: attachment.map(|(instance, state)| Attachment {
            instance: instance.into(),
            device: "/dev/sdf".into(),
            state: state.into(),
        }),
        tags: std::collections::BTreeMap::new(),
    }
}

fn waits(decision: &Decision) -> bool {
    matches!(decision, Decision::Wait(_))
}

#[test]
fn a_free_volume_is_attached_and_an_attached_one_used() {
    assert_eq!(decide(&volume("available", None), "i-me", None, LONG), Decision::Attach);
    for state in ["attaching", "attached"] {
        assert_eq!(
            decide(&volume("in-use", Some(("i-me", state))), "i-me", None, LONG),
            Decision::Ours,
            "{state}"
        );
    }
    for state in ["detaching", "busy"] {
        assert!(waits(&decide(&volume("in-use", Some(("i-me", state))), "i-me", None, LONG)), "{state}");
    }
}

#[test]
fn a_volume_is_never_taken_from_an_instance_that_may_still_use_it() {
    let held = volume("in-use", Some(("i-old", "attached")));
    for state in ["pending", "running", "shutting-down", "stopping", "stopped", "unheard-of"] {
        for since in [Duration::ZERO, LONG, Duration::from_hours(24)] {
            assert!(waits(&decide(&held, "i-me", Some(state), since)), "{state} since {since:?}");
        }
    }
}

#[test]
fn a_terminated_holder_gets_a_minute_and_is_then_detached() {
    let held = volume("in-use", Some(("i-old", "attached")));
    for holder in [None, Some("terminated")] {
        assert!(waits(&decide(&held, "i-me", holder, Duration::from_secs(59))), "{holder:?}");
        assert_eq!(decide(&held, "i-me", holder, LONG), Decision::Detach, "{holder:?}");
    }
    let leaving = volume("in-use", Some(("i-old", "detaching")));
    assert!(waits(&decide(&leaving, "i-me", Some("terminated"), LONG)), "asked for already");
}

#[test]
fn the_reason_names_the_holder_and_what_to_do() {
    let Decision::Wait(reason) =
        decide(&volume("in-use", Some(("i-old", "attached"))), "i-me", Some("running"), LONG)
    else {
        panic!("it waits");
    };
    assert!(reason.contains("vol-0abc is held by i-old, which is running"), "{reason}");
    assert!(reason.contains("terminate it"), "{reason}");
}

#[test]
fn a_volume_that_is_going_away_is_refused() {
    for state in ["error", "deleting", "deleted"] {
        assert_eq!(decide(&volume(state, None), "i-me", None, LONG), Decision::Refuse, "{state}");
    }
    for state in ["creating", "in-use"] {
        assert!(waits(&decide(&volume(state, None), "i-me", None, LONG)), "{state}");
    }
}

#[test]
fn a_device_name_in_use_is_passed_over() {
    let used = ["/dev/xvda", "/dev/sdf", "/dev/xvdg"].map(str::to_owned).into();
    assert_eq!(free_device_name(&used, 0).as_deref(), Some("/dev/sdh"));
    assert_eq!(
        free_device_name(&used, 1).as_deref(),
        Some("/dev/sdi"),
        "whoever attaches beside takes another one"
    );
    let all = ('f'..='p').map(|letter| format!("/dev/sd{letter}")).collect();
    assert_eq!(free_device_name(&all, 0), None);
}

#[test]
fn an_ordinary_file_is_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::folder(folder.path());
    let link = host.path("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0abc");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::fs::write(&link, "").unwrap();
    assert!(matches!(find_device(&host, "vol-0abc", ""), Err(VolumeError::WrongDevice { .. })));
}

mod with_root {
    use super::*;
    use crate::testing::LoopDevice;

    #[test]
    #[ignore = "needs root and a loop device"]
    fn a_device_is_found_by_its_serial_and_a_stale_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let device = LoopDevice::new(&image);
        let host = Host::folder(folder.path().join("machine"));
        let link = host.path("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0abc");
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        assert_eq!(find_device(&host, "vol-0abc", "/dev/sdf").unwrap(), None, "not there yet");
        std::os::unix::fs::symlink(&device.0, &link).unwrap();
        assert_eq!(find_device(&host, "vol-0abc", "/dev/sdf").unwrap().as_deref(), Some(device.0.as_path()));

        // The device behind the link turns out to be another volume's.
        let number = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(&device.0).unwrap());
        let numbers = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
        let serial = host.path("/sys/dev/block").join(numbers).join("device/serial");
        std::fs::create_dir_all(serial.parent().unwrap()).unwrap();
        std::fs::write(&serial, "vol0def             \n").unwrap();
        let error = find_device(&host, "vol-0abc", "/dev/sdf").unwrap_err();
        assert!(error.to_string().ends_with("its serial is vol0def"), "{error}");
        std::fs::write(&serial, "vol0abc             \n").unwrap();
        assert!(find_device(&host, "vol-0abc", "/dev/sdf").unwrap().is_some());

        // A controller with the serial counts more than any link.
        let controller = host.path("/sys/class/nvme/nvme1/serial");
        std::fs::create_dir_all(controller.parent().unwrap()).unwrap();
        std::fs::write(&controller, "vol0abc             \n").unwrap();
        assert_eq!(find_device(&host, "vol-0abc", "/dev/sdf").unwrap(), None, "its device is not there yet");
    }
}
