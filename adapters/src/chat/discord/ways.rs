//! Which ways to Discord are closed, and until when: what Discord said of its rate limits, and how long nobody is looked for
//! where nobody was.
//!
//! Whoever asks on regardless is shut out altogether: Discord blocks an address after 10,000 refused requests in 10 minutes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::chat::discord::{rest::Failure, snowflake::Snowflake};

/// How long Discord is left alone after it was out of reach; twice as long after each further time.
const FIRST_REST: Duration = Duration::from_secs(2);

/// How long it is left alone at most.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How long a way is closed at most, whatever Discord says: one request an hour is too much for nobody.
const LONGEST_CLOSED: Duration = Duration::from_secs(60 * 60);

/// What opens within this time is waited for.
const SHORT: Duration = Duration::from_secs(1);

/// How many ways are remembered as closed. There are as many as channels with cards and answers that are followed.
const MOST_CLOSED: usize = 1000;

/// What shares a rate limit of Discord's, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// An answer that is changed, by the path of its requests.
    Answer(String),
    /// The first answers to interactions. This way is always open: somebody waits, and it is one request for each thing that
    /// somebody does.
    FirstAnswer,
    /// The messages in a channel.
    Channel(Snowflake),
    /// The application's commands.
    Commands,
    /// All that the bot does in its own name.
    Bot,
    /// Everything.
    Everything,
}

impl Way {
    /// Returns the ways of which each has to be open.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::FirstAnswer => vec![],
            Self::Answer(_) => vec![self, &Self::Everything],
            Self::Channel(_) | Self::Commands => vec![self, &Self::Bot, &Self::Everything],
            Self::Bot => vec![self, &Self::Everything],
            Self::Everything => vec![self],
        }
    }
}

/// The ways to Discord.
#[derive(Default)]
pub(super) struct Ways(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Until when ways are closed, as Discord says.
    closed: BTreeMap<Way, Instant>,
    /// How often in a row Discord was out of reach, and until when it is left alone.
    away: Option<(u32, Instant)>,
}

impl Ways {
    /// Returns once `way` is open, and at once where that would take long, or longer than `until`.
    pub(super) async fn pass(&self, way: &Way, until: Instant) -> Result<(), Failure> {
        let Some((opens, why)) = self.opens(way) else { return Ok(()) };
        let now = Instant::now();
        if opens > until.min(now + SHORT) {
            let left = opens.saturating_duration_since(now).as_secs() + 1;
            return Err(Failure::Unavailable(format!("{why}, so it is left alone for {left} s")));
        }
        tokio::time::sleep_until(opens).await;
        Ok(())
    }

    /// Returns when `way` opens, and why it is closed, if it is.
    fn opens(&self, way: &Way) -> Option<(Instant, &'static str)> {
        let (held, now, parts) = (self.held(), Instant::now(), way.parts());
        let closed = parts.iter().filter_map(|part| held.closed.get(part));
        let closed = closed.map(|opens| (*opens, "its rate limit is reached"));
        let away = held.away.filter(|_| !parts.is_empty()).map(|(_, until)| (until, "it was not there"));
        closed.chain(away).filter(|(opens, _)| *opens > now).max()
    }

    /// Closes `way` for `wait`.
    pub(super) fn close(&self, way: Way, wait: Duration) {
        let (mut held, now) = (self.held(), Instant::now());
        held.closed.retain(|_, opens| *opens > now);
        // So many ways at their limits are a limit on all.
        let way = if held.closed.len() < MOST_CLOSED { way } else { Way::Everything };
        let opens = held.closed.entry(way).or_insert(now);
        *opens = (*opens).max(now + wait.min(LONGEST_CLOSED));
    }

    /// Tells whether Discord was out of reach when it was last asked.
    pub(super) fn is_away(&self) -> bool {
        self.held().away.is_some()
    }

    /// Remembers that Discord is out of reach. What was under way at the same time says nothing new.
    pub(super) fn lose(&self) {
        let (mut held, now) = (self.held(), Instant::now());
        let times = match held.away {
            Some((_, until)) if until > now => return,
            Some((times, _)) => times.saturating_add(1),
            None => 0,
        };
        let rest = FIRST_REST.saturating_mul(2u32.saturating_pow(times)).min(LONGEST_REST);
        held.away = Some((times, now + rest));
    }

    /// Remembers that Discord is there.
    pub(super) fn find(&self) {
        self.held().away = None;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: &str) -> Way {
        Way::Channel(id.parse().unwrap())
    }

    fn is_open(ways: &Ways, way: &Way) -> bool {
        ways.opens(way).is_none()
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_closes_what_shares_it_and_nothing_else() {
        let answer = Way::Answer("a".into());
        for (closed, open) in [
            (channel("1"), vec![channel("2"), answer.clone(), Way::Commands, Way::FirstAnswer]),
            (Way::Bot, vec![answer.clone(), Way::FirstAnswer]),
            (Way::Everything, vec![Way::FirstAnswer]),
        ] {
            let ways = Ways::default();
            ways.close(closed.clone(), Duration::from_secs(5));
            let all = [channel("1"), channel("2"), answer.clone(), Way::Commands, Way::FirstAnswer];
            for way in all {
                assert_eq!(is_open(&ways, &way), open.contains(&way), "{closed:?} {way:?}");
            }
            tokio::time::advance(Duration::from_secs(5)).await;
            assert!(is_open(&ways, &channel("1")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_opens_soon_is_waited_for() {
        let (ways, begun) = (Ways::default(), Instant::now());
        ways.close(channel("1"), Duration::from_millis(900));
        assert!(ways.pass(&channel("1"), begun + Duration::from_millis(500)).await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(ways.pass(&channel("1"), begun + Duration::from_secs(8)).await, Ok(()));
        assert_eq!(begun.elapsed(), Duration::from_millis(900));
        ways.close(channel("1"), Duration::from_secs(2));
        assert!(ways.pass(&channel("1"), begun + Duration::from_secs(8)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_away_is_looked_for_ever_more_seldom() {
        let ways = Ways::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            ways.lose();
            ways.lose();
            let (opens, _) = ways.opens(&channel("1")).unwrap();
            waits.push((opens - Instant::now()).as_secs());
            tokio::time::advance(opens - Instant::now()).await;
            assert!(is_open(&ways, &channel("1")) && ways.is_away());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        ways.lose();
        ways.find();
        assert!(is_open(&ways, &channel("1")) && !ways.is_away());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let ways = Ways::default();
        for n in 0..MOST_CLOSED + 10 {
            ways.close(Way::Answer(n.to_string()), Duration::MAX);
        }
        assert_eq!(ways.held().closed.len(), MOST_CLOSED + 1);
        assert!(!is_open(&ways, &Way::Answer("another".into())));
        tokio::time::advance(LONGEST_CLOSED).await;
        assert!(is_open(&ways, &Way::Answer("another".into())));
    }
}
