//! The real SDK against the emulator. The tests of this file take turns, for faults and counts are the account's.

use super::*;
use crate::{
    aws::tests::config_at,
    store::contract::{self, asleep, worlds_in_every_state},
};
use aws_sdk_dynamodb::{
    config::retry::RetryConfig,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType,
    },
};
use domain::{
    effect::is_settled,
    world::{Generation, Launch, Outcome, Session},
};
use emulators::{Moto, When};
use expect_test::{Expect, expect};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{Mutex, MutexGuard};

#[tokio::test]
async fn dynamodb_keeps_the_contract() {
    let bench = Bench::new().await;
    contract::all(&bench.store).await;
    assert!(bench.calls().iter().all(|action| action != "Scan"));
}

#[tokio::test]
async fn a_world_is_found_in_one_call_and_saved_in_one_call() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let (found, calls) = bench.counted(bench.store.find(&world.guild, &world.name)).await;
    assert_eq!(calls, ["BatchGetItem"]);
    let mut version = found.unwrap().version;
    for busy in worlds_in_every_state() {
        let saved = World { state: busy.state, ..world.clone() };
        if !matches!(saved.state, State::Deleted { .. }) {
            let (saved, calls) = bench.counted(bench.store.save(&saved, version)).await;
            assert_eq!(calls, ["PutItem"], "whether or not it settles");
            version = saved.unwrap();
        }
    }
    let (listed, calls) = bench.counted(bench.store.list(&world.guild)).await;
    assert_eq!((listed.unwrap().worlds.len(), calls), (1, vec!["Query".to_owned()]));
    let (loaded, calls) = bench.counted(bench.store.load(&world.id)).await;
    assert_eq!((loaded.unwrap().1, calls), (version, vec!["GetItem".to_owned(); 2]));
}

#[tokio::test]
async fn a_save_that_took_effect_though_it_reported_failure_is_unavailable_and_a_conflict_afterwards() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    bench.fails("PutItem", 1, When::After, "InternalServerError", 500);
    let changed = World { generation: Generation(1), ..world.clone() };
    let error = bench.store.save(&changed, Version(1)).await.unwrap_err();
    expect!["dynamodb:PutItem failed: InternalServerError"].assert_eq(&error.to_string());
    assert!(matches!(error, SaveError::Unavailable(_)));
    assert_eq!(bench.store.load(&world.id).await.unwrap(), (changed.clone(), Version(2)));
    assert_eq!(bench.store.save(&changed, Version(1)).await, Err(SaveError::Conflict));
}

#[tokio::test]
async fn a_save_that_the_sdk_repeats_does_not_conflict_with_itself() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let changed = World { generation: Generation(1), ..world.clone() };
    bench.fails("PutItem", 1, When::After, "InternalServerError", 500);
    assert_eq!(bench.patient().save(&changed, Version(1)).await, Ok(Version(2)));
    // Somebody else who saves the very same does conflict.
    assert_eq!(bench.patient().save(&changed, Version(1)).await, Err(SaveError::Conflict));

    bench.fails("PutItem", 1, When::After, "InternalServerError", 500);
    let rules = Rules::default();
    assert_eq!(bench.patient().save_rules(&world.guild, &rules, Version(0)).await, Ok(Version(1)));
}

#[tokio::test]
async fn a_transaction_that_is_repeated_does_not_meet_itself() {
    let bench = Bench::new().await;
    // The SDK repeats a call with its token, which DynamoDB remembers for ten minutes; a lost token is one more reason
    // that a part fails for what is ours already.
    let world = asleep("w", "g", "valhalla");
    let nonce = fresh_nonce().unwrap();
    let key = item::key_of_world(&world.guild, &world.name);
    let live = item::of_world(key, &world, Version(1), &nonce).unwrap();
    let acts = [
        bench.store.put_part(live, &Condition::Absent).unwrap(),
        bench.store.put_part(item::pointer_to(&world, &nonce), &Condition::Absent).unwrap(),
    ];
    for _ in 0..2 {
        assert_eq!(bench.store.transact(&acts, &nonce).await, Ok(Written::Done));
    }
    assert_eq!(bench.store.transact(&acts, "another").await, Ok(Written::Refused));
    let deleted = deleted(&world);
    let nonce = fresh_nonce().unwrap();
    for _ in 0..2 {
        let saved = bench.store.save_deleted(&deleted, Version(1), Version(2), &nonce).await;
        assert_eq!(saved, Ok(Written::Done));
    }
    assert_eq!(bench.store.load(&world.id).await.unwrap(), (deleted, Version(2)));
}

#[tokio::test]
async fn a_creation_that_took_effect_though_it_reported_failure_is_unavailable_and_the_name_is_taken() {
    let bench = Bench::new().await;
    let world = asleep("w", "g", "valhalla");
    bench.fails("TransactWriteItems", 1, When::After, "InternalServerError", 500);
    let error = bench.store.create(&world).await.unwrap_err();
    expect!["dynamodb:TransactWriteItems failed: InternalServerError"].assert_eq(&error.to_string());
    assert_eq!(bench.store.load(&world.id).await.unwrap().0, world);
    assert_eq!(bench.store.create(&world).await, Err(CreateError::NameTaken));
}

#[tokio::test]
async fn throttling_is_waited_out_for_a_while_and_then_named() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    for when in [When::Before, When::After] {
        for (action, code) in
            [("GetItem", "ThrottlingException"), ("GetItem", "ProvisionedThroughputExceededException")]
        {
            bench.fails(action, 1, when, code, 400);
            assert_eq!(bench.patient().load(&world.id).await.unwrap().0, world);
        }
    }
    bench.fails("BatchGetItem", 3, When::Before, "ThrottlingException", 400);
    let error = bench.patient().find(&world.guild, &world.name).await.unwrap_err();
    expect!["dynamodb:BatchGetItem failed: ThrottlingException"].assert_eq(&error.to_string());
    bench.fails("Query", 1, When::Before, "RequestLimitExceeded", 400);
    let error = bench.store.list(&world.guild).await.unwrap_err();
    expect!["dynamodb:Query failed: RequestLimitExceeded"].assert_eq(&error.to_string());
    bench.fails("PutItem", 1, When::Before, "ThrottlingException", 400);
    let error = bench.store.save(&world, Version(1)).await.unwrap_err();
    expect!["dynamodb:PutItem failed: ThrottlingException"].assert_eq(&error.to_string());
    assert_eq!(bench.store.load(&world.id).await.unwrap().1, Version(1));
}

#[tokio::test]
async fn a_save_that_meets_a_transaction_is_a_conflict() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    bench.fails("PutItem", 1, When::Before, "TransactionConflictException", 400);
    assert_eq!(bench.store.save(&world, Version(1)).await, Err(SaveError::Conflict));
    assert_eq!(bench.store.save(&world, Version(1)).await, Ok(Version(2)));
}

#[test]
fn the_reasons_of_a_cancelled_transaction_are_told_apart() {
    check_reasons(&[("None", None), ("ConditionalCheckFailed", None)], expect!["Ok(Refused)"]);
    check_reasons(&[("ConditionalCheckFailed", Some("theirs")), ("None", None)], expect!["Ok(Refused)"]);
    check_reasons(
        &[("ConditionalCheckFailed", None), ("ConditionalCheckFailed", Some("ours"))],
        expect!["Ok(Done)"],
    );
    check_reasons(&[("TransactionConflict", None), ("None", None)], expect!["Ok(InTheWay)"]);
    check_reasons(&[("TransactionConflict", None), ("ConditionalCheckFailed", None)], expect!["Ok(Refused)"]);
    check_reasons(
        &[("ThrottlingError", None), ("ConditionalCheckFailed", None)],
        expect![[r#"Err(Unavailable("dynamodb:TransactWriteItems failed: ThrottlingError"))"#]],
    );
    check_reasons(
        &[],
        expect![[
            r#"Err(Unavailable("dynamodb:TransactWriteItems failed: it was cancelled without a reason"))"#
        ]],
    );
}

fn check_reasons(reasons: &[(&str, Option<&str>)], expected: Expect) {
    let reason = |(code, nonce): &(&str, Option<&str>)| {
        let stored = nonce.map(|nonce| Item::from([("nonce".into(), item::text(nonce))]));
        CancellationReason::builder().code(*code).set_item(stored).build()
    };
    let reasons = reasons.iter().map(reason).collect();
    let cancelled = TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
    expected.assert_eq(&format!("{:?}", read_reasons(&cancelled, "ours")));
}

#[tokio::test]
async fn what_a_batch_leaves_out_is_asked_for_again() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let key = |sk: &str| serde_json::json!({"pk": {"S": "guild#g"}, "sk": {"S": sk}});
    let left = serde_json::json!({
        "Responses": {},
        "UnprocessedKeys": {&bench.store.table: {"Keys": [key("world#valhalla"), key("rules")], "ConsistentRead": true}},
    });
    bench.moto.answer("dynamodb", "BatchGetItem", 2, &left).unwrap();
    let (found, calls) = bench.counted(bench.store.find(&world.guild, &world.name)).await;
    assert_eq!((found.unwrap().world, calls.len()), (world.clone(), 3));
    bench.moto.answer("dynamodb", "BatchGetItem", BATCH_TRIES, &left).unwrap();
    let error = bench.store.find(&world.guild, &world.name).await.unwrap_err();
    expect!["dynamodb:BatchGetItem left something out again and again"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_world_that_is_not_where_its_pointer_says_is_named_and_another_one_there_is_not_taken_for_it() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let theirs = bench.created("x", "asgard").await;
    bench.edit(item::key_of_id(&world.id), "name", item::text("asgard")).await;
    let error = bench.store.load(&world.id).await.unwrap_err();
    expect!["world `w` is not where the table says that it is"].assert_eq(&error.to_string());
    assert_eq!(bench.store.load(&theirs.id).await.unwrap().0, theirs);
    bench.edit(item::key_of_id(&world.id), "name", item::text("../etc")).await;
    let error = bench.store.load(&world.id).await.unwrap_err();
    expect!["what is stored of world `w` cannot be read: world name `../etc` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_pointer_that_gets_stale_while_it_is_followed_leads_to_the_deleted_world() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let pointer = bench.store.get(item::key_of_id(&world.id)).await.unwrap().unwrap();
    let deleted = deleted(&world);
    bench.store.save(&deleted, Version(1)).await.unwrap();
    bench.created("x", "valhalla").await;
    // What a reader sees that asked for the pointer just before.
    let pointer: serde_json::Map<_, _> = pointer
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::json!({"S": value.as_s().unwrap()})))
        .collect();
    bench.moto.answer("dynamodb", "GetItem", 1, &serde_json::json!({"Item": pointer})).unwrap();
    let (loaded, calls) = bench.counted(bench.store.load(&world.id)).await;
    assert_eq!((loaded.unwrap(), calls.len()), ((deleted, Version(2)), 3));
}

#[tokio::test]
async fn many_worlds_with_long_histories_are_listed_over_several_pages() {
    let bench = Bench::new().await;
    let mut names = Vec::new();
    for n in 0..105 {
        let world = World { past: long_history(), ..asleep(&format!("w-{n}"), "g", &format!("world-{n}")) };
        bench.store.create(&world).await.unwrap();
        names.push(world.name.to_string());
    }
    names.sort();
    let guild = GuildId::parse("g").unwrap();
    let rules = Rules([(domain::access::Action::Stop, Default::default())].into());
    bench.store.save_rules(&guild, &rules, Version(0)).await.unwrap();
    let (listed, calls) = bench.counted(bench.store.list(&guild)).await;
    let listed = listed.unwrap();
    assert_eq!(listed.worlds.iter().map(|world| world.name.to_string()).collect::<Vec<_>>(), names);
    assert_eq!(listed.rules, rules);
    assert!((2..10).contains(&calls.len()), "{calls:?}");
}

#[tokio::test]
async fn unsettled_worlds_of_all_guilds_are_found_until_they_settle() {
    let bench = Bench::new().await;
    let mut busy = Vec::new();
    for (n, world) in worlds_in_every_state().into_iter().enumerate() {
        let guild = GuildId::parse(&format!("g-{}", n % 3)).unwrap();
        let world = World { guild, ..world };
        bench.store.create(&World { state: State::Asleep, ..world.clone() }).await.unwrap();
        contract::save(&bench.store, &world).await;
        busy.extend((!is_settled(&world)).then(|| world.id.clone()));
    }
    busy.sort();
    let (unsettled, calls) = bench.counted(bench.store.unsettled()).await;
    assert_eq!((unsettled.unwrap(), calls), (busy, vec!["Query".to_owned()]));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let key = || item::key_of_world(&world.guild, &world.name);
    bench.edit(key(), "record", item::text("{}")).await;
    let expected =
        expect!["the record of world `w` cannot be read: `record`: missing field `v` at line 1 column 2"];
    expected.assert_eq(&bench.store.load(&world.id).await.unwrap_err().to_string());
    expected.assert_eq(&bench.store.find(&world.guild, &world.name).await.unwrap_err().to_string());
    expected.assert_eq(&bench.store.list(&world.guild).await.unwrap_err().to_string());

    let other = crate::store::record::encode(&asleep("x", "g", "valhalla"));
    bench.edit(key(), "record", item::text(other)).await;
    expect!["the record of world `w` cannot be read: it is one of world `x`"]
        .assert_eq(&bench.store.load(&world.id).await.unwrap_err().to_string());
    bench.edit(key(), "record", AttributeValue::Bool(true)).await;
    expect!["the record of world `w` cannot be read: its `record` is no text"]
        .assert_eq(&bench.store.load(&world.id).await.unwrap_err().to_string());
    bench.edit(key(), "version", AttributeValue::N("1.5".into())).await;
    expect!["the record of world `w` cannot be read: its `version` is no whole number"]
        .assert_eq(&bench.store.load(&world.id).await.unwrap_err().to_string());
}

#[tokio::test]
async fn rules_that_cannot_be_read_hide_nobodys_world_silently() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    bench.store.save_rules(&world.guild, &Rules::default(), Version(0)).await.unwrap();
    bench.edit(item::key_of_rules(&world.guild), "record", item::text(r#"{"v":2,"rules":{}}"#)).await;
    let expected =
        expect!["the rules of who may do what cannot be read: they have version 2 and this Dormouse reads 1"];
    expected.assert_eq(&bench.store.find(&world.guild, &world.name).await.unwrap_err().to_string());
    expected.assert_eq(&bench.store.list(&world.guild).await.unwrap_err().to_string());
    expected.assert_eq(&bench.store.rules(&world.guild).await.unwrap_err().to_string());
}

#[tokio::test]
async fn a_record_that_is_too_large_is_not_sent() {
    let bench = Bench::new().await;
    let world = bench.created("w", "valhalla").await;
    let large = World { past: vec![session(&"x".repeat(LARGE))], ..world.clone() };
    let (saved, calls) = bench.counted(bench.store.save(&large, Version(1))).await;
    assert_eq!(calls.len(), 0);
    expect!["the record of world `w` has 398723 bytes, which are more than the 398000 that fit in the table"]
        .assert_eq(&saved.unwrap_err().to_string());
    let fits = World { past: vec![session(&"x".repeat(LARGE - 1_000))], ..world };
    assert_eq!(bench.store.save(&fits, Version(1)).await, Ok(Version(2)));
}

const LARGE: usize = 398_000;

#[tokio::test]
async fn a_table_that_is_not_there_is_named_by_what_failed_and_nothing_else() {
    let bench = Bench::new().await;
    let nowhere = DynamoStore { table: "nowhere".into(), ..bench.store.clone() };
    let error = nowhere.load(&asleep("w", "g", "n").id).await.unwrap_err();
    expect!["dynamodb:GetItem failed: ResourceNotFoundException"].assert_eq(&error.to_string());
}

/// A table of its own, and the account to itself.
struct Bench {
    moto: &'static Moto,
    store: DynamoStore,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    async fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        static TABLES: AtomicU32 = AtomicU32::new(0);
        let alone = ALONE.lock().await;
        let moto = tokio::task::spawn_blocking(Moto::shared).await.unwrap().unwrap();
        let table = format!("worlds-{}", TABLES.fetch_add(1, Ordering::Relaxed));
        let store = DynamoStore::new(&config_at(moto.url(), "key", "secret").await, table);
        make_table(&store).await;
        Self { moto, store, _alone: alone }
    }

    /// Returns the store with a client that tries again, as in production, but at once.
    fn patient(&self) -> DynamoStore {
        let retry =
            RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
        let config = self.store.client.config().to_builder().retry_config(retry).build();
        DynamoStore { client: Client::from_conf(config), table: self.store.table.clone() }
    }

    async fn created(&self, id: &str, name: &str) -> World {
        let world = asleep(id, "g", name);
        self.store.create(&world).await.unwrap();
        world
    }

    /// Puts another value in an item, as no Dormouse does.
    async fn edit(&self, key: Item, attribute: &str, value: AttributeValue) {
        let update = self.store.client.update_item().table_name(&self.store.table).set_key(Some(key));
        let update = update.update_expression("SET #a = :v").expression_attribute_names("#a", attribute);
        update.expression_attribute_values(":v", value).send().await.unwrap();
    }

    fn fails(&self, action: &str, times: u32, when: When, code: &str, status: u16) {
        self.moto.fault("dynamodb", action, times, when, code, status).unwrap();
    }

    /// Returns which calls were made of DynamoDB.
    fn calls(&self) -> Vec<String> {
        let calls = self.moto.calls().unwrap().into_iter();
        calls.filter(|call| call.service == "dynamodb").map(|call| call.action).collect()
    }

    async fn counted<T>(&self, act: impl Future<Output = T>) -> (T, Vec<String>) {
        let before = self.calls().len();
        let done = act.await;
        (done, self.calls().split_off(before))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let left = self.moto.clear_faults();
        if !std::thread::panicking() {
            assert_eq!(left.unwrap(), 0, "every fault struck");
        }
    }
}

async fn make_table(store: &DynamoStore) {
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let index = GlobalSecondaryIndex::builder()
        .index_name(item::UNSETTLED)
        .key_schema(key(item::UNSETTLED, KeyType::Hash))
        .key_schema(key("id", KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
    let create = store
        .client
        .create_table()
        .table_name(&store.table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key(item::PK, KeyType::Hash))
        .key_schema(key(item::SK, KeyType::Range))
        .set_attribute_definitions(Some([item::PK, item::SK, item::UNSETTLED, "id"].map(attribute).to_vec()))
        .global_secondary_indexes(index.build().unwrap());
    create.send().await.unwrap();
}

fn deleted(world: &World) -> World {
    let state = worlds_in_every_state()
        .into_iter()
        .map(|world| world.state)
        .find(|state| matches!(state, State::Deleted { .. }));
    World { state: state.unwrap(), ..world.clone() }
}

/// Returns a history whose record has some 30 KB.
fn long_history() -> Vec<Session> {
    vec![session(&"x".repeat(1_500)); domain::world::MOST_PAST]
}

fn session(reason: &str) -> Session {
    let launch = Launch {
        generation: Generation(1),
        errand: None,
        asked: asleep("w", "g", "n").created,
        passed: vec![],
    };
    Session { launch, outcome: Outcome::Failed(reason.into()) }
}
