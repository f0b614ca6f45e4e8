//! One instance: a process and the Runtime API that it alone talks to.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path as UrlPath, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::{
    lambda::{ACCOUNT, InvokeError, MOST_PAYLOAD_BYTES, Settings, lock, runtime},
    process::{Environment, Guarded},
};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A process and its Runtime API.
#[derive(Debug)]
pub(super) struct Instance {
    api: Arc<Api>,
    server: JoinHandle<()>,
    was_killed: AtomicBool,
}

/// What the Runtime API knows.
#[derive(Debug)]
struct Api {
    function_arn: String,
    process: Mutex<Option<Guarded>>,
    slot: Mutex<Slot>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    /// An event that the process has not fetched yet.
    pending: Option<Invocation>,
    /// The event that the process works on.
    current: Option<Invocation>,
    /// Whether the process waits for an event, and is stopped.
    frozen: bool,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    event: String,
    deadline_ms: u128,
    reply: SyncSender<Result<Value, InvokeError>>,
}

impl Instance {
    /// Starts the function's program, whose output is appended to the file `log`.
    pub(super) fn start(settings: &Settings, log: &Path) -> Result<Self> {
        let listener = runtime()?.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let api = Arc::new(Api {
            function_arn: format!("arn:aws:lambda:{}:{ACCOUNT}:function:{}", settings.region, settings.name),
            process: Mutex::default(),
            slot: Mutex::default(),
            arrived: Notify::new(),
        });
        let router = router(api.clone());
        let server = runtime()?.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let instance = Self { api, server, was_killed: AtomicBool::new(false) };
        let process = Guarded::start(&command(settings, address), Environment::Empty, log)?;
        *lock(&instance.api.process) = Some(process);
        Ok(instance)
    }

    /// Gives the process an event and waits for the answer; kills it when that takes longer than `timeout`.
    pub(super) fn invoke(&self, event: String, timeout: Duration) -> Result<Value, InvokeError> {
        let (reply, answer) = sync_channel(1);
        let deadline_ms = since_1970().as_millis() + timeout.as_millis();
        self.api.offer(Invocation { id: request_id(), event, deadline_ms, reply });
        let begun = Instant::now();
        loop {
            match answer.recv_timeout(LOOK_EVERY) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    self.kill();
                    return Err(InvokeError::Exited(
                        "it fetched the next event without answering".to_owned(),
                    ));
                }
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > timeout => {
                    self.kill();
                    return Err(InvokeError::TimedOut(timeout));
                }
                Err(RecvTimeoutError::Timeout) if !self.is_running() => {
                    return Err(InvokeError::Exited(self.log_end()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Tells whether the process has not ended yet.
    pub(super) fn is_running(&self) -> bool {
        lock(&self.api.process).as_mut().is_some_and(|process| process.is_running().unwrap_or(false))
    }

    fn log_end(&self) -> String {
        if self.was_killed.load(Ordering::SeqCst) {
            return "it was killed".to_owned();
        }
        lock(&self.api.process).as_ref().map(Guarded::log_end).unwrap_or_default()
    }

    /// Has the process stand still.
    pub(super) fn freeze(&self) {
        self.api.signal(Signal::SIGSTOP);
    }

    /// Lets the process go on, unless it waits for an event.
    pub(super) fn thaw(&self) {
        let slot = lock(&self.api.slot);
        if !slot.frozen {
            self.api.signal(Signal::SIGCONT);
        }
    }

    /// Kills the process.
    pub(super) fn kill(&self) {
        self.was_killed.store(true, Ordering::SeqCst);
        if let Some(process) = lock(&self.api.process).as_mut() {
            process.kill();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.server.abort();
        self.kill();
    }
}

impl Api {
    /// Lays an event out for the process, which goes on if it stood still.
    fn offer(&self, invocation: Invocation) {
        let mut slot = lock(&self.slot);
        slot.pending = Some(invocation);
        if slot.frozen {
            slot.frozen = false;
            self.signal(Signal::SIGCONT);
        }
        self.arrived.notify_one();
    }

    /// Returns the answer to a process that asks for the next event; if there is none, stops the process.
    fn fetch(&self) -> Option<Response> {
        let mut slot = lock(&self.slot);
        // An event that was not answered ends here: its reply is dropped with it.
        slot.current = slot.pending.take();
        let Some(invocation) = &slot.current else {
            slot.frozen = true;
            self.signal(Signal::SIGSTOP);
            return None;
        };
        let headers = [
            ("Lambda-Runtime-Aws-Request-Id", invocation.id.clone()),
            ("Lambda-Runtime-Deadline-Ms", invocation.deadline_ms.to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn", self.function_arn.clone()),
            ("Lambda-Runtime-Trace-Id", format!("Root=1-00000000-{:0>24};Sampled=0", 0)),
            ("Content-Type", "application/json".to_owned()),
        ];
        Some((headers, invocation.event.clone()).into_response())
    }

    /// Passes the outcome of the event `id` on.
    fn settle(&self, id: &str, outcome: Result<Value, InvokeError>) -> Response {
        let current = {
            let mut slot = lock(&self.slot);
            slot.current.take_if(|invocation| invocation.id == id)
        };
        let Some(invocation) = current else {
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "this event is not being worked on");
        };
        // The receiver is gone when the event timed out just now.
        let _ = invocation.reply.send(outcome);
        (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = lock(&self.process).as_mut() {
            process.signal(signal);
        }
    }
}

fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(MOST_PAYLOAD_BYTES))
        .with_state(api)
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    loop {
        if let Some(answer) = api.fetch() {
            return answer;
        }
        api.arrived.notified().await;
    }
}

async fn response(State(api): State<Arc<Api>>, UrlPath(id): UrlPath<String>, body: Bytes) -> Response {
    let outcome = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
    let outcome = outcome.map_err(|error| InvokeError::Failed {
        kind: "Runtime.MalformedResponse".to_owned(),
        message: error.to_string(),
    });
    api.settle(&id, outcome)
}

async fn error(State(api): State<Arc<Api>>, UrlPath(id): UrlPath<String>, body: Bytes) -> Response {
    api.settle(&id, Err(failure(&body)))
}

/// The function cannot start: the event that it was started for fails, and so does the process.
async fn init_error(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    let pending = lock(&api.slot).pending.take();
    if let Some(invocation) = pending {
        let _ = invocation.reply.send(Err(failure(&body)));
    }
    (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
}

fn failure(body: &[u8]) -> InvokeError {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    InvokeError::Failed { kind: text("errorType"), message: text("errorMessage") }
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    (status, Json(json!({"errorType": kind, "errorMessage": message}))).into_response()
}

/// Returns the command that starts the program with the environment that Lambda documents, and no other.
fn command(settings: &Settings, api: SocketAddr) -> Command {
    let mut command = Command::new(&settings.program);
    let root = settings.program.parent().unwrap_or(Path::new("/"));
    command
        .env("AWS_LAMBDA_RUNTIME_API", api.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", &settings.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", settings.memory_mib.to_string())
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", settings.name))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]emulated")
        .env("AWS_REGION", &settings.region)
        .env("AWS_DEFAULT_REGION", &settings.region)
        .env("_HANDLER", "bootstrap")
        .env("LAMBDA_TASK_ROOT", root)
        .env("LAMBDA_RUNTIME_DIR", "/var/runtime")
        .env("LANG", "en_US.UTF-8")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin")
        .env("TZ", ":UTC")
        .envs(settings.env.iter().map(|(name, value)| (name, value)));
    command
}

pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns an id that this process has not given before.
pub(super) fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-0000-4000-8000-{next:012x}", std::process::id())
}
