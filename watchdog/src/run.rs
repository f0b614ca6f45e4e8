//! The life of one task, from the lock to the archive.
//!
//! ```text
//! take the world's directory ─► claimed ─► start ─► ready ─► watch ─► stop, prove ─► archive, upload ─► end
//! ```
//!
//! It shows that it is healthy from the claim on; where the game has a container of its own, only when the game may start.
//!
//! It decides nothing about idleness (that is [`domain::idle`]) and believes nothing about the archive until the control
//! plane has found it whole. A control plane that cannot be reached keeps it from starting the game and from uploading, and
//! from nothing in between.

use std::{
    cell::Cell,
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use adapters::{
    attendance::{AttendanceRecord, SightRecord},
    report::{OrdersRecord, ProofRecord, Report, SeenRecord, VERSION, WhyRecord},
    task_env::{GameStart, TaskEnv},
};
use anyhow::{Context, Result, bail, ensure};
use domain::{
    attendance::Attendance,
    game::Game,
    idle::{Evidence, Held, Listening, Sample, Verdict, Watch},
    world::{Proof, StopWhy, TaskId},
};

use crate::{
    console::Console,
    control::{Control, Reporter},
    game::{RunningGame, Teller, how},
    metadata::{self, HostWatch},
    save,
    senses::{Look, Senses},
    way::Way,
    world_dir::{self, Owned},
};

mod starting;

mod keeping;

mod filling;

mod choosing;

mod backup;

mod operator;

use self::{
    backup::Backup,
    operator::{Operator, warning},
};

/// How much of the 120 s between SIGTERM and SIGKILL is used.
const TERM_LIMIT: Duration = Duration::from_secs(110);

/// How long an idle world waits for a last word of the control plane before it begins to stop.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// How long after an end of the game that nobody here asked for the host may take to say that it was the host's doing.
const HOST_WORD_LIMIT: Duration = Duration::from_secs(5);

/// How long the control plane is given to hear the last report.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(20);

/// Why there is no archive when the time between SIGTERM and SIGKILL is over.
const NO_MORE_TIME: &str = "the host ends the task before the archive is done";

/// How often the world is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How often orders, signals and the game's process are looked at in between.
const GLANCE_EVERY: Duration = Duration::from_millis(100);

/// The file in the task's directory that says how the task ended; empty when all was seen through.
pub const OUTCOME_FILE: &str = "outcome";

/// The file in the task's directory that names the watchdog's process.
pub const PID_FILE: &str = "pid";

/// The file in the task's directory that is touched while the watchdog is healthy.
pub const HEALTHY_FILE: &str = "healthy";

/// Lives the life of the task. Must be called by the main thread.
pub fn run(env: TaskEnv) -> Result<()> {
    lead_own_group()?;
    // Keeps a game that runs as the same user from reading the token in /proc.
    nix::sys::prctl::set_dumpable(false).context("hiding the environment")?;
    note_process(&env.task_dir)?;
    // A sign of health that was given by somebody before would let a game start.
    remove_sign(&env).context("removing an earlier sign of health")?;
    let outcome = env.task_dir.join(OUTCOME_FILE);
    let result = Task::new(env).and_then(Task::live);
    let words = result.as_ref().err().map_or(String::new(), |error| format!("{error:#}"));
    world_dir::write_durably(&outcome, words.as_bytes()).context("noting how the task ended")?;
    result
}

/// Leads a process group of its own, in a session of its own where that is possible: when the parent of a group dies while one of
/// its processes is stopped, as a game is that is being copied, the kernel ends a group of the parent's session by SIGHUP.
fn lead_own_group() -> Result<()> {
    if nix::unistd::getpgrp() != nix::unistd::Pid::this() {
        nix::unistd::setsid().context("making a session")?;
    }
    Ok(())
}

/// Notes which process this is. A launch has one watchdog in its life: Podman starts one that has ended again if it is still
/// about to start the game beside it, and the world may be somebody else's by then.
fn note_process(task_dir: &Path) -> Result<()> {
    let note = task_dir.join(PID_FILE);
    let has_run = note.try_exists().with_context(|| format!("looking for {}", note.display()))?;
    ensure!(!has_run, "this launch has had its watchdog: {} is there", note.display());
    let own = std::process::id().to_string();
    world_dir::write_durably(&note, own.as_bytes()).with_context(|| format!("writing {}", note.display()))
}

fn remove_sign(env: &TaskEnv) -> io::Result<()> {
    match fs::remove_file(env.task_dir.join(HEALTHY_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

struct Task {
    env: TaskEnv,
    game: Game,
    reporter: Reporter,
    control: Control,
    told_to_end: Arc<AtomicBool>,
    end_by: Option<Instant>,
    /// What tells whether the host stops the game's own container, if it can.
    host: Option<HostWatch>,
    /// Whether the game has ended because the host has told it to.
    ended_by_host: bool,
    was_ready: bool,
    /// When somebody was last on, or may have been.
    maybe_played: Option<Instant>,
    /// The archive that is being made while the game goes on.
    backup: Option<Backup>,
    /// The last one that was asked for.
    last_wish: Option<i64>,
    /// The game's console, and what is at hand there.
    operator: Operator,
    /// Whether the world turned out to be too large for that.
    is_too_large: bool,
    health: Health,
    /// When the sign of health was last given.
    touched: Cell<Option<Instant>>,
}

/// Whether the watchdog shows that it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Shown,
    Withheld,
}

/// Why the awake part is over.
enum Leave {
    /// Stop, for this reason, and archive.
    Stop(WhyRecord),
    /// Stop; the launch is not the current one, so nothing is uploaded.
    Abandon,
}

impl Task {
    fn new(env: TaskEnv) -> Result<Self> {
        let entry = games::Catalogue::read_file(&env.game_file)?;
        let game = entry.game.at_port(env.port).context("the game's ports do not fit at this port")?;
        let operator = Operator::new(Console::for_launch(&game).context("making a password")?);
        let told_to_end = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&told_to_end)).context("listening to signals")?;
        }
        let way = Way::to(&env.control_url, env.control_socket.as_deref());
        let control = Control::new(way, &env.control_url, &env.token);
        let task = env.task.clone().map_or_else(|| metadata::task(|name| std::env::var(name).ok()), Ok)?;
        let reporter = Reporter::start(control.clone(), first_report(&env, &task), env.report_every);
        let host = match env.game_start {
            GameStart::ByWatchdog => None,
            GameStart::ByContainer => {
                HostWatch::start(|name| std::env::var(name).ok(), Arc::clone(&told_to_end))
            }
        };
        Ok(Self {
            env,
            game,
            reporter,
            control,
            told_to_end,
            end_by: None,
            host,
            ended_by_host: false,
            was_ready: false,
            maybe_played: None,
            backup: None,
            last_wish: None,
            operator,
            is_too_large: false,
            health: Health::Withheld,
            touched: Cell::new(None),
        })
    }

    fn live(mut self) -> Result<()> {
        let result = self.start_and_stay();
        if let Err(error) = &result
            && !self.was_ready
        {
            let why = format!("{error:#}");
            tracing::error!("the start failed: {why}");
            self.reporter.update(|report| report.start_failed = Some(why));
            self.wait_for_the_end(LAST_WORD_LIMIT);
        }
        result
    }

    fn start_and_stay(&mut self) -> Result<()> {
        let Some(owned) = self.take_world()? else { return Ok(()) };
        let done = match self.start(&owned) {
            Ok(Some((mut game, senses))) => self.stay(&owned, &mut *game, senses),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        done.and(self.clear_if_told(&owned))
    }

    /// Brings the game up, watches it, and sees its end through.
    fn stay(&mut self, owned: &Owned, game: &mut dyn RunningGame, mut senses: Senses) -> Result<()> {
        let left = self.wait_until_ready(game, &mut senses).and_then(|leave| match leave {
            Some(leave) => Ok(leave),
            None => self.watch(owned, game, &mut senses),
        });
        let leave = match left {
            Ok(leave) => leave,
            // There is something to save.
            Err(error) if self.was_ready => {
                tracing::error!("{error:#}");
                Leave::Stop(WhyRecord::GameEnded { how: format!("it cannot be watched: {error:#}") })
            }
            Err(error) => {
                if let Err(why) = game.kill_all() {
                    tracing::error!("{why:#}");
                }
                return Err(error);
            }
        };
        if let Leave::Stop(why) = &leave {
            tracing::info!("stopping: {why:?}");
            let why = why.clone();
            self.reporter.update(|report| {
                report.seen = None;
                report.stopping = Some(why);
            });
        }
        self.drop_backup();
        let proof = self.stop(owned, game)?;
        tracing::info!("the game is gone: {proof:?}");
        match leave {
            Leave::Abandon => Ok(()),
            Leave::Stop(_) => {
                self.reporter.update(|report| report.saved = Some(ProofRecord::from(&proof)));
                self.archive(owned)
            }
        }
    }

    /// Waits until the game accepts players. Something else that comes first is returned.
    fn wait_until_ready(&mut self, game: &mut dyn RunningGame, senses: &mut Senses) -> Result<Option<Leave>> {
        let mut deadline = Instant::now() + self.game.ready.limit;
        loop {
            if let Some(ended) = game.ended()? {
                game.kill_all()?;
                if self.was_ended_by_host() {
                    return Ok(Some(Leave::Stop(WhyRecord::Reclaimed)));
                }
                bail!("{} ended before it was ready ({}){}", self.game.name, how(ended), game.last_words());
            }
            if !game.has_appeared() {
                deadline = Instant::now() + self.game.ready.limit;
            }
            if let Some(leave) = self.leaving() {
                return Ok(Some(leave));
            }
            if Instant::now() >= deadline {
                return Ok(Some(Leave::Stop(WhyRecord::NeverReady)));
            }
            if self.look(senses).listening == Listening::Yes && game.is_healthy()? {
                tracing::info!("ready");
                self.was_ready = true;
                self.reporter.update(|report| report.ready = true);
                return Ok(None);
            }
            self.tend(game);
            thread::sleep(GLANCE_EVERY);
        }
    }

    /// Looks, and remembers when somebody may have been on: what is unknown is not nobody.
    fn look(&mut self, senses: &mut Senses) -> Look {
        let look = senses.look();
        if look.players != Evidence::Empty {
            self.maybe_played = Some(Instant::now());
        }
        look
    }

    /// Does what has to be done now and then.
    fn tend(&self, game: &dyn RunningGame) {
        self.touch_healthy();
        if let Err(error) = game.tend() {
            tracing::warn!("{error:#}");
        }
    }

    /// Watches until it is time to leave.
    fn watch(&mut self, owned: &Owned, game: &mut dyn RunningGame, senses: &mut Senses) -> Result<Leave> {
        let (ready, mut watch, timers) = (Instant::now(), Watch::default(), self.env.timers);
        let mut attendance = Attendance::default();
        loop {
            let look = self.look(senses);
            let held = if self.reporter.is_kept() { Held::Yes } else { Held::No };
            let sample = Sample {
                at: ready.elapsed(),
                players: look.players.clone(),
                still_for: look.still_for,
                listening: look.listening,
                answering: look.answering,
                held,
            };
            let verdict = watch.sample(&sample, &timers);
            attendance.note(sample.at, &sample.players);
            self.recount(&attendance, senses);
            self.tell(&look, &verdict);
            self.operator.heed(warning(&verdict));
            match verdict {
                Verdict::Stop(why) if self.is_called_off(&why, senses) => {}
                Verdict::Stop(why) => return Ok(Leave::Stop(WhyRecord::from(&why))),
                Verdict::Keep | Verdict::Warn { .. } => {}
            }
            self.tend(game);
            let next = Instant::now() + SAMPLE_EVERY;
            while Instant::now() < next {
                if let Some(ended) = game.ended()? {
                    return Ok(Leave::Stop(if self.was_ended_by_host() {
                        WhyRecord::Reclaimed
                    } else {
                        WhyRecord::GameEnded { how: how(ended) }
                    }));
                }
                if let Some(leave) = self.leaving() {
                    return Ok(leave);
                }
                self.tend_backup(owned, game);
                senses.listen();
                thread::sleep(GLANCE_EVERY);
            }
        }
    }

    /// Tells with the next report who was on so far, and how that is known.
    fn recount(&self, attendance: &Attendance, senses: &Senses) {
        let (attendance, sources) = (AttendanceRecord::from(attendance), senses.sources());
        self.reporter.note(|report| {
            report.attendance = Some(attendance);
            report.sources = sources.iter().map(SightRecord::from).collect();
        });
    }

    /// Tells whether it is not to stop after all: somebody may just have asked to keep it awake, as people do when they are
    /// warned; or have come, or moved, while it was asked.
    fn is_called_off(&mut self, why: &StopWhy, senses: &mut Senses) -> bool {
        let is_kept = || self.reporter.ask(ASK_LIMIT) && self.reporter.is_kept();
        match why {
            StopWhy::NeverJoined | StopWhy::LastLeft => {
                is_kept() || self.look(senses).players != Evidence::Empty
            }
            StopWhy::AllAway => {
                is_kept()
                    || self.look(senses).still_for.is_none_or(|still_for| still_for < self.env.timers.afk)
            }
            StopWhy::Asked(_)
            | StopWhy::Cap
            | StopWhy::NeverReady
            | StopWhy::Deaf
            | StopWhy::Unresponsive
            | StopWhy::GameEnded(_)
            | StopWhy::Reclaimed => false,
        }
    }

    /// Reports a look: at once if who is on has changed or the warning came or went, with the next report otherwise.
    fn tell(&self, look: &Look, verdict: &Verdict) {
        let stops_in_s = match verdict {
            Verdict::Warn { left, .. } => Some(left.as_secs()),
            Verdict::Stop(_) => Some(0),
            Verdict::Keep => None,
        };
        let seen = SeenRecord { players: (&look.players).into(), stops_in_s };
        let is_news = |before: &Option<SeenRecord>| {
            before
                .as_ref()
                .is_none_or(|b| b.players != seen.players || b.stops_in_s.is_some() != stops_in_s.is_some())
        };
        let mut news = false;
        self.reporter.note(|report| news = is_news(&report.seen));
        if news {
            tracing::info!("{}", look.players);
            self.reporter.update(|report| report.seen = Some(seen));
        } else {
            self.reporter.note(|report| report.seen = Some(seen));
        }
    }

    /// Stops the game and judges its save.
    fn stop(&mut self, owned: &Owned, game: &mut dyn RunningGame) -> Result<Proof> {
        self.withhold_health();
        // A full disk must not keep the game from being stopped; it keeps the save from being proven.
        let now = save::file_clock(&self.env.world_dir.join(".dormouse/stopped"))
            .inspect_err(|error| tracing::warn!("the world's disk does not tell the time: {error}"))
            .ok();
        let teller = self.teller();
        let stop_began = now.and_then(|now| now.checked_sub(self.told_since(teller)?));
        let last_played = self.maybe_played.map(|at| now.unwrap_or_else(SystemTime::now) - at.elapsed());
        let crashed = game.ended()?.filter(|_| !self.ended_by_host);
        let deadline = Instant::now() + self.game.stop.grace;
        if crashed.is_none() && self.was_ready && teller == Teller::Watchdog {
            self.save_at_console(game, deadline);
        }
        let end = game.stop(teller, &mut || {
            self.heed_signal();
            Instant::now() >= self.end_by.map_or(deadline, |by| by.min(deadline))
        })?;
        if let Some(ended) = crashed {
            return Ok(Proof::Missing(format!("the game ended by itself ({})", how(ended))));
        }
        Ok(match save::newest(&owned.files, &self.game.save.paths) {
            Ok(newest_save) => save::prove(end, save::Facts { stop_began, last_played, newest_save }),
            Err(error) => Proof::Missing(format!("its save files cannot be looked at: {error}")),
        })
    }

    /// Returns who tells the game to stop: the host, if it stops the game's container itself.
    fn teller(&self) -> Teller {
        let by_host = self.ended_by_host || self.host.as_ref().is_some_and(HostWatch::stops);
        if by_host { Teller::Host } else { Teller::Watchdog }
    }

    /// Returns how long ago the game may have been told to stop; nothing if that is not known.
    fn told_since(&self, teller: Teller) -> Option<Duration> {
        match (teller, &self.host) {
            (Teller::Watchdog, _) => Some(Duration::ZERO),
            (Teller::Host, host) => Some(host.as_ref()?.stops_since()?.elapsed()),
        }
    }

    /// Tells whether the game, which has ended, was told to by the host: then the watchdog hears of it in a moment.
    fn was_ended_by_host(&mut self) -> bool {
        match self.env.game_start {
            GameStart::ByWatchdog => return false,
            GameStart::ByContainer => {}
        }
        let deadline = Instant::now() + HOST_WORD_LIMIT;
        loop {
            self.heed_signal();
            self.ended_by_host = self.end_by.is_some();
            if self.ended_by_host || Instant::now() >= deadline {
                return self.ended_by_host;
            }
            thread::sleep(GLANCE_EVERY);
        }
    }

    /// Waits until the control plane has taken note that nothing more will come.
    fn wait_for_the_end(&mut self, limit: Duration) {
        self.reporter.hurry();
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline
            && !matches!(self.reporter.orders(), Some(OrdersRecord::End { .. } | OrdersRecord::Abandon))
        {
            thread::sleep(GLANCE_EVERY);
        }
    }

    /// Returns why the task should leave, if the host or the control plane wants it to.
    fn leaving(&mut self) -> Option<Leave> {
        self.heed_signal();
        match self.reporter.orders() {
            Some(OrdersRecord::Stop | OrdersRecord::End { .. }) => Some(Leave::Stop(WhyRecord::Told)),
            Some(OrdersRecord::Abandon) => Some(Leave::Abandon),
            Some(OrdersRecord::Run { .. } | OrdersRecord::Fill | OrdersRecord::UploadAgain { .. }) | None => {
                self.end_by.map(|_| Leave::Stop(WhyRecord::Reclaimed))
            }
        }
    }

    /// Notes the time of the first SIGTERM: from then on everything has to be over within [`TERM_LIMIT`].
    fn heed_signal(&mut self) {
        if self.end_by.is_none() && self.told_to_end.load(Ordering::Relaxed) {
            tracing::info!("told to end: {} s left", TERM_LIMIT.as_secs());
            self.end_by = Some(Instant::now() + TERM_LIMIT);
        }
    }

    fn check_time(&mut self) -> Result<()> {
        self.heed_signal();
        match self.end_by {
            Some(by) if Instant::now() >= by => bail!("{NO_MORE_TIME}"),
            Some(_) | None => Ok(()),
        }
    }

    /// Shows that the watchdog is well from now on.
    fn show_health(&mut self) {
        self.health = Health::Shown;
        self.touch_healthy();
    }

    /// Takes the sign of health back where a game would still start because of it.
    fn withhold_health(&mut self) {
        match self.env.game_start {
            GameStart::ByWatchdog => return,
            GameStart::ByContainer => self.health = Health::Withheld,
        }
        if let Err(error) = remove_sign(&self.env) {
            tracing::warn!("the sign of health cannot be taken back: {error}");
        }
    }

    /// Gives the sign of health again, if it is to be shown. A disk that does not take it is no reason to stop a game.
    fn touch_healthy(&self) {
        match self.health {
            Health::Shown => {}
            Health::Withheld => return,
        }
        // Asked for between any two reads of a file.
        if self.touched.get().is_some_and(|at| at.elapsed() < GLANCE_EVERY) {
            return;
        }
        self.touched.set(Some(Instant::now()));
        if let Err(error) = fs::write(self.env.task_dir.join(HEALTHY_FILE), b"") {
            tracing::warn!("the sign of health cannot be written: {error}");
        }
    }
}

fn first_report(env: &TaskEnv, task: &TaskId) -> Report {
    Report {
        v: VERSION,
        world: env.world.to_string(),
        generation: env.generation.0,
        task: task.to_string(),
        port: env.port,
        claimed: false,
        ready: false,
        start_failed: None,
        seen: None,
        stopping: None,
        saved: None,
        uploaded: None,
        archive_failed: None,
        unchanged: None,
        backup: None,
        filled: None,
        fill_failed: None,
        attendance: None,
        sources: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_has_one_watchdog_in_its_life() {
        let dir = tempfile::tempdir().unwrap();
        note_process(dir.path()).unwrap();
        let own = std::process::id().to_string();
        assert_eq!(fs::read_to_string(dir.path().join(PID_FILE)).unwrap(), own);
        let error = note_process(dir.path()).unwrap_err().to_string();
        let place = dir.path().display();
        assert_eq!(error, format!("this launch has had its watchdog: {place}/pid is there"));
    }
}
