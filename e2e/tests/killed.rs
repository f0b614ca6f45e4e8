//! SIGKILL for each process of ours in each state of a world, with a real game: never two writers, nothing lost, no
//! process left behind, and the next start works.

use std::{
    fmt,
    fs::{self, File},
    io::Cursor,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use e2e::{
    clients::{LuantiClient, surely},
    dormouse::{Dormouse, finish, players},
    netns::Lab,
    onlooker::{Onlooker, Process, processes},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

/// The world.
const WORLD: &str = "valhalla";

/// Who plays.
const PLAYER: &str = "ann";

/// What the kernel calls the game's process.
const SERVER: &str = "minetestserver";

/// How many rounds run side by side, each with a control plane on a machine of its own.
const LANES: usize = 5;

/// How long a world may take to come to rest after a kill. Nearly always it is a second or two; a game that ignores its
/// stop signal is killed 120 s after its watchdog, and Luanti now and then hangs when the signal comes early.
const REST_LIMIT: Duration = s(180);

/// How long the end of a game by SIGKILL may go unnoticed.
const NOTICE_LIMIT: Duration = s(15);

/// How often a script may end by itself just when it was to be killed.
const MOST_MISSES: u32 = 10;

/// How long anything else may take that is a matter of moments.
const SOON: Duration = s(20);

/// Between two looks at what changes within milliseconds.
const GLANCE: Duration = Duration::from_millis(2);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_kill_while_the_world_starts_leaves_it_whole() -> Result<()> {
    let moments = [0, 20, 60, 150, 300].map(Moment::After);
    let mut cases = every([Victim::Control, Victim::Watchdog, Victim::Game], Phase::Starting, &moments);
    cases.extend(every(
        [Victim::ControlAndWatchdog, Victim::WatchdogAndGame],
        Phase::Starting,
        &moments[2..4],
    ));
    survive("starting", &cases)
}

#[test]
fn a_kill_during_the_very_first_start_leaves_a_world_that_starts() -> Result<()> {
    let victims = [Victim::Control, Victim::Watchdog, Victim::Game, Victim::ControlAndWatchdog];
    // The game makes its databases some 20 to 50 ms after it was started.
    survive("first", &every(victims, Phase::StartingNew, &[20, 35, 60].map(Moment::After)))
}

#[test]
fn a_kill_while_the_world_is_awake_leaves_it_whole() -> Result<()> {
    survive("awake", &every(Victim::ALL, Phase::Awake, &[Moment::After(0)]))
}

#[test]
fn a_kill_while_the_world_stops_leaves_it_whole() -> Result<()> {
    let delays = [0, 50, 200, 500].map(Moment::After);
    let steps = [Moment::SAVING, Moment::ARCHIVING, Moment::UPLOADING, Moment::ENDING];
    let mut cases =
        every([Victim::Control, Victim::Watchdog], Phase::Stopping, &[&delays[..], &steps[..]].concat());
    cases.extend(every([Victim::Game], Phase::Stopping, &[&delays[..], &steps[..1]].concat()));
    cases.extend(every([Victim::ControlAndWatchdog], Phase::Stopping, &steps));
    cases.extend(every([Victim::WatchdogAndGame], Phase::Stopping, &[delays[0], Moment::SAVING]));
    survive("stopping", &cases)
}

#[test]
fn a_control_process_that_was_killed_finds_its_task_again_and_nobody_is_thrown_out() -> Result<()> {
    let lab = Lab::new("found", 1)?;
    let mut dormouse = Dormouse::up(lab.server())?;
    dormouse.create(WORLD, "luanti", [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", WORLD, "--wait"])?;
    let _ann = join(&lab, &dormouse, WORLD)?;
    let before =
        (dormouse.watchdog(WORLD)?, dormouse.game(WORLD)?, dormouse.world(WORLD)?["generation"].clone());

    dormouse.kill_control()?;
    dormouse.start()?;
    // What is seen from now on was reported to the new process.
    dormouse
        .wait(WORLD, "seen again", SOON, |world| world["seen_s_ago"].as_u64().is_some_and(|ago| ago < 2))?;
    let is_on = |world: &Value| world["state"] == "awake" && players(world) == Some(1);
    dormouse.stays(WORLD, "awake with its player", s(8), is_on)?;
    let after =
        (dormouse.watchdog(WORLD)?, dormouse.game(WORLD)?, dormouse.world(WORLD)?["generation"].clone());
    ensure!(
        before == after && before.0.is_some() && before.1.is_some(),
        "the task changed: {before:?} {after:?}"
    );
    let log = dormouse.game_log(WORLD)?;
    ensure!(
        LuantiClient::joined(PLAYER, &log) && !log.contains("leaves game"),
        "the player was thrown out:\n{log}"
    );
    Ok(())
}

#[test]
fn two_starts_at_the_same_instant_make_one_launch() -> Result<()> {
    let lab = Lab::new("instant", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create(WORLD, "luanti", [600, 600, 10, 3600])?;
    let onlooker = Onlooker::of(&[SERVER]);
    onlooker.watching(&dormouse.data, || {
        for generation in 1..=3 {
            let starts =
                (0..8).map(|_| spawn(&dormouse, &["world", "start", WORLD])).collect::<Result<Vec<_>>>()?;
            for start in starts {
                let output = finish(start, SOON)?;
                ensure!(
                    output.status.success(),
                    "a start failed: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            dormouse.wait_for_state(WORLD, "awake", REST_LIMIT)?;
            let world = dormouse.world(WORLD)?;
            ensure!(world["generation"] == generation, "not one launch: {world:#}");
            let tasks = fs::read_dir(dormouse.data.join("tasks"))?.count();
            ensure!(tasks == generation, "{tasks} tasks for {generation} launches");
            ensure!(dormouse.writers(WORLD)? == [SERVER], "not one game: {:?}", dormouse.writers(WORLD)?);
            dormouse.ok(&["world", "stop", WORLD, "--wait"])?;
        }
        onlooker.verdict()
    })
}

#[test]
fn a_start_while_it_stops_is_queued_and_happens() -> Result<()> {
    let lab = Lab::new("queued", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create(WORLD, "luanti", [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", WORLD, "--wait"])?;
    let id = id(&dormouse)?;
    let onlooker = Onlooker::of(&[SERVER]);
    onlooker.watching(&dormouse.data, || {
        let moments = [Moment::After(0), Moment::SAVING, Moment::ARCHIVING, Moment::UPLOADING];
        for (moment, generation) in moments.into_iter().zip(1..) {
            let case = || format!("a start {moment} of launch {generation}");
            dormouse.ok(&["world", "stop", WORLD])?;
            moment.wait(&dormouse.data.join(format!("tasks/{id}.{generation}"))).with_context(case)?;
            let said = dormouse.ok(&["world", "start", WORLD]).with_context(case)?;
            let next = dormouse.wait(WORLD, "awake again", REST_LIMIT, |world| {
                world["state"] == "awake" && world["generation"] == generation + 1
            });
            let (world, took) = next.with_context(case)?;
            ensure!(world["archive"]["generation"] == generation, "{}: not archived: {world:#}", case());
            println!("{:<34} awake again after {took:.1?}; it was told: {}", case(), said.trim());
        }
        onlooker.verdict()
    })
}

#[test]
fn a_second_control_process_on_the_same_data_is_refused() -> Result<()> {
    let lab = Lab::new("second", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    let data = dormouse.data.to_str().context("the path is no text")?;
    let second = finish(spawn(&dormouse, &["up", "--data", data, "--listen", "127.0.0.1:7734"])?, SOON)?;
    let stderr = String::from_utf8_lossy(&second.stderr);
    ensure!(second.status.code() == Some(1), "{}: {stderr}", second.status);
    ensure!(stderr.contains("another `dormouse up` uses"), "it said: {stderr}");
    dormouse.json(&["world", "list"]).map(drop)
}

#[test]
fn a_watchdog_that_is_stopped_for_a_while_goes_on_as_if_nothing_had_been() -> Result<()> {
    let lab = Lab::new("paused", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create(WORLD, "luanti", [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", WORLD, "--wait"])?;
    let marker = dormouse.files(WORLD)?.join("marker.txt");
    fs::write(&marker, "paused")?;
    let before = (dormouse.watchdog(WORLD)?, dormouse.game(WORLD)?);
    let watchdog = before.0.context("no watchdog")?;
    kill(watchdog, Signal::SIGSTOP)?;
    let stayed =
        dormouse.stays(WORLD, "awake without its watchdog", s(10), |world| world["state"] == "awake");
    kill(watchdog, Signal::SIGCONT)?;
    stayed?;
    dormouse
        .wait(WORLD, "seen again", SOON, |world| world["seen_s_ago"].as_u64().is_some_and(|ago| ago < 2))?;
    dormouse.stays(WORLD, "awake with its watchdog", s(4), |world| world["state"] == "awake")?;
    ensure!(before == (dormouse.watchdog(WORLD)?, dormouse.game(WORLD)?), "the task changed");
    dormouse.ok(&["world", "stop", WORLD, "--wait"])?;
    check_archive(&dormouse, WORLD, "paused").map(drop)
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Control,
    Watchdog,
    Game,
    ControlAndWatchdog,
    WatchdogAndGame,
}

impl Victim {
    const ALL: [Self; 5] =
        [Self::Control, Self::Watchdog, Self::Game, Self::ControlAndWatchdog, Self::WatchdogAndGame];

    fn has_control(self) -> bool {
        matches!(self, Self::Control | Self::ControlAndWatchdog)
    }

    fn has_watchdog(self) -> bool {
        matches!(self, Self::Watchdog | Self::ControlAndWatchdog | Self::WatchdogAndGame)
    }

    fn has_game(self) -> bool {
        matches!(self, Self::Game | Self::WatchdogAndGame)
    }
}

/// What the world is doing when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Starting for the first time ever.
    StartingNew,
    Starting,
    Awake,
    Stopping,
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// So many milliseconds after the command has returned and the victim is there.
    After(u64),
    /// As soon as the watchdog has logged this.
    Logged(&'static str),
}

impl Moment {
    const SAVING: Self = Self::Logged("stopping: ");
    const ARCHIVING: Self = Self::Logged("the game is gone");
    const UPLOADING: Self = Self::Logged("archived ");
    const ENDING: Self = Self::Logged("orders: End");

    fn wait(self, task_dir: &Path) -> Result<()> {
        match self {
            Self::After(ms) => thread::sleep(Duration::from_millis(ms)),
            Self::Logged(line) => {
                let log = || fs::read_to_string(task_dir.join("watchdog.log")).unwrap_or_default();
                poll(&format!("`{line}` in the watchdog's log"), SOON, || {
                    log().contains(line).then_some(())
                })?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(ms) => write!(f, "after {ms} ms"),
            Self::Logged(line) => write!(f, "at `{}`", line.trim()),
        }
    }
}

/// A kill.
#[derive(Debug, Clone, Copy)]
struct Case {
    victim: Victim,
    phase: Phase,
    moment: Moment,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} killed while {:?}, {}", self.victim, self.phase, self.moment)
    }
}

fn every<const N: usize>(victims: [Victim; N], phase: Phase, moments: &[Moment]) -> Vec<Case> {
    let cases = |victim| moments.iter().map(move |moment| Case { victim, phase, moment: *moment });
    victims.into_iter().flat_map(cases).collect()
}

/// Plays every case, some side by side; each failure names its case.
fn survive(name: &str, cases: &[Case]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in 0..LANES.min(cases.len()) {
            let (next, failures) = (&next, &failures);
            scope.spawn(move || {
                if let Err(error) = play(&format!("{name}{lane}"), cases, next) {
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let texts: Vec<_> = failures.iter().map(|error: &Error| format!("{error:#}")).collect();
    ensure!(texts.is_empty(), "{} lanes failed:\n{}", texts.len(), texts.join("\n\n"));
    Ok(())
}

/// Plays cases, as long as there are any, on one machine.
fn play(lab: &str, cases: &[Case], next: &AtomicUsize) -> Result<()> {
    let lab = Lab::new(lab, 1)?;
    let mut dormouse = Dormouse::up(lab.server())?;
    let (onlooker, data) = (Onlooker::of(&[SERVER]), dormouse.data.clone());
    onlooker.watching(&data, || {
        let mut old = None;
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = Instant::now();
            let name = match (case.phase, &old) {
                (Phase::StartingNew, _) | (_, None) => format!("world-{}", next.load(Ordering::Relaxed)),
                (Phase::Starting | Phase::Awake | Phase::Stopping, Some(name)) => String::clone(name),
            };
            let is_new = old.as_ref() != Some(&name);
            let told = Round::prepare(&lab, &mut dormouse, *case, name.clone(), is_new)
                .context("before it happened")
                .and_then(|mut round| round.play())
                .and_then(|told| onlooker.verdict().map(|()| told))
                .map_err(|error| anyhow!("{case}: {error:#}\n{}", dormouse.logs(&name)))?;
            println!("{:<60} {told} ({:.1?})", case.to_string(), begun.elapsed());
            old = Some(name);
        }
        ensure!(onlooker.samples() > 0, "nobody looked");
        Ok(())
    })
}

/// One kill and what has to hold after it.
struct Round<'a, 'lab> {
    lab: &'lab Lab,
    dormouse: &'a mut Dormouse<'lab>,
    case: Case,
    world: String,
    id: String,
    /// The launch that the kill is for.
    generation: u64,
    /// What the marker file in the world's files says.
    marker: String,
}

impl<'a, 'lab> Round<'a, 'lab> {
    /// Brings the world to where the case begins.
    fn prepare(
        lab: &'lab Lab,
        dormouse: &'a mut Dormouse<'lab>,
        case: Case,
        world: String,
        is_new: bool,
    ) -> Result<Self> {
        if is_new {
            dormouse.create(&world, "luanti", [600, 600, 10, 3600])?;
        }
        if is_new && case.phase != Phase::StartingNew {
            dormouse.ok(&["world", "start", &world, "--wait"])?;
            dormouse.ok(&["world", "stop", &world, "--wait"])?;
            zip::ZipArchive::new(Cursor::new(played()?))?.extract(dormouse.files(&world)?)?;
        }
        match case.phase {
            Phase::StartingNew | Phase::Starting => {}
            Phase::Awake | Phase::Stopping => dormouse.ok(&["world", "start", &world, "--wait"]).map(drop)?,
        }
        let status = dormouse.world(&world)?;
        let id = status["id"].as_str().context("a world without id")?.to_owned();
        let generation = status["generation"].as_u64().context("a world without generation")?;
        let generation = match case.phase {
            Phase::StartingNew | Phase::Starting => generation + 1,
            Phase::Awake | Phase::Stopping => generation,
        };
        let round = Self {
            lab,
            dormouse,
            case,
            marker: format!("{case}, launch {generation}"),
            world,
            id,
            generation,
        };
        if case.phase != Phase::StartingNew {
            round.mark()?;
        }
        Ok(round)
    }

    fn play(&mut self) -> Result<String> {
        let player = if self.case.phase == Phase::Awake {
            Some(join(self.lab, self.dormouse, &self.world)?)
        } else {
            None
        };
        let before = self.processes();
        match self.case.phase {
            Phase::StartingNew | Phase::Starting => self.command("start", &[])?,
            Phase::Awake => {}
            Phase::Stopping => self.command("stop", &[])?,
        }
        let hit = self.kill()?;
        let killed = Instant::now();
        if self.case.victim == Victim::Game && self.case.phase == Phase::Awake {
            self.wait_for_notice(killed)?;
        }
        if self.case.victim.has_control() {
            self.dormouse.start().context("starting the control process again")?;
        }
        let rest = self.wait_for_rest()?;
        let took = killed.elapsed();
        self.check_outcome(&rest, hit > 0, &before)?;
        drop(player);
        let told = format!("-> {} after {took:.1?}: {}", rest["state"], rest["last"]["outcome"]);
        self.check_files()?;
        self.play_again()?;
        Ok(if hit > 0 { told } else { format!("(nothing left to kill) {told}") })
    }

    /// Kills the victims at their moment and says how many there were.
    fn kill(&mut self) -> Result<usize> {
        let case = self.case;
        // Some come only after the command has returned, and between the scripts of a game there is none for a moment.
        let is_coming = matches!(case.phase, Phase::StartingNew | Phase::Starting);
        let limit = if is_coming { SOON } else { Duration::ZERO };
        let find = |round: &Self| poll("the victims' processes", limit, || round.victims());
        if is_coming {
            find(self)?;
        }
        case.moment.wait(&self.task_dir())?;
        if case.victim.has_control() {
            self.dormouse.kill_control()?;
        }
        let mut hit = 0;
        for _ in 0..MOST_MISSES {
            let victims = find(self).or_else(|error| if is_coming { Err(error) } else { Ok(Vec::new()) })?;
            hit += victims.iter().filter(|victim| is_killed(**victim)).count();
            // A script that has just ended was none yet: its game comes.
            if hit > 0 || victims.is_empty() || !is_coming {
                break;
            }
        }
        Ok(hit + usize::from(case.victim.has_control()))
    }

    /// Returns the processes to kill beside the control process, once all of them are there.
    fn victims(&self) -> Option<Vec<Pid>> {
        let (all, task_dir) = (self.processes(), self.task_dir());
        let watchdog = all.iter().find(|p| p.cwd == task_dir);
        let game = all.iter().find(|p| p.name == SERVER).or_else(|| all.iter().find(|p| p.cwd != task_dir));
        let mut victims = Vec::new();
        if self.case.victim.has_watchdog() {
            victims.push(watchdog?.pid);
        }
        if self.case.victim.has_game() {
            victims.push(game?.pid);
        }
        Some(victims)
    }

    fn wait_for_notice(&self, killed: Instant) -> Result<()> {
        let is_noticed = |world: &Value| {
            let told = [&world["status"], &world["last"]["outcome"]];
            told.iter().any(|text| text.as_str().is_some_and(|text| text.contains("SIGKILL")))
        };
        self.dormouse.wait(&self.world, "known to be killed", NOTICE_LIMIT, is_noticed)?;
        ensure!(killed.elapsed() <= NOTICE_LIMIT, "noticed only after {:.1?}", killed.elapsed());
        println!("the end of the game by SIGKILL was noticed after {:.1?}", killed.elapsed());
        Ok(())
    }

    /// Waits until the world sleeps with nothing left of it, or is awake with its watchdog and exactly one writer.
    fn wait_for_rest(&self) -> Result<Value> {
        let task_dir = self.task_dir();
        let is_at_rest = |world: &Value| {
            let all = self.processes();
            match world["state"].as_str() {
                Some("asleep") => true,
                Some("awake") => {
                    let writers: Vec<_> = all.iter().filter(|p| p.cwd != task_dir).map(|p| &p.name).collect();
                    all.len() == 2 && writers == [SERVER]
                }
                _ => false,
            }
        };
        let (world, _) = self.dormouse.wait(&self.world, "at rest", REST_LIMIT, is_at_rest)?;
        match world["state"] == "asleep" {
            true => self.check_nothing_is_left()?,
            false => ensure!(self.dormouse.writers(&self.world)? == [SERVER], "not one writer"),
        }
        Ok(world)
    }

    fn check_nothing_is_left(&self) -> Result<()> {
        // A process lets go of its locks a moment before it is gone.
        poll("the end of every process of the task", s(3), || self.processes().is_empty().then_some(()))
            .with_context(|| format!("left: {:?}", self.processes()))
    }

    /// Checks what this victim at this moment may cost at most.
    fn check_outcome(&self, rest: &Value, was_hit: bool, before: &[Process]) -> Result<()> {
        let outcome = rest["last"]["outcome"].as_str().unwrap_or_default();
        let is_archived = rest["archive"]["generation"] == self.generation;
        let is = |state: &str| rest["state"] == state && rest["generation"] == self.generation;
        let is_right = match (self.case.victim, self.case.phase) {
            // Without a control process nothing is lost.
            (Victim::Control, Phase::StartingNew | Phase::Starting) => is("awake"),
            (Victim::Control, Phase::Awake) => {
                is("awake") && players(rest) == Some(1) && self.processes() == before
            }
            (Victim::Control, Phase::Stopping) => {
                is("asleep") && is_archived && outcome.starts_with("saved and archived")
            }
            // The task goes, and people are told why.
            (Victim::Watchdog | Victim::ControlAndWatchdog | Victim::WatchdogAndGame, Phase::Awake) => {
                is("asleep") && outcome.contains("its watchdog was killed")
            }
            (Victim::Watchdog | Victim::ControlAndWatchdog | Victim::WatchdogAndGame, _) => is("asleep"),
            (Victim::Game, Phase::StartingNew | Phase::Starting) => {
                is("asleep") && outcome.contains("SIGKILL")
            }
            // The watchdog archives what there is.
            (Victim::Game, Phase::Awake) => is("asleep") && is_archived && outcome.contains("SIGKILL"),
            (Victim::Game, Phase::Stopping) => is("asleep") && is_archived,
        };
        ensure!(
            is_right,
            "it came to another end{}: {rest:#}",
            if was_hit { "" } else { " (nothing was left to kill)" }
        );
        Ok(())
    }

    fn check_files(&self) -> Result<()> {
        if self.case.phase == Phase::StartingNew {
            return Ok(());
        }
        let files = self.files();
        let marker = fs::read_to_string(files.join("marker.txt")).context("the marker is gone")?;
        ensure!(marker == self.marker, "the marker says: {marker}");
        ensure!(files.join("world/env_meta.txt").exists(), "env_meta.txt is gone");
        Ok(())
    }

    /// Starts and stops the world as if nothing had been.
    fn play_again(&self) -> Result<()> {
        self.command("start", &["--wait"]).context("the next start")?;
        ensure!(self.dormouse.writers(&self.world)? == [SERVER], "not one writer in the next launch");
        if self.case.phase == Phase::StartingNew {
            self.mark()?;
        }
        self.command("stop", &["--wait"]).context("the next stop")?;
        self.check_files()?;
        let archive = check_archive(self.dormouse, &self.world, &self.marker)?;
        if self.case.phase != Phase::StartingNew {
            check_player(archive.path())?;
        }
        self.check_nothing_is_left()
    }

    fn mark(&self) -> Result<()> {
        fs::write(self.files().join("marker.txt"), &self.marker).context("writing the marker")
    }

    fn command(&self, what: &str, more: &[&str]) -> Result<()> {
        self.dormouse.ok(&[&["world", what, &self.world], more].concat()).map(drop)
    }

    fn files(&self) -> PathBuf {
        self.dormouse.data.join("worlds").join(&self.id).join("files")
    }

    fn task_dir(&self) -> PathBuf {
        self.dormouse.data.join("tasks").join(format!("{}.{}", self.id, self.generation))
    }

    /// Returns the processes of the world.
    fn processes(&self) -> Vec<Process> {
        processes(&self.dormouse.data).into_iter().filter(|p| p.world == self.id).collect()
    }
}

fn id(dormouse: &Dormouse<'_>) -> Result<String> {
    Ok(dormouse.world(WORLD)?["id"].as_str().context("a world without id")?.to_owned())
}

/// Kills the process, and tells whether it was there to be killed: one that stands still cannot end by itself meanwhile.
fn is_killed(pid: Pid) -> bool {
    let stands_still = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let state = status.lines().find_map(|line| line.strip_prefix("State:\t"))?;
        matches!(state.chars().next(), Some('T' | 'Z' | 'X')).then(|| state.starts_with('T'))
    };
    kill(pid, Signal::SIGSTOP).is_ok()
        && poll("the victim to stand still", s(5), stands_still).is_ok_and(|stands| stands)
        && kill(pid, Signal::SIGKILL).is_ok()
}

/// Lets a player join the world, and returns when the player is seen and has walked about: there is something to lose.
fn join(lab: &Lab, dormouse: &Dormouse<'_>, world: &str) -> Result<LuantiClient> {
    let port = dormouse.world(world)?["address"].as_str().and_then(|a| a.rsplit_once(':')?.1.parse().ok());
    let address = IpAddr::from(lab.server().address);
    let port = port.context("no port")?;
    let joined = || Ok(LuantiClient::joined(PLAYER, &dormouse.game_log(world)?));
    let player = surely(|| LuantiClient::join(Some(lab.client(0)), address, port, PLAYER), joined)?;
    dormouse.wait_for_players(world, 1, s(60))?;
    player.act(s(1))?;
    Ok(player)
}

/// Returns the archive of a world in which somebody has played; it is made once.
fn played() -> Result<&'static [u8]> {
    static PLAYED: Mutex<Option<&'static [u8]>> = Mutex::new(None);
    let mut made = PLAYED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(archive) = *made {
        return Ok(archive);
    }
    let lab = Lab::new("played", 1)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create(WORLD, "luanti", [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", WORLD, "--wait"])?;
    join(&lab, &dormouse, WORLD)?.leave()?;
    dormouse.ok(&["world", "stop", WORLD, "--wait"])?;
    let archive = fs::read(dormouse.archive(&dormouse.world(WORLD)?)?)?.leak();
    *made = Some(archive);
    Ok(archive)
}

/// Checks that the newest archive of a sleeping world holds the marker, and databases without a fault; returns its
/// directory.
fn check_archive(dormouse: &Dormouse<'_>, name: &str, marker: &str) -> Result<TempDir> {
    let world = dormouse.world(name)?;
    ensure!(world["state"] == "asleep", "not asleep: {world:#}");
    ensure!(world["archive"]["generation"] == world["generation"], "not archived: {world:#}");
    let scratch = tempfile::tempdir()?;
    zip::ZipArchive::new(File::open(dormouse.archive(&world)?)?)?.extract(scratch.path())?;
    let found = fs::read_to_string(scratch.path().join("marker.txt")).context("no marker in the archive")?;
    ensure!(found == marker, "the marker in the archive says: {found}");
    ensure!(scratch.path().join("world/env_meta.txt").exists(), "no env_meta.txt in the archive");
    for entry in fs::read_dir(scratch.path().join("world"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "sqlite") {
            let said: String = query(&path, "PRAGMA integrity_check")?;
            ensure!(said == "ok", "{}: {said}", path.display());
        }
    }
    Ok(scratch)
}

/// Checks that what the player had in the archived world is still there.
fn check_player(archive: &Path) -> Result<()> {
    let blocks: u32 = query(&archive.join("world/map.sqlite"), "SELECT count(*) FROM blocks")?;
    ensure!(blocks > 0, "the map is empty");
    let name: String = query(&archive.join("world/players.sqlite"), "SELECT name FROM player")?;
    ensure!(name == PLAYER, "the player is {name}");
    Ok(())
}

fn query<T: rusqlite::types::FromSql>(database: &Path, sql: &str) -> Result<T> {
    let row = rusqlite::Connection::open(database)?.query_row(sql, [], |row| row.get(0));
    row.with_context(|| format!("asking {}: {sql}", database.display()))
}

/// Starts `dormouse` with `arguments`.
fn spawn(dormouse: &Dormouse<'_>, arguments: &[&str]) -> Result<Child> {
    let mut command = dormouse.ns_command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("starting dormouse")
}

/// Looks until there is what is looked for.
fn poll<T>(what: &str, limit: Duration, look: impl Fn() -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        ensure!(begun.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(GLANCE);
    }
}
