//! One step, tried until it is done, fails for good, or time is up.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Event, Run, backoff};
use crate::aws::Class;
use crate::cloud::context::Names;
use crate::cloud::slot::Slot;
use crate::cloud::{
    self, CloudError, Context, Creation, Identity, Observed, ObservedResource, Resource, ResourceId,
    RetryDecision, Sought,
};
use crate::plan::{Action, Step};

/// How long it is waited, after a call that was not answered, until a look counts that sees nothing: EC2 shows what was
/// made after a second or two (EC2 API Reference, "Eventual consistency").
const SETTLING: Duration = Duration::from_secs(3);

/// Carries out a step. Before each try it looks whether it may still change anything; between two tries it ends with its
/// last error when the run was asked to stop. Its slot is given back at its end, and while it waits for what passes by
/// itself; a step that was throttled keeps it, so that the run as a whole asks for less.
pub(super) async fn carry_out(
    run: Run<'_>,
    step: &Step,
    slot: Slot,
    mut stopped: watch::Receiver<bool>,
    listen: &dyn Fn(Event<'_>),
) -> Result<(), CloudError> {
    let run = Run { context: Context { slot: Some(&slot), ..run.context }, ..run };
    let mut failing = Failing::default();
    let mut attempt = 1;
    let mut unanswered = 0;
    loop {
        run.context.store.confirm(run.context.cluster).await?;
        let begun = Instant::now();
        let error = match try_once(run, step, attempt).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let since = failing.since(begun, Instant::now());
        attempt += 1;
        let settling = if may_be_unseen(run, step, &error) { SETTLING } else { Duration::ZERO };
        let pause = backoff::pause(attempt).max(settling);
        let limit = match error.retry_decision() {
            RetryDecision::GiveUp => return Err(error),
            RetryDecision::RetryFor(limit) => since + limit,
        };
        unanswered += u32::from(error.is_unanswered());
        if run.context.clients.attempts.is_some_and(|most| unanswered >= most) {
            return Err(error);
        }
        if *stopped.borrow() || Instant::now() + pause > limit {
            return Err(error);
        }
        listen(Event::Waiting { step, error: &error, pause });
        let pausing = async {
            if error.is_throttled() { sleep(pause).await } else { slot.given_back_during(sleep(pause)).await }
        };
        tokio::select! {
            () = pausing => {}
            // A sender that is gone can't ask any more; then the pause alone decides.
            Ok(_) = stopped.wait_for(|stopped| *stopped) => return Err(error),
        }
    }
}

/// Longer than one call takes, time-out included: a try that took longer did not only fail. It got answers, and waited
/// for AWS.
const GOT_SOMEWHERE: Duration = Duration::from_mins(1);

/// How many tries of one step may have waited and failed before they count as failing: one that ends like that again and
/// again, such as a look of minutes that ends in a 500, gets nowhere.
const WAITS: u32 = 3;

/// Since when a step has only been failing. Limits count from there, and not from the step's beginning: waiting twenty
/// minutes for an instance to shut down uses up nothing of what a throttled call after it is given.
#[derive(Debug, Default)]
struct Failing {
    since: Option<Instant>,
    waits: u32,
}

impl Failing {
    /// Takes note of a try that failed; returns since when all have.
    fn since(&mut self, begun: Instant, ended: Instant) -> Instant {
        if ended.duration_since(begun) > GOT_SOMEWHERE && self.waits < WAITS {
            self.waits += 1;
            self.since = Some(ended);
        }
        *self.since.get_or_insert(begun)
    }
}

/// Does what is left to do. The first try goes by what was observed when the plan was made; every other one looks
/// again, because a call that failed may have been carried out.
async fn try_once(run: Run<'_>, step: &Step, attempt: u32) -> Result<(), CloudError> {
    let id = &step.resource;
    let found = if attempt == 1 && !is_outdated(run, id) {
        run.observed.0.get(id).cloned()
    } else {
        look(run, step).await?
    };
    match &step.action {
        Action::Delete => match found {
            Some(found) => remove(run, id, &found).await,
            None => Ok(()),
        },
        Action::CreateBeforeDelete(_) => {
            let wanted = run.desired.0.get(id).ok_or_else(|| CloudError::Missing(id.clone()))?;
            match found {
                Some(old)
                    if run.observed.0.get(id).is_some_and(|seen| seen.identity.id == old.identity.id) =>
                {
                    set_aside(run, id, &old).await?;
                    make(run, id, wanted).await
                }
                Some(new) => change(run, id, wanted, &new).await,
                None => make(run, id, wanted).await,
            }
        }
        Action::Create(_) | Action::Update(_) | Action::Replace(_) => {
            let wanted = run.desired.0.get(id).ok_or_else(|| CloudError::Missing(id.clone()))?;
            let replaced = matches!(step.action, Action::Replace(_));
            match found {
                Some(found) if replaced && !wanted.changes_from(&found.resource).is_empty() => {
                    remove(run, id, &found).await?;
                    make(run, id, wanted).await
                }
                Some(found) => change(run, id, wanted, &found).await,
                None => make(run, id, wanted).await,
            }
        }
    }
}

async fn make(run: Run<'_>, id: &ResourceId, wanted: &Resource) -> Result<(), CloudError> {
    let identity = cloud::create(wanted, &run.context).await?;
    run.context.ids.insert(id.clone(), identity);
    Ok(())
}

async fn change(
    run: Run<'_>,
    id: &ResourceId,
    wanted: &Resource,
    found: &ObservedResource,
) -> Result<(), CloudError> {
    let identity = cloud::update(wanted, found, &run.context).await?;
    run.context.ids.insert(id.clone(), identity);
    Ok(())
}

/// Whether what was observed of a resource when the plan was made isn't so any more, because of what this run did: it has its
/// name since this run, or refers to something in whose place this run has made another one.
fn is_outdated(run: Run<'_>, id: &ResourceId) -> bool {
    let ids = run.context.ids;
    match run.observed.0.get(id) {
        None => ids.known(id).is_some(),
        Some(found) => found.resource.references().iter().any(|referred| {
            run.observed.0.get(referred).is_some_and(|old| ids.has_another(referred, &old.identity))
        }),
    }
}

async fn set_aside(run: Run<'_>, id: &ResourceId, old: &ObservedResource) -> Result<(), CloudError> {
    let former = id.set_aside(&old.identity.id);
    cloud::set_aside(old, &former, &run.context).await?;
    run.context.ids.remove(id);
    run.context.ids.insert(former, old.identity.clone());
    Ok(())
}

async fn remove(run: Run<'_>, id: &ResourceId, found: &ObservedResource) -> Result<(), CloudError> {
    cloud::delete(found, &run.context).await?;
    run.context.ids.remove(id);
    Ok(())
}

/// Looks for one resource again, with the names of everything that is known by now. What has an id is asked for by that:
/// filters see what was just made only after a while.
async fn look(run: Run<'_>, step: &Step) -> Result<Option<ObservedResource>, CloudError> {
    let id = &step.resource;
    let names = Names::of_known(run.observed, run.context.ids);
    let asked_for = run.context.ids.known(&asked_for(id));
    let sought = asked_for.as_ref().map_or(Sought::All, |identity| Sought::Id(&identity.id));
    let context = Context { sought, ..run.context };
    let mut seen = match cloud::observe_kind(id.kind, &context, &names).await {
        Ok(seen) => seen,
        Err(error) if error.is_not_found() && asked_for.is_some() => Vec::new(),
        Err(error) => return Err(error),
    };
    // A look may still see what this run has set aside by the name that it had.
    seen.retain(|one| names.known(id.kind, &one.identity.id).is_none_or(|known| known == *id));
    let found = if let Some(identity) = &asked_for {
        seen.into_iter().find(|found| found.identity.id == identity.id)
    } else {
        let mut observed = Observed::default();
        observed.extend(id.kind, seen);
        observed.0.remove(id)
    };
    match (found, run.context.ids.known(id)) {
        (None, Some(identity)) => absent(run, step, identity),
        (found, _) => Ok(found),
    }
}

/// What it means that something with an id can't be seen. What this run has made is waited for, and never made again;
/// neither is what was there and shall only be changed.
fn absent(run: Run<'_>, step: &Step, identity: Identity) -> Result<Option<ObservedResource>, CloudError> {
    let id = &step.resource;
    let is_old = run.observed.0.get(id).is_some_and(|old| old.identity == identity);
    match step.action {
        Action::Delete => Ok(None),
        Action::Replace(_) | Action::CreateBeforeDelete(_) if is_old => {
            run.context.ids.remove(id);
            Ok(None)
        }
        _ if id.kind.declaration().creation == Creation::ReadsFirst => Ok(None),
        _ => Err(CloudError::Unseen { resource: id.clone(), aws_id: identity.id }),
    }
}

/// Whether a call that was not answered may have made something that a look doesn't see yet, and that would be made a
/// second time.
fn may_be_unseen(run: Run<'_>, step: &Step, error: &CloudError) -> bool {
    let makes_another = step.resource.kind.declaration().creation == Creation::MakesAnother;
    let is_making =
        matches!(step.action, Action::Create(_) | Action::Replace(_) | Action::CreateBeforeDelete(_));
    let is_unanswered =
        matches!(error, CloudError::Aws(error) if matches!(error.class, Class::Network | Class::Unavailable));
    makes_another && is_making && is_unanswered && run.context.ids.known(&step.resource).is_none()
}

/// The resource whose id AWS is asked for.
fn asked_for(id: &ResourceId) -> ResourceId {
    ResourceId::new(id.kind.declaration().asked_by.unwrap_or(id.kind), &id.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_from_the_first_failure_and_not_from_the_beginning_of_a_long_wait() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut failing = Failing::default();
        assert_eq!(failing.since(after(0), after(2)), after(0), "a call that fails at once");
        assert_eq!(failing.since(after(3), after(5)), after(0), "and again");
        assert_eq!(
            failing.since(after(8), after(1200)),
            after(1200),
            "a try that waited for AWS, and then failed"
        );
        assert_eq!(failing.since(after(1210), after(1212)), after(1200), "and again");
        for _ in 0..5 {
            failing.since(after(1300), after(1400));
        }
        assert_eq!(
            failing.since(after(1500), after(1600)),
            after(1400),
            "every try waits and fails: it gets nowhere"
        );
    }
}
