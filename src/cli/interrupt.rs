//! Ctrl-C and SIGTERM.
//!
//! A command that has nothing to tidy up just ends. One that is in the middle of changing something takes a
//! [`Stopping`](crate::ops::stop::Stopping) first: then the first signal only asks it to stop, and a second one ends it at once. Whatever it leaves
//! half done, the next run finishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::diagnostic::Exit;
use super::output;
use crate::ops::Stop;

/// How long a command may go on that must end. One that waits in a call of the system, such as for the other end of a
/// pipe, hears of no signal: it is ended where it is.
const GRACE: Duration = Duration::from_secs(1);

/// Says whether, and how often, the user has asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// What operations are asked by.
    pub(crate) stop: Stop,
    ignoring: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Starts to listen for signals. Must be called inside the runtime.
    pub(crate) fn watch_signals() -> Self {
        let (sender, signals) = watch::channel(0);
        let ignoring = Arc::new(AtomicUsize::new(0));
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            // Without a handler the signal ends the process, which every command must survive anyway.
            let Ok(mut stream) = signal(kind) else { continue };
            let (sender, ignoring) = (sender.clone(), Arc::clone(&ignoring));
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    if kind == SignalKind::terminate() || ignoring.load(Ordering::SeqCst) == 0 {
                        sender.send_modify(|count| *count += 1);
                    }
                }
            });
        }
        let this = Self::of(signals, ignoring);
        tokio::spawn(this.clone().end_by_force());
        this
    }

    fn of(signals: watch::Receiver<u32>, ignoring: Arc<AtomicUsize>) -> Self {
        Self { stop: Stop::new(signals), ignoring }
    }

    /// Ends when the process must end: at the first signal, or at the second one while a command is tidying up. A command
    /// that has tidied up doesn't go on with anything else.
    pub(crate) async fn must_stop(&self) {
        let (mut signals, mut tidying) = (self.stop.requests(), self.stop.tidying());
        let mut said = false;
        loop {
            let (count, tidies) = (*signals.borrow_and_update(), *tidying.borrow_and_update() > 0);
            if count > 1 || (count == 1 && !tidies) {
                return;
            }
            if count == 1 && !said {
                output::say("stopping; interrupt again to stop at once");
                said = true;
            }
            let changed = tokio::select! {
                changed = signals.changed() => changed,
                changed = tidying.changed() => changed,
            };
            if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends the process where nothing else does.
    async fn end_by_force(self) {
        let (mut signals, mut tidying) = (self.stop.requests(), self.stop.tidying());
        loop {
            let (count, tidies) = (*signals.borrow_and_update(), *tidying.borrow_and_update() > 0);
            if count > 1 || (count == 1 && !tidies) {
                tokio::time::sleep(GRACE).await;
                output::say("interrupted");
                std::process::exit(Exit::Interrupted.code().into());
            }
            let changed = tokio::select! {
                changed = signals.changed() => changed,
                changed = tidying.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Lets Ctrl-C pass until this is dropped: another program has the terminal, and it is meant for that.
    pub(crate) fn ignore(&self) -> Ignoring {
        self.ignoring.fetch_add(1, Ordering::SeqCst);
        Ignoring(Arc::clone(&self.ignoring))
    }
}

/// Held while another program has the terminal.
#[derive(Debug)]
pub(crate) struct Ignoring(Arc<AtomicUsize>);

impl Drop for Ignoring {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn interrupt() -> (watch::Sender<u32>, Interrupt) {
        let (sender, signals) = watch::channel(0);
        (sender, Interrupt::of(signals, Arc::default()))
    }

    #[tokio::test]
    async fn a_command_that_has_tidied_up_after_ctrl_c_does_not_go_on() {
        let (sender, interrupt) = interrupt();
        let stopping = interrupt.stop.stopping();
        let must_stop = interrupt.must_stop();
        tokio::pin!(must_stop);
        assert!(must_stop.as_mut().now_or_never().is_none());
        sender.send_replace(1);
        assert!(must_stop.as_mut().now_or_never().is_none(), "it didn't wait for what tidies up");
        assert!(interrupt.stop.check().is_err() && interrupt.stop.asked()());
        drop(stopping);
        assert!(must_stop.as_mut().now_or_never().is_some(), "it lets the command go on");
    }

    #[tokio::test]
    async fn a_second_signal_ends_what_the_first_one_let_come_to_an_end() {
        let (sender, interrupt) = interrupt();
        let _applying = interrupt.stop.applying();
        sender.send_replace(1);
        assert!(interrupt.must_stop().now_or_never().is_none());
        sender.send_replace(2);
        assert!(interrupt.must_stop().now_or_never().is_some());
    }
}
