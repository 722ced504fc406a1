//! Where container images are pulled from.

use windlass_bootstrap::image_source::ImageSource;

use super::{Report, Resolved};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;

pub(super) fn image_source(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<ImageSource>> {
    let Some(assets) = &spec.assets else { return Ok(None) };
    let mut read = |field: &str, written: &Option<String>| {
        let path = format!("spec.assets.{field}");
        let written = written.as_deref().filter(|written| !written.is_empty());
        written.map(|written| report.read(&path, written, registry)).transpose()
    };
    let registry = read("containerRegistry", &assets.container_registry);
    let proxy = read("containerProxy", &assets.container_proxy);
    match (registry?, proxy?) {
        (Some(_), Some(_)) => {
            let problem = Problem::at("spec.assets.containerProxy", "`containerRegistry` is written, too");
            Err(report.push(problem.hint("keep the one from which images shall come")))
        }
        (registry, proxy) => Ok(registry.map(ImageSource::Registry).or(proxy.map(ImageSource::Proxy))),
    }
}

/// A registry's host, with a port and a path where it has them.
fn registry(text: &str) -> Result<String, Problem> {
    let plain = text.strip_suffix('/').unwrap_or(text);
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let of_path = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_name = !name.is_empty() && !name.starts_with(['-', '.']) && name.bytes().all(of_name);
    // Anything else would be a name on Docker Hub.
    let is_host = is_name && (name.contains('.') || host.contains(':') || name == "localhost");
    let is_path = path.bytes().all(of_path) && !path.contains("//") && !path.starts_with('/');
    if is_host && is_path && port.parse::<u16>().is_ok() {
        return Ok(plain.to_owned());
    }
    Err(Problem::at(String::new(), format!("`{text}` is not a registry")).hint(
        "write its host, and a path where images are below one, as in `registry.example.com/kubernetes`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_and_a_path() {
        for right in [
            "registry.example.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com/registry-k8s-io",
            "10.0.0.9:5000/mirror",
            "localhost:5000",
        ] {
            assert_eq!(registry(right).unwrap(), right);
            assert_eq!(registry(&format!("{right}/")).unwrap(), right);
        }
        for wrong in [
            "https://registry.example.com",
            "registry",
            "me/mirror",
            "a.b:x",
            "a.b/C",
            "a.b//c",
            "a b.c",
            "u:p@a.b",
        ] {
            assert!(registry(wrong).is_err(), "{wrong}");
        }
    }
}
