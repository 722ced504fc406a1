//! Ctrl-C and SIGTERM.
//!
//! A command that has nothing to tidy up just ends. One that is in the middle of changing something takes a
//! [`Stopping`] first: then the first signal only asks it to stop, and a second one ends it at once. Whatever it leaves
//! half done, the next run finishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::output;

/// Says whether, and how often, the user has asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    signals: watch::Receiver<u32>,
    tidying: Arc<AtomicUsize>,
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
        Self { signals, tidying: Arc::new(AtomicUsize::new(0)), ignoring }
    }

    /// Ends when the process must end: at the first signal, or at the second one if a command is tidying up.
    pub(crate) async fn must_stop(&self) {
        let mut signals = self.signals.clone();
        loop {
            let count = *signals.borrow_and_update();
            if count > 1 || (count == 1 && self.tidying.load(Ordering::SeqCst) == 0) {
                return;
            }
            if count == 1 {
                output::say("stopping; interrupt again to stop at once");
            }
            if signals.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets Ctrl-C pass until this is dropped: another program has the terminal, and it is meant for that.
    pub(crate) fn ignore(&self) -> Ignoring {
        self.ignoring.fetch_add(1, Ordering::SeqCst);
        Ignoring(Arc::clone(&self.ignoring))
    }

    /// Announces that the caller stops by itself when asked to. Signals are its own business until this is dropped.
    pub(crate) fn stopping(&self) -> Stopping {
        self.tidying.fetch_add(1, Ordering::SeqCst);
        Stopping { signals: self.signals.clone(), tidying: Arc::clone(&self.tidying) }
    }
}

/// Held by a command that stops by itself when it is asked to.
#[derive(Debug)]
pub(crate) struct Stopping {
    signals: watch::Receiver<u32>,
    tidying: Arc<AtomicUsize>,
}

impl Stopping {
    /// Ends when the user has asked to stop.
    pub(crate) async fn requested(&self) {
        let mut signals = self.signals.clone();
        if signals.wait_for(|count| *count > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.tidying.fetch_sub(1, Ordering::SeqCst);
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
