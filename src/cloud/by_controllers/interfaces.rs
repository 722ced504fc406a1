//! Network interfaces that outlive the instances they were made for, such as those of pods.

use aws_sdk_ec2::types::{Filter, NetworkInterface as Answer, NetworkInterfaceAttachment};

use super::super::context::{Context, Identity, Names, ObservedResource};
use super::super::error::{CloudError, gone};
use super::super::kinds::Kind;
use super::super::look::Look;
use super::super::reference::ResourceId;
use super::super::resource_kind::Declaration;
use super::{MadeByController, MadeKind, found, is_made_for, made};
use crate::aws::{During, tags};

/// A network interface that a controller made.
pub type NetworkInterface = MadeByController<Interface>;

/// What network interfaces are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interface {}

impl MadeKind for Interface {
    const KIND: Kind = Kind::NetworkInterface;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc, Kind::Subnet, Kind::SecurityGroup, Kind::ControllersSecurityGroup],
        ..made("network-interface")
    };
    type Answer = Vec<Answer>;

    async fn read(look: &Look<'_>, vpcs: &[String]) -> Result<Vec<Answer>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::NetworkInterface, context.cluster);
        let here = Filter::builder().name("vpc-id").set_values(Some(vpcs.to_vec())).build();
        let call = context.clients.ec2.describe_network_interfaces().filters(here).into_paginator();
        Ok(call.items().send().try_collect().await.during("ec2", "DescribeNetworkInterfaces", &id)?)
    }

    /// Those that go with their instance, and those of AWS's own services, are nobody's to delete.
    fn observed(answer: Vec<Answer>, context: &Context<'_>, names: &Names) -> Vec<ObservedResource> {
        let made = answer.iter().filter(|interface| stays(interface)).filter_map(|interface| {
            let interface_id = interface.network_interface_id()?;
            let groups = interface.groups().iter().filter_map(|group| group.group_id());
            let used = groups.chain(interface.subnet_id()).chain(interface.vpc_id());
            is_made_for(&tags::all_from_ec2(interface.tag_set()), context.cluster)
                .then(|| found::<Interface>(names, interface_id.to_owned(), interface_id, used))
        });
        made.collect()
    }

    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_network_interface().network_interface_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteNetworkInterface", id))
    }
}

fn stays(interface: &Answer) -> bool {
    let goes_with_instance =
        interface.attachment().and_then(NetworkInterfaceAttachment::delete_on_termination) == Some(true);
    !goes_with_instance && interface.requester_managed() != Some(true)
}
