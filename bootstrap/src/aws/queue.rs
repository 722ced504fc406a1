//! The SQS queue into which AWS puts its events about instances.

use aws_sdk_sqs::Client;
use tokio::sync::OnceCell;

use crate::aws::{self, Access, AwsError};

/// How long a request waits for a message, in seconds: the longest that SQS takes (API_ReceiveMessage, `WaitTimeSeconds`).
const WAIT: i32 = 20;
/// How many messages come at once: the most that SQS gives.
const MOST: i32 = 10;
/// For how long a message that was read is nobody else's, in seconds. What isn't forgotten by then is read again.
pub const HIDDEN: i32 = 60;

/// A queue, by its name: it is in the instance's account and region.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    name: String,
    url: OnceCell<String>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub body: String,
    receipt: String,
}

impl Queue {
    /// The queue of this name.
    pub async fn open(region: &str, access: &Access, name: &str) -> Self {
        Self::with_client(Client::new(&aws::configuration(region, access).await), name)
    }

    /// Asked by this client.
    pub(crate) fn with_client(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned(), url: OnceCell::new() }
    }

    /// Waits for messages, for twenty seconds at most.
    pub async fn receive(&self) -> Result<Vec<Message>, AwsError> {
        let call = self.client.receive_message().queue_url(self.url().await?).wait_time_seconds(WAIT);
        let call = call.max_number_of_messages(MOST).visibility_timeout(HIDDEN);
        let answer = call.send().await;
        let answer = answer.map_err(|error| AwsError::new("ReceiveMessage", self.target(), error))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .map(|message| Message {
                body: message.body.unwrap_or_default(),
                receipt: message.receipt_handle.unwrap_or_default(),
            })
            .collect())
    }

    /// Takes a message out of the queue.
    pub async fn forget(&self, message: &Message) -> Result<(), AwsError> {
        let call = self.client.delete_message().queue_url(self.url().await?).receipt_handle(&message.receipt);
        let answer = call.send().await;
        answer.map(drop).map_err(|error| AwsError::new("DeleteMessage", self.target(), error))
    }

    async fn url(&self) -> Result<&String, AwsError> {
        let ask = async || {
            let answer = self.client.get_queue_url().queue_name(&self.name).send().await;
            let answer = answer.map_err(|error| AwsError::new("GetQueueUrl", self.target(), error))?;
            Ok(answer.queue_url.unwrap_or_default())
        };
        self.url.get_or_try_init(ask).await
    }

    fn target(&self) -> String {
        format!("the queue {}", self.name)
    }
}
