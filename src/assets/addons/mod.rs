//! The add-ons: manifests that a master's agent applies to the cluster, in order, by server-side apply.
//!
//! What a node needs before it can join (its RBAC) is not among them: the agent applies that itself.
//!
//! An add-on is a folder in `manifests/addons`, a file here that says when a cluster has it and what its template is
//! filled with, and a line in `addons!`. In the folder are
//!
//! | file | what |
//! |---|---|
//! | `addon.json` | its container images, by name, and what the instances that it runs on may do in AWS for it |
//! | `manifest.yaml.tera` | its manifests: a Tera template |
//! | `expected.yaml` | what becomes of the template for the cluster that the unit tests talk about |
//! | `from-source.json` | how the tests make its images from source; see `tests/kubernetes/addon-programs` |
//!
//! Every text that is filled into a template goes through the `quote` filter, so that no value of the specification can
//! become anything but a string.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tera::{Context, Kwargs, State, Tera};
use windlass_bootstrap::config::Role;
use windlass_bootstrap::rbac;

use crate::spec::cluster::Cluster;
use crate::spec::yaml::{self, Source};
use crate::spec::{AdditionalObject, Problem, Problems};

/// Writes the modules of the add-ons and the list of them, for lines of `"folder" => module::Type`.
macro_rules! addons {
    ($($name:literal => $module:ident::$addon:ident,)*) => {
        $(mod $module;)*

        /// Every add-on, in the order in which masters apply them.
        const ADDONS: &[Declaration] = &[$(Declaration {
            name: $name,
            description: include_str!(concat!("../../../manifests/addons/", $name, "/addon.json")),
            template: include_str!(concat!("../../../manifests/addons/", $name, "/manifest.yaml.tera")),
            values: $module::$addon::values,
        },)*];
    };
}

addons! {
    "flannel" => flannel::Flannel,
    "coredns" => coredns::Coredns,
    "metrics-server" => metrics_server::MetricsServer,
    "issuer-discovery" => issuer_discovery::IssuerDiscovery,
}

/// What there is of an add-on, whatever the cluster.
struct Declaration {
    /// Its name, and its folder's.
    name: &'static str,
    /// Its `addon.json`.
    description: &'static str,
    /// Its `manifest.yaml.tera`.
    template: &'static str,
    /// See [`Declared::values`].
    values: fn(&Cluster) -> Option<Values>,
}

/// What an add-on's own file says of it.
trait Declared {
    /// What its template is filled with; `None` where the cluster isn't to have it.
    fn values(cluster: &Cluster) -> Option<Values>;
}

/// What a template is filled with, besides the images of its folder.
#[derive(Debug, Default)]
struct Values {
    texts: BTreeMap<&'static str, String>,
}

impl Values {
    /// A text: `{{ name | quote }}` in the template.
    fn text(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.texts.insert(name, value.to_string());
        self
    }
}

/// An add-on's `addon.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// References of its images by name: `{{ images.name | quote }}` in the template. The machine image holds them, and
    /// `packer/artifacts.lock` their digests.
    images: BTreeMap<String, String>,
    #[serde(default)]
    policy: Policy,
}

/// What instances may do in AWS for an add-on: statements of IAM policies, in whose texts `{partition}`, `{account}`,
/// `{region}` and `{cluster}` stand for the cluster's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// For masters.
    pub masters: Vec<Value>,
    /// For nodes.
    pub nodes: Vec<Value>,
}

impl Policy {
    /// What instances of a role may do.
    pub fn of(&self, role: Role) -> &[Value] {
        match role {
            Role::ControlPlane => &self.masters,
            Role::Node => &self.nodes,
            Role::Bastion | Role::ApiServer => &[],
        }
    }
}

/// An add-on, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addon {
    /// Its name, such as `coredns`.
    pub name: String,
    /// YAML documents.
    pub manifest: String,
    /// What instances may do in AWS for it.
    pub policy: Policy,
}

/// Why an add-on can't be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What this windlass was built with is broken.
    #[error("cannot read the images and the policy of the add-on \"{addon}\"")]
    Description {
        /// The add-on.
        addon: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The template and what it is given don't match.
    #[error("cannot render the add-on \"{addon}\"")]
    Render {
        /// The add-on.
        addon: &'static str,
        /// Where in the template.
        #[source]
        source: tera::Error,
    },
}

/// The add-ons of a cluster, in the order in which they are to be applied.
pub fn render(cluster: &Cluster) -> Result<Vec<Addon>, Error> {
    let rendered = ADDONS.iter().filter_map(|addon| addon.render(cluster).transpose());
    rendered.collect()
}

impl Declaration {
    /// The add-on for a cluster, if the cluster is to have it.
    fn render(&self, cluster: &Cluster) -> Result<Option<Addon>, Error> {
        let Some(values) = (self.values)(cluster) else { return Ok(None) };
        let Description { mut images, policy } = self.description()?;
        for image in images.values_mut() {
            *image = reference(cluster, image);
        }
        let mut context = Context::new();
        context.insert("images", &images);
        for (name, text) in &values.texts {
            context.insert(*name, text);
        }
        let manifest = self.fill(&context)?;
        Ok(Some(Addon { name: self.name.to_owned(), manifest, policy }))
    }

    fn description(&self) -> Result<Description, Error> {
        serde_json::from_str(self.description)
            .map_err(|source| Error::Description { addon: self.name, source })
    }

    fn fill(&self, context: &Context) -> Result<String, Error> {
        let mut tera = Tera::new();
        tera.register_filter("quote", quote);
        tera.add_raw_template(self.name, self.template)
            .and_then(|()| tera.render(self.name, context))
            .map_err(|source| Error::Render { addon: self.name, source })
    }
}

/// The reference of an image where the cluster pulls it from.
fn reference(cluster: &Cluster, canonical: &str) -> String {
    let source = cluster.image_source.as_ref();
    source.map_or_else(|| canonical.to_owned(), |source| source.reference(canonical))
}

/// A text as a JSON string, which YAML reads as that very text.
fn quote(text: &str, _: Kwargs, _: &State) -> String {
    Value::from(text).to_string()
}

/// Refuses additional objects that windlass applies itself: each would undo the other's changes.
pub fn check_additional(cluster: &Cluster, objects: &[AdditionalObject]) -> Result<(), Problems> {
    if objects.is_empty() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| Problems(vec![Problem::at("", error.to_string())]);
    let mut taken = BTreeMap::new();
    let rendered = render(cluster).map_err(|error| failed(&error))?;
    let rbac = ("node RBAC".to_owned(), rbac::manifest().map_err(|error| failed(&error))?);
    for (name, text) in rendered.into_iter().map(|addon| (addon.name, addon.manifest)).chain([rbac]) {
        let own = yaml::read(vec![Source { name: name.clone(), text }])?.documents.additional_objects;
        taken.extend(own.into_iter().map(|object| (object.key().clone(), name.clone())));
    }
    let mut problems = Problems::new();
    for object in objects {
        if object.key().group == "kubescheduler.config.k8s.io" {
            let message =
                format!("an additional object of the kind `{}` is not supported yet", object.key().kind);
            let hint = "leave it out: it is a file of kube-scheduler's, and no object that an API knows";
            problems.push(Problem::at("kind", message).hint(hint).of(&object.key().id()));
        }
        if let Some(addon) = taken.get(object.key()) {
            let message = format!("{} is windlass's own, of its add-on {addon}", object.key());
            let problem = Problem::at("metadata.name", message).hint("choose another name, or leave it out");
            problems.push(problem.of(&object.key().id()));
        }
    }
    problems.or(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::assets::sample::cluster;
    use crate::assets::versions::Versions;
    use crate::spec::cluster::{Instances, MetricsServer, ServiceAccounts};

    /// The manifests of an add-on that a cluster has.
    pub(super) fn manifest(name: &str, cluster: &Cluster) -> String {
        let addon = render(cluster).unwrap().into_iter().find(|addon| addon.name == name);
        addon.unwrap_or_else(|| panic!("the cluster has no {name}")).manifest
    }

    /// A cluster that has every add-on.
    fn with_every_addon() -> Cluster {
        let service_accounts = ServiceAccounts { anonymous_discovery: true, ..ServiceAccounts::default() };
        Cluster { metrics_server: Some(MetricsServer::default()), service_accounts, ..cluster() }
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/addons")
    }

    #[test]
    fn the_add_ons_of_a_flannel_cluster_are_flannel_and_coredns() {
        let addons = render(&cluster()).unwrap();
        assert_eq!(
            addons.iter().map(|addon| addon.name.as_str()).collect::<Vec<_>>(),
            ["flannel", "coredns"]
        );
    }

    #[test]
    fn every_add_on_is_rendered_as_its_folder_expects() {
        let addons = render(&with_every_addon()).unwrap();
        assert_eq!(addons.len(), ADDONS.len());
        for addon in addons {
            let golden = folder().join(addon.name).join("expected.yaml");
            snapbox::assert_data_eq!(addon.manifest, snapbox::Data::read_from(&golden, None).raw());
        }
    }

    #[test]
    fn every_folder_of_an_add_on_has_its_line() {
        let folders = std::fs::read_dir(folder()).unwrap();
        let folders: BTreeSet<String> =
            folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(folders, ADDONS.iter().map(|addon| addon.name.to_owned()).collect());
    }

    #[test]
    fn every_image_of_an_add_on_has_a_version_and_a_name_that_is_its_alone() {
        let mut known = BTreeSet::new();
        for addon in ADDONS {
            let images = addon.description().unwrap().images;
            for (name, reference) in images {
                let tag = reference.rsplit_once(':').map(|(_, tag)| tag);
                assert!(
                    tag.is_some_and(
                        |tag| tag.starts_with(|first: char| first == 'v' || first.is_ascii_digit())
                    ),
                    "{reference}"
                );
                assert!(
                    Versions::built_in().unwrap().image(&name).is_err(),
                    "{name} is in versions.json, too"
                );
                assert!(known.insert(name.clone()), "two add-ons have an image {name}");
            }
        }
    }

    #[test]
    fn every_object_of_an_add_on_carries_its_mark() {
        for addon in render(&with_every_addon()).unwrap() {
            for object in yaml::all_to_json(&addon.manifest).unwrap() {
                let labels = &object["metadata"]["labels"];
                assert_eq!(labels["app.kubernetes.io/managed-by"], "windlass", "{object}");
                assert_eq!(labels["windlass.dev/addon"], addon.name, "{object}");
            }
        }
    }

    #[test]
    fn every_text_in_a_template_is_quoted() {
        for addon in ADDONS {
            for (at, _) in addon.template.match_indices("{{") {
                let expression = &addon.template[at..at + addon.template[at..].find("}}").unwrap() + 2];
                assert!(expression.ends_with("| quote }}"), "{}: {expression} is not quoted", addon.name);
            }
        }
    }

    #[test]
    fn a_configuration_of_the_scheduler_is_refused_as_an_object() {
        let object = AdditionalObject::new(serde_json::json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "metadata": {"name": "scheduler"},
        }));
        let problems = check_additional(&cluster(), &[object.unwrap()]).unwrap_err().0;
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!(problem.path, "kind");
        let said = "an additional object of the kind `KubeSchedulerConfiguration` is not supported yet";
        assert_eq!(problem.message, said);
    }

    #[test]
    fn rendering_is_the_same_every_time() {
        assert_eq!(render(&cluster()).unwrap(), render(&cluster()).unwrap());
    }

    #[test]
    fn no_add_on_changes_with_the_groups_of_nodes() {
        let before = render(&with_every_addon()).unwrap();
        let mut changed = with_every_addon();
        let Instances::Node(nodes) = &mut changed.instance_groups[1].instances else { panic!("no nodes") };
        nodes.min_size = 1;
        assert_eq!(render(&changed).unwrap(), before);
        changed.instance_groups.truncate(1);
        assert_eq!(render(&changed).unwrap(), before);
    }
}
