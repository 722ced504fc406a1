//! Updates of a part of the specification: what is asked for is made with what it needs, nothing else is touched, and the state
//! never says that all of it was applied.

use std::collections::BTreeSet;

use windlass::cloud::Resource;
use windlass::plan::{LeftAlone, Part, Phase, PlanError};

use super::*;

/// The groups of these names alone.
fn groups(names: &[&str]) -> Part {
    let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Part { groups: Some(names), ..Part::default() }
}

fn phase(phase: Phase) -> Part {
    Part { phase: Some(phase), ..Part::default() }
}

fn left_alone(kind: Kind, how: LeftAlone) -> Part {
    Part { left_alone: BTreeMap::from([(kind, how)]), ..Part::default() }
}

impl World {
    /// What `update cluster --yes` does with flags that ask for a part.
    async fn try_update_part(&self, part: Part) -> Result<Outcome, OperationError> {
        let stop = Stop::never();
        let guard = self.guard("update cluster", &stop);
        let work = async {
            let update = SettledUpdate::prepare_part(&self.state, &self.documents, part);
            let update = Box::pin(update).await?;
            self.apply(update).await
        };
        Box::pin(guard.holding(Box::pin(work))).await
    }

    async fn update_part(&self, part: Part) -> Outcome {
        self.try_update_part(part).await.unwrap().succeeded()
    }

    /// Why a part can't be made by itself.
    async fn apart(&self, part: Part) -> String {
        match self.try_update_part(part).await {
            Err(OperationError::Plan(error @ PlanError::Apart { .. })) => {
                assert!(error.hint().is_some());
                error.to_string()
            }
            Err(error) => panic!("another refusal: {error:?}"),
            Ok(outcome) => panic!("it can be made:\n{}", outcome.plan),
        }
    }

    async fn applied(&self) -> Option<u64> {
        self.state.look().await.unwrap();
        self.state.applied().await.unwrap()
    }

    /// The sizes of groups as masters know them.
    async fn known_sizes(&self) -> BTreeMap<String, u32> {
        let observed = self.observe().await;
        let mut all = observed.0.into_values().map(|found| found.resource);
        let found = all.find_map(|resource| match resource {
            Resource::NodeGroups(groups) => groups.document,
            _ => None,
        });
        found.unwrap().groups.into_iter().map(|(group, size)| (group, size.max)).collect()
    }
}

/// The resources of a plan's steps.
fn touched(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.resource.to_string()).collect()
}

fn left_out(plan: &Plan) -> &[String] {
    plan.left_out.as_ref().map_or(&[], |left_out| &left_out.steps)
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn one_group_is_updated_alone_and_a_full_update_afterwards_does_the_rest_and_then_nothing() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        assert_eq!(world.applied().await, Some(1));
        world.add_groups(1);
        let nodes = world.nodes().metadata.name.clone().unwrap();
        world.nodes().spec.max_size = Some(7);
        world.nodes().spec.machine_type = Some("t3.large".to_owned());
        let plan = world.update_part(groups(&["more-0"])).await.plan;
        let steps = touched(&plan);
        let other = format!("{nodes}.{NAME}");
        assert!(steps.contains(&format!("auto-scaling-group/more-0.{NAME}")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains(&other)), "{steps:?}");
        assert!(left_out(&plan).contains(&format!("update auto-scaling-group/{other}")), "{plan}");
        assert!(plan.to_string().contains("Only the instance group more-0; left out "), "{plan}");

        // Masters have heard of the new group, and of nothing that wasn't asked for.
        let known = world.known_sizes().await;
        assert!(known.contains_key("more-0") && known[&nodes] != 7, "{known:?}");
        assert_eq!(world.applied().await, Some(1), "a part was taken for the whole");
        let revision = world.state.revision(2).await.unwrap();
        assert_eq!(revision.partial.as_deref(), Some("the instance group more-0"));
        assert_eq!(revision.images.keys().collect::<Vec<_>>(), ["more-0"]);
        world.state.contents(&revision).await.unwrap();

        let again = world.update_part(groups(&["more-0"])).await.plan;
        assert!(again.is_empty() && !left_out(&again).is_empty(), "{again}");
        assert_eq!(world.state.history().await.unwrap().0.len(), 2, "a part with nothing to do was recorded");

        let rest = world.update().await.succeeded().plan;
        let steps = touched(&rest);
        assert!(steps.contains(&format!("auto-scaling-group/{other}")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.contains("more-0")), "{steps:?}");
        assert_eq!((world.applied().await, world.known_sizes().await[&nodes]), (Some(3), 7));
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn parts_that_did_everything_count_as_applied_when_a_full_update_has_seen_it() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let nodes = world.nodes().metadata.name.clone().unwrap();
        world.nodes().spec.machine_type = Some("t3.large".to_owned());
        world.update_part(groups(&[&nodes])).await;
        assert_eq!(world.applied().await, Some(1));
        let whole = world.update().await.succeeded();
        assert!(whole.plan.is_empty(), "{}", whole.plan);
        assert_eq!(world.applied().await, Some(3));
        assert_eq!(world.state.revision(3).await.unwrap().partial, None);
        world.has_nothing_to_do().await;
        assert_eq!(world.applied().await, Some(3));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_a_part_has_made_a_later_specification_can_t_take_back_where_the_whole_couldn_t() {
        let mut world = World::new().await;
        world.update_part(phase(Phase::Network)).await;
        assert_eq!(world.applied().await, None);
        world.documents.cluster.spec.network_cidr = Some("10.1.0.0/16".to_owned());
        world
            .documents
            .cluster
            .spec
            .subnets
            .as_mut()
            .unwrap()
            .iter_mut()
            .for_each(|subnet| subnet.cidr = None);
        assert!(matches!(world.try_plan().await, Err(OperationError::Unreachable { revision: 1, .. })));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_new_cluster_is_made_in_phases_each_after_the_one_before() {
        let world = World::new().await;
        let refused = world.apart(phase(Phase::Security)).await;
        assert!(refused.starts_with("the phase security can't be updated alone:\n"), "{refused}");
        assert!(refused.contains("which is of the phase `network`: do that one first"), "{refused}");
        let network = world.update_part(phase(Phase::Network)).await.plan;
        let kinds: BTreeSet<&str> = network.steps.iter().map(|step| step.resource.kind.name()).collect();
        assert!(kinds.contains("vpc") && kinds.contains("subnet"), "{kinds:?}");
        assert!(!kinds.contains("role") && !kinds.contains("auto-scaling-group"), "{kinds:?}");
        assert!(world.apart(phase(Phase::Cluster)).await.contains("of the phase `security`"));
        let security = world.update_part(phase(Phase::Security)).await.plan;
        let kinds: BTreeSet<&str> = security.steps.iter().map(|step| step.resource.kind.name()).collect();
        assert!(kinds.contains("role") && kinds.contains("security-group"), "{kinds:?}");
        assert!(!kinds.contains("vpc") && !kinds.contains("auto-scaling-group"), "{kinds:?}");
        world.update_part(phase(Phase::Cluster)).await;
        assert_eq!(world.applied().await, None, "three parts were taken for the whole");
        let whole = world.update().await.succeeded().plan;
        assert!(whole.is_empty(), "{whole}");
        assert_eq!(world.applied().await, Some(4));
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_group_of_a_new_cluster_brings_what_it_needs_and_no_other_group() {
        let mut world = World::new().await;
        let nodes = world.nodes().metadata.name.clone().unwrap();
        let plan = world.update_part(groups(&[&nodes])).await.plan;
        let steps = touched(&plan);
        for needed in ["vpc/", "subnet/", "role/nodes.", "auto-scaling-group/"] {
            assert!(steps.iter().any(|step| step.starts_with(needed)), "{needed}: {steps:?}");
        }
        let of_masters = ["auto-scaling-group/control-plane", "volume/", "elastic-ip/"];
        assert!(!steps.iter().any(|step| of_masters.iter().any(|of| step.starts_with(of))), "{steps:?}");
        world.update().await.succeeded();
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_kind_that_is_left_alone_stays_as_somebody_made_it_and_must_be_there_where_that_is_asked() {
        let mut world = World::new().await;
        for how in [LeftAlone::Ignored, LeftAlone::MustExist, LeftAlone::MustBeRight] {
            let refused = world.apart(left_alone(Kind::Vpc, how)).await;
            assert!(refused.starts_with("everything but vpc can't be updated alone:\n"), "{refused}");
        }
        world.update().await.succeeded();
        let vpc = world.id(Kind::Vpc, NAME).await;
        let off = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(false).build();
        let call = world.clients.ec2.modify_vpc_attribute().vpc_id(&vpc).enable_dns_hostnames(off);
        call.send().await.unwrap();
        world.nodes().spec.machine_type = Some("t3.large".to_owned());
        let refused = world.apart(left_alone(Kind::Vpc, LeftAlone::MustBeRight)).await;
        assert!(refused.contains(&format!("`vpc/{NAME}` is otherwise than")), "{refused}");
        let plan = world.update_part(left_alone(Kind::Vpc, LeftAlone::MustExist)).await.plan;
        assert_eq!(left_out(&plan), [format!("update vpc/{NAME}")], "{plan}");
        assert_eq!(touched(&world.plan().await), [format!("vpc/{NAME}")]);
        world.update().await.succeeded();
        world.has_nothing_to_do().await;
    }
}
