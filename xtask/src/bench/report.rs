//! The figures as a table in Markdown.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{
    in_process::Parts,
    program::Memory,
    spread::{Spread, Time},
    start::{Start, Starts},
    warm::{Interacted, Warm},
};
use crate::shell::command;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) starts: Starts,
    pub(super) parts: Vec<Parts>,
    pub(super) warm: Warm,
}

/// Where and when it was measured.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    date: String,
    commit: String,
    architecture: &'static str,
    processor: String,
    processors: usize,
    kernel: String,
    compiler: String,
    /// How many programs wanted a processor on average, over the minute before.
    load: f64,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look() -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let cpus = read("/proc/cpuinfo")?;
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        let commit = said("git", &["rev-parse", "--short", "HEAD"])?;
        Ok(Self {
            date: said("date", &["-u", "+%Y-%m-%d"])?,
            commit: if changed { format!("{commit}, with changes") } else { commit },
            architecture: std::env::consts::ARCH,
            processor: model.map_or("an unnamed processor", |(_, name)| name).to_owned(),
            processors: std::thread::available_parallelism()?.get(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            compiler: said("rustc", &["--version"])?.split(" (").next().unwrap_or_default().to_owned(),
            load: read("/proc/loadavg")?.split(' ').next().unwrap_or_default().parse()?,
        })
    }

    /// Says where and when it was.
    pub(super) fn sentence(&self) -> String {
        let Self { date, commit, architecture, processor, processors, kernel, compiler, load } = self;
        format!(
            "Measured on {date} at commit {commit}: {architecture}, {processors} × {processor}, Linux {kernel}, {compiler}; \
             load before it {load:.1}."
        )
    }
}

#[cfg(test)]
impl Machine {
    /// Returns one that nobody has.
    pub(super) fn example() -> Self {
        Self {
            date: "2026-11-21".into(),
            commit: "abc1234".into(),
            architecture: "x86_64",
            processor: "Example".into(),
            processors: 2,
            kernel: "6.18".into(),
            compiler: "rustc 1.95.0".into(),
            load: 0.25,
        }
    }
}

/// Returns what a program says.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let done = command(program, arguments).output().with_context(|| format!("running {program}"))?;
    ensure!(done.status.success(), "{program} fails ({})", done.status);
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

impl Report {
    /// Returns the tables.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{}\n\n", self.machine.sentence());
        text += &rows(&self.start_rows());
        text += "\n";
        text += &rows(&self.interaction_rows());
        text
    }

    fn start_rows(&self) -> Vec<Vec<String>> {
        let Self { starts, warm, .. } = self;
        let hello = starts.programs.first();
        let times = |start: &Start| {
            let own = |start: &Start| start.first_poll_alone.unwrap_or(start.first_poll).median;
            let least = hello.map_or(0, own);
            if least == 0 { String::new() } else { format!("{:.1} ×", own(start) as f64 / least as f64) }
        };
        let column = |head: &str, cell: &dyn Fn(&Start) -> String| {
            let mut row = vec![head.to_owned()];
            row.extend(starts.programs.iter().map(cell));
            row
        };
        let after = |start: &Start| match start.program {
            "hello" => memory(warm.hello_memory),
            "interactions" => memory(warm.memory),
            _ => "".to_owned(),
        };
        let count = hello.map_or(0, |hello| hello.first_poll.count);
        vec![
            column(&format!("start, {count} times"), &|start| format!("`{}`", start.program)),
            column("process start → first poll, secrets from the emulator", &|start| {
                start.first_poll_alone.map_or("no secrets".to_owned(), |_| start.first_poll.to_string())
            }),
            column("– the emulator's telling of them, without any SDK", &|start| {
                start.first_poll_alone.map_or(String::new(), |_| starts.secrets.to_string())
            }),
            column("the same, secrets lying ready", &|start| {
                start.first_poll_alone.unwrap_or(start.first_poll).to_string()
            }),
            column("in proportion to `hello`", &times),
            column("processor time until then", &|start| start.processor.to_string()),
            column("resident at the first poll", &|start| memory(start.memory)),
            column(&format!("resident after {} interactions", warm.events), &after),
            column("program", &|start| mib(start.size.program)),
            column("as a bundle: `bootstrap` in a .zip", &|start| mib(start.size.zipped)),
        ]
    }

    fn interaction_rows(&self) -> Vec<Vec<String>> {
        type Cell<'a> = &'a dyn Fn(&Interacted, &Parts) -> String;
        let pairs = || self.warm.interactions.iter().zip(&self.parts);
        let column = |head: &str, cell: Cell<'_>| {
            let mut row = vec![head.to_owned()];
            row.extend(pairs().map(|(whole, parts)| cell(whole, parts)));
            row
        };
        let part = |spread: &Spread, whole: &Interacted| {
            let share = spread.median as f64 / whole.total.median.max(1) as f64;
            format!("{spread}, {:.1} %", 100.0 * share)
        };
        vec![
            column("a warm interaction", &|whole, _| format!("`{}`", whole.interaction)),
            column("times", &|whole, _| whole.total.count.to_string()),
            column("bytes", &|_, parts| parts.body_bytes.to_string()),
            column("calls of AWS", &|whole, _| match whole.calls.as_slice() {
                [] => "none".to_owned(),
                calls => calls.join(", "),
            }),
            column("**event → answer**", &|whole, _| format!("**{}**", whole.total)),
            column("signature check", &|whole, parts| part(&parts.signature, whole)),
            column("– bare Ed25519 check", &|_, parts| parts.bare_ed25519.to_string()),
            column("rules", &|whole, parts| part(&parts.rules, whole)),
            column("I/O: the rest", &|whole, parts| Time(io(whole, parts)).to_string()),
            column("– what `hello` takes for the same event", &|whole, _| whole.hello.to_string()),
            column("– the same calls without any SDK", &|whole, _| match whole.calls.as_slice() {
                [] => "none".to_owned(),
                _ => whole.bare_calls.to_string(),
            }),
            column("– what is left: router, SDK, logs (by the least of each)", &|whole, parts| {
                Time(left(whole, parts)).to_string()
            }),
            column("processor time, on average (`hello`)", &|whole, _| {
                format!("{} ({})", Time::new(whole.processor_ns), Time::new(whole.hello_processor_ns))
            }),
        ]
    }
}

/// Returns what neither the signature nor the rules take, in nanoseconds.
fn io(whole: &Interacted, parts: &Parts) -> i64 {
    let known = [parts.signature, parts.rules].map(|part| Time::new(part.median).0);
    Time::new(whole.total.median).0 - known.iter().sum::<i64>()
}

/// Returns what nobody else takes either, in nanoseconds. It is a small difference of large times, for which medians on a
/// busy machine are too far off; the least of each is what it takes when nothing comes in between.
fn left(whole: &Interacted, parts: &Parts) -> i64 {
    let known =
        [parts.signature, parts.rules, whole.hello, whole.bare_calls].map(|part| Time::new(part.min).0);
    Time::new(whole.total.min).0 - known.iter().sum::<i64>()
}

/// Returns what is resident, how much of it is not the program's file, and the most that was.
pub(super) fn memory(memory: Memory) -> String {
    let Memory { resident_kib, peak_kib, own_kib } = memory;
    let [resident, peak, own] = [resident_kib, peak_kib, own_kib].map(|kib| mib(kib * 1024));
    format!("{resident} (own {own}, peak {peak})")
}

/// Returns bytes as people read them.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// Returns rows as a table in Markdown, the first one as its head, numbers to the right.
pub(super) fn rows(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if at == 0 {
            let _ = writeln!(text, "| --- |{}", " --: |".repeat(row.len().saturating_sub(1)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::program::Size;
    use expect_test::expect;

    #[test]
    fn the_tables_set_each_part_beside_what_it_could_cost_at_least() {
        let spread = |us: u64| Spread {
            count: 1000,
            min: us * 900,
            median: us * 1000,
            p99: us * 2000,
            worst: us * 9000,
        };
        let few = |us: u64| Spread { count: 30, ..spread(us) };
        let memory = Memory { resident_kib: 2048, peak_kib: 3072, own_kib: 1024 };
        let start = |program, first_poll, first_poll_alone: Option<u64>| Start {
            program,
            first_poll: few(first_poll),
            first_poll_alone: first_poll_alone.map(few),
            processor: few(1000),
            memory,
            size: Size { program: 1 << 20, zipped: 1 << 19 },
        };
        let programs = vec![start("hello", 2000, None), start("interactions", 9000, Some(5000))];
        let report = Report {
            machine: Machine::example(),
            starts: Starts { programs, secrets: few(4000) },
            parts: vec![Parts {
                interaction: "/world start",
                body_bytes: 1500,
                signature: spread(40),
                bare_ed25519: spread(30),
                rules: spread(60),
            }],
            warm: Warm {
                interactions: vec![Interacted {
                    interaction: "/world start",
                    total: spread(10_000),
                    hello: spread(200),
                    calls: vec!["BatchGetItem".into(), "PutItem".into(), "SendMessage".into()],
                    bare_calls: spread(9_000),
                    processor_ns: 1_000_000,
                    hello_processor_ns: 100_000,
                }],
                events: 3000,
                memory,
                hello_memory: memory,
            },
        };
        expect![[r#"
            Measured on 2026-11-21 at commit abc1234: x86_64, 2 × Example, Linux 6.18, rustc 1.95.0; load before it 0.2.

            | start, 30 times | `hello` | `interactions` |
            | --- | --: | --: |
            | process start → first poll, secrets from the emulator | no secrets | 9.00 ms [8.10 – 81.0] |
            | – the emulator's telling of them, without any SDK |  | 4.00 ms [3.60 – 36.0] |
            | the same, secrets lying ready | 2.00 ms [1.80 – 18.0] | 5.00 ms [4.50 – 45.0] |
            | in proportion to `hello` | 1.0 × | 2.5 × |
            | processor time until then | 1.00 ms [0.90 – 9.00] | 1.00 ms [0.90 – 9.00] |
            | resident at the first poll | 2.0 MiB (own 1.0 MiB, peak 3.0 MiB) | 2.0 MiB (own 1.0 MiB, peak 3.0 MiB) |
            | resident after 3000 interactions | 2.0 MiB (own 1.0 MiB, peak 3.0 MiB) | 2.0 MiB (own 1.0 MiB, peak 3.0 MiB) |
            | program | 1.0 MiB | 1.0 MiB |
            | as a bundle: `bootstrap` in a .zip | 0.5 MiB | 0.5 MiB |

            | a warm interaction | `/world start` |
            | --- | --: |
            | times | 1000 |
            | bytes | 1500 |
            | calls of AWS | BatchGetItem, PutItem, SendMessage |
            | **event → answer** | **10.0 ms [9.00 – 20.0]** |
            | signature check | 40 µs [36 – 80], 0.4 % |
            | – bare Ed25519 check | 30 µs [27 – 60] |
            | rules | 60 µs [54 – 120], 0.6 % |
            | I/O: the rest | 9.90 ms |
            | – what `hello` takes for the same event | 200 µs [180 – 400] |
            | – the same calls without any SDK | 9.00 ms [8.10 – 18.0] |
            | – what is left: router, SDK, logs (by the least of each) | 630 µs |
            | processor time, on average (`hello`) | 1.00 ms (100 µs) |
        "#]].assert_eq(&report.table());
    }
}
