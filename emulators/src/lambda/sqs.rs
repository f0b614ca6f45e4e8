//! An SQS event source: moves messages from a queue to a function, as Lambda's own poller does.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::lambda::{ACCOUNT, Function};

/// How long one receive waits for messages; also how long it takes to notice that it should end.
const WAIT_SECONDS: u32 = 1;

const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long a poller that cannot reach the queue waits before it tries again.
const PAUSE: Duration = Duration::from_millis(200);

/// How messages reach the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// As received.
    Exact,
    /// Each batch in reversed order, and then once more: a queue promises neither order nor "once". The second outcome
    /// counts.
    TwiceAndReversed,
}

/// Moves messages until it is dropped. What the function took is deleted from the queue; what it names in
/// `batchItemFailures`, and everything when it fails, stays, and comes again after the queue's visibility timeout.
#[derive(Debug)]
pub struct SqsPoller {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SqsPoller {
    /// Starts to move messages from the queue at `queue_url`, in batches of up to `batch` (1 to 10), over the SQS
    /// `endpoint`.
    pub fn start(
        queue_url: &str,
        endpoint: &str,
        function: &Function,
        batch: usize,
        delivery: Delivery,
    ) -> Result<Self> {
        ensure!((1..=10).contains(&batch), "a batch has 1 to 10 messages");
        let source = Source {
            queue_url: queue_url.to_owned(),
            endpoint: endpoint.to_owned(),
            function: function.clone(),
            batch,
            delivery,
        };
        let ended = Arc::new(AtomicBool::new(false));
        let until = ended.clone();
        let thread =
            thread::Builder::new().name("sqs-poller".to_owned()).spawn(move || source.run(&until))?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for SqsPoller {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Source {
    queue_url: String,
    endpoint: String,
    function: Function,
    batch: usize,
    delivery: Delivery,
}

impl Source {
    fn run(&self, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            if let Err(error) = self.poll() {
                eprintln!("polling {}: {error:#}", self.queue_url);
                thread::sleep(PAUSE);
            }
        }
    }

    /// Moves one batch.
    fn poll(&self) -> Result<()> {
        let received = self.call(
            "ReceiveMessage",
            &json!({
                "QueueUrl": self.queue_url, "MaxNumberOfMessages": self.batch, "WaitTimeSeconds": WAIT_SECONDS,
                "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"],
            }),
        )?;
        let mut messages = received["Messages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return Ok(());
        }
        let taken = match self.delivery {
            Delivery::Exact => self.deliver(&messages),
            Delivery::TwiceAndReversed => {
                messages.reverse();
                self.deliver(&messages);
                self.deliver(&messages)
            }
        };
        for message in messages.iter().filter(|message| taken.contains(id(message))) {
            let receipt = &message["ReceiptHandle"];
            self.call("DeleteMessage", &json!({"QueueUrl": self.queue_url, "ReceiptHandle": receipt}))?;
        }
        Ok(())
    }

    /// Gives the messages to the function and returns the ids of those that it took.
    fn deliver<'a>(&self, messages: &'a [Value]) -> BTreeSet<&'a str> {
        let records: Vec<_> = messages.iter().map(|message| self.record(message)).collect();
        let ids: BTreeSet<&str> = messages.iter().map(id).collect();
        match self.function.invoke(&json!({"Records": records})) {
            Ok(answer) => taken(&ids, &answer),
            Err(error) => {
                eprintln!("{}: {error}", self.function.settings().name);
                BTreeSet::new()
            }
        }
    }

    fn record(&self, message: &Value) -> Value {
        let region = &self.function.settings().region;
        let queue = self.queue_url.rsplit('/').next().unwrap_or_default();
        json!({
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": message.get("MessageAttributes").cloned().unwrap_or_else(|| json!({})),
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{region}:{ACCOUNT}:{queue}"),
            "awsRegion": region,
        })
    }

    fn call(&self, action: &str, request: &Value) -> Result<Value> {
        let scope = format!("emulated/20260101/{}/sqs/aws4_request", self.function.settings().region);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(CALL_LIMIT))
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent
            .post(&self.endpoint)
            .header(
                "Authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .header("X-Amz-Target", format!("AmazonSQS.{action}"))
            // Lambda polls as the function's role.
            .header("X-Amz-Security-Token", self.function.session_token())
            .header("Content-Type", "application/x-amz-json-1.0")
            .send(request.to_string())
            .with_context(|| format!("calling {action}"))?;
        let text = answer.body_mut().read_to_string()?;
        if answer.status() != 200 {
            bail!("{action}: {}: {text}", answer.status());
        }
        Ok(if text.is_empty() { Value::Null } else { text.parse()? })
    }
}

fn id(message: &Value) -> &str {
    message["MessageId"].as_str().unwrap_or_default()
}

/// Returns those of `ids` that `answer` does not name as failed. An answer that names something else takes nothing,
/// and one without names takes all.
fn taken<'a>(ids: &BTreeSet<&'a str>, answer: &Value) -> BTreeSet<&'a str> {
    let failures = answer.get("batchItemFailures").unwrap_or(&Value::Null);
    let Some(failures) = failures.as_array() else {
        return if failures.is_null() { ids.clone() } else { BTreeSet::new() };
    };
    let failed: Option<BTreeSet<&str>> = failures
        .iter()
        .map(|failure| failure["itemIdentifier"].as_str().filter(|named| ids.contains(named)))
        .collect();
    failed
        .map_or_else(BTreeSet::new, |failed| ids.iter().filter(|id| !failed.contains(*id)).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_as_failed_was_taken() {
        let ids = BTreeSet::from(["a", "b"]);
        let check =
            |answer: Value, expected: &[&str]| assert_eq!(Vec::from_iter(taken(&ids, &answer)), expected);
        check(Value::Null, &["a", "b"]);
        check(json!({"batchItemFailures": []}), &["a", "b"]);
        check(json!({"batchItemFailures": [{"itemIdentifier": "a"}]}), &["b"]);
        check(json!({"batchItemFailures": [{"itemIdentifier": "c"}]}), &[]);
        check(json!({"batchItemFailures": [{"itemIdentifier": null}]}), &[]);
        check(json!({"batchItemFailures": "a"}), &[]);
    }
}
