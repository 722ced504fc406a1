//! containerd.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::Duration;
use crate::spec::v1alpha2::row::{HONOURED, IN_PART, in_file, only, refused};
use crate::spec::v1alpha2::setting::one_of;

wire! {
    /// containerd.
    pub struct ContainerdSpec {
        /// Its socket.
        address: String = refused("the kubelet and the machine image's units go by the usual one"),
        /// Its whole configuration.
        config_override: String =
            refused("the machine image's configuration holds what Kubernetes needs of it: write `configAdditions`"),
        /// Further settings, by their path in the configuration.
        config_additions: BTreeMap<String, serde_json::Value> = HONOURED,
        /// How much is logged.
        log_level: String =
            in_file("file.debug.level", one_of(["trace", "debug", "info", "warn", "error", "fatal", "panic"])),
        /// Where its package comes from.
        packages: PackagesSpec = refused("it is in the machine image, which holds one version of it"),
        /// Mirrors, by registry.
        registry_mirrors: BTreeMap<String, Vec<String>> = HONOURED,
        /// Where its data is.
        root: String = refused("the machine image holds the images of the control plane there"),
        /// Whether the image's is left alone.
        skip_install: bool = only([false]),
        /// Where its sockets and the like are.
        state: String = refused("the kubelet and the machine image's units go by the usual one"),
        /// Its version; the machine image must hold exactly this one.
        version: String = refused("it is in the machine image, which holds one version of it"),
        /// NVIDIA's runtime.
        #[serde(rename = "nvidiaGPU")]
        nvidia_gpu: NvidiaGpuSpec = IN_PART,
        /// gVisor.
        gvisor: GvisorSpec = IN_PART,
        /// Whether `crictl` is installed.
        install_cri_ctl: bool = only([false]),
        /// Whether `nerdctl` is installed.
        install_nerd_ctl: bool = only([false]),
        /// The image of pods' sandboxes, instead of the machine image's.
        sandbox_image: String = refused("it is in the machine image"),
        /// Whether mirrors are read with credentials for ECR.
        #[serde(rename = "useECRCredentialsForMirrors")]
        use_ecr_credentials_for_mirrors: bool = only([false]),
        /// runc.
        runc: RuncSpec = refused("it is in the machine image, which holds one version of it"),
        /// Whether SELinux is on.
        selinux_enabled: bool = only([false]),
        /// Node Resource Interface plug-ins.
        nri: NriSpec = HONOURED,
    }

    /// Where a package comes from.
    pub struct PackagesSpec {
        /// The SHA-256 for amd64.
        hash_amd64: String,
        /// The SHA-256 for arm64.
        hash_arm64: String,
        /// The URL for amd64.
        url_amd64: String,
        /// The URL for arm64.
        url_arm64: String,
    }

    /// NVIDIA's runtime.
    pub struct NvidiaGpuSpec {
        /// The driver's package.
        package: String =
            refused("the machine image has no driver of NVIDIA's: install it in an image of your own, and its runtime by `configAdditions`"),
        /// The image that installs it.
        image: String =
            refused("the machine image has no driver of NVIDIA's: install it in an image of your own, and its runtime by `configAdditions`"),
        /// Whether it is installed where there is a GPU.
        enabled: bool = only([false]),
        /// Metrics of GPUs.
        dcgm_exporter: DcgmExporterSpec =
            refused("the machine image has no driver of NVIDIA's: install it in an image of your own, and its runtime by `configAdditions`"),
    }

    /// Metrics of GPUs.
    pub struct DcgmExporterSpec {
        /// Whether they are served.
        enabled: bool,
    }

    /// gVisor.
    pub struct GvisorSpec {
        /// Whether it is installed.
        enabled: bool = only([false]),
        /// How it intercepts system calls: `systrap`, `kvm` or `ptrace`.
        platform: String,
    }

    /// runc.
    pub struct RuncSpec {
        /// Its version.
        version: String,
        /// Where it comes from.
        packages: PackagesSpec,
    }

    /// Node Resource Interface plug-ins.
    pub struct NriSpec {
        /// Whether they may be used.
        enabled: bool,
        /// How long a plug-in may take to register.
        plugin_registration_timeout: Duration,
        /// How long a plug-in may take to answer.
        plugin_request_timeout: Duration,
    }
}
