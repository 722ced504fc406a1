//! Which calls the SDK sends again by itself, where whoever changes something must first look whether a call whose reply was lost
//! was carried out. A call that only reads does no harm twice: a look is many of them, and one that were given up with the first
//! that AWS throttles would hardly ever come to its end where AWS throttles much.

use aws_config::retry::RetryConfig;
use aws_sdk_s3::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

use super::gate::only_reads;

/// Has the SDK send a changing call once.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangesOnce;

impl Intercept for ChangesOnce {
    fn name(&self) -> &'static str {
        "ChangesOnce"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if !settings.load::<Metadata>().is_some_and(|operation| only_reads(operation.name())) {
            settings.interceptor_state().store_put(RetryConfig::disabled());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::aws::{Class, Clients, During};

    const ANSWER: &str = "<DescribeVpcsResponse></DescribeVpcsResponse>";

    /// Answers so often that it is busy, and counts what it was asked.
    fn busy_endpoint(asked: Arc<AtomicUsize>, times: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0_u8; 8192]).unwrap();
                let is_busy = asked.fetch_add(1, Ordering::SeqCst) < times;
                let answer = if is_busy { "503 Busy\r\n" } else { "200 OK\r\n" };
                let length = ANSWER.len();
                write!(
                    stream,
                    "HTTP/1.1 {answer}Connection: close\r\nContent-Length: {length}\r\n\r\n{ANSWER}"
                )
                .unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn a_call_that_only_reads_is_sent_again_and_one_that_changes_something_is_not() {
        let asked = Arc::<AtomicUsize>::default();
        let url = busy_endpoint(Arc::clone(&asked), 3);
        let clients = Clients::for_endpoint("us-east-1", &url).await.changing_once();
        for clients in [clients.clone(), clients.in_region("us-west-2")] {
            let failed =
                clients.ec2.delete_vpc().vpc_id("vpc-1").send().await.during("ec2", "DeleteVpc", "x");
            assert_eq!(failed.unwrap_err().class, Class::Unavailable);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one of the changing calls was sent again");
        clients.ec2.describe_vpcs().send().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 4, "once in vain, and again");
    }
}
