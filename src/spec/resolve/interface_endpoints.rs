//! The services of AWS's that the VPC has an interface endpoint of.

use std::collections::BTreeSet;

use super::{Report, Resolved};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;

const PATH: &str = "spec.interfaceEndpoints";

/// What names of services begin with; in China most have `cn.` before it.
const OF_AWS: [&str; 2] = ["com.amazonaws.", "cn.com.amazonaws."];

/// What has a gateway endpoint.
const BY_GATEWAY: [&str; 2] = ["s3", "dynamodb"];

/// The full names of the services. `region` is absent where that was reported.
pub(super) fn resolve(
    spec: &ClusterSpec,
    region: Option<&str>,
    report: &mut Report<'_>,
) -> Resolved<BTreeSet<String>> {
    let written = spec.interface_endpoints.as_deref().unwrap_or_default();
    let mut services = Ok(());
    let mut known = BTreeSet::new();
    if !written.is_empty() && spec.network_id.is_some() {
        let problem =
            Problem::at(PATH, "the VPC exists already, and a name that leads elsewhere is everybody's in it");
        services =
            Err(report.push(problem.hint("leave this out, and make the endpoints where the VPC is made")));
    }
    for (index, name) in written.iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        let read = service(name, region.unwrap_or_default());
        let read = read.and_then(|service| {
            let twice = (format!("`{name}` is there twice"), "leave one of them out");
            if known.insert(service) { Ok(()) } else { Err(twice) }
        });
        if let Err((message, hint)) = read {
            services = Err(report.push(Problem::at(path, message).hint(hint)));
        }
    }
    services.map(|()| known)
}

/// The full name of a service, or what is wrong with it and what to write.
fn service(name: &str, region: &str) -> Result<String, (String, &'static str)> {
    const HINT: &str = "write a service as `aws ec2 describe-vpc-endpoint-services` calls it, without `com.amazonaws.` and the \
                        region, such as `ec2`, or the whole name";
    let is_whole = OF_AWS.iter().any(|prefix| name.starts_with(prefix));
    let whole = if is_whole { name.to_owned() } else { format!("com.amazonaws.{region}.{name}") };
    let part = |part: &str| {
        let is_known = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        !part.is_empty() && part.chars().all(is_known)
    };
    if !name.split('.').all(part) {
        return Err((format!("`{name}` is not the name of a service"), HINT));
    }
    if BY_GATEWAY.contains(&name)
        || BY_GATEWAY.iter().any(|it| whole == format!("com.amazonaws.{region}.{it}"))
    {
        let message = format!("`{name}` is reached by a gateway endpoint, which costs nothing");
        return Err((message, "leave it out: the VPC has S3's, and what isn't windlass's can have its own"));
    }
    Ok(whole)
}
