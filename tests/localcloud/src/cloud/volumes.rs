//! Volumes: attached to the machines that the world says, and let go of.

use std::time::Duration;

use super::{AGAIN, Keeper, State, describe};
use crate::world::{AttachmentState, Volume, World};

/// How long a volume that is still held is left before it is tried again.
const HELD: Duration = Duration::from_millis(250);

impl Keeper {
    /// Frees a dead instance's volumes. Its mounts went with it, so a volume that is still held is only being
    /// let go of by the kernel.
    pub(super) async fn release_volumes(&mut self, instance: &str) {
        let attached = self.volumes.attached().iter().filter(|(_, attached)| attached.instance == instance);
        let volumes: Vec<String> = attached.map(|(volume, _)| volume.clone()).collect();
        for volume in volumes {
            for _ in 0..40 {
                match self.volumes.detach(&volume, None).await {
                    Ok(true) => break,
                    Ok(false) => tokio::time::sleep(HELD).await,
                    Err(error) => {
                        tracing::error!(volume, error = describe(&error), "the volume can't be freed");
                        break;
                    }
                }
            }
        }
    }

    pub(super) async fn reconcile_volumes(&mut self, world: &World) {
        for volume in &world.volumes {
            if let Err(error) = self.reconcile_volume(volume).await {
                tracing::error!(volume = volume.id, error, "not as it should be");
                self.again(AGAIN);
            }
        }
        let existing: Vec<&str> = world.volumes.iter().map(|volume| volume.id.as_str()).collect();
        if let Err(error) = self.volumes.forget_all_but(&existing) {
            tracing::error!(%error, "a deleted volume's file can't be removed");
        }
    }

    async fn reconcile_volume(&mut self, volume: &Volume) -> Result<(), String> {
        let Some(attachment) = &volume.attachment else { return Ok(()) };
        let machine = match self.machines.get(&attachment.instance) {
            Some(State::Running(machine)) => Some(machine.clone()),
            _ => None,
        };
        let is_attached = self.volumes.attached().contains_key(&volume.id);
        match (attachment.state, machine) {
            (AttachmentState::Attaching | AttachmentState::Attached, Some(machine)) => {
                if is_attached {
                    self.volumes.grow(&volume.id, volume.size).await.map_err(|error| describe(&error))?;
                } else {
                    let attach = self.volumes.attach(&volume.id, volume.size, &attachment.instance, &machine);
                    attach.await.map_err(|error| describe(&error))?;
                    tracing::info!(volume = volume.id, instance = attachment.instance, "attached");
                }
                if attachment.state == AttachmentState::Attaching {
                    return self.report_attachment(volume, AttachmentState::Attached).await;
                }
                Ok(())
            }
            (AttachmentState::Detaching | AttachmentState::Busy, machine) => {
                let free = self.volumes.detach(&volume.id, machine.as_ref()).await;
                if free.map_err(|error| describe(&error))? {
                    tracing::info!(volume = volume.id, instance = attachment.instance, "detached");
                    return self.report_attachment(volume, AttachmentState::Detached).await;
                }
                self.again(HELD);
                if attachment.state == AttachmentState::Detaching {
                    return self.report_attachment(volume, AttachmentState::Busy).await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn report_attachment(&self, volume: &Volume, state: AttachmentState) -> Result<(), String> {
        let Some(attachment) = &volume.attachment else { return Ok(()) };
        let report = self.region.report_attachment(&volume.id, &attachment.instance, state);
        report.await.map_err(|error| describe(&error))
    }
}
