//! The processes of a user, as `/proc` shows them, and signals that reach no others.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal as UnixSignal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::game::is_gone;

/// A process that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its number among the processes that this one sees.
    pub(super) pid: i32,
    /// That of the process that started it, or of the one that took its place; 0 if it is not among them.
    pub(super) parent: i32,
    /// The first 15 bytes of its program's name.
    pub(super) name: String,
    /// How much it has in memory, or has had there before it was swapped out, in KiB.
    pub(super) memory_kib: u64,
    /// Whether it stands still.
    pub(super) is_stopped: bool,
}

/// Returns the live processes that run as `user`, or could become that user again.
pub(super) fn of_user(user: u32) -> Result<Vec<Process>> {
    let entries = fs::read_dir("/proc").and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.context("looking for processes of the game")?;
    let found = entries.iter().filter_map(|entry| live(&entry.path(), user).transpose());
    found.collect::<io::Result<_>>().context("looking at a process")
}

/// Sends `signal` to the process if it still runs as `user`, and tells whether it did. The number may be another process's by
/// now: so the process is held first, then looked at, then signalled.
pub(super) fn signal(pid: i32, user: u32, signal: UnixSignal) -> Result<bool> {
    let Some(held) = hold(pid).with_context(|| format!("holding process {pid}"))? else { return Ok(false) };
    let found = live(&Path::new("/proc").join(pid.to_string()), user);
    if found.with_context(|| format!("looking at process {pid}"))?.is_none() {
        return Ok(false);
    }
    send(&held, signal).with_context(|| format!("sending {signal} to process {pid}"))
}

/// Tells whether this process can hold others so; without that it could signal a process that it does not mean.
pub(super) fn can_hold() -> Result<()> {
    let own = i32::try_from(std::process::id())?;
    hold(own)
        .context("the system offers no pidfd_open, without which the game cannot be stopped safely")
        .map(drop)
}

fn hold(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) => Ok(Some(held)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn send(held: impl AsFd, signal: UnixSignal) -> Result<bool> {
    let signal = rustix::process::Signal::from_named_raw(signal as i32).context("a signal without a name")?;
    match pidfd_send_signal(held, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Reads `/proc/PID/status`; nothing for what is no process, has ended, is a zombie, or is not `user`'s. What cannot be read is
/// an error: it may be the game.
fn live(path: &Path, user: u32) -> io::Result<Option<Process>> {
    let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { return Ok(None) };
    match fs::read(path.join("status")) {
        // A process chooses its name, which need not be text.
        Ok(status) => Ok(parse(pid, &String::from_utf8_lossy(&status), user)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(pid: i32, status: &str, user: u32) -> Option<Process> {
    let field = |name: &str| {
        let line = status.lines().find(|line| line.split_once(':').is_some_and(|(found, _)| found == name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    };
    let state = field("State")?.chars().next()?;
    // A process whose first thread has ended looks like a zombie, and goes on for as long as another thread does.
    let threads: u32 = field("Threads").and_then(|count| count.parse().ok()).unwrap_or(1);
    let has_ended = matches!(state, 'Z' | 'X') && threads <= 1;
    // Real, effective, saved, and of the file system.
    let is_users = field("Uid")?.split_whitespace().any(|id| id.parse() == Ok(user));
    let size = |name: &str| field(name).and_then(|size| size.split_whitespace().next()?.parse::<u64>().ok());
    let [resident, swapped] = ["VmRSS", "VmSwap"].map(|name| size(name).unwrap_or_default());
    (is_users && !has_ended).then(|| Process {
        pid,
        parent: field("PPid").and_then(|parent| parent.parse().ok()).unwrap_or_default(),
        name: field("Name").unwrap_or_default().to_owned(),
        memory_kib: resident.saturating_add(swapped),
        is_stopped: state == 'T',
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::getuid;
    use std::{os::unix::ffi::OsStrExt, process::Command};

    const STATUS: &str = "Name:\tvalheim: (x)\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nPid:\t7\nPPid:\t3\n\
        TracerPid:\t0\nUid:\t10001\t10001\t10001\t10001\nGid:\t10001\t10001\t10001\t10001\nVmRSS:\t    2048 kB\nVmSwap:\t      52 kB\n";

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let found = parse(7, STATUS, 10001).unwrap();
        assert_eq!((found.pid, found.parent, found.name.as_str()), (7, 3, "valheim: (x)"));
        assert_eq!((found.memory_kib, found.is_stopped), (2100, false));
    }

    #[test]
    fn other_users_and_what_has_ended_are_not_the_games() {
        assert_eq!(parse(7, STATUS, 0), None);
        assert_eq!(parse(7, STATUS, 1000), None);
        assert_eq!(parse(7, &STATUS.replace("S (sleeping)", "Z (zombie)"), 10001), None);
        assert_eq!(parse(7, "", 10001), None);
    }

    #[test]
    fn a_process_that_has_lost_its_first_thread_alone_still_runs() {
        let first = STATUS.replace("S (sleeping)", "Z (zombie)");
        assert!(parse(7, &format!("{first}Threads:\t3\n"), 10001).is_some());
        assert_eq!(parse(7, &format!("{first}Threads:\t1\n"), 10001), None);
    }

    #[test]
    fn a_name_cannot_pass_for_a_field() {
        let named = STATUS.replace("valheim: (x)", "Uid: 0");
        assert_eq!(parse(7, &named, 0), None);
        assert!(parse(7, &named, 10001).is_some());
    }

    #[test]
    fn who_became_another_user_for_the_moment_is_still_the_game() {
        let changed = STATUS.replace("Uid:\t10001\t10001", "Uid:\t10001\t0");
        assert!(parse(7, &changed, 10001).is_some());
    }

    #[test]
    fn a_process_of_another_user_is_not_signalled() {
        let (own, mut child) = (getuid().as_raw(), Command::new("sleep").arg("60").spawn().unwrap());
        let pid = child.id().cast_signed();
        assert!(!signal(pid, own + 1, UnixSignal::SIGKILL).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        assert!(signal(pid, own, UnixSignal::SIGKILL).unwrap());
        child.wait().unwrap();
        assert!(!signal(pid, own, UnixSignal::SIGKILL).unwrap(), "it is gone");
        assert!(!signal(0, own, UnixSignal::SIGKILL).unwrap());
        assert!(!signal(-1, own, UnixSignal::SIGKILL).unwrap());
    }

    #[test]
    fn a_process_whose_name_is_no_text_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let named = scratch.path().join(std::ffi::OsStr::from_bytes(b"game\xff"));
        std::os::unix::fs::symlink("/bin/sleep", &named).unwrap();
        let mut child = Command::new(&named).arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let seen = of_user(getuid().as_raw()).unwrap();
        let signalled = signal(pid, getuid().as_raw(), UnixSignal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(seen.iter().any(|process| process.pid == pid));
        assert!(signalled);
    }

    #[test]
    fn processes_can_be_held_here() {
        can_hold().unwrap();
    }
}
