//! The life of one task, from the lock to the archive.
//!
//! ```text
//! take the world's directory ─► healthy ─► bootstrap, start ─► ready ─► watch ─► stop, prove ─► archive, upload ─► end
//! ```
//!
//! It decides nothing about idleness (that is [`domain::idle`]) and believes nothing about the archive until the control
//! plane has found it whole. A control plane that cannot be reached keeps it from starting the game and from uploading, and
//! from nothing in between.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use adapters::{
    report::{OrdersRecord, ProofRecord, Report, SeenRecord, VERSION, WhyRecord},
    task_env::TaskEnv,
};
use anyhow::{Context, Result, bail};
use domain::{
    game::Game,
    idle::{Evidence, Held, Listening, Sample, Verdict, Watch},
    world::{Proof, StopWhy, TaskId},
};

use crate::{
    console::Console,
    control::{Control, Reporter},
    game::{RunningGame, Stage, how},
    judge::Begun,
    metadata, save,
    senses::{Look, Senses},
    world_dir::{self, Owned, TakeError},
};

mod keeping;

mod filling;

mod backup;

mod operator;

use self::{
    backup::Backup,
    operator::{Operator, warning},
};

/// How long to wait for another task of the same world to let go of its directory: what ECS gives a task to end, and
/// some seconds.
const LOCK_LIMIT: Duration = Duration::from_secs(150);

/// How much of the 120 s between SIGTERM and SIGKILL is used.
const TERM_LIMIT: Duration = Duration::from_secs(110);

/// How long the control plane may take to note that the world is owned. It gives a launch up before that.
const HEARD_LIMIT: Duration = Duration::from_secs(10 * 60);

/// How long an idle world waits for a last word of the control plane before it begins to stop.
const ASK_LIMIT: Duration = Duration::from_secs(3);

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
    world_dir::write_durably(&env.task_dir.join(PID_FILE), std::process::id().to_string().as_bytes())?;
    let outcome = env.task_dir.join(OUTCOME_FILE);
    let result = Task::new(env).and_then(Task::live);
    let words = result.as_ref().err().map_or(String::new(), |error| format!("{error:#}"));
    world_dir::write_durably(&outcome, words.as_bytes()).context("noting how the task ended")?;
    result
}

fn lead_own_group() -> Result<()> {
    let own = nix::unistd::Pid::this();
    if nix::unistd::getpgrp() != own {
        nix::unistd::setpgid(own, own).context("making a process group")?;
    }
    Ok(())
}

struct Task {
    env: TaskEnv,
    game: Game,
    reporter: Reporter,
    control: Control,
    told_to_end: Arc<AtomicBool>,
    end_by: Option<Instant>,
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
    /// When the sign of health was last given.
    touched: Cell<Option<Instant>>,
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
        let control = Control::new(&env.control_url, &env.token);
        let task = env.task.clone().map_or_else(|| metadata::task(|name| std::env::var(name).ok()), Ok)?;
        let reporter = Reporter::start(control.clone(), first_report(&env, &task), env.report_every);
        Ok(Self {
            env,
            game,
            reporter,
            control,
            told_to_end,
            end_by: None,
            was_ready: false,
            maybe_played: None,
            backup: None,
            last_wish: None,
            operator,
            is_too_large: false,
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
            Ok(Some((stage, mut game, senses))) => self.stay(&owned, &stage, &mut game, senses),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        done.and(self.clear_if_told(&owned))
    }

    /// Starts the game on the world; nothing if the launch was called off first, or is an errand.
    fn start(&mut self, owned: &Owned) -> Result<Option<(Stage, RunningGame, Senses)>> {
        self.reporter.update(|report| report.claimed = true);
        self.touch_healthy();
        let stage = Stage {
            game: self.game.clone(),
            files: owned.files.clone(),
            log: self.env.task_dir.join("game.log"),
            user: self.env.game_user,
            console: self.operator.console().cloned(),
        };
        // Once the game runs there is something to lose, so the claim has to be on record first.
        if let Some(leave) = self.prepare(owned)? {
            return self.leave_unplayed(owned, leave);
        }
        hand_over(&owned.files, self.env.game_user)?;
        let mut senses = Senses::open(&self.game, Begun::BeforeTheGame);
        tracing::info!("sources: {}", senses.describe());
        senses.look();
        stage.bootstrap(Some(&owned.lock), &mut || self.leaving().is_some())?;
        if let Some(leave) = self.leaving() {
            return self.leave_unplayed(owned, leave);
        }
        let game = stage.start(&owned.lock)?;
        tracing::info!("{} started as process {}", self.game.name, game.pid());
        Ok(Some((stage, game, senses)))
    }

    /// Waits until the control plane knows that the world is owned, and fills its directory if that is wanted. Something
    /// else that comes first is returned.
    fn prepare(&mut self, owned: &Owned) -> Result<Option<Leave>> {
        loop {
            if let Some(leave) = self.wait_until_heard()? {
                return Ok(Some(leave));
            }
            if self.reporter.orders() != Some(OrdersRecord::Fill) {
                return Ok(None);
            }
            self.fill(owned)?;
        }
    }

    /// Waits until the control plane has answered to what was said so far, or wants something else.
    fn wait_until_heard(&mut self) -> Result<Option<Leave>> {
        let deadline = Instant::now() + HEARD_LIMIT;
        while !self.reporter.is_heard() {
            if Instant::now() >= deadline {
                bail!("the control plane at {} does not answer", self.env.control_url);
            }
            if let Some(leave) = self.leaving() {
                return Ok(Some(leave));
            }
            self.touch_healthy();
            thread::sleep(GLANCE_EVERY / 10);
        }
        Ok(self.leaving())
    }

    /// Ends a launch in which the game never ran: what is there is what was there.
    fn leave_unplayed<T>(&mut self, owned: &Owned, leave: Leave) -> Result<Option<T>> {
        match leave {
            // Whether there is anything in the directory is not known, or known not to be so.
            Leave::Stop(_) if matches!(self.reporter.orders(), Some(OrdersRecord::Fill) | None) => {
                bail!("the host ended the task before the world was there");
            }
            Leave::Stop(_) if matches!(self.reporter.orders(), Some(OrdersRecord::End { .. })) => {}
            Leave::Abandon => {}
            Leave::Stop(why) => {
                self.reporter.update(|report| {
                    report.stopping = Some(why);
                    report.saved = Some(ProofRecord::Untouched);
                });
                self.archive(owned)?;
                // An errand goes on from there.
                if let Some(OrdersRecord::Fill) = self.reporter.orders() {
                    self.fill(owned)?;
                    self.wait_until_heard()?;
                    self.wait_for_the_end(LAST_WORD_LIMIT);
                }
            }
        }
        Ok(None)
    }

    fn take_world(&mut self) -> Result<Option<Owned>> {
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match world_dir::take(&self.env.world_dir, &self.env.world, self.env.directory) {
                Ok(owned) => return Ok(Some(owned)),
                Err(TakeError::InUse(_)) if Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
            if self.leaving().is_some() {
                return Ok(None);
            }
            thread::sleep(GLANCE_EVERY);
        }
    }

    /// Brings the game up, watches it, and sees its end through.
    fn stay(
        &mut self,
        owned: &Owned,
        stage: &Stage,
        game: &mut RunningGame,
        mut senses: Senses,
    ) -> Result<()> {
        let leave = match self.wait_until_ready(stage, game, &mut senses)? {
            Some(leave) => leave,
            None => self.watch(owned, stage, game, &mut senses)?,
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
        let proof = self.stop(stage, game)?;
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
    fn wait_until_ready(
        &mut self,
        stage: &Stage,
        game: &mut RunningGame,
        senses: &mut Senses,
    ) -> Result<Option<Leave>> {
        let deadline = Instant::now() + self.game.ready.limit;
        loop {
            if let Some(status) = game.ended()? {
                game.kill_all()?;
                bail!("{} ended before it was ready ({}){}", self.game.name, how(status), stage.last_words());
            }
            if let Some(leave) = self.leaving() {
                return Ok(Some(leave));
            }
            if Instant::now() >= deadline {
                return Ok(Some(Leave::Stop(WhyRecord::NeverReady)));
            }
            if self.look(senses).listening == Listening::Yes && stage.is_healthy()? {
                tracing::info!("ready");
                self.was_ready = true;
                self.reporter.update(|report| report.ready = true);
                return Ok(None);
            }
            self.tend(stage);
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
    fn tend(&self, stage: &Stage) {
        self.touch_healthy();
        if let Err(error) = stage.trim_log() {
            tracing::warn!("{error:#}");
        }
    }

    /// Watches until it is time to leave.
    fn watch(
        &mut self,
        owned: &Owned,
        stage: &Stage,
        game: &mut RunningGame,
        senses: &mut Senses,
    ) -> Result<Leave> {
        let (ready, mut watch, timers) = (Instant::now(), Watch::default(), self.env.timers);
        loop {
            let look = self.look(senses);
            let held = if self.reporter.is_kept() { Held::Yes } else { Held::No };
            let sample = Sample {
                at: ready.elapsed(),
                players: look.players.clone(),
                listening: look.listening,
                held,
            };
            let verdict = watch.sample(&sample, &timers);
            self.tell(&look, &verdict);
            self.operator.heed(warning(&sample, &verdict));
            match verdict {
                // Somebody may just have asked to keep it awake, as people do when they are warned.
                Verdict::Stop(StopWhy::LastLeft | StopWhy::NeverJoined)
                    if self.reporter.ask(ASK_LIMIT) && self.reporter.is_kept() => {}
                Verdict::Stop(why) => return Ok(Leave::Stop(WhyRecord::from(&why))),
                Verdict::Keep | Verdict::Warn { .. } => {}
            }
            self.tend(stage);
            let next = Instant::now() + SAMPLE_EVERY;
            while Instant::now() < next {
                if let Some(status) = game.ended()? {
                    return Ok(Leave::Stop(WhyRecord::GameEnded { how: how(status) }));
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

    /// Reports a look: at once if who is on has changed or the warning came or went, with the next report otherwise.
    fn tell(&self, look: &Look, verdict: &Verdict) {
        let stops_in_s = match verdict {
            Verdict::Warn { left } => Some(left.as_secs()),
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
    fn stop(&mut self, stage: &Stage, game: &mut RunningGame) -> Result<Proof> {
        // A full disk must not keep the game from being stopped; it keeps the save from being proven.
        let stop_began = save::file_clock(&self.env.world_dir.join(".dormouse/stopped"))
            .inspect_err(|error| tracing::warn!("the world's disk does not tell the time: {error}"))
            .ok();
        let last_played =
            self.maybe_played.map(|at| stop_began.unwrap_or_else(SystemTime::now) - at.elapsed());
        let crashed = game.ended()?;
        let deadline = Instant::now() + self.game.stop.grace;
        if crashed.is_none() && self.was_ready {
            self.save_at_console(game, deadline);
        }
        let end = game.stop(stage, || {
            self.heed_signal();
            Instant::now() >= self.end_by.map_or(deadline, |by| by.min(deadline))
        })?;
        if let Some(status) = crashed {
            return Ok(Proof::Missing(format!("the game ended by itself ({})", how(status))));
        }
        Ok(match save::newest(&stage.files, &self.game.save.paths) {
            Ok(newest_save) => save::prove(end, save::Facts { stop_began, last_played, newest_save }),
            Err(error) => Proof::Missing(format!("its save files cannot be looked at: {error}")),
        })
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

    /// Shows that the watchdog is well. A disk that does not take the sign is no reason to stop a game.
    fn touch_healthy(&self) {
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
    }
}

/// Gives the world's files to the user that the game runs as. Links are changed themselves, never what they point to.
fn hand_over(files: &Path, user: Option<(u32, u32)>) -> Result<()> {
    let Some((user, group)) = user else { return Ok(()) };
    let mut todo = vec![files.to_owned()];
    while let Some(path) = todo.pop() {
        let found = fs::symlink_metadata(&path)?;
        if (found.uid(), found.gid()) != (user, group) {
            std::os::unix::fs::lchown(&path, Some(user), Some(group))
                .with_context(|| format!("giving {} to the game's user", path.display()))?;
        }
        if found.is_dir() {
            for entry in fs::read_dir(&path)? {
                todo.push(entry?.path());
            }
        }
    }
    Ok(())
}
