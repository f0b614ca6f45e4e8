//! Who was on and how that is known, as watchdogs report it and records keep it: a few words for an evening, since most
//! minutes are like the one before.

use std::time::Duration;

use domain::{
    attendance::{Attendance, BadAttendance, Crowd, MOST_SPANS, Sums},
    idle::Source,
    sight::{Sight, Standing},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// [`Attendance`] as it is sent and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttendanceRecord {
    /// How long each span of the curve is.
    pub span_s: u64,
    /// [`Sums::watched`].
    pub watched_ms: u64,
    /// [`Sums::played`].
    pub played_ms: u64,
    /// [`Sums::player_time`].
    pub player_ms: u64,
    /// [`Sums::unknown`].
    pub unknown_ms: u64,
    /// The curve: a number of players, or `?`, for each span, and `*n` behind what stands for n spans. `0*20 2*45 ? 1`.
    pub curve: String,
}

/// Says why a record is no attendance.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// A part of the curve is none.
    #[error("the curve is none")]
    Curve,
    /// It is one that cannot be.
    #[error(transparent)]
    Attendance(#[from] BadAttendance),
}

impl From<&Attendance> for AttendanceRecord {
    fn from(attendance: &Attendance) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let Sums { watched, played, player_time, unknown } = attendance.sums();
        let runs =
            attendance.curve().chunk_by(|a, b| a == b).filter_map(|run| Some((run.first()?, run.len())));
        let runs: Vec<String> = runs.map(|(crowd, spans)| run(*crowd, spans)).collect();
        Self {
            span_s: attendance.span().as_secs(),
            watched_ms: ms(watched),
            played_ms: ms(played),
            player_ms: ms(player_time),
            unknown_ms: ms(unknown),
            curve: runs.join(" "),
        }
    }
}

fn run(crowd: Crowd, spans: usize) -> String {
    let sign = match crowd {
        Crowd::Nobody => "0".into(),
        Crowd::Unknown => "?".into(),
        Crowd::Players(n) => n.to_string(),
    };
    if spans == 1 { sign } else { format!("{sign}*{spans}") }
}

impl AttendanceRecord {
    /// Returns what it says, if that can be. However long it is, no more is made of it than an attendance may be.
    pub fn parse(&self) -> Result<Attendance, BadRecord> {
        let sums = Sums {
            watched: Duration::from_millis(self.watched_ms),
            played: Duration::from_millis(self.played_ms),
            player_time: Duration::from_millis(self.player_ms),
            unknown: Duration::from_millis(self.unknown_ms),
        };
        Ok(Attendance::restore(Duration::from_secs(self.span_s), sums, curve(&self.curve)?)?)
    }
}

fn curve(text: &str) -> Result<Vec<Crowd>, BadRecord> {
    let mut curve = Vec::new();
    for run in text.split(' ').filter(|run| !run.is_empty()) {
        let (sign, spans) = run.split_once('*').unwrap_or((run, "1"));
        let spans: usize = spans.parse().map_err(|_| BadRecord::Curve)?;
        if !(1..=MOST_SPANS.saturating_sub(curve.len())).contains(&spans) {
            return Err(BadRecord::Curve);
        }
        let crowd = match sign {
            "0" => Crowd::Nobody,
            "?" => Crowd::Unknown,
            n => Crowd::Players(n.parse().ok().filter(|n| *n > 0).ok_or(BadRecord::Curve)?),
        };
        curve.resize(curve.len() + spans, crowd);
    }
    Ok(curve)
}

/// [`Sight`] as it is sent, stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightRecord {
    /// `socket tables`, `packet peers`, `datagram rate` or `game query`.
    pub source: String,
    /// Whether it is to be had.
    pub serves: bool,
    /// How it is to be had, or why it is not.
    pub how: String,
}

impl From<&Sight> for SightRecord {
    fn from(Sight { source, standing }: &Sight) -> Self {
        let (serves, how) = match standing {
            Standing::Serves(how) => (true, how),
            Standing::Missing(why) => (false, why),
        };
        Self { source: source.name().into(), serves, how: how.clone() }
    }
}

impl SightRecord {
    /// Returns what it says; nothing if it speaks of a source that this program does not know.
    pub fn parse(self) -> Option<Sight> {
        const ALL: [Source; 4] =
            [Source::SocketTables, Source::PacketPeers, Source::DatagramRate, Source::GameQuery];
        let source = ALL.into_iter().find(|source| source.name() == self.source)?;
        let standing = if self.serves { Standing::Serves(self.how) } else { Standing::Missing(self.how) };
        Some(Sight { source, standing })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use domain::idle::Evidence;
    use expect_test::expect;

    /// Returns what is noted at a look every 10 s, as many minutes with as many players as `script` says.
    pub(crate) fn attendance(script: &[(u64, Evidence)]) -> Attendance {
        let (mut attendance, mut at) = (Attendance::default(), 0);
        for (minutes, players) in script {
            for _ in 0..minutes * 6 {
                at += 10;
                // What is noted at the end of a minute would be in the next one.
                attendance.note(Duration::from_millis(at * 1000 - 1), players);
            }
        }
        attendance
    }

    /// Returns the attendance whose record is the longest: as many spans as there can be, each unlike the one before.
    pub(crate) fn longest() -> Attendance {
        let mut attendance = Attendance::default();
        for at in 0..240 * 32 * 6 {
            let players = Evidence::Players(60_000 + at % 5_000);
            attendance.note(Duration::from_secs(u64::from(at) * 10), &players);
        }
        attendance
    }

    #[test]
    fn an_evening_reads_as_this_json_and_comes_back() {
        let unknown = || Evidence::Unknown("x".into());
        let evening = attendance(&[
            (5, Evidence::Empty),
            (40, Evidence::Players(1)),
            (1, unknown()),
            (75, Evidence::Players(3)),
            (3, unknown()),
            (10, Evidence::Empty),
        ]);
        let record = AttendanceRecord::from(&evening);
        expect![[r#"{"span_s":60,"watched_ms":8039999,"played_ms":6900000,"player_ms":15900000,"unknown_ms":240000,"curve":"0*5 1*40 ? 3*75 ?*3 0*10"}"#]]
            .assert_eq(&serde_json::to_string(&record).unwrap());
        assert_eq!(record.parse(), Ok(evening));
        assert_eq!(AttendanceRecord::from(&Attendance::default()).parse(), Ok(Attendance::default()));
    }

    #[test]
    fn the_longest_record_is_short() {
        let (live, past) = (longest(), longest().shrunk(domain::attendance::MOST_PAST_SPANS));
        let bytes = [live, past].map(|attendance| {
            let record = AttendanceRecord::from(&attendance);
            assert_eq!(record.parse(), Ok(attendance));
            serde_json::to_string(&record).unwrap().len()
        });
        expect!["[1552, 472]"].assert_eq(&format!("{bytes:?}"));
    }

    #[test]
    fn a_curve_that_is_none_is_refused_however_it_is_made() {
        let good = AttendanceRecord::from(&attendance(&[(3, Evidence::Players(2))]));
        assert_eq!(good.curve, "2*3");
        let long = "1 ".repeat(100_000);
        let bad = [
            "x",
            "2*",
            "*3",
            "2*0",
            "2*-3",
            "-2*3",
            "2*3*1",
            "00*3",
            "65536*3",
            "2*18446744073709551615",
            "2*18446744073709551616",
            "0*241",
            "2*2 0*239",
            "2*4",
            "2*2",
            "",
            "??*3",
            &long,
        ];
        for curve in bad {
            let record = AttendanceRecord { curve: curve.into(), ..good.clone() };
            assert!(record.parse().is_err(), "{curve:.40}");
        }
        for change in [
            AttendanceRecord { span_s: u64::MAX, ..good.clone() },
            AttendanceRecord { span_s: 0, ..good.clone() },
            AttendanceRecord { watched_ms: u64::MAX, ..good.clone() },
            AttendanceRecord { played_ms: u64::MAX, unknown_ms: u64::MAX, ..good.clone() },
            AttendanceRecord { player_ms: u64::MAX, ..good.clone() },
        ] {
            assert!(change.parse().is_err(), "{change:?}");
        }
    }

    #[test]
    fn a_source_that_is_not_known_is_left_out() {
        let record = |source: &str| SightRecord { source: source.into(), serves: true, how: "yes".into() };
        assert_eq!(record("telepathy").parse(), None);
        assert_eq!(
            record("packet peers").parse().as_ref().map(SightRecord::from),
            Some(record("packet peers"))
        );
    }
}
