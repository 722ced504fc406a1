//! For how long backups of etcd are kept: rules of the state's bucket, one for each class of backups.
//!
//! Masters write backups and can't delete them; nobody has to, because S3 lets them go by these rules.

use std::collections::BTreeMap;

use windlass_bootstrap::backup::Class;
use windlass_bootstrap::keys;

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::CloudError;
use super::fields::Fields;
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::{Kind, Resource};
use crate::state::expiry::Expiries;

/// For how long backups are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupExpiry {
    /// Where the backups are, below the state store.
    pub name: String,
    /// For how many days, by class.
    pub days: BTreeMap<String, u32>,
}

impl ResourceKind for BackupExpiry {
    const KIND: Kind = Kind::BackupExpiry;
    const DECLARATION: Declaration =
        Declaration { creation: Creation::Repeatable, ..Declaration::of("backup-expiry") };
    type Answer = Expiries;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, days } = self;
        Fields::default().map("days", days)
    }

    async fn create(&self, context: &Context<'_>, _id: &ResourceId) -> Result<Identity, CloudError> {
        self.set(context, &self.expiries()).await?;
        Ok(Identity::new(&self.name))
    }

    async fn update(
        &self,
        _from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        self.set(context, &self.expiries()).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        _id: &ResourceId,
    ) -> Result<(), CloudError> {
        self.set(context, &Expiries::new()).await
    }

    /// Where the state is no bucket, there is nothing that could have rules.
    async fn read(look: &Look<'_>) -> Result<Expiries, CloudError> {
        let below = keys::backups_prefix(look.context.cluster);
        match look.context.store.bucket() {
            Some(bucket) => Ok(bucket.expiries(&below).await?),
            None => Ok(Expiries::new()),
        }
    }

    fn observed(
        answer: Expiries,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        if answer.is_empty() {
            return Ok(Vec::new());
        }
        let name = keys::backups_prefix(context.cluster);
        let class =
            |prefix: &str| prefix.strip_prefix(&name).unwrap_or(prefix).trim_end_matches('/').to_owned();
        let days = answer.iter().map(|(prefix, days)| (class(prefix), *days)).collect();
        let observed = Self { name: name.clone(), days };
        Ok(vec![ObservedResource::new(name.clone(), Resource::BackupExpiry(observed), Identity::new(name))])
    }
}

impl BackupExpiry {
    /// What a cluster wants that keeps the first backup of a day for so many days.
    pub fn new(cluster: &str, days: u32) -> Self {
        let days = Class::ALL.map(|class| (class.folder().to_owned(), class.days(days)));
        Self { name: keys::backups_prefix(cluster), days: days.into() }
    }

    fn expiries(&self) -> Expiries {
        self.days.iter().map(|(class, days)| (format!("{}{class}/", self.name), *days)).collect()
    }

    async fn set(&self, context: &Context<'_>, wanted: &Expiries) -> Result<(), CloudError> {
        match context.store.bucket() {
            Some(bucket) => Ok(bucket.set_expiries(&self.name, wanted).await?),
            None => Ok(()),
        }
    }
}
