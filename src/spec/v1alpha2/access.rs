//! Who may reach the cluster, and what its instances may do.

use super::row::{HONOURED, IN_PART, not_yet, only};
use super::{LoadBalancerType, Quantity};

wire! {
    /// How the API is reached from outside: one of its fields is set.
    pub struct AccessSpec {
        /// By a DNS name in the zone `dnsZone`: `masterPublicName`, else `api.<cluster>`. It leads to an Elastic IP
        /// that moves with the only master.
        dns: DnsAccessSpec = HONOURED,
        /// By a Network Load Balancer.
        load_balancer: LoadBalancerSpec = IN_PART,
        /// By an Elastic IP that moves with the only master. This field is windlass's own: kops has no such form.
        #[serde(rename = "elasticIP")]
        elastic_ip: ElasticIpSpec = HONOURED,
    }

    /// The API by a DNS name.
    pub struct DnsAccessSpec {}

    /// The API by an Elastic IP. It has no settings yet.
    pub struct ElasticIpSpec {}

    /// The API by a load balancer.
    pub struct LoadBalancerSpec {
        /// The kind of load balancer: `Network`. `Classic` is refused.
        class: LoadBalancerClass = only(["Network"]),
        /// From where it is reached.
        r#type: LoadBalancerType = HONOURED,
        /// Deprecated: for Classic Load Balancers only.
        idle_timeout_seconds: i64,
        /// An existing security group (`sg-…`) instead of windlass's own.
        security_group_override: String = HONOURED,
        /// Further security groups (`sg-…`).
        additional_security_groups: Vec<String> = HONOURED,
        /// Whether nodes use it, too, by the API's internal name: internal load balancers with a name in a hosted zone only.
        /// Otherwise nodes go to the masters' stable private addresses.
        use_for_internal_api: bool = HONOURED,
        /// The ARN of a certificate in ACM, which is shown on port 443; port 8443 then passes TCP through.
        ssl_certificate: String = HONOURED,
        /// The TLS listener's security policy.
        ssl_policy: String = HONOURED,
        /// Whether it balances across zones.
        cross_zone_load_balancing: bool = HONOURED,
        /// Its subnets and addresses.
        subnets: Vec<LoadBalancerSubnetSpec> = HONOURED,
        /// Its access log.
        access_log: AccessLogSpec = IN_PART,
    }

    /// A subnet of a load balancer.
    pub struct LoadBalancerSubnetSpec {
        /// The subnet's name.
        name: String,
        /// Its address in the subnet: internal load balancers only.
        #[serde(rename = "privateIPv4Address")]
        private_ipv4_address: String,
        /// An existing Elastic IP: public load balancers only.
        allocation_id: String,
    }

    /// A load balancer's access log.
    pub struct AccessLogSpec {
        /// Deprecated: for Classic Load Balancers only.
        interval: i64,
        /// The bucket it is written to.
        bucket: String = HONOURED,
        /// The prefix in the bucket.
        bucket_prefix: String = HONOURED,
    }

    /// What instances may do in AWS.
    pub struct IamSpec {
        /// kops's old, wide policies. Windlass has none.
        legacy: bool = only([false]),
        /// Whether instances may pull from ECR: from the account's own registries, and from others that let this account
        /// in. The kubelet gets its credentials with the instance's role.
        allow_container_registry: bool = HONOURED,
        /// The ARN of a permissions boundary for the roles.
        permissions_boundary: String,
        /// Whether windlass's own add-ons use roles for service accounts. None of them calls AWS yet.
        use_service_account_external_permissions: bool = HONOURED,
        /// Roles for service accounts: each is called `<name>.<namespace>.sa.<cluster>`.
        service_account_external_permissions: Vec<ServiceAccountPermissionSpec> = HONOURED,
    }

    /// What a service account may do in AWS.
    pub struct ServiceAccountPermissionSpec {
        /// The service account's name.
        name: String,
        /// Its namespace; `*` stands for any characters, as in `test-*`.
        namespace: String,
        /// Its permissions.
        aws: AwsPermissionSpec,
    }

    /// Permissions: either field is set.
    pub struct AwsPermissionSpec {
        /// ARNs of managed policies.
        #[serde(rename = "policyARNs")]
        policy_arns: Vec<String>,
        /// Statements of a policy, a JSON list as text.
        inline_policy: String,
    }

    /// How users prove who they are.
    pub struct AuthenticationSpec {
        /// By kopeio's webhook.
        kopeio: KopeioAuthenticationSpec,
        /// By AWS identities.
        aws: AwsAuthenticationSpec,
    }

    /// kopeio's webhook.
    pub struct KopeioAuthenticationSpec {}

    /// The AWS IAM Authenticator.
    pub struct AwsAuthenticationSpec {
        /// Its image.
        image: String,
        /// Where it finds mappings: a comma-separated list of `MountedFile`, `CRD`, `EKSConfigMap`.
        backend_mode: String,
        /// What tokens are bound to: the API's name when left out.
        #[serde(rename = "clusterID")]
        cluster_id: String,
        /// Its request for memory.
        memory_request: Quantity,
        /// Its request for CPU.
        cpu_request: Quantity,
        /// Its limit of memory.
        memory_limit: Quantity,
        /// Its limit of CPU.
        cpu_limit: Quantity,
        /// Which AWS identity is which Kubernetes user.
        identity_mappings: Vec<IdentityMappingSpec>,
    }

    /// Which Kubernetes user an AWS identity is.
    pub struct IdentityMappingSpec {
        /// The ARN of a role or user.
        arn: String,
        /// The user.
        username: String,
        /// The user's groups.
        groups: Vec<String>,
    }

    /// How requests are authorized: one of its fields is set.
    pub struct AuthorizationSpec {
        /// Not at all.
        always_allow: AlwaysAllowSpec = not_yet("leave it out: requests are authorized by RBAC"),
        /// By RBAC.
        rbac: RbacSpec = HONOURED,
    }

    /// No authorization.
    pub struct AlwaysAllowSpec {}

    /// RBAC.
    pub struct RbacSpec {}

    /// Publishes the issuer of service account tokens.
    pub struct ServiceAccountIssuerDiscoverySpec {
        /// The bucket and prefix that holds the discovery documents: `s3://…`. The bucket must be there, and let everybody
        /// read them.
        discovery_store: String = HONOURED,
        /// Serves the discovery documents from a URL instead.
        discovery_service: DiscoveryServiceSpec,
        /// Whether IAM trusts the issuer.
        #[serde(rename = "enableAWSOIDCProvider")]
        enable_aws_oidc_provider: bool = HONOURED,
        /// Further audiences of tokens that IAM takes, besides `amazonaws.com`.
        additional_audiences: Vec<String> = HONOURED,
    }

    /// A service that publishes discovery documents.
    pub struct DiscoveryServiceSpec {
        /// Its URL.
        url: String,
    }

    /// The pod identity webhook.
    pub struct PodIdentityWebhookSpec {
        /// Whether it runs.
        enabled: bool = only([false]),
        /// How many replicas.
        replicas: u32,
    }
}

/// The kind of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum LoadBalancerClass {
    /// A Classic Load Balancer.
    Classic,
    /// A Network Load Balancer.
    Network,
}
