//! The front door of one machine under load: what people wait while a crowd sends what is forged, said before, old, huge, slow
//! or nothing, and what the program needs of memory meanwhile.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    Interrupt,
    discord::{APPLICATION, Discord, GUILD, Interaction},
    program::{self, Memory, Running},
    report::{Machine, memory, mib, rows},
    spread::Spread,
};
use crate::shell::root;
use crowd::{Crowd, Turned};
use people::Waited;

mod crowd;

mod people;

/// How long Discord waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often memory and descriptors are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the program may take to come up.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How many signatures are checked for the bare figure.
const CHECKS: u32 = 20_000;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    /// How many signatures one processor checks in a second.
    bare_checks_per_second: f64,
    quiet: Memory,
    fastest: Vec<Fastest>,
    phases: Vec<Phase>,
}

/// How many interactions of one kind are answered when nobody waits in between.
#[derive(Debug, Serialize)]
struct Fastest {
    interaction: &'static str,
    per_second: f64,
    waited: Spread,
}

/// What happened while one crowd was there.
#[derive(Debug, Serialize)]
struct Phase {
    crowd: &'static str,
    seconds: f64,
    people: People,
    turned: Turned,
    /// The most that was resident.
    resident_kib: u64,
    /// The most files and sockets that were open.
    files: usize,
}

/// How those fared whom the front door is for.
#[derive(Debug, Serialize)]
struct People {
    asked: usize,
    /// How many had no answer, or a wrong one.
    unanswered: usize,
    /// How many had their answer later than Discord waits.
    late: usize,
    waited: Spread,
}

/// Measures, which takes as long as all crowds one after the other, beside building.
pub(super) fn measure(each: Duration, interrupt: &Interrupt) -> Result<Report> {
    allow_many_sockets()?;
    let machine = Machine::look()?;
    let door = Door::open()?;
    let quiet = door.memory()?;
    let mut fastest = Vec::new();
    for interaction in [Interaction::Ping, Interaction::Status, Interaction::Settings(15)] {
        interrupt.check()?;
        eprintln!("{} as fast as it is answered", interaction.name());
        let (waited, took) = people::as_fast_as_they_can(door.address, interaction, each)?;
        let per_second = waited.len() as f64 / took.as_secs_f64();
        let waited = waited.into_iter().collect();
        fastest.push(Fastest { interaction: interaction.name(), per_second, waited });
    }
    let mut phases = Vec::new();
    for crowd in Crowd::ALL {
        interrupt.check()?;
        eprintln!("{} for {} s", crowd.name(), each.as_secs());
        phases.push(door.endure(crowd, each)?);
    }
    Ok(Report { machine, bare_checks_per_second: bare_checks()?, quiet, fastest, phases })
}

/// A control plane that runs, and where it answers.
struct Door {
    running: Running,
    address: SocketAddr,
    _data: TempDir,
}

impl Door {
    /// Starts one with one world.
    fn open() -> Result<Self> {
        let data = TempDir::new()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = || fs::File::options().create(true).append(true).open(data.path().join("log"));
        let mut command = Command::new(root().join("target/release/dormouse"));
        command
            .arg("up")
            .arg("--data")
            .arg(data.path().join("data"))
            .args(["--listen", &address.to_string()]);
        command.args(["--discord-application", APPLICATION, "--discord-guild", GUILD]);
        // Nobody listens there: nothing but answers is to be measured.
        command.args([
            "--discord-public-key",
            &Discord::new()?.public_key(),
            "--discord-api",
            "http://127.0.0.1:9",
        ]);
        command.stdin(Stdio::null()).stdout(log()?).stderr(log()?);
        let running = Running(command.spawn().context("starting `dormouse up`")?);
        let door = Self { running, address, _data: data };
        let begun = Instant::now();
        while let Err(error) =
            people::ask(door.address, &Discord::new()?.says(Interaction::Ping), Interaction::Ping)
        {
            if begun.elapsed() > START_LIMIT {
                bail!("`dormouse up` does not answer: {error:#}");
            }
            thread::sleep(LOOK_EVERY);
        }
        let made = Discord::after(1)?.says(Interaction::Create);
        people::ask(door.address, &made, Interaction::Create)?;
        Ok(door)
    }

    fn memory(&self) -> Result<Memory> {
        program::memory_of(self.running.0.id())
    }

    /// Lets people ask while the crowd is there.
    fn endure(&self, crowd: Crowd, each: Duration) -> Result<Phase> {
        let over = AtomicBool::new(false);
        let begun = Instant::now();
        thread::scope(|scope| {
            let hostile = scope.spawn(|| crowd.press(self.address, &over));
            let asking = scope
                .spawn(|| people::ask_steadily(self.address, crowd.number() * people::NUMBERS, each, &over));
            let (mut resident_kib, mut files) = (0, 0);
            let mut looked = Ok(());
            while !over.load(Ordering::Relaxed) && looked.is_ok() {
                looked = self.look(&mut resident_kib, &mut files);
                thread::sleep(LOOK_EVERY);
            }
            over.store(true, Ordering::Relaxed);
            let seconds = begun.elapsed().as_secs_f64();
            let people = asking.join().ok().context("those who ask broke down")??;
            let turned = hostile.join().ok().context("the crowd broke down")??;
            looked?;
            Ok(Phase {
                crowd: crowd.name(),
                seconds,
                people: People::of(&people),
                turned,
                resident_kib,
                files,
            })
        })
    }

    fn look(&self, resident_kib: &mut u64, files: &mut usize) -> Result<()> {
        *resident_kib = self.memory()?.resident_kib.max(*resident_kib);
        let open = fs::read_dir(format!("/proc/{}/fd", self.running.0.id()))?.count();
        *files = open.max(*files);
        Ok(())
    }
}

impl People {
    fn of(waited: &[Waited]) -> Self {
        let answered = || waited.iter().filter_map(|waited| *waited);
        Self {
            asked: waited.len(),
            unanswered: waited.len() - answered().count(),
            late: answered().filter(|took| *took > PATIENCE).count(),
            waited: answered().collect(),
        }
    }
}

/// Lets this program have as many sockets as it may: when all come at once, those that are slow, silent or new have most of them.
fn allow_many_sockets() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = 10 * crowd::SLOW as u64;
    ensure!(most > needed, "this needs {needed} open files and may have {most}: raise `ulimit -Hn`");
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Returns how many signatures one processor checks in a second: whatever comes has to be checked first.
fn bare_checks() -> Result<f64> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[42; 32]).ok().context("a key from its seed")?;
    let message = [7; 1600];
    let (signature, key) =
        (pair.sign(&message), UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()));
    let begun = Instant::now();
    for _ in 0..CHECKS {
        key.verify(&message, signature.as_ref()).ok().context("a signature of its own")?;
    }
    Ok(f64::from(CHECKS) / begun.elapsed().as_secs_f64())
}

impl Report {
    /// Returns the tables.
    pub(super) fn table(&self) -> String {
        let parts =
            [format!("{}\n", self.machine.sentence()), rows(&self.fastest_rows()), rows(&self.phase_rows())];
        parts.join("\n")
    }

    fn fastest_rows(&self) -> Vec<Vec<String>> {
        let head = ["as fast as it is answered", "a second", "waited"];
        let row = |fastest: &Fastest| {
            vec![
                format!("`{}`", fastest.interaction),
                format!("{:.0}", fastest.per_second),
                fastest.waited.to_string(),
            ]
        };
        let mut table = vec![head.map(str::to_owned).to_vec()];
        table.extend(self.fastest.iter().map(row));
        let bare = format!("{:.0}", self.bare_checks_per_second);
        table.push(vec!["bare Ed25519 checks by one processor".to_owned(), bare, String::new()]);
        table.push(vec!["resident before".to_owned(), memory(self.quiet), String::new()]);
        table
    }

    fn phase_rows(&self) -> Vec<Vec<String>> {
        let head = [
            "meanwhile",
            "asked",
            "unanswered or late",
            "waited",
            "worst",
            "turned away, a second",
            "resident",
            "files",
        ];
        let row = |phase: &Phase| {
            let Phase { crowd, seconds, people, turned, resident_kib, files } = phase;
            vec![
                (*crowd).to_owned(),
                people.asked.to_string(),
                format!("{} + {}", people.unanswered, people.late),
                people.waited.to_string(),
                format!("{:.0} ms", people.waited.worst as f64 / 1e6),
                turned.words(*seconds),
                mib(resident_kib * 1024),
                files.to_string(),
            ]
        };
        std::iter::once(head.map(str::to_owned).to_vec()).chain(self.phases.iter().map(row)).collect()
    }
}
