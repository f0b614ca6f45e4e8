//! Messages in an SQS standard queue, and the queue of its dead letters.
//!
//! Every message is kept, unlike on one machine, where one that waits stands for those after it. A message that cannot be
//! read is left alone and reported: SQS gives it out until it has had its chances, and then moves it to the dead letters.
//! In AWS a Lambda function is given the messages; [`SqsQueue::receive`] is for workers that fetch them.
//!
//! What it needs to be allowed: whoever sends `sqs:SendMessage`; whoever fetches `sqs:ReceiveMessage` and
//! `sqs:DeleteMessage` (a Lambda event source `sqs:GetQueueAttributes` besides); to look at dead letters
//! `sqs:ReceiveMessage` and `sqs:ChangeMessageVisibility` on their queue; to send them again `sqs:ReceiveMessage` and
//! `sqs:DeleteMessage` on it, and `sqs:SendMessage` on the main one.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    error::ProvideErrorMetadata,
    operation::delete_message::DeleteMessageError,
    types::{Message, MessageSystemAttributeName},
};
use domain::{
    Timestamp,
    ports::{Delivery, Look, Queue, Unavailable},
};

use crate::{
    aws::unavailable,
    queue::{
        dead::{DeadLetter, DeadLetters},
        message,
    },
};

#[cfg(test)]
mod tests;

/// How many messages SQS gives at a time.
const BATCH: usize = 10;

/// How long SQS hides a message at most: twelve hours.
const LONGEST_INVISIBLE: Duration = Duration::from_secs(12 * 60 * 60);

/// How long dead letters are hidden while they are looked at or sent again.
const HELD: Duration = Duration::from_secs(60);

/// How long to wait for dead letters. SQS asks only some of its servers when it is not told to wait.
const DEAD_LETTER_WAIT: Duration = Duration::from_secs(1);

/// How many dead letters are looked at or sent again at a time, so that it is done before they can be seen again.
const MOST_DEAD: usize = 500;

/// An SQS queue. Clones share one client.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// Returns the queue at `queue_url`.
    pub fn new(aws: &SdkConfig, queue_url: impl Into<String>) -> Self {
        Self { client: Client::new(aws), url: queue_url.into() }
    }

    async fn fetch(
        &self,
        most: usize,
        invisible: Duration,
        wait: Duration,
    ) -> Result<Vec<Message>, Unavailable> {
        let most = most.min(BATCH);
        if most == 0 {
            return Ok(Vec::new());
        }
        let received = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(i32::MAX))
            .visibility_timeout(whole_seconds(invisible.min(LONGEST_INVISIBLE)))
            .wait_time_seconds(whole_seconds(wait))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp);
        let received = received.send().await.map_err(|error| unavailable("sqs:ReceiveMessage", &error))?;
        Ok(received.messages.unwrap_or_default())
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, look: &Look) -> Result<(), Unavailable> {
        let sent = self.client.send_message().queue_url(&self.url).message_body(message::encode(look));
        sent.send().await.map(drop).map_err(|error| unavailable("sqs:SendMessage", &error))
    }

    /// SQS may return none though some are there, and gives at most ten. It counts in whole seconds, up to twelve hours.
    async fn receive(&self, most: usize, invisible: Duration) -> Result<Vec<Delivery>, Unavailable> {
        let messages = self.fetch(most, invisible, Duration::ZERO).await?;
        Ok(messages.iter().filter_map(delivery).collect())
    }

    async fn done(&self, receipt: &str) -> Result<(), Unavailable> {
        let deleted = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await;
        let Err(error) = deleted else { return Ok(()) };
        match error.as_service_error() {
            Some(refused) if is_gone(refused) => Ok(()),
            Some(_) | None => Err(unavailable("sqs:DeleteMessage", &error)),
        }
    }
}

/// Tells whether the receipt is not, or no longer, of any use. The request has nothing else in it that can be wrong
/// besides the queue, for which SQS has other words.
fn is_gone(refused: &DeleteMessageError) -> bool {
    refused.is_receipt_handle_is_invalid() || refused.code() == Some("InvalidParameterValue")
}

/// Returns the delivery that `message` is; none, after a warning, if it cannot be read. ECS's messages may be about tasks
/// of another Dormouse in the cluster: looking at a world that is not there does no harm.
fn delivery(message: &Message) -> Option<Delivery> {
    let id = message.message_id().unwrap_or("without an id");
    let look = message::look(message.body().unwrap_or_default());
    match (look, message.receipt_handle()) {
        (Ok(look), Some(receipt)) => {
            Some(Delivery { receipt: receipt.to_owned(), look, attempt: attempts(message) })
        }
        (Err(error), _) => {
            tracing::warn!(message = id, "{error}; it will be put aside");
            None
        }
        (Ok(_), None) => {
            tracing::warn!(message = id, "the message came without a receipt; it will be given out again");
            None
        }
    }
}

fn attempts(message: &Message) -> u32 {
    attribute(message, &MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1)
}

fn attribute<T: std::str::FromStr>(message: &Message, name: &MessageSystemAttributeName) -> Option<T> {
    message.attributes()?.get(name)?.parse().ok()
}

fn whole_seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// The dead letters of an SQS queue, in a queue of their own.
#[derive(Debug, Clone)]
pub struct SqsDeadLetters {
    letters: SqsQueue,
    main: SqsQueue,
}

impl SqsDeadLetters {
    /// Returns the dead letters at `dead_letter_url` of the queue at `queue_url`.
    pub fn new(aws: &SdkConfig, queue_url: impl Into<String>, dead_letter_url: impl Into<String>) -> Self {
        Self { letters: SqsQueue::new(aws, dead_letter_url), main: SqsQueue::new(aws, queue_url) }
    }

    /// Shows the messages to others again.
    async fn release(&self, messages: &[Message]) -> Result<(), Unavailable> {
        for receipt in messages.iter().filter_map(Message::receipt_handle) {
            let shown = self.letters.client.change_message_visibility().queue_url(&self.letters.url);
            let shown = shown.receipt_handle(receipt).visibility_timeout(0).send().await;
            shown.map_err(|error| unavailable("sqs:ChangeMessageVisibility", &error))?;
        }
        Ok(())
    }

    /// Sends the messages again that can be read, and returns how many.
    async fn send_again(&self, messages: Vec<Message>) -> Result<usize, Unavailable> {
        let mut sent = 0;
        for delivery in messages.iter().filter_map(delivery) {
            self.main.send(&delivery.look).await?;
            self.letters.done(&delivery.receipt).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    /// SQS does not say when it put a message aside; it counts each look as one more time that it was given out.
    async fn inspect(&self, most: usize) -> Result<Vec<DeadLetter>, Unavailable> {
        let most = most.min(MOST_DEAD);
        let mut messages = Vec::new();
        while messages.len() < most {
            let batch = self.letters.fetch(most - messages.len(), HELD, DEAD_LETTER_WAIT).await?;
            if batch.is_empty() {
                break;
            }
            messages.extend(batch);
        }
        self.release(&messages).await?;
        Ok(messages.iter().map(dead_letter).collect())
    }

    async fn redrive(&self, most: usize) -> Result<usize, Unavailable> {
        let most = most.min(MOST_DEAD);
        let (mut seen, mut sent) = (0, 0);
        while seen < most {
            let batch = self.letters.fetch(most - seen, HELD, DEAD_LETTER_WAIT).await?;
            if batch.is_empty() {
                break;
            }
            seen += batch.len();
            sent += self.send_again(batch).await?;
        }
        Ok(sent)
    }
}

fn dead_letter(message: &Message) -> DeadLetter {
    let sent_ms = attribute(message, &MessageSystemAttributeName::SentTimestamp).unwrap_or_default();
    DeadLetter {
        world: message::look(message.body().unwrap_or_default()).map(|look| look.world),
        attempts: attempts(message),
        since: Timestamp::from_millisecond(sent_ms).unwrap_or_default(),
    }
}
