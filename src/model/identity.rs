//! What instances may do on AWS: an IAM role for each of theirs.
//!
//! The state is cut by prefix, as `windlass_bootstrap::keys` lists it: a node reads what is public and what lets it
//! ask for a certificate, and no signing key. What changes EC2 is allowed only to masters, and only on what carries
//! the cluster's tag; volumes and addresses must carry the mark of a master besides.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use windlass_bootstrap::config::Role;
use windlass_bootstrap::tags as shared;

use super::{Desired, Inputs, ModelError, interruption, named, role_prefix, workload_identity};
use crate::aws::tags::Tags;
use crate::cloud::Reference;
use crate::cloud::instance_profile::InstanceProfile;
use crate::cloud::role::{self, Role as IamRole};
use crate::spec::cluster::{Cluster, Permissions};

/// Adds the IAM role and the instance profile of a role's instances. `statements` are what they have to do, `may` is what the
/// user lets them do besides.
pub(super) fn add(
    inputs: &Inputs<'_>,
    role: Role,
    mut statements: Vec<Value>,
    may: &Permissions,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    let name = name(inputs.cluster, role);
    if inputs.cluster.container_registry && role != Role::Bastion {
        statements.extend(read_registries(inputs));
    }
    statements.extend(use_key(inputs));
    statements.extend(for_addons(inputs, role));
    statements.extend(may.statements.iter().cloned());
    desired.insert(IamRole {
        name: name.clone(),
        trust: trust(&inputs.facts.partition),
        policy: Some(json!({"Version": "2012-10-17", "Statement": statements})),
        attached: may.attached.clone(),
        other_policies: BTreeSet::new(),
        tags: tags_of_role(inputs, role, &name)?,
    })?;
    desired.insert(InstanceProfile {
        role: Some(Reference::to(&name)),
        tags: named(inputs.cluster, &name)?,
        name,
    })
}

/// The tags of a role. Those of the masters' say where else something of the cluster is.
fn tags_of_role(inputs: &Inputs<'_>, role: Role, name: &str) -> Result<Tags, ModelError> {
    let mut tags = named(inputs.cluster, name)?;
    if role == Role::ControlPlane {
        tags.extend(workload_identity::marks(inputs)?);
        tags.extend(interruption::mark(inputs.cluster));
    }
    Ok(tags)
}

/// What instances of a role may do for the cluster's add-ons, with what their statements leave open filled in.
fn for_addons(inputs: &Inputs<'_>, role: Role) -> Vec<Value> {
    let facts = inputs.facts;
    let places = [
        ("{partition}", facts.partition.as_str()),
        ("{account}", &facts.account),
        ("{region}", &facts.region),
        ("{cluster}", &inputs.cluster.name),
    ];
    inputs.addons.iter().flat_map(|addon| addon.policy.of(role)).map(|it| filled(it, &places)).collect()
}

/// The statement with the places in its texts filled in: those of values, and those of keys, which in a condition may be
/// names of tags.
fn filled(value: &Value, places: &[(&str, &str)]) -> Value {
    let fill =
        |text: &str| places.iter().fold(text.to_owned(), |text, (place, value)| text.replace(place, value));
    match value {
        Value::String(text) => Value::from(fill(text)),
        Value::Array(values) => values.iter().map(|value| filled(value, places)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (fill(key), filled(value, places))).collect()
        }
        other => other.clone(),
    }
}

/// The name of a role, and of its instance profile.
pub(super) fn name(cluster: &Cluster, role: Role) -> String {
    role::name_for(role_prefix(role), &cluster.name)
}

fn trust(partition: &str) -> Value {
    let service = if partition == "aws-cn" { "ec2.amazonaws.com.cn" } else { "ec2.amazonaws.com" };
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    })
}

/// The cluster's part of the bucket, as ARNs.
pub(super) struct State {
    bucket: String,
    /// Of the keys, up to and including the cluster's name.
    prefix: String,
}

impl State {
    pub(super) fn new(inputs: &Inputs<'_>) -> Result<Self, ModelError> {
        let location = inputs.state;
        let (bucket, prefix) =
            location.bucket_and_prefix().ok_or_else(|| ModelError::StateStore(location.url.clone()))?;
        Ok(Self {
            bucket: format!("arn:{}:s3:::{bucket}", inputs.facts.partition),
            prefix: format!("{prefix}{}", inputs.cluster.name),
        })
    }

    /// The ARN of an object, or of all that a pattern stands for.
    fn object(&self, key: &str) -> String {
        format!("{}/{}/{key}", self.bucket, self.prefix)
    }

    fn read(&self, folders: &[&str]) -> Value {
        let all: Vec<String> = folders.iter().map(|folder| format!("{folder}/*")).collect();
        self.read_objects(&all)
    }

    fn read_objects(&self, keys: &[String]) -> Value {
        let objects: Vec<String> = keys.iter().map(|key| self.object(key)).collect();
        json!({"Sid": "ReadState", "Effect": "Allow", "Action": "s3:GetObject", "Resource": objects})
    }

    /// Besides what is given, an instance writes its own report: for the role of an instance `aws:userid` is `<role
    /// id>:<instance id>` (IAM User Guide, "IAM policy elements: Variables and tags", principal key values), and nobody
    /// but EC2 may assume the role.
    fn write(&self, keys: &[&str]) -> Value {
        let own = ["status/${aws:userid}.json"];
        let objects: Vec<String> = own.iter().chain(keys).map(|key| self.object(key)).collect();
        // What is written again and again is tagged, so that earlier versions expire.
        let actions = ["s3:PutObject", "s3:PutObjectTagging"];
        json!({"Sid": "WriteState", "Effect": "Allow", "Action": actions, "Resource": objects})
    }

    /// Objects that aren't there yet may be written: a request that doesn't ask S3 to fail where there is one is denied (S3 User
    /// Guide, "Enforce conditional writes on Amazon S3 buckets"). Nothing of it can be written over, and nobody who may only
    /// this can delete it.
    fn add(&self, folder: &str) -> Value {
        json!({
            "Sid": "AddToState",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": self.object(&format!("{folder}/*")),
            "Condition": {"Null": {"s3:if-none-match": "false"}},
        })
    }

    /// S3 answers "denied" for an object that isn't there to whoever may not list the bucket, and whether the marker of
    /// an initialised etcd is *there* is what a master must know: it lists that key. Only a listing that names its
    /// prefix is allowed, so that nothing else of the bucket can be listed.
    fn list(&self, folders: &[&str]) -> Value {
        let prefixes: Vec<String> =
            folders.iter().map(|folder| format!("{}/{folder}/*", self.prefix)).collect();
        json!({
            "Sid": "ListState",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": self.bucket,
            "Condition": {"StringLike": {"s3:prefix": prefixes}},
        })
    }
}

/// What a bucket needs that encrypts with a key of its owner's: to read is to decrypt, to write is to generate a data
/// key (S3 User Guide, "Using server-side encryption with AWS KMS keys"). Only by way of S3.
fn use_key(inputs: &Inputs<'_>) -> Option<Value> {
    let key = inputs.state.kms_key.as_ref()?;
    let suffix = if inputs.facts.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    Some(json!({
        "Sid": "UseStateKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": key,
        "Condition": {"StringEquals": {"kms:ViaService": format!("s3.{}.{suffix}", inputs.state.region)}},
    }))
}

pub(super) fn nodes(inputs: &Inputs<'_>, state: &State) -> Vec<Value> {
    let own = [state.read(&["public", "nodes"]), state.write(&[])];
    let own = own.into_iter().chain(see_volumes(inputs, Role::Node));
    own.chain(interruption::complete_actions(inputs)).collect()
}

/// An API server beside the masters joins as a node, and reads what it signs its certificates and tokens with, and what it
/// encrypts what it stores with: the same keysets as a master.
pub(super) fn api_servers(inputs: &Inputs<'_>, state: &State) -> Vec<Value> {
    let folders = ["public", "nodes", "control-plane/keysets"].map(|folder| format!("{folder}/*"));
    let keys: Vec<String> =
        folders.into_iter().chain(["control-plane/encryption-configuration.json".to_owned()]).collect();
    let own = [state.read_objects(&keys), state.write(&[])];
    own.into_iter().chain(see_volumes(inputs, Role::ApiServer)).collect()
}

/// A bastion, which the Internet reaches, reads what anybody may know of the cluster, and nothing that nodes join with.
pub(super) fn bastions(inputs: &Inputs<'_>, state: &State) -> Vec<Value> {
    let own = [state.read(&["public"]), state.write(&[])];
    own.into_iter().chain(see_volumes(inputs, Role::Bastion)).collect()
}

/// An instance finds its further volumes by the names that EC2 knows them by; EC2 knows no narrower resource for looking.
fn see_volumes(inputs: &Inputs<'_>, role: Role) -> Option<Value> {
    let mut groups = inputs.cluster.instance_groups.iter();
    groups.any(|group| group.role() == role && !group.mounts.is_empty()).then(|| {
        json!({
            "Sid": "SeeVolumes",
            "Effect": "Allow",
            "Action": "ec2:DescribeVolumes",
            "Resource": "*",
        })
    })
}

pub(super) fn masters(inputs: &Inputs<'_>, state: &State) -> Vec<Value> {
    let ec2 = Ec2::new(inputs);
    let mut statements = vec![
        state.read(&["public", "nodes", "control-plane", "backups/etcd"]),
        state.write(&["nodes/bootstrap-token.json", "control-plane/etcd/*"]),
        state.add("backups/etcd"),
        state.list(&["control-plane", "backups/etcd"]),
        // EC2 knows no narrower resource for looking.
        json!({
            "Sid": "SeeInstances",
            "Effect": "Allow",
            "Action": ["ec2:DescribeAddresses", "ec2:DescribeInstances", "ec2:DescribeVolumes"],
            "Resource": "*",
        }),
        // Both the volume and the instance are checked, each by its own statement.
        ec2.allow("TakeVolume", &["ec2:AttachVolume", "ec2:DetachVolume"], &["volume"], true),
        ec2.allow("TakeVolumeOnto", &["ec2:AttachVolume", "ec2:DetachVolume"], &["instance"], false),
        ec2.allow("MarkVolume", &["ec2:CreateTags"], &["volume"], true),
    ];
    if inputs.cluster.api.elastic_ip {
        let onto = ["instance", "network-interface"];
        statements.push(ec2.allow("TakeElasticIp", &["ec2:AssociateAddress"], &["elastic-ip"], true));
        statements.push(ec2.allow("TakeElasticIpOnto", &["ec2:AssociateAddress"], &onto, false));
    }
    let interface = ["network-interface"];
    let mut take = vec!["ec2:AssignPrivateIpAddresses"];
    take.extend(inputs.cluster.network.is_ipv6().then_some("ec2:AssignIpv6Addresses"));
    statements.push(ec2.allow("TakePrivateAddress", &take, &interface, false));
    let keys: Vec<String> = inputs
        .cluster
        .masters()
        .flat_map(|master| &master.members)
        .filter_map(|held| held.volume.kms_key.as_ref().map(|key| inputs.facts.kms_key(key)))
        .collect();
    if !keys.is_empty() {
        statements.push(json!({
            "Sid": "OpenEncryptedVolume",
            "Effect": "Allow",
            "Action": "kms:CreateGrant",
            "Resource": keys,
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        }));
    }
    statements.extend(interruption::read_queue(inputs));
    if inputs.cluster.has_interruption_queue() {
        statements.extend(interruption::complete_actions(inputs));
    }
    statements
}

/// Pulling images from ECR: of the account's own registries, and as with kops of others that let this account in, which
/// their own policies say. A token can't be narrowed down.
fn read_registries(inputs: &Inputs<'_>) -> [Value; 2] {
    let repositories = format!("arn:{}:ecr:*:*:repository/*", inputs.facts.partition);
    [
        json!({
            "Sid": "EnterRegistries",
            "Effect": "Allow",
            "Action": "ecr:GetAuthorizationToken",
            "Resource": "*",
        }),
        json!({
            "Sid": "ReadRegistries",
            "Effect": "Allow",
            "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            ],
            "Resource": repositories,
        }),
    ]
}

/// What EC2's statements have in common.
struct Ec2 {
    /// `arn:aws:ec2:<region>:<account>`
    prefix: String,
    cluster: String,
}

impl Ec2 {
    fn new(inputs: &Inputs<'_>) -> Self {
        let facts = inputs.facts;
        Self {
            prefix: format!("arn:{}:ec2:{}:{}", facts.partition, facts.region, facts.account),
            cluster: inputs.cluster.name.clone(),
        }
    }

    /// Allows actions on resources of the cluster; where `masters_own` is set, only on those that move with a master.
    fn allow(&self, sid: &str, actions: &[&str], resources: &[&str], masters_own: bool) -> Value {
        let resources: Vec<String> =
            resources.iter().map(|kind| format!("{}:{kind}/*", self.prefix)).collect();
        let resource_tag = |key: &str| format!("aws:ResourceTag/{key}");
        let mut condition = json!({"StringEquals": {resource_tag(shared::CLUSTER): self.cluster}});
        if masters_own {
            condition["StringLike"] = json!({resource_tag(shared::MASTER): "*"});
        }
        json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources, "Condition": condition})
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::assets::addons::{Addon, Policy};
    use crate::assets::sample;
    use crate::assets::user_data::StateLocation;
    use crate::aws::facts::Facts;
    use crate::cloud::Resource;
    use crate::model::Keys;
    use crate::spec::cluster::Instances;
    use crate::spec::cluster::Interruption;

    /// What a grant is for that the agent's own code doesn't call.
    const OTHERS_CALL: [(&str, &str); 9] = [
        ("kms:Decrypt", "S3, to read an encrypted object for the instance"),
        ("kms:GenerateDataKey", "S3, to write an encrypted object for the instance"),
        ("kms:CreateGrant", "EC2, to attach an encrypted volume for the master"),
        ("ecr:GetAuthorizationToken", "the kubelet's credential provider"),
        ("ecr:BatchCheckLayerAvailability", "containerd"),
        ("ecr:BatchGetImage", "containerd"),
        ("ecr:GetDownloadUrlForLayer", "containerd"),
        ("s3:ListBucket", "the agent, as ListObjectsV2"),
        ("s3:PutObjectTagging", "the agent, as PutObject with a tag"),
    ];

    /// What the agent calls and needs no grant for: it is anybody's right, or isn't done by the clusters of today
    /// (`disable_source_dest_check` is never set).
    const NEEDS_NO_GRANT: [&str; 3] =
        ["GetCallerIdentity", "ListObjectsV2", "ModifyNetworkInterfaceAttribute"];

    #[test]
    fn a_role_may_do_what_the_agent_calls_and_nothing_else() {
        let called = called();
        assert!(called.len() > 8, "{called:?}");
        let mut granted = granted();
        for (action, by) in OTHERS_CALL {
            assert!(granted.remove(action), "{action} was for {by}, and nobody grants it any more");
        }
        let ours: BTreeSet<String> = granted
            .iter()
            .filter_map(|action| action.split_once(':'))
            .map(|(_, name)| name.to_owned())
            .collect();
        let needed: BTreeSet<String> =
            called.into_iter().filter(|action| !NEEDS_NO_GRANT.contains(&action.as_str())).collect();
        assert_eq!(ours, needed, "left: granted, right: called");
    }

    /// Every action that a role grants, with all that a specification can ask for.
    fn granted() -> BTreeSet<String> {
        let mut cluster = sample::cluster();
        cluster.container_registry = true;
        cluster.network.service_cidr = "fd00:5e4f:ce::/108".parse().unwrap();
        cluster.interruption = Some(Interruption { queue: true });
        for group in &mut cluster.instance_groups {
            if let Instances::ControlPlane(master) = &mut group.instances {
                let key = "arn:aws:kms:us-east-1:123456789012:key/1".to_owned();
                master.members.first_mut().volume.kms_key = Some(key);
            }
        }
        policies(&cluster).values().flat_map(actions).collect()
    }

    #[test]
    fn the_statements_of_additional_policies_are_in_the_policy_of_their_role_and_in_no_other() {
        let minimal = include_str!("../../tests/scenarios/minimal/cluster.yaml");
        let cluster = |text: String| {
            let source = crate::spec::Source { name: "cluster.yaml".to_owned(), text };
            crate::spec::read(vec![source]).unwrap().resolve().unwrap()
        };
        let before = policies(&cluster(minimal.to_owned()));
        let statement =
            |action: &str| json!({"Sid": "Mine", "Effect": "Allow", "Action": [action], "Resource": ["*"]});
        for (role, mine, other) in [
            ("node", "nodes.minimal.example.com", "masters.minimal.example.com"),
            ("master", "masters.minimal.example.com", "nodes.minimal.example.com"),
            ("control-plane", "masters.minimal.example.com", "nodes.minimal.example.com"),
        ] {
            let added = json!({role: json!([statement("sqs:ReceiveMessage"), statement("dynamodb:Query")]).to_string()});
            let text = minimal.replacen("spec:\n", &format!("spec:\n  additionalPolicies: {added}\n"), 1);
            let policies = policies(&cluster(text));
            assert_eq!(policies[other], before[other], "{role}");
            let statements = policies[mine]["Statement"].as_array().unwrap();
            let (own, added) = statements.split_at(statements.len() - 2);
            assert_eq!(own, before[mine]["Statement"].as_array().unwrap(), "{role}");
            assert_eq!(added, [statement("sqs:ReceiveMessage"), statement("dynamodb:Query")], "{role}");
        }
    }

    #[test]
    fn what_an_add_on_asks_for_is_in_the_policy_of_the_role_that_it_names_with_its_places_filled_in() {
        let cluster = sample::cluster();
        let statement = json!({
            "Sid": "Example",
            "Effect": "Allow",
            "Action": ["sqs:ReceiveMessage"],
            "Resource": ["arn:{partition}:sqs:{region}:{account}:{cluster}-${aws:userid}"],
            "Condition": {"StringEquals": {"aws:ResourceTag/kubernetes.io/cluster/{cluster}": "owned"}, "Bool": {"x": true}},
        });
        let addon = Addon {
            name: "example".to_owned(),
            manifest: String::new(),
            policy: Policy { masters: vec![statement], nodes: Vec::new() },
        };
        let (before, with) = (policies(&cluster), policies_with(&cluster, &[addon]));
        let (masters, nodes) = (format!("masters.{}", cluster.name), format!("nodes.{}", cluster.name));
        assert_eq!(with[&nodes], before[&nodes]);
        let statements = with[&masters]["Statement"].as_array().unwrap();
        let (added, own) = statements.split_last().unwrap();
        assert_eq!(own, before[&masters]["Statement"].as_array().unwrap());
        let resource = format!("arn:aws:sqs:us-east-1:123456789012:{}-${{aws:userid}}", cluster.name);
        assert_eq!(added["Resource"], json!([resource]));
        let tag = format!("aws:ResourceTag/kubernetes.io/cluster/{}", cluster.name);
        assert_eq!(added["Condition"], json!({"StringEquals": {tag: "owned"}, "Bool": {"x": true}}));
    }

    /// The policies of a cluster's roles, by the role's name.
    fn policies(cluster: &Cluster) -> BTreeMap<String, Value> {
        policies_with(cluster, &[])
    }

    fn policies_with(cluster: &Cluster, addons: &[Addon]) -> BTreeMap<String, Value> {
        let facts = Facts {
            account: "123456789012".to_owned(),
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            images: [].into(),
            hosted_zone: None,
            kms_keys: [].into(),
            existing_network: crate::aws::facts::ExistingNetwork::default(),
            discovery: None,
        };
        let state = StateLocation {
            url: "s3://bucket/prefix".to_owned(),
            region: "us-east-1".to_owned(),
            owner: "123456789012".to_owned(),
            kms_key: Some("arn:aws:kms:us-east-1:123456789012:key/2".to_owned()),
        };
        let (keys, additional_objects) = (Keys::default(), [].as_slice());
        let inputs = Inputs {
            cluster,
            uid: "0123456789abcdef0123456789abcdef",
            facts: &facts,
            state: &state,
            keys: &keys,
            addons,
            additional_objects,
        };
        let mut desired = Desired::default();
        super::super::roles::add(&inputs, &mut desired).unwrap();
        let policies = desired.0.values().filter_map(|resource| match resource {
            Resource::Role(role) => Some((role.name.clone(), role.policy.clone()?)),
            _ => None,
        });
        policies.collect()
    }

    fn actions(policy: &Value) -> Vec<String> {
        let statements = policy["Statement"].as_array().unwrap().iter();
        statements
            .flat_map(|statement| match &statement["Action"] {
                Value::Array(actions) => actions.clone(),
                action => vec![action.clone()],
            })
            .map(|action| action.as_str().unwrap().to_owned())
            .collect()
    }

    /// The actions that the agent's sources name where a call's error is made: `AwsError::new("<action>", …`.
    fn called() -> BTreeSet<String> {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("bootstrap/src")];
        let mut called = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(path).unwrap();
                    let calls = text.split("AwsError::new(").skip(1);
                    called.extend(
                        calls
                            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
                            .map(str::to_owned),
                    );
                }
            }
        }
        called
    }
}
