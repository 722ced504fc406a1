//! The second names of the container images that the machine image holds, where they are to be pulled from another registry than
//! the one where they are published ([`ImageSource`]). What is there under its second name is not pulled: a machine starts
//! without that registry, what runs has the digest that the image build has checked, and containerd, which pulls the image of
//! pods' sandboxes without credentials, has it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::agent::Agent;
use crate::contract::image_source::ImageSource;
use crate::host::Host;
use crate::host::command::{Command, CommandError, Output};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// What the images of the machine image are known by (containerd's filters).
const PINNED: &str = "labels.\"io.cri-containerd.pinned\"==pinned";

/// Gives them.
pub const STEP: Step = Step::new("ensure_image_names", Duration::from_mins(3));

/// containerd can't be asked, or refuses.
#[derive(Debug, thiserror::Error)]
#[error(
    "the machine image's container images can't be given their names in the registry of the specification"
)]
pub struct ImageNamesError(#[source] CommandError);

impl Classed for ImageNamesError {
    /// containerd may still be starting.
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The step; nothing is reported of it where images are pulled from where they are published.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Some(source) = &agent.config.image_source else { return Ok(()) };
    STEP.run(&agent.reporter, async || ensure(&agent.host, source).await.map(Done::changed_if)).await
}

async fn ensure(host: &Host, source: &ImageSource) -> Result<bool, ImageNamesError> {
    // Those alone that the image build has pinned: what pods have pulled keeps the name that they asked for.
    let listed = images(host, &["ls", "--quiet", PINNED]).await?.stdout;
    let held: BTreeSet<&str> = listed.split_whitespace().collect();
    let missing = missing(&held, source);
    for (canonical, name) in &missing {
        // By force, as an attempt may have ended before the label was there.
        images(host, &["tag", "--force", canonical, name]).await?;
        // As those of the machine image, so that the kubelet's garbage collection never takes it.
        images(host, &["label", name, "io.cri-containerd.pinned=pinned"]).await?;
    }
    Ok(!missing.is_empty())
}

/// The names that are missing, of what is held by a tag: CRI also names images by their digests.
fn missing<'h>(held: &BTreeSet<&'h str>, source: &ImageSource) -> Vec<(&'h str, String)> {
    let tagged = held.iter().copied().filter(|name| name.contains('/') && !name.contains('@'));
    let named = tagged.map(|canonical| (canonical, source.reference(canonical)));
    named.filter(|(_, name)| !held.contains(name.as_str())).collect()
}

/// `ctr images …`, in the namespace that the kubelet sees.
async fn images(host: &Host, arguments: &[&str]) -> Result<Output, ImageNamesError> {
    // Debian's package has it in another folder than upstream's release.
    let ctr = ["ctr", "--namespace", "k8s.io", "images"];
    let command = Command::new("/usr/bin/env").arguments(ctr).arguments(arguments.iter().copied());
    host.run(command).await.map_err(ImageNamesError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: [&str; 4] = [
        "registry.k8s.io/pause:3.10.1",
        "registry.k8s.io/kube-proxy:v1.36.3",
        "registry.k8s.io/kube-proxy@sha256:00",
        "sha256:00",
    ];

    #[test]
    fn each_image_of_the_machine_image_gets_its_name_in_the_registry_once() {
        let source = ImageSource::Registry("registry.example.com".to_owned());
        let mut held = BTreeSet::from(HELD);
        let (pause, proxy) = ("registry.example.com/pause:3.10.1", "registry.example.com/kube-proxy:v1.36.3");
        let expected = [
            ("registry.k8s.io/kube-proxy:v1.36.3", proxy.to_owned()),
            ("registry.k8s.io/pause:3.10.1", pause.to_owned()),
        ];
        assert_eq!(missing(&held, &source), expected);
        held.extend([pause, proxy]);
        assert_eq!(missing(&held, &source), []);
    }

    #[tokio::test]
    async fn containerd_is_asked_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        assert!(!ensure(&host, &ImageSource::Proxy("proxy.example.com".to_owned())).await.unwrap());
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
        let asked = "/usr/bin/env ctr --namespace k8s.io images ls --quiet";
        assert_eq!(commands, format!("{asked} labels.\"io.cri-containerd.pinned\"==pinned\n"));
    }
}
