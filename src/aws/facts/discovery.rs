//! The bucket for the discovery documents of service accounts: it is the operator's, and must let everybody read them.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::{ObjectOwnership, OwnershipControls, PolicyStatus, PublicAccessBlockConfiguration};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use futures::try_join;
use windlass_bootstrap::bucket_owner::owned_by;

use super::FactsError;
use super::discovery_error::DiscoveryError;
use crate::aws::{AwsError, Class, Clients, During};
use crate::spec::cluster::{Cluster, DiscoveryStore};

/// The discovery store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// By which URL everybody reads it.
    pub url: String,
    /// Whether objects are to say themselves that everybody may read them: nothing of the bucket says it.
    pub by_acl: bool,
}

/// Looks at the bucket, where the specification names one.
pub(super) async fn discovery(cluster: &Cluster, clients: &Clients) -> Result<Option<Discovery>, FactsError> {
    let (bucket, prefix) = match &cluster.service_accounts.discovery_store {
        None => return Ok(None),
        Some(DiscoveryStore::Memory(path)) => {
            return Err(DiscoveryError::Nowhere { path: path.clone() }.into());
        }
        Some(DiscoveryStore::S3 { bucket, prefix }) => (bucket, prefix),
    };
    let caller = clients.caller().await?;
    let region = region_of(clients, &caller.account, bucket).await?;
    let store = DiscoveryStore::S3 { bucket: bucket.clone(), prefix: prefix.clone() };
    let client = owned_by(&caller.account, &clients.in_region(&region).s3);
    let by_acl = match openness(&client, bucket).await? {
        Openness::ByPolicy => false,
        Openness::ByAcl => true,
        Openness::None => {
            let below = if prefix.is_empty() { "*".to_owned() } else { format!("{prefix}/*") };
            let objects = format!("arn:{}:s3:::{bucket}/{below}", caller.partition);
            return Err(DiscoveryError::Closed { bucket: bucket.clone(), objects }.into());
        }
    };
    Ok(Some(Discovery { url: store.url(&region), by_acl }))
}

/// The region of the bucket. HeadBucket names it in a header of every answer, redirections included.
async fn region_of(clients: &Clients, account: &str, bucket: &str) -> Result<String, FactsError> {
    match owned_by(account, &clients.s3).head_bucket().bucket(bucket).send().await {
        Ok(answer) => Ok(answer.bucket_region().unwrap_or(&clients.region).to_owned()),
        Err(error) => {
            if let Some(region) = region_in(&error) {
                return Ok(region);
            }
            let source = AwsError::new("s3", "HeadBucket", bucket, &error);
            let (bucket, account) = (bucket.to_owned(), account.to_owned());
            Err(match source.class {
                Class::NotFound => DiscoveryError::Missing { bucket }.into(),
                Class::Denied => DiscoveryError::Refused { bucket, account, source }.into(),
                _ => source.into(),
            })
        }
    }
}

fn region_in(error: &SdkError<HeadBucketError, HttpResponse>) -> Option<String> {
    let response = error.raw_response()?;
    let elsewhere = matches!(response.status().as_u16(), 301 | 400);
    response.headers().get("x-amz-bucket-region").filter(|_| elsewhere).map(str::to_owned)
}

/// By what everybody can read objects of a bucket.
enum Openness {
    /// Its policy lets everybody in.
    ByPolicy,
    /// It takes access control lists of objects.
    ByAcl,
    /// Nothing.
    None,
}

/// What lets everybody in. That it lets them read these very objects is seen when they are written. Whoever may not look
/// isn't kept from working: the policy counts as open then.
async fn openness(client: &Client, bucket: &str) -> Result<Openness, FactsError> {
    let policy = async {
        let answer = client.get_bucket_policy_status().bucket(bucket).send().await;
        let answer = seen(answer, "GetBucketPolicyStatus", bucket, "NoSuchBucketPolicy")?;
        Ok::<_, AwsError>(match answer {
            Seen::Answer(answer) => {
                answer.policy_status().and_then(PolicyStatus::is_public).unwrap_or_default()
            }
            Seen::Nothing => false,
            Seen::Denied => true,
        })
    };
    let block = async {
        let answer = client.get_public_access_block().bucket(bucket).send().await;
        let code = "NoSuchPublicAccessBlockConfiguration";
        Ok::<_, AwsError>(match seen(answer, "GetPublicAccessBlock", bucket, code)? {
            Seen::Answer(answer) => answer.public_access_block_configuration,
            Seen::Nothing | Seen::Denied => None,
        })
    };
    let ownership = async {
        let answer = client.get_bucket_ownership_controls().bucket(bucket).send().await;
        let code = "OwnershipControlsNotFoundError";
        Ok::<_, AwsError>(match seen(answer, "GetBucketOwnershipControls", bucket, code)? {
            Seen::Answer(answer) => answer.ownership_controls,
            Seen::Nothing | Seen::Denied => None,
        })
    };
    let (policy, block, ownership) = try_join!(policy, block, ownership)?;
    let blocks = |what: fn(&PublicAccessBlockConfiguration) -> Option<bool>| {
        block.as_ref().and_then(what).unwrap_or_default()
    };
    if policy && !blocks(PublicAccessBlockConfiguration::restrict_public_buckets) {
        return Ok(Openness::ByPolicy);
    }
    let acls_void = blocks(PublicAccessBlockConfiguration::block_public_acls)
        || blocks(PublicAccessBlockConfiguration::ignore_public_acls);
    let rules = ownership.iter().flat_map(OwnershipControls::rules);
    let no_acls =
        rules.into_iter().any(|rule| *rule.object_ownership() == ObjectOwnership::BucketOwnerEnforced);
    Ok(if acls_void || no_acls { Openness::None } else { Openness::ByAcl })
}

/// What was seen of a setting.
enum Seen<T> {
    Answer(T),
    /// It isn't there.
    Nothing,
    /// The credentials may not look.
    Denied,
}

fn seen<T, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    operation: &'static str,
    bucket: &str,
    nothing: &str,
) -> Result<Seen<T>, AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer.during("s3", operation, bucket) {
        Ok(answer) => Ok(Seen::Answer(answer)),
        Err(error) if error.code.as_deref() == Some(nothing) => Ok(Seen::Nothing),
        Err(error) if error.class == Class::Denied => {
            tracing::info!("whether everybody can read the discovery store can't be seen: {error}");
            Ok(Seen::Denied)
        }
        Err(error) => Err(error),
    }
}
