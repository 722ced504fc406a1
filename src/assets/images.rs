//! The container images that a cluster runs: what an operator mirrors, or scans.
//!
//! They are taken from what instances read, node configurations and add-ons, and from nothing else, so that none is
//! missing here that is pulled there.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{addons, node_config};
use crate::spec::cluster::Cluster;
use crate::spec::yaml;

/// A container image that a cluster runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// What runs it: a component such as `kube-apiserver`, or an add-on.
    pub component: String,
    /// The reference under which it is published.
    pub canonical: String,
    /// The reference by which instances pull it.
    pub download: String,
    /// Where it runs.
    pub runs_on: RunsOn,
}

/// Where a component runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunsOn {
    /// On masters.
    ControlPlane,
    /// On every instance.
    EveryInstance,
    /// Wherever Kubernetes puts the add-on's pods.
    Pods,
}

impl RunsOn {
    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::EveryInstance => "every instance",
            Self::Pods => "pods",
        }
    }
}

/// Why the images of a cluster can't be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An instance group's node configuration can't be made.
    #[error("{0}")]
    NodeConfig(#[from] node_config::NodeConfigError),
    /// An add-on can't be rendered.
    #[error("{0}")]
    Addon(#[from] addons::Error),
    /// The manifest of an add-on is no YAML.
    #[error("cannot read the manifest of the add-on \"{addon}\": {reason}")]
    Manifest {
        /// The add-on.
        addon: String,
        /// What is wrong, and where.
        reason: String,
    },
}

/// The images of a cluster, sorted by component.
pub fn images(cluster: &Cluster) -> Result<Vec<Image>, Error> {
    let mut images = canonical(&Cluster { image_source: None, ..cluster.clone() })?;
    for image in &mut images {
        if let Some(source) = &cluster.image_source {
            image.download = source.reference(&image.canonical);
        }
    }
    Ok(images)
}

/// The images of a cluster that pulls them from where they are published.
fn canonical(cluster: &Cluster) -> Result<Vec<Image>, Error> {
    let mut images = Vec::new();
    for group in &cluster.instance_groups {
        let config = node_config::node_config(cluster, group, "", &[], "")?;
        images.extend(of_components(config.images, RunsOn::EveryInstance));
        let control_plane = config.control_plane.map(|control_plane| control_plane.images);
        images.extend(of_components(control_plane.unwrap_or_default(), RunsOn::ControlPlane));
    }
    for addon in addons::render(cluster)? {
        let references = of_manifest(&addon.manifest);
        let references =
            references.map_err(|reason| Error::Manifest { addon: addon.name.clone(), reason })?;
        images.extend(references.into_iter().map(|reference| image(&addon.name, reference, RunsOn::Pods)));
    }
    images.sort();
    images.dedup();
    Ok(images)
}

fn of_components(images: BTreeMap<String, String>, runs_on: RunsOn) -> impl Iterator<Item = Image> {
    images.into_iter().map(move |(component, reference)| image(&component, reference, runs_on))
}

fn image(component: &str, reference: String, runs_on: RunsOn) -> Image {
    Image { component: component.to_owned(), canonical: reference.clone(), download: reference, runs_on }
}

/// The images of all containers in a manifest of several documents.
fn of_manifest(manifest: &str) -> Result<Vec<String>, String> {
    let mut images = Vec::new();
    for document in yaml::all_to_json(manifest)? {
        collect(&document, &mut images);
    }
    Ok(images)
}

/// Containers stand in lists of these names wherever a pod's specification does (Kubernetes API, PodSpec).
const CONTAINERS: [&str; 3] = ["containers", "ephemeralContainers", "initContainers"];

fn collect(value: &Value, images: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if CONTAINERS.contains(&name.as_str()) {
                    let containers = value.as_array().into_iter().flatten();
                    images.extend(containers.filter_map(|it| it.get("image")?.as_str()).map(str::to_owned));
                }
                collect(value, images);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, images)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use windlass_bootstrap::image_source::ImageSource;

    use super::*;
    use crate::assets::sample::cluster;
    use crate::spec::cluster::NetworkPlugin;

    #[test]
    fn every_image_that_instances_or_add_ons_name_is_listed_once() {
        let cluster = cluster();
        let listed = images(&cluster).unwrap();
        let components: Vec<&str> = listed.iter().map(|image| image.component.as_str()).collect();
        assert_eq!(
            components,
            [
                "coredns",
                "etcd",
                "flannel",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-proxy",
                "kube-scheduler",
                "pause",
            ]
        );
        for addon in addons::render(&cluster).unwrap() {
            let lines = addon.manifest.lines().filter_map(|line| line.trim().split_once("image: "));
            for (_, reference) in lines {
                let reference = reference.trim_matches('"');
                assert!(listed.iter().any(|image| image.download == reference), "{reference}");
            }
        }
    }

    #[test]
    fn what_is_published_and_what_is_pulled_are_told_apart_where_there_is_a_registry() {
        let source = ImageSource::Registry("registry.example.com/k8s".to_owned());
        let cluster = Cluster { image_source: Some(source), ..cluster() };
        let listed = images(&cluster).unwrap();
        assert!(listed.iter().all(|image| image.download.starts_with("registry.example.com/k8s/")));
        let flannel = listed.iter().find(|image| image.component == "flannel").unwrap();
        let version = flannel.canonical.strip_prefix("ghcr.io/flannel-io/flannel:").unwrap();
        assert_eq!(
            flannel.download,
            format!("registry.example.com/k8s/ghcr.io-flannel-io-flannel:{version}")
        );
        // What instances and pods are told is what is listed.
        let pulled: Vec<&str> = listed.iter().map(|image| image.download.as_str()).collect();
        for addon in addons::render(&cluster).unwrap() {
            for reference in of_manifest(&addon.manifest).unwrap() {
                assert!(pulled.contains(&reference.as_str()), "{reference} is not among {pulled:?}");
            }
        }
        let node = cluster.instance_groups.last().unwrap();
        let config = node_config::node_config(&cluster, node, "", &[], "").unwrap();
        assert!(config.images.values().all(|image| pulled.contains(&image.as_str())), "{config:?}");
    }

    #[test]
    fn the_images_are_of_the_versions_that_the_cluster_asks_for() {
        let mut cluster = Cluster { plugin: NetworkPlugin::External, ..cluster() };
        "1.35.9".clone_into(&mut cluster.kubernetes_version);
        let listed = images(&cluster).unwrap();
        assert!(listed.iter().all(|image| image.component != "flannel"));
        let of = |component: &str| {
            let image = listed.iter().find(|image| image.component == component);
            image.map(|image| (image.canonical.as_str(), image.runs_on))
        };
        let server = ("registry.k8s.io/kube-apiserver:v1.35.9", RunsOn::ControlPlane);
        assert_eq!(of("kube-apiserver"), Some(server));
        let proxy = ("registry.k8s.io/kube-proxy:v1.35.9", RunsOn::EveryInstance);
        assert_eq!(of("kube-proxy"), Some(proxy));
    }

    #[test]
    fn containers_are_found_wherever_a_pod_is_specified() {
        let manifest = "kind: A\nspec:\n  template:\n    spec:\n      initContainers:\n      - image: one\n      \
                        containers:\n      - {name: x, image: two}\n      - {name: y}\n---\nimage: no\n";
        assert_eq!(of_manifest(manifest).unwrap(), ["two", "one"]);
        assert!(of_manifest("a: [").is_err());
    }
}
