//! Launch templates. A change makes a new version, which the Auto Scaling group then names by its number: a version
//! that nobody named yet is never launched, and the group's version says what its next instance will be.
//!
//! What a version holds in EC2's form is in the files beside this one, one for each part: how it is asked for (`request`)
//! beside how it is read from an answer (`read`), and what no version of ours has (`drift`).

mod addresses;
mod cpu_credits;
mod data_volumes;
mod ebs_optimized;
mod host_name;
mod instance_tags;
mod market;
mod metadata;
mod monitoring;
mod network_interface;
mod placement;
mod profile;
mod root_volume;
mod ssh_key;
mod user_data;

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    LaunchTemplate as Answer, LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateVersion,
    RequestLaunchTemplateData, ResourceType, ResponseLaunchTemplateData,
};
use windlass_bootstrap::{keys, tags as shared};

pub use self::addresses::Addresses;
pub use self::profile::ProfileName;
pub use self::root_volume::RootVolume;
pub use self::ssh_key::SshKeyName;
use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Fields};
use super::look::Look;
use super::namesakes::Namesake;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::security_group::SecurityGroup;
use super::state_object::StateObject;
use super::{Kind, Resource, ebs, tagging};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};
use crate::spec::cluster::{CpuCredits, DataVolume, SpotPrice};

/// How many versions are kept: enough to see what ran lately; EC2's limit is 10,000 in all.
const VERSIONS_KEPT: i64 = 10;

/// A launch template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTemplate {
    /// The Auto Scaling group's name.
    pub name: String,
    /// The AMI's id.
    pub image: String,
    /// Such as `t3.medium`.
    pub machine_type: String,
    /// The instance profile.
    pub profile: ProfileName,
    /// The security groups of the one network interface.
    pub security_groups: BTreeSet<Reference<SecurityGroup>>,
    /// The SSH key.
    pub key: Option<SshKeyName>,
    /// Whether the network interface gets a public address.
    pub public_ip: bool,
    /// Of which families its addresses are.
    pub addresses: Addresses,
    /// The EC2 user data, as text.
    pub user_data: String,
    /// The node configuration that the user data names, which must be there before an instance starts. Absent in what is
    /// observed: the text says it all, and one that isn't wanted any more stays.
    pub node_config: Option<Reference<StateObject>>,
    /// The root volume.
    pub root: RootVolume,
    /// Further volumes, by their device names.
    pub volumes: Vec<DataVolume>,
    /// Whether instances have a bandwidth to EBS of their own, whatever their type has anyway.
    pub ebs_optimized: bool,
    /// How many network hops IMDS's answers may take. IMDS itself is always version 2 only.
    pub metadata_hop_limit: u32,
    /// Whether CloudWatch has metrics for each minute (detailed monitoring) and not for every five.
    pub detailed_monitoring: bool,
    /// How burstable types are charged; as the account says when absent.
    pub cpu_credits: Option<CpuCredits>,
    /// Whether no other account's instances run on the same hardware.
    pub dedicated: bool,
    /// The most that is paid for its instances where they are spot instances.
    pub spot: Option<SpotPrice>,
    /// Whether an instance's host name is its id.
    pub resource_name: bool,
    /// The template's own tags.
    pub tags: Tags,
    /// The tags of its instances, their volumes and network interfaces.
    pub instance_tags: Tags,
    /// Whatever of the above a template would need and this one, as observed, lacks or has besides; empty for what
    /// is wanted.
    pub drift: BTreeSet<String>,
}

impl ResourceKind for LaunchTemplate {
    const KIND: Kind = Kind::LaunchTemplate;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::SecurityGroup, Kind::KeyPair, Kind::InstanceProfile],
        creation: Creation::Repeatable,
        ..Declaration::of("launch-template")
    };
    type Answer = Described;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, tags, .. } = self;
        self.version_fields().map("tags", tags)
    }

    /// The node configuration whose digest stands in its user data: instances that it launches read that.
    fn may_need(&self, other: &ResourceId) -> bool {
        let own = self.tags.get(shared::INSTANCE_GROUP);
        let named = keys::of_node_config(&other.name).filter(|_| other.kind == Kind::StateObject);
        let named = named.filter(|(group, _)| own.is_none_or(|own| own == group));
        named.is_some_and(|(_, sha256)| self.user_data.contains(sha256))
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_launch_template()
            .client_token(context.token(id))
            .launch_template_name(&self.name)
            .launch_template_data(self.request(context)?)
            .version_description(self.version_digest())
            .tag_specifications(tags::specification(ResourceType::LaunchTemplate, &self.tags));
        let made = call.send().await.during("ec2", "CreateLaunchTemplate", id)?;
        let template = made.launch_template();
        let template_id =
            field(template.and_then(|template| template.launch_template_id()), id, "the template's id")?;
        Ok(self.identity(template_id, template.and_then(Answer::latest_version_number)))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        if self.version_fields() == from.version_fields() {
            return Ok(identity.clone());
        }
        let ec2 = &context.clients.ec2;
        let call = ec2
            .create_launch_template_version()
            .launch_template_id(&identity.id)
            .launch_template_data(self.request(context)?)
            .version_description(self.version_digest());
        let made = call.send().await.during("ec2", "CreateLaunchTemplateVersion", id)?;
        let version = made.launch_template_version().and_then(LaunchTemplateVersion::version_number);
        let version = field(version, id, "the version's number")?;
        let call = ec2
            .modify_launch_template()
            .launch_template_id(&identity.id)
            .default_version(version.to_string());
        call.send().await.during("ec2", "ModifyLaunchTemplate", id)?;
        prune_versions(context, id, identity, version).await?;
        Ok(self.identity(&identity.id, Some(version)))
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_launch_template().launch_template_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteLaunchTemplate", id))
    }

    /// Two calls whatever the number of templates: EC2 gives the latest version of every template at once.
    async fn read(look: &Look<'_>) -> Result<Described, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::LaunchTemplate, context.cluster);
        let ec2 = &context.clients.ec2;
        let call = ec2.describe_launch_templates();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.launch_template_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let templates = pages.try_collect().await.during("ec2", "DescribeLaunchTemplates", &id)?;
        if templates.is_empty() {
            return Ok(Described::default());
        }
        let call = ec2.describe_launch_template_versions().versions("$Latest").into_paginator();
        let versions =
            call.items().send().try_collect().await.during("ec2", "DescribeLaunchTemplateVersions", &id)?;
        Ok(Described { templates, versions })
    }

    fn observed(
        answer: Described,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::LaunchTemplate, context.cluster);
        let Described { templates, versions } = answer;
        let mut found = Vec::new();
        for template in &templates {
            let name = template.launch_template_name().unwrap_or_default().to_owned();
            let tags = tags::from_ec2(template.tags());
            if !tagging::is_ours(context, &tags, &ResourceId::new(Kind::LaunchTemplate, &name))? {
                continue;
            }
            let template_id = field(template.launch_template_id(), &id, "the template's id")?;
            let latest = versions.iter().find(|version| version.launch_template_id() == Some(template_id));
            let unseen = || CloudError::Unseen {
                resource: ResourceId::new(Kind::LaunchTemplate, &name),
                aws_id: template_id.to_owned(),
            };
            let latest: &LaunchTemplateVersion = latest.ok_or_else(unseen)?;
            let version_data = field(latest.launch_template_data(), &id, "the template's data")?;
            let observed = Self::read(name.clone(), tags, version_data, names);
            let identity = observed.identity(template_id, latest.version_number());
            found.push(ObservedResource::new(name, Resource::LaunchTemplate(observed), identity));
        }
        Ok(found)
    }

    async fn namesake(&self, context: &Context<'_>, id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        let call = context.clients.ec2.describe_launch_templates().launch_template_names(&self.name);
        let answer = call.send().await.during("ec2", "DescribeLaunchTemplates", id)?;
        Ok(answer.launch_templates().first().map(|template| Namesake {
            aws_id: template.launch_template_id().unwrap_or_default().to_owned(),
            tags: tags::all_from_ec2(template.tags()),
        }))
    }
}

/// EC2's limit for the name of a launch template.
const NAME_LIMIT: usize = 128;

impl LaunchTemplate {
    /// The name of an Auto Scaling group's launch template: the same, where it isn't too long.
    pub fn name_for(auto_scaling_group: String) -> String {
        super::name_limit::within(NAME_LIMIT, auto_scaling_group)
    }

    /// The output that says which version is the latest, by its number.
    pub const LATEST_VERSION: &'static str = "the template's latest version";

    /// The output that says what the latest version holds ([`Self::version_digest`]).
    pub const LATEST_CONTENT: &'static str = "the content of the template's latest version";

    /// The identity of a template whose latest version is this one.
    fn identity(&self, template_id: &str, latest: Option<i64>) -> Identity {
        let identity = Identity::new(template_id).with(Self::LATEST_VERSION, latest);
        identity.with(Self::LATEST_CONTENT, Some(self.version_digest()))
    }

    /// The fields that are part of a version; the template's own tags aren't.
    fn version_fields(&self) -> Fields {
        let Self {
            name: _,
            image,
            machine_type,
            profile,
            security_groups,
            key,
            public_ip,
            addresses,
            user_data,
            node_config,
            root,
            volumes,
            ebs_optimized,
            metadata_hop_limit,
            detailed_monitoring,
            cpu_credits,
            dedicated,
            spot,
            resource_name,
            tags: _,
            instance_tags,
            drift,
        } = self;
        let fields = Fields::default()
            .one("image", image)
            .one("machineType", machine_type)
            .one("profile", profile.name())
            .needs(profile.ours().map(Reference::id))
            .references("securityGroups", security_groups)
            .maybe("key", key.as_ref().map(SshKeyName::name))
            .needs(key.as_ref().and_then(SshKeyName::ours).map(Reference::id))
            .needs(node_config.iter().map(Reference::id))
            .one("publicIp", public_ip)
            .maybe("addresses", addresses.shown())
            .one("userData", user_data)
            .one("rootVolume.device", &root.device);
        let fields = ebs::add_fields(fields, "rootVolume.", &root.ebs);
        data_volumes::add_fields(fields, volumes)
            .maybe("ebsOptimized", ebs_optimized.then_some(true))
            .one("metadata.hopLimit", metadata_hop_limit)
            .maybe("monitoring", detailed_monitoring.then_some("detailed"))
            .maybe("cpuCredits", cpu_credits.map(CpuCredits::as_str))
            .maybe("tenancy", dedicated.then_some("dedicated"))
            .maybe("spot.maxPrice", spot.as_ref())
            .one("resourceName", resource_name)
            .map("instanceTags", instance_tags)
            .set("drift", drift)
    }

    /// A digest of what a version holds: groups compare it to know whether they launch from the version that is wanted.
    pub fn version_digest(&self) -> String {
        let fields = self.version_fields().additions();
        let mut text = String::new();
        for Change { field, from: _, to } in &fields {
            text.push_str(field);
            text.push('=');
            text.push_str(to.as_deref().unwrap_or_default());
            text.push('\n');
        }
        super::digest(text.as_bytes())[..16].to_owned()
    }

    fn block_devices(&self) -> Vec<LaunchTemplateBlockDeviceMappingRequest> {
        let root = root_volume::request(&self.root);
        std::iter::once(root).chain(data_volumes::request(&self.volumes)).collect()
    }

    fn request(&self, context: &Context<'_>) -> Result<RequestLaunchTemplateData, CloudError> {
        let (groups, addresses) = (&self.security_groups, self.addresses);
        Ok(RequestLaunchTemplateData::builder()
            .image_id(&self.image)
            .instance_type(self.machine_type.as_str().into())
            .iam_instance_profile(profile::request(&self.profile))
            .network_interfaces(network_interface::request(groups, self.public_ip, addresses, context)?)
            .set_block_device_mappings(Some(self.block_devices()))
            .set_ebs_optimized(ebs_optimized::request(self.ebs_optimized))
            .metadata_options(metadata::request(self.metadata_hop_limit, addresses))
            .set_monitoring(monitoring::request(self.detailed_monitoring))
            .set_credit_specification(cpu_credits::request(self.cpu_credits))
            .set_placement(placement::request(self.dedicated))
            .set_instance_market_options(market::request(self.spot.as_ref()))
            .private_dns_name_options(host_name::request(self.resource_name, addresses))
            .set_key_name(ssh_key::request(self.key.as_ref()))
            .user_data(user_data::request(&self.user_data))
            .set_tag_specifications(Some(instance_tags::request(&self.instance_tags)))
            .build())
    }

    /// Reads a version. What it has that no version of ours has becomes drift, so that it shows as a difference and the
    /// next version is without it.
    fn read(name: String, tags: Tags, data: &ResponseLaunchTemplateData, names: &Names) -> Self {
        Self {
            name,
            image: data.image_id().unwrap_or_default().to_owned(),
            machine_type: data.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
            profile: profile::read(data, names),
            security_groups: network_interface::read_security_groups(data, names),
            key: ssh_key::read(data, names),
            public_ip: network_interface::read_public_ip(data),
            addresses: addresses::read(data),
            user_data: user_data::read(data),
            node_config: None,
            root: root_volume::read(data),
            volumes: data_volumes::read(data),
            ebs_optimized: ebs_optimized::read(data),
            metadata_hop_limit: metadata::read_hop_limit(data),
            detailed_monitoring: monitoring::read(data),
            cpu_credits: cpu_credits::read(data),
            dedicated: placement::read_dedicated(data),
            spot: market::read(data),
            resource_name: host_name::read(data),
            tags,
            instance_tags: instance_tags::read(data),
            drift: drift(data),
        }
    }
}

fn drift(data: &ResponseLaunchTemplateData) -> BTreeSet<String> {
    let others = [
        market::drift(data),
        placement::drift(data),
        metadata::drift(data),
        addresses::drift(data),
        root_volume::drift(data),
        instance_tags::drift(data),
    ];
    let all = others.into_iter().flatten().chain(network_interface::drift(data));
    all.map(str::to_owned).collect()
}

/// The cluster's templates, and the latest version of every template of the region.
#[derive(Default)]
pub struct Described {
    templates: Vec<Answer>,
    versions: Vec<LaunchTemplateVersion>,
}

/// Deletes versions that are older than those kept. One that is gone already is no failure; EC2 says so per version.
async fn prune_versions(
    context: &Context<'_>,
    id: &ResourceId,
    identity: &Identity,
    latest: i64,
) -> Result<(), CloudError> {
    let newest_gone = latest - VERSIONS_KEPT;
    if newest_gone < 1 {
        return Ok(());
    }
    let oldest_gone = (newest_gone - VERSIONS_KEPT).max(1);
    let versions = (oldest_gone..=newest_gone).map(|version| version.to_string()).collect();
    let call = context.clients.ec2.delete_launch_template_versions().launch_template_id(&identity.id);
    let call = call.set_versions(Some(versions));
    call.send().await.during("ec2", "DeleteLaunchTemplateVersions", id)?;
    Ok(())
}
