//! The kernel's sockets by netlink: what [`crate::procnet`] reads, for the game's ports alone and many times cheaper.
//!
//! The kernel prints a line for every socket of the machine into `/proc/net/tcp`, after having walked all of its hash
//! table's locks; here it passes over what a small program does not let through, and says besides how many bytes have come.
//! No capability is needed. Requests and answers are pure functions over bytes ([`request`], [`answers`]); [`SockDiag`] is
//! the thin shell. It must never pass off half a dump as all of it: what breaks off, or makes no sense, is an error.
//!
//! The layouts are those of `linux/netlink.h`, `linux/inet_diag.h`, `linux/sock_diag.h` and `linux/tcp.h`; the manual page
//! is sock_diag(7).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use domain::game::Protocol;
use nix::sys::{
    socket::{
        self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, setsockopt, sockopt::ReceiveTimeout,
    },
    time::{TimeVal, TimeValLike},
};
use thiserror::Error;

use crate::procnet::{Row, SocketState};

/// The most ports that can be asked for at once.
pub const MAX_PORTS: usize = 16;

/// The most sockets that one dump may have: as many as `/proc/net` is read for.
pub const MAX_ROWS: usize = 400_000;

/// The kernel fills at most this much at once (`netlink_dump`).
const BUFFER_BYTES: usize = 32 << 10;

/// How long the kernel may take for one part of a dump.
const PART_LIMIT_S: i64 = 2;

const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = 56;
const ANSWER_BYTES: usize = 72;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_INFO: u16 = 2;

/// TCP_ESTABLISHED, which UDP sockets that are connected have too.
const ESTABLISHED: u32 = 1 << 1;
/// TCP_CLOSE: a UDP socket that receives from anybody.
const CLOSE: u32 = 1 << 7;
/// TCP_LISTEN.
const LISTEN: u32 = 1 << 10;

/// Where `tcpi_bytes_received` is in `struct tcp_info`, since Linux 4.1.
const BYTES_RECEIVED_AT: usize = 128;

/// Where `tcpi_data_segs_in` is, since Linux 4.6.
const DATA_SEGMENTS_IN_AT: usize = 152;

/// Why there is no dump.
#[derive(Debug, Error)]
pub enum DiagError {
    /// The kernel does not answer, or says no.
    #[error("asking the kernel for its sockets")]
    Refused(#[source] io::Error),
    /// It says what makes no sense.
    #[error("the kernel's answer makes no sense")]
    Garbled,
    /// There are more than [`MAX_ROWS`] sockets.
    #[error("there are more than {MAX_ROWS} sockets")]
    TooMany,
    /// There must be between 1 and [`MAX_PORTS`] ports.
    #[error("asking for {0} ports: 1 to {MAX_PORTS} can be asked for")]
    PortCount(usize),
}

/// The two versions of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, which also has the IPv4 connections of sockets that take both.
    V6,
}

/// A netlink socket that dumps are read from.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl SockDiag {
    /// Opens the socket; an error where the kernel, or what confines this process, has none.
    pub fn open() -> Result<Self, DiagError> {
        let open = || {
            let socket = socket::socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkSockDiag,
            )?;
            setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(PART_LIMIT_S))?;
            Ok(socket)
        };
        let socket = open().map_err(|error: nix::Error| DiagError::Refused(error.into()))?;
        Ok(Self { socket, buffer: vec![0; BUFFER_BYTES], sequence: 0 })
    }

    /// Hands `each` every socket on one of `ports` that waits or is connected.
    pub fn dump(
        &mut self,
        family: Family,
        protocol: Protocol,
        ports: &[u16],
        each: &mut dyn FnMut(Row),
    ) -> Result<(), DiagError> {
        if ports.is_empty() || ports.len() > MAX_PORTS {
            return Err(DiagError::PortCount(ports.len()));
        }
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence, family, protocol, ports);
        let fd = self.socket.as_raw_fd();
        socket::send(fd, &request, MsgFlags::empty()).map_err(|error| DiagError::Refused(error.into()))?;
        let mut rows = 0;
        loop {
            // The whole length is told so, also of a part that did not fit.
            let length = socket::recv(fd, &mut self.buffer, MsgFlags::MSG_TRUNC)
                .map_err(|error| DiagError::Refused(error.into()))?;
            let part = self.buffer.get(..length).ok_or(DiagError::Garbled)?;
            let mut count = |row| {
                rows += 1;
                each(row);
            };
            if answers(part, self.sequence, &mut count)? == More::No {
                return Ok(());
            }
            if rows > MAX_ROWS {
                return Err(DiagError::TooMany);
            }
        }
    }
}

/// Returns the request for the sockets on `ports` (1 to [`MAX_PORTS`]) that wait or are connected.
pub fn request(sequence: u32, family: Family, protocol: Protocol, ports: &[u16]) -> Vec<u8> {
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    let (protocol, states) = match protocol {
        Protocol::Tcp => (libc::IPPROTO_TCP, ESTABLISHED | LISTEN),
        Protocol::Udp => (libc::IPPROTO_UDP, ESTABLISHED | CLOSE),
    };
    let program = program(ports);
    let length = HEADER_BYTES + REQUEST_BYTES + 4 + program.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([family as u8, protocol as u8, 1 << (INET_DIAG_INFO - 1), 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.resize(HEADER_BYTES + REQUEST_BYTES, 0);
    bytes.extend((4 + program.len() as u16).to_ne_bytes());
    bytes.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
    bytes.extend(program);
    bytes
}

/// Returns the kernel's program that lets the sockets on `ports` through: it runs to its end for them, and beyond it for
/// others. Each comparison is two instructions, the second of which holds the port; a jump goes from behind one to the end.
fn program(ports: &[u16]) -> Vec<u8> {
    const SOURCE_EQUALS: u8 = 11;
    const JUMP: u8 = 1;
    let mut bytes = Vec::new();
    let mut instruction = |code: u8, yes: u8, no: u16| {
        bytes.extend([code, yes]);
        bytes.extend(no.to_ne_bytes());
    };
    let Some((last, others)) = ports.split_last() else { return bytes };
    for (done, port) in others.iter().enumerate() {
        let behind = 12 * (others.len() - 1 - done) + 8;
        instruction(SOURCE_EQUALS, 8, 12);
        instruction(0, 0, *port);
        instruction(JUMP, 4, behind as u16 + 4);
    }
    instruction(SOURCE_EQUALS, 8, 12);
    instruction(0, 0, *last);
    bytes
}

/// Whether a dump goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// There is another part.
    Yes,
    /// That was the last.
    No,
}

/// Hands `each` the sockets in one part of the answer to the request `sequence`.
pub fn answers(part: &[u8], sequence: u32, each: &mut dyn FnMut(Row)) -> Result<More, DiagError> {
    let mut rest = part;
    while !rest.is_empty() {
        let length = u32_at(rest, 0)? as usize;
        let (kind, flags, number) = (u16_at(rest, 4)?, u16_at(rest, 6)?, u32_at(rest, 8)?);
        let body = rest.get(HEADER_BYTES..length).ok_or(DiagError::Garbled)?;
        // The end of a dump that was given up before.
        if number == sequence {
            if flags & NLM_F_DUMP_INTR != 0 {
                return Err(DiagError::Garbled);
            }
            match kind {
                // A dump that failed ends so too, such as where the kernel has no module for the protocol.
                NLMSG_DONE if u32_at(body, 0)? == 0 => return Ok(More::No),
                NLMSG_DONE => return Err(DiagError::Refused(refusal(body))),
                NLMSG_ERROR => return Err(DiagError::Refused(refusal(body))),
                SOCK_DIAG_BY_FAMILY => each(row(body)?),
                _ => return Err(DiagError::Garbled),
            }
        }
        rest = rest.get(padded(length)..).unwrap_or_default();
    }
    Ok(More::Yes)
}

/// Returns the error in the body of an error message.
fn refusal(body: &[u8]) -> io::Error {
    let number = u32_at(body, 0).map_or(libc::EPROTO, |number| number.cast_signed().wrapping_neg());
    io::Error::from_raw_os_error(number)
}

/// Parses `struct inet_diag_msg` and what follows it.
fn row(body: &[u8]) -> Result<Row, DiagError> {
    let (message, attributes) = body.split_at_checked(ANSWER_BYTES).ok_or(DiagError::Garbled)?;
    let [family, state, _timer, retransmits] = *message.first_chunk().ok_or(DiagError::Garbled)?;
    let info = tcp_info(attributes);
    let port = |at: usize| Ok(u16::from_be_bytes(array(message, at)?));
    Ok(Row {
        local: SocketAddr::new(address(family, array(message, 8)?)?, port(4)?),
        remote: SocketAddr::new(address(family, array(message, 24)?)?, port(6)?),
        state: SocketState::from_kernel(state),
        retransmits: retransmits.into(),
        inode: u32_at(message, 68)?.into(),
        received: info.and_then(|info| array(info, BYTES_RECEIVED_AT).ok()).map(u64::from_ne_bytes),
        segments: info.and_then(|info| array(info, DATA_SEGMENTS_IN_AT).ok()).map(u32::from_ne_bytes),
    })
}

fn address(family: u8, octets: [u8; 16]) -> Result<IpAddr, DiagError> {
    match i32::from(family) {
        libc::AF_INET => Ok(Ipv4Addr::from(array::<4>(&octets, 0)?).into()),
        libc::AF_INET6 => Ok(Ipv6Addr::from(octets).to_canonical()),
        _ => Err(DiagError::Garbled),
    }
}

/// Finds `struct tcp_info` in the attributes, as long as this kernel has it; nothing if it is not there.
fn tcp_info(mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, kind) = (u16_at(attributes, 0).ok()?, u16_at(attributes, 2).ok()?);
        let value = attributes.get(4..length.into())?;
        if kind == INET_DIAG_INFO {
            return Some(value);
        }
        attributes = attributes.get(padded(length.into())..)?;
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, DiagError> {
    Ok(u16::from_ne_bytes(array(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, DiagError> {
    Ok(u32::from_ne_bytes(array(bytes, at)?))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DiagError> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(DiagError::Garbled)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream, UdpSocket},
        path::Path,
    };

    use super::*;
    use crate::procnet::Tables;

    #[test]
    fn the_kernel_shows_the_sockets_on_the_ports_and_no_others() {
        let [ours, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [game, others] = [&ours, &other].map(|listener| listener.local_addr().unwrap());
        let mut player = TcpStream::connect(game).unwrap();
        let _stranger = TcpStream::connect(others).unwrap();
        player.write_all(b"hello").unwrap();
        ours.accept().unwrap().0.read_exact(&mut [0; 5]).unwrap();
        let mut seen = dump(Family::V4, Protocol::Tcp, &[game.port()]);
        seen.retain(|row| row.state != SocketState::Passing(6));
        seen.sort_by_key(|row| row.remote);
        let at = player.local_addr().unwrap();
        // The player's own end has its own port, which was not asked for; the other end is closed by now.
        let shown: Vec<_> = seen.iter().map(|row| (row.local, row.remote, row.state)).collect();
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        assert!(shown.contains(&(game, nobody, SocketState::Listening)), "{shown:?}");
        assert!(shown.iter().all(|(local, ..)| local.port() == game.port()), "{shown:?}");
        assert!(!shown.iter().any(|(_, remote, _)| *remote == at), "a connection that was closed is no peer");
    }

    #[test]
    fn how_many_bytes_have_come_is_told() {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let game = listener.local_addr().unwrap();
        let mut player = TcpStream::connect(game).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let heard = || {
            let rows = dump(Family::V6, Protocol::Tcp, &[1, game.port(), 2]);
            rows.into_iter().find(|row| row.state == SocketState::Established).unwrap()
        };
        assert_eq!((heard().received, heard().segments), (Some(0), Some(0)));
        assert_eq!(heard().remote, player.local_addr().unwrap());
        player.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        assert_eq!((heard().received, heard().segments), (Some(5), Some(1)));
    }

    #[test]
    fn it_says_what_the_text_tables_say() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let game = listener.local_addr().unwrap().port();
        let players = [(); 3].map(|()| TcpStream::connect(("127.0.0.1", game)).unwrap());
        let _accepted = [(); 3].map(|()| listener.accept().unwrap());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.connect("127.0.0.1:9").unwrap();
        let at = udp.local_addr().unwrap().port();
        let tables = Tables::read(Path::new("/proc/net")).unwrap();
        let peers = |rows: Vec<Row>| {
            let mut peers: Vec<_> =
                rows.iter().filter(|r| r.state == SocketState::Established).map(|r| r.remote).collect();
            peers.sort();
            peers
        };
        let mut expected: Vec<_> = players.iter().map(|p| p.local_addr().unwrap()).collect();
        expected.sort();
        assert_eq!(peers(dump(Family::V6, Protocol::Tcp, &[game])), expected);
        assert_eq!(peers(tables.tcp.into_iter().filter(|r| r.local.port() == game).collect()), expected);
        let to = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
        assert_eq!(peers(dump(Family::V4, Protocol::Udp, &[at])), to);
        assert_eq!(peers(tables.udp.into_iter().filter(|r| r.local.port() == at).collect()), to);
    }

    #[test]
    fn a_program_lets_any_of_its_ports_through_and_nothing_else() {
        for count in 1..=MAX_PORTS {
            let ports: Vec<_> = (0..count as u16).map(|n| 1000 + n * 7).collect();
            let program = program(&ports);
            assert_eq!(program.len(), 12 * count - 4);
            (990..1200).for_each(|port| assert_eq!(passes(&program, port), ports.contains(&port), "{port}"));
        }
    }

    /// Runs a program as the kernel does (`inet_diag_bc_run`).
    fn passes(program: &[u8], port: u16) -> bool {
        let mut at = 0;
        while at < program.len() {
            let (code, yes, no) = (program[at], program[at + 1], u16_at(program, at + 2).unwrap());
            let holds = code != 1 && u16_at(program, at + 6).unwrap() == port;
            at += if holds { usize::from(yes) } else { usize::from(no) };
        }
        at == program.len()
    }

    #[test]
    fn how_many_ports_can_be_asked_for_is_bounded() {
        let mut diag = SockDiag::open().unwrap();
        for ports in [0, MAX_PORTS + 1] {
            let refused = diag.dump(Family::V4, Protocol::Tcp, &vec![1; ports], &mut |_| {});
            assert!(matches!(refused, Err(DiagError::PortCount(n)) if n == ports));
        }
    }

    #[test]
    fn an_answer_that_breaks_off_anywhere_is_an_error_and_never_a_shorter_one() {
        let whole = [message(7, SOCK_DIAG_BY_FAMILY, &socket()), message(7, NLMSG_DONE, &[0; 4])].concat();
        let read = |bytes: &[u8]| {
            let mut rows = 0;
            answers(bytes, 7, &mut |_| rows += 1).map(|more| (rows, more))
        };
        assert_eq!(read(&whole).unwrap(), (1, More::No));
        for length in 1..whole.len() {
            let between = message(7, SOCK_DIAG_BY_FAMILY, &socket()).len();
            match read(&whole[..length]) {
                Ok((1, More::Yes)) if length == between => {}
                Err(DiagError::Garbled) => {}
                other => panic!("{length} of {} bytes: {other:?}", whole.len()),
            }
        }
    }

    #[test]
    fn a_refusal_is_named_and_what_belongs_to_another_request_is_passed_over() {
        let refused = message(7, NLMSG_ERROR, &(-libc::EINVAL).to_ne_bytes());
        let error = answers(&refused, 7, &mut |_| {}).unwrap_err();
        assert!(matches!(error, DiagError::Refused(e) if e.raw_os_error() == Some(libc::EINVAL)));
        let failed = message(7, NLMSG_DONE, &(-libc::ENOENT).to_ne_bytes());
        let error = answers(&failed, 7, &mut |_| {}).unwrap_err();
        assert!(matches!(error, DiagError::Refused(e) if e.raw_os_error() == Some(libc::ENOENT)));
        let stale = [message(6, NLMSG_ERROR, &[0; 4]), message(6, NLMSG_DONE, &[0; 4])].concat();
        assert_eq!(answers(&stale, 7, &mut |_| panic!("a socket")).unwrap(), More::Yes);
    }

    fn dump(family: Family, protocol: Protocol, ports: &[u16]) -> Vec<Row> {
        let mut rows = Vec::new();
        SockDiag::open().unwrap().dump(family, protocol, ports, &mut |row| rows.push(row)).unwrap();
        rows
    }

    fn message(sequence: u32, kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(((HEADER_BYTES + body.len()) as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    fn socket() -> Vec<u8> {
        let mut bytes = vec![libc::AF_INET as u8, 1, 0, 0];
        bytes.resize(ANSWER_BYTES, 0);
        bytes
    }
}
