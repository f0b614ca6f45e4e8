//! A control plane for one launch, as a watchdog sees it: it takes reports, gives orders, and takes an archive. Beside it, what
//! ECS says about the task.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::netns::Namespace;

/// The most bytes of an archive that are taken.
const LARGEST_ARCHIVE: usize = 64 << 20;

/// What the launch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// People want to play.
    Play,
    /// What is there is archived, and nobody plays.
    Backup,
    /// It is not the current one.
    Stale,
}

/// What is known and wanted.
#[derive(Debug)]
struct Desk {
    launch: Launch,
    url: String,
    last: Value,
    stop: bool,
    wish: Option<i64>,
    archives: Vec<Vec<u8>>,
    host_stops: bool,
    is_silent: bool,
    chosen: Option<Value>,
}

/// The control plane. It ends with the test.
pub struct Control {
    /// Where the watchdog reaches it.
    pub url: String,
    desk: Arc<Mutex<Desk>>,
    _runtime: Runtime,
}

impl Control {
    /// Starts one inside `machine`, on its own loopback.
    pub fn start(machine: &Namespace, launch: Launch) -> Result<Self> {
        let listener = machine.within(|| Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let desk = Arc::new(Mutex::new(Desk {
            launch,
            url: url.clone(),
            last: Value::Null,
            stop: false,
            wish: None,
            archives: Vec::new(),
            host_stops: false,
            is_silent: false,
            chosen: None,
        }));
        let router = Router::new()
            .route("/v1/reports", post(report))
            .route("/v1/tickets/{world}/{generation}", post(ticket))
            .route("/v1/settings/{world}/{generation}", get(settings))
            .route("/archive/{n}", put(archive))
            .route("/metadata/task", get(metadata))
            .layer(DefaultBodyLimit::max(LARGEST_ARCHIVE))
            .with_state(desk.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        });
        Ok(Self { url, desk, _runtime: runtime })
    }

    /// Returns the last report.
    pub fn last(&self) -> Value {
        lock(&self.desk).last.clone()
    }

    /// Orders the stop.
    pub fn stop(&self) {
        lock(&self.desk).stop = true;
    }

    /// Says from now on what was chosen of the game's settings. Before that it is as if there were none.
    pub fn choose(&self, chosen: Value) {
        lock(&self.desk).chosen = Some(chosen);
    }

    /// Asks for an archive while the game goes on.
    pub fn wish_backup(&self, wish: i64) {
        lock(&self.desk).wish = Some(wish);
    }

    /// Takes no report for as long as this holds.
    pub fn silence(&self, is_silent: bool) {
        lock(&self.desk).is_silent = is_silent;
    }

    /// Has ECS say that the task is to stop.
    pub fn host_stops(&self) {
        lock(&self.desk).host_stops = true;
    }

    /// Returns the archives that were uploaded.
    pub fn archives(&self) -> Vec<Vec<u8>> {
        lock(&self.desk).archives.clone()
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

type Shared = State<Arc<Mutex<Desk>>>;

async fn report(State(desk): Shared, Json(report): Json<Value>) -> Result<Json<Value>, StatusCode> {
    let mut desk = lock(&desk);
    if desk.is_silent {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let said = |name: &str| !report[name].is_null();
    let is_over = ["uploaded", "unchanged", "archive_failed", "start_failed"].into_iter().any(said);
    let orders = match desk.launch {
        Launch::Stale => json!({ "is": "abandon" }),
        Launch::Play | Launch::Backup if is_over => json!({ "is": "end", "clear": false }),
        Launch::Backup if report["claimed"] == true => json!({ "is": "stop" }),
        Launch::Play if desk.stop || said("stopping") => json!({ "is": "stop" }),
        Launch::Play | Launch::Backup => json!({ "is": "run", "keep_for_s": 0, "backup": desk.wish }),
    };
    desk.last = report;
    Ok(Json(json!({ "v": 2, "orders": orders })))
}

async fn settings(State(desk): Shared) -> Result<Json<Value>, StatusCode> {
    let chosen = lock(&desk).chosen.clone().ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "settings": chosen })))
}

async fn ticket(State(desk): Shared) -> Json<Value> {
    let desk = lock(&desk);
    let n = desk.archives.len() + 1;
    let upload = json!({ "id": format!("a{n}"), "key": "key" });
    Json(json!({ "upload": upload, "url": format!("{}/archive/{n}", desk.url) }))
}

async fn archive(State(desk): Shared, body: Bytes) {
    lock(&desk).archives.push(body.to_vec());
}

async fn metadata(State(desk): Shared) -> Json<Value> {
    let status = if lock(&desk).host_stops { "STOPPED" } else { "RUNNING" };
    Json(json!({ "TaskARN": "arn:aws:ecs:us-east-1:123456789012:task/dormouse/1", "DesiredStatus": status }))
}

/// Returns the text of a report's field, such as `saved.why`.
pub fn text(report: &Value, path: &str) -> Result<String> {
    let found = path.split('.').fold(report, |value, name| &value[name]);
    found.as_str().map(str::to_owned).with_context(|| format!("no {path} in {report:#}"))
}
