//! SIGKILL at any system call of what changes a world's directory, or reads it: the world that was there or the new one is
//! found whole, and the next run succeeds.
//!
//! Another process does it, traced by this one, which counts the calls of the thread that does the work, and kills the
//! process before or after the nth. `n` goes evenly through all of them, and depends on the round alone. `DORMOUSE_ROUNDS` says how many rounds there are, for
//! each test and each size of world.

#[path = "harm/planted.rs"]
mod planted;

use std::{
    env,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::{
        ptrace,
        signal::{Signal, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use watchdog::unpack::{Limits, unpack};

use planted::{FEW, Random, clear, fill, look, pack, plant, print};

/// How many rounds there are if nothing is said.
const ROUNDS: usize = 12;

/// The most processes that are killed one after the other before anybody looks.
const MOST_KILLS: usize = 3;

/// How many small files the larger world has.
const MANY: usize = 60;

#[test]
fn killed_while_it_is_filled_a_world_is_the_old_one_or_the_new_one() {
    harm("killed_while_it_is_filled_a_world_is_the_old_one_or_the_new_one", Work::Fill).unwrap();
}

#[test]
fn killed_while_it_is_emptied_a_world_is_whole_or_empty() {
    harm("killed_while_it_is_emptied_a_world_is_whole_or_empty", Work::Clear).unwrap();
}

#[test]
fn killed_while_it_is_archived_a_world_stays_and_what_was_written_is_no_archive() {
    harm("killed_while_it_is_archived_a_world_stays_and_what_was_written_is_no_archive", Work::Archive)
        .unwrap();
}

/// What the other process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Fill,
    Clear,
    Archive,
}

/// Names the place of it all, for the process that is killed.
const PLACE: &str = "HARM_PLACE";

/// Names the archive that it fills the world from.
const FROM: &str = "HARM_FROM";

/// Does harm, or is that other process.
fn harm(test: &'static str, work: Work) -> Result<()> {
    if let (Some(place), Some(from)) = (env::var_os(PLACE), env::var_os(FROM)) {
        ptrace::traceme().context("being traced")?;
        raise(Signal::SIGSTOP)?;
        return work.run(Path::new(&place), Path::new(&from));
    }
    let _alone = alone();
    let rounds = match env::var("DORMOUSE_ROUNDS") {
        Ok(rounds) => rounds.parse().context("DORMOUSE_ROUNDS")?,
        Err(_) => ROUNDS,
    };
    for small in [FEW, MANY] {
        let place = tempfile::tempdir()?;
        let figures = Lab::new(place.path(), test, work, small)?.go(rounds)?;
        println!("{work:?}, {small} small files, {rounds} rounds: {figures:?}");
    }
    Ok(())
}

/// One test at a time: a process that another thread is about to start holds for a moment the lock of a world, too; and
/// whoever waits for a thread that is traced waits for any child.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work {
    fn run(self, place: &Path, from: &Path) -> Result<()> {
        match self {
            Self::Fill => fill(&place.join("world"), from),
            Self::Clear => clear(&place.join("world")),
            Self::Archive => {
                let owned = planted::take(&place.join("world"))?;
                pack(&owned.files, place, File::create(place.join("out.zip"))?).map(drop)
            }
        }
    }
}

/// What came of all rounds.
#[derive(Debug, Default)]
struct Figures {
    /// How many stops a run has that nobody disturbs: one before and one after each call.
    stops: usize,
    killed: usize,
    came_to_their_end: usize,
    found_old: usize,
    found_new: usize,
    /// After how many kills the world was without its own name, or two of them were there.
    found_in_between: usize,
}

/// Where it happens.
struct Lab {
    place: PathBuf,
    test: &'static str,
    work: Work,
    /// Two worlds: archive and print of either. The first is in place.
    worlds: [(PathBuf, String); 2],
    empty: String,
}

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is killed; this is the thread that did the work.
    Killed(Pid),
    /// It came to its end after so many stops.
    Itself(usize),
}

impl Lab {
    fn new(place: &Path, test: &'static str, work: Work, small: usize) -> Result<Self> {
        let world = |name: &str| -> Result<(PathBuf, String)> {
            let (files, zip) = (place.join(name).join("files"), place.join(name).join("archive.zip"));
            plant(&files, name, small)?;
            pack(&files, place, File::create(&zip)?)?;
            Ok((zip, print(&files)?))
        };
        let worlds = [world("valhalla")?, world("midgard")?];
        let empty = place.join("nothing/files");
        fs::create_dir_all(&empty)?;
        fs::create_dir(place.join("world"))?;
        let lab = Self { place: place.to_owned(), test, work, worlds, empty: print(&empty)? };
        lab.put_in_place()?;
        Ok(lab)
    }

    /// Makes the world the first one.
    fn put_in_place(&self) -> Result<()> {
        let (zip, print) = &self.worlds[0];
        fill(&self.place.join("world"), zip)?;
        ensure!(look(&self.place.join("world"))? == *print, "what was unpacked is not what was packed");
        Ok(())
    }

    fn go(mut self, rounds: usize) -> Result<Figures> {
        let End::Itself(stops) = self.run(usize::MAX)? else { bail!("it was killed by nobody") };
        self.finish().context("undisturbed")?;
        let mut figures = Figures { stops, ..Figures::default() };
        for round in 0..rounds {
            self.round(round, rounds, &mut figures).with_context(|| format!("round {round} of {rounds}"))?;
        }
        Ok(figures)
    }

    fn round(&mut self, round: usize, rounds: usize, figures: &mut Figures) -> Result<()> {
        let mut random = Random(round as u64);
        // One stop of each share; those that come again, anywhere.
        let share = figures.stops as f64 / rounds as f64;
        let mut at = (round as f64 * share) as usize + random.below(share.ceil() as usize);
        let mut ats = Vec::new();
        for _ in 0..=random.below(MOST_KILLS) {
            ats.push(at);
            match self.run(at).with_context(|| format!("killed at {ats:?}"))? {
                End::Killed(_) => figures.killed += 1,
                End::Itself(_) => figures.came_to_their_end += 1,
            }
            let own = |name: &str| self.place.join("world").join(name).exists();
            figures.found_in_between += usize::from(!own("files") || own(".dormouse/old"));
            at = random.below(figures.stops);
        }
        let context = || format!("killed at {ats:?}");
        let is_new = self.look().with_context(context)?;
        *(if is_new { &mut figures.found_new } else { &mut figures.found_old }) += 1;
        self.work.run(&self.place, &self.worlds[1].0).with_context(context)?;
        self.finish().with_context(context)
    }

    /// Looks at what is left; tells whether that is the new world.
    fn look(&self) -> Result<bool> {
        let (found, old) = (look(&self.place.join("world"))?, &self.worlds[0].1);
        let new = match self.work {
            Work::Fill => &self.worlds[1].1,
            Work::Clear => &self.empty,
            Work::Archive => {
                ensure!(found == *old, "the world is not what it was");
                return self.is_archived();
            }
        };
        ensure!(found == *old || found == *new, "the world is neither the old one nor the new one");
        Ok(found == *new)
    }

    /// Tells whether there is an archive. It is what it would have become, or none.
    fn is_archived(&self) -> Result<bool> {
        let Ok(written) = fs::read(self.place.join("out.zip")) else { return Ok(false) };
        let whole = fs::read(&self.worlds[0].0)?;
        ensure!(whole.starts_with(&written), "what was written is not how the archive begins");
        let to = tempfile::tempdir_in(&self.place)?;
        let unpacked = unpack(
            &File::open(self.place.join("out.zip"))?,
            to.path(),
            &Limits::restore(1 << 30),
            &mut || Ok(()),
        );
        ensure!(unpacked.is_ok() == (whole == written), "a part of an archive passed for one: {unpacked:?}");
        Ok(unpacked.is_ok())
    }

    /// Expects that the work is done, and prepares the next round.
    fn finish(&mut self) -> Result<()> {
        ensure!(self.look()?, "the next run did not do it");
        match self.work {
            Work::Fill => self.worlds.swap(0, 1),
            Work::Clear => self.put_in_place()?,
            Work::Archive => fs::remove_file(self.place.join("out.zip"))?,
        }
        Ok(())
    }

    /// Has another process do the work, and kills it at its stop number `at`, if it comes so far.
    fn run(&self, at: usize) -> Result<End> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", self.test]).env(PLACE, &self.place).env(FROM, &self.worlds[1].0);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let end = trace(at)?;
        if let End::Killed(thread) = end {
            child.kill()?;
            // The process is there until the thread was waited for.
            waitpid(thread, Some(WaitPidFlag::__WALL))?;
        }
        let status = child.wait()?;
        let as_told = match end {
            End::Killed(_) => status.signal() == Some(Signal::SIGKILL as i32),
            End::Itself(_) => status.success(),
        };
        ensure!(as_told, "it came to another end: {status}");
        Ok(end)
    }
}

/// Lets the thread that does the work, of the only child that there is, go on until its stop number `at`.
fn trace(at: usize) -> Result<End> {
    let all = Some(WaitPidFlag::__WALL);
    let begun = waitpid(None, all)?;
    let WaitStatus::Stopped(thread, Signal::SIGSTOP) = begun else { bail!("it is not traced: {begun:?}") };
    ptrace::setoptions(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL)?;
    let (mut stops, mut signal) = (0, None);
    while stops < at {
        ptrace::syscall(thread, signal.take())?;
        match waitpid(thread, all)? {
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(..) => return Ok(End::Itself(stops)),
            end @ (WaitStatus::Signaled(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive) => bail!("it came to a bad end: {end:?}"),
        }
    }
    Ok(End::Killed(thread))
}
