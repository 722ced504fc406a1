//! What a changing call asks before it is sent: whether its caller may still change anything.
//!
//! A step of a run is several calls, and a call may be sent again. Whoever lost the right to change a cluster in between
//! (the lease was lost while the machine slept, the user pressed Ctrl-C) must not send the next one. So the question is
//! asked where every call passes: in an interceptor of the SDK, before each attempt is sent. It is asked as late as the
//! SDK lets it be, when the credentials were got and the request was signed, for both can take long.

use std::error::Error;
use std::fmt::{self, Debug};
use std::sync::Arc;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// Whoever knows whether changes may still be made. It is asked before each changing call, and must not wait.
pub trait Permit: Debug + Send + Sync {
    /// Fails with the reason why nothing may be changed any more.
    fn check(&self) -> Result<(), Withheld>;
}

/// Why a call was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The user has asked to stop.
    Interrupted,
    /// The lease was lost, in this way.
    LeaseLost(String),
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted: nothing more is changed"),
            Self::LeaseLost(how) => f.write_str(how),
        }
    }
}

impl Error for Withheld {}

/// Lets the calls pass that change nothing, and the others while they are permitted.
#[derive(Clone, Debug)]
pub(super) struct Gate(pub(super) Arc<dyn Permit>);

impl Intercept for Gate {
    fn name(&self) -> &'static str {
        "Gate"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match settings.load::<Metadata>() {
            Some(operation) if only_reads(operation.name()) => Ok(()),
            _ => Ok(self.0.check()?),
        }
    }
}

/// Whether an operation changes nothing, by its name: the services that are called here keep to these words.
pub(super) fn only_reads(operation: &str) -> bool {
    ["Describe", "Get", "List", "Head"].iter().any(|word| operation.starts_with(word))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::aws::{Class, Clients, During};

    #[derive(Debug, Default)]
    struct Switch(AtomicBool);

    impl Permit for Switch {
        fn check(&self) -> Result<(), Withheld> {
            if self.0.load(Ordering::SeqCst) { Err(Withheld::Interrupted) } else { Ok(()) }
        }
    }

    /// Answers every request with an error that the SDK tries again, and closes the door on the changing ones.
    fn busy_endpoint(switch: Arc<Switch>, seen: Arc<Mutex<Vec<String>>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0_u8; 8192];
                let length = stream.read(&mut request).unwrap();
                seen.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                switch.0.store(true, Ordering::SeqCst);
                stream
                    .write_all(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn a_changing_call_is_not_sent_again_once_the_permit_is_gone_and_reads_go_on() {
        let (switch, seen) = (Arc::new(Switch::default()), Arc::default());
        let url = busy_endpoint(Arc::clone(&switch), Arc::clone(&seen));
        let clients = Clients::for_endpoint("us-east-1", &url).await.gated(switch);
        let failed = clients.ec2.delete_vpc().vpc_id("vpc-1").send().await.during("ec2", "DeleteVpc", "x");
        let error = failed.unwrap_err();
        assert_eq!(
            (error.class, error.message.as_str()),
            (Class::Interrupted, "interrupted: nothing more is changed")
        );
        assert_eq!(seen.lock().unwrap().len(), 1, "the first attempt alone may have been sent");
        for clients in [clients.without_retries(), clients.in_region("us-west-2")] {
            let failed =
                clients.iam.delete_role().role_name("x").send().await.during("iam", "DeleteRole", "x");
            assert_eq!(failed.unwrap_err().class, Class::Interrupted);
        }
        assert_eq!(seen.lock().unwrap().len(), 1, "a withheld call was sent");
        let looked = clients.without_retries().ec2.describe_vpcs().send().await;
        assert_eq!(looked.during("ec2", "DescribeVpcs", "x").unwrap_err().class, Class::Unavailable);
    }
}
