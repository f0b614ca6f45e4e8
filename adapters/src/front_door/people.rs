//! The part of the front door that is for people's programs: each request is one command of [`domain::commands`].

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::HeaderMap,
};
use domain::{
    access::Asker,
    commands::{
        self, Command, Context, Problem, ProblemKind, Reply, create::Create, delete::Delete, export::Export,
        keep::Keep, spec::Args,
    },
    idle::TimerChoices,
    settings::Typed,
    vault::Storage,
    world::{GameId, Person, WorldName},
};
use serde::Deserialize;

use super::{
    FrontDoor, Refused,
    view::{Answer, CommandRequest, CreateRequest, ForRequest},
};

type Answered = Result<Json<Answer>, Refused>;

pub(super) async fn games(State(door): State<FrontDoor>, headers: HeaderMap) -> Answered {
    door.run(Command::Games, &headers).await
}

pub(super) async fn list(State(door): State<FrontDoor>, headers: HeaderMap) -> Answered {
    door.run(Command::List, &headers).await
}

pub(super) async fn create(
    State(door): State<FrontDoor>,
    headers: HeaderMap,
    body: Result<Json<CreateRequest>, JsonRejection>,
) -> Answered {
    let CreateRequest { name, game, settings, timers, port, storage } = body.map_err(bad_body)?.0;
    let seconds = |s: Option<u64>| s.map(Duration::from_secs);
    let unknown = |word: &str| {
        let text = format!(
            "storage cannot be `{}`",
            word.chars().take(40).flat_map(char::escape_debug).collect::<String>()
        );
        Problem::new(ProblemKind::BadInput, text, "use directory or archive")
    };
    let storage = storage.map(|word| Storage::parse(&word).ok_or_else(|| unknown(&word))).transpose()?;
    let create = Create {
        name: WorldName::parse(&name).map_err(Problem::from)?,
        game: GameId::parse(&game).map_err(Problem::from)?,
        settings: Typed(settings.0.into_iter().map(|(name, text)| (name, Some(text))).collect()),
        timers: TimerChoices {
            never_joined: seconds(timers.never_joined_s),
            last_left: seconds(timers.last_left_s),
            warning: seconds(timers.warning_s),
            afk: seconds(timers.afk_s),
            cap: seconds(timers.cap_s),
        },
        storage,
        port,
    };
    door.run(Command::Create(create), &headers).await
}

pub(super) async fn status(
    State(door): State<FrontDoor>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answered {
    door.run(Command::Status(named(&name)?), &headers).await
}

pub(super) async fn start(
    State(door): State<FrontDoor>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answered {
    door.run(Command::Start(named(&name)?), &headers).await
}

pub(super) async fn stop(
    State(door): State<FrontDoor>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answered {
    door.run(Command::Stop(named(&name)?), &headers).await
}

pub(super) async fn keep(
    State(door): State<FrontDoor>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Json<ForRequest>, JsonRejection>,
) -> Answered {
    let length = Duration::from_secs(body.map_err(bad_body)?.for_s);
    door.run(Command::Keep(Keep { name: named(&name)?, length }), &headers).await
}

pub(super) async fn export(
    State(door): State<FrontDoor>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Json<ForRequest>, JsonRejection>,
) -> Answered {
    let length = Duration::from_secs(body.map_err(bad_body)?.for_s);
    door.run(Command::Export(Export { name: named(&name)?, length, archive: None }), &headers).await
}

pub(super) async fn command(
    State(door): State<FrontDoor>,
    headers: HeaderMap,
    body: Result<Json<CommandRequest>, JsonRejection>,
) -> Answered {
    let CommandRequest { command, options } = body.map_err(bad_body)?.0;
    door.run(commands::read(&command, &Args(options))?, &headers).await
}

#[derive(Debug, Deserialize)]
pub(super) struct Confirmation {
    #[serde(default)]
    confirm: String,
}

pub(super) async fn delete(
    State(door): State<FrontDoor>,
    Path(name): Path<String>,
    Query(Confirmation { confirm }): Query<Confirmation>,
    headers: HeaderMap,
) -> Answered {
    door.run(Command::Delete(Delete { name: named(&name)?, typed: confirm }), &headers).await
}

fn named(name: &str) -> Result<WorldName, Refused> {
    Ok(WorldName::parse(name).map_err(Problem::from)?)
}

fn bad_body(rejection: JsonRejection) -> Refused {
    let hint = "send what docs/api.md says, as application/json";
    Refused(rejection.status(), Problem::new(ProblemKind::BadInput, rejection.body_text(), hint))
}

impl FrontDoor {
    async fn run(&self, command: Command, headers: &HeaderMap) -> Answered {
        // Not `to_str`, which takes ASCII alone: people have all kinds of names.
        let by = match headers.get("dormouse-by").map(|by| String::from_utf8_lossy(by.as_bytes())) {
            None => Person::parse("somebody"),
            Some(by) => Person::parse(&by),
        };
        let now = (self.clock)();
        let by = by.map_err(Problem::from)?;
        let context = Context {
            guild: self.guild.clone(),
            by,
            asker: Asker::Owner,
            place: None,
            follower: None,
            now,
            fresh_id: (self.fresh_id)(),
        };
        let reply: Reply = commands::run(command, &context, &self.driver).await?;
        Ok(Json(Answer::new(reply, &self.driver.games, now)))
    }
}
