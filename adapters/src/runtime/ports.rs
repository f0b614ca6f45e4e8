//! Ports of this machine for a game: those that it has in the catalogue, or the next above them that are free.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
};

use domain::{
    game::{Game, Protocol},
    ports::LaunchError,
};
use nix::errno::Errno;

/// How many ports above the game's own are tried when others are taken.
const MOST_PORTS: u16 = 50;

/// Returns `game` at free ports: from `wanted` on, or at its own, or at the next above them. Those that are `promised` to
/// others are not free.
pub(super) fn at_free_ports(game: &Game, wanted: Option<u16>, promised: &[u16]) -> Result<Game, LaunchError> {
    let at = |base: u16| {
        let moved = game.clone().at_port(base);
        let moved = moved.ok_or_else(|| format!("the ports of {} do not fit at port {base}", game.name))?;
        for (number, protocol) in moved.bound() {
            if promised.contains(&number) {
                return Err(format!("port {number} belongs to another world that is awake"));
            }
            bind(number, protocol).map_err(|e| format!("port {number}/{protocol} is taken ({e})"))?;
        }
        Ok(moved)
    };
    if let Some(wanted) = wanted {
        let hint = "stop what uses it, or create the world with another `--port`";
        return at(wanted).map_err(|why| LaunchError::Refused(format!("{why}; {hint}")));
    }
    let first = game.main_port();
    let bases = first..=first.saturating_add(MOST_PORTS);
    bases.clone().find_map(|base| at(base).ok()).ok_or_else(|| {
        let (from, to) = (bases.start(), bases.end());
        LaunchError::Refused(format!(
            "every port of {} from {from} to {to} is taken on this machine",
            game.name
        ))
    })
}

/// Binds and lets go of a port. A kernel without IPv6 has only the other family to offer.
fn bind(port: u16, protocol: Protocol) -> io::Result<()> {
    let try_at = |six: bool| match (protocol, six) {
        (Protocol::Tcp, false) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop),
        (Protocol::Tcp, true) => TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).map(drop),
        (Protocol::Udp, false) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map(drop),
        (Protocol::Udp, true) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).map(drop),
    };
    try_at(false)?;
    match try_at(true) {
        Err(error) if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32) => Ok(()),
        bound => bound,
    }
}
