//! The forward proxy of instances.

use super::{Report, Resolved};
use crate::spec::cluster::EgressProxy;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;

const HOST: &str = "spec.egressProxy.httpProxy.host";
const PORT: &str = "spec.egressProxy.httpProxy.port";
const EXCLUDES: &str = "spec.egressProxy.excludes";

pub(super) fn egress_proxy(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<EgressProxy>> {
    let Some(written) = &spec.egress_proxy else { return Ok(None) };
    let excludes = excludes(written.excludes.as_deref().unwrap_or_default(), report);
    let proxy = written.http_proxy.as_ref();
    let host = proxy.and_then(|proxy| proxy.host.as_deref()).unwrap_or_default();
    if host.is_empty() {
        return Err(report.missing(HOST, "write the proxy's name or address"));
    }
    let authority = report.read(HOST, host, authority);
    // As in kops, none is the same as 0: then it is the one of HTTP.
    let port = proxy.and_then(|proxy| proxy.port).filter(|port| *port != 0);
    let (host, stated) = authority?;
    let port = match (stated, port) {
        (Some(_), Some(_)) => {
            let problem = Problem::at(PORT, "`host` names a port, too");
            return Err(report.push(problem.hint("write it here alone")));
        }
        (stated, port) => stated.or(port).map(|port| format!(":{port}")).unwrap_or_default(),
    };
    Ok(Some(EgressProxy { url: format!("http://{host}{port}"), excludes: excludes? }))
}

/// A host name or an address, `http://` before it and a port behind it, as kops takes them; the name and the port.
fn authority(text: &str) -> Result<(String, Option<u16>), Problem> {
    let refuse = |message: String, hint: &str| Err(Problem::at(String::new(), message).hint(hint));
    let plain = text.strip_prefix("http://").unwrap_or(text);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    if plain.contains("://") {
        let hint = "instances speak HTTP with it, also where they ask it for a tunnel to an HTTPS server";
        return refuse(format!("`{text}` is no HTTP proxy"), hint);
    }
    if plain.contains('@') {
        // Not shown: there may be a password in it.
        let hint = "let it know instances by their addresses: what is written here is in user data, where every pod that \
                    reaches the metadata service may read it";
        let problem = Problem::at(String::new(), "a proxy with a user or a password is not supported");
        return Err(problem.hint(hint).secret());
    }
    let (host, port) = match plain.split_once(':') {
        None => (plain, None),
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port != 0))),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_host =
        !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed) && !host.starts_with(['-', '.']);
    match port {
        None if is_host => Ok((host.to_owned(), None)),
        Some(Some(port)) if is_host => Ok((host.to_owned(), Some(port))),
        _ => refuse(
            format!("`{text}` is not the name or the address of a proxy"),
            "write it as in `proxy.example.com` or `10.0.0.9`, and its port in `port`",
        ),
    }
}

/// A list as in `NO_PROXY`.
fn excludes(text: &str, report: &mut Report<'_>) -> Resolved<Vec<String>> {
    let targets = text.split(',').map(str::trim).filter(|target| !target.is_empty());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/*[]".contains(&byte);
    let mut excludes = Vec::new();
    for target in targets {
        if !target.bytes().all(allowed) {
            let problem =
                Problem::at(EXCLUDES, format!("`{target}` can't be told to what goes by `NO_PROXY`"));
            let hint =
                "write names, domains (`.example.com`), addresses and ranges, with commas between them";
            return Err(report.push(problem.hint(hint)));
        }
        excludes.push(target.to_owned());
    }
    Ok(excludes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_name_or_an_address_with_or_without_a_port() {
        let read = |text: &str| authority(text).unwrap();
        assert_eq!(read("proxy.example.com"), ("proxy.example.com".to_owned(), None));
        assert_eq!(read("http://10.0.0.9:3128/"), ("10.0.0.9".to_owned(), Some(3128)));
        for wrong in
            ["https://proxy", "a b", "proxy:", "proxy:0", "proxy:x", "proxy:1:2", "-proxy", "p\"", "http://"]
        {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        let problem = authority("http://user:hunter2@proxy:3128").unwrap_err();
        assert!(!format!("{problem:?}").contains("hunter2") && problem.secret, "{problem:?}");
    }
}
