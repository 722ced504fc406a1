//! What the agent asks of EC2, in plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_sdk_ec2::types::{self, AttributeBooleanValue, Filter, Tag};
use ipnet::Ipv6Net;

use crate::aws::{self, Access, AwsError};
use crate::contract::auto_scaling::Group;
use crate::contract::tags;

/// An EBS volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `vol-…`.
    pub id: String,
    /// GiB.
    pub size: u64,
    /// `available`, `in-use`, …
    pub state: String,
    /// Who has it.
    pub attachment: Option<Attachment>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A volume's attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The instance.
    pub instance: String,
    /// The device name that was asked for; not the one it has.
    pub device: String,
    /// `attaching`, `attached`, `detaching`, `busy`.
    pub state: String,
}

/// An instance of this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, …
    pub state: String,
    /// When it was launched last.
    pub launched: jiff::Timestamp,
    /// Its instance group, by the name of the Auto Scaling group that launched it; `None` if that is not one of this
    /// cluster's, or none.
    pub group: Option<Group>,
    /// The availability zone.
    pub zone: String,
    /// Such as `t3.medium`.
    pub machine_type: String,
    /// All its private addresses, and its IPv6 addresses; not those of the prefixes of its network interfaces.
    pub private_addresses: BTreeSet<IpAddr>,
    /// Its primary network interface, `eni-…`.
    pub network_interface: Option<String>,
    /// The IPv6 prefixes that are delegated to its network interfaces, those of the primary one first.
    pub prefixes: Vec<Ipv6Net>,
    /// Its names in the VPC's DNS.
    pub private_names: BTreeSet<String>,
    /// Device names that its block devices were asked to have.
    pub devices: BTreeSet<String>,
    /// Whether EC2 drops packets that carry other addresses than the instance's.
    pub source_dest_check: bool,
}

/// An Elastic IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticIp {
    /// `eipalloc-…`.
    pub allocation: String,
    /// The public address that everybody outside knows.
    pub address: Ipv4Addr,
    /// The network interface it is associated with.
    pub network_interface: Option<String>,
    /// The private address it stands for.
    pub private_address: Option<String>,
}

/// Whether a text is an instance's id: `i-` and 8 or 17 hexadecimal digits (EC2 User Guide, "Resource IDs"). Anything
/// else could mean several instances in a filter, where `*` and `?` stand for other characters.
pub fn is_instance_id(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("i-").is_some_and(|id| (8..=17).contains(&id.len()) && id.bytes().all(digit))
}

/// The most values that one filter of `DescribeInstances` takes (EC2 API Reference, `DescribeInstances`).
pub const FILTER_VALUES: usize = 200;

/// EC2, seen from one cluster.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: aws_sdk_ec2::Client,
    cluster: String,
}

impl Ec2 {
    /// EC2 in a region.
    pub async fn open(region: &str, cluster: &str, access: &Access) -> Self {
        let sdk = if has_ipv6(region) {
            aws::dual_stack_configuration(region, access).await
        } else {
            aws::configuration(region, access).await
        };
        Self { client: aws_sdk_ec2::Client::new(&sdk), cluster: cluster.to_owned() }
    }

    /// EC2 as a test brings it.
    pub fn with_client(client: aws_sdk_ec2::Client, cluster: &str) -> Self {
        Self { client, cluster: cluster.to_owned() }
    }

    /// The cluster's volumes with this tag in this zone.
    pub async fn volumes(&self, tag: (&str, &str), zone: &str) -> Result<Vec<Volume>, AwsError> {
        let target = format!("volumes tagged {}={}", tag.0, tag.1);
        let found = self
            .client
            .describe_volumes()
            .filters(self.in_cluster())
            .filters(filter(&format!("tag:{}", tag.0), tag.1))
            .filters(filter("availability-zone", zone))
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| AwsError::new("DescribeVolumes", target, error))?;
        Ok(found.iter().map(volume).collect())
    }

    /// The volumes that are attached to an instance, or about to be.
    pub async fn volumes_of(&self, instance: &str) -> Result<Vec<Volume>, AwsError> {
        let call = self.client.describe_volumes().filters(filter("attachment.instance-id", instance));
        let found = call.into_paginator().items().send().try_collect().await;
        let found = found
            .map_err(|error| AwsError::new("DescribeVolumes", format!("volumes of {instance}"), error))?;
        Ok(found.iter().map(volume).collect())
    }

    /// One instance of the cluster; `None` if EC2 has forgotten it, or it isn't the cluster's.
    pub async fn instance(&self, id: &str) -> Result<Option<Instance>, AwsError> {
        let found = self.instances_among([id]).await?;
        Ok(found.into_iter().next())
    }

    /// Those of these instances that are the cluster's and that EC2 still knows. The ids must be ids: in a filter's
    /// value `*` and `?` stand for other characters, and what merely matches is left out here.
    pub async fn instances_among(
        &self,
        ids: impl IntoIterator<Item = &str>,
    ) -> Result<Vec<Instance>, AwsError> {
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_VALUES) {
            // By a filter: asked by its id, an instance that is forgotten is an error.
            let values = ids.iter().map(|id| (*id).to_owned()).collect();
            let by_id = Filter::builder().name("instance-id").set_values(Some(values)).build();
            let target = if let [id] = ids { (*id).to_owned() } else { format!("{} instances", ids.len()) };
            let answer = self.describe_instances(vec![self.in_cluster(), by_id], &target).await?;
            found.extend(answer.into_iter().filter(|instance| ids.contains(&instance.id.as_str())));
        }
        Ok(found)
    }

    /// Whether EC2 knows the instance at all, and in which state, whatever it belongs to.
    pub async fn instance_state(&self, id: &str) -> Result<Option<String>, AwsError> {
        let found = self.describe_instances(vec![filter("instance-id", id)], id).await?;
        Ok(found.into_iter().next().map(|instance| instance.state))
    }

    /// All instances of the cluster.
    pub async fn instances(&self) -> Result<Vec<Instance>, AwsError> {
        self.describe_instances(vec![self.in_cluster()], "the cluster's instances").await
    }

    async fn describe_instances(
        &self,
        filters: Vec<Filter>,
        target: &str,
    ) -> Result<Vec<Instance>, AwsError> {
        let found = self
            .client
            .describe_instances()
            .set_filters(Some(filters))
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| AwsError::new("DescribeInstances", target, error))?;
        let instances = found.iter().flat_map(types::Reservation::instances);
        Ok(instances.map(|found| instance(found, &self.cluster)).collect())
    }

    /// Attaches a volume.
    pub async fn attach(&self, volume: &str, instance: &str, device: &str) -> Result<(), AwsError> {
        let attach = self.client.attach_volume().volume_id(volume).instance_id(instance).device(device);
        let target = format!("{volume} to {instance} as {device}");
        attach.send().await.map(drop).map_err(|error| AwsError::new("AttachVolume", target, error))
    }

    /// Detaches a volume from an instance that is terminated; never by force.
    pub async fn detach(&self, volume: &str, instance: &str) -> Result<(), AwsError> {
        let detach = self.client.detach_volume().volume_id(volume).instance_id(instance);
        let target = format!("{volume} from {instance}");
        detach.send().await.map(drop).map_err(|error| AwsError::new("DetachVolume", target, error))
    }

    /// Sets a tag.
    pub async fn tag(&self, resource: &str, key: &str, value: &str) -> Result<(), AwsError> {
        let tag =
            self.client.create_tags().resources(resource).tags(Tag::builder().key(key).value(value).build());
        tag.send()
            .await
            .map(drop)
            .map_err(|error| AwsError::new("CreateTags", format!("{key} on {resource}"), error))
    }

    /// Moves a private address to a network interface, from whichever has it.
    pub async fn move_private_address(&self, interface: &str, address: Ipv4Addr) -> Result<(), AwsError> {
        let assign = self.client.assign_private_ip_addresses().network_interface_id(interface);
        let assign = assign.private_ip_addresses(address.to_string()).allow_reassignment(true);
        let target = format!("{address} to {interface}");
        assign
            .send()
            .await
            .map(drop)
            .map_err(|error| AwsError::new("AssignPrivateIpAddresses", target, error))
    }

    /// Gives an IPv6 address to a network interface. EC2 refuses it while another one has it.
    pub async fn assign_ipv6_address(&self, interface: &str, address: Ipv6Addr) -> Result<(), AwsError> {
        let assign = self.client.assign_ipv6_addresses().network_interface_id(interface);
        let assigned = assign.ipv6_addresses(address.to_string()).send().await;
        let target = format!("{address} to {interface}");
        assigned.map(drop).map_err(|error| AwsError::new("AssignIpv6Addresses", target, error))
    }

    /// Has EC2 delegate one of its subnet's IPv6 prefixes to a network interface. Returns it, where EC2 says which.
    pub async fn delegate_prefix(&self, interface: &str) -> Result<Option<Ipv6Net>, AwsError> {
        let assign = self.client.assign_ipv6_addresses().network_interface_id(interface);
        let assigned = assign.ipv6_prefix_count(1).send().await;
        let target = format!("a prefix to {interface}");
        let assigned = assigned.map_err(|error| AwsError::new("AssignIpv6Addresses", target, error))?;
        Ok(assigned.assigned_ipv6_prefixes().iter().find_map(|prefix| prefix.parse().ok()))
    }

    /// The cluster's Elastic IPs with this tag.
    pub async fn elastic_ips(&self, tag: (&str, &str)) -> Result<Vec<ElasticIp>, AwsError> {
        let target = format!("Elastic IPs tagged {}={}", tag.0, tag.1);
        let found = self
            .client
            .describe_addresses()
            .filters(self.in_cluster())
            .filters(filter(&format!("tag:{}", tag.0), tag.1))
            .send()
            .await
            .map_err(|error| AwsError::new("DescribeAddresses", target, error))?;
        Ok(found.addresses().iter().filter_map(elastic_ip).collect())
    }

    /// Associates an Elastic IP with a private address of a network interface, from whichever has it.
    pub async fn associate(
        &self,
        elastic: &ElasticIp,
        interface: &str,
        address: Ipv4Addr,
    ) -> Result<(), AwsError> {
        let associate = self
            .client
            .associate_address()
            .allocation_id(&elastic.allocation)
            .network_interface_id(interface)
            .private_ip_address(address.to_string())
            .allow_reassociation(true);
        let target = format!("{} with {interface}", elastic.address);
        associate.send().await.map(drop).map_err(|error| AwsError::new("AssociateAddress", target, error))
    }

    /// Lets packets with other addresses than the instance's pass.
    pub async fn disable_source_dest_check(&self, interface: &str) -> Result<(), AwsError> {
        let off = AttributeBooleanValue::builder().value(false).build();
        let modify = self.client.modify_network_interface_attribute().network_interface_id(interface);
        let modify = modify.source_dest_check(off).send().await;
        let target = format!("the source/destination check of {interface}");
        modify.map(drop).map_err(|error| AwsError::new("ModifyNetworkInterfaceAttribute", target, error))
    }

    fn in_cluster(&self) -> Filter {
        filter(&format!("tag:{}", tags::CLUSTER), &self.cluster)
    }
}

/// Whether EC2's endpoint in the region has IPv6 addresses: in China it has none (Amazon EC2 Developer Guide, "Amazon EC2 service
/// endpoints").
fn has_ipv6(region: &str) -> bool {
    !region.starts_with("cn-")
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

fn tag_map(tags: &[Tag]) -> BTreeMap<String, String> {
    tags.iter().map(|tag| (text(tag.key()), text(tag.value()))).collect()
}

fn volume(volume: &types::Volume) -> Volume {
    let attachment = volume.attachments().first().map(|attachment| Attachment {
        instance: text(attachment.instance_id()),
        device: text(attachment.device()),
        state: attachment.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
    });
    Volume {
        id: text(volume.volume_id()),
        size: volume.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        state: volume.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        attachment,
        tags: tag_map(volume.tags()),
    }
}

fn instance(instance: &types::Instance, cluster: &str) -> Instance {
    let interfaces = instance.network_interfaces();
    let secondary = interfaces.iter().flat_map(types::InstanceNetworkInterface::private_ip_addresses);
    let ipv6 = interfaces.iter().flat_map(types::InstanceNetworkInterface::ipv6_addresses);
    let addresses = secondary
        .filter_map(types::InstancePrivateIpAddress::private_ip_address)
        .chain(instance.private_ip_address())
        .chain(ipv6.filter_map(types::InstanceIpv6Address::ipv6_address));
    let state = instance.state().and_then(types::InstanceState::name).map(|name| name.as_str().to_owned());
    let launched = instance.launch_time().and_then(|time| jiff::Timestamp::from_second(time.secs()).ok());
    let devices = instance.block_device_mappings().iter().filter_map(|mapping| mapping.device_name());
    Instance {
        id: text(instance.instance_id()),
        state: state.unwrap_or_default(),
        launched: launched.unwrap_or(jiff::Timestamp::UNIX_EPOCH),
        group: tag_map(instance.tags())
            .get(tags::AUTO_SCALING_GROUP)
            .and_then(|name| Group::read(name, cluster)),
        zone: text(instance.placement().and_then(types::Placement::availability_zone)),
        machine_type: instance.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        private_addresses: addresses.filter_map(|address| address.parse().ok()).collect(),
        network_interface: in_order(interfaces)
            .first()
            .and_then(|interface| interface.network_interface_id())
            .map(ToOwned::to_owned),
        prefixes: prefixes(interfaces),
        private_names: instance
            .private_dns_name()
            .filter(|name| !name.is_empty())
            .map(ToOwned::to_owned)
            .into_iter()
            .collect(),
        devices: devices.map(ToOwned::to_owned).collect(),
        source_dest_check: instance.source_dest_check().unwrap_or(true),
    }
}

/// Network interfaces in the order of their places on the instance, the primary one first: EC2 promises no order.
fn in_order(interfaces: &[types::InstanceNetworkInterface]) -> Vec<&types::InstanceNetworkInterface> {
    let place = |interface: &&types::InstanceNetworkInterface| {
        let attachment = interface.attachment();
        attachment.and_then(types::InstanceNetworkInterfaceAttachment::device_index).unwrap_or(i32::MAX)
    };
    let mut interfaces: Vec<_> = interfaces.iter().collect();
    interfaces.sort_by_key(place);
    interfaces
}

/// The IPv6 prefixes of network interfaces.
fn prefixes(interfaces: &[types::InstanceNetworkInterface]) -> Vec<Ipv6Net> {
    let prefixes = in_order(interfaces).into_iter().flat_map(types::InstanceNetworkInterface::ipv6_prefixes);
    prefixes.filter_map(|prefix| prefix.ipv6_prefix()?.parse().ok()).collect()
}

fn elastic_ip(address: &types::Address) -> Option<ElasticIp> {
    Some(ElasticIp {
        allocation: text(address.allocation_id()),
        address: address.public_ip()?.parse().ok()?,
        network_interface: address.network_interface_id().map(ToOwned::to_owned),
        private_address: address.private_ip_address().map(ToOwned::to_owned),
    })
}
