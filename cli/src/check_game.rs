//! `dormouse check-game`: tries a game as a world on this machine, and says of each step what was seen and what to change.
//!
//! It has a directory and a control plane of its own, and leaves nothing of them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use domain::world::GameId;
use games::{Catalogue, Entry, LoadError};

use self::{
    image::{Image, Terms},
    life::{Course, Life},
    place::{Ground, Place, Told},
    step::{For, Report, Step, Verdict},
};
use crate::{
    choose::Choosing,
    output::say,
    up::{self, RuntimeChoice},
    world,
};

mod step;

mod dockerfile;

mod image;

mod containers;

mod place;

mod life;

mod watching;

mod kept;

mod processes;

/// How long it is watched by `--quick`.
const QUICK_WATCH: Duration = Duration::from_secs(10);

/// What a world may take besides the watch and the start before it goes to sleep by itself.
const SPARE: Duration = Duration::from_secs(15 * 60);

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dormouse check-game luanti                        one that is built in
  dormouse check-game arena --games my-games/       my-games/arena.toml and my-games/Dockerfile.arena
  dormouse check-game arena --quick                 one start, and watched for 10 s
  dormouse check-game valheim --set password=swordfish

It reads the entry and the Dockerfile, builds the image where Docker or Podman answers, starts a world in a temporary
directory, waits until players can join, watches it with nobody on, has it saved, stopped and archived, and starts it again.
The world runs in containers of the image; where there is none, or with --runtime process, by plain processes. Ctrl-C puts
the world to sleep first. Of all that, the image is left, and the watchdog's.

Exit codes: 0 nothing failed, 1 something did, 130 interrupted")]
pub(crate) struct CheckGame {
    /// The game's id: the name of its file without .toml
    #[arg(value_name = "ID")]
    id: String,
    /// The directory of ID.toml and Dockerfile.ID [default: this one if ID.toml is here, else what is built in]
    #[arg(long, env = "DORMOUSE_GAMES", hide_env_values = true, value_name = "DIR")]
    games: Option<PathBuf>,
    /// How long to watch it with nobody on
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = world::length)]
    watch: world::Length,
    /// Watch it for 10 s, and do not start it a second time
    #[arg(long, conflicts_with = "watch")]
    quick: bool,
    /// How the world is run
    #[arg(long, value_enum, default_value = "auto")]
    runtime: RuntimeChoice,
    /// A value for an ARG of the Dockerfile, such as BASE=debian:bookworm-slim
    #[arg(long, value_name = "NAME=VALUE", value_parser = up::build_arg)]
    build_arg: Vec<(String, String)>,
    /// The user that the game runs as by plain processes; only root can choose [default: nobody for root]
    #[arg(long, value_name = "USER")]
    game_user: Option<String>,
    /// Accept the licence under which the server is downloaded into its image, as its Dockerfile names it
    #[arg(long)]
    accept_licence: bool,
    #[command(flatten)]
    choosing: Choosing,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl CheckGame {
    fn watch(&self) -> Duration {
        if self.quick { QUICK_WATCH } else { self.watch.0 }
    }
}

/// Checks a game.
pub(crate) fn run(check: &CheckGame) -> ExitCode {
    let mut report = Report::new(if check.json { For::Programs } else { For::People });
    let course = try_run(check, &mut report);
    let failed = report.count(Verdict::Fail);
    if check.json {
        let ok = failed == 0 && matches!(course, Ok(Course::GoesOn | Course::IsOver));
        say!("{:#}", serde_json::json!({ "game": check.id, "ok": ok, "steps": report.steps }));
    }
    match course {
        Ok(Course::Interrupted) => ExitCode::from(130),
        Ok(Course::GoesOn | Course::IsOver) if failed > 0 => ExitCode::FAILURE,
        Ok(Course::GoesOn | Course::IsOver) => {
            if !check.json {
                say!("{} can be played{}", check.id, doubts(report.count(Verdict::Warn)));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dormouse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn doubts(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => "; 1 thing could be better".into(),
        many => format!("; {many} things could be better"),
    }
}

fn try_run(check: &CheckGame, report: &mut Report) -> Result<Course> {
    let id = GameId::parse(&check.id)?;
    let entry = match find(&id, check.games.as_deref())? {
        Ok(entry) => entry,
        Err(LoadError::BadEntry(bad)) => {
            report.add(Step::fail(
                "entry",
                bad.to_string(),
                "what it says; docs/adding-a-game.md has every key",
            ));
            return Ok(Course::IsOver);
        }
        Err(error @ (LoadError::Io { .. } | LoadError::TooMany(_))) => return Err(error.into()),
    };
    let game = &entry.game;
    let size = format!("{} CPU units, {} MiB", game.cpu, game.memory_mib);
    report.add(Step::ok("entry", format!("{}, {}, {size}", game.name, dockerfile::port_names(game))));
    let image = check_dockerfile(check, &entry, report)?;
    match ground(check.runtime, image, report) {
        Some(Ground::Processes) if game.scripts.is_none() => {
            let change = "give the entry a [process] section: the image's entrypoint is made of it too";
            report.add(Step::fail("start", "it has no scripts to start it by", change));
            Ok(Course::IsOver)
        }
        Some(ground @ (Ground::Processes | Ground::Containers(_))) => play(check, &entry, ground, report),
        None => Ok(Course::IsOver),
    }
}

/// Returns by what the world is to run, and says it; nothing if that is not to be had.
fn ground(choice: RuntimeChoice, image: Image, report: &mut Report) -> Option<Ground> {
    let name = "runtime";
    let (step, ground) = match (choice, image) {
        (RuntimeChoice::Process, _) => {
            (Step::ok(name, "the world runs by plain processes, as --runtime says"), Some(Ground::Processes))
        }
        (RuntimeChoice::Auto | RuntimeChoice::Docker, Image::Made(talk)) => {
            let step = Step::ok(name, format!("the world runs in containers, by {}", talk.engine.name));
            (step, Some(Ground::Containers(talk)))
        }
        (RuntimeChoice::Auto, Image::None(why)) => {
            let step = Step::ok(name, format!("the world runs by plain processes: {why}"));
            (step, Some(Ground::Processes))
        }
        (RuntimeChoice::Docker, Image::None(why)) => {
            (Step::fail(name, format!("there are no containers: {why}"), "--runtime process"), None)
        }
    };
    report.add(step);
    ground
}

/// Finds the entry of a game: in `dir`, or here, or among those that are built in.
fn find(id: &GameId, dir: Option<&Path>) -> Result<Result<Entry, LoadError>> {
    let file = |dir: &Path| dir.join(format!("{id}.toml"));
    let here = Path::new(".");
    if let Some(dir) = dir.into_iter().chain([here]).find(|dir| file(dir).exists()) {
        return Ok(Catalogue::read_file(&file(dir)));
    }
    match up::catalogue(None)?.get(id) {
        Some(entry) => Ok(Ok(entry.clone())),
        None => bail!(
            "there is no {} and no game `{id}` is built in: `dormouse new-game {id}` writes one",
            file(dir.unwrap_or(here)).display()
        ),
    }
}

fn check_dockerfile(check: &CheckGame, entry: &Entry, report: &mut Report) -> Result<Image> {
    let Some(text) = &entry.dockerfile else {
        let id = &entry.game.id;
        let saw =
            format!("there is no Dockerfile.{id} beside the entry: the game runs on this machine alone");
        let change = format!("`dormouse new-game {id}` writes one, for the cloud");
        report.add(Step::warn("Dockerfile", saw, change));
        return Ok(Image::None("there is no Dockerfile".into()));
    };
    dockerfile::check(text, &entry.game).into_iter().for_each(|step| report.add(step));
    let terms = if check.accept_licence { Terms::Accepted } else { Terms::NotAccepted };
    image::make(entry, terms, &check.build_arg, report)
}

/// Lets a world of the game live, twice unless it is to be quick.
fn play(check: &CheckGame, entry: &Entry, ground: Ground, report: &mut Report) -> Result<Course> {
    let interrupted = world::interrupt()?;
    let told = Told {
        game_user: check.game_user.as_deref(),
        build_args: &check.build_arg,
        accepts_licence: check.accept_licence
            && entry.dockerfile.as_deref().and_then(games::licence).is_some(),
    };
    let place = Place::open(entry, ground, &told)?;
    if let Err(error) = place.create(entry, check.watch() + SPARE, &check.choosing) {
        let change = "--set NAME=VALUE for what a world must have, --accept-terms for terms";
        report.add(Step::fail("world", format!("{error:#}").replace('\n', ";"), change));
        return Ok(Course::IsOver);
    }
    let mut life = Life { place: &place, game: &entry.game, report, interrupted };
    let course = live(&mut life, check);
    if matches!(course, Ok(Course::Interrupted)) {
        life.give_up()?;
    }
    course
}

fn live(life: &mut Life<'_>, check: &CheckGame) -> Result<Course> {
    match life.wake("start")? {
        Course::GoesOn => {}
        other @ (Course::IsOver | Course::Interrupted) => return Ok(other),
    }
    match life.watch(check.watch())? {
        Course::GoesOn => {}
        other @ (Course::IsOver | Course::Interrupted) => return Ok(other),
    }
    let (course, asleep) = life.sleep("stop")?;
    match course {
        Course::GoesOn if !check.quick => {}
        Course::GoesOn | Course::IsOver | Course::Interrupted => return Ok(course),
    }
    match life.wake("second start")? {
        Course::GoesOn => {}
        other @ (Course::IsOver | Course::Interrupted) => return Ok(other),
    }
    life.kept(&asleep)?;
    life.sleep("second stop").map(|(course, _)| course)
}
