//! Finding everything that exists of a cluster.
//!
//! All kinds are read side by side ([`Look`]). Only when every answer is there are AWS's ids turned into names, in the order
//! in which the kinds need each other's, which takes no call and so no time.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::context::{Context, Names, Observed, ObservedResource};
use super::error::CloudError;
use super::kinds::{Kind, Reading};
use super::look::Look;
use super::resource_kind::ObservedFor;

/// Finds everything that windlass made for the cluster. The number of calls grows with the number of kinds, not with
/// the number of instance groups or instances; no more than two of them wait for each other, but for pages, and
/// three where there is a load balancer: its tags say whose it is, and then what it is like is asked.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe(context: &Context<'_>) -> Result<Observed, CloudError> {
    let mut observed = Observed::default();
    let readings = read_all(ObservedFor::EveryPlan, &Look::at_everything(context)).await?;
    add(readings, context, &mut observed)?;
    Ok(observed)
}

/// Adds to what was observed of a cluster what else must go when the cluster does: what controllers made in it.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe_for_deletion(context: &Context<'_>, observed: &mut Observed) -> Result<(), CloudError> {
    let known = Names::new(observed);
    let readings = read_all(ObservedFor::Deletion, &Look::beside(&known, context)).await?;
    add(readings, context, observed)
}

/// Finds everything of one kind, when the names of the others are known.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe_kind(
    kind: Kind,
    context: &Context<'_>,
    names: &Names,
) -> Result<Vec<ObservedResource>, CloudError> {
    kind.read(&Look::beside(names, context)).await?.observed(context, names)
}

async fn read_all(purpose: ObservedFor, look: &Look<'_>) -> Result<Vec<Reading>, CloudError> {
    try_join_all(looked_for(purpose).into_iter().map(|kind| kind.read(look))).await
}

fn looked_for(purpose: ObservedFor) -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.declaration().observed_for == purpose).collect()
}

/// Adds what was read to what is known.
fn add(readings: Vec<Reading>, context: &Context<'_>, observed: &mut Observed) -> Result<(), CloudError> {
    let mut readings: BTreeMap<Kind, Reading> =
        readings.into_iter().map(|reading| (reading.kind(), reading)).collect();
    let kinds: Vec<Kind> = readings.keys().copied().collect();
    for round in rounds(&kinds, |kind| kind.declaration().observed_after) {
        let names = Names::new(observed);
        for kind in round {
            if let Some(reading) = readings.remove(&kind) {
                observed.extend(kind, reading.observed(context, &names)?);
            }
        }
    }
    Ok(())
}

/// The rounds in which what was read of kinds gets its names: a kind comes in the first round in which the names of all
/// kinds are known that it comes after. What isn't among `kinds` is known already. Of kinds that wait for each other
/// nothing is known in time: they come last, and a test sees to it that there are none.
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
    use std::collections::BTreeSet;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;
    use crate::aws::Clients;
    use crate::aws::tags::Owner;
    use crate::cloud::{Departures, Identities};
    use crate::state::Store;

    /// Takes every request and answers none; tells what it was asked for.
    async fn silent_endpoint() -> (String, UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, heard) = unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let asked: UnboundedSender<String> = asked.clone();
                tokio::spawn(async move {
                    let (mut request, mut part) = (String::new(), [0_u8; 8192]);
                    while let Ok(length @ 1..) = stream.read(&mut part).await {
                        request.push_str(&String::from_utf8_lossy(&part[..length]));
                        let action =
                            request.split_once("Action=").map(|(_, action)| action.split('&').next());
                        if let Some(Some(action)) = action {
                            let _ = asked.send(action.to_owned());
                            request.clear();
                        }
                    }
                });
            }
        });
        (url, heard)
    }

    #[tokio::test]
    async fn all_kinds_are_asked_for_before_any_answer_is_there_and_nothing_is_asked_twice() {
        let (url, mut heard) = silent_endpoint().await;
        let (clients, store) = (Clients::for_endpoint("us-east-1", &url).await, Store::memory());
        let (owner, ids, departures) =
            (Owner::new("demo.example.com", "0123"), Identities::default(), Departures::default());
        let context = Context::new(&clients, &store, &owner, &ids, &departures);
        let mut asked = Vec::new();
        let listen = async {
            let quiet = Duration::from_secs(1);
            while let Ok(Some(action)) = timeout(quiet, heard.recv()).await {
                asked.push(action);
            }
        };
        tokio::select! {
            biased;
            () = listen => {}
            _ = observe(&context) => panic!("it ended without an answer"),
        }
        asked.sort();
        let (roles, others): (Vec<String>, Vec<String>) = asked
            .into_iter()
            .partition(|action| ["GetRole", "GetInstanceProfile"].contains(&action.as_str()));
        assert_eq!(roles, [["GetInstanceProfile"; 4], ["GetRole"; 4]].concat());
        let once: BTreeSet<&str> = others.iter().map(String::as_str).collect();
        assert_eq!(once.len(), others.len(), "something is asked twice: {others:?}");
        for kind in [
            "Addresses",
            "AutoScalingGroups",
            "InternetGateways",
            "KeyPairs",
            "LaunchTemplates",
            "RouteTables",
            "SecurityGroups",
            "Subnets",
            "Volumes",
            "Vpcs",
        ] {
            assert!(once.contains(format!("Describe{kind}").as_str()), "{kind}: {once:?}");
        }
    }

    /// The kinds that get their names before, or together with, something that they come after.
    fn too_early(rounds: &[Vec<Kind>], after: impl Fn(Kind) -> &'static [Kind]) -> Vec<Kind> {
        let place = |kind: Kind| rounds.iter().position(|round| round.contains(&kind));
        let all = rounds.iter().flatten().copied();
        all.filter(|kind| after(*kind).iter().any(|other| place(*other) >= place(*kind))).collect()
    }

    #[test]
    fn every_kind_gets_its_names_in_exactly_one_round_and_after_all_that_it_needs() {
        let mut all = rounds(&looked_for(ObservedFor::EveryPlan), |kind| kind.declaration().observed_after);
        all.extend(rounds(&looked_for(ObservedFor::Deletion), |kind| kind.declaration().observed_after));
        assert_eq!(too_early(&all, |kind| kind.declaration().observed_after), []);
        let mut named: Vec<Kind> = all.into_iter().flatten().collect();
        named.sort();
        assert_eq!(named, Kind::ALL);
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
        assert_eq!(
            rounds.concat(),
            [Kind::Vpc, Kind::Subnet, Kind::RouteTable],
            "each gets names all the same"
        );
        assert_eq!(too_early(&rounds, after), [Kind::Subnet, Kind::RouteTable]);
    }

    #[test]
    fn of_a_role_and_its_profile_that_are_both_another_s_it_is_always_the_role_that_is_refused() {
        let rounds = rounds(&looked_for(ObservedFor::EveryPlan), |kind| kind.declaration().observed_after);
        let round_of = |kind| rounds.iter().position(|round| round.contains(&kind));
        assert!(round_of(Kind::Role) < round_of(Kind::InstanceProfile), "{rounds:?}");
    }
}
