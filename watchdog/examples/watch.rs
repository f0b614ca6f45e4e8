//! Looks at sockets and datagrams as the watchdog does, and as others do, and tells what that costs: what
//! `cargo xtask bench watch` measures. It is to be run in a network namespace of its own, whose only sockets are its own.
//!
//! ```console
//! $ cargo run --release --package watchdog --example watch -- sockets 1000 30000 30000 | datagrams 1000 30000 30000 tap
//! ```

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::{
    resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit},
    time::TimeValLike,
};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use watchdog::{
    packet::{AnswerTap, PacketTap},
    peers::{Kind, PeerTable},
    procnet::Tables,
    sockets::Sockets,
};

/// How many connections one process holds: two descriptors each, of which many machines allow 20,000.
const HELD: usize = 8_000;

/// How long the sockets are looked at, and how often at least.
const LOOKING: Duration = Duration::from_secs(6);
const FEWEST: usize = 5;
const MOST: usize = 200;

/// How long datagrams are listened to, and how often they are taken in, as the watchdog does.
const LISTENING: Duration = Duration::from_secs(5);
const GLANCE_EVERY: Duration = Duration::from_millis(100);

/// From how many addresses they come.
const SENDERS: u8 = 8;

const FILES: [&str; 6] = ["tcp", "tcp6", "udp", "udp6", "snmp", "snmp6"];

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["sockets", count, game, at] => sockets(count.parse()?, game.parse()?, at.parse()?),
        ["hold", count, at, which] => hold(count.parse()?, at.parse()?, which.parse()?),
        ["datagrams", rate, game, to, how] => datagrams(rate.parse()?, game.parse()?, to.parse()?, how),
        ["send", rate, to] => send(rate.parse()?, to.parse()?),
        _ => bail!(
            "sockets COUNT GAME-PORT THEIR-PORT | datagrams RATE GAME-PORT THEIR-PORT nothing/tap/answers"
        ),
    }
}

/// A way to look at the sockets.
type Way = (&'static str, Box<dyn FnMut() -> Result<()>>);

/// Tells what one look costs with `count` sockets, half of which are connections to the port `at`.
fn sockets(count: usize, game: u16, at: u16) -> Result<()> {
    let _game = TcpListener::bind((Ipv4Addr::LOCALHOST, game))?;
    let pairs = count / 2;
    let held = (0..pairs.div_ceil(HELD)).map(|n| {
        let here = HELD.min(pairs - n * HELD);
        Helper::start(&["hold", &here.to_string(), &at.to_string(), &n.to_string()])
    });
    let _held: Vec<Helper> = held.collect::<Result<_>>()?;
    let expected = if at == game { pairs } else { 0 };
    let mut ways = ways(game, expected)?;
    let mut told: Vec<_> = ways.iter().map(|(name, _)| (*name, Vec::new(), Vec::new())).collect();
    // Once that does not count, and then in turn, so that what else the machine does hits all alike.
    ways.iter_mut().try_for_each(|(_, look)| look())?;
    let begun = Instant::now();
    for round in 0..MOST {
        if round >= FEWEST && begun.elapsed() > LOOKING {
            break;
        }
        for ((_, look), (_, walls, cpus)) in ways.iter_mut().zip(&mut told) {
            let (before, begun) = (processor()?, Instant::now());
            look()?;
            walls.push(nanoseconds(begun.elapsed()));
            cpus.push(nanoseconds(processor()? - before));
        }
    }
    let told: Vec<_> =
        told.into_iter().map(|(way, wall, cpu)| json!({ "way": way, "wall": wall, "cpu": cpu })).collect();
    Ok(writeln!(io::stdout(), "{}", json!(told))?)
}

fn ways(game: u16, expected: usize) -> Result<Vec<Way>> {
    let mut by_netlink = Sockets::open(&[game], &[]);
    ensure!(by_netlink.describe() == "by netlink", "{}", by_netlink.describe());
    let count = move |tables: &Tables| {
        let players = tables.connections(&[game]).count();
        ensure!(players == expected, "{players} of {expected} connections are seen");
        Ok(())
    };
    let mut buffer = vec![0; 64 << 10];
    Ok(vec![
        ("netlink", Box::new(move || count(&by_netlink.look()?))),
        ("text", Box::new(move || count(&Tables::read(Path::new("/proc/net"))?))),
        ("read", Box::new(move || read(&mut buffer))),
        ("ss", Box::new(|| run("ss -tn state established"))),
        ("netstat", Box::new(|| run("netstat -tn | grep ESTABLISHED"))),
    ])
}

/// Reads what the text tables are read from, and does nothing with it.
fn read(buffer: &mut [u8]) -> Result<()> {
    for name in FILES {
        let mut file = File::open(Path::new("/proc/net").join(name))?;
        while file.read(buffer)? > 0 {}
    }
    Ok(())
}

fn run(script: &str) -> Result<()> {
    let status =
        Command::new("sh").args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    // `grep` finds nothing where nothing is.
    ensure!(matches!(status.code(), Some(0 | 1)), "`{script}` fails ({status})");
    Ok(())
}

/// Holds `count` connections to the port `at`, at addresses of its own, until nobody wants them any more.
fn hold(count: usize, at: u16, which: u8) -> Result<()> {
    let (soft, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.max(soft), most)?;
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 1, 1 + which), at))?;
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 2, 1 + which), 0));
    let mut held: Vec<(TcpStream, TcpStream)> = Vec::with_capacity(count);
    for _ in 0..count {
        let player = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        player.bind(&from.into())?;
        player.connect(&listener.local_addr()?.into())?;
        held.push((player.into(), listener.accept()?.0));
    }
    wait_until_unwanted()
}

/// Tells what share of a processor it takes to listen while so many datagrams a second go to the port `to`, and what share
/// to send them.
fn datagrams(rate: u32, game: u16, to: u16, how: &str) -> Result<()> {
    let _game = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, game))?;
    let _other = (to != game).then(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, to))).transpose()?;
    let mut tap = (how != "nothing").then(|| PacketTap::open(&[game])).transpose()?;
    let mut answers = (how == "answers").then(AnswerTap::open).transpose()?;
    let mut table = PeerTable::default();
    let sender = Helper::start(&["send", &rate.to_string(), &to.to_string()])?;
    let (mut seen, mut lost) = (0, 0);
    let (before, sender_before, begun) = (processor()?, sender.processor()?, Instant::now());
    while begun.elapsed() < LISTENING {
        thread::sleep(GLANCE_EVERY);
        let now = begun.elapsed().as_secs();
        if let Some(tap) = &mut tap {
            let drained = tap.drain(&mut |d| table.saw(now, d.source, Kind::of(d.payload, &[])))?;
            (seen, lost) = (seen + drained.datagrams, lost + drained.lost);
        }
        if let Some(answers) = &mut answers {
            lost += answers.drain(&mut |address| table.answered(address))?.lost;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let share = |used: Duration| used.as_secs_f64() / took;
    let (own, sending) = (share(processor()? - before), share(sender.processor()? - sender_before));
    let told = json!({ "own": own, "sending": sending, "seen": seen, "lost": lost });
    Ok(writeln!(io::stdout(), "{told}")?)
}

/// Sends `rate` datagrams a second to the port `to` from several addresses, until nobody wants them any more.
fn send(rate: u32, to: u16) -> Result<()> {
    let sockets: Vec<UdpSocket> = (1..=SENDERS)
        .map(|n| UdpSocket::bind((Ipv4Addr::new(127, 0, 3, n), 0)))
        .collect::<io::Result<_>>()?;
    let ended = thread::spawn(wait_until_unwanted);
    let (begun, mut sent) = (Instant::now(), 0_u64);
    while !ended.is_finished() {
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        for n in sent..due {
            let socket = sockets.get(n as usize % sockets.len()).context("no socket")?;
            // As long as a player's usual word. The game may have no room for it.
            let _ = socket.send_to(&[b'x'; 60], (Ipv4Addr::LOCALHOST, to));
        }
        sent = due;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Says that all is in place, and waits until the input ends.
fn wait_until_unwanted() -> Result<()> {
    writeln!(io::stdout(), "ready")?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// This program once more, doing something else. It ends when this is dropped.
struct Helper(Child);

impl Helper {
    fn start(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut ready = [0; 6];
        let out = child.stdout.as_mut().context("a helper has no output")?;
        out.read_exact(&mut ready).with_context(|| format!("`{}` fails", words.join(" ")))?;
        Ok(Self(child))
    }

    /// Returns the processor time of all its threads so far.
    fn processor(&self) -> Result<Duration> {
        let mut all = Duration::ZERO;
        for thread in Path::new(&format!("/proc/{}/task", self.0.id())).read_dir()? {
            let told = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            all += Duration::from_nanos(told.split(' ').next().unwrap_or_default().parse()?);
        }
        Ok(all)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Not an error: it may have ended by itself.
        let _ = self.0.wait();
    }
}

/// Returns the processor time of this process and of those that it ran and that have ended. A helper has not.
fn processor() -> Result<Duration> {
    let mut microseconds = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let used = getrusage(who)?;
        microseconds += used.user_time().num_microseconds() + used.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}

fn nanoseconds(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}
