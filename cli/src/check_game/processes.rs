//! The processes of a game that is being checked: which there are, what they bind, and what they make of a signal.
//!
//! Plain processes are known by what they work in or hold open, which lies in the check's own directory, and those in containers by
//! their parents; so no other process of the machine is ever taken for one of them. Where the kernel shows less of a process, less
//! is known of it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use domain::game::{Protocol, Signal};
use nix::unistd::Pid;
use watchdog::procnet::{Row, SocketState, Tables};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// The name of its program, 15 characters at most.
    pub(super) name: String,
    /// How much of it is in memory, in pages.
    pages: u64,
}

impl Process {
    /// Looks at it; nothing if it is gone, or has ended and waits for its parent.
    pub(super) fn read(pid: Pid) -> Option<Self> {
        let at = place(pid);
        // A process that has ended and waits for its parent has no program any more.
        let is_over = fs::read(at.join("cmdline")).map_or(true, |line| line.is_empty());
        let pages = fs::read_to_string(at.join("statm")).unwrap_or_default();
        let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
        let name = fs::read_to_string(at.join("comm")).ok()?.trim().to_owned();
        (!is_over).then_some(Self { pid, name, pages })
    }
}

/// What a process does when it gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    /// It has a handler.
    Handles,
    /// It takes no notice.
    Ignores,
    /// It ends at once, without a chance to save.
    Ends,
}

/// Returns the processes that work in `dir`, or hold something below it open, but those of `but`.
pub(super) fn below(dir: &Path, but: &[Pid]) -> Vec<Process> {
    let pids = all().filter(|pid| !but.contains(pid));
    pids.filter(|pid| is_below(*pid, dir)).filter_map(Process::read).collect()
}

/// Returns the processes that descend from one of `roots`.
pub(super) fn descendants(roots: &[Pid]) -> Vec<Pid> {
    let parents: Vec<_> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = Vec::new();
    let mut next = roots.to_vec();
    while let Some(of) = next.pop() {
        let children = parents.iter().filter(|(pid, parent)| *parent == of && !found.contains(pid));
        let children: Vec<_> = children.map(|(pid, _)| *pid).collect();
        found.extend(&children);
        next.extend(children);
    }
    found
}

/// Returns the largest, which is the server and not the shell that may have started it.
pub(super) fn largest(processes: &[Process]) -> Option<&Process> {
    processes.iter().max_by_key(|process| process.pages)
}

/// Returns the numbers on which `processes` wait for players.
pub(super) fn bound(processes: &[Process]) -> BTreeSet<(u16, Protocol)> {
    let Ok(tables) = Tables::read(Path::new("/proc/net")) else { return BTreeSet::new() };
    let sockets: BTreeSet<_> = processes.iter().flat_map(|process| sockets(process.pid)).collect();
    waiting(&tables, |row| sockets.contains(&row.inode))
}

/// Returns the numbers on which somebody waits for players by a socket that `is_theirs`.
pub(super) fn waiting(tables: &Tables, is_theirs: impl Fn(&Row) -> bool) -> BTreeSet<(u16, Protocol)> {
    let of = |rows: &[Row], waiting, protocol| {
        let waits = |row: &&Row| row.state == waiting && is_theirs(row);
        rows.iter().filter(waits).map(|row| (row.local.port(), protocol)).collect::<Vec<_>>()
    };
    let tcp = of(&tables.tcp, SocketState::Listening, Protocol::Tcp);
    tcp.into_iter().chain(of(&tables.udp, SocketState::Unconnected, Protocol::Udp)).collect()
}

/// Returns what the process does when it gets `signal`; nothing if it is gone.
pub(super) fn response(pid: Pid, signal: Signal) -> Option<Response> {
    let status = fs::read_to_string(place(pid).join("status")).ok()?;
    let number = match signal {
        Signal::Hup => 1,
        Signal::Int => 2,
        Signal::Quit => 3,
        Signal::Term => 15,
    };
    response_in(&status, number)
}

/// Reads what `/proc/PID/status` says about a signal.
fn response_in(status: &str, number: u32) -> Option<Response> {
    let has = |key: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(key))?.trim();
        Some(u64::from_str_radix(mask, 16).ok()? >> (number - 1) & 1 == 1)
    };
    Some(match (has("SigIgn:")?, has("SigCgt:")?) {
        (true, _) => Response::Ignores,
        (false, true) => Response::Handles,
        (false, false) => Response::Ends,
    })
}

/// Returns the processes of this machine.
fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw)
}

fn parent(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(place(pid).join("status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().map(Pid::from_raw)
}

fn place(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn is_below(pid: Pid, dir: &Path) -> bool {
    let leads = |link: PathBuf| fs::read_link(link).is_ok_and(|at| at.starts_with(dir));
    let at = place(pid);
    let mut open = fs::read_dir(at.join("fd")).into_iter().flatten().flatten();
    leads(at.join("cwd")) || open.any(|fd| leads(fd.path()))
}

/// Returns the inodes of the sockets that the process has open.
fn sockets(pid: Pid) -> Vec<u64> {
    let open = fs::read_dir(place(pid).join("fd")).into_iter().flatten().flatten();
    let inode = |fd: fs::DirEntry| {
        let link = fs::read_link(fd.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    open.filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_makes_of_a_signal_is_read_from_its_masks() {
        let status = "Name:\tserver\nSigIgn:\t0000000000000002\nSigCgt:\t0000000000004001\n";
        let wanted =
            [(1, Response::Handles), (2, Response::Ignores), (3, Response::Ends), (15, Response::Handles)];
        for (number, response) in wanted {
            assert_eq!(response_in(status, number), Some(response), "{number}");
        }
        assert_eq!(response_in("Name:\tserver\n", 2), None);
    }

    #[test]
    fn a_process_descends_from_its_parent_and_from_the_parent_of_that() {
        let script = "sleep 600 & echo; wait";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).stdout(std::process::Stdio::piped());
        let mut shell = std::os::unix::process::CommandExt::process_group(&mut shell, 0).spawn().unwrap();
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let pid = Pid::from_raw(i32::try_from(shell.id()).unwrap());
        let (of_shell, of_us) = (descendants(&[pid]), descendants(&[Pid::this()]));
        nix::sys::signal::killpg(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert_eq!(of_shell.len(), 1, "{of_shell:?}");
        assert!(of_us.contains(&pid) && of_us.contains(&of_shell[0]), "{of_us:?}");
    }

    #[test]
    fn a_process_is_known_by_what_it_holds_open_and_its_sockets_by_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let own = Pid::this();
        assert!(!is_below(own, dir.path()));
        let _held = fs::File::create(dir.path().join("held")).unwrap();
        let found = below(dir.path(), &[]);
        // Another test may be about to start a program, which holds what this one does until then.
        assert!(found.iter().any(|process| process.pid == own), "{found:?}");
        assert!(below(dir.path(), &[own]).iter().all(|process| process.pid != own));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(bound(&found).contains(&(socket.local_addr().unwrap().port(), Protocol::Udp)));
    }
}
