//! Service accounts beyond the cluster: who issues their tokens, where that is published, and what AWS lets them do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Permissions;

/// The audience of tokens for AWS, as in kops.
pub const AWS_AUDIENCE: &str = "amazonaws.com";

/// What the specification says of service accounts' tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccounts {
    /// Who issues tokens.
    pub issuer: Issuer,
    /// `spec.kubeAPIServer.serviceAccountJWKSURI`: where the issuer's keys are published, if elsewhere than the issuer's own
    /// place for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// `spec.kubeAPIServer.additionalServiceAccountIssuers`: whose tokens are good, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub further_issuers: Vec<String>,
    /// `spec.kubeAPIServer.apiAudiences`: for whom tokens may be that the API takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_audiences: Vec<String>,
    /// `spec.kubeAPIServer.anonymousAuth`: whether the API server shows the discovery documents to everybody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anonymous_discovery: bool,
    /// Where the discovery documents are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_store: Option<DiscoveryStore>,
    /// `enableAWSOIDCProvider`: the audiences of tokens that AWS takes, where it trusts the issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_audiences: Option<BTreeSet<String>>,
    /// What AWS lets service accounts do, by service account.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<ServiceAccount, Permissions>,
}

/// Who issues tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Issuer {
    /// A name that only the cluster knows.
    #[default]
    Cluster,
    /// `spec.kubeAPIServer.serviceAccountIssuer`.
    Written(String),
    /// The URL of the discovery store.
    DiscoveryStore,
    /// The API server, by the API's public name.
    Api(String),
}

/// A place for the discovery documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DiscoveryStore {
    /// `s3://<bucket>/<prefix>`.
    S3 {
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `memfs://<path>`, which is nowhere: kops's own tests have it. Nothing can be updated with it.
    Memory(String),
}

impl DiscoveryStore {
    /// The URL by which everybody reads it, where a bucket is in this region: the bucket's virtual host, as kops has it.
    pub fn url(&self, region: &str) -> String {
        match self {
            Self::S3 { bucket, prefix } => {
                let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                let url = format!("https://{bucket}.s3.{region}.{suffix}/{prefix}");
                url.trim_end_matches('/').to_owned()
            }
            Self::Memory(path) => format!("https://{path}"),
        }
    }

    /// Whether this is its URL, whatever region its bucket is in.
    pub fn has_url(&self, url: &str) -> bool {
        let region = url.split_once(".s3.").and_then(|(_, rest)| rest.split_once(".amazonaws.com"));
        self.url(region.map_or("", |(region, _)| region)) == url
    }
}

/// Service accounts that share a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAccount {
    /// The namespace, in which `*` stands for any characters.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Serialize for ServiceAccount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.namespace, self.name))
    }
}

impl ServiceAccount {
    /// What its tokens are about, as far as it is known.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// Whether it stands for the service accounts of several namespaces.
    pub fn is_pattern(&self) -> bool {
        self.namespace.contains('*')
    }

    /// The namespace as names of AWS may have it.
    pub fn plain_namespace(&self) -> String {
        self.namespace.replace('*', "wildcard")
    }
}

impl ServiceAccounts {
    /// Whether they are those of a cluster whose specification says nothing of them.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }

    /// The name of the issuer that only the cluster knows.
    pub fn issuer_of_cluster(dns_domain: &str) -> String {
        format!("https://kubernetes.default.svc.{dns_domain}")
    }

    /// Who issues tokens; nobody where it is the discovery store, and its URL isn't known.
    pub fn issuer(&self, dns_domain: &str, store_url: Option<&str>) -> Option<String> {
        Some(match &self.issuer {
            Issuer::Cluster => Self::issuer_of_cluster(dns_domain),
            Issuer::Written(url) => url.clone(),
            Issuer::DiscoveryStore => store_url?.to_owned(),
            Issuer::Api(name) => format!("https://{name}"),
        })
    }

    /// Whose tokens are good besides the issuer's. Those of the name that only the cluster knows always are: that is who
    /// issued them before the cluster had another issuer.
    pub fn accepted_issuers(&self, issuer: &str, dns_domain: &str) -> Vec<String> {
        let of_cluster = Self::issuer_of_cluster(dns_domain);
        let mut accepted: Vec<String> = Vec::new();
        for further in self.further_issuers.iter().chain([&of_cluster]) {
            if further != issuer && !accepted.contains(further) {
                accepted.push(further.clone());
            }
        }
        accepted
    }

    /// Where the issuer's keys are; nowhere outside of the cluster where only that knows the issuer.
    pub fn jwks_uri(&self, issuer: &str) -> Option<String> {
        let of_issuer = || (self.issuer != Issuer::Cluster).then(|| format!("{issuer}/{JWKS}"));
        self.jwks_uri.clone().or_else(of_issuer)
    }

    /// For whom tokens may be that the API takes; nobody where the issuers are all. Tokens of before are for the issuers
    /// of before.
    pub fn audiences(&self, issuer: &str, accepted: &[String]) -> Vec<String> {
        if self.api_audiences.is_empty() {
            return Vec::new();
        }
        let issuers = std::iter::once(issuer).chain(accepted.iter().map(String::as_str));
        let mut audiences = self.api_audiences.clone();
        for issuer in issuers {
            if !audiences.iter().any(|audience| audience == issuer) {
                audiences.push(issuer.to_owned());
            }
        }
        audiences
    }

    /// Whether a specification with these leaves tokens good that were issued under another one's.
    pub fn accept_tokens_of(&self, other: &Self) -> bool {
        if self.issuer == other.issuer {
            let stays = self.discovery_store == other.discovery_store;
            if self.issuer != Issuer::DiscoveryStore || stays {
                return true;
            }
        }
        let mut known = self.further_issuers.iter();
        match &other.issuer {
            Issuer::Cluster => true,
            Issuer::Written(url) => known.any(|known| known == url),
            Issuer::Api(name) => known.any(|known| *known == format!("https://{name}")),
            Issuer::DiscoveryStore => {
                let store = other.discovery_store.as_ref();
                store.is_none_or(|store| known.any(|known| store.has_url(known)))
            }
        }
    }
}

/// Where below an issuer's URL its description is (OpenID Connect Discovery 1.0, section 4).
pub const CONFIGURATION: &str = ".well-known/openid-configuration";

/// Where below it API servers have the keys.
pub const JWKS: &str = "openid/v1/jwks";

#[cfg(test)]
mod tests {
    use super::*;

    fn store(prefix: &str) -> DiscoveryStore {
        DiscoveryStore::S3 { bucket: "discovery".to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn a_store_s_url_is_its_bucket_s_virtual_host_with_and_without_a_prefix() {
        assert_eq!(store("").url("eu-west-1"), "https://discovery.s3.eu-west-1.amazonaws.com");
        assert_eq!(store("a/b").url("us-east-1"), "https://discovery.s3.us-east-1.amazonaws.com/a/b");
        assert_eq!(store("a").url("cn-north-1"), "https://discovery.s3.cn-north-1.amazonaws.com.cn/a");
        for region in ["eu-west-1", "cn-north-1"] {
            assert!(store("a").has_url(&store("a").url(region)));
            assert!(!store("a").has_url(&store("b").url(region)));
        }
    }

    #[test]
    fn tokens_of_before_stay_good_where_their_issuer_is_named_or_is_the_cluster_s_own() {
        let of = |issuer: Issuer| ServiceAccounts { issuer, ..ServiceAccounts::default() };
        let published = |prefix: &str| ServiceAccounts {
            discovery_store: Some(store(prefix)),
            ..of(Issuer::DiscoveryStore)
        };
        let usual = ServiceAccounts::default();
        assert!(published("a").accept_tokens_of(&usual), "the cluster's own issuer is always accepted");
        assert!(published("a").accept_tokens_of(&published("a")));
        assert!(!published("b").accept_tokens_of(&published("a")));
        assert!(!usual.accept_tokens_of(&published("a")));
        let further_issuers = vec![store("a").url("us-east-1")];
        let keeping = ServiceAccounts { further_issuers, ..published("b") };
        assert!(keeping.accept_tokens_of(&published("a")));
        assert!(!of(Issuer::Api("api.b".to_owned())).accept_tokens_of(&of(Issuer::Api("api.a".to_owned()))));
    }

    #[test]
    fn audiences_that_are_written_have_the_issuers_behind_them() {
        let mut accounts = ServiceAccounts::default();
        let accepted = accounts.accepted_issuers("https://a", "cluster.local");
        assert_eq!(accepted, ["https://kubernetes.default.svc.cluster.local"]);
        assert!(accounts.audiences("https://a", &accepted).is_empty());
        accounts.api_audiences = vec!["mine".to_owned()];
        let audiences = accounts.audiences("https://a", &accepted);
        assert_eq!(audiences, ["mine", "https://a", "https://kubernetes.default.svc.cluster.local"]);
    }
}
