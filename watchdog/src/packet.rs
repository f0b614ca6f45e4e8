//! Datagrams on their way to the game: who sends them.
//!
//! A UDP server has one unconnected socket, so the socket tables show nobody; [`PacketTap`] sees each remote
//! address on a packet socket instead (needs CAP_NET_RAW). The kernel drops everything but the game's own
//! datagrams by a filter that [`filter`] builds, and hands over only the first bytes of those.
//!
//! [`AnswerTap`] sees the other direction: to whom this machine sends. That is needed only while somebody is there whom
//! the game has not answered yet, so it is opened then and closed again.
//!
//! This file must never let a datagram through that was not addressed to one of the game's ports, must never
//! count what this machine sends as somebody's, and must never trust a captured byte: anybody on the internet can send
//! anything. What it may miss: datagrams behind IPv6 extension headers (no game sends them), and what the
//! kernel had no room for, which [`Drained::lost`] tells.
#![expect(unsafe_code, reason = "a packet socket's address and its statistics have no safe wrapper")]

use std::{
    io::{self, Read},
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use thiserror::Error;

/// The most ports that one tap can watch: no game has more, and the filter compares them one by one.
pub const MAX_PORTS: usize = 16;

/// How much of a packet is captured. The longest IPv4 header (60) and the UDP header (8) leave 28 bytes of
/// payload, and a server-list query shows itself in the first 25.
pub const CAPTURED_BYTES: usize = 96;

/// The most datagrams that one [`PacketTap::drain`] takes from each of its two sockets: what the largest
/// buffer holds. Only a flood that arrives as fast as it is read comes near.
pub const MAX_DRAIN_PER_FAMILY: u32 = 10_000;

/// What the kernel may keep for each socket between two drains. It gives what its `rmem_max` allows.
const BUFFER_BYTES: usize = 4 << 20;

const UDP: u8 = 17;
const IPV6_HEADER_BYTES: usize = 40;
/// The bits of an IPv4 header's flags that tell where a fragment belongs. Only the first fragment has ports.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Why a tap is not there.
#[derive(Debug, Error)]
pub enum TapError {
    /// The process may not open packet sockets.
    #[error("opening a packet socket: CAP_NET_RAW is missing")]
    MissingCapability,
    /// There must be between 1 and [`MAX_PORTS`] ports.
    #[error("watching {0} ports: a tap watches 1 to {MAX_PORTS}")]
    PortCount(usize),
    /// The kernel refused for another reason.
    #[error("opening a packet socket")]
    Open(#[source] io::Error),
    /// The sockets no longer answer.
    #[error("reading a packet socket")]
    Read(#[source] io::Error),
}

/// A datagram that came in for the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it, or says so: a source address can be forged.
    pub source: SocketAddr,
    /// The game's port that it was sent to.
    pub port: u16,
    /// The first bytes of what it says, at least 28 of them if there were as many.
    pub payload: &'a [u8],
}

/// What one [`PacketTap::drain`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// How many datagrams were handed on.
    pub datagrams: u32,
    /// How many the kernel had no room for since the last drain. Who sent those is unknown.
    pub lost: u32,
}

/// Sees the datagrams that come in for the game, on all interfaces. Loopback is one: a player may sit at the
/// same machine.
#[derive(Debug)]
pub struct PacketTap {
    v4: Socket,
    v6: Socket,
}

impl PacketTap {
    /// Opens a tap on the game's UDP `ports`.
    pub fn open(ports: &[u16]) -> Result<Self, TapError> {
        if ports.is_empty() || ports.len() > MAX_PORTS {
            return Err(TapError::PortCount(ports.len()));
        }
        let open = |family: Family| open(family.ethertype(), &filter(family, ports));
        Ok(Self { v4: open(Family::V4)?, v6: open(Family::V6)? })
    }

    /// Hands every datagram that has arrived since the last call to `each`, and never waits.
    ///
    /// Call it several times a second: where `rmem_max` is 212,992, as it long was by default, the kernel
    /// keeps 512 short or 185 long datagrams.
    pub fn drain(&mut self, each: &mut dyn FnMut(Datagram<'_>)) -> Result<Drained, TapError> {
        let mut datagrams = 0;
        for (socket, family) in [(&self.v4, Family::V4), (&self.v6, Family::V6)] {
            drain(socket, &mut |packet| {
                if let Some(datagram) = datagram(family, packet) {
                    datagrams += 1;
                    each(datagram);
                }
            })?;
        }
        let lost = lost(&self.v4)?.saturating_add(lost(&self.v6)?);
        Ok(Drained { datagrams, lost })
    }
}

/// Sees to whom this machine sends datagrams, on all interfaces and from all ports: some games answer from another.
#[derive(Debug)]
pub struct AnswerTap(Socket);

impl AnswerTap {
    /// Opens a tap. It hears what is sent from now on.
    pub fn open() -> Result<Self, TapError> {
        // What goes out is shown only to those who listen to every protocol.
        open(libc::ETH_P_ALL as u16, &answer_filter()).map(Self)
    }

    /// Hands the address that each datagram since the last call goes to to `each`, never waits, and tells how many the
    /// kernel had no room for.
    pub fn drain(&mut self, each: &mut dyn FnMut(IpAddr)) -> Result<Drained, TapError> {
        let mut datagrams = 0;
        drain(&self.0, &mut |packet| {
            if let Some(address) = destination(packet) {
                datagrams += 1;
                each(address);
            }
        })?;
        Ok(Drained { datagrams, lost: lost(&self.0)? })
    }
}

/// Returns the address that a captured packet goes to, from its IP header on; `None` if it has none.
pub fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).to_canonical()),
        _ => None,
    }
}

/// The two versions of IP, each with its own packet socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn ethertype(self) -> u16 {
        match self {
            Self::V4 => 0x0800,
            Self::V6 => 0x86dd,
        }
    }
}

/// Parses a captured packet from its IP header on; `None` if it is not (the beginning of) a UDP datagram.
pub fn datagram(family: Family, packet: &[u8]) -> Option<Datagram<'_>> {
    match family {
        Family::V4 => datagram_v4(packet),
        Family::V6 => datagram_v6(packet),
    }
}

fn datagram_v4(packet: &[u8]) -> Option<Datagram<'_>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let header_bytes = usize::from(header[0] & 0x0f) * 4;
    let fragment_offset = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT_OFFSET;
    if header[0] >> 4 != 4 || header_bytes < header.len() || fragment_offset != 0 || header[9] != UDP {
        return None;
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    udp(source.into(), packet.get(header_bytes..)?)
}

fn datagram_v6(packet: &[u8]) -> Option<Datagram<'_>> {
    let (header, rest) = packet.split_first_chunk::<IPV6_HEADER_BYTES>()?;
    if header[0] >> 4 != 6 || header[6] != UDP {
        return None;
    }
    let source: &[u8; 16] = header[8..24].first_chunk()?;
    udp(Ipv6Addr::from(*source).to_canonical(), rest)
}

/// Parses a UDP header and what follows. Its length is heeded, since a short Ethernet frame is padded.
fn udp(source: IpAddr, bytes: &[u8]) -> Option<Datagram<'_>> {
    let (header, captured) = bytes.split_first_chunk::<8>()?;
    let [source_port, port, length, _checksum] =
        [0, 2, 4, 6].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    let payload_bytes = usize::from(length).checked_sub(header.len())?;
    let payload = captured.get(..payload_bytes).unwrap_or(captured);
    Some(Datagram { source: SocketAddr::new(source, source_port), port, payload })
}

/// One instruction of classic BPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip if a comparison holds.
    pub if_true: u8,
    /// How many to skip if it does not.
    pub if_false: u8,
    /// What to do it with.
    pub operand: u32,
}

/// Returns the program that lets the kernel pass [`CAPTURED_BYTES`] of each datagram that came in for one of
/// `ports`, and nothing of all else. Offsets count from the IP header, and a load beyond the packet's end
/// rejects it.
///
/// What is meant for another host (3) and what this one sends (4) are rejected, so that a datagram on
/// loopback, which goes out and comes in, cannot count twice. Broadcasts count: a player on the same network
/// may find the game by them.
pub fn filter(family: Family, ports: &[u16]) -> Vec<Instruction> {
    let mut program = Vec::from(reject_if(load(BYTE, PACKET_TYPE), AT_LEAST, libc::PACKET_OTHERHOST.into()));
    match family {
        Family::V4 => {
            program.extend(reject_unless(load(BYTE, 9), EQUAL, UDP.into()));
            program.extend(reject_if(load(HALF, 6), ANY_BIT, FRAGMENT_OFFSET.into()));
            program.extend([load(HEADER_LENGTH, 0), load(HALF_AFTER_HEADER, 2)]);
        }
        Family::V6 => {
            program.extend(reject_unless(load(BYTE, 6), EQUAL, UDP.into()));
            program.push(load(HALF, IPV6_HEADER_BYTES as u32 + 2));
        }
    }
    for port in ports {
        program.extend([jump(EQUAL, (*port).into(), 0, 1), ACCEPT]);
    }
    program.push(REJECT);
    program
}

/// Returns the program that lets the kernel pass the IP header of each datagram that goes out, and nothing of all else.
pub fn answer_filter() -> Vec<Instruction> {
    let version = [load(BYTE, 0), Instruction { code: AND, if_true: 0, if_false: 0, operand: 0xf0 }];
    let header = Instruction { operand: IPV6_HEADER_BYTES as u32, ..ACCEPT };
    let is_v4 = [load(BYTE, 9), jump(EQUAL, UDP.into(), 0, 1), header, REJECT];
    let is_v6 = [load(BYTE, 6), jump(EQUAL, UDP.into(), 0, 1), header, REJECT];
    let mut program = Vec::from(reject_unless(load(BYTE, PACKET_TYPE), EQUAL, libc::PACKET_OUTGOING.into()));
    program.extend(version);
    program.push(jump(EQUAL, 0x40, 0, is_v4.len() as u8));
    program.extend(is_v4);
    program.push(jump(EQUAL, 0x60, 0, is_v6.len() as u8));
    program.extend(is_v6);
    program.push(REJECT);
    program
}

// What the filters need of classic BPF. In [`filter`] no jump goes further than over the next instruction, so that there is
// no distance to compute.
const BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const HALF_AFTER_HEADER: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
const HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
/// Where the kernel shows whether a packet comes or goes, as if it were a byte of the packet.
const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const ACCEPT: Instruction =
    Instruction { code: RETURN, if_true: 0, if_false: 0, operand: CAPTURED_BYTES as u32 };
const REJECT: Instruction = Instruction { operand: 0, ..ACCEPT };

const fn load(code: u16, operand: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, operand }
}

const fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, operand }
}

fn reject_if(loaded: Instruction, comparison: u16, operand: u32) -> [Instruction; 3] {
    [loaded, jump(comparison, operand, 0, 1), REJECT]
}

fn reject_unless(loaded: Instruction, comparison: u16, operand: u32) -> [Instruction; 3] {
    [loaded, jump(comparison, operand, 1, 0), REJECT]
}

/// Opens a packet socket for an Ethernet protocol. It receives nothing until it is bound, and then the filter is in
/// place.
fn open(ethertype: u16, filter: &[Instruction]) -> Result<Socket, TapError> {
    let filter: Vec<_> =
        filter.iter().map(|i| SockFilter::new(i.code, i.if_true, i.if_false, i.operand)).collect();
    let open = || {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(BUFFER_BYTES)?;
        socket.attach_filter(&filter)?;
        socket.bind(&all_interfaces(ethertype))?;
        Ok(socket)
    };
    open().map_err(|error: io::Error| match error.raw_os_error() {
        Some(libc::EPERM) => TapError::MissingCapability,
        _ => TapError::Open(error),
    })
}

/// Returns the address that binds a packet socket to an Ethernet protocol on every interface.
fn all_interfaces(ethertype: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the kernel's socket addresses, so it fits the storage, and zeroes are
    // valid in it.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = ethertype.to_be();
    // SAFETY: the storage holds a `sockaddr_ll`, whose family says so, and the length is that of a
    // `sockaddr_ll`.
    unsafe { SockAddr::new(storage, mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

/// Hands on what `socket` holds.
fn drain(mut socket: &Socket, each: &mut dyn FnMut(&[u8])) -> Result<(), TapError> {
    let mut buffer = [0; CAPTURED_BYTES];
    for _ in 0..MAX_DRAIN_PER_FAMILY {
        match socket.read(&mut buffer) {
            Ok(length) => each(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TapError::Read(error)),
        }
    }
    Ok(())
}

/// Returns how many packets found no room in the buffer of `socket` since this was last asked.
fn lost(socket: &Socket) -> Result<u32, TapError> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = mem::size_of_val(&statistics) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes into `statistics`, which
    // has as many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(statistics.tp_drops) } else { Err(TapError::Read(io::Error::last_os_error())) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use interpreter::run;

    mod interpreter;

    const TO_US: u8 = 0;
    const BROADCAST: u8 = 1;
    const TO_ANOTHER: u8 = 3;
    const OUTGOING: u8 = 4;

    #[test]
    fn a_datagram_for_the_game_is_parsed() {
        check(Family::V4, &v4(&udp_bytes(2456, b"hello")), expect!["203.0.113.7:50214 to 2456: hello"]);
        check(Family::V6, &v6(&udp_bytes(2456, b"hello")), expect!["[2001:db8::7]:50214 to 2456: hello"]);
    }

    #[test]
    fn options_before_the_udp_header_are_skipped() {
        let packet = with_options(&v4(&udp_bytes(2456, b"hello")), 40);
        check(Family::V4, &packet, expect!["203.0.113.7:50214 to 2456: hello"]);
        assert!(passes(Family::V4, &[2456], TO_US, &packet));
    }

    #[test]
    fn the_padding_of_a_short_frame_is_not_payload() {
        let packet = [v4(&udp_bytes(2456, b"hello")), vec![b'x'; 13]].concat();
        check(Family::V4, &packet, expect!["203.0.113.7:50214 to 2456: hello"]);
    }

    #[test]
    fn a_payload_that_was_not_captured_whole_is_cut() {
        let packet = v4(&udp_bytes(2456, &[b'a'; 1200]));
        let parsed = datagram(Family::V4, &packet[..CAPTURED_BYTES]).unwrap();
        assert_eq!(parsed.payload, [b'a'; CAPTURED_BYTES - 28]);
    }

    #[test]
    fn what_is_no_datagram_is_none() {
        let good = v4(&udp_bytes(2456, b"hello"));
        check(Family::V4, &changed(&good, 0, 0x65), expect!["none"]);
        check(Family::V4, &changed(&good, 0, 0x44), expect!["none"]);
        check(Family::V4, &changed(&good, 0, 0x4f), expect!["none"]);
        check(Family::V4, &changed(&good, 9, 6), expect!["none"]);
        check(Family::V4, &changed(&good, 7, 185), expect!["none"]);
        check(Family::V4, &changed(&good, 25, 7), expect!["none"]);
        check(Family::V6, &good, expect!["none"]);
        check(Family::V4, &v6(&udp_bytes(2456, b"hello")), expect!["none"]);
    }

    #[test]
    fn no_packet_panics_and_parser_and_filter_agree() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..20_000_usize {
            let (family, mut packet) = match round % 2 {
                0 => (Family::V4, with_options(&v4(&udp_bytes(2456, b"hello")), round / 2 % 11 * 4)),
                _ => (Family::V6, v6(&udp_bytes(2456, b"hello"))),
            };
            for _ in 0..round % 5 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 33) as usize % packet.len();
                packet[at] = (random >> 24) as u8;
            }
            packet.truncate(packet.len().saturating_sub(round % 7 * 9));
            if let Some(parsed) = datagram(family, &packet) {
                assert_eq!(passes(family, &[2456], TO_US, &packet), parsed.port == 2456, "{packet:x?}");
            }
        }
        for length in 0..64 {
            assert_eq!(datagram(Family::V4, &vec![0xff; length]), None);
            assert_eq!(datagram(Family::V6, &vec![0x60; length]), None);
        }
    }

    #[test]
    fn the_filter_passes_the_games_ports_alone() {
        let ports: Vec<u16> = (0..MAX_PORTS as u16).map(|n| 2456 + n).collect();
        for (port, expected) in [(2455, false), (2456, true), (2471, true), (2472, false), (0, false)] {
            assert_eq!(passes(Family::V4, &ports, TO_US, &v4(&udp_bytes(port, b"x"))), expected, "{port}");
            assert_eq!(passes(Family::V6, &ports, TO_US, &v6(&udp_bytes(port, b"x"))), expected, "{port}");
        }
        assert!(
            !passes(Family::V4, &[50214], TO_US, &v4(&udp_bytes(53, b"x"))),
            "a source port is none of ours"
        );
    }

    #[test]
    fn the_filter_rejects_what_goes_out_or_to_another_host() {
        for (packet_type, expected) in
            [(TO_US, true), (BROADCAST, true), (TO_ANOTHER, false), (OUTGOING, false)]
        {
            assert_eq!(passes(Family::V4, &[2456], packet_type, &v4(&udp_bytes(2456, b"x"))), expected);
            assert_eq!(passes(Family::V6, &[2456], packet_type, &v6(&udp_bytes(2456, b"x"))), expected);
        }
    }

    #[test]
    fn the_filter_rejects_other_protocols_and_later_fragments() {
        let good = v4(&udp_bytes(2456, b"x"));
        let more_fragments = changed(&good, 6, 0x20);
        assert!(passes(Family::V4, &[2456], TO_US, &more_fragments), "the first fragment has ports");
        assert!(!passes(Family::V4, &[2456], TO_US, &changed(&more_fragments, 7, 1)));
        assert!(!passes(Family::V4, &[2456], TO_US, &changed(&good, 6, 0x10)));
        assert!(!passes(Family::V4, &[2456], TO_US, &changed(&good, 9, 6)));
        assert!(!passes(Family::V6, &[2456], TO_US, &changed(&v6(&udp_bytes(2456, b"x")), 6, 44)));
    }

    #[test]
    fn the_other_filter_passes_what_goes_out_alone() {
        let passes = |packet_type, packet: &[u8]| run(&answer_filter(), packet_type, packet).unwrap_or(0) > 0;
        for good in [v4(&udp_bytes(2456, b"x")), v6(&udp_bytes(2456, b"x"))] {
            for packet_type in [TO_US, BROADCAST, TO_ANOTHER, OUTGOING] {
                assert_eq!(passes(packet_type, &good), packet_type == OUTGOING);
            }
        }
        assert!(!passes(OUTGOING, &changed(&v4(&udp_bytes(2456, b"x")), 9, 6)), "TCP");
        assert!(!passes(OUTGOING, &changed(&v6(&udp_bytes(2456, b"x")), 6, 6)), "TCP");
        assert!(!passes(OUTGOING, &changed(&v4(&udp_bytes(2456, b"x")), 0, 0x25)), "no IP");
        assert!(!passes(OUTGOING, &[]));
    }

    #[test]
    fn whom_a_packet_goes_to_is_parsed() {
        let to = |packet: &[u8]| destination(packet).map(|address| address.to_string());
        assert_eq!(to(&v4(&udp_bytes(2456, b"x"))).as_deref(), Some("10.0.0.2"));
        assert_eq!(to(&v6(&udp_bytes(2456, b"x"))[..IPV6_HEADER_BYTES]).as_deref(), Some("2001:db8::1"));
        for length in 0..40 {
            assert_eq!(to(&vec![0x60; length]), None);
            assert_eq!(to(&vec![0x20; length]), None);
        }
    }

    #[test]
    fn the_number_of_ports_is_bounded() {
        let error = |count: u16| PacketTap::open(&Vec::from_iter(0..count)).unwrap_err().to_string();
        expect!["watching 0 ports: a tap watches 1 to 16"].assert_eq(&error(0));
        expect!["watching 17 ports: a tap watches 1 to 16"].assert_eq(&error(17));
    }

    fn check(family: Family, packet: &[u8], expected: Expect) {
        let seen = datagram(family, packet).map_or("none".to_owned(), |d| {
            format!("{} to {}: {}", d.source, d.port, String::from_utf8_lossy(d.payload))
        });
        expected.assert_eq(&seen);
    }

    fn passes(family: Family, ports: &[u16], packet_type: u8, packet: &[u8]) -> bool {
        run(&filter(family, ports), packet_type, packet).unwrap_or(0) > 0
    }

    fn udp_bytes(port: u16, payload: &[u8]) -> Vec<u8> {
        let length = 8 + payload.len() as u16;
        let header = [50214, port, length, 0].map(u16::to_be_bytes).concat();
        [&header, payload].concat()
    }

    fn v4(udp: &[u8]) -> Vec<u8> {
        let [high, low] = (20 + udp.len() as u16).to_be_bytes();
        let header = [0x45, 0, high, low, 0, 1, 0x40, 0, 64, UDP, 0, 0, 203, 0, 113, 7, 10, 0, 0, 2];
        [&header, udp].concat()
    }

    /// Puts `length` bytes of options into an IPv4 packet that has none.
    fn with_options(packet: &[u8], length: usize) -> Vec<u8> {
        let packet = changed(packet, 0, 0x45 + length as u8 / 4);
        [&packet[..20], &vec![1; length], &packet[20..]].concat()
    }

    fn v6(udp: &[u8]) -> Vec<u8> {
        let [high, low] = (udp.len() as u16).to_be_bytes();
        let (from, to): (Ipv6Addr, Ipv6Addr) =
            ("2001:db8::7".parse().unwrap(), "2001:db8::1".parse().unwrap());
        [&[0x60, 0, 0, 0, high, low, UDP, 64], &from.octets()[..], &to.octets(), udp].concat()
    }

    fn changed(packet: &[u8], at: usize, byte: u8) -> Vec<u8> {
        let mut packet = packet.to_vec();
        packet[at] = byte;
        packet
    }
}
