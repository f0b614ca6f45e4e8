//! An AWS account that is new at each start: DynamoDB, SQS, ECS, SSM and STS at one address, and what tests may ask
//! of it beyond AWS: to fail, to end a task, to tell which calls were made.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Needed,
    install::{self, install},
    process::{Environment, Guarded},
};

/// Importing moto takes two seconds on a quiet machine.
const START_LIMIT: Duration = Duration::from_secs(60);

const CONTROL_LIMIT: Duration = Duration::from_secs(10);

/// The message with which Fargate refuses a task for want of capacity.
const NO_CAPACITY: &str =
    "Capacity is unavailable at this time. Please try again later or in a different availability zone";

/// The account. Any credentials and any region of AWS will do.
pub struct Moto {
    url: String,
    directory: TempDir,
    process: Guarded,
}

impl fmt::Debug for Moto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moto").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How the account behaves from its start.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How long a task stays in each of the states on its way up and down; 50 ms if not given. A task stays RUNNING
    /// until it is stopped.
    pub stage: Option<Duration>,
    /// The queue that gets an EventBridge event "ECS Task State Change" for each change of a task.
    pub task_events_queue: Option<String>,
    /// The pattern of the EventBridge rule that lets those events through; without one all of them are.
    pub task_events_rule: Option<Value>,
    /// The spool directory of a stand-in for Fargate; tasks then do what it says. RunTask writes `<task
    /// id>/task.json`, a stop writes `<task id>/stop.json`, and the stand-in writes `<task id>/status.json`.
    pub fargate_directory: Option<PathBuf>,
}

/// When an injected fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing is done.
    Before,
    /// The call takes effect, and then reports failure all the same.
    After,
}

/// A call that was made, as far as the account understood it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// `ecs`, `sqs`, `dynamodb` or `ssm`.
    pub service: String,
    /// Such as `RunTask`.
    pub action: String,
    /// The HTTP status of the answer; none while there is none.
    pub status: Option<u16>,
    /// The beginning of the request's JSON, up to 2000 characters.
    pub params: String,
    /// SHA-256 of the whole request body, in hexadecimal digits.
    pub digest: String,
    /// Seconds since 1970.
    pub time: f64,
}

impl Moto {
    /// Starts an account.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts an account that behaves as `options` say.
    pub fn start_with(options: &Options) -> Result<Self> {
        install()?;
        let directory = scratch()?;
        let port_file = directory.path().join("port");
        let mut command = Command::new(install::python_program());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin/main.py")).arg(&port_file);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(stage) = options.stage {
            command.env("DORMOUSE_ECS_STAGE_MS", stage.as_millis().to_string());
        }
        if let Some(queue) = &options.task_events_queue {
            command.env("DORMOUSE_TASK_EVENTS_QUEUE", queue);
        }
        if let Some(rule) = &options.task_events_rule {
            command.env("DORMOUSE_TASK_EVENTS_RULE", rule.to_string());
        }
        if let Some(spool) = &options.fargate_directory {
            command.env("DORMOUSE_FARGATE_DIR", spool);
        }
        let mut process = Guarded::start(&command, Environment::Inherited, &directory.path().join("log"))?;
        let port = process
            .wait_until(START_LIMIT, |_| std::fs::read_to_string(&port_file).ok())
            .context("starting moto")?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), directory, process })
    }

    /// Returns the one account of this process, which is started by the first call. Tests that share it must not
    /// share names of tables, queues and clusters.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Moto, String>> = OnceLock::new();
        match SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}"))) {
            Ok(moto) => Ok(moto),
            Err(error) => bail!("{error}"),
        }
    }

    /// Returns the endpoint of every service, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the file in which the server notes each request, and what went wrong inside it.
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Makes the next `times` calls of `action` answer with an error. SDKs try again by themselves, so count with
    /// their retries, or switch them off.
    pub fn fault(
        &self,
        service: &str,
        action: &str,
        times: u32,
        when: When,
        code: &str,
        status: u16,
    ) -> Result<()> {
        let how = when.name();
        let fault = json!({"service": service, "action": action, "times": times, "how": how, "code": code, "status": status});
        self.control("POST", "faults", &fault).map(drop)
    }

    /// Makes the next `times` calls of `action` answer with `answer` and status 200, without doing anything.
    pub fn answer(&self, service: &str, action: &str, times: u32, answer: &Value) -> Result<()> {
        let fault = json!({"service": service, "action": action, "times": times, "how": "before", "status": 200, "answer": answer});
        self.control("POST", "faults", &fault).map(drop)
    }

    /// Makes the next `times` calls of RunTask find no capacity, which ECS reports in `failures`, not as an error.
    pub fn no_capacity(&self, times: u32) -> Result<()> {
        self.answer("ecs", "RunTask", times, &json!({"tasks": [], "failures": [{"reason": NO_CAPACITY}]}))
    }

    /// Forgets the faults that have not struck, and returns how many calls they would still have hit.
    pub fn clear_faults(&self) -> Result<u64> {
        let left = self.control("DELETE", "faults", &json!({}))?;
        let faults = left.as_array().context("no list of faults")?;
        Ok(faults.iter().filter_map(|fault| fault["times"].as_u64()).sum())
    }

    /// Returns the calls that were made since the start or the last [`Self::clear_calls`], oldest first; at most the
    /// last 20,000.
    pub fn calls(&self) -> Result<Vec<Call>> {
        Ok(serde_json::from_value(self.control("GET", "calls", &json!({}))?)?)
    }

    /// Returns what was needed for the calls of callers that have a session token, whose name it is.
    pub fn needed(&self) -> Result<BTreeSet<Needed>> {
        Ok(serde_json::from_value(self.control("GET", "needed", &json!({}))?)?)
    }

    /// Forgets the calls that were made.
    pub fn clear_calls(&self) -> Result<()> {
        self.control("DELETE", "calls", &json!({})).map(drop)
    }

    /// Ends a task, named by its ARN or id, as something other than StopTask would: `stop_code` is one of ECS, such as
    /// `SpotInterruption`, and `exit_codes` are what its containers end with. It goes down through all states.
    pub fn end_task(
        &self,
        task: &str,
        stop_code: &str,
        stopped_reason: &str,
        exit_codes: &[(&str, i32)],
    ) -> Result<()> {
        let exit_codes: serde_json::Map<String, Value> =
            exit_codes.iter().map(|(name, code)| ((*name).to_owned(), json!(code))).collect();
        let end = json!({"task": task, "stopCode": stop_code, "stoppedReason": stopped_reason, "exitCodes": exit_codes});
        self.control("POST", "ecs/end", &end).map(drop)
    }

    /// Forgets all stopped tasks and their client tokens, as ECS does an hour after they stopped.
    pub fn forget_stopped_tasks(&self) -> Result<()> {
        self.control("POST", "ecs/forget", &json!({})).map(drop)
    }

    /// Sets how long a task stays in each state from now on.
    pub fn set_stage(&self, stage: Duration) -> Result<()> {
        self.control("POST", "ecs/settings", &json!({"stage_ms": stage.as_millis() as u64})).map(drop)
    }

    /// Sets how long after RunTask a task is not seen yet by DescribeTasks and ListTasks: ECS is eventually
    /// consistent.
    pub fn set_visible_after(&self, delay: Duration) -> Result<()> {
        self.control("POST", "ecs/settings", &json!({"visible_after_ms": delay.as_millis() as u64})).map(drop)
    }

    /// Sends every event of a task twice from now on: EventBridge delivers at least once.
    pub fn repeat_task_events(&self) -> Result<()> {
        self.control("POST", "ecs/settings", &json!({"events_twice": true})).map(drop)
    }

    fn control(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(CONTROL_LIMIT))
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/dormouse/{path}", self.url))
            .body(body.to_string())?;
        let mut answer = agent.run(request).with_context(|| format!("asking moto for {path}"))?;
        let text = answer.body_mut().read_to_string()?;
        if answer.status() != 200 {
            bail!("moto refuses {method} {path}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Returns the process that serves the account, to have it stand still.
    pub fn process(&self) -> Option<Pid> {
        self.process.pid()
    }

    /// Ends the account before its time, as an outage of every service.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl When {
    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// Returns a directory for what one emulator writes, among what was built.
pub(crate) fn scratch() -> Result<TempDir> {
    let runs = install::root().join("runs");
    std::fs::create_dir_all(&runs)?;
    Ok(tempfile::tempdir_in(runs)?)
}
