//! The flags of `update cluster` that ask for less than all of the specification, as kops has them.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args as ClapArgs, ValueEnum};

use crate::cli::diagnostic::Refusal;
use crate::cloud::Kind;
use crate::plan::{self, LeftAlone, Part};
use crate::spec::Documents;
use crate::spec::shape::nearest;
use crate::spec::v1alpha2::{InstanceGroupRole, Object};

/// What is to be updated.
#[derive(Clone, Debug, Default, ClapArgs)]
#[group(skip)]
#[command(next_help_heading = "A part of the specification")]
pub(crate) struct PartFlags {
    /// Only these instance groups, and what they need
    #[arg(
        long,
        visible_alias = "instance-groups",
        alias = "ig",
        value_delimiter = ',',
        value_name = "GROUP,…"
    )]
    instance_group: Vec<String>,
    /// Only the instance groups of these roles, and what they need
    #[arg(
        long,
        alias = "roles",
        alias = "role",
        value_delimiter = ',',
        value_name = "control-plane|apiserver|node|bastion,…"
    )]
    instance_group_roles: Vec<String>,
    /// Only this phase: network, then security, then cluster
    #[arg(long, value_enum)]
    phase: Option<Phase>,
    /// Leave resources of some kinds as they are: SecurityGroup=Ignore, VPC=ExistsAndWarnIfChanges
    #[arg(long, value_delimiter = ',', value_name = "KIND=LIFECYCLE,…")]
    lifecycle_overrides: Vec<String>,
    /// Delete what isn't asked for any more, which is done in any case
    #[arg(long)]
    prune: bool,
    /// Make this volume of etcd anew, blank, where it is lost for good: its master joins the other members (may be repeated)
    #[arg(long, value_name = "VOLUME")]
    replace_lost_volume: Vec<String>,
}

/// kops's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// VPC, subnets, gateways, routes
    Network,
    /// Roles, security groups, the SSH key
    #[value(alias = "iam")]
    Security,
    /// Everything else
    Cluster,
}

/// What kops calls its tasks for AWS, and the kinds that do the same here; nothing where windlass makes none.
const TASKS: [(&str, &[Kind]); 34] = [
    ("AutoscalingGroup", &[Kind::AutoScalingGroup]),
    ("AutoscalingLifecycleHook", &[]),
    ("DHCPOptions", &[]),
    ("DNSName", &[Kind::RecordSet]),
    ("DNSZone", &[Kind::HostedZoneAssociation]),
    ("EBSVolume", &[Kind::Volume]),
    ("EgressOnlyInternetGateway", &[Kind::EgressOnlyInternetGateway]),
    ("ElasticIP", &[Kind::ElasticIp]),
    ("EventBridgeRule", &[]),
    ("EventBridgeTarget", &[]),
    ("IAMInstanceProfile", &[Kind::InstanceProfile]),
    ("IAMInstanceProfileRole", &[Kind::InstanceProfile]),
    ("IAMOIDCProvider", &[Kind::OidcProvider]),
    ("IAMRole", &[Kind::Role, Kind::ServiceAccountRole]),
    ("IAMRolePolicy", &[Kind::Role, Kind::ServiceAccountRole]),
    ("InternetGateway", &[Kind::InternetGateway]),
    ("LaunchTemplate", &[Kind::LaunchTemplate]),
    ("ManagedFile", &[Kind::StateObject, Kind::DiscoveryDocument]),
    ("NatGateway", &[Kind::NatGateway]),
    ("NetworkLoadBalancer", &[Kind::NetworkLoadBalancer]),
    ("NetworkLoadBalancerListener", &[Kind::LoadBalancerListener]),
    ("Route", &[Kind::RouteTable]),
    ("RouteTable", &[Kind::RouteTable]),
    ("RouteTableAssociation", &[Kind::RouteTable]),
    ("SQS", &[]),
    ("SSHKey", &[Kind::KeyPair]),
    ("SecurityGroup", &[Kind::SecurityGroup]),
    ("SecurityGroupRule", &[Kind::SecurityGroupRules, Kind::ExistingGroupRules]),
    ("Subnet", &[Kind::Subnet]),
    ("TargetGroup", &[Kind::LoadBalancerTargetGroup]),
    ("VPC", &[Kind::Vpc]),
    ("VPCCIDRBlock", &[Kind::Vpc]),
    ("VPCDHCPOptionsAssociation", &[]),
    ("WarmPool", &[Kind::AutoScalingGroup]),
];

/// What kops calls what is to become of a task's resources.
const LIFECYCLES: [&str; 5] =
    ["Sync", "Ignore", "WarnIfInsufficientAccess", "ExistsAndValidates", "ExistsAndWarnIfChanges"];

impl PartFlags {
    /// What they ask for of a specification. Fails with everything in them that can't be understood.
    pub(super) fn part(&self, documents: &Documents) -> Result<Part, Refusal> {
        let mut problems = Vec::new();
        let groups = self.groups(documents, &mut problems);
        let left_alone = self.left_alone(&mut problems);
        if problems.is_empty() {
            let replace_lost = self.replace_lost_volume.iter().cloned().collect();
            return Ok(Part { groups, phase: self.phase.map(Phase::of_plan), left_alone, replace_lost });
        }
        Err(Refusal::new(problems.join("\n")))
    }

    /// What to type to ask for the same again, with a space before each flag.
    pub(super) fn to_repeat(&self) -> String {
        let lists = [
            ("instance-group", &self.instance_group),
            ("instance-group-roles", &self.instance_group_roles),
            ("lifecycle-overrides", &self.lifecycle_overrides),
        ];
        let replaced = self.replace_lost_volume.iter().map(|name| format!(" --replace-lost-volume {name}"));
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let lists = lists.map(|(flag, list)| format!(" --{flag} {}", list.join(",")));
        let phase = self.phase.map(|phase| format!(" --phase {}", phase.of_plan()));
        lists.chain(phase).chain(replaced).collect::<Vec<_>>().concat()
    }

    /// The groups that are named, and those of the roles; those that are both where names and roles are given, as with kops.
    fn groups(&self, documents: &Documents, problems: &mut Vec<String>) -> Option<BTreeSet<String>> {
        if self.instance_group.is_empty() && self.instance_group_roles.is_empty() {
            return None;
        }
        let groups = &documents.instance_groups;
        let known: BTreeSet<&str> = groups.iter().map(Object::name).collect();
        for name in self.instance_group.iter().filter(|name| !known.contains(name.as_str())) {
            let near = nearest(name, known.iter().copied());
            let near = near.map_or_else(
                || format!("there are: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            problems.push(format!("--instance-group: there is no instance group `{name}`; {near}"));
        }
        let mut roles = Vec::new();
        for written in &self.instance_group_roles {
            match role(written) {
                Ok(role) if groups.iter().any(|group| group.spec.role == Some(role)) => roles.push(role),
                Ok(_) => problems
                    .push(format!("--instance-group-roles: no instance group has the role `{written}`")),
                Err(problem) => problems.push(format!("--instance-group-roles: {problem}")),
            }
        }
        let is_named = |name: &str| {
            self.instance_group.is_empty() || self.instance_group.iter().any(|asked| asked == name)
        };
        let of_role = |role: Option<InstanceGroupRole>| {
            self.instance_group_roles.is_empty() || role.is_some_and(|role| roles.contains(&role))
        };
        let chosen = groups.iter().filter(|group| is_named(group.name()) && of_role(group.spec.role));
        let chosen: BTreeSet<String> = chosen.map(|group| group.name().to_owned()).collect();
        if chosen.is_empty() && problems.is_empty() {
            problems.push("--instance-group, --instance-group-roles: no instance group is both".to_owned());
        }
        Some(chosen)
    }

    fn left_alone(&self, problems: &mut Vec<String>) -> BTreeMap<Kind, LeftAlone> {
        let mut left_alone = BTreeMap::new();
        for written in &self.lifecycle_overrides {
            match lifecycle(written) {
                Ok((kinds, Some(how))) => left_alone.extend(kinds.into_iter().map(|kind| (kind, how))),
                Ok((kinds, None)) => left_alone.retain(|kind, _| !kinds.contains(kind)),
                Err(problem) => problems.push(format!("--lifecycle-overrides: {problem}")),
            }
        }
        left_alone
    }
}

/// A role by kops's words.
fn role(written: &str) -> Result<InstanceGroupRole, String> {
    match written.to_ascii_lowercase().as_str() {
        "control-plane" | "controlplane" | "master" => Ok(InstanceGroupRole::Master),
        "node" => Ok(InstanceGroupRole::Node),
        "bastion" => Ok(InstanceGroupRole::Bastion),
        "apiserver" | "api-server" => Ok(InstanceGroupRole::ApiServer),
        word @ ("etcd" | "scheduler" | "kubecontrollermanager") => {
            Err(format!("`{word}` runs on masters here, and has no groups of its own"))
        }
        _ => Err(format!("`{written}` is no role; there are: control-plane, apiserver, node, bastion")),
    }
}

/// The kinds that an override is about, and what is to become of them; nothing special with `Sync`.
fn lifecycle(written: &str) -> Result<(Vec<Kind>, Option<LeftAlone>), String> {
    let (task, word) = written.split_once('=').ok_or_else(|| format!("`{written}` is not KIND=LIFECYCLE"))?;
    let how = match word {
        "Sync" => None,
        "Ignore" => Some(LeftAlone::Ignored),
        "ExistsAndWarnIfChanges" => Some(LeftAlone::MustExist),
        "ExistsAndValidates" => Some(LeftAlone::MustBeRight),
        "WarnIfInsufficientAccess" => {
            return Err(format!(
                "`{written}`: windlass doesn't go on where AWS denied something, as what comes next may need it"
            ));
        }
        _ => return Err(format!("`{word}` is not known; there are: {}", LIFECYCLES.join(", "))),
    };
    Ok((kinds(task)?, how))
}

/// The kinds that kops or windlass calls so; kops's documentation writes some of its tasks in the plural.
fn kinds(task: &str) -> Result<Vec<Kind>, String> {
    if let Some(kind) = Kind::ALL.iter().find(|kind| kind.name() == task) {
        return Ok(vec![*kind]);
    }
    let is_it = |name: &str| task == name || task.strip_suffix('s') == Some(name);
    match TASKS.iter().find(|(name, _)| is_it(name)) {
        Some((name, [])) => Err(format!("windlass makes nothing that is `{name}` with kops")),
        Some((_, kinds)) => Ok(kinds.to_vec()),
        None => {
            let near = nearest(task, TASKS.iter().map(|(name, _)| *name));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(format!("`{task}` is neither a task of kops's nor a kind of windlass's{near}"))
        }
    }
}

impl Phase {
    fn of_plan(self) -> plan::Phase {
        match self {
            Self::Network => plan::Phase::Network,
            Self::Security => plan::Phase::Security,
            Self::Cluster => plan::Phase::Cluster,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{CreateOptions, create};

    fn documents() -> Documents {
        let zones = vec!["us-east-1a".to_owned()];
        create(&CreateOptions { name: "demo.example.com".to_owned(), zones, ..CreateOptions::default() })
            .unwrap()
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    fn groups(names: &[&str], roles: &[&str]) -> Result<Vec<String>, String> {
        let flags = PartFlags {
            instance_group: texts(names),
            instance_group_roles: texts(roles),
            ..PartFlags::default()
        };
        let part = flags.part(&documents()).map_err(|refusal| refusal.to_string())?;
        Ok(part.groups.into_iter().flatten().collect())
    }

    #[test]
    fn instance_groups_are_named_or_have_a_role_and_what_is_neither_is_told_at_once() {
        assert_eq!(groups(&["nodes-us-east-1a"], &[]).unwrap(), ["nodes-us-east-1a"]);
        assert_eq!(groups(&[], &["control-plane"]).unwrap(), ["control-plane-us-east-1a"]);
        assert_eq!(groups(&[], &["Master", "node"]).unwrap().len(), 2);
        assert_eq!(groups(&["nodes-us-east-1a"], &["node"]).unwrap(), ["nodes-us-east-1a"]);
        assert!(groups(&["nodes-us-east-1a"], &["master"]).unwrap_err().contains("is both"));
        let told = groups(&["nodes-us-east-1b"], &["bastion", "etcd", "x"]).unwrap_err();
        for expected in
            ["did you mean `nodes-us-east-1a`?", "the role `bastion`", "`etcd` runs on", "`x` is no role"]
        {
            assert!(told.contains(expected), "{told}");
        }
        assert!(PartFlags::default().part(&documents()).unwrap().is_whole());
        assert_eq!(PartFlags { prune: true, ..PartFlags::default() }.to_repeat(), "");
        assert!(PartFlags { prune: true, ..PartFlags::default() }.part(&documents()).unwrap().is_whole());
    }

    #[test]
    fn lifecycles_are_kops_s_and_those_that_can_t_be_kept_are_refused_by_name() {
        let left = |overrides: &[&str]| {
            let flags = PartFlags { lifecycle_overrides: texts(overrides), ..PartFlags::default() };
            flags.part(&documents()).map(|part| part.left_alone).map_err(|refusal| refusal.to_string())
        };
        let found =
            left(&["SecurityGroups=Ignore", "VPC=ExistsAndValidates", "subnet=ExistsAndWarnIfChanges"]);
        let expected = [
            (Kind::Vpc, LeftAlone::MustBeRight),
            (Kind::Subnet, LeftAlone::MustExist),
            (Kind::SecurityGroup, LeftAlone::Ignored),
        ];
        assert_eq!(found.unwrap(), BTreeMap::from(expected));
        assert!(left(&["IAMRole=Ignore", "IAMRole=Sync"]).unwrap().is_empty());
        let told =
            left(&["IAMRoles=Never", "Vpn=Ignore", "SQS=Ignore", "VPC", "VPC=WarnIfInsufficientAccess"]);
        let told = told.unwrap_err();
        for expected in [
            "`Never` is not known",
            "`Vpn` is neither",
            "nothing that is `SQS`",
            "not KIND=LIFECYCLE",
            "denied",
        ] {
            assert!(told.contains(expected), "{told}");
        }
        assert!(TASKS.is_sorted_by_key(|(name, _)| *name));
    }
}
