//! KMS keys that a specification names.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use super::FactsError;
use crate::aws::{Class, Clients, During};
use crate::spec::cluster::Cluster;

/// Looks up the keys that aren't named by their ARN: volumes are described with ARNs, and a policy allows only what it
/// names by one.
pub(super) async fn kms_keys(
    cluster: &Cluster,
    clients: &Clients,
) -> Result<BTreeMap<String, String>, FactsError> {
    let of_etcd = cluster.masters().flat_map(|master| &master.members).map(|held| &held.volume.kms_key);
    let of_roots = cluster.instance_groups.iter().map(|group| &group.root_volume.kms_key);
    let further = cluster.instance_groups.iter().flat_map(|group| &group.volumes);
    let further = further.map(|volume| &volume.ebs.kms_key);
    let written: BTreeSet<&String> = of_etcd.chain(of_roots).chain(further).flatten().collect();
    let unresolved = written.into_iter().filter(|key| !key.contains(":key/"));
    let keys = try_join_all(unresolved.map(|key| async {
        let arn = kms_key(key, &cluster.region, clients).await?;
        Ok::<_, FactsError>((key.clone(), arn))
    }));
    Ok(keys.await?.into_iter().collect())
}

/// The ARN of a key.
async fn kms_key(key: &str, region: &str, clients: &Clients) -> Result<String, FactsError> {
    let unknown = |source| FactsError::KmsKey { key: key.to_owned(), region: region.to_owned(), source };
    let answer = clients.kms.describe_key().key_id(key).send().await.during("kms", "DescribeKey", key);
    let answer = answer.map_err(|error| match error.class {
        Class::NotFound | Class::Invalid => unknown(Some(error)),
        _ => error.into(),
    })?;
    let arn = answer.key_metadata().and_then(|key| key.arn()).ok_or_else(|| unknown(None))?;
    Ok(arn.to_owned())
}
