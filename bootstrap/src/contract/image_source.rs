//! Where container images are pulled from, where that isn't where they are published: both sides give an image the same name
//! there.

use serde::{Deserialize, Serialize};

/// The registry that has all images. How it calls them is as in kops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSource {
    /// One that holds copies of them: `registry.k8s.io/pause:3.10` is `<registry>/pause:3.10`, and what is published
    /// elsewhere or has a path has `-` for each `/` in it. Such as `registry.example.com/kubernetes`.
    Registry(String),
    /// One that gets them from where they are published, by the same path: `<proxy>/pause:3.10`.
    Proxy(String),
}

/// Where Kubernetes' own images are published; copies are called without it.
const KUBERNETES: &str = "registry.k8s.io/";

impl ImageSource {
    /// The reference of an image there. One that is there already stays as it is.
    pub fn reference(&self, canonical: &str) -> String {
        let (Self::Registry(source) | Self::Proxy(source)) = self;
        if canonical.strip_prefix(source.as_str()).is_some_and(|rest| rest.starts_with('/')) {
            return canonical.to_owned();
        }
        let name = match self {
            Self::Registry(_) => canonical.strip_prefix(KUBERNETES).unwrap_or(canonical).replace('/', "-"),
            Self::Proxy(_) => match canonical.split_once('/') {
                Some((host, path)) if is_registry(host) => path.to_owned(),
                _ => canonical.to_owned(),
            },
        };
        format!("{source}/{name}")
    }
}

/// Whether the first part of a reference is a registry, and not a part of the path of an image of Docker Hub.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_called_as_kops_calls_them() {
        let source = ImageSource::Registry("registry.example.com/k8s".to_owned());
        for (canonical, copy) in [
            ("registry.k8s.io/pause:3.10", "registry.example.com/k8s/pause:3.10"),
            ("registry.k8s.io/coredns/coredns:v1.15.0", "registry.example.com/k8s/coredns-coredns:v1.15.0"),
            (
                "ghcr.io/flannel-io/flannel:v0.28.4",
                "registry.example.com/k8s/ghcr.io-flannel-io-flannel:v0.28.4",
            ),
            ("registry.example.com/k8s/pause:3.10", "registry.example.com/k8s/pause:3.10"),
        ] {
            assert_eq!(source.reference(canonical), copy);
            assert_eq!(source.reference(copy), copy, "once");
        }
    }

    #[test]
    fn a_proxy_has_the_path_of_what_it_gets() {
        let source = ImageSource::Proxy("proxy.example.com".to_owned());
        for (canonical, there) in [
            ("registry.k8s.io/pause:3.10", "proxy.example.com/pause:3.10"),
            ("registry.k8s.io/coredns/coredns:v1.15.0", "proxy.example.com/coredns/coredns:v1.15.0"),
            ("weaveworks/weave-kube:1", "proxy.example.com/weaveworks/weave-kube:1"),
            ("busybox:1", "proxy.example.com/busybox:1"),
        ] {
            assert_eq!(source.reference(canonical), there);
            assert_eq!(source.reference(there), there, "once");
        }
    }
}
