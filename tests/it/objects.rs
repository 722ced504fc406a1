//! The documents of the state as a user handles them: all of them out and in again, additional objects, groups that
//! come and go, and what kops exports.

use crate::support::user::{User, refused, stderr, stdout};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3GXUzxwM2cTAJ6vVDzCVgr3h8U6ZIRkvG1b6mLbMrE me@example.com";

const OBJECTS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: shop}
data: {answer: \"yes\", mode: \"0644\", script: \"set -e\\necho $X\\n\"}
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
---
apiVersion: v1
kind: Secret
metadata:
  name: token
stringData:
  token: hunter2
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      volumes:
      - name: web
        configMap: {name: web, defaultMode: 0644, optional: yes}
";

/// A user with a cluster that has an SSH key and additional objects.
fn user_with_everything() -> User {
    let user = User::new();
    let yaml = stdout(
        &user.run("create cluster --name demo.example.com --zones us-east-1a,us-east-1b --dry-run").code(0),
    );
    let key = format!(
        "apiVersion: kops.k8s.io/v1alpha2\nkind: SSHCredential\nmetadata: {{name: admin}}\nspec:\n  publicKey: {KEY}\n"
    );
    let file = user.file("everything.yaml", &format!("{yaml}---\n{key}---\n{OBJECTS}"));
    let created = user.run(&format!("create -f {file}")).code(0);
    let said = stderr(&created);
    for line in ["Created configmap/web", "Created deployment.apps/web", "Created secret/token"] {
        assert!(said.contains(line), "{said}");
    }
    user
}

const NAMED: &str = "--name demo.example.com";

#[test]
fn everything_that_get_prints_is_what_create_takes() {
    let (user, other) = (user_with_everything(), User::new());
    let yaml = stdout(&user.run(&format!("get all {NAMED} -o yaml")).code(0));
    assert_eq!(yaml, stdout(&user.run(&format!("get {NAMED} -o yaml")).code(0)));
    for (kind, count) in
        [("Cluster", 1), ("InstanceGroup", 3), ("SSHCredential", 1), ("Secret", 1), ("Deployment", 1)]
    {
        assert_eq!(yaml.matches(&format!("\nkind: {kind}\n")).count(), count, "{yaml}");
    }
    assert!(yaml.contains("defaultMode: 420\n") && yaml.contains("optional: true\n"), "{yaml}");
    assert!(yaml.contains("answer: \"yes\"\n") && yaml.contains("mode: \"0644\"\n"), "{yaml}");
    other.run_with_input("create -f -", &yaml).code(0);
    assert_eq!(yaml, stdout(&other.run(&format!("get all {NAMED} -o yaml")).code(0)));
    let json = stdout(&user.run(&format!("get all {NAMED} -o json")).code(0));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), yaml.matches("\n---\n").count() + 1);
}

#[test]
fn the_table_of_everything_has_a_part_for_each_kind_and_no_secret() {
    let user = user_with_everything();
    let table = stdout(&user.run(&format!("get {NAMED}")).code(0));
    for line in [
        "Cluster\nNAME\t",
        "\nInstance Groups\nNAME\t",
        "\nSSH Credentials\nNAME\tKIND\nadmin\tssh-ed25519\n",
        "\nAdditional Objects\nKIND\t\tNAMESPACE\tNAME\nConfigMap\tshop\t\tweb\n",
        "Secret\t\t\t\ttoken\n",
    ] {
        assert!(table.contains(line), "`{line}` is not in:\n{table}");
    }
    assert!(!table.contains("hunter2"), "{table}");
}

#[test]
fn a_dry_run_of_a_file_prints_everything_and_writes_nothing() {
    let user = user_with_everything();
    let yaml = stdout(&user.run(&format!("get all {NAMED} -o yaml")).code(0));
    let other = User::new();
    let file = other.file("all.yaml", &yaml);
    other.run(&format!("create -f {file} --dry-run")).code(0).stdout_eq(yaml);
    assert!(other.state().is_empty());
    let more = user.file("more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n");
    let before = user.state();
    let printed = stdout(&user.run(&format!("create -f {more} {NAMED} --dry-run")).code(0));
    assert_eq!(printed, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: more\n");
    assert_eq!(user.state(), before);
}

#[test]
fn objects_are_added_replaced_and_deleted_one_by_one() {
    let user = user_with_everything();
    let more =
        user.file("more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: b}\n");
    refused(user.run(&format!("replace -f {more} {NAMED}")), 1, &["no ConfigMap more to replace", "--force"]);
    user.run(&format!("create -f {more} {NAMED}")).code(0);
    // The same command again, as after one that was killed, has nothing left to do.
    let again = user.run(&format!("create -f {more} {NAMED}")).code(0);
    assert!(stderr(&again).contains("Nothing to create"));
    let other =
        user.file("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\ndata: {a: c}\n");
    refused(
        user.run(&format!("create -f {other} {NAMED}")),
        1,
        &["ConfigMap more is there already", "replace"],
    );
    user.run(&format!("replace -f {other} {NAMED}")).code(0);
    let yaml = stdout(&user.run(&format!("get all {NAMED} -o yaml")).code(0));
    assert!(yaml.contains("data:\n  a: c\n") && !yaml.contains("data:\n  a: b\n"), "{yaml}");
    let before = user.state();
    let listed = user.run(&format!("delete -f {other} {NAMED}")).code(0);
    assert_eq!(stdout(&listed), "configmap/more\n");
    assert!(stderr(&listed).contains("Nothing was deleted"));
    assert_eq!(user.state(), before);
    let deleted = stderr(&user.run(&format!("delete -f {other} {NAMED} --yes")).code(0));
    assert!(deleted.contains("Deleted configmap/more\n"), "{deleted}");
    assert!(deleted.contains("  kubectl delete configmap/more\n"), "{deleted}");
    assert!(!stdout(&user.run(&format!("get all {NAMED} -o yaml")).code(0)).contains("name: more"));
    refused(user.run(&format!("delete -f {other} {NAMED} --yes")), 1, &["no ConfigMap more", "get all"]);
}

#[test]
fn what_cannot_be_an_additional_object_is_refused_where_it_stands() {
    let user = user_with_everything();
    let before = user.state();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";
    for (text, words) in [
        (
            format!("{map}---\n{}", map.replace("  name", "  namespace: default\n  name")),
            vec!["bad.yaml:6:1", "second time", "bad.yaml:1"],
        ),
        (map.replace("  name: a", "  namespace: x"), vec!["bad.yaml:3:1: metadata.name", "no name"]),
        (map.replace("v1", "a/b/c"), vec!["bad.yaml:1:13", "not an API version"]),
        (format!("{map}  resourceVersion: \"7\"\n"), vec!["bad.yaml:5:20", "set by the API server"]),
        (
            map.replace("name: a", "name: coredns\n  namespace: kube-system"),
            vec!["bad.yaml:4:9", "of its add-on coredns"],
        ),
        ("kind: ConfigMap\nmetadata: {name: a}\n".to_owned(), vec!["bad.yaml:1:1", "API version"]),
        (
            "apiVersion: kops.k8s.io/v1alpha2\nkind: Keyset\nmetadata: {name: a}\n".to_owned(),
            vec!["bad.yaml:2:7", "unknown kind `Keyset`"],
        ),
    ] {
        let file = user.file("bad.yaml", &text);
        refused(user.run(&format!("create -f {file} {NAMED}")), 1, &words);
        assert_eq!(user.state(), before);
    }
    let file = user.file(
        "bad.yaml",
        "{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {password: hunter3!}}\n",
    );
    let wrong = user.run(&format!("create -f {file} {NAMED}"));
    assert!(!stderr(&wrong).contains("hunter3"), "{}", stderr(&wrong));
    refused(wrong, 1, &["bad.yaml:1:", "data.password: this is not Base64"]);
}

#[test]
fn a_kind_that_somebody_else_calls_as_kops_does_is_an_additional_object() {
    let user = user_with_everything();
    let text = "apiVersion: cluster.x-k8s.io/v1beta1\nkind: Cluster\nmetadata: {name: a}\n";
    let file = user.file("other.yaml", text);
    user.run(&format!("create -f {file} {NAMED}")).code(0);
    let table = stdout(&user.run(&format!("get {NAMED}")).code(0));
    assert!(table.contains("Cluster.cluster.x-k8s.io\t"), "{table}");
    let file = user.file("other.yaml", &text.replace("cluster.x-k8s.io/v1beta1", "v1alpha2"));
    refused(
        user.run(&format!("create -f {file} {NAMED}")),
        1,
        &["does not read `v1alpha2`", "kops.k8s.io/v1alpha2"],
    );
}

#[test]
fn a_file_deletes_groups_and_keys_and_nothing_when_it_names_what_is_not_there() {
    let user = user_with_everything();
    let group = stdout(&user.run(&format!("get ig nodes-us-east-1b {NAMED} -o yaml")).code(0));
    let key = format!(
        "apiVersion: kops.k8s.io/v1alpha2\nkind: SSHCredential\nmetadata: {{name: admin}}\nspec:\n  publicKey: {KEY}\n"
    );
    let file = user.file("some.yaml", &format!("{group}---\n{key}"));
    let unknown =
        user.file("unknown.yaml", &format!("{group}---\n{}", group.replace("nodes-us-east-1b", "nope")));
    let before = user.state();
    refused(
        user.run(&format!("delete -f {unknown} {NAMED} --yes")),
        1,
        &["no InstanceGroup nope", "nothing was deleted"],
    );
    assert_eq!(user.state(), before);
    user.run(&format!("delete -f {file} --yes")).code(0);
    let left = stdout(&user.run(&format!("get {NAMED}")).code(0));
    assert!(!left.contains("nodes-us-east-1b") && !left.contains("SSH Credentials"), "{left}");
    refused(user.run("delete"), 1, &["delete what?", "-f"]);
}

#[test]
fn a_group_is_deleted_unless_the_cluster_needs_it() {
    let user = user_with_everything();
    let before = user.state();
    for (group, words) in [
        ("control-plane-us-east-1a", vec!["control-plane-us-east-1a"]),
        ("nope", vec!["no instance group `nope`"]),
    ] {
        refused(user.run(&format!("delete instancegroup {group} {NAMED} --yes")), 1, &words);
        assert_eq!(user.state(), before);
    }
    user.run(&format!("delete ig nodes-us-east-1b {NAMED}"))
        .code(0)
        .stdout_eq("instancegroup/nodes-us-east-1b\n");
    assert_eq!(user.state(), before);
    let deleted = stderr(&user.run(&format!("delete ig nodes-us-east-1b {NAMED} --yes")).code(0));
    assert!(deleted.contains("windlass update cluster --name demo.example.com --yes"), "{deleted}");
    // Without nodes, the master runs the pods.
    user.run(&format!("delete ig nodes-us-east-1a {NAMED} --yes")).code(0);
}

#[test]
fn a_group_is_created_with_the_numbers_of_kops() {
    let user = user_with_everything();
    let before = user.state();
    let dry =
        stdout(&user.run(&format!("create ig spare --subnet us-east-1b {NAMED} --dry-run -o yaml")).code(0));
    assert_eq!(
        dry,
        "apiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroup\nmetadata:\n  name: spare\n  labels:\n    \
         kops.k8s.io/cluster: demo.example.com\nspec:\n  role: Node\n  minSize: 2\n  maxSize: 2\n  \
         machineType: t3.medium\n  subnets:\n  - us-east-1b\n  nodeLabels:\n    \
         kops.k8s.io/instancegroup: spare\n"
    );
    assert_eq!(user.state(), before);
    for (line, words) in [
        ("spare", vec!["in which subnets", "us-east-1a, us-east-1b"]),
        ("spare --subnet nope", vec!["no subnet `nope`", "there are"]),
        ("spare --zone us-east-1c", vec!["no subnet in the zone `us-east-1c`"]),
        ("nodes-us-east-1a --subnet us-east-1a", vec!["`nodes-us-east-1a` already", "edit"]),
        ("m --role control-plane --subnet us-east-1a", vec!["leads to one master, and there are 2"]),
        ("spare --subnet us-east-1a --set spec.nope=1", vec!["nope"]),
    ] {
        refused(user.run(&format!("create ig {line} {NAMED} --edit=false")), 1, &words);
        assert_eq!(user.state(), before);
    }
    user.run(&format!("create ig spare --zone us-east-1b {NAMED} --set spec.maxSize=5")).code(0);
    let groups = stdout(&user.run(&format!("get ig spare {NAMED}")).code(0));
    assert!(groups.contains("spare\tNode\tt3.medium\t2\t5\tus-east-1b\n"), "{groups}");
}

#[test]
fn a_new_group_is_what_the_editor_leaves() {
    let user = user_with_everything();
    let line = format!("create instancegroup spare --subnet us-east-1a {NAMED}");
    let before = user.state();
    let cancelled = user.run_with(&line, &[("EDITOR", &user.editor("d"))]).code(0);
    assert!(stderr(&cancelled).contains("was not created"));
    refused(
        user.run_with(&line, &[("EDITOR", &user.editor("s/minSize: 2/minSize: 9/"))]),
        1,
        &["not mended", "minSize"],
    );
    assert_eq!(user.state(), before);
    user.run_with(&line, &[("EDITOR", &user.editor("s/maxSize: 2/maxSize: 7/"))]).code(0);
    let groups = stdout(&user.run(&format!("get ig spare {NAMED}")).code(0));
    assert!(groups.contains("\t2\t7\t"), "{groups}");
    // Left as it is, it is created as it is.
    user.run_with(&line.replace("spare", "more"), &[("EDITOR", "true")]).code(0);
    assert!(stdout(&user.run(&format!("get ig {NAMED}")).code(0)).contains("more\t"));
}

#[test]
fn shells_know_the_commands_over_documents() {
    let user = User::new();
    let script = stdout(&user.run("completion bash").code(0));
    for words in ["windlass__get__all", "windlass__create__instancegroup", "windlass__delete__instancegroup"]
    {
        let found = script.contains(words) || script.contains(&words.replace("__", "__subcmd__"));
        assert!(found, "{words}");
    }
    for line in ["get --help", "create --help", "delete --help"] {
        assert!(stdout(&user.run(line).code(0)).contains("instancegroup"), "{line}");
    }
}

/// What kops printed, and what is printed about it.
const EXPORTED: &str = include_str!("kops/exported.yaml");

/// What `docs/kops.md` says to change, as a script for sed.
const MENDING: &str = include_str!("kops/mend.sed");

#[test]
fn what_kops_exports_is_refused_with_every_problem_at_its_place() {
    let user = User::new();
    user.file("cluster.yaml", EXPORTED);
    let refusal = user.run("create -f cluster.yaml").code(1).stdout_eq("");
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kops/refusals.txt");
    snapbox::assert_data_eq!(stderr(&refusal), snapbox::Data::read_from(&golden, None).raw());
    assert!(user.state().is_empty());
}

#[test]
fn what_kops_exports_is_a_cluster_once_it_is_mended_as_the_documentation_says() {
    let user = User::new();
    let file = user.file("cluster.yaml", EXPORTED);
    let script = user.file("mend.sed", MENDING);
    let sed = std::process::Command::new("sed").args(["-i", "-f", &script, &file]).status().unwrap();
    assert!(sed.success());
    user.run("create -f cluster.yaml").code(0);
    let table = stdout(&user.run(&format!("get {NAMED}")).code(0));
    assert!(table.contains("nodes-us-east-1a\t\tNode\t\tt3.medium\t2\t2\tus-east-1a\n"), "{table}");
    assert!(table.contains("ConfigMap\tkube-system\tteam\n"), "{table}");
    let documentation = include_str!("../../docs/kops.md");
    for line in MENDING.lines() {
        assert!(documentation.contains(line), "docs/kops.md does not say `{line}`");
    }
}
