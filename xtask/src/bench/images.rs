//! Worlds in containers on one machine: how large their images are, and how long a launch takes, from one milestone to the next,
//! beside the same world as plain processes.

use std::path::Path;

use anyhow::{Context, Result};
use e2e::{
    dormouse::Dormouse,
    engine::{GAMES, Machine as Stage},
};
use emulators::BASE;
use serde::Serialize;
use serde_json::Value;

use super::{
    Interrupt,
    report::{Machine, rows},
    spread::Spread,
};

/// How often each world is started and stopped each way.
const ROUNDS: usize = 5;

/// What is measured: from one milestone, or from the moment when somebody asked, to another.
const STEPS: [(&str, Option<&str>, &str); 6] = [
    ("asked → launched: the engine has the task", None, "launched"),
    ("launched → claimed: the watchdog owns the world", Some("launched"), "claimed"),
    ("claimed → ready: the game accepts players", Some("claimed"), "ready"),
    ("**asked → ready**", None, "ready"),
    ("stopping → saved: the game is gone", Some("stopping"), "saved"),
    ("saved → ended: archived, and nothing runs any more", Some("saved"), "ended"),
];

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    images: Vec<Image>,
    launches: Vec<Launches>,
}

/// An image.
#[derive(Debug, Serialize)]
struct Image {
    name: String,
    /// In bytes, as the engine has it on disk.
    size: u64,
    /// In bytes: what is not the base image's.
    own: u64,
}

/// The launches of one world.
#[derive(Debug, Serialize)]
struct Launches {
    game: &'static str,
    runtime: &'static str,
    /// In the order of [`STEPS`].
    steps: Vec<Spread>,
}

/// A world, and what its launches took in nanoseconds.
struct World<'a> {
    game: &'static str,
    dormouse: Dormouse<'a>,
    took: [Vec<u64>; STEPS.len()],
}

/// Measures, which takes some three minutes beside building. `watchdog` is the program as it is deployed.
pub(super) fn measure(watchdog: &Path, interrupt: &Interrupt) -> Result<Report> {
    let machine = Machine::look()?;
    let stage = Stage::start("bench", 0, &[])?;
    let mut worlds = worlds(&stage)?;
    for round in 0..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for world in &mut worlds {
            interrupt.check()?;
            let took = world.launch()?;
            // The first makes the image, and the world.
            if round > 0 {
                world.took.iter_mut().zip(took).for_each(|(all, one)| all.push(one));
            }
        }
    }
    let images = images(&stage, watchdog)?;
    Ok(Report { machine, images, launches: worlds.into_iter().map(World::launches).collect() })
}

/// Returns a world of each game in containers, and one in plain processes. One control plane runs at a time.
fn worlds(stage: &Stage) -> Result<Vec<World<'_>>> {
    let mut worlds = Vec::new();
    for game in GAMES {
        for runtime in ["docker", "process"] {
            let mut dormouse = stage.dormouse()?;
            dormouse.runtime = runtime;
            worlds.push(World { game, dormouse, took: Default::default() });
        }
    }
    for world in &mut worlds {
        world.dormouse.start()?;
        world.dormouse.create("world", world.game, [600, 600, 10, 3600])?;
        world.dormouse.end_control()?;
    }
    Ok(worlds)
}

impl World<'_> {
    /// Starts and stops the world, and returns what each step took.
    fn launch(&mut self) -> Result<[u64; STEPS.len()]> {
        self.dormouse.start()?;
        self.dormouse.ok(&["world", "start", "world", "--wait"])?;
        self.dormouse.ok(&["world", "stop", "world", "--wait"])?;
        let launch = self.dormouse.world("world")?["last"].take();
        self.dormouse.end_control()?;
        let mut took = [0; STEPS.len()];
        for ((_, from, to), took) in STEPS.iter().zip(&mut took) {
            let from = from.map_or(Ok(0), |from| passed(&launch, from))?;
            *took = passed(&launch, to)?.saturating_sub(from) * 1_000_000;
        }
        Ok(took)
    }

    fn launches(self) -> Launches {
        let steps = self.took.into_iter().map(Spread::of).collect();
        Launches { game: self.game, runtime: self.dormouse.runtime, steps }
    }
}

/// Returns how many milliseconds after somebody asked a launch passed a milestone.
fn passed(launch: &Value, milestone: &str) -> Result<u64> {
    let all = launch["milestones"].as_array().context("a launch without milestones")?;
    let found = all.iter().find(|one| one["name"] == milestone);
    found.and_then(|one| one["after_ms"].as_u64()).with_context(|| format!("no {milestone} in {launch:#}"))
}

fn images(stage: &Stage, watchdog: &Path) -> Result<Vec<Image>> {
    let size = |name: &str| -> Result<u64> {
        let said = stage.engine.ok(&["image", "inspect", "--format", "{{.Size}}", name])?;
        said.trim().parse().with_context(|| format!("the size of {name} is {said}"))
    };
    let base = size(BASE)?;
    let mut images = vec![Image { name: "the base".into(), size: base, own: base }];
    for game in GAMES {
        let size = size(&format!("docker.io/dormouse/{game}"))?;
        images.push(Image { name: format!("`dormouse/{game}`"), size, own: size.saturating_sub(base) });
    }
    const AS_DEPLOYED: &str = "docker.io/dormouse/watchdog:deployed";
    stage.build_watchdog(watchdog, AS_DEPLOYED)?;
    let size = size(AS_DEPLOYED)?;
    images.push(Image { name: "`dormouse/watchdog`".into(), size, own: size });
    Ok(images)
}

impl Report {
    /// Returns the tables.
    pub(super) fn table(&self) -> String {
        [format!("{}\n", self.machine.sentence()), rows(&self.image_rows()), rows(&self.launch_rows())]
            .join("\n")
    }

    fn image_rows(&self) -> Vec<Vec<String>> {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let head = ["image, not compressed", "size", "without the base"].map(str::to_owned).into();
        let image = |image: &Image| vec![image.name.clone(), megabytes(image.size), megabytes(image.own)];
        std::iter::once(head).chain(self.images.iter().map(image)).collect()
    }

    fn launch_rows(&self) -> Vec<Vec<String>> {
        let mut head = vec![format!("a launch, {ROUNDS} times")];
        head.extend(self.launches.iter().map(|launches| {
            let how = if launches.runtime == "docker" { "containers" } else { "processes" };
            format!("{}, {how}", launches.game)
        }));
        let row = |(n, (step, _, _)): (usize, &(&str, Option<&str>, &str))| {
            let mut row = vec![(*step).to_owned()];
            row.extend(self.launches.iter().filter_map(|of| of.steps.get(n)).map(Spread::to_string));
            row
        };
        std::iter::once(head).chain(STEPS.iter().enumerate().map(row)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn the_tables_set_containers_beside_processes() {
        let spread = |ms: u64| Spread::of((0..3).map(|n| (ms + n) * 1_000_000).collect());
        let launches = |game, runtime, ms| Launches { game, runtime, steps: vec![spread(ms); STEPS.len()] };
        let report = Report {
            machine: Machine::example(),
            images: vec![Image { name: "`dormouse/luanti`".into(), size: 217_000_000, own: 131_700_000 }],
            launches: vec![launches("luanti", "docker", 900), launches("luanti", "process", 400)],
        };
        expect![[r#"
            Measured on 2026-11-21 at commit abc1234: x86_64, 2 × Example, Linux 6.18, rustc 1.95.0; load before it 0.2.

            | image, not compressed | size | without the base |
            | --- | --: | --: |
            | `dormouse/luanti` | 217.0 MB | 131.7 MB |

            | a launch, 5 times | luanti, containers | luanti, processes |
            | --- | --: | --: |
            | asked → launched: the engine has the task | 901 ms [900 – 902] | 401 ms [400 – 402] |
            | launched → claimed: the watchdog owns the world | 901 ms [900 – 902] | 401 ms [400 – 402] |
            | claimed → ready: the game accepts players | 901 ms [900 – 902] | 401 ms [400 – 402] |
            | **asked → ready** | 901 ms [900 – 902] | 401 ms [400 – 402] |
            | stopping → saved: the game is gone | 901 ms [900 – 902] | 401 ms [400 – 402] |
            | saved → ended: archived, and nothing runs any more | 901 ms [900 – 902] | 401 ms [400 – 402] |
        "#]]
        .assert_eq(&report.table());
    }

    #[test]
    fn a_milestone_that_was_not_passed_is_named() {
        let launch = json!({ "milestones": [{ "name": "ready", "after_ms": 1200 }] });
        assert_eq!(passed(&launch, "ready").unwrap(), 1200);
        assert!(passed(&launch, "saved").unwrap_err().to_string().starts_with("no saved in "));
    }
}
