//! What people read about a world: sentences made of its saved state, the same in chat, on the terminal and on a page.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    effect::Notice,
    game::Game,
    vault::{Kept, KeptWhy},
    world::{
        Asked, Backup, BackupStep, Errand, Launch, Outcome, Proof, StartStep, State, StopStep, StopWhy, Then,
        World,
    },
};

/// Returns `duration` in its one or two largest units: `45 s`, `3 min`, `2 h 5 min`, `7 d`.
pub fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (48.., _) if hours.is_multiple_of(24) => format!("{} d", hours / 24),
        (48.., _) => format!("{} d {} h", hours / 24, hours % 24),
        (0, 0) => format!("{seconds} s"),
        (0, 1..5) if !seconds.is_multiple_of(60) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{minutes} min"),
        (_, 0) => format!("{hours} h"),
        (_, _) => format!("{hours} h {minutes} min"),
    }
}

/// Returns the length that `text`, such as `45s`, `10m`, `2h30m` or `7d`, says; nothing if it says none, or one over a year.
pub fn parse_length(text: &str) -> Option<Duration> {
    const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
    const LONGEST: u64 = 365 * 86_400;
    let (mut rest, mut seconds) = (text, 0u64);
    for (unit, length) in UNITS {
        let Some((number, behind)) = rest.split_once(unit) else { continue };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(length)?)?;
        rest = behind;
    }
    (rest.is_empty() && !text.is_empty() && seconds <= LONGEST).then(|| Duration::from_secs(seconds))
}

/// Returns the time between two moments, 0 if they are the other way round (clocks of two machines differ).
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Returns a number of bytes in its largest unit: `532 B`, `1.4 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(unit, _)| n >= *unit) {
        #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
        Some((unit, name)) => format!("{:.1} {name}", n as f64 / *unit as f64),
        None => format!("{n} B"),
    }
}

/// Returns the word for the state: `asleep`, `waking`, `awake`, `going to sleep`, `busy` (with an errand), `deleted`.
pub fn state(world: &World) -> &'static str {
    match &world.state {
        State::Asleep => "asleep",
        State::Starting { launch, .. } | State::Stopping { launch, .. } | State::Ending { launch, .. }
            if launch.errand.is_some() =>
        {
            "busy"
        }
        State::Starting { .. } => "waking",
        State::Awake { .. } => "awake",
        State::Stopping { .. } | State::Ending { .. } => "going to sleep",
        State::Deleting { .. } | State::Deleted { .. } => "deleted",
    }
}

/// Returns what `world` is doing at `now`, in a line.
pub fn status(world: &World, game: Option<&Game>, now: Timestamp) -> String {
    match &world.state {
        State::Asleep => match &world.last {
            None => "asleep, never played".into(),
            Some(last) => format!("asleep: {}", outcome(&last.outcome)),
        },
        State::Starting { launch: Launch { errand: Some(errand), asked: by, .. }, .. } => {
            format!("{}, {}: its task is coming up", doing(errand), asked(by, now))
        }
        State::Stopping { launch: Launch { errand: Some(errand), asked: by, .. }, step, then, .. } => {
            let step = errand_step(errand, step);
            format!("{}, {}: {step}{}", doing(errand), asked(by, now), what_follows(then))
        }
        State::Starting { launch, step, .. } => {
            let step = match step {
                StartStep::Launching => "asking for a task",
                StartStep::Launched { .. } => "its task is coming up",
                StartStep::Filling { .. } => "its newest archive is being unpacked",
                StartStep::Claimed { .. } => "the game is loading",
            };
            format!("waking, {}, {step}, {}", asked(&launch.asked, now), to_go(world, game, now))
        }
        State::Awake { address, heard, keep, backup, .. } => {
            let seen = format!("{}, seen {} ago", heard.players, length(between(heard.at, now)));
            let kept =
                keep.as_ref().filter(|(_, until)| *until > now).map_or(String::new(), |(by, until)| {
                    format!(", kept awake by {} for another {}", by.by, length(between(now, *until)))
                });
            let warned = heard
                .stops_at
                .map_or(String::new(), |at| format!(", going to sleep in {}", length(between(now, at))));
            let saved = backup.as_ref().map_or(String::new(), |backup| backup_words(backup, now));
            format!("awake at {address}: {seen}{kept}{warned}{saved}")
        }
        State::Stopping { why, step, then, .. } => {
            let step = match step {
                StopStep::Asked => "its watchdog is being told",
                StopStep::Saving => "saving",
                StopStep::Saved(_) => "saved, archiving",
                StopStep::Uploaded(..) => "archived, checking the archive",
                StopStep::Rejected(..) => "the archive was not whole, archiving again",
                StopStep::Filling => "its directory is being filled",
            };
            format!("going to sleep, {}: {step}{}", stop_why(why), what_follows(then))
        }
        State::Ending { then, .. } => format!("going to sleep: its task is ending{}", what_follows(then)),
        State::Deleting { asked: by, .. } => format!("being deleted, {}", asked(by, now)),
        State::Deleted { asked, .. } => format!("deleted by {}", asked.by),
    }
}

/// Returns what is being done with a world.
pub fn doing(errand: &Errand) -> String {
    match errand {
        Errand::Backup => "being archived".into(),
        Errand::Restore(archive) => format!("being restored from archive {archive}"),
        Errand::Import(_) => "being replaced by what was uploaded".into(),
    }
}

/// Returns what an errand is doing in its step.
pub fn errand_step(errand: &Errand, step: &StopStep) -> &'static str {
    match (step, errand) {
        (StopStep::Asked | StopStep::Saving | StopStep::Saved(_), Errand::Backup) => "archiving",
        (StopStep::Asked | StopStep::Saving | StopStep::Saved(_), Errand::Restore(_) | Errand::Import(_)) => {
            "archiving what is there first"
        }
        (StopStep::Uploaded(..), _) => "archived, checking the archive",
        (StopStep::Rejected(..), _) => "the archive was not whole, archiving again",
        (StopStep::Filling, _) => "unpacking and checking",
    }
}

fn backup_words(backup: &Backup, now: Timestamp) -> String {
    let ago = length(between(backup.at, now));
    match &backup.step {
        BackupStep::Wanted | BackupStep::Uploaded(_) => format!(", being archived for {ago}"),
        BackupStep::Done(_) => format!(", archived {ago} ago"),
        BackupStep::Failed(why) => format!(", not archived {ago} ago: {why}"),
    }
}

/// Returns why an archive was made.
pub fn kept_why(why: &KeptWhy) -> String {
    match why {
        KeptWhy::Slept => "when it went to sleep".into(),
        KeptWhy::Asked(by) => format!("asked for by {by}"),
        KeptWhy::Schedule => "while it was played".into(),
        KeptWhy::Replaced(by) => format!("before {by} replaced it"),
    }
}

/// Returns what an archive is, how old, and why it was made: `20261121-… 1.4 MB, 2 h ago, when it went to sleep`.
pub fn kept(Kept { archive, at, why }: &Kept, now: Timestamp) -> String {
    let ago = length(between(*at, now));
    format!("{} {}, {ago} ago, {}", archive.id, bytes(archive.size), kept_why(why))
}

/// Returns who asked and how long ago: `asked for by ann 20 s ago`.
pub fn asked(asked: &Asked, now: Timestamp) -> String {
    format!("asked for by {} {} ago", asked.by, length(between(asked.at, now)))
}

/// Returns how much longer a start will take, judged by the last one or by what is typical of the game.
pub fn to_go(world: &World, game: Option<&Game>, now: Timestamp) -> String {
    let typical = world.last_start_took().or(game.map(|g| g.ready.typical));
    match (world.launch(), typical) {
        (Some(launch), Some(typical)) => match typical.checked_sub(between(launch.asked.at, now)) {
            Some(left) => format!("about {} to go", length(left.max(Duration::from_secs(1)))),
            None => format!("longer than the usual {}", length(typical)),
        },
        (_, _) => "soon there".into(),
    }
}

fn what_follows(then: &Then) -> String {
    match then {
        Then::Sleep => String::new(),
        Then::Start(asked) => {
            format!("; {} asked for it meanwhile, so it is woken again right after", asked.by)
        }
    }
}

/// Returns why a world stops, as a half-sentence.
pub fn stop_why(why: &StopWhy) -> String {
    match why {
        StopWhy::Asked(asked) => format!("asked for by {}", asked.by),
        StopWhy::NeverJoined => "since nobody joined".into(),
        StopWhy::LastLeft => "since the last player has left".into(),
        StopWhy::Cap => "since it has run for its longest time".into(),
        StopWhy::NeverReady => "since the game was not ready in time".into(),
        StopWhy::AllAway => "since nobody who was on had moved for long".into(),
        StopWhy::Deaf => "since the game no longer listens on its ports".into(),
        StopWhy::Unresponsive => "since the game no longer answers".into(),
        StopWhy::GameEnded(how) => format!("since the game ended by itself ({how})"),
        StopWhy::Reclaimed => "since the host ended its task".into(),
    }
}

/// Returns how the last launch ended, and what became of the files.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Slept(why, Proof::Fresh | Proof::Untouched) => {
            format!("saved and archived, {}", stop_why(why))
        }
        Outcome::Slept(why, Proof::Missing(reason)) => {
            format!("archived, {}, but whether it was saved is not proven: {reason}", stop_why(why))
        }
        Outcome::NotArchived(why, reason) => {
            format!("stopped, {}, but not archived: {reason}; its files are in its directory", stop_why(why))
        }
        Outcome::Cancelled(asked) => format!("{} put it back to sleep before it was awake", asked.by),
        Outcome::Failed(why) => format!("the last start failed: {why}"),
        Outcome::Lost(how) => format!("the last launch was lost: {how}; its files are in its directory"),
        Outcome::Done(errand, found) => {
            let found = if found.is_empty() { String::new() } else { format!(": {found}") };
            match errand {
                Errand::Backup => "archived".into(),
                Errand::Restore(archive) => format!("restored from archive {archive}{found}"),
                Errand::Import(_) => format!("replaced by what was uploaded{found}"),
            }
        }
        Outcome::NotDone(errand, why) => match errand {
            Errand::Backup => format!("it was not archived: {why}"),
            Errand::Restore(archive) => {
                format!("it was not restored from archive {archive} and is as it was: {why}")
            }
            Errand::Import(_) => format!("what was uploaded was not taken, and it is as it was: {why}"),
        },
    }
}

/// Returns the sentence for a notice about `world`.
pub fn notice(world: &World, notice: &Notice) -> String {
    let name = &world.name;
    match notice {
        Notice::Waking(asked) => format!("{name}: {} wakes it", asked.by),
        Notice::Working(errand, asked) => {
            format!("{name}: {}, asked for by {}", doing(errand), asked.by)
        }
        Notice::Awake(address) => format!("{name}: awake at {address}"),
        Notice::Warned(at) => {
            format!("{name}: nobody is on; goes to sleep at {at:.0}. To keep it awake: `world keep {name}`")
        }
        Notice::CapNear(at) => {
            format!("{name}: it has run for its longest time and goes to sleep at {at:.0}")
        }
        Notice::AllAway(at) => format!(
            "{name}: nobody who is on moves; goes to sleep at {at:.0}. To keep it awake: move, or `world keep {name}`"
        ),
        Notice::Stopping(why) => format!("{name}: going to sleep, {}", stop_why(why)),
        Notice::Asleep(None) => format!("{name}: asleep"),
        Notice::Asleep(Some(last)) => format!("{name}: asleep; {}", outcome(last)),
        Notice::Deleted => match world.vault.current() {
            Some(last) => format!("{name}: deleted; its archive {} is kept for 30 days", last.archive.id),
            None => format!("{name}: deleted; it was never played"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lengths_read_well() {
        let all: Vec<_> =
            [0, 45, 60, 90, 600, 7500, 7200, 604_800, 180_000].map(|s| length(Duration::from_secs(s))).into();
        expect!["0 s, 45 s, 1 min, 1 min 30 s, 10 min, 2 h 5 min, 2 h, 7 d, 2 d 2 h"]
            .assert_eq(&all.join(", "));
    }

    #[test]
    fn lengths_are_read() {
        let read = |text| parse_length(text).map(|d| d.as_secs());
        assert_eq!(["45s", "10m", "2h30m", "7d", "0s"].map(read), [45, 600, 9000, 604_800, 0].map(Some));
        for bad in ["", "5", "m", "1x", "30m2h", "1h 5m", "-5m", "999999999999999999999d", "400d", "1m1m"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn bytes_read_well() {
        let all: Vec<_> = [0, 999, 1_000, 1_449_999, 2_000_000_000].map(bytes).into();
        expect!["0 B, 999 B, 1.0 kB, 1.4 MB, 2.0 GB"].assert_eq(&all.join(", "));
    }
}
