//! The node configuration of an instance group, out of the specification.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use thiserror::Error;
use windlass_bootstrap::components::{
    self, API_SERVER, CONTAINERD, CONTROLLER_MANAGER, Components, PROXY, SCHEDULER,
};
use windlass_bootstrap::config::{
    AddonRef, ApiConfig, ApiServerConfig, BackupsConfig, ControlPlaneConfig, EtcdConfig, EtcdServers,
    KubeletConfig, NetworkConfig, NodeConfig, Role, ServiceAccountsConfig,
};
use windlass_bootstrap::egress_proxy::EgressProxy;
use windlass_bootstrap::endpoint::Endpoint;

use super::egress_proxy::egress_proxy;
use super::versions::{self, Versions};
use crate::cloud::queue::Queue;
use crate::spec::cluster::{
    Cluster, EtcdCluster, EtcdMember, HeldMember, InstanceGroup, Instances, Master, NetworkPlugin,
    ServiceAccounts,
};
use crate::spec::endpoint::{ApiEndpoints, MasterAddresses, Outputs, at_masters};

/// What runs on every instance.
const NODE_IMAGES: [&str; 2] = ["kube-proxy", "pause"];

/// What runs on masters besides.
const CONTROL_PLANE_IMAGES: [&str; 4] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"];

/// What a node configuration can't be made of.
#[derive(Debug, Error)]
pub enum NodeConfigError {
    /// The list of versions names no image.
    #[error("cannot tell which images instance group `{group}` shall run")]
    Image {
        /// The group.
        group: String,
        /// What is missing.
        #[source]
        source: versions::Error,
    },
}

/// Makes the node configuration of a group. `kubernetes_ca` is the PEM bundle of the authorities that are trusted;
/// `addons` are what masters apply, in this order; `issuer` signs the tokens of service accounts.
pub fn node_config(
    cluster: &Cluster,
    group: &InstanceGroup,
    kubernetes_ca: &str,
    addons: &[AddonRef],
    issuer: &str,
) -> Result<NodeConfig, NodeConfigError> {
    let control_plane = match &group.instances {
        Instances::ControlPlane(master) => {
            let service_accounts = service_accounts(cluster, issuer);
            Some(ControlPlaneConfig { service_accounts, ..control_plane(cluster, group, master, addons)? })
        }
        Instances::Node(_) | Instances::Bastion(_) | Instances::ApiServer(_) => None,
    };
    let api_server = match &group.instances {
        Instances::ApiServer(_) => Some(api_server(cluster, group, issuer)?),
        _ => None,
    };
    // Nodes don't go by the issuer, and aren't replaced for another one.
    let of_cluster = ServiceAccounts::issuer_of_cluster(&cluster.network.dns_domain);
    let goes_by_issuer = control_plane.is_some() || api_server.is_some();
    let issuer = if goes_by_issuer { issuer.to_owned() } else { of_cluster };
    let proxy = egress_proxy(cluster);
    let images = images(cluster, group, &NODE_IMAGES)?;
    let config = NodeConfig {
        version: cluster.node_config_version(group).to_owned(),
        cluster: cluster.name.clone(),
        instance_group: group.name.clone(),
        kubernetes_version: cluster.version_of(group).to_owned(),
        network: network(cluster),
        api: api(cluster, group.role(), issuer),
        kubernetes_ca: kubernetes_ca.to_owned(),
        kubelet: KubeletConfig {
            labels: group.node_labels.clone(),
            taints: group.taints.iter().map(ToString::to_string).collect(),
            max_pods: group.max_pods,
            ecr_credentials: cluster.container_registry,
        },
        components: components(cluster, group, proxy.as_ref(), &images),
        images,
        egress_proxy: proxy,
        image_source: cluster.image_source.clone(),
        lifecycle_hooks: cluster.lifecycle_hooks(group),
        kernel_parameters: group.kernel_parameters.clone(),
        mounts: group.mounts.clone(),
        files: group.files.clone(),
        units: group.units.clone(),
        // flannel's vxlan packets carry the nodes' own addresses; only plug-ins that route pod addresses through the
        // VPC need the check off, and those aren't supported. In an IPv6 cluster packets carry pods' addresses, and EC2 lets
        // them pass: those of a prefix that is delegated to a network interface are that interface's own (EC2 User Guide,
        // "Assigning prefixes to Amazon EC2 network interfaces").
        disable_source_dest_check: false,
        control_plane,
        api_server,
        bastion: false,
    };
    Ok(if group.role() == Role::Bastion { without_kubernetes(config) } else { config })
}

/// A bastion is no Node and doesn't go to the API: nothing that is said of either makes it stale.
fn without_kubernetes(config: NodeConfig) -> NodeConfig {
    let api = ApiConfig {
        masters: Vec::new(),
        masters_ipv6: Vec::new(),
        additional_sans: Vec::new(),
        ..config.api
    };
    NodeConfig {
        api,
        kubernetes_ca: String::new(),
        kubelet: KubeletConfig::default(),
        images: BTreeMap::new(),
        image_source: None,
        components: Components::new(),
        bastion: true,
        ..config
    }
}

/// What components are told: with a proxy, those that run in pods have it in their environment, where the specification doesn't
/// say otherwise; with a registry, containerd has the image of pods' sandboxes from there.
fn components(
    cluster: &Cluster,
    group: &InstanceGroup,
    proxy: Option<&EgressProxy>,
    images: &BTreeMap<String, String>,
) -> Components {
    let mut components = group.components.clone();
    if let Some(pause) = images.get("pause").filter(|_| cluster.image_source.is_some()) {
        let containerd = components.entry(CONTAINERD.to_owned()).or_default();
        containerd.configuration = with_sandbox(&containerd.configuration, pause);
    }
    let Some(proxy) = proxy else { return components };
    let of_role: &[&str] = match group.role() {
        Role::ControlPlane => &[API_SERVER, CONTROLLER_MANAGER, SCHEDULER],
        Role::ApiServer => &[API_SERVER],
        Role::Node | Role::Bastion => &[],
    };
    for component in of_role.iter().chain(&[PROXY]) {
        let environment = &mut components.entry((*component).to_owned()).or_default().environment;
        for (name, value) in proxy.variables() {
            environment.entry(name.to_owned()).or_insert(value);
        }
    }
    components
}

/// containerd's settings with the image of pods' sandboxes, where the specification doesn't say another.
fn with_sandbox(specified: &Map<String, Value>, pause: &str) -> Map<String, Value> {
    let images = json!({"io.containerd.cri.v1.images": {"pinned_images": {"sandbox": pause}}});
    let mut whole = json!({"file": {"plugins": images}});
    components::merge(&mut whole, specified);
    match whole {
        Value::Object(whole) => whole,
        _ => specified.clone(),
    }
}

fn network(cluster: &Cluster) -> NetworkConfig {
    let network = &cluster.network;
    NetworkConfig {
        pod_cidr: network.pod_cidr,
        service_cidr: network.service_cidr,
        dns_address: network.dns_address,
        dns_domain: network.dns_domain.clone(),
        plugin: match cluster.plugin {
            NetworkPlugin::Flannel => "flannel".to_owned(),
            NetworkPlugin::External => "external".to_owned(),
        },
    }
}

fn api(cluster: &Cluster, role: Role, service_account_issuer: String) -> ApiConfig {
    let ApiEndpoints { inside, masters, .. } = ApiEndpoints::of(cluster, Outputs::default());
    let (endpoint, masters) = match role {
        // Masters are told the port on which they listen, also where nodes come by another one of a load balancer.
        Role::ControlPlane => {
            // They take their IPv6 addresses also where nodes go by a load balancer: API servers beside them go to those.
            let masters = MasterAddresses { ipv6: at_masters(cluster).1.ipv6, ..masters };
            (Endpoint { port: cluster.api.port, ..inside }, masters)
        }
        Role::ApiServer => at_masters(cluster),
        Role::Node | Role::Bastion => (inside, masters),
    };
    ApiConfig {
        endpoint,
        masters: masters.ipv4,
        masters_ipv6: masters.ipv6,
        service_account_issuer,
        additional_sans: cluster.api.certificate_names(&cluster.region),
    }
}

fn control_plane(
    cluster: &Cluster,
    group: &InstanceGroup,
    master: &Master,
    addons: &[AddonRef],
) -> Result<ControlPlaneConfig, NodeConfigError> {
    let masters = cluster.masters().count();
    Ok(ControlPlaneConfig {
        etcd: etcd(master.members.first()),
        further_etcd: master.members.iter().skip(1).map(etcd).collect(),
        elastic_ip: cluster.api.elastic_ip,
        masters: u32::try_from(masters).unwrap_or(u32::MAX),
        images: images(cluster, group, &CONTROL_PLANE_IMAGES)?,
        default_taint: group.default_taint,
        addons: addons.to_vec(),
        certificate_seconds: cluster.certificate_seconds,
        interruption_queue: cluster.has_interruption_queue().then(|| Queue::name_for(&cluster.name)),
        service_accounts: ServiceAccountsConfig::default(),
        further_api_servers: cluster.has_api_servers(),
        // An image with an older agent makes none: then `validate` says so.
        backups: Some(BackupsConfig { interval_seconds: cluster.backups.interval_seconds }),
    })
}

/// What an API server beside the masters is told: as a master's, but for where etcd is.
fn api_server(
    cluster: &Cluster,
    group: &InstanceGroup,
    issuer: &str,
) -> Result<ApiServerConfig, NodeConfigError> {
    let servers = |etcd: &EtcdCluster| EtcdServers {
        addresses: etcd.members.iter().map(|member| member.private_address).collect(),
        port: etcd.ports.client,
        holds: etcd.holds.clone(),
    };
    let mut images = images(cluster, group, &[API_SERVER])?;
    Ok(ApiServerConfig {
        image: images.remove(API_SERVER).unwrap_or_default(),
        port: cluster.api.port,
        etcd: cluster.etcd.iter().map(servers).collect(),
        service_accounts: service_accounts(cluster, issuer),
    })
}

/// What the API server is told of service accounts' tokens; nothing where the specification says nothing of them.
fn service_accounts(cluster: &Cluster, issuer: &str) -> ServiceAccountsConfig {
    let accounts = &cluster.service_accounts;
    if accounts.are_usual() {
        return ServiceAccountsConfig::default();
    }
    let further_issuers = accounts.accepted_issuers(issuer, &cluster.network.dns_domain);
    ServiceAccountsConfig {
        jwks_uri: accounts.jwks_uri(issuer),
        audiences: accounts.audiences(issuer, &further_issuers),
        further_issuers,
        anonymous_discovery: accounts.anonymous_discovery,
    }
}

fn etcd(held: &HeldMember) -> EtcdConfig {
    let HeldMember { etcd, member, volume: _ } = held;
    let address = |member: &EtcdMember| (member.name.clone(), member.private_address);
    EtcdConfig {
        name: etcd.name.clone(),
        member: member.name.clone(),
        members: etcd.members.iter().map(address).collect(),
        joining: etcd.members.iter().filter(|it| it.joins).map(|it| it.name.clone()).collect(),
        version: etcd.version.clone(),
        ports: etcd.ports,
        holds: etcd.holds.clone(),
        requests: etcd.requests.clone(),
        heartbeat_milliseconds: etcd.heartbeat_milliseconds,
        election_milliseconds: etcd.election_milliseconds,
        environment: etcd.environment.clone(),
    }
}

fn images(
    cluster: &Cluster,
    group: &InstanceGroup,
    components: &[&str],
) -> Result<BTreeMap<String, String>, NodeConfigError> {
    let known = || -> Result<BTreeMap<String, String>, versions::Error> {
        let etcd = cluster.etcd.first().version.as_str();
        let versions = Versions::built_in()?.with("kubernetes", cluster.version_of(group)).with("etcd", etcd);
        let source = cluster.image_source.as_ref();
        let reference = |canonical: String| source.map_or(canonical.clone(), |it| it.reference(&canonical));
        let image = |component: &str| Ok((component.to_owned(), reference(versions.image(component)?)));
        components.iter().map(|component| image(component)).collect()
    };
    known().map_err(|source| NodeConfigError::Image { group: group.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use windlass_bootstrap::components::ComponentSettings;
    use windlass_bootstrap::config::{CONFIG_VERSION, LIFECYCLE_VERSION};
    use windlass_bootstrap::image_source::ImageSource;

    use super::*;
    use crate::assets::sample;
    use crate::spec::cluster;

    fn configuration(cluster: &Cluster, kubernetes_ca: &str) -> NodeConfig {
        let group = cluster.instance_groups.last().unwrap();
        node_config(cluster, group, kubernetes_ca, &[], "https://issuer").unwrap()
    }

    #[test]
    fn api_servers_beside_the_masters_change_masters_and_no_node() {
        let plain = sample::cluster();
        let mut cluster = plain.clone();
        let mut group = cluster.instance_groups[1].clone();
        (group.name, group.instances) = ("apiserver".to_owned(), Instances::ApiServer(sample::nodes()));
        cluster.instance_groups.push(group);
        let of = |cluster: &Cluster, index: usize| {
            node_config(cluster, &cluster.instance_groups[index], "an authority", &[], "https://issuer")
                .unwrap()
        };
        assert_eq!(of(&cluster, 1), of(&plain, 1));
        let (before, master) = (of(&plain, 0), of(&cluster, 0));
        assert_eq!((before.version.as_str(), master.version.as_str()), (CONFIG_VERSION, LIFECYCLE_VERSION));
        assert!(master.control_plane.unwrap().further_api_servers);
        let config = of(&cluster, 2);
        assert_eq!((config.version.as_str(), config.control_plane), (LIFECYCLE_VERSION, None));
        assert_eq!(config.api.service_account_issuer, "https://issuer");
        let etcd = &config.api_server.unwrap().etcd;
        assert_eq!(
            (etcd[0].addresses.as_slice(), etcd[0].port),
            (&["172.20.32.10".parse().unwrap()][..], 2379)
        );
    }

    #[test]
    fn an_api_server_s_kubelet_goes_to_masters_also_where_nodes_go_by_a_load_balancer() {
        let text = include_str!("../../tests/scenarios/api-servers/cluster.yaml")
            .replace(
                "type: Public\n      sslCertificate",
                "type: Internal\n      useForInternalApi: true\n      sslCertificate",
            )
            .replace("  nonMasqueradeCIDR", "  dnsZone: example.com\n  nonMasqueradeCIDR");
        let documents =
            crate::spec::read(vec![crate::spec::Source { name: "cluster.yaml".to_owned(), text }]);
        let cluster = documents.unwrap().resolve().unwrap();
        let of = |name: &str| {
            let group = cluster.instance_groups.iter().find(|group| group.name == name).unwrap();
            node_config(&cluster, group, "", &[], "https://issuer").unwrap()
        };
        assert_eq!(
            of("nodes").api.endpoint.url_with_port(),
            "https://api.internal.api-servers.example.com:8443"
        );
        let api_server = of("apiserver");
        assert_eq!(api_server.api.endpoint.url_with_port(), "https://10.0.128.10:443");
        assert_eq!(api_server.api_server.unwrap().port, 443);
    }

    #[test]
    fn in_an_ipv6_cluster_masters_are_told_where_their_addresses_are_also_where_nodes_go_by_a_load_balancer()
    {
        let options = crate::spec::CreateOptions {
            name: "six.example.com".to_owned(),
            zones: vec!["us-test-1a".to_owned()],
            control_plane_count: Some(1),
            networking: Some("cni".to_owned()),
            ipv6: true,
            ..crate::spec::CreateOptions::default()
        };
        let text = crate::spec::create(&options).unwrap().to_yaml();
        let documents =
            crate::spec::read(vec![crate::spec::Source { name: "cluster.yaml".to_owned(), text }]);
        let mut cluster = documents.unwrap().resolve().unwrap();
        let of = |cluster: &Cluster, role: Role| {
            let group = cluster.instance_groups.iter().find(|group| group.role() == role).unwrap();
            node_config(cluster, group, "", &[], "https://issuer").unwrap()
        };
        let (master, node) = (of(&cluster, Role::ControlPlane), of(&cluster, Role::Node));
        assert_eq!((node.version.as_str(), node.network.pod_cidr), (LIFECYCLE_VERSION, None));
        assert!(node.network.is_ipv6() && !node.disable_source_dest_check);
        assert_eq!(node.api.endpoint.url(), "https://api.internal.six.example.com");
        assert_eq!((node.api.masters.len(), node.api.masters_ipv6.len()), (0, 1));
        assert_eq!(master.api.masters_ipv6, node.api.masters_ipv6);
        let etcd = master.control_plane.unwrap().etcd.address().unwrap();
        assert_eq!(node.api.masters_ipv6[0].private_address, etcd);
        if let Some(balancer) = &mut cluster.api.load_balancer {
            balancer.for_nodes = true;
        }
        assert!(cluster.api.load_balancer.is_some());
        assert!(of(&cluster, Role::Node).api.masters_ipv6.is_empty());
        assert_eq!(of(&cluster, Role::ControlPlane).api.masters_ipv6, node.api.masters_ipv6);
    }

    #[test]
    fn with_a_registry_every_image_and_the_sandbox_of_pods_come_from_there() {
        let mut cluster = sample::cluster();
        let own = configuration(&cluster, "");
        assert_eq!((own.version.as_str(), own.components.len()), ("windlass/v1", 0));
        cluster.image_source = Some(ImageSource::Registry("registry.example.com".to_owned()));
        let config = configuration(&cluster, "");
        assert_eq!(config.version, "windlass/v5");
        let pause = config.images["pause"].as_str();
        assert!(pause.starts_with("registry.example.com/pause:"), "{pause}");
        let path = ["file", "plugins", "io.containerd.cri.v1.images", "pinned_images", "sandbox"];
        assert_eq!(config.component(CONTAINERD).field(&path), Some(&json!(pause)));
        let specified = json!({"file": {"debug": {"level": "warn"}}});
        let merged = with_sandbox(specified.as_object().unwrap(), pause);
        assert_eq!(merged["file"]["debug"]["level"], "warn");
        let master = cluster.instance_groups.first().unwrap();
        let config = node_config(&cluster, master, "", &[], "https://issuer").unwrap();
        let etcd = &config.control_plane.unwrap().images["etcd"];
        assert!(etcd.starts_with("registry.example.com/etcd:"), "{etcd}");
    }

    #[test]
    fn the_environment_of_the_specification_goes_before_the_proxy() {
        let mut cluster = sample::cluster();
        let proxy = cluster::EgressProxy { url: "http://proxy:3128".to_owned(), excludes: Vec::new() };
        cluster.egress_proxy = Some(proxy);
        let node = cluster.instance_groups.last_mut().unwrap();
        let own = [("HTTPS_PROXY".to_owned(), "http://other".to_owned())].into();
        node.components =
            [(PROXY.to_owned(), ComponentSettings { environment: own, ..Default::default() })].into();
        let config = configuration(&cluster, "");
        let environment = &config.component(PROXY).environment;
        assert_eq!(environment["HTTPS_PROXY"], "http://other");
        assert_eq!(environment["https_proxy"], "http://proxy:3128");
        assert_eq!(config.components.len(), 1, "a node runs no other pod of windlass's");
        let master = cluster.instance_groups.first().unwrap();
        let config = node_config(&cluster, master, "", &[], "https://issuer").unwrap();
        assert_eq!(config.components.len(), 4);
    }

    #[test]
    fn masters_of_kubernetes_1_33_need_an_agent_that_knows_of_it() {
        let mut cluster = sample::cluster();
        for (version, master, node) in
            [("1.33.13", "windlass/v5", "windlass/v1"), ("1.34.4", "windlass/v1", "windlass/v1")]
        {
            version.clone_into(&mut cluster.kubernetes_version);
            let told: Vec<_> =
                cluster.instance_groups.iter().map(|group| cluster.node_config_version(group)).collect();
            assert_eq!(told, [master, node], "{version}");
        }
    }

    #[test]
    fn nothing_that_is_said_of_nodes_or_the_api_makes_a_bastion_stale() {
        let mut cluster = sample::cluster();
        let bastion = cluster.instance_groups.last_mut().unwrap();
        bastion.instances = Instances::Bastion(sample::nodes());
        let before = configuration(&cluster, "one authority");
        assert!(before.bastion);
        cluster.api.additional_sans = vec!["api.example.com".to_owned()];
        let bastion = cluster.instance_groups.last_mut().unwrap();
        bastion.max_pods = Some(30);
        bastion.components = [("kubelet".to_owned(), ComponentSettings::default())].into();
        assert_eq!(configuration(&cluster, "another authority"), before);
        let node = cluster.instance_groups.last_mut().unwrap();
        node.instances = Instances::Node(sample::nodes());
        assert_ne!(configuration(&cluster, "one authority"), configuration(&cluster, "another authority"));
    }
}
