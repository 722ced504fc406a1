//! The right to make calls while a plan is carried out. A run has a few slots, so that AWS isn't asked for more at once than
//! it takes; who waits for AWS holds none meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All slots of a run.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Semaphore>);

impl Slots {
    /// So many.
    pub fn new(number: usize) -> Self {
        Self(Arc::new(Semaphore::new(number)))
    }

    /// A slot, if one is free.
    pub fn try_take(&self) -> Option<Slot> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(Slot { slots: self.0.clone(), permit: Mutex::new(Some(permit)) })
    }

    /// Returns when a slot is free. It may be taken again by the time that its caller asks for it.
    pub async fn wait(&self) {
        // The semaphore is never closed.
        drop(self.0.acquire().await);
    }
}

/// One slot. Dropping it gives it back.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Semaphore>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Slot {
    /// Waits for something, with the slot given back until then.
    pub async fn given_back_during<T>(&self, waiting: impl Future<Output = T>) -> T {
        self.set(None);
        let answer = waiting.await;
        // The semaphore is never closed.
        self.set(Arc::clone(&self.slots).acquire_owned().await.ok());
        answer
    }

    fn set(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn while_one_waits_another_has_its_slot_and_both_never_have_it() {
        let slots = Slots::new(1);
        let first = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        let (answer, answered) = oneshot::channel();
        let waiting = first.given_back_during(answered);
        let meanwhile = async {
            slots.wait().await;
            let second = slots.try_take().unwrap();
            answer.send(7).unwrap();
            tokio::task::yield_now().await;
            assert!(slots.try_take().is_none());
            drop(second);
        };
        let (answer, ()) = futures::join!(waiting, meanwhile);
        assert_eq!(answer, Ok(7));
        assert!(slots.try_take().is_none(), "it has its slot again");
        drop(first);
        assert!(slots.try_take().is_some());
    }
}
