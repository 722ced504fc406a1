//! Reads, completes and checks specifications of growing size, in turn, and prints one JSON object for each size.
//! `tests/bench/run` runs it and shows the rows side by side: ten times the groups should cost about ten times as much.

#![expect(clippy::print_stdout, reason = "the measurements are what this prints")]

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::ensure;
use windlass::spec::{Source, read};

/// How many instance groups the specifications have.
const SIZES: [usize; 2] = [100, 1000];
/// How often each is measured.
const ROUNDS: usize = 10;

const CLUSTER: &str = "\
apiVersion: kops.k8s.io/v1alpha2
kind: Cluster
metadata: {name: bench.example.com}
spec:
  networking: {flannel: {}}
  subnets:
  - {zone: us-east-1a}
---
apiVersion: kops.k8s.io/v1alpha2
kind: InstanceGroup
metadata: {name: control-plane-us-east-1a}
spec: {role: Master}
";

fn main() -> anyhow::Result<()> {
    let texts = SIZES.map(specification);
    let mut milliseconds = SIZES.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((text, size), measured) in texts.iter().zip(SIZES).zip(&mut milliseconds) {
            let started = Instant::now();
            let documents = read(vec![Source { name: "bench.yaml".to_owned(), text: text.clone() }])?;
            let cluster = documents.resolve()?;
            measured.push(started.elapsed().as_secs_f64() * 1000.0);
            ensure!(cluster.instance_groups.len() == size + 1, "groups were lost");
        }
    }
    for (size, milliseconds) in SIZES.iter().zip(milliseconds) {
        println!("{}", serde_json::json!({"instanceGroups": size, "milliseconds": milliseconds}));
    }
    Ok(())
}

/// A cluster with so many groups of nodes.
fn specification(groups: usize) -> String {
    let mut text = CLUSTER.to_owned();
    for number in 0..groups {
        let _ = write!(
            text,
            "---\napiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroup\nmetadata:\n  name: nodes-{number}\n  labels:\n    \
             kops.k8s.io/cluster: bench.example.com\nspec:\n  role: Node\n  machineType: m6i.large\n  minSize: 0\n  \
             maxSize: 4\n  nodeLabels:\n    example.com/tier: t{number}\n  taints:\n  - example.com/tier=t{number}:NoSchedule\n  \
             subnets:\n  - us-east-1a\n"
        );
    }
    text
}
