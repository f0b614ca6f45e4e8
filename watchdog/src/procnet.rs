//! The kernel's socket tables: who is connected, what listens, and how many datagrams came in.
//!
//! This file answers for reading `/proc/net/{tcp,tcp6,udp,udp6,snmp,snmp6}` correctly. Parsing is pure and
//! takes the text; [`Tables::read`] is the thin shell. It must never take a socket for a peer that is not on
//! one of the game's own ports (an outgoing DNS or login connection is no player), and never pass off what it
//! could not read as "nobody": an unreadable or oversized table is an error, and a count that is not there is
//! `None`.

use std::{
    fs::File,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use domain::game::Protocol;
use thiserror::Error;

/// The most that is read of one table: some 400,000 sockets, far beyond what a task can hold.
pub const MAX_TABLE_BYTES: u64 = 64 << 20;

/// Why the tables could not be read.
#[derive(Debug, Error)]
pub enum TablesError {
    /// The kernel did not hand the file out.
    #[error("reading the socket table {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is longer than [`MAX_TABLE_BYTES`], and half a table might leave the players out.
    #[error("the socket table {path} is larger than {MAX_TABLE_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// All socket tables of one network namespace as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// The rows of `tcp` and `tcp6`.
    pub tcp: Vec<Row>,
    /// The rows of `udp` and `udp6`.
    pub udp: Vec<Row>,
    /// See [`datagrams_in`].
    pub datagrams_in: Option<u64>,
    /// How many lines made no sense and were skipped.
    pub malformed: usize,
}

impl Tables {
    /// Reads the tables in the directory `root`, which is `/proc/net` outside of tests.
    ///
    /// Without IPv6 the kernel has no `tcp6`, `udp6` and `snmp6`; that is no error.
    pub fn read(root: &Path) -> Result<Self, TablesError> {
        let mut tables = Self::default();
        let mut buffer = Vec::new();
        tables.malformed += collect(required(root, "tcp", &mut buffer)?, &mut tables.tcp);
        tables.malformed +=
            collect(optional(root, "tcp6", &mut buffer)?.unwrap_or_default(), &mut tables.tcp);
        tables.malformed += collect(required(root, "udp", &mut buffer)?, &mut tables.udp);
        tables.malformed +=
            collect(optional(root, "udp6", &mut buffer)?.unwrap_or_default(), &mut tables.udp);

        tables.datagrams_in = datagrams_in(root)?;
        Ok(tables)
    }

    /// Tells whether somebody waits for connections or datagrams on `port`.
    pub fn listening(&self, port: u16, protocol: Protocol) -> bool {
        let (rows, waiting) = match protocol {
            Protocol::Tcp => (&self.tcp, SocketState::Listening),
            Protocol::Udp => (&self.udp, SocketState::Unconnected),
        };
        rows.iter().any(|row| row.state == waiting && row.local.port() == port)
    }

    /// Returns the TCP connections on the game's own `ports`.
    ///
    /// Only ESTABLISHED counts: TIME_WAIT, FIN_WAIT1 and CLOSING rows keep the address of somebody who has
    /// left.
    pub fn connections<'a>(&'a self, ports: &'a [u16]) -> impl Iterator<Item = &'a Row> {
        connected(&self.tcp, ports)
    }

    /// Returns the connected UDP sockets on the game's own `ports`.
    ///
    /// Most games serve everybody from one unconnected socket, and then this is empty however many play.
    pub fn connected_udp<'a>(&'a self, ports: &'a [u16]) -> impl Iterator<Item = &'a Row> {
        connected(&self.udp, ports)
    }
}

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Our end. A v4-mapped IPv6 address is given as the IPv4 address that it stands for.
    pub local: SocketAddr,
    /// The other end; unspecified when there is none.
    pub remote: SocketAddr,
    /// What the socket does.
    pub state: SocketState,
    /// How often the oldest unanswered segment was sent again. It rises when a link is cut.
    pub retransmits: u32,
    /// The socket's inode; 0 when no process holds it.
    pub inode: u64,
    /// How many bytes have come over a TCP connection, where that is known: the text tables do not have it.
    pub received: Option<u64>,
    /// In how many segments, where that is known.
    pub segments: Option<u32>,
}

/// What a socket does, as far as it matters for seeing players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// 01: a TCP connection that is up, or a UDP socket that was connected to one remote address.
    Established,
    /// 07: a UDP socket that receives from anybody.
    Unconnected,
    /// 0A: a TCP socket that waits for connections.
    Listening,
    /// Any other of the kernel's numbers: a TCP connection that is coming up or going down.
    Passing(u8),
}

impl SocketState {
    /// Returns the state for the kernel's number.
    pub(crate) fn from_kernel(number: u8) -> Self {
        match number {
            0x01 => Self::Established,
            0x07 => Self::Unconnected,
            0x0A => Self::Listening,
            other => Self::Passing(other),
        }
    }
}

/// The sockets in the text of one of `tcp`, `tcp6`, `udp`, `udp6`, parsed line by line without allocating.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    lines: std::str::Lines<'a>,
    /// How many lines made no sense so far.
    pub malformed: usize,
}

impl<'a> Rows<'a> {
    /// Starts at the first line of `text` after the heading.
    pub fn new(text: &'a str) -> Self {
        let mut lines = text.lines();
        lines.next();
        Self { lines, malformed: 0 }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            match row(self.lines.next()?) {
                Some(row) => return Some(row),
                None => self.malformed += 1,
            }
        }
    }
}

/// Returns InDatagrams of `Udp:` in the text of `snmp`: a line of names, then a line of values.
pub fn udp_in_datagrams(snmp: &str) -> Option<u64> {
    let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (udp.next()?, udp.next()?);
    let (_, value) =
        names.split_whitespace().zip(values.split_whitespace()).find(|(name, _)| *name == "InDatagrams")?;
    value.parse().ok()
}

/// Returns `Udp6InDatagrams` in the text of `snmp6`: a name and a value in each line.
pub fn udp6_in_datagrams(snmp6: &str) -> Option<u64> {
    let mut pairs = snmp6.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let (_, value) = pairs.find(|(name, _)| *name == "Udp6InDatagrams")?;
    value.trim().parse().ok()
}

/// Parses one line of a table; `None` if it is not one.
///
/// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …`
fn row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    Some(Row {
        local: endpoint(fields.next()?)?,
        remote: endpoint(fields.next()?)?,
        state: SocketState::from_kernel(u8::from_str_radix(fields.next()?, 16).ok()?),
        retransmits: u32::from_str_radix(fields.nth(2)?, 16).ok()?,
        inode: fields.nth(2)?.parse().ok()?,
        received: None,
        segments: None,
    })
}

/// Parses `ADDRESS:PORT`, where the address is one word of eight hexadecimal digits, or four of them.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(address)?).into(),
        32 => ipv6(address)?.to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let mut octets = [0; 16];
    for (octets, at) in octets.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
        octets.copy_from_slice(&word(text.get(at..at + 8)?)?);
    }
    Some(octets.into())
}

/// Parses one word of an address. The kernel prints the four octets as a number in the machine's own byte
/// order.
fn word(text: &str) -> Option<[u8; 4]> {
    Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
}

/// Returns how many datagrams were delivered since the namespace came up, Udp and Udp6 together (IPv4 datagrams that reach a
/// `[::]` socket count in Udp), or `None` if the kernel does not say.
pub fn datagrams_in(root: &Path) -> Result<Option<u64>, TablesError> {
    let mut buffer = Vec::new();
    let v4 = optional(root, "snmp", &mut buffer)?.and_then(udp_in_datagrams);
    let v6 = optional(root, "snmp6", &mut buffer)?.map_or(Some(0), udp6_in_datagrams);
    Ok(v4.zip(v6).and_then(|(v4, v6)| v4.checked_add(v6)))
}

/// Returns the connected sockets on `ports`.
fn connected<'a>(rows: &'a [Row], ports: &'a [u16]) -> impl Iterator<Item = &'a Row> {
    let ours = |row: &&Row| row.state == SocketState::Established && ports.contains(&row.local.port());
    rows.iter().filter(ours)
}

/// Adds the rows in `text` to `rows` and returns how many lines made no sense.
fn collect(text: &str, rows: &mut Vec<Row>) -> usize {
    let mut parsed = Rows::new(text);
    rows.extend(&mut parsed);
    parsed.malformed
}

/// Reads the file `name` into `buffer` and returns its text.
fn required<'a>(root: &Path, name: &str, buffer: &'a mut Vec<u8>) -> Result<&'a str, TablesError> {
    let path = root.join(name);
    match fill(&path, buffer) {
        Ok(length) if length > MAX_TABLE_BYTES => Err(TablesError::TooLarge { path }),
        Ok(_) => text(path, buffer),
        Err(source) => Err(TablesError::Unreadable { path, source }),
    }
}

/// Reads like [`required`]; a file that does not exist is `None`.
fn optional<'a>(root: &Path, name: &str, buffer: &'a mut Vec<u8>) -> Result<Option<&'a str>, TablesError> {
    match required(root, name, buffer) {
        Ok(text) => Ok(Some(text)),
        Err(TablesError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads at most one byte more than the bound and returns how much there was.
fn fill(path: &Path, buffer: &mut Vec<u8>) -> io::Result<u64> {
    buffer.clear();
    let length = File::open(path)?.take(MAX_TABLE_BYTES + 1).read_to_end(buffer)?;
    Ok(length as u64)
}

fn text(path: PathBuf, bytes: &[u8]) -> Result<&str, TablesError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        TablesError::Unreadable { path, source }
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    // OpenTTD on 3979 with one player and one who has just left, and its own connection to a content server.
    const TCP: &str = "\
   0: 00000000:0F8B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41207 1 0 100 0 0 10 0
   1: 0200000A:0F8B 077100CB:C426 01 00000000:00000000 02:000A7D8C 00000003  1000        0 41350 2 0 20 4 30 10 -1
   2: 0200000A:0F8B 087100CB:C427 06 00000000:00000000 03:00001774 00000000     0        0 0 3 0
   3: 0200000A:B2D0 096433C6:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 41399 1 0 20 4 30 10 -1
";

    // flying-squid on 25565 with one bot over IPv4 and one over IPv6.
    const TCP6: &str = "\
   0: 00000000000000000000000000000000:63DD 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 552 1
   1: 0000000000000000FFFF00000200000A:63DD 0000000000000000FFFF0000077100CB:9C40 01 00000000:00000000 00:00000000 00000000     0        0 553 1
   2: B80D0120000000000000000001000000:63DD B80D0120000000000000000002000000:9C41 01 00000000:00000000 00:00000000 00000000     0        0 554 1
";

    // A game on 30000, a resolver's connected socket, and a connected socket on the game's own port.
    const UDP: &str = "\
  812: 00000000:7530 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 777 2 0 0
  813: 0200000A:D431 35353535:0035 01 00000000:00000000 00:00000000 00000000  1000        0 778 2 0 0
  814: 0200000A:7530 077100CB:C350 01 00000000:00000000 00:00000000 00000000  1000        0 779 2 0 0
";

    #[test]
    fn tcp_rows() {
        check(
            TCP,
            expect![[r#"
                0.0.0.0:3979 <- 0.0.0.0:0 Listening, retransmits 0, inode 41207
                10.0.0.2:3979 <- 203.0.113.7:50214 Established, retransmits 3, inode 41350
                10.0.0.2:3979 <- 203.0.113.8:50215 Passing(6), retransmits 0, inode 0
                10.0.0.2:45776 <- 198.51.100.9:443 Established, retransmits 0, inode 41399
                0 malformed
            "#]],
        );
    }

    #[test]
    fn a_mapped_address_is_given_as_ipv4() {
        check(
            TCP6,
            expect![[r#"
                [::]:25565 <- [::]:0 Listening, retransmits 0, inode 552
                10.0.0.2:25565 <- 203.0.113.7:40000 Established, retransmits 0, inode 553
                [2001:db8::1]:25565 <- [2001:db8::2]:40001 Established, retransmits 0, inode 554
                0 malformed
            "#]],
        );
    }

    #[test]
    fn what_makes_no_sense_is_skipped_and_counted() {
        let junk = "\n: : :\n   0: 00000000:0F8B\n  1: 0000000g:0F8B 00000000:0000 0A 0:0 0:0 0 0 0 1\n\
                    2: é0000000:0F8B 00000000:0000 0A 0:0 0:0 0 0 0 1\n3: 00000000:10F8B 00000000:0000 0A 0:0 0:0 0 0 0 1\n";
        check(
            &(junk.to_owned() + UDP),
            expect![[r#"
                0.0.0.0:30000 <- 0.0.0.0:0 Unconnected, retransmits 0, inode 777
                10.0.0.2:54321 <- 53.53.53.53:53 Established, retransmits 0, inode 778
                10.0.0.2:30000 <- 203.0.113.7:50000 Established, retransmits 0, inode 779
                6 malformed
            "#]],
        );
    }

    #[test]
    fn no_cut_or_damage_panics() {
        for at in 0..TCP6.len() {
            Rows::new(&TCP6[at..]).for_each(drop);
            Rows::new(&TCP6[..at]).for_each(drop);
            for damage in [" ", ":", "é", "-", "\0"] {
                Rows::new(&format!("{HEADING}{}{damage}{}", &TCP6[..at], &TCP6[at + 1..])).for_each(drop);
            }
        }
    }

    #[test]
    fn only_established_connections_on_the_games_ports_are_peers() {
        let tables = tables();
        let peers =
            |ports: &[u16]| tables.connections(ports).map(|row| row.remote.to_string()).collect::<Vec<_>>();
        assert_eq!(peers(&[3979]), ["203.0.113.7:50214"]);
        assert_eq!(peers(&[3979, 25565]), ["203.0.113.7:50214", "203.0.113.7:40000", "[2001:db8::2]:40001"]);
        assert_eq!(peers(&[443]), [""; 0]);
        assert_eq!(peers(&[]), [""; 0]);
    }

    #[test]
    fn a_resolvers_socket_is_no_udp_peer() {
        let peers: Vec<_> = tables().connected_udp(&[30000]).map(|row| row.remote.to_string()).collect();
        assert_eq!(peers, ["203.0.113.7:50000"]);
    }

    #[test]
    fn listening_means_waiting_on_that_port_and_protocol() {
        let tables = tables();
        assert!(tables.listening(3979, Protocol::Tcp));
        assert!(tables.listening(25565, Protocol::Tcp));
        assert!(tables.listening(30000, Protocol::Udp));
        assert!(!tables.listening(3979, Protocol::Udp));
        assert!(!tables.listening(30000, Protocol::Tcp));
        assert!(!tables.listening(45776, Protocol::Tcp), "an outgoing connection is not listening");
        assert!(!tables.listening(54321, Protocol::Udp), "a connected socket is not listening");
    }

    #[test]
    fn in_datagrams_are_found_by_name() {
        let snmp = "Tcp: ActiveOpens InSegs\nTcp: 3 4\nUdp: NoPorts InDatagrams InErrors\nUdp: 9 157 2\n\
                    UdpLite: InDatagrams\nUdpLite: 8\n";
        assert_eq!(udp_in_datagrams(snmp), Some(157));
        assert_eq!(udp_in_datagrams("Udp: InDatagrams\n"), None);
        assert_eq!(udp_in_datagrams("Udp: NoPorts\nUdp: 3\n"), None);
        assert_eq!(udp_in_datagrams("Udp: InDatagrams\nUdp: -1\n"), None);

        assert_eq!(udp6_in_datagrams("Ip6InReceives   \t7\nUdp6InDatagrams         \t12\n"), Some(12));
        assert_eq!(udp6_in_datagrams("UdpLite6InDatagrams \t12\n"), None);
    }

    #[test]
    fn reading_sums_both_families() {
        let root = proc_net(&["tcp", "tcp6", "udp", "udp6", "snmp", "snmp6"]);
        let tables = Tables::read(root.path()).unwrap();
        assert_eq!((tables.tcp.len(), tables.udp.len(), tables.datagrams_in), (7, 6, Some(169)));
        assert_eq!(tables.malformed, 0);
    }

    #[test]
    fn without_ipv6_there_are_only_the_tables_of_ipv4() {
        let root = proc_net(&["tcp", "udp", "snmp"]);
        let tables = Tables::read(root.path()).unwrap();
        assert_eq!((tables.tcp.len(), tables.udp.len(), tables.datagrams_in), (4, 3, Some(157)));
    }

    #[test]
    fn a_count_that_is_not_there_is_unknown_rather_than_0() {
        let root = proc_net(&["tcp", "udp", "snmp6"]);
        assert_eq!(Tables::read(root.path()).unwrap().datagrams_in, None);
    }

    #[test]
    fn a_missing_udp_table_is_an_error() {
        let root = proc_net(&["tcp", "tcp6", "snmp"]);
        let error = Tables::read(root.path()).unwrap_err().to_string();
        expect!["reading the socket table ROOT/udp"]
            .assert_eq(&error.replace(&root.path().display().to_string(), "ROOT"));
    }

    fn check(body: &str, expected: Expect) {
        let text = format!("{HEADING}{body}");
        let mut rows = Rows::new(&text);
        let mut seen = String::new();
        for Row { local, remote, state, retransmits, inode, received: _, segments: _ } in &mut rows {
            writeln!(seen, "{local} <- {remote} {state:?}, retransmits {retransmits}, inode {inode}")
                .unwrap();
        }
        writeln!(seen, "{} malformed", rows.malformed).unwrap();
        expected.assert_eq(&seen);
    }

    fn tables() -> Tables {
        let mut tables = Tables::default();
        collect(&format!("{HEADING}{TCP}"), &mut tables.tcp);
        collect(&format!("{HEADING}{TCP6}"), &mut tables.tcp);
        collect(&format!("{HEADING}{UDP}"), &mut tables.udp);
        tables
    }

    /// Makes a directory with the given tables.
    fn proc_net(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            let text = match *name {
                "tcp" => format!("{HEADING}{TCP}"),
                "tcp6" => format!("{HEADING}{TCP6}"),
                "snmp" => "Udp: InDatagrams NoPorts\nUdp: 157 0\n".to_owned(),
                "snmp6" => "Udp6InDatagrams \t12\n".to_owned(),
                _ => format!("{HEADING}{UDP}"),
            };
            std::fs::write(root.path().join(name), text).unwrap();
        }
        root
    }
}
