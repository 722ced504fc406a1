//! The commands, as a user runs them.

use crate::support::user::{User, names, refused, stderr, stdout};

#[test]
fn what_is_created_is_listed_as_kops_lists_it() {
    let user = User::new();
    let created = user.run("create cluster --name demo.example.com --zones us-east-1a,us-east-1b");
    assert!(stderr(&created).contains("windlass update cluster --name demo.example.com --yes"));
    created.code(0).stdout_eq("");
    user.run("get clusters")
        .code(0)
        .stdout_eq("NAME\t\t\tCLOUD\tZONES\ndemo.example.com\taws\tus-east-1a,us-east-1b\n");
    let groups = "\
NAME\t\t\t\tROLE\t\tMACHINETYPE\tMIN\tMAX\tZONES
control-plane-us-east-1a\tControlPlane\tt3.medium\t1\t1\tus-east-1a
nodes-us-east-1a\t\tNode\t\tt3.medium\t1\t1\tus-east-1a
nodes-us-east-1b\t\tNode\t\tt3.medium\t1\t1\tus-east-1b
";
    user.run("get ig --name demo.example.com").code(0).stdout_eq(groups);
    let json = stdout(&user.run("get clusters -o json").code(0));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["metadata"]["name"], "demo.example.com");
}

#[test]
fn clusters_are_narrowed_down_by_what_is_typed_and_not_by_the_environment() {
    let user = User::new();
    user.create();
    user.run("create cluster --name other.example.com --zones us-east-1a").code(0);
    let environment = [("WINDLASS_CLUSTER_NAME", "demo.example.com")];
    let names = |line: &str| {
        let listed = stdout(&user.run_with(line, &environment).code(0));
        let names = listed.lines().skip(1).filter_map(|line| line.split('\t').next().map(str::to_owned));
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("get clusters"), ["demo.example.com", "other.example.com"]);
    assert_eq!(names("get clusters --name other.example.com"), ["other.example.com"]);
    assert_eq!(names("get clusters demo.example.com"), ["demo.example.com"]);
}

#[test]
fn the_full_specification_says_every_default() {
    let user = User::new();
    let group = |name: &str, role: &str| {
        format!(
            "---\napiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroup\nmetadata:\n  name: {name}\n  labels:\n    \
             kops.k8s.io/cluster: demo.example.com\nspec: {{role: {role}}}\n"
        )
    };
    let cluster = "apiVersion: kops.k8s.io/v1alpha2\nkind: Cluster\nmetadata: {name: demo.example.com}\nspec:\n  \
                   networking: {flannel: {}}\n  subnets:\n  - {zone: us-east-1a}\n";
    let file = user
        .file("cluster.yaml", &format!("{cluster}{}{}", group("masters", "Master"), group("nodes", "Node")));
    user.run(&format!("create -f {file}")).code(0);
    let full = stdout(&user.run("get clusters demo.example.com --full -o yaml").code(0));
    let full = full + "---\n" + &stdout(&user.run("get ig --name demo.example.com --full -o yaml").code(0));
    snapbox::assert_data_eq!(full.clone(), snapbox::file!["cli/full.yaml"]);
    // It says the same: what is full already stays as it is.
    let file = user.file("full.yaml", &full);
    user.run(&format!("replace -f {file}")).code(0);
    let again = stdout(&user.run("get clusters demo.example.com -o yaml").code(0))
        + "---\n"
        + &stdout(&user.run("get ig --name demo.example.com -o yaml").code(0));
    assert_eq!(again, full);
}

#[test]
fn a_dry_run_prints_what_create_takes_and_writes_nothing() {
    let user = User::new();
    let line = "create cluster --name demo.example.com --zones us-east-1a --node-count 3 --dry-run -o yaml";
    let yaml = stdout(&user.run(line).code(0));
    assert!(user.state().is_empty());
    let file = user.file("cluster.yaml", &yaml);
    user.run(&format!("create -f {file} --dry-run")).code(0).stdout_eq(yaml);
    assert!(user.state().is_empty());
    user.run(&format!("create -f {file}")).code(0);
    let groups = stdout(&user.run("get ig --name demo.example.com").code(0));
    assert!(groups.contains("nodes-us-east-1a\t\tNode\t\tt3.medium\t3\t3"), "{groups}");
}

#[test]
fn a_cluster_that_is_there_is_not_created_again() {
    let user = User::new();
    user.create();
    let before = user.state();
    let again = user.run("create cluster --name demo.example.com --zones us-east-1a");
    refused(again, 1, &["there is a cluster `demo.example.com`", "hint: change it with"]);
    assert_eq!(user.state(), before);
}

#[test]
fn bad_input_is_one_clear_error_and_changes_nothing() {
    let user = User::new();
    user.create();
    let before = user.state();
    let yaml = stdout(&user.run("get clusters -o yaml").code(0));
    let unknown = user.file("unknown.yaml", &yaml.replace("networkCIDR", "netwrokCIDR"));
    let cidr = user.file("cidr.yaml", &yaml.replace("172.20.0.0/16", "172.20.0.0/160"));
    let name = "--name other.example.com";
    for (line, words) in [
        (format!("replace -f {unknown}"), vec!["unknown.yaml:9:3", "netwrokCIDR", "networkCIDR"]),
        (format!("replace -f {cidr}"), vec!["cidr.yaml:9:", "172.20.0.0/160"]),
        ("replace -f none.yaml".to_owned(), vec!["none.yaml"]),
        (format!("create cluster {name} --zones mars-1a-x"), vec!["--zones", "mars-1a-x"]),
        (format!("create cluster {name} --zones us-east-1a --network-cidr 10.0.0.0/99"), vec!["10.0.0.0/99"]),
        (format!("create cluster {name}"), vec!["zone"]),
        ("create cluster --zones us-east-1a".to_owned(), vec!["which cluster?", "--name"]),
        ("create cluster a.example.com --name b.example.com --zones us-east-1a".to_owned(), vec!["twice"]),
        (format!("create cluster {name} --zones us-east-1a --state gs://x"), vec!["gs://x", "s3://BUCKET"]),
        ("create".to_owned(), vec!["create what?"]),
        ("get clusters nope.example.com".to_owned(), vec!["there is no cluster `nope.example.com`"]),
        ("get ig nope --name demo.example.com".to_owned(), vec!["no instance group `nope`"]),
        ("edit cluster demo.example.com --set spec.nope=1".to_owned(), vec!["nope"]),
        ("edit cluster demo.example.com --set spec.networkCIDR=10.0.0.0/16".to_owned(), vec!["networkCIDR"]),
    ] {
        refused(user.run(&line), 1, &words);
        assert_eq!(user.state(), before);
    }
}

#[test]
fn a_wrong_command_line_exits_with_1() {
    User::new().run("create cluster --no-such-flag").code(1);
    User::new().run("no-such-command").code(1);
    User::new().run("--help").code(0);
}

#[test]
fn a_state_that_kops_wrote_is_left_alone() {
    let user = User::new();
    std::fs::create_dir_all(user.path("state/demo.example.com/instancegroup")).unwrap();
    user.file("state/demo.example.com/config", "kops");
    user.file("state/demo.example.com/instancegroup/nodes", "kops");
    let before = user.state();
    for line in ["create cluster --name demo.example.com --zones us-east-1a", "get clusters demo.example.com"]
    {
        refused(user.run(line), 1, &["written by kops", "hint: "]);
        assert_eq!(user.state(), before);
    }
}

#[test]
fn a_field_is_set_and_removed() {
    let user = User::new();
    user.create();
    let set = "edit ig nodes-us-east-1a --name demo.example.com --set spec.maxSize=5 --set spec.minSize=2";
    user.run(set).code(0);
    let groups = stdout(&user.run("get ig nodes-us-east-1a --name demo.example.com").code(0));
    assert!(groups.contains("\t2\t5\t"), "{groups}");
    user.run("edit ig nodes-us-east-1a --name demo.example.com --unset spec.maxSize").code(0);
    let yaml = stdout(&user.run("get ig nodes-us-east-1a --name demo.example.com -o yaml").code(0));
    assert!(!yaml.contains("maxSize"), "{yaml}");
}

#[test]
fn an_editor_changes_what_is_good_and_only_that() {
    let user = User::new();
    user.create();
    let line = "edit ig nodes-us-east-1a --name demo.example.com";
    let editor = user.editor("s/maxSize: 1/maxSize: 7/");
    user.run_with(line, &[("EDITOR", &editor)]).code(0);
    assert!(stdout(&user.run("get ig --name demo.example.com").code(0)).contains("\t1\t7\t"));
    let before = user.state();
    let editor = user.editor("s/no such text//");
    let cancelled = user.run_with(line, &[("KUBE_EDITOR", &editor)]).code(0);
    assert!(stderr(&cancelled).contains("Edit cancelled"));
    let editor = user.editor("s/minSize: 1/minSize: 9/");
    refused(user.run_with(line, &[("EDITOR", &editor)]), 1, &["not mended", "minSize", "your version is in"]);
    assert_eq!(user.state(), before);
}

#[test]
fn a_file_replaces_what_is_there_and_creates_only_with_force() {
    let user = User::new();
    user.create();
    let yaml = stdout(&user.run("get ig nodes-us-east-1a --name demo.example.com -o yaml").code(0));
    let same = user.file("same.yaml", &yaml);
    assert!(stderr(&user.run(&format!("replace -f {same}")).code(0)).contains("Nothing to replace"));
    let larger = user.file("larger.yaml", &yaml.replace("maxSize: 1", "maxSize: 4"));
    user.run(&format!("replace -f {larger}")).code(0);
    let new = user.file("new.yaml", &yaml.replace("nodes-us-east-1a", "spare"));
    refused(user.run(&format!("replace -f {new}")), 1, &["no InstanceGroup spare", "--force"]);
    user.run(&format!("replace -f {new} --force")).code(0);
    let groups = stdout(&user.run("get ig --name demo.example.com").code(0));
    assert!(groups.contains("spare\t") && groups.contains("\t1\t4\t"), "{groups}");
}

#[test]
fn whoever_comes_second_exits_with_4_and_reading_never_waits() {
    let user = User::new();
    user.create();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = windlass::state::Store::file(user.path("state"));
    let state = windlass::state::ClusterState::new(store, "demo.example.com");
    let holder = windlass::state::Holder::this_process("update cluster");
    let lease = runtime.block_on(windlass::state::Lease::acquire(&state, holder)).unwrap();
    let line = "edit cluster demo.example.com --set spec.channel=alpha";
    refused(
        user.run(line),
        4,
        &["is locked", "`windlass update cluster`", "unlock demo.example.com --force"],
    );
    refused(user.run("unlock demo.example.com"), 4, &["is locked", "--force"]);
    user.run("get clusters").code(0);
    let taken = user.run("unlock demo.example.com --force").code(0);
    assert!(stderr(&taken).contains("`windlass update cluster`"));
    user.run(line).code(0);
    runtime.block_on(lease.release()).unwrap();
}

#[test]
fn the_lock_of_a_killed_command_is_no_obstacle() {
    let user = User::new();
    user.create();
    let stuck = user.editor("s/maxSize: 1/maxSize: 2/");
    // A holder that is gone: this very machine's process that isn't there any more.
    let script = "import json,os,subprocess,datetime as d
p = subprocess.Popen(['sleep', '60'])
stat = open(f'/proc/{p.pid}/stat').read().rsplit(')', 1)[1].split()
process = {'boot': open('/proc/sys/kernel/random/boot_id').read().strip(), 'namespace': os.readlink('/proc/self/ns/pid'),
           'id': p.pid, 'started': int(stat[19])}
p.kill(); p.wait()
now = d.datetime.now(d.timezone.utc)
print(json.dumps({'version': 1, 'id': 'x', 'user': 'bob', 'host': 'h', 'command': 'edit', 'process': process,
                  'since': now.isoformat(), 'expires': (now + d.timedelta(minutes=1)).isoformat()}))";
    let made = std::process::Command::new("python3").args(["-c", script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(user.path("state/demo.example.com/lock"), made.stdout).unwrap();
    user.run_with("edit ig nodes-us-east-1a --name demo.example.com", &[("EDITOR", &stuck)]).code(0);
    assert!(!user.path("state/demo.example.com/lock").exists());
}

#[test]
fn a_group_is_not_renamed_and_an_empty_file_replaces_nothing() {
    let user = User::new().with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    user.create();
    let before = user.state();
    let rename = "edit ig nodes-us-east-1a --set metadata.name=other";
    refused(user.run(rename), 1, &["metadata.name", "`nodes-us-east-1a` can't be changed", "hint: "]);
    let rename = "edit cluster demo.example.com --set metadata.name=other.example.com";
    refused(user.run(rename), 1, &["metadata.name", "can't be changed"]);
    for text in ["", "\n# nothing\n", "---\n---\n"] {
        let file = user.file("empty.yaml", text);
        for command in ["replace", "create", "delete"] {
            refused(
                user.run(&format!("{command} -f {file}")),
                1,
                &["there is no document in", &file, "hint: "],
            );
        }
    }
    assert_eq!(user.state(), before);
}

#[test]
fn an_editor_that_fails_changes_nothing_and_is_said() {
    let user = User::new().with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    user.create();
    let before = user.state();
    let script = "#!/bin/sh\nsed -i \"s/maxSize: 1/maxSize: 3/\" \"$1\"\nexit 1\n";
    let failing = user.file("failing", script);
    std::fs::set_permissions(&failing, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for editor in [failing.as_str(), "/no/such/editor"] {
        let edited = user.run_with("edit ig nodes-us-east-1a", &[("EDITOR", editor)]);
        let told = stderr(&edited);
        edited.code(3);
        assert!(
            told.contains(&format!("the editor `{editor}` failed")) && told.contains("nothing was changed"),
            "{told}"
        );
    }
    assert_eq!(user.state(), before);
}

#[test]
fn an_editor_s_file_is_private_its_name_can_not_be_guessed_and_nothing_of_it_stays() {
    let user = User::new().with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    user.create();
    std::fs::create_dir(user.path("tmp")).unwrap();
    let (seen, tmp) = (user.path("seen"), user.path("tmp"));
    let script = format!(
        "#!/bin/sh\numask 022\nstat -c '%a %n' \"$1\" \"$(dirname \"$1\")\" >> {}\ncp \"$1\" \"$1.backup\"\n{}",
        seen.display(),
        "sed -i 's/minSize: 1/minSize: 9/' \"$1\"\n"
    );
    let editor = user.file("editor", &script);
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let environment = [("EDITOR", editor.as_str()), ("TMPDIR", tmp.to_str().unwrap())];
    let edited = user.run_with("edit ig nodes-us-east-1a", &environment);
    let told = stderr(&edited);
    edited.code(1);
    let seen = std::fs::read_to_string(seen).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("600 ") && lines[1].starts_with("700 "), "{seen}");
    assert_ne!(lines[0], lines[2], "the second name is the first one's");
    let kept = names(&tmp);
    assert!(kept.len() == 1 && told.contains(&kept[0]), "{kept:?}: {told}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(tmp.join(&kept[0])).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn shells_complete_and_the_version_is_printed() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = stdout(&user.run(&format!("completion {shell}")).code(0));
        assert!(script.contains("create-state-store") || script.contains("windlass"), "{shell}");
        assert!(script.len() > 1000, "{shell}");
    }
    user.run("version --short").code(0).stdout_eq(format!("{}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_endpoint_where_nobody_listens_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let user = User::new()
        .with("WINDLASS_STATE_STORE", "s3://clusters")
        .with("AWS_ENDPOINT_URL", &url)
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ACCESS_KEY_ID", "x")
        .with("AWS_SECRET_ACCESS_KEY", "x");
    refused(user.run("get clusters"), 5, &["sts:GetCallerIdentity", "refused", "AWS_ENDPOINT_URL"]);
}

#[test]
fn an_empty_endpoint_in_the_environment_is_refused_and_no_panic() {
    let user = User::new().with("AWS_ENDPOINT_URL", "").with("WINDLASS_STATE_STORE", "s3://clusters");
    refused(user.run("get clusters"), 1, &["AWS_ENDPOINT_URL", "no URL", "hint:"]);
}

#[test]
fn an_edit_that_began_before_another_s_is_refused_with_what_changed_since() {
    let user = User::new();
    user.create();
    let editor = user.path("slow-editor");
    let (windlass, group) = (env!("CARGO_BIN_EXE_windlass"), "nodes-us-east-1a");
    let other = format!("{windlass} edit instancegroup {group} --name demo.example.com --set spec.maxSize=7");
    let script =
        format!("#!/bin/sh\nset -e\n{other} 2>/dev/null\nsed -i 's/maxSize: 1/maxSize: 5/' \"$1\"\n");
    std::fs::write(&editor, script).unwrap();
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let line = format!("edit instancegroup {group} --name demo.example.com");
    let edited = user.run_with(&line, &[("EDITOR", editor.to_str().unwrap())]);
    let expected =
        ["changed by somebody else meanwhile", "nothing was written", "-  maxSize: 1", "+  maxSize: 7"];
    refused(edited, 1, &expected);
    let now = stdout(&user.run(&format!("get ig {group} --name demo.example.com -o yaml")).code(0));
    assert!(now.contains("maxSize: 7"), "{now}");
}

mod with_region {
    use super::*;
    use crate::support::region::Region;

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn existing_subnets_are_looked_up_and_say_their_zones_and_their_vpc() {
        let region = Region::start();
        let ec2 = region.clients().await.ec2;
        let vpc = ec2.create_vpc().cidr_block("10.7.0.0/16").send().await.unwrap();
        let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
        let mut ids = Vec::new();
        for (zone, cidr) in [("us-east-1b", "10.7.2.0/24"), ("us-east-1a", "10.7.1.0/24")] {
            let made = ec2.create_subnet().vpc_id(&vpc).availability_zone(zone).cidr_block(cidr).send().await;
            ids.push(made.unwrap().subnet().unwrap().subnet_id().unwrap().to_owned());
        }
        let user = user(&region);
        let line = format!("create cluster --name demo.example.com --subnets {} --dry-run", ids.join(","));
        let shown = user.run(&line).code(0);
        let cluster: serde_json::Value = yaml(&stdout(&shown));
        let spec = &cluster["spec"];
        assert_eq!((&spec["networkID"], &spec["networkCIDR"]), (&vpc.as_str().into(), &"10.7.0.0/16".into()));
        let subnets: Vec<_> = spec["subnets"].as_array().unwrap().iter().collect();
        let of = |zone: &str, cidr: &str, id: &str| serde_json::json!({"name": zone, "zone": zone, "cidr": cidr, "id": id, "type": "Public"});
        let expected = [of("us-east-1a", "10.7.1.0/24", &ids[1]), of("us-east-1b", "10.7.2.0/24", &ids[0])];
        assert_eq!(subnets, expected.iter().collect::<Vec<_>>());
        assert!(!stderr(&shown).contains("not supported yet"), "{}", stderr(&shown));

        let zones = format!("{line} --zones us-east-1a,us-east-1c");
        refused(
            user.run(&zones),
            1,
            &["none of these subnets is in us-east-1c", "add us-east-1b to --zones"],
        );
        let other = format!("{line} --network-id vpc-0123456789abcdef0");
        refused(user.run(&other), 1, &["vpc-0123456789abcdef0", "hint: check --network-id"]);
        // Alone: of several, the emulator names any, where EC2 names the one that it misses.
        let missing = "create cluster --name demo.example.com --subnets subnet-0123456789abcdef0 --dry-run";
        refused(user.run(missing), 1, &["subnet-0123456789abcdef0", "hint: check --subnets"]);
    }

    /// The first of some YAML documents.
    fn yaml(documents: &str) -> serde_json::Value {
        let first = documents.split("---\n").find(|document| !document.is_empty()).unwrap();
        windlass::spec::yaml::to_json(first).unwrap()
    }

    fn user(region: &Region) -> User {
        let user = User::new().with("WINDLASS_STATE_STORE", "s3://clusters/team");
        region.environment().iter().fold(user, |user, (name, value)| user.with(name, value))
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn a_cluster_lives_in_a_bucket_that_create_makes() {
        let region = Region::start();
        let user = user(&region);
        let line = "create cluster --name demo.example.com --zones us-east-1a,us-east-1b";
        refused(user.run(line), 1, &["there is no bucket `clusters`", "hint: ", "--create-state-store"]);
        let made = user.run(&format!("{line} --create-state-store")).code(0);
        assert!(stderr(&made).contains("Made the bucket clusters in us-east-1"));
        user.run("get clusters")
            .code(0)
            .stdout_eq("NAME\t\t\tCLOUD\tZONES\ndemo.example.com\taws\tus-east-1a,us-east-1b\n");
        user.run("edit cluster demo.example.com --set spec.channel=alpha").code(0);
        let yaml = stdout(&user.run("get clusters demo.example.com -o yaml").code(0));
        assert!(yaml.contains("channel: alpha"), "{yaml}");
        let file = user.file("cluster.yaml", &yaml.replace("channel: alpha", "channel: beta"));
        user.run(&format!("replace -f {file}")).code(0);
        refused(user.run(line), 1, &["there is a cluster `demo.example.com` in s3://clusters/team already"]);
        refused(
            user.run("export kubeconfig demo.example.com --admin"),
            1,
            &["has no address yet", "update cluster"],
        );
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn zones_that_the_region_does_not_have_are_refused_before_anything_is_written() {
        let region = Region::start();
        let user = user(&region);
        let create = |zones: &str| {
            user.run(&format!("create cluster --name demo.example.com --zones {zones} --create-state-store"))
        };
        refused(
            create("us-east-1z"),
            1,
            &["`us-east-1z` is not an availability zone of us-east-1", "us-east-1a"],
        );
        refused(
            create("us-east-9z"),
            1,
            &["AWS has no region `us-east-9`", "did you mean a zone of `us-east-"],
        );
        // Not even the bucket was made.
        refused(user.run("get clusters"), 1, &["clusters"]);
        create("us-east-1a").code(0);
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn an_administrator_s_certificate_is_made_only_where_it_is_asked_for() {
        let region = Region::start();
        region.register_image("1.36.3");
        let user = user(&region);
        let line = "create cluster --name demo.example.com --zones us-east-1a --kubernetes-version 1.36.3";
        user.run(&format!("{line} --create-state-store")).code(0);
        let kubeconfig = || std::fs::read_to_string(user.path(".kube/config")).unwrap();
        let said = stderr(&user.run("update cluster demo.example.com --yes").code(0));
        assert!(said.contains("`windlass export kubeconfig demo.example.com --admin` makes one"), "{said}");
        assert!(kubeconfig().contains("demo.example.com") && !kubeconfig().contains("client-key"));
        let said = stderr(&user.run("update cluster demo.example.com --yes --admin=1h").code(0));
        assert!(!said.contains("without a credential"), "{said}");
        let with_credential = kubeconfig();
        assert!(with_credential.contains("client-key-data"));
        // The one that is there stays.
        user.run("update cluster demo.example.com --yes").code(0);
        assert_eq!(kubeconfig(), with_credential);
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn what_was_applied_is_listed_compared_and_gone_back_to() {
        let region = Region::start();
        region.register_image("1.36.3");
        let user = user(&region);
        let line = "create cluster --name demo.example.com --zones us-east-1a --kubernetes-version 1.36.3";
        user.run(&format!("{line} --create-state-store")).code(0);
        refused(user.run("history demo.example.com"), 1, &["nothing of `demo.example.com` has been applied"]);
        refused(
            user.run("diff --name demo.example.com"),
            1,
            &["nothing of `demo.example.com` has been applied"],
        );
        user.run("update cluster demo.example.com --yes").code(0);
        user.run("diff --name demo.example.com --detailed-exitcode").code(0).stdout_eq("");
        user.run("edit cluster demo.example.com --set spec.cloudLabels.team=blue").code(0);
        let diff = stdout(&user.run("diff --name demo.example.com --detailed-exitcode").code(2));
        assert!(diff.starts_with("--- revision 1, applied\n+++ present specification\n"), "{diff}");
        assert!(diff.contains("+  cloudLabels:\n+    team: blue\n"), "{diff}");
        user.run("update cluster demo.example.com --yes").code(0);
        let diff = stdout(&user.run("diff 1 2 --name demo.example.com --detailed-exitcode").code(2));
        assert!(diff.contains("+  cloudLabels:\n+    team: blue\n"), "{diff}");
        let plan = stdout(&user.run("rollback 1 --name demo.example.com").code(0));
        assert!(plan.contains("tags.team"), "{plan}");
        user.run("rollback 1 --name demo.example.com --yes").code(0);
        user.run("diff 1 --name demo.example.com").code(0).stdout_eq("");
        let history = stdout(&user.run("history demo.example.com").code(0));
        let rows: Vec<(&str, bool)> =
            history.lines().skip(1).map(|row| (&row[..1], row.contains("\t*\t"))).collect();
        assert_eq!(rows, [("1", false), ("2", false), ("3", true)], "{history}");
        let shown = stdout(&user.run("get revision 2 --name demo.example.com -o json --contents").code(0));
        let revision: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(revision["cluster"]["spec"]["cloudLabels"]["team"], "blue");
        assert_eq!(revision["user"], "ada");
        assert!(!revision["plan"]["steps"].as_array().unwrap().is_empty(), "{revision:#}");
        let contents = revision["contents"].as_object().unwrap();
        assert!(
            contents.keys().any(|key| key.contains("/instance-groups/nodes-us-east-1a/")),
            "{contents:#?}"
        );
        assert!(contents.values().any(|text| text.as_str().unwrap().contains("kind: DaemonSet")));
        assert!(!shown.contains("PRIVATE KEY"));
        refused(
            user.run("get revision 9 --name demo.example.com"),
            1,
            &["has no revision 9", "windlass history"],
        );
        // Nothing to do is nothing to write down.
        user.run("update cluster demo.example.com --yes").code(0);
        assert_eq!(stdout(&user.run("history demo.example.com").code(0)), history);
        user.run("delete cluster demo.example.com --yes").code(0);
        refused(user.run("get clusters"), 1, &["no clusters found"]);
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn of_two_who_apply_at_once_one_exits_with_4() {
        let region = Region::start();
        region.register_image("1.36.3");
        let user = user(&region);
        let line = "create cluster --name demo.example.com --zones us-east-1a --kubernetes-version 1.36.3";
        user.run(&format!("{line} --create-state-store")).code(0);
        region.delay("ec2", 200);
        let apply = || user.run("update cluster demo.example.com --yes");
        let (one, two) = std::thread::scope(|scope| {
            let first = scope.spawn(apply);
            while user.run("unlock demo.example.com").get_output().status.code() == Some(0) {
                assert!(!first.is_finished(), "the first has ended before it was seen");
            }
            (apply(), first.join().unwrap())
        });
        refused(one, 4, &["is locked: ada on ", "`windlass update cluster`"]);
        two.code(0);
        user.run("unlock demo.example.com").code(0);
    }

    #[test]
    #[ignore = "needs the emulated region"]
    fn without_credentials_the_hint_says_what_to_set() {
        let region = Region::start();
        let user = User::new()
            .with("WINDLASS_STATE_STORE", "s3://clusters")
            .with("AWS_ENDPOINT_URL", &region.url)
            .with("AWS_REGION", "us-east-1");
        let line = "create cluster --name demo.example.com --zones us-east-1a";
        refused(
            user.run(line),
            5,
            &["`demo.example.com` can't be created", "no credentials", "hint: set AWS_PROFILE"],
        );
    }
}
