//! The game as the rest of the watchdog has it, whoever runs it: [`crate::spawned`] is one that the watchdog starts itself,
//! [`crate::neighbours`] one that has a container of its own.

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

use anyhow::Result;
use domain::game::Signal;
use nix::sys::signal::Signal as UnixSignal;

/// A game that runs, or is about to.
pub trait RunningGame {
    /// Tells whether a process of it was ever seen.
    fn has_appeared(&self) -> bool;

    /// Returns how the game ended, if it has. An error if it will not appear any more.
    fn ended(&mut self) -> Result<Option<Ended>>;

    /// Tells whether the game's own health check, if one can be made here, succeeds.
    fn is_healthy(&self) -> Result<bool>;

    /// Does what has to be done now and then.
    fn tend(&self) -> Result<()>;

    /// Returns what the game said last, as the end of a sentence, if that is to be had here.
    fn last_words(&self) -> String;

    /// Stops the game as it wants it and waits until nothing of it is left; kills what is left as soon as `is_over` says
    /// that the time is up. `is_over` is asked again and again. When it returns, nothing of the game runs.
    fn stop(&mut self, teller: Teller, is_over: &mut dyn FnMut() -> bool) -> Result<End>;

    /// Lets every process of the game stand still until the result is dropped.
    fn freeze(&mut self) -> Result<Frozen>;

    /// Kills every process of the game and waits until they are gone.
    fn kill_all(&mut self) -> Result<()>;
}

/// Who tells the game to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The watchdog.
    Watchdog,
    /// What the containers run on, which has told the game's container before it tells the watchdog's.
    Host,
}

/// How the game's processes ended of themselves, or by their stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this.
    With(ExitStatus),
    /// They are gone. Only their parent is told more.
    Unseen,
}

/// How a game ended that was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself or by its stop signal.
    Exited(Ended),
    /// It had to be killed.
    Killed,
}

/// A game that stands still.
pub struct Frozen(Vec<Box<dyn Fn()>>);

impl Frozen {
    /// Returns one that `thaw` lets go on.
    pub fn by(thaw: impl Fn() + 'static) -> Self {
        Self(vec![Box::new(thaw)])
    }

    /// Returns one of which `thaw` lets another part go on.
    pub fn and(mut self, thaw: impl Fn() + 'static) -> Self {
        self.0.push(Box::new(thaw));
        self
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for thaw in &self.0 {
            thaw();
        }
    }
}

/// Returns how a game ended, in words.
pub fn how(ended: Ended) -> String {
    let Ended::With(status) = ended else { return "exit code unknown".into() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => {
            UnixSignal::try_from(number).map_or(format!("signal {number}"), |s| s.to_string())
        }
        (None, None) => "no exit code".into(),
    }
}

/// Returns the signal as the system has it.
pub(crate) fn unix(signal: Signal) -> UnixSignal {
    match signal {
        Signal::Int => UnixSignal::SIGINT,
        Signal::Term => UnixSignal::SIGTERM,
        Signal::Hup => UnixSignal::SIGHUP,
        Signal::Quit => UnixSignal::SIGQUIT,
    }
}

/// Tells whether a file of `/proc` could not be read since its process has gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_game_ended_is_told_in_words() {
        let ended = |raw| how(Ended::With(ExitStatus::from_raw(raw)));
        assert_eq!([ended(0), ended(7 << 8), ended(9)], ["exit code 0", "exit code 7", "SIGKILL"]);
        assert_eq!(how(Ended::Unseen), "exit code unknown");
    }
}
