//! Those whom the front door is not for.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::super::{
    discord::{Discord, Interaction, Signed, now},
    http,
};

/// How many send as fast as they can.
const FAST: u64 = 4;

/// How many are slow, or silent: twice as many as there are seats.
pub(super) const SLOW: usize = 1_000;

/// How often somebody slow sends a byte.
const DRIP: Duration = Duration::from_secs(1);

/// How large a huge body is.
const HUGE: usize = 10_000_000;

/// The largest body that is read.
const LARGEST: usize = 256 * 1024;

/// How many send their bodies in crumbs: each is a million bytes and more on the wire, of which all are to be there at once.
const CRUMBLERS: usize = 100;

/// The number of the first interaction of a crowd.
const FIRST: u64 = 900_000_000_000_000;

/// A crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    /// Nobody else.
    Nobody,
    /// Signatures that are wrong.
    Forged,
    /// What Discord said before, again and again.
    Replayed,
    /// What Discord said ten minutes ago.
    Old,
    /// Bodies of ten megabytes.
    Huge,
    /// Heads that come byte by byte.
    SlowHeads,
    /// Bodies that come byte by byte.
    SlowBodies,
    /// The largest bodies that are read, but for their last byte.
    Unfinished,
    /// The same, in chunks of one byte.
    Crumbs,
    /// Connections over which nothing comes.
    Silent,
    /// Connections that come as fast as they can, and stay.
    Rushing,
    /// All of them at once.
    Everybody,
    /// Nobody any more.
    Gone,
}

/// How many were turned away, and how.
#[derive(Debug, Default, Serialize)]
pub(super) struct Turned(BTreeMap<String, u64>);

impl Crowd {
    pub(super) const ALL: [Self; 13] = [
        Self::Nobody,
        Self::Forged,
        Self::Replayed,
        Self::Old,
        Self::Huge,
        Self::SlowHeads,
        Self::SlowBodies,
        Self::Unfinished,
        Self::Crumbs,
        Self::Silent,
        Self::Rushing,
        Self::Everybody,
        Self::Gone,
    ];

    /// Returns what the report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody else",
            Self::Forged => "wrong signatures, by 4",
            Self::Replayed => "what was said before, by 4",
            Self::Old => "what is ten minutes old, by 4",
            Self::Huge => "bodies of 10 MB, by 4",
            Self::SlowHeads => "1,000 heads byte by byte",
            Self::SlowBodies => "1,000 bodies byte by byte",
            Self::Unfinished => "1,000 bodies of 256 KiB without their end",
            Self::Crumbs => "100 of these in chunks of a byte",
            Self::Silent => "1,000 silent connections",
            Self::Rushing => "new silent connections, by 4",
            Self::Everybody => "all of these at once",
            Self::Gone => "nobody any more",
        }
    }

    /// Returns a number that no other crowd has, and which is not zero.
    pub(super) fn number(self) -> u64 {
        1 + self as u64
    }

    /// Presses on the front door until it is over.
    pub(super) fn press(self, address: SocketAddr, over: &AtomicBool) -> Result<Turned> {
        let all = match self {
            Self::Nobody | Self::Gone => return Ok(Turned::default()),
            Self::Everybody => &Self::ALL[1..11],
            Self::Forged
            | Self::Replayed
            | Self::Old
            | Self::Huge
            | Self::SlowHeads
            | Self::SlowBodies
            | Self::Unfinished
            | Self::Crumbs
            | Self::Silent
            | Self::Rushing => &[self][..],
        };
        thread::scope(|scope| {
            let mut pressing = Vec::new();
            for crowd in all {
                for member in 0..crowd.members() {
                    pressing.push(scope.spawn(move || crowd.press_as(member, address, over)));
                }
            }
            let mut turned = Turned::default();
            for member in pressing {
                let so = member.join().ok().context("one of the crowd broke down")??;
                so.0.into_iter().for_each(|(how, count)| *turned.0.entry(how).or_default() += count);
            }
            Ok(turned)
        })
    }

    /// Returns how many threads it takes.
    fn members(self) -> u64 {
        match self {
            Self::Nobody | Self::Everybody | Self::Gone => 0,
            Self::Forged | Self::Replayed | Self::Old | Self::Huge | Self::Rushing => FAST,
            Self::SlowHeads | Self::SlowBodies | Self::Unfinished | Self::Crumbs | Self::Silent => 1,
        }
    }

    fn press_as(self, member: u64, address: SocketAddr, over: &AtomicBool) -> Result<Turned> {
        let discord = Discord::after(FIRST + member * 1_000_000)?;
        let signed = discord.says(Interaction::Status);
        let head = "POST /discord/interactions HTTP/1.1\r\nHost: x\r\n";
        match self {
            Self::Nobody | Self::Everybody | Self::Gone => Ok(Turned::default()),
            Self::Forged => hurry(address, over, &Signed { body: signed.body + " ", ..signed }.request()),
            Self::Replayed => hurry(address, over, &signed.request()),
            Self::Old => hurry(address, over, &discord.said_at(now() - 600, Interaction::Status).request()),
            Self::Huge => {
                let body = " ".repeat(HUGE) + &signed.body;
                hurry(address, over, &Signed { body, ..signed }.request())
            }
            Self::SlowHeads => drip(address, over, SLOW, &format!("{head}X-Slow: "), b"a"),
            Self::SlowBodies => {
                drip(address, over, SLOW, &format!("{head}Content-Length: 100000\r\n\r\n"), b" ")
            }
            Self::Unfinished => {
                let begun = " ".repeat(LARGEST - 1);
                drip(address, over, SLOW, &format!("{head}Content-Length: {LARGEST}\r\n\r\n{begun}"), b"")
            }
            Self::Crumbs => {
                let begun = "1\r\n \r\n".repeat(LARGEST - 1);
                let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{begun}");
                drip(address, over, CRUMBLERS, &request, b"")
            }
            Self::Silent => drip(address, over, SLOW, "", b""),
            Self::Rushing => Ok(rush(address, over)),
        }
    }
}

/// Sends `request` again and again, over the same connection for as long as that is there.
fn hurry(address: SocketAddr, over: &AtomicBool, request: &[u8]) -> Result<Turned> {
    let mut turned = Turned::default();
    while !over.load(Ordering::Relaxed) {
        // Whoever cannot connect is turned away as well.
        let Ok(stream) = http::connect(&address.to_string()) else {
            turned.count("no connection".to_owned());
            continue;
        };
        let Ok(answers) = stream.try_clone() else { continue };
        let (mut stream, mut answers) = (stream, BufReader::new(answers));
        while !over.load(Ordering::Relaxed) {
            // An answer may come before all is sent.
            let sent = stream.write_all(request);
            let answer = http::read_answer(&mut answers);
            turned.count(answer.as_ref().map_or("closed".to_owned(), |(status, _)| status.to_string()));
            if sent.is_err() || answer.is_err() {
                break;
            }
        }
    }
    Ok(turned)
}

/// Connects again and again, and keeps the newest connections.
fn rush(address: SocketAddr, over: &AtomicBool) -> Turned {
    let mut turned = Turned::default();
    let mut kept = VecDeque::new();
    while !over.load(Ordering::Relaxed) {
        match http::connect(&address.to_string()) {
            Ok(stream) => kept.push_back(stream),
            Err(_) => turned.count("no connection".to_owned()),
        }
        if kept.len() > SLOW {
            kept.pop_front();
            turned.count("sent away".to_owned());
        }
    }
    turned
}

/// Keeps many connections, over each of which comes `begin` and then `drop` again and again; whoever is sent away comes back.
fn drip(address: SocketAddr, over: &AtomicBool, many: usize, begin: &str, drop: &[u8]) -> Result<Turned> {
    let mut turned = Turned::default();
    let mut streams: Vec<Option<TcpStream>> = (0..many).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        for stream in &mut streams {
            if over.load(Ordering::Relaxed) {
                break;
            }
            if stream.as_mut().is_some_and(|stream| is_sent_away(stream, drop)) {
                turned.count("sent away".to_owned());
                *stream = None;
            }
            if stream.is_none() {
                *stream = begin_slowly(address, begin).ok();
            }
        }
        thread::sleep(DRIP.saturating_sub(begun.elapsed()));
    }
    Ok(turned)
}

fn begin_slowly(address: SocketAddr, begin: &str) -> Result<TcpStream> {
    let mut stream = http::connect(&address.to_string())?;
    stream.write_all(begin.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn is_sent_away(stream: &mut TcpStream, drop: &[u8]) -> bool {
    let mut said = [0; 256];
    let is_waiting = matches!(stream.read(&mut said), Err(error) if error.kind() == ErrorKind::WouldBlock);
    !is_waiting || stream.write_all(drop).is_err()
}

impl Turned {
    fn count(&mut self, how: String) {
        *self.0.entry(how).or_default() += 1;
    }

    /// Says how many were turned away in a second, by status.
    pub(super) fn words(&self, seconds: f64) -> String {
        let each = self.0.iter().map(|(how, count)| format!("{how}: {:.0}", *count as f64 / seconds));
        each.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_counted_by_how_it_was_turned_away() {
        let mut turned = Turned::default();
        for how in ["401", "413", "401"] {
            turned.count(how.to_owned());
        }
        assert_eq!(turned.words(0.5), "401: 4, 413: 2");
    }
}
