//! How clients of the API prove who they are: a configuration file of the API server's, beside which it takes no flags for
//! `OpenID` Connect.

use serde_json::Value;

use crate::contract::components::ComponentSettings;
use crate::host::Host;
use crate::host::file::{self, FileError};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// The provider's authority.
    #[error("the authority of the OpenID Connect provider (`oidcCAFile`) can't be read")]
    Read(#[source] FileError),
    /// It isn't there.
    #[error("the authority of the OpenID Connect provider (`oidcCAFile`), {0}, is not on this machine")]
    Missing(String),
}

/// The configuration: windlass's `own`, and the providers that the specification names. The file of an authority goes into
/// it, because it takes certificates, not files.
pub fn configuration(
    host: &Host,
    settings: &ComponentSettings,
    own: &str,
) -> Result<String, AuthenticationError> {
    let Some(jwt) = settings.configuration.get("jwt") else { return Ok(own.to_owned()) };
    let mut jwt = jwt.clone();
    if let Some(path) = settings.configuration.get("jwtAuthorityFile").and_then(Value::as_str) {
        let authority = file::read(&host.path(path)).map_err(AuthenticationError::Read)?;
        let authority = authority.ok_or_else(|| AuthenticationError::Missing(path.to_owned()))?;
        for provider in jwt.as_array_mut().into_iter().flatten() {
            provider["issuer"]["certificateAuthority"] = String::from_utf8_lossy(&authority).into();
        }
    }
    // JSON is YAML.
    Ok(format!("{}\njwt: {jwt}\n", own.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "anonymous:\n  conditions:\n    - path: /livez\n";

    fn settings(file: Option<&str>) -> ComponentSettings {
        let mut configuration = serde_json::Map::new();
        configuration.insert("jwt".to_owned(), serde_json::json!([{"issuer": {"url": "https://o"}}]));
        if let Some(file) = file {
            configuration.insert("jwtAuthorityFile".to_owned(), file.into());
        }
        ComponentSettings { configuration, ..ComponentSettings::default() }
    }

    #[test]
    fn a_provider_stands_beside_what_windlass_says_itself_with_its_authority_in_full() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let missing = configuration(&host, &settings(Some("/etc/oidc.crt")), OWN).unwrap_err();
        assert!(missing.to_string().contains("/etc/oidc.crt"), "{missing}");
        file::ensure(&host.path("/etc/oidc.crt"), "PEM\nPEM\n", file::PUBLIC).unwrap();
        let text = configuration(&host, &settings(Some("/etc/oidc.crt")), OWN).unwrap();
        let read: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read["jwt"][0]["issuer"]["certificateAuthority"], "PEM\nPEM\n");
        assert_eq!(read["anonymous"]["conditions"][0]["path"], "/livez");
        assert_eq!(configuration(&host, &ComponentSettings::default(), OWN).unwrap(), OWN);
    }
}
