//! What goes wrong with the machine as a whole, one thing after the other, with some calm in between. None of it is a reason to
//! throw anybody out.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context, Result};
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};

use super::{Machine, seconds};

/// The machine's clock.
pub(super) const CLOCK: &str = "machine";

/// How far a clock may be wrong, in seconds.
const FAR: i64 = 30 * 60;

/// Lets one gust follow the other while rounds are begun; then the weather clears.
pub(super) fn blow(machine: &Machine<'_>, mut rng: Rng) {
    while machine.field.pause(Duration::from_millis(rng.u64(3_000..25_000))) {
        machine.gusts.fetch_add(1, Ordering::SeqCst);
        let gust = Gust::draw(&mut rng);
        if let Err(error) = gust.blow(machine, &mut rng) {
            machine.field.found(machine.name, &format!("{gust:?}: {error:#}"));
        }
        machine.gusts.fetch_add(1, Ordering::SeqCst);
    }
}

/// Something that goes wrong, and is put right again.
#[derive(Debug, Clone, Copy)]
enum Gust {
    KillControl,
    FreezeControl,
    CutLoopback,
    FillDisk,
    TurnClock,
}

impl Gust {
    fn draw(rng: &mut Rng) -> Self {
        let all =
            [Self::KillControl, Self::FreezeControl, Self::CutLoopback, Self::FillDisk, Self::TurnClock];
        all[rng.usize(..all.len())]
    }

    fn blow(self, machine: &Machine<'_>, rng: &mut Rng) -> Result<()> {
        let tell = |what, how: String| machine.field.fault(machine.name, what, &how);
        let dormouse = &machine.dormouse;
        match self {
            Self::KillControl => {
                let down = if rng.bool() { Duration::ZERO } else { seconds(rng, 1..30) };
                tell("kills of the control plane", format!("for {down:.0?}"));
                dormouse.kill_control()?;
                machine.field.pause(down);
                dormouse.start().context("it does not start again")
            }
            Self::FreezeControl => {
                let time = frozen(rng);
                let Some(pid) = dormouse.control_pid() else { return Ok(()) };
                tell("stops of the control plane by SIGSTOP", format!("for {time:.0?}"));
                kill(pid, Signal::SIGSTOP)?;
                machine.field.pause(time);
                Ok(kill(pid, Signal::SIGCONT)?)
            }
            Self::CutLoopback => {
                let time = seconds(rng, 2..60);
                tell("network cuts", format!("for {time:.0?}"));
                machine.lab.server().cut_loopback()?;
                machine.field.pause(time);
                machine.lab.server().mend_loopback()
            }
            Self::FillDisk => {
                let (time, left) = (seconds(rng, 2..40), 4096 * rng.u64(0..200));
                tell("full disks", format!("{left} bytes left for {time:.0?}"));
                machine.disk.fill(left)?;
                machine.field.pause(time);
                machine.disk.empty()
            }
            Self::TurnClock => {
                let to = rng.i64(-FAR..=FAR);
                tell("jumps of the clock", format!("to {to:+} s"));
                machine.clocks.set(CLOCK, to)
            }
        }
    }
}

/// Draws how long something is frozen: mostly for moments, now and then for minutes.
pub(super) fn frozen(rng: &mut Rng) -> Duration {
    if rng.u8(..4) == 0 { seconds(rng, 60..150) } else { seconds(rng, 1..20) }
}
