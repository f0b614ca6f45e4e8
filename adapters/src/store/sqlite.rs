//! World records in SQLite: one row for each world, its record as JSON beside the columns that are searched by.

use std::path::Path;

use async_trait::async_trait;
use domain::{
    access::Rules,
    effect::is_settled,
    ports::{CreateError, Found, Listed, LoadError, SaveError, Store, Unavailable, Version},
    world::{GuildId, State, World, WorldId, WorldName},
};
use rusqlite::{OptionalExtension, Params, Row, named_params};

use crate::{
    sqlite::{Database, OpenError},
    store::{record, rules},
};

/// World records in a database file. Clones share one connection; several processes may share the file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens the database file, which is made if it is not there, and checks that it is sound.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Self { database: Database::open(path.as_ref())? })
    }

    async fn one(
        &self,
        query: &'static str,
        key: impl Params + Send + 'static,
    ) -> Result<(World, Version), LoadError> {
        let stored =
            self.database.call(move |c| c.query_row(query, key, Stored::from_row).optional()).await?;
        let stored = stored.ok_or(LoadError::NotFound)?;
        Ok((stored.world()?, stored.version()))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create(&self, world: &World) -> Result<(), CreateError> {
        let columns = Columns::of(world);
        match self.database.call(move |c| columns.insert(c)).await? {
            0 => Err(CreateError::NameTaken),
            _ => Ok(()),
        }
    }

    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError> {
        self.one("SELECT id, version, record FROM worlds WHERE id = ?", [id.to_string()]).await
    }

    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError> {
        let query = "SELECT id, version, record FROM worlds WHERE guild = ? AND name = ? AND NOT deleted";
        let (world, version) = self.one(query, [guild.to_string(), name.to_string()]).await?;
        let (rules, _) = self.rules(guild).await?;
        Ok(Found { world, version, rules })
    }

    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable> {
        let (rules, _) = self.rules(guild).await?;
        let query = "SELECT id, version, record FROM worlds WHERE guild = ? AND NOT deleted ORDER BY name";
        let guild = guild.to_string();
        let rows = move |c: &mut rusqlite::Connection| {
            c.prepare(query)?.query_map([guild], Stored::from_row)?.collect()
        };
        let stored: Vec<Stored> = self.database.call(rows).await?;
        let worlds = stored.iter().map(Stored::world).collect::<Result<_, _>>()?;
        Ok(Listed { worlds, rules })
    }

    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError> {
        let columns = Columns::of(world);
        match self.database.call(move |c| columns.update(c, read)).await? {
            0 => Err(SaveError::Conflict),
            _ => Ok(Version(read.0 + 1)),
        }
    }

    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable> {
        let query = "SELECT id FROM worlds WHERE NOT settled ORDER BY id";
        let ids = |c: &mut rusqlite::Connection| c.prepare(query)?.query_map([], |row| row.get(0))?.collect();
        let ids: Vec<String> = self.database.call(ids).await?;
        ids.iter().map(|id| WorldId::parse(id).map_err(|error| Unavailable(error.to_string()))).collect()
    }

    async fn rules(&self, guild: &GuildId) -> Result<(Rules, Version), Unavailable> {
        let guild = guild.to_string();
        let query = "SELECT record, version FROM rules WHERE guild = ?";
        let row = move |c: &mut rusqlite::Connection| {
            c.query_row(query, [guild], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
                .optional()
        };
        match self.database.call(row).await? {
            None => Ok((Rules::default(), Version(0))),
            Some((record, version)) => Ok((rules::decode(&record)?, Version(version.unsigned_abs()))),
        }
    }

    async fn save_rules(&self, guild: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError> {
        let row = (guild.to_string(), rules::encode(rules));
        match self.database.call(move |c| write_rules(c, &row, read)).await? {
            0 => Err(SaveError::Conflict),
            _ => Ok(Version(read.0 + 1)),
        }
    }
}

/// Replaces the rules if they are the ones that were read, and returns how many rows were written.
fn write_rules(
    connection: &rusqlite::Connection,
    (guild, record): &(String, String),
    read: Version,
) -> rusqlite::Result<usize> {
    if read == Version(0) {
        let insert = "INSERT INTO rules (guild, version, record) VALUES (?, 1, ?) ON CONFLICT DO NOTHING";
        return connection.execute(insert, [guild, record]);
    }
    let Ok(read) = i64::try_from(read.0) else { return Ok(0) };
    connection.execute(
        "UPDATE rules SET version = version + 1, record = :record WHERE guild = :guild AND version = :read",
        named_params! { ":guild": guild, ":record": record, ":read": read },
    )
}

/// A world as it is written.
struct Columns {
    id: String,
    guild: String,
    name: String,
    deleted: bool,
    settled: bool,
    record: String,
}

impl Columns {
    fn of(world: &World) -> Self {
        Self {
            id: world.id.to_string(),
            guild: world.guild.to_string(),
            name: world.name.to_string(),
            deleted: matches!(world.state, State::Deleted { .. }),
            settled: is_settled(world),
            record: record::encode(world),
        }
    }

    /// Adds the row unless the name is taken, and returns how many were added.
    fn insert(&self, connection: &rusqlite::Connection) -> rusqlite::Result<usize> {
        let Self { id, guild, name, deleted, settled, record } = self;
        connection.execute(
            "INSERT INTO worlds (id, guild, name, deleted, settled, version, record)
             SELECT :id, :guild, :name, :deleted, :settled, 1, :record
             WHERE NOT EXISTS (SELECT 1 FROM worlds WHERE guild = :guild AND name = :name AND NOT deleted)",
            named_params! {
                ":id": id, ":guild": guild, ":name": name, ":deleted": deleted, ":settled": settled, ":record": record,
            },
        )
    }

    /// Replaces the row if it is the one that was read, and returns how many were replaced.
    fn update(&self, connection: &rusqlite::Connection, read: Version) -> rusqlite::Result<usize> {
        let Self { id, guild, name, deleted, settled, record } = self;
        let Ok(read) = i64::try_from(read.0) else { return Ok(0) };
        connection.execute(
            "UPDATE worlds SET guild = :guild, name = :name, deleted = :deleted, settled = :settled,
             version = version + 1, record = :record WHERE id = :id AND version = :read",
            named_params! {
                ":id": id, ":guild": guild, ":name": name, ":deleted": deleted, ":settled": settled, ":record": record,
                ":read": read,
            },
        )
    }
}

/// A world as it is read.
struct Stored {
    id: String,
    version: i64,
    record: String,
}

impl Stored {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get("id")?, version: row.get("version")?, record: row.get("record")? })
    }

    fn world(&self) -> Result<World, Unavailable> {
        record::decode(&self.record).map_err(|error| {
            Unavailable(format!("the record of world `{}` cannot be read: {error}", self.id))
        })
    }

    fn version(&self) -> Version {
        Version(self.version.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{self, asleep};
    use domain::world::Generation;
    use expect_test::expect;

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("dormouse.db")).unwrap();
        contract::all(&store).await;
    }

    #[tokio::test]
    async fn what_was_confirmed_is_there_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dormouse.db");
        let store = SqliteStore::open(&path).unwrap();
        let world = asleep("w", "g", "valhalla");
        store.create(&world).await.unwrap();
        let changed = World { generation: Generation(3), ..world };
        let version = contract::save(&store, &changed).await;
        std::mem::forget(store);
        let reopened = SqliteStore::open(&path).unwrap();
        assert_eq!(reopened.load(&changed.id).await.unwrap(), (changed, version));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_connections_exactly_one_wins_each_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dormouse.db");
        let store = SqliteStore::open(&path).unwrap();
        let world = asleep("w", "g", "valhalla");
        store.create(&world).await.unwrap();
        let writers: Vec<_> =
            (0..4).map(|_| tokio::spawn(write(SqliteStore::open(&path).unwrap(), world.clone()))).collect();
        let mut wins = 0;
        for writer in writers {
            wins += writer.await.unwrap();
        }
        let (last, version) = store.load(&world.id).await.unwrap();
        assert_eq!((last.generation, version), (Generation(wins), Version(u64::from(wins) + 1)));
    }

    /// Counts the world up as often as it can in some tries, and returns how often that was.
    async fn write(store: SqliteStore, world: World) -> u32 {
        let mut wins = 0;
        for _ in 0..25 {
            let (mut read, version) = store.load(&world.id).await.unwrap();
            read.generation = read.generation.next();
            match store.save(&read, version).await {
                Ok(_) => wins += 1,
                Err(error) => assert_eq!(error, SaveError::Conflict),
            }
        }
        wins
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path().join("dormouse.db")).unwrap();
        let world = asleep("w", "g", "valhalla");
        store.create(&world).await.unwrap();
        let spoil = r#"UPDATE worlds SET record = json_set(record, '$.state.is', 'dreaming')"#;
        store.database.call(move |c| c.execute(spoil, [])).await.unwrap();
        let error = store.load(&world.id).await.unwrap_err();
        expect!["the record of world `w` cannot be read: `state.is`: unknown variant `dreaming`, expected one of `asleep`, `starting`, `awake`, `stopping`, `ending`, `deleting`, `deleted` at line 1 column 590"].assert_eq(&error.to_string());
        assert_eq!(store.list(&world.guild).await.unwrap_err().to_string(), error.to_string());
    }
}
