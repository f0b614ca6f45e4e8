//! A small network of its own for a test: one server and some clients, each in a network namespace, joined by
//! a switch.
//!
//! ```text
//!   server 10.77.0.1 ──┐
//!   client 10.77.0.11 ─┼─ switch (a bridge in a namespace of its own)
//!   client 10.77.0.12 ─┘
//! ```
//!
//! The host's own namespace gets no interface, no address and no route, and nothing here leads outside. The
//! bridge is not in the server's namespace, because there every packet would be seen twice: on the bridge and
//! on its port. Needs root and `iproute2`.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::Ipv4Addr,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{self, Command},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PREFIX: &str = "dormouse";
const NAMESPACES: &str = "/run/netns";

/// How long killed processes may take to be gone; they only have to be torn down.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A server, a switch and clients. Dropping it kills what still runs inside and removes everything.
#[derive(Debug)]
pub struct Lab {
    switch: Namespace,
    server: Namespace,
    clients: Vec<Namespace>,
}

/// One machine of a lab: a network namespace with `lo`, and `eth0` when it is plugged into the switch.
#[derive(Debug)]
pub struct Namespace {
    /// The name that `ip netns` knows it by.
    pub name: String,
    /// The address of `eth0`.
    pub address: Ipv4Addr,
}

impl Lab {
    /// Builds the lab `name`, a word, with this many clients, and first removes labs whose process has died.
    pub fn new(name: &str, clients: usize) -> Result<Self> {
        ensure!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "`{name}` is no name for a lab");
        ensure!(clients <= 200, "a lab has room for 200 clients, not {clients}");
        remove_orphans()?;
        let namespace = |role: &str, host: u8| {
            let name = format!("{PREFIX}-{}-{name}-{role}", process::id());
            Namespace::add(name, Ipv4Addr::new(10, 77, 0, host))
        };
        let mut lab = Self {
            switch: namespace("switch", 0)?,
            server: namespace("server", 1)?,
            clients: Vec::with_capacity(clients),
        };
        lab.switch.ip("link add bridge type bridge")?;
        lab.switch.ip("link set bridge up")?;
        lab.plug("server", &lab.server)?;
        for (i, host) in (0..clients).zip(11..) {
            lab.clients.push(namespace(&port(i), host)?);
            lab.plug(&port(i), lab.client(i))?;
        }
        Ok(lab)
    }

    /// Returns the namespace for the game server and its watchdog.
    pub fn server(&self) -> &Namespace {
        &self.server
    }

    /// Returns how many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Returns the namespace of client `i`, counted from 0.
    pub fn client(&self, i: usize) -> &Namespace {
        &self.clients[i]
    }

    /// Loses everything to and from client `i` silently, as a dead Wi-Fi does: neither side is told.
    pub fn cut_link(&self, i: usize) -> Result<()> {
        self.switch.ip(&format!("link set {} nomaster", port(i)))
    }

    /// Undoes `cut_link`.
    pub fn mend_link(&self, i: usize) -> Result<()> {
        self.switch.ip(&format!("link set {} master bridge", port(i)))
    }

    fn plug(&self, port: &str, machine: &Namespace) -> Result<()> {
        let Namespace { name, address } = machine;
        self.switch.ip(&format!("link add {port} type veth peer name eth0 netns {name}"))?;
        self.switch.ip(&format!("link set {port} master bridge up"))?;
        machine.ip(&format!("address add {address}/24 dev eth0"))?;
        machine.ip("link set eth0 up")
    }
}

/// Names the switch's port for client `i`; the client's namespace ends in the same.
fn port(i: usize) -> String {
    format!("client{i}")
}

impl Namespace {
    fn add(name: String, address: Ipv4Addr) -> Result<Self> {
        ip(&format!("netns add {name}"))?;
        let namespace = Self { name, address };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Begins a command that runs inside. `ip` replaces itself by the program, so the child's id is the
    /// program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `act` on a thread that is inside. A socket that it opens stays inside, whoever uses it then.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            enter(&self.path())?;
            act()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Begins to run `act` on a thread of its own that is inside.
    pub fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let path = self.path();
        thread::spawn(move || {
            enter(&path)?;
            act()
        })
    }

    /// Gives this machine `address` on its own loopback too.
    pub fn add_local(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&format!("address add {address}/32 dev lo"))
    }

    /// Gives this machine `address` on its cable too.
    pub fn add_address(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&format!("address add {address}/24 dev eth0"))
    }

    /// Sends what this machine has for `address` to nobody's network card: connections from there stay half open.
    pub fn answer_nobody(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&format!("neigh replace {address} lladdr 02:00:00:00:00:01 nud permanent dev eth0"))
    }

    /// Drops whatever this machine would send to `address`, silently. What comes from there still arrives.
    pub fn mute_towards(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&format!("route add blackhole {address}/32"))
    }

    /// Undoes `mute_towards`.
    pub fn speak_towards(&self, address: Ipv4Addr) -> Result<()> {
        self.ip(&format!("route delete blackhole {address}/32"))
    }

    /// Takes this machine's own loopback away: what runs here reaches nothing else that runs here.
    pub fn cut_loopback(&self) -> Result<()> {
        self.ip("link set lo down")
    }

    /// Undoes `cut_loopback`.
    pub fn mend_loopback(&self) -> Result<()> {
        self.ip("link set lo up")
    }

    /// Returns the file by which a container can be put in here (`--network ns:PATH`).
    pub fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// Runs `ip` on this namespace's own interfaces.
    fn ip(&self, words: &str) -> Result<()> {
        ip(&format!("-n {} {words}", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("network namespace {} stays behind: {error:#}", self.name);
        }
    }
}

/// Moves this thread into the namespace at `path`.
fn enter(path: &Path) -> Result<()> {
    setns(File::open(path)?, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", path.display()))
}

/// Removes the namespaces of labs whose process is no more.
fn remove_orphans() -> Result<()> {
    let Ok(entries) = fs::read_dir(NAMESPACES) else { return Ok(()) };
    for entry in entries {
        let name = entry.context("listing network namespaces")?.file_name();
        let Some(name) = name.to_str().filter(|name| is_orphan(name)) else { continue };
        if let Err(error) = remove(name)
            && Path::new(NAMESPACES).join(name).exists()
        {
            // Gone all the same means that another test was here first.
            return Err(error);
        }
    }
    Ok(())
}

/// Says whether `name` is one that a lab gave and its process has ended.
fn is_orphan(name: &str) -> bool {
    let mut parts = name.split('-');
    let ours = parts.next() == Some(PREFIX);
    let pid = parts.next().and_then(|pid| pid.parse::<u32>().ok());
    ours && pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Kills what runs inside the namespace `name` and removes it. Its ends of cables go with it.
fn remove(name: &str) -> Result<()> {
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        let pids = pids(name)?;
        if pids.is_empty() {
            return ip(&format!("netns delete {name}"));
        }
        if Instant::now() > deadline {
            bail!("{pids:?} still run in {name}");
        }
        for pid in pids {
            // One that has just ended by itself is as good as killed.
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn pids(name: &str) -> Result<Vec<Pid>> {
    let listed = ip_output(&format!("netns pids {name}"))?;
    listed.lines().map(|pid| Ok(Pid::from_raw(pid.trim().parse()?))).collect()
}

fn ip(words: &str) -> Result<()> {
    ip_output(words).map(drop)
}

/// Runs `ip` with `words`, none of which has a space in it, and returns what it prints.
fn ip_output(words: &str) -> Result<String> {
    let mut ip = Command::new("ip");
    let output = ip.args(words.split(' ')).output().context("running ip; is iproute2 installed?")?;
    ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dead_lab_is_an_orphan() {
        assert!(is_orphan("dormouse-4194305-idle-server"));
        assert!(!is_orphan(&format!("dormouse-{}-idle-server", process::id())));
        assert!(!is_orphan("dormouse-x-idle"));
        assert!(!is_orphan("podman-4194305"));
    }
}
