//! One step, tried until it is done, fails for good, or time is up.

use std::time::Instant;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Event, Run, backoff};
use crate::cloud::context::Names;
use crate::cloud::{self, CloudError, Found, Observed, Remedy, Resource, ResourceId};
use crate::plan::{Action, Step};

/// Carries out a step. Between two tries it ends with its last error when the run was asked to stop.
pub(super) async fn carry_out(
    run: Run<'_>,
    step: &Step,
    deadline: Instant,
    mut stopped: watch::Receiver<bool>,
    listen: &dyn Fn(Event<'_>),
) -> Result<(), CloudError> {
    let started = Instant::now();
    let mut attempt = 1;
    loop {
        let error = match try_once(run, step, attempt).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        attempt += 1;
        let pause = backoff::pause(attempt);
        let limit = match error.remedy() {
            Remedy::GiveUp => return Err(error),
            Remedy::RetryFor(limit) => deadline.min(started + limit),
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
