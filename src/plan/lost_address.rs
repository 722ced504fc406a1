//! An Elastic IP of a master that was there and isn't found any more. A new one would be another address, which no
//! kubeconfig and no firewall knows; and where only tags of the old one are gone, agents of masters find both, and no
//! master boots again.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use windlass_bootstrap::tags as shared;

use super::lost::{SHOWN, marks};
use super::{Action, Plan, PlanError};
use crate::aws::tags::Owner;
use crate::cloud::elastic_ip::Stray;
use crate::cloud::{Kind, Resource, ResourceId};
use crate::model::Desired;

/// An Elastic IP that was there and isn't found any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostAddress {
    /// Which.
    pub address: ResourceId,
    /// Addresses that could be the lost one, the likeliest first.
    pub candidates: Vec<Stray>,
    /// The tags that make an address this one, each as the AWS CLI takes it.
    pub marks: Vec<String>,
}

impl fmt::Display for LostAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, candidates, marks: _ } = self;
        write!(formatter, "  {address}: ")?;
        if candidates.is_empty() {
            return write!(formatter, "no Elastic IP of the region could be it");
        }
        write!(formatter, "could be")?;
        candidates.iter().try_for_each(|candidate| write!(formatter, "\n    {candidate}"))
    }
}

impl LostAddress {
    /// What to type where one of the candidates is it, and what where none is.
    pub fn hint(&self) -> String {
        let Self { address: _, candidates, marks } = self;
        let give_back = if candidates.is_empty() {
            String::new()
        } else {
            format!(
                "If one of them is it, give it its tags back and run the same command: aws ec2 create-tags --resources \
                 ADDRESS --tags {}. ",
                marks.join(" ")
            )
        };
        let out_of_the_way = if candidates.iter().any(|candidate| candidate.master.is_some()) {
            format!("take the tag `{}` from those that have it, and ", shared::MASTER)
        } else {
            String::new()
        };
        let braced: Vec<String> = marks.iter().map(|mark| format!("{{{mark}}}")).collect();
        format!(
            "nothing was changed. {give_back}If it was released, {out_of_the_way}allocate another in its place and run \
             the same command: aws ec2 allocate-address --domain vpc --tag-specifications \
             'ResourceType=elastic-ip,Tags=[{}]'",
            braced.join(",")
        )
    }
}

impl Plan {
    /// Refuses to allocate a master's address where there is one already: those that `were_there` when the cluster was last
    /// applied, by their names, or one with the tags that the master's agent goes by. `strays` are the addresses that are
    /// there and aren't found as the cluster's.
    pub fn refuse_lost_address(
        &self,
        desired: &Desired,
        were_there: &BTreeSet<String>,
        strays: &[Stray],
        owner: &Owner,
    ) -> Result<(), PlanError> {
        let made = self.steps.iter().filter(|step| matches!(step.action, Action::Create(_)));
        let mut addresses = made.filter(|step| step.resource.kind == Kind::ElasticIp);
        let is_there = |id: &ResourceId| {
            let master = desired
                .0
                .get(id)
                .and_then(|address| address.clone().tags_mut()?.get(shared::MASTER).cloned());
            were_there.contains(&id.name)
                || master
                    .is_some_and(|master| strays.iter().any(|stray| stray.master.as_ref() == Some(&master)))
        };
        let Some(step) = addresses.find(|step| is_there(&step.resource)) else { return Ok(()) };
        let masters: BTreeSet<Ipv4Addr> = desired.0.values().filter_map(address_of_master).collect();
        let likeness = |stray: &Stray| {
            let at_master = stray.private_address.is_some_and(|address| masters.contains(&address));
            (stray.master.is_some(), at_master, stray.name.as_ref() == Some(&step.resource.name))
        };
        // One that stands for something else isn't it, unless its tags or its name say so.
        let is_candidate =
            |stray: &&Stray| stray.holder.is_none() || likeness(stray) != (false, false, false);
        let mut candidates: Vec<&Stray> = strays.iter().filter(is_candidate).collect();
        candidates.sort_by_key(|stray| std::cmp::Reverse(likeness(stray)));
        Err(PlanError::AddressLost(LostAddress {
            address: step.resource.clone(),
            candidates: candidates.into_iter().take(SHOWN).cloned().collect(),
            marks: marks(&step.resource, owner),
        }))
    }
}

fn address_of_master(resource: &Resource) -> Option<Ipv4Addr> {
    match resource {
        Resource::AddressReservation(reservation) => Some(reservation.address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::address_reservation::AddressReservation;
    use crate::cloud::elastic_ip::ElasticIp;
    use crate::cloud::{Observed, Reference};

    fn stray(id: &str) -> Stray {
        Stray {
            id: id.to_owned(),
            ip: "198.51.100.7".to_owned(),
            name: None,
            holder: None,
            private_address: None,
            master: None,
            other_uid: None,
        }
    }

    fn outcome(was_there: bool, strays: &[Stray]) -> Result<(), PlanError> {
        let were_there = was_there.then(|| "api.demo".to_owned()).into_iter().collect();
        let tags = BTreeMap::from([(shared::MASTER.to_owned(), "control-plane-a".to_owned())]);
        let wanted = [
            Resource::ElasticIp(ElasticIp { name: "api.demo".to_owned(), tags }),
            Resource::AddressReservation(AddressReservation {
                name: "masters".to_owned(),
                subnet: Reference::to("one"),
                address: Ipv4Addr::new(172, 20, 32, 10),
                tags: BTreeMap::new(),
            }),
        ];
        let desired = Desired(wanted.into_iter().map(|resource| (resource.id(), resource)).collect());
        let mut plan = Plan::update(&Desired::default(), &Observed::default()).unwrap();
        for (id, resource) in &desired.0 {
            let action = Action::Create(resource.fields().additions());
            plan.steps.push(crate::plan::Step { resource: id.clone(), action, after: BTreeSet::new() });
        }
        plan.refuse_lost_address(&desired, &were_there, strays, &Owner::new("demo", "1"))
    }

    #[test]
    fn a_new_cluster_s_address_is_allocated_whatever_other_addresses_there_are() {
        assert!(outcome(false, &[stray("eipalloc-1")]).is_ok());
    }

    #[test]
    fn an_address_that_was_applied_is_not_allocated_anew_and_what_could_be_it_is_named() {
        let held = |id: &str| Stray { holder: Some("i-1".to_owned()), ..stray(id) };
        let strays = [
            stray("eipalloc-free"),
            Stray { name: Some("api.demo".to_owned()), ..held("eipalloc-named") },
            Stray { private_address: Some(Ipv4Addr::new(172, 20, 32, 10)), ..held("eipalloc-at-master") },
            Stray { private_address: Some(Ipv4Addr::new(10, 0, 0, 1)), ..held("eipalloc-elsewhere") },
        ];
        let error = outcome(true, &strays).unwrap_err();
        let text = error.to_string();
        let at = |id: &str| text.find(id).unwrap_or_else(|| panic!("{id}: {text}"));
        assert!(at("eipalloc-at-master") < at("eipalloc-named"), "{text}");
        assert!(at("eipalloc-named") < at("eipalloc-free"), "{text}");
        assert!(!text.contains("eipalloc-elsewhere"), "{text}");
        let hint = error.hint().unwrap();
        for words in [
            "create-tags --resources ADDRESS --tags Key=windlass.dev/cluster,Value=demo",
            "Tags=[{Key=windlass.dev/cluster,Value=demo},",
            "Key=windlass.dev/cluster-uid,Value=1}]",
        ] {
            assert!(hint.contains(words), "{hint}");
        }
        assert!(!hint.contains("eipalloc-"), "the hint guesses: {hint}");
    }

    #[test]
    fn one_that_an_agent_would_find_beside_the_new_one_is_refused_though_nothing_was_applied() {
        let found = Stray { master: Some("control-plane-a".to_owned()), ..stray("eipalloc-1") };
        let error = outcome(false, &[found]).unwrap_err();
        assert!(error.to_string().contains("tagged windlass.dev/master=control-plane-a"), "{error}");
        assert!(error.hint().unwrap().contains("take the tag `windlass.dev/master`"));
    }

    #[test]
    fn where_no_address_could_be_it_the_hint_allocates_one_in_its_place() {
        let error = outcome(true, &[]).unwrap_err();
        assert!(error.to_string().ends_with("no Elastic IP of the region could be it"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("allocate-address") && !hint.contains("create-tags"), "{hint}");
    }
}
