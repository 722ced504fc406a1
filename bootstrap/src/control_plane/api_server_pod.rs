//! The static pod of the API server: of a master's, which goes to the etcd beside it, and of one beside the masters, which goes
//! to all of theirs.
//!
//! One of several leaves the load balancer before it stops answering: once it is told to end, its `/readyz` fails, by which
//! load balancers look at it, and it goes on answering for half a minute; the `kubernetes` service leads to it no more. Then it
//! answers what is under way, and tells who still comes to try again. One that is alone has nobody to leave its clients to,
//! and is back the sooner the sooner it ends.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::identity::InstanceIdentity;
use crate::contract::components::API_SERVER;
use crate::contract::config::{
    ApiServerConfig, ControlPlaneConfig, EtcdConfig, EtcdServers, NodeConfig, ServiceAccountsConfig,
};
use crate::host::Host;
use crate::host::file;
use crate::host::root;
use crate::kubernetes::authentication;
use crate::kubernetes::manifests::{CIPHER_SUITES, ManifestError, ensure_static_pod, image, render};
use crate::kubernetes::settings::Pod;
use crate::progress::step::{Done, Step, StepError};

/// Writes the pod of an API server beside the masters; a master's is written with its etcd's.
pub const STEP: Step = Step::new("ensure_api_server_pod", Duration::from_mins(1));

/// The API server's configuration files that are always the same: name and contents.
const FILES: [(&str, &str); 2] = [
    ("admission.yaml", include_str!("../../../manifests/control-plane/admission.yaml")),
    ("audit-policy.yaml", include_str!("../../../manifests/control-plane/audit-policy.yaml")),
];

/// Where the API server answers with the issuer's discovery documents. AWS asks without credentials.
const DISCOVERY_PATHS: [&str; 2] = ["/.well-known/openid-configuration", "/openid/v1/jwks"];

/// For how long an API server of several goes on answering once it is told to end. Load balancers look every five seconds, and
/// take out who fails twice (the CLI's `cloud::load_balancing::target_group`); they then need some seconds more: their own
/// nodes hear of it one by one.
const DELAY: Duration = Duration::from_secs(30);

/// For how long what is under way after that may take, and the process may take to end.
const DRAIN: Duration = Duration::from_mins(1);
const END: Duration = Duration::from_secs(5);

/// The flag that says [`DELAY`].
const DELAY_FLAG: &str = "shutdown-delay-duration";

/// The API server's pod.
const POD: Pod<'_> = Pod {
    name: API_SERVER,
    cpu: "250m",
    folders: &["/etc/kubernetes/kube-apiserver", "/srv/kubernetes/kube-apiserver", root::AUDIT_LOG],
};

/// What tells the pod of one API server from that of another.
#[derive(Clone, Debug)]
pub struct ApiServer<'a> {
    image: &'a str,
    /// The etcd clusters, `main` first.
    etcd: Vec<EtcdServers>,
    /// By which the `kubernetes` service leads to it.
    advertise_address: IpAddr,
    port: u16,
    service_accounts: &'a ServiceAccountsConfig,
}

/// The step.
pub async fn run(agent: &Agent, api_server: &ApiServerConfig) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    let write = async || ApiServer::beside_masters(api_server, config, identity)?.ensure(host, config);
    STEP.run(&agent.reporter, async || write().await.map(Done::changed_if)).await
}

impl<'a> ApiServer<'a> {
    /// That of a master.
    pub fn of_master(
        control_plane: &'a ControlPlaneConfig,
        config: &NodeConfig,
        identity: &InstanceIdentity,
    ) -> Result<Self, ManifestError> {
        let own = |etcd: &EtcdConfig| EtcdServers {
            addresses: vec![Ipv4Addr::LOCALHOST],
            port: etcd.ports.client,
            holds: etcd.holds.clone(),
        };
        Ok(Self {
            image: image(&control_plane.images, API_SERVER)?,
            etcd: control_plane.etcd_clusters().map(own).collect(),
            advertise_address: match (config.network.is_ipv6(), identity.stable_ipv6(config)) {
                (false, _) => control_plane.etcd.address()?.into(),
                (true, Some(stable)) => stable.into(),
                // Where a load balancer leads to it, no IPv6 address moves with it.
                (true, None) => own_address(config, identity)?,
            },
            port: config.api.endpoint.port,
            service_accounts: &control_plane.service_accounts,
        })
    }

    /// One of another instance.
    fn beside_masters(
        api_server: &'a ApiServerConfig,
        config: &NodeConfig,
        identity: &InstanceIdentity,
    ) -> Result<Self, ManifestError> {
        Ok(Self {
            image: &api_server.image,
            etcd: api_server.etcd.clone(),
            advertise_address: own_address(config, identity)?,
            port: api_server.port,
            service_accounts: &api_server.service_accounts,
        })
    }

    /// Writes the pod and its files. Returns whether any was another one.
    pub fn ensure(&self, host: &Host, config: &NodeConfig) -> Result<bool, ManifestError> {
        let mut changed = false;
        let folder = host.path(root::KUBERNETES).join(API_SERVER);
        for (name, contents) in FILES {
            changed |=
                file::ensure(&folder.join(name), contents, file::PRIVATE).map_err(ManifestError::File)?;
        }
        let own = self.authentication(&config.kubernetes_version)?;
        let authentication = authentication::configuration(host, config.component(API_SERVER), &own)?;
        let path = folder.join("authentication.yaml");
        changed |= file::ensure(&path, authentication, file::PRIVATE).map_err(ManifestError::File)?;
        changed |= file::ensure_folder(&host.path(root::AUDIT_LOG), 0o700).map_err(ManifestError::File)?;
        changed |= ensure_static_pod(host, API_SERVER, &self.pod(config)?)?;
        Ok(changed)
    }

    /// Who need not say who they are, and for what.
    fn authentication(&self, kubernetes: &str) -> Result<String, ManifestError> {
        // From 1.34 on it is of version 1; what is in it is the same.
        let api_version = if kubernetes.starts_with("1.33.") { "v1beta1" } else { "v1" };
        let api_version = format!("apiserver.config.k8s.io/{api_version}");
        let discovery = self.service_accounts.anonymous_discovery;
        let more_paths: &[&str] = if discovery { &DISCOVERY_PATHS } else { &[] };
        render("authentication", &serde_json::json!({"api_version": api_version, "more_paths": more_paths}))
    }

    fn pod(&self, config: &NodeConfig) -> Result<String, ManifestError> {
        let service_accounts = self.service_accounts;
        let said = &config.component(API_SERVER).flags;
        let delay = said.get(DELAY_FLAG).and_then(|text| go_duration(text)).unwrap_or(DELAY);
        let (main, further) = self.etcd.split_at(1.min(self.etcd.len()));
        let context = serde_json::json!({
            "image": self.image,
            "etcd_servers": main.iter().flat_map(urls).collect::<Vec<_>>().join(","),
            "etcd_servers_overrides": overrides(further),
            "advertise_address": self.advertise_address,
            "ipv6": config.network.is_ipv6(),
            "port": self.port,
            "service_account_issuer": config.api.service_account_issuer,
            "further_issuers": service_accounts.further_issuers,
            "jwks_uri": service_accounts.jwks_uri.as_deref().unwrap_or_default(),
            "api_audiences": service_accounts.audiences.join(","),
            "service_cidr": config.network.service_cidr,
            "cipher_suites": CIPHER_SUITES.join(","),
            "leaves_in_order": config.is_one_api_server_of_several(),
            "delay": format!("{}s", DELAY.as_secs()),
            "grace": (delay + DRAIN + END).as_secs(),
        });
        POD.render(context, config.component(API_SERVER))
    }
}

/// The address of the instance under which the `kubernetes` service leads to it: of the family of services.
fn own_address(config: &NodeConfig, identity: &InstanceIdentity) -> Result<IpAddr, ManifestError> {
    let addresses = identity.node_addresses(config);
    addresses.first().copied().ok_or(ManifestError::NoAddress(API_SERVER))
}

/// A duration as programs in Go take it, such as `1m30s`.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut all, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let unit = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(unit);
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        all = all.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?)?;
        rest = after;
    }
    Some(all)
}

/// Where the members of an etcd cluster are reached.
fn urls(etcd: &EtcdServers) -> Vec<String> {
    etcd.addresses.iter().map(|address| format!("https://{address}:{}", etcd.port)).collect()
}

/// What the API server keeps elsewhere than in `main`: `<group>/<resource>#<servers>` each, with commas between, and semicolons
/// between servers (its flag `--etcd-servers-overrides`).
fn overrides(further: &[EtcdServers]) -> String {
    let overrides = further.iter().flat_map(|etcd| {
        let urls = urls(etcd).join(";");
        etcd.holds.iter().map(move |resource| format!("{resource}#{urls}"))
    });
    overrides.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::components::ComponentSettings;
    use crate::testing;

    /// The flags of the API server of a master, and the paths that it answers to anybody.
    fn told(service_accounts: ServiceAccountsConfig) -> (Vec<String>, Vec<String>) {
        let mut config = testing::master_config();
        let mut control_plane = config.control_plane.take().unwrap();
        control_plane.service_accounts = service_accounts;
        control_plane.images.insert("kube-apiserver".to_owned(), "kube-apiserver:v1".to_owned());
        let api_server = ApiServer::of_master(&control_plane, &config, &testing::identity()).unwrap();
        let pod = api_server.pod(&config).unwrap();
        let about = ["--service-account-issuer", "--service-account-jwks-uri", "--api-audiences"];
        let flags = pod.lines().map(|line| line.trim_start().trim_start_matches("- ").trim_matches('"'));
        let flags = flags.filter(|flag| about.iter().any(|about| flag.starts_with(about)));
        let file = api_server.authentication("1.36.3").unwrap();
        let paths = file.lines().filter_map(|line| line.trim().strip_prefix("- path: "));
        let paths = paths.map(|path| path.trim_matches('"').to_owned()).collect();
        (flags.map(str::to_owned).collect(), paths)
    }

    /// The pod of a master among so many, whose specification gives these flags.
    fn pod_of(masters: u32, flags: &[(&str, &str)]) -> serde_json::Value {
        let mut config = testing::master_config();
        let mut control_plane = config.control_plane.take().unwrap();
        control_plane.masters = masters;
        control_plane.images.insert("kube-apiserver".to_owned(), "kube-apiserver:v1".to_owned());
        config.control_plane = Some(control_plane.clone());
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = ComponentSettings { flags, ..ComponentSettings::default() };
        config.components.insert(API_SERVER.to_owned(), settings);
        let api_server = ApiServer::of_master(&control_plane, &config, &testing::identity()).unwrap();
        serde_yaml::from_str(&api_server.pod(&config).unwrap()).unwrap()
    }

    /// What it is told of its end, and for how long it is waited for.
    fn end_of(pod: &serde_json::Value) -> (Vec<&str>, Option<u64>) {
        let flags = pod["spec"]["containers"][0]["command"].as_array().unwrap().iter();
        let flags = flags.filter_map(serde_json::Value::as_str).filter(|flag| flag.contains("shutdown"));
        (flags.collect(), pod["spec"]["terminationGracePeriodSeconds"].as_u64())
    }

    #[test]
    fn one_api_server_of_several_goes_on_answering_until_load_balancers_have_left_it_and_a_lone_one_ends() {
        let pod = pod_of(3, &[]);
        let expected = vec!["--shutdown-delay-duration=30s", "--shutdown-send-retry-after=true"];
        assert_eq!(end_of(&pod), (expected, Some(95)));
        let probe = &pod["spec"]["containers"][0]["livenessProbe"];
        assert_eq!(probe["terminationGracePeriodSeconds"], 30, "one that hangs isn't waited for");
        let pod = pod_of(1, &[]);
        assert_eq!(end_of(&pod), (Vec::new(), None));
        let probe = &pod["spec"]["containers"][0]["livenessProbe"];
        assert!(probe.get("terminationGracePeriodSeconds").is_none(), "{probe}");
    }

    #[test]
    fn what_the_specification_says_of_an_api_server_s_end_stands_and_is_waited_for() {
        let pod = pod_of(3, &[(DELAY_FLAG, "2m10s"), ("shutdown-send-retry-after", "false")]);
        let expected = vec!["--shutdown-delay-duration=2m10s", "--shutdown-send-retry-after=false"];
        assert_eq!(end_of(&pod), (expected, Some(195)));
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [("70s", 70.0), ("1h1m", 3660.0), ("1.5s", 1.5), ("500ms", 0.5)] {
            assert_eq!(go_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["70", "s", "1x", "1s2", "-5s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_authentication_configuration_is_of_a_version_that_the_api_server_knows() {
        let config = testing::master_config();
        let mut control_plane = config.control_plane.clone().unwrap();
        control_plane.images.insert("kube-apiserver".to_owned(), "kube-apiserver:v1".to_owned());
        let api_server = ApiServer::of_master(&control_plane, &config, &testing::identity()).unwrap();
        for (kubernetes, api) in
            [("1.33.13", "v1beta1"), ("1.34.4", "v1"), ("1.35.4", "v1"), ("1.36.3", "v1")]
        {
            let text = api_server.authentication(kubernetes).unwrap();
            let read: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            assert_eq!(read["apiVersion"], format!("apiserver.config.k8s.io/{api}"), "{kubernetes}");
            assert_eq!(read["anonymous"]["conditions"][0]["path"], "/livez");
        }
    }

    #[test]
    fn an_api_server_of_which_nothing_is_said_has_one_issuer_and_tells_strangers_of_its_health_alone() {
        let (flags, paths) = told(ServiceAccountsConfig::default());
        assert_eq!(flags, ["--service-account-issuer=https://api.internal.demo"]);
        assert_eq!(paths, ["/livez", "/readyz", "/healthz"]);
    }

    #[test]
    fn issuers_of_before_stay_good_behind_the_one_that_signs_and_strangers_read_discovery_documents_alone() {
        let (flags, paths) = told(ServiceAccountsConfig {
            jwks_uri: Some("https://a.example.com/openid/v1/jwks".to_owned()),
            further_issuers: vec!["https://b.example.com".to_owned()],
            audiences: vec!["one".to_owned(), "two".to_owned()],
            anonymous_discovery: true,
        });
        assert_eq!(
            flags,
            [
                "--service-account-issuer=https://api.internal.demo",
                "--service-account-issuer=https://b.example.com",
                "--service-account-jwks-uri=https://a.example.com/openid/v1/jwks",
                "--api-audiences=one,two",
            ]
        );
        assert_eq!(
            paths,
            ["/livez", "/readyz", "/healthz", "/.well-known/openid-configuration", "/openid/v1/jwks"]
        );
    }
}
