//! The queue of looks and its dead letters.

use std::collections::HashMap;

use adapters::aws::unavailable;
use aws_config::SdkConfig;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use domain::ports::Unavailable;
use serde_json::Value;

use super::{
    super::finding::{Finding, bad, count, good, weak},
    named,
    outputs::{Output, Outputs},
    unseen,
};

/// What they are called in findings.
const NAME: &str = "queue";
const DEAD: &str = "dead letters";

/// How long a batch may take the worker, in seconds (`cdk/lib/worker/worker.ts`). A message that is given out for less than
/// that comes again while it is worked on.
const WORKER_LIMIT_S: u64 = 300;

type Attributes = HashMap<QueueAttributeName, String>;

/// Says what is so.
pub(super) async fn check(aws: &SdkConfig, outputs: &Outputs) -> Vec<Finding> {
    let urls = named(outputs, Output::QueueUrl, NAME)
        .and_then(|queue| Ok((queue, named(outputs, Output::DeadLetterUrl, DEAD)?)));
    let (queue, dead) = match urls {
        Ok(urls) => urls,
        Err(finding) => return vec![finding],
    };
    let sqs = Client::new(aws);
    match tokio::join!(attributes(&sqs, queue), attributes(&sqs, dead)) {
        (Ok(queue), Ok(dead)) => vec![judge(&queue, &dead), letters(&dead)],
        (Err(why), Err(_)) | (Err(why), Ok(_)) => vec![gone(NAME, queue, &why)],
        (Ok(_), Err(why)) => vec![gone(DEAD, dead, &why)],
    }
}

/// Says why a queue cannot be looked at. SQS has had several names for one that is not there.
fn gone(name: &str, url: &str, why: &Unavailable) -> Finding {
    if ["NonExistentQueue", "QueueDoesNotExist"].iter().any(|code| why.0.contains(code)) {
        bad(name, format!("{url} is not there: are region and outputs right? Else deploy"))
    } else {
        unseen(name, why)
    }
}

async fn attributes(sqs: &Client, url: &str) -> Result<Attributes, Unavailable> {
    let all = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send().await;
    let all = all.map_err(|error| unavailable("sqs:GetQueueAttributes", &error))?;
    Ok(all.attributes.unwrap_or_default())
}

fn judge(queue: &Attributes, dead: &Attributes) -> Finding {
    let text = |of: &Attributes, name| of.get(&name).cloned().unwrap_or_default();
    let number = |of: &Attributes, name| of.get(&name).and_then(|text| text.parse::<u64>().ok());
    let redrive: Value =
        serde_json::from_str(&text(queue, QueueAttributeName::RedrivePolicy)).unwrap_or(Value::Null);
    let Some(target) = redrive["deadLetterTargetArn"].as_str() else {
        let text = "what fails again and again is never put aside: deploy again, which gives it dead letters";
        return bad(NAME, text);
    };
    if target != text(dead, QueueAttributeName::QueueArn) {
        return bad(NAME, format!("its dead letters go to {target}, which is another queue: deploy again"));
    }
    let hidden = number(queue, QueueAttributeName::VisibilityTimeout).unwrap_or(0);
    if hidden < WORKER_LIMIT_S {
        let text = format!(
            "a message comes again after {hidden} s, while the worker may take {WORKER_LIMIT_S} s for it: deploy again"
        );
        return weak(NAME, text);
    }
    let most = &redrive["maxReceiveCount"];
    let most = most.as_str().map_or_else(|| most.to_string(), str::to_owned);
    let waiting = number(queue, QueueAttributeName::ApproximateNumberOfMessages).unwrap_or(0);
    let waiting = count(waiting, "message");
    good(NAME, format!("{waiting} waiting; each is given out {most} times before it is put aside"))
}

fn letters(dead: &Attributes) -> Finding {
    let count_of_letters =
        dead.get(&QueueAttributeName::ApproximateNumberOfMessages).map_or("", String::as_str);
    match count_of_letters.parse::<u64>() {
        Ok(0) => good(DEAD, "there are none"),
        Ok(many) => {
            let letters = count(many, "message");
            let text = format!(
                "{letters} put aside because looking at a world failed again and again: `dormouse queue inspect`, and \
                 docs/runbook.md#dead-letters"
            );
            bad(DEAD, text)
        }
        Err(_) => weak(DEAD, "SQS does not say how many there are"),
    }
}
