//! The thin edge of the AWS SDK: one configuration, and errors that say what was asked, of which thing, and what AWS
//! answered. Beside it what is reached through AWS: EC2, Auto Scaling, the state store, and who this instance is and what
//! is going to happen to it.
//!
//! It uses the machine ([`host`](crate::host)), [`progress`](crate::progress) and the [`contract`](crate::contract).

pub mod bucket_owner;
pub mod ec2;
pub mod identity;
pub mod large_objects;
pub mod lifecycle;
pub mod node_config;
pub mod notice;
pub mod publisher;
pub mod queue;
pub mod state;

use std::error::Error;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds::client::{Client as MetadataClient, EndpointMode, ImdsResponseRetryClassifier};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder, tls};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::contract::egress_proxy::EgressProxy;
use crate::progress::retry::{Class, Classed};

/// What AWS answered, or why it couldn't be asked.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// AWS refused.
    #[error("{action} of {target} failed: {message} ({code}, request {request})")]
    Refused {
        /// The API action.
        action: &'static str,
        /// The thing it was about.
        target: String,
        /// AWS's error code.
        code: String,
        /// AWS's words.
        message: String,
        /// AWS's request id.
        request: String,
    },
    /// No answer: no connection, no credentials, a time-out.
    #[error("{action} of {target} got no answer")]
    NoAnswer {
        /// The API action.
        action: &'static str,
        /// The thing it was about.
        target: String,
        /// The SDK's words.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AwsError {
    /// Keeps what matters of an SDK error.
    pub fn new<E, R>(action: &'static str, target: impl Into<String>, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let target = target.into();
        match error.as_service_error().map(ProvideErrorMetadata::meta) {
            Some(meta) => Self::Refused {
                action,
                target,
                code: meta.code().unwrap_or("unknown").to_owned(),
                message: meta.message().unwrap_or("no message").to_owned(),
                request: meta.request_id().unwrap_or("unknown").to_owned(),
            },
            None => Self::NoAnswer { action, target, source: Box::new(error) },
        }
    }

    /// AWS's error code, if AWS answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::NoAnswer { .. } => None,
        }
    }

    /// Whether the service is down or out of reach: no answer, or one that says so itself (S3's and EC2's lists of
    /// error codes: 500 and 503).
    pub fn is_outage(&self) -> bool {
        const CODES: [&str; 5] =
            ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "SlowDown"];
        self.code().is_none_or(|code| CODES.contains(&code))
    }
}

impl Classed for AwsError {
    /// Denials count as passing: an instance profile takes some seconds to arrive, and the step's own limit ends the
    /// tries.
    fn class(&self) -> Class {
        match self.code() {
            Some(code) if is_permanent(code) => Class::Permanent,
            _ => Class::Passing,
        }
    }
}

/// Codes that trying again can't change. `…NotFound` is not among them: reads in EC2 lag behind writes.
fn is_permanent(code: &str) -> bool {
    [
        "InvalidParameter",
        "MissingParameter",
        "ValidationError",
        "UnsupportedOperation",
        "AttachmentLimitExceeded",
    ]
    .iter()
    .any(|permanent| code.starts_with(permanent))
}

/// How an instance reaches AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The proxy of the user data.
    pub proxy: Option<EgressProxy>,
    /// Whether the instance has no IPv4 address.
    pub ipv6_only: bool,
    /// Whether its metadata answer at their IPv6 address alone.
    pub metadata_by_ipv6: bool,
}

impl Access {
    /// The client of IMDSv2. Unlike the SDK's default it also retries connection time-outs: early in a boot the network
    /// may be up and the metadata service not.
    pub fn metadata(&self) -> MetadataClient {
        let classifier = ImdsResponseRetryClassifier::default().with_retry_connect_timeouts(true);
        let builder = MetadataClient::builder()
            .operation_timeout(Duration::from_secs(30))
            .retry_classifier(SharedRetryClassifier::new(classifier));
        let builder = if self.metadata_by_ipv6 { builder.endpoint_mode(EndpointMode::IpV6) } else { builder };
        builder.build()
    }
}

/// The SDK's configuration for a region: standard retries, and time limits that fit a boot; and the proxy of the user data,
/// without which it goes by the variables of its environment, as all of AWS's tools do.
pub async fn configuration(region: &str, access: &Access) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(client) = access.proxy.as_ref().and_then(http_client) {
        loader = loader.http_client(client);
    }
    if access.metadata_by_ipv6 {
        // The instance's role, too, is asked for where the metadata answer.
        let chain = DefaultCredentialsChain::builder().imds_client(access.metadata());
        loader = loader.credentials_provider(chain.region(Region::new(region.to_owned())).build().await);
    }
    loader
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::standard().with_max_attempts(4).with_max_backoff(Duration::from_secs(5)))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(3))
                .operation_attempt_timeout(Duration::from_secs(10))
                .operation_timeout(Duration::from_secs(45))
                .build(),
        )
        .load()
        .await
}

/// The same for a service that has endpoints with IPv6 addresses in every region: an instance without IPv4 goes there. To the
/// other services it goes as to everybody who has IPv4 alone: the VPC's resolver gives it an IPv6 address for theirs (DNS64),
/// behind which the NAT gateway is.
pub async fn dual_stack_configuration(region: &str, access: &Access) -> SdkConfig {
    let sdk = configuration(region, access).await;
    // Whoever names an endpoint means that one; the SDK refuses both.
    if !access.ipv6_only || sdk.endpoint_url().is_some() {
        return sdk;
    }
    sdk.into_builder().use_dual_stack(true).build()
}

/// A client that goes through a proxy, but for what is reached without it. It is otherwise like the SDK's own.
fn http_client(proxy: &EgressProxy) -> Option<SharedHttpClient> {
    let all = ProxyConfig::all(proxy.url.as_str());
    let all = all.inspect_err(|error| tracing::error!(%error, proxy = proxy.url, "this is no proxy"));
    let through = all.ok()?.no_proxy(proxy.no_proxy.join(","));
    let provider = || tls::Provider::Rustls(CryptoMode::AwsLc);
    Some(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(provider());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(through.clone()));
        connector.build()
    }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// The first line of the first request that a listener gets.
    fn first_line(listener: std::net::TcpListener) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0_u8; 4096];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&request[..read]).lines().next().unwrap_or_default().to_owned()
        })
    }

    async fn ask(endpoint: &str, proxy: &EgressProxy) {
        let credentials = aws_sdk_s3::config::Credentials::new("key", "secret", None, None, "test");
        let credentials = aws_sdk_s3::config::SharedCredentialsProvider::new(credentials);
        let access = Access { proxy: Some(proxy.clone()), ..Access::default() };
        let sdk = configuration("us-east-1", &access).await.into_builder();
        let sdk = sdk.endpoint_url(endpoint).credentials_provider(credentials).build();
        let sts = aws_sdk_sts::Client::new(&sdk);
        sts.get_caller_identity().send().await.unwrap_err();
    }

    #[tokio::test]
    async fn calls_to_aws_go_through_the_proxy_but_for_what_is_reached_without_it() {
        let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (proxy, aws) = (bind(), bind());
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let proxied = EgressProxy { url: url.clone(), no_proxy: vec!["169.254.169.254".to_owned()] };
        let heard = first_line(proxy);
        ask("http://sts.us-east-1.example.com", &proxied).await;
        assert_eq!(heard.join().unwrap(), "POST http://sts.us-east-1.example.com/ HTTP/1.1");

        let endpoint = format!("http://{}", aws.local_addr().unwrap());
        let direct = EgressProxy { url, no_proxy: vec!["127.0.0.0/8".to_owned()] };
        let heard = first_line(aws);
        ask(&endpoint, &direct).await;
        assert_eq!(heard.join().unwrap(), "POST / HTTP/1.1");
    }

    #[tokio::test]
    async fn https_goes_through_a_tunnel_of_the_proxy() {
        let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let heard = first_line(proxy);
        ask("https://sts.us-east-1.example.com", &EgressProxy { url, no_proxy: Vec::new() }).await;
        assert_eq!(heard.join().unwrap(), "CONNECT sts.us-east-1.example.com:443 HTTP/1.1");
    }

    /// The hosts that S3, STS and SQS are reached at.
    async fn hosts(access: Access) -> [String; 3] {
        let credentials = aws_sdk_s3::config::Credentials::new("key", "secret", None, None, "test");
        let credentials = aws_sdk_s3::config::SharedCredentialsProvider::new(credentials);
        // A proxy hears whom it is to connect to.
        let hears = || {
            let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", proxy.local_addr().unwrap());
            let proxy_of = EgressProxy { url, no_proxy: Vec::new() };
            (Access { proxy: Some(proxy_of), ..access.clone() }, first_line(proxy))
        };
        let with = |sdk: SdkConfig| {
            let sdk = sdk.into_builder().credentials_provider(credentials.clone());
            sdk.retry_config(RetryConfig::disabled()).build()
        };
        let (through, s3) = hears();
        let sdk = with(dual_stack_configuration("us-east-1", &through).await);
        aws_sdk_s3::Client::new(&sdk).list_buckets().send().await.unwrap_err();
        let (through, sts) = hears();
        let sdk = with(dual_stack_configuration("us-east-1", &through).await);
        aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await.unwrap_err();
        let (through, sqs) = hears();
        let sdk = with(configuration("us-east-1", &through).await);
        aws_sdk_sqs::Client::new(&sdk).get_queue_url().queue_name("queue").send().await.unwrap_err();
        [s3, sts, sqs].map(|heard| heard.join().unwrap().replace(" HTTP/1.1", ""))
    }

    #[tokio::test]
    async fn an_instance_without_ipv4_goes_to_dual_stack_endpoints_where_a_service_has_them() {
        let usual = [
            "CONNECT s3.us-east-1.amazonaws.com:443",
            "CONNECT sts.us-east-1.amazonaws.com:443",
            "CONNECT sqs.us-east-1.amazonaws.com:443",
        ];
        assert_eq!(hosts(Access::default()).await, usual);
        assert_eq!(
            hosts(Access { ipv6_only: true, ..Access::default() }).await,
            [
                "CONNECT s3.dualstack.us-east-1.amazonaws.com:443",
                "CONNECT sts.us-east-1.api.aws:443",
                usual[2]
            ]
        );
    }

    fn refused(code: &str) -> AwsError {
        AwsError::Refused {
            action: "AttachVolume",
            target: "vol-1".into(),
            code: code.into(),
            message: "no".into(),
            request: "r-1".into(),
        }
    }

    #[test]
    fn throttling_denials_and_stale_reads_are_tried_again() {
        for code in
            ["RequestLimitExceeded", "UnauthorizedOperation", "InvalidVolume.NotFound", "IncorrectState"]
        {
            assert_eq!(refused(code).class(), Class::Passing, "{code}");
        }
        for code in ["InvalidParameterValue", "AttachmentLimitExceeded"] {
            assert_eq!(refused(code).class(), Class::Permanent, "{code}");
        }
    }

    #[test]
    fn a_service_that_says_no_is_not_down() {
        assert!(refused("ServiceUnavailable").is_outage() && refused("InternalError").is_outage());
        assert!(!refused("AccessDenied").is_outage() && !refused("NoSuchBucket").is_outage());
    }

    #[test]
    fn an_error_names_the_thing_and_the_request() {
        assert_eq!(refused("Denied").to_string(), "AttachVolume of vol-1 failed: no (Denied, request r-1)");
    }
}
