//! Containers, held to the contract and to what only they can suffer, on a real engine. Watchdog and game are shell scripts, in
//! images that hold this machine's own shell and nothing else: no registry is asked.

use super::*;
use crate::runtime::contract::{self, end, gone, of, order, task, until};
use bench::{Bench, OBEDIENT};
use domain::event::Gone;
use expect_test::expect;

mod bench;

#[tokio::test]
async fn containers_keep_the_contract() {
    let bench = Bench::new(OBEDIENT).await;
    contract::all(&bench.runtime(), &bench.runtime()).await;
}

#[tokio::test]
async fn the_game_is_started_when_its_watchdog_is_healthy_and_ends_with_it() {
    let bench = Bench::new(OBEDIENT).await;
    let runtime = bench.runtime();
    let task = runtime.launch(&order("w", 1)).await.unwrap();
    until("up", async || bench.task_file(&task, "pid")).await;
    assert_eq!(runtime.inner.life(&task, Role::Game).await, Ok(None), "nobody said that it may");
    bench.make_healthy(&task);
    let says = until("playing", async || bench.world_file("w", "said")).await;
    expect![[r#"
        user 10001
        world /worlds/w/files
        the watchdog is process 1
        no token
        no other world
        no task directory
    "#]]
    .assert_eq(&says);
    let game = runtime.inner.name(&task, Role::Game);
    runtime.inner.signal(&runtime.inner.name(&task, Role::Watchdog), "SIGKILL").await.unwrap();
    gone(&runtime, &task).await;
    assert_eq!(runtime.inner.state_of(&game).await.unwrap().as_ref().map(life), Some(Life::Over));
}

#[tokio::test]
async fn a_game_whose_control_plane_was_started_anew_is_started_by_that_and_only_once() {
    let bench = Bench::new(OBEDIENT).await;
    // The process before: what it awaits ends with it.
    let before = tokio::runtime::Runtime::new().unwrap();
    let runtime = bench.runtime();
    let task = {
        let runtime = runtime.clone();
        before.spawn(async move { runtime.launch(&order("w", 1)).await.unwrap() }).await.unwrap()
    };
    before.shutdown_background();
    drop(runtime);
    bench.make_healthy(&task);
    let runtime = bench.runtime();
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There));
    until("playing", async || bench.world_file("w", "said")).await;

    // It ends by itself, which is the watchdog's to deal with.
    bench.tell_game("w", "end");
    let is_over = async || {
        let life = runtime.inner.life(&task, Role::Game).await.unwrap();
        (life == Some(Life::Over)).then_some(())
    };
    until("over", is_over).await;
    fs::remove_file(bench.world_path("w", "said")).unwrap();
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There));
    runtime.inner.start_game_when_healthy(&task).await;
    assert_eq!(runtime.inner.life(&task, Role::Game).await, Ok(Some(Life::Over)), "it was started again");
    assert_eq!(end(&runtime, &task, Force::Gentle).await, Gone::Exited);
}

#[tokio::test]
async fn a_watchdog_that_was_made_and_not_started_is_started_by_the_next_launch() {
    let bench = Bench::new(OBEDIENT).await;
    let runtime = bench.runtime();
    let (order, task) = (order("w", 1), task("w.1"));
    let game = &bench.config.games[&order.game].source;
    runtime.inner.note(&order, &runtime.inner.task_dir(&task), &game.game, &game.toml).unwrap();
    let image = Progressed::Ready;
    assert_eq!(runtime.inner.preparing.image(&bench.engine, &game.game, &bench.made()).await, Ok(image));
    runtime.inner.create_watchdog(&order, &task, &game.game).await.unwrap();
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There));
    assert_eq!(runtime.launch(&order).await, Ok(task.clone()));
    until("up", async || bench.task_file(&task, "pid")).await;
    assert_eq!(end(&runtime, &task, Force::Gentle).await, Gone::Exited);

    let next = contract::order("w", 2);
    runtime
        .inner
        .note(&next, &runtime.inner.task_dir(&contract::task("w.2")), &game.game, &game.toml)
        .unwrap();
    runtime.inner.create_watchdog(&next, &contract::task("w.2"), &game.game).await.unwrap();
    assert_eq!(end(&runtime, &contract::task("w.2"), Force::Gentle).await, Gone::NeverExisted);
}

#[tokio::test]
async fn a_watchdog_that_is_called_made_and_has_run_is_over() {
    let bench = Bench::new(OBEDIENT).await;
    let runtime = bench.runtime();
    let (order, task) = (order("w", 1), task("w.1"));
    let game = &bench.config.games[&order.game].source;
    let dir = runtime.inner.task_dir(&task);
    runtime.inner.note(&order, &dir, &game.game, &game.toml).unwrap();
    runtime.inner.create_watchdog(&order, &task, &game.game).await.unwrap();
    assert_eq!(of(&runtime, "w").await, [(task.clone(), 1)]);

    // As an engine that was started anew with its machine shows it.
    fs::write(dir.join("pid"), "1").unwrap();
    let killed = Gone::Crashed("its watchdog was killed, or could not note how it ended".into());
    assert_eq!(runtime.observe(&task).await, Ok(Seen::Gone(killed)));
    assert_eq!(runtime.launch(&order).await, Ok(task.clone()));
    assert_eq!(runtime.end(&task, Force::Gentle).await, Ok(()));
    assert_eq!(of(&runtime, "w").await, []);
    assert_eq!(runtime.inner.life(&task, Role::Watchdog).await, Ok(Some(Life::Made)), "it was started");
}

#[tokio::test]
async fn how_a_task_ended_is_known_when_somebody_has_removed_its_containers() {
    let bench = Bench::new(OBEDIENT).await;
    let runtime = bench.runtime();
    let task = runtime.launch(&order("w", 1)).await.unwrap();
    until("up", async || bench.task_file(&task, "pid")).await;
    assert_eq!(end(&runtime, &task, Force::Gentle).await, Gone::Exited);
    runtime.inner.remove(&runtime.inner.name(&task, Role::Watchdog)).await.unwrap();
    assert_eq!(bench.runtime().observe(&task).await, Ok(Seen::Gone(Gone::Exited)));
    assert_eq!(runtime.launch(&order("w", 1)).await, Ok(task.clone()), "it is not started again");
    assert_eq!(of(&runtime, "w").await, []);
}

#[tokio::test]
async fn installations_on_one_engine_leave_each_other_alone() {
    let bench = Bench::new(OBEDIENT).await;
    let other = Config {
        secret: Secret::new([8; 32]),
        data: bench.config.data.with_file_name("other"),
        ..bench.config.clone()
    };
    let (ours, other) = (bench.runtime(), DockerRuntime::new(bench.engine.clone(), other).unwrap());
    let task = ours.launch(&order("w", 1)).await.unwrap();
    assert_eq!(other.list().await, Ok(vec![]));
    assert_eq!(other.observe(&task).await, Ok(Seen::Gone(Gone::NeverExisted)));
    assert_eq!(other.end(&task, Force::Kill).await, Ok(()));
    assert_eq!(ours.observe(&task).await, Ok(Seen::There));
    end(&ours, &task, Force::Kill).await;
}

#[tokio::test]
async fn another_engine_is_not_believed_that_a_task_is_gone() {
    let bench = Bench::new(OBEDIENT).await;
    let runtime = bench.runtime();
    let task = runtime.launch(&order("w", 1)).await.unwrap();
    let note = runtime.inner.task_dir(&task).join(ENGINE_FILE);
    let noted = fs::read_to_string(&note).unwrap();
    let ours = fs::canonicalize(&bench.engine.socket).unwrap();
    assert_eq!(noted, ours.to_string_lossy());

    fs::write(&note, "/run/other.sock").unwrap();
    let why = runtime.observe(&task).await.unwrap_err();
    expect!["task w.1 was started by the engine at /run/other.sock, and `dormouse up` uses the one at SOCKET: set DOCKER_HOST=unix:///run/other.sock, then `dormouse up` again"]
        .assert_eq(&why.to_string().replace(&noted, "SOCKET"));
    assert_eq!(runtime.launch(&order("w", 1)).await, Err(why.clone().into()));
    assert_eq!(runtime.end(&task, Force::Kill).await, Err(why.clone()));
    assert_eq!(runtime.inner.forget(&task).await, Err(why));

    fs::write(&note, "Podman Engine 4.3.1").unwrap();
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There), "an older note names no engine");
    assert_eq!(end(&runtime, &task, Force::Gentle).await, Gone::Exited);
    fs::write(&note, "/run/other.sock").unwrap();
    assert_eq!(runtime.observe(&task).await, Ok(Seen::Gone(Gone::Exited)), "its watchdog noted it");
}

#[tokio::test]
async fn a_game_that_takes_more_memory_than_it_has_is_ended_and_its_watchdog_is_not() {
    let bench = Bench::new(OBEDIENT).await;
    let runtime = bench.runtime();
    let task = runtime.launch(&order("w", 1)).await.unwrap();
    until("up", async || bench.task_file(&task, "pid")).await;
    bench.make_healthy(&task);
    until("playing", async || bench.world_file("w", "said")).await;
    bench.tell_game("w", "eat");
    let is_over = async || {
        let life = runtime.inner.life(&task, Role::Game).await.unwrap();
        (life == Some(Life::Over)).then_some(())
    };
    until("over", is_over).await;
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There));
    end(&runtime, &task, Force::Gentle).await;
}

#[tokio::test]
async fn an_image_is_made_once_and_again_when_what_it_is_made_of_differs() {
    let bench = Bench::new(OBEDIENT).await;
    let ImageSource::Made { mut files, args } = bench.made() else { panic!("it is made") };
    let tag = "dormouse/made-once";
    let make = async |files: &[OwnedFile]| {
        bench.engine.build(&preparing::recipe(files, &args), tag, &mut |_| {}).await
    };
    assert_eq!(bench.engine.has(tag).await, Ok(false));
    assert_eq!(make(&files).await, Ok(Made::Anew));
    assert_eq!(bench.engine.has(tag).await, Ok(true));
    assert_eq!(make(&files).await, Ok(Made::Before));
    let change = |files: &mut Vec<OwnedFile>| {
        files.iter_mut().find(|file| file.name == "script").unwrap().content.push(b'\n');
    };
    let id = async || bench.engine.docker.inspect_image(tag).await.unwrap().id.unwrap();
    let named_otherwise = id().await;
    change(&mut files);
    assert_eq!(make(&files).await, Ok(Made::Anew));
    let nameless = id().await;
    change(&mut files);
    assert_eq!(make(&files).await, Ok(Made::Anew));
    assert_eq!(bench.engine.has(&nameless).await, Ok(false), "it stays without a name");
    assert_eq!(bench.engine.has(&named_otherwise).await, Ok(true), "somebody else's is gone");
    files.iter_mut().find(|file| file.name == "Dockerfile").unwrap().content =
        b"FROM scratch\nCOPY nothing /\n".into();
    let error = make(&files).await.unwrap_err().to_string();
    assert!(error.starts_with("image dormouse/made-once: ") && error.contains("nothing"), "{error}");
}

#[tokio::test]
async fn a_game_without_an_image_is_refused_with_the_reason() {
    let mut bench = Bench::new(OBEDIENT).await;
    let tiny = bench.config.games.get_mut(&GameId::parse("tiny").unwrap()).unwrap();
    tiny.image = ImageSource::Missing("accept its licence first".into());
    let refused = bench.runtime().launch(&order("w", 1)).await.unwrap_err();
    assert_eq!(refused, LaunchError::Refused("accept its licence first".into()));
    let other = LaunchOrder { game: GameId::parse("removed").unwrap(), ..order("w", 1) };
    let refused = bench.runtime().launch(&other).await.unwrap_err();
    expect!["game `removed` is no longer in the catalogue"].assert_eq(&refused.to_string());
}

#[tokio::test]
async fn a_world_that_cannot_be_removed_is_an_error_that_says_why_and_is_tried_again() {
    let bench = Bench::new(OBEDIENT).await;
    let (runtime, world) = (bench.runtime(), WorldId::parse("w").unwrap());
    fs::create_dir_all(bench.config.data.join("worlds/w")).unwrap();
    fs::write(bench.config.data.join("worlds/w/keep"), "").unwrap();
    let error = runtime.erase(&world).await.unwrap_err().to_string();
    expect!["the files of world w are not removed: somebody uses it"].assert_eq(&error);
    fs::remove_file(bench.config.data.join("worlds/w/keep")).unwrap();
    assert_eq!(runtime.erase(&world).await, Ok(()));
    assert!(!bench.config.data.join("worlds/w").exists());
}
