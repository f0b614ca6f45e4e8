//! The part of the front door through which archives come and go on one machine. What lets somebody in is the signature
//! in the link.
//!
//! ```text
//! PUT    /v1/uploads/{world}/{archive}   an upload (signed)
//! GET    /archives/{world}/{archive}.zip a download (signed)
//! ```

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use domain::{
    Timestamp,
    commands::{Problem, ProblemKind},
    ports::Unavailable,
    world::{ArchiveId, WorldId},
};
use futures_util::TryStreamExt;
use tokio_util::io::{ReaderStream, StreamReader};

use super::Refused;
use crate::archive::directory::{Denied, DirectoryArchive, Grant, OpenError, ReceiveError};

/// The archives on this machine's disk, and the clock that links expire by.
#[derive(Clone)]
struct Files {
    archive: Arc<DirectoryArchive>,
    clock: fn() -> Timestamp,
}

/// Returns the routes to the archives on this machine's disk.
pub fn routes(archive: Arc<DirectoryArchive>, clock: fn() -> Timestamp) -> Router {
    Router::new()
        .route("/v1/uploads/{world}/{archive}", put(receive))
        .route("/archives/{world}/{archive}", get(send))
        .layer(DefaultBodyLimit::disable())
        .with_state(Files { archive, clock })
}

async fn receive(
    State(files): State<Files>,
    Path((world, archive)): Path<(String, String)>,
    Query(ticket): Query<Grant>,
    request: Request,
) -> Result<Json<serde_json::Value>, Refused> {
    let (world, id) = names(&world, &archive)?;
    let body = StreamReader::new(request.into_body().into_data_stream().map_err(std::io::Error::other));
    let received = files.archive.receive(&world, &id, &ticket, (files.clock)(), body).await;
    let facts = received.map_err(|error| not_received(&error))?;
    Ok(Json(
        serde_json::json!({ "id": facts.id.as_str(), "size": facts.size, "sha256": facts.sha256.to_string() }),
    ))
}

async fn send(
    State(files): State<Files>,
    Path((world, file)): Path<(String, String)>,
    Query(link): Query<Grant>,
) -> Result<Response, Refused> {
    let (world, id) = names(&world, file.strip_suffix(".zip").unwrap_or(&file))?;
    let opened = files.archive.open_signed(&world, &id, &link, (files.clock)()).await;
    let (file, size) = opened.map_err(|error| not_opened(&error))?;
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{world}-{id}.zip\"")),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::new(file))).into_response())
}

fn names(world: &str, archive: &str) -> Result<(WorldId, ArchiveId), Refused> {
    Ok((WorldId::parse(world).map_err(Problem::from)?, ArchiveId::parse(archive).map_err(Problem::from)?))
}

fn not_received(error: &ReceiveError) -> Refused {
    match error {
        ReceiveError::Denied(denied) => not_allowed(*denied, "ask for another ticket"),
        ReceiveError::TooLarge(_) => refused(StatusCode::PAYLOAD_TOO_LARGE, error, "make the world smaller"),
        ReceiveError::Exists | ReceiveError::Busy => {
            refused(StatusCode::CONFLICT, error, "ask for another ticket")
        }
        ReceiveError::BrokeOff(_) => refused(StatusCode::BAD_REQUEST, error, "upload it again"),
        ReceiveError::Unavailable(Unavailable(_)) => refused(
            StatusCode::INSUFFICIENT_STORAGE,
            error,
            "nothing is lost; upload it again when that is mended",
        ),
    }
}

fn not_opened(error: &OpenError) -> Refused {
    match error {
        OpenError::Denied(denied) => not_allowed(*denied, "`world export` makes a new link"),
        OpenError::NotFound => refused(StatusCode::NOT_FOUND, error, "it may have been removed since"),
        OpenError::Unavailable(_) => refused(StatusCode::SERVICE_UNAVAILABLE, error, "try again"),
    }
}

fn not_allowed(denied: Denied, hint: &str) -> Refused {
    let status = match denied {
        Denied::BadSignature => StatusCode::FORBIDDEN,
        Denied::Expired => StatusCode::GONE,
    };
    refused(status, &denied, hint)
}

fn refused(status: StatusCode, error: &dyn std::error::Error, hint: &str) -> Refused {
    Refused(status, Problem::new(ProblemKind::Refused, error.to_string(), hint))
}
