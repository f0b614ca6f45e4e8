//! World records in one DynamoDB table: found by name in one read, saved in one conditional write, never looked for by a
//! scan. The layout stands in `dynamodb/item.rs`, its reasons in docs/decisions/0012-dynamodb-layout.md.
//!
//! The table: partition key `pk` and sort key `sk`, both strings; on-demand; an index `unsettled` with partition key
//! `unsettled` and sort key `id`, both strings, that projects the keys only. Nothing in it expires: a world, its pointer
//! and a guild's rules are kept for ever.
//!
//! What it needs to be allowed: `dynamodb:GetItem`, `BatchGetItem`, `Query`, `PutItem` and `DeleteItem` on the table, and
//! `Query` on its index. (The parts of a transaction are allowed one by one, as what they do; there is no action
//! `TransactWriteItems`.)

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        put_item::PutItemError, query::builders::QueryFluentBuilder,
        transact_write_items::TransactWriteItemsError,
    },
    types::{
        AttributeValue, CancellationReason, Delete, KeysAndAttributes, Put,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, error::TransactionCanceledException,
    },
};
use domain::{
    access::Rules,
    ports::{CreateError, Found, Listed, LoadError, SaveError, Store, Unavailable, Version},
    world::{GuildId, State, World, WorldId, WorldName},
};
use tokio::time;

use crate::{aws::unavailable, store::dynamodb::item::Item};

mod item;

#[cfg(test)]
mod tests;

/// How often a world is looked for where its pointer says. Each miss means that it was deleted in between, which
/// happens once.
const LOAD_TRIES: u32 = 3;

/// How often a creation is tried that meets another transaction on the same name. Each try takes some milliseconds, and
/// so does the other.
const CREATE_TRIES: u32 = 5;

/// How often a batch is asked for what it left out.
const BATCH_TRIES: u32 = 5;

/// How long to wait before the second try; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// How many pages, of 1 MB each, one listing reads at most: some thousand worlds with long histories.
const MOST_PAGES: u32 = 50;

/// World records in a table. Clones share one client.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// Returns the store in `table`, which has the keys and the index that this module describes.
    pub fn new(aws: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(aws), table: table.into() }
    }
}

#[async_trait]
impl Store for DynamoStore {
    async fn create(&self, world: &World) -> Result<(), CreateError> {
        let nonce = fresh_nonce()?;
        let key = item::key_of_world(&world.guild, &world.name);
        let live = item::of_world(key, world, Version(1), &nonce)?;
        let acts = [
            self.put_part(live, &Condition::Absent)?,
            self.put_part(item::pointer_to(world, &nonce), &Condition::Absent)?,
        ];
        let mut pause = Pause::new();
        for _ in 0..CREATE_TRIES {
            match self.transact(&acts, &nonce).await? {
                Written::Done => return Ok(()),
                Written::Refused => return Err(CreateError::NameTaken),
                Written::InTheWay => pause.pass().await,
            }
        }
        let busy = format!("many create a world `{}` at the same time; try again", world.name);
        Err(Unavailable(busy).into())
    }

    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError> {
        for _ in 0..LOAD_TRIES {
            let by_id = self.get(item::key_of_id(id)).await?.ok_or(LoadError::NotFound)?;
            let Some((guild, name)) = item::read_pointer(&by_id, id)? else {
                return Ok(item::read_world(&by_id)?);
            };
            // Deleted in between, its name may be another world's by now.
            let found = self.get(item::key_of_world(&guild, &name)).await?;
            if let Some(found) = found.filter(|found| item::id_of(found) == Some(id.as_str())) {
                return Ok(item::read_world(&found)?);
            }
        }
        Err(Unavailable(format!("world `{id}` is not where the table says that it is")).into())
    }

    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError> {
        let keys = vec![item::key_of_world(guild, name), item::key_of_rules(guild)];
        let items = self.get_all(keys).await?;
        let found = items.iter().find(|item| item::is_world(item)).ok_or(LoadError::NotFound)?;
        let (world, version) = item::read_world(found)?;
        let (rules, _) = item::read_rules(items.iter().find(|item| item::is_rules(item)))?;
        Ok(Found { world, version, rules })
    }

    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable> {
        let query = self.client.query().consistent_read(true);
        let items = self.query(query, item::PK, item::partition_of(guild)).await?;
        let (rules, _) = item::read_rules(items.iter().find(|item| item::is_rules(item)))?;
        let worlds = items.iter().filter(|item| item::is_world(item)).map(item::read_world);
        let worlds = worlds.map(|read| read.map(|(world, _)| world)).collect::<Result<_, _>>()?;
        Ok(Listed { worlds, rules })
    }

    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError> {
        let nonce = fresh_nonce()?;
        let saved = next(read)?;
        let written = match world.state {
            State::Deleted { .. } => self.save_deleted(world, read, saved, &nonce).await?,
            State::Asleep
            | State::Starting { .. }
            | State::Awake { .. }
            | State::Stopping { .. }
            | State::Ending { .. }
            | State::Deleting { .. } => {
                let key = item::key_of_world(&world.guild, &world.name);
                let item = item::of_world(key, world, saved, &nonce)?;
                self.put(item, &Condition::World(&world.id, read), &nonce).await?
            }
        };
        written.saved(saved)
    }

    /// The index is a moment behind: a world that was saved in the last second may be missing, or be there still. The
    /// next sweep sees it.
    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable> {
        let query = self.client.query().index_name(item::UNSETTLED);
        let items = self.query(query, item::UNSETTLED, item::text(item::YES)).await?;
        items.iter().map(item::read_unsettled).collect()
    }

    async fn rules(&self, guild: &GuildId) -> Result<(Rules, Version), Unavailable> {
        item::read_rules(self.get(item::key_of_rules(guild)).await?.as_ref())
    }

    async fn save_rules(&self, guild: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError> {
        let nonce = fresh_nonce()?;
        let saved = next(read)?;
        let item = item::of_rules(guild, rules, saved, &nonce)?;
        let condition = if read == Version(0) { Condition::Absent } else { Condition::Version(read) };
        self.put(item, &condition, &nonce).await?.saved(saved)
    }
}

impl DynamoStore {
    /// Moves a world, and its name becomes free; or saves it where it was moved to before.
    async fn save_deleted(
        &self,
        world: &World,
        read: Version,
        saved: Version,
        nonce: &str,
    ) -> Result<Written, Unavailable> {
        let item = item::of_world(item::key_of_id(&world.id), world, saved, nonce)?;
        let key = item::key_of_world(&world.guild, &world.name);
        let acts = [
            self.delete_part(key, &Condition::World(&world.id, read))?,
            self.put_part(item.clone(), &Condition::Pointer)?,
        ];
        match self.transact(&acts, nonce).await? {
            Written::Done => Ok(Written::Done),
            Written::InTheWay => Ok(Written::InTheWay),
            Written::Refused => self.put(item, &Condition::World(&world.id, read), nonce).await,
        }
    }

    async fn get(&self, key: Item) -> Result<Option<Item>, Unavailable> {
        let got = self.client.get_item().table_name(&self.table).consistent_read(true).set_key(Some(key));
        let got = got.send().await.map_err(|error| unavailable("dynamodb:GetItem", &error))?;
        Ok(got.item)
    }

    /// Returns those of the items that are there, in any order.
    async fn get_all(&self, keys: Vec<Item>) -> Result<Vec<Item>, Unavailable> {
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let mut wanted = HashMap::from([(self.table.clone(), wanted.map_err(|error| unmade(&error))?)]);
        let mut items = Vec::new();
        let mut pause = Pause::new();
        for _ in 0..BATCH_TRIES {
            let got = self.client.batch_get_item().set_request_items(Some(wanted)).send().await;
            let got = got.map_err(|error| unavailable("dynamodb:BatchGetItem", &error))?;
            items.extend(got.responses.into_iter().flatten().flat_map(|(_, items)| items));
            wanted = got.unprocessed_keys.unwrap_or_default();
            if wanted.is_empty() {
                return Ok(items);
            }
            pause.pass().await;
        }
        Err(Unavailable("dynamodb:BatchGetItem left something out again and again".into()))
    }

    /// Returns all items whose partition key `name` is `value`, by their sort key.
    async fn query(
        &self,
        query: QueryFluentBuilder,
        name: &str,
        value: AttributeValue,
    ) -> Result<Vec<Item>, Unavailable> {
        let query = query
            .table_name(&self.table)
            .key_condition_expression("#key = :value")
            .expression_attribute_names("#key", name)
            .expression_attribute_values(":value", value);
        let (mut items, mut from) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page = query.clone().set_exclusive_start_key(from).send().await;
            let page = page.map_err(|error| unavailable("dynamodb:Query", &error))?;
            items.extend(page.items.into_iter().flatten());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(items);
            }
        }
        Err(Unavailable(format!("dynamodb:Query found more than {MOST_PAGES} pages")))
    }

    async fn put(&self, item: Item, condition: &Condition<'_>, nonce: &str) -> Result<Written, Unavailable> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition.expression())
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Written::Done),
            Err(error) => put_refused(&error, nonce).ok_or_else(|| unavailable("dynamodb:PutItem", &error)),
        }
    }

    /// Performs all of `acts` or none.
    async fn transact(&self, acts: &[TransactWriteItem], nonce: &str) -> Result<Written, Unavailable> {
        let sent = self.client.transact_write_items().set_transact_items(Some(acts.to_vec())).send().await;
        let Err(error) = sent else { return Ok(Written::Done) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                read_reasons(cancelled, nonce)
            }
            Some(_) | None => Err(unavailable("dynamodb:TransactWriteItems", &error)),
        }
    }

    fn put_part(&self, item: Item, condition: &Condition<'_>) -> Result<TransactWriteItem, Unavailable> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition.expression())
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().put(put.build().map_err(|error| unmade(&error))?).build())
    }

    fn delete_part(&self, key: Item, condition: &Condition<'_>) -> Result<TransactWriteItem, Unavailable> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key))
            .condition_expression(condition.expression())
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values());
        Ok(TransactWriteItem::builder().delete(delete.build().map_err(|error| unmade(&error))?).build())
    }
}

/// What must be so for an item to be written.
enum Condition<'a> {
    /// There is none.
    Absent,
    /// It is this world as it was read.
    World(&'a WorldId, Version),
    /// It is as it was read.
    Version(Version),
    /// It says that its world is elsewhere.
    Pointer,
}

impl Condition<'_> {
    fn expression(&self) -> &'static str {
        match self {
            Self::Absent => "attribute_not_exists(#pk)",
            Self::World(..) => "#id = :id AND #version = :version",
            Self::Version(_) => "#version = :version",
            Self::Pointer => "attribute_exists(#pk) AND attribute_not_exists(#version)",
        }
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        let names: &[&str] = match self {
            Self::Absent => &[item::PK],
            Self::World(..) => &["id", "version"],
            Self::Version(_) => &["version"],
            Self::Pointer => &[item::PK, "version"],
        };
        Some(names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect())
    }

    fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        let version = |version: &Version| (":version".to_owned(), item::number(*version));
        match self {
            Self::Absent | Self::Pointer => None,
            Self::World(id, read) => {
                Some(HashMap::from([(":id".to_owned(), item::text(id.as_str())), version(read)]))
            }
            Self::Version(read) => Some(HashMap::from([version(read)])),
        }
    }
}

/// What came of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It was done.
    Done,
    /// The condition does not hold.
    Refused,
    /// Another transaction was under way.
    InTheWay,
}

impl Written {
    /// Somebody in the way is saving the same world.
    fn saved(self, version: Version) -> Result<Version, SaveError> {
        match self {
            Self::Done => Ok(version),
            Self::Refused | Self::InTheWay => Err(SaveError::Conflict),
        }
    }
}

/// Returns what DynamoDB's refusal means; none if it did not refuse but fail.
///
/// The SDK repeats a call whose answer got lost. A condition that fails then may fail because of ourselves: what is
/// stored carries our nonce.
fn put_refused<R>(error: &SdkError<PutItemError, R>, nonce: &str) -> Option<Written> {
    let failed = error.as_service_error()?;
    if let PutItemError::ConditionalCheckFailedException(refused) = failed {
        return Some(if is_ours(refused.item(), nonce) { Written::Done } else { Written::Refused });
    }
    failed.is_transaction_conflict_exception().then_some(Written::InTheWay)
}

/// Returns what the reasons of a cancelled transaction mean, of which each part has one.
fn read_reasons(cancelled: &TransactionCanceledException, nonce: &str) -> Result<Written, Unavailable> {
    let reasons = cancelled.cancellation_reasons();
    let codes = || reasons.iter().filter_map(CancellationReason::code);
    if reasons.iter().any(|reason| is_ours(reason.item(), nonce)) {
        return Ok(Written::Done);
    }
    if let Some(other) = codes().find(|code| !matches!(*code, "None" | CONDITION | CONFLICT)) {
        let shown: String = other.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        return Err(Unavailable(format!("dynamodb:TransactWriteItems failed: {shown}")));
    }
    if codes().any(|code| code == CONDITION) {
        return Ok(Written::Refused);
    }
    if codes().any(|code| code == CONFLICT) {
        return Ok(Written::InTheWay);
    }
    Err(Unavailable("dynamodb:TransactWriteItems failed: it was cancelled without a reason".into()))
}

/// The reason of a part whose condition does not hold.
const CONDITION: &str = "ConditionalCheckFailed";

/// The reason of a part that met another transaction.
const CONFLICT: &str = "TransactionConflict";

fn is_ours(stored: Option<&Item>, nonce: &str) -> bool {
    stored.and_then(item::nonce_of) == Some(nonce)
}

/// Returns what no other write has.
fn fresh_nonce() -> Result<String, Unavailable> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Unavailable(format!("the machine has no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns the version that follows. The last one is never read: nobody saves that often.
fn next(read: Version) -> Result<Version, SaveError> {
    read.0.checked_add(1).map(Version).ok_or(SaveError::Conflict)
}

fn unmade(error: &impl std::fmt::Display) -> Unavailable {
    Unavailable(format!("a request to DynamoDB could not be made: {error}"))
}

/// Waits between tries, twice as long each time.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    async fn pass(&mut self) {
        time::sleep(self.0).await;
        self.0 *= 2;
    }
}
