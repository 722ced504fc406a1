//! Volumes of etcd that were there and aren't any more: a new one would be blank.

use std::collections::BTreeSet;
use std::fmt;

use super::{Action, Plan, PlanError};
use crate::aws::tags::{self, Owner};
use crate::cloud::volume::{Stray, Volume};
use crate::cloud::{Kind, Resource, ResourceId};
use crate::model::Desired;

/// How many candidates are shown.
pub(super) const SHOWN: usize = 5;

/// A volume that was there and isn't any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub volume: ResourceId,
    /// What it is like, by the specification.
    pub wanted: String,
    /// Volumes that could be the lost one, the likeliest first.
    pub candidates: Vec<Stray>,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { volume, wanted, candidates } = self;
        write!(formatter, "  {volume} ({wanted}): ")?;
        if candidates.is_empty() {
            return write!(formatter, "no volume in its zone could be it");
        }
        write!(formatter, "could be")?;
        candidates.iter().try_for_each(|candidate| write!(formatter, "\n    {candidate}"))
    }
}

impl Plan {
    /// Refuses to make a volume that was there when the cluster was last applied. `known` are the volumes that were,
    /// `strays` the volumes that are there and carry no mark of the cluster.
    pub fn refuse_lost_volumes(
        &self,
        desired: &Desired,
        known: &BTreeSet<String>,
        strays: &[Stray],
        owner: &Owner,
    ) -> Result<(), PlanError> {
        let made = self.steps.iter().filter(|step| matches!(step.action, Action::Create(_)));
        let lost =
            made.filter(|step| step.resource.kind == Kind::Volume && known.contains(&step.resource.name));
        let lost: Vec<Lost> = lost
            .filter_map(|step| match desired.0.get(&step.resource)? {
                Resource::Volume(volume) => Some(lost_volume(&step.resource, volume, strays, owner)),
                _ => None,
            })
            .collect();
        match lost.first() {
            None => Ok(()),
            Some(first) => Err(PlanError::VolumesLost { marks: marks(&first.volume, owner).join(" "), lost }),
        }
    }
}

fn lost_volume(id: &ResourceId, volume: &Volume, strays: &[Stray], owner: &Owner) -> Lost {
    let mut candidates: Vec<&Stray> = strays.iter().filter(|stray| is_candidate(stray, volume)).collect();
    candidates.sort_by_key(|stray| std::cmp::Reverse(likeness(stray, volume, owner)));
    Lost {
        volume: id.clone(),
        wanted: format!("{}, {} GiB {}", volume.zone, volume.ebs.size, volume.ebs.kind),
        candidates: candidates.into_iter().take(SHOWN).cloned().collect(),
    }
}

/// Root volumes of instances and volumes of other zones are none.
fn is_candidate(stray: &Stray, volume: &Volume) -> bool {
    stray.zone == volume.zone
        && !stray.is_root
        && (stray.size >= volume.ebs.size || stray.formatted_for.is_some())
}

/// What speaks for a stray, the strongest first: the agent has formatted it for this cluster; it has the old name; it is
/// as large, and of the same type.
fn likeness(stray: &Stray, volume: &Volume, owner: &Owner) -> (bool, bool, bool, bool) {
    (
        stray.formatted_for.as_ref() == Some(&owner.cluster),
        stray.name.as_ref() == Some(&volume.name),
        stray.size == volume.ebs.size,
        stray.kind == volume.ebs.kind,
    )
}

/// The tags that make something this resource again, each as the AWS CLI takes it. The next update sets all others.
pub(super) fn marks(id: &ResourceId, owner: &Owner) -> Vec<String> {
    let mut marks = vec![(tags::MANAGED, owner.cluster.as_str()), (tags::NAME, id.name.as_str())];
    marks.extend(owner.uid.as_deref().map(|uid| (tags::UID, uid)));
    marks.iter().map(|(key, value)| format!("Key={key},Value={value}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::{Identity, Observed, ObservedResource};
    use crate::spec::cluster::EbsVolume;

    const NAME: &str = "a.etcd-main.demo";

    fn volume() -> Volume {
        Volume {
            name: NAME.to_owned(),
            zone: "us-east-1a".to_owned(),
            ebs: EbsVolume {
                size: 20,
                kind: "gp3".to_owned(),
                iops: None,
                throughput: None,
                encrypted: true,
                kms_key: None,
            },
            tags: BTreeMap::new(),
        }
    }

    fn stray(id: &str) -> Stray {
        Stray {
            id: id.to_owned(),
            name: None,
            zone: "us-east-1a".to_owned(),
            size: 20,
            kind: "gp3".to_owned(),
            made: Some("2026-11-01T00:00:00Z".to_owned()),
            attached: None,
            formatted_for: None,
            is_root: false,
        }
    }

    fn refusal(strays: &[Stray]) -> PlanError {
        let resource = Resource::Volume(volume());
        let desired = Desired(BTreeMap::from([(resource.id(), resource)]));
        let plan = Plan::update(&desired, &Observed::default()).unwrap();
        let owner = Owner::new("demo", "1");
        assert!(
            plan.refuse_lost_volumes(&desired, &BTreeSet::new(), strays, &owner).is_ok(),
            "a new cluster"
        );
        let known = BTreeSet::from([NAME.to_owned()]);
        plan.refuse_lost_volumes(&desired, &known, strays, &owner).unwrap_err()
    }

    #[test]
    fn a_volume_that_was_applied_is_not_made_anew_and_what_could_be_it_is_named() {
        let strays = [
            Stray { name: Some("old data".to_owned()), ..stray("vol-1") },
            Stray { formatted_for: Some("demo".to_owned()), size: 10, ..stray("vol-2") },
            Stray { zone: "us-east-1b".to_owned(), ..stray("vol-elsewhere") },
            Stray { is_root: true, ..stray("vol-root") },
            Stray { size: 8, ..stray("vol-small") },
        ];
        let error = refusal(&strays);
        let text = error.to_string();
        let (first, second) = (text.find("vol-2").unwrap(), text.find("vol-1").unwrap());
        assert!(first < second, "{text}");
        assert!(!["vol-elsewhere", "vol-root", "vol-small"].iter().any(|id| text.contains(id)), "{text}");
        assert!(text.contains("a.etcd-main.demo (us-east-1a, 20 GiB gp3)"), "{text}");
        let hint = error.hint().unwrap();
        for word in ["--resources VOLUME", "Key=windlass.dev/cluster-uid,Value=1", "Key=windlass.dev/name"] {
            assert!(hint.contains(word), "{hint}");
        }
        assert!(!hint.contains("vol-"), "the hint guesses: {hint}");
    }

    #[test]
    fn a_volume_that_is_there_is_not_lost() {
        let resource = Resource::Volume(volume());
        let id = resource.id();
        let found = ObservedResource::new(NAME, resource.clone(), Identity::new("vol-1"));
        let (desired, observed) =
            (Desired(BTreeMap::from([(id.clone(), resource)])), Observed(BTreeMap::from([(id, found)])));
        let plan = Plan::update(&desired, &observed).unwrap();
        let known = BTreeSet::from([NAME.to_owned()]);
        assert!(plan.refuse_lost_volumes(&desired, &known, &[], &Owner::new("demo", "1")).is_ok());
    }
}
