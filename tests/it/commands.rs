//! SSH keys, secrets, upgrades and templates, as a user runs the commands.

use crate::support::user::{User, refused, stderr, stdout};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJB3bkR6OcPWMVNAzpOmWVVFSTGYpjWXNbKv8jMBPEMX ada@example.com\n";
const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJB3bkR6OcPWMVNAzpOmWVVFSTGYpjWXNbKv8jMBPEMY bob@example.com\n";
const FINGERPRINT: &str = "SHA256:6vZU46P2xhcOf0zEK9LLuC/sfjM3m9OufglXBoOj244";

/// A user with a cluster that commands are about without naming it.
fn user() -> User {
    let user = User::new().with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    user.create();
    user
}

#[test]
fn an_ssh_key_is_added_listed_by_its_fingerprint_and_deleted() {
    let user = user();
    let file = user.file("key.pub", KEY);
    refused(user.run("get sshpublickeys"), 1, &["no SSHCredential objects found", "create sshpublickey"]);
    let created = user.run(&format!("create sshpublickey demo.example.com -i {file}")).code(0);
    assert!(stderr(&created).contains("windlass update cluster --name demo.example.com --yes"));
    let listed = format!("NAME\tTYPE\t\tFINGERPRINT\nadmin\tssh-ed25519\t{FINGERPRINT}\n");
    user.run("get sshpublickeys").code(0).stdout_eq(listed.clone());
    user.run("get ssh admin").code(0).stdout_eq(listed);
    let yaml = stdout(&user.run("get sshpublickeys -o yaml").code(0));
    assert!(yaml.contains("kind: SSHCredential") && yaml.contains(KEY.trim()), "{yaml}");
    let before = user.state();
    let shown = user.run("delete sshpublickey").code(0);
    assert_eq!(stdout(&shown), format!("sshpublickey/admin {FINGERPRINT}\n"));
    assert_eq!(user.state(), before);
    user.run(&format!("delete sshpublickey {FINGERPRINT} --yes")).code(0);
    refused(user.run("get sshpublickeys"), 1, &["no SSHCredential"]);
    refused(user.run("delete sshpublickey --yes"), 1, &["has no SSH key"]);
}

#[test]
fn the_images_that_a_cluster_runs_are_listed_as_a_table_and_as_data() {
    let user = user();
    let before = user.state();
    let table = stdout(&user.run("get assets").code(0));
    assert!(table.starts_with("COMPONENT\t"), "{table}");
    let listed: serde_json::Value =
        serde_json::from_str(&stdout(&user.run("get assets demo.example.com -o json").code(0))).unwrap();
    let images = listed["images"].as_array().unwrap();
    assert_eq!(images.len() + 1, table.lines().count(), "{table}");
    for image in images {
        let (reference, component) = (image["canonical"].as_str().unwrap(), &image["component"]);
        assert!(table.contains(reference), "{component}: {table}");
        assert_eq!(image["download"], image["canonical"], "nothing is mirrored");
    }
    assert_eq!(user.state(), before);
    refused(user.run("get assets other.example.com"), 1, &["there is no cluster `other.example.com`"]);
}

#[test]
fn a_second_ssh_key_takes_the_place_of_the_first_only_with_force() {
    let user = user();
    let (first, second) = (user.file("one.pub", KEY), user.file("two.pub", OTHER_KEY));
    user.run(&format!("create sshpublickey -i {first}")).code(0);
    let same = user.run(&format!("create sshpublickey -i {first}")).code(0);
    assert!(stderr(&same).contains("already"));
    let before = user.state();
    let again = user.run(&format!("create sshpublickey -i {second}"));
    refused(again, 1, &["EC2 puts one key on an instance", FINGERPRINT, "--force"]);
    assert_eq!(user.state(), before);
    user.run(&format!("create sshpublickey -i {second} --force")).code(0);
    let yaml = stdout(&user.run("get sshpublickeys -o yaml").code(0));
    assert!(yaml.contains(OTHER_KEY.trim()) && !yaml.contains(KEY.trim()), "{yaml}");
    refused(user.run("delete sshpublickey nope"), 1, &["has no SSH key `nope`", "get sshpublickeys"]);
}

#[test]
fn what_is_no_public_key_is_refused_with_what_is_wrong_and_not_shown() {
    let user = user();
    let before = user.state();
    for (text, word) in [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n", "private key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB", "does not import keys of the kind `ssh-dss`"),
        ("ssh-ed25519 AAAA", "damaged"),
        ("", "EC2 does not import"),
    ] {
        let file = user.file("bad.pub", text);
        let assert = user.run(&format!("create sshpublickey -i {file}"));
        assert!(!stderr(&assert).contains("c2VjcmV0"), "a private key is shown");
        refused(assert, 1, &[word]);
        assert_eq!(user.state(), before);
    }
    refused(user.run("create sshpublickey -i none.pub"), 1, &["none.pub"]);
}

#[test]
fn an_upgrade_is_shown_and_written_only_when_asked_to() {
    let user = user();
    user.run("edit cluster demo.example.com --set spec.kubernetesVersion=1.36.1").code(0);
    let group = "nodes-us-east-1a";
    let image = "self/windlass-1.36.1-debian-13-amd64-20261101120000";
    user.run(&format!("edit ig {group} --set spec.image={image}")).code(0);
    let before = user.state();
    let shown = user.run("upgrade cluster --kubernetes-version 1.36.2").code(0);
    let lines: Vec<String> =
        stdout(&shown).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "ITEM PROPERTY OLD NEW",
            "Cluster KubernetesVersion 1.36.1 1.36.2",
            &format!("InstanceGroup/{group} Image {image} self/windlass-1.36.2-debian-13-*"),
        ]
    );
    assert!(stderr(&shown).contains("upgrade cluster demo.example.com --kubernetes-version 1.36.2 --yes"));
    assert_eq!(user.state(), before);
    let done = user.run("upgrade cluster --kubernetes-version 1.36.2 --yes").code(0);
    assert!(stderr(&done).contains("windlass update cluster demo.example.com --yes"));
    let yaml = stdout(&user.run("get clusters -o yaml").code(0));
    assert!(yaml.contains("kubernetesVersion: 1.36.2"), "{yaml}");
    let yaml = stdout(&user.run(&format!("get ig {group} -o yaml")).code(0));
    assert!(!yaml.contains("image:"), "the default image follows the version by itself: {yaml}");
    let again = user.run("upgrade cluster --kubernetes-version 1.36.2").code(0);
    assert!(stderr(&again).contains("No upgrade required"));
    assert_eq!(stdout(&again), "");
}

#[test]
fn without_a_version_an_upgrade_goes_to_the_newest_and_says_so_as_json() {
    let user = user();
    let newest = windlass::spec::versions::default_kubernetes();
    user.run("edit cluster demo.example.com --set spec.kubernetesVersion=1.36.0").code(0);
    let json = stdout(&user.run("upgrade cluster -o json").code(0));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let change = serde_json::json!(
        {"item": "Cluster", "property": "KubernetesVersion", "old": "1.36.0", "new": newest});
    assert_eq!(json["changes"], serde_json::json!([change]));
    user.run("upgrade cluster --yes").code(0);
    let json = stdout(&user.run("upgrade cluster -o json").code(0));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["changes"], serde_json::json!([]));
}

#[test]
fn no_command_takes_a_version_that_the_skew_policy_forbids() {
    let user = user();
    mark_applied(&user);
    let before = user.state();
    let yaml = stdout(&user.run("get clusters -o yaml").code(0));
    let version = windlass::spec::versions::default_kubernetes();
    let older = user.file("older.yaml", &yaml.replace(version, "1.35.4"));
    for line in [
        "upgrade cluster --kubernetes-version 1.35.4 --yes".to_owned(),
        "edit cluster demo.example.com --set spec.kubernetesVersion=1.35.4".to_owned(),
        format!("replace -f {older}"),
    ] {
        refused(user.run(&line), 1, &["can't be changed to `1.35.4`", "older minor version", "hint: "]);
        assert_eq!(user.state(), before, "{line}");
    }
    let patch = user.run("upgrade cluster --kubernetes-version 1.36.0 --yes");
    refused(patch, 1, &["that is no upgrade", "edit cluster --set spec.kubernetesVersion=1.36.0"]);
    refused(user.run("upgrade cluster --kubernetes-version 1.99.0"), 1, &["one minor version at a time"]);
    refused(user.run("upgrade cluster --kubernetes-version latest"), 1, &["not a Kubernetes version"]);
    assert_eq!(user.state(), before);
}

/// A template of a cluster with groups from values, and what belongs to it.
fn write_templates(user: &User) {
    std::fs::create_dir_all(user.path("templates")).unwrap();
    std::fs::create_dir_all(user.path("snippets")).unwrap();
    let specification = stdout(
        &user
            .run("create cluster --name placeholder.example.com --zones us-east-1a --dry-run -o yaml")
            .code(0),
    );
    let (cluster, groups) = specification.split_once("---\n").unwrap();
    let (master, nodes) = groups.split_once("---\n").unwrap();
    let name = |text: &str| text.replace("placeholder.example.com", "{{ clusterName }}");
    user.file("templates/1-cluster.yaml", &name(cluster));
    user.file("templates/2-masters.yaml", &name(master));
    let nodes = name(nodes)
        .replace("maxSize: 1", "maxSize: {{ group.size }}")
        .replace("minSize: 1", "minSize: {{ group.size }}")
        .replace("nodes-us-east-1a", "{{ group.name }}");
    user.file("snippets/nodes.yaml", &nodes);
    let groups = "{% for group in groups %}---\n{% include \"nodes.yaml\" %}\n{% endfor %}";
    user.file("templates/3-nodes.yaml", groups);
    user.file("values.yaml", "groups:\n- {name: web, size: 2}\n- {name: batch, size: 4}\n");
}

#[test]
fn a_cluster_is_created_from_templates_and_values() {
    let user = User::new();
    write_templates(&user);
    let line = "toolbox template --name demo.example.com --template templates --snippets snippets --values values.yaml";
    let written = user.run(&format!("{line} --set groups[1].size=5 --output cluster.yaml")).code(0);
    assert_eq!(stdout(&written), "");
    user.run("create -f cluster.yaml").code(0);
    let groups = stdout(&user.run("get ig --name demo.example.com").code(0));
    assert!(
        groups.contains("web\t") && groups.contains("\t2\t2\t") && groups.contains("\t5\t5\t"),
        "{groups}"
    );
    let formatted = stdout(&user.run(&format!("{line} --format-yaml")).code(0));
    user.file("formatted.yaml", &formatted);
    user.run("replace -f formatted.yaml").code(0);
    assert!(stdout(&user.run("get ig batch --name demo.example.com").code(0)).contains("\t4\t4\t"));
}

#[test]
fn a_template_that_lacks_a_value_fails_by_file_line_column_and_name() {
    let user = User::new();
    write_templates(&user);
    let line = "toolbox template --template templates --snippets snippets";
    refused(
        user.run(&format!("{line} --values values.yaml")),
        1,
        &["templates/1-cluster.yaml:", "Variable `clusterName` is not defined", "--set clusterName="],
    );
    let user = user.with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    refused(user.run(line), 1, &["templates/3-nodes.yaml:1:17: ", "--set groups="]);
    user.file("t.yaml", "a: {{ a }}\nb: {{ b | default(value=3) }}\n");
    refused(user.run("toolbox template --template t.yaml"), 1, &["t.yaml:1:7: ", "`a`"]);
    user.run("toolbox template --template t.yaml --fail-on-missing=false").code(0).stdout_eq("a: \nb: 3\n");
    user.run("toolbox template --template t.yaml --set-string a=007 --set b=x")
        .code(0)
        .stdout_eq("a: 007\nb: x\n");
    refused(user.run("toolbox template --template none.yaml"), 1, &["none.yaml"]);
    refused(user.run("toolbox template --template t.yaml --set a"), 1, &["path=value", "hint: "]);
}

const DOCKER_CONFIG: &str = r#"{"auths": {"registry.example.com": {"auth": "YWRhOnMzY3JldA=="}}}"#;
const OTHER_DOCKER_CONFIG: &str = r#"{"auths": {"registry.example.com": {"auth": "Ym9iOnMzY3JldA=="}}}"#;

#[test]
fn credentials_for_registries_are_where_nodes_may_read_them_and_never_shown() {
    let user = user();
    let file = user.file("config.json", DOCKER_CONFIG);
    let held = user.path("state/demo.example.com/nodes/docker-config.json");
    let created = user.run(&format!("create secret dockerconfig -f {file} -vv")).code(0);
    assert!(!stderr(&created).contains("YWRhOnMzY3JldA"), "{}", stderr(&created));
    assert_eq!(std::fs::read_to_string(&held).unwrap(), DOCKER_CONFIG);
    assert!(stderr(&user.run(&format!("create secret dockerconfig -f {file}")).code(0)).contains("already"));
    let other = user.file("other.json", OTHER_DOCKER_CONFIG);
    let again = user.run(&format!("create secret dockerconfig -f {other}"));
    refused(again, 1, &["has a secret `dockerconfig` already", "--force"]);
    assert_eq!(std::fs::read_to_string(&held).unwrap(), DOCKER_CONFIG);
    user.run(&format!("create secret dockerconfig -f {other} --force")).code(0);
    assert_eq!(std::fs::read_to_string(&held).unwrap(), OTHER_DOCKER_CONFIG);
    assert_eq!(stdout(&user.run("delete secret dockerconfig").code(0)), "secret/dockerconfig\n");
    assert!(held.exists());
    user.run("delete secret dockerconfig --yes").code(0);
    let left = std::fs::read_to_string(&held).unwrap();
    assert_eq!(left, windlass_bootstrap::docker_config::NONE, "nodes are told that there are none");
    refused(user.run("delete secret dockerconfig --yes"), 1, &["has no secret `dockerconfig`"]);
}

#[test]
fn secrets_are_listed_by_name_kind_and_time_without_what_they_say() {
    let user = user();
    let file = user.file("config.json", DOCKER_CONFIG);
    user.run(&format!("create secret dockerconfig -f {file}")).code(0);
    let table = stdout(&user.run("get secrets").code(0));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "KIND", "SINCE"]);
    let named: Vec<(&str, &str)> = lines[1..].iter().map(|line| (line[0], line[1])).collect();
    assert_eq!(
        named,
        [
            ("dockerconfig", "DockerConfig"),
            ("encryptionconfig", "EncryptionConfiguration"),
            ("etcd-ca", "Keyset"),
            ("front-proxy-ca", "Keyset"),
            ("kubernetes-ca", "Keyset"),
            ("service-account", "Keyset"),
        ]
    );
    assert!(lines[1..].iter().all(|line| line[2].starts_with("20") && line[2].ends_with('Z')), "{table}");
    for format in ["yaml", "json"] {
        let text = stdout(&user.run(&format!("get secrets -o {format}")).code(0));
        assert!(text.contains("dockerconfig") && text.contains("since"), "{text}");
        assert!(!text.contains("PRIVATE") && !text.contains("YWRhOnMzY3JldA"), "{text}");
    }
    refused(user.run("get secrets nope"), 1, &["has no secret `nope`"]);
}

/// The name and the bytes of a key, encoded.
type Key = (&'static str, &'static str);

const FIRST: Key = ("first", "//////////////////////////////////////////8=");
const SECOND: Key = ("second", "f39/f39/f39/f39/f39/f39/f39/f39/f39/f39/f38=");

fn encryption_configuration(keys: &[Key]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(name, secret)| format!("      - name: {name}\n        secret: {secret}\n"))
        .collect();
    let keys = keys.concat();
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  \
         providers:\n  - secretbox:\n      keys:\n{keys}  - identity: {{}}\n"
    )
}

#[test]
fn an_encryption_configuration_must_read_what_is_written_today() {
    let user = user();
    let held = user.path("state/demo.example.com/control-plane/encryption-configuration.json");
    let made = std::fs::read_to_string(&held).unwrap();
    let first = user.file("first.yaml", &encryption_configuration(&[FIRST]));
    let create =
        |file: &str, flags: &str| user.run(&format!("create secret encryptionconfig -f {file} {flags}"));
    refused(
        create(&first, ""),
        1,
        &["secretbox key `key1`", "could not be read any more", "--keep-old-keys"],
    );
    assert_eq!(std::fs::read_to_string(&held).unwrap(), made);
    let kept = create(&first, "--keep-old-keys").code(0);
    assert!(stderr(&kept).contains("kubectl replace -f -") && !stderr(&kept).contains(FIRST.1));
    let both = std::fs::read_to_string(&held).unwrap();
    let generated: serde_json::Value = serde_json::from_str(&made).unwrap();
    let secret =
        generated["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"].as_str().unwrap();
    assert!(both.contains(FIRST.1) && both.contains(secret));
    // Everything is written with the user's key now, so that the old one may go.
    create(&first, "").code(0);
    let alone = std::fs::read_to_string(&held).unwrap();
    assert!(alone.contains(FIRST.1) && !alone.contains(secret));
    assert!(stderr(&create(&first, "").code(0)).contains("already"));
    let second = user.file("second.yaml", &encryption_configuration(&[SECOND]));
    refused(create(&second, ""), 1, &["secretbox key `first`"]);
    let rotated = user.file("rotated.yaml", &encryption_configuration(&[SECOND, FIRST]));
    create(&rotated, "").code(0);
    create(&second, "").code(0);
    create(&first, "--force").code(0);
}

/// Makes the file of the encryption configuration look as if it had been written so long ago.
fn age(user: &User, minutes: u64) {
    let path = user.path("state/demo.example.com/control-plane/encryption-configuration.json");
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(60 * minutes);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_key_that_ever_wrote_stays_until_a_re_encryption_is_recorded() {
    let user = user();
    mark_applied(&user);
    let first = user.file("first.yaml", &encryption_configuration(&[FIRST]));
    let second = user.file("second.yaml", &encryption_configuration(&[SECOND, FIRST]));
    let alone = user.file("alone.yaml", &encryption_configuration(&[SECOND]));
    let create =
        |file: &str, flags: &str| user.run(&format!("create secret encryptionconfig -f {file} {flags}"));
    create(&first, "--keep-old-keys").code(0);
    let before = user.state();
    // The generated key doesn't write any more, and yet it wrote.
    refused(
        create(&first, ""),
        1,
        &["`secrets` was written with the secretbox key `key1`", "--all-reencrypted"],
    );
    let early = create(&first, "--all-reencrypted");
    refused(early, 1, &["0 minutes old", "masters take a new one within an hour"]);
    assert_eq!(user.state(), before);
    age(&user, 66);
    create(&first, "--all-reencrypted").code(0);
    create(&second, "").code(0);
    refused(create(&alone, ""), 1, &["was written with the secretbox key `first`"]);
    let record =
        std::fs::read_to_string(user.path("state/demo.example.com/encryption-writers.json")).unwrap();
    assert!(
        !record.contains(FIRST.1) && !record.contains(SECOND.1) && record.contains("reencrypted"),
        "{record}"
    );
    create(&alone, "--force").code(0);
    create(&alone, "").code(0);
    // One that is lost is not replaced by another.
    std::fs::write(user.path("state/demo.example.com/control-plane/encryption-configuration.json"), "")
        .unwrap();
    refused(create(&second, ""), 1, &["encryption-configuration.json", "it is empty"]);
}

#[test]
fn a_secret_that_can_not_be_honoured_is_refused_by_name_and_nothing_of_it_is_shown() {
    let user = user();
    let before = user.state();
    let file = user.file("secret.txt", "c2VjcmV0: [c2VjcmV0");
    for (line, words) in [
        (
            format!("create secret ciliumpassword -f {file}"),
            vec!["Cilium's IPsec", "doesn't support Cilium yet"],
        ),
        (format!("create secret weavepassword -f {file}"), vec!["Weave"]),
        (format!("create secret sshpublickey admin -i {file}"), vec!["windlass create sshpublickey -i FILE"]),
        (format!("create secret nope -f {file}"), vec!["no secret of the kind `nope`", "dockerconfig"]),
        (format!("create secret dockerconfig -f {file}"), vec!["secret.txt", "line 1, column 1 is not JSON"]),
        (format!("create secret encryptionconfig -f {file}"), vec!["secret.txt", "not YAML"]),
        ("create secret dockerconfig -f none.json".to_owned(), vec!["none.json"]),
        (
            format!("create secret dockerconfig nope.example.com --name demo.example.com -f {file}"),
            vec!["error"],
        ),
        ("delete secret encryptionconfig --yes".to_owned(), vec!["nothing that it encrypts"]),
        ("delete secret etcd-ca --yes".to_owned(), vec!["keyset `etcd-ca`"]),
        ("delete secret nope --yes".to_owned(), vec!["no secret of the kind `nope`"]),
    ] {
        let assert = user.run(&line);
        assert!(!stderr(&assert).contains("c2VjcmV0"), "{line}: {}", stderr(&assert));
        refused(assert, 1, &words);
        assert_eq!(user.state(), before, "{line}");
    }
    let other = User::new().with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    let file = other.file("config.json", DOCKER_CONFIG);
    refused(other.run(&format!("create secret dockerconfig -f {file}")), 1, &["there is no cluster"]);
    assert!(other.state().is_empty());
}

/// Writes down what the specification says as a revision, and that AWS was brought to it.
fn mark_applied(user: &User) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let state = windlass::state::ClusterState::new(
        windlass::state::Store::file(user.path("state")),
        "demo.example.com",
    );
    runtime.block_on(async {
        let specification = state.read().await.unwrap();
        let number = state
            .record(&specification.documents, windlass::state::revision::Intent::default())
            .await
            .unwrap();
        state.mark_applied(number).await.unwrap();
    });
}

#[test]
fn neither_a_rollback_nor_a_state_changed_by_hand_takes_a_cluster_to_an_older_minor_version() {
    let user = User::new().with("WINDLASS_CLUSTER_NAME", "demo.example.com");
    user.run("create cluster --zones us-east-1a --kubernetes-version 1.35.4").code(0);
    mark_applied(&user);
    user.run("upgrade cluster --kubernetes-version 1.36.1 --yes").code(0);
    mark_applied(&user);
    let before = user.state();
    refused(
        user.run("rollback 1 --yes"),
        1,
        &["`1.36.1` can't be changed to `1.35.4`", "older minor version"],
    );
    assert_eq!(user.state(), before);
    let path = user.path("state/demo.example.com/cluster.yaml");
    let yaml = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, yaml.replace("1.36.1", "1.35.4")).unwrap();
    refused(user.run("update cluster"), 1, &["as revision 2 can't become", "older minor version"]);
}
