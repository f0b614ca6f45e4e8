//! The image that the games' are built on, as this machine's own apt can get it.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::{engine::Place, install::run};

/// The name of the base image. The Dockerfiles name a version of it by its digest, which only a registry can give, and take
/// another by `--build-arg BASE=…`.
pub const BASE: &str = "docker.io/library/debian:bookworm-slim";

const RELEASE: &str = "bookworm";

/// What the machine's apt is told about getting at its sources, and the image's has to be told as well.
const TOLD: [&str; 5] = [
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
];

/// Where the image's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Of the release, and of its updates.
    main: String,
    /// Of its security updates.
    security: String,
    /// Settings of apt.
    settings: String,
}

impl Sources {
    /// Returns the sources that this machine has, or Debian's own if its apt knows none of the release.
    pub(crate) fn of_this_machine() -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        let format = "$(LABEL)|$(CODENAME)|$(REPO_URI)";
        let targets = said("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]);
        Self::by(&targets, &said("apt-config", &["dump"]))
    }

    fn by(targets: &str, settings: &str) -> Self {
        let uri = |label: &str, codename: &str, else_from: &str| {
            let start = format!("{label}|{codename}|");
            let found = targets.lines().find_map(|line| line.strip_prefix(&start));
            found.unwrap_or(else_from).trim_end_matches('/').to_owned()
        };
        let is_told =
            |line: &&str| TOLD.iter().any(|name| line.starts_with(name)) && !line.ends_with(" \"\";");
        Self {
            main: uri("Debian", RELEASE, "http://deb.debian.org/debian"),
            security: uri("Debian-Security", "bookworm-security", "http://deb.debian.org/debian-security"),
            settings: settings.lines().filter(is_told).fold(String::new(), |all, line| all + line + "\n"),
        }
    }

    fn list(&self) -> String {
        let Self { main, security, .. } = self;
        format!(
            "deb {main} {RELEASE} main\ndeb {main} {RELEASE}-updates main\ndeb {security} {RELEASE}-security main\n"
        )
    }
}

/// What the image of that name leaves out, and what dpkg leaves out in it.
const LEFT_OUT: [&str; 3] = ["usr/share/doc/*", "usr/share/locale/*", "usr/share/man/*"];

/// Makes the image in `place`, which is made for it.
pub(crate) fn make(place: &Place, sources: &Sources) -> Result<()> {
    place.prepare()?;
    let (tree, archive) = (place.directory.join("tree"), place.directory.join("tree.tar"));
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", "--include=ca-certificates", RELEASE]).arg(&tree);
    run(debootstrap.arg(&sources.main)).context("making a Debian to build images on")?;
    let apt = tree.join("etc/apt");
    fs::write(apt.join("sources.list"), sources.list())?;
    fs::write(apt.join("apt.conf.d/00machine"), &sources.settings)?;
    let left_out = LEFT_OUT.map(|what| format!("path-exclude /{what}\n")).concat();
    fs::write(tree.join("etc/dpkg/dpkg.cfg.d/slim"), left_out)?;
    let mut tar = Command::new("tar");
    tar.args(["--create", "--file"]).arg(&archive).arg("--directory").arg(&tree);
    tar.args(["--exclude=./var/lib/apt/lists/*", "--exclude=./var/cache/apt/archives/*.deb"]);
    tar.args(LEFT_OUT.map(|what| format!("--exclude=./{what}")));
    run(tar.arg("."))?;
    run(place.podman(&[]).args(["import", "--quiet"]).arg(&archive).arg(BASE))?;
    fs::remove_dir_all(&tree)?;
    Ok(fs::remove_file(&archive)?)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn packages_come_from_where_the_machine_has_its_own() {
        let targets = "Debian-Security|bookworm-security|http://mirror.example/security/\n\
            Debian|bookworm-updates|http://mirror.example/other/\nDebian|bookworm|http://mirror.example/debian/\n";
        let settings = "Acquire \"\";\nAcquire::http::Proxy \"\";\nAcquire::http::Proxy::mirror.example \"DIRECT\";\n\
            Acquire::Check-Date \"false\";\nAPT::Architecture \"amd64\";\n";
        let sources = Sources::by(targets, settings);
        expect![[r#"
            deb http://mirror.example/debian bookworm main
            deb http://mirror.example/debian bookworm-updates main
            deb http://mirror.example/security bookworm-security main
            Acquire::http::Proxy::mirror.example "DIRECT";
            Acquire::Check-Date "false";
        "#]]
        .assert_eq(&(sources.list() + &sources.settings));
    }

    #[test]
    fn a_machine_that_is_no_debian_takes_debians_own() {
        let sources = Sources::by("Ubuntu|noble|http://archive.ubuntu.com/ubuntu/\n", "");
        expect![[r#"
            deb http://deb.debian.org/debian bookworm main
            deb http://deb.debian.org/debian bookworm-updates main
            deb http://deb.debian.org/debian-security bookworm-security main
        "#]]
        .assert_eq(&sources.list());
    }
}
