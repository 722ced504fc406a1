//! One step, tried until it is done, fails for good, or time is up.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Event, Run, backoff};
use crate::cloud::context::Names;
use crate::cloud::{self, CloudError, Found, Observed, Remedy, Resource, ResourceId};
use crate::plan::{Action, Step};

/// Carries out a step. Before each try it looks whether it may still change anything; between two tries it ends with its
/// last error when the run was asked to stop.
pub(super) async fn carry_out(
    run: Run<'_>,
    step: &Step,
    mut stopped: watch::Receiver<bool>,
    listen: &dyn Fn(Event<'_>),
) -> Result<(), CloudError> {
    let mut failing = Failing::default();
    let mut attempt = 1;
    loop {
        run.context.store.confirm(run.context.cluster).await?;
        let begun = Instant::now();
        let error = match try_once(run, step, attempt).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let since = failing.since(begun, Instant::now());
        attempt += 1;
        let pause = backoff::pause(attempt);
        let limit = match error.remedy() {
            Remedy::GiveUp => return Err(error),
            Remedy::RetryFor(limit) => since + limit,
        };
        if *stopped.borrow() || Instant::now() + pause > limit {
            return Err(error);
        }
        listen(Event::Waiting { step, error: &error, pause });
        tokio::select! {
            () = sleep(pause) => {}
            // A sender that is gone can't ask any more; then the pause alone decides.
            Ok(_) = stopped.wait_for(|stopped| *stopped) => return Err(error),
        }
    }
}

/// Longer than one call takes, time-out included: a try that took longer did not only fail. It got answers, and waited
/// for AWS.
const GOT_SOMEWHERE: Duration = Duration::from_mins(1);

/// Since when a step has only been failing. Limits count from there, and not from the step's beginning: waiting twenty
/// minutes for an instance to shut down uses up nothing of what a throttled call after it is given.
#[derive(Debug, Default)]
struct Failing(Option<Instant>);

impl Failing {
    /// Takes note of a try that failed; returns since when all have.
    fn since(&mut self, begun: Instant, ended: Instant) -> Instant {
        if ended.duration_since(begun) > GOT_SOMEWHERE {
            self.0 = Some(ended);
        }
        *self.0.get_or_insert(begun)
    }
}

/// Does what is left to do. The first try goes by what was observed when the plan was made; every other one looks
/// again, because a call that failed may have been carried out.
async fn try_once(run: Run<'_>, step: &Step, attempt: u32) -> Result<(), CloudError> {
    let id = &step.resource;
    let found = if attempt == 1 { run.observed.0.get(id).cloned() } else { look(run, id).await? };
    match &step.action {
        Action::Delete => match found {
            Some(found) => remove(run, id, &found).await,
            None => Ok(()),
        },
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

async fn change(run: Run<'_>, id: &ResourceId, wanted: &Resource, found: &Found) -> Result<(), CloudError> {
    let identity = cloud::update(wanted, found, &run.context).await?;
    run.context.ids.insert(id.clone(), identity);
    Ok(())
}

async fn remove(run: Run<'_>, id: &ResourceId, found: &Found) -> Result<(), CloudError> {
    cloud::delete(found, &run.context).await?;
    run.context.ids.remove(id);
    Ok(())
}

/// Looks for one resource again, with the names of everything that is known by now.
async fn look(run: Run<'_>, id: &ResourceId) -> Result<Option<Found>, CloudError> {
    let names = Names::of_known(run.observed, run.context.ids);
    let mut observed = Observed::default();
    observed.extend(id.kind, cloud::observe_kind(id.kind, &run.context, &names).await?);
    Ok(observed.0.remove(id))
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
    }
}
