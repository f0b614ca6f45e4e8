//! One SQLite database file, which the store and the queue share: how it is opened, and what its failures mean to the
//! person whose disk it is on.
//!
//! The schema and its version stand here, because the file has one of each.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::ports::Unavailable;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use thiserror::Error;

/// How long to wait for another connection's write. A write takes milliseconds, a slow disk's some hundred.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// The schema that [`SCHEMA`] and what follows it make, kept in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 2;

// AUTOINCREMENT, so that the receipt of a message that is gone never fits a later one.
const SCHEMA: &str = "
    CREATE TABLE worlds (
        id      TEXT PRIMARY KEY,
        guild   TEXT NOT NULL,
        name    TEXT NOT NULL,
        deleted INTEGER NOT NULL,
        settled INTEGER NOT NULL,
        version INTEGER NOT NULL,
        record  TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX worlds_by_name ON worlds (guild, name) WHERE NOT deleted;
    CREATE INDEX worlds_unsettled ON worlds (id) WHERE NOT settled;
    CREATE TABLE messages (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        world         TEXT NOT NULL,
        visible_at_ms INTEGER NOT NULL,
        attempts      INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_by_visibility ON messages (visible_at_ms, id);
    CREATE TABLE dead (
        id       INTEGER PRIMARY KEY,
        world    TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        died_at_ms INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
";

/// What schema 2 adds to schema 1.
const SCHEMA_2: &str = "
    CREATE TABLE rules (
        guild   TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        record  TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 2;
";

/// Why a database was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// What is in the file is no sound database.
    #[error("{0}")]
    Damaged(String),
    /// A newer program wrote it.
    #[error(
        "the database `{path}` has schema {found} and this Dormouse knows up to {SCHEMA_VERSION}: use the newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// It is out of reach, perhaps only now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// An open database file. Clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    path: Arc<Path>,
    connection: Arc<Mutex<Connection>>,
}

impl Database {
    /// Opens the file, which is made if it is not there, and checks that it is sound.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = connect(path).map_err(|error| failed_to_open(path, &error))?;
        require_sound(&connection, path)?;
        require_known_schema(&connection, path)?;
        let connection = prepare(connection).map_err(|error| failed_to_open(path, &error))?;
        Ok(Self { path: path.into(), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Performs `act` on a thread that may wait for the disk.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let database = self.clone();
        let call = move || {
            let mut connection = database.connection.lock().unwrap_or_else(PoisonError::into_inner);
            act(&mut connection).map_err(|error| Unavailable(sentence(&database.path, &error)))
        };
        tokio::task::spawn_blocking(call)
            .await
            .unwrap_or_else(|error| Err(Unavailable(format!("the database call did not end: {error}"))))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Not `Connection::open`: it would take a path that begins with `file:` for a URI.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_LIMIT)?;
    Ok(connection)
}

/// Looks before anything is written: a damaged file stays as it is.
fn require_sound(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| failed_to_open(path, &error))?;
    if found == "ok" { Ok(()) } else { Err(OpenError::Damaged(damaged(path, &found))) }
}

fn require_known_schema(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match schema_version(connection).map_err(|error| failed_to_open(path, &error))? {
        found if found > SCHEMA_VERSION => Err(OpenError::Newer { path: path.into(), found }),
        _ => Ok(()),
    }
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Makes every commit durable and the schema complete.
fn prepare(mut connection: Connection) -> rusqlite::Result<Connection> {
    use_wal(&connection)?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if schema_version(&transaction)? == 0 {
        transaction.execute_batch(SCHEMA)?;
    }
    if schema_version(&transaction)? == 1 {
        transaction.execute_batch(SCHEMA_2)?;
    }
    transaction.commit()?;
    Ok(connection)
}

/// Switches to the write-ahead log. Somebody else who opens the file at the same time makes SQLite give up at once here,
/// whatever its time-out for waiting.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + BUSY_LIMIT;
    loop {
        let switched = connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
        let is_busy =
            switched.as_ref().is_err_and(|e| e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !is_busy || Instant::now() >= deadline {
            return switched;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn failed_to_open(path: &Path, error: &rusqlite::Error) -> OpenError {
    if is_damage(error) {
        OpenError::Damaged(sentence(path, error))
    } else {
        OpenError::Unavailable(Unavailable(sentence(path, error)))
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Returns what is wrong and what to do about it.
fn sentence(path: &Path, error: &rusqlite::Error) -> String {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, &error.to_string()),
        Some(ErrorCode::DiskFull) => {
            format!("the disk of the database `{shown}` is full: make room on it and try again")
        }
        Some(ErrorCode::ReadOnly) => {
            format!(
                "the database `{shown}` cannot be written: make the file, its directory and its disk writable ({error})"
            )
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!(
                "the database `{shown}` cannot be opened: its directory must exist and be writable ({error})"
            )
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("the database `{shown}` is held by another program: end that one, or try again")
        }
        Some(ErrorCode::SystemIoFailure) => format!(
            "the disk of the database `{shown}` is full or fails ({error}): make room on it, and see to its health"
        ),
        Some(_) | None => format!("the database `{shown}`: {error}"),
    }
}

fn damaged(path: &Path, found: &str) -> String {
    let shown = path.display();
    let found = found.trim().replace('\n', " ");
    format!(
        "the database `{shown}` is damaged ({found}): restore a copy of it. Without one, wait until nobody plays, then \
         move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world \
         files and archives beside it are untouched"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::fs;

    #[test]
    fn a_file_that_is_no_database_is_reported_and_left_as_it_is() {
        let (dir, path) = place();
        fs::write(&path, "world: valhalla\n".repeat(100)).unwrap();
        check(
            &dir,
            &path,
            expect![
                "the database `/data/dormouse.db` is damaged (file is not a database): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched"
            ],
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "world: valhalla\n".repeat(100));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_page_is_reported() {
        let (dir, path) = place();
        fill(&path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..4096 * 4].fill(0x5a);
        fs::write(&path, &bytes).unwrap();
        check(
            &dir,
            &path,
            expect![
                "the database `/data/dormouse.db` is damaged (*** in database main *** Tree 2 page 2: btreeInitPage() returns error code 11): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched"
            ],
        );
    }

    #[test]
    fn a_file_that_was_cut_off_is_reported() {
        let (dir, path) = place();
        fill(&path);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 4096 * 3]).unwrap();
        check(
            &dir,
            &path,
            expect![
                "the database `/data/dormouse.db` is damaged (database disk image is malformed): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched"
            ],
        );
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let (dir, path) = place();
        drop(Database::open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 3").unwrap();
        check(
            &dir,
            &path,
            expect![
                "the database `/data/dormouse.db` has schema 3 and this Dormouse knows up to 2: use the newer one"
            ],
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let (dir, _) = place();
        check(
            &dir,
            &dir.path().join("gone/dormouse.db"),
            expect![
                "the database `/data/gone/dormouse.db` cannot be opened: its directory must exist and be writable (unable to open database file: /data/gone/dormouse.db)"
            ],
        );
    }

    #[test]
    fn many_open_a_new_database_at_once() {
        let (_dir, path) = place();
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| Database::open(&path).map(drop))).collect();
            opened.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        });
    }

    #[tokio::test]
    async fn a_full_disk_and_a_read_only_one_are_told_apart() {
        let (dir, path) = place();
        let database = Database::open(&path).unwrap();
        let grow =
            |c: &mut Connection| c.execute("INSERT INTO dead VALUES (1, hex(zeroblob(999999)), 1, 1)", []);
        database.call(|c| c.query_row("PRAGMA max_page_count = 20", [], |_| Ok(()))).await.unwrap();
        let full = database.call(grow).await.unwrap_err();
        expect!["the disk of the database `/data/dormouse.db` is full: make room on it and try again"]
            .assert_eq(&shown(&dir, &full));
        database.call(|c| c.execute_batch("PRAGMA query_only = 1")).await.unwrap();
        let read_only = database.call(grow).await.unwrap_err();
        expect!["the database `/data/dormouse.db` cannot be written: make the file, its directory and its disk writable (attempt to write a readonly database)"].assert_eq(&shown(&dir, &read_only));
    }

    #[tokio::test]
    async fn every_commit_is_durable() {
        let (_dir, path) = place();
        let database = Database::open(&path).unwrap();
        let ask =
            |what: &'static str| database.call(move |c| c.query_row(what, [], |row| row.get::<_, String>(0)));
        assert_eq!(ask("PRAGMA journal_mode").await.unwrap(), "wal");
        assert_eq!(ask("SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous").await.unwrap(), "2");
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dormouse.db");
        (dir, path)
    }

    /// Makes a database of many pages and closes it.
    fn fill(path: &Path) {
        drop(Database::open(path).unwrap());
        let connection = Connection::open(path).unwrap();
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
            INSERT INTO worlds SELECT 'w' || i, 'g', 'n' || i, 0, 1, 1, hex(zeroblob(500)) FROM n";
        connection.execute_batch(insert).unwrap();
    }

    fn check(dir: &tempfile::TempDir, path: &Path, expected: Expect) {
        expected.assert_eq(&shown(dir, &Database::open(path).unwrap_err()));
    }

    fn shown(dir: &tempfile::TempDir, error: &impl ToString) -> String {
        error.to_string().replace(&dir.path().display().to_string(), "/data")
    }
}
