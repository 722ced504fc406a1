//! What machines and pods use, in a cluster that asks for it.

use super::{Declared, Values, reference};
use crate::spec::cluster::Cluster;

/// The metrics server.
pub(super) struct MetricsServer;

impl Declared for MetricsServer {
    fn values(cluster: &Cluster) -> Option<Values> {
        let wanted = cluster.metrics_server.as_ref()?;
        Some(match &wanted.image {
            Some(image) => Values::default().text("image", &reference(cluster, image)),
            None => Values::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::assets::addons::tests::manifest;
    use crate::assets::sample::cluster;
    use crate::spec::cluster::{Cluster, MetricsServer};

    #[test]
    fn an_image_of_the_specification_takes_the_place_of_windlass_s() {
        let manifest = |image: Option<&str>| {
            let metrics_server = Some(MetricsServer { image: image.map(str::to_owned) });
            manifest("metrics-server", &Cluster { metrics_server, ..cluster() })
        };
        let own = "registry.example.com/metrics:v1";
        let windlass_s = "registry.k8s.io/metrics-server/metrics-server:v0.9.0";
        assert!(manifest(Some(own)).contains(&format!("image: \"{own}\"\n")));
        assert_eq!(manifest(Some(own)).replace(own, windlass_s), manifest(None));
    }
}
