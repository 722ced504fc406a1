//! kube-apiserver.

use std::collections::BTreeMap;

use serde_json::json;

use crate::spec::v1alpha2::row::{HONOURED, only};
use crate::spec::v1alpha2::{Duration, EnvVarSpec, Quantity};

wire! {
    /// Flags of kube-apiserver.
    pub struct KubeApiServerSpec {
        /// The image instead of the machine image's.
        image: String,
        /// Deprecated: Kubernetes no longer knows passwords.
        disable_basic_auth: bool,
        /// `--logging-format`: `text` or `json`.
        log_format: String,
        /// `--v`: how much is logged.
        log_level: i32,
        /// Deprecated: `external`.
        cloud_provider: String,
        /// `--secure-port`: 443.
        secure_port: i32,
        /// Deprecated: there is no insecure port.
        insecure_port: i32,
        /// Deprecated: there is no insecure port.
        address: String,
        /// `--advertise-address`: the address that other members of the cluster are told.
        advertise_address: String,
        /// `--bind-address`: the address on which it listens.
        bind_address: String,
        /// Deprecated: there is no insecure port.
        insecure_bind_address: String,
        /// `--enable-bootstrap-token-auth`: whether bootstrap tokens are accepted.
        enable_bootstrap_token_auth: bool,
        /// `--enable-aggregator-routing`: whether aggregated APIs are reached by their endpoints.
        enable_aggregator_routing: bool,
        /// Deprecated: `enableAdmissionPlugins`.
        admission_control: Vec<String>,
        /// Admission plug-ins besides the default ones.
        append_admission_plugins: Vec<String>,
        /// `--enable-admission-plugins`: the admission plug-ins, instead of the default ones.
        enable_admission_plugins: Vec<String>,
        /// `--disable-admission-plugins`: admission plug-ins that are switched off.
        disable_admission_plugins: Vec<String>,
        /// `--admission-control-config-file`: the admission plug-ins' configuration.
        admission_control_config_file: String,
        /// `--service-cluster-ip-range`: it follows from `spec.serviceClusterIPRange`.
        #[serde(rename = "serviceClusterIPRange")]
        service_cluster_ip_range: String,
        /// `--service-node-port-range`: the range of node ports, such as `30000-32767`.
        service_node_port_range: String,
        /// `--etcd-servers`: where etcd is.
        etcd_servers: Vec<String>,
        /// `--etcd-servers-overrides`: where etcd is for some resources.
        etcd_servers_overrides: Vec<String>,
        /// `--etcd-cafile`: whom etcd's certificate is signed by.
        etcd_ca_file: String,
        /// `--etcd-certfile`: the certificate for etcd.
        etcd_cert_file: String,
        /// `--etcd-keyfile`: the key for etcd.
        etcd_key_file: String,
        /// Deprecated: Kubernetes no longer knows passwords.
        basic_auth_file: String,
        /// `--client-ca-file`: whom clients' certificates are signed by.
        #[serde(rename = "clientCAFile")]
        client_ca_file: String,
        /// `--tls-cert-file`: the serving certificate.
        tls_cert_file: String,
        /// `--tls-private-key-file`: the serving certificate's key.
        tls_private_key_file: String,
        /// `--tls-cipher-suites`: the cipher suites for TLS 1.2.
        tls_cipher_suites: Vec<String>,
        /// `--tls-min-version`: the oldest version of TLS, such as `VersionTLS12`.
        tls_min_version: String,
        /// `--token-auth-file`: a file with static tokens.
        token_auth_file: String,
        /// `--allow-privileged`: whether there may be privileged containers.
        allow_privileged: bool,
        /// Deprecated: how many API servers there are.
        api_server_count: i32,
        /// `--runtime-config`: versions of APIs that are switched on or off.
        runtime_config: BTreeMap<String, String>,
        /// `--kubelet-client-certificate`: the certificate for kubelets.
        kubelet_client_certificate: String,
        /// `--kubelet-certificate-authority`: whom kubelets' certificates are signed by.
        kubelet_certificate_authority: String,
        /// `--kubelet-client-key`: the key for kubelets.
        kubelet_client_key: String,
        /// Whether whoever has no credentials may read the service accounts' discovery documents, as AWS does where the API
        /// server is their issuer. They may ask for nothing else but its health, which they always may.
        anonymous_auth: bool = HONOURED,
        /// `--kubelet-preferred-address-types`: which of a Node's addresses are tried, in this order.
        kubelet_preferred_address_types: Vec<String>,
        /// Deprecated: `etcd3`.
        storage_backend: String,
        /// `--oidc-username-claim`: the claim that holds a user's name.
        oidc_username_claim: String,
        /// `--oidc-username-prefix`: a prefix for users' names.
        oidc_username_prefix: String,
        /// `--oidc-groups-claim`: the claim that holds a user's groups.
        oidc_groups_claim: String,
        /// `--oidc-groups-prefix`: a prefix for groups.
        oidc_groups_prefix: String,
        /// `--oidc-issuer-url`: the OpenID Connect provider.
        #[serde(rename = "oidcIssuerURL")]
        oidc_issuer_url: String,
        /// `--oidc-client-id`: the audience that tokens must be for.
        #[serde(rename = "oidcClientID")]
        oidc_client_id: String,
        /// `--oidc-required-claim`: claims that tokens must carry, as `name=value`.
        oidc_required_claim: Vec<String>,
        /// `--oidc-ca-file`: whom the provider's certificate is signed by.
        #[serde(rename = "oidcCAFile")]
        oidc_ca_file: String,
        /// `--proxy-client-cert-file`: the certificate for aggregated APIs.
        proxy_client_cert_file: String,
        /// `--proxy-client-key-file`: the key for aggregated APIs.
        proxy_client_key_file: String,
        /// `--audit-log-format`: `json` or `legacy`.
        audit_log_format: String,
        /// `--audit-log-path`: where requests are logged; `-` is the standard output.
        audit_log_path: String,
        /// `--audit-log-maxage`: for how many days old audit logs are kept.
        audit_log_max_age: i32,
        /// `--audit-log-maxbackup`: how many old audit logs are kept.
        audit_log_max_backups: i32,
        /// `--audit-log-maxsize`: how many MB an audit log may have.
        audit_log_max_size: i32,
        /// `--audit-policy-file`: which requests are logged.
        audit_policy_file: String,
        /// `--audit-webhook-batch-buffer-size`: how many events wait at most.
        audit_webhook_batch_buffer_size: i32,
        /// `--audit-webhook-batch-max-size`: how many events are sent at once.
        audit_webhook_batch_max_size: i32,
        /// `--audit-webhook-batch-max-wait`: how long events wait for others.
        audit_webhook_batch_max_wait: Duration,
        /// `--audit-webhook-batch-throttle-burst`: how many batches are sent in a burst.
        audit_webhook_batch_throttle_burst: i32,
        /// `--audit-webhook-batch-throttle-enable`: whether batches are throttled.
        audit_webhook_batch_throttle_enable: bool,
        /// `--audit-webhook-batch-throttle-qps`: how many batches are sent in a second.
        audit_webhook_batch_throttle_qps: Quantity,
        /// `--audit-webhook-config-file`: where events are sent, as a kubeconfig.
        audit_webhook_config_file: String,
        /// `--audit-webhook-initial-backoff`: how long the first retry waits.
        audit_webhook_initial_backoff: Duration,
        /// `--audit-webhook-mode`: `batch` or `blocking`.
        audit_webhook_mode: String,
        /// `--authentication-config`: how users prove who they are, as a file.
        authentication_config_file: String,
        /// `--authentication-token-webhook-config-file`: who is asked about tokens, as a kubeconfig.
        authentication_token_webhook_config_file: String,
        /// `--authentication-token-webhook-cache-ttl`: how long answers about tokens hold.
        authentication_token_webhook_cache_ttl: Duration,
        /// `--authorization-mode`: `Node,RBAC`.
        authorization_mode: String,
        /// `--authorization-webhook-config-file`: who is asked about requests, as a kubeconfig.
        authorization_webhook_config_file: String,
        /// `--authorization-webhook-cache-authorized-ttl`: how long a yes holds.
        authorization_webhook_cache_authorized_ttl: Duration,
        /// `--authorization-webhook-cache-unauthorized-ttl`: how long a no holds.
        authorization_webhook_cache_unauthorized_ttl: Duration,
        /// Deprecated: Kubernetes no longer has such a user.
        authorization_rbac_super_user: String,
        /// `--encryption-provider-config`: how secrets are encrypted at rest.
        encryption_provider_config: String,
        /// Deprecated: `encryptionProviderConfig`.
        experimental_encryption_provider_config: String,
        /// `--requestheader-username-headers`: headers in which a proxy names a user.
        requestheader_username_headers: Vec<String>,
        /// `--requestheader-group-headers`: headers in which a proxy names groups.
        requestheader_group_headers: Vec<String>,
        /// `--requestheader-extra-headers-prefix`: prefixes of headers in which a proxy says more.
        requestheader_extra_header_prefixes: Vec<String>,
        /// `--requestheader-client-ca-file`: whom proxies' certificates are signed by.
        #[serde(rename = "requestheaderClientCAFile")]
        requestheader_client_ca_file: String,
        /// `--requestheader-allowed-names`: the names of proxies.
        requestheader_allowed_names: Vec<String>,
        /// `--feature-gates`: features that are switched on or off.
        feature_gates: BTreeMap<String, String> = only([json!({"ServiceAccountIssuerDiscovery": "true"})]),
        /// `--goaway-chance`: how probably a client is asked to connect again.
        goaway_chance: String,
        /// `--max-requests-inflight`: how many reads are served at once.
        max_requests_inflight: i32,
        /// `--max-mutating-requests-inflight`: how many writes are served at once.
        max_mutating_requests_inflight: i32,
        /// `--http2-max-streams-per-connection`: how many requests share a connection.
        http2_max_streams_per_connection: i32,
        /// Deprecated: reads are always consistent.
        etcd_quorum_read: bool,
        /// `--request-timeout`: how long a request may take.
        request_timeout: Duration,
        /// `--min-request-timeout`: how many seconds a watch lasts at least.
        min_request_timeout: i32,
        /// `--watch-cache`: whether watches are served from a cache.
        watch_cache: bool,
        /// `--watch-cache-sizes`: how many objects caches hold, as `resource#size`.
        watch_cache_sizes: Vec<String>,
        /// Deprecated: how many MB it may use.
        target_ram_mb: i32,
        /// `--service-account-key-file`: keys that verify service accounts' tokens.
        service_account_key_file: Vec<String>,
        /// `--service-account-signing-key-file`: the key that signs service accounts' tokens.
        service_account_signing_key_file: String,
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
        cpu_request: Quantity,
        /// The pod's limit of CPU.
        cpu_limit: Quantity,
        /// The pod's request for memory.
        memory_request: Quantity,
        /// The pod's limit of memory.
        memory_limit: Quantity,
        /// `--event-ttl`: how long events are kept.
        #[serde(rename = "eventTTL")]
        event_ttl: Duration,
        /// `--etcd-compaction-interval`: how often etcd is compacted.
        compaction_interval: Duration,
        /// `--delete-collection-workers`: how many workers delete a collection.
        delete_collection_workers: i64,
        /// `--storage-initialization-timeout`: how long it waits for etcd before it serves.
        storage_initialization_timeout: Duration,
        /// `--strict-transport-security-directives`: what its answers say to browsers.
        strict_transport_security_directives: Vec<String>,
        /// Deprecated: Kubernetes no longer has audit sinks.
        audit_dynamic_configuration: bool,
        /// `--profiling`: whether it can be profiled.
        enable_profiling: bool,
        /// `--contention-profiling`: whether lock contention can be profiled.
        enable_contention_profiling: bool,
        /// `--cors-allowed-origins`: origins of web pages that may use the API.
        cors_allowed_origins: Vec<String>,
        /// `--default-not-ready-toleration-seconds`: how long pods stay on a Node that is not ready.
        default_not_ready_toleration_seconds: i64,
        /// `--default-unreachable-toleration-seconds`: how long pods stay on a Node that is not reachable.
        default_unreachable_toleration_seconds: i64,
        /// The container's environment.
        env: Vec<EnvVarSpec>,
    }
}
