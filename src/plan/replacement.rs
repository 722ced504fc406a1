//! What has to be done to each resource that is wanted, where one change may bring others with it: what refers to a resource
//! that is replaced has to be turned to the new one, which may replace it in turn.

use std::collections::BTreeMap;

use super::{Action, PlanError, Refusal};
use crate::cloud::{Change, Effect, Observed, ObservedResource, Resource, ResourceId};
use crate::model::Desired;

/// What a change does, given what is wanted and what is there ([`Resource::effect`]).
pub type EffectOf<'a> = dyn Fn(&Resource, &Change, &Resource) -> Effect + 'a;

/// What is set aside, each with what it is called from then on.
pub(super) type SetAside = BTreeMap<ResourceId, ResourceId>;

/// What has to be done to what is wanted, with the deletion of what is set aside.
pub(super) fn actions(
    effect: &EffectOf<'_>,
    desired: &Desired,
    observed: &Observed,
) -> Result<(BTreeMap<ResourceId, Action>, SetAside), PlanError> {
    let mut set_aside = SetAside::new();
    loop {
        let mut actions = actions_beside(effect, desired, observed, &set_aside)?;
        // What is set aside makes more changes and never fewer, so that this ends.
        let now = replaced(&actions, observed);
        if now == set_aside {
            actions.extend(set_aside.values().map(|former| (former.clone(), Action::Delete)));
            return Ok((actions, set_aside));
        }
        set_aside = now;
    }
}

/// What the actions set aside.
fn replaced(actions: &BTreeMap<ResourceId, Action>, observed: &Observed) -> SetAside {
    let replaced = actions.iter().filter(|(_, action)| matches!(action, Action::CreateBeforeDelete(_)));
    replaced
        .filter_map(|(id, _)| Some((id.clone(), id.set_aside(&observed.0.get(id)?.identity.id))))
        .collect()
}

fn actions_beside(
    effect: &EffectOf<'_>,
    desired: &Desired,
    observed: &Observed,
    set_aside: &SetAside,
) -> Result<BTreeMap<ResourceId, Action>, PlanError> {
    let mut actions = BTreeMap::new();
    let mut refusals = Vec::new();
    for (id, wanted) in &desired.0 {
        let action = match observed.0.get(id) {
            None => Some(Action::Create(wanted.fields().additions())),
            Some(found) => {
                let changes = changes(wanted, found, set_aside);
                change(effect, id, wanted, found, changes, &mut refusals)
            }
        };
        actions.extend(action.map(|action| (id.clone(), action)));
    }
    if refusals.is_empty() { Ok(actions) } else { Err(PlanError::Refused { refusals }) }
}

fn changes(wanted: &Resource, found: &ObservedResource, set_aside: &SetAside) -> Vec<Change> {
    let mut changes = wanted.changes_from(&found.resource);
    if !set_aside.is_empty() {
        changes.extend(wanted.fields().changes_from_replaced(&found.resource.fields(), set_aside));
    }
    changes
}

fn change(
    effect: &EffectOf<'_>,
    id: &ResourceId,
    wanted: &Resource,
    found: &ObservedResource,
    changes: Vec<Change>,
    refusals: &mut Vec<Refusal>,
) -> Option<Action> {
    let (mut replace, mut create_before_delete) = (false, false);
    for change in &changes {
        match effect(wanted, change, &found.resource) {
            Effect::InPlace => {}
            Effect::Replace => replace = true,
            Effect::CreateBeforeDelete => create_before_delete = true,
            Effect::Refused(why) => {
                refusals.push(Refusal { resource: id.clone(), change: change.clone(), why, on_aws: false });
            }
        }
    }
    match (changes.is_empty(), replace, create_before_delete) {
        (true, _, _) => None,
        (false, true, _) => Some(Action::Replace(changes)),
        (false, false, true) => Some(Action::CreateBeforeDelete(changes)),
        (false, false, false) => Some(Action::Update(changes)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::gateway_endpoint::GatewayEndpoint;
    use crate::cloud::route_table::RouteTable;
    use crate::cloud::{Identity, Kind, Reference};
    use crate::plan::Plan;

    /// A route table that says whose team it is, and the endpoint that leads to it.
    fn table_and_endpoint(team: &str) -> [Resource; 2] {
        let (vpc, tags) = (Reference::to("demo"), BTreeMap::from([("team".to_owned(), team.to_owned())]));
        let (name, routes, subnets) = ("t".to_owned(), BTreeMap::new(), [].into());
        let table = RouteTable { name, vpc: Reference::to("demo"), routes, subnets, tags };
        let (service, route_tables) = ("s3".to_owned(), [Reference::to("t")].into());
        let tags = BTreeMap::new();
        let endpoint = GatewayEndpoint { name: "e".to_owned(), vpc, service, route_tables, tags };
        [table.into(), endpoint.into()]
    }

    fn vpc() -> Resource {
        let (name, cidr) = ("demo".to_owned(), "10.0.0.0/16".parse().unwrap());
        let tags = BTreeMap::new();
        crate::cloud::vpc::Vpc {
            name,
            cidr,
            additional_cidrs: [].into(),
            ipv6: false,
            dns_hostnames: true,
            dns_support: true,
            tags,
        }
        .into()
    }

    fn desired() -> Desired {
        let all = table_and_endpoint("b").into_iter().chain([vpc()]);
        Desired(all.map(|resource| (resource.id(), resource)).collect())
    }

    fn observed() -> Observed {
        let mut observed = Observed::default();
        for resource in table_and_endpoint("a").into_iter().chain([vpc()]) {
            let (kind, name) = (resource.kind(), resource.name().to_owned());
            let identity = Identity::new(format!("{name}-1"));
            observed.extend(kind, vec![ObservedResource::new(name, resource, identity)]);
        }
        observed
    }

    /// The kinds' own rules, but for these fields.
    fn plan(of_field: impl Fn(&str) -> Option<Effect>) -> Result<Plan, PlanError> {
        let effect = |wanted: &Resource, change: &Change, found: &Resource| {
            of_field(&change.field).unwrap_or_else(|| wanted.effect(change, found))
        };
        Plan::update_by(&effect, &desired(), &observed())
    }

    fn shown(plan: &Plan) -> Vec<String> {
        let step = |step: &crate::plan::Step| {
            let after: Vec<String> = step.after.iter().map(ToString::to_string).collect();
            format!("{} {} after [{}]", step.action.verb(), step.resource, after.join(", "))
        };
        plan.steps.iter().map(step).collect()
    }

    #[test]
    fn what_refers_to_something_that_is_replaced_is_turned_to_the_new_one_before_the_old_one_goes() {
        let plan = plan(|field| (field == "tags.team").then_some(Effect::CreateBeforeDelete)).unwrap();
        assert_eq!(
            shown(&plan),
            [
                "replace route-table/t after []",
                "update gateway-endpoint/e after [route-table/t]",
                "delete route-table/t (replaced t-1) after [route-table/t, gateway-endpoint/e]",
            ]
        );
        let turned = Change {
            field: "routeTables".to_owned(),
            from: Some("t (replaced t-1)".to_owned()),
            to: Some("t".to_owned()),
        };
        assert_eq!(plan.steps[1].action, Action::Update(vec![turned]));
        let text = plan.to_string();
        assert!(text.contains("± route-table/t") && text.contains("t (replaced t-1) → t"), "{text}");
    }

    #[test]
    fn what_can_t_be_turned_is_replaced_too_and_the_old_ones_go_in_the_opposite_order() {
        let fields = ["tags.team", "routeTables"];
        let plan = plan(|field| fields.contains(&field).then_some(Effect::CreateBeforeDelete)).unwrap();
        assert_eq!(
            shown(&plan),
            [
                "replace route-table/t after []",
                "replace gateway-endpoint/e after [route-table/t]",
                "delete gateway-endpoint/e (replaced e-1) after [gateway-endpoint/e]",
                "delete route-table/t (replaced t-1) after [route-table/t, gateway-endpoint/e, \
                 gateway-endpoint/e (replaced e-1)]",
            ]
        );
    }

    #[test]
    fn where_something_that_refers_to_it_can_t_be_turned_nothing_is_replaced() {
        let refused = plan(|field| match field {
            "tags.team" => Some(Effect::CreateBeforeDelete),
            "routeTables" => Some(Effect::Refused("it keeps its route tables")),
            _ => None,
        });
        let Err(PlanError::Refused { refusals }) = refused else { panic!("{refused:?}") };
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].resource, ResourceId::new(Kind::GatewayEndpoint, "e"));
    }
}
