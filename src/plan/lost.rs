//! Volumes of etcd that were there and aren't any more: a new one would be blank.

use std::collections::BTreeSet;
use std::fmt;

use windlass_bootstrap::tags as shared;

use super::{Action, Plan, PlanError};
use crate::aws::tags::{self, Owner};
use crate::cloud::volume::{Stray, Volume};
use crate::cloud::{Kind, Observed, Resource, ResourceId};
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

/// Marks volumes that are lost as ones that may be made anew, blank: their members join the others of their etcd cluster. One
/// that is there is left as it is, so that the same can be asked for again.
///
/// # Errors
///
/// Fails where the members that are left couldn't take one in: etcd decides by majority.
pub fn replace_lost_volumes(
    desired: &mut Desired,
    observed: &Observed,
    asked: &BTreeSet<String>,
) -> Result<(), PlanError> {
    for name in asked {
        let refuse = |why: String| PlanError::Irreplaceable { volume: name.clone(), why };
        let id = ResourceId::new(Kind::Volume, name);
        let (etcd, member) = desired.0.get(&id).and_then(etcd_of).ok_or_else(|| {
            let known: Vec<&str> = volumes_of_etcd(desired).map(|(id, _)| id.name.as_str()).collect();
            refuse(format!("etcd has no volume of that name; there are: {}", known.join(", ")))
        })?;
        if observed.0.contains_key(&id) {
            continue;
        }
        let all: Vec<&ResourceId> =
            volumes_of_etcd(desired).filter(|(_, of)| *of == etcd).map(|(id, _)| id).collect();
        let lost = all.iter().filter(|id| !observed.0.contains_key(id)).count();
        if lost * 2 >= all.len() {
            let (all, left) = (all.len(), all.len() - lost);
            return Err(refuse(format!("{left} of {all} volumes are left, which is no majority")));
        }
        if let Some(Resource::Volume(volume)) = desired.0.get_mut(&id) {
            volume.tags.insert(shared::REPLACES_LOST.to_owned(), member);
        }
    }
    Ok(())
}

/// The volumes of etcd, each with the tag that says of which cluster.
fn volumes_of_etcd(desired: &Desired) -> impl Iterator<Item = (&ResourceId, String)> {
    desired.0.iter().filter_map(|(id, resource)| Some((id, etcd_of(resource)?.0)))
}

/// The tag that says of which etcd cluster a volume is, and of which member.
fn etcd_of(resource: &Resource) -> Option<(String, String)> {
    let Resource::Volume(volume) = resource else { return None };
    let family = shared::etcd_volume("");
    let (key, member) = volume.tags.iter().find(|(key, _)| key.starts_with(&family))?;
    Some((key.clone(), member.clone()))
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
                Resource::Volume(volume) if volume.tags.contains_key(shared::REPLACES_LOST) => None,
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
    use crate::cloud::{Identity, ObservedResource};
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

    /// What there shall be of one etcd cluster of so many members, and what there is.
    fn etcd(members: &[&str], there: &[&str]) -> (Desired, Observed) {
        let name = |member: &str| format!("{member}.etcd-main.demo");
        let of = |member: &str| {
            let tags = BTreeMap::from([(shared::etcd_volume("main"), member.to_owned())]);
            Resource::Volume(Volume { name: name(member), tags, ..volume() })
        };
        let desired = members.iter().map(|member| (of(member).id(), of(member)));
        let observed = there.iter().map(|member| {
            let found = ObservedResource::new(name(member), of(member), Identity::new("vol-1"));
            (of(member).id(), found)
        });
        (Desired(desired.collect()), Observed(observed.collect()))
    }

    #[test]
    fn a_lost_volume_is_made_anew_where_it_is_asked_for_and_a_majority_is_left() {
        type Case = (&'static [&'static str], &'static [&'static str], Result<(), &'static str>);
        let table: [Case; 5] = [
            (&["a"], &[], Err("0 of 1")),
            (&["a", "b", "c"], &["b", "c"], Ok(())),
            (&["a", "b", "c"], &["c"], Err("1 of 3")),
            (&["a", "b", "c", "d", "e"], &["c", "d", "e"], Ok(())),
            (&["b", "c"], &["b", "c"], Err("no volume of that name")),
        ];
        let asked = BTreeSet::from([NAME.to_owned()]);
        let owner = Owner::new("demo", "1");
        for (members, there, expected) in table {
            let (mut desired, observed) = etcd(members, there);
            let replaced = replace_lost_volumes(&mut desired, &observed, &asked);
            match expected {
                Ok(()) => replaced.unwrap(),
                Err(why) => {
                    let error = replaced.unwrap_err();
                    assert!(error.to_string().contains(why), "{members:?} {there:?}: {error}");
                    assert!(error.hint().is_some());
                    continue;
                }
            }
            let Some(Resource::Volume(made)) = desired.0.get(&ResourceId::new(Kind::Volume, NAME)) else {
                panic!()
            };
            assert_eq!(made.tags[shared::REPLACES_LOST], "a");
            let plan = Plan::update(&desired, &observed).unwrap();
            let known = members.iter().map(|member| format!("{member}.etcd-main.demo")).collect();
            let refused = plan.refuse_lost_volumes(&desired, &known, &[], &owner);
            assert_eq!(refused.is_ok(), members.len() == 3, "only the one that was asked for: {members:?}");
        }
        let (mut desired, observed) = etcd(&["a", "b", "c"], &["a", "b", "c"]);
        let before = desired.clone();
        replace_lost_volumes(&mut desired, &observed, &asked).unwrap();
        assert_eq!(desired.0, before.0, "one that is there stays as it is");
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
