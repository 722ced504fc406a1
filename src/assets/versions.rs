//! Which version of what windlass runs, add-ons aside: `manifests/versions.json`, which the image's provisioning scripts read as
//! well, so that what is baked and what is asked for can't differ.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The versions that windlass runs, and where the images of the components come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// Image references by component, in which `{name}` stands for the version of `name`.
    images: BTreeMap<String, String>,
    /// Images that only tests use, which nothing here asks for.
    #[serde(rename = "testImages")]
    _test_images: BTreeMap<String, String>,
    /// Versions by name, without a leading `v`.
    #[serde(flatten)]
    numbers: BTreeMap<String, String>,
}

/// Why a version or an image is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list that is built in is broken.
    #[error("cannot read the list of versions that this windlass was built with")]
    Parse(#[source] serde_json::Error),
    /// Nothing is known of the component.
    #[error("this windlass knows no version of \"{0}\"")]
    UnknownVersion(String),
    /// Nothing is known of the component's image.
    #[error("this windlass knows no image of \"{0}\"")]
    UnknownImage(String),
    /// A reference names a version that isn't there.
    #[error("the image reference \"{reference}\" of \"{component}\" has an unfilled place in it")]
    Unfilled {
        /// The component.
        component: String,
        /// The reference so far.
        reference: String,
    },
}

impl Versions {
    /// The versions that this windlass was built with.
    pub fn built_in() -> Result<Self, Error> {
        serde_json::from_str(include_str!("../../manifests/versions.json")).map_err(Error::Parse)
    }

    /// The same with another version of `name`, such as the Kubernetes version that a cluster asks for.
    #[must_use]
    pub fn with(mut self, name: &str, version: &str) -> Self {
        self.numbers.insert(name.to_owned(), version.to_owned());
        self
    }

    /// The version of `name` (`kubernetes`, `etcd`, `cni`, …) without a leading `v`.
    pub fn version(&self, name: &str) -> Result<&str, Error> {
        self.numbers.get(name).map(String::as_str).ok_or_else(|| Error::UnknownVersion(name.to_owned()))
    }

    /// The image reference of a component (`kube-apiserver`, `etcd`, `pause`, …).
    pub fn image(&self, component: &str) -> Result<String, Error> {
        let template = self.images.get(component).ok_or_else(|| Error::UnknownImage(component.to_owned()))?;
        let reference = self.numbers.iter().fold(template.clone(), |reference, (name, version)| {
            reference.replace(&format!("{{{name}}}"), version)
        });
        if reference.contains(['{', '}']) {
            return Err(Error::Unfilled { component: component.to_owned(), reference });
        }
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_that_is_listed_has_its_version_filled_in() {
        let versions = Versions::built_in().unwrap();
        let components: Vec<String> = versions.images.keys().cloned().collect();
        assert!(components.len() >= 6, "{components:?}");
        for component in components {
            let image = versions.image(&component).unwrap();
            assert!(image.rsplit_once(':').is_some_and(|(_, tag)| tag.contains('.')), "{image}");
        }
    }

    #[test]
    fn a_cluster_s_own_version_takes_the_built_in_one_s_place() {
        let versions = Versions::built_in().unwrap().with("kubernetes", "1.35.9");
        assert_eq!(versions.version("kubernetes").unwrap(), "1.35.9");
        assert_eq!(versions.image("kube-proxy").unwrap(), "registry.k8s.io/kube-proxy:v1.35.9");
        assert_eq!(versions.image("pause").unwrap(), Versions::built_in().unwrap().image("pause").unwrap());
    }

    #[test]
    fn an_unknown_component_is_named() {
        let error = Versions::built_in().unwrap().image("kube-dns").unwrap_err();
        assert_eq!(error.to_string(), "this windlass knows no image of \"kube-dns\"");
    }
}
