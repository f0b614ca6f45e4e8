//! Discord's HTTP interface: the few requests that are made, and how long they are tried.
//!
//! Rate limits are waited out, an answer that Discord has not registered yet is tried again, and so is what fails on
//! Discord's side: each until a moment that the caller names, past which nothing is begun and nothing goes on. What takes
//! longer is remembered (`ways.rs`), and further requests fail at once until it is over. The token of an interaction stands
//! in the address, so no address is ever part of an error or a log line.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use ureq::{Agent, AsSendBody, http};

use crate::chat::discord::{
    limits,
    snowflake::Snowflake,
    ways::{Way, Ways},
};

/// Discord's own address.
pub const DISCORD: &str = "https://discord.com/api/v10";

/// How Discord wants programs to name themselves.
const USER_AGENT: &str = concat!("DiscordBot (https://dormouse.invalid, ", env!("CARGO_PKG_VERSION"), ")");

/// How long one request may take, if the caller's moment is not before that.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read: a hundred commands with all their options are below it.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// How long to wait before the second try where Discord does not say; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How often a request is made. With doubling waits the caller's moment is reached before that.
const MOST_TRIES: u32 = 12;

/// How often a request is made that finds nobody. A connection that was kept and then closed fails once or twice.
const CONNECTION_TRIES: u32 = 3;

/// How long a caller must have given: where nobody answers in less, that says nothing of Discord.
const FAIR_TIME: Duration = Duration::from_secs(1);

/// How often a young answer to an interaction is looked for. Discord registers it when it receives our answer, which may be
/// after the first milestone; past about 8 s it never will.
const REGISTRATION_TRIES: u32 = 6;

/// The token of the application's bot user. Whoever has it is the bot.
#[derive(Clone, PartialEq, Eq)]
pub struct BotToken(String);

/// Not a bot token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a bot token is 20 to 200 letters, digits, dots, hyphens and underscores; the developer portal shows it under Bot"
)]
pub struct BadToken;

impl BotToken {
    /// Takes `text`, with or without white space around it.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        let is_token = (20..=200).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if is_token { Ok(Self(text.into())) } else { Err(BadToken) }
    }

    /// Returns the text, to be given to Discord and to nobody else.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BotToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotToken(…)")
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Discord is out of reach or busy, for longer than the caller waits.
    #[error("Discord is out of reach: {0}")]
    Unavailable(String),
    /// What it is about is gone, or may not be seen any more, by Discord's code for that.
    #[error("what it is about is gone, or out of the bot's sight (Discord's code {0})")]
    Gone(u64),
    /// Discord does not take the bot token.
    #[error("Discord does not take the bot token")]
    Unauthorized,
    /// Discord says no to what was asked: a mistake on our side.
    #[error("Discord refused it with {status}, code {code}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Discord's code.
        code: u64,
        /// Discord's words.
        message: String,
    },
}

/// Where commands are registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In every guild that has the application.
    Global,
    /// In one guild.
    Guild(Snowflake),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("all guilds"),
            Self::Guild(guild) => write!(f, "guild {guild}"),
        }
    }
}

/// A message that was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its id.
    pub id: Snowflake,
    /// What it says: what an earlier post of the same nonce said, if there was one.
    pub content: String,
}

/// A client of Discord's HTTP interface.
#[derive(Clone)]
pub struct Rest {
    agent: Agent,
    base: String,
    token: Option<BotToken>,
    ways: Arc<Ways>,
}

/// Who a request speaks as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// The bot.
    Bot,
    /// Whoever has the interaction's token, which stands in the path.
    Interaction,
}

/// Whether Discord must know the answer to an interaction. It does once it has received our answer, which may be after the
/// first milestone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It must, or never will: the answer came too late.
    Surely,
    /// It may yet come to know it.
    Perhaps,
}

struct Request {
    method: http::Method,
    path: String,
    speaker: As,
    registered: Registered,
    way: Way,
    body: Option<Value>,
}

/// What one try came to.
struct Response {
    status: u16,
    retry_after: Option<Duration>,
    body: Value,
}

enum Verdict {
    Done(Value),
    Failed(Failure),
    /// Try again after this time at least, or fail so.
    Wait(Duration, Failure),
}

impl Request {
    fn by_bot(method: http::Method, path: String, way: Way, body: Option<Value>) -> Self {
        Self { method, path, speaker: As::Bot, registered: Registered::Surely, way, body }
    }
}

impl Rest {
    /// Returns a client that reaches Discord at `base`, and speaks as the bot with `token`.
    pub fn new(base: &str, token: Option<BotToken>) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).max_redirects(0).user_agent(USER_AGENT);
        let base = base.trim_end_matches('/').to_owned();
        Self { agent: config.build().new_agent(), base, token, ways: Arc::default() }
    }

    /// Changes the answer that an interaction was given. One that Discord does not know is gone, unless it may not be
    /// `registered` yet.
    pub async fn edit_original(
        &self,
        application: &str,
        token: &str,
        registered: Registered,
        body: Value,
        until: Instant,
    ) -> Result<(), Failure> {
        let path = format!("/webhooks/{}/{}/messages/@original", escaped(application), escaped(token));
        let edit = Request {
            method: http::Method::PATCH,
            way: Way::Answer(path.clone()),
            path,
            speaker: As::Interaction,
            registered,
            body: Some(body),
        };
        self.call(edit, until).await.map(|_| ())
    }

    /// Gives an interaction its first answer, where it did not come by HTTP.
    pub async fn answer(
        &self,
        id: Snowflake,
        token: &str,
        body: Value,
        until: Instant,
    ) -> Result<(), Failure> {
        let path = format!("/interactions/{id}/{}/callback", escaped(token));
        let answer = Request {
            method: http::Method::POST,
            path,
            speaker: As::Interaction,
            registered: Registered::Surely,
            way: Way::FirstAnswer,
            body: Some(body),
        };
        match self.call(answer, until).await {
            // The first try arrived, and only its answer was lost.
            Err(Failure::Refused { code: ALREADY_ANSWERED, .. }) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Posts a message in a channel.
    pub async fn post_message(
        &self,
        channel: Snowflake,
        body: Value,
        until: Instant,
    ) -> Result<Posted, Failure> {
        let path = format!("/channels/{channel}/messages");
        let post = Request::by_bot(http::Method::POST, path, Way::Channel(channel), Some(body));
        let message = self.call(post, until).await?;
        let id = message["id"].as_str().and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| Failure::Unavailable("the answer to a post names no message".into()))?;
        Ok(Posted { id, content: message["content"].as_str().unwrap_or_default().to_owned() })
    }

    /// Changes a message of ours in a channel.
    pub async fn edit_message(
        &self,
        channel: Snowflake,
        message: Snowflake,
        body: Value,
        until: Instant,
    ) -> Result<(), Failure> {
        let path = format!("/channels/{channel}/messages/{message}");
        let edit = Request::by_bot(http::Method::PATCH, path, Way::Channel(channel), Some(body));
        self.call(edit, until).await.map(|_| ())
    }

    /// Returns what Discord knows of the bot's own application.
    pub async fn application(&self, until: Instant) -> Result<Value, Failure> {
        let path = "/applications/@me".to_owned();
        self.call(Request::by_bot(http::Method::GET, path, Way::Bot, None), until).await
    }

    /// Returns the application's commands.
    pub async fn commands(
        &self,
        application: Snowflake,
        scope: Scope,
        until: Instant,
    ) -> Result<Value, Failure> {
        let path = commands_path(application, scope);
        self.call(Request::by_bot(http::Method::GET, path, Way::Commands, None), until).await
    }

    /// Makes `commands` the application's commands; those of other names are removed.
    pub async fn overwrite_commands(
        &self,
        application: Snowflake,
        scope: Scope,
        commands: Value,
        until: Instant,
    ) -> Result<Value, Failure> {
        let path = commands_path(application, scope);
        let put = Request::by_bot(http::Method::PUT, path, Way::Commands, Some(commands));
        self.call(put, until).await
    }

    /// Removes one command.
    pub async fn delete_command(
        &self,
        application: Snowflake,
        scope: Scope,
        command: Snowflake,
        until: Instant,
    ) -> Result<(), Failure> {
        let path = format!("{}/{command}", commands_path(application, scope));
        let delete = Request::by_bot(http::Method::DELETE, path, Way::Commands, None);
        match self.call(delete, until).await {
            Err(Failure::Refused { code: UNKNOWN_COMMAND, .. }) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    /// Makes the request until it comes to something, as long as there is time and its way is open.
    async fn call(&self, request: Request, until: Instant) -> Result<Value, Failure> {
        let request = Arc::new(request);
        let mut last = Failure::Unavailable("there is no time left to try".into());
        let given = until.saturating_duration_since(Instant::now());
        for attempt in 0..MOST_TRIES {
            self.ways.pass(&request.way, until).await?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(last);
            }
            let tried = self.attempt(request.clone(), left.min(REQUEST_LIMIT)).await;
            let is_away = self.note(&request, &tried);
            // One who was not there a moment ago is looked for once; a connection that fails is not made for ever.
            let is_hopeless =
                is_away && (self.ways.is_away() || tried.is_err() && attempt + 1 >= CONNECTION_TRIES);
            let (least, failure) = match judge(&request, tried, attempt) {
                Verdict::Done(value) => return Ok(value),
                Verdict::Failed(failure) => return Err(failure),
                Verdict::Wait(least, failure) => (least, failure),
            };
            let wait = least.max(FIRST_WAIT.saturating_mul(1 << attempt));
            if is_hopeless || Instant::now() + wait > until {
                if is_away && given >= FAIR_TIME {
                    self.ways.lose();
                }
                return Err(failure);
            }
            tokio::time::sleep(wait).await;
            last = failure;
        }
        Err(last)
    }

    /// Remembers what a try says about the ways to Discord; tells whether it says that Discord is away altogether.
    fn note(&self, request: &Request, tried: &Result<Response, String>) -> bool {
        let Ok(response) = tried else { return true };
        match (response.status, response.retry_after) {
            (429, Some(wait)) => {
                self.ways.close(response.closes(request), wait);
                self.ways.find();
                false
            }
            // A proxy speaks, and not for Discord.
            (429, None) | (500.., _) => true,
            _ => {
                self.ways.find();
                false
            }
        }
    }

    /// Makes the request once, for `limit` at most.
    async fn attempt(&self, request: Arc<Request>, limit: Duration) -> Result<Response, String> {
        let client = self.clone();
        let made = tokio::task::spawn_blocking(move || client.attempt_now(&request, limit)).await;
        made.unwrap_or_else(|_| Err("the request broke down".into()))
    }

    fn attempt_now(&self, request: &Request, limit: Duration) -> Result<Response, String> {
        let mut made = http::Request::builder()
            .method(&request.method)
            .uri(format!("{}{}", self.base, request.path))
            .header(http::header::ACCEPT, "application/json");
        if request.speaker == As::Bot {
            let token = self.token.as_ref().map_or("", BotToken::secret);
            made = made.header(http::header::AUTHORIZATION, format!("Bot {token}"));
        }
        let sent = match &request.body {
            Some(body) => {
                let made = made.header(http::header::CONTENT_TYPE, "application/json").body(body.to_string());
                self.run(made, limit)?
            }
            None => self.run(made.body(()), limit)?,
        };
        let response = sent.map_err(|error| without_address(&error))?;
        let (parts, body) = response.into_parts();
        let text = body.into_with_config().limit(LARGEST_ANSWER).read_to_string();
        let text = text.map_err(|error| without_address(&error))?;
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let header =
            parts.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = body["retry_after"].as_f64().or(header);
        Ok(Response { status: parts.status.as_u16(), retry_after: retry_after.and_then(seconds), body })
    }

    fn run<B: AsSendBody>(
        &self,
        made: Result<http::Request<B>, http::Error>,
        limit: Duration,
    ) -> Result<Result<http::Response<ureq::Body>, ureq::Error>, String> {
        let made = made.map_err(|_| "the request cannot be made")?;
        Ok(self.agent.run(self.agent.configure_request(made).timeout_global(Some(limit)).build()))
    }
}

impl Response {
    /// Returns the way that a rate limit closes. Discord's own answers are JSON; a limit on the machine's address is a
    /// proxy's, which has only a header.
    fn closes(&self, request: &Request) -> Way {
        let is_discords = self.body["retry_after"].is_number();
        match (is_discords, self.body["global"].as_bool(), request.speaker) {
            (false, _, _) => Way::Everything,
            (true, Some(true), As::Bot) => Way::Bot,
            (true, _, _) => request.way.clone(),
        }
    }
}

/// Discord's code for an answer that is not registered, or not any more.
const UNKNOWN_WEBHOOK: u64 = 10015;

/// Discord's code for an interaction that was answered before.
const ALREADY_ANSWERED: u64 = 40060;

/// Discord's code for a command that is not there.
const UNKNOWN_COMMAND: u64 = 10063;

/// Discord's codes for what is gone or out of sight: unknown channel, guild, message, webhook and interaction, missing
/// access, somebody else's message, missing permissions, a webhook token that is none any more, an archived thread.
const GONE: [u64; 10] = [10003, 10004, 10008, UNKNOWN_WEBHOOK, 10062, 50001, 50005, 50013, 50027, 50083];

/// Decides what a try came to.
fn judge(request: &Request, tried: Result<Response, String>, attempt: u32) -> Verdict {
    let Response { status, retry_after, body } = match tried {
        Ok(response) => response,
        Err(why) => return Verdict::Wait(Duration::ZERO, Failure::Unavailable(why)),
    };
    let code = body["code"].as_u64().unwrap_or(0);
    let may_come = code == UNKNOWN_WEBHOOK
        && request.registered == Registered::Perhaps
        && attempt + 1 < REGISTRATION_TRIES;
    match status {
        200..300 => Verdict::Done(body),
        429 => {
            // Without a word from Discord, as from a proxy before it, the wait is doubled like any other.
            let why = Failure::Unavailable("its rate limit is reached".into());
            Verdict::Wait(retry_after.unwrap_or(Duration::ZERO), why)
        }
        500.. => Verdict::Wait(
            retry_after.unwrap_or(Duration::ZERO),
            Failure::Unavailable(format!("it answers {status}")),
        ),
        404 if may_come => {
            Verdict::Wait(Duration::ZERO, Failure::Unavailable("it does not know the answer yet".into()))
        }
        _ if GONE.contains(&code) => Verdict::Failed(Failure::Gone(code)),
        401 | 404 if request.speaker == As::Interaction => Verdict::Failed(Failure::Gone(code)),
        401 => Verdict::Failed(Failure::Unauthorized),
        _ => Verdict::Failed(Failure::Refused { status, code, message: words(&body) }),
    }
}

/// Returns what Discord says is wrong.
fn words(body: &Value) -> String {
    let message = body["message"].as_str().unwrap_or("no reason");
    let errors = body.get("errors").map(|errors| format!(" {errors}")).unwrap_or_default();
    limits::clip(&format!("{message}{errors}"), 500)
}

/// Returns what is wrong with a connection. The error's own words may hold the address.
fn without_address(error: &ureq::Error) -> String {
    if let ureq::Error::Timeout(_) = error {
        "it does not answer in time".into()
    } else if let ureq::Error::Io(error) = error {
        format!("the connection fails: {}", error.kind())
    } else if let ureq::Error::HostNotFound = error {
        "its name is not found".into()
    } else {
        "the connection fails".into()
    }
}

/// Returns a time that Discord gave in seconds, at most a day.
fn seconds(text: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(text.min(86_400.0)).ok()
}

fn commands_path(application: Snowflake, scope: Scope) -> String {
    match scope {
        Scope::Global => format!("/applications/{application}/commands"),
        Scope::Guild(guild) => format!("/applications/{application}/guilds/{guild}/commands"),
    }
}

/// Returns `text` as one part of a path, whatever is in it.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
