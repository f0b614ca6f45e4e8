//! Source RCON: the client's side, as <https://developer.valvesoftware.com/wiki/Source_RCON_Protocol> has it, with what
//! other servers make of it.
//!
//! A packet is its length, an id, a kind and a text. An answer may come in several packets, and nothing says which is the
//! last. A packet of another id, sent behind the command, is answered after it; Minecraft closes the connection when
//! both come at once, and some servers never answer the second. So it is sent only when the first part of the answer is
//! there and so long that there may be more, and is not waited for long.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::wire::Wire;

/// The kind of a packet that brings the password.
const AUTH: i32 = 3;

/// The kind of the answer to it, and of a packet that brings a command.
const AUTH_ANSWER: i32 = 2;
const COMMAND: i32 = 2;

/// The kind of an answer to a command.
const ANSWER: i32 = 0;

/// The id of the answer to a wrong password.
const REFUSED: i32 = -1;

/// What a packet has beside its text: id, kind and two zero bytes.
const AROUND: usize = 10;

/// The longest text that is sent: Minecraft reads 1460 bytes at once, and nothing that is longer.
const LONGEST_COMMAND: usize = 1400;

/// The longest packet that is taken: Minecraft puts 4096 characters into one, of three bytes at most.
const LONGEST_PACKET: usize = 16 * 1024;

/// An answer that is shorter is whole: what is split is split at about 4096 bytes.
const MAYBE_MORE: usize = 2048;

/// How much of an answer is kept; the rest is left.
const LONGEST_ANSWER: usize = 64 * 1024;

/// How long the rest of a long answer is waited for.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// A connection that has been let in.
pub(super) struct Rcon {
    wire: Wire,
    last_id: i32,
}

impl Rcon {
    /// Gives the password.
    pub(super) fn join(wire: Wire, password: &str) -> Result<Self> {
        let mut rcon = Self { wire, last_id: 0 };
        let id = rcon.send(AUTH, password)?;
        loop {
            // Some servers send an empty answer first.
            match rcon.receive()? {
                Packet { kind: AUTH_ANSWER, id: REFUSED, .. } => bail!("the console refuses the password"),
                Packet { kind: AUTH_ANSWER, id: answered, .. } if answered == id => return Ok(rcon),
                Packet { .. } => {}
            }
        }
    }

    /// Runs a command and returns what is answered, or its beginning.
    pub(super) fn command(&mut self, text: &str, limit: Duration) -> Result<String> {
        self.wire.allow(limit);
        let id = self.send(COMMAND, text)?;
        let mut answer = loop {
            let packet = self.receive()?;
            if (packet.kind, packet.id) == (ANSWER, id) {
                break packet.text;
            }
        };
        if answer.len() >= MAYBE_MORE {
            self.wire.allow(limit.min(REST_LIMIT));
            if let Err(error) = self.rest(id, &mut answer) {
                tracing::debug!("the end of a console's answer is missing: {error:#}");
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn rest(&mut self, id: i32, answer: &mut Vec<u8>) -> Result<()> {
        let end = self.send(ANSWER, "")?;
        while answer.len() < LONGEST_ANSWER {
            let packet = self.receive()?;
            if packet.id == end {
                break;
            } else if packet.id == id {
                answer.extend(packet.text);
            }
        }
        answer.truncate(LONGEST_ANSWER);
        Ok(())
    }

    /// Sends a packet and returns its id.
    fn send(&mut self, kind: i32, text: &str) -> Result<i32> {
        self.last_id += 1;
        self.wire.send(&encode(self.last_id, kind, text)?)?;
        Ok(self.last_id)
    }

    fn receive(&mut self) -> Result<Packet> {
        let mut length = [0; 4];
        self.wire.receive(&mut length)?;
        let mut rest = vec![0; packet_length(length)?];
        self.wire.receive(&mut rest)?;
        decode(&rest)
    }
}

/// A packet of the server.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    id: i32,
    kind: i32,
    text: Vec<u8>,
}

fn encode(id: i32, kind: i32, text: &str) -> Result<Vec<u8>> {
    ensure!(text.len() <= LONGEST_COMMAND, "a console's command may have {LONGEST_COMMAND} bytes");
    ensure!(!text.contains('\0'), "a console's command must not have a zero byte");
    let length = i32::try_from(text.len() + AROUND)?;
    let head = [length, id, kind].map(i32::to_le_bytes);
    Ok([head.as_flattened(), text.as_bytes(), &[0, 0]].concat())
}

/// Reads how many bytes of a packet follow its length.
fn packet_length(bytes: [u8; 4]) -> Result<usize> {
    let length = i32::from_le_bytes(bytes);
    usize::try_from(length)
        .ok()
        .filter(|length| (AROUND..=LONGEST_PACKET).contains(length))
        .with_context(|| format!("the console speaks no RCON: a packet of {length} bytes"))
}

/// Reads what follows a packet's length. The text ends at its first zero byte.
fn decode(bytes: &[u8]) -> Result<Packet> {
    let torn = || "the console speaks no RCON: a packet is torn";
    let (id, rest) = bytes.split_first_chunk().with_context(torn)?;
    let (kind, text) = rest.split_first_chunk().with_context(torn)?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Packet { id: i32::from_le_bytes(*id), kind: i32::from_le_bytes(*kind), text: text.to_vec() })
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
    fn a_packet_is_its_length_its_id_its_kind_and_its_text() {
        let bytes = encode(7, COMMAND, "say é").unwrap();
        assert_eq!(bytes, b"\x10\0\0\0\x07\0\0\0\x02\0\0\0say \xc3\xa9\0\0");
        assert_eq!(packet_length(*bytes.first_chunk().unwrap()).unwrap(), bytes.len() - 4);
        let packet = Packet { id: 7, kind: COMMAND, text: "say é".into() };
        assert_eq!(decode(&bytes[4..]).unwrap(), packet);
    }

    #[test]
    fn what_would_break_a_packet_is_not_sent() {
        assert!(encode(1, COMMAND, "say a\0b").is_err());
        assert!(encode(1, COMMAND, &"x".repeat(1401)).is_err());
        assert!(encode(1, COMMAND, &"x".repeat(1400)).is_ok());
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_anything_is_kept_for_it() {
        for length in [i32::MIN, -1, 0, 9, 16 * 1024 + 1, i32::MAX, i32::from_le_bytes(*b"HTTP")] {
            let error = packet_length(length.to_le_bytes()).unwrap_err().to_string();
            assert_eq!(error, format!("the console speaks no RCON: a packet of {length} bytes"));
        }
    }

    #[test]
    fn whatever_comes_is_a_packet_or_an_error() {
        let bytes = encode(7, ANSWER, "saved").unwrap();
        for end in 0..bytes.len() - 4 {
            assert_eq!(decode(&bytes[4..4 + end]).is_ok(), end >= 8, "{end}");
        }
        // Without its zero bytes, and with one in its midst.
        assert_eq!(decode(b"\x01\0\0\0\0\0\0\0ab").unwrap().text, b"ab");
        assert_eq!(decode(b"\x01\0\0\0\0\0\0\0a\0b\0\0").unwrap().text, b"a");
    }

    #[test]
    fn a_command_is_answered() {
        let (said, heard) = talk(|server| {
            server.let_in();
            let (id, _, _) = server.receive();
            server.send(id, ANSWER, "Saved the game");
        });
        assert_eq!(said.unwrap(), "Saved the game");
        assert_eq!(heard, ["3 secret", "2 save-all"]);
    }

    #[test]
    fn a_long_answer_is_put_together() {
        let part = "x".repeat(4096);
        let (said, heard) = talk(|server| {
            server.let_in();
            let (id, _, _) = server.receive();
            server.send(id, ANSWER, &part);
            let (end, _, _) = server.receive();
            server.send(id, ANSWER, &part);
            server.send(id, ANSWER, "end");
            server.send(end, ANSWER, "Unknown request 0");
        });
        assert_eq!(said.unwrap(), format!("{part}{part}end"));
        assert_eq!(heard, ["3 secret", "2 save-all", "0 "]);
    }

    #[test]
    fn what_came_of_a_long_answer_counts_when_its_end_is_missing() {
        let part = "x".repeat(4096);
        let (said, _) = talk(|server| {
            server.let_in();
            let (id, _, _) = server.receive();
            server.send(id, ANSWER, &part);
            server.receive();
        });
        assert_eq!(said.unwrap(), part);
    }

    #[test]
    fn an_answer_without_end_is_cut_off() {
        let (said, _) = talk(|server| {
            server.let_in();
            let (id, _, _) = server.receive();
            server.send(id, ANSWER, &"x".repeat(4096));
            server.receive();
            for _ in 0..32 {
                server.send(id, ANSWER, &"x".repeat(4096));
            }
        });
        assert_eq!(said.unwrap().len(), LONGEST_ANSWER);
    }

    #[test]
    fn answers_to_others_are_not_ours() {
        let (said, _) = talk(|server| {
            let (id, _, _) = server.receive();
            server.send(id, ANSWER, "");
            server.send(id + 5, AUTH_ANSWER, "");
            server.send(id, AUTH_ANSWER, "");
            let (id, _, _) = server.receive();
            server.send(id + 7, ANSWER, "no");
            server.send(id, AUTH_ANSWER, "no");
            server.send(id, ANSWER, "yes");
        });
        assert_eq!(said.unwrap(), "yes");
    }

    #[test]
    fn a_refused_password_is_told() {
        let (said, _) = talk(|server| {
            server.receive();
            server.send(REFUSED, AUTH_ANSWER, "");
        });
        assert_eq!(said.unwrap_err().to_string(), "the console refuses the password");
    }

    #[test]
    fn a_server_that_speaks_something_else_is_told() {
        let (said, _) = talk(|server| {
            server.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            server.receive();
        });
        let error = said.unwrap_err().to_string();
        assert_eq!(error, "the console speaks no RCON: a packet of 1347703880 bytes");
    }

    /// Joins a server that does as `serve` says, runs `save-all`, and returns what came of it and what the server heard.
    fn talk(serve: impl FnOnce(&mut Server) + Send) -> (Result<String>, Vec<String>) {
        let serve = |stream| {
            let mut server = Server { stream, heard: vec![] };
            serve(&mut server);
            server.heard
        };
        meeting(serve, |port| {
            let wire = Wire::connect(port, LONG)?;
            Rcon::join(wire, "secret")?.command("save-all", LONG)
        })
    }

    struct Server {
        stream: TcpStream,
        heard: Vec<String>,
    }

    impl Server {
        fn let_in(&mut self) {
            let (id, _, _) = self.receive();
            self.send(id, AUTH_ANSWER, "");
        }

        fn receive(&mut self) -> (i32, i32, String) {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).unwrap();
            let mut rest = vec![0; packet_length(length).unwrap()];
            self.stream.read_exact(&mut rest).unwrap();
            let Packet { id, kind, text } = decode(&rest).unwrap();
            let text = String::from_utf8(text).unwrap();
            self.heard.push(format!("{kind} {text}"));
            (id, kind, text)
        }

        /// Sends a packet; a client that has gone away by now has heard enough.
        fn send(&mut self, id: i32, kind: i32, text: &str) {
            let length = i32::try_from(text.len() + AROUND).unwrap();
            let head = [length, id, kind].map(i32::to_le_bytes);
            let _ = self.stream.write_all(&[head.as_flattened(), text.as_bytes(), &[0, 0]].concat());
        }
    }
}
