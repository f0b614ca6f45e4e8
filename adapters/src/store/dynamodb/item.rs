//! The items of the table: their keys, what is in them, and how a world is read from one.
//!
//! | item | `pk` | `sk` | besides |
//! | --- | --- | --- | --- |
//! | a world that is not deleted | `guild#<guild>` | `world#<name>` | `id`, `version`, `record`, `nonce`; `unsettled` while it is not settled |
//! | where that world is | `id#<id>` | `world` | `guild`, `name`, `nonce` |
//! | a deleted world, instead of both | `id#<id>` | `world` | as in the first |
//! | a guild's rules | `guild#<guild>` | `rules` | `version`, `record`, `nonce` |
//!
//! The index `unsettled` (partition key `unsettled`, sort key `id`, keys only) holds the worlds with that attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    access::Rules,
    effect::is_settled,
    ports::{Unavailable, Version},
    world::{GuildId, World, WorldId, WorldName},
};

use crate::store::{record, rules};

/// The index of the worlds that are not settled, and its partition key.
pub(super) const UNSETTLED: &str = "unsettled";

/// The only value of [`UNSETTLED`].
pub(super) const YES: &str = "yes";

/// An item's partition key.
pub(super) const PK: &str = "pk";

/// An item's sort key.
pub(super) const SK: &str = "sk";

/// The sort key of a guild's rules.
const RULES: &str = "rules";

/// What the sort key of a world in its guild begins with.
const WORLD: &str = "world#";

/// DynamoDB takes items of 400 KB, thousands read strictly; 2 KB are kept for keys, names and the other attributes, all
/// of them short.
const LONGEST_RECORD: usize = 398_000;

/// An item, or the part of one that is its key.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Returns the key of a world that is not deleted.
pub(super) fn key_of_world(guild: &GuildId, name: &WorldName) -> Item {
    key(format!("guild#{guild}"), format!("{WORLD}{name}"))
}

/// Returns the key of what is known of a world by its id.
pub(super) fn key_of_id(id: &WorldId) -> Item {
    key(format!("id#{id}"), "world".into())
}

/// Returns the key of a guild's rules.
pub(super) fn key_of_rules(guild: &GuildId) -> Item {
    key(format!("guild#{guild}"), RULES.into())
}

/// Returns the partition key of everything of a guild.
pub(super) fn partition_of(guild: &GuildId) -> AttributeValue {
    text(format!("guild#{guild}"))
}

fn key(pk: String, sk: String) -> Item {
    HashMap::from([(PK.into(), text(pk)), (SK.into(), text(sk))])
}

/// Returns a text as a value.
pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Returns a version as a value.
pub(super) fn number(version: Version) -> AttributeValue {
    AttributeValue::N(version.0.to_string())
}

/// Returns the item that holds `world` under `key`.
pub(super) fn of_world(key: Item, world: &World, version: Version, nonce: &str) -> Result<Item, Unavailable> {
    let record = record::encode(world);
    require_fits(&format!("the record of world `{}`", world.id), &record)?;
    let mut item = versioned(key, version, record, nonce);
    item.insert("id".into(), text(world.id.as_str()));
    if !is_settled(world) {
        item.insert(UNSETTLED.into(), text(YES));
    }
    Ok(item)
}

/// Returns the item that says where a world is that is not deleted. It never changes.
pub(super) fn pointer_to(world: &World, nonce: &str) -> Item {
    let mut item = key_of_id(&world.id);
    item.insert("guild".into(), text(world.guild.as_str()));
    item.insert("name".into(), text(world.name.as_str()));
    item.insert("nonce".into(), text(nonce));
    item
}

/// Returns the item that holds a guild's rules.
pub(super) fn of_rules(
    guild: &GuildId,
    rules: &Rules,
    version: Version,
    nonce: &str,
) -> Result<Item, Unavailable> {
    let record = rules::encode(rules);
    require_fits(&format!("the record of the rules of guild `{guild}`"), &record)?;
    Ok(versioned(key_of_rules(guild), version, record, nonce))
}

fn versioned(mut item: Item, version: Version, record: String, nonce: &str) -> Item {
    item.insert("version".into(), number(version));
    item.insert("record".into(), text(record));
    item.insert("nonce".into(), text(nonce));
    item
}

fn require_fits(what: &str, record: &str) -> Result<(), Unavailable> {
    match record.len() {
        0..=LONGEST_RECORD => Ok(()),
        bytes => Err(Unavailable(format!(
            "{what} has {bytes} bytes, which are more than the {LONGEST_RECORD} that fit in the table"
        ))),
    }
}

/// Reads where the world is whose id the item is under; none if it is deleted, and in the item itself.
pub(super) fn read_pointer(item: &Item, id: &WorldId) -> Result<Option<(GuildId, WorldName)>, Unavailable> {
    if item.contains_key("record") {
        return Ok(None);
    }
    let bad = |why: String| Unavailable(format!("what is stored of world `{id}` cannot be read: {why}"));
    let guild = GuildId::parse(attribute(item, "guild").map_err(bad)?);
    let name = WorldName::parse(attribute(item, "name").map_err(bad)?);
    Ok(Some((guild.map_err(|error| bad(error.to_string()))?, name.map_err(|error| bad(error.to_string()))?)))
}

/// Reads a world and its version.
pub(super) fn read_world(item: &Item) -> Result<(World, Version), Unavailable> {
    let named = id_of(item).or_else(|| key_text(item)).unwrap_or("without a key");
    let bad = |why: String| Unavailable(format!("the record of world `{named}` cannot be read: {why}"));
    let id = attribute(item, "id").map_err(bad)?;
    let version = version(item).map_err(bad)?;
    let world =
        record::decode(attribute(item, "record").map_err(bad)?).map_err(|error| bad(error.to_string()))?;
    if world.id.as_str() != id {
        return Err(bad(format!("it is one of world `{}`", world.id)));
    }
    Ok((world, version))
}

/// Reads the rules and their version; none, version 0, where no item is.
pub(super) fn read_rules(item: Option<&Item>) -> Result<(Rules, Version), Unavailable> {
    let bad = |why: String| Unavailable(format!("the rules of who may do what cannot be read: {why}"));
    let Some(item) = item else { return Ok((Rules::default(), Version(0))) };
    let version = version(item).map_err(bad)?;
    Ok((rules::decode(attribute(item, "record").map_err(bad)?)?, version))
}

/// Reads the id of a world in the index.
pub(super) fn read_unsettled(item: &Item) -> Result<WorldId, Unavailable> {
    let bad =
        |why: String| Unavailable(format!("an entry of the index of unsettled worlds cannot be read: {why}"));
    WorldId::parse(attribute(item, "id").map_err(bad)?).map_err(|error| bad(error.to_string()))
}

/// Returns the id that the item gives its world.
pub(super) fn id_of(item: &Item) -> Option<&str> {
    attribute(item, "id").ok()
}

/// Returns who wrote the item.
pub(super) fn nonce_of(item: &Item) -> Option<&str> {
    attribute(item, "nonce").ok()
}

/// Tells whether the item, of a guild's partition, is a world.
pub(super) fn is_world(item: &Item) -> bool {
    key_text(item).is_some_and(|sk| sk.starts_with(WORLD))
}

/// Tells whether the item, of a guild's partition, is its rules.
pub(super) fn is_rules(item: &Item) -> bool {
    key_text(item) == Some(RULES)
}

fn key_text(item: &Item) -> Option<&str> {
    attribute(item, SK).ok()
}

fn attribute<'a>(item: &'a Item, name: &str) -> Result<&'a str, String> {
    let value = item.get(name).ok_or_else(|| format!("it has no `{name}`"))?;
    value.as_s().map(String::as_str).map_err(|_| format!("its `{name}` is no text"))
}

fn version(item: &Item) -> Result<Version, String> {
    let value = item.get("version").and_then(|value| value.as_n().ok());
    let number = value.ok_or("it has no number `version`")?;
    number.parse().map(Version).map_err(|_| "its `version` is no whole number".into())
}
