//! The admin port of OpenTTD, as its `docs/admin_network.md` has it: joining, and commands.
//!
//! A packet is its length with all of it, a kind and what the kind has. What is not asked for here is skipped, as that page
//! wants it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::wire::Wire;

/// `ADMIN_PACKET_ADMIN_JOIN`: password, name and version.
const JOIN: u8 = 0;

/// `ADMIN_PACKET_ADMIN_RCON`: a command.
const RCON: u8 = 5;

/// `ADMIN_PACKET_SERVER_FULL`.
const FULL: u8 = 100;

/// `ADMIN_PACKET_SERVER_BANNED`.
const BANNED: u8 = 101;

/// `ADMIN_PACKET_SERVER_ERROR`: the error's number; the server closes the connection.
const ERROR: u8 = 102;

/// `ADMIN_PACKET_SERVER_WELCOME`: commands are taken from now on.
const WELCOME: u8 = 104;

/// `ADMIN_PACKET_SERVER_RCON`: a line of the answer, after two bytes for its colour.
const LINE: u8 = 120;

/// `ADMIN_PACKET_SERVER_RCON_END`: the answer is whole.
const END: u8 = 125;

/// What a packet has at least: its length and its kind.
const HEAD: usize = 3;

/// The longest command that OpenTTD takes, in bytes.
const LONGEST_COMMAND: usize = 499;

/// How much of an answer is kept; the rest is left.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A connection that has been let in.
pub(super) struct Admin {
    wire: Wire,
}

impl Admin {
    /// Gives the password.
    pub(super) fn join(mut wire: Wire, password: &str) -> Result<Self> {
        wire.send(&encode(JOIN, &[password, "dormouse", env!("CARGO_PKG_VERSION")])?)?;
        let mut admin = Self { wire };
        // To a wrong password it closes the connection, often before its error has gone out.
        while admin.receive().context("OpenTTD does not let the watchdog in")?.kind != WELCOME {}
        Ok(admin)
    }

    /// Runs a command and returns what is answered, or its beginning.
    pub(super) fn command(&mut self, text: &str, limit: Duration) -> Result<String> {
        ensure!(text.len() <= LONGEST_COMMAND, "a command of OpenTTD may have {LONGEST_COMMAND} bytes");
        self.wire.allow(limit);
        self.wire.send(&encode(RCON, &[text])?)?;
        let mut answer = String::new();
        loop {
            let packet = self.receive()?;
            match packet.kind {
                END => return Ok(answer),
                LINE if answer.len() < LONGEST_ANSWER => {
                    let separator = if answer.is_empty() { "" } else { "\n" };
                    answer += separator;
                    answer += &line(&packet.rest);
                }
                _ => {}
            }
        }
    }

    /// Receives the next packet that is no refusal.
    fn receive(&mut self) -> Result<Packet> {
        let mut length = [0; 2];
        self.wire.receive(&mut length)?;
        let mut rest = vec![0; packet_length(length)?];
        self.wire.receive(&mut rest)?;
        decode(&rest)
    }
}

/// A packet of the server.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    kind: u8,
    rest: Vec<u8>,
}

/// Returns a packet of texts.
fn encode(kind: u8, texts: &[&str]) -> Result<Vec<u8>> {
    ensure!(!texts.iter().any(|text| text.contains('\0')), "a console's command must not have a zero byte");
    let texts: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
    let length = u16::try_from(HEAD + texts.len()).context("a console's command is too long")?;
    Ok([&length.to_le_bytes(), [kind].as_slice(), &texts].concat())
}

/// Reads how many bytes of a packet follow its length.
fn packet_length(bytes: [u8; 2]) -> Result<usize> {
    let length = usize::from(u16::from_le_bytes(bytes));
    ensure!(length >= HEAD, "the console is no admin port of OpenTTD: a packet of {length} bytes");
    Ok(length - bytes.len())
}

/// Reads what follows a packet's length. A refusal is an error.
fn decode(bytes: &[u8]) -> Result<Packet> {
    let (kind, rest) = bytes.split_first().context("a packet without its kind")?;
    match *kind {
        FULL => bail!("too many are at its admin port"),
        BANNED => bail!("this address is banned from its admin port"),
        ERROR => bail!("it ends the connection (error {})", rest.first().copied().unwrap_or_default()),
        kind => Ok(Packet { kind, rest: rest.to_vec() }),
    }
}

/// Returns the text of a line: what stands between its colour and its first zero byte.
fn line(rest: &[u8]) -> String {
    let text = rest.get(2..).unwrap_or_default();
    String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::wire::tests::meeting;
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_packet_is_its_length_its_kind_and_its_texts() {
        assert_eq!(encode(JOIN, &["pw", "me", "1"]).unwrap(), b"\x0b\0\0pw\0me\x001\0");
        assert_eq!(packet_length([0x0b, 0]).unwrap(), 9);
        assert!(encode(RCON, &["a\0b"]).is_err());
        assert!(encode(RCON, &[&"x".repeat(70_000)]).is_err());
    }

    #[test]
    fn whatever_comes_is_a_packet_or_an_error() {
        for short in 0..3 {
            assert!(packet_length([short, 0]).is_err(), "{short}");
        }
        assert_eq!(packet_length([3, 0]).unwrap(), 1);
        assert_eq!(packet_length([0xff, 0xff]).unwrap(), 65_533);
        assert!(decode(&[]).is_err());
        for kind in 0..=u8::MAX {
            assert_eq!(decode(&[kind]).is_err(), [FULL, BANNED, ERROR].contains(&kind), "{kind}");
        }
        let lines = [b"".as_slice(), b"\x01", b"\x01\0", b"\x01\0ok", b"\x01\0ok\0more", b"\x01\0\xff\0"];
        assert_eq!(lines.map(line), ["", "", "", "ok", "ok", "\u{fffd}"]);
    }

    #[test]
    fn a_command_is_answered_when_its_end_is_there() {
        let (said, heard) = talk(|server| {
            server.receive();
            server.send(103, b"\x02\0");
            server.send(WELCOME, b"Dormouse\0");
            server.receive();
            server.send(107, b"\0\0\0\0");
            server.send(LINE, b"\x01\0Saving map...\0");
            server.send(LINE, b"\x08\0Map successfully saved\0");
            server.send(END, b"save dormouse\0");
        });
        assert_eq!(said.unwrap(), "Saving map...\nMap successfully saved");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(heard, [format!("0 secret|dormouse|{version}|"), "5 save dormouse|".into()]);
    }

    #[test]
    fn an_answer_without_end_is_cut_off() {
        let (said, _) = talk(|server| {
            server.receive();
            server.send(WELCOME, b"");
            server.receive();
            for _ in 0..100 {
                server.send(LINE, &[b"\x01\0".as_slice(), &[b'x'; 10_000], &[0]].concat());
            }
            server.send(END, b"");
        });
        let length = said.unwrap().len();
        assert!((LONGEST_ANSWER..LONGEST_ANSWER + 20_000).contains(&length), "{length}");
    }

    #[test]
    fn whoever_is_not_let_in_is_told() {
        let refusal = |kind: u8, rest: &'static [u8]| {
            let (said, _) = talk(move |server| {
                server.receive();
                server.send(kind, rest);
            });
            format!("{:#}", said.unwrap_err())
        };
        let why = "OpenTTD does not let the watchdog in: ";
        assert_eq!(refusal(ERROR, &[10]), format!("{why}it ends the connection (error 10)"));
        assert_eq!(refusal(FULL, &[]), format!("{why}too many are at its admin port"));
        assert_eq!(refusal(107, &[]), format!("{why}the console closed the connection"));
    }

    /// Joins a server that does as `serve` says, runs `save dormouse`, and returns what came of it and what the server
    /// heard.
    fn talk(serve: impl FnOnce(&mut Server) + Send) -> (Result<String>, Vec<String>) {
        let serve = |stream| {
            let mut server = Server { stream, heard: vec![] };
            serve(&mut server);
            server.heard
        };
        meeting(serve, |port| {
            let wire = Wire::connect(port, LONG)?;
            Admin::join(wire, "secret")?.command("save dormouse", LONG)
        })
    }

    struct Server {
        stream: TcpStream,
        heard: Vec<String>,
    }

    impl Server {
        fn receive(&mut self) {
            let mut length = [0; 2];
            self.stream.read_exact(&mut length).unwrap();
            let mut rest = vec![0; packet_length(length).unwrap()];
            self.stream.read_exact(&mut rest).unwrap();
            let (kind, texts) = rest.split_first().unwrap();
            self.heard.push(format!("{kind} {}", String::from_utf8_lossy(texts).replace('\0', "|")));
        }

        fn send(&mut self, kind: u8, rest: &[u8]) {
            let length = u16::try_from(HEAD + rest.len()).unwrap();
            let head = [&length.to_le_bytes(), [kind].as_slice()].concat();
            self.stream.write_all(&[&head, rest].concat()).unwrap();
        }
    }
}
