//! `windlass get instances`: lists instances with where their boot stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args as ClapArgs;
use serde::Serialize;
use windlass_bootstrap::config::Role;
use windlass_bootstrap::report::{BootState, Status};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output::{self, Format, Table};
use crate::health::{CloudView, Instance, Unanswered, observe, silent_for};
use crate::kube::Node;
use crate::ops::RunningCluster;
use crate::spec::cluster::Cluster;
use crate::spec::to_yaml;

/// `windlass get instances`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass get instances`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let running = context.running_cluster(args.cluster.as_deref()).await?;
    let name = &running.cluster.name;
    let (cloud, nodes) = tokio::join!(observe::cloud(&running.clients, name), nodes(&running));
    let cloud = cloud?;
    let ids: Vec<String> = cloud.instances.keys().cloned().collect();
    let boot = observe::reports(running.store(), name, &ids).await?;
    let nodes = nodes?.unwrap_or_else(|unanswered| {
        output::say(&format!("note: {}; the names of nodes are missing", unanswered.message));
        Vec::new()
    });
    if cloud.instances.is_empty() {
        output::say(&format!("the cluster {name} has no instances"));
    }
    let rows = rows(&running.cluster, &cloud, &boot, &nodes);
    match args.output {
        Format::Table => output::print(&table(&rows, jiff::Timestamp::now()))?,
        Format::Yaml => output::print(&to_yaml(&rows))?,
        Format::Json => output::print_json(&rows)?,
    }
    Ok(Exit::Done)
}

async fn nodes(running: &RunningCluster) -> anyhow::Result<Result<Vec<Node>, Unanswered>> {
    Ok(match running.connect().await? {
        Ok(api) => api.nodes().await.map(|nodes| nodes.items).map_err(|error| Unanswered::from(&error)),
        Err(unanswered) => Err(unanswered),
    })
}

/// An instance, as it is listed. The first nine fields are kops's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    node_name: String,
    status: &'static str,
    roles: Vec<&'static str>,
    #[serde(rename = "internalIP")]
    internal_ip: String,
    #[serde(rename = "externalIP")]
    external_ip: String,
    instance_group: String,
    machine_type: String,
    state: String,
    zone: String,
    /// The whole report, with the times of its steps.
    boot: Option<Status>,
}

fn rows(cluster: &Cluster, cloud: &CloudView, boot: &BTreeMap<String, Status>, nodes: &[Node]) -> Vec<Row> {
    let row = |instance: &Instance| {
        let node = nodes.iter().find(|node| node.instance.as_ref() == Some(&instance.id));
        let group = instance.instance_group.clone().unwrap_or_default();
        let role = cluster.instance_groups.iter().find(|known| known.name == group).map(|known| match known
            .role()
        {
            Role::ControlPlane => "control-plane",
            Role::Node => "node",
            Role::Bastion => "bastion",
            Role::ApiServer => "apiserver",
        });
        Row {
            id: instance.id.clone(),
            node_name: node.map(|node| node.name.clone()).unwrap_or_default(),
            status: status(cloud, instance),
            roles: role.into_iter().collect(),
            internal_ip: instance.private_address.clone().unwrap_or_default(),
            external_ip: instance.public_address.clone().unwrap_or_default(),
            instance_group: group,
            machine_type: instance.machine_type.clone(),
            state: instance.state.clone(),
            zone: instance.zone.clone(),
            boot: boot.get(&instance.id).cloned(),
        }
    };
    cloud.instances.values().map(row).collect()
}

/// Whether an instance is what its Auto Scaling group would launch today.
fn status(cloud: &CloudView, instance: &Instance) -> &'static str {
    let membership = cloud.groups.iter().find_map(|group| {
        let mut members = group.members.iter().chain(&group.warm);
        members.find(|member| member.instance == instance.id).map(|member| (group, member))
    });
    match membership {
        None => "Detached",
        Some((_, member)) if member.is_leaving() => "Leaving",
        Some((group, member)) if member.template_version == group.template_version => "UpToDate",
        Some(_) => "NeedsUpdate",
    }
}

fn table(rows: &[Row], now: jiff::Timestamp) -> String {
    let mut table = Table::new([
        "ID",
        "NODE-NAME",
        "STATUS",
        "ROLES",
        "STATE",
        "INTERNAL-IP",
        "EXTERNAL-IP",
        "INSTANCE-GROUP",
        "MACHINE-TYPE",
        "BOOT",
    ]);
    for row in rows {
        table.row([
            row.id.clone(),
            row.node_name.clone(),
            row.status.to_owned(),
            row.roles.join(", "),
            row.state.clone(),
            row.internal_ip.clone(),
            row.external_ip.clone(),
            row.instance_group.clone(),
            row.machine_type.clone(),
            row.boot.as_ref().map_or_else(|| "no report".to_owned(), |boot| boot_cell(boot, now)),
        ]);
    }
    table.render()
}

/// Where the boot stands, and what goes wrong after it.
fn boot_cell(boot: &Status, now: jiff::Timestamp) -> String {
    let step = &boot.step;
    let because = boot.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let mut cell = match boot.state {
        BootState::Ready => "ready".to_owned(),
        BootState::Running => format!("{step} runs"),
        BootState::Waiting => format!("{step} waits{because}"),
        BootState::Failed => format!("{step} failed{because}"),
    };
    for notice in boot.draining.iter().chain(&boot.notices) {
        let _ = write!(cell, "; {notice}");
    }
    for task in &boot.failing {
        let _ = write!(cell, "; {} fails: {}", task.name, task.error);
    }
    if let Some(silence) = silent_for(boot, now) {
        let _ = write!(cell, "; silent for {} min", silence.as_mins());
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::sample;
    use crate::health::{Group, Member};
    use crate::kube::Ready;

    const NOW: &str = "2026-11-21T02:02:03Z";

    #[test]
    fn instances_are_listed_with_their_groups_nodes_and_boots_and_what_fails_after_them() {
        let rows = rows(&sample::cluster(), &cloud(), &boot(), &nodes());
        let expected = concat!(
            "ID\tNODE-NAME\tSTATUS\t\tROLES\t\tSTATE\tINTERNAL-IP\tEXTERNAL-IP\tINSTANCE-GROUP\t\t\tMACHINE-TYPE\tBOOT\n",
            "i-0a\ti-0a\t\tUpToDate\tcontrol-plane\trunning\t172.20.32.11\t203.0.113.7\tcontrol-plane-us-east-1a\t",
            "t3.medium\tready; renew_certificates fails: no space; silent for 9 min\n",
            "i-0b\t\t\tNeedsUpdate\tnode\t\trunning\t172.20.32.12\t\t\tnodes-us-east-1a\t\tt3.medium\t",
            "ensure_image failed: wrong version\n",
            "i-0c\t\t\tDetached\tnode\t\trunning\t172.20.32.13\t\t\tnodes-us-east-1a\t\tt3.medium\tno report\n",
        );
        snapbox::assert_data_eq!(table(&rows, NOW.parse().unwrap()), snapbox::Data::text(expected).raw());
    }

    #[test]
    fn as_data_the_fields_are_those_of_kops_and_the_boot() {
        let rows = rows(&sample::cluster(), &cloud(), &boot(), &nodes());
        let data = serde_json::to_value(&rows[1]).unwrap();
        assert_eq!(
            data,
            serde_json::json!({
                "id": "i-0b", "nodeName": "", "status": "NeedsUpdate", "roles": ["node"],
                "internalIP": "172.20.32.12", "externalIP": "", "instanceGroup": "nodes-us-east-1a",
                "machineType": "t3.medium", "state": "running", "zone": "us-east-1a",
                "boot": {"version": "windlass/v1", "instance": "i-0b", "instanceGroup": "g", "zone": "us-east-1a",
                         "agent": "0.1.0", "state": "failed", "step": "ensure_image", "reason": "wrong version",
                         "since": "2026-11-21T01:02:03Z", "agentStartedAfter": 2.5, "steps": []},
            })
        );
    }

    fn cloud() -> CloudView {
        let instance = |id: &str, group: &str, private: &str, public: Option<&str>| Instance {
            id: id.to_owned(),
            state: "running".to_owned(),
            instance_group: Some(group.to_owned()),
            zone: "us-east-1a".to_owned(),
            machine_type: "t3.medium".to_owned(),
            private_address: Some(private.to_owned()),
            public_address: public.map(str::to_owned),
            launched: None,
        };
        let group = |name: &str, member: &str, version: &str| Group {
            suspended: Vec::new(),
            stopped: None,
            name: format!("{name}.demo.example.com"),
            instance_group: name.to_owned(),
            desired: 1,
            template_version: Some("2".to_owned()),
            warm: Vec::new(),
            members: vec![Member {
                instance: member.to_owned(),
                lifecycle: "InService".to_owned(),
                template_version: Some(version.to_owned()),
            }],
        };
        let instances = [
            instance("i-0a", "control-plane-us-east-1a", "172.20.32.11", Some("203.0.113.7")),
            instance("i-0b", "nodes-us-east-1a", "172.20.32.12", None),
            instance("i-0c", "nodes-us-east-1a", "172.20.32.13", None),
        ];
        CloudView {
            groups: vec![
                group("control-plane-us-east-1a", "i-0a", "2"),
                group("nodes-us-east-1a", "i-0b", "1"),
            ],
            instances: instances.map(|instance| (instance.id.clone(), instance)).into(),
        }
    }

    fn boot() -> BTreeMap<String, Status> {
        let status = |id: &str, state: &str, step: &str, reason: Option<&str>| -> (String, Status) {
            let status = serde_json::json!({"version": "windlass/v1", "instance": id, "instanceGroup": "g",
                "zone": "us-east-1a", "agent": "0.1.0", "state": state, "step": step, "reason": reason,
                "since": "2026-11-21T01:02:03Z", "agentStartedAfter": 2.5, "steps": []});
            (id.to_owned(), serde_json::from_value(status).unwrap())
        };
        let mut kept = status("i-0a", "ready", "ensure_joined", None);
        kept.1.last_seen = Some("2026-11-21T01:53:03Z".parse().unwrap());
        kept.1.failing = serde_json::from_value(serde_json::json!([
            {"name": "renew_certificates", "since": "2026-11-21T01:40:03Z", "error": "no space"}]))
        .unwrap();
        [kept, status("i-0b", "failed", "ensure_image", Some("wrong version"))].into()
    }

    fn nodes() -> Vec<Node> {
        vec![Node {
            name: "i-0a".to_owned(),
            instance: Some("i-0a".to_owned()),
            ready: Ready::Yes,
            control_plane: true,
            zone: None,
            hostname: "i-0a".to_owned(),
            internal_address: None,
        }]
    }
}
