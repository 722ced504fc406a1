//! kube-apiserver.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::row::{
    HONOURED, environment, flag, in_file, limit, only, refused, removed, request,
};
use crate::spec::v1alpha2::setting::{
    Kind, VERBOSITY, admission_plugins, at_least, cipher_suites, comma_separated, one_of, some_of,
    tls_versions,
};
use crate::spec::v1alpha2::{Duration, EnvVarSpec, Quantity};

wire! {
    /// Flags of kube-apiserver.
    pub struct KubeApiServerSpec {
        /// The image instead of the machine image's.
        image: String =
            refused("components are those of the machine image, which is tested as a whole: another version is another image"),
        /// Deprecated: Kubernetes no longer knows passwords.
        disable_basic_auth: bool = only([true]),
        /// `--logging-format`: `text` or `json`.
        log_format: String = flag("logging-format", one_of(["text", "json"])),
        /// `--v`: how much is logged.
        log_level: i32 = flag("v", VERBOSITY),
        /// Deprecated: `external`.
        cloud_provider: String =
            refused("Kubernetes has no cloud provider of its own any more, and windlass installs none"),
        /// `--secure-port`: 443.
        secure_port: i32 = only([443]),
        /// Deprecated: there is no insecure port.
        insecure_port: i32 = only([0]),
        /// Deprecated: there is no insecure port.
        address: String = removed(),
        /// `--advertise-address`: the address that other members of the cluster are told.
        advertise_address: String = refused("it is the master's stable private address"),
        /// `--bind-address`: the address on which it listens.
        bind_address: String = only(["0.0.0.0", "::"]),
        /// Deprecated: there is no insecure port.
        insecure_bind_address: String = removed(),
        /// `--enable-bootstrap-token-auth`: whether bootstrap tokens are accepted.
        enable_bootstrap_token_auth: bool = only([true]),
        /// `--enable-aggregator-routing`: whether aggregated APIs are reached by their endpoints.
        enable_aggregator_routing: bool = flag("enable-aggregator-routing", Kind::Boolean),
        /// Deprecated: `enableAdmissionPlugins`.
        admission_control: Vec<String> =
            refused("Kubernetes is about to remove it: write `enableAdmissionPlugins`"),
        /// `--enable-admission-plugins`: admission plug-ins besides windlass's own.
        append_admission_plugins: Vec<String> = in_file("plugins.append", admission_plugins()),
        /// `--enable-admission-plugins`: admission plug-ins besides windlass's own, which stay unless
        /// `disableAdmissionPlugins` names them.
        enable_admission_plugins: Vec<String> = in_file("plugins.enable", admission_plugins()),
        /// `--disable-admission-plugins`: admission plug-ins that are switched off.
        disable_admission_plugins: Vec<String> = flag("disable-admission-plugins", admission_plugins()),
        /// `--admission-control-config-file`: the admission plug-ins' configuration.
        admission_control_config_file: String = flag("admission-control-config-file", Kind::Path),
        /// `--service-cluster-ip-range`: it follows from `spec.serviceClusterIPRange`.
        #[serde(rename = "serviceClusterIPRange")]
        service_cluster_ip_range: String = refused("it follows from `spec.serviceClusterIPRange`"),
        /// `--service-node-port-range`: the range of node ports, such as `30000-32767`.
        service_node_port_range: String = flag("service-node-port-range", Kind::Ports),
        /// `--etcd-servers`: where etcd is.
        etcd_servers: Vec<String> = refused("where etcd is follows from `spec.etcdClusters`"),
        /// `--etcd-servers-overrides`: where etcd is for some resources.
        etcd_servers_overrides: Vec<String> = refused("where etcd is follows from `spec.etcdClusters`"),
        /// `--etcd-cafile`: whom etcd's certificate is signed by.
        etcd_ca_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--etcd-certfile`: the certificate for etcd.
        etcd_cert_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--etcd-keyfile`: the key for etcd.
        etcd_key_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// Deprecated: Kubernetes no longer knows passwords.
        basic_auth_file: String = removed(),
        /// `--client-ca-file`: whom clients' certificates are signed by.
        #[serde(rename = "clientCAFile")]
        client_ca_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--tls-cert-file`: the serving certificate.
        tls_cert_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--tls-private-key-file`: the serving certificate's key.
        tls_private_key_file: String = refused("windlass makes the certificates and keys, and renews them"),
        /// `--tls-cipher-suites`: the cipher suites for TLS 1.2.
        tls_cipher_suites: Vec<String> = flag("tls-cipher-suites", cipher_suites()),
        /// `--tls-min-version`: the oldest version of TLS, such as `VersionTLS12`.
        tls_min_version: String = flag("tls-min-version", tls_versions()),
        /// `--token-auth-file`: a file with static tokens.
        token_auth_file: String = flag("token-auth-file", Kind::Path),
        /// `--allow-privileged`: whether there may be privileged containers.
        allow_privileged: bool = only([true]),
        /// Deprecated: how many API servers there are.
        api_server_count: i32 = removed(),
        /// `--runtime-config`: versions of APIs that are switched on or off.
        runtime_config: BTreeMap<String, String> = flag("runtime-config", Kind::Pairs),
        /// `--kubelet-client-certificate`: the certificate for kubelets.
        kubelet_client_certificate: String =
            refused("windlass makes the certificates and keys, and renews them"),
        /// `--kubelet-certificate-authority`: whom kubelets' certificates are signed by.
        kubelet_certificate_authority: String =
            refused("windlass makes the certificates and keys, and renews them"),
        /// `--kubelet-client-key`: the key for kubelets.
        kubelet_client_key: String = refused("windlass makes the certificates and keys, and renews them"),
        /// Whether whoever has no credentials may read the service accounts' discovery documents, as AWS does where the API
        /// server is their issuer. They may ask for nothing else but its health, which they always may.
        anonymous_auth: bool = HONOURED,
        /// `--kubelet-preferred-address-types`: which of a Node's addresses are tried, in this order.
        kubelet_preferred_address_types: Vec<String> =
            flag("kubelet-preferred-address-types", some_of(&["InternalIP", "Hostname", "ExternalIP", "InternalDNS", "ExternalDNS"])),
        /// Deprecated: `etcd3`.
        storage_backend: String = only(["etcd3"]),
        /// `--oidc-username-claim`: the claim that holds a user's name.
        oidc_username_claim: String = in_file("oidc.usernameClaim", Kind::Word),
        /// `--oidc-username-prefix`: a prefix for users' names.
        oidc_username_prefix: String = in_file("oidc.usernamePrefix", Kind::Word),
        /// `--oidc-groups-claim`: the claim that holds a user's groups.
        oidc_groups_claim: String = in_file("oidc.groupsClaim", Kind::Word),
        /// `--oidc-groups-prefix`: a prefix for groups.
        oidc_groups_prefix: String = in_file("oidc.groupsPrefix", Kind::Word),
        /// `--oidc-issuer-url`: the OpenID Connect provider.
        #[serde(rename = "oidcIssuerURL")]
        oidc_issuer_url: String = in_file("oidc.issuer", Kind::Word),
        /// `--oidc-client-id`: the audience that tokens must be for.
        #[serde(rename = "oidcClientID")]
        oidc_client_id: String = in_file("oidc.client", Kind::Word),
        /// `--oidc-required-claim`: claims that tokens must carry, as `name=value`.
        oidc_required_claim: Vec<String> = in_file("oidc.requiredClaims", Kind::Words),
        /// `--oidc-ca-file`: whom the provider's certificate is signed by.
        #[serde(rename = "oidcCAFile")]
        oidc_ca_file: String = in_file("oidc.authorityFile", Kind::Path),
        /// `--proxy-client-cert-file`: the certificate for aggregated APIs.
        proxy_client_cert_file: String =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--proxy-client-key-file`: the key for aggregated APIs.
        proxy_client_key_file: String =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--audit-log-format`: `json` or `legacy`.
        audit_log_format: String = flag("audit-log-format", one_of(["json", "legacy"])),
        /// `--audit-log-path`: where requests are logged; `-` is the standard output.
        audit_log_path: String = flag("audit-log-path", Kind::Log),
        /// `--audit-log-maxage`: for how many days old audit logs are kept.
        audit_log_max_age: i32 = flag("audit-log-maxage", at_least(0)),
        /// `--audit-log-maxbackup`: how many old audit logs are kept.
        audit_log_max_backups: i32 = flag("audit-log-maxbackup", at_least(0)),
        /// `--audit-log-maxsize`: how many MB an audit log may have.
        audit_log_max_size: i32 = flag("audit-log-maxsize", at_least(0)),
        /// `--audit-policy-file`: which requests are logged.
        audit_policy_file: String = flag("audit-policy-file", Kind::Path),
        /// `--audit-webhook-batch-buffer-size`: how many events wait at most.
        audit_webhook_batch_buffer_size: i32 = flag("audit-webhook-batch-buffer-size", at_least(0)),
        /// `--audit-webhook-batch-max-size`: how many events are sent at once.
        audit_webhook_batch_max_size: i32 = flag("audit-webhook-batch-max-size", at_least(0)),
        /// `--audit-webhook-batch-max-wait`: how long events wait for others.
        audit_webhook_batch_max_wait: Duration = flag("audit-webhook-batch-max-wait", Kind::Duration),
        /// `--audit-webhook-batch-throttle-burst`: how many batches are sent in a burst.
        audit_webhook_batch_throttle_burst: i32 = flag("audit-webhook-batch-throttle-burst", at_least(0)),
        /// `--audit-webhook-batch-throttle-enable`: whether batches are throttled.
        audit_webhook_batch_throttle_enable: bool =
            flag("audit-webhook-batch-throttle-enable", Kind::Boolean),
        /// `--audit-webhook-batch-throttle-qps`: how many batches are sent in a second.
        audit_webhook_batch_throttle_qps: Quantity = flag("audit-webhook-batch-throttle-qps", Kind::Decimal),
        /// `--audit-webhook-config-file`: where events are sent, as a kubeconfig.
        audit_webhook_config_file: String = flag("audit-webhook-config-file", Kind::Path),
        /// `--audit-webhook-initial-backoff`: how long the first retry waits.
        audit_webhook_initial_backoff: Duration = flag("audit-webhook-initial-backoff", Kind::Duration),
        /// `--audit-webhook-mode`: `batch` or `blocking`.
        audit_webhook_mode: String =
            flag("audit-webhook-mode", one_of(["batch", "blocking", "blocking-strict"])),
        /// `--authentication-config`: how users prove who they are, as a file.
        authentication_config_file: String =
            refused("windlass writes this file itself, so that nobody without credentials gets further than probes: write the `oidc…` fields"),
        /// `--authentication-token-webhook-config-file`: who is asked about tokens, as a kubeconfig.
        authentication_token_webhook_config_file: String =
            flag("authentication-token-webhook-config-file", Kind::Path),
        /// `--authentication-token-webhook-cache-ttl`: how long answers about tokens hold.
        authentication_token_webhook_cache_ttl: Duration =
            flag("authentication-token-webhook-cache-ttl", Kind::Duration),
        /// `--authorization-mode`: `Node,RBAC`.
        authorization_mode: String = flag("authorization-mode", comma_separated(["Node", "RBAC", "Webhook"])),
        /// `--authorization-webhook-config-file`: who is asked about requests, as a kubeconfig.
        authorization_webhook_config_file: String = flag("authorization-webhook-config-file", Kind::Path),
        /// `--authorization-webhook-cache-authorized-ttl`: how long a yes holds.
        authorization_webhook_cache_authorized_ttl: Duration =
            flag("authorization-webhook-cache-authorized-ttl", Kind::Duration),
        /// `--authorization-webhook-cache-unauthorized-ttl`: how long a no holds.
        authorization_webhook_cache_unauthorized_ttl: Duration =
            flag("authorization-webhook-cache-unauthorized-ttl", Kind::Duration),
        /// Deprecated: Kubernetes no longer has such a user.
        authorization_rbac_super_user: String = removed(),
        /// `--encryption-provider-config`: how secrets are encrypted at rest.
        encryption_provider_config: String =
            refused("windlass keeps it in the state: `windlass create secret encryptionconfig`"),
        /// Deprecated: `encryptionProviderConfig`.
        experimental_encryption_provider_config: String = removed(),
        /// `--requestheader-username-headers`: headers in which a proxy names a user.
        requestheader_username_headers: Vec<String> =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--requestheader-group-headers`: headers in which a proxy names groups.
        requestheader_group_headers: Vec<String> =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--requestheader-extra-headers-prefix`: prefixes of headers in which a proxy says more.
        requestheader_extra_header_prefixes: Vec<String> =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--requestheader-client-ca-file`: whom proxies' certificates are signed by.
        #[serde(rename = "requestheaderClientCAFile")]
        requestheader_client_ca_file: String =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--requestheader-allowed-names`: the names of proxies.
        requestheader_allowed_names: Vec<String> =
            refused("windlass makes the front proxy's certificates, and the API server knows them"),
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String> = flag("feature-gates", Kind::Gates),
        /// `--goaway-chance`: how probably a client is asked to connect again.
        goaway_chance: String = flag("goaway-chance", Kind::Decimal),
        /// `--max-requests-inflight`: how many reads are served at once.
        max_requests_inflight: i32 = flag("max-requests-inflight", at_least(0)),
        /// `--max-mutating-requests-inflight`: how many writes are served at once.
        max_mutating_requests_inflight: i32 = flag("max-mutating-requests-inflight", at_least(0)),
        /// `--http2-max-streams-per-connection`: how many requests share a connection.
        http2_max_streams_per_connection: i32 = flag("http2-max-streams-per-connection", at_least(0)),
        /// Deprecated: reads are always consistent.
        etcd_quorum_read: bool = removed(),
        /// `--request-timeout`: how long a request may take.
        request_timeout: Duration = flag("request-timeout", Kind::Duration),
        /// `--min-request-timeout`: how many seconds a watch lasts at least.
        min_request_timeout: i32 = flag("min-request-timeout", at_least(0)),
        /// `--watch-cache`: whether watches are served from a cache.
        watch_cache: bool = flag("watch-cache", Kind::Boolean),
        /// `--watch-cache-sizes`: how many objects caches hold, as `resource#size`.
        watch_cache_sizes: Vec<String> = flag("watch-cache-sizes", Kind::Words),
        /// Deprecated: how many MB it may use.
        target_ram_mb: i32 = removed(),
        /// `--service-account-key-file`: keys that verify service accounts' tokens.
        service_account_key_file: Vec<String> =
            refused("the keys of service accounts are windlass's keysets"),
        /// `--service-account-signing-key-file`: the key that signs service accounts' tokens.
        service_account_signing_key_file: String =
            refused("the keys of service accounts are windlass's keysets"),
        /// `--service-account-issuer`: who signs service accounts' tokens, a URL.
        service_account_issuer: String = HONOURED,
        /// `--service-account-issuer`: further issuers whose tokens are accepted.
        additional_service_account_issuers: Vec<String> = HONOURED,
        /// `--service-account-jwks-uri`: where the issuer's keys are published.
        #[serde(rename = "serviceAccountJWKSURI")]
        service_account_jwksuri: String = HONOURED,
        /// `--api-audiences`: audiences that tokens may be for. The issuers are added to them.
        api_audiences: Vec<String> = HONOURED,
        /// The pod's request for CPU.
        cpu_request: Quantity = request("cpu"),
        /// The pod's limit of CPU.
        cpu_limit: Quantity = limit("cpu"),
        /// The pod's request for memory.
        memory_request: Quantity = request("memory"),
        /// The pod's limit of memory.
        memory_limit: Quantity = limit("memory"),
        /// `--event-ttl`: how long events are kept.
        #[serde(rename = "eventTTL")]
        event_ttl: Duration = flag("event-ttl", Kind::Duration),
        /// `--etcd-compaction-interval`: how often etcd is compacted.
        compaction_interval: Duration = flag("etcd-compaction-interval", Kind::Duration),
        /// `--delete-collection-workers`: how many workers delete a collection.
        delete_collection_workers: i64 = flag("delete-collection-workers", at_least(0)),
        /// `--storage-initialization-timeout`: how long it waits for etcd before it serves.
        storage_initialization_timeout: Duration = flag("storage-initialization-timeout", Kind::Duration),
        /// `--strict-transport-security-directives`: what its answers say to browsers.
        strict_transport_security_directives: Vec<String> =
            flag("strict-transport-security-directives", Kind::Words),
        /// Deprecated: Kubernetes no longer has audit sinks.
        audit_dynamic_configuration: bool = removed(),
        /// `--profiling`: whether it can be profiled.
        enable_profiling: bool = flag("profiling", Kind::Boolean),
        /// `--contention-profiling`: whether lock contention can be profiled.
        enable_contention_profiling: bool = flag("contention-profiling", Kind::Boolean),
        /// `--cors-allowed-origins`: origins of web pages that may use the API.
        cors_allowed_origins: Vec<String> = flag("cors-allowed-origins", Kind::Words),
        /// `--default-not-ready-toleration-seconds`: how long pods stay on a Node that is not ready.
        default_not_ready_toleration_seconds: i64 = flag("default-not-ready-toleration-seconds", at_least(0)),
        /// `--default-unreachable-toleration-seconds`: how long pods stay on a Node that is not reachable.
        default_unreachable_toleration_seconds: i64 =
            flag("default-unreachable-toleration-seconds", at_least(0)),
        /// The container's environment.
        env: Vec<EnvVarSpec> = environment(),
    }
}
