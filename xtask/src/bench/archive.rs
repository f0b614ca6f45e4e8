//! Making an archive, beside other programs that pack the same files in the same run.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    Interrupt,
    report::{Machine, mib, rows},
    spread::Spread,
};
use crate::shell::root;

/// How often each program packs each tree, after once that does not count.
const ROUNDS: usize = 5;

/// Where the example is built.
const OURS: &str = "target/release/examples/archive";

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    trees: Vec<Tree>,
}

/// Some files, and what became of them.
#[derive(Debug, Serialize)]
struct Tree {
    name: &'static str,
    files: u64,
    bytes: u64,
    results: Vec<Packed>,
}

/// What a program made of a tree.
#[derive(Debug, Serialize)]
struct Packed {
    program: &'static str,
    took: Spread,
    /// Of all its processes.
    processor: Spread,
    /// The most that was resident in any round, of all its processes together.
    peak_kib: u64,
    size: u64,
}

/// A way to pack.
#[derive(Debug, Clone, Copy)]
enum Program {
    Ours,
    Zip,
    TarZstd,
}

const PROGRAMS: [Program; 3] = [Program::Ours, Program::Zip, Program::TarZstd];

/// Measures with trees of `size` MiB each.
pub(super) fn measure(size: u64, interrupt: &Interrupt) -> Result<Report> {
    let machine = Machine::look()?;
    let dir = tempfile::tempdir()?;
    let mut trees = Vec::new();
    for (name, plant) in
        [("many small files", plant_many as fn(&Path, u64) -> Result<()>), ("few large files", plant_few)]
    {
        eprintln!("{name}: making {size} MiB, then packing them {ROUNDS} times with each program");
        let files = dir.path().join("files");
        fs::create_dir(&files)?;
        plant(&files, size)?;
        trees.push(measure_tree(name, dir.path(), &files, interrupt)?);
        fs::remove_dir_all(&files)?;
    }
    Ok(Report { machine, trees })
}

fn measure_tree(name: &'static str, dir: &Path, files: &Path, interrupt: &Interrupt) -> Result<Tree> {
    let mut runs: [Vec<Run>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for (program, runs) in PROGRAMS.into_iter().zip(&mut runs) {
            interrupt.check()?;
            let run = program.run(dir, files)?;
            if round > 0 {
                runs.push(run);
            }
        }
    }
    let results = PROGRAMS.into_iter().zip(&runs).map(|(program, runs)| program.packed(runs)).collect();
    let (count, bytes) = extent(files)?;
    Ok(Tree { name, files: count, bytes, results })
}

/// How packing went once.
struct Run {
    took: Duration,
    processor: Duration,
    peak_kib: u64,
    size: u64,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "the watchdog",
            Self::Zip => "zip -1 -r",
            Self::TarZstd => "tar \\| zstd -T0",
        }
    }

    fn packed(self, runs: &[Run]) -> Packed {
        Packed {
            program: self.name(),
            took: runs.iter().map(|run| run.took).collect(),
            processor: runs.iter().map(|run| run.processor).collect(),
            peak_kib: runs.iter().map(|run| run.peak_kib).max().unwrap_or_default(),
            size: runs.last().map_or(0, |run| run.size),
        }
    }

    /// Packs `files` into a file in `dir`.
    fn run(self, dir: &Path, files: &Path) -> Result<Run> {
        let packed = dir.join("packed");
        let begun = Instant::now();
        let processes = match self {
            Self::Ours => {
                let mut ours = Timed::new(dir, "ours", &root().join(OURS));
                ours.command.arg(files).stdout(File::create(&packed)?);
                vec![ours.spawn()?]
            }
            Self::Zip => {
                let mut zip = Timed::new(dir, "zip", Path::new("zip"));
                zip.command
                    .args(["-1", "-r", "-q", "-"])
                    .arg(".")
                    .current_dir(files)
                    .stdout(File::create(&packed)?);
                vec![zip.spawn()?]
            }
            Self::TarZstd => {
                let mut tar = Timed::new(dir, "tar", Path::new("tar"));
                tar.command.args(["-c", "-f", "-", "."]).current_dir(files).stdout(Stdio::piped());
                let mut tar = tar.spawn()?;
                let mut zstd = Timed::new(dir, "zstd", Path::new("zstd"));
                let from = tar.child.stdout.take().context("tar has no output")?;
                zstd.command.args(["-q", "-T0", "-c"]).stdin(from).stdout(File::create(&packed)?);
                vec![tar, zstd.spawn()?]
            }
        };
        let used: Vec<_> = processes.into_iter().map(Running::wait).collect::<Result<_>>()?;
        let took = begun.elapsed();
        let size = fs::metadata(&packed)?.len();
        fs::remove_file(&packed)?;
        let (processor, peak_kib) =
            (used.iter().map(|u| u.processor).sum(), used.iter().map(|u| u.peak_kib).sum());
        Ok(Run { took, processor, peak_kib, size })
    }
}

/// A program that is run by `time`, which tells what the kernel counted for it alone.
struct Timed {
    command: Command,
    told: PathBuf,
    name: &'static str,
}

impl Timed {
    fn new(dir: &Path, name: &'static str, program: &Path) -> Self {
        let told = dir.join(format!("{name}.time"));
        let mut command = Command::new("time");
        command.arg("-o").arg(&told).args(["-f", "%M %U %S"]).arg(program).stdin(Stdio::null());
        Self { command, told, name }
    }

    fn spawn(mut self) -> Result<Running> {
        let child = self.command.spawn().with_context(|| format!("starting {}", self.name))?;
        Ok(Running { child, told: self.told, name: self.name })
    }
}

struct Running {
    child: Child,
    told: PathBuf,
    name: &'static str,
}

struct Used {
    peak_kib: u64,
    processor: Duration,
}

impl Running {
    fn wait(mut self) -> Result<Used> {
        let status = self.child.wait()?;
        ensure!(status.success(), "{} fails ({status})", self.name);
        let told = fs::read_to_string(&self.told)?;
        used(&told).with_context(|| format!("`time` tells of {} only: {told}", self.name))
    }
}

/// Reads what `time` tells: the most resident, in KiB, and seconds for itself and in the kernel.
fn used(told: &str) -> Option<Used> {
    let mut words = told.split_whitespace();
    let peak_kib = words.next()?.parse().ok()?;
    let [own, kernel] = [words.next()?, words.next()?].map(|word| word.parse::<f64>().ok());
    Some(Used { peak_kib, processor: Duration::try_from_secs_f64(own? + kernel?).ok()? })
}

fn extent(dir: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (more, longer) =
            if entry.file_type()?.is_dir() { extent(&entry.path())? } else { (1, entry.metadata()?.len()) };
        files += more;
        bytes += longer;
    }
    Ok((files, bytes))
}

/// Makes small files of text in many directories, half of all, and databases of one MiB.
fn plant_many(files: &Path, size: u64) -> Result<()> {
    let mut random = Random(0x5eed);
    let mut left = size << 19;
    for at in 0.. {
        let dir = files.join(format!("players/{:03}", at / 100));
        fs::create_dir_all(&dir)?;
        let length = (1 << 10) + random.below(15 << 10);
        fs::write(dir.join(format!("player-{at}.json")), random.text(length))?;
        left = left.saturating_sub(length as u64);
        if left == 0 {
            break;
        }
    }
    (0..size / 2).try_for_each(|at| database(&files.join(format!("region-{at}.sqlite")), 1, &mut random))
}

/// Makes three databases, and one file of noise, which nobody makes smaller.
fn plant_few(files: &Path, size: u64) -> Result<()> {
    let mut random = Random(0xfeed);
    for at in 0..3 {
        database(&files.join(format!("map-{at}.sqlite")), size / 4, &mut random)?;
    }
    let mut noise = BufWriter::new(File::create(files.join("mods.bin"))?);
    for _ in 0..(size / 4) << 17 {
        noise.write_all(&random.next().to_le_bytes())?;
    }
    Ok(noise.flush()?)
}

/// Writes pages as a database has them: a head, rows of text and numbers, and room that is left.
fn database(path: &Path, size: u64, random: &mut Random) -> Result<()> {
    const PAGE: usize = 4096;
    let mut file = BufWriter::new(File::create(path)?);
    for _ in 0..size << 8 {
        let mut page = vec![13, 0, 0, 0];
        let filled = 1024 + random.below(PAGE - 1024);
        while page.len() < filled {
            let length = 20 + random.below(200);
            page.extend(random.text(length));
            for _ in 0..4 {
                page.extend(random.next().to_le_bytes());
            }
        }
        page.resize(PAGE, 0);
        file.write_all(&page)?;
    }
    Ok(file.flush()?)
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() >> 33) as usize % most
    }

    fn text(&mut self, length: usize) -> Vec<u8> {
        const WORDS: [&str; 12] = [
            "\"position\": ",
            "\"inventory\": [",
            "default:stone",
            "default:dirt",
            "{\"x\": ",
            ", \"y\": ",
            "}, ",
            "true",
            "null",
            "player",
            "\n    ",
            "0.5, ",
        ];
        let mut text = Vec::with_capacity(length + 32);
        while text.len() < length {
            text.extend(WORDS[self.below(WORDS.len())].bytes());
            text.extend(self.below(2000).to_string().bytes());
        }
        text.truncate(length);
        text
    }
}

impl Report {
    /// Returns the tables.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{}\n", self.machine.sentence());
        for tree in &self.trees {
            text += "\n";
            text += &rows(&tree.rows());
        }
        text
    }
}

impl Tree {
    fn rows(&self) -> Vec<Vec<String>> {
        let Self { name, files, bytes, results } = self;
        let column = |head: &str, cell: &dyn Fn(&Packed) -> String| {
            let mut row = vec![head.to_owned()];
            row.extend(results.iter().map(cell));
            row
        };
        let speed = |nanoseconds: u64| *bytes as f64 * 1e3 / nanoseconds.max(1) as f64;
        vec![
            column(&format!("{name}: {files} in {}", mib(*bytes)), &|packed| format!("`{}`", packed.program)),
            column("**MB/s**", &|Packed { took, .. }| {
                let [slow, median, fast] = [took.worst, took.median, took.min].map(speed);
                format!("**{median:.0}** [{slow:.0} – {fast:.0}]")
            }),
            column("processor time", &|packed| packed.processor.to_string()),
            column("peak resident", &|packed| mib(packed.peak_kib * 1024)),
            column("packed size", &|packed| {
                format!("{}, {:.1} %", mib(packed.size), packed.size as f64 * 100.0 / (*bytes).max(1) as f64)
            }),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_table_sets_programs_side_by_side() {
        let spread = |ms: u64| Spread {
            count: 5,
            min: ms * 900_000,
            median: ms * 1_000_000,
            p99: 0,
            worst: ms * 2_000_000,
        };
        let packed = |program, ms| Packed {
            program,
            took: spread(ms),
            processor: spread(ms * 2),
            peak_kib: 20_480,
            size: 50 << 20,
        };
        let results = vec![packed("ours", 500), packed("zip", 2000)];
        let tree = Tree { name: "few", files: 4, bytes: 200 << 20, results };
        expect![[r#"
            | few: 4 in 200.0 MiB | `ours` | `zip` |
            | --- | --: | --: |
            | **MB/s** | **419** [210 – 466] | **105** [52 – 117] |
            | processor time | 1000 ms [900 – 2000] | 4000 ms [3600 – 8000] |
            | peak resident | 20.0 MiB | 20.0 MiB |
            | packed size | 50.0 MiB, 25.0 % | 50.0 MiB, 25.0 % |
        "#]]
        .assert_eq(&rows(&tree.rows()));
    }

    #[test]
    fn what_time_tells_is_read() {
        let used = used("2048 1.25 0.50\n").unwrap();
        assert_eq!((used.peak_kib, used.processor), (2048, Duration::from_millis(1750)));
        assert!(super::used("Command exited with non-zero status 1\n").is_none());
    }

    #[test]
    fn the_trees_have_the_size_that_was_asked_for() {
        for plant in [plant_many as fn(&Path, u64) -> Result<()>, plant_few] {
            let dir = tempfile::tempdir().unwrap();
            plant(dir.path(), 4).unwrap();
            let (_, bytes) = extent(dir.path()).unwrap();
            assert_eq!(bytes.div_ceil(1 << 20).clamp(4, 5), bytes.div_ceil(1 << 20));
        }
    }
}
