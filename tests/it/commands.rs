//! SSH keys, secrets, upgrades and templates, as a user runs the commands.

use crate::cli::{User, refused, stderr, stdout};

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
        .replace("name: nodes-us-east-1a", "name: {{ group.name }}");
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
