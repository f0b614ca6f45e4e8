//! A year of evenings: random players, lag, strangers and failures, second by second, through everything that decides and
//! nothing that looks. Nobody is thrown out, nothing stays up longer than it has to, and nothing outlives the cap.
//!
//! What happens in an evening is in [`evening`]; here stands what must be so whatever happens.

use std::time::Duration;

use domain::{
    attendance::Attendance,
    idle::{Answering, Evidence, Held, Listening, Sample, Timers, Verdict, Watch},
    world::StopWhy,
};
use watchdog::{
    judge::{Begun, Judge},
    peers::{SILENCE_SECONDS, WINDOW_SECONDS},
};

#[path = "year/evening.rs"]
mod evening;

use evening::{ACTIVE, CAP, Evening, LAST_LEFT, NEVER_JOINED, Truth};

/// The most that one sample adds to a timer, whatever was before it.
const LONGEST_GAP: u64 = Watch::LONGEST_GAP.as_secs();

#[test]
fn a_year_of_evenings_passes_without_a_player_thrown_out_or_an_hour_wasted() {
    let mut told = Told::default();
    for seed in 0..365 {
        play(seed, &mut told);
    }
    // The year is worth something only if all of it happened.
    assert!(told.joined > 100 && told.capped > 20 && told.never > 10, "{told:?}");
    assert!(told.away > 20 && told.deaf > 10 && told.unresponsive > 10, "{told:?}");
    assert!(told.unknown_seconds > 10_000 && told.strangers > 10_000, "{told:?}");
    // Whoever comes is seen after a while.
    assert!(told.attended > told.played / 100 * 98, "{told:?}");
}

/// How the evenings ended, and what was in them.
#[derive(Debug, Default)]
struct Told {
    joined: u32,
    never: u32,
    capped: u32,
    away: u32,
    deaf: u32,
    unresponsive: u32,
    strangers: u64,
    unknown_seconds: u64,
    /// For how long players were on, and for how long they were noted, or may have been on.
    played: u64,
    attended: u64,
}

/// Plays the evening of `seed`, and compares each verdict with what is true.
fn play(seed: u64, told: &mut Told) {
    let mut evening = Evening::new(seed);
    let timers = timers(&evening);
    let (mut judge, mut watch) = (Judge::new(Begun::BeforeTheGame, Some(ACTIVE)), Watch::default());
    let (mut tally, mut attendance) = (Tally::default(), Attendance::default());
    for now in 0..=CAP {
        let (truth, connections) = evening.second(now, &mut judge);
        told.strangers += truth.strangers;
        tally.second(now, &truth, &evening);
        if evening.is_paused(now) {
            tally.pause(&truth);
            continue;
        }
        let players = evening.look(now, &mut judge, connections);
        told.unknown_seconds += u64::from(matches!(players, Evidence::Unknown(_)));
        let sample = Sample {
            at: Duration::from_secs(now),
            players,
            still_for: evening.still_for(now, &mut judge).map(Duration::from_secs),
            listening: evening.listening(now),
            answering: evening.answering(now),
            held: if evening.is_held(now) { Held::Yes } else { Held::No },
        };
        tally.look(now, &truth, &evening, &sample);
        attendance.note(sample.at, &sample.players);
        match watch.sample(&sample, &timers) {
            Verdict::Keep | Verdict::Warn { .. } => tally.may_go_on(seed, now, &timers),
            Verdict::Stop(why) => {
                tally.may_stop(seed, now, &why, &truth, &timers, &evening);
                *told.of(&why) += 1;
                break;
            }
        }
    }
    told.played += tally.played;
    told.attended += tally.attended(seed, &attendance);
}

fn timers(evening: &Evening) -> Timers {
    let (never_joined, last_left) =
        if evening.is_patient { (2 * CAP, 2 * CAP) } else { (NEVER_JOINED, LAST_LEFT) };
    Timers {
        never_joined: Duration::from_secs(never_joined),
        last_left: Duration::from_secs(last_left),
        warning: Duration::from_secs(60),
        afk: Duration::from_secs(evening.afk),
        cap: Duration::from_secs(CAP),
    }
}

impl Told {
    fn of(&mut self, why: &StopWhy) -> &mut u32 {
        match why {
            StopWhy::NeverJoined => &mut self.never,
            StopWhy::LastLeft => &mut self.joined,
            StopWhy::Cap => &mut self.capped,
            StopWhy::AllAway => &mut self.away,
            StopWhy::Deaf => &mut self.deaf,
            StopWhy::Unresponsive => &mut self.unresponsive,
            StopWhy::Asked(_) | StopWhy::NeverReady | StopWhy::GameEnded(_) | StopWhy::Reclaimed => {
                panic!("{why:?} is nothing that is seen")
            }
        }
    }
}

/// Seconds of the evening so far, counted from what is true.
#[derive(Debug, Default)]
struct Tally {
    /// For how long nobody was on, and nobody wanted it awake.
    alone: u64,
    /// How much of that nobody could know.
    blind: u64,
    /// Whether anybody was seen.
    ever: bool,
    /// When somebody who was on last moved.
    moved_at: u64,
    /// When strangers last sent something.
    strangers_at: Option<u64>,
    /// For how long a port was not bound.
    closed: u64,
    /// For how long of that nobody was on.
    closed_alone: u64,
    /// For how long the game answered no more, with nobody on, and nobody wanted it awake.
    mute_alone: u64,
    /// How often nobody was seen since somebody was, or it was held.
    seen_empty: u64,
    /// For how long it was plain to see that all stand still.
    seen_still: u64,
    pauses: u64,
    is_pausing: bool,
    /// For how long somebody was on, and how often that began.
    played: u64,
    stays: u64,
    is_on: bool,
    /// For how long strangers may have been taken for players.
    noisy: u64,
}

impl Tally {
    fn second(&mut self, now: u64, truth: &Truth, evening: &Evening) {
        let is_free = !truth.is_on && !evening.is_held(now);
        (self.alone, self.blind) = if is_free { (self.alone + 1, self.blind) } else { (0, 0) };
        self.played += u64::from(truth.is_on);
        self.stays += u64::from(truth.is_on && !self.is_on);
        self.is_on = truth.is_on;
        self.moved_at = if truth.is_moving { now } else { self.moved_at };
        self.strangers_at = if truth.strangers > 0 { Some(now) } else { self.strangers_at };
    }

    fn pause(&mut self, truth: &Truth) {
        self.pauses += u64::from(!self.is_pausing);
        self.is_pausing = true;
        self.blind += u64::from(!truth.is_on);
        self.seen_still = 0;
    }

    /// Checks what was noted of the evening against who really was on, and returns for how long somebody was noted, or may have been
    /// on. Whoever leaves is seen for a while longer.
    fn attended(&self, seed: u64, attendance: &Attendance) -> u64 {
        let sums = attendance.sums();
        let (noted, unknown) = (sums.played.as_secs(), sums.unknown.as_secs());
        let (played, slack) = (self.played, self.stays * WINDOW_SECONDS);
        assert!(noted <= played + slack + self.noisy, "evening {seed}: {noted} s noted, {played} s played");
        noted + unknown
    }

    fn look(&mut self, now: u64, truth: &Truth, evening: &Evening, sample: &Sample) {
        self.is_pausing = false;
        let is_held = sample.held == Held::Yes;
        // Where strangers cannot be told from players, they keep it awake.
        let is_noisy = evening.counts_strangers(now)
            && self.strangers_at.is_some_and(|at| now - at <= WINDOW_SECONDS + 1);
        let is_unknown = matches!(sample.players, Evidence::Unknown(_));
        self.blind += u64::from(is_unknown && !truth.is_on);
        if is_noisy {
            (self.alone, self.blind) = (0, 0);
            self.noisy += 1;
        }
        match sample.players {
            Evidence::Players(_) => (self.seen_empty, self.ever) = (0, true),
            Evidence::Empty | Evidence::Unknown(_) if is_held => self.seen_empty = 0,
            Evidence::Empty => self.seen_empty += 1,
            Evidence::Unknown(_) => {}
        }
        match sample.listening {
            Listening::Yes => (self.closed, self.closed_alone) = (0, 0),
            Listening::No => {
                self.closed += 1;
                self.closed_alone = if truth.is_on || is_noisy { 0 } else { self.closed_alone + 1 };
            }
            Listening::Unknown => {}
        }
        let is_mute = sample.answering == Answering::No && !truth.is_on && !is_held && !is_noisy;
        self.mute_alone = if is_mute { self.mute_alone + 1 } else { 0 };
        let is_still = truth.is_on && !truth.is_moving && !is_held && !evening.is_failing(now);
        let is_plain = matches!(sample.players, Evidence::Players(_)) && sample.still_for.is_some();
        self.seen_still = match (is_still && sample.players != Evidence::Empty, is_plain) {
            (false, _) => 0,
            (true, true) => self.seen_still + 1,
            (true, false) => self.seen_still,
        };
    }

    /// Fails if it should have stopped before.
    fn may_go_on(&self, seed: u64, now: u64, timers: &Timers) {
        assert!(now < CAP, "evening {seed}: it outlived its cap");
        // After a pause nobody is called absent before there was time to see them, nor before who was there has been silent
        // for long enough.
        let unseen = self.blind + if self.blind > 0 { 2 * WINDOW_SECONDS } else { 0 } + 1;
        let (limit, late) = if self.ever {
            (timers.last_left, SILENCE_SECONDS + WINDOW_SECONDS)
        } else {
            (timers.never_joined, 0)
        };
        let within = |what: &str, seconds: u64, limit: Duration, late: u64| {
            assert!(
                seconds <= limit.as_secs() + late + unseen,
                "evening {seed} at {now} s: {what}: {self:?}"
            );
        };
        within("alone", self.alone, limit, late);
        within("deaf", self.closed_alone, Watch::DEAF_LIMIT, SILENCE_SECONDS + WINDOW_SECONDS);
        within("mute", self.mute_alone, Watch::UNANSWERED_LIMIT, SILENCE_SECONDS + WINDOW_SECONDS);
        if !timers.afk.is_zero() {
            within("still", self.seen_still, timers.afk, WINDOW_SECONDS);
        }
    }

    /// Fails if it should not stop, or not for this reason.
    fn may_stop(
        &self,
        seed: u64,
        now: u64,
        why: &StopWhy,
        truth: &Truth,
        timers: &Timers,
        evening: &Evening,
    ) {
        let so = |is_so: bool| assert!(is_so, "evening {seed} at {now} s: {why:?}: {truth:?}, {self:?}");
        let after_gaps = |seconds: u64| seconds + LONGEST_GAP * (self.pauses + 1);
        match why {
            StopWhy::Cap => so(now == CAP),
            StopWhy::LastLeft | StopWhy::NeverJoined => {
                let limit = if *why == StopWhy::LastLeft { timers.last_left } else { timers.never_joined };
                so(!truth.is_known && after_gaps(self.seen_empty) >= limit.as_secs());
            }
            StopWhy::Deaf => {
                so(!truth.is_known && after_gaps(self.closed) >= Watch::DEAF_LIMIT.as_secs());
            }
            StopWhy::Unresponsive => {
                let is_long = evening.unanswered_for(now) >= Watch::UNANSWERED_LIMIT.as_secs();
                so(!truth.is_known && is_long && !evening.is_held(now));
            }
            StopWhy::AllAway => {
                let is_long = now - self.moved_at >= timers.afk.as_secs();
                so(is_long && !timers.afk.is_zero() && !evening.is_held(now));
            }
            StopWhy::Asked(_) | StopWhy::NeverReady | StopWhy::GameEnded(_) | StopWhy::Reclaimed => so(false),
        }
    }
}
