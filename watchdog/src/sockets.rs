//! The sockets of the game, by the cheapest way that this place offers: netlink, else the text in `/proc/net`.
//!
//! What one way cannot say is asked of the other in the same look, so that a kernel which suddenly refuses costs time and
//! no evidence.

use std::path::Path;

use domain::game::Protocol;

use crate::{
    procnet::{self, Tables, TablesError},
    sock_diag::{DiagError, Family, SockDiag},
};

/// Where the kernel shows the sockets of this network namespace as text.
pub(crate) const PROC_NET: &str = "/proc/net";

/// The ways to see the game's sockets.
#[derive(Debug)]
pub struct Sockets {
    netlink: Result<SockDiag, String>,
    tcp_ports: Vec<u16>,
    udp_ports: Vec<u16>,
}

impl Sockets {
    /// Opens what there is for the game's ports.
    pub fn open(tcp_ports: &[u16], udp_ports: &[u16]) -> Self {
        let netlink = SockDiag::open().map_err(|error| in_words(&error));
        Self { netlink, tcp_ports: tcp_ports.to_owned(), udp_ports: udp_ports.to_owned() }
    }

    /// Returns, for people, by which way the sockets are seen.
    pub fn describe(&self) -> String {
        match &self.netlink {
            Ok(_) => "by netlink".into(),
            Err(why) => format!("as text, since netlink is not to be had ({why})"),
        }
    }

    /// Looks at the sockets on the game's ports. `datagrams_in` is there only by text, see [`procnet::datagrams_in`].
    pub fn look(&mut self) -> Result<Tables, TablesError> {
        if let Ok(netlink) = &mut self.netlink {
            match by_netlink(netlink, &self.tcp_ports, &self.udp_ports) {
                Ok(tables) => return Ok(tables),
                Err(error) => self.netlink = Err(in_words(&error)),
            }
        }
        Tables::read(Path::new(PROC_NET))
    }

    /// Returns how many datagrams came in so far, if the kernel says so.
    pub fn datagrams_in(&self) -> Result<Option<u64>, TablesError> {
        procnet::datagrams_in(Path::new(PROC_NET))
    }
}

fn by_netlink(netlink: &mut SockDiag, tcp: &[u16], udp: &[u16]) -> Result<Tables, DiagError> {
    let mut tables = Tables::default();
    for (protocol, ports, rows) in
        [(Protocol::Tcp, tcp, &mut tables.tcp), (Protocol::Udp, udp, &mut tables.udp)]
    {
        if !ports.is_empty() {
            netlink.dump(Family::V4, protocol, ports, &mut |row| rows.push(row))?;
            match netlink.dump(Family::V6, protocol, ports, &mut |row| rows.push(row)) {
                // A kernel without IPv6.
                Err(DiagError::Refused(error)) if error.raw_os_error() == Some(libc::ENOENT) => {}
                done => done?,
            }
        }
    }
    Ok(tables)
}

fn in_words(error: &DiagError) -> String {
    let source = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    format!("{error}{source}")
}
