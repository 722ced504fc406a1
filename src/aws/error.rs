//! One error for every call to AWS, classed by what a caller can do about it.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::gate::Withheld;

/// What a failed call means to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The thing isn't there (or isn't visible yet: AWS is eventually consistent).
    NotFound,
    /// The thing is there already.
    AlreadyExists,
    /// The credentials are good, but may not do this.
    Denied,
    /// AWS will never accept this request.
    Invalid,
    /// Too many requests; the SDK has retried already.
    Throttled,
    /// Something else still uses the thing.
    Dependency,
    /// Somebody else is changing the thing right now; the same request may pass later.
    Conflict,
    /// A conditional write lost: the object isn't what the caller believed.
    PreconditionFailed,
    /// AWS answered that it is unwell (5xx).
    Unavailable,
    /// No answer: the endpoint can't be reached, or took too long.
    Network,
    /// There are no credentials, or they are not valid any more.
    Credentials,
    /// It was not sent: the user has asked to stop ([`super::Permit`]).
    Interrupted,
    /// It was not sent: the lease was lost under which its caller changes things ([`super::Permit`]).
    LeaseLost,
    /// Anything else.
    Other,
}

/// A failed call to AWS: what was asked, about what, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// The service as IAM spells it, such as `ec2`.
    pub service: &'static str,
    /// The API's operation, such as `CreateVpc`.
    pub operation: &'static str,
    /// What it was about, in the words of the user: a name, a key, an id.
    pub target: String,
    /// What it means.
    pub class: Class,
    /// AWS's error code, if AWS answered.
    pub code: Option<String>,
    /// AWS's message, or why there was no answer.
    pub message: String,
    /// The id that AWS's support asks for, if AWS answered.
    pub request_id: Option<String>,
}

impl AwsError {
    /// Takes what matters out of the SDK's error.
    pub fn new<E>(
        service: &'static str,
        operation: &'static str,
        target: impl Into<String>,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let code = error.as_service_error().and_then(|e| e.meta().code()).map(str::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let message = message(error);
        let class = match error {
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                class_of_answer(code.as_deref().unwrap_or_default(), &message, status.unwrap_or_default())
            }
            other => class_of_failure(other),
        };
        let request_id = error.request_id().map(str::to_owned);
        let code = code.or_else(|| status.map(|status| format!("HTTP {status}")));
        Self { service, operation, target: target.into(), class, code, message, request_id }
    }

    /// An error of ours about AWS's answer, such as a field that must be there and isn't.
    pub fn unexpected(
        service: &'static str,
        operation: &'static str,
        target: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            service,
            operation,
            target: target.into(),
            class: Class::Other,
            code: None,
            message: message.into(),
            request_id: None,
        }
    }

    /// One entry of a list that AWS refused, in an answer that is otherwise good.
    pub fn of_entry(
        service: &'static str,
        operation: &'static str,
        target: impl Into<String>,
        code: Option<String>,
        message: Option<String>,
    ) -> Self {
        let message = message.unwrap_or_default();
        let class = class_of_answer(code.as_deref().unwrap_or_default(), &message, 400);
        Self { class, code, ..Self::unexpected(service, operation, target, message) }
    }

    /// Whether the thing isn't there.
    pub fn is_not_found(&self) -> bool {
        self.class == Class::NotFound
    }

    /// Whether the same call may succeed if it is made again later.
    pub fn is_transient(&self) -> bool {
        matches!(self.class, Class::Throttled | Class::Unavailable | Class::Network | Class::Conflict)
    }

    /// What to do about it, where there is something to type or to look at.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.class {
            Class::Credentials => match self.code.as_deref() {
                None => "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws sts \
                         get-caller-identity` shows whom AWS sees"
                    .to_owned(),
                Some(code) if code.contains("Expired") => {
                    "the session has expired: sign in again (for example `aws sso login`) and run the same command"
                        .to_owned()
                }
                Some(_) => "AWS doesn't know these credentials: check AWS_PROFILE and AWS_ACCESS_KEY_ID with `aws \
                            sts get-caller-identity`"
                    .to_owned(),
            },
            Class::Denied => format!(
                "the credentials in use need the permission `{}`; `aws sts get-caller-identity` shows whose they are",
                self.permission()
            ),
            Class::Network => {
                "check the network, the region, and AWS_ENDPOINT_URL if it is set; then run the same command again"
                    .to_owned()
            }
            Class::Throttled | Class::Unavailable | Class::Conflict => {
                "AWS is busy: run the same command again, it goes on from where it stopped".to_owned()
            }
            _ if self.code.as_deref().is_some_and(|code| MODIFIED_LATELY.contains(&code)) => {
                "EBS lets a volume be changed again when the last change is done and six hours have passed: run the \
                 same command then"
                    .to_owned()
            }
            _ => return self.code.as_deref().and_then(of_private_zones).map(str::to_owned),
        };
        Some(hint)
    }

    /// The permission that a denied call lacks, as policies name it: what AWS says it is, which need not be the call's
    /// own (a tag in the same call needs `ec2:CreateTags`), else the call's.
    fn permission(&self) -> String {
        let said = self.message.split_once("not authorized to perform: ").map(|(_, rest)| rest);
        let said =
            said.and_then(|rest| rest.split_whitespace().next()).map(|action| action.trim_end_matches('.'));
        match said.filter(|action| action.contains(':')) {
            Some(action) => action.to_owned(),
            None => format!("{}:{}", self.service, action(self.service, self.operation)),
        }
    }
}

/// What to do about what Route 53 says of a private hosted zone and a VPC.
fn of_private_zones(code: &str) -> Option<&'static str> {
    match code {
        "ConflictingDomainExists" => Some(
            "a VPC sees one private zone of a name, and it sees another one: `aws route53 list-hosted-zones-by-vpc` shows \
             which; name that one, or disassociate it",
        ),
        "LastVPCAssociation" => Some(
            "a private zone keeps one VPC: associate another one with it (`aws route53 associate-vpc-with-hosted-zone`), \
             or delete the zone, and run the same command again",
        ),
        _ => None,
    }
}

/// What EBS says of a volume that was changed a short while ago (API_ModifyVolume).
const MODIFIED_LATELY: [&str; 2] = ["VolumeModificationRateExceeded", "IncorrectModificationState"];

/// IAM's name of an operation. S3 has permissions of other names than its API's operations (Service Authorization
/// Reference, "Actions defined by Amazon S3"); everywhere else they are the same.
fn action(service: &str, operation: &'static str) -> &'static str {
    if service != "s3" {
        return operation;
    }
    match operation {
        "HeadObject" => "GetObject",
        "HeadBucket" | "ListObjectsV2" => "ListBucket",
        "ListObjectVersions" => "ListBucketVersions",
        "ListBuckets" => "ListAllMyBuckets",
        // The CLI deletes several at once only where it deletes versions.
        "DeleteObjects" => "DeleteObjectVersion",
        "GetBucketEncryption" => "GetEncryptionConfiguration",
        "PutBucketEncryption" => "PutEncryptionConfiguration",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        "PutPublicAccessBlock" => "PutBucketPublicAccessBlock",
        "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => "PutLifecycleConfiguration",
        "GetBucketLifecycleConfiguration" => "GetLifecycleConfiguration",
        "CopyObject" => "PutObject",
        same => same,
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, operation, target, class: _, code, message, request_id } = self;
        write!(f, "{service}:{operation} of `{target}` failed: ")?;
        match code {
            Some(code) if message.is_empty() => f.write_str(code)?,
            Some(code) => write!(f, "{code}: {message}")?,
            None => f.write_str(message)?,
        }
        match request_id {
            Some(id) => write!(f, " (request id {id})"),
            None => Ok(()),
        }
    }
}

impl Error for AwsError {}

/// Says of a result of the SDK what was being done.
pub trait During<T> {
    /// Turns the SDK's error into an [`AwsError`]: `client.create_vpc().send().await.during("ec2", "CreateVpc", name)`.
    fn during(
        self,
        service: &'static str,
        operation: &'static str,
        target: impl Into<String>,
    ) -> Result<T, AwsError>;
}

impl<T, E> During<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn during(
        self,
        service: &'static str,
        operation: &'static str,
        target: impl Into<String>,
    ) -> Result<T, AwsError> {
        self.map_err(|error| AwsError::new(service, operation, target, &error))
    }
}

/// AWS's own words, or the last cause of having none. The SDK's chain in between only says "dispatch failure".
fn message<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(message) = error.as_service_error().and_then(|service| service.meta().message()) {
        return message.trim().to_owned();
    }
    if error.as_service_error().is_some_and(|service| service.meta().code().is_some()) {
        return String::new();
    }
    let mut words = Vec::new();
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(withheld) = error.downcast_ref::<Withheld>() {
            return withheld.to_string();
        }
        words.push(error.to_string());
        cause = error.source();
    }
    let last = words.pop().unwrap_or_default();
    match words.pop() {
        Some(before) if before != last && words.len() > 1 => format!("{before}: {last}"),
        _ => last,
    }
}

/// The class of a call that AWS never answered.
fn class_of_failure<E>(error: &SdkError<E, HttpResponse>) -> Class
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return Class::Credentials;
        }
        match error.downcast_ref() {
            Some(Withheld::Interrupted) => return Class::Interrupted,
            Some(Withheld::LeaseLost(_)) => return Class::LeaseLost,
            None => {}
        }
        cause = error.source();
    }
    match error {
        SdkError::ConstructionFailure(_) => Class::Invalid,
        _ => Class::Network,
    }
}

/// The class of AWS's answer. The codes are those of the services' API references; where a service says several
/// things with one code (Auto Scaling's `ValidationError`), the message decides.
fn class_of_answer(code: &str, message: &str, status: u16) -> Class {
    match code {
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "InvalidToken"
        | "MissingAuthenticationToken" => Class::Credentials,
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "UnauthorizedAccess"
        | "OptInRequired" => Class::Denied,
        "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "SlowDown"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "PriorRequestNotComplete" => Class::Throttled,
        "DependencyViolation"
        | "DeleteConflict"
        | "ResourceInUse"
        | "ResourceInUseFault"
        | "VolumeInUse"
        | "ScalingActivityInProgress"
        | "ScalingActivityInProgressFault"
        | "BucketNotEmpty" => Class::Dependency,
        "IncorrectState"
        | "IncorrectInstanceState"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "ConcurrentModification"
        | "ConcurrentModificationException"
        // The name of a queue is free again a minute after the queue went (API_CreateQueue).
        | "QueueDeletedRecently"
        | "AWS.SimpleQueueService.QueueDeletedRecently"
        | "ResourceContention"
        | "ResourceContentionFault" => Class::Conflict,
        "PreconditionFailed" => Class::PreconditionFailed,
        "AlreadyExists"
        | "AlreadyExistsFault"
        | "EntityAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "BucketAlreadyExists"
        | "QueueNameExists"
        | "RouteAlreadyExists" => Class::AlreadyExists,
        "NoSuchKey"
        | "NoSuchBucket"
        | "NoSuchEntity"
        | "NoSuchHostedZone"
        // Route 53's word for a VPC that it doesn't see, yet or any more.
        | "InvalidVPCId"
        | "NoSuchVersion"
        | "NotFound"
        | "NoSuchBucketPolicy"
        | "LoadBalancerNotFound"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "TargetGroupNotFound" => Class::NotFound,
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" => Class::Unavailable,
        "ValidationError" if message.contains("not found") || message.contains("does not exist") => {
            Class::NotFound
        }
        "InvalidChangeBatch" => class_of_change_batch(message),
        _ => class_by_form(code, status),
    }
}

/// Route 53 has one code for everything that is wrong with a batch of changes; what may be otherwise when the record
/// sets have been read again is told by its words.
fn class_of_change_batch(message: &str) -> Class {
    if message.contains("already exists") {
        return Class::AlreadyExists;
    }
    let is_stale = message.contains("but it was not found") || message.contains("do not match the current");
    if is_stale { Class::Conflict } else { Class::Invalid }
}

/// The class by how EC2 composes its codes (`InvalidVpcID.NotFound`, `InvalidKeyPair.Duplicate`,
/// `InvalidGroup.InUse`), then by HTTP's status.
fn class_by_form(code: &str, status: u16) -> Class {
    if code.contains("NotFound") || code.ends_with(".Unknown") {
        return Class::NotFound;
    }
    if code.ends_with(".Duplicate") || code.contains("AlreadyExists") {
        return Class::AlreadyExists;
    }
    if code.ends_with(".InUse") {
        return Class::Dependency;
    }
    match status {
        401 | 403 => Class::Denied,
        404 => Class::NotFound,
        409 => Class::Conflict,
        412 => Class::PreconditionFailed,
        429 => Class::Throttled,
        400 => Class::Invalid,
        500.. => Class::Unavailable,
        _ if code.starts_with("Invalid") || code.starts_with("Malformed") => Class::Invalid,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec2_says_the_class_in_the_second_half_of_its_code() {
        assert_eq!(class_of_answer("InvalidVpcID.NotFound", "", 400), Class::NotFound);
        assert_eq!(class_of_answer("InvalidKeyPair.Duplicate", "", 400), Class::AlreadyExists);
        assert_eq!(class_of_answer("InvalidGroup.InUse", "", 400), Class::Dependency);
        assert_eq!(class_of_answer("InvalidParameterValue", "", 400), Class::Invalid);
    }

    #[test]
    fn auto_scaling_says_not_found_only_in_its_message() {
        let message = "AutoScalingGroup name not found - null";
        assert_eq!(class_of_answer("ValidationError", message, 400), Class::NotFound);
        let message = "You must use a valid fully-formed launch template. The specified launch template, with template \
                       ID lt-1, does not exist.";
        assert_eq!(class_of_answer("ValidationError", message, 400), Class::NotFound);
        assert_eq!(class_of_answer("ValidationError", "1 validation error detected", 400), Class::Invalid);
    }

    #[test]
    fn route_53_says_only_in_its_message_what_is_wrong_with_a_batch() {
        let class = |what: &str| {
            let message = format!("[Tried to change resource record set [name='a.', type='A'] but {what}]");
            class_of_answer("InvalidChangeBatch", &message, 400)
        };
        assert_eq!(class("it already exists"), Class::AlreadyExists);
        assert_eq!(class("it was not found"), Class::Conflict);
        assert_eq!(class("the values provided do not match the current values"), Class::Conflict);
        assert_eq!(class("FATAL problem: InvalidCharacterString"), Class::Invalid);
    }

    #[test]
    fn a_lost_conditional_write_is_not_a_conflict_to_retry() {
        assert_eq!(class_of_answer("PreconditionFailed", "", 412), Class::PreconditionFailed);
        assert_eq!(class_of_answer("ConditionalRequestConflict", "", 409), Class::Conflict);
    }

    #[test]
    fn a_head_request_has_no_code_and_is_classed_by_its_status() {
        assert_eq!(class_of_answer("", "", 403), Class::Denied);
        assert_eq!(class_of_answer("", "", 404), Class::NotFound);
        assert_eq!(class_of_answer("", "", 503), Class::Unavailable);
    }

    fn denied(service: &'static str, operation: &'static str, message: &str) -> String {
        let mut error = AwsError::unexpected(service, operation, "demo", message);
        error.class = Class::Denied;
        error.hint().unwrap()
    }

    #[test]
    fn a_hint_names_the_permission_and_not_the_call() {
        assert!(denied("s3", "HeadBucket", "").contains("`s3:ListBucket`"));
        assert!(denied("s3", "GetObjectVersion", "").contains("`s3:GetObjectVersion`"));
        assert!(denied("s3", "PutBucketEncryption", "").contains("`s3:PutEncryptionConfiguration`"));
        assert!(denied("ec2", "CreateVpc", "no").contains("`ec2:CreateVpc`"));
        let message = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not authorized \
                       to perform: ec2:CreateTags on resource: arn:aws:ec2:*:*:vpc/*";
        assert!(denied("ec2", "CreateVpc", message).contains("`ec2:CreateTags`"));
    }

    #[test]
    fn a_volume_that_was_changed_a_short_while_ago_has_a_hint() {
        let mut error = AwsError::unexpected("ec2", "ModifyVolume", "vol-1", "wait");
        (error.class, error.code) = (Class::Invalid, Some("VolumeModificationRateExceeded".to_owned()));
        assert!(error.hint().is_some_and(|hint| hint.contains("six hours")));
    }

    #[test]
    fn an_error_says_what_was_asked_about_what_and_what_aws_said() {
        let error = AwsError {
            service: "ec2",
            operation: "CreateVpc",
            target: "demo.example.com".to_owned(),
            class: Class::Denied,
            code: Some("UnauthorizedOperation".to_owned()),
            message: "You are not authorized.".to_owned(),
            request_id: Some("4b1c".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "ec2:CreateVpc of `demo.example.com` failed: UnauthorizedOperation: You are not authorized. (request id \
             4b1c)"
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("`ec2:CreateVpc`")));
    }
}
