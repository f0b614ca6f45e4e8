//! The part of the front door through which archives, and files to import, come and go on one machine. What lets somebody
//! in is the signature in the link.
//!
//! ```text
//! PUT    /v1/uploads/{world}/{archive}/{number} a part of an archive (signed)
//! GET    /archives/{world}/{archive}.zip        a download (signed)
//! PUT    /v1/imports/{world}/{import}           a file to import (signed)
//! GET    /v1/imports/{world}/{import}           the same, for the watchdog that imports it (signed)
//! ```
//!
//! Bodies are never held in memory as a whole. How long they may be is for [`DirectoryArchive`] to say.

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
    world::{ArchiveId, ImportId, WorldId},
};
use futures_util::TryStreamExt;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::Refused;
use crate::archive::directory::{Denied, DirectoryArchive, Grant, OpenError, PartGrant, ReceiveError};

/// The archives on this machine's disk, and the clock that links expire by.
#[derive(Clone)]
struct Files {
    archive: Arc<DirectoryArchive>,
    clock: fn() -> Timestamp,
}

/// Returns the routes to the archives on this machine's disk.
pub fn routes(archive: Arc<DirectoryArchive>, clock: fn() -> Timestamp) -> Router {
    Router::new()
        .route("/v1/uploads/{world}/{archive}/{number}", put(receive_part))
        .route("/archives/{world}/{archive}", get(send))
        .route("/v1/imports/{world}/{import}", put(receive_import).get(send_import))
        .layer(DefaultBodyLimit::disable())
        .with_state(Files { archive, clock })
}

/// Tells whether a request at `path` is for a file, and may go on for as long as the file takes. Nobody gets so far without a
/// link that holds: it is checked before the first byte.
pub fn lasts(path: &str) -> bool {
    ["/v1/uploads/", "/archives/", "/v1/imports/"].iter().any(|prefix| path.starts_with(prefix))
}

async fn receive_part(
    State(files): State<Files>,
    Path((world, archive, number)): Path<(String, String, u32)>,
    Query(ticket): Query<PartGrant>,
    request: Request,
) -> Result<Json<serde_json::Value>, Refused> {
    let (world, id) = names(&world, &archive)?;
    let (now, body) = ((files.clock)(), body(request));
    let received = files.archive.receive_part(&world, &id, number, &ticket, now, body).await;
    received.map_err(|error| not_received(&error))?;
    Ok(Json(serde_json::json!({ "number": number, "length": ticket.length })))
}

async fn send(
    State(files): State<Files>,
    Path((world, file)): Path<(String, String)>,
    Query(link): Query<Grant>,
) -> Result<Response, Refused> {
    let (world, id) = names(&world, file.strip_suffix(".zip").unwrap_or(&file))?;
    let opened = files.archive.open_signed(&world, &id, &link, (files.clock)()).await;
    let name = format!("{world}-{id}.zip");
    Ok(download(
        opened.map_err(|error| not_opened(&error, "`world export` makes a new link"))?,
        "application/zip",
        &name,
    ))
}

async fn receive_import(
    State(files): State<Files>,
    Path((world, import)): Path<(String, String)>,
    Query(link): Query<Grant>,
    request: Request,
) -> Result<Json<serde_json::Value>, Refused> {
    let (world, id) = import_names(&world, &import)?;
    let received = files.archive.receive_import(&world, &id, &link, (files.clock)(), body(request)).await;
    let size = received.map_err(|error| not_received(&error))?;
    Ok(Json(serde_json::json!({ "id": id.as_str(), "size": size })))
}

async fn send_import(
    State(files): State<Files>,
    Path((world, import)): Path<(String, String)>,
    Query(link): Query<Grant>,
) -> Result<Response, Refused> {
    let (world, id) = import_names(&world, &import)?;
    let opened = files.archive.open_import(&world, &id, &link, (files.clock)()).await;
    let opened = opened.map_err(|error| not_opened(&error, "ask for another link"))?;
    Ok(download(opened, "application/octet-stream", &format!("{world}-{id}")))
}

fn body(request: Request) -> impl AsyncRead + Unpin + Send {
    StreamReader::new(request.into_body().into_data_stream().map_err(std::io::Error::other))
}

fn download((file, size): (tokio::fs::File, u64), kind: &str, name: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
    ];
    (headers, Body::from_stream(ReaderStream::new(file))).into_response()
}

fn names(world: &str, archive: &str) -> Result<(WorldId, ArchiveId), Refused> {
    Ok((WorldId::parse(world).map_err(Problem::from)?, ArchiveId::parse(archive).map_err(Problem::from)?))
}

fn import_names(world: &str, import: &str) -> Result<(WorldId, ImportId), Refused> {
    Ok((WorldId::parse(world).map_err(Problem::from)?, ImportId::parse(import).map_err(Problem::from)?))
}

fn not_received(error: &ReceiveError) -> Refused {
    match error {
        ReceiveError::Denied(denied) => not_allowed(*denied, "ask for another link"),
        ReceiveError::TooLarge(_) => refused(StatusCode::PAYLOAD_TOO_LARGE, error, "make it smaller"),
        ReceiveError::Complete => refused(StatusCode::CONFLICT, error, "there is nothing left to send"),
        ReceiveError::Busy => refused(StatusCode::SERVICE_UNAVAILABLE, error, "send it again in a moment"),
        ReceiveError::WrongLength(_) | ReceiveError::BrokeOff(_) => {
            refused(StatusCode::BAD_REQUEST, error, "send it again")
        }
        ReceiveError::Unavailable(Unavailable(_)) => refused(
            StatusCode::INSUFFICIENT_STORAGE,
            error,
            "nothing is lost; send it again when that is mended",
        ),
    }
}

fn not_opened(error: &OpenError, hint: &str) -> Refused {
    match error {
        OpenError::Denied(denied) => not_allowed(*denied, hint),
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
