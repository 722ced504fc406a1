//! Network plug-ins.

wire! {
    /// The network plug-in: exactly one field is set.
    pub struct NetworkingSpec {
        /// flannel, which windlass installs.
        flannel: FlannelSpec,
        /// A plug-in that the user installs.
        cni: CniSpec,
        /// An external plug-in without CNI.
        external: ExternalSpec,
        /// kubenet.
        kubenet: KubenetSpec,
    }

    /// flannel.
    pub struct FlannelSpec {
        /// How packets travel: `vxlan`.
        backend: String,
        /// Deprecated: kops ignores it, too.
        iptables_resync_seconds: i32,
    }

    /// A plug-in that the user installs. Nodes are not Ready before it runs.
    pub struct CniSpec {
        /// Whether the plug-in is windlass's to install.
        uses_secondary_ip: bool,
    }

    /// An external plug-in.
    pub struct ExternalSpec {}

    /// kubenet.
    pub struct KubenetSpec {}
}
