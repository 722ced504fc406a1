//! Finding everything that exists of a cluster.

use futures::future::try_join_all;

use super::context::{Context, Found, Names, Observed};
use super::error::CloudError;
use super::kinds::Kind;
use super::resource_kind::ObservedFor;

/// Finds everything that windlass made for the cluster. The number of calls grows with the number of kinds, not with
/// the number of instance groups or instances.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe(context: &Context<'_>) -> Result<Observed, CloudError> {
    let mut observed = Observed::default();
    observe_all(ObservedFor::EveryPlan, context, &mut observed).await?;
    Ok(observed)
}

/// Adds to what was observed of a cluster what else must go when the cluster does: what controllers made in it.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe_for_deletion(context: &Context<'_>, observed: &mut Observed) -> Result<(), CloudError> {
    observe_all(ObservedFor::Deletion, context, observed).await
}

/// Finds everything of one kind.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe_kind(
    kind: Kind,
    context: &Context<'_>,
    names: &Names,
) -> Result<Vec<Found>, CloudError> {
    kind.observe(context, names).await
}

async fn observe_all(
    purpose: ObservedFor,
    context: &Context<'_>,
    observed: &mut Observed,
) -> Result<(), CloudError> {
    for round in rounds(&looked_for(purpose), |kind| kind.declaration().observed_after) {
        let names = Names::new(observed);
        let found = try_join_all(round.iter().map(|kind| kind.observe(context, &names))).await?;
        for (kind, found) in round.iter().zip(found) {
            observed.extend(*kind, found);
        }
    }
    Ok(())
}

fn looked_for(purpose: ObservedFor) -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.declaration().observed_for == purpose).collect()
}

/// The rounds in which kinds are read, each round at once: a kind comes in the first round in which all that it is read
/// after is known. What isn't among `kinds` is known already. Of kinds that wait for each other nothing is known in time:
/// they come last, and a test sees to it that there are none.
fn rounds(kinds: &[Kind], after: impl Fn(Kind) -> &'static [Kind]) -> Vec<Vec<Kind>> {
    let mut rounds = Vec::new();
    let mut waiting = kinds.to_vec();
    while !waiting.is_empty() {
        let is_ready = |kind: &Kind| !after(*kind).iter().any(|other| waiting.contains(other));
        let (ready, rest): (Vec<Kind>, Vec<Kind>) = waiting.iter().copied().partition(is_ready);
        if ready.is_empty() {
            rounds.push(rest);
            break;
        }
        rounds.push(ready);
        waiting = rest;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds that are read before, or together with, something that they are read after.
    fn too_early(rounds: &[Vec<Kind>], after: impl Fn(Kind) -> &'static [Kind]) -> Vec<Kind> {
        let place = |kind: Kind| rounds.iter().position(|round| round.contains(&kind));
        let all = rounds.iter().flatten().copied();
        all.filter(|kind| after(*kind).iter().any(|other| place(*other) >= place(*kind))).collect()
    }

    #[test]
    fn every_kind_is_read_in_exactly_one_round_and_after_all_that_it_needs() {
        let mut all = rounds(&looked_for(ObservedFor::EveryPlan), |kind| kind.declaration().observed_after);
        all.extend(rounds(&looked_for(ObservedFor::Deletion), |kind| kind.declaration().observed_after));
        assert_eq!(too_early(&all, |kind| kind.declaration().observed_after), []);
        let mut read: Vec<Kind> = all.into_iter().flatten().collect();
        read.sort();
        assert_eq!(read, Kind::ALL);
    }

    #[test]
    fn a_kind_comes_as_early_as_it_can() {
        let after = |kind| -> &'static [Kind] {
            match kind {
                Kind::Subnet => &[Kind::Vpc],
                Kind::RouteTable => &[Kind::Vpc, Kind::Subnet],
                Kind::LoadBalancer => &[Kind::AutoScalingGroup],
                _ => &[],
            }
        };
        let kinds = [Kind::Vpc, Kind::Subnet, Kind::RouteTable, Kind::Role, Kind::LoadBalancer];
        let expected: [&[Kind]; 3] =
            [&[Kind::Vpc, Kind::Role, Kind::LoadBalancer], &[Kind::Subnet], &[Kind::RouteTable]];
        assert_eq!(rounds(&kinds, after), expected);
    }

    #[test]
    fn kinds_that_wait_for_each_other_are_found() {
        let after = |kind| -> &'static [Kind] {
            match kind {
                Kind::Subnet => &[Kind::RouteTable],
                Kind::RouteTable => &[Kind::Subnet],
                _ => &[],
            }
        };
        let rounds = rounds(&[Kind::Vpc, Kind::Subnet, Kind::RouteTable], after);
        assert_eq!(rounds.concat(), [Kind::Vpc, Kind::Subnet, Kind::RouteTable], "each is read all the same");
        assert_eq!(too_early(&rounds, after), [Kind::Subnet, Kind::RouteTable]);
    }

    #[test]
    fn an_update_looks_for_what_a_specification_asks_for_in_four_rounds() {
        let rounds = rounds(&looked_for(ObservedFor::EveryPlan), |kind| kind.declaration().observed_after);
        assert_eq!(rounds.len(), 4, "{rounds:?}");
        assert_eq!(rounds.last().unwrap(), &[Kind::AutoScalingGroup]);
        let round_of = |kind| rounds.iter().position(|round| round.contains(&kind));
        assert!(
            round_of(Kind::Role) < round_of(Kind::InstanceProfile),
            "which one is refused must not be chance"
        );
    }
}
