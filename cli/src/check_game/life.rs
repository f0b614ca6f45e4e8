//! A world of the game from its start to its sleep, and what is seen of it on the way.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use adapters::front_door::view::{LaunchView, WorldView};
use anyhow::{Context, Result, bail};
use domain::{
    game::{Game, Protocol},
    words,
};
use watchdog::save;

use super::{
    kept::{self, Written},
    place::{LOOK_EVERY, Place},
    processes::{self, Process, Response},
    step::{Report, Step},
    watching::{Eyes, Watched},
};

/// How much longer than its own deadlines a world may take: what its archive and a slow machine add.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How often in a row a game must be seen without its watchdog: what is on its way out is gone by then.
const ORPHANED_LOOKS: u32 = 15;

/// How often it is said that something is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How much longer than it says a game may take to be ready on a machine that does something else besides.
const SLACK: Duration = Duration::from_secs(2);

/// Whether a part of the check came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// The next part may come.
    GoesOn,
    /// Something is so wrong that nothing more can be seen.
    IsOver,
    /// Somebody has pressed Ctrl-C.
    Interrupted,
}

/// A check that is under way.
pub(super) struct Life<'a> {
    pub(super) place: &'a Place,
    pub(super) game: &'a Game,
    pub(super) report: &'a mut Report,
    pub(super) interrupted: Arc<AtomicBool>,
}

/// What the world was found to be.
enum Found {
    /// What was waited for.
    There(WorldView),
    /// Processes of the game are still there, and nobody looks after them any more: the world can never rest.
    Orphaned(WorldView),
    /// Nothing, since somebody has pressed Ctrl-C.
    Interrupted,
}

/// What a sleeping world has.
pub(super) struct Asleep {
    /// Its files at the save paths, with their sizes in bytes.
    pub(super) saved: Vec<(String, u64)>,
}

impl Life<'_> {
    /// Wakes the world and waits until players can join.
    pub(super) fn wake(&mut self, name: &'static str) -> Result<Course> {
        let generation = self.place.tell("start")?.generation;
        let (mut seen, mut bound) = (0, BTreeSet::new());
        let is_there = |world: &WorldView| world.state == "awake" || world.state == "asleep";
        let limit = self.game.ready.limit + self.game.stop.grace + PATIENCE;
        let place = self.place;
        let world = self.wait("for players to be let in", limit, |report, world| {
            let launch =
                world.launch.iter().chain(&world.last).find(|launch| launch.generation == generation);
            let passed = launch.map_or(&[][..], |launch| &launch.milestones);
            for milestone in passed.iter().skip(seen) {
                report.progress(&format!("{} after {}", milestone.name, seconds(milestone.after_ms)));
            }
            seen = passed.len();
            bound.extend(place.bound());
            is_there(world)
        })?;
        let world = match world {
            Found::There(world) | Found::Orphaned(world) => world,
            Found::Interrupted => return Ok(Course::Interrupted),
        };
        if world.state != "awake" {
            let step = self.never_ready(name, &world, &bound);
            self.report.add(step);
            return Ok(Course::IsOver);
        }
        bound.extend(self.place.bound());
        let step = self.ready(name, &world, &bound);
        self.report.add(step);
        Ok(Course::GoesOn)
    }

    /// Says how long it took, and what else the game binds.
    fn ready(&self, name: &'static str, world: &WorldView, bound: &BTreeSet<(u16, Protocol)>) -> Step {
        let took = world.launch.as_ref().map_or(0, |launch| after(launch, "ready"));
        let moved = at_its_port(self.game, world);
        let wanted: BTreeSet<_> = moved.iter().flat_map(Game::bound).collect();
        let more: Vec<_> = bound.difference(&wanted).map(port).collect();
        let more = if more.is_empty() {
            String::new()
        } else {
            format!("; it also binds {}, which is none of its ports", more.join(" "))
        };
        let at = world.address.as_deref().unwrap_or_default();
        let saw = format!("players can join at {at} after {}{more}", seconds(took));
        let typical = self.game.ready.typical;
        if Duration::from_millis(took) > 2 * typical + SLACK {
            let change = format!("ready.typical, which tells people {} s", typical.as_secs());
            return Step::warn(name, saw, change);
        }
        Step::ok(name, saw)
    }

    /// Says why players were never let in.
    fn never_ready(&self, name: &'static str, world: &WorldView, bound: &BTreeSet<(u16, Protocol)>) -> Step {
        let why = world.last.as_ref().and_then(|last| last.outcome.clone());
        let why = why.or_else(|| self.place.outcome(world)).unwrap_or(world.status.clone());
        let said = self.place.game_said(world);
        let said = if said.is_empty() { String::new() } else { format!("; it printed: {said}") };
        let left = self.place.game();
        let change = if let Some(process) = left.first() {
            format!(
                "`{}` went on without its parent: keep the server in the foreground, and begin its line with `exec`",
                process.name
            )
        } else if why.contains("was not ready") {
            self.unbound(bound)
        } else {
            "what it says; `bootstrap` makes what is missing, and `start` must become the server".into()
        };
        Step::fail(name, format!("{why}{said}"), change)
    }

    /// Says which of the game's ports nobody bound.
    fn unbound(&self, bound: &BTreeSet<(u16, Protocol)>) -> String {
        let list = |ports: Vec<String>| ports.join(" ");
        let wanted = list(self.game.ports.iter().map(|p| port(&(p.number, p.protocol))).collect());
        if bound.is_empty() {
            return format!("it binds nothing: let it listen on $PORT (the entry has {wanted})");
        }
        let found = list(bound.iter().map(port).collect());
        format!(
            "it binds {found}, and the entry has {wanted}: start the server with $PORT, or correct [[ports]]"
        )
    }

    /// Watches the world for `time` with nobody on.
    pub(super) fn watch(&mut self, time: Duration) -> Result<Course> {
        let world = self.place.world()?;
        let game = at_its_port(self.game, &world).context("the world has no port")?;
        let mut eyes = Eyes::open(&game, self.place.containers());
        self.report.progress(&format!("watching it for {} s with nobody on", time.as_secs()));
        let begun = Instant::now();
        let mut watched = Watched::default();
        while begun.elapsed() < time {
            if self.is_interrupted() {
                return Ok(Course::Interrupted);
            }
            let world = self.place.world()?;
            if world.state != "awake" {
                let step = self.fell_asleep(&world);
                self.report.add(step);
                return Ok(Course::IsOver);
            }
            let sources = eyes.sources(&world);
            watched.take(world.players, eyes.look(), sources);
            eyes.pause(Instant::now() + Duration::from_secs(1));
        }
        self.report.add(watched.empty());
        if let Some(step) = self.game.query.as_ref().map(|query| watched.query(query.count)) {
            self.report.add(step);
        }
        Ok(Course::GoesOn)
    }

    fn fell_asleep(&self, world: &WorldView) -> Step {
        let why = world.last.as_ref().and_then(|last| last.outcome.clone()).unwrap_or(world.status.clone());
        let said = self.place.game_said(world);
        Step::fail("watch", format!("it did not stay awake: {why}; it printed: {said}"), "what it says")
    }

    /// Puts the world to sleep, and looks at what is left of it.
    pub(super) fn sleep(&mut self, name: &'static str) -> Result<(Course, Asleep)> {
        let response = self.response();
        let began = save::file_clock(&self.place.clock()).context("asking the disk's clock")?;
        self.place.tell("stop")?;
        let limit = self.game.stop.grace + PATIENCE;
        let world =
            self.wait("for it to be saved and archived", limit, |_, world| world.state == "asleep")?;
        let (world, course) = match world {
            Found::There(world) => (world, Course::GoesOn),
            Found::Orphaned(world) => (world, Course::IsOver),
            Found::Interrupted => return Ok((Course::Interrupted, Asleep { saved: Vec::new() })),
        };
        let steps = [
            Some(self.stopped(name, &world, response)),
            self.console(&world),
            Some(self.saved(&world, began)?),
            Some(self.archived(&world)),
        ];
        steps.into_iter().flatten().for_each(|step| self.report.add(step));
        Ok((course, Asleep { saved: self.at_save_paths(&world) }))
    }

    /// Returns what the server makes of its stop signal, and its name.
    fn response(&self) -> Option<(String, Response)> {
        let all = self.place.game();
        let server = processes::largest(&all)?;
        Some((server.name.clone(), processes::response(server.pid, self.game.stop.signal)?))
    }

    /// Says whether the game ended as it was told to, and how long that took.
    fn stopped(&self, name: &'static str, world: &WorldView, response: Option<(String, Response)>) -> Step {
        let signal = self.game.stop.signal.name();
        let left: Vec<Process> = self.place.game();
        if let Some(process) = left.first() {
            let change = "every process must end with the server, and stay in its group";
            return Step::fail(name, format!("`{}` is still running", process.name), change);
        }
        let Some(last) = &world.last else {
            return Step::fail(name, world.status.clone(), "what it says");
        };
        let took = after(last, "saved").saturating_sub(after(last, "stopping"));
        let outcome = last.outcome.clone().unwrap_or_default();
        let grace = self.game.stop.grace.as_secs();
        if last.is_well != Some(true) {
            let change = match response {
                Some((server, Response::Ignores)) => {
                    format!("`{server}` ignores {signal}: another stop.signal, or a stop script")
                }
                Some((server, Response::Ends | Response::Handles)) => format!(
                    "`{server}` must save and end within {grace} s of {signal}: another stop.signal, a longer stop.grace, \
                     or a stop script"
                ),
                None => format!("the server must save and end within {grace} s of {signal}"),
            };
            return Step::fail(name, outcome, change);
        }
        let saw = format!("{outcome}; it ended {} after it was told to, of {grace} s", seconds(took));
        let is_bare = self.game.scripts.as_ref().is_none_or(|scripts| scripts.stop.is_none());
        match response {
            Some((server, Response::Ends)) if is_bare => {
                let change = format!(
                    "`{server}` has no handler for {signal}, so it cannot save then: another stop.signal"
                );
                Step::warn(name, saw, change)
            }
            Some(_) | None => Step::ok(name, saw),
        }
    }

    /// Says what came of the commands at the game's console.
    fn console(&self, world: &WorldView) -> Option<Step> {
        let console = self.game.console.as_ref()?;
        let log = self.place.watchdog_log(world);
        let lines: Vec<_> = log.lines().filter(|line| line.contains("game's console")).collect();
        let failed = lines.iter().find(|line| line.contains("WARN") || line.contains("ERROR"));
        let tail = |line: &str| {
            line.split_once("WARN")
                .map_or(line, |(_, rest)| rest)
                .trim()
                .chars()
                .take(200)
                .collect::<String>()
        };
        let change = format!(
            "open it on 127.0.0.1 at $DORMOUSE_CONSOLE_PORT (the entry has {}) with $DORMOUSE_CONSOLE_PASSWORD",
            console.port
        );
        Some(match (failed, lines.len()) {
            (Some(line), _) => Step::fail("console", tail(line), change),
            (None, 0) if !console.save.is_empty() => Step::warn("console", "nothing was said there", change),
            (None, said) => Step::ok("console", format!("answered {said} commands")),
        })
    }

    /// Says whether the save paths are those that the game writes.
    fn saved(&self, world: &WorldView, began: SystemTime) -> Result<Step> {
        let files = self.place.files(world);
        let paths = &self.game.save.paths;
        let written = paths.iter().map(|path| kept::written(&files, path, began));
        let written = written.collect::<std::io::Result<Vec<_>>>().context("looking at the save")?;
        let found = kept::names(&kept::files(&files));
        let named = paths.join(", ");
        if written.contains(&Written::AtTheStop) {
            return Ok(Step::ok("save", format!("{named} was written at the stop")));
        }
        if written.contains(&Written::Before) {
            let saw = format!("nothing at {named} was written at the stop");
            let change = "name in save.paths what the server writes at each stop; without that, no save of somebody who \
                          played is proven";
            return Ok(Step::warn("save", saw, change));
        }
        let change = format!("save.paths: the world's directory has {found}");
        Ok(Step::fail("save", format!("there is nothing at {named}"), change))
    }

    fn archived(&self, world: &WorldView) -> Step {
        let change = "what it says; the world's files must be readable";
        let archive = world.archive.as_ref().zip(self.place.archive(world));
        let Some((view, path)) = archive else {
            return Step::fail("archive", format!("there is none: {}", world.status), change);
        };
        match kept::archived(&path) {
            Ok(files) => {
                let saw =
                    format!("{} files, {}: {}", files.len(), words::bytes(view.size), kept::names(&files));
                Step::ok("archive", saw)
            }
            Err(error) => Step::fail("archive", format!("{error:#}"), change),
        }
    }

    /// Says whether the world that was asleep is there again.
    pub(super) fn kept(&mut self, before: &Asleep) -> Result<()> {
        if before.saved.is_empty() {
            return Ok(());
        }
        let now = self.at_save_paths(&self.place.world()?);
        let is_there = |name: &str, size: u64| {
            now.iter().any(|(other, there)| name == other && (*there > 0 || size == 0))
        };
        let lost: Vec<_> =
            before.saved.iter().filter(|(name, size)| !is_there(name, *size)).cloned().collect();
        self.report.add(if lost.is_empty() {
            Step::ok("kept", format!("the second start found {}", kept::names(&before.saved)))
        } else {
            let saw = format!("the second start did away with {}", kept::names(&lost));
            Step::warn("kept", saw, "a bootstrap makes what is missing and keeps what is there")
        });
        Ok(())
    }

    /// Returns the files at the save paths.
    fn at_save_paths(&self, world: &WorldView) -> Vec<(String, u64)> {
        let is_saved =
            |name: &str| self.game.save.paths.iter().any(|path| std::path::Path::new(name).starts_with(path));
        kept::files(&self.place.files(world)).into_iter().filter(|(name, _)| is_saved(name)).collect()
    }

    /// Puts the world to sleep after Ctrl-C, as far as it is awake.
    pub(super) fn give_up(&mut self) -> Result<()> {
        self.report.progress("interrupted; the world is put to sleep first");
        self.place.tell("stop")?;
        let begun = Instant::now();
        while begun.elapsed() < self.game.stop.grace + PATIENCE && self.place.world()?.state != "asleep" {
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Looks at the world until `is_so`.
    fn wait(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&Report, &WorldView) -> bool,
    ) -> Result<Found> {
        let (begun, mut told, mut orphaned) = (Instant::now(), Instant::now(), 0);
        while begun.elapsed() < limit {
            if self.is_interrupted() {
                return Ok(Found::Interrupted);
            }
            let world = self.place.world()?;
            if is_so(self.report, &world) {
                return Ok(Found::There(world));
            }
            let is_orphaned = self.place.outcome(&world).is_some() && !self.place.game().is_empty();
            orphaned = if is_orphaned { orphaned + 1 } else { 0 };
            if orphaned == ORPHANED_LOOKS {
                return Ok(Found::Orphaned(world));
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                self.report.progress(&format!("waiting {what}, {} s", begun.elapsed().as_secs()));
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("waited {what} for {} s: {}", limit.as_secs(), self.place.world()?.status)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Returns the game with its ports where the world has them.
fn at_its_port(game: &Game, world: &WorldView) -> Option<Game> {
    let port = world.address.as_ref()?.rsplit_once(':')?.1.parse().ok()?;
    game.clone().at_port(port)
}

fn port((number, protocol): &(u16, Protocol)) -> String {
    format!("{number}/{protocol}")
}

/// Returns how many milliseconds after it was asked for a launch has passed a milestone.
fn after(launch: &LaunchView, name: &str) -> u64 {
    launch.milestones.iter().find(|milestone| milestone.name == name).map_or(0, |found| found.after_ms)
}

#[expect(clippy::cast_precision_loss, reason = "tenths of a second are shown")]
fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}
