//! The add-ons that a cluster may ask for.

use super::{Report, Resolved, text};
use crate::spec::cluster::MetricsServer;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;

/// The metrics server, where it is enabled.
pub(super) fn metrics_server(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<MetricsServer>> {
    let Some(written) = &spec.metrics_server else { return Ok(None) };
    let enabled = written.enabled.unwrap_or(false);
    let image = written.image.as_deref();
    let image =
        image.map(|image| report.read("spec.metricsServer.image", image, text::image_reference)).transpose();
    if enabled && written.insecure == Some(false) {
        let message = "`false` needs a certificate for the metrics server that cert-manager issues, and windlass \
                       doesn't install that yet";
        let hint = "leave it out: the API server then takes the metrics server's own certificate; kubelets' are \
                    checked all the same";
        return Err(report.push(Problem::at("spec.metricsServer.insecure", message).hint(hint)));
    }
    let image = image?;
    Ok(enabled.then_some(MetricsServer { image }))
}
