//! Keeps what came over the wire, small enough for fast tests to replay.
//!
//! A line each: `=12` begins a second; `u` is a datagram that came (of each sender and kind the first of that second: who,
//! its first bytes), `o` somebody whom the server answered (once in 20 s), `t` the connections of that second if they are
//! others than before (who, how often something was sent again, whether anything was ever said), `-` what happened.
//! Addresses become those of TEST-NET-3.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use domain::game::Protocol;
use e2e::{netns::Namespace, seeing::games::Game};
use watchdog::{
    packet::{AnswerTap, PacketTap},
    peers::Kind,
    sockets::Sockets,
};

/// How many bytes of a datagram are kept: as many as a pattern can have, of what is play fewer.
const QUERY_BYTES: usize = 28;
const PLAY_BYTES: usize = 10;

/// How often it is noted that somebody is answered.
const ANSWERED_EVERY_SECONDS: u64 = 20;

/// A recording in the making.
pub(crate) struct Recorder {
    notes: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<String>>,
    file: PathBuf,
}

impl Recorder {
    /// Begins to record what comes for the `game` in `ns` into `file`.
    pub(crate) fn start(game: Game, ns: &Namespace, file: PathBuf) -> Result<Self> {
        let file = file.with_extension("txt");
        let (notes, stop) = (Arc::default(), Arc::default());
        let (theirs, stopped) = (Arc::clone(&notes), Arc::clone(&stop));
        let entry = games::Catalogue::read_file(&game.entry())?.game;
        let thread = ns.spawn(move || record(&entry, &theirs, &stopped));
        Ok(Self { notes, stop, thread, file })
    }

    /// Notes that `what` happens now.
    pub(crate) fn note(&self, what: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
    }

    /// Ends the recording and writes it.
    pub(crate) fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let text = self.thread.join().map_err(|_| anyhow!("the recorder panicked"))??;
        Ok(fs::write(self.file, text)?)
    }
}

fn record(game: &domain::game::Game, notes: &Mutex<Vec<String>>, stop: &AtomicBool) -> Result<String> {
    let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(|protocol| game.ports_of(protocol));
    let mut taps = if udp.is_empty() { None } else { Some((PacketTap::open(&udp)?, AnswerTap::open()?)) };
    let mut sockets = Sockets::open(&tcp, &udp);
    let mut text = format!("# {}: recorded with its real server and players\n", game.name);
    let mut connections = String::new();
    let mut answered = BTreeMap::new();
    let begun = Instant::now();
    for second in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut lines = String::new();
        let mut senders = BTreeSet::new();
        while begun.elapsed() < Duration::from_secs(second + 1) {
            thread::sleep(Duration::from_millis(50));
            notes.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|note| {
                _ = writeln!(lines, "- {note}");
            });
            let Some((packets, answers)) = &mut taps else { continue };
            packets.drain(&mut |datagram| {
                let kind = Kind::of(datagram.payload, &game.players.queries);
                let kept = if kind == Kind::Query { QUERY_BYTES } else { PLAY_BYTES };
                if senders.insert((datagram.source, kind == Kind::Query)) {
                    let bytes = datagram.payload.iter().take(kept).fold(String::new(), |mut hex, byte| {
                        _ = write!(hex, "{byte:02x}");
                        hex
                    });
                    _ = writeln!(lines, "u {} {bytes}", test_net(datagram.source));
                }
            })?;
            answers.drain(&mut |address| {
                let at = answered.entry(address).or_insert(None::<u64>);
                let is_known = senders.iter().any(|(sender, _)| sender.ip() == address);
                if is_known && at.is_none_or(|at| second >= at + ANSWERED_EVERY_SECONDS) {
                    *at = Some(second);
                    _ = writeln!(lines, "o {}", test_net_address(address));
                }
            })?;
        }
        if !tcp.is_empty() {
            let tables = sockets.look()?;
            let mut rows: Vec<_> = tables
                .connections(&tcp)
                .map(|row| {
                    let said = u8::from(row.received != Some(0));
                    format!(" {}/{}/{said}", test_net(row.remote), row.retransmits)
                })
                .collect();
            rows.sort();
            let rows = rows.concat();
            if rows != connections {
                _ = writeln!(lines, "t{rows}");
                connections = rows;
            }
        }
        if !lines.is_empty() {
            _ = write!(text, "={second}\n{lines}");
        }
    }
    Ok(text)
}

fn test_net(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(test_net_address(address.ip()), address.port())
}

fn test_net_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::new(203, 0, 113, v4.octets()[3]).into(),
        IpAddr::V6(_) => address,
    }
}
