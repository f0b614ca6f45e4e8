//! What the watchdog sees: `dormouse watchdog peers --json` beside a server, and every look that it took.

use std::{
    fmt::{self, Write as _},
    io::{BufRead, BufReader},
    net::IpAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{dormouse::program, netns::Namespace};

/// How often it is looked whether there is a new look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most looks that are kept: one a second for hours.
const MAX_LOOKS: usize = 20_000;

/// More changes than these are told as shares.
const MANY_CHANGES: usize = 3;

/// Whether the watchdog may see packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetRaw {
    /// It has the capability.
    With,
    /// It has not.
    Without,
}

/// What all sources together said at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// So many, 0 too.
    Players(u64),
    /// It could not tell, and why.
    Unknown(String),
}

/// One look.
#[derive(Debug, Clone)]
pub struct Look {
    /// When it was taken.
    pub at: Instant,
    /// What it came to.
    pub seen: Seen,
    /// The source that said so, or what it said where all were blind.
    pub source: String,
    /// All of it, as the watchdog printed it.
    pub json: Value,
}

impl Look {
    fn parse(line: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(line).with_context(|| format!("no look: {line}"))?;
        let verdict = &json["verdict"];
        let seen = match (verdict["players"].as_u64(), verdict["unknown"].as_str()) {
            (Some(n), _) => Seen::Players(n),
            (None, Some(why)) => Seen::Unknown(why.to_owned()),
            (None, None) => bail!("no verdict: {line}"),
        };
        let sources = json["sources"].as_array().map_or(&[][..], Vec::as_slice);
        let agrees = |source: &&Value| source["says"] == *verdict;
        let source = sources.iter().find(agrees).and_then(|source| source["source"].as_str());
        Ok(Self { at: Instant::now(), seen, source: source.unwrap_or_default().to_owned(), json })
    }

    /// Returns what the peers with this address are taken for.
    pub fn takes(&self, address: IpAddr) -> Vec<String> {
        let peers = self.json["peers"].as_array().map_or(&[][..], Vec::as_slice);
        let is_it = |peer: &&Value| {
            let shown = peer["address"].as_str().and_then(|a| a.rsplit_once(':')).map(|(host, _)| host);
            shown.is_some_and(|host| host == address.to_string())
        };
        peers.iter().filter(is_it).filter_map(|p| p["taken_for"].as_str()).map(str::to_owned).collect()
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.seen, self.source.as_str()) {
            (Seen::Players(n), "") => write!(f, "{n}"),
            (Seen::Players(n), source) => write!(f, "{n} by {source}"),
            (Seen::Unknown(why), _) => write!(f, "unknown ({})", without_numbers(why)),
        }
    }
}

/// Returns `why` without what changes with each look: `watched for only 3 s`.
fn without_numbers(why: &str) -> String {
    let mut text = String::new();
    for c in why.chars() {
        match c {
            '0'..='9' if text.ends_with('…') => {}
            '0'..='9' => text.push('…'),
            c => text.push(c),
        }
    }
    text
}

/// A watchdog that looks once a second. Dropping it ends it.
#[derive(Debug)]
pub struct Observer {
    program: Child,
    looks: Arc<Mutex<Vec<Look>>>,
}

impl Observer {
    /// Starts to look at the game with this catalogue `entry` inside `ns`.
    pub fn start(ns: &Namespace, entry: &Path, net_raw: NetRaw) -> Result<Self> {
        let mut command = match net_raw {
            NetRaw::With => ns.command(program()),
            NetRaw::Without => without_net_raw(ns),
        };
        command.args(["watchdog", "peers", "--json", "--game"]).arg(entry);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = command.spawn().context("starting the watchdog")?;
        let stdout = program.stdout.take().context("a watchdog without an output")?;
        let looks = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&looks);
        thread::spawn(move || keep(stdout, &kept));
        Ok(Self { program, looks })
    }

    /// Waits for the first look since `since` for which `is_so`, and returns how long after `since` it was taken.
    pub fn wait(
        &self,
        since: Instant,
        limit: Duration,
        what: &str,
        is_so: impl Fn(&Look) -> bool,
    ) -> Result<Duration> {
        let deadline = Instant::now() + limit;
        loop {
            let found = self.looks().iter().find(|look| look.at >= since && is_so(look)).map(|look| look.at);
            if let Some(at) = found {
                return Ok(at - since);
            }
            if Instant::now() > deadline {
                bail!("{what}: not seen in {} s, but {}", limit.as_secs(), self.course(since));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until exactly `n` players are seen.
    pub fn wait_for(&self, n: u64, since: Instant, limit: Duration) -> Result<Duration> {
        self.wait(since, limit, &format!("{n} players"), |look| look.seen == Seen::Players(n))
    }

    /// Waits until it has looked at all of the `time` that began with `since`.
    pub fn look_for(&self, since: Instant, time: Duration) -> Result<()> {
        let until = since + time;
        let limit = until.saturating_duration_since(Instant::now()) + Duration::from_secs(30);
        self.wait(since, limit, "another look", |look| look.at >= until).map(drop)
    }

    /// Returns the looks from `since` on.
    pub fn since(&self, since: Instant) -> Vec<Look> {
        self.looks().iter().filter(|look| look.at >= since).cloned().collect()
    }

    /// Returns in words what was seen from `since` on: each change, and when.
    pub fn course(&self, since: Instant) -> String {
        course(&self.since(since), since)
    }

    fn looks(&self) -> MutexGuard<'_, Vec<Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // Nobody is left to tell; one that has ended by itself is as good.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Returns in words what `looks` saw: each change, or how often each was seen if there are many changes.
pub fn summary(looks: &[Look], since: Instant) -> String {
    let said: Vec<_> = looks.iter().map(Look::to_string).collect();
    let changes = said.windows(2).filter(|pair| pair.first() != pair.last()).count();
    if changes <= MANY_CHANGES {
        return course(looks, since);
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for said in &said {
        match counts.iter_mut().find(|(known, _)| known == said) {
            Some((_, count)) => *count += 1,
            None => counts.push((said, 1)),
        }
    }
    let parts: Vec<_> =
        counts.iter().map(|(said, count)| format!("{said} in {count} of {} looks", looks.len())).collect();
    parts.join("; ")
}

/// Returns in words what `looks` saw: each change, and how long after `since` it was.
pub fn course(looks: &[Look], since: Instant) -> String {
    let mut text = String::new();
    let mut before = String::new();
    for look in looks {
        let said = look.to_string();
        if said != before {
            let after = (look.at - since).as_secs();
            let _ = write!(text, "{}{said}", if text.is_empty() { "" } else { "; " });
            if !before.is_empty() {
                let _ = write!(text, " after {after} s");
            }
            before = said;
        }
    }
    if text.is_empty() { "nothing was said".into() } else { text }
}

fn keep(stdout: ChildStdout, looks: &Mutex<Vec<Look>>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let Ok(look) = Look::parse(&line) else { return };
        let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() >= MAX_LOOKS {
            return;
        }
        looks.push(look);
    }
}

fn without_net_raw(ns: &Namespace) -> Command {
    let mut command = ns.command("setpriv");
    command.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]).arg(program());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_names_the_source_that_decided() {
        let line = r#"{"verdict":{"players":2},"sources":[
            {"source":"socket tables","protocol":"udp","says":{"unknown":"blind"}},
            {"source":"packet peers","protocol":"udp","says":{"players":2}}],
            "peers":[{"address":"10.77.0.11:5000","taken_for":"player"}]}"#
            .replace('\n', "");
        let look = Look::parse(&line).unwrap();
        assert_eq!(look.to_string(), "2 by packet peers");
        assert_eq!(look.takes([10, 77, 0, 11].into()), ["player"]);
        assert!(look.takes([10, 77, 0, 1].into()).is_empty());
    }

    #[test]
    fn a_course_tells_changes_and_not_looks() {
        let since = Instant::now();
        let look = |second, line: &str| Look {
            at: since + Duration::from_secs(second),
            ..Look::parse(line).unwrap()
        };
        let looks = [
            look(0, r#"{"verdict":{"unknown":"watched for only 28 s"}}"#),
            look(1, r#"{"verdict":{"unknown":"watched for only 29 s"}}"#),
            look(2, r#"{"verdict":{"players":0}}"#),
            look(3, r#"{"verdict":{"players":0}}"#),
        ];
        assert_eq!(course(&looks, since), "unknown (watched for only … s); 0 after 2 s");
        assert_eq!(summary(&looks, since), course(&looks, since));
        let again = [&looks[..], &looks, &looks].concat();
        assert_eq!(
            summary(&again, since),
            "unknown (watched for only … s) in 6 of 12 looks; 0 in 6 of 12 looks"
        );
    }
}
