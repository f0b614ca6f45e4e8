//! What every [`Runtime`] promises: one test body per promise, which each implementation's tests call by [`all`].

use std::time::{Duration, Instant};

use domain::{
    event::Gone,
    idle::Timers,
    ports::{Directory, LaunchOrder, RunningTask, Runtime, Seen},
    world::{Force, GameId, Generation, TaskId, WorldId},
};

/// How often a test looks. Tasks are real elsewhere, and come and go in their own time.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a test looks: far longer than anything takes, so that only a broken promise ends it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Holds `runtime` to every promise; `restarted` is another one over the same data, as after a restart. None of the
/// worlds that the contract uses may be there yet.
pub(crate) async fn all(runtime: &dyn Runtime, restarted: &dyn Runtime) {
    launching_twice_gives_one_task(runtime).await;
    launching_twice_at_the_same_time_gives_one_task(runtime, restarted).await;
    a_task_that_was_never_known_is_gone(runtime).await;
    a_task_that_was_ended_is_gone(runtime).await;
    ending_again_is_no_error(runtime).await;
    a_launch_whose_task_ended_is_not_started_again(runtime, restarted).await;
    the_next_launch_has_a_task_of_its_own(runtime).await;
    what_is_listed_is_there(runtime).await;
    a_task_is_found_again_after_a_restart(runtime, restarted).await;
    erasing_again_is_no_error(runtime).await;
}

pub(crate) async fn launching_twice_gives_one_task(runtime: &dyn Runtime) {
    let order = order("twice", 1);
    let first = runtime.launch(&order).await.unwrap();
    assert_eq!(runtime.launch(&order).await.unwrap(), first);
    assert_eq!(of(runtime, "twice").await, [(first.clone(), 1)]);
    end(runtime, &first, Force::Gentle).await;
}

pub(crate) async fn launching_twice_at_the_same_time_gives_one_task(
    runtime: &dyn Runtime,
    restarted: &dyn Runtime,
) {
    let order = order("at-once", 1);
    // An engine may refuse one of two that make the same container; whoever asks again is answered.
    let launch =
        async |runtime: &dyn Runtime| until("launched", async || runtime.launch(&order).await.ok()).await;
    let (first, second) = tokio::join!(launch(runtime), launch(restarted));
    assert_eq!(first, second);
    assert_eq!(of(runtime, "at-once").await.len(), 1);
    end(runtime, &first, Force::Gentle).await;
}

pub(crate) async fn a_task_that_was_never_known_is_gone(runtime: &dyn Runtime) {
    for name in ["never.1", "never", "arn:aws:ecs:eu-central-1:111122223333:task/dormouse/0a1b2c"] {
        assert_eq!(runtime.observe(&task(name)).await, Ok(Seen::Gone(Gone::NeverExisted)), "{name}");
    }
}

pub(crate) async fn a_task_that_was_ended_is_gone(runtime: &dyn Runtime) {
    let gentle = runtime.launch(&order("gently", 1)).await.unwrap();
    assert_eq!(runtime.observe(&gentle).await, Ok(Seen::There));
    assert_eq!(end(runtime, &gentle, Force::Gentle).await, Gone::Exited);

    let killed = runtime.launch(&order("killed", 1)).await.unwrap();
    let how = end(runtime, &killed, Force::Kill).await;
    assert_ne!(how, Gone::NeverExisted, "there was one");
    assert_eq!(runtime.observe(&killed).await, Ok(Seen::Gone(how)), "looking changes nothing");
}

pub(crate) async fn ending_again_is_no_error(runtime: &dyn Runtime) {
    let ended = runtime.launch(&order("ended", 1)).await.unwrap();
    end(runtime, &ended, Force::Gentle).await;
    for gone in [ended, task("never.1"), task("arn:aws:ecs:0a1b2c")] {
        for force in [Force::Gentle, Force::Kill] {
            assert_eq!(runtime.end(&gone, force).await, Ok(()), "{gone}");
        }
    }
}

pub(crate) async fn a_launch_whose_task_ended_is_not_started_again(
    runtime: &dyn Runtime,
    restarted: &dyn Runtime,
) {
    for (world, force) in [("over", Force::Gentle), ("over-killed", Force::Kill)] {
        let order = order(world, 1);
        let ended = runtime.launch(&order).await.unwrap();
        let how = end(runtime, &ended, force).await;
        for runtime in [runtime, restarted] {
            assert_eq!(runtime.launch(&order).await.unwrap(), ended);
            assert_eq!(runtime.observe(&ended).await, Ok(Seen::Gone(how.clone())));
            assert_eq!(of(runtime, world).await, []);
        }
    }
}

pub(crate) async fn the_next_launch_has_a_task_of_its_own(runtime: &dyn Runtime) {
    let first = runtime.launch(&order("next", 1)).await.unwrap();
    let how = end(runtime, &first, Force::Gentle).await;
    let second = runtime.launch(&order("next", 2)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(of(runtime, "next").await, [(second.clone(), 2)]);
    assert_eq!(runtime.observe(&first).await, Ok(Seen::Gone(how)));
    end(runtime, &second, Force::Gentle).await;
}

pub(crate) async fn what_is_listed_is_there(runtime: &dyn Runtime) {
    let (one, two) = (order("listed-1", 1), order("listed-2", 7));
    let (one, two) = (runtime.launch(&one).await.unwrap(), runtime.launch(&two).await.unwrap());
    assert_eq!(of(runtime, "listed-1").await, [(one.clone(), 1)]);
    assert_eq!(of(runtime, "listed-2").await, [(two.clone(), 7)]);
    end(runtime, &one, Force::Gentle).await;
    assert_eq!(of(runtime, "listed-1").await, []);
    assert_eq!(of(runtime, "listed-2").await, [(two.clone(), 7)]);
    end(runtime, &two, Force::Kill).await;
    assert_eq!(of(runtime, "listed-2").await, []);
}

pub(crate) async fn a_task_is_found_again_after_a_restart(runtime: &dyn Runtime, restarted: &dyn Runtime) {
    let order = order("found", 1);
    let found = runtime.launch(&order).await.unwrap();
    assert_eq!(restarted.observe(&found).await, Ok(Seen::There));
    assert_eq!(of(restarted, "found").await, [(found.clone(), 1)]);
    assert_eq!(restarted.launch(&order).await.unwrap(), found);
    let how = end(restarted, &found, Force::Gentle).await;
    assert_eq!(runtime.observe(&found).await, Ok(Seen::Gone(how)));
}

pub(crate) async fn erasing_again_is_no_error(runtime: &dyn Runtime) {
    let order = order("erased", 1);
    let played = runtime.launch(&order).await.unwrap();
    end(runtime, &played, Force::Gentle).await;
    for world in ["erased", "erased", "never"] {
        let world = WorldId::parse(world).unwrap();
        until("erased", async || runtime.erase(&world).await.ok()).await;
    }
}

/// Ends the task and returns how it ended, once it has. One that is only coming up can be out of reach for a moment.
pub(crate) async fn end(runtime: &dyn Runtime, task: &TaskId, force: Force) -> Gone {
    until("ended", async || runtime.end(task, force).await.ok()).await;
    gone(runtime, task).await
}

/// Returns how the task ended, once it has.
pub(crate) async fn gone(runtime: &dyn Runtime, task: &TaskId) -> Gone {
    let look = async || match runtime.observe(task).await.unwrap() {
        Seen::Gone(how) => Some(how),
        Seen::There => None,
    };
    until("gone", look).await
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "not {what} after {PATIENCE:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns the tasks of the world that are listed, with their launches.
pub(crate) async fn of(runtime: &dyn Runtime, world: &str) -> Vec<(TaskId, u32)> {
    let listed = runtime.list().await.unwrap().into_iter().filter(|task| task.world.as_str() == world);
    listed.map(|RunningTask { task, generation, .. }| (task, generation.0)).collect()
}

pub(crate) fn order(world: &str, generation: u32) -> LaunchOrder {
    LaunchOrder {
        world: WorldId::parse(world).unwrap(),
        generation: Generation(generation),
        game: GameId::parse("tiny").unwrap(),
        timers: Timers::DEFAULT,
        port: None,
        directory: Directory::MayBeNew,
    }
}

pub(crate) fn task(name: &str) -> TaskId {
    TaskId::parse(name).unwrap()
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let memory = domain::sim::Memory::default();
    all(&memory, &memory.clone()).await;
}
