//! The SDK's clients: one configuration, one retry policy, for one region.

use std::env;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use tokio::sync::OnceCell;

use super::error::{AwsError, During};
use super::gate::{Gate, Permit};
use super::once::ChangesOnce;

/// Attempts of one call. Throttling is answered with back-off; eight attempts ride out about half a minute of it.
const ATTEMPTS: u32 = 8;

/// The variable of all AWS tools that says how often a call is made at most (AWS SDKs and Tools Reference Guide, "Retry
/// behavior"). Where it is set it also counts the tries of what changes AWS, which are otherwise made for minutes.
const ATTEMPTS_VARIABLE: &str = "AWS_MAX_ATTEMPTS";

/// The longest pause between two attempts. The SDK's own limit of 20 s makes a throttled run look dead.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a connection may take. What doesn't connect in this time on a working network never does.
const CONNECT: Duration = Duration::from_secs(3);

/// How long one attempt may take, with connecting and reading the answer: EC2's slowest answers take some ten seconds.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The environment names an endpoint that is no URL.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is `{value}`, which is no URL")]
pub struct EndpointError {
    variable: String,
    value: String,
}

impl EndpointError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        format!("unset {}, or set it to a URL such as http://127.0.0.1:4566", self.variable)
    }
}

/// Looks at every variable that AWS's tools take an endpoint from (AWS SDKs and Tools Reference Guide, "Service-specific
/// endpoints").
fn check_endpoints(variables: impl Iterator<Item = (String, String)>) -> Result<(), EndpointError> {
    let is_url = |value: &str| {
        let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    };
    let mut endpoints = variables.filter(|(variable, _)| variable.starts_with("AWS_ENDPOINT_URL"));
    match endpoints.find(|(_, value)| !is_url(value)) {
        None => Ok(()),
        Some((variable, value)) => Err(EndpointError { variable, value }),
    }
}

/// Whose the credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// The account's number.
    pub account: String,
}

/// The clients of one region.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The region's name.
    pub region: String,
    /// Whether the endpoint was overridden (`AWS_ENDPOINT_URL`), which means: not AWS itself.
    pub endpoint_overridden: bool,
    /// Whether that endpoint is plain HTTP: an emulator on the same machine.
    pub endpoint_is_plain_http: bool,
    /// How often a call is made that is throttled or not answered, where the user has said so (`AWS_MAX_ATTEMPTS`).
    pub attempts: Option<u32>,
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// Auto Scaling.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// Classic load balancers.
    pub elb: aws_sdk_elasticloadbalancing::Client,
    /// Application, network and gateway load balancers.
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    /// EventBridge.
    pub events: aws_sdk_eventbridge::Client,
    /// IAM.
    pub iam: aws_sdk_iam::Client,
    /// KMS.
    pub kms: aws_sdk_kms::Client,
    /// Route 53.
    pub route53: aws_sdk_route53::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// Systems Manager, for its parameters.
    pub ssm: aws_sdk_ssm::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
    config: SdkConfig,
    calls: Calls,
    /// The answer is the same for all clients with these credentials: they ask once.
    caller: Arc<OnceCell<Caller>>,
}

/// What every call passes.
#[derive(Clone, Debug, Default)]
struct Calls {
    gate: Option<Gate>,
    once: Option<ChangesOnce>,
}

impl Clients {
    /// Loads credentials and settings the way every AWS tool does, for the given region, else for the one of the
    /// environment or profile, else for `us-east-1`. Nothing is sent: wrong credentials show at the first call.
    ///
    /// # Errors
    ///
    /// Fails where the environment names an endpoint that is no URL: the SDK would take it, and panic at the first call.
    pub async fn load(region: Option<&str>) -> Result<Self, EndpointError> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        check_endpoints(env::vars_os().map(|(name, value)| (text(name), text(value))))?;
        Ok(Self::from_config(Box::pin(Self::loader(region).load()).await, Calls::default(), Arc::default()))
    }

    fn loader(region: Option<&str>) -> ConfigLoader {
        let attempts = asked_attempts().unwrap_or(ATTEMPTS);
        let retries = RetryConfig::standard().with_max_attempts(attempts).with_max_backoff(LONGEST_PAUSE);
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(retries)
            .timeout_config(timeouts);
        // How CloudTrail and AWS's support recognise us.
        if let Ok(name) = AppName::new(concat!("windlass-", env!("CARGO_PKG_VERSION"))) {
            loader = loader.app_name(name);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        loader
    }

    /// Clients for a region that is emulated at an endpoint, with credentials that mean nothing. For tests.
    pub async fn for_endpoint(region: &str, endpoint: &str) -> Self {
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "example", None, None, "test");
        let loader = Self::loader(Some(region)).endpoint_url(endpoint).credentials_provider(credentials);
        Self::from_config(Box::pin(loader.load()).await, Calls::default(), Arc::default())
    }

    /// Whose the credentials are. Asked once for these clients and all that were made of them, or they of.
    ///
    /// # Errors
    ///
    /// Fails with what AWS said (API_GetCallerIdentity: everybody may ask); the next who asks asks again.
    pub async fn caller(&self) -> Result<Caller, AwsError> {
        self.caller.get_or_try_init(|| self.ask_for_caller()).await.cloned()
    }

    async fn ask_for_caller(&self) -> Result<Caller, AwsError> {
        let what = "the credentials";
        let answer = self.sts.get_caller_identity().send().await;
        let answer = answer.during("sts", "GetCallerIdentity", what)?;
        let lacking = || AwsError::unexpected("sts", "GetCallerIdentity", what, "the answer has no account");
        let account = answer.account().ok_or_else(lacking)?.to_owned();
        let partition = answer.arn().and_then(|arn| arn.split(':').nth(1)).unwrap_or("aws").to_owned();
        Ok(Caller { partition, account })
    }

    /// The same credentials and settings, for another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        if region == self.region {
            return self.clone();
        }
        let config = self.config.clone().into_builder().region(Region::new(region.to_owned())).build();
        Self::from_config(config, self.calls.clone(), Arc::clone(&self.caller))
    }

    /// The same, where the SDK sends a call again only if it changes nothing: whoever makes a change must first look whether the
    /// call whose reply was lost was carried out.
    #[must_use]
    pub fn changing_once(&self) -> Self {
        let calls = Calls { once: Some(ChangesOnce), ..self.calls.clone() };
        Self::from_config(self.config.clone(), calls, Arc::clone(&self.caller))
    }

    /// The same, without any of the SDK's own retries.
    #[must_use]
    pub fn without_retries(&self) -> Self {
        let config = self.config.clone().into_builder().retry_config(RetryConfig::disabled()).build();
        Self::from_config(config, self.calls.clone(), Arc::clone(&self.caller))
    }

    /// The same, which ask before each changing call, and before it is sent again. One that isn't permitted fails with
    /// [`super::Class::Interrupted`] or [`super::Class::LeaseLost`].
    #[must_use]
    pub fn gated(&self, permit: Arc<dyn Permit>) -> Self {
        let calls = Calls { gate: Some(Gate(permit)), ..self.calls.clone() };
        Self::from_config(self.config.clone(), calls, Arc::clone(&self.caller))
    }

    /// S3 as everybody uses it who has no credentials.
    #[must_use]
    pub fn s3_of_nobody(&self) -> aws_sdk_s3::Client {
        let mut config = self.config.clone().into_builder();
        config.set_credentials_provider(None);
        let settings = aws_sdk_s3::config::Builder::from(&config.build());
        aws_sdk_s3::Client::from_conf(
            settings.allow_no_auth().force_path_style(self.endpoint_overridden).build(),
        )
    }

    fn from_config(config: SdkConfig, calls: Calls, caller: Arc<OnceCell<Caller>>) -> Self {
        let config = match config.region() {
            Some(_) => config,
            None => config.into_builder().region(Region::from_static("us-east-1")).build(),
        };
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let endpoint = env::var("AWS_ENDPOINT_URL_S3").ok().or(config.endpoint_url().map(str::to_owned));
        let endpoint_overridden = endpoint.is_some();
        let endpoint_is_plain_http = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        /// A service's client with what its calls pass.
        macro_rules! client {
            ($service:ident) => {{
                let mut settings = $service::config::Builder::from(&config);
                if let Some(gate) = &calls.gate {
                    settings = settings.interceptor(gate.clone());
                }
                if let Some(once) = calls.once {
                    settings = settings.interceptor(once);
                }
                settings
            }};
        }
        let s3 = client!(aws_sdk_s3)
            // `bucket.localhost` doesn't resolve, so an emulator wants the bucket in the path.
            .force_path_style(endpoint_overridden)
            .build();
        Self {
            region,
            endpoint_overridden,
            endpoint_is_plain_http,
            attempts: asked_attempts(),
            ec2: aws_sdk_ec2::Client::from_conf(client!(aws_sdk_ec2).build()),
            autoscaling: aws_sdk_autoscaling::Client::from_conf(client!(aws_sdk_autoscaling).build()),
            elb: aws_sdk_elasticloadbalancing::Client::from_conf(
                client!(aws_sdk_elasticloadbalancing).build(),
            ),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::from_conf(
                client!(aws_sdk_elasticloadbalancingv2).build(),
            ),
            events: aws_sdk_eventbridge::Client::from_conf(client!(aws_sdk_eventbridge).build()),
            iam: aws_sdk_iam::Client::from_conf(client!(aws_sdk_iam).build()),
            kms: aws_sdk_kms::Client::from_conf(client!(aws_sdk_kms).build()),
            route53: aws_sdk_route53::Client::from_conf(client!(aws_sdk_route53).build()),
            s3: aws_sdk_s3::Client::from_conf(s3),
            ssm: aws_sdk_ssm::Client::from_conf(client!(aws_sdk_ssm).build()),
            sqs: aws_sdk_sqs::Client::from_conf(client!(aws_sdk_sqs).build()),
            sts: aws_sdk_sts::Client::from_conf(client!(aws_sdk_sts).build()),
            config,
            calls,
            caller,
        }
    }
}

/// How many attempts the user has asked for; what is no number counts as nothing, as with other tools.
fn asked_attempts() -> Option<u32> {
    env::var(ATTEMPTS_VARIABLE).ok()?.trim().parse().ok().filter(|attempts| *attempts > 0)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::aws::Withheld;

    const ANSWER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws-cn:iam::123456789012:user/me</Arn>\
        <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

    /// Refuses the first request, answers the others, and counts them.
    fn security_token_service(asked: Arc<AtomicUsize>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0_u8; 8192]).unwrap();
                let (status, body) = match asked.fetch_add(1, Ordering::SeqCst) {
                    0 => ("403 Forbidden", ""),
                    _ => ("200 OK", ANSWER),
                };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        url
    }

    #[derive(Debug)]
    struct Always;

    impl Permit for Always {
        fn check(&self) -> Result<(), Withheld> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn whose_the_credentials_are_is_asked_once_for_all_clients_with_them() {
        let asked = Arc::<AtomicUsize>::default();
        let clients = Clients::for_endpoint("us-east-1", &security_token_service(Arc::clone(&asked))).await;
        let others = [
            clients.clone(),
            clients.in_region("us-west-2"),
            clients.without_retries(),
            clients.gated(Arc::new(Always)),
        ];
        assert!(clients.caller().await.is_err(), "a failure isn't kept");
        let expected = Caller { partition: "aws-cn".to_owned(), account: "123456789012".to_owned() };
        for clients in others.iter().chain([&clients]) {
            assert_eq!(clients.caller().await.unwrap(), expected);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "once in vain and once for all");
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_refused_by_the_name_of_its_variable() {
        let check =
            |name: &str, value: &str| check_endpoints([(name.to_owned(), value.to_owned())].into_iter());
        assert!(check("AWS_ENDPOINT_URL", "http://127.0.0.1:4566").is_ok());
        assert!(check("AWS_ENDPOINT_URL_S3", "https://s3.example.com/").is_ok());
        assert!(check("AWS_REGION", "").is_ok());
        for value in ["", "https://", "http:///x", "localhost:4566"] {
            let refused = check("AWS_ENDPOINT_URL_EC2", value).unwrap_err().to_string();
            assert!(refused.contains("AWS_ENDPOINT_URL_EC2"), "{value}: {refused}");
        }
    }
}
