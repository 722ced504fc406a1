//! Every path of the machine that the agent touches, and the root it is resolved under.
//!
//! On an instance the root is `/`. With `--root DIR` the agent runs into a folder: it renders every file there,
//! records the commands it would run, and leaves the machine alone.

use std::path::{Path, PathBuf};

/// tmpfs, by the image's `/etc/fstab`: whatever is secret.
pub const SECRETS: &str = "/srv/kubernetes";
/// What the image was built with: versions as JSON.
pub const RELEASE: &str = "/etc/windlass/release.json";
/// The kubelet's and the components' configuration; nothing secret.
pub const KUBERNETES: &str = "/etc/kubernetes";
/// Where the kubelet looks for static pods.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// The operator's drop-ins for the kubelet's configuration; the agent only makes the folder.
pub const KUBELET_DROP_INS: &str = "/etc/kubernetes/kubelet.conf.d";
/// The kubelet's own folder.
pub const KUBELET: &str = "/var/lib/kubelet";
/// Network plug-in configuration that containerd reads.
pub const CNI: &str = "/etc/cni/net.d";
/// What flannel tells about this node's pod range.
pub const FLANNEL_SUBNET: &str = "/run/flannel/subnet.env";
/// The node configuration as it was last fetched, with its digest checked; nothing secret.
pub const NODE_CONFIGURATION: &str = "/var/lib/windlass/node-configuration.json";
/// The agent's own run-time files.
pub const RUN: &str = "/run/windlass";
/// The API server's audit log.
pub const AUDIT_LOG: &str = "/var/log/kubernetes/kube-apiserver";

/// The folder that stands for `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The machine itself.
    pub fn machine() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A folder that stands for a machine.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether this is the machine itself, so that devices, mounts and addresses are real.
    pub fn is_machine(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// An absolute host path, resolved under this root.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.0.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leaves_its_root() {
        let root = Root::folder("/tmp/machine");
        assert_eq!(root.path("/etc/kubernetes"), Path::new("/tmp/machine/etc/kubernetes"));
        assert_eq!(root.path("etc/kubernetes"), Path::new("/tmp/machine/etc/kubernetes"));
        assert_eq!(Root::machine().path("/etc/kubernetes"), Path::new("/etc/kubernetes"));
    }
}
