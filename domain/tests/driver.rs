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
        self, Command, Context, Problem, Reply,
        create::Create,
        delete::Delete,
        export::{Export, Withdraw},
        import::Import,
        keep::Keep,
        restore::Restore,
        settings::Settings,
        spec::Args,
    },
    driver::{Applied, ApplyError, Download, Driver},
    effect::{Effect, Orders, effects},
    event::{Event, Gone},
    game::{Game, Players, Port, Protocol, Ready, Save, Signal, Stop},
    idle::{TimerChoices, Timers},
    ports::{
        CreateError, Directory, Found, LaunchError, LaunchOrder, Listed, LoadError, Part, PartPlace, Queue,
        RunningTask, Runtime, SaveError, Seen, Store, Unavailable, Version,
    },
    settings::Typed,
    sim::{Fault, Memory},
    vault::CareChoices,
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

/// Found by the simulation (seed 2033): of two workers that told at the same time, the one that told first took note last,
/// and what was not so any more stayed on the card for good.
#[tokio::test]
async fn regression_what_two_workers_told_at_once_is_told_again() {
    let (memory, driver) = outside("claimed").await;
    run_task(&memory, "t1", "w1", 1);
    happen(&driver, "90 ready").await;
    let (slow, awake) = (slow(&memory, &driver), id());
    let mut early = Box::pin(slow.look(&awake, at(91)));
    assert_eq!(advance(&mut early, 2), None, "it is about to tell that the world is awake");
    happen(&driver, "92 seen 0 120").await;
    let mut late = Box::pin(slow.look(&awake, at(93)));
    assert_eq!(advance(&mut late, 3), None, "it has told the warning, and not yet taken note");
    assert_eq!((early.await, late.await), (Ok(()), Ok(())));
    memory.work(&driver, at(94)).await;
    let told = memory.lock().told.clone();
    assert_eq!(told.last(), told.iter().find(|told| told.contains("nobody is on")), "{told:?}");
}

/// Found by the simulation (seed 8572 of its second version): a worker that came late told what was not so any more, and did not
/// hear that it had. What was on record as told was so, and nobody told it again.
#[tokio::test]
async fn regression_what_was_told_though_it_failed_is_told_again_if_it_is_not_so() {
    let (memory, driver) = outside("claimed").await;
    run_task(&memory, "t1", "w1", 1);
    happen(&driver, "90 ready").await;
    let (slow, awake) = (slow(&memory, &driver), id());
    let mut early = Box::pin(slow.look(&awake, at(91)));
    assert_eq!(advance(&mut early, 2), None, "it is about to tell that the world is awake");
    happen(&driver, "92 seen 0 120").await;
    memory.work(&driver, at(93)).await;
    memory.lock().chat_fault = Some(Fault::After);
    assert!(early.await.is_err());
    memory.work(&driver, at(94)).await;
    let told = memory.lock().told.clone();
    assert_eq!(told.last(), told.iter().find(|told| told.contains("nobody is on")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("awake at")), "{told:?}");
}

// Ports that fail, or say that they did.

#[tokio::test]
async fn what_cannot_be_told_holds_up_no_check() {
    let (memory, driver) = outside("awake").await;
    run_task(&memory, "t1", "w1", 1);
    happen(&driver, "700 backup ann; 710 backedup 700 b1").await;
    let (world, _) = driver.store.load(&id()).await.unwrap();
    let Some(Effect::Check(_, archive)) =
        effects(&world).into_iter().find(|effect| matches!(effect, Effect::Check(..)))
    else {
        panic!("{world:?}")
    };
    memory.lock().archives.insert(archive.id.to_string(), archive.clone());
    memory.lock().chat_fault = Some(Fault::Before);
    assert!(driver.look(&id(), at(720)).await.is_err(), "the chat is out of reach");
    let (world, _) = driver.store.load(&id()).await.unwrap();
    assert_eq!(world.vault.newest().map(|kept| &kept.archive), Some(&archive));
}

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
        valhalla: deleted; its archive a2 is kept for 30 days"#]]
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
    let mut sweep = Box::pin(slow.sweep(at(1200)));
    let saved = |_: &u32| {
        let _ = advance(&mut sweep, 0);
        let loaded = advance(&mut Box::pin(memory.load(&id())), 0).unwrap();
        loaded.unwrap().0.state == State::Asleep
    };
    assert!((0..20).find(saved).is_some());
    drop(sweep);
    assert_eq!(driver.sweep(at(1260)).await, Ok(vec![]));
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
    assert_eq!(world.vault.newest().map(|kept| &kept.archive), Some(archive));
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
    assert_eq!(seen, Ok(Orders::Run { keep_until: None, backup: None }));
    let old = driver.report(&id(), Generation(0), &report("seen 1 @0"), at(301)).await;
    assert_eq!(old, Ok(Orders::Abandon));
    let unknown =
        driver.report(&WorldId::parse("w7").unwrap(), Generation(1), &report("seen 1"), at(302)).await;
    assert_eq!(unknown, Ok(Orders::Abandon));
}

#[tokio::test]
async fn only_the_current_launch_gets_a_ticket() {
    let (_, driver) = outside("saved").await;
    let part = Part { of: None, number: 1, length: 12, place: PartPlace::Last };
    assert!(driver.ticket(&id(), Generation(1), &part, at(850)).await.is_ok());
    assert!(matches!(driver.ticket(&id(), Generation(0), &part, at(850)).await, Err(ApplyError::Refused(_))));
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
        backing up: `valhalla`: awake at 203.0.113.7:2456: 2 players, seen 10 min ago, being archived for 20 s
        backup uploaded: `valhalla`: awake at 203.0.113.7:2456: 2 players, seen 10 min ago, being archived for 40 s
        errand launching: `valhalla`: being restored from archive a1, asked for by ann 20 s ago: its task is coming up
        errand launched: `valhalla`: being restored from archive a1, asked for by ann 21 s ago: its task is coming up
        errand saved: `valhalla`: being restored from archive a1, asked for by ann 30 s ago: archiving what is there first
        errand uploaded: `valhalla`: being restored from archive a1, asked for by ann 40 s ago: archived, checking the archive
        errand filling: `valhalla`: being restored from archive a1, asked for by ann 50 s ago: unpacking and checking
        importing: `valhalla`: being replaced by what was uploaded, asked for by ann 50 s ago: unpacking and checking
        emptied: `valhalla`: asleep: saved and archived, asked for by ann
        in its archive: `valhalla`: waking, asked for by ann 21 s ago, its task is coming up, longer than the usual 2 s
        filling: `valhalla`: waking, asked for by ann 50 s ago, its newest archive is being unpacked, longer than the usual 2 s
        errand in its archive: `valhalla`: being restored from archive a1, asked for by ann 21 s ago: its task is coming up
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
            asked+again: `valhalla` is on its way to sleep; waking it right after was asked for by cyd 20 s ago
            saving: `valhalla` is going to sleep; it is woken again as soon as it is saved
            saved: `valhalla` is going to sleep; it is woken again as soon as it is saved
            saved+again: `valhalla` is on its way to sleep; waking it right after was asked for by cyd 20 s ago
            uploaded: `valhalla` is going to sleep; it is woken again as soon as it is saved
            rejected: `valhalla` is going to sleep; it is woken again as soon as it is saved
            ending: `valhalla` is going to sleep; it is woken again as soon as its task has ended
            ending+again: `valhalla` is on its way to sleep; waking it right after was asked for by cyd 20 s ago
            killing: `valhalla` is going to sleep; it is woken again as soon as its task has ended
            unnamed: `valhalla` is going to sleep; it is woken again as soon as its task has ended
            unnamed+again: `valhalla` is on its way to sleep; waking it right after was asked for by cyd 20 s ago
            asleep: waking `valhalla`, about 1 min 29 s to go
            failed: waking `valhalla`, about 1 min to go
            lost: waking `valhalla`, about 1 min 29 s to go
            unsaved: waking `valhalla`, about 1 min 29 s to go
            backing up: `valhalla` is already awake at 203.0.113.7:2456, asked for by ann 12 min ago
            backup uploaded: `valhalla` is already awake at 203.0.113.7:2456, asked for by ann 12 min ago
            errand launching: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
            errand launched: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
            errand saved: `valhalla` is being worked on; it is woken as soon as that is done
            errand uploaded: `valhalla` is being worked on; it is woken as soon as that is done
            errand filling: `valhalla` is being worked on; it is woken as soon as that is done
            importing: `valhalla` is being worked on; it is woken as soon as that is done
            emptied: waking `valhalla`, about 2 s to go
            in its archive: `valhalla` is already waking, asked for by ann 21 s ago, longer than the usual 2 s
            filling: `valhalla` is already waking, asked for by ann 50 s ago, longer than the usual 2 s
            errand in its archive: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
            deleting: Refused: `valhalla` is deleted (its last archive is kept for 30 days; create a new world under this name)
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
            backing up: `valhalla` is going to sleep: saving first (2 players on it)
            backup uploaded: `valhalla` is going to sleep: saving first (2 players on it)
            errand launching: `valhalla` stays as it is; what was to be done with it is called off
            errand launched: `valhalla` stays as it is; what was to be done with it is called off
            errand saved: `valhalla` sleeps already; what is being done with it goes on
            errand uploaded: `valhalla` sleeps already; what is being done with it goes on
            errand filling: `valhalla` sleeps already; what is being done with it goes on
            importing: `valhalla` sleeps already; what is being done with it goes on
            emptied: `valhalla` is asleep already
            in its archive: `valhalla` goes back to sleep; waking it was asked for by ann 21 s ago
            filling: `valhalla` goes back to sleep; waking it was asked for by ann 50 s ago
            errand in its archive: `valhalla` stays as it is; what was to be done with it is called off
            deleting: Refused: `valhalla` is deleted (its last archive is kept for 30 days; create a new world under this name)
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
        backing up: `valhalla` is kept awake for 1 h
        backup uploaded: `valhalla` is kept awake for 1 h
        errand launching: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        errand launched: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        errand saved: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        errand uploaded: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        errand filling: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        importing: Refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        emptied: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        in its archive: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        filling: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        errand in its archive: Refused: `valhalla` is not awake (start it first: `world start valhalla`)
        deleting: Refused: `valhalla` is deleted (its last archive is kept for 30 days; create a new world under this name)
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
async fn keep_says_who_asked_for_longer() {
    let (_, driver) = outside("awake").await;
    let mut told = String::new();
    for (who, length, second) in [("ann", 3600, 300), ("bob", 60, 360), ("bob", 3600, 361)] {
        told += &format!("{}\n", run(keep(length), who, second, &driver).await);
    }
    expect![[r#"
        `valhalla` is kept awake for 1 h
        `valhalla` is already kept awake for 59 min, asked for by ann 1 min ago
        `valhalla` is kept awake for 1 h
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn delete_removes_a_sleeping_world_that_is_archived() {
    in_every_situation(|| delete("valhalla"), expect![[r#"
        new: `valhalla` is being deleted; it was never played -> nothing
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
        asleep: `valhalla` is being deleted; its archive a1 is kept for 30 days -> memory://w1/link/w9
        failed: `valhalla` is being deleted; it was never played -> nothing
        lost: Refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        unsaved: Refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        backing up: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        backup uploaded: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand launching: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand launched: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand saved: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand uploaded: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand filling: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        importing: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        emptied: `valhalla` is being deleted; its archive a1 is kept for 30 days -> memory://w1/link/w9
        in its archive: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        filling: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand in its archive: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        deleting: `valhalla` is being deleted; its archive a1 is kept for 30 days -> memory://w1/link/w9
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
        backing up: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        backup uploaded: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand launching: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand launched: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand saved: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand uploaded: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand filling: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        importing: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        emptied: Refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        in its archive: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        filling: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand in its archive: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        deleting: `valhalla` is being deleted; its archive a1 is kept for 30 days -> memory://w1/link/w9
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
}

#[tokio::test]
async fn export_links_to_the_newest_archive() {
    in_every_situation(
        || export(3600),
        expect![[r#"
            new: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            launching: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            launched: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            claimed: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            awake: `valhalla` is being copied and archived while it stays awake; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            warned: `valhalla` is being copied and archived while it stays awake; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            kept: `valhalla` is being copied and archived while it stays awake; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            asked: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            asked+again: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            saving: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            saved: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            saved+again: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            uploaded: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            rejected: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            ending: `valhalla`: a1 1.4 MB, 20 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            ending+again: `valhalla`: a1 1.4 MB, 21 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            killing: `valhalla`: a1 1.4 MB, 4 min 20 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            unnamed: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            unnamed+again: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            asleep: `valhalla`: a1 1.4 MB, 30 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            failed: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            lost: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            unsaved: `valhalla` is being archived; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            backing up: `valhalla` is being copied and archived while it stays awake; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            backup uploaded: `valhalla` is being copied and archived while it stays awake; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9
            errand launching: `valhalla`: a1 1.4 MB, 2 min 30 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            errand launched: `valhalla`: a1 1.4 MB, 2 min 31 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            errand saved: `valhalla`: a1 1.4 MB, 2 min 40 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            errand uploaded: `valhalla`: a1 1.4 MB, 2 min 50 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            errand filling: `valhalla`: a2 1.4 MB, 20 s ago, before ann replaced it; the link w9 works for 1 h -> memory://w1/link/w9
            importing: Refused: there is no archive of `valhalla` yet (one is made whenever it goes to sleep)
            emptied: `valhalla`: a1 1.4 MB, 40 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            in its archive: `valhalla`: a1 1.4 MB, 51 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            filling: `valhalla`: a1 1.4 MB, 1 min 20 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            errand in its archive: `valhalla`: a1 1.4 MB, 51 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
            deleting: `valhalla`: a1 1.4 MB, 2 min 30 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
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
        settings: Typed::default(),
        timers: TimerChoices::default(),
        storage: None,
        port: None,
    };
    let timers = |never_joined, cap| TimerChoices {
        never_joined: Some(Duration::from_secs(never_joined)),
        cap: Some(Duration::from_secs(cap)),
        ..TimerChoices::default()
    };
    let afk = TimerChoices { afk: Some(Duration::from_secs(2700)), ..TimerChoices::default() };
    let commands = [
        ("unknown world", Command::Start(midgard.clone())),
        (
            "unknown world to export",
            Command::Export(Export { name: midgard, length: Duration::from_secs(60), archive: None }),
        ),
        ("unknown game", Command::Create(Create { game: game_id("tetris"), ..wanted.clone() })),
        ("timer too short", Command::Create(Create { timers: timers(4, 3600), ..wanted.clone() })),
        ("cap too long", Command::Create(Create { timers: timers(60, 8 * 24 * 3600), ..wanted.clone() })),
        ("nobody can tell who moves", Command::Create(Create { timers: afk, ..wanted.clone() })),
        (
            "nor later",
            Command::Settings(Settings { name: name(), timers: afk, care: CareChoices::default() }),
        ),
        ("no port", Command::Create(Create { port: Some(0), ..wanted.clone() })),
        ("last port too high", Command::Create(Create { port: Some(65535), ..wanted })),
        ("name taken", create("valhalla")),
        ("link too short", export(59)),
        ("link too long", export(31 * 24 * 3600)),
        (
            "no such archive",
            Command::Export(Export { name: name(), length: HOUR, archive: "a9".parse().ok() }),
        ),
        ("no such link", Command::Withdraw(Withdraw { name: name(), link: "l9".parse().ok() })),
        ("nothing uploaded", Command::Import(Import { name: name(), upload: "i9".parse().ok() })),
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
        nobody can tell who moves: BadInput: nobody can tell whether players of Valheim move, so that `afk` means nothing there (leave it out)
        nor later: BadInput: nobody can tell whether players of Valheim move, so that `afk` means nothing there (leave it out)
        no port: BadInput: port 0 leaves no room for the ports of Valheim (choose one from 1024 to 65000)
        last port too high: BadInput: port 65535 leaves no room for the ports of Valheim (choose one from 1024 to 65000)
        name taken: Refused: there is a world `valhalla` already (choose another name, or delete that one first)
        link too short: BadInput: a link cannot last 59 s (choose 1 minute to 30 days)
        link too long: BadInput: a link cannot last 31 d (choose 1 minute to 30 days)
        no such archive: Refused: `valhalla` has no archive a9 (`world backups valhalla` lists those that it has)
        no such link: Refused: `valhalla` has no link l9 (`world links valhalla` lists those that it has)
        nothing uploaded: NotFound: nothing was uploaded to i9, or not all of it (`world import valhalla` gives a link for it)
        no games: NotFound: there is no game `valheim` (the catalogue is empty)
    "#]].assert_eq(&problems);
}

#[tokio::test]
async fn a_world_whose_game_was_taken_out_is_not_woken_and_says_so() {
    let mut answers = String::new();
    for situation in ["new", "asleep", "launched", "awake", "saving", "ending"] {
        let (memory, _) = outside(situation).await;
        let bare = memory.driver([]);
        let answer = run(Command::Start(name()), "eve", self::situation(situation).1 + 20, &bare).await;
        answers += &format!("{situation}: {answer}\n");
    }
    expect![[r#"
        new: Refused: `valhalla` is a world of `valheim`, which is not among the games here any more (nothing of it is lost: it can be woken again once `valheim` is back among the games)
        asleep: Refused: `valhalla` is a world of `valheim`, which is not among the games here any more (nothing of it is lost: it can be woken again once `valheim` is back among the games)
        launched: `valhalla` is already waking, asked for by ann 21 s ago, soon there
        awake: `valhalla` is already awake at 203.0.113.7:2456, asked for by ann 2 min ago
        saving: Refused: `valhalla` is a world of `valheim`, which is not among the games here any more (nothing of it is lost: it can be woken again once `valheim` is back among the games)
        ending: Refused: `valhalla` is a world of `valheim`, which is not among the games here any more (nothing of it is lost: it can be woken again once `valheim` is back among the games)
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn a_world_whose_game_was_taken_out_can_still_be_had_and_deleted() {
    let (memory, _) = outside("asleep").await;
    let bare = memory.driver([]);
    upload(&memory, "uploaded a1");
    let soon = situation("asleep").1 + 20;
    let restore = Restore { name: name(), archive: "a1".parse().unwrap() };
    let delete = Delete { name: name(), typed: "valhalla".into() };
    let mut answers = String::new();
    for command in [
        Command::Restore(restore),
        Command::Status(name()),
        Command::Export(Export { name: name(), length: HOUR, archive: None }),
        Command::Delete(delete),
    ] {
        answers += &format!("{}\n", run(command, "ann", soon, &bare).await);
    }
    expect![[r#"
        Refused: `valhalla` is a world of `valheim`, which is not among the games here any more (nothing of it is lost: it can be woken again once `valheim` is back among the games)
        `valhalla`: asleep: saved and archived, asked for by bob
        `valhalla`: a1 1.4 MB, 30 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
        `valhalla` is being deleted; its archive a1 is kept for 30 days -> memory://w1/link/w9
    "#]].assert_eq(&answers);
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

// Archives, links and uploads.

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_each_command_about_archives_answers() {
    in_every_situation(|| Command::Backup(name()), expect![[r#"
        new: Refused: `valhalla` was never started, so there is nothing of it yet (`world start valhalla` makes it)
        launching: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        launched: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        claimed: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        awake: `valhalla` is being archived while it stays awake; `world backups valhalla` shows it when it is done
        warned: `valhalla` is being archived while it stays awake; `world backups valhalla` shows it when it is done
        kept: `valhalla` is being archived while it stays awake; `world backups valhalla` shows it when it is done
        asked: `valhalla` is being archived already
        asked+again: `valhalla` is being archived already
        saving: `valhalla` is being archived already
        saved: `valhalla` is being archived already
        saved+again: `valhalla` is being archived already
        uploaded: `valhalla` is being archived already
        rejected: `valhalla` is being archived already
        ending: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        ending+again: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        killing: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        unnamed: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        unnamed+again: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        asleep: `valhalla` is as it was when it was archived last: a1 1.4 MB, 30 s ago, when it went to sleep
        failed: Refused: `valhalla` was never started, so there is nothing of it yet (`world start valhalla` makes it)
        lost: `valhalla` is being archived; it stays asleep
        unsaved: `valhalla` is being archived; it stays asleep
        backing up: `valhalla` is being archived already; `world backups valhalla` shows it when it is done
        backup uploaded: `valhalla` is being archived already; `world backups valhalla` shows it when it is done
        errand launching: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        errand launched: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        errand saved: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        errand uploaded: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        errand filling: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        importing: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        emptied: `valhalla` is as it was when it was archived last: a1 1.4 MB, 40 s ago, when it went to sleep
        in its archive: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        filling: Refused: `valhalla` is just waking or going to sleep (try again when it is done: `world status valhalla` shows how far it is)
        errand in its archive: Refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
        deleting: Refused: `valhalla` is deleted (its last archive is kept for 30 days; create a new world under this name)
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
    in_every_situation(
        || Command::Backups(name()),
        expect![[r#"
            new: 
            launching: 
            launched: 
            claimed: 
            awake: 
            warned: 
            kept: 
            asked: 
            asked+again: 
            saving: 
            saved: 
            saved+again: 
            uploaded: 
            rejected: 
            ending: a1
            ending+again: a1
            killing: a1
            unnamed: 
            unnamed+again: 
            asleep: a1
            failed: 
            lost: 
            unsaved: 
            backing up: 
            backup uploaded: 
            errand launching: a1
            errand launched: a1
            errand saved: a1
            errand uploaded: a1
            errand filling: a2, a1
            importing: 
            emptied: a1
            in its archive: a1
            filling: a1
            errand in its archive: a1
            deleting: a1
            deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
        "#]],
    )
    .await;
    let restore = || Command::Restore(Restore { name: name(), archive: "a1".parse().unwrap() });
    in_every_situation(restore, expect![[r#"
        new: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        launching: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        launched: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        claimed: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        awake: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        warned: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        kept: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        asked: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        asked+again: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        saving: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        saved: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        saved+again: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        uploaded: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        rejected: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        ending: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        ending+again: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        killing: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        unnamed: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        unnamed+again: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        asleep: `valhalla` is being restored from archive a1; what is there is archived first
        failed: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        lost: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        unsaved: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        backing up: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        backup uploaded: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        errand launching: `valhalla` is being restored from archive a1; what is there is archived first
        errand launched: `valhalla` is being restored from archive a1; what is there is archived first
        errand saved: `valhalla` is being restored from archive a1; what is there is archived first
        errand uploaded: `valhalla` is being restored from archive a1; what is there is archived first
        errand filling: `valhalla` is being restored from archive a1; what is there is archived first
        importing: Refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
        emptied: `valhalla` is being restored from archive a1; what is there is archived first
        in its archive: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        filling: Refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        errand in its archive: `valhalla` is being restored from archive a1; what is there is archived first
        deleting: Refused: `valhalla` is deleted (its last archive is kept for 30 days; create a new world under this name)
        deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
    "#]]).await;
    in_every_situation(
        || Command::Import(Import { name: name(), upload: None }),
        expect![[r#"
            new: memory://w1/import/w9 takes an upload for valhalla
            launching: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            launched: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            claimed: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            awake: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            warned: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            kept: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            asked: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            asked+again: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            saving: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            saved: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            saved+again: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            uploaded: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            rejected: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            ending: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            ending+again: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            killing: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            unnamed: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            unnamed+again: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            asleep: memory://w1/import/w9 takes an upload for valhalla
            failed: memory://w1/import/w9 takes an upload for valhalla
            lost: memory://w1/import/w9 takes an upload for valhalla
            unsaved: memory://w1/import/w9 takes an upload for valhalla
            backing up: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            backup uploaded: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            errand launching: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            errand launched: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            errand saved: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            errand uploaded: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            errand filling: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            importing: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            emptied: memory://w1/import/w9 takes an upload for valhalla
            in its archive: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            filling: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            errand in its archive: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            deleting: Refused: `valhalla` is not asleep (`world stop valhalla` puts it to sleep)
            deleted: NotFound: there is no world `valhalla` (`world list` shows those that are there)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_upload_is_taken_once_it_is_there_and_then_discarded() {
    let (memory, driver) = outside("asleep").await;
    let import = || Command::Import(Import { name: name(), upload: "i1".parse().ok() });
    let early = run(import(), "ann", 1000, &driver).await;
    memory.lock().received.insert("i1".parse().unwrap());
    let taken = run(import(), "ann", 1001, &driver).await;
    expect![[r#"
        NotFound: nothing was uploaded to i1, or not all of it (`world import valhalla` gives a link for it)
        `valhalla` takes what was uploaded; what is there is archived first"#]]
    .assert_eq(&format!("{early}\n{taken}"));
    happen(&driver, "1002 launched; 1010 claimed; 1020 uploaded a2; 1030 checked a2").await;
    let source = driver.source(&id(), Generation(2), at(1031)).await.unwrap();
    assert_eq!((source.archive, source.link.url.as_str()), (None, "memory://w1/import/i1"));
    happen(&driver, "1040 filled; 1050 gone").await;
    memory.work(&driver, at(1051)).await;
    assert!(memory.lock().received.is_empty());
    assert!(driver.source(&id(), Generation(2), at(1052)).await.is_err(), "the launch is over");
}

#[tokio::test]
async fn a_restore_gets_its_archive_and_a_world_in_its_archive_its_newest() {
    let (memory, driver) = outside("errand filling").await;
    upload(&memory, "uploaded a1");
    let source = driver.source(&id(), Generation(2), at(1031)).await.unwrap();
    assert_eq!(source.archive.unwrap().id.as_str(), "a1");
    let (memory, driver) = outside("filling").await;
    assert!(driver.source(&id(), Generation(3), at(931)).await.is_err(), "it is not where it was put");
    upload(&memory, "uploaded a1");
    let source = driver.source(&id(), Generation(3), at(931)).await.unwrap();
    assert_eq!(source.archive.unwrap().id.as_str(), "a1");
    assert!(driver.source(&id(), Generation(2), at(931)).await.is_err(), "another launch");
}

#[tokio::test]
async fn a_link_counts_its_downloads_until_it_is_withdrawn_or_expires() {
    let (memory, driver) = outside("asleep").await;
    upload(&memory, "uploaded a1");
    let said = run(export(3600), "ann", 1000, &driver).await;
    let follow = |link: &str, second| {
        let (driver, link) = (driver.clone(), link.parse().unwrap());
        async move { driver.download(&id(), &link, at(second)).await.unwrap() }
    };
    assert!(matches!(follow("w9", 1001).await, Download::At(link) if link.url == "memory://w1/a1"));
    assert!(matches!(follow("w9", 1002).await, Download::At(link) if link.expires == at(1902)));
    assert_eq!(follow("w8", 1002).await, Download::Gone);
    assert_eq!(follow("w9", 4600).await, Download::Gone, "expired");
    let listed = run(Command::Links(name()), "ann", 1003, &driver).await;
    let (world, _) = driver.store.load(&id()).await.unwrap();
    assert_eq!(world.vault.links[0].downloads, 2);
    let withdrawn =
        run(Command::Withdraw(Withdraw { name: name(), link: "w9".parse().ok() }), "ann", 1004, &driver);
    expect![[r#"
        `valhalla`: a1 1.4 MB, 2 min 10 s ago, when it went to sleep; the link w9 works for 1 h -> memory://w1/link/w9
        `valhalla`: a1 1.4 MB, 2 min 13 s ago, when it went to sleep; the link w9 works for 59 min -> memory://w1/link/w9
        link w9 of `valhalla` works no more"#]].assert_eq(&format!("{said}\n{listed}\n{}", withdrawn.await));
    assert_eq!(follow("w9", 1005).await, Download::Gone);
}

#[tokio::test]
async fn an_awake_world_is_exported_without_being_stopped() {
    let (memory, driver) = outside("awake").await;
    let task: TaskId = "t1".parse().unwrap();
    let running = RunningTask { task: task.clone(), world: id(), generation: Generation(1) };
    memory.lock().tasks.insert(task.to_string(), (running, None));
    let said = run(export(3600), "ann", 700, &driver).await;
    let link = "w9".parse().unwrap();
    assert_eq!(driver.download(&id(), &link, at(701)).await, Ok(Download::NotYet));
    let at_700 = event("backedup 700 b1 @1", &world());
    let Event::BackedUp { archive, .. } = &at_700 else { panic!() };
    memory.lock().archives.insert("b1".into(), archive.clone());
    driver.apply(&id(), &[at_700], at(710)).await.unwrap();
    memory.work(&driver, at(711)).await;
    assert!(matches!(driver.download(&id(), &link, at(712)).await, Ok(Download::At(_))));
    assert_eq!(state(&driver).await, "awake");
    expect!["`valhalla` is being copied and archived while it stays awake; the link w9 works for 1 h as soon as that is done -> memory://w1/link/w9"].assert_eq(&said);
}

#[tokio::test]
async fn what_is_no_longer_kept_is_removed_even_if_it_takes_a_sweep() {
    let (memory, driver) = outside("deleting").await;
    upload(&memory, "uploaded a1");
    driver.sweep(at(1100)).await.unwrap();
    assert!(memory.lock().archives.contains_key("a1"));
    for _ in 0..2 {
        driver.sweep(at(1100 + 31 * 24 * 3600)).await.unwrap();
    }
    assert!(memory.lock().archives.is_empty());
    assert_eq!(driver.store.unsettled().await, Ok(vec![]));
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
        Ok(Reply::Deleted { link, text, .. }) => {
            format!("{text} -> {}", link.map_or("nothing".into(), |link| link.url))
        }
        Ok(Reply::Links(_, links)) => {
            names(links.into_iter().map(|l| format!("{} -> {}", l.text, l.url)).collect())
        }
        Ok(Reply::Backups(world)) => {
            names(world.vault.kept.iter().map(|kept| kept.archive.id.to_string()).collect())
        }
        Ok(Reply::Inbox(inbox)) => format!("{} takes an upload for {}", inbox.url, inbox.name),
        Ok(Reply::Access(rules)) => format!("{rules:?}"),
        Ok(Reply::Secrets(secrets)) => format!("{} secrets", secrets.all.len()),
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
    Command::Create(Create {
        name,
        game: game_id("valheim"),
        settings: Typed::default(),
        timers: TimerChoices::default(),
        storage: None,
        port: None,
    })
}

fn keep(seconds: u64) -> Command {
    Command::Keep(Keep { name: name(), length: Duration::from_secs(seconds) })
}

fn delete(typed: &str) -> Command {
    Command::Delete(Delete { name: name(), typed: typed.into() })
}

fn export(seconds: u64) -> Command {
    Command::Export(Export { name: name(), length: Duration::from_secs(seconds), archive: None })
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
        import: None,
        settings: vec![],
        stop: Stop { signal: Signal::Int, grace: Duration::from_secs(120) },
        ready: Ready { typical: Duration::from_secs(60), limit: Duration::from_secs(600) },
        timers: Timers::DEFAULT,
        players: Players::default(),
        query: None,
        console: None,
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
