//! Who was on in the course of a launch: a curve of bounded size, and sums that do not depend on how coarse it is.
//!
//! The watchdog notes every look ([`Attendance::note`]) and reports what it has so far; the record of a launch keeps it. A
//! curve has at most [`MOST_SPANS`] spans of equal length. They are a minute long at first and twice as long whenever there are
//! too many, so that a launch of a week costs no more room than an evening. What was not looked at is unknown, and unknown is
//! never nobody.

use std::{fmt, time::Duration};

use thiserror::Error;

use crate::{
    idle::{Evidence, Watch},
    words,
};

/// The most spans of a curve.
pub const MOST_SPANS: usize = 240;

/// The most spans that a launch keeps which is over: a record remembers many of them.
pub const MOST_PAST_SPANS: usize = 60;

/// The shortest span.
const SHORTEST: Duration = Duration::from_secs(60);

/// How often spans can be doubled: until one of them holds [`LONGEST`].
const MOST_DOUBLINGS: u32 = 14;

/// The longest time that is noted. A launch lasts a week at the most.
const LONGEST: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// What was seen in a span of time. The greater one holds: players outweigh what is unknown, and that outweighs nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crowd {
    /// It was looked all the time, and nobody was on.
    Nobody,
    /// No player was seen, and for some of the time nobody could tell.
    Unknown,
    /// At least so many were on at once; never 0.
    Players(u16),
}

impl Crowd {
    fn of(players: &Evidence) -> Self {
        match players {
            Evidence::Empty | Evidence::Players(0) => Self::Nobody,
            Evidence::Unknown(_) => Self::Unknown,
            Evidence::Players(n) => Self::Players(u16::try_from(*n).unwrap_or(u16::MAX)),
        }
    }

    /// Returns how many players were seen.
    pub fn players(self) -> u16 {
        match self {
            Self::Nobody | Self::Unknown => 0,
            Self::Players(n) => n,
        }
    }
}

/// How long what was so, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// How long it was watched: from when the game was ready to the last look.
    pub watched: Duration,
    /// For how much of that players were seen.
    pub played: Duration,
    /// The same, counted for each player: two players for an hour are two hours.
    pub player_time: Duration,
    /// For how much of the time nobody could tell.
    pub unknown: Duration,
}

/// Who was on in the course of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendance {
    span: Duration,
    sums: Sums,
    curve: Vec<Crowd>,
}

/// Says why something is no attendance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAttendance {
    /// A span's length is not a minute, doubled some times.
    #[error("no span is that long")]
    Span,
    /// There are too many spans, or not as many as the time that was watched has.
    #[error("{0} spans do not fit the time")]
    Spans(usize),
    /// The sums contradict each other or the curve.
    #[error("the sums do not fit")]
    Sums,
}

impl Default for Attendance {
    /// Returns what is known before the first look.
    fn default() -> Self {
        Self { span: SHORTEST, sums: Sums::default(), curve: Vec::new() }
    }
}

impl Attendance {
    /// Returns the attendance that was noted as `curve`, in spans of that length, and as `sums`.
    pub fn restore(span: Duration, sums: Sums, curve: Vec<Crowd>) -> Result<Self, BadAttendance> {
        if !(0..=MOST_DOUBLINGS).any(|doublings| span == SHORTEST * (1 << doublings)) {
            return Err(BadAttendance::Span);
        }
        let restored = Self { span, sums, curve };
        let spans = restored.curve.len();
        let fits = if spans == 0 { sums == Sums::default() } else { spans == restored.at(sums.watched) + 1 };
        if !fits || spans > MOST_SPANS {
            return Err(BadAttendance::Spans(spans));
        }
        let Sums { watched, played, player_time, unknown } = sums;
        let seen = played.checked_add(unknown).is_some_and(|known| known <= watched);
        let most = played.checked_mul(u32::from(restored.peak()));
        if watched > LONGEST || !seen || player_time < played || most.is_none_or(|most| player_time > most) {
            return Err(BadAttendance::Sums);
        }
        Ok(restored)
    }

    /// Notes a look at `at` since the game was ready. The time since the last one counts like it, unless that is longer than
    /// [`Watch::LONGEST_GAP`]: then nobody can tell.
    pub fn note(&mut self, at: Duration, players: &Evidence) {
        let at = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(u64::MAX)).min(LONGEST);
        let Some(since) = at.checked_sub(self.sums.watched) else { return };
        let (crowd, is_gap) = (Crowd::of(players), since > Watch::LONGEST_GAP);
        self.add(since, if is_gap { Crowd::Unknown } else { crowd });
        while self.at(at) >= MOST_SPANS {
            self.coarsen();
        }
        let (from, to) = (self.at(self.sums.watched), self.at(at));
        self.curve.resize(to + 1, Crowd::Nobody);
        if is_gap {
            self.curve.iter_mut().skip(from).for_each(|seen| *seen = (*seen).max(Crowd::Unknown));
        }
        if let Some(last) = self.curve.last_mut() {
            *last = (*last).max(crowd);
        }
        self.sums.watched = at;
    }

    fn add(&mut self, since: Duration, crowd: Crowd) {
        match crowd {
            Crowd::Nobody => {}
            Crowd::Unknown => self.sums.unknown += since,
            Crowd::Players(n) => {
                self.sums.played += since;
                self.sums.player_time += since * u32::from(n);
            }
        }
    }

    /// Returns which span a time lies in.
    fn at(&self, time: Duration) -> usize {
        usize::try_from(time.as_secs() / self.span.as_secs()).unwrap_or(usize::MAX)
    }

    /// Makes one span of every two.
    fn coarsen(&mut self) {
        let merged = |pair: &[Crowd]| pair.iter().copied().fold(Crowd::Nobody, Ord::max);
        self.curve = self.curve.chunks(2).map(merged).collect();
        self.span *= 2;
    }

    /// Returns the same with at most so many spans, and at least one.
    pub fn shrunk(&self, most: usize) -> Self {
        let mut shrunk = self.clone();
        while shrunk.curve.len() > most.max(1) {
            shrunk.coarsen();
        }
        shrunk
    }

    /// Tells whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.curve.is_empty()
    }

    /// Returns how long a span is.
    pub fn span(&self) -> Duration {
        self.span
    }

    /// Returns what was seen in each span, of which the last one may not be over.
    pub fn curve(&self) -> &[Crowd] {
        &self.curve
    }

    /// Returns the sums.
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Returns how many players were seen at once at the most.
    pub fn peak(&self) -> u16 {
        self.curve.iter().map(|crowd| crowd.players()).max().unwrap_or(0)
    }

    /// Returns the curve as at most so many signs: bars for players, `·` for nobody and `?` for unknown.
    pub fn drawn(&self, most: usize) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let shrunk = self.shrunk(most);
        // One or two players are no crowd, however few there were otherwise.
        let top = usize::from(shrunk.peak().max(4));
        let bar = |n: u16| BARS[(usize::from(n) * BARS.len()).div_ceil(top).clamp(1, BARS.len()) - 1];
        let sign = |crowd: &Crowd| match crowd {
            Crowd::Nobody => '·',
            Crowd::Unknown => '?',
            Crowd::Players(n) => bar(*n),
        };
        shrunk.curve.iter().map(sign).collect()
    }
}

impl fmt::Display for Attendance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sums { watched, played, player_time, unknown } = self.sums;
        let length = words::length;
        let is_unknown = unknown > Duration::ZERO;
        match self.peak() {
            0 if !is_unknown => return write!(f, "nobody on in {}", length(watched)),
            0 if unknown == watched => return write!(f, "players unknown for {}", length(watched)),
            0 => write!(f, "nobody seen in {}", length(watched))?,
            peak => {
                let least = if is_unknown { "at least " } else { "" };
                let players = Evidence::Players(peak.into());
                write!(f, "up to {players} seen, {least}{} of {}", length(played), length(watched))?;
                if player_time > played {
                    write!(f, " ({} added up)", length(player_time))?;
                }
            }
        }
        // Whoever comes is too new to tell for some seconds.
        if unknown < SHORTEST { Ok(()) } else { write!(f, ", unknown for {}", length(unknown)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn an_evening_reads_well() {
        check(
            "20m:0 45m:1 1h:3 10m:? 30m:1 10m:0",
            expect![[r#"
                up to 3 players seen, at least 2 h 15 min of 2 h 55 min (4 h 15 min added up), unknown for 10 min
                176 spans of 1 min: 20 nobody, 45 players, 61 players, 9 unknown, 31 players, 10 nobody
                ·····▂▂▂▂▂▂▂▂▂▂▂▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆?▂▂▂▂▂▂▂▂▂··"#]],
        );
    }

    #[test]
    fn an_evening_of_nobody_or_of_one_reads_well() {
        let line = |script| played(script).to_string();
        let scripts =
            ["15m:0", "15m:?", "10m:0 5m:?", "20m:1 10m:0", "9m:0 3s:?", "9m:0 3s:? 20m:1", "15s:2"];
        let lines = scripts.map(line);
        expect![[r#"
            nobody on in 15 min
            players unknown for 15 min
            nobody seen in 15 min, unknown for 5 min
            up to 1 player seen, 20 min of 30 min
            nobody seen in 9 min
            up to 1 player seen, at least 20 min of 29 min
            up to 2 players seen, 15 s of 15 s (30 s added up)"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn a_week_takes_no_more_room_and_loses_no_second() {
        let week = played("2d:0 1h:2 4d:0 23h:1");
        assert!(
            week.curve.len() <= MOST_SPANS && week.shrunk(MOST_PAST_SPANS).curve.len() <= MOST_PAST_SPANS
        );
        assert_eq!(week.sums, week.shrunk(1).sums);
        expect![[r#"
            up to 2 players seen, 24 h of 7 d (25 h added up)
            158 spans of 1 h 4 min: 45 nobody, 1 players, 89 nobody, 23 players
            ···········▄·····················▂▂▂▂▂▂▂"#]]
        .assert_eq(&told(&week));
    }

    #[test]
    fn who_comes_for_a_moment_is_seen_in_the_coarsest_curve() {
        let year = played("9d:0 1s:1 20h:0").shrunk(1);
        assert_eq!((year.curve.len(), year.peak()), (1, 1));
        assert_eq!(year.sums.played, Duration::from_secs(1));
    }

    #[test]
    fn a_watchdog_that_was_paused_does_not_know_who_was_on() {
        let mut attendance = played("2m:0");
        attendance.note(Duration::from_secs(500), &Evidence::Empty);
        attendance.note(Duration::from_secs(501), &Evidence::Players(1));
        expect![[r#"
            up to 1 player seen, at least 1 s of 8 min, unknown for 6 min
            9 spans of 1 min: 2 nobody, 6 unknown, 1 players
            ··??????▂"#]]
        .assert_eq(&told(&attendance));
    }

    #[test]
    fn a_second_that_is_unknown_keeps_a_span_from_being_empty_and_not_from_having_players() {
        let seen = |script| played(script).curve;
        assert_eq!(seen("30s:0 1s:? 20s:0"), [Crowd::Unknown]);
        assert_eq!(seen("30s:1 1s:? 20s:0"), [Crowd::Players(1)]);
        assert_eq!(seen("30s:? 1s:7 20s:2"), [Crowd::Players(7)]);
    }

    #[test]
    fn clocks_that_go_back_or_run_away_change_little() {
        let mut attendance = played("5m:1");
        let before = attendance.clone();
        attendance.note(Duration::from_secs(3), &Evidence::Empty);
        assert_eq!(attendance, before);
        attendance.note(Duration::MAX, &Evidence::Players(u32::MAX));
        assert_eq!((attendance.sums.watched, attendance.peak()), (LONGEST, u16::MAX));
        assert!(attendance.curve.len() <= MOST_SPANS);
        assert!(Attendance::restore(attendance.span, attendance.sums, attendance.curve).is_ok());
    }

    #[test]
    fn what_was_noted_is_restored_at_any_length_and_what_contradicts_itself_is_not() {
        for script in ["", "1s:0", "59s:1", "1m:1", "4h:2 1m:0", "9d:0 1h:40 1m:?"] {
            let noted = played(script);
            for most in [1, 7, 60, 240] {
                let Attendance { span, sums, curve } = noted.shrunk(most);
                assert_eq!(Attendance::restore(span, sums, curve.clone()).unwrap().curve, curve, "{script}");
            }
        }
        let noted = played("10m:2 5m:?");
        let restore = |change: fn(&mut Attendance)| {
            let mut bad = noted.clone();
            change(&mut bad);
            Attendance::restore(bad.span, bad.sums, bad.curve).unwrap_err().to_string()
        };
        let errors = [
            restore(|bad| bad.span = Duration::ZERO),
            restore(|bad| bad.span = Duration::MAX),
            restore(|bad| bad.curve.push(Crowd::Nobody)),
            restore(|bad| bad.curve.clear()),
            restore(|bad| (bad.curve, bad.sums.watched) = (vec![Crowd::Nobody; 241], SHORTEST * 240)),
            restore(|bad| bad.sums.played = Duration::MAX),
            restore(|bad| bad.sums.unknown = bad.sums.watched),
            restore(|bad| bad.sums.player_time = Duration::ZERO),
            restore(|bad| bad.sums.player_time = bad.sums.played * 3),
            restore(|bad| bad.curve.fill(Crowd::Nobody)),
        ];
        expect![[r#"
            no span is that long
            no span is that long
            17 spans do not fit the time
            0 spans do not fit the time
            241 spans do not fit the time
            the sums do not fit
            the sums do not fit
            the sums do not fit
            the sums do not fit
            the sums do not fit"#]]
        .assert_eq(&errors.join("\n"));
    }

    fn check(script: &str, expected: Expect) {
        expected.assert_eq(&told(&played(script)));
    }

    fn told(attendance: &Attendance) -> String {
        let kind = |crowd: &Crowd| match crowd {
            Crowd::Nobody => "nobody",
            Crowd::Unknown => "unknown",
            Crowd::Players(_) => "players",
        };
        let runs = attendance.curve.chunk_by(|a, b| a == b);
        let runs: Vec<_> = runs.map(|run| format!("{} {}", run.len(), kind(&run[0]))).collect();
        let (spans, span) = (attendance.curve.len(), words::length(attendance.span));
        format!("{attendance}\n{spans} spans of {span}: {}\n{}", runs.join(", "), attendance.drawn(50))
    }

    /// Notes a look a second, as `script` (length:players, `?` for unknown) has it.
    fn played(script: &str) -> Attendance {
        let (mut attendance, mut at) = (Attendance::default(), 0);
        for part in script.split_whitespace() {
            let (length, players) = part.split_once(':').unwrap();
            let players = players.parse().map_or(Evidence::Unknown("test".into()), Evidence::count);
            let end = at + words::parse_length(length).unwrap().as_secs();
            while at < end {
                at += 1;
                attendance.note(Duration::from_secs(at), &players);
            }
        }
        attendance
    }
}
