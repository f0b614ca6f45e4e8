//! A stand-in for Discord: keeps answers and messages as Discord does, holds everything that is sent to it to Discord's
//! rules, and makes the trouble that Discord documents.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

use super::validate;

/// The application.
pub const APPLICATION: &str = "1100000000000000001";

/// The guild that it serves.
pub const GUILD: &str = "1200000000000000002";

/// The channel in which people talk.
pub const CHANNEL: &str = "1300000000000000003";

/// The path in front of everything.
const BASE: &str = "/api/v10";

/// Discord, as far as a bot sees it. Clones are the same one.
#[derive(Clone)]
pub struct Discord {
    held: Arc<Mutex<Held>>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What Discord holds.
struct Held {
    bot_token: String,
    answers: BTreeMap<String, Answer>,
    messages: BTreeMap<String, Message>,
    requests: Vec<Request>,
    /// Where interactions go.
    endpoint: Option<String>,
    /// The application's commands, by the path that they are registered at.
    commands: BTreeMap<String, Value>,
    broken: Vec<String>,
    troubles: VecDeque<Trouble>,
    /// Until when it answers nothing but 503.
    down_until: Option<Instant>,
    next_id: u64,
}

/// What is known of the answer to an interaction.
enum Answer {
    /// The interaction is on its way, and Discord knows no answer yet.
    Awaited,
    /// The answer as people see it now.
    Given(Value),
    /// Its 15 minutes are over.
    Expired(Value),
}

/// A message in a channel.
struct Message {
    body: Value,
    nonce: Option<String>,
}

/// What the next change to an answer meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Trouble {
    /// 429, to be tried again after so many seconds.
    RateLimited(f64),
    /// 404 with code 10015: the answer is not registered yet.
    NotRegistered,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    /// When.
    pub at: Instant,
    /// `PATCH answer`, `POST message`, `PATCH message`.
    pub what: &'static str,
    /// The token of the interaction, or the id of the message.
    pub of: String,
    /// The body.
    pub body: Value,
    /// The status of the answer.
    pub status: u16,
}

impl Discord {
    /// Starts it on loopback. Its bot has the token `bot_token`.
    pub fn start(runtime: &Runtime, bot_token: &str) -> Result<Self> {
        let held = Held {
            bot_token: bot_token.to_owned(),
            answers: BTreeMap::new(),
            messages: BTreeMap::new(),
            requests: Vec::new(),
            endpoint: None,
            commands: BTreeMap::new(),
            broken: Vec::new(),
            troubles: VecDeque::new(),
            down_until: None,
            next_id: 1_500_000_000_000_000_000,
        };
        let held = Arc::new(Mutex::new(held));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(serve).with_state(held.clone());
        runtime.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { held, address })
    }

    /// Returns the base of its HTTP interface at `address`, which is its own or leads there.
    pub fn base(address: SocketAddr) -> String {
        format!("http://{address}{BASE}")
    }

    /// Has interactions go to `endpoint`, as somebody pastes it in the developer portal.
    pub fn send_to(&self, endpoint: &str) {
        self.lock().endpoint = Some(endpoint.to_owned());
    }

    /// Returns the id and the token of a new interaction.
    pub fn interaction(&self) -> (String, String) {
        let mut held = self.lock();
        let id = held.fresh_id();
        // As long as real ones, and of the letters that they are made of.
        let token = format!("aW50ZXJhY3Rpb246{id}:{}", "Zm9yIHlvdXIgZXllcyBvbmx5".repeat(5));
        held.answers.insert(token.clone(), Answer::Awaited);
        (id, token)
    }

    /// Takes the answer to an interaction, which can be changed from now on.
    pub fn answered(&self, token: &str, answer: &Value) {
        self.lock().answers.insert(token.to_owned(), Answer::Given(answer["data"].clone()));
    }

    /// Ends the 15 minutes in which the answer can be changed.
    pub fn expire(&self, token: &str) {
        let mut held = self.lock();
        if let Some(Answer::Given(shown)) = held.answers.remove(token) {
            held.answers.insert(token.to_owned(), Answer::Expired(shown));
        }
    }

    /// Has the next changes to answers meet `troubles`.
    pub fn trouble(&self, troubles: &[Trouble]) {
        self.lock().troubles.extend(troubles);
    }

    /// Answers everything with 503 for `time`.
    pub fn go_down(&self, time: Duration) {
        self.lock().down_until = Some(Instant::now() + time);
    }

    /// Ends all trouble.
    pub fn be_well(&self) {
        let mut held = self.lock();
        held.troubles.clear();
        held.down_until = None;
    }

    /// Removes the message that says `words`, as people with the right to do so can; tells whether there was one.
    pub fn remove_message(&self, words: &str) -> bool {
        let mut held = self.lock();
        let found = held.messages.iter().find(|(_, message)| read(&message.body).contains(words));
        let id = found.map(|(id, _)| id.clone());
        id.is_some_and(|id| held.messages.remove(&id).is_some())
    }

    /// Returns how much of the trouble has not struck.
    pub fn trouble_left(&self) -> usize {
        self.lock().troubles.len()
    }

    /// Returns what people read of an answer now.
    pub fn answer(&self, token: &str) -> String {
        match self.lock().answers.get(token) {
            Some(Answer::Given(shown) | Answer::Expired(shown)) => read(shown),
            Some(Answer::Awaited) | None => String::new(),
        }
    }

    /// Returns what people read of the messages in the channel now, oldest first.
    pub fn messages(&self) -> Vec<String> {
        self.lock().messages.values().map(|message| read(&message.body)).collect()
    }

    /// Returns the requests that came, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Returns the tokens of all interactions.
    pub fn tokens(&self) -> Vec<String> {
        self.lock().answers.keys().cloned().collect()
    }

    /// Fails if anything that was sent broke one of Discord's rules.
    pub fn check(&self) -> Result<()> {
        let held = self.lock();
        ensure!(held.broken.is_empty(), "Discord's rules were broken:\n{}", held.broken.join("\n"));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn fresh_id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }

    fn note(&mut self, what: &'static str, of: &str, body: &Value, status: u16) {
        let request = Request { at: Instant::now(), what, of: of.to_owned(), body: body.clone(), status };
        self.requests.push(request);
    }

    fn change_answer(&mut self, token: &str, body: &Value) -> (u16, Value) {
        match self.troubles.pop_front() {
            Some(Trouble::RateLimited(after)) => {
                let limited = json!({ "message": "You are being rate limited.", "retry_after": after, "global": false });
                return (429, limited);
            }
            Some(Trouble::NotRegistered) => return (404, failure(10015, "Unknown Webhook")),
            None => {}
        }
        let Some(answer) = self.answers.get_mut(token) else {
            return (401, failure(50027, "Invalid Webhook Token"));
        };
        match answer {
            Answer::Awaited => (404, failure(10015, "Unknown Webhook")),
            Answer::Expired(_) => (401, failure(50027, "Invalid Webhook Token")),
            Answer::Given(shown) => {
                merge(shown, body);
                (200, json!({ "id": "1600000000000000001", "content": shown["content"] }))
            }
        }
    }

    fn post(&mut self, body: &Value) -> (u16, Value) {
        let nonce = body["nonce"].as_str().filter(|_| body["enforce_nonce"] == true).map(str::to_owned);
        let same = self.messages.iter().find(|(_, message)| nonce.is_some() && message.nonce == nonce);
        if let Some((id, message)) = same {
            return (200, json!({ "id": id, "content": message.body["content"] }));
        }
        let id = self.fresh_id();
        self.messages.insert(id.clone(), Message { body: body.clone(), nonce });
        (200, json!({ "id": id, "content": body["content"] }))
    }

    /// Keeps commands, each with an id of its own.
    fn register(&mut self, path: String, mut commands: Value) -> Value {
        for command in commands.as_array_mut().into_iter().flatten() {
            command["id"] = json!(self.fresh_id());
        }
        self.commands.insert(path, commands.clone());
        commands
    }

    fn change_message(&mut self, id: &str, body: &Value) -> (u16, Value) {
        let Some(message) = self.messages.get_mut(id) else {
            return (404, failure(10008, "Unknown Message"));
        };
        merge(&mut message.body, body);
        (200, json!({ "id": id, "content": message.body["content"] }))
    }
}

fn failure(code: u64, message: &str) -> Value {
    json!({ "message": message, "code": code })
}

/// Changes those fields of a message that `change` has.
fn merge(message: &mut Value, change: &Value) {
    for (name, value) in change.as_object().into_iter().flatten() {
        message[name] = value.clone();
    }
}

async fn serve(
    State(held): State<Arc<Mutex<Held>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let path = uri.path().strip_prefix(BASE).unwrap_or("/").to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let (what, of, checked) = match (method.as_str(), parts.as_slice()) {
        ("PATCH", ["webhooks", APPLICATION, token, "messages", "@original"]) => {
            ("PATCH answer", unescaped(token), validate::edit(&body))
        }
        ("POST", ["channels", CHANNEL, "messages"]) => {
            ("POST message", CHANNEL.to_owned(), validate::post(&body))
        }
        ("PATCH", ["channels", CHANNEL, "messages", id]) => {
            ("PATCH message", (*id).to_owned(), validate::edit(&body))
        }
        ("GET", ["applications", "@me"]) => ("GET application", APPLICATION.to_owned(), Ok(())),
        ("GET", ["applications", APPLICATION, .., "commands"]) => ("GET commands", path.clone(), Ok(())),
        ("PUT", ["applications", APPLICATION, .., "commands"]) => {
            ("PUT commands", path.clone(), validate::commands(&body, !path.contains("/guilds/")))
        }
        _ => ("?", String::new(), Err("there is no such thing".to_owned())),
    };
    let checked = checked.and_then(|()| check_head(what, &headers, &held.bot_token));
    let is_down = held.down_until.is_some_and(|until| Instant::now() < until);
    let (status, answer) = match (checked, what) {
        (Err(why), _) => {
            held.broken.push(format!("{method} {path}: {why}"));
            (400, failure(50035, "Invalid Form Body"))
        }
        (Ok(()), _) if is_down => (503, failure(0, "503: Service Unavailable")),
        (Ok(()), "PATCH answer") => held.change_answer(&of, &body),
        (Ok(()), "POST message") => held.post(&body),
        (Ok(()), "GET application") => {
            (200, json!({ "id": APPLICATION, "interactions_endpoint_url": held.endpoint }))
        }
        (Ok(()), "GET commands") => (200, held.commands.get(&of).cloned().unwrap_or_else(|| json!([]))),
        (Ok(()), "PUT commands") => (200, held.register(of.clone(), body.clone())),
        (Ok(()), _) => held.change_message(&of, &body),
    };
    held.note(what, &of, &body, status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(answer.clone())).into_response();
    if let Some(after) = answer["retry_after"].as_f64().and_then(|s| format!("{}", s.ceil()).parse().ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

/// Checks who a request says to be from.
fn check_head(what: &str, headers: &HeaderMap, bot_token: &str) -> Result<(), String> {
    let get = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let expected = if what == "PATCH answer" { String::new() } else { format!("Bot {bot_token}") };
    if get(header::AUTHORIZATION) != expected {
        return Err("the authorization is wrong".to_owned());
    }
    if !get(header::USER_AGENT).starts_with("DiscordBot (https://") {
        return Err(format!("the user agent is `{}`", get(header::USER_AGENT)));
    }
    if !what.starts_with("GET") && get(header::CONTENT_TYPE) != "application/json" {
        return Err("the content type is wrong".to_owned());
    }
    Ok(())
}

/// Returns `part` of a path without percent-encoding.
fn unescaped(part: &str) -> String {
    let mut pieces = part.split('%');
    let mut plain = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        plain.extend(u8::from_str_radix(digits, 16));
        plain.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Returns what people read of a message, line by line, and its buttons.
pub fn read(message: &Value) -> String {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let mut lines: Vec<String> = text(&message["content"]).into_iter().collect();
    for embed in message["embeds"].as_array().into_iter().flatten() {
        let parts = [&embed["title"], &embed["description"], &embed["footer"]["text"]];
        lines.extend(parts.into_iter().filter_map(text));
    }
    let rows = message["components"].as_array().into_iter().flatten();
    let buttons = rows.flat_map(|row| row["components"].as_array().into_iter().flatten());
    let labels: Vec<_> = buttons.filter_map(|button| text(&button["label"])).collect();
    lines.extend((!labels.is_empty()).then(|| format!("[{}]", labels.join("] ["))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_a_path_whatever_is_in_it() {
        assert_eq!(unescaped("a%2F..%2fb%C3%A9"), "a/../bé");
        assert_eq!(unescaped("plain"), "plain");
        assert_eq!(unescaped("%"), "");
    }

    #[test]
    fn people_read_text_and_buttons() {
        let button = json!({ "type": 2, "label": "Start" });
        let message = json!({
            "content": "hello", "embeds": [{ "title": "a", "description": "b" }],
            "components": [{ "type": 1, "components": [button] }],
        });
        assert_eq!(read(&message), "hello\na\nb\n[Start]");
    }
}
