//! A game that the watchdog starts itself: preparing, starting, asking for health, stopping, and knowing that every one of
//! its processes is gone.
//!
//! The game never gets the watchdog's environment, which holds the launch's token. It runs in the watchdog's process
//! group, so that one signal to the group reaches all that is left of a task, and inherits the world's lock. When the
//! watchdog is killed, the kernel sends the game its stop signal.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use adapters::task_env::game_vars;
use anyhow::{Context, Result, bail};
use command_fds::{CommandFdExt, FdMapping};
use domain::game::{Game, Scripts};
use nix::{
    sys::signal::{self, Signal as UnixSignal},
    unistd::Pid,
};

use crate::{
    console::Console,
    game::{End, Ended, Frozen, RunningGame, Teller, how, is_gone, unix},
    settings::Settings,
};

/// How long a bootstrap script may take: installing a game is not its work.
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How long one health check may take.
const HEALTHCHECK_LIMIT: Duration = Duration::from_secs(10);

/// After this many bytes the game's log is begun anew; the part before is kept once.
const LONGEST_LOG: u64 = 16 * 1024 * 1024;

/// The descriptor under which the game holds the world's lock: the first after those of its own.
const LOCK_FD: i32 = 3;

/// What a game's scripts run in.
pub struct Stage {
    /// The game.
    pub game: Game,
    /// The world's files.
    pub files: PathBuf,
    /// Where the game's output goes.
    pub log: PathBuf,
    /// The user and group to run as.
    pub user: Option<(u32, u32)>,
    /// The console that the scripts are to open, if the game has one.
    pub console: Option<Console>,
    /// What people chose for the game.
    pub settings: Settings,
}

impl Stage {
    /// Runs the bootstrap script; the reason of a failure is its last line. It may write to the world, so it inherits
    /// `lock` as the game does. `is_over` is asked again and again; when it says so the script is killed, which is no
    /// failure.
    pub fn bootstrap(&self, lock: Option<&File>, is_over: &mut dyn FnMut() -> bool) -> Result<()> {
        let Some(script) = &self.scripts()?.bootstrap else { return Ok(()) };
        let before = fs::metadata(&self.log).map_or(0, |m| m.len());
        let mut command = self.command(script)?;
        lock.map(|lock| hand_on(&mut command, lock)).transpose()?;
        end_with_parent(&mut command, UnixSignal::SIGKILL);
        let child = command.spawn().context("starting the bootstrap script")?;
        match wait_or_kill(child, BOOTSTRAP_LIMIT, is_over)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                let why = self.last_line(before);
                let ended = how(Ended::With(status));
                let why = why.unwrap_or_else(|| format!("its bootstrap script ended with {ended}"));
                bail!("{} cannot start here: {why}", self.game.name)
            }
            None if is_over() => Ok(()),
            None => bail!("the bootstrap script of {} took longer than 5 minutes", self.game.name),
        }
    }

    /// Starts the server, which inherits `lock`. Must be called by the watchdog's main thread, whose end is the
    /// watchdog's: the kernel sends the stop signal when the thread that started the game is gone.
    pub fn start(self, lock: &File) -> Result<Spawned> {
        let signal = unix(self.game.stop.signal);
        let mut command = self.command(&self.scripts()?.start)?;
        hand_on(&mut command, lock)?;
        end_with_parent(&mut command, signal);
        let child = command.spawn().with_context(|| format!("starting {}", self.game.name))?;
        Ok(Spawned { stage: self, child, signal, ended: None })
    }

    /// Tells whether the health check, if there is one, succeeds.
    fn is_healthy(&self) -> Result<bool> {
        let Some(script) = &self.scripts()?.healthcheck else { return Ok(true) };
        let child = self.command(script)?.spawn().context("starting the health check")?;
        let status = wait_or_kill(child, HEALTHCHECK_LIMIT, &mut || false)?;
        Ok(status.is_some_and(|status| status.success()))
    }

    /// Keeps the game's log from filling the disk.
    fn trim_log(&self) -> Result<()> {
        if fs::metadata(&self.log).map_or(0, |m| m.len()) < LONGEST_LOG {
            return Ok(());
        }
        fs::copy(&self.log, self.log.with_extension("log.1"))
            .context("keeping the older part of the game's log")?;
        OpenOptions::new().write(true).open(&self.log)?.set_len(0).context("beginning the game's log anew")
    }

    fn scripts(&self) -> Result<&Scripts> {
        let missing =
            || format!("{} has no [process] table, so it cannot run as plain processes", self.game.name);
        self.game.scripts.as_ref().with_context(missing)
    }

    /// Returns a command for `script` that sees nothing of the watchdog but the world.
    fn command(&self, script: &str) -> Result<Command> {
        let log =
            || OpenOptions::new().create(true).append(true).open(&self.log).context("opening the game's log");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-eu", "-c", script])
            .env_clear()
            .envs(self.variables())
            .current_dir(&self.files)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        Ok(command)
    }

    fn variables(&self) -> Vec<(String, String)> {
        let files = self.files.to_string_lossy().into_owned();
        let mut all: Vec<_> = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/games:/usr/games",
            ),
            ("LANG", "C.UTF-8"),
            ("HOME", &files),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.extend(game_vars(&self.game, &self.files));
        all.extend(self.console.iter().flat_map(Console::variables));
        all.extend(self.settings.variables());
        all
    }

    /// Returns the last line of the game's log, as the end of a sentence.
    fn last_words(&self) -> String {
        self.last_line(0).map_or(String::new(), |line| format!("; it said: {line}"))
    }

    /// Returns the last line that was logged after `before` bytes.
    fn last_line(&self, before: u64) -> Option<String> {
        const ENOUGH: u64 = 4096;
        let mut bytes = Vec::new();
        let mut log = File::open(&self.log).ok()?;
        let length = log.metadata().ok()?.len();
        log.seek(SeekFrom::Start(before.max(length.saturating_sub(ENOUGH)))).ok()?;
        log.take(ENOUGH).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    }
}

/// Lets the child hold the world's lock too.
fn hand_on(command: &mut Command, lock: &File) -> Result<()> {
    let lock: OwnedFd = lock.try_clone().context("passing on the world's lock")?.into();
    command.fd_mappings(vec![FdMapping { parent_fd: lock, child_fd: LOCK_FD }])?;
    Ok(())
}

/// Lets the kernel send `signal` to the child when the thread that starts it ends.
#[expect(
    unsafe_code,
    reason = "the kernel's parent-death signal can only be asked for between fork and exec"
)]
fn end_with_parent(command: &mut Command, signal: UnixSignal) {
    let parent = Pid::this();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(signal)?;
        // The parent may have ended before it was asked for.
        if Pid::parent() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: the closure makes two system calls and allocates nothing, so it is safe between fork and exec.
    unsafe { command.pre_exec(ask) };
}

/// A server that was started.
pub struct Spawned {
    stage: Stage,
    child: Child,
    signal: UnixSignal,
    ended: Option<ExitStatus>,
}

impl Spawned {
    /// Returns the server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs the stop script, or sends the signal. The game must not stay because its script is broken, cannot be run or
    /// hangs: then it gets the signal, with half of its grace left.
    fn tell_to_stop(&mut self, is_over: &mut dyn FnMut() -> bool) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        let stage = &self.stage;
        let Some(script) = &stage.scripts()?.stop else { return self.signal(self.signal) };
        let mut run = || -> Result<bool> {
            let mut command = stage.command(script)?;
            command.env("GAME_PID", self.pid().to_string());
            let child = command.spawn().context("starting the stop script")?;
            Ok(wait_or_kill(child, stage.game.stop.grace / 2, is_over)?
                .is_some_and(|status| status.success()))
        };
        match run() {
            Ok(true) => Ok(()),
            Ok(false) => self.signal(self.signal),
            Err(error) => {
                tracing::warn!("{error:#}");
                self.signal(self.signal)
            }
        }
    }

    fn signal(&self, signal: UnixSignal) -> Result<()> {
        match signal::kill(pid(self.pid()), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("sending {signal} to the game")),
        }
    }
}

impl RunningGame for Spawned {
    fn has_appeared(&self) -> bool {
        true
    }

    fn ended(&mut self) -> Result<Option<Ended>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("asking for the game's process")?;
        }
        Ok(self.ended.map(Ended::With))
    }

    fn is_healthy(&self) -> Result<bool> {
        self.stage.is_healthy()
    }

    fn tend(&self) -> Result<()> {
        self.stage.trim_log()
    }

    fn last_words(&self) -> String {
        self.stage.last_words()
    }

    /// The host's signal does not reach the game: it is told in any case.
    fn stop(&mut self, _teller: Teller, is_over: &mut dyn FnMut() -> bool) -> Result<End> {
        self.tell_to_stop(is_over)?;
        let ended = loop {
            let ended = self.ended()?.filter(|_| others_in_group().is_ok_and(|others| others.is_empty()));
            if ended.is_some() || is_over() {
                break ended;
            }
            thread::sleep(Duration::from_millis(50));
        };
        self.kill_all()?;
        Ok(ended.map_or(End::Killed, End::Exited))
    }

    /// Stops every process of the task but this one.
    fn freeze(&mut self) -> Result<Frozen> {
        let first = others_in_group().context("looking for processes of the game")?;
        signal_each(&first, UnixSignal::SIGSTOP);
        let go_on = |stopped: Vec<Pid>| move || signal_each(&stopped, UnixSignal::SIGCONT);
        let frozen = Frozen::by(go_on(first.clone()));
        // What began meanwhile is a child of one that still ran.
        let new: Vec<_> = others_in_group()?.into_iter().filter(|p| !first.contains(p)).collect();
        signal_each(&new, UnixSignal::SIGSTOP);
        Ok(frozen.and(go_on(new)))
    }

    /// Kills the server and every other process of the task but this one.
    fn kill_all(&mut self) -> Result<()> {
        /// Between SIGKILL and the end of a process lies at most the I/O that it is waiting for.
        const TRIES: u32 = 200;
        for _ in 0..TRIES {
            self.ended()?;
            let others = others_in_group().context("looking for processes of the game")?;
            if others.is_empty() {
                return Ok(());
            }
            signal_each(&others, UnixSignal::SIGKILL);
            thread::sleep(Duration::from_millis(50));
        }
        bail!("processes of the game cannot be killed: {:?}", others_in_group()?)
    }
}

/// Sends each of them `signal`. One that is gone by now needs none.
fn signal_each(processes: &[Pid], signal: UnixSignal) {
    for process in processes {
        let _ = signal::kill(*process, signal);
    }
}

/// Waits for `child`; after `limit`, or when `is_over` says so, kills it with all that it has started and returns nothing.
fn wait_or_kill(
    mut child: Child,
    limit: Duration,
    is_over: &mut dyn FnMut() -> bool,
) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline && !is_over() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    for process in descendants(pid(child.id()))? {
        let _ = signal::kill(process, UnixSignal::SIGKILL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Returns the live processes that `root` and its children have started, as long as those in between live.
fn descendants(root: Pid) -> Result<Vec<Pid>> {
    let all = live_processes()?;
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|p| p.parent == parent).map(|p| p.pid));
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

/// Returns the live processes of this process group other than this one.
fn others_in_group() -> Result<Vec<Pid>> {
    let (own, group) = (Pid::this(), nix::unistd::getpgrp());
    let others = live_processes()?.into_iter().filter(|p| p.group == group && p.pid != own);
    Ok(others.map(|p| p.pid).collect())
}

fn live_processes() -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc")?.collect::<std::io::Result<Vec<_>>>()?;
    let found = entries.iter().filter_map(|entry| live_process(&entry.path()).transpose());
    Ok(found.collect::<std::io::Result<_>>()?)
}

struct Process {
    pid: Pid,
    parent: Pid,
    group: Pid,
}

/// Reads `/proc/PID/stat`; nothing for what is no process, has ended, or is a zombie. What cannot be read is an error: it may
/// be the game.
fn live_process(path: &Path) -> std::io::Result<Option<Process>> {
    let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { return Ok(None) };
    match fs::read(path.join("stat")) {
        // A process chooses its name, which need not be text.
        Ok(stat) => Ok(parse(number, &String::from_utf8_lossy(&stat))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(number: i32, stat: &str) -> Option<Process> {
    // The command's name may hold spaces and parentheses; the fields begin after the last one.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent: i32 = fields.next()?.parse().ok()?;
    let group: i32 = fields.next()?.parse().ok()?;
    // A process whose first thread has ended looks like a zombie, and goes on for as long as another thread does. The number
    // of threads is the twentieth field.
    let threads: u32 = fields.nth(14)?.parse().ok()?;
    let has_ended = matches!(state, "Z" | "X") && threads <= 1;
    let [parent, group] = [parent, group].map(Pid::from_raw);
    (!has_ended).then_some(Process { pid: Pid::from_raw(number), parent, group })
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_hangs_is_killed_with_all_that_it_has_started() {
        let child =
            Command::new("/bin/sh").args(["-c", "sleep 60 & (sleep 60; true); true"]).spawn().unwrap();
        let root = pid(child.id());
        let mut started = Vec::new();
        let mut is_over = || {
            started = descendants(root).unwrap();
            started.len() >= 3
        };
        assert_eq!(wait_or_kill(child, Duration::from_secs(10), &mut is_over).unwrap(), None);
        let is_gone = |pid: &Pid| live_process(Path::new(&format!("/proc/{pid}"))).unwrap().is_none();
        let deadline = Instant::now() + Duration::from_secs(5);
        while !started.iter().all(is_gone) {
            assert!(Instant::now() < deadline, "{started:?}");
            thread::yield_now();
        }
    }
}
