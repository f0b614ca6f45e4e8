//! The texts of a new game's two files.

use super::{Answers, Origin};

/// Debian as the images of the games that are built in have it: `FROM` wants a digest, so that it is the same tomorrow.
const BASE: &str =
    "debian:bookworm-slim@sha256:7b140f374b289a7c2befc338f42ebe6441b7ea838a042bbd5acbfca6ec875818";

/// Returns the catalogue entry.
pub(super) fn entry(answers: &Answers) -> String {
    let Answers { id, name, port, protocol, start, save, signal, from } = answers;
    let (name, save) = (quoted(name), quoted(save));
    let (protocol, signal) = (protocol.word(), signal.name());
    let packages = match from {
        Origin::Packages(names) => names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "),
        Origin::Image(_) => String::new(),
    };
    let program = start.split_whitespace().next().unwrap_or_default();
    format!(
        r#"# What the game is, and how its players are seen, goes here. Every key: docs/adding-a-game.md.
name = {name}
image = "dormouse/{id}"
# What the image is built for. On AWS, arm64 costs a fifth less.
architectures = ["amd64"]
# 1024 CPU units are a core; with 512 of them, memory is 1024, 2048, 3072 or 4096 MiB.
cpu = 512
memory_mib = 1024

# Every port that the server binds and a player talks to; the first is what players type. One section each.
[[ports]]
name = "game"
number = {port}
protocol = "{protocol}"

[save]
# What a save writes, below the world's directory: a file that is newer than the stop proves the save.
paths = [{save}]
# exclude = ["cache"]         # what archives leave out

# [import]                    # what a world looks like that people upload
# marker = "*.sav"            # the file by which its directory is known
# into = "saves"              # where that directory goes

[stop]
# SIGINT, SIGTERM, SIGHUP or SIGQUIT: what makes the server save and end. After `grace` it is killed.
signal = "{signal}"
grace = "60s"

[ready]
# What people are told before the first start, and after how long a start has failed.
typical = "10s"
limit = "5m"

# [timers]                    # when a world goes to sleep; these are the defaults
# never_joined = "15m"
# last_left = "10m"
# warning = "2m"
# cap = "12h"

# [query]                     # how the game itself is asked who plays
# protocol = "a2s"            # a2s (most games on Steam), quake3, raknet (Bedrock), minecraft (Java)
# port = "game"
# counts_everybody = true     # only where its answer leaves nobody out

# [console]                   # how commands are given to the running server
# protocol = "rcon"
# port = 25575
# save = ["save-all flush"]   # the last answer comes when the save is written
# say = "say {{message}}"

# The scripts run in the world's directory, $WORLD, as the game's user; the image's entrypoint is made of them too.
[process]
packages = [{packages}]
# Makes what is missing and keeps what is there. Where it cannot run, its last line says why.
bootstrap = '''
command -v {program} >/dev/null || {{
  echo "there is no {program} here" >&2
  exit 1
}}
'''
# Becomes the server, in the foreground, on the port that it is given.
start = '''
exec {start} 2>&1
'''
"#
    )
}

/// Returns the Dockerfile.
pub(super) fn dockerfile(answers: &Answers) -> String {
    let Answers { id, name, port, protocol, signal, from, .. } = answers;
    let head = match from {
        Origin::Packages(packages) => debian(&packages.join(" ")),
        Origin::Image(image) => image_of_somebody(image),
    };
    let (name, protocol, signal) =
        (quoted(&format!("{name}'s server for Dormouse")), protocol.word(), signal.name());
    format!(
        r#"# The server of a game for Dormouse. The world is not in here; it lies on a volume, at $WORLD. The entrypoint is made of
# the scripts of {id}.toml, and is started when the watchdog, in a container of its own, owns the world.
{head}
LABEL org.opencontainers.image.title="dormouse/{id}" \
      org.opencontainers.image.description={name} \
      dormouse.game="{id}"

COPY entrypoint /entrypoint

# Games are started as this user, whatever stands here.
USER 10001:10001
# The entry's ports, but never the console.
EXPOSE {port}/{protocol}
# The entry's stop.signal.
STOPSIGNAL {signal}
ENTRYPOINT ["/bin/sh", "/entrypoint"]
"#
    )
}

fn debian(packages: &str) -> String {
    format!(
        r#"
ARG BASE={BASE}
# hadolint ignore=DL3006
FROM ${{BASE}}

# Debian takes a version away when it publishes the next: naming one would make this file fail with each security update.
# hadolint ignore=DL3008
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends {packages} \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 game \
 && useradd --uid 10001 --gid game --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin game

# Debian keeps games where nobody's path leads.
ENV PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games" \
    LANG="C.UTF-8""#
    )
}

fn image_of_somebody(image: &str) -> String {
    let hint = if image.contains("@sha256:") {
        String::new()
    } else {
        "\n# Name it with its digest, so that it is the same tomorrow: IMAGE:TAG@sha256:…\n# hadolint ignore=DL3006,DL3007"
            .into()
    };
    format!(
        r#"#
# It needs a shell at /bin/sh. What the image's own entrypoint does is not done: the entry's `start` runs the server.
{hint}
FROM {image}
"#
    )
}

/// Returns `text` as a string of TOML or of a Dockerfile.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
