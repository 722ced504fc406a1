//! The only code that changes AWS: carries out a plan.
//!
//! A step starts the moment the last step it comes after is done; so many run at once, and no more. A step that fails
//! with something that passes by itself is tried again, with growing, jittered pauses, and from the second try on it
//! first looks what is there: the call whose reply was lost may have been carried out. A step that fails for good
//! blocks only what comes after it. There is no rolling back: run again, and it converges.
//!
//! Every step is fenced: before it begins, and before each retry, the run looks whether it was asked to stop and whether
//! the lease is still held; every changing call within a step asks the same of the clocks ([`crate::aws::gate`]).

mod backoff;
mod event;
mod queue;
mod step;

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::timeout;

pub use self::event::{Event, Failure, Summary};
use self::queue::Queue;
use crate::cloud::slot::Slots;
use crate::cloud::{Context, Observed};
use crate::model::Desired;
use crate::plan::Plan;

/// How many steps make calls at once; those that wait don't count: EC2's buckets for changing calls hold some 50 to 100 requests and refill at 5 a second;
/// eight at once fill the time and don't empty them.
const CONCURRENCY: usize = 8;

/// How long a run that was asked to stop waits for the calls under way.
const GRACE: Duration = Duration::from_secs(30);

/// What a run is made of.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// What the plan was made from.
    pub desired: &'a Desired,
    /// What the plan was made from.
    pub observed: &'a Observed,
    /// With what.
    pub context: Context<'a>,
}

/// Carries out the plan until it is done, nothing more can be done, the lease is lost, or `interrupted` is ready: then no
/// step is started any more, and the calls under way have half a minute. `listen` hears of everything as it happens.
pub async fn run(run: Run<'_>, interrupted: impl Future<Output = ()>, listen: &dyn Fn(Event<'_>)) -> Summary {
    let started = Instant::now();
    let gated = run.context.clients.gated(run.context.store.permit(run.context.cluster));
    let run = Run { context: Context { clients: &gated, ..run.context }, ..run };
    let (sender, asked) = watch::channel(false);
    let mut interrupted = pin!(interrupted);
    let mut queue = Queue::new(run.plan);
    let mut running = FuturesUnordered::new();
    let mut summary = Summary::default();
    let slots = Slots::new(CONCURRENCY);
    loop {
        while queue.is_ready() && !*asked.borrow() {
            let Some(slot) = slots.try_take() else { break };
            let Some(at) = queue.take() else { break };
            let Some(step) = run.plan.steps.get(at) else { break };
            listen(Event::Started { step });
            let carried = step::carry_out(run, step, slot, asked.clone(), listen);
            running.push(async move { (at, Instant::now(), carried.await) });
        }
        let finished = tokio::select! {
            biased;
            () = &mut interrupted, if !*asked.borrow() => {
                sender.send_replace(true);
                continue;
            }
            finished = next(&mut running, *asked.borrow()) => finished,
            () = slots.wait(), if queue.is_ready() && !*asked.borrow() => continue,
        };
        let Some((at, since, outcome)) = finished else { break };
        let Some(step) = run.plan.steps.get(at) else { break };
        match outcome {
            Ok(()) => {
                listen(Event::Done { step, took: since.elapsed() });
                summary.done += 1;
                queue.done(at);
            }
            // Nothing failed, and nothing may begin any more.
            Err(error) if error.is_withheld() => {
                sender.send_replace(true);
            }
            Err(error) => {
                listen(Event::Failed { step, error: &error });
                summary.failed.push(Failure {
                    resource: step.resource.clone(),
                    verb: step.action.verb(),
                    error,
                });
            }
        }
    }
    summary.stopped = *asked.borrow();
    summary.not_done = run.plan.steps.len() - summary.done - summary.failed.len();
    summary.took = started.elapsed();
    summary
}

/// The next step that is finished; nothing when none is under way, or when those that are take too long to stop.
async fn next<S: StreamExt + Unpin>(running: &mut S, stopped: bool) -> Option<S::Item> {
    if stopped { timeout(GRACE, running.next()).await.ok().flatten() } else { running.next().await }
}
