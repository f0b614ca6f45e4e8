//! Discord's HTTP interface: the few requests that are made, and how long they are tried.
//!
//! Rate limits are waited out, an answer that Discord has not registered yet is tried again, and so is what fails on
//! Discord's side: each until a moment that the caller names. The token of an interaction stands in the address, so no
//! address is ever part of an error or a log line.

use std::{fmt, time::Duration};

use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use ureq::{Agent, http};

use crate::chat::discord::{limits, snowflake::Snowflake};

/// Discord's own address.
pub const DISCORD: &str = "https://discord.com/api/v10";

/// How Discord wants programs to name themselves.
const USER_AGENT: &str = concat!("DiscordBot (https://dormouse.invalid, ", env!("CARGO_PKG_VERSION"), ")");

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read: a hundred commands with all their options are below it.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// How long to wait before the second try where Discord does not say; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How often a request is made. With doubling waits the caller's moment is reached before that.
const MOST_TRIES: u32 = 12;

/// How often the answer to an interaction is looked for. Discord registers it when it receives our answer, which may be
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
}

/// Who a request speaks as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// The bot.
    Bot,
    /// Whoever has the interaction's token, which stands in the path.
    Interaction,
}

struct Request {
    method: http::Method,
    path: String,
    speaker: As,
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

impl Rest {
    /// Returns a client that reaches Discord at `base`, and speaks as the bot with `token`.
    pub fn new(base: &str, token: Option<BotToken>) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST_LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(USER_AGENT);
        Self { agent: config.build().new_agent(), base: base.trim_end_matches('/').to_owned(), token }
    }

    /// Changes the answer that an interaction was given.
    pub async fn edit_original(
        &self,
        application: &str,
        token: &str,
        body: Value,
        until: Instant,
    ) -> Result<(), Failure> {
        let path = format!("/webhooks/{}/{}/messages/@original", escaped(application), escaped(token));
        let edit = Request { method: http::Method::PATCH, path, speaker: As::Interaction, body: Some(body) };
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
        let answer = Request { method: http::Method::POST, path, speaker: As::Interaction, body: Some(body) };
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
        let post = Request { method: http::Method::POST, path, speaker: As::Bot, body: Some(body) };
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
        let edit = Request { method: http::Method::PATCH, path, speaker: As::Bot, body: Some(body) };
        self.call(edit, until).await.map(|_| ())
    }

    /// Returns the application's commands.
    pub async fn commands(
        &self,
        application: Snowflake,
        scope: Scope,
        until: Instant,
    ) -> Result<Value, Failure> {
        let path = commands_path(application, scope);
        self.call(Request { method: http::Method::GET, path, speaker: As::Bot, body: None }, until).await
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
        let put = Request { method: http::Method::PUT, path, speaker: As::Bot, body: Some(commands) };
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
        let delete = Request { method: http::Method::DELETE, path, speaker: As::Bot, body: None };
        match self.call(delete, until).await {
            Err(Failure::Refused { code: UNKNOWN_COMMAND, .. }) => Ok(()),
            done => done.map(|_| ()),
        }
    }

    async fn call(&self, request: Request, until: Instant) -> Result<Value, Failure> {
        let request = std::sync::Arc::new(request);
        let mut last = Failure::Unavailable("it was not tried".into());
        for attempt in 0..MOST_TRIES {
            let (least, failure) = match judge(&request, self.attempt(request.clone()).await, attempt) {
                Verdict::Done(value) => return Ok(value),
                Verdict::Failed(failure) => return Err(failure),
                Verdict::Wait(least, failure) => (least, failure),
            };
            let wait = least.max(FIRST_WAIT.saturating_mul(1 << attempt));
            if Instant::now() + wait > until {
                return Err(failure);
            }
            tokio::time::sleep(wait).await;
            last = failure;
        }
        Err(last)
    }

    /// Makes the request once.
    async fn attempt(&self, request: std::sync::Arc<Request>) -> Result<Response, String> {
        let client = self.clone();
        let made = tokio::task::spawn_blocking(move || client.attempt_now(&request)).await;
        made.unwrap_or_else(|_| Err("the request broke down".into()))
    }

    fn attempt_now(&self, request: &Request) -> Result<Response, String> {
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
                self.agent.run(made.map_err(|_| "the request cannot be made")?)
            }
            None => self.agent.run(made.body(()).map_err(|_| "the request cannot be made")?),
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
    let may_come = code == UNKNOWN_WEBHOOK && attempt + 1 < REGISTRATION_TRIES;
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
        404 if may_come && request.speaker == As::Interaction => {
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
