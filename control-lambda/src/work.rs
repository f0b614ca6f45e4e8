//! What the worker is woken by: SQS messages, among them what ECS says of tasks, and the schedule of the sweep.

use std::time::{Duration, Instant};

use adapters::queue::message;
use domain::{
    Timestamp,
    driver::{ApplyError, Driver},
    ports::Unavailable,
    world::WorldId,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::Instrument;

use crate::telemetry::{Figure, count};

/// How long one look at a world may take. The function's own time-out and the queue's visibility are longer.
const LOOK_LIMIT: Duration = Duration::from_secs(180);

/// How long a sweep may take. What it does not come to is for the next one.
const SWEEP_LIMIT: Duration = Duration::from_secs(240);

/// What woke the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Messages.
    Messages(Vec<Message>),
    /// The schedule.
    Sweep,
}

/// A message, and how SQS calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// SQS's id of the message.
    pub id: String,
    /// What it asks for.
    pub ask: Ask,
}

/// What a message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// To look at a world.
    Look(WorldId),
    /// Nothing: it is about a task that is none of ours.
    Nothing,
    /// It cannot be read; why.
    Unreadable(String),
}

#[derive(Deserialize)]
struct SqsEvent {
    #[serde(rename = "Records")]
    records: Vec<SqsRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SqsRecord {
    message_id: String,
    body: String,
}

#[derive(Deserialize)]
struct TaskEvent {
    source: String,
    detail: TaskDetail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskDetail {
    #[serde(default)]
    started_by: String,
}

impl Wake {
    /// Reads an event; an error says what is wrong with it. Tasks whose `startedBy` begins with `prefix` are ours.
    pub fn read(event: Value, prefix: &str) -> Result<Self, serde_json::Error> {
        if event.get("source").and_then(Value::as_str) == Some("aws.events") {
            return Ok(Self::Sweep);
        }
        let SqsEvent { records } = serde_json::from_value(event)?;
        let message =
            |record: SqsRecord| Message { ask: Ask::read(&record.body, prefix), id: record.message_id };
        Ok(Self::Messages(records.into_iter().map(message).collect()))
    }
}

impl Ask {
    fn read(body: &str, prefix: &str) -> Self {
        let why = match message::decode(body) {
            Ok(look) => return Self::Look(look.world),
            Err(why) => why,
        };
        match serde_json::from_str::<TaskEvent>(body) {
            Ok(event) if event.source == "aws.ecs" => {
                world_of(&event.detail.started_by, prefix).map_or(Self::Nothing, Self::Look)
            }
            Ok(_) | Err(_) => Self::Unreadable(why.to_string()),
        }
    }
}

/// Returns the world that a task was started for: `startedBy` is `PREFIX/WORLD/GENERATION`.
fn world_of(started_by: &str, prefix: &str) -> Option<WorldId> {
    let (world, _generation) = started_by.strip_prefix(prefix)?.strip_prefix('/')?.split_once('/')?;
    WorldId::parse(world).ok()
}

/// Does what the worker was woken for, and returns which messages are to come again, as SQS wants it
/// (`ReportBatchItemFailures`).
pub async fn work(wake: Wake, driver: &Driver) -> Value {
    match wake {
        Wake::Messages(messages) => {
            let mut failed = Vec::new();
            for message in messages {
                if !take(&message, driver).await {
                    failed.push(json!({ "itemIdentifier": message.id }));
                }
            }
            json!({ "batchItemFailures": failed })
        }
        Wake::Sweep => {
            sweep(driver).await;
            Value::Null
        }
    }
}

/// Does what the message asks for and tells whether it is done with.
async fn take(message: &Message, driver: &Driver) -> bool {
    match &message.ask {
        Ask::Look(world) => look(world, driver).await,
        Ask::Nothing => true,
        // Left to the dead letters, where somebody can look at it.
        Ask::Unreadable(why) => {
            count(Figure::MessageUnreadable);
            tracing::error!(message = message.id, why, "a message cannot be read");
            false
        }
    }
}

/// Looks at the world and tells whether that is done with.
async fn look(world: &WorldId, driver: &Driver) -> bool {
    let span = tracing::info_span!("look", world = world.as_str(), generation = tracing::field::Empty);
    if let Ok((loaded, _)) = driver.store.load(world).await {
        span.record("generation", loaded.generation.0);
    }
    let looked = tokio::time::timeout(LOOK_LIMIT, driver.look(world, Timestamp::now()));
    async {
        match looked.await {
            Ok(Ok(())) => {
                tracing::info!("looked");
                true
            }
            Ok(Err(ApplyError::NotFound)) => {
                tracing::warn!("there is no such world");
                true
            }
            Ok(Err(error)) => again(&error.to_string()),
            Err(_) => again("it took too long"),
        }
    }
    .instrument(span)
    .await
}

fn again(why: &str) -> bool {
    count(Figure::LookFailed);
    tracing::warn!(why, "the look failed and comes again");
    false
}

async fn sweep(driver: &Driver) {
    let begun = Instant::now();
    match tokio::time::timeout(SWEEP_LIMIT, driver.sweep(Timestamp::now())).await {
        Ok(Ok(failed)) => {
            for (world, error) in &failed {
                count(Figure::LookFailed);
                tracing::warn!(world = world.as_str(), why = %error, "the sweep failed for a world");
            }
            tracing::info!(failed = failed.len(), "swept");
        }
        Ok(Err(Unavailable(why))) => {
            count(Figure::LookFailed);
            tracing::error!(why, "the sweep failed");
        }
        Err(_) => {
            count(Figure::LookFailed);
            tracing::error!("the sweep took too long; the next one goes on");
        }
    }
    count(Figure::SweepMs(begun.elapsed().as_secs_f64() * 1000.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: Value) -> Wake {
        Wake::read(event, "dormouse").unwrap()
    }

    fn ask(body: &str) -> Ask {
        match read(json!({ "Records": [{ "messageId": "m-1", "body": body }] })) {
            Wake::Messages(messages) => messages[0].ask.clone(),
            Wake::Sweep => panic!("no messages"),
        }
    }

    fn task_event(started_by: &str) -> String {
        json!({ "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": { "startedBy": started_by } })
            .to_string()
    }

    fn look(world: &str) -> Ask {
        Ask::Look(WorldId::parse(world).unwrap())
    }

    #[test]
    fn messages_and_what_ecs_says_of_our_tasks_ask_for_a_look() {
        assert_eq!(ask(r#"{"v":1,"world":"w-1"}"#), look("w-1"));
        assert_eq!(ask(&task_event("dormouse/w-7/3")), look("w-7"));
    }

    #[test]
    fn what_ecs_says_of_others_tasks_asks_for_nothing() {
        for other in ["", "ecs-svc/123", "dormouse-two/w-7/3", "dormouse-erase/w-7", "dormouse/../3"] {
            assert_eq!(ask(&task_event(other)), Ask::Nothing, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_so() {
        for bad in ["", "{}", "[[[", r#"{"v":2,"world":"w"}"#, r#"{"source":"aws.s3","detail":{}}"#] {
            assert!(matches!(ask(bad), Ask::Unreadable(_)), "{bad}");
        }
        assert!(Wake::read(json!({ "Records": 3 }), "dormouse").is_err());
        assert!(Wake::read(json!("hello"), "dormouse").is_err());
    }

    #[test]
    fn the_schedule_asks_for_a_sweep() {
        assert_eq!(read(json!({ "source": "aws.events", "detail-type": "Scheduled Event" })), Wake::Sweep);
    }

    #[tokio::test]
    async fn only_what_failed_comes_again() {
        let memory = domain::sim::Memory::default();
        let driver = memory.driver([]);
        let record = |id: &str, body: &str| json!({ "messageId": id, "body": body });
        let records = [
            record("gone", r#"{"v":1,"world":"w-1"}"#),
            record("bad", "x"),
            record("not-ours", &task_event("x")),
        ];
        let answer = work(read(json!({ "Records": records })), &driver).await;
        assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "bad" }] }));
    }
}
