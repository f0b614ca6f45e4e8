//! Dead letters in SQS, with the credentials and the region of the environment.

use adapters::{
    aws,
    queue::{dead::DeadLetters, sqs::SqsDeadLetters},
};
use anyhow::Result;

/// Returns the dead letters at `dead_letter_url` of the queue at `queue_url`.
pub(super) async fn open(queue_url: &str, dead_letter_url: &str) -> Result<Box<dyn DeadLetters>> {
    Ok(Box::new(SqsDeadLetters::new(&aws::config().await, queue_url, dead_letter_url)))
}
