//! What is wanted and was not found by a tag of something else, and may be there all the same: what AWS knows by a name
//! alone. It is looked for by that before it is made: it may be the cluster's, where the tag was lost, or somebody else's,
//! which is refused before anything is made.

use futures::future::try_join_all;

use super::context::{Context, Observed, ObservedResource};
use super::error::CloudError;
use super::kinds::Resource;

/// Looks for what is wanted and wasn't found. One call or two for each, and none where nothing is missing.
///
/// # Errors
///
/// Fails where something of such a name isn't the cluster's, and with what AWS said.
pub async fn look_into<'a>(
    wanted: impl Iterator<Item = &'a Resource>,
    context: &Context<'_>,
    observed: &mut Observed,
) -> Result<(), CloudError> {
    let missing: Vec<&Resource> = wanted.filter(|wanted| !observed.0.contains_key(&wanted.id())).collect();
    let found = try_join_all(missing.iter().map(|wanted| find(wanted, context))).await?;
    for (wanted, found) in missing.iter().zip(found) {
        observed.extend(wanted.kind(), found);
    }
    Ok(())
}

async fn find(wanted: &Resource, context: &Context<'_>) -> Result<Vec<ObservedResource>, CloudError> {
    match wanted {
        Resource::ServiceAccountRole(wanted) => wanted.find(context).await,
        Resource::OidcProvider(wanted) => wanted.find(context).await,
        Resource::Queue(wanted) => wanted.find(context).await,
        Resource::EventRule(wanted) => wanted.find(context).await,
        Resource::DiscoveryDocument(wanted) => wanted.find(context).await,
        _ => Ok(Vec::new()),
    }
}
