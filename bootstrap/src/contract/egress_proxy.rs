//! The forward proxy through which instances reach the Internet.

use serde::{Deserialize, Serialize};

/// Where it is, and what is reached without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressProxy {
    /// Such as `http://proxy.example.com:3128`.
    pub url: String,
    /// Names, domains (`.example.com`), addresses and ranges, as in `NO_PROXY`.
    pub no_proxy: Vec<String>,
}

impl EgressProxy {
    /// The variables that programs go by. Some look only at the names in capitals, and some only at the others.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        let (url, none) = (|| self.url.clone(), || self.no_proxy.join(","));
        [
            ("HTTP_PROXY", url()),
            ("HTTPS_PROXY", url()),
            ("NO_PROXY", none()),
            ("http_proxy", url()),
            ("https_proxy", url()),
            ("no_proxy", none()),
        ]
    }
}
