//! Service accounts beyond the cluster: their issuer, its discovery documents, and roles of IAM.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Access;
use super::{Report, Reported, Resolved, policies, text};
use crate::spec::cluster::{
    AWS_AUDIENCE, AccessSource, Api, DiscoveryStore, Issuer, Permissions, ServiceAccount, ServiceAccounts,
};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{
    ClusterSpec, IamSpec, KubeApiServerSpec, ServiceAccountIssuerDiscoverySpec, ServiceAccountPermissionSpec,
};

const DISCOVERY: &str = "spec.serviceAccountIssuerDiscovery";
const API_SERVER: &str = "spec.kubeAPIServer";
const PERMISSIONS: &str = "spec.iam.serviceAccountExternalPermissions";

/// How long the URL of an issuer that AWS trusts may be (API_CreateOpenIDConnectProvider).
const LONGEST_ISSUER: usize = 255;

/// How many audiences AWS takes of one issuer, and how long each may be (IAM User Guide, "IAM and STS quotas").
const MOST_AUDIENCES: usize = 100;
const LONGEST_AUDIENCE: usize = 255;

pub(super) fn resolve(
    spec: &ClusterSpec,
    access: Option<&Access>,
    report: &mut Report<'_>,
) -> Resolved<ServiceAccounts> {
    let (none, no_discovery) = (KubeApiServerSpec::default(), ServiceAccountIssuerDiscoverySpec::default());
    let api_server = spec.kube_api_server.as_ref().unwrap_or(&none);
    let discovery = spec.service_account_issuer_discovery.as_ref().unwrap_or(&no_discovery);
    let anonymous_discovery = api_server.anonymous_auth.unwrap_or_default();
    let discovery_store = discovery.discovery_store.as_deref().filter(|store| !store.is_empty());
    let path = format!("{DISCOVERY}.discoveryStore");
    let discovery_store = discovery_store.map(|store| report.read(&path, store, self::discovery_store));
    let discovery_store = discovery_store.transpose();
    let url = |name: &str, url: Option<&String>, report: &mut Report<'_>| {
        url.map(|url| report.read(&format!("{API_SERVER}.{name}"), url, https_url)).transpose()
    };
    let written = url("serviceAccountIssuer", api_server.service_account_issuer.as_ref(), report);
    let jwks_uri = url("serviceAccountJWKSURI", api_server.service_account_jwksuri.as_ref(), report);
    let further_issuers = further_issuers(api_server, report);
    let api_audiences = api_server.api_audiences.clone().unwrap_or_default();
    let api_audiences = audiences(&format!("{API_SERVER}.apiAudiences"), &api_audiences, report);
    let (written, discovery_store) = (written?, discovery_store?);
    let issuer = match (written, &discovery_store, access.and_then(|access| public_name(&access.api))) {
        (Some(url), ..) => Issuer::Written(url),
        (None, Some(_), _) => Issuer::DiscoveryStore,
        (None, None, Some(name)) if anonymous_discovery => Issuer::Api(name),
        (None, None, _) => Issuer::Cluster,
    };
    let aws_audiences = aws_audiences(discovery, &issuer, report);
    let enabled = discovery.enable_aws_oidc_provider.unwrap_or_default();
    let permissions = permissions(spec.iam.as_ref(), enabled, report);
    Ok(ServiceAccounts {
        issuer,
        jwks_uri: jwks_uri?,
        further_issuers: further_issuers?,
        api_audiences: api_audiences?,
        anonymous_discovery,
        discovery_store,
        aws_audiences: aws_audiences?,
        permissions: permissions?,
    })
}

/// The API's name, where everybody reaches it by that: then it can be an issuer that AWS asks, as with kops.
fn public_name(api: &Api) -> Option<String> {
    let everybody =
        |source: &AccessSource| matches!(source, AccessSource::Range(range) if range.prefix_len() == 0);
    let internal = api.load_balancer.as_ref().is_some_and(|balancer| balancer.internal);
    let name = api.public_name.clone().or_else(|| api.dns.as_ref().map(|dns| dns.name.clone()));
    name.filter(|_| !internal && api.access.iter().any(everybody))
}

/// `s3://<bucket>[/<prefix>]`.
fn discovery_store(text: &str) -> Result<DiscoveryStore, Problem> {
    let refuse = |message: String, hint: &str| Err(Problem::at("", message).hint(hint));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if let Some(path) = text.strip_prefix("memfs://").filter(|path| path.chars().all(plain)) {
        return Ok(DiscoveryStore::Memory(path.trim_matches('/').to_owned()));
    }
    let Some(rest) = text.strip_prefix("s3://") else {
        return refuse(
            format!("`{text}` is not a bucket of S3"),
            "write it like `s3://my-discovery-bucket/demo.example.com`",
        );
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    if bucket.contains('.') {
        let hint = "S3's certificate covers no name with a dot before `.s3.`: use a bucket without dots";
        return refuse(format!("the bucket `{bucket}` has a dot in its name"), hint);
    }
    if !(3..=63).contains(&bucket.len()) || text::dns_label(bucket).is_err() {
        let hint = "a bucket's name has 3 to 63 of the characters a-z, 0-9 and `-`";
        return refuse(format!("`{bucket}` is not the name of a bucket"), hint);
    }
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_prefix = prefix.chars().all(plain) && prefix.split('/').all(is_part);
    if !is_prefix && !prefix.is_empty() {
        let hint = "use letters, digits, `-`, `_`, `.` and single slashes: it becomes a part of a URL";
        return refuse(format!("`{prefix}` can't be a prefix"), hint);
    }
    let store = DiscoveryStore::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
    // No region's name is longer by now.
    let length = store.url("ap-southeast-1").len();
    if length > LONGEST_ISSUER {
        let hint = format!("AWS takes issuers whose URL has {LONGEST_ISSUER} characters at most");
        return refuse(format!("the store's URL has {length} characters"), &hint);
    }
    Ok(store)
}

/// An issuer: a URL without query and fragment (OpenID Connect Core 1.0, section 2).
fn https_url(text: &str) -> Result<String, Problem> {
    let refuse =
        |message: String| Err(Problem::at("", message).hint("write it like `https://oidc.example.com/demo`"));
    let Some(rest) = text.strip_prefix("https://") else {
        return refuse(format!("`{text}` doesn't begin with `https://`"));
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    if text::dns_name(host).is_err() || !rest.chars().all(plain) || text.ends_with('/') {
        return refuse(format!(
            "`{text}` is not the URL of a host, with a path or without, and no slash at its end"
        ));
    }
    if text.len() > LONGEST_ISSUER {
        return refuse(format!("the URL has {} characters, and {LONGEST_ISSUER} is the most", text.len()));
    }
    Ok(text.to_owned())
}

fn further_issuers(api_server: &KubeApiServerSpec, report: &mut Report<'_>) -> Resolved<Vec<String>> {
    let issuers = api_server.additional_service_account_issuers.iter().flatten().enumerate();
    super::all(issuers.map(|(index, issuer)| {
        let path = format!("{API_SERVER}.additionalServiceAccountIssuers[{index}]");
        report.read(&path, issuer, https_url)
    }))
}

/// For whom tokens may be: what a flag and IAM take, which part them by commas.
fn audiences(path: &str, audiences: &[String], report: &mut Report<'_>) -> Resolved<Vec<String>> {
    let is_audience = |text: &str| {
        (1..=LONGEST_AUDIENCE).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_graphic() && c != ',' && c != '"')
    };
    super::all(audiences.iter().enumerate().map(|(index, audience)| {
        if is_audience(audience) {
            return Ok(audience.clone());
        }
        let problem = Problem::at(format!("{path}[{index}]"), format!("`{audience}` is not an audience"));
        Err(report
            .push(problem.hint("write one name without spaces and commas, such as `sts.amazonaws.com`")))
    }))
}

/// The audiences of tokens that AWS takes, where it shall trust the issuer.
fn aws_audiences(
    discovery: &ServiceAccountIssuerDiscoverySpec,
    issuer: &Issuer,
    report: &mut Report<'_>,
) -> Resolved<Option<BTreeSet<String>>> {
    const ADDITIONAL: &str = "spec.serviceAccountIssuerDiscovery.additionalAudiences";
    let written = discovery.additional_audiences.clone().unwrap_or_default();
    let additional = audiences(ADDITIONAL, &written, report)?;
    if !discovery.enable_aws_oidc_provider.unwrap_or_default() {
        if !additional.is_empty() {
            let message = "they are those of AWS's OIDC provider, which the cluster doesn't have";
            let hint = "write `enableAWSOIDCProvider: true` beside them, or leave them out";
            return Err(report.push(Problem::at(ADDITIONAL, message).hint(hint)));
        }
        return Ok(None);
    }
    if let Issuer::Written(url) = issuer
        && url.trim_start_matches("https://").contains(':')
    {
        let message = format!("AWS trusts no issuer with a port in its URL, as `{url}` has");
        let path = format!("{API_SERVER}.serviceAccountIssuer");
        return Err(
            report.push(Problem::at(path, message).hint("let it listen on port 443, and leave the port out"))
        );
    }
    if *issuer == Issuer::Cluster {
        let message = "AWS could ask nobody for the issuer's keys";
        let hint = "write `discoveryStore: s3://…` beside it; or `anonymousAuth: true` of `kubeAPIServer`, where \
                    everybody reaches the API by its public name (`masterPublicName`, or `api.dns`)";
        let path = format!("{DISCOVERY}.enableAWSOIDCProvider");
        return Err(report.push(Problem::at(path, message).hint(hint)));
    }
    let all: BTreeSet<String> = additional.into_iter().chain([AWS_AUDIENCE.to_owned()]).collect();
    if all.len() > MOST_AUDIENCES {
        let message = format!("there are {} audiences, and AWS takes {MOST_AUDIENCES}", all.len());
        let hint = format!("leave some out; `{AWS_AUDIENCE}` is always among them");
        return Err(report.push(Problem::at(ADDITIONAL, message).hint(hint)));
    }
    Ok(Some(all))
}

fn permissions(
    iam: Option<&IamSpec>,
    enabled: bool,
    report: &mut Report<'_>,
) -> Resolved<BTreeMap<ServiceAccount, Permissions>> {
    let Some(iam) = iam else { return Ok(BTreeMap::new()) };
    let written = iam.service_account_external_permissions.as_deref().unwrap_or_default();
    let mut failed: Option<Reported> = None;
    for (path, is_written) in [
        (
            "spec.iam.useServiceAccountExternalPermissions",
            iam.use_service_account_external_permissions == Some(true),
        ),
        (PERMISSIONS, !written.is_empty()),
    ] {
        if is_written && !enabled {
            let message = "AWS doesn't trust the service accounts' issuer";
            let hint =
                "write `enableAWSOIDCProvider: true` in `serviceAccountIssuerDiscovery`, or leave this out";
            failed = Some(report.push(Problem::at(path, message).hint(hint)));
        }
    }
    let mut permissions = BTreeMap::new();
    for (index, permission) in written.iter().enumerate() {
        let path = format!("{PERMISSIONS}[{index}]");
        match (service_account(permission, &path, report), permissions_of(permission, &path, report)) {
            (Ok(account), Ok(may)) => {
                // Both are called alike on AWS.
                let same = |known: &&ServiceAccount| {
                    known.name == account.name && known.plain_namespace() == account.plain_namespace()
                };
                if let Some(other) = permissions.keys().find(same) {
                    let ServiceAccount { namespace, name } = other;
                    let message = format!("`{name}` of the namespace `{namespace}` stands here twice");
                    let hint = "say all that it may do in one place";
                    failed = Some(report.push(Problem::at(&path, message).hint(hint)));
                }
                permissions.insert(account, may);
            }
            (Err(reported), _) | (_, Err(reported)) => failed = Some(reported),
        }
    }
    failed.map_or(Ok(permissions), Err)
}

fn service_account(
    permission: &ServiceAccountPermissionSpec,
    path: &str,
    report: &mut Report<'_>,
) -> Resolved<ServiceAccount> {
    let name = permission.name.as_deref().unwrap_or_default();
    let namespace = permission.namespace.as_deref().unwrap_or_default();
    let name_path = format!("{path}.name");
    let name = match name {
        "" => Err(report.missing(&name_path, "write the service account's name")),
        name if name.contains('*') => {
            let message = format!("`{name}` stands for several service accounts");
            let hint = "name one; `*` can stand in `namespace` alone, as with kops";
            Err(report.push(Problem::at(&name_path, message).hint(hint)))
        }
        name => report.read(&name_path, name, text::dns_name),
    };
    let namespace_path = format!("{path}.namespace");
    let namespace = match namespace {
        "" => Err(report.missing(&namespace_path, "write the service account's namespace")),
        namespace => report.read(&namespace_path, namespace, self::namespace),
    };
    Ok(ServiceAccount { name: name?, namespace: namespace? })
}

/// A namespace, in which `*` stands for any characters.
fn namespace(text: &str) -> Result<String, Problem> {
    // Whatever characters it stands for, a digit can take their place.
    text::dns_label(&text.replace('*', "0")).map_err(|_| {
        Problem::at("", format!("`{text}` is not a namespace")).hint(
            "use at most 63 lower-case letters, digits and `-`; `*` stands for any of them, as in `test-*`",
        )
    })?;
    Ok(text.to_owned())
}

/// What a service account may do: statements, or policies that there are, as with kops.
fn permissions_of(
    permission: &ServiceAccountPermissionSpec,
    path: &str,
    report: &mut Report<'_>,
) -> Resolved<Permissions> {
    let path = format!("{path}.aws");
    let hint = "write `policyARNs` or `inlinePolicy`";
    let Some(aws) = &permission.aws else { return Err(report.missing(path, hint)) };
    let arns = aws.policy_arns.as_deref().unwrap_or_default();
    let inline = aws.inline_policy.as_deref().filter(|text| !text.trim().is_empty());
    let statements = match inline {
        Some(_) if !arns.is_empty() => {
            let message = "`policyARNs` and `inlinePolicy` exclude each other";
            return Err(report.push(Problem::at(path, message).hint("keep one of the two")));
        }
        None if arns.is_empty() => return Err(report.missing(path, hint)),
        Some(text) => report.read(&format!("{path}.inlinePolicy"), text, policies::statements),
        None => Ok(Vec::new()),
    };
    let attached =
        super::all(arns.iter().enumerate().map(|(index, arn)| {
            report.read(&format!("{path}.policyARNs[{index}]"), arn, policies::policy_arn)
        }));
    Ok(Permissions { attached: attached?.into_iter().collect(), statements: statements? })
}
