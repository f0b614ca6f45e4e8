//! The part of the front door that is for watchdogs. Each proves by its launch's token which launch it speaks for.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode},
};
use domain::{
    commands::{Problem, ProblemKind},
    driver::ApplyError,
    ports::{Part, Unavailable},
    world::{Generation, WorldId},
};
use tracing::Instrument;

use super::{FrontDoor, GameHost, Refused, Reporter, bearer};
use crate::report::{Answer, BadPart, Report, SettingsRecord, SourceRecord, TicketRecord, TicketRequest};

pub(super) async fn report(
    State(door): State<FrontDoor>,
    headers: HeaderMap,
    reporter: Option<Extension<Reporter>>,
    body: Result<Json<Report>, JsonRejection>,
) -> Result<Json<Answer>, Refused> {
    let bad = |why: String| Problem::new(ProblemKind::BadInput, why, "upgrade the watchdog");
    let Json(report) = body.map_err(|e| Refused(e.status(), bad(e.body_text())))?;
    let now = (door.clock)();
    let world = WorldId::parse(&report.world).map_err(|e| bad(e.to_string()))?;
    door.require_token(&headers, &world, Generation(report.generation))?;
    let span = tracing::info_span!("report", world = world.as_str(), generation = report.generation);
    async {
        let host = door.host_of(reporter)?;
        let parsed = report.parse(&host, now).map_err(|e| bad(e.to_string()))?;
        let reported = door.driver.report(&parsed.world, parsed.generation, &parsed.events, now);
        Ok(Json(Answer::new(reported.await.map_err(refused)?, now)))
    }
    .instrument(span)
    .await
}

pub(super) async fn ticket(
    State(door): State<FrontDoor>,
    Path((world, generation)): Path<(String, u32)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<TicketRecord>, Refused> {
    let (world, generation) = (WorldId::parse(&world).map_err(Problem::from)?, Generation(generation));
    door.require_token(&headers, &world, generation)?;
    let part = part(&body)?;
    let span = tracing::info_span!("ticket", world = world.as_str(), generation = generation.0);
    let ticket = door.driver.ticket(&world, generation, &part, (door.clock)()).instrument(span).await;
    let ticket = ticket.map_err(refused)?;
    Ok(Json(ticket.into()))
}

/// Reads a wish for a ticket.
fn part(body: &[u8]) -> Result<Part, Refused> {
    let bad = |why: String| Problem::new(ProblemKind::BadInput, why, "upgrade the watchdog");
    let wish: TicketRequest = serde_json::from_slice(body)
        .map_err(|error| bad(format!("this is no wish for a ticket: {error}")))?;
    wish.parse().map_err(|error| match error {
        BadPart::TooLarge(_) => {
            let problem = Problem::new(ProblemKind::BadInput, error.to_string(), "make the world smaller");
            Refused(StatusCode::PAYLOAD_TOO_LARGE, problem)
        }
        BadPart::Name(_) | BadPart::Key | BadPart::Number(_) | BadPart::Length(_) => {
            bad(error.to_string()).into()
        }
    })
}

pub(super) async fn source(
    State(door): State<FrontDoor>,
    Path((world, generation)): Path<(String, u32)>,
    headers: HeaderMap,
) -> Result<Json<SourceRecord>, Refused> {
    let (world, generation) = (WorldId::parse(&world).map_err(Problem::from)?, Generation(generation));
    door.require_token(&headers, &world, generation)?;
    let span = tracing::info_span!("source", world = world.as_str(), generation = generation.0);
    let source = door.driver.source(&world, generation, (door.clock)()).instrument(span).await;
    let none = Problem::new(ProblemKind::NotFound, "it is not where it was put", "the launch shall end");
    let source = source.map_err(|error| match error {
        ApplyError::NotFound => none.into(),
        error @ (ApplyError::Denied(_) | ApplyError::Refused(_) | ApplyError::Unavailable(_)) => {
            refused(error)
        }
    })?;
    Ok(Json(source.into()))
}

/// Answers with what was chosen for the world. That there is none is never answered by 404: so answers a control plane of before
/// there were settings.
pub(super) async fn settings(
    State(door): State<FrontDoor>,
    Path((world, generation)): Path<(String, u32)>,
    headers: HeaderMap,
) -> Result<Json<SettingsRecord>, Refused> {
    let (world, generation) = (WorldId::parse(&world).map_err(Problem::from)?, Generation(generation));
    door.require_token(&headers, &world, generation)?;
    let span = tracing::info_span!("settings", world = world.as_str(), generation = generation.0);
    let chosen = door.driver.settings(&world, generation).instrument(span).await;
    let chosen = chosen.map_err(|error| match error {
        ApplyError::NotFound => {
            Problem::new(ProblemKind::Refused, "no such world", "the launch shall end").into()
        }
        error @ (ApplyError::Denied(_) | ApplyError::Refused(_) | ApplyError::Unavailable(_)) => {
            refused(error)
        }
    })?;
    Ok(Json(chosen.into()))
}

impl FrontDoor {
    /// Returns where players reach the game whose watchdog reports.
    fn host_of(&self, reporter: Option<Extension<Reporter>>) -> Result<String, Refused> {
        match (&self.game_host, reporter) {
            (GameHost::Fixed(host), _) => Ok(host.clone()),
            (GameHost::Reporter, Some(Extension(Reporter(ip)))) => Ok(ip.to_canonical().to_string()),
            (GameHost::Reporter, None) => {
                let text = "where this report came from is not known";
                Err(Problem::new(ProblemKind::Unavailable, text, "report again").into())
            }
        }
    }

    fn require_token(
        &self,
        headers: &HeaderMap,
        world: &WorldId,
        generation: Generation,
    ) -> Result<(), Refused> {
        if bearer(headers).is_some_and(|token| self.secret.is_launch_token(world, generation, token)) {
            return Ok(());
        }
        let problem =
            Problem::new(ProblemKind::Refused, "this is not the launch's token", "the launch shall end");
        Err(Refused(StatusCode::UNAUTHORIZED, problem))
    }
}

fn refused(error: ApplyError) -> Refused {
    match error {
        ApplyError::NotFound => {
            Problem::new(ProblemKind::NotFound, "no such world", "the launch shall end").into()
        }
        ApplyError::Refused(refusal) => Problem::from(refusal).into(),
        ApplyError::Denied(denied) => Problem::from(denied).into(),
        ApplyError::Unavailable(Unavailable(why)) => {
            Problem::new(ProblemKind::Unavailable, why, "report again").into()
        }
    }
}
