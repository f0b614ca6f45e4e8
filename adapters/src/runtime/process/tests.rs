//! Plain processes, held to the contract and to what only they can suffer. The watchdog is a shell script: it notes its
//! process, and ends when it is told to or when its directory is gone, so that no test leaves it behind.

use super::*;
use crate::runtime::{
    contract::{self, end, gone, of, order, task, until},
    task_dir::ENGINE_FILE,
};
use domain::{
    game::{Players, Port, Protocol, Ready, Save, Scripts, Signal as StopSignal, Stop},
    idle::Timers,
};
use expect_test::expect;
use std::net::{Ipv4Addr, UdpSocket};
use tempfile::TempDir;

/// Ends as soon as it is told to.
const OBEDIENT: &str = r#"
trap ': >"$DORMOUSE_TASK_DIR/outcome"; exit 0' TERM
echo $$ >"$DORMOUSE_TASK_DIR/pid"
[ "$1" = run ] || exit 9
while [ -d "$DORMOUSE_TASK_DIR" ]; do sleep 0.02; done
"#;

/// Starts a game that goes on when its watchdog is killed.
const WITH_A_GAME: &str = r#"
echo $$ >"$DORMOUSE_TASK_DIR/pid"
(while [ -d "$DORMOUSE_TASK_DIR" ]; do sleep 0.02; done) &
echo $! >"$DORMOUSE_TASK_DIR/game"
wait
"#;

/// Starts a game whose launcher closes what it inherits, the lock on `alive` too.
const WITH_A_CLOSED_GAME: &str = r#"
echo $$ >"$DORMOUSE_TASK_DIR/pid"
mkdir -p "$DORMOUSE_WORLD_DIR"
(cd "$DORMOUSE_WORLD_DIR"; exec 9>&-; while [ -d "$DORMOUSE_TASK_DIR" ]; do sleep 0.02; done) &
echo $! >"$DORMOUSE_TASK_DIR/game"
wait
"#;

/// Starts a game that soon ends by itself, and notes if it is told to.
const SHORT_GAME: &str = r#"
(trap ': >"$DORMOUSE_TASK_DIR/told"' TERM; for _ in 1 2 3 4 5; do sleep 0.02; done) &
"#;

/// Breaks down and says why.
const CRASHING: &str = r#"
echo $$ >"$DORMOUSE_TASK_DIR/pid"
printf 'reading the catalogue entry: no such file' >"$DORMOUSE_TASK_DIR/outcome"
exit 1
"#;

/// Never notes its process, and ends.
const STILLBORN: &str = "exit 1";

#[tokio::test]
async fn processes_keep_the_contract() {
    let bench = Bench::new(OBEDIENT);
    contract::all(&bench.runtime(), &bench.runtime()).await;
}

#[tokio::test]
async fn a_game_that_outlives_its_watchdog_is_there_until_its_group_is_killed() {
    let bench = Bench::new(WITH_A_GAME);
    let (runtime, task) = (bench.runtime(), task("w.1"));
    runtime.launch(&order("w", 1)).await.unwrap();
    bench.kill_watchdog(&task).await;
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There), "the game still writes to the world");
    assert_eq!(of(&runtime, "w").await, [(task.clone(), 1)]);
    assert_eq!(runtime.launch(&order("w", 1)).await, Ok(task.clone()), "and is not joined by a second one");
    let how = end(&runtime, &task, Force::Kill).await;
    expect![[r#"Crashed("its watchdog was killed, or could not note how it ended")"#]]
        .assert_eq(&format!("{how:?}"));
}

#[tokio::test]
async fn a_game_that_closed_what_it_inherited_still_keeps_its_world() {
    let bench = Bench::new(WITH_A_CLOSED_GAME);
    let (runtime, task) = (bench.runtime(), task("w.1"));
    runtime.launch(&order("w", 1)).await.unwrap();
    bench.kill_watchdog(&task).await;
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There), "the game still writes to the world");
    end(&runtime, &task, Force::Kill).await;
}

#[tokio::test]
async fn a_game_that_outlives_its_watchdog_is_told_to_stop() {
    let bench = Bench::new(WITH_A_GAME);
    let (runtime, task) = (bench.runtime(), task("w.1"));
    runtime.launch(&order("w", 1)).await.unwrap();
    bench.kill_watchdog(&task).await;
    assert_eq!(
        end(&runtime, &task, Force::Gentle).await,
        Gone::Crashed("its watchdog was killed, or could not note how it ended".into())
    );
}

#[tokio::test]
async fn a_game_that_outlives_its_watchdog_for_too_long_is_killed() {
    let bench = Bench::new(WITH_A_GAME);
    let (runtime, task) = (bench.runtime(), task("w.1"));
    runtime.launch(&order("w", 1)).await.unwrap();
    bench.kill_watchdog(&task).await;
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There));
    let long_ago = Instant::now().checked_sub(END_LIMIT).unwrap();
    assert!(runtime.inner.leaving().insert(task.clone(), long_ago).is_some(), "it was not noted");
    gone(&runtime, &task).await;
    assert!(runtime.inner.leaving().is_empty());
}

#[tokio::test]
async fn a_watchdog_is_told_to_end_and_its_game_is_not() {
    let bench = Bench::new(&format!("{SHORT_GAME}{OBEDIENT}"));
    let (runtime, task) = (bench.runtime(), task("w.1"));
    runtime.launch(&order("w", 1)).await.unwrap();
    assert_eq!(end(&runtime, &task, Force::Gentle).await, Gone::Exited);
    assert!(!bench.config.data.join("tasks/w.1/told").exists(), "stopping the game is the watchdog's");
}

#[tokio::test]
async fn a_watchdog_that_broke_down_says_why() {
    let bench = Bench::new(CRASHING);
    let runtime = bench.runtime();
    let task = runtime.launch(&order("w", 1)).await.unwrap();
    let how = gone(&runtime, &task).await;
    expect![[r#"Crashed("reading the catalogue entry: no such file")"#]].assert_eq(&format!("{how:?}"));
}

#[tokio::test]
async fn a_launch_that_came_to_nothing_is_made_again() {
    let bench = Bench::new(STILLBORN);
    let (runtime, order) = (bench.runtime(), bench.order_at_a_free_port("w"));
    let task = runtime.launch(&order).await.unwrap();
    assert_eq!(gone(&runtime, &task).await, Gone::NeverExisted);
    bench.write(OBEDIENT);
    assert_eq!(runtime.launch(&order).await, Ok(task.clone()));
    assert_eq!(runtime.observe(&task).await, Ok(Seen::There));
}

#[tokio::test]
async fn a_watchdog_that_cannot_be_started_may_be_started_later() {
    let bench = Bench::new(OBEDIENT);
    let broken =
        ProcessRuntime::new(Config { watchdog: vec!["/nowhere".into()], ..bench.config.clone() }).unwrap();
    let order = bench.order_at_a_free_port("w");
    let error = bench.shown(&broken.launch(&order).await.unwrap_err().to_string());
    expect!["cannot use DATA/tasks/w.1 (No such file or directory (os error 2))"].assert_eq(&error);
    assert!(bench.runtime().launch(&order).await.is_ok());
}

#[tokio::test]
async fn a_taken_port_is_passed_over_and_no_port_is_given_twice() {
    let bench = Bench::new(OBEDIENT);
    let runtime = bench.runtime();
    let mut ports = Vec::new();
    for world in ["one", "two", "three"] {
        let task = runtime.launch(&order(world, 1)).await.unwrap();
        ports.push(bench.port(&task));
    }
    assert!(ports[0] > bench.taken_port(), "{ports:?} although {} is taken", bench.taken_port());
    // The game binds two ports in a row, which its watchdog has not started it to do yet.
    assert!(ports.is_sorted_by(|a, b| a + 2 <= *b), "{ports:?} overlap");
}

#[tokio::test]
async fn a_port_that_was_chosen_and_is_taken_is_refused() {
    let bench = Bench::new(OBEDIENT);
    let runtime = bench.runtime();
    let refused = async |world: &str, port: u16| {
        let error = runtime.launch(&LaunchOrder { port: Some(port), ..order(world, 1) }).await.unwrap_err();
        assert!(matches!(error, LaunchError::Refused(_)), "{error:?}");
        error.to_string().replace(&port.to_string(), "PORT")
    };
    expect!["port PORT/udp is taken (Address already in use (os error 98)); stop what uses it, or create the world with another `--port`"]
        .assert_eq(&refused("taken", bench.taken_port()).await);
    let awake = bench.order_at_a_free_port("awake");
    runtime.launch(&awake).await.unwrap();
    expect!["port PORT belongs to another world that is awake; stop what uses it, or create the world with another `--port`"]
        .assert_eq(&refused("promised", awake.port.unwrap()).await);
    expect!["the ports of Tiny do not fit at port PORT; stop what uses it, or create the world with another `--port`"]
        .assert_eq(&refused("too-high", u16::MAX).await);
    assert_eq!(runtime.observe(&task("taken.1")).await, Ok(Seen::Gone(Gone::NeverExisted)));
}

#[tokio::test]
async fn a_port_that_was_promised_to_containers_is_not_free() {
    let bench = Bench::new(OBEDIENT);
    let order = bench.order_at_a_free_port("w");
    let promised = order.port.into_iter().collect();
    let refused = bench.runtime().launch_beside(&order, promised).await.unwrap_err();
    assert!(refused.to_string().contains(" belongs to another world that is awake"), "{refused}");
    assert!(bench.runtime().launch(&order).await.is_ok());
}

#[tokio::test]
async fn a_game_that_is_not_for_processes_is_refused() {
    let bench = Bench::new(OBEDIENT);
    let runtime = bench.runtime();
    let refused = async |game: &str| {
        let order = LaunchOrder { game: GameId::parse(game).unwrap(), ..order("w", 1) };
        runtime.launch(&order).await.unwrap_err()
    };
    expect![[r#"Refused("game `removed` is no longer in the catalogue")"#]]
        .assert_eq(&format!("{:?}", refused("removed").await));
    expect![[r#"Refused("Boxed does not run as plain processes")"#]]
        .assert_eq(&format!("{:?}", refused("boxed").await));
}

#[tokio::test]
async fn a_task_id_that_names_another_place_finds_nothing() {
    let bench = Bench::new(OBEDIENT);
    let runtime = bench.runtime();
    let real = runtime.launch(&order("w", 1)).await.unwrap();
    for foreign in
        ["../tasks/w.1", "w.1/", "./w.1", "w.1/../w.1", "W.1", "..", ".", "w", "w.01", "w.+1", ".1"]
    {
        let foreign = task(foreign);
        assert_eq!(runtime.observe(&foreign).await, Ok(Seen::Gone(Gone::NeverExisted)), "{foreign}");
        assert_eq!(runtime.end(&foreign, Force::Kill).await, Ok(()), "{foreign}");
    }
    assert_eq!(runtime.observe(&real).await, Ok(Seen::There));
}

#[tokio::test]
async fn directories_of_others_are_not_listed() {
    let bench = Bench::new(OBEDIENT);
    let runtime = bench.runtime();
    for foreign in ["lost+found", "w", "W.1", "w.x"] {
        let dir = bench.config.data.join("tasks").join(foreign);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("alive"), "").unwrap();
    }
    assert_eq!(runtime.list().await, Ok(vec![]));
}

#[tokio::test]
async fn files_are_erased_unless_somebody_uses_them() {
    let bench = Bench::new(OBEDIENT);
    let (runtime, world) = (bench.runtime(), WorldId::parse("w").unwrap());
    let dir = bench.config.data.join("worlds/w");
    fs::create_dir_all(dir.join(".dormouse")).unwrap();
    let lock = File::create(dir.join(".dormouse/lock")).unwrap();
    lock.lock().unwrap();
    let error = runtime.erase(&world).await.unwrap_err();
    expect!["DATA/worlds/w is still in use"].assert_eq(&bench.shown(&error.to_string()));
    assert!(dir.exists());
    drop(lock);
    assert_eq!(runtime.erase(&world).await, Ok(()));
    assert!(!dir.exists());
}

#[tokio::test]
async fn only_the_logs_of_the_last_tasks_are_kept() {
    let bench = Bench::new(OBEDIENT);
    let runtime = bench.runtime();
    for generation in 1..=KEPT_TASKS + 2 {
        let task = runtime.launch(&order("w", generation)).await.unwrap();
        end(&runtime, &task, Force::Kill).await;
    }
    let kept = fs::read_dir(bench.config.data.join("tasks")).unwrap();
    let mut kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["w.3", "w.4", "w.5", "w.6", "w.7"]);
}

#[tokio::test]
async fn what_is_left_of_containers_is_not_removed_with_processes() {
    let bench = Bench::new(OBEDIENT);
    let (runtime, world) = (bench.runtime(), WorldId::parse("w").unwrap());
    let dir = bench.config.data.join("tasks/w.1");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(ENGINE_FILE), "/run/engine.sock").unwrap();
    let task = runtime.launch(&order("w", KEPT_TASKS + 1)).await.unwrap();
    end(&runtime, &task, Force::Kill).await;
    assert_eq!(runtime.erase(&world).await, Ok(()));
    assert!(dir.exists() && !bench.config.data.join("tasks").join(task.as_str()).exists());
}

/// A place for tasks, a watchdog, and a game whose first port is taken. Dropping it ends every task.
struct Bench {
    config: Config,
    taken: UdpSocket,
    dir: TempDir,
}

impl Bench {
    fn new(watchdog: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tiny = game("tiny", taken.local_addr().unwrap().port());
        let boxed = Game { name: "Boxed".into(), scripts: None, ..game("boxed", 2000) };
        let source = |game: Game| (game.id.clone(), GameSource { game, toml: "name = \"Tiny\"\n".into() });
        let config = Config {
            data: dir.path().join("data"),
            // It leads a session, as the real one sees to by itself.
            watchdog: vec!["setsid".into(), "/bin/sh".into(), dir.path().join("watchdog.sh")],
            control_url: "http://127.0.0.1:9".into(),
            secret: Secret::new([7; 32]),
            game_user: None,
            report_every: Duration::from_secs(1),
            games: [tiny, boxed].map(source).into(),
        };
        let bench = Self { config, taken, dir };
        bench.write(watchdog);
        bench
    }

    fn write(&self, watchdog: &str) {
        fs::write(self.dir.path().join("watchdog.sh"), watchdog).unwrap();
    }

    fn runtime(&self) -> ProcessRuntime {
        ProcessRuntime::new(self.config.clone()).unwrap()
    }

    fn taken_port(&self) -> u16 {
        self.taken.local_addr().unwrap().port()
    }

    /// Returns an order for a port that was free a moment ago.
    fn order_at_a_free_port(&self, world: &str) -> LaunchOrder {
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        LaunchOrder { port: Some(free), ..order(world, 1) }
    }

    /// Returns the first port that the watchdog was given.
    fn port(&self, task: &TaskId) -> u16 {
        let ports =
            fs::read_to_string(self.config.data.join("tasks").join(task.as_str()).join("ports")).unwrap();
        ports.lines().next().unwrap().parse().unwrap()
    }

    /// Kills the watchdog alone, once it has started its game, and waits until it is gone.
    async fn kill_watchdog(&self, task: &TaskId) {
        let dir = self.config.data.join("tasks").join(task.as_str());
        let started = async || fs::read_to_string(dir.join("game")).ok().filter(|game| game.ends_with('\n'));
        until("started", started).await;
        let watchdog = group(&dir).unwrap();
        signal::kill(watchdog, Signal::SIGKILL).unwrap();
        until("killed", async || (!is_live(watchdog)).then_some(())).await;
    }

    /// Returns `text` without what differs from run to run.
    fn shown(&self, text: &str) -> String {
        text.replace(&self.config.data.display().to_string(), "DATA")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let runtime = self.runtime();
        for _ in 0..500 {
            let left = runtime.inner.list().unwrap_or_default();
            if left.is_empty() {
                return;
            }
            for task in left {
                // One that has not noted its process yet has by the next round.
                let _ = runtime.inner.end(&task.task, Force::Kill);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns a game that binds two ports in a row.
fn game(id: &str, number: u16) -> Game {
    let port = |name: &str, number| Port { name: name.into(), number, protocol: Protocol::Udp };
    let script = Scripts {
        packages: vec![],
        bootstrap: None,
        start: "exec sleep 1".into(),
        stop: None,
        healthcheck: None,
    };
    Game {
        id: GameId::parse(id).unwrap(),
        name: "Tiny".into(),
        image: "dormouse/tiny".into(),
        architectures: vec!["amd64".into()],
        cpu: 256,
        memory_mib: 512,
        ports: vec![port("game", number), port("query", number + 1)],
        save: Save { paths: vec!["world".into()], exclude: vec![] },
        stop: Stop { signal: StopSignal::Term, grace: Duration::from_secs(5) },
        ready: Ready { typical: Duration::from_secs(1), limit: Duration::from_secs(5) },
        timers: Timers::DEFAULT,
        import: None,
        settings: vec![],
        console: None,
        players: Players::default(),
        query: None,
        scripts: Some(script),
    }
}
