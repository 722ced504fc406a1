//! What a field sets of a component: a flag, a field of its configuration file, or a resource of its pod, and which values it
//! takes. A setting stands in its field's own row ([`super::row`]); `resolve::components` reads it from there:
//!
//! ```text
//! /// `--max-requests-inflight`: how many reads are served at once.
//! max_requests_inflight: i32 = flag("max-requests-inflight", at_least(0)),
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What a field sets, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What it sets.
    pub to: Target,
    /// Which values there are.
    pub kind: Kind,
}

/// What a field sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// A flag, by its name without dashes.
    Flag(Cow<'static, str>),
    /// A field of the component's configuration file: its path, with dots between the names.
    File(Cow<'static, str>),
    /// What its pod asks the scheduler for: `cpu` or `memory`.
    Request(Cow<'static, str>),
    /// What its pod gets at most.
    Limit(Cow<'static, str>),
    /// The environment of its container.
    Environment,
}

/// Which values a field takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A text without blanks and quotes.
    Word,
    /// A text without blanks, quotes and commas each.
    Words,
    /// One of these.
    OneOf(Vec<Cow<'static, str>>),
    /// A list of some of these.
    SomeOf(Vec<Cow<'static, str>>),
    /// The same in one text, with commas between.
    CommaSeparated(Vec<Cow<'static, str>>),
    /// A whole number, from the least to the most.
    Integer(i64, i64),
    /// A number that isn't negative, written as a quantity or as it is.
    Decimal,
    /// A duration as Go writes it.
    Duration,
    /// A quantity of Kubernetes.
    Quantity,
    /// A range of ports, such as `30000-32767`.
    Ports,
    /// An IP address and a port.
    Socket,
    /// The path of a file on the machine, which the component only reads.
    Path,
    /// The path of a file below `/var/log` into which the component writes, or `-` for the standard output.
    Log,
    /// Features by name, each `true` or `false`.
    Gates,
    /// Texts by name.
    Pairs,
    /// Quantities of resources that a Node has, by resource.
    Reservations,
    /// `signal<amount`, with commas between.
    Thresholds,
    /// `signal=amount`, with commas between.
    Amounts,
    /// `signal=duration`, with commas between.
    GracePeriods,
    /// Environment variables.
    Variables,
}

/// A whole number that is no less.
pub fn at_least(least: i64) -> Kind {
    Kind::Integer(least, i64::MAX)
}

/// A whole number between two, both included.
pub fn between(least: i64, most: i64) -> Kind {
    Kind::Integer(least, most)
}

/// One of some words.
pub fn one_of<const N: usize>(words: [&'static str; N]) -> Kind {
    Kind::OneOf(words.map(Cow::Borrowed).into())
}

/// A list of some of these words.
pub fn some_of(words: &[&'static str]) -> Kind {
    Kind::SomeOf(words.iter().copied().map(Cow::Borrowed).collect())
}

/// Some of these words in one text, with commas between.
pub fn comma_separated<const N: usize>(words: [&'static str; N]) -> Kind {
    Kind::CommaSeparated(words.map(Cow::Borrowed).into())
}

/// How much components log, from nothing but what matters to everything.
pub const VERBOSITY: Kind = Kind::Integer(0, 10);

/// The cipher suites for TLS 1.2 and 1.3 that Kubernetes calls secure.
pub fn cipher_suites() -> Kind {
    some_of(&[
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ])
}

/// The admission plug-ins that all versions of Kubernetes have which windlass runs.
pub fn admission_plugins() -> Kind {
    some_of(&[
        "AlwaysAdmit",
        "AlwaysDeny",
        "AlwaysPullImages",
        "CertificateApproval",
        "CertificateSigning",
        "CertificateSubjectRestriction",
        "ClusterTrustBundleAttest",
        "DefaultIngressClass",
        "DefaultStorageClass",
        "DefaultTolerationSeconds",
        "DenyServiceExternalIPs",
        "EventRateLimit",
        "ExtendedResourceToleration",
        "ImagePolicyWebhook",
        "LimitPodHardAntiAffinityTopology",
        "LimitRanger",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionWebhook",
        "NamespaceAutoProvision",
        "NamespaceExists",
        "NamespaceLifecycle",
        "NodeRestriction",
        "OwnerReferencesPermissionEnforcement",
        "PersistentVolumeClaimResize",
        "PodNodeSelector",
        "PodSecurity",
        "PodTolerationRestriction",
        "PodTopologyLabels",
        "Priority",
        "ResourceQuota",
        "RuntimeClass",
        "ServiceAccount",
        "StorageObjectInUseProtection",
        "TaintNodesByCondition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
    ])
}

/// The versions of TLS that are safe.
pub fn tls_versions() -> Kind {
    one_of(["VersionTLS12", "VersionTLS13"])
}
