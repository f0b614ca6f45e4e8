//! Strangers: all who talk to a server and do not play. They scan, hold connections open, ask what server this is, knock.
//!
//! Each runs on a thread inside a namespace until it is ended, and tells how often it tried and was answered, so that a test
//! can make sure that it was there at all.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};

use super::games::Game;
use crate::netns::Namespace;

/// How long a stranger waits for an answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a scanner waits for one port.
const PORT_LIMIT: Duration = Duration::from_millis(100);

/// The pause between two scans of all ports.
const BETWEEN_SCANS: Duration = Duration::from_secs(5);

/// How many ports are scanned between two breaths.
const BURST: u16 = 256;

/// How many connections are held open by one who says nothing.
const HELD: usize = 5;

/// A half-open connection's state in the kernel's tables.
const SYN_RECEIVED: &str = "03";

/// What a stranger did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// How often it tried.
    pub made: u64,
    /// How often it was answered or let in.
    pub answered: u64,
}

/// What a stranger does.
#[derive(Debug, Clone)]
pub enum Stranger {
    /// Tries every TCP and every UDP port, again and again.
    Scans,
    /// Never says what the game understands: to a TCP game, connections held open without a word; to a UDP game, a datagram
    /// of nonsense a second.
    Babbles,
    /// Asks what server this is, as the game's own server list does.
    Pings {
        /// The time between two pings.
        every: Duration,
        /// Where from, in turn: from one address always by the same port, from many by another each time.
        from: Vec<Ipv4Addr>,
    },
    /// Begins TCP connections and never hears the answer; see [`Namespace::answer_nobody`].
    HalfOpens,
}

/// Counts the connections to `port` that are half open at the machine `ns`.
pub fn half_open_at(ns: &Namespace, port: u16) -> Result<usize> {
    // `/proc/net` would be that of the process, and only this thread is inside.
    let read = |table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
    let tables = ns.within(|| Ok(["tcp", "tcp6"].map(read).concat()))?;
    let local = format!(":{port:04X}");
    let is_so = |line: &&str| {
        let mut columns = line.split_whitespace().skip(1);
        columns.next().is_some_and(|at| at.ends_with(&local)) && columns.nth(1) == Some(SYN_RECEIVED)
    };
    Ok(tables.lines().filter(is_so).count())
}

/// A stranger at work. Dropping it ends it.
#[derive(Debug)]
pub struct AtWork {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Tries>>>,
}

impl Stranger {
    /// Begins to do so, inside `ns`, to the `game` at `server`.
    pub fn begin(self, ns: &Namespace, game: Game, server: Ipv4Addr) -> AtWork {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Stopped(Arc::clone(&stop));
        let at = SocketAddr::new(server.into(), game.port());
        let thread = ns.spawn(move || match self {
            Self::Scans => scan(at.ip(), &stopped),
            Self::Babbles if game.is_tcp() => hold(at, &stopped),
            Self::Babbles => babble(at, &stopped),
            Self::Pings { every, from } => ping(game, at, every, &from, &stopped),
            Self::HalfOpens => half_open(at, &stopped),
        });
        AtWork { stop, thread: Some(thread) }
    }
}

impl AtWork {
    /// Ends it, and tells what it did.
    pub fn end(mut self) -> Result<Tries> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or_else(|| anyhow!("ended already"))?;
        thread.join().map_err(|_| anyhow!("a stranger's thread panicked"))?
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whether a stranger is to go.
struct Stopped(Arc<AtomicBool>);

impl Stopped {
    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until `until`, or until it is to go.
    fn or_wait_until(&self, until: Instant) {
        while !self.is_so() && Instant::now() < until {
            thread::sleep(until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        }
    }
}

fn scan(server: IpAddr, stopped: &Stopped) -> Result<Tries> {
    let mut tries = Tries::default();
    let udp = UdpSocket::bind("0.0.0.0:0")?;
    while !stopped.is_so() {
        for port in 1..=u16::MAX {
            if port % BURST == 0 {
                thread::sleep(Duration::from_millis(5));
                if stopped.is_so() {
                    return Ok(tries);
                }
            }
            let at = SocketAddr::new(server, port);
            // A closed port refuses either; that is an answer to a scanner, and nothing more.
            tries.made += 1;
            tries.answered += u64::from(TcpStream::connect_timeout(&at, PORT_LIMIT).is_ok());
            for probe in [&b""[..], b"\r\n\r\n"] {
                let _ = udp.send_to(probe, at);
            }
        }
        stopped.or_wait_until(Instant::now() + BETWEEN_SCANS);
    }
    Ok(tries)
}

fn hold(server: SocketAddr, stopped: &Stopped) -> Result<Tries> {
    let mut tries = Tries::default();
    let mut held: Vec<TcpStream> = Vec::new();
    while !stopped.is_so() {
        held.retain_mut(is_open);
        while held.len() < HELD && !stopped.is_so() {
            tries.made += 1;
            if let Ok(connection) = TcpStream::connect_timeout(&server, PATIENCE) {
                connection.set_nonblocking(true)?;
                held.push(connection);
                tries.answered += 1;
            }
        }
        stopped.or_wait_until(Instant::now() + Duration::from_millis(500));
    }
    Ok(tries)
}

/// Says whether the server still holds its end of `connection`.
fn is_open(connection: &mut TcpStream) -> bool {
    match connection.read(&mut [0; 512]) {
        Ok(length) => length > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn babble(server: SocketAddr, stopped: &Stopped) -> Result<Tries> {
    let mut tries = Tries::default();
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_nonblocking(true)?;
    while !stopped.is_so() {
        let next = Instant::now() + Duration::from_secs(1);
        socket.send_to(b"GET / HTTP/1.1\r\n\r\n", server)?;
        tries.made += 1;
        stopped.or_wait_until(next);
        tries.answered += u64::from(socket.recv(&mut [0; 2048]).is_ok());
    }
    Ok(tries)
}

fn half_open(server: SocketAddr, stopped: &Stopped) -> Result<Tries> {
    let mut tries = Tries::default();
    let SocketAddr::V4(to) = server else { return Err(anyhow!("{server} is no IPv4 address")) };
    // The kernel says SYN again and again for as long as the socket is there.
    let mut begun = Vec::new();
    while !stopped.is_so() {
        if begun.len() < HELD {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
            let began = socket::connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrIn::from(to));
            tries.made += 1;
            // Only one that was let in at once has no error.
            tries.answered += u64::from(began.is_ok());
            begun.push(socket);
        }
        stopped.or_wait_until(Instant::now() + Duration::from_millis(200));
    }
    Ok(tries)
}

fn ping(
    game: Game,
    server: SocketAddr,
    every: Duration,
    from: &[Ipv4Addr],
    stopped: &Stopped,
) -> Result<Tries> {
    let mut tries = Tries::default();
    let bind = |address: Ipv4Addr| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    let kept = match from {
        [only] => Some(bind(*only)?),
        _ => None,
    };
    for address in from.iter().cycle() {
        if stopped.is_so() {
            break;
        }
        let next = Instant::now() + every;
        tries.made += 1;
        let answered = if game.is_tcp() {
            ask_tcp(game, server).is_ok_and(|length| length > 0)
        } else if let Some(socket) = &kept {
            ask_udp(game, socket, server)
        } else {
            ask_udp(game, &bind(*address)?, server)
        };
        tries.answered += u64::from(answered);
        stopped.or_wait_until(next);
    }
    Ok(tries)
}

/// Asks a TCP game what server it is, reads the beginning of its answer and hangs up. (TCP connections are told apart by
/// their ports, so one address serves.)
fn ask_tcp(game: Game, server: SocketAddr) -> std::io::Result<usize> {
    let mut connection = TcpStream::connect_timeout(&server, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let question: &[u8] = match game {
        // PACKET_CLIENT_GAME_INFO.
        Game::OpenTtd => &[3, 0, 7],
        // A handshake that wants the status (version 754, host "d", port 25565), and the question for it.
        Game::Java => &[8, 0, 0xf2, 5, 1, b'd', 0x63, 0xdd, 1, 1, 0],
        Game::Luanti | Game::Bedrock | Game::Teeworlds => return Ok(0),
    };
    connection.write_all(question)?;
    connection.read(&mut [0; 2048])
}

/// Asks a UDP game what server it is, and says whether it answered.
fn ask_udp(game: Game, socket: &UdpSocket, server: SocketAddr) -> bool {
    let ask = |question: &[u8]| {
        let mut answer = [0; 2048];
        socket.send_to(question, server).ok()?;
        let length = socket.recv(&mut answer).ok()?;
        answer.get(..length).map(<[u8]>::to_owned)
    };
    match game {
        // A reliable packet without a peer id: the server gives one.
        Game::Luanti => ask(&[0x4f, 0x45, 0x74, 3, 0, 0, 0, 1]).is_some(),
        Game::Bedrock => ask(&unconnected_ping()).is_some(),
        Game::Teeworlds => ask(&token_request()).and_then(|answer| ask(&get_info(&answer)?)).is_some(),
        Game::OpenTtd | Game::Java => false,
    }
}

/// Returns RakNet's unconnected ping: its number, the time, the magic, the sender's number.
fn unconnected_ping() -> Vec<u8> {
    const MAGIC: [u8; 16] = [0, 255, 255, 0, 254, 254, 254, 254, 253, 253, 253, 253, 0x12, 0x34, 0x56, 0x78];
    [&[1][..], &[0; 8], &MAGIC, &[7; 8]].concat()
}

/// What this side calls itself in Teeworlds.
const TOKEN: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// Returns the control packet with which Teeworlds 0.7 asks for the server's token, as long as it must be.
fn token_request() -> Vec<u8> {
    let mut packet = [&[4, 0, 0, 255, 255, 255, 255, 5][..], &TOKEN].concat();
    packet.resize(8 + 512, 0);
    packet
}

/// Returns the connectionless packet with which the server list of Teeworlds 0.7 asks, given the answer to the above.
fn get_info(answer: &[u8]) -> Option<Vec<u8>> {
    let token = answer.get(8..12)?;
    Some([&[0x21][..], token, &TOKEN, &[255, 255, 255, 255], b"gie3", &[1]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_teeworlds_asks_with_the_token_that_the_server_gave() {
        let answer = [&[4, 0, 0][..], &TOKEN, &[5, 9, 8, 7, 6]].concat();
        let asked = get_info(&answer).unwrap();
        assert_eq!(asked[..9], [0x21, 9, 8, 7, 6, 0x12, 0x34, 0x56, 0x78]);
        assert_eq!(get_info(&[4, 0]), None);
        assert_eq!(token_request().len(), 520);
    }
}
