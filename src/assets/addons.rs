//! The add-ons: manifests that a master's agent applies to the cluster, in order, by server-side apply.
//!
//! What a node needs before it can join (its RBAC) is not among them: the agent applies that itself.
//!
//! They are Tera templates in `manifests/addons`. Every text that is filled in goes through the `quote` filter, so that
//! no value of the specification can become anything but a string.

use std::collections::BTreeMap;

use tera::{Context, Kwargs, State, Tera};
use windlass_bootstrap::rbac;

use super::versions::{self, Versions};
use crate::spec::cluster::{Cluster, NetworkPlugin};
use crate::spec::endpoint::{ApiEndpoints, Outputs};
use crate::spec::yaml::{self, Source};
use crate::spec::{AdditionalObject, Problem, Problems};

/// An add-on, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addon {
    /// Its name, such as `coredns`.
    pub name: String,
    /// YAML documents.
    pub manifest: String,
}

/// Why an add-on can't be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A version or image is not known.
    #[error("cannot tell which image the add-on \"{addon}\" shall run")]
    Image {
        /// The add-on.
        addon: &'static str,
        /// What is missing.
        #[source]
        source: versions::Error,
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
    let mut addons = Vec::new();
    match cluster.plugin {
        NetworkPlugin::Flannel => addons.push(flannel(cluster)?),
        NetworkPlugin::External => {}
    }
    addons.push(coredns(cluster)?);
    Ok(addons)
}

/// Refuses additional objects that windlass applies itself: each would undo the other's changes.
pub fn check_additional(cluster: &Cluster, objects: &[AdditionalObject]) -> Result<(), Problems> {
    if objects.is_empty() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| Problems(vec![Problem::at("", error.to_string())]);
    let mut taken = BTreeMap::new();
    let rendered = render(cluster).map_err(|error| failed(&error))?;
    let rbac =
        Addon { name: "node RBAC".to_owned(), manifest: rbac::manifest().map_err(|error| failed(&error))? };
    for addon in rendered.into_iter().chain([rbac]) {
        let source = Source { name: addon.name.clone(), text: addon.manifest };
        let own = yaml::read(vec![source])?.documents.additional_objects;
        taken.extend(own.into_iter().map(|object| (object.key().clone(), addon.name.clone())));
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

fn coredns(cluster: &Cluster) -> Result<Addon, Error> {
    let mut context = Context::new();
    context.insert("image", &image("coredns")?);
    context.insert("dns_domain", &cluster.network.dns_domain);
    context.insert("dns_address", &cluster.network.dns_address.to_string());
    fill("coredns", include_str!("../../manifests/addons/coredns.yaml.tera"), &context)
}

fn flannel(cluster: &Cluster) -> Result<Addon, Error> {
    let mut context = Context::new();
    context.insert("image", &image("flannel")?);
    context.insert("network", &cluster.network.non_masquerade_cidr.to_string());
    let api = ApiEndpoints::of(cluster, Outputs::default()).inside;
    context.insert("api_address", &api.host.to_string());
    context.insert("api_port", &api.port.to_string());
    fill("flannel", include_str!("../../manifests/addons/flannel.yaml.tera"), &context)
}

fn image(addon: &'static str) -> Result<String, Error> {
    Versions::built_in()
        .and_then(|versions| versions.image(addon))
        .map_err(|source| Error::Image { addon, source })
}

fn fill(name: &'static str, template: &str, context: &Context) -> Result<Addon, Error> {
    let mut tera = Tera::new();
    tera.register_filter("quote", quote);
    let manifest = tera
        .add_raw_template(name, template)
        .and_then(|()| tera.render(name, context))
        .map_err(|source| Error::Render { addon: name, source })?;
    Ok(Addon { name: name.to_owned(), manifest })
}

/// A text as a JSON string, which YAML reads as that very text.
fn quote(text: &str, _: Kwargs, _: &State) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::sample::cluster;

    #[test]
    fn the_add_ons_of_a_flannel_cluster_are_flannel_and_coredns() {
        let addons = render(&cluster()).unwrap();
        assert_eq!(
            addons.iter().map(|addon| addon.name.as_str()).collect::<Vec<_>>(),
            ["flannel", "coredns"]
        );
        for addon in addons {
            let golden = format!("{}/src/assets/testdata/{}.yaml", env!("CARGO_MANIFEST_DIR"), addon.name);
            snapbox::assert_data_eq!(addon.manifest, snapbox::Data::read_from(golden.as_ref(), None).raw());
        }
    }

    #[test]
    fn a_cluster_that_brings_its_own_network_gets_no_flannel() {
        let addons = render(&Cluster { plugin: NetworkPlugin::External, ..cluster() }).unwrap();
        assert_eq!(addons.iter().map(|addon| addon.name.as_str()).collect::<Vec<_>>(), ["coredns"]);
    }

    #[test]
    fn what_pods_send_into_the_non_masquerade_range_keeps_their_addresses() {
        let mut cluster = cluster();
        cluster.network.non_masquerade_cidr = "10.0.0.0/8".parse().unwrap();
        cluster.network.pod_cidr = "10.128.0.0/9".parse().unwrap();
        let manifest = flannel(&cluster).unwrap().manifest;
        assert!(manifest.contains("\"Network\": \"10.0.0.0/8\""), "{manifest}");
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
        let before = render(&cluster()).unwrap();
        let mut changed = cluster();
        changed.instance_groups[1].min_size = 1;
        assert_eq!(render(&changed).unwrap(), before);
        changed.instance_groups.truncate(1);
        assert_eq!(render(&changed).unwrap(), before);
    }

    #[test]
    fn a_value_that_is_yaml_itself_stays_a_text() {
        let mut cluster = cluster();
        cluster.network.dns_domain = "x\"\n  evil: true".to_owned();
        let manifest = coredns(&cluster).unwrap().manifest;
        assert!(manifest.contains(r#"kubernetes "x\"\n  evil: true" in-addr.arpa"#), "{manifest}");
    }
}
