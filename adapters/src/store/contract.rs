//! What every [`Store`] promises: one test body per promise, which each implementation's tests call by [`all`].

use std::time::Duration;

use domain::{
    access::{Action, Rules, Who},
    effect::is_settled,
    idle::{Evidence, Source, Timers},
    ports::{CreateError, Found, Listed, LoadError, SaveError, Store, Version},
    settings::{Chosen, SettingValue},
    sight::{Sight, Standing},
    talk::{CardId, Follower, Place, ReplyId, Talk, Told},
    vault::{Care, ExportLink, Kept, KeptWhy, LinkOf, Litter, Retention, Storage, Vault},
    world::*,
};
use jiff::Timestamp;

use crate::attendance::tests::attendance;

/// Holds `store`, which has no worlds yet, to every promise.
pub(crate) async fn all(store: &dyn Store) {
    what_was_created_is_loaded_and_found(store).await;
    what_was_saved_is_loaded_in_every_state(store).await;
    what_is_not_there_is_not_found(store).await;
    a_name_is_taken_once_in_its_guild(store).await;
    the_name_of_a_deleted_world_is_free_again(store).await;
    a_deleted_world_is_saved_on_for_itself_alone(store).await;
    a_stale_version_is_a_conflict(store).await;
    a_world_that_was_never_created_is_a_conflict(store).await;
    of_two_concurrent_saves_exactly_one_wins(store).await;
    of_two_concurrent_creations_exactly_one_wins(store).await;
    a_guild_lists_its_own_worlds_by_name(store).await;
    unsettled_are_those_neither_asleep_nor_deleted(store).await;
    an_id_is_never_given_to_a_second_world(store).await;
    rules_are_saved_only_over_the_version_that_was_read(store).await;
    rules_come_with_the_guilds_worlds(store).await;
}

pub(crate) async fn what_was_created_is_loaded_and_found(store: &dyn Store) {
    let world = asleep("created", "g-created", "valhalla");
    store.create(&world).await.unwrap();
    let loaded = store.load(&world.id).await.unwrap();
    assert_eq!(loaded.0, world);
    let found = store.find(&world.guild, &world.name).await.unwrap();
    assert_eq!(found, Found { world: loaded.0, version: loaded.1, rules: Rules::default() });
}

pub(crate) async fn what_was_saved_is_loaded_in_every_state(store: &dyn Store) {
    for world in worlds_in_every_state() {
        let before = World { state: State::Asleep, ..world.clone() };
        store.create(&before).await.unwrap();
        let (_, read) = store.load(&world.id).await.unwrap();
        let saved = store.save(&world, read).await.unwrap();
        assert_eq!(store.load(&world.id).await.unwrap(), (world, saved));
    }
}

pub(crate) async fn what_is_not_there_is_not_found(store: &dyn Store) {
    let world = asleep("nowhere", "g-nowhere", "nowhere");
    assert_eq!(store.load(&world.id).await, Err(LoadError::NotFound));
    assert_eq!(store.find(&world.guild, &world.name).await, Err(LoadError::NotFound));
    assert_eq!(store.list(&world.guild).await, Ok(Listed { worlds: vec![], rules: Rules::default() }));
}

pub(crate) async fn a_name_is_taken_once_in_its_guild(store: &dyn Store) {
    let first = asleep("taken-1", "g-taken", "midgard");
    store.create(&first).await.unwrap();
    assert_eq!(store.create(&asleep("taken-2", "g-taken", "midgard")).await, Err(CreateError::NameTaken));
    assert_eq!(store.load(&id("taken-2")).await, Err(LoadError::NotFound));
    store.create(&asleep("taken-3", "g-taken-too", "midgard")).await.unwrap();
    assert_eq!(store.find(&first.guild, &first.name).await.unwrap().world, first);
}

pub(crate) async fn the_name_of_a_deleted_world_is_free_again(store: &dyn Store) {
    let first = asleep("freed-1", "g-freed", "asgard");
    store.create(&first).await.unwrap();
    let deleted = World { state: State::Deleted { asked: asked(), at: at(9) }, ..first.clone() };
    save(store, &deleted).await;
    assert_eq!(store.find(&first.guild, &first.name).await, Err(LoadError::NotFound));
    assert_eq!(store.list(&first.guild).await, Ok(Listed { worlds: vec![], rules: Rules::default() }));

    let second = asleep("freed-2", "g-freed", "asgard");
    store.create(&second).await.unwrap();
    assert_eq!(store.find(&first.guild, &first.name).await.unwrap().world, second);
    assert_eq!(store.load(&first.id).await.unwrap().0, deleted, "the deleted one is still known by its id");
}

/// People are told of a deletion after it, when the name may be another world's.
pub(crate) async fn a_deleted_world_is_saved_on_for_itself_alone(store: &dyn Store) {
    let first = asleep("on-1", "g-on", "vanaheim");
    store.create(&first).await.unwrap();
    let (_, stale) = store.load(&first.id).await.unwrap();
    let deleted = World { state: State::Deleted { asked: asked(), at: at(9) }, ..first.clone() };
    let read = save(store, &deleted).await;
    let second = asleep("on-2", "g-on", "vanaheim");
    store.create(&second).await.unwrap();

    assert_eq!(store.save(&first, stale).await, Err(SaveError::Conflict));
    assert_eq!(store.save(&deleted, stale).await, Err(SaveError::Conflict));
    let told = World { talk: Talk { told: Some(told(0, "deleted")), ..Talk::default() }, ..deleted };
    let saved = store.save(&told, read).await.unwrap();
    assert_eq!(store.save(&told, read).await, Err(SaveError::Conflict));
    assert_eq!(store.load(&first.id).await.unwrap(), (told, saved));
    assert_eq!(store.find(&second.guild, &second.name).await.unwrap().world, second);
}

pub(crate) async fn a_stale_version_is_a_conflict(store: &dyn Store) {
    let world = asleep("stale", "g-stale", "stale");
    store.create(&world).await.unwrap();
    let (_, read) = store.load(&world.id).await.unwrap();
    let newer = World { generation: Generation(1), ..world.clone() };
    let saved = store.save(&newer, read).await.unwrap();
    assert_ne!(saved, read);
    assert_eq!(store.save(&world, read).await, Err(SaveError::Conflict));
    assert_eq!(store.load(&world.id).await.unwrap(), (newer, saved));
}

pub(crate) async fn a_world_that_was_never_created_is_a_conflict(store: &dyn Store) {
    let world = asleep("uncreated", "g-uncreated", "uncreated");
    assert_eq!(store.save(&world, Version(1)).await, Err(SaveError::Conflict));
    assert_eq!(store.load(&world.id).await, Err(LoadError::NotFound));
}

pub(crate) async fn of_two_concurrent_saves_exactly_one_wins(store: &dyn Store) {
    let world = asleep("race", "g-race", "race");
    store.create(&world).await.unwrap();
    for round in 1..=20 {
        let (_, read) = store.load(&world.id).await.unwrap();
        let ours = World { generation: Generation(round), ..world.clone() };
        let theirs = World { claimed: Some(Generation(round)), ..world.clone() };
        let (a, b) = tokio::join!(store.save(&ours, read), store.save(&theirs, read));
        let (won, lost) = if a.is_ok() { ((ours, a), b) } else { ((theirs, b), a) };
        assert_eq!(lost, Err(SaveError::Conflict));
        assert_eq!(store.load(&world.id).await.unwrap(), (won.0, won.1.unwrap()));
    }
}

pub(crate) async fn of_two_concurrent_creations_exactly_one_wins(store: &dyn Store) {
    for round in 0..10 {
        let name = format!("twin-{round}");
        let (first, second) =
            (asleep(&format!("{name}-a"), "g-twin", &name), asleep(&format!("{name}-b"), "g-twin", &name));
        let (a, b) = tokio::join!(store.create(&first), store.create(&second));
        let (won, lost) = if a.is_ok() { (first, b) } else { (second, a) };
        assert_eq!(lost, Err(CreateError::NameTaken));
        assert_eq!(store.find(&won.guild, &won.name).await.unwrap().world, won);
    }
}

pub(crate) async fn a_guild_lists_its_own_worlds_by_name(store: &dyn Store) {
    for (id, name) in [
        ("list-1", "muspelheim"),
        ("list-2", "alfheim"),
        ("list-3", "jotunheim-10"),
        ("list-4", "jotunheim-9"),
    ] {
        store.create(&asleep(id, "g-list", name)).await.unwrap();
    }
    store.create(&asleep("list-5", "g-list-too", "helheim")).await.unwrap();
    let listed = store.list(&GuildId::parse("g-list").unwrap()).await.unwrap();
    let names: Vec<_> = listed.worlds.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["alfheim", "jotunheim-10", "jotunheim-9", "muspelheim"]);
}

pub(crate) async fn unsettled_are_those_neither_asleep_nor_deleted(store: &dyn Store) {
    let (world, other) = (asleep("unsettled", "g-unsettled", "a"), asleep("settled", "g-unsettled-too", "b"));
    store.create(&world).await.unwrap();
    store.create(&other).await.unwrap();
    let listed = async || {
        let ids = store.unsettled().await.unwrap();
        (ids.contains(&world.id), ids.contains(&other.id))
    };
    assert_eq!(listed().await, (false, false));
    // Deleted comes last, for it is for ever: a store need not take a world back.
    let mut states = worlds_in_every_state();
    states.sort_by_key(|world| matches!(world.state, State::Deleted { .. }));
    for busy in states {
        let saved = World { state: busy.state, ..world.clone() };
        save(store, &saved).await;
        assert_eq!(listed().await, (!is_settled(&saved), false));
    }
}

/// An id is for ever: a second world under it is refused, by whatever name.
pub(crate) async fn an_id_is_never_given_to_a_second_world(store: &dyn Store) {
    let first = asleep("id", "g-id", "first");
    store.create(&first).await.unwrap();
    store.create(&asleep("id", "g-id", "second")).await.unwrap_err();
    store.create(&asleep("id", "g-id-too", "first")).await.unwrap_err();
    assert_eq!(store.load(&first.id).await.unwrap().0, first);
}

pub(crate) async fn rules_are_saved_only_over_the_version_that_was_read(store: &dyn Store) {
    let guild = GuildId::parse("g-rules").unwrap();
    assert_eq!(store.rules(&guild).await, Ok((Rules::default(), Version(0))));
    let first = store.save_rules(&guild, &rules("77"), Version(0)).await.unwrap();
    assert_eq!(store.save_rules(&guild, &rules("78"), Version(0)).await, Err(SaveError::Conflict));
    assert_eq!(store.rules(&guild).await, Ok((rules("77"), first)));
    let second = store.save_rules(&guild, &rules("79"), first).await.unwrap();
    assert_eq!(store.save_rules(&guild, &rules("80"), first).await, Err(SaveError::Conflict));
    assert_eq!(store.rules(&guild).await, Ok((rules("79"), second)));
}

pub(crate) async fn rules_come_with_the_guilds_worlds(store: &dyn Store) {
    let world = asleep("ruled", "g-ruled", "ruled");
    store.create(&world).await.unwrap();
    store.save_rules(&world.guild, &rules("77"), Version(0)).await.unwrap();
    assert_eq!(store.find(&world.guild, &world.name).await.unwrap().rules, rules("77"));
    assert_eq!(store.list(&world.guild).await, Ok(Listed { worlds: vec![world], rules: rules("77") }));
    let elsewhere = GuildId::parse("g-ruled-not").unwrap();
    assert_eq!(store.list(&elsewhere).await, Ok(Listed { worlds: vec![], rules: Rules::default() }));
}

fn rules(role: &str) -> Rules {
    Rules([(Action::Stop, [Who::role(role).unwrap(), Who::Everyone].into())].into())
}

pub(crate) async fn save(store: &dyn Store, world: &World) -> Version {
    let (_, read) = store.load(&world.id).await.unwrap();
    store.save(world, read).await.unwrap()
}

/// Returns a world that was never launched.
pub(crate) fn asleep(world_id: &str, guild: &str, name: &str) -> World {
    World {
        id: id(world_id),
        guild: GuildId::parse(guild).unwrap(),
        name: WorldName::parse(name).unwrap(),
        game: GameId::parse("valheim").unwrap(),
        created: asked(),
        timers: Timers::DEFAULT,
        settings: Chosen::default(),
        port: None,
        generation: Generation(0),
        claimed: None,
        vault: Vault::new(Care::DEFAULT),
        last: None,
        past: vec![],
        talk: Talk { told: Some(told(0, &format!("{name}: asleep"))), ..Talk::default() },
        state: State::Asleep,
    }
}

/// Returns a world in every state and step, each with everything that can be in it somewhere.
pub(crate) fn worlds_in_every_state() -> Vec<World> {
    let full = |name: &str, state| World {
        settings: settings(),
        port: Some(2456),
        generation: Generation(7),
        claimed: Some(Generation(7)),
        vault: vault(),
        last: Some(Session { launch: launch(6), outcome: Outcome::Slept(StopWhy::LastLeft, Proof::Fresh) }),
        past: vec![Session { launch: launch(5), outcome: Outcome::Lost("it broke down".into()) }],
        talk: talk(),
        state,
        ..asleep(&format!("w-{name}"), "g-states", name)
    };
    let new = asleep("w-new", "g-states", "new");
    let named = starting().into_iter().chain(awake()).chain(stopping()).chain(ending()).chain(resting());
    let lasts = outcomes().into_iter().enumerate().map(|(at, outcome)| World {
        last: Some(Session { launch: launch(6), outcome }),
        ..full(&format!("last-{at}"), State::Asleep)
    });
    std::iter::once(new).chain(named.map(|(name, state)| full(&name, state))).chain(lasts).collect()
}

fn settings() -> Chosen {
    let one = |(name, value)| (SettingName::parse(name).unwrap(), SettingValue::parse(value).unwrap());
    Chosen([("password", "h\"u'n$ter"), ("seed", "7")].map(one).into())
}

fn vault() -> Vault {
    let by = || asked().by;
    let whys = [KeptWhy::Slept, KeptWhy::Asked(by()), KeptWhy::Schedule, KeptWhy::Replaced(by())];
    let kept = whys.into_iter().zip([6, 5, 4, 3]);
    let id = |n| archive(n).id;
    let link = |n: u32, of| ExportLink {
        id: LinkId::parse(&format!("l{n}")).unwrap(),
        of,
        asked: asked(),
        expires: at(7 * 24 * 60),
        downloads: n,
    };
    Vault {
        kept: kept.map(|(why, n)| Kept { archive: archive(n), at: at(0), why }).collect(),
        same_as: Some(id(6)),
        lives: Storage::Archive,
        links: vec![
            link(1, LinkOf::Archive(id(5))),
            link(2, LinkOf::Next),
            link(4, LinkOf::AfterNext),
            link(3, LinkOf::Nothing("the disk is full".into())),
        ],
        litter: vec![Litter::Archive(id(2)), Litter::Import(import())],
        care: Care {
            backup_every: Duration::from_secs(1800),
            retention: Retention { newest: 9, daily: 0, weekly: 26 },
            storage: Storage::Archive,
        },
    }
}

fn import() -> ImportId {
    ImportId::parse("w-0011223344").unwrap()
}

fn errands() -> [Errand; 3] {
    [Errand::Backup, Errand::Restore(archive(3).id), Errand::Import(import())]
}

fn talk() -> Talk {
    Talk {
        place: Place::parse("123456789").ok(),
        card: CardId::parse("123456789/987").ok(),
        followers: vec![Follower { reply: ReplyId::parse("app/token").unwrap(), until: at(15) }],
        told: Some(told(7, "a sentence")),
    }
}

fn told(generation: u32, sentence: &str) -> Told {
    Told { generation: Generation(generation), sentence: sentence.into() }
}

type Named = (String, State);

fn starting() -> Vec<Named> {
    let steps = [
        ("launching", StartStep::Launching),
        ("launched", StartStep::Launched { task: task() }),
        ("filling", StartStep::Filling { task: task() }),
        ("claimed", StartStep::Claimed { task: task() }),
    ];
    let named = |(name, step): (&str, _)| {
        (name.into(), State::Starting { launch: launch(7), step, deadline: at(90) })
    };
    let errands = errands().into_iter().enumerate().map(|(n, errand)| {
        let launch = Launch { errand: Some(errand), ..launch(7) };
        let state = State::Starting { launch, step: StartStep::Launching, deadline: at(90) };
        (format!("errand-{n}"), state)
    });
    steps.into_iter().map(named).chain(errands).collect()
}

fn awake() -> Vec<Named> {
    let address = Address { host: "203.0.113.7".into(), port: 2456 };
    let heard = |players, stops_at| Heard { at: at(60), players, stops_at };
    let awake = |heard, keep| State::Awake {
        launch: launch(7),
        task: task(),
        address: address.clone(),
        heard,
        keep,
        backup: None,
        deadline: at(12 * 60),
    };
    let steps = [
        BackupStep::Wanted,
        BackupStep::Uploaded(archive(7)),
        BackupStep::Done(archive(7).id),
        BackupStep::Failed("the disk is full".into()),
    ];
    let backed_up = |(n, step): (usize, _)| {
        let mut state = awake(heard(Evidence::Empty, None), None);
        if let State::Awake { backup, .. } = &mut state {
            let (why, at, deadline) = (KeptWhy::Schedule, at(61), at(121));
            *backup = Some(Backup { why, at, step, deadline });
        }
        (format!("awake-backup-{n}"), state)
    };
    let backed_up = steps.into_iter().enumerate().map(backed_up);
    let seen = vec![
        ("awake".into(), awake(heard(Evidence::Players(3), None), Some((asked(), at(120))))),
        ("awake-empty".into(), awake(heard(Evidence::Empty, Some(at(62))), None)),
        ("awake-unknown".into(), awake(heard(Evidence::Unknown("no CAP_NET_RAW".into()), None), None)),
    ];
    seen.into_iter().chain(backed_up).collect()
}

fn stopping() -> Vec<Named> {
    let steps = vec![
        ("asked", StopStep::Asked),
        ("saving", StopStep::Saving),
        ("saved", StopStep::Saved(Proof::Fresh)),
        ("uploaded", StopStep::Uploaded(Proof::Untouched, archive(7))),
        ("rejected", StopStep::Rejected(Proof::Missing("no save file".into()), archive(7).id)),
        ("filling", StopStep::Filling),
    ];
    let stopping = |why, step, then| State::Stopping {
        launch: launch(7),
        task: task(),
        why,
        step,
        then,
        deadline: at(90),
    };
    let by_step =
        |(name, step): (&str, _)| (format!("stopping-{name}"), stopping(StopWhy::Cap, step, Then::Sleep));
    let by_why =
        |(n, why)| (format!("stopping-why-{n}"), stopping(why, StopStep::Asked, Then::Start(asked())));
    steps.into_iter().map(by_step).chain(whys().into_iter().enumerate().map(by_why)).collect()
}

fn ending() -> Vec<Named> {
    let forces = [Force::Gentle, Force::Kill].into_iter().cycle();
    let thens = [Then::Sleep, Then::Start(asked())].into_iter().cycle();
    let tasks = [Some(task()), None, None].into_iter().cycle();
    let parts = outcomes().into_iter().zip(forces).zip(thens).zip(tasks).enumerate();
    let named = |(n, (((outcome, force), then), task))| {
        let state = State::Ending { launch: launch(7), task, outcome, force, then, deadline: at(90) };
        (format!("ending-{n}"), state)
    };
    parts.map(named).collect()
}

fn resting() -> Vec<Named> {
    vec![
        ("asleep".into(), State::Asleep),
        ("deleting".into(), State::Deleting { asked: asked(), deadline: at(90) }),
        ("deleted".into(), State::Deleted { asked: asked(), at: at(91) }),
    ]
}

fn whys() -> Vec<StopWhy> {
    vec![
        StopWhy::Asked(asked()),
        StopWhy::NeverJoined,
        StopWhy::LastLeft,
        StopWhy::Cap,
        StopWhy::NeverReady,
        StopWhy::Deaf,
        StopWhy::GameEnded("signal 11 \"SIGSEGV\"".into()),
        StopWhy::Reclaimed,
        StopWhy::AllAway,
        StopWhy::Unresponsive,
    ]
}

fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::Slept(StopWhy::Asked(asked()), Proof::Fresh),
        Outcome::NotArchived(StopWhy::Cap, "the disk is full".into()),
        Outcome::Failed("no such image".into()),
        Outcome::Lost("its task ran out of memory".into()),
        Outcome::Slept(StopWhy::Cap, Proof::Missing("the game had to be killed".into())),
        Outcome::Cancelled(asked()),
        Outcome::Done(Errand::Import(import()), "a world".into()),
        Outcome::NotDone(Errand::Restore(archive(3).id), "the disk is full".into()),
        Outcome::Done(Errand::Backup, String::new()),
    ]
}

fn launch(generation: u32) -> Launch {
    let ended = generation < 7;
    let all = Milestone::ALL.into_iter().filter(|m| *m != Milestone::Filled);
    let passed = all.filter(|m| ended || *m <= Milestone::Ready).zip(1..);
    let passed = passed.map(|(milestone, minute)| (milestone, at(minute))).collect();
    let sight = |source, standing| Sight { source, standing };
    let sources = vec![
        sight(Source::SocketTables, Standing::Serves("by netlink".into())),
        sight(Source::PacketPeers, Standing::Missing("CAP_NET_RAW is missing".into())),
        sight(Source::DatagramRate, Standing::Serves("yes, instead".into())),
        sight(Source::GameQuery, Standing::Serves("A2S at port 2457".into())),
    ];
    let evening = [(20, Evidence::Empty), (30, Evidence::Players(3)), (7, Evidence::Unknown("x".into()))];
    Launch {
        generation: Generation(generation),
        errand: None,
        asked: asked(),
        passed,
        attendance: attendance(&evening),
        sources: if ended { vec![] } else { sources },
    }
}

fn archive(generation: u32) -> Archive {
    Archive {
        id: ArchiveId::parse(&format!("20261121-093000-250-g{generation}")).unwrap(),
        generation: Generation(generation),
        size: u64::from(u32::MAX) + 7,
        sha256: Sha256([0xa7; 32]),
    }
}

fn asked() -> Asked {
    Asked { by: Person::parse("Bo").unwrap(), at: at(0) }
}

fn task() -> TaskId {
    TaskId::parse("arn:aws:ecs:eu-central-1:111122223333:task/dormouse/0a1b2c").unwrap()
}

fn id(text: &str) -> WorldId {
    WorldId::parse(text).unwrap()
}

/// Returns a time some minutes after the evening began.
fn at(minutes: u64) -> Timestamp {
    Timestamp::from_millisecond(1_795_253_400_250).unwrap() + Duration::from_secs(60 * minutes)
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    all(&domain::sim::Memory::default()).await;
}
