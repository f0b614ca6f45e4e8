//! What is to happen in a round, drawn before it begins.

use std::{fmt, time::Duration};

use fastrand::Rng;

use super::{PLAYERS, seconds, weather::frozen};

/// What is to happen in a round.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) is_pressed_twice: bool,
    pub(super) players: usize,
    /// How long they play.
    pub(super) time: Duration,
    pub(super) copied: Option<Copied>,
    /// Somebody stops it; else it sleeps by itself.
    pub(super) is_stopped: bool,
    pub(super) blows: Vec<Blow>,
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let players = if rng.u8(..10) == 0 { 0 } else { rng.usize(1..=PLAYERS) };
        let time = seconds(rng, 2..30);
        Self {
            is_pressed_twice: rng.u8(..4) == 0,
            players,
            time,
            copied: [None, None, None, None, Some(Copied::Backup), Some(Copied::Export)][rng.usize(..6)],
            is_stopped: rng.bool(),
            blows: (0..rng.usize(..4)).map(|_| Blow::draw(rng, time)).collect(),
        }
    }

    pub(super) fn calm() -> Self {
        let time = Duration::from_secs(8);
        Self { is_pressed_twice: false, players: 1, time, copied: None, is_stopped: true, blows: Vec::new() }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} players for {:.0?}", self.players, self.time)?;
        let copied = match self.copied {
            None => "",
            Some(Copied::Backup) => ", a backup",
            Some(Copied::Export) => ", an export",
        };
        let end = if self.is_stopped { "stopped" } else { "left alone" };
        write!(f, "{copied}, {end}")?;
        self.blows.iter().try_for_each(|blow| write!(f, ", {blow}"))
    }
}

/// How it is copied while somebody plays.
#[derive(Debug, Clone, Copy)]
pub(super) enum Copied {
    Backup,
    Export,
}

/// What is done to a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blow {
    pub(super) victim: Victim,
    pub(super) moment: Moment,
    pub(super) after: Duration,
    /// How long it is stopped; it is killed otherwise.
    pub(super) frozen: Option<Duration>,
}

impl Blow {
    pub(super) fn draw(rng: &mut Rng, played: Duration) -> Self {
        let victim = [Victim::Watchdog, Victim::Game, Victim::Both][rng.usize(..3)];
        let moment = [Moment::Waking, Moment::Playing, Moment::Stopping][rng.usize(..3)];
        let longest = match moment {
            Moment::Playing => played,
            Moment::Waking | Moment::Stopping => Duration::from_millis(1_500),
        };
        let frozen = (rng.u8(..3) == 0).then(|| match victim {
            Victim::Watchdog => frozen(rng),
            Victim::Game | Victim::Both => seconds(rng, 1..20),
        });
        Self { victim, moment, after: longest.mul_f64(rng.f64()), frozen }
    }

    pub(super) fn what(self) -> &'static str {
        match (self.victim, self.frozen) {
            (Victim::Watchdog, None) => "kills of a watchdog",
            (Victim::Game, None) => "kills of a game",
            (Victim::Both, None) => "kills of a whole task",
            (Victim::Watchdog, Some(_)) => "stops of a watchdog by SIGSTOP",
            (Victim::Game, Some(_)) => "stops of a game by SIGSTOP",
            (Victim::Both, Some(_)) => "stops of a whole task by SIGSTOP",
        }
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.frozen {
            None => write!(f, "{:?} killed", self.victim)?,
            Some(time) => write!(f, "{:?} stopped for {time:.0?}", self.victim)?,
        }
        write!(f, " while {:?}, after {:.1?}", self.moment, self.after)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Watchdog,
    Game,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Waking,
    Playing,
    Stopping,
}
