//! What the game itself says: how many play.
//!
//! [`GameQuery`] asks it on a thread of its own, one question at a time, at 127.0.0.1 and nowhere else. What is sent
//! ([`request`]) and what is made of an answer ([`hear`]) are pure functions over bytes. Strangers' mods run in games, so an
//! answer is bounded in size, count and time, and only the game's own port is listened to. This file must never take a
//! question that failed for an answer of nobody, never keep anybody waiting, and never let its own datagrams or connections
//! be taken for a player's.
//!
//! Why these protocols are spoken here and not by a library: docs/decisions/0021-game-queries.md.

use std::{
    error::Error,
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use domain::{
    game::{Game, Protocol, QueryProtocol},
    idle::{Answering, Evidence},
};
use serde::Deserialize;
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use crate::{procnet, sockets::PROC_NET};

/// How long to wait between two questions: a player stays for longer, and games take note of who asks too often.
const EVERY: Duration = Duration::from_secs(5);

/// How long one question may take in all, whatever the game does meanwhile.
const LIMIT: Duration = Duration::from_secs(2);

/// An answer that is older than this says nothing about now.
const FRESH: Duration = Duration::from_secs(20);

/// The longest answer over TCP: Minecraft's has an icon in it, and is 96 KiB at the most.
pub const MAX_ANSWER_BYTES: usize = 256 << 10;

/// The longest answer over UDP.
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// The most players that are believed: no server holds so many, whatever it says.
pub const MAX_PLAYERS: u32 = 10_000;

/// How often the game may want its question repeated with a number that it gives, as A2S does once.
const MAX_CHALLENGES: u32 = 2;

/// Asks the game again and again for as long as it lives.
#[derive(Debug)]
pub struct GameQuery {
    asked: Asked,
    shared: Arc<Shared>,
    /// The thread ends when this is gone.
    _alive: Sender<()>,
}

/// Whom the question goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    protocol: QueryProtocol,
    port: u16,
}

#[derive(Debug, Default)]
struct Shared {
    last: Mutex<Option<(Instant, Result<u32, String>)>>,
    /// When the game last answered.
    answered_at: Mutex<Option<Instant>>,
    /// Held while a question is under way.
    own_datagrams: Mutex<u64>,
    /// Where the latest connection to the game comes from.
    connection: Mutex<Option<SocketAddr>>,
}

impl GameQuery {
    /// Begins to ask `game`; nothing if its entry does not say how.
    pub fn start(game: &Game) -> Option<Self> {
        let query = game.query.as_ref()?;
        let port = game.ports.iter().find(|port| port.name == query.port)?;
        let asked = Asked { protocol: query.protocol, port: port.number };
        let shared = Arc::new(Shared::default());
        let (alive, ended) = mpsc::channel();
        let ask = {
            let shared = Arc::clone(&shared);
            move || {
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    shared.ask(asked, LIMIT);
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("query".into()).spawn(ask) {
            *lock(&shared.last) = Some((Instant::now(), Err(format!("there is no thread for it: {error}"))));
        }
        Some(Self { asked, shared, _alive: alive })
    }

    /// Returns the protocol of the port that is asked.
    pub fn protocol(&self) -> Protocol {
        self.asked.protocol.transport()
    }

    /// Returns what the game said last.
    pub fn evidence(&self) -> Evidence {
        match lock(&self.shared.last).as_ref() {
            None => Evidence::Unknown("not asked yet".into()),
            Some((at, said)) => evidence(said, at.elapsed()),
        }
    }

    /// Tells whether the game answers, as far as is known.
    pub fn answering(&self) -> Answering {
        let asked = lock(&self.shared.last).as_ref().map(|(at, _)| at.elapsed());
        let answered = lock(&self.shared.answered_at).map(|at| at.elapsed());
        answering(asked, answered)
    }

    /// Returns how many of the datagrams that came in so far belong to the questions, and keeps the next question from
    /// beginning until that is dropped. Nothing while one is under way: then nobody knows.
    pub fn own_datagrams(&self) -> Option<MutexGuard<'_, u64>> {
        match self.shared.own_datagrams.try_lock() {
            Ok(own) => Some(own),
            Err(TryLockError::Poisoned(own)) => Some(own.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns where the latest question that is a connection comes from.
    pub fn own_connection(&self) -> Option<SocketAddr> {
        *lock(&self.shared.connection)
    }
}

impl fmt::Display for GameQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.asked.protocol {
            QueryProtocol::A2s => "A2S",
            QueryProtocol::Quake3 => "Quake 3",
            QueryProtocol::Raknet => "RakNet",
            QueryProtocol::Minecraft => "Minecraft status",
        };
        write!(f, "{name} at port {}", self.asked.port)
    }
}

impl Shared {
    /// Asks once, for `limit` at the most.
    fn ask(&self, asked: Asked, limit: Duration) {
        let mut own = lock(&self.own_datagrams);
        let deadline = Deadline(Instant::now() + limit);
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, asked.port));
        let said = match asked.protocol.transport() {
            Protocol::Udp => {
                let before = datagrams_in();
                let mut moved = 0;
                let said = ask_by_datagrams(asked.protocol, to, &deadline, &mut moved);
                *own = own.saturating_add(own_part(before, datagrams_in(), moved));
                said
            }
            Protocol::Tcp => ask_by_connection(asked.protocol, to, &deadline, &self.connection),
        };
        drop(own);
        let now = Instant::now();
        if said.is_ok() {
            *lock(&self.answered_at) = Some(now);
        }
        *lock(&self.last) = Some((now, said.map_err(|error| in_words(&error))));
    }
}

/// Returns what follows from what the game `said` so long ago.
fn evidence(said: &Result<u32, String>, ago: Duration) -> Evidence {
    match said {
        Err(why) => Evidence::Unknown(why.clone()),
        Ok(_) if ago > FRESH => Evidence::Unknown(format!("the last answer is {} s old", ago.as_secs())),
        Ok(players) => Evidence::count(*players),
    }
}

/// Returns what follows from how long ago the game was last `asked`, and last `answered`. Who does not ask learns nothing.
fn answering(asked: Option<Duration>, answered: Option<Duration>) -> Answering {
    let is_fresh = |ago: &Duration| *ago <= FRESH;
    match (asked.filter(is_fresh), answered) {
        (_, Some(ago)) if is_fresh(&ago) => Answering::Yes,
        (Some(_), Some(_)) => Answering::No,
        (Some(_), None) | (None, _) => Answering::Unknown,
    }
}

/// Returns how many datagrams of a question the kernel has counted: not more than were `moved`, since players' came in
/// between, nor than it counted at all, since a game may leave a question unread.
fn own_part(before: Option<u64>, after: Option<u64>, moved: u64) -> u64 {
    let grown = before.zip(after).and_then(|(before, after)| after.checked_sub(before));
    grown.unwrap_or(0).min(moved)
}

fn datagrams_in() -> Option<u64> {
    procnet::datagrams_in(Path::new(PROC_NET)).ok().flatten()
}

/// Why there is no answer.
#[derive(Debug, Error)]
enum Silence {
    #[error("the game does not answer")]
    Unreachable(#[from] io::Error),
    #[error("the game's answer makes no sense")]
    Senseless(#[from] BadAnswer),
    #[error("the game wants its question again and again")]
    Challenged,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAnswer {
    /// It is not one of this protocol, or breaks off.
    #[error("it is not of its protocol")]
    Malformed,
    /// It is longer than [`MAX_ANSWER_BYTES`].
    #[error("it is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    /// It tells of fewer players than none, or of more than [`MAX_PLAYERS`].
    #[error("it tells of {0} players")]
    Players(i64),
}

fn in_words(error: &Silence) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// When a question is given up.
struct Deadline(Instant);

impl Deadline {
    /// Returns how much time is left; an error if there is none.
    fn left(&self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// Asks over UDP, and counts in `moved` what was sent and received.
fn ask_by_datagrams(
    protocol: QueryProtocol,
    to: SocketAddr,
    deadline: &Deadline,
    moved: &mut u64,
) -> Result<u32, Silence> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // From now on the kernel passes nothing on but what comes from there.
    socket.connect(to)?;
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    let mut challenge = None;
    for _ in 0..=MAX_CHALLENGES {
        socket.send(&request(protocol, to.port(), challenge))?;
        *moved += 1;
        let length = patiently(deadline, |left| {
            socket.set_read_timeout(Some(left))?;
            socket.recv(&mut buffer)
        })?;
        *moved += 1;
        match hear(protocol, buffer.get(..length).unwrap_or_default())? {
            Heard::Players(players) => return Ok(players),
            Heard::Challenge(number) => challenge = Some(number),
            Heard::More => return Err(BadAnswer::Malformed.into()),
        }
    }
    Err(Silence::Challenged)
}

/// Asks over TCP, and notes where it connects from before it does.
fn ask_by_connection(
    protocol: QueryProtocol,
    to: SocketAddr,
    deadline: &Deadline,
    connection: &Mutex<Option<SocketAddr>>,
) -> Result<u32, Silence> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    *lock(connection) = socket.local_addr()?.as_socket();
    socket.connect_timeout(&to.into(), deadline.left()?)?;
    let mut stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(deadline.left()?))?;
    stream.write_all(&request(protocol, to.port(), None))?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let length = patiently(deadline, |left| {
            stream.set_read_timeout(Some(left))?;
            stream.read(&mut chunk)
        })?;
        if length == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        answer.extend_from_slice(chunk.get(..length).unwrap_or_default());
        match hear(protocol, &answer)? {
            Heard::Players(players) => return Ok(players),
            Heard::More => {}
            Heard::Challenge(_) => return Err(BadAnswer::Malformed.into()),
        }
    }
}

/// Waits within what is left, however often a signal comes in between.
fn patiently<T>(deadline: &Deadline, mut wait: impl FnMut(Duration) -> io::Result<T>) -> io::Result<T> {
    loop {
        match wait(deadline.left()?) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What the kernel says for a time-out.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            done => return done,
        }
    }
}

/// RakNet's mark of what is said outside of a connection.
const RAKNET_MAGIC: [u8; 16] =
    [0, 255, 255, 0, 254, 254, 254, 254, 253, 253, 253, 253, 0x12, 0x34, 0x56, 0x78];

/// What RakNet gives back.
const RAKNET_TIME: [u8; 8] = *b"dormouse";

/// Returns what the game is asked, at its `port`; with the number that it gave, if it gave one. Whatever goes out as a
/// datagram is a [`crate::peers::Kind::Query`].
pub fn request(protocol: QueryProtocol, port: u16, challenge: Option<[u8; 4]>) -> Vec<u8> {
    match protocol {
        QueryProtocol::A2s => {
            let challenge = challenge.as_ref().map_or(&[][..], |number| number);
            [b"\xff\xff\xff\xffTSource Engine Query\0", challenge].concat()
        }
        QueryProtocol::Quake3 => b"\xff\xff\xff\xffgetstatus\n".to_vec(),
        QueryProtocol::Raknet => [&[1], &RAKNET_TIME[..], &RAKNET_MAGIC, &[0; 8]].concat(),
        QueryProtocol::Minecraft => {
            // A packet is its length, its number, and what it says: here no version, `127.0.0.1`, the port, and that it is
            // about the status; and then another one, which asks for it.
            let [high, low] = port.to_be_bytes();
            let hello = [&[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 9][..], b"127.0.0.1", &[high, low, 1]].concat();
            [&[hello.len() as u8][..], &hello, &[1, 0]].concat()
        }
    }
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// So many play.
    Players(u32),
    /// The question is to be repeated with this.
    Challenge([u8; 4]),
    /// The answer goes on.
    More,
}

/// Reads an answer: a whole datagram, or what came over a connection so far.
pub fn hear(protocol: QueryProtocol, answer: &[u8]) -> Result<Heard, BadAnswer> {
    match protocol {
        QueryProtocol::A2s => a2s(answer),
        QueryProtocol::Quake3 => quake3(answer),
        QueryProtocol::Raknet => raknet(answer),
        QueryProtocol::Minecraft => minecraft(answer),
    }
}

fn players(told: i64) -> Result<Heard, BadAnswer> {
    let believed = u32::try_from(told).ok().filter(|players| *players <= MAX_PLAYERS);
    believed.map(Heard::Players).ok_or(BadAnswer::Players(told))
}

/// Reads `I`, a version, four texts that end with 0, the game's number in two bytes, and players in one; or `A` and a
/// number (<https://developer.valvesoftware.com/wiki/Server_queries>).
fn a2s(answer: &[u8]) -> Result<Heard, BadAnswer> {
    let said = answer.strip_prefix(b"\xff\xff\xff\xff").ok_or(BadAnswer::Malformed)?;
    match said {
        [b'A', number @ ..] => {
            Ok(Heard::Challenge(number.first_chunk().copied().ok_or(BadAnswer::Malformed)?))
        }
        [b'I', _version, texts @ ..] => {
            let rest = texts.splitn(5, |byte| *byte == 0).nth(4).ok_or(BadAnswer::Malformed)?;
            players((*rest.get(2).ok_or(BadAnswer::Malformed)?).into())
        }
        _ => Err(BadAnswer::Malformed),
    }
}

/// Reads a line of settings, and then a line for each player: points, ping, and the name in quotes.
fn quake3(answer: &[u8]) -> Result<Heard, BadAnswer> {
    let said = answer.strip_prefix(b"\xff\xff\xff\xffstatusResponse\n\\").ok_or(BadAnswer::Malformed)?;
    let mut lines = said.strip_suffix(b"\n").ok_or(BadAnswer::Malformed)?.split(|byte| *byte == b'\n');
    lines.next();
    let is_player = |line: &[u8]| {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let mut number = || words.next().and_then(|word| str::from_utf8(word).ok()?.parse::<i32>().ok());
        let numbers = number().zip(number());
        numbers.is_some() && words.next().is_some_and(|name| name.len() >= 2 && name.starts_with(b"\""))
    };
    let count = lines.try_fold(0, |count, line| is_player(line).then_some(count + 1));
    players(count.ok_or(BadAnswer::Malformed)?)
}

/// Reads 28, the time of the question, the server's number, the magic, and a text with its length, whose fields end with
/// `;`: edition, name, protocol, version, players, and how many there may be.
fn raknet(answer: &[u8]) -> Result<Heard, BadAnswer> {
    let said = answer.strip_prefix(&[0x1c]).and_then(|rest| rest.strip_prefix(&RAKNET_TIME));
    let said =
        said.and_then(|rest| rest.get(8..)?.strip_prefix(&RAKNET_MAGIC)).ok_or(BadAnswer::Malformed)?;
    let (length, text) = said.split_first_chunk().ok_or(BadAnswer::Malformed)?;
    let text = text.get(..u16::from_be_bytes(*length).into()).ok_or(BadAnswer::Malformed)?;
    let mut is_escaped = false;
    let mut fields = text.split(|byte| {
        let ends = *byte == b';' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    let mut number = |skipped| {
        let field = fields.nth(skipped).and_then(|field| str::from_utf8(field).ok());
        field.and_then(|field| field.parse::<i64>().ok()).ok_or(BadAnswer::Malformed)
    };
    // Each of these is a number; where they are not, a `;` in the name has moved them.
    let (_protocol, told, _most) = (number(2)?, number(1)?, number(0)?);
    players(told)
}

/// Reads a packet: its length, its number 0, and JSON with its length (<https://minecraft.wiki/w/Java_Edition_protocol>).
fn minecraft(answer: &[u8]) -> Result<Heard, BadAnswer> {
    #[derive(Deserialize)]
    struct Status {
        players: Players,
    }
    #[derive(Deserialize)]
    struct Players {
        online: i64,
    }
    let Some((length, rest)) = varint(answer)? else { return Ok(Heard::More) };
    if length > MAX_ANSWER_BYTES {
        return Err(BadAnswer::TooLong);
    }
    let Some(packet) = rest.get(..length) else { return Ok(Heard::More) };
    let Some((0, packet)) = varint(packet)? else { return Err(BadAnswer::Malformed) };
    let json = match varint(packet)? {
        Some((length, json)) if length == json.len() => json,
        Some(_) | None => return Err(BadAnswer::Malformed),
    };
    let status: Status = serde_json::from_slice(json).map_err(|_| BadAnswer::Malformed)?;
    players(status.players.online)
}

/// Reads a number of which each byte but the last begins with a 1, the low bits first; nothing if it goes on.
fn varint(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, BadAnswer> {
    let mut number = 0_u32;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        let bits = u32::from(byte & 0x7f);
        // A fifth byte has room for four bits, and the highest is the sign.
        if at == 4 && bits > 0x07 {
            return Err(BadAnswer::TooLong);
        }
        number |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((number as usize, bytes.get(at + 1..).unwrap_or_default())));
        }
    }
    if bytes.len() < 5 { Ok(None) } else { Err(BadAnswer::Malformed) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use domain::game::{Count, Query};

    use super::*;
    use crate::peers::Kind;

    /// Of Debian's OpenArena 0.8.8, with three bots.
    const QUAKE3: &[u8] = b"\xff\xff\xff\xffstatusResponse\n\\com_protocol\\71\\sv_hostname\\Dormouse\\bot_minplayers\\3\\version\\\
        ioq3 1.36+u20221123.70d07d9+dfsg-1/Debian linux-x86_64 Jan  8 2023\\mapname\\oa_dm1\\sv_maxclients\\8\\gamename\\baseoa\n\
        1 0 \"Murielle\"\n1 0 \"Sergei\"\n-3 48 \"An \"odd\" name\"\n";

    /// Of Valve's own description of the protocol: a server of Counter-Strike: Source.
    const A2S: &[u8] = b"\xff\xff\xff\xffI\x02game2xs.com Counter-Strike Source #1\0de_dust\0cstrike\0Counter-Strike: Source\0\
        \xf0\x00\x05\x10\x04dl\x00\x001.0.0.22\0";

    /// Of minecraft-protocol 1.68, which flying-squid is made of.
    const MINECRAFT: &[u8] =
        b"|\x00z{\"version\":{\"name\":\"1.20.4\",\"protocol\":765},\"players\":{\"max\":20,\"online\":0,\
        \"sample\":[]},\"description\":{\"text\":\"Dormouse\"}}";

    const PROTOCOLS: [QueryProtocol; 4] =
        [QueryProtocol::A2s, QueryProtocol::Quake3, QueryProtocol::Raknet, QueryProtocol::Minecraft];

    #[test]
    fn each_protocols_answer_is_understood() {
        assert_eq!(hear(QueryProtocol::A2s, A2S), Ok(Heard::Players(5)));
        assert_eq!(hear(QueryProtocol::Quake3, QUAKE3), Ok(Heard::Players(3)));
        assert_eq!(hear(QueryProtocol::Minecraft, MINECRAFT), Ok(Heard::Players(0)));
        for (fields, players) in [
            ("MCPE;Dormouse;594;1.20.1;2;10;13253860892328930865;world;Survival;1;19132;19133;", 2),
            ("MCPE;a \\; b;594;1.20.1;0;10", 0),
        ] {
            assert_eq!(hear(QueryProtocol::Raknet, &pong(fields)), Ok(Heard::Players(players)), "{fields}");
        }
        let nobody = b"\xff\xff\xff\xffstatusResponse\n\\sv_hostname\\Dormouse\n";
        assert_eq!(hear(QueryProtocol::Quake3, nobody), Ok(Heard::Players(0)));
    }

    #[test]
    fn an_answer_that_breaks_off_anywhere_is_no_answer_of_nobody() {
        for (protocol, whole) in [
            (QueryProtocol::A2s, A2S),
            (QueryProtocol::Minecraft, MINECRAFT),
            (QueryProtocol::Quake3, QUAKE3),
        ] {
            for length in 0..whole.len() {
                match hear(protocol, &whole[..length]) {
                    // What comes after the count is of no matter.
                    Ok(Heard::Players(5)) if protocol == QueryProtocol::A2s => {}
                    // A line that was left out whole cannot be missed; a game does so when there are too many.
                    Ok(Heard::Players(0..3)) if whole[..length].ends_with(b"\n") => {}
                    Ok(Heard::More) if protocol == QueryProtocol::Minecraft => {}
                    Err(BadAnswer::Malformed) => {}
                    other => panic!("{length} bytes of {protocol:?}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_never_a_count() {
        for protocol in PROTOCOLS {
            for garbage in [&b"\x00"[..], b"hello", &[0xff; 64], &[0x1c; 64], b"\xfe\xff\xff\xff\x01\x02"] {
                let heard = hear(protocol, garbage);
                assert!(matches!(heard, Err(_) | Ok(Heard::More)), "{protocol:?}, {garbage:x?}: {heard:?}");
            }
        }
        // A length of minus one, which other readers take for a gigantic one.
        let long = hear(QueryProtocol::Minecraft, b"\x10\x00\xff\xff\xff\xff\x0f");
        assert_eq!(long, Ok(Heard::More));
        let whole = [b"\x06\x00\xff\xff\xff\xff\x0f".as_slice(), b"x"].concat();
        assert_eq!(hear(QueryProtocol::Minecraft, &whole), Err(BadAnswer::TooLong));
        assert_eq!(hear(QueryProtocol::Minecraft, b"\xff\xff\xff\x7f"), Err(BadAnswer::TooLong));
        for fields in ["MCPE;a;b;594;1.20.1;0;10", "MCPE;a;594;1.20.1;0", "", "MCPE;;;;;;;"] {
            assert_eq!(hear(QueryProtocol::Raknet, &pong(fields)), Err(BadAnswer::Malformed), "{fields}");
        }
    }

    #[test]
    fn absurd_counts_are_not_believed() {
        let status = |online: &str| {
            let json = format!("{{\"players\":{{\"online\":{online}}}}}");
            [&[json.len() as u8 + 2, 0, json.len() as u8], json.as_bytes()].concat()
        };
        let heard = |online| hear(QueryProtocol::Minecraft, &status(online));
        assert_eq!(heard("10000"), Ok(Heard::Players(MAX_PLAYERS)));
        assert_eq!(heard("10001"), Err(BadAnswer::Players(10_001)));
        assert_eq!(heard("-1"), Err(BadAnswer::Players(-1)));
        assert_eq!(heard("1e99"), Err(BadAnswer::Malformed));
        let pong = pong("MCPE;a;594;1.20.1;4294967297;10");
        assert_eq!(hear(QueryProtocol::Raknet, &pong), Err(BadAnswer::Players(4_294_967_297)));
        let many =
            [b"\xff\xff\xff\xffstatusResponse\n\\a\\b\n".to_vec(), b"0 0 \"\"\n".repeat(10_001)].concat();
        assert_eq!(hear(QueryProtocol::Quake3, &many), Err(BadAnswer::Players(10_001)));
    }

    #[test]
    fn no_question_makes_a_peer() {
        let is_query = |bytes: &[u8]| assert_eq!(Kind::of(bytes, &[]), Kind::Query, "{bytes:x?}");
        for protocol in PROTOCOLS.into_iter().filter(|p| p.transport() == Protocol::Udp) {
            is_query(&request(protocol, 2457, None));
            is_query(&request(protocol, 2457, Some([0; 4])));
        }
    }

    #[test]
    fn a_challenge_is_answered_once_or_twice_and_then_no_more() {
        let challenge = b"\xff\xff\xff\xffA\x0b\x8d\x75\x1a";
        let server = Server::answering(vec![challenge.to_vec(), A2S.to_vec()]);
        assert_eq!(server.ask(QueryProtocol::A2s).0, Evidence::Players(5));
        let asked = server.asked.join().unwrap();
        let first = b"\xff\xff\xff\xffTSource Engine Query\0".to_vec();
        assert_eq!(asked, [first.clone(), [&first[..], &challenge[5..]].concat()]);
        let stubborn = Server::answering(vec![challenge.to_vec(); 3]);
        let (said, own) = stubborn.ask(QueryProtocol::A2s);
        assert_eq!(said, Evidence::Unknown("the game wants its question again and again".into()));
        assert!(own <= 6);
    }

    #[test]
    fn who_does_not_answer_is_unknown() {
        let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let slow = TcpListener::bind("127.0.0.1:0").unwrap();
        let told = |protocol, port, limit| {
            let shared = Shared::default();
            shared.ask(Asked { protocol, port }, limit);
            let last = lock(&shared.last).take().unwrap();
            evidence(&last.1, Duration::ZERO).to_string()
        };
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(50));
        assert_eq!(
            told(QueryProtocol::A2s, nobody, long),
            "players unknown: the game does not answer: Connection refused (os error 111)"
        );
        let timed_out = "players unknown: the game does not answer: timed out";
        assert_eq!(told(QueryProtocol::Quake3, silent.local_addr().unwrap().port(), short), timed_out);
        assert_eq!(told(QueryProtocol::Minecraft, slow.local_addr().unwrap().port(), short), timed_out);
    }

    #[test]
    fn only_the_games_own_port_is_listened_to() {
        let game = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = game.local_addr().unwrap().port();
        let asked = thread::spawn(move || {
            let mut moved = 0;
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            ask_by_datagrams(QueryProtocol::A2s, to, &Deadline(Instant::now() + LIMIT * 30), &mut moved)
                .unwrap()
        });
        let mut buffer = [0; 64];
        let (_, from) = game.recv_from(&mut buffer).unwrap();
        let mut forged = A2S.to_vec();
        forged.iter_mut().filter(|byte| **byte == 5).for_each(|byte| *byte = 0);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&forged, from).unwrap();
        game.send_to(A2S, from).unwrap();
        assert_eq!(asked.join().unwrap(), 5);
    }

    #[test]
    fn an_answer_over_tcp_may_come_in_pieces_and_its_connection_is_known() {
        let game = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = game.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let asking = Arc::clone(&shared);
        let asked = Asked { protocol: QueryProtocol::Minecraft, port };
        let question = thread::spawn(move || asking.ask(asked, LIMIT * 30));
        let (mut stream, from) = game.accept().unwrap();
        assert_eq!(*lock(&shared.connection), Some(from));
        let mut heard = [0; 21];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard[..], request(QueryProtocol::Minecraft, port, None)[..21]);
        MINECRAFT.chunks(40).for_each(|piece| stream.write_all(piece).unwrap());
        question.join().unwrap();
        assert_eq!(lock(&shared.last).take().unwrap().1, Ok(0));
        assert_eq!(*lock(&shared.own_datagrams), 0);
    }

    #[test]
    fn an_old_answer_says_nothing_about_now() {
        let after = |seconds| evidence(&Ok(2), Duration::from_secs(seconds));
        assert_eq!(after(20), Evidence::Players(2));
        assert_eq!(after(21), Evidence::Unknown("the last answer is 21 s old".into()));
        assert_eq!(evidence(&Ok(0), Duration::ZERO), Evidence::Empty);
    }

    #[test]
    fn a_game_answers_no_more_when_it_did_and_is_still_asked() {
        let said = |asked: Option<u64>, answered: Option<u64>| {
            answering(asked.map(Duration::from_secs), answered.map(Duration::from_secs))
        };
        assert_eq!(said(None, None), Answering::Unknown);
        assert_eq!(said(Some(0), None), Answering::Unknown, "it never answered");
        assert_eq!(said(Some(0), Some(20)), Answering::Yes);
        assert_eq!(said(Some(0), Some(21)), Answering::No);
        assert_eq!(said(Some(21), Some(21)), Answering::Unknown, "it is not asked any more");
    }

    #[test]
    fn an_answer_is_remembered_when_the_next_does_not_come() {
        let server = Server::answering(vec![A2S.to_vec()]);
        let asked = Asked { protocol: QueryProtocol::A2s, port: server.port };
        let shared = Shared::default();
        shared.ask(asked, LIMIT * 30);
        assert!(lock(&shared.answered_at).is_some());
        server.asked.join().unwrap();
        let before = *lock(&shared.answered_at);
        shared.ask(asked, Duration::from_millis(50));
        assert!(lock(&shared.last).take().unwrap().1.is_err());
        assert_eq!(*lock(&shared.answered_at), before);
    }

    #[test]
    fn own_datagrams_are_never_more_than_were_moved_or_counted() {
        assert_eq!(own_part(Some(10), Some(12), 2), 2);
        assert_eq!(own_part(Some(10), Some(50), 2), 2, "players came in between");
        assert_eq!(own_part(Some(10), Some(11), 2), 1, "the game left the question unread");
        assert_eq!(own_part(Some(10), Some(3), 2), 0, "the kernel's count began again");
        assert_eq!(own_part(None, Some(3), 2), 0);
    }

    #[test]
    fn while_a_question_is_under_way_nobody_knows_whose_datagrams_came() {
        let game = UdpSocket::bind("127.0.0.1:0").unwrap();
        let query = GameQuery::start(&game_at(game.local_addr().unwrap().port())).unwrap();
        assert!(query.own_datagrams().is_some());
        assert_eq!(query.evidence(), Evidence::Unknown("not asked yet".into()));
        assert_eq!(
            (query.protocol(), query.to_string()),
            (Protocol::Udp, format!("A2S at port {}", query.asked.port))
        );
        let under_way = query.shared.own_datagrams.lock().unwrap();
        assert!(query.own_datagrams().is_none());
        drop(under_way);
    }

    /// A server that answers each question with the next of its answers, and then tells what it was asked.
    struct Server {
        port: u16,
        asked: thread::JoinHandle<Vec<Vec<u8>>>,
    }

    impl Server {
        fn answering(answers: Vec<Vec<u8>>) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            let answer = move |answer: Vec<u8>| {
                let mut buffer = [0; 64];
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                socket.send_to(&answer, from).unwrap();
                buffer[..length].to_vec()
            };
            Self { port, asked: thread::spawn(move || answers.into_iter().map(answer).collect()) }
        }

        /// Returns what it says, and how many datagrams were the question's.
        fn ask(&self, protocol: QueryProtocol) -> (Evidence, u64) {
            let shared = Shared::default();
            shared.ask(Asked { protocol, port: self.port }, LIMIT * 30);
            let said = lock(&shared.last).take().unwrap().1;
            (evidence(&said, Duration::ZERO), *lock(&shared.own_datagrams))
        }
    }

    fn game_at(port: u16) -> Game {
        let id = domain::world::GameId::parse("valheim").unwrap();
        let game = games::Catalogue::embedded().unwrap().get(&id).unwrap().game.clone();
        let query = Query { protocol: QueryProtocol::A2s, port: "game".into(), count: Count::Partial };
        Game { query: Some(query), ..game }.at_port(port).unwrap()
    }

    fn pong(fields: &str) -> Vec<u8> {
        let length = (fields.len() as u16).to_be_bytes();
        [&[0x1c], &RAKNET_TIME[..], &[7; 8], &RAKNET_MAGIC, &length, fields.as_bytes()].concat()
    }
}
