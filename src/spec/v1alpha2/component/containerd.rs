//! containerd.

use std::collections::BTreeMap;

use crate::spec::v1alpha2::Duration;
use crate::spec::v1alpha2::row::{IN_PART, only};

wire! {
    /// containerd.
    pub struct ContainerdSpec {
        /// Its socket.
        address: String,
        /// Its whole configuration.
        config_override: String,
        /// Further settings, by their path in the configuration.
        config_additions: BTreeMap<String, serde_json::Value>,
        /// How much is logged.
        log_level: String,
        /// Where its package comes from.
        packages: PackagesSpec,
        /// Mirrors, by registry.
        registry_mirrors: BTreeMap<String, Vec<String>>,
        /// Where its data is.
        root: String,
        /// Whether the image's is left alone.
        skip_install: bool,
        /// Where its sockets and the like are.
        state: String,
        /// Its version; the machine image must hold exactly this one.
        version: String,
        /// NVIDIA's runtime.
        #[serde(rename = "nvidiaGPU")]
        nvidia_gpu: NvidiaGpuSpec,
        /// gVisor.
        gvisor: GvisorSpec = IN_PART,
        /// Whether `crictl` is installed.
        install_cri_ctl: bool = only([false]),
        /// Whether `nerdctl` is installed.
        install_nerd_ctl: bool = only([false]),
        /// The image of pods' sandboxes, instead of the machine image's.
        sandbox_image: String,
        /// Whether mirrors are read with credentials for ECR.
        #[serde(rename = "useECRCredentialsForMirrors")]
        use_ecr_credentials_for_mirrors: bool,
        /// runc.
        runc: RuncSpec,
        /// Whether SELinux is on.
        selinux_enabled: bool,
        /// Node Resource Interface plug-ins.
        nri: NriSpec,
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
        package: String,
        /// The image that installs it.
        image: String,
        /// Whether it is installed where there is a GPU.
        enabled: bool,
        /// Metrics of GPUs.
        dcgm_exporter: DcgmExporterSpec,
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
