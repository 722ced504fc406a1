//! The account that must own the state's bucket, named in every request (S3 User Guide, "Verifying bucket ownership with
//! bucket owner condition"): a bucket that was deleted and whose name somebody else took since is never written to, or
//! believed.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// The header of the bucket owner condition.
pub const HEADER: &str = "x-amz-expected-bucket-owner";

/// Names the account in every request, before it is signed.
#[derive(Debug)]
struct ExpectedOwner(String);

impl Intercept for ExpectedOwner {
    fn name(&self) -> &'static str {
        "ExpectedOwner"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert(HEADER, self.0.clone());
        Ok(())
    }
}

/// The client whose every request names the account that must own the bucket. S3 denies those about another's.
pub fn owned_by(account: &str, s3: &Client) -> Client {
    let config = s3.config().to_builder().interceptor(ExpectedOwner(account.to_owned())).build();
    Client::from_conf(config)
}
