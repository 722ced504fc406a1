//! What service accounts are to AWS: who issues their tokens, where that is published, IAM's trust in the issuer, and what
//! service accounts may do.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Desired, Inputs, ModelError, cluster_tags, named};
use crate::aws::tags::{self, Tags};
use crate::cloud::Reference;
use crate::cloud::discovery_document::DiscoveryDocument;
use crate::cloud::oidc_provider::OidcProvider;
use crate::cloud::role::{self, Role};
use crate::cloud::service_account_role::ServiceAccountRole;
use crate::pki::discovery;
use crate::spec::cluster::{
    CONFIGURATION, Cluster, DiscoveryStore, Issuer, JWKS, Permissions, ServiceAccount,
};

/// Adds them, as far as the specification asks for them.
pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let issuer = issuer(inputs)?;
    let documents = add_documents(inputs, &issuer, desired)?;
    let accounts = &inputs.cluster.service_accounts;
    let Some(audiences) = &accounts.aws_audiences else { return Ok(()) };
    let cluster = inputs.cluster;
    let mut tags = cluster_tags(cluster)?;
    tags.insert("Name".to_owned(), cluster.name.clone());
    desired.insert(OidcProvider {
        name: plain(&issuer).to_owned(),
        audiences: audiences.clone(),
        thumbprints: thumbprints(inputs),
        documents,
        named_by: masters(cluster),
        tags,
    })?;
    for (account, may) in &accounts.permissions {
        desired.insert(role(inputs, &issuer, audiences, account, may)?)?;
    }
    Ok(())
}

/// The issuer of service accounts' tokens.
pub(super) fn issuer(inputs: &Inputs<'_>) -> Result<String, ModelError> {
    let Inputs { cluster, facts, .. } = inputs;
    let store = facts.discovery.as_ref().map(|discovery| discovery.url.as_str());
    let issuer = cluster.service_accounts.issuer(&cluster.network.dns_domain, store);
    issuer.ok_or(ModelError::NoDiscoveryStore)
}

/// What tags of the masters' role say of all this.
pub(super) fn marks(inputs: &Inputs<'_>) -> Result<Tags, ModelError> {
    let accounts = &inputs.cluster.service_accounts;
    let mut marks = Tags::new();
    if accounts.aws_audiences.is_some() {
        marks.insert(tags::ISSUER.to_owned(), issuer(inputs)?);
    }
    if let Some(url) = published_at(inputs)? {
        marks.insert(tags::DISCOVERY.to_owned(), url.to_owned());
    }
    Ok(marks)
}

/// Below which URL documents are published; nowhere where the specification names no bucket.
fn published_at<'a>(inputs: &Inputs<'a>) -> Result<Option<&'a str>, ModelError> {
    let facts = inputs.facts;
    match inputs.cluster.service_accounts.discovery_store {
        Some(DiscoveryStore::S3 { .. }) => {
            let discovery = facts.discovery.as_ref().ok_or(ModelError::NoDiscoveryStore)?;
            Ok(Some(&discovery.url))
        }
        Some(DiscoveryStore::Memory(_)) | None => Ok(None),
    }
}

/// Adds what is published of the issuer; returns its names.
fn add_documents(
    inputs: &Inputs<'_>,
    issuer: &str,
    desired: &mut Desired,
) -> Result<BTreeSet<Reference<DiscoveryDocument>>, ModelError> {
    let Some(url) = published_at(inputs)? else { return Ok(BTreeSet::new()) };
    let accounts = &inputs.cluster.service_accounts;
    let by_acl = inputs.facts.discovery.as_ref().is_some_and(|discovery| discovery.by_acl);
    let jwks_uri = accounts.jwks_uri(issuer).unwrap_or_else(|| format!("{issuer}/{JWKS}"));
    let documents = [
        (CONFIGURATION, discovery::configuration(issuer, &jwks_uri)),
        (JWKS, inputs.keys.service_account_jwks.clone()),
    ];
    let mut names = BTreeSet::new();
    for (key, content) in documents {
        let name = format!("{url}/{key}");
        names.insert(Reference::to(&name));
        let named_by = masters(inputs.cluster);
        desired.insert(DiscoveryDocument { name, content, readable: true, by_acl, named_by })?;
    }
    Ok(names)
}

/// By what AWS knows the issuer's server, where that is the API server with a certificate of the cluster's own authority. AWS
/// trusts the authorities of all other servers itself (IAM User Guide, "Obtain the thumbprint for an OpenID Connect
/// identity provider").
fn thumbprints(inputs: &Inputs<'_>) -> Option<BTreeSet<String>> {
    let api = &inputs.cluster.api;
    let has_own = api.load_balancer.as_ref().is_none_or(|balancer| balancer.certificate.is_none());
    let is_api = matches!(inputs.cluster.service_accounts.issuer, Issuer::Api(_));
    (is_api && has_own).then(|| inputs.keys.kubernetes_thumbprints.iter().cloned().collect())
}

fn role(
    inputs: &Inputs<'_>,
    issuer: &str,
    audiences: &BTreeSet<String>,
    account: &ServiceAccount,
    may: &Permissions,
) -> Result<ServiceAccountRole, ModelError> {
    let cluster = inputs.cluster;
    let name = ServiceAccountRole::name_for(&account.name, &account.plain_namespace(), &cluster.name);
    let mut tags = named(cluster, &name)?;
    tags.insert(tags::SERVICE_ACCOUNT.to_owned(), account.name.clone());
    tags.insert(tags::SERVICE_ACCOUNT_NAMESPACE.to_owned(), account.plain_namespace());
    let policy = || json!({"Version": "2012-10-17", "Statement": may.statements});
    let role = Role {
        name,
        trust: trust(inputs, issuer, audiences, account),
        policy: (!may.statements.is_empty()).then(policy),
        attached: may.attached.clone(),
        other_policies: BTreeSet::new(),
        tags,
    };
    Ok(ServiceAccountRole { role, named_by: masters(cluster) })
}

/// Who may assume the role: whoever has a token of the issuer that is the service account's and for AWS.
fn trust(inputs: &Inputs<'_>, issuer: &str, audiences: &BTreeSet<String>, account: &ServiceAccount) -> Value {
    let (facts, issuer) = (inputs.facts, plain(issuer));
    let (subject, audience) = (format!("{issuer}:sub"), format!("{issuer}:aud"));
    let mut condition = json!({"StringEquals": {audience: audiences}});
    let operator = if account.is_pattern() { "StringLike" } else { "StringEquals" };
    condition[operator][subject] = account.subject().into();
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {
                "Federated": format!("arn:{}:iam::{}:oidc-provider/{issuer}", facts.partition, facts.account),
            },
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition,
        }],
    })
}

fn masters(cluster: &Cluster) -> Reference<Role> {
    Reference::to(role::name_of_masters(&cluster.name))
}

fn plain(issuer: &str) -> &str {
    issuer.trim_start_matches("https://")
}
