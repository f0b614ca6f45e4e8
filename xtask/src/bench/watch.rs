//! Looking at players: what one look and what each datagram costs, beside others that look, in the same run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    Interrupt, cargo,
    program::{self, Memory, Running},
    report::{Machine, memory, mib, rows},
    spread::{Spread, Time},
};
use crate::shell::{find, root};

/// How many sockets there are.
const SOCKETS: [u32; 4] = [10, 1_000, 10_000, 100_000];

/// How many datagrams come a second.
const RATES: [u32; 2] = [1_000, 100_000];

/// The game's port, and one that is not.
const GAME: u16 = 30_000;
const OTHER: u16 = 30_001;

/// Where the example is built.
const EXAMPLE: &str = "target/release/examples/watch";

/// The namespace that the sockets are in.
const NAMESPACE: &str = "dormouse-bench";

/// The target of a watchdog that needs nothing of its machine.
const STATIC: &str = "x86_64-unknown-linux-musl";

/// How long the watchdog has watched when its memory is read.
const WATCHED: Duration = Duration::from_secs(5);

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    looks: Vec<Looked>,
    datagrams: Vec<Listened>,
    watchdog: Watchdog,
}

/// What one look costs with so many sockets.
#[derive(Debug, Serialize)]
struct Looked {
    sockets: u32,
    /// Whether half of them are the game's.
    is_games: bool,
    ways: Vec<Way>,
}

/// What one look costs in one way.
#[derive(Debug, Serialize)]
struct Way {
    way: String,
    wall: Spread,
    processor: Spread,
}

/// What listening costs, as a share of one processor.
#[derive(Debug, Serialize)]
struct Listened {
    per_second: u32,
    is_games: bool,
    how: &'static str,
    told: Shares,
}

/// What the example tells of listening.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Shares {
    own: f64,
    sending: f64,
    seen: u32,
    lost: u32,
}

/// The program itself.
#[derive(Debug, Serialize)]
struct Watchdog {
    libc: &'static str,
    bytes: u64,
    memory: Memory,
}

/// Measures, which takes some three minutes beside building.
pub(super) fn measure(interrupt: &Interrupt) -> Result<Report> {
    cargo(&["build", "--release", "--locked", "--package", "watchdog", "--example", "watch"])?;
    let (libc, program) = build()?;
    let machine = Machine::look()?;
    let (mut looks, mut datagrams) = (Vec::new(), Vec::new());
    for sockets in SOCKETS {
        for is_games in [false, true] {
            interrupt.check()?;
            eprintln!(
                "looking at {sockets} sockets, {}",
                if is_games { "half the game's" } else { "none the game's" }
            );
            looks.push(look(sockets, is_games)?);
        }
    }
    for per_second in RATES {
        for is_games in [true, false] {
            for how in ["nothing", "tap", "answers"] {
                interrupt.check()?;
                eprintln!("{per_second} datagrams a second, listening with {how}");
                datagrams.push(listen(per_second, is_games, how)?);
            }
        }
    }
    let watchdog = Watchdog { libc, bytes: fs::metadata(&program)?.len(), memory: watch(&program)? };
    Ok(Report { machine, looks, datagrams, watchdog })
}

/// Builds the watchdog as it is deployed if the machine can, else for its own libc; returns which, and where it is.
fn build() -> Result<(&'static str, PathBuf)> {
    let release = ["build", "--release", "--locked", "--package", "watchdog"];
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output()?.stdout;
    let sysroot = String::from_utf8(sysroot)?;
    let has_target = Path::new(sysroot.trim()).join("lib/rustlib").join(STATIC).exists();
    if has_target && find("musl-gcc").is_some() {
        cargo(&[&release[..], &["--target", STATIC]].concat())?;
        return Ok(("musl, static", root().join("target").join(STATIC).join("release/watchdog")));
    }
    cargo(&release)?;
    Ok(("glibc", root().join("target/release/watchdog")))
}

fn look(sockets: u32, is_games: bool) -> Result<Looked> {
    #[derive(Deserialize)]
    struct Told {
        way: String,
        wall: Vec<u64>,
        cpu: Vec<u64>,
    }
    let namespace = Namespace::make()?;
    let at = if is_games { GAME } else { OTHER };
    let told = namespace.measure(&["sockets", &sockets.to_string(), &GAME.to_string(), &at.to_string()])?;
    let told: Vec<Told> = serde_json::from_str(&told).with_context(|| format!("it tells {told}"))?;
    let way =
        |told: Told| Way { way: told.way, wall: Spread::of(told.wall), processor: Spread::of(told.cpu) };
    Ok(Looked { sockets, is_games, ways: told.into_iter().map(way).collect() })
}

fn listen(per_second: u32, is_games: bool, how: &'static str) -> Result<Listened> {
    let namespace = Namespace::make()?;
    let to = if is_games { GAME } else { OTHER };
    let told = namespace.measure(&[
        "datagrams",
        &per_second.to_string(),
        &GAME.to_string(),
        &to.to_string(),
        how,
    ])?;
    let told = serde_json::from_str(&told).with_context(|| format!("it tells {told}"))?;
    Ok(Listened { per_second, is_games, how, told })
}

/// Lets the watchdog watch a game, and tells what memory it has then.
fn watch(program: &Path) -> Result<Memory> {
    let namespace = Namespace::make()?;
    let mut command = namespace.command(program);
    let game = root().join("games/catalog/luanti.toml");
    command.args(["peers", "--json", "--game"]).arg(game).stdout(Stdio::null());
    let watching = Running(command.spawn().context("starting the watchdog")?);
    thread::sleep(WATCHED);
    program::memory_of(watching.0.id())
}

/// A network namespace with loopback alone. It is removed when this is dropped.
struct Namespace;

impl Namespace {
    fn make() -> Result<Self> {
        // One that an interrupted bench has left.
        let _ = Command::new("ip").args(["netns", "delete", NAMESPACE]).stderr(Stdio::null()).status();
        ip(&["netns", "add", NAMESPACE])?;
        let namespace = Self;
        ip(&["-n", NAMESPACE, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Returns a command that runs `program` in it. `ip` becomes the program, so that its id is the program's.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", NAMESPACE]).arg(program).stdin(Stdio::null());
        command
    }

    /// Runs the example and returns what it tells.
    fn measure(&self, words: &[&str]) -> Result<String> {
        let done = self.command(&root().join(EXAMPLE)).args(words).stderr(Stdio::inherit()).output()?;
        ensure!(done.status.success(), "`watch {}` fails ({})", words.join(" "), done.status);
        Ok(String::from_utf8(done.stdout)?)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Not an error: the next one removes it.
        let _ = ip(&["netns", "delete", NAMESPACE]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(arguments).status().context("running ip")?;
    ensure!(status.success(), "`ip {}` fails ({status}); it needs root", arguments.join(" "));
    Ok(())
}

impl Report {
    /// Returns the tables.
    pub(super) fn table(&self) -> String {
        let parts = [
            format!("{}\n", self.machine.sentence()),
            rows(&self.look_rows("processor time of one look", &|way| way.processor)),
            rows(&self.look_rows("time of one look", &|way| way.wall)),
            rows(&self.datagram_rows()),
            rows(&self.watchdog_rows()),
        ];
        parts.join("\n")
    }

    fn look_rows(&self, title: &str, figure: &dyn Fn(&Way) -> Spread) -> Vec<Vec<String>> {
        let names = self.looks.first().map_or(&[][..], |looked| &looked.ways);
        let mut head = vec![title.to_owned()];
        head.extend(names.iter().map(|way| name(&way.way).to_owned()));
        let row = |looked: &Looked| {
            let whose = if looked.is_games { "half the game's" } else { "none the game's" };
            let mut row = vec![format!("{} sockets, {whose}", looked.sockets)];
            row.extend(looked.ways.iter().map(|way| cell(&figure(way))));
            row
        };
        std::iter::once(head).chain(self.looks.iter().map(row)).collect()
    }

    fn datagram_rows(&self) -> Vec<Vec<String>> {
        let head = [
            "share of a processor",
            "listening",
            "and to answers",
            "sending alone",
            "beside the first",
            "beside the second",
        ];
        let mut table = vec![head.map(str::to_owned).to_vec()];
        for of_kind in
            self.datagrams.chunk_by(|a, b| (a.per_second, a.is_games) == (b.per_second, b.is_games))
        {
            let Some(first) = of_kind.first() else { continue };
            let whose = if first.is_games { "the game's" } else { "another's" };
            let mut row = vec![format!("{} datagrams a second, {whose}", first.per_second)];
            let percent = |share: f64| format!("{:.1} %", share * 100.0);
            let listening = of_kind.iter().filter(|listened| listened.how != "nothing");
            row.extend(listening.map(|listened| {
                let lost = if listened.told.lost > 0 {
                    format!(", {} lost", listened.told.lost)
                } else {
                    String::new()
                };
                percent(listened.told.own) + &lost
            }));
            row.extend(of_kind.iter().map(|listened| percent(listened.told.sending)));
            table.push(row);
        }
        table
    }

    fn watchdog_rows(&self) -> Vec<Vec<String>> {
        let Watchdog { libc, bytes, memory: resident } = &self.watchdog;
        vec![
            vec![format!("the watchdog ({libc}, stripped)"), String::new()],
            vec!["program".to_owned(), mib(*bytes)],
            vec!["resident while it watches".to_owned(), memory(*resident)],
        ]
    }
}

/// Returns how people know a way.
fn name(way: &str) -> &str {
    match way {
        "netlink" => "ours, by netlink",
        "text" => "ours, by text",
        "read" => "bare `read()`",
        "ss" => "`ss -tn`",
        "netstat" => "`netstat \\| grep`",
        other => other,
    }
}

/// Shows the median with the least: of so few looks, the worst tells of the machine alone.
fn cell(spread: &Spread) -> String {
    format!("{} [{}]", Time::new(spread.median), Time::new(spread.min))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_tables_set_each_way_beside_the_others() {
        let spread =
            |us: u64| Spread { count: 9, min: us * 900, median: us * 1000, p99: us * 2000, worst: us * 9000 };
        let way = |way: &str, us| Way { way: way.to_owned(), wall: spread(us), processor: spread(us / 2) };
        let looked = |sockets, is_games| Looked {
            sockets,
            is_games,
            ways: vec![way("netlink", 200), way("netstat", 20_000)],
        };
        let listened = |is_games, how, own, lost| Listened {
            per_second: 1000,
            is_games,
            how,
            told: Shares { own, sending: 0.05, seen: 5000, lost },
        };
        let report = Report {
            machine: Machine::example(),
            looks: vec![looked(10, false), looked(10, true)],
            datagrams: vec![
                listened(true, "nothing", 0.0, 0),
                listened(true, "tap", 0.0123, 0),
                listened(true, "answers", 0.02, 7),
                listened(false, "nothing", 0.0, 0),
                listened(false, "tap", 0.0, 0),
                listened(false, "answers", 0.01, 0),
            ],
            watchdog: Watchdog {
                libc: "musl, static",
                bytes: 5 << 20,
                memory: Memory { resident_kib: 2048, peak_kib: 3072, own_kib: 1024 },
            },
        };
        expect![[r#"
            Measured on 2026-11-21 at commit abc1234: x86_64, 2 × Example, Linux 6.18, rustc 1.95.0; load before it 0.2.

            | processor time of one look | ours, by netlink | `netstat \| grep` |
            | --- | --: | --: |
            | 10 sockets, none the game's | 100 µs [90 µs] | 10.0 ms [9.00 ms] |
            | 10 sockets, half the game's | 100 µs [90 µs] | 10.0 ms [9.00 ms] |

            | time of one look | ours, by netlink | `netstat \| grep` |
            | --- | --: | --: |
            | 10 sockets, none the game's | 200 µs [180 µs] | 20.0 ms [18.0 ms] |
            | 10 sockets, half the game's | 200 µs [180 µs] | 20.0 ms [18.0 ms] |

            | share of a processor | listening | and to answers | sending alone | beside the first | beside the second |
            | --- | --: | --: | --: | --: | --: |
            | 1000 datagrams a second, the game's | 1.2 % | 2.0 %, 7 lost | 5.0 % | 5.0 % | 5.0 % |
            | 1000 datagrams a second, another's | 0.0 % | 1.0 % | 5.0 % | 5.0 % | 5.0 % |

            | the watchdog (musl, static, stripped) |  |
            | --- | --: |
            | program | 5.0 MiB |
            | resident while it watches | 2.0 MiB (own 1.0 MiB, peak 3.0 MiB) |
        "#]].assert_eq(&report.table());
    }
}
