//! The front door, as strangers, people's programs and Discord reach it.

use std::time::Duration;

use adapters::front_door::view::{Answer, WorldView};
use domain::Timestamp;
use ureq::Agent;

use super::{
    super::finding::{Finding, bad, count, good, weak},
    named,
    outputs::{Output, Outputs},
    secrets::Secrets,
};

/// What these are called in findings.
const NAME: &str = "front door";
const INTERACTIONS: &str = "interactions";

/// How long one request may take: an instance that starts needs a second or two.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// The most bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 16 * 1024 * 1024;

/// Says what is so, and returns the worlds that there are.
pub(super) async fn check(outputs: &Outputs, secrets: &Secrets) -> (Option<Vec<WorldView>>, Vec<Finding>) {
    let urls = named(outputs, Output::FrontDoorUrl, NAME)
        .and_then(|door| Ok((door, named(outputs, Output::InteractionsEndpoint, INTERACTIONS)?)));
    let (door, interactions) = match urls {
        Ok((door, interactions)) => (door.trim_end_matches('/').to_owned(), interactions.to_owned()),
        Err(finding) => return (None, vec![finding]),
    };
    if !is_safe(&door) {
        let text = format!("{door} does not begin with https://, so that tokens would travel in the clear");
        return (None, vec![bad(NAME, text)]);
    }
    let token = secrets.api_token.clone();
    let ask = move || Door { agent: agent(), url: door }.check(token.as_deref(), &interactions);
    tokio::task::spawn_blocking(ask)
        .await
        .unwrap_or_else(|_| (None, vec![bad(NAME, "looking at it broke down: please report it")]))
}

/// Tells whether what is sent there stays secret: it is encrypted, or never leaves this machine.
fn is_safe(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    url.starts_with("https://") || matches!(host, Some("127.0.0.1" | "localhost"))
}

fn agent() -> Agent {
    let config = Agent::config_builder().timeout_global(Some(REQUEST_LIMIT)).http_status_as_error(false);
    config.max_redirects(0).build().new_agent()
}

struct Door {
    agent: Agent,
    url: String,
}

/// What was answered.
struct Answered {
    status: u16,
    text: String,
}

impl Door {
    fn check(&self, token: Option<&str>, interactions: &str) -> (Option<Vec<WorldView>>, Vec<Finding>) {
        match self.get("/healthz", None) {
            Ok(Answered { status: 200, .. }) => {}
            Ok(Answered { status, .. }) => return (None, vec![closed(&self.url, status)]),
            Err(why) => {
                let text =
                    format!("nobody answers at {} ({why}): was it deployed, is the network there?", self.url);
                return (None, vec![bad(NAME, text)]);
            }
        }
        let mut findings: Vec<_> = self.strangers().into_iter().collect();
        let (worlds, people) = match token {
            Some(token) => self.people(token),
            None => (None, weak(NAME, format!("{} runs; without its token no more can be told", self.url))),
        };
        findings.push(people);
        findings.push(self.forger(interactions));
        (worlds, findings)
    }

    /// Says that somebody without a token is let in, if so.
    fn strangers(&self) -> Option<Finding> {
        match self.get("/v1/worlds", None) {
            Ok(Answered { status: 401, .. }) => None,
            Ok(Answered { status: 200, .. }) => {
                let text = "it lets everybody in without a token: take the service stack down (docs/aws.md) and report it";
                Some(bad(NAME, text))
            }
            Ok(Answered { status, .. }) => Some(closed(&self.url, status)),
            Err(why) => Some(bad(NAME, format!("it stopped answering ({why}): try again"))),
        }
    }

    /// Says what somebody with the token meets, and returns the worlds.
    fn people(&self, token: &str) -> (Option<Vec<WorldView>>, Finding) {
        let answered = match self.get("/v1/worlds", Some(token)) {
            Ok(answered) => answered,
            Err(why) => return (None, bad(NAME, format!("it stopped answering ({why}): try again"))),
        };
        let finding = match answered.status {
            200 => match serde_json::from_str::<Answer>(&answered.text) {
                Ok(Answer { worlds: Some(worlds), .. }) => {
                    let there = count(worlds.len() as u64, "world");
                    let text = format!("{} knows its token, and reaches the table: {there}", self.url);
                    return (Some(worlds), good(NAME, text));
                }
                Ok(_) | Err(_) => bad(NAME, format!("{} answers, but not as a front door does", self.url)),
            },
            401 => bad(
                NAME,
                "it does not take the token of Parameter Store: its instances read secrets when they start; deploy a \
                 changed configuration, or wait some hours",
            ),
            status => closed(&self.url, status),
        };
        (None, finding)
    }

    /// Says whether somebody who signs wrongly is sent away. Discord tries that, too.
    fn forger(&self, interactions: &str) -> Finding {
        let body = r#"{"type":1}"#;
        let sent = self
            .agent
            .post(interactions)
            .header("X-Signature-Timestamp", Timestamp::now().as_second().to_string())
            .header("X-Signature-Ed25519", "00".repeat(64))
            .header("Content-Type", "application/json")
            .send(body);
        match sent.map(|response| response.status().as_u16()) {
            Ok(401) => good(INTERACTIONS, "a wrong signature is sent away"),
            Ok(200) => bad(
                INTERACTIONS,
                "a wrong signature is taken: anybody can command the bot; take the service stack down (docs/aws.md) and \
                 report it",
            ),
            Ok(status) => bad(
                INTERACTIONS,
                format!(
                    "{interactions} answers {status} to a wrong signature, where Discord wants 401: is it this deployment's?"
                ),
            ),
            Err(error) => {
                bad(INTERACTIONS, format!("nobody answers at {interactions} ({error}): deploy again"))
            }
        }
    }

    fn get(&self, path: &str, token: Option<&str>) -> Result<Answered, String> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let response = request.call().map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let text = response.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_string();
        Ok(Answered { status, text: text.map_err(|error| error.to_string())? })
    }
}

/// Says what an answer means that is no answer of a front door that works.
fn closed(url: &str, status: u16) -> Finding {
    let why = match status {
        403 => "AWS lets nobody through to the function: deploy again",
        429 => "too many calls at once: docs/runbook.md#front-door-throttles",
        500..=599 => "the function does not start or breaks down: docs/runbook.md#front-door-errors",
        _ => "that is no front door: are the outputs of this deployment?",
    };
    bad(NAME, format!("{url} answers {status}: {why}"))
}
