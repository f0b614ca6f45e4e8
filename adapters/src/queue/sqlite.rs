//! Messages in SQLite, in the database file of the store.
//!
//! A message that nobody was given yet stands for every later one about its world: whoever sends has saved before, and
//! whoever receives loads afterwards. A message that was given out once does not, even when its time has run out: its
//! worker may have looked too early and confirm it later.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    ports::{Delivery, Look, Queue, Unavailable},
    world::WorldId,
};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::Notify;

use crate::{
    queue::{
        dead::{DeadLetter, DeadLetters},
        message::DecodeError,
    },
    sqlite::{Database, OpenError},
};

/// How often a message is given out before it is put aside. The sweep still looks at its world.
const MOST_ATTEMPTS: u32 = 20;

/// How many messages that were put aside are kept to look into.
const MOST_DEAD: u32 = 1_000;

/// A clock. Tests give one that they move.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Messages in a database file. Clones share one connection; several processes may share the file.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    clock: Clock,
    arrived: Arc<Notify>,
}

impl SqliteQueue {
    /// Opens the database file, which is made if it is not there, and checks that it is sound.
    pub fn open(
        path: impl AsRef<Path>,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let database = Database::open(path.as_ref())?;
        Ok(Self { database, clock: Arc::new(clock), arrived: Arc::default() })
    }

    /// Waits until this queue or a clone of it has sent something since the last wait.
    ///
    /// A message of another process, or one whose worker did not confirm it in time, wakes nobody: poll as well, slowly.
    pub fn arrived(&self) -> impl Future<Output = ()> {
        self.arrived.notified()
    }

    fn now_ms(&self) -> i64 {
        (self.clock)().as_millisecond()
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, look: &Look) -> Result<(), Unavailable> {
        let world = look.world.to_string();
        self.database.call(move |c| add(c, &world)).await?;
        self.arrived.notify_one();
        Ok(())
    }

    async fn receive(&self, most: usize, invisible: Duration) -> Result<Vec<Delivery>, Unavailable> {
        let now_ms = self.now_ms();
        let hidden_ms = i64::try_from(invisible.as_millis()).unwrap_or(i64::MAX);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let give = move |c: &mut Connection| {
            let transaction = c.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let dead = bury(&transaction, now_ms)?;
            let given = give(&transaction, now_ms, now_ms.saturating_add(hidden_ms), most)?;
            transaction.commit()?;
            Ok((dead, given))
        };
        let (dead, given) = self.database.call(give).await?;
        for world in dead {
            tracing::warn!(
                world,
                "looking at the world failed {MOST_ATTEMPTS} times; its message is put aside"
            );
        }
        given.into_iter().map(Given::delivery).collect()
    }

    async fn done(&self, receipt: &str) -> Result<(), Unavailable> {
        let Some((id, attempt)) = read_receipt(receipt) else { return Ok(()) };
        let delete = "DELETE FROM messages WHERE id = ? AND attempts = ?";
        self.database.call(move |c| c.execute(delete, params![id, attempt])).await.map(|_| ())
    }
}

#[async_trait]
impl DeadLetters for SqliteQueue {
    async fn inspect(&self, most: usize) -> Result<Vec<DeadLetter>, Unavailable> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let letters: Vec<Dead> = self.database.call(move |c| oldest_dead(c, most)).await?;
        letters.iter().map(Dead::letter).collect()
    }

    async fn redrive(&self, most: usize) -> Result<usize, Unavailable> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let redriven = self.database.call(move |c| redrive(c, most)).await?;
        if redriven > 0 {
            self.arrived.notify_one();
        }
        Ok(redriven)
    }
}

/// Adds a message for `world` unless one waits that nobody was given.
fn add(connection: &Connection, world: &str) -> rusqlite::Result<usize> {
    // Visible since ever: a clock that is set back hides nothing.
    connection.execute(
        "INSERT INTO messages (world, visible_at_ms, attempts)
         SELECT :world, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM messages WHERE world = :world AND attempts = 0)",
        &[(":world", world)],
    )
}

/// Puts the messages aside that were given out too often, and returns their worlds.
fn bury(transaction: &Transaction<'_>, now_ms: i64) -> rusqlite::Result<Vec<String>> {
    let delete =
        "DELETE FROM messages WHERE visible_at_ms <= ? AND attempts >= ? RETURNING id, world, attempts";
    let spent: Vec<Given> = transaction
        .prepare(delete)?
        .query_map([now_ms, MOST_ATTEMPTS.into()], Given::from_row)?
        .collect::<Result<_, _>>()?;
    for Given { id, world, attempt } in &spent {
        transaction.execute("INSERT INTO dead VALUES (?, ?, ?, ?)", params![id, world, attempt, now_ms])?;
    }
    let prune =
        "DELETE FROM dead WHERE id NOT IN (SELECT id FROM dead ORDER BY died_at_ms DESC, id DESC LIMIT ?)";
    if !spent.is_empty() {
        transaction.execute(prune, [MOST_DEAD])?;
    }
    Ok(spent.into_iter().map(|given| given.world).collect())
}

/// Gives out the messages that have waited longest.
fn give(
    transaction: &Transaction<'_>,
    now_ms: i64,
    hidden_until_ms: i64,
    most: i64,
) -> rusqlite::Result<Vec<Given>> {
    let update = "UPDATE messages SET visible_at_ms = :hidden_until, attempts = attempts + 1
        WHERE id IN (SELECT id FROM messages WHERE visible_at_ms <= :now ORDER BY visible_at_ms, id LIMIT :most)
        RETURNING id, world, attempts";
    let parameters = &[(":hidden_until", &hidden_until_ms), (":now", &now_ms), (":most", &most)];
    transaction.prepare(update)?.query_map(parameters, Given::from_row)?.collect()
}

/// Returns the messages that were put aside first.
fn oldest_dead(connection: &Connection, most: i64) -> rusqlite::Result<Vec<Dead>> {
    let query = "SELECT id, world, attempts, died_at_ms FROM dead ORDER BY died_at_ms, id LIMIT ?";
    connection.prepare(query)?.query_map([most], Dead::from_row)?.collect()
}

/// Adds the messages again that were put aside first, and returns how many.
fn redrive(connection: &mut Connection, most: i64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let letters = oldest_dead(&transaction, most)?;
    let readable = letters.iter().filter(|letter| letter.world().is_ok());
    let mut redriven = 0;
    for Dead { id, world, .. } in readable {
        add(&transaction, world)?;
        transaction.execute("DELETE FROM dead WHERE id = ?", [id])?;
        redriven += 1;
    }
    transaction.commit()?;
    Ok(redriven)
}

/// A message that was put aside.
struct Dead {
    id: i64,
    world: String,
    attempts: u32,
    died_at_ms: i64,
}

impl Dead {
    fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            world: row.get("world")?,
            attempts: row.get("attempts")?,
            died_at_ms: row.get("died_at_ms")?,
        })
    }

    fn world(&self) -> Result<WorldId, DecodeError> {
        Ok(WorldId::parse(&self.world)?)
    }

    fn letter(&self) -> Result<DeadLetter, Unavailable> {
        let since = Timestamp::from_millisecond(self.died_at_ms);
        let since = since.map_err(|error| Unavailable(format!("a message that was put aside: {error}")))?;
        Ok(DeadLetter { world: self.world(), attempts: self.attempts, since })
    }
}

/// A message as it was given out.
struct Given {
    id: i64,
    world: String,
    attempt: u32,
}

impl Given {
    fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get("id")?, world: row.get("world")?, attempt: row.get("attempts")? })
    }

    fn delivery(self) -> Result<Delivery, Unavailable> {
        let world = WorldId::parse(&self.world).map_err(|error| Unavailable(error.to_string()))?;
        Ok(Delivery {
            receipt: format!("{}.{}", self.id, self.attempt),
            look: Look { world },
            attempt: self.attempt,
        })
    }
}

/// Returns the message and the delivery that `receipt` confirms: no other delivery of the message.
fn read_receipt(receipt: &str) -> Option<(i64, u32)> {
    let (id, attempt) = receipt.split_once('.')?;
    Some((id.parse().ok()?, attempt.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{
        contract::{self, INVISIBLE, look, only},
        dead,
    };
    use std::sync::atomic::{AtomicI64, Ordering};

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let bench = Bench::new();
        let pass = |time| bench.pass(time);
        contract::all(&bench.queue, &pass).await;
        contract::a_delivered_message_is_hidden_for_a_while(&bench.queue, &pass).await;
        contract::a_late_done_takes_nothing_from_others(&bench.queue, &pass).await;
        assert_eq!(bench.count("messages").await, 0);
    }

    #[tokio::test]
    async fn a_message_is_there_after_a_crash() {
        let bench = Bench::new();
        bench.queue.send(&look("w")).await.unwrap();
        std::mem::forget(bench.queue.clone());
        assert_eq!(only(&bench.reopen()).await.look, look("w"));
    }

    #[tokio::test]
    async fn one_waiting_message_for_a_world_is_enough() {
        let bench = Bench::new();
        for _ in 0..5 {
            bench.queue.send(&look("w")).await.unwrap();
        }
        bench.queue.send(&look("other")).await.unwrap();
        assert_eq!(bench.count("messages").await, 2);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_hides_no_new_message() {
        let bench = Bench::new();
        bench.queue.send(&look("w")).await.unwrap();
        bench.now_ms.fetch_sub(3_600_000, Ordering::Relaxed);
        only(&bench.queue).await;
    }

    #[tokio::test]
    async fn a_message_that_fails_too_often_is_put_aside() {
        let bench = Bench::new();
        bench.queue.send(&look("w")).await.unwrap();
        for attempt in 1..=MOST_ATTEMPTS {
            assert_eq!(only(&bench.queue).await.attempt, attempt);
            bench.pass(INVISIBLE);
        }
        assert_eq!(bench.queue.receive(10, INVISIBLE).await, Ok(vec![]));
        assert_eq!((bench.count("messages").await, bench.count("dead").await), (0, 1));
    }

    #[tokio::test]
    async fn sqlite_keeps_the_contract_of_dead_letters() {
        let bench = Bench::new();
        let worlds = ["w-1", "w-2", "w-3"];
        for world in worlds {
            bench.queue.send(&look(world)).await.unwrap();
        }
        for _ in 0..MOST_ATTEMPTS {
            assert_eq!(bench.queue.receive(10, INVISIBLE).await.unwrap().len(), worlds.len());
            bench.pass(INVISIBLE);
        }
        assert_eq!(bench.queue.receive(10, INVISIBLE).await, Ok(vec![]));
        let died = Timestamp::from_millisecond(bench.now_ms.load(Ordering::Relaxed)).unwrap();
        let letter = bench.queue.inspect(1).await.unwrap().remove(0);
        assert_eq!((letter.attempts, letter.since), (MOST_ATTEMPTS, died));
        dead::contract::all(&bench.queue, &bench.queue, &worlds).await;
        assert_eq!((bench.count("messages").await, bench.count("dead").await), (0, 0));
    }

    #[tokio::test]
    async fn a_dead_letter_that_names_no_world_is_shown_and_stays() {
        let bench = Bench::new();
        let spoil = "INSERT INTO dead VALUES (1, '../etc', 20, 1795253400250)";
        bench.queue.database.call(move |c| c.execute(spoil, [])).await.unwrap();
        assert_eq!(bench.queue.redrive(10).await, Ok(0));
        let letter = bench.queue.inspect(10).await.unwrap().remove(0);
        expect_test::expect!["the message cannot be read: world id `../etc` is not valid: use 1 to 40 lower-case letters, digits and hyphens"]
            .assert_eq(&letter.world.unwrap_err().to_string());
    }

    #[tokio::test]
    async fn only_the_newest_of_those_put_aside_are_kept() {
        let bench = Bench::new();
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
            INSERT INTO messages SELECT i, 'w-' || i, i, 20 FROM n";
        bench.queue.database.call(move |c| c.execute(fill, [])).await.unwrap();
        assert_eq!(bench.queue.receive(10, INVISIBLE).await, Ok(vec![]));
        assert_eq!((bench.count("messages").await, bench.count("dead").await), (0, MOST_DEAD));
        let oldest = "SELECT min(id) FROM dead";
        let oldest: i64 =
            bench.queue.database.call(|c| c.query_row(oldest, [], |row| row.get(0))).await.unwrap();
        assert_eq!(oldest, 201);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_workers_are_never_given_the_same_message() {
        let bench = Bench::new();
        for n in 0..40 {
            bench.queue.send(&look(&format!("w-{n}"))).await.unwrap();
        }
        let workers: Vec<_> = (0..4).map(|_| tokio::spawn(drain(bench.reopen()))).collect();
        let mut given = Vec::new();
        for worker in workers {
            given.extend(worker.await.unwrap());
        }
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 40);
    }

    async fn drain(queue: SqliteQueue) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let given = queue.receive(3, INVISIBLE).await.unwrap();
            if given.is_empty() {
                return all;
            }
            assert!(given.iter().all(|delivery| delivery.attempt == 1));
            all.extend(given.into_iter().map(|delivery| delivery.look.world.to_string()));
        }
    }

    #[tokio::test]
    async fn sending_wakes_a_worker_that_waits_or_is_about_to() {
        let bench = Bench::new();
        bench.queue.send(&look("w")).await.unwrap();
        bench.queue.arrived().await;
        let worker = bench.queue.clone();
        let waiting = tokio::spawn(async move { worker.arrived().await });
        tokio::task::yield_now().await;
        bench.queue.send(&look("w")).await.unwrap();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_receipt_that_was_never_given_confirms_nothing() {
        let bench = Bench::new();
        bench.queue.send(&look("w")).await.unwrap();
        for receipt in ["", "1", "1.0x", "1.7", "99999999999999999999.1"] {
            bench.queue.done(receipt).await.unwrap();
        }
        only(&bench.queue).await;
    }

    /// A queue in a directory of its own, with a clock that stands still until it is moved.
    struct Bench {
        queue: SqliteQueue,
        now_ms: Arc<AtomicI64>,
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let now_ms = Arc::new(AtomicI64::new(1_795_253_400_250));
            Self { queue: open(&dir, &now_ms), now_ms, dir }
        }

        fn reopen(&self) -> SqliteQueue {
            open(&self.dir, &self.now_ms)
        }

        fn pass(&self, time: Duration) {
            self.now_ms.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
        }

        async fn count(&self, table: &str) -> u32 {
            let query = format!("SELECT count(*) FROM {table}");
            self.queue.database.call(move |c| c.query_row(&query, [], |row| row.get(0))).await.unwrap()
        }
    }

    fn open(dir: &tempfile::TempDir, now_ms: &Arc<AtomicI64>) -> SqliteQueue {
        let now_ms = now_ms.clone();
        let clock = move || Timestamp::from_millisecond(now_ms.load(Ordering::Relaxed)).unwrap();
        SqliteQueue::open(dir.path().join("dormouse.db"), clock).unwrap()
    }
}
