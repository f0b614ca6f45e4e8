//! A stand-in for Discord's HTTP interface: holds every request to Discord's rules, keeps messages and commands as Discord
//! does, and can be told to make trouble. It lives in a thread with a clock of its own, so that tests can pause theirs.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

use super::{
    table::{APPLICATION, BOT_TOKEN, CHANNEL, GUILD},
    validate,
};
use crate::chat::discord::{
    commands::wanted,
    rest::{BotToken, Failure, Registered, Rest, Scope},
};

/// What the next request meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Trouble {
    /// None.
    Nothing,
    /// 429, to be tried again after so many seconds.
    RateLimited(f64),
    /// A proxy's 429, of which nothing is known.
    Crowded,
    /// 404, code 10015.
    NotRegistered,
    /// 502.
    BadGateway,
    /// An error of this status and code.
    Error(u16, u64),
    /// It takes effect, and the answer is lost.
    AnswerLost,
}

/// What Discord holds.
#[derive(Default)]
pub(crate) struct Held {
    /// The requests that came, each as `METHOD path`.
    pub(crate) requests: Vec<String>,
    /// What is wrong with them.
    pub(crate) broken: Vec<String>,
    /// The messages in channels, by `channel/id`, and the nonces that they came with.
    pub(crate) messages: BTreeMap<String, Value>,
    nonces: BTreeMap<String, String>,
    /// What answers look like, by the token of their interaction.
    pub(crate) answers: BTreeMap<String, Value>,
    /// The commands, by path.
    pub(crate) commands: BTreeMap<String, Value>,
    /// What the next requests meet.
    pub(crate) troubles: VecDeque<Trouble>,
}

/// The stand-in.
#[derive(Clone)]
pub(crate) struct StandIn {
    held: Arc<Mutex<Held>>,
    /// Told of each request that was dealt with.
    came: Arc<Notify>,
    /// Its address.
    pub(crate) url: String,
}

impl StandIn {
    pub(crate) fn new() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let came = Arc::new(Notify::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/api/v10", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state((held.clone(), came.clone()));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { held, came, url }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Waits for the answer to the interaction of `token`.
    #[cfg(feature = "gateway")]
    pub(crate) async fn answered(&self, token: &str) -> Value {
        loop {
            if let Some(answer) = self.lock().answers.get(token) {
                return answer.clone();
            }
            self.came.notified().await;
        }
    }

    pub(crate) fn trouble(&self, troubles: &[Trouble]) {
        self.lock().troubles.extend(troubles);
    }

    /// Returns the requests that came since the last time, of which none may break a rule.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut held = self.lock();
        assert_eq!(held.broken, Vec::<String>::new());
        std::mem::take(&mut held.requests)
    }

    pub(crate) fn rest(&self) -> Rest {
        Rest::new(&self.url, Some(BotToken::parse(BOT_TOKEN).unwrap()))
    }
}

/// Somebody who takes connections and never says a word.
pub(crate) struct Silent {
    _listener: std::net::TcpListener,
    /// Its address.
    pub(crate) url: String,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/v10", listener.local_addr().unwrap());
        Self { _listener: listener, url }
    }
}

async fn serve(
    State((held, came)): State<(Arc<Mutex<Held>>, Arc<Notify>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = meet(&mut held.lock().unwrap(), &method, &uri, &headers, &body);
    came.notify_one();
    answer
}

fn meet(held: &mut Held, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let path = uri.path().trim_start_matches("/api/v10").to_owned();
    held.requests.push(format!("{method} {path}"));
    let trouble = held.troubles.pop_front();
    match trouble {
        Some(Trouble::RateLimited(after)) => {
            let body =
                json!({ "message": "You are being rate limited.", "retry_after": after, "global": false });
            let header = [(header::RETRY_AFTER, format!("{}", after.ceil()))];
            return (StatusCode::TOO_MANY_REQUESTS, header, body.to_string()).into_response();
        }
        Some(Trouble::Crowded) => return (StatusCode::TOO_MANY_REQUESTS, "<html>crowded").into_response(),
        Some(Trouble::NotRegistered) => return error(404, 10015),
        Some(Trouble::BadGateway) => return (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        Some(Trouble::Error(status, code)) => return error(status, code),
        Some(Trouble::Nothing | Trouble::AnswerLost) | None => {}
    }
    let checked = check_head(method, &path, headers);
    if let Err(why) = checked {
        held.broken.push(format!("{method} {path}: {why}"));
    }
    let done = take(held, method, &path, body);
    match trouble {
        Some(Trouble::AnswerLost) => StatusCode::BAD_GATEWAY.into_response(),
        _ => done,
    }
}

fn error(status: u16, code: u64) -> Response {
    let body = json!({ "message": format!("error {code}"), "code": code });
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

fn check_head(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), String> {
    let get = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent = get(header::USER_AGENT);
    if !(agent.starts_with("DiscordBot (https://") && agent.ends_with(')')) {
        return Err(format!("the user agent is `{agent}`"));
    }
    let is_bots = path.starts_with("/channels/") || path.starts_with("/applications/");
    let expected = if is_bots { format!("Bot {BOT_TOKEN}") } else { String::new() };
    if get(header::AUTHORIZATION) != expected {
        return Err("the authorization is wrong".into());
    }
    let has_body = method != Method::GET && method != Method::DELETE;
    if has_body && get(header::CONTENT_TYPE) != "application/json" {
        return Err("the content type is wrong".into());
    }
    Ok(())
}

/// Does what Discord would do.
fn take(held: &mut Held, method: &Method, path: &str, body: &[u8]) -> Response {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let (checked, answer) = match (method.as_str(), parts.as_slice()) {
        ("PATCH", ["webhooks", APPLICATION, token, "messages", "@original"]) => {
            held.answers.insert((*token).to_owned(), body.clone());
            (validate::edit(&body), json!({ "id": "9" }))
        }
        ("POST", ["interactions", _, token, "callback"]) => {
            held.answers.insert((*token).to_owned(), body["data"].clone());
            use validate::To::{Autocomplete, Button, Command, Modal};
            let is_one = [Command, Button, Autocomplete, Modal]
                .into_iter()
                .any(|to| validate::answer(&body, to).is_ok());
            (if is_one { Ok(()) } else { Err(format!("{body} is no answer")) }, Value::Null)
        }
        ("POST", ["channels", channel, "messages"]) => {
            let nonce = format!("{channel} {}", body["nonce"]);
            let count = held.messages.len();
            let id = held.nonces.entry(nonce).or_insert_with(|| (9000 + count).to_string()).clone();
            let message =
                held.messages.entry(format!("{channel}/{id}")).or_insert_with(|| body.clone()).clone();
            (validate::post(&body), json!({ "id": id, "content": message["content"] }))
        }
        ("PATCH", ["channels", channel, "messages", id]) => {
            let Some(message) = held.messages.get_mut(&format!("{channel}/{id}")) else {
                return error(404, 10008);
            };
            *message = body.clone();
            (validate::edit(&body), json!({ "id": id }))
        }
        ("GET", ["applications", APPLICATION, .., "commands"]) => {
            (Ok(()), held.commands.get(path).cloned().unwrap_or(json!([])))
        }
        ("PUT", ["applications", APPLICATION, .., "commands"]) => {
            held.commands.insert(path.to_owned(), body.clone());
            (validate::commands(&body, !path.contains("/guilds/")), body)
        }
        ("DELETE", ["applications", APPLICATION, .., _]) => return error(404, 10063),
        _ => (Err("there is no such thing".into()), Value::Null),
    };
    match checked {
        Ok(()) => answer.to_string().into_response(),
        Err(why) => {
            held.broken.push(format!("{method} {path}: {why}"));
            error(400, 50035)
        }
    }
}

fn until(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

fn body() -> Value {
    json!({ "content": "x", "allowed_mentions": { "parse": [] } })
}

async fn edit(discord: &StandIn, troubles: &[Trouble], seconds: u64) -> (Result<(), Failure>, usize, u128) {
    discord.trouble(troubles);
    let begun = Instant::now();
    let done = discord
        .rest()
        .edit_original(APPLICATION, "tok+en/1", Registered::Perhaps, body(), until(seconds))
        .await;
    let took = begun.elapsed().as_millis();
    discord.lock().troubles.clear();
    (done, discord.requests().len(), took)
}

#[tokio::test(start_paused = true)]
async fn what_discord_asks_to_wait_is_waited() {
    let discord = StandIn::new();
    let limited = [Trouble::RateLimited(1.5), Trouble::RateLimited(3.0)];
    assert_eq!(edit(&discord, &limited, 20).await, (Ok(()), 3, 4500));
    assert_eq!(edit(&discord, &[Trouble::Crowded, Trouble::Crowded], 20).await, (Ok(()), 3, 750));
    let (done, tries, took) = edit(&discord, &[Trouble::RateLimited(60.0)], 20).await;
    assert_eq!((tries, took), (1, 0));
    assert!(matches!(done, Err(Failure::Unavailable(_))), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_registered_yet_is_waited_for_and_then_gone() {
    let discord = StandIn::new();
    let (done, tries, _) = edit(&discord, &[Trouble::NotRegistered; 3], 20).await;
    assert_eq!((done, tries), (Ok(()), 4));
    let (done, tries, took) = edit(&discord, &[Trouble::NotRegistered; 9], 20).await;
    assert_eq!((done, tries), (Err(Failure::Gone(10015)), 6));
    assert!(took < 10_000, "{took}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_must_be_registered_by_now_is_gone_at_once() {
    let discord = StandIn::new();
    discord.trouble(&[Trouble::NotRegistered]);
    let done = discord.rest().edit_original(APPLICATION, "t", Registered::Surely, body(), until(8)).await;
    assert_eq!((done, discord.requests().len()), (Err(Failure::Gone(10015)), 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_past_the_moment_that_the_caller_names() {
    let discord = StandIn::new();
    let done = discord.rest().post_message(CHANNEL.parse().unwrap(), body(), until(0)).await;
    assert!(matches!(done, Err(Failure::Unavailable(_))), "{done:?}");
    assert_eq!(discord.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_takes_no_longer_than_the_caller_waits() {
    let silent = Silent::new();
    let begun = std::time::Instant::now();
    let until = Instant::now() + Duration::from_millis(300);
    let done = Rest::new(&silent.url, None).post_message(CHANNEL.parse().unwrap(), body(), until).await;
    assert_eq!(done, Err(Failure::Unavailable("it does not answer in time".into())));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn while_a_limit_lasts_nothing_is_asked() {
    let (discord, channel) = (StandIn::new(), CHANNEL.parse().unwrap());
    let rest = discord.rest();
    discord.trouble(&[Trouble::RateLimited(60.0)]);
    for second in 0..60 {
        let done = rest.clone().post_message(channel, body(), until(8)).await;
        assert!(matches!(done, Err(Failure::Unavailable(_))), "{second}: {done:?}");
        tokio::time::advance(Duration::from_millis(900)).await;
    }
    assert_eq!(discord.requests().len(), 1);
    // Another way is open meanwhile, and this one is again when the time is over.
    assert_eq!(rest.edit_original(APPLICATION, "t", Registered::Surely, body(), until(8)).await, Ok(()));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(rest.post_message(channel, body(), until(8)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_out_of_reach_is_asked_ever_more_seldom() {
    let (discord, channel) = (StandIn::new(), CHANNEL.parse().unwrap());
    let rest = discord.rest();
    discord.trouble(&[Trouble::BadGateway; 500]);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(600) {
        rest.post_message(channel, body(), until(8)).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let asked = discord.requests().len();
    assert!((10..30).contains(&asked), "{asked}");
    discord.lock().troubles.clear();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(rest.post_message(channel, body(), until(8)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_is_given_whatever_happened_to_others() {
    let discord = StandIn::new();
    let rest = discord.rest();
    discord.trouble(&[Trouble::BadGateway; 30]);
    rest.post_message(CHANNEL.parse().unwrap(), body(), until(8)).await.unwrap_err();
    discord.lock().troubles.clear();
    let answer = json!({ "type": 4, "data": body() });
    assert_eq!(rest.answer("7".parse().unwrap(), "token", answer, until(3)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_fails_on_discords_side_is_tried_until_the_time_is_over() {
    let discord = StandIn::new();
    assert_eq!(edit(&discord, &[Trouble::BadGateway; 2], 20).await.0, Ok(()));
    let (done, tries, took) = edit(&discord, &[Trouble::BadGateway; 30], 20).await;
    assert_eq!(done, Err(Failure::Unavailable("it answers 502".into())));
    assert!(tries < 10 && took <= 20_000, "{tries} {took}");
    let nobody = Rest::new("http://127.0.0.1:1", None);
    let done = nobody
        .edit_original(APPLICATION, "secret-token", Registered::Surely, body(), until(1))
        .await
        .unwrap_err();
    assert!(!done.to_string().contains("secret") && matches!(done, Failure::Unavailable(_)), "{done}");
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_told_from_what_is_wrong() {
    let discord = StandIn::new();
    for (status, code) in [(401, 50027), (404, 10015), (401, 0), (404, 0), (403, 50001), (404, 10062)] {
        let troubles = [Trouble::Error(status, code); 6];
        assert_eq!(edit(&discord, &troubles, 20).await.0, Err(Failure::Gone(code)), "{status} {code}");
    }
    let channel = CHANNEL.parse().unwrap();
    for (status, code, expected) in [
        (401, 0, Failure::Unauthorized),
        (403, 50013, Failure::Gone(50013)),
        (404, 10003, Failure::Gone(10003)),
        (400, 50035, Failure::Refused { status: 400, code: 50035, message: "error 50035".into() }),
    ] {
        discord.trouble(&[Trouble::Error(status, code)]);
        let done = discord.rest().post_message(channel, body(), until(20)).await;
        assert_eq!(done, Err(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_confirmation_was_lost_was_given() {
    let discord = StandIn::new();
    discord.trouble(&[Trouble::AnswerLost, Trouble::Error(400, 40060)]);
    let id = "1500000000000000001".parse().unwrap();
    let answer = json!({ "type": 4, "data": body() });
    assert_eq!(discord.rest().answer(id, "token", answer, until(20)).await, Ok(()));
    assert_eq!(discord.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_one_part_of_the_path_whatever_is_in_it() {
    let discord = StandIn::new();
    discord
        .rest()
        .edit_original(APPLICATION, "a/../b?c#d", Registered::Surely, body(), until(5))
        .await
        .unwrap();
    let path = format!("PATCH /webhooks/{APPLICATION}/a%2F..%2Fb%3Fc%23d/messages/@original");
    assert_eq!(discord.requests(), [path]);
}

#[tokio::test(start_paused = true)]
async fn commands_are_registered_and_read_back() {
    let discord = StandIn::new();
    let application = APPLICATION.parse().unwrap();
    for scope in [Scope::Global, Scope::Guild(GUILD.parse().unwrap())] {
        let rest = discord.rest();
        assert_eq!(rest.commands(application, scope, until(5)).await, Ok(json!([])));
        let payload = serde_json::to_value(wanted(scope)).unwrap();
        rest.overwrite_commands(application, scope, payload.clone(), until(5)).await.unwrap();
        assert_eq!(rest.commands(application, scope, until(5)).await, Ok(payload));
        assert_eq!(rest.delete_command(application, scope, "7".parse().unwrap(), until(5)).await, Ok(()));
    }
    assert_eq!(discord.requests().len(), 8);
}
