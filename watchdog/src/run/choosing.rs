//! What people chose for the game is asked for before it starts; without it, it does not.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{GLANCE_EVERY, Leave, Task};
use crate::{control::NoSettings, settings::Settings};

/// How long the control plane is asked: it may be restarted meanwhile.
const LIMIT: Duration = Duration::from_secs(3 * 60);

/// The first and the longest wait after it did not answer.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

impl Task {
    /// Asks for what was chosen, if the game has anything to choose. Something else that comes first is returned.
    pub(super) fn chosen(&mut self) -> Result<Result<Settings, Leave>> {
        if self.game.settings.is_empty() {
            return Ok(Ok(Settings::default()));
        }
        let (deadline, mut wait) = (Instant::now() + LIMIT, WAIT.0);
        loop {
            match self.control.settings(self.env.world.as_str(), self.env.generation.0) {
                Ok(sent) => return Settings::of(&self.game, sent.as_ref()).map(Ok),
                Err(NoSettings::Never(error)) => return Err(error),
                Err(NoSettings::ForNow(error)) if Instant::now() >= deadline => return Err(error),
                Err(NoSettings::ForNow(error)) => tracing::warn!("asking again in {wait:?}: {error:#}"),
            }
            let until = Instant::now() + wait;
            while Instant::now() < until {
                if let Some(leave) = self.leaving() {
                    return Ok(Err(leave));
                }
                self.touch_healthy();
                thread::sleep(GLANCE_EVERY);
            }
            wait = (wait * 2).min(WAIT.1);
        }
    }
}
