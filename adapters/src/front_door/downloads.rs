//! The part of the front door that is for whoever has a link to an archive. It leads on to an address that is signed afresh
//! each time: one that is signed once dies with the credentials that signed it, hours before the link is over.

use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use domain::{
    driver::{ApplyError, Download},
    ports::Unavailable,
    world::{LinkId, WorldId},
};
use serde::Deserialize;

use super::FrontDoor;
use crate::exports::is_signed;

/// What a link says for itself.
#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    signature: String,
}

/// After how many seconds to look again for an archive that is being made.
const AGAIN_S: u64 = 5;

pub(super) async fn follow(
    State(door): State<FrontDoor>,
    method: Method,
    Path((world, link)): Path<(String, String)>,
    Query(Signed { signature }): Query<Signed>,
) -> Response {
    let (Ok(world), Ok(link)) = (world.parse::<WorldId>(), link.parse::<LinkId>()) else { return unknown() };
    if !is_signed(&door.secret, &world, &link, &signature) {
        return unknown();
    }
    if method == Method::HEAD {
        // Whoever only asks whether it is there downloads nothing.
        return StatusCode::NO_CONTENT.into_response();
    }
    match door.driver.download(&world, &link, (door.clock)()).await {
        Ok(Download::At(found)) => onward(&found.url),
        Ok(Download::NotYet) => not_yet(),
        Ok(Download::Nothing(why)) => page(
            StatusCode::NOT_FOUND,
            "The world could not be archived",
            &format!("{why}. Ask for another link."),
        ),
        Ok(Download::Gone) | Err(ApplyError::NotFound | ApplyError::Denied(_) | ApplyError::Refused(_)) => {
            gone()
        }
        Err(ApplyError::Unavailable(Unavailable(why))) => {
            tracing::error!(world = world.as_str(), why, "a link could not be followed");
            page(StatusCode::SERVICE_UNAVAILABLE, "Out of reach", "Nothing is lost; try again in a moment.")
        }
    }
}

fn onward(url: &str) -> Response {
    let Ok(url) = HeaderValue::from_str(url) else {
        return page(StatusCode::SERVICE_UNAVAILABLE, "Out of reach", "The archive has no address.");
    };
    let headers = [
        (header::LOCATION, url),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::FOUND, headers).into_response()
}

fn not_yet() -> Response {
    let text = "It is being copied and archived while people play on. This page looks again by itself.";
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, "The world is being archived", text);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, AGAIN_S.into());
    headers.insert("refresh", AGAIN_S.into());
    response
}

fn unknown() -> Response {
    page(StatusCode::FORBIDDEN, "This is no link of ours", "See that all of it was copied.")
}

fn gone() -> Response {
    let text = "It has expired, or was withdrawn. Whoever gave it to you can make another one.";
    page(StatusCode::GONE, "This link works no more", text)
}

/// Returns a page for people, with a title and a text.
fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <body style=\"font-family:sans-serif;max-width:40em;margin:3em auto\"><h1>{title}</h1><p>{text}</p></html>"
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    (status, headers, Html(html)).into_response()
}
