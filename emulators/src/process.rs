//! A program that never outlives whoever started it.
//!
//! It runs in a process group of its own under a shell that waits for the end of a pipe, whose other end only our
//! process holds: when we die, even by SIGKILL, the kernel closes it and the shell kills the group. The group also
//! dies as soon as the program itself has ended. A parent-death signal would not do: it follows the thread that
//! started the program, and test threads come and go.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// `$1` is the file that gets the program's process id; the rest is the program.
const GUARD: &str = r#"
    pid_file=$1; shift
    ( sh -c 'echo $$ >"$0"; exec "$@"' "$pid_file" "$@" </dev/null; kill -s KILL -- -$$ ) &
    cat >/dev/null; kill -s KILL -- -$$"#;

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How much of a log an error shows.
const SHOWN_LOG_BYTES: usize = 4096;

/// A running program with its descendants, as far as they stay in its process group.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

/// What environment a program starts with, beside what its command sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// That of this process.
    Inherited,
    /// None.
    Empty,
}

impl Guarded {
    /// Starts `program`; what it prints is appended to the file `log`, beside which a file for its process id is kept.
    pub(crate) fn start(program: &Command, environment: Environment, log: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Several programs may share a log, but not this.
        let pid_file = log.with_extension(format!("{}.pid", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = File::options().create(true).append(true).open(log)?;
        let words: Vec<OsString> =
            std::iter::once(program.get_program()).chain(program.get_args()).map(OsString::from).collect();
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(&pid_file).args(words);
        if environment == Environment::Empty {
            guard.env_clear();
        }
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => guard.env(name, value),
                None => guard.env_remove(name),
            };
        }
        program.get_current_dir().iter().for_each(|directory| _ = guard.current_dir(directory));
        guard.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = guard.spawn().with_context(|| format!("starting {}", program.get_program().display()))?;
        Ok(Self { child, log: log.to_owned(), pid_file })
    }

    /// Sends a signal to the program alone; nothing if it has only just been started or has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if !self.is_running().unwrap_or(false) {
            return;
        }
        if let Some(pid) = self.pid() {
            // Not an error: it may end by itself in between.
            let _ = kill(pid, signal);
        }
    }

    /// Returns the program's process id, which stays when the program has ended; none if it has only just been started.
    pub(crate) fn pid(&self) -> Option<Pid> {
        fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok().map(Pid::from_raw)
    }

    /// Waits until `ready` returns something; an error with the end of the log when the program ends before that or
    /// `limit` has passed.
    pub(crate) fn wait_until<T>(&mut self, limit: Duration, ready: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = ready(self) {
                return Ok(found);
            }
            if !self.is_running()? {
                bail!("it ended at once: {}", self.log_end());
            }
            if begun.elapsed() > limit {
                bail!("it is not ready after {limit:?}: {}", self.log_end());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Tells whether the program has not ended yet.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Returns what the program has printed.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Returns the end of what the program has printed.
    pub(crate) fn log_end(&self) -> String {
        let log = self.log();
        log.chars().skip(log.chars().count().saturating_sub(SHOWN_LOG_BYTES)).collect()
    }

    /// Kills the program and everything in its group, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if self.is_running().unwrap_or(false) {
            // Not an error: it may end by itself in between.
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
