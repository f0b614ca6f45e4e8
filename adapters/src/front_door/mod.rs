//! The front door: the HTTP interface to people's programs, to watchdogs and to browsers that follow a link.
//!
//! ```text
//! GET    /healthz                        is the control plane there?
//! GET    /v1/games                       which games there are
//! GET    /v1/worlds                      which worlds there are
//! POST   /v1/worlds                      make one: {"name", "game", "settings"?, "timers"?, "port"?, "storage"?}
//! GET    /v1/worlds/{name}               what it is doing
//! POST   /v1/worlds/{name}/start         wake it
//! POST   /v1/worlds/{name}/stop          put it to sleep
//! POST   /v1/worlds/{name}/keep          keep it awake: {"for_s"}
//! POST   /v1/worlds/{name}/export        a link that downloads it: {"for_s"}
//! DELETE /v1/worlds/{name}?confirm=NAME  delete it
//! POST   /v1/commands                    any command: {"command", "options"?}
//! POST   /v1/reports                     a watchdog's report (bearer: the launch's token)
//! POST   /v1/tickets/{world}/{launch}    a watchdog's wish to upload (bearer: the launch's token)
//! GET    /v1/sources/{world}/{launch}    what a watchdog puts into its world's directory (bearer: the launch's token)
//! GET    /v1/settings/{world}/{launch}   what was chosen for a watchdog's game (bearer: the launch's token)
//! GET    /x/{world}/{link}               a download, for whoever has the link (signed)
//! ```
//!
//! A program adds routes of its own: [`files`] where archives are kept on its disk.
//!
//! Every answer of `/v1` is JSON; one that is no success is `{"error", "hint"}`. The header `dormouse-by` says who asks.
//! Nothing is decided here: commands and reports go to the domain.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::{
    Timestamp,
    commands::{Problem, ProblemKind},
    driver::Driver,
    world::{GuildId, WorldId},
};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

use bodies::Bodies;

pub mod view;

mod bodies;

mod downloads;

mod people;

mod watchdogs;

#[cfg(feature = "discord")]
pub mod interactions;

#[cfg(feature = "local")]
pub mod files;

#[cfg(feature = "local")]
#[cfg(test)]
mod tests;

/// The largest JSON body that is read. A report is below 4 KiB.
const LARGEST_BODY: usize = 64 * 1024;

/// How long a request without files may take once its head is in, its body included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Who may use the part of the interface that is for people's programs.
#[derive(Clone)]
pub enum Access {
    /// Programs on this machine: requests that name a loopback host and come from no web page.
    ThisMachine,
    /// Whoever knows this token.
    Token(String),
    /// Nobody: there is no token yet.
    Nobody,
}

/// Where players reach the games.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GameHost {
    /// Always under this host name or address.
    Fixed(String),
    /// Where the watchdog's report came from: game and watchdog share an address. The program that serves the router puts
    /// a [`Reporter`] into each request.
    Reporter,
}

/// The address that a request came from, as the program that serves the router knows it for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reporter(pub IpAddr);

/// What the front door is made of.
#[derive(Clone)]
pub struct FrontDoor {
    /// The domain.
    pub driver: Driver,
    /// What launch tokens are derived from.
    pub secret: Secret,
    /// The guild that people's programs speak for.
    pub guild: GuildId,
    /// Where players reach the games.
    pub game_host: GameHost,
    /// Who may come in.
    pub access: Access,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Ids never used before.
    pub fresh_id: fn() -> WorldId,
}

impl FrontDoor {
    /// Returns the routes, with `more` among them.
    pub fn router(self, more: Router) -> Router {
        let people = Router::new()
            .route("/v1/games", get(people::games))
            .route("/v1/worlds", get(people::list).post(people::create))
            .route("/v1/worlds/{name}", get(people::status).delete(people::delete))
            .route("/v1/worlds/{name}/start", post(people::start))
            .route("/v1/worlds/{name}/stop", post(people::stop))
            .route("/v1/worlds/{name}/keep", post(people::keep))
            .route("/v1/worlds/{name}/export", post(people::export))
            .route("/v1/commands", post(people::command))
            .route_layer(middleware::from_fn_with_state(Bodies::of_at_most(LARGEST_BODY), bodies::whole))
            .route_layer(middleware::from_fn_with_state(self.clone(), admit));
        let quick = for_watchdogs()
            .route("/healthz", get(|| async { Json(serde_json::json!({ "ok": true })) }))
            .route("/x/{world}/{link}", get(downloads::follow))
            .merge(people);
        self.served(quick, more)
    }

    /// Returns the routes that watchdogs use, with `more` among them, and no others: for a way in on which a game is near.
    pub fn router_for_watchdogs(self, more: Router) -> Router {
        self.served(for_watchdogs(), more)
    }

    fn served(self, quick: Router<Self>, more: Router) -> Router {
        let quick = quick.layer(middleware::from_fn(in_time));
        let all = quick.with_state(self).merge(more);
        all.fallback(no_such_page).layer(middleware::map_response(in_json))
    }
}

fn for_watchdogs() -> Router<FrontDoor> {
    Router::new()
        .route("/v1/reports", post(watchdogs::report))
        .route("/v1/tickets/{world}/{generation}", post(watchdogs::ticket))
        .route("/v1/sources/{world}/{generation}", get(watchdogs::source))
        .route("/v1/settings/{world}/{generation}", get(watchdogs::settings))
        .route_layer(middleware::from_fn_with_state(Bodies::of_at_most(LARGEST_BODY), bodies::whole))
}

/// Lets in who may come in.
async fn admit(State(door): State<FrontDoor>, request: Request, next: Next) -> Response {
    let is_admitted = match &door.access {
        Access::Token(token) => bearer(request.headers()).is_some_and(|given| is_same(given, token)),
        Access::ThisMachine => is_local(&request),
        Access::Nobody => false,
    };
    if is_admitted {
        return next.run(request).await;
    }
    let (text, hint) = match &door.access {
        Access::Token(_) => (
            "this needs the control plane's token",
            "give it with --token-file or DORMOUSE_API_TOKEN; `dormouse up` says where it is",
        ),
        Access::Nobody => (
            "this control plane has no token for people's programs",
            "use the chat, or set a token where it is deployed",
        ),
        Access::ThisMachine => (
            "this control plane answers only programs on its own machine, which reach it as 127.0.0.1 or localhost",
            "for others, run `dormouse up --listen 0.0.0.0:7733` and use the token that it names",
        ),
    };
    Refused(StatusCode::UNAUTHORIZED, Problem::new(ProblemKind::Refused, text, hint)).into_response()
}

/// Tells whether a request comes from a program on this machine. A web page in a browser here can reach loopback as well,
/// by its own name for it or from its own origin; it is not let in.
fn is_local(request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && ["localhost", "127.0.0.1", "[::1]"].contains(&name)
        && !request.headers().contains_key(header::ORIGIN)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Compares two secrets in a time that does not tell where they differ.
fn is_same(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let hint = "send the request faster, or try again";
            let problem = Problem::new(ProblemKind::Unavailable, "the request took longer than 30 s", hint);
            Refused(StatusCode::REQUEST_TIMEOUT, problem).into_response()
        }
    }
}

async fn no_such_page() -> Refused {
    let problem = Problem::new(
        ProblemKind::NotFound,
        "there is no such page",
        "see the list at the head of docs/api.md",
    );
    Refused(StatusCode::NOT_FOUND, problem)
}

/// Says in JSON what was refused before it came to a handler: a method, a path or a query that is none.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_said = kind.is_some_and(|kind| kind == "application/json" || kind.starts_with("text/html"));
    if is_said || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    let said = match String::from_utf8_lossy(&said) {
        nothing if nothing.is_empty() => status.canonical_reason().unwrap_or("refused").to_lowercase(),
        said => said.into_owned(),
    };
    let problem = Problem::new(ProblemKind::BadInput, said, "see the list at the head of docs/api.md");
    let mut answer = Refused(status, problem).into_response();
    answer.headers_mut().extend(parts.headers.get(header::ALLOW).map(|allow| (header::ALLOW, allow.clone())));
    answer
}

/// An answer that is no success.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind {
            ProblemKind::BadInput => StatusCode::BAD_REQUEST,
            ProblemKind::NotFound => StatusCode::NOT_FOUND,
            ProblemKind::Refused => StatusCode::CONFLICT,
            ProblemKind::Denied => StatusCode::FORBIDDEN,
            ProblemKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(status, Problem { text, hint, .. }) = self;
        (status, Json(view::ErrorView { error: text, hint })).into_response()
    }
}
