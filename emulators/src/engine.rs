//! A container engine for tests: Podman, which speaks the Docker Engine's API, with storage of its own.
//!
//! What an engine of this machine holds is never looked at, and one that runs here already is left alone. Each [`Engine`] has
//! containers, volumes and networks of its own, below a temporary directory, and sees the images of a store below `target/`
//! that is kept between runs: Debian's base image, which debootstrap makes, since tests ask no registry; and what was built by
//! [`Engine::build`] where there is a network. So an engine whose network leads nowhere builds the same images from what is
//! kept.
//!
//! Needs root, and `podman`, `runc`, `conmon`, `netavark`, `iptables` and `debootstrap`, which `cargo xtask test` installs.
//! An engine ends when its value is dropped, and its containers with it. Those of a process that was killed are removed by the
//! next that starts one.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{self, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

use crate::{
    install::{alone, once, root, run},
    process::{Environment, Guarded},
};

mod base;

pub use base::BASE;

/// Reading an empty store takes a quarter of a second on a quiet machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Of the directories of engines; a process id follows, and something random.
const PREFIX: &str = "dormouse-engine-";

/// Where those are. Podman refuses what is longer than 50 characters for its state, so `TMPDIR` does not count, nor is there
/// room for it below `target/`.
const HOMES: &str = "/var/tmp";

/// What is changed when the stored images have to be made anew.
const STORE_VERSION: &str = "1";

/// What Podman does otherwise by itself and may not here. `crun` does not run where both versions of cgroups are mounted;
/// systemd and its journal may not be there; raising the limit of open files may not be allowed. The capabilities are those that
/// Docker gives, and Fargate with it; Podman's own leave out NET_RAW.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
default_capabilities = [
  "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",
  "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// Runs runc; `STRIKE` are the words of sed that change what a container is to be.
const WITHHOLDING: &str = r#"#!/bin/sh
bundle=
for word in "$@"; do
  [ "$bundle" != next ] || bundle=$word
  case "$word" in --bundle | -b) bundle=next ;; --bundle=*) bundle=${word#--bundle=} ;; esac
done
[ -z "$bundle" ] || sed -i STRIKE"$bundle/config.json" || exit 1
exec runc "$@"
"#;

/// Makes the store of images and the base image in it, unless they are there. Processes that call it at once wait for each
/// other.
pub fn install_engine() -> Result<()> {
    let _alone = alone()?;
    let made_from = base::Sources::of_this_machine();
    let place = Place::of_images();
    // Podman leaves its storage mounted upon itself, and what is a mount cannot be removed.
    unmount_below(&place.directory)?;
    let pins = format!("{STORE_VERSION}\n{}\n{made_from:?}", place.directory.display());
    once("engine", &pins, |directory| {
        println!("{BASE} will be made by debootstrap into {}:", directory.display());
        println!("  images are built on it in tests; it takes half a minute and 300 MB");
        base::make(&place, &made_from)
    })?;
    unmount_below(&place.directory)
}

/// The network that an engine publishes ports in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// That of this process.
    Ours,
    /// The namespace that is mounted there, such as `/run/netns/server`. Nothing of it is seen on this machine.
    Namespace(PathBuf),
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    home: TempDir,
    place: Place,
    network: Network,
    service: Guarded,
}

impl Engine {
    /// Starts an engine.
    pub fn start(network: Network) -> Result<Self> {
        Self::withholding(network, &[])
    }

    /// Starts an engine whose containers never get these capabilities, such as `CAP_NET_RAW`, whatever is asked for: as on a
    /// host that has rules of its own. Nobody is told.
    pub fn withholding(network: Network, capabilities: &[&str]) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "containers with networks of their own take root");
        install_engine()?;
        remove_orphans()?;
        let home =
            tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", process::id())).tempdir_in(HOMES)?;
        let place = Place::of_engine(home.path());
        place.prepare()?;
        place.withhold(capabilities)?;
        let mut service = network.enter(&place);
        // Whoever sees a container run out of memory leaves a file where this runs.
        service.current_dir(home.path());
        service.args(["system", "service", "--time", "0"]).arg(format!("unix://{}", socket(&home).display()));
        let mut service = Guarded::start(&service, Environment::Inherited, &home.path().join("log"))?;
        let answers = |_: &Guarded| UnixStream::connect(socket(&home)).ok();
        service.wait_until(START_LIMIT, answers).context("starting podman")?;
        let engine = Self { home, place, network, service };
        // Its first answer takes longer than the others. A client of it is told nothing of where it stores things.
        run(Command::new("podman").args(["--url", &engine.url(), "info"])).context("asking podman")?;
        Ok(engine)
    }

    /// Builds an image from a directory with a Dockerfile, on [`BASE`], with the network of this machine, and keeps it for every
    /// engine and every later run. What is kept already is not built again.
    pub fn build(tag: &str, context: &Path) -> Result<()> {
        install_engine()?;
        let _alone = alone()?;
        let place = Place::of_images();
        let mut build = place.podman(&[]);
        // Docker's format is what is built through Docker's API, and a layer of another is not taken for the same.
        build.args(["build", "--quiet", "--format", "docker", "--network", "host"]);
        build.arg("--build-arg").arg(format!("BASE={BASE}"));
        run(build.args(["--tag", tag]).arg(context)).with_context(|| format!("building {tag}"))?;
        unmount_below(&place.directory)
    }

    /// Returns the socket on which the engine answers.
    pub fn socket(&self) -> PathBuf {
        socket(&self.home)
    }

    /// Returns what `DOCKER_HOST` has to be for it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Begins a command of `podman` about this engine's containers.
    pub fn command(&self) -> Command {
        self.network.enter(&self.place)
    }

    /// Runs `podman` with `arguments`, which must succeed, and returns what it printed.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<String> {
        let Output { status, stdout, stderr } =
            self.command().args(arguments).stdin(Stdio::null()).output()?;
        let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        ensure!(status.success(), "`podman {}`: {}", words.join(" "), String::from_utf8_lossy(&stderr));
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Returns what the engine has complained of.
    pub fn log(&self) -> String {
        self.service.log()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let removed = remove_containers(self.command());
        self.service.kill();
        if let Err(error) = removed.and_then(|()| unmount_below(self.home.path())) {
            eprintln!("containers of an engine stay behind: {error:#}");
        }
    }
}

fn socket(home: &TempDir) -> PathBuf {
    home.path().join("engine.sock")
}

impl Network {
    /// Begins a command of `podman` in this network. (`ip netns exec` would take the control groups away with `/sys`.)
    fn enter(&self, place: &Place) -> Command {
        match self {
            Self::Ours => place.podman(&[]),
            Self::Namespace(path) => {
                let network = format!("--net={}", path.display());
                place.podman(&["nsenter".as_ref(), network.as_ref()])
            }
        }
    }
}

/// Which images are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Images {
    /// Those that are made here.
    Own,
    /// Those that are kept as well.
    KeptToo,
}

/// A directory that holds everything of one engine.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    /// What is forgotten when the machine is started anew.
    state: PathBuf,
    images: Images,
}

impl Place {
    /// Returns the place of the images that are kept.
    fn of_images() -> Self {
        let directory = root().join("engine");
        // FNV-1a: every clone has a store of its own.
        let name = directory.as_os_str().as_encoded_bytes().iter();
        let name = name.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let state = Path::new(HOMES).join(format!("dormouse-images-{name:016x}"));
        Self { directory, state, images: Images::Own }
    }

    fn of_engine(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), state: directory.join("state"), images: Images::KeptToo }
    }

    /// Makes the directory, and the settings in it.
    fn prepare(&self) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        Ok(fs::write(self.settings(), SETTINGS.trim_start())?)
    }

    /// Puts a script before runc that strikes these capabilities out of what it is to run.
    fn withhold(&self, capabilities: &[&str]) -> Result<()> {
        if capabilities.is_empty() {
            return Ok(());
        }
        let program = self.directory.join("withholding-runc");
        let strike =
            |name: &&str| format!("-e 's/\"{name}\",//g' -e 's/,\"{name}\"//g' -e 's/\"{name}\"//g' ");
        let script = WITHHOLDING.replace("STRIKE", &capabilities.iter().map(strike).collect::<String>());
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let runtimes = format!("runtime = \"withholding\"\nruntimes = {{ withholding = [{program:?}] }}");
        let settings = fs::read_to_string(self.settings())?;
        Ok(fs::write(self.settings(), settings.replace("runtime = \"runc\"", &runtimes))?)
    }

    fn settings(&self) -> PathBuf {
        self.directory.join("containers.conf")
    }

    /// Begins a command of `podman`, which `wrapper` starts if it is not empty.
    ///
    /// Where it stores things is said each time, so that no command can ever be about what others have on this machine.
    fn podman(&self, wrapper: &[&OsStr]) -> Command {
        let words = [wrapper, &["podman".as_ref()]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command.arg("--root").arg(self.directory.join("storage")).arg("--runroot").arg(&self.state);
        command.arg("--tmpdir").arg(self.state.join("scratch"));
        command.arg("--network-config-dir").arg(self.directory.join("networks"));
        command.args(["--storage-driver", "overlay"]);
        if self.images == Images::KeptToo {
            let kept = Self::of_images().directory.join("storage");
            command.arg("--storage-opt").arg(format!("overlay.imagestore={}", kept.display()));
        }
        command.env("CONTAINERS_CONF", self.settings());
        // Where somebody's own podman would go instead.
        command.env_remove("CONTAINER_HOST").env_remove("DOCKER_HOST").env_remove("CONTAINERS_CONF_OVERRIDE");
        command
    }
}

/// Removes all containers. One whose network another has joined is removed only after that, which takes a second turn.
fn remove_containers(mut podman: Command) -> Result<()> {
    podman.args(["rm", "--all", "--force", "--time", "0"]);
    run(&mut podman).or_else(|_| run(&mut podman))
}

/// Removes the engines, and their containers, whose process is no more.
fn remove_orphans() -> Result<()> {
    let _alone = alone()?;
    for entry in fs::read_dir(HOMES)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(is_orphan) {
            continue;
        }
        let directory = entry.path();
        let place = Place::of_engine(&directory);
        // Their network may be gone; what is told to forget it must not do so in that of this machine.
        let podman = place.podman(&["unshare".as_ref(), "--net".as_ref()]);
        remove_containers(podman).with_context(|| format!("removing what ran in {}", directory.display()))?;
        unmount_below(&directory)?;
        fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    Ok(())
}

/// Says whether `name` is one that an engine gave to its directory and its process has ended.
fn is_orphan(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Unmounts what is mounted at or below `directory`, the innermost first.
fn unmount_below(directory: &Path) -> Result<()> {
    let Ok(directory) = directory.canonicalize() else { return Ok(()) };
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading what is mounted")?;
    let places = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for place in places.filter(|place| place.starts_with(&directory)) {
        umount2(place, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", place.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engine_of_a_dead_process_is_an_orphan() {
        assert!(is_orphan("dormouse-engine-4194305-Xy12"));
        assert!(!is_orphan(&format!("dormouse-engine-{}-Xy12", process::id())));
        assert!(!is_orphan("dormouse-engine-notes-1"));
        assert!(!is_orphan("dormouse-client-4194305"));
    }
}
