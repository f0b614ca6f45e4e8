//! The control plane as a client sees it: requests in, answers or one clear sentence out.

use std::time::Duration;

use adapters::front_door::view::{Answer, ErrorView};
use anyhow::{Context, Error, Result, anyhow, bail};
use serde::Serialize;
use ureq::{Agent, Body, http::Response};

use crate::Reach;

/// How long one request may take; every command answers at once, and long work goes on without its client.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The most bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// A control plane.
pub(crate) struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
    by: String,
}

impl Client {
    /// Returns the control plane that `reach` names.
    pub(crate) fn new(reach: &Reach) -> Result<Self> {
        if !reach.url.starts_with("http://") && !reach.url.starts_with("https://") {
            bail!("`{}` is no control plane: it must begin with http:// or https://", reach.url);
        }
        let config = Agent::config_builder().timeout_global(Some(REQUEST_LIMIT)).http_status_as_error(false);
        Ok(Self {
            agent: config.build().new_agent(),
            url: reach.url.trim_end_matches('/').to_owned(),
            token: token(reach)?,
            by: person(),
        })
    }

    /// Gets what is at `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        let request = self.agent.get(format!("{}{path}", self.url)).header("dormouse-by", &self.by);
        self.answer(with_token(request, self.token.as_deref()).call())
    }

    /// Posts `body` to `path`.
    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("dormouse-by", &self.by);
        self.answer(with_token(request, self.token.as_deref()).send_json(body))
    }

    /// Deletes what is at `path`.
    pub(crate) fn delete(&self, path: &str) -> Result<Answer> {
        let request = self.agent.delete(format!("{}{path}", self.url)).header("dormouse-by", &self.by);
        self.answer(with_token(request, self.token.as_deref()).call())
    }

    fn answer(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Answer> {
        let response = sent.map_err(|error| {
            anyhow!("no control plane answers at {} ({error}); start one with `dormouse up`, or name it with --url", self.url)
        })?;
        let status = response.status();
        let text = response.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_string();
        let text = text.with_context(|| format!("reading the answer of {}", self.url))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|_| self.is_none("answers"));
        }
        match serde_json::from_str::<ErrorView>(&text) {
            Ok(ErrorView { error, hint }) => bail!("{error}\n  hint: {hint}"),
            Err(_) => Err(self.is_none(&format!("answers {status}"))),
        }
    }

    fn is_none(&self, answers: &str) -> Error {
        anyhow!("{} {answers}, but not as a control plane does; name another one with --url", self.url)
    }
}

/// Returns who asks: the user who runs this program.
fn person() -> String {
    let named = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let by_id = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    named.or_else(by_id).unwrap_or_else(|| "somebody".into())
}

fn with_token<B>(request: ureq::RequestBuilder<B>, token: Option<&str>) -> ureq::RequestBuilder<B> {
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

fn token(reach: &Reach) -> Result<Option<String>> {
    let Some(file) = &reach.token_file else { return Ok(std::env::var("DORMOUSE_API_TOKEN").ok()) };
    let token = std::fs::read_to_string(file).with_context(|| {
        format!("cannot read the token in {}: name another file with --token-file", file.display())
    })?;
    Ok(Some(token.trim().to_owned()))
}
