//! Masters' Elastic IPs: what they are called.

use std::collections::BTreeSet;

use crate::cloud::Reference;
use crate::cloud::elastic_ip::ElasticIp;
use crate::spec::cluster::{Cluster, InstanceGroup, Master};

/// The Elastic IPs of masters; none where the API is reached otherwise.
pub fn elastic_ips(cluster: &Cluster) -> BTreeSet<Reference<ElasticIp>> {
    let groups = cluster.instance_groups.iter().filter(|_| cluster.api.elastic_ip);
    let masters = groups.filter_map(|group| Some((group, group.master()?)));
    masters.map(|(group, master)| Reference::to(elastic_ip(cluster, group, master))).collect()
}

/// What a master's Elastic IP is called: that of the first member of etcd's as that of a single master, so that it stays
/// where masters are added.
pub(super) fn elastic_ip(cluster: &Cluster, group: &InstanceGroup, master: &Master) -> String {
    let first = &cluster.etcd.first().members.first().name;
    if master.members.first().member.name == *first {
        ElasticIp::name_of(&cluster.name)
    } else {
        format!("api-{}.{}", group.name, cluster.name)
    }
}
