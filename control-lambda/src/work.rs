//! What the worker is woken by: SQS messages, among them what ECS says of tasks, and the schedule of the sweep.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use adapters::queue::message::{self, Ask, DecodeError, Tasks};
use domain::{
    Timestamp,
    driver::{ApplyError, Driver},
    ports::Unavailable,
    world::WorldId,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use crate::telemetry::{Figure, count};

/// How long the looks that a batch of messages asks for may take, all together. The function's own time-out and the
/// queue's visibility are longer, so that what was done with does not come again.
const BATCH_LIMIT: Duration = Duration::from_secs(180);

/// How many worlds are looked at at once: as many as SQS gives messages at a time. A look mostly waits for AWS.
const AT_ONCE: usize = 10;

/// How long a sweep may take. What it does not come to is for the next one, but for what is overdue.
const SWEEP_LIMIT: Duration = Duration::from_secs(240);

/// How much of that may go into tasks that no world knows.
const ORPHANS_LIMIT: Duration = Duration::from_secs(60);

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
    /// What it asks for, or why that cannot be read.
    pub ask: Result<Ask, DecodeError>,
}

impl Message {
    fn world(&self) -> Option<&WorldId> {
        match &self.ask {
            Ok(Ask::Look(look)) => Some(&look.world),
            Ok(Ask::Nothing) | Err(_) => None,
        }
    }
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

impl Wake {
    /// Reads an event; an error says what is wrong with it. Tasks whose `startedBy` begins with `prefix` are ours.
    pub fn read(event: Value, prefix: &str) -> Result<Self, serde_json::Error> {
        if event.get("source").and_then(Value::as_str) == Some("aws.events") {
            return Ok(Self::Sweep);
        }
        let SqsEvent { records } = serde_json::from_value(event)?;
        let message = |record: SqsRecord| Message {
            ask: message::read(&record.body, Tasks::Of(prefix)),
            id: record.message_id,
        };
        Ok(Self::Messages(records.into_iter().map(message).collect()))
    }
}

/// Does what the worker was woken for, and returns which messages are to come again, as SQS wants it
/// (`ReportBatchItemFailures`).
pub async fn work(wake: Wake, driver: &Driver) -> Value {
    match wake {
        Wake::Messages(messages) => {
            let failed = take_all(messages, driver, BATCH_LIMIT).await;
            let failed: Vec<_> = failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
            json!({ "batchItemFailures": failed })
        }
        Wake::Sweep => {
            sweep(driver).await;
            Value::Null
        }
    }
}

/// Does what the messages ask for, and returns the ids of those that are not done with after `limit`.
async fn take_all(messages: Vec<Message>, driver: &Driver, limit: Duration) -> Vec<String> {
    // All of them were sent before any world is looked at, so one look does for all that are about one world.
    let worlds: BTreeSet<_> = messages.iter().filter_map(Message::world).cloned().collect();
    let done = look_at_all(worlds, driver, tokio::time::Instant::now() + limit).await;
    let is_done = |message: &Message| match &message.ask {
        Ok(Ask::Look(look)) => done.contains(&look.world),
        Ok(Ask::Nothing) => true,
        // Left to the dead letters, where somebody can look at it.
        Err(why) => {
            count(Figure::MessageUnreadable);
            tracing::error!(message = message.id, %why, "a message cannot be read");
            false
        }
    };
    messages.into_iter().filter(|message| !is_done(message)).map(|message| message.id).collect()
}

/// Looks at the worlds until `deadline`, [`AT_ONCE`] at a time, and returns those that are done with.
async fn look_at_all(
    worlds: BTreeSet<WorldId>,
    driver: &Driver,
    deadline: tokio::time::Instant,
) -> BTreeSet<WorldId> {
    let (mut waiting, mut looks, mut done) = (worlds.into_iter(), JoinSet::new(), BTreeSet::new());
    loop {
        for world in waiting.by_ref().take(AT_ONCE - looks.len()) {
            let driver = driver.clone();
            looks.spawn(async move { look(&world, &driver, deadline).await.then_some(world) });
        }
        match looks.join_next().await {
            Some(Ok(looked)) => done.extend(looked),
            Some(Err(broken)) => tracing::error!(%broken, "a look broke down"),
            None => return done,
        }
    }
}

/// Looks at the world and tells whether that is done with.
async fn look(world: &WorldId, driver: &Driver, deadline: tokio::time::Instant) -> bool {
    let span = span_of(world);
    let looked = async {
        name_launch(&span, world, driver).await;
        driver.look(world, Timestamp::now()).await
    };
    async {
        match tokio::time::timeout_at(deadline, looked).await {
            Ok(Ok(())) => {
                tracing::info!("looked");
                true
            }
            Ok(Err(ApplyError::NotFound)) => {
                tracing::warn!("there is no such world");
                true
            }
            Ok(Err(error)) => again(&error.to_string()),
            // An archive may be too large to be read in that time, each time.
            Err(_) => match driver.overdue(world, Timestamp::now()).await {
                Ok(()) => again("it took too long"),
                Err(error) => again(&format!("it took too long, and then: {error}")),
            },
        }
    }
    .instrument(span.clone())
    .await
}

/// Returns the span of what is said about the world.
fn span_of(world: &WorldId) -> Span {
    tracing::info_span!("look", world = world.as_str(), generation = tracing::field::Empty)
}

/// Names the world's newest launch in the span.
async fn name_launch(span: &Span, world: &WorldId, driver: &Driver) {
    if let Ok((loaded, _)) = driver.store.load(world).await {
        span.record("generation", loaded.generation.0);
    }
}

fn again(why: &str) -> bool {
    count(Figure::LookFailed);
    tracing::warn!(why, "the look failed and comes again");
    false
}

async fn sweep(driver: &Driver) {
    let (begun, deadline) = (Instant::now(), tokio::time::Instant::now() + SWEEP_LIMIT);
    if let Err(why) = try_sweep(driver, deadline).await {
        count(Figure::LookFailed);
        tracing::error!(why, "the sweep failed");
    }
    count(Figure::SweepMs(begun.elapsed().as_secs_f64() * 1000.0));
}

/// Ends what no world knows and looks at what is not settled, each whatever came of the other.
async fn try_sweep(driver: &Driver, deadline: tokio::time::Instant) -> Result<(), String> {
    let orphans = in_time(tokio::time::Instant::now() + ORPHANS_LIMIT, driver.end_orphans()).await;
    for (world, error) in orphans.iter().flatten() {
        count(Figure::LookFailed);
        let span = span_of(world);
        name_launch(&span, world, driver).await;
        span.in_scope(|| tracing::warn!(why = %error, "a task that no world knows could not be ended"));
    }
    let unsettled: BTreeSet<_> = in_time(deadline, driver.store.unsettled()).await?.into_iter().collect();
    let all = unsettled.len();
    let done = look_at_all(unsettled, driver, deadline).await.len();
    tracing::info!(failed = all - done, "swept");
    orphans.map(drop)
}

async fn in_time<T>(
    deadline: tokio::time::Instant,
    work: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, String> {
    match tokio::time::timeout_at(deadline, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Unavailable(why))) => Err(why),
        Err(_) => Err("it took too long; the next sweep goes on".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use domain::{
        event::Event,
        idle::Timers,
        lifecycle::{self, NewWorld},
        ports::{LaunchError, LaunchOrder, RunningTask, Runtime, Seen},
        settings::Chosen,
        sim::Memory,
        vault::Care,
        world::{Force, GameId, GuildId, Person, State, TaskId, WorldName},
    };
    use std::{
        io,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };
    use tracing::subscriber::NoSubscriber;

    fn read(event: Value) -> Wake {
        Wake::read(event, "dormouse").unwrap()
    }

    fn ask(body: &str) -> Result<Ask, DecodeError> {
        match read(json!({ "Records": [{ "messageId": "m-1", "body": body }] })) {
            Wake::Messages(messages) => messages[0].ask.clone(),
            Wake::Sweep => panic!("no messages"),
        }
    }

    fn task_event(started_by: &str) -> String {
        json!({ "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": { "startedBy": started_by } })
            .to_string()
    }

    fn asks_for(id: &str) -> Result<Ask, DecodeError> {
        Ok(Ask::Look(domain::ports::Look { world: world(id) }))
    }

    fn world(id: &str) -> WorldId {
        WorldId::parse(id).unwrap()
    }

    #[test]
    fn messages_and_what_ecs_says_of_our_tasks_ask_for_a_look() {
        assert_eq!(ask(r#"{"v":1,"world":"w-1"}"#), asks_for("w-1"));
        assert_eq!(ask(&task_event("dormouse/w-7/3")), asks_for("w-7"));
        assert_eq!(ask(&task_event("dormouse-erase/w-7")), asks_for("w-7"), "a deletion goes on");
    }

    #[test]
    fn what_ecs_says_of_others_tasks_asks_for_nothing() {
        for other in ["", "ecs-svc/123", "dormouse-two/w-7/3", "dormouse-two-erase/w-7", "dormouse/../3"] {
            assert_eq!(ask(&task_event(other)), Ok(Ask::Nothing), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_so() {
        for bad in ["", "{}", "[[[", r#"{"v":2,"world":"w"}"#, r#"{"source":"aws.s3","detail":{}}"#] {
            assert!(ask(bad).is_err(), "{bad}");
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

    #[tokio::test]
    async fn the_worlds_of_a_batch_are_looked_at_at_once_and_each_once() {
        let (memory, launcher) = (Memory::default(), Arc::new(Launcher::waits_for(AT_ONCE)));
        let driver = Driver { runtime: launcher.clone(), ..memory.driver([]) };
        let ids: Vec<_> = (0..AT_ONCE).map(|n| format!("w-{n}")).collect();
        for id in &ids {
            start(&driver, id).await;
        }
        let twice = ids.iter().chain(&ids).map(|id| message(id)).collect();
        let taken = tokio::time::timeout(Duration::from_secs(10), take_all(twice, &driver, BATCH_LIMIT));
        assert_eq!(taken.await, Ok(vec![]), "none waits for another");
        assert_eq!(launcher.asked.load(Ordering::Relaxed), AT_ONCE);
    }

    #[tokio::test]
    async fn what_takes_too_long_comes_again_and_holds_up_no_other() {
        let (memory, launcher) = (Memory::default(), Arc::new(Launcher::waits_for(2)));
        let driver = Driver { runtime: launcher.clone(), ..memory.driver([]) };
        start(&driver, "w-stuck").await;
        let messages = ["w-stuck", "w-gone", "w-stuck"].map(message).into();
        let failed = take_all(messages, &driver, Duration::from_millis(50)).await;
        assert_eq!(failed, ["w-stuck", "w-stuck"]);
        assert_eq!(launcher.asked.load(Ordering::Relaxed), 1);
    }

    /// An archive may be so large that no look comes to its end.
    #[tokio::test]
    async fn what_takes_too_long_each_time_is_given_up_when_its_time_is_over() {
        let (memory, launcher) = (Memory::default(), Arc::new(Launcher::waits_for(9)));
        let driver = Driver { runtime: launcher, ..memory.driver([]) };
        let (limit, now) = (Duration::from_millis(50), Timestamp::now());
        start_at(&driver, "w-old", now - lifecycle::LAUNCH_LIMIT).await;
        start_at(&driver, "w-older", now - lifecycle::LAUNCH_LIMIT).await;
        let is_given_up = async |id: &str| {
            let (world, _) = driver.store.load(&world(id)).await.unwrap();
            matches!(world.state, State::Ending { .. })
        };
        assert_eq!(take_all(vec![message("w-old")], &driver, limit).await, ["w-old"]);
        assert_eq!([is_given_up("w-old").await, is_given_up("w-older").await], [true, false]);
        assert_eq!(try_sweep(&driver, tokio::time::Instant::now() + limit).await, Ok(()));
        assert!(is_given_up("w-older").await);
    }

    #[tokio::test]
    async fn more_worlds_than_are_looked_at_at_once_are_all_looked_at() {
        let memory = Memory::default();
        let driver = memory.driver([]);
        let ids: Vec<_> = (0..3 * AT_ONCE).map(|n| format!("w-{n}")).collect();
        for id in &ids {
            start(&driver, id).await;
        }
        let failed = take_all(ids.iter().map(|id| message(id)).collect(), &driver, BATCH_LIMIT).await;
        assert_eq!((failed, memory.lock().tasks.len()), (vec![], ids.len()));
    }

    #[tokio::test]
    async fn what_a_sweep_says_of_a_world_names_it_and_its_launch() {
        let (memory, log) = (Memory::default(), Log::default());
        let driver = memory.driver([]);
        start(&driver, "w-1").await;
        memory.lock().runtime_fault = Some(domain::sim::Fault::Before);
        let writer = log.clone();
        let json = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false);
        let subscriber = json.without_time().with_writer(move || writer.clone()).finish();
        // Of a new call site, tracing asks only the thread that comes by first whether it listens, which may be another
        // test's, unless there are two subscribers.
        let _second = tracing::Dispatch::new(NoSubscriber::default());
        let logging = tracing::subscriber::set_default(subscriber);
        work(Wake::Sweep, &driver).await;
        drop(logging);
        let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let line = said.lines().find(|line| line.contains("the look failed")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["span"], json!({ "name": "look", "world": "w-1", "generation": 1 }));
    }

    fn message(world: &str) -> Message {
        Message { id: world.to_owned(), ask: asks_for(world) }
    }

    async fn start(driver: &Driver, id: &str) {
        start_at(driver, id, Timestamp::now()).await;
    }

    async fn start_at(driver: &Driver, id: &str, now: Timestamp) {
        let by = Person::parse("kaya").unwrap();
        let new = NewWorld {
            id: world(id),
            guild: GuildId::parse("1").unwrap(),
            name: WorldName::parse(id).unwrap(),
            game: GameId::parse("tiny").unwrap(),
            timers: Timers::DEFAULT,
            care: Care::DEFAULT,
            settings: Chosen::default(),
            port: None,
            place: None,
        };
        driver.create(&lifecycle::create(new, by.clone(), now)).await.unwrap();
        driver.apply(&world(id), &[Event::Start { by }], now).await.unwrap();
    }

    /// Launches nothing until so many launches are asked for at once.
    struct Launcher {
        asked: AtomicUsize,
        all: tokio::sync::Barrier,
    }

    impl Launcher {
        fn waits_for(many: usize) -> Self {
            Self { asked: AtomicUsize::new(0), all: tokio::sync::Barrier::new(many) }
        }
    }

    #[async_trait]
    impl Runtime for Launcher {
        async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.all.wait().await;
            Ok(TaskId::parse(order.world.as_str()).unwrap())
        }

        async fn observe(&self, _task: &TaskId) -> Result<Seen, Unavailable> {
            Ok(Seen::There)
        }

        async fn end(&self, _task: &TaskId, _force: Force) -> Result<(), Unavailable> {
            Ok(())
        }

        async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
            Ok(vec![])
        }

        async fn erase(&self, _world: &WorldId) -> Result<(), Unavailable> {
            Ok(())
        }
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
