//! The driver against ports in memory: what others, a crash, a lost message or a lying port can do to it, and what each
//! command answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod situations;
mod slow;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;

use domain::{
    access::{Asker, Rules},
    commands::{
        self, Command, Context, Problem, Reply, create::Create, create::TimerChoices, delete::Delete,
        export::Export, keep::Keep, spec::Args,
    },
    driver::{Applied, ApplyError, Driver},
    effect::Orders,
    event::{Event, Gone},
    game::{Game, Port, Protocol, Ready, Save, Signal, Stop},
    idle::Timers,
    ports::{
        CreateError, Directory, Found, LaunchError, LaunchOrder, Listed, LoadError, Queue, RunningTask,
        Runtime, SaveError, Seen, Store, Unavailable, Version,
    },
    sim::{Fault, Memory},
    world::{Force, GameId, Generation, GuildId, Person, State, StopStep, TaskId, World, WorldId, WorldName},
};
use expect_test::{Expect, expect};
use situations::{SITUATIONS, at, event, situation, steps, world};
use slow::{advance, slow};

// Others at the same time.

#[tokio::test]
async fn two_starts_at_the_same_instant_make_one_launch() {
    let (memory, driver) = outside("new").await;
    let slow = slow(&memory, &driver);
    let (world, ann, bob) = (id(), start("ann"), start("bob"));
    let (first, second) = tokio::join!(slow.apply(&world, &ann, at(0)), slow.apply(&world, &bob, at(0)));
    assert_eq!(
        (first.unwrap().before.state, second.unwrap().before.generation),
        (State::Asleep, Generation(1))
    );
    memory.work(&driver, at(1)).await;
    assert_eq!(tasks(&memory), ["w1.1"]);
    expect!["valhalla: ann wakes it"].assert_eq(&memory.lock().told.join("\n"));
}

#[tokio::test]
async fn whoever_starts_it_second_hears_who_was_first() {
    let (memory, driver) = outside("new").await;
    let slow = slow(&memory, &driver);
    let (ann, bob) = (context("ann", 0), context("bob", 0));
    let start = || Command::Start(name());
    let (first, second) =
        tokio::join!(commands::run(start(), &ann, &slow), commands::run(start(), &bob, &slow));
    expect![[r#"
        waking `valhalla`, about 1 min to go
        `valhalla` is already waking, asked for by ann 0 s ago, about 1 min to go
    "#]]
    .assert_eq(&format!("{}\n{}\n", answer(first), answer(second)));
}

#[tokio::test]
async fn a_worker_whose_launch_is_over_when_it_comes_back_changes_nothing() {
    let (memory, driver) = outside("launching").await;
    let slow = slow(&memory, &driver);
    let asleep = id();
    let mut look = Box::pin(slow.look(&asleep, at(1)));
    assert_eq!(advance(&mut look, 2), None, "the launch is asked for, and its answer not yet recorded");
    happen(&driver, "5 stop bob; 250 tick").await;
    assert_eq!((state(&driver).await, tasks(&memory)), ("asleep", vec!["w1.1".into()]));
    assert_eq!(look.await, Ok(()));
    assert_eq!(state(&driver).await, "asleep");
    assert_eq!(driver.sweep(at(300)).await, Ok(vec![]));
    assert_eq!(tasks(&memory), Vec::<String>::new());
}

/// It may stay wrong until the next notice: what is told is not conditional on the version, as what is saved is.
#[tokio::test]
async fn a_worker_that_pauses_before_it_tells_says_what_was_true_when_it_looked() {
    let (memory, driver) = outside("claimed").await;
    run_task(&memory, "t1", "w1", 1);
    happen(&driver, "90 ready").await;
    let slow = slow(&memory, &driver);
    let awake = id();
    let mut look = Box::pin(slow.look(&awake, at(91)));
    assert_eq!(advance(&mut look, 2), None, "it is about to tell");
    memory.end_task(&task("t1"), Gone::OutOfMemory);
    memory.work(&driver, at(92)).await;
    assert_eq!(look.await, Ok(()));
    expect![[r#"
        valhalla: asleep; the last launch was lost: its task ran out of memory; its files are in its directory
        valhalla: awake at 203.0.113.7:2456"#]]
    .assert_eq(&memory.lock().told.join("\n"));
}

// Ports that fail, or say that they did.

#[tokio::test]
async fn a_start_that_was_saved_though_it_failed_is_found_by_the_next_start_and_by_the_sweep() {
    let (memory, driver) = outside("new").await;
    memory.lock().store_fault = Some(Fault::After);
    let failed = run(Command::Start(name()), "ann", 0, &driver).await;
    let again = run(Command::Start(name()), "ann", 5, &driver).await;
    expect![[r#"
        Unavailable: told to fail (nothing is lost; try again in a moment)
        `valhalla` is already waking, asked for by ann 5 s ago, about 55 s to go
    "#]]
    .assert_eq(&format!("{failed}\n{again}\n"));
    assert_eq!(driver.sweep(at(60)).await, Ok(vec![]));
    assert_eq!(tasks(&memory), ["w1.1"]);
}

#[tokio::test]
async fn a_start_that_was_not_saved_has_not_happened() {
    let (memory, driver) = outside("new").await;
    memory.lock().store_fault = Some(Fault::Before);
    expect!["Unavailable: told to fail (nothing is lost; try again in a moment)"]
        .assert_eq(&run(Command::Start(name()), "ann", 0, &driver).await);
    assert_eq!(state(&driver).await, "asleep");
    assert_eq!(run(Command::Start(name()), "ann", 5, &driver).await, "waking `valhalla`, about 1 min to go");
}

#[tokio::test]
async fn a_launch_that_took_effect_though_it_failed_is_not_launched_twice() {
    for fault in [Fault::Before, Fault::After] {
        let (memory, driver) = outside("launching").await;
        memory.lock().runtime_fault = Some(fault);
        assert!(matches!(driver.look(&id(), at(1)).await, Err(ApplyError::Unavailable(_))));
        assert_eq!(driver.look(&id(), at(2)).await, Ok(()));
        assert_eq!((state(&driver).await, tasks(&memory)), ("waking", vec!["w1.1".into()]), "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_launch_is_told_and_leaves_the_world_asleep() {
    let (memory, driver) = outside("new").await;
    memory.lock().refuse_launch = Some("no capacity for 4 cores".into());
    happen(&driver, "0 start ann").await;
    memory.work(&driver, at(1)).await;
    expect!["valhalla: asleep; the last start failed: no capacity for 4 cores"]
        .assert_eq(&memory.lock().told.join("\n"));
}

#[tokio::test]
async fn a_lost_message_heals_at_the_sweep() {
    let (memory, driver) = outside("new").await;
    happen(&driver, "0 start ann").await;
    lose_messages(&memory).await;
    memory.work(&driver, at(1)).await;
    assert_eq!(tasks(&memory), Vec::<String>::new());
    assert_eq!(driver.sweep(at(60)).await, Ok(vec![]));
    assert_eq!(tasks(&memory), ["w1.1"]);
}

#[tokio::test]
async fn a_doubled_message_changes_nothing() {
    let (memory, driver) = outside("launching").await;
    for second in 1..4 {
        assert_eq!(driver.look(&id(), at(second)).await, Ok(()));
        memory.work(&driver, at(second)).await;
    }
    assert_eq!((tasks(&memory), memory.lock().told.len()), (vec!["w1.1".into()], 1));
}

// A worker that dies.

const EVENING: &str = "0 start ann; 30 claimed w1.1; 90 ready; 100 seen 2; 700 seen 0 820; 820 began left;
    840 saved fresh; 860 uploaded a1; 1000 start bob; 1030 claimed w1.2; 1090 ready; 1200 stop bob; 1210 saved fresh;
    1220 uploaded a2; 1300 delete ann valhalla";

#[tokio::test]
async fn an_evening_ends_the_same_wherever_each_worker_dies_and_its_message_comes_again() {
    let (told, end) = evening(usize::MAX, Heals::ByMessage).await;
    expect![[r#"
        valhalla: ann wakes it
        valhalla: awake at 203.0.113.7:2456
        valhalla: nobody is on; goes to sleep at 2026-01-01T18:13:40Z. To keep it awake: `world keep valhalla`
        valhalla: going to sleep, since the last player has left
        valhalla: asleep; saved and archived, since the last player has left
        valhalla: bob wakes it
        valhalla: awake at 203.0.113.7:2456
        valhalla: going to sleep, asked for by bob
        valhalla: asleep; saved and archived, asked for by bob
        valhalla: deleted; its archives are kept"#]]
    .assert_eq(&told.join("\n"));
    for pauses in 0..12 {
        assert_eq!(
            evening(pauses, Heals::ByMessage).await,
            (told.clone(), end.clone()),
            "died at pause {pauses}"
        );
    }
}

#[tokio::test]
async fn an_evening_ends_the_same_wherever_each_worker_dies_and_only_the_sweep_comes() {
    let (_, end) = evening(usize::MAX, Heals::BySweep).await;
    for pauses in 0..12 {
        assert_eq!(evening(pauses, Heals::BySweep).await.1, end, "died at pause {pauses}");
    }
}

#[tokio::test]
async fn what_a_worker_that_died_between_save_and_send_did_not_tell_is_told_at_the_next_sweep() {
    let (memory, driver) = outside("ending").await;
    let slow = slow(&memory, &driver);
    let mut sweep = Box::pin(slow.sweep(at(900)));
    let saved = |_: &u32| {
        let _ = advance(&mut sweep, 0);
        let loaded = advance(&mut Box::pin(memory.load(&id())), 0).unwrap();
        loaded.unwrap().0.state == State::Asleep
    };
    assert!((0..20).find(saved).is_some());
    drop(sweep);
    assert_eq!(driver.sweep(at(960)).await, Ok(vec![]));
    expect!["valhalla: asleep; saved and archived, asked for by bob"]
        .assert_eq(&memory.lock().told.join("\n"));
    assert_eq!(memory.unsettled().await, Ok(vec![]), "what was told is not told again");
}

/// What brings a world on after its worker died.
#[derive(Clone, Copy)]
enum Heals {
    ByMessage,
    BySweep,
}

/// Plays [`EVENING`]. Each worker dies after so many pauses. Returns what people were told and the world at the end.
async fn evening(pauses: usize, heals: Heals) -> (Vec<String>, World) {
    let (memory, driver) = outside("new").await;
    for (second, text) in steps(EVENING) {
        upload(&memory, text);
        apply(&driver, second, text).await;
        work_and_die(&memory, &driver, second, pauses, heals).await;
        assert!(tasks(&memory).len() <= 1, "two tasks after `{text}`, died at pause {pauses}");
    }
    let told = memory.lock().told.clone();
    let (world, _) = driver.store.load(&id()).await.unwrap();
    (told, world)
}

async fn work_and_die(memory: &Memory, driver: &Driver, second: u64, pauses: usize, heals: Heals) {
    let slow = slow(memory, driver);
    for _ in 0..20 {
        let Some(delivery) = memory.receive(1, Duration::ZERO).await.unwrap().pop() else { return };
        let mut look = Box::pin(slow.look(&delivery.look.world, at(second)));
        let done = advance(&mut look, pauses).is_some_and(|result| result.is_ok());
        drop(look);
        match heals {
            Heals::ByMessage => {
                if !done {
                    driver.look(&delivery.look.world, at(second)).await.unwrap();
                }
                memory.done(&delivery.receipt).await.unwrap();
            }
            Heals::BySweep => {
                lose_messages(memory).await;
                for _ in 0..3 {
                    assert_eq!(driver.sweep(at(second)).await, Ok(vec![]));
                }
                lose_messages(memory).await;
            }
        }
    }
    panic!("the messages do not come to an end");
}

/// Lets the archive that is said to be uploaded be there.
fn upload(memory: &Memory, text: &str) {
    if let Some(id) = text.strip_prefix("uploaded ") {
        let generation = if id == "a1" { Generation(1) } else { Generation(2) };
        let Event::Uploaded { archive, .. } = event(&format!("{text} @{generation}"), &world()) else {
            return;
        };
        memory.lock().archives.insert(id.to_owned(), archive);
    }
}

// What the runtime is asked.

#[tokio::test]
async fn the_task_that_a_launch_never_named_is_found_by_world_and_launch() {
    let (memory, driver) = outside("unnamed").await;
    for (id, world, generation) in [("a", "w7", 1), ("b", "w1", 0), ("c", "w1", 1)] {
        run_task(&memory, id, world, generation);
    }
    assert_eq!(driver.look(&id(), at(6)).await, Ok(()));
    assert_eq!(driver.store.load(&id()).await.unwrap().0.task(), Some(&task("c")));
}

#[tokio::test]
async fn only_a_world_that_nobody_ever_claimed_may_be_made_anew() {
    for (name, ..) in SITUATIONS {
        let (memory, driver) = outside(name).await;
        let runtime = Arc::new(Noting { memory, orders: Mutex::default() });
        let driver = Driver { runtime: runtime.clone(), ..driver };
        if driver.apply(&id(), &start("ann"), at(2000)).await.is_err() {
            continue;
        }
        driver.look(&id(), at(2000)).await.unwrap();
        let (world, _) = driver.store.load(&id()).await.unwrap();
        for order in runtime.orders.lock().unwrap().iter() {
            let may_be_new = order.directory == Directory::MayBeNew;
            assert_eq!((may_be_new, order.generation), (world.claimed.is_none(), world.generation), "{name}");
        }
    }
}

/// A runtime that notes what it was asked to launch.
struct Noting {
    memory: Memory,
    orders: Mutex<Vec<LaunchOrder>>,
}

#[async_trait]
impl Runtime for Noting {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        self.orders.lock().unwrap().push(order.clone());
        self.memory.launch(order).await
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        self.memory.observe(task).await
    }

    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        self.memory.end(task, force).await
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        Runtime::list(&self.memory).await
    }

    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        self.memory.erase(world).await
    }
}

// The sweep.

#[tokio::test]
async fn the_sweep_ends_tasks_that_no_world_knows() {
    let ended = |situation: &'static str, world: &'static str, generation| async move {
        let (memory, driver) = outside(situation).await;
        run_task(&memory, "t1", "w1", 1);
        run_task(&memory, "t9", world, generation);
        assert_eq!(driver.sweep(at(0)).await, Ok(vec![]));
        !tasks(&memory).contains(&"t9".to_owned())
    };
    assert!(ended("awake", "w7", 1).await, "of a world that is not there");
    assert!(ended("awake", "w1", 1).await, "of the launch, but another one");
    assert!(ended("awake", "w1", 0).await, "of an earlier launch");
    assert!(ended("asleep", "w1", 1).await, "of a launch that is over");
    assert!(ended("deleted", "w1", 1).await, "of a deleted world");
}

#[tokio::test]
async fn the_sweep_leaves_a_task_alone_that_a_launch_may_be_about_to_name() {
    let (memory, driver) = outside("launching").await;
    run_task(&memory, "t9", "w1", 1);
    memory.lock().runtime_fault = Some(Fault::Before);
    assert_eq!(
        driver.sweep(at(1)).await.unwrap().len(),
        1,
        "the launch fails and is tried again at the next sweep"
    );
    assert_eq!(tasks(&memory), ["t9"]);
}

#[tokio::test]
async fn the_sweep_ends_a_launch_whose_time_is_over() {
    let (memory, driver) = outside("launched").await;
    run_task(&memory, "t1", "w1", 1);
    assert_eq!(driver.sweep(at(480)).await, Ok(vec![]));
    assert_eq!((state(&driver).await, tasks(&memory)), ("waking", vec!["t1".into()]));
    assert_eq!(driver.sweep(at(481)).await, Ok(vec![]));
    assert_eq!((state(&driver).await, tasks(&memory)), ("going to sleep", vec!["t1".into()]));
    assert_eq!(driver.sweep(at(482)).await, Ok(vec![]));
    assert_eq!((state(&driver).await, tasks(&memory)), ("asleep", vec![]));
}

#[tokio::test]
async fn an_archive_that_is_whole_counts_however_late_it_is_looked_at() {
    let (memory, driver) = outside("uploaded").await;
    let (world, _) = driver.store.load(&id()).await.unwrap();
    let State::Stopping { step: StopStep::Uploaded(_, archive), .. } = &world.state else {
        panic!("{world:?}")
    };
    memory.lock().archives.insert(archive.id.to_string(), archive.clone());
    driver.sweep(at(1_000_000)).await.unwrap();
    let (world, _) = driver.store.load(&id()).await.unwrap();
    assert_eq!(world.archive.as_ref(), Some(archive));
}

#[tokio::test]
async fn the_sweep_goes_on_past_a_task_whose_world_cannot_be_read() {
    let (memory, driver) = outside("asleep").await;
    run_task(&memory, "t1", "unreadable", 1);
    run_task(&memory, "t2", "w7", 1);
    let driver = Driver { store: Arc::new(Unreadable(memory.clone())), ..driver };
    let failed = driver.sweep(at(1000)).await.unwrap();
    assert_eq!(failed.iter().map(|(world, _)| world.as_str()).collect::<Vec<_>>(), ["unreadable"]);
    assert_eq!(tasks(&memory), ["t1"]);
}

/// A store in which the record of the world `unreadable` cannot be read.
struct Unreadable(Memory);

#[async_trait]
impl Store for Unreadable {
    async fn create(&self, world: &World) -> Result<(), CreateError> {
        self.0.create(world).await
    }

    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError> {
        match id.as_str() {
            "unreadable" => Err(Unavailable("the record is of version 9".into()).into()),
            _ => self.0.load(id).await,
        }
    }

    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError> {
        self.0.find(guild, name).await
    }

    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable> {
        Store::list(&self.0, guild).await
    }

    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError> {
        self.0.save(world, read).await
    }

    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable> {
        self.0.unsettled().await
    }

    async fn rules(&self, guild: &GuildId) -> Result<(Rules, Version), Unavailable> {
        self.0.rules(guild).await
    }

    async fn save_rules(&self, guild: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError> {
        self.0.save_rules(guild, rules, read).await
    }
}

#[tokio::test]
async fn the_sweep_leaves_the_task_of_every_launch_alone() {
    for (name, ..) in SITUATIONS {
        let (memory, driver) = outside(name).await;
        let (world, _) = driver.store.load(&id()).await.unwrap();
        let Some(task) = world.task().filter(|_| !matches!(world.state, State::Ending { .. })) else {
            continue;
        };
        run_task(&memory, task.as_str(), "w1", world.generation.0);
        assert_eq!(driver.sweep(at(0)).await, Ok(vec![]), "{name}");
        assert_eq!(tasks(&memory), [task.to_string()], "{name}");
    }
}

#[tokio::test]
async fn a_report_of_an_old_launch_is_answered_with_abandon() {
    let (_, driver) = outside("awake").await;
    let (awake, _) = situation("awake");
    let report = |text: &str| [event(text, &awake)];
    let seen = driver.report(&id(), Generation(1), &report("seen 1"), at(300)).await;
    assert_eq!(seen, Ok(Orders::Run { keep_until: None }));
    let old = driver.report(&id(), Generation(0), &report("seen 1 @0"), at(301)).await;
    assert_eq!(old, Ok(Orders::Abandon));
    let unknown =
        driver.report(&WorldId::parse("w7").unwrap(), Generation(1), &report("seen 1"), at(302)).await;
    assert_eq!(unknown, Ok(Orders::Abandon));
}

#[tokio::test]
async fn only_the_current_launch_gets_a_ticket() {
    let (_, driver) = outside("saved").await;
    assert!(driver.ticket(&id(), Generation(1), 12, at(850)).await.is_ok());
    assert!(matches!(driver.ticket(&id(), Generation(0), 12, at(850)).await, Err(ApplyError::Refused(_))));
}

#[tokio::test]
async fn of_several_events_all_happen_or_none() {
    let (_, driver) = outside("awake").await;
    let (before, _) = situation("awake");
    let events = ["seen 3", "ready @0"].map(|text| event(text, &before));
    assert!(driver.apply(&id(), &events, at(300)).await.is_err());
    assert_eq!(driver.store.load(&id()).await.unwrap().0, before);
}

// What each command answers.

#[tokio::test]
async fn status_says_what_the_world_is_doing() {
    in_every_situation(|| Command::Status(name()), expect![[r#"
        new: `valhalla`: asleep, never played
        launching: `valhalla`: waking, asked for by ann 20 s ago, asking for a task, about 40 s to go
        launched: `valhalla`: waking, asked for by ann 21 s ago, its task is coming up, about 39 s to go
        claimed: `valhalla`: waking, asked for by ann 50 s ago, the game is loading, about 10 s to go
        awake: `valhalla`: awake at 203.0.113.7:2456: 2 players, seen 20 s ago
        warned: `valhalla`: awake at 203.0.113.7:2456: nobody on, seen 20 s ago, going to sleep in 1 min 40 s
        kept: `valhalla`: awake at 203.0.113.7:2456: 2 players, seen 10 min ago, kept awake by ann for another 49 min
        asked: `valhalla`: going to sleep, asked for by bob: its watchdog is being told
        asked+again: `valhalla`: going to sleep, asked for by bob: its watchdog is being told; cyd asked for it meanwhile, so it is woken again right after
        saving: `valhalla`: going to sleep, asked for by bob: saving
        saved: `valhalla`: going to sleep, asked for by bob: saved, archiving
        saved+again: `valhalla`: going to sleep, asked for by bob: saved, archiving; cyd asked for it meanwhile, so it is woken again right after
        uploaded: `valhalla`: going to sleep, asked for by bob: archived, checking the archive
        rejected: `valhalla`: going to sleep, asked for by bob: the archive was not whole, archiving again
        ending: `valhalla`: going to sleep: its task is ending
        ending+again: `valhalla`: going to sleep: its task is ending; cyd asked for it meanwhile, so it is woken again right after
        killing: `valhalla`: going to sleep: its task is ending
        unnamed: `valhalla`: going to sleep: its task is ending
        unnamed+again: `valhalla`: going to sleep: its task is ending; cyd asked for it meanwhile, so it is woken again right after
        asleep: `valhalla`: asleep: saved and archived, asked for by bob
        failed: `valhalla`: asleep: the last start failed: no capacity
        lost: `valhalla`: asleep: the last launch was lost: its task ran out of memory; its files are in its directory
        unsaved: `valhalla`: asleep: stopped, asked for by bob, but not archived: the disk is full; its files are in its directory
        deleting: `valhalla`: being deleted, asked for by ann 20 s ago
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
}

#[tokio::test]
async fn start_wakes_it_or_says_who_did() {
    in_every_situation(
        || Command::Start(name()),
        expect![[r#"
            new: waking `valhalla`, about 1 min to go
            launching: `valhalla` is already waking, asked for by ann 20 s ago, about 40 s to go
            launched: `valhalla` is already waking, asked for by ann 21 s ago, about 39 s to go
            claimed: `valhalla` is already waking, asked for by ann 50 s ago, about 10 s to go
            awake: `valhalla` is already awake at 203.0.113.7:2456, asked for by ann 2 min ago
            warned: `valhalla` is already awake at 203.0.113.7:2456, asked for by ann 12 min ago
            kept: `valhalla` is already awake at 203.0.113.7:2456, asked for by ann 12 min ago
            asked: `valhalla` is going to sleep; it is woken again as soon as it is saved
            asked+again: `valhalla` is going to sleep; waking it right after was asked for by cyd 20 s ago
            saving: `valhalla` is going to sleep; it is woken again as soon as it is saved
            saved: `valhalla` is going to sleep; it is woken again as soon as it is saved
            saved+again: `valhalla` is going to sleep; waking it right after was asked for by cyd 20 s ago
            uploaded: `valhalla` is going to sleep; it is woken again as soon as it is saved
            rejected: `valhalla` is going to sleep; it is woken again as soon as it is saved
            ending: `valhalla` is going to sleep; it is woken again as soon as its task has ended
            ending+again: `valhalla` is going to sleep; waking it right after was asked for by cyd 20 s ago
            killing: `valhalla` is going to sleep; it is woken again as soon as its task has ended
            unnamed: `valhalla` is going to sleep; it is woken again as soon as its task has ended
            unnamed+again: `valhalla` is going to sleep; waking it right after was asked for by cyd 20 s ago
            asleep: waking `valhalla`, about 1 min 29 s to go
            failed: waking `valhalla`, about 1 min to go
            lost: waking `valhalla`, about 1 min 29 s to go
            unsaved: waking `valhalla`, about 1 min 29 s to go
            deleting: Refused: `valhalla` is deleted (its archives are kept; create a new world under this name)
            deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn stop_puts_it_to_sleep_or_says_that_it_does() {
    in_every_situation(
        || Command::Stop(name()),
        expect![[r#"
            new: `valhalla` is asleep already
            launching: `valhalla` goes back to sleep; waking it was asked for by ann 20 s ago
            launched: `valhalla` goes back to sleep; waking it was asked for by ann 21 s ago
            claimed: `valhalla` goes back to sleep; waking it was asked for by ann 50 s ago
            awake: `valhalla` is going to sleep: saving first (2 players on it)
            warned: `valhalla` is going to sleep: saving first
            kept: `valhalla` is going to sleep: saving first (2 players on it)
            asked: `valhalla` is going to sleep already
            asked+again: `valhalla` is going to sleep and stays asleep; cyd had wanted it woken again
            saving: `valhalla` is going to sleep already
            saved: `valhalla` is going to sleep already
            saved+again: `valhalla` is going to sleep and stays asleep; cyd had wanted it woken again
            uploaded: `valhalla` is going to sleep already
            rejected: `valhalla` is going to sleep already
            ending: `valhalla` is going to sleep already
            ending+again: `valhalla` is going to sleep and stays asleep; cyd had wanted it woken again
            killing: `valhalla` is going to sleep already
            unnamed: `valhalla` is going to sleep already
            unnamed+again: `valhalla` is going to sleep and stays asleep; cyd had wanted it woken again
            asleep: `valhalla` is asleep already
            failed: `valhalla` is asleep already
            lost: `valhalla` is asleep already
            unsaved: `valhalla` is asleep already
            deleting: Refused: `valhalla` is deleted (its archives are kept; create a new world under this name)
            deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn keep_keeps_an_awake_world_awake() {
    in_every_situation(|| keep(3600), expect![[r#"
        new: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        launching: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        launched: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        claimed: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        awake: `valhalla` is kept awake for 1 h
        warned: `valhalla` is kept awake for 1 h
        kept: `valhalla` is kept awake for 1 h
        asked: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        asked+again: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        saving: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        saved: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        saved+again: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        uploaded: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        rejected: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        ending: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        ending+again: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        killing: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        unnamed: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        unnamed+again: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        asleep: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        failed: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        lost: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        unsaved: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        deleting: Refused: `valhalla` is deleted (its archives are kept; create a new world under this name)
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
}

#[tokio::test]
async fn keep_says_when_the_cap_comes_first() {
    let (_, driver) = outside("awake").await;
    let far = run(keep(30 * 24 * 3600), "eve", 300, &driver).await;
    let never = run(keep(0), "eve", 300, &driver).await;
    expect![[r#"
        `valhalla` is kept awake for 11 h 56 min, which is as long as it may run
        Refused: the time to keep `valhalla` awake until is over already (give a time to come)
    "#]]
    .assert_eq(&format!("{far}\n{never}\n"));
}

#[tokio::test]
async fn delete_removes_a_sleeping_world_that_is_archived() {
    in_every_situation(|| delete("valhalla"), expect![[r#"
        new: `valhalla` is being deleted; it was never played
        launching: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        launched: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        claimed: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        awake: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        warned: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        kept: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        asked: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        asked+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        saving: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        saved: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        saved+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        uploaded: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        rejected: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        ending: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        ending+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        killing: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        unnamed: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        unnamed+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        asleep: `valhalla` is being deleted; its archive a1 is kept
        failed: `valhalla` is being deleted; it was never played
        lost: Refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world start valhalla` and `world stop valhalla` make an archive)
        unsaved: Refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world start valhalla` and `world stop valhalla` make an archive)
        deleting: `valhalla` is being deleted; its archive a1 is kept
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
}

#[tokio::test]
async fn delete_wants_the_name_once_more() {
    in_every_situation(|| delete("valhala"), expect![[r#"
        new: Refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        launching: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        launched: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        claimed: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        awake: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        warned: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        kept: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        asked: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        asked+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        saving: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        saved: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        saved+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        uploaded: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        rejected: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        ending: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        ending+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        killing: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        unnamed: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        unnamed+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        asleep: Refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        failed: Refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        lost: Refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        unsaved: Refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        deleting: `valhalla` is being deleted; its archive a1 is kept
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
}

#[tokio::test]
async fn export_links_to_the_newest_archive() {
    in_every_situation(
        || export(3600),
        expect![[r#"
            new: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            launching: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            launched: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            claimed: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            awake: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            warned: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            kept: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            asked: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            asked+again: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            saving: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            saved: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            saved+again: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            uploaded: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            rejected: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            ending: archive a1 of `valhalla` (1.4 MB); the link works for 1 h -> memory://w1/a1
            ending+again: archive a1 of `valhalla` (1.4 MB); the link works for 1 h -> memory://w1/a1
            killing: archive a1 of `valhalla` (1.4 MB); the link works for 1 h -> memory://w1/a1
            unnamed: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            unnamed+again: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            asleep: archive a1 of `valhalla` (1.4 MB); the link works for 1 h -> memory://w1/a1
            failed: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            lost: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            unsaved: NotFound: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            deleting: archive a1 of `valhalla` (1.4 MB); the link works for 1 h -> memory://w1/a1
            deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn list_shows_the_worlds_of_the_guild_that_are_not_deleted() {
    let (_, driver) = outside("deleted").await;
    driver.create(&another("w2", "midgard")).await.unwrap();
    driver.create(&another("w3", "asgard")).await.unwrap();
    driver
        .create(&World { guild: GuildId::parse("other").unwrap(), ..another("w4", "vanaheim") })
        .await
        .unwrap();
    assert_eq!(run(Command::List, "ann", 0, &driver).await, "asgard, midgard");
    assert_eq!(run(Command::Games, "ann", 0, &driver).await, "Valheim");
}

#[tokio::test]
async fn create_makes_a_world() {
    let (_, driver) = outside("deleted").await;
    assert_eq!(
        run(create("valhalla"), "ann", 0, &driver).await,
        "`valhalla` is made, a world of Valheim; `world start valhalla` wakes it"
    );
}

// What is wrong, and what to do.

#[tokio::test]
async fn every_problem_says_what_is_wrong_and_what_to_do() {
    let (memory, driver) = outside("asleep").await;
    let midgard = WorldName::parse("midgard").unwrap();
    let wanted = Create {
        name: midgard.clone(),
        game: game_id("valheim"),
        timers: TimerChoices::default(),
        port: None,
    };
    let timers = |never_joined, cap| TimerChoices {
        never_joined: Some(Duration::from_secs(never_joined)),
        cap: Some(Duration::from_secs(cap)),
        ..TimerChoices::default()
    };
    let commands = [
        ("unknown world", Command::Start(midgard.clone())),
        (
            "unknown world to export",
            Command::Export(Export { name: midgard, length: Duration::from_secs(60) }),
        ),
        ("unknown game", Command::Create(Create { game: game_id("tetris"), ..wanted.clone() })),
        ("timer too short", Command::Create(Create { timers: timers(4, 3600), ..wanted.clone() })),
        ("cap too long", Command::Create(Create { timers: timers(60, 8 * 24 * 3600), ..wanted.clone() })),
        ("no port", Command::Create(Create { port: Some(0), ..wanted.clone() })),
        ("last port too high", Command::Create(Create { port: Some(65535), ..wanted })),
        ("name taken", create("valhalla")),
        ("link too short", export(59)),
        ("link too long", export(31 * 24 * 3600)),
        ("archive not there", export(3600)),
    ];
    let mut problems = String::new();
    for (what, command) in commands {
        problems += &format!("{what}: {}\n", run(command, "ann", 2000, &driver).await);
    }
    let bare = memory.driver([]);
    problems += &format!("no games: {}\n", run(create("midgard"), "ann", 0, &bare).await);
    expect![[r#"
        unknown world: NotFound: there is no world `midgard` (`world list` shows those that are there)
        unknown world to export: NotFound: there is no world `midgard` (`world list` shows those that are there)
        unknown game: NotFound: there is no game `tetris` (there are: valheim)
        timer too short: BadInput: `never_joined` is 4 s: use 5 s to 86400 s (nothing was made)
        cap too long: BadInput: `cap` is 691200 s: use 30 s to 604800 s (nothing was made)
        no port: BadInput: port 0 leaves no room for the ports of Valheim (choose one from 1024 to 65000)
        last port too high: BadInput: port 65535 leaves no room for the ports of Valheim (choose one from 1024 to 65000)
        name taken: Refused: there is a world `valhalla` already (choose another name, or delete that one first)
        link too short: BadInput: a link cannot last 59 s (choose 1 minute to 30 days)
        link too long: BadInput: a link cannot last 31 d (choose 1 minute to 30 days)
        archive not there: NotFound: the archive a1 of `valhalla` is not where it was put (look for the file among the archives)
        no games: NotFound: there is no game `valheim` (the catalogue is empty)
    "#]].assert_eq(&problems);
}

#[tokio::test]
async fn a_guild_has_a_hundred_worlds_at_most() {
    let (_, driver) = outside("new").await;
    for n in 1..100 {
        driver.create(&another(&format!("x{n}"), &format!("x{n}"))).await.unwrap();
    }
    expect!["Refused: there are 100 worlds already, which is the most (delete one first)"]
        .assert_eq(&run(create("midgard"), "ann", 0, &driver).await);
}

#[test]
fn names_that_are_none_become_problems() {
    let problem = Problem::from(WorldName::parse("Val halla").unwrap_err());
    expect!["BadInput: world name `Val halla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2` (nothing was changed)"].assert_eq(&answer(Err(problem)));
}

// How it is asked and answered.

/// Returns an outside in which the one world is in the situation of that name, and a driver of it.
async fn outside(name: &str) -> (Memory, Driver) {
    let memory = Memory::default();
    let driver = memory.driver([valheim()]);
    driver.create(&situation(name).0).await.unwrap();
    (memory, driver)
}

async fn in_every_situation(command: impl Fn() -> Command, expected: Expect) {
    let mut answers = String::new();
    for (name, ..) in SITUATIONS {
        let (memory, driver) = outside(name).await;
        upload(&memory, "uploaded a1");
        let soon = situation(name).1 + 20;
        answers += &format!("{name}: {}\n", run(command(), "eve", soon, &driver).await);
    }
    expected.assert_eq(&answers);
}

async fn run(command: Command, by: &str, second: u64, driver: &Driver) -> String {
    answer(commands::run(command, &context(by, second), driver).await)
}

fn answer(answer: Result<Reply, Problem>) -> String {
    let names = |names: Vec<String>| names.join(", ");
    match answer {
        Ok(Reply::World { text, .. }) => text,
        Ok(Reply::Link(link)) => format!("{} -> {}", link.text, link.url),
        Ok(Reply::Worlds(worlds)) => names(worlds.iter().map(|w| w.name.to_string()).collect()),
        Ok(Reply::Games(games)) => names(games.into_iter().map(|g| g.name).collect()),
        Ok(Reply::Sessions(world)) => format!("{} sessions", world.last.iter().chain(&world.past).count()),
        Ok(Reply::Access(rules)) => format!("{rules:?}"),
        Ok(Reply::Help) => "help".into(),
        Err(Problem { kind, text, hint, .. }) => format!("{kind:?}: {text} ({hint})"),
    }
}

fn context(by: &str, second: u64) -> Context {
    Context {
        guild: world().guild,
        by: Person::parse(by).unwrap(),
        asker: Asker::Owner,
        place: None,
        follower: None,
        now: at(second),
        fresh_id: WorldId::parse("w9").unwrap(),
    }
}

fn create(name: &str) -> Command {
    let name = WorldName::parse(name).unwrap();
    Command::Create(Create { name, game: game_id("valheim"), timers: TimerChoices::default(), port: None })
}

fn keep(seconds: u64) -> Command {
    Command::Keep(Keep { name: name(), length: Duration::from_secs(seconds) })
}

fn delete(typed: &str) -> Command {
    Command::Delete(Delete { name: name(), typed: typed.into() })
}

fn export(seconds: u64) -> Command {
    Command::Export(Export { name: name(), length: Duration::from_secs(seconds) })
}

fn start(by: &str) -> [Event; 1] {
    [event(&format!("start {by}"), &world())]
}

/// Lets what `script` says happen, and nobody look.
async fn happen(driver: &Driver, script: &str) {
    for (second, text) in steps(script) {
        apply(driver, second, text).await;
    }
}

async fn apply(driver: &Driver, second: u64, text: &str) -> Applied {
    let (world, _) = driver.store.load(&id()).await.unwrap();
    driver.apply(&id(), &[event(text, &world)], at(second)).await.unwrap()
}

async fn lose_messages(memory: &Memory) {
    for delivery in memory.receive(100, Duration::ZERO).await.unwrap() {
        memory.done(&delivery.receipt).await.unwrap();
    }
}

async fn state(driver: &Driver) -> &'static str {
    domain::words::state(&driver.store.load(&id()).await.unwrap().0)
}

/// Returns the tasks that run.
fn tasks(memory: &Memory) -> Vec<String> {
    memory.lock().tasks.iter().filter(|(_, (_, gone))| gone.is_none()).map(|(id, _)| id.clone()).collect()
}

fn run_task(memory: &Memory, id: &str, world: &str, generation: u32) {
    let (world, generation) = (WorldId::parse(world).unwrap(), Generation(generation));
    let running = RunningTask { task: task(id), world, generation };
    memory.lock().tasks.insert(id.to_owned(), (running, None));
}

fn id() -> WorldId {
    world().id
}

fn name() -> WorldName {
    world().name
}

fn task(id: &str) -> TaskId {
    TaskId::parse(id).unwrap()
}

fn game_id(id: &str) -> GameId {
    GameId::parse(id).unwrap()
}

fn another(id: &str, name: &str) -> World {
    World { id: WorldId::parse(id).unwrap(), name: WorldName::parse(name).unwrap(), ..world() }
}

fn valheim() -> Game {
    let port = |name: &str, number| Port { name: name.into(), number, protocol: Protocol::Udp };
    Game {
        id: game_id("valheim"),
        name: "Valheim".into(),
        image: "valheim".into(),
        architectures: vec!["amd64".into()],
        cpu: 2048,
        memory_mib: 4096,
        ports: vec![port("game", 2456), port("query", 2457)],
        save: Save { paths: vec!["worlds".into()], exclude: vec![] },
        stop: Stop { signal: Signal::Int, grace: Duration::from_secs(120) },
        ready: Ready { typical: Duration::from_secs(60), limit: Duration::from_secs(600) },
        timers: Timers::DEFAULT,
        query: None,
        scripts: None,
    }
}

#[tokio::test]
async fn rules_are_changed_by_those_who_manage_the_guild_and_hold_for_everybody_else() {
    let (_, driver) = outside("awake").await;
    let member = |roles: &[&str], manages| Asker::Member {
        id: "5".into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        manages,
    };
    let mut told = String::new();
    for (asker, command, options) in [
        (member(&[], false), "access allow", vec![("action", "stop"), ("who", "role:7")]),
        (member(&[], true), "access deny", vec![("action", "stop"), ("who", "role:7")]),
        (member(&[], true), "access allow", vec![("action", "access"), ("who", "role:7")]),
        (member(&[], true), "access allow", vec![("action", "stop"), ("who", "role:7")]),
        (member(&[], true), "access deny", vec![("action", "stop"), ("who", "everyone")]),
        (member(&["8"], false), "world stop", vec![("name", "valhalla")]),
        (member(&["7"], false), "world stop", vec![("name", "valhalla")]),
        (member(&[], false), "world settings", vec![("name", "valhalla"), ("sleep-after", "5m")]),
    ] {
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let command = commands::read(command, &Args(options.collect())).unwrap();
        let context = Context { asker, ..context("eve", 500) };
        told += &format!("{}\n", answer(commands::run(command, &context, &driver).await));
    }
    expect![[r#"
        Denied: `access` is for those who manage the server (ask one of them, or have them allow it to you: `access allow`)
        Refused: `stop` is for everyone, so it cannot be taken back from one (allow it to those who shall have it, and deny it to everyone)
        Refused: who may do what is changed by those who manage the server, and by nobody else (allow other actions)
        Rules({Stop: {Everyone, Role("7")}})
        Rules({Stop: {Role("7")}})
        Denied: `stop` is for role 7 and those who manage the server (ask one of them, or have them allow it to you: `access allow`)
        `valhalla` is going to sleep: saving first (2 players on it)
        Denied: `settings` is for those who manage the server (ask one of them, or have them allow it to you: `access allow`)
    "#]].assert_eq(&told);
}
