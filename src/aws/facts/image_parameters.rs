//! Images that a specification names by SSM parameters (`image: ssm:/images/kubernetes`).

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::{Parameter, ParameterType};
use futures::future::try_join_all;

use super::FactsError;
use super::image_parameter_problem::ImageParameterProblem;
use crate::aws::{Clients, During};
use crate::spec::cluster::Cluster;

/// What stands before a parameter's name.
const PREFIX: &str = "ssm:";

/// As many parameters as one call takes (API_GetParameters, `Names`).
const PARAMETERS_OF_ONE_CALL: usize = 10;

/// The AMI's id that each parameter holds which an instance group names, by what is written there (`ssm:…`).
pub(super) async fn image_parameters(
    cluster: &Cluster,
    clients: &Clients,
) -> Result<BTreeMap<String, String>, FactsError> {
    let written = cluster.instance_groups.iter().map(|group| group.image.as_str());
    let names: BTreeSet<&str> = written.filter_map(|image| image.strip_prefix(PREFIX)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let calls = names.chunks(PARAMETERS_OF_ONE_CALL).map(|names| parameters(names, clients));
    let found = try_join_all(calls).await?.concat();
    let ids = names.iter().map(|name| {
        let written = format!("{PREFIX}{name}");
        let id = image_id(found.iter().find(|parameter| is_meant_by(parameter, name)));
        id.map(|id| (written.clone(), id)).map_err(|problem| FactsError::ImageParameter {
            group: first_group(cluster, &written),
            parameter: (*name).to_owned(),
            region: cluster.region.clone(),
            problem,
        })
    });
    ids.collect()
}

/// Those of some parameters that there are.
async fn parameters(names: &[&str], clients: &Clients) -> Result<Vec<Parameter>, FactsError> {
    let asked = names.iter().map(|name| (*name).to_owned()).collect();
    // Without decryption: a SecureString, which no image's id is kept in, needs no permission for its key, and stays secret.
    let call = clients.ssm.get_parameters().set_names(Some(asked)).with_decryption(false);
    let answer = call.send().await.during("ssm", "GetParameters", names.join(", "))?;
    Ok(answer.parameters.unwrap_or_default())
}

/// Whether a parameter is the one of a name: its own, or its ARN, each with a version or a label behind it, or without. By
/// which of them it was asked for says the selector (data type `Parameter`), and if it doesn't, its version.
fn is_meant_by(parameter: &Parameter, written: &str) -> bool {
    let asked = |rest: &str| match (rest.strip_prefix(':'), parameter.selector()) {
        (None, selector) => rest.is_empty() && selector.is_none(),
        (Some(wanted), Some(selector)) => wanted == selector.trim_start_matches(':'),
        (Some(wanted), None) => wanted == parameter.version().to_string(),
    };
    let names = [parameter.name(), parameter.arn()];
    names.into_iter().flatten().any(|name| written.strip_prefix(name).is_some_and(asked))
}

/// How much of a parameter's value errors show.
const SHOWN: usize = 80;

/// The id that a parameter holds.
fn image_id(parameter: Option<&Parameter>) -> Result<String, ImageParameterProblem> {
    let parameter = parameter.ok_or(ImageParameterProblem::Missing)?;
    if parameter.r#type() == Some(&ParameterType::SecureString) {
        return Err(ImageParameterProblem::Secret);
    }
    let value = parameter.value().unwrap_or_default().trim();
    let digits = value.strip_prefix("ami-").unwrap_or_default();
    if (8..=17).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(value.to_owned());
    }
    Err(ImageParameterProblem::NoId(value.chars().take(SHOWN).collect()))
}

/// The first group that names an image so.
fn first_group(cluster: &Cluster, written: &str) -> String {
    let mut groups = cluster.instance_groups.iter();
    groups.find(|group| group.image == written).map(|group| group.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_known_by_its_name_or_its_arn_with_its_version() {
        let arn = "arn:aws:ssm:us-east-1:123456789012:parameter/images/k8s";
        let plain = Parameter::builder().name("/images/k8s").arn(arn).version(4).build();
        let third = Parameter::builder().name("/images/k8s").arn(arn).selector(":3").build();
        assert!(is_meant_by(&plain, "/images/k8s") && is_meant_by(&plain, arn));
        assert!(is_meant_by(&third, "/images/k8s:3") && is_meant_by(&third, &format!("{arn}:3")));
        for other in ["/images/k8s-2", "/images/k8s:3", "/images"] {
            assert!(!is_meant_by(&plain, other), "{other}");
        }
        assert!(is_meant_by(&plain, "/images/k8s:4"), "its version");
        assert!(!is_meant_by(&third, "/images/k8s"), "another version");
    }

    #[test]
    fn a_parameter_holds_the_id_of_an_image_and_nothing_else() {
        let held = |kind: ParameterType, value: &str| {
            image_id(Some(&Parameter::builder().r#type(kind).value(value).build()))
        };
        assert_eq!(held(ParameterType::String, "ami-0123456789abcdef0\n").unwrap(), "ami-0123456789abcdef0");
        assert_eq!(image_id(None), Err(ImageParameterProblem::Missing));
        let secret = held(ParameterType::SecureString, "ami-0123456789abcdef0");
        assert_eq!(secret, Err(ImageParameterProblem::Secret));
        for other in
            ["", "ami-", "ami-xyz12345", "ami-01234567,ami-89abcdef", "{\"image_id\": \"ami-01234567\"}"]
        {
            let told = held(ParameterType::StringList, other);
            assert_eq!(told, Err(ImageParameterProblem::NoId(other.to_owned())));
        }
        let long = "x".repeat(4096);
        assert_eq!(held(ParameterType::String, &long), Err(ImageParameterProblem::NoId("x".repeat(SHOWN))));
    }
}
