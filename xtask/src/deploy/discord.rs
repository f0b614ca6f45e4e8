//! Discord's side of a deployment: whose token it is, and where interactions go.
//!
//! A bot may look at its own application and change it (Discord's documentation, "Get Current Application" and "Edit Current
//! Application"). When the endpoint is set, Discord tries it at once.

use std::{fmt, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use ureq::{Agent, http::Request};

use crate::cloud::config;

/// Discord's own address.
const DISCORD: &str = "https://discord.com/api/v10";

/// How Discord wants programs to name themselves.
const USER_AGENT: &str = concat!("DiscordBot (https://dormouse.invalid, ", env!("CARGO_PKG_VERSION"), ")");

/// Setting the endpoint has Discord try it, which a function that starts takes seconds for.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The most bytes of an answer that are read.
const LARGEST_ANSWER: u64 = 1024 * 1024;

/// The bot's token.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// Takes `text` if it can be a token at all; whether it is one, Discord knows.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_one_word = text.bytes().all(|byte| byte.is_ascii_graphic());
        ((20..=200).contains(&text.len()) && is_one_word).then(|| Self(text.into()))
    }

    /// Returns the text, to be given to Discord and to Parameter Store.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Takes an address to which a token may travel: encrypted, or on this machine.
pub(super) fn address(url: &str) -> Result<String, String> {
    let is_safe = url.starts_with("https://") || url.starts_with("http://127.0.0.1:");
    if is_safe { Ok(url.into()) } else { Err("it must begin with https://, or be on this machine".into()) }
}

/// Discord's HTTP interface.
pub(super) struct Discord {
    agent: Agent,
    base: String,
}

impl Discord {
    /// Returns the one at `url`, or Discord's own.
    pub(super) fn at(url: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST_LIMIT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(USER_AGENT);
        Self { agent: config.build().into(), base: url.unwrap_or(DISCORD).into() }
    }

    /// Refuses a token that is not of this application, or a public key that is not.
    pub(super) fn check(&self, token: &Token, wanted: &config::Discord) -> Result<()> {
        let application = self.application(token)?;
        let id = application["id"].as_str().unwrap_or("?");
        ensure!(
            id == wanted.application,
            "the token is of application {id}, and `discord.application` says {}",
            wanted.application
        );
        let key = application["verify_key"].as_str().unwrap_or("?");
        ensure!(
            key.eq_ignore_ascii_case(&wanted.public_key),
            "the application's public key is {key}, and `discord.public_key` says {}",
            wanted.public_key
        );
        Ok(())
    }

    /// Has interactions go to `url`.
    pub(super) fn lead_to(&self, token: &Token, application: &str, url: &str) -> Result<()> {
        if self.application(token)?["interactions_endpoint_url"].as_str() == Some(url) {
            println!("\nthe interactions endpoint is {url} already");
            return Ok(());
        }
        let (status, said) =
            self.request("PATCH", token, Some(&json!({ "interactions_endpoint_url": url })))?;
        if status == 200 {
            println!("\nthe interactions endpoint is {url} now");
            return Ok(());
        }
        bail!(
            "Discord does not take the interactions endpoint (status {status}): {}\n  hint: it has just tried {url}; the \
             function's log says what it made of that. Once it answers, deploy again, or paste it yourself into \
             \"Interactions Endpoint URL\" on https://discord.com/developers/applications/{application}/information",
            complaint(&said)
        )
    }

    fn application(&self, token: &Token) -> Result<Value> {
        let (status, said) = self.request("GET", token, None)?;
        match status {
            200 => Ok(said),
            401 => bail!(
                "Discord does not take the bot token\n  hint: reset it on the application's page, under Bot, and give the \
                 new one with --renew discord-token"
            ),
            _ => bail!("Discord answers {status}: {}", complaint(&said)),
        }
    }

    fn request(&self, method: &str, token: &Token, body: Option<&Value>) -> Result<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/applications/@me", self.base))
            .header("authorization", format!("Bot {}", token.secret()))
            .header("content-type", "application/json");
        let answer = match body {
            None => self.agent.run(request.body(())?),
            Some(body) => self.agent.run(request.body(body.to_string())?),
        };
        let mut answer = answer.context("Discord is out of reach")?;
        let text = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string()?;
        Ok((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}

/// Returns Discord's words: those about the endpoint if there are any.
fn complaint(said: &Value) -> &str {
    let about_endpoint = &said["errors"]["interactions_endpoint_url"]["_errors"][0]["message"];
    about_endpoint.as_str().or(said["message"].as_str()).unwrap_or("nothing more")
}
