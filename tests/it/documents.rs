//! Whatever is done with documents is done with all kinds of them: clusters, groups, SSH keys and additional objects.

use crate::support::user::{User, refused, stderr, stdout};

const NAMED: &str = "--name demo.example.com";

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3GXUzxwM2cTAJ6vVDzCVgr3h8U6ZIRkvG1b6mLbMrE me@example.com";

const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl you@example.com";

/// An SSH key as a document, whose metadata are these.
fn credential(metadata: &str, key: &str) -> String {
    format!(
        "apiVersion: kops.k8s.io/v1alpha2\nkind: SSHCredential\nmetadata: {metadata}\nspec:\n  publicKey: {key}\n"
    )
}

/// A user, and the documents of a cluster that isn't created yet, which brings its own network.
fn user_and_documents() -> (User, String) {
    let user = User::new();
    let line = format!("create cluster {NAMED} --zones us-east-1a --networking cni --dry-run");
    let documents = stdout(&user.run(&line).code(0));
    (user, documents)
}

fn user_with_cluster() -> (User, String) {
    let (user, documents) = user_and_documents();
    let file = user.file("cluster.yaml", &documents);
    user.run(&format!("create -f {file}")).code(0);
    (user, documents)
}

#[test]
fn an_ssh_key_is_created_and_replaced_from_files_as_carefully_as_a_group() {
    let (user, _) = user_with_cluster();
    let key = user.file("key.yaml", &credential("{name: admin}", KEY));
    let other = user.file("other.yaml", &credential("{name: admin}", OTHER_KEY));
    let before = user.state();
    refused(
        user.run(&format!("replace -f {key} {NAMED}")),
        1,
        &["no SSHCredential admin to replace", "--force"],
    );
    assert_eq!(user.state(), before);
    let created = stderr(&user.run(&format!("create -f {key} {NAMED}")).code(0));
    assert!(created.contains("Created sshcredential/admin\n"), "{created}");
    let again = stderr(&user.run(&format!("create -f {key} {NAMED}")).code(0));
    assert!(again.contains("Nothing to create"), "{again}");
    let before = user.state();
    refused(
        user.run(&format!("create -f {other} {NAMED}")),
        1,
        &["SSHCredential admin is there already", "replace -f"],
    );
    assert_eq!(user.state(), before);
    let replaced = stderr(&user.run(&format!("replace -f {other} {NAMED}")).code(0));
    assert!(replaced.contains("Replaced sshcredential/admin\n"), "{replaced}");
    assert!(stdout(&user.run(&format!("get all {NAMED} -o yaml")).code(0)).contains(OTHER_KEY));
}

#[test]
fn what_a_whole_cluster_was_created_with_is_all_told() {
    let (user, documents) = user_and_documents();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n";
    let all = format!("{documents}---\n{}---\n{map}", credential("{name: admin}", KEY));
    let file = user.file("cluster.yaml", &all);
    let said = stderr(&user.run(&format!("create -f {file}")).code(0));
    for name in ["cluster/demo.example.com", "instancegroup/", "sshcredential/admin", "configmap/web"] {
        assert!(said.contains(&format!("Created {name}")), "{name}: {said}");
    }
}

#[test]
fn an_ssh_key_without_a_name_gets_the_one_that_a_cluster_s_key_has_and_is_kept() {
    let (user, documents) = user_and_documents();
    let key = credential("{labels: {kops.k8s.io/cluster: demo.example.com}}", KEY);
    let file = user.file("cluster.yaml", &format!("{documents}---\n{key}"));
    user.run(&format!("create -f {file}")).code(0);
    let table = stdout(&user.run(&format!("get {NAMED}")).code(0));
    assert!(table.contains("\nSSH Credentials\nNAME\tKIND\nadmin\tssh-ed25519\n"), "{table}");
}

#[test]
fn a_cluster_whose_add_ons_would_take_over_an_additional_object_is_refused_when_it_is_written() {
    let (user, documents) = user_and_documents();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: flannel, namespace: kube-flannel}\n";
    let file = user.file("cluster.yaml", &format!("{documents}---\n{map}"));
    user.run(&format!("create -f {file}")).code(0);
    let before = user.state();
    let cluster = documents.split("---\n").find(|document| document.contains("kind: Cluster\n")).unwrap();
    assert!(cluster.contains("    cni: {}\n"), "{cluster}");
    let replaced = user.file("replaced.yaml", &cluster.replace("    cni: {}\n", "    flannel: {}\n"));
    refused(
        user.run(&format!("replace -f {replaced}")),
        1,
        &["ConfigMap kube-flannel/flannel is windlass's own, of its add-on flannel"],
    );
    assert_eq!(user.state(), before);
}

#[test]
fn another_document_that_an_editor_leaves_behind_is_refused_and_not_forgotten() {
    let (user, _) = user_with_cluster();
    let before = user.state();
    let more = user.file("more.yaml", "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n");
    // Opened again with what is wrong, it leaves the file as it is.
    let script = format!("grep -q ConfigMap \"$1\" || cat {more} >> \"$1\"\n");
    let editor = format!("sh {}", user.file("editor.sh", &script));
    refused(
        user.run_with(&format!("edit cluster {NAMED}"), &[("EDITOR", &editor)]),
        1,
        &["not mended", "exactly one Cluster, and nothing else"],
    );
    assert_eq!(user.state(), before);
}
