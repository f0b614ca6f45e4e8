//! The real SDK against the emulator. Faults are the account's: the tests that cause some take turns with the others.

use super::*;
use crate::{
    aws::tests::config_at,
    queue::{
        contract::{self, INVISIBLE, look, only},
        dead,
    },
};
use aws_sdk_sqs::types::QueueAttributeName;
use emulators::{Moto, When};
use expect_test::expect;
use std::sync::{
    Mutex as SyncMutex,
    atomic::{AtomicU32, Ordering},
};
use tokio::sync::{Mutex, MutexGuard};

#[tokio::test]
async fn sqs_keeps_the_contract() {
    let bench = Bench::new().await;
    let queue = Timed::new(&bench.queue);
    let pass = |time| queue.pass(time);
    contract::all(&queue, &pass).await;
    contract::a_delivered_message_is_hidden_for_a_while(&queue, &pass).await;
    contract::a_late_done_takes_nothing_from_others(&queue, &pass).await;
    assert_eq!(queue.receive(10, INVISIBLE).await, Ok(vec![]));
}

#[tokio::test]
async fn sqs_keeps_the_contract_of_dead_letters() {
    let bench = Bench::new().await;
    let worlds = ["w-1", "w-2", "w-3"];
    for world in worlds {
        bench.letters.send(&look(world)).await.unwrap();
    }
    dead::contract::all(&bench.dead(), &bench.queue, &worlds).await;
}

#[tokio::test]
async fn a_message_that_fails_too_often_becomes_a_dead_letter_with_its_times() {
    let bench = Bench::new().await;
    bench.queue.send(&look("w")).await.unwrap();
    for attempt in 1..=MOST_ATTEMPTS {
        let given = bench.queue.receive(10, Duration::ZERO).await.unwrap();
        assert_eq!(given[0].attempt, attempt);
    }
    assert_eq!(bench.queue.receive(10, Duration::ZERO).await, Ok(vec![]));
    let letter = bench.dead().inspect(10).await.unwrap().remove(0);
    assert_eq!(letter.world, Ok(look("w").world));
    assert!(letter.attempts >= 1);
    let age = Timestamp::now().duration_since(letter.since);
    assert!(age.as_secs().abs() < 600, "{age:?}");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_put_aside_while_the_others_are_given() {
    let bench = Bench::new().await;
    bench.send_raw(&bench.queue, "look at valhalla, please").await;
    bench.queue.send(&look("w")).await.unwrap();
    for attempt in 1..=MOST_ATTEMPTS {
        let given = bench.queue.receive(10, Duration::ZERO).await.unwrap();
        assert_eq!(
            given.iter().map(|d| (d.look.clone(), d.attempt)).collect::<Vec<_>>(),
            [(look("w"), attempt)]
        );
    }
    assert_eq!(bench.queue.receive(10, Duration::ZERO).await, Ok(vec![]));
    let letters = bench.dead().inspect(10).await.unwrap();
    let readable = letters.iter().filter(|letter| letter.world.is_ok()).count();
    assert_eq!((letters.len(), readable), (2, 1));
    assert_eq!(bench.dead().redrive(10).await, Ok(1));
    assert_eq!(only(&bench.queue).await.look, look("w"));
}

#[tokio::test]
async fn a_dead_letter_that_names_no_world_is_shown_and_stays() {
    let bench = Bench::new().await;
    bench.send_raw(&bench.letters, r#"{"v":2}"#).await;
    let letter = bench.dead().inspect(10).await.unwrap().remove(0);
    expect!["the message has version 2 and this Dormouse reads 1: use the newer one"]
        .assert_eq(&letter.world.unwrap_err().to_string());
    assert_eq!(bench.dead().redrive(10).await, Ok(0));
}

#[tokio::test]
async fn what_ecs_said_of_a_task_is_shown_with_its_world_and_sent_again_as_a_look() {
    let bench = Bench::new().await;
    let said =
        r#"{"version":"0","source":"aws.ecs","detail":{"startedBy":"dormouse/w/3","lastStatus":"STOPPED"}}"#;
    bench.send_raw(&bench.letters, said).await;
    assert_eq!(bench.dead().inspect(10).await.unwrap()[0].world, Ok(look("w").world));
    assert_eq!(bench.dead().redrive(10).await, Ok(1));
    assert_eq!(only(&bench.queue).await.look, look("w"));
    assert_eq!(bench.dead().inspect(10).await, Ok(vec![]));
}

#[tokio::test]
async fn a_redrive_that_breaks_off_loses_nothing() {
    let bench = Bench::new().await;
    bench.letters.send(&look("w")).await.unwrap();
    bench.fails("SendMessage", When::Before, "RequestThrottled", 403);
    let error = bench.dead().redrive(10).await.unwrap_err();
    expect!["sqs:SendMessage failed: RequestThrottled"].assert_eq(&error.to_string());
    assert_eq!(bench.queue.receive(10, INVISIBLE).await, Ok(vec![]));
    assert_eq!(bench.waiting(&bench.letters).await, (0, 1), "it is hidden for a while");

    let bench = bench.next().await;
    bench.letters.send(&look("w")).await.unwrap();
    bench.fails("DeleteMessage", When::Before, "RequestThrottled", 403);
    bench.dead().redrive(10).await.unwrap_err();
    assert_eq!(only(&bench.queue).await.look, look("w"));
    assert_eq!(bench.waiting(&bench.letters).await, (0, 1), "it will be sent once more");
}

#[tokio::test]
async fn what_fails_is_named_and_may_have_taken_effect() {
    let bench = Bench::new().await;
    bench.fails("SendMessage", When::After, "InternalFailure", 500);
    let error = bench.queue.send(&look("w")).await.unwrap_err();
    expect!["sqs:SendMessage failed: InternalFailure"].assert_eq(&error.to_string());
    bench.fails("ReceiveMessage", When::Before, "RequestThrottled", 403);
    let error = bench.queue.receive(10, INVISIBLE).await.unwrap_err();
    expect!["sqs:ReceiveMessage failed: RequestThrottled"].assert_eq(&error.to_string());
    let delivery = only(&bench.queue).await;
    bench.fails("DeleteMessage", When::After, "InternalFailure", 500);
    let error = bench.queue.done(&delivery.receipt).await.unwrap_err();
    expect!["sqs:DeleteMessage failed: InternalFailure"].assert_eq(&error.to_string());
    assert_eq!(bench.queue.done(&delivery.receipt).await, Ok(()));
    assert_eq!(bench.waiting(&bench.queue).await, (0, 0));
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named_by_what_failed_and_nothing_else() {
    let bench = Bench::new().await;
    let nowhere = SqsQueue::new(&bench.aws, format!("{}-not", bench.queue.url));
    for failed in [
        nowhere.send(&look("w")).await.unwrap_err(),
        nowhere.receive(1, INVISIBLE).await.unwrap_err(),
        nowhere.done("receipt").await.unwrap_err(),
    ] {
        assert!(!failed.to_string().contains("http"), "{failed}");
    }
    let error = nowhere.send(&look("w")).await.unwrap_err();
    expect!["sqs:SendMessage failed: AWS.SimpleQueueService.NonExistentQueue"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_receipt_that_was_never_given_confirms_nothing() {
    let bench = Bench::new().await;
    bench.queue.send(&look("w")).await.unwrap();
    assert_eq!(bench.queue.done("no receipt").await, Ok(()));
    only(&bench.queue).await;
}

#[tokio::test]
async fn what_sqs_cannot_do_is_not_asked_of_it() {
    let bench = Bench::new().await;
    for _ in 0..12 {
        bench.queue.send(&look("w")).await.unwrap();
    }
    assert_eq!(bench.queue.receive(0, INVISIBLE).await, Ok(vec![]));
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(bench.queue.receive(100, day).await.unwrap().len(), 10);
    let call = bench.last_call("ReceiveMessage");
    assert_eq!(
        (&call["MaxNumberOfMessages"], &call["VisibilityTimeout"], &call["WaitTimeSeconds"]),
        (&10.into(), &43_200.into(), &0.into())
    );
    bench.queue.receive(1, Duration::from_millis(1_001)).await.unwrap();
    assert_eq!(bench.last_call("ReceiveMessage")["VisibilityTimeout"], 2);
}

/// How often the emulator gives a message out before it is a dead letter.
const MOST_ATTEMPTS: u32 = 3;

/// A queue of its own with its dead letters, and the account to itself.
struct Bench {
    moto: &'static Moto,
    aws: SdkConfig,
    queue: SqsQueue,
    letters: SqsQueue,
    alone: MutexGuard<'static, ()>,
}

impl Bench {
    async fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        Self::with(ALONE.lock().await).await
    }

    /// Returns another bench, in place of this one.
    async fn next(self) -> Self {
        Self::with(self.alone).await
    }

    async fn with(alone: MutexGuard<'static, ()>) -> Self {
        static QUEUES: AtomicU32 = AtomicU32::new(0);
        let moto = tokio::task::spawn_blocking(Moto::shared).await.unwrap().unwrap();
        let aws = config_at(moto.url(), "key", "secret").await;
        let client = Client::new(&aws);
        let n = QUEUES.fetch_add(1, Ordering::Relaxed);
        let letters = make_queue(&client, &format!("looks-{n}-dead"), None).await;
        let queue = make_queue(&client, &format!("looks-{n}"), Some(&format!("looks-{n}-dead"))).await;
        let (letters, queue) = (SqsQueue::new(&aws, letters), SqsQueue::new(&aws, queue));
        Self { moto, aws, queue, letters, alone }
    }

    fn dead(&self) -> SqsDeadLetters {
        SqsDeadLetters::new(&self.aws, &self.queue.url, &self.letters.url)
    }

    fn fails(&self, action: &str, when: When, code: &str, status: u16) {
        self.moto.fault("sqs", action, 1, when, code, status).unwrap();
    }

    /// Returns the parameters of the last call of `action`.
    fn last_call(&self, action: &str) -> serde_json::Value {
        let mut calls = self.moto.calls().unwrap().into_iter();
        let last = calls.rfind(|call| call.service == "sqs" && call.action == action).unwrap();
        serde_json::from_str(&last.params).unwrap()
    }

    async fn send_raw(&self, queue: &SqsQueue, body: &str) {
        queue.client.send_message().queue_url(&queue.url).message_body(body).send().await.unwrap();
    }

    /// Returns how many messages can be seen and how many are hidden.
    async fn waiting(&self, queue: &SqsQueue) -> (u32, u32) {
        let (seen, hidden) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let asked = queue.client.get_queue_attributes().queue_url(&queue.url);
        let asked = asked.attribute_names(seen.clone()).attribute_names(hidden.clone()).send().await.unwrap();
        let count = |name| asked.attributes().unwrap()[name].parse().unwrap();
        (count(&seen), count(&hidden))
    }
}

async fn make_queue(client: &Client, name: &str, dead_letters: Option<&str>) -> String {
    let redrive = dead_letters.map(|queue| {
        let target = format!("arn:aws:sqs:us-east-1:123456789012:{queue}");
        serde_json::json!({"deadLetterTargetArn": target, "maxReceiveCount": MOST_ATTEMPTS}).to_string()
    });
    let attributes = redrive.map(|policy| (QueueAttributeName::RedrivePolicy, policy)).into_iter().collect();
    let made = client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.unwrap();
    made.queue_url.unwrap()
}

/// An SQS queue whose time passes when it is told to, not by itself: what was hidden for long enough is shown again
/// before the next messages are taken.
struct Timed<'a> {
    queue: &'a SqsQueue,
    now: SyncMutex<Duration>,
    hidden: SyncMutex<Vec<(Duration, String)>>,
}

impl<'a> Timed<'a> {
    fn new(queue: &'a SqsQueue) -> Self {
        Self { queue, now: SyncMutex::default(), hidden: SyncMutex::default() }
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn due(&self) -> Vec<String> {
        let now = *self.now.lock().unwrap();
        let due = self.hidden.lock().unwrap().extract_if(.., |(until, _)| *until <= now).collect::<Vec<_>>();
        due.into_iter().map(|(_, receipt)| receipt).collect()
    }
}

#[async_trait]
impl Queue for Timed<'_> {
    async fn send(&self, look: &Look) -> Result<(), Unavailable> {
        self.queue.send(look).await
    }

    async fn receive(&self, most: usize, invisible: Duration) -> Result<Vec<Delivery>, Unavailable> {
        for receipt in self.due() {
            let shown = self.queue.client.change_message_visibility().queue_url(&self.queue.url);
            // It may be gone.
            let _ = shown.receipt_handle(receipt).visibility_timeout(0).send().await;
        }
        let given = self.queue.receive(most, invisible).await?;
        let until = *self.now.lock().unwrap() + invisible;
        self.hidden.lock().unwrap().extend(given.iter().map(|given| (until, given.receipt.clone())));
        Ok(given)
    }

    async fn done(&self, receipt: &str) -> Result<(), Unavailable> {
        self.queue.done(receipt).await
    }
}
