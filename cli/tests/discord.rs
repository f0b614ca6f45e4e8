//! `dormouse discord …` as a person runs it, with a stand-in for Discord.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::TcpListener,
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

const TOKEN: &str = "MTEwMDAwMDAwMDAwMDAwMDAwMQ.GabcDe.not-a-real-token";

/// A stand-in that has one list of commands, and the requests that changed it.
#[derive(Clone, Default)]
struct StandIn {
    held: Arc<Mutex<(Value, Vec<String>)>>,
    url: String,
}

impl StandIn {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let stand_in = Self {
            held: Arc::new(Mutex::new((json!([]), Vec::new()))),
            url: format!("http://{}/api", listener.local_addr().unwrap()),
        };
        let served = stand_in.clone();
        let router =
            Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let answer = served.answer(&method, &uri, &headers, &body);
                async move { answer }
            });
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        stand_in
    }

    fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> (StatusCode, Json<Value>) {
        let error = |status, code| (status, Json(json!({ "message": "no", "code": code })));
        let (commands, writes) = &mut *self.held.lock().unwrap();
        if headers["authorization"] != format!("Bot {TOKEN}") {
            return error(StatusCode::UNAUTHORIZED, 0);
        }
        if uri.path().contains("/guilds/9/") {
            return error(StatusCode::FORBIDDEN, 50001);
        }
        if *method == Method::PUT {
            *commands = serde_json::from_slice(body).unwrap();
            for (n, command) in commands.as_array_mut().unwrap().iter_mut().enumerate() {
                command["id"] = json!((n + 1).to_string());
            }
        }
        if *method == Method::DELETE {
            let id = uri.path().rsplit('/').next().unwrap().to_owned();
            commands.as_array_mut().unwrap().retain(|command| command["id"] != id);
        }
        if *method != Method::GET {
            writes.push(format!("{method} {}", uri.path()));
        }
        (StatusCode::OK, Json(commands.clone()))
    }
}

fn dormouse(arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    command.arg("discord").args(arguments).env_remove("DORMOUSE_DISCORD_APPLICATION");
    match token {
        Some(token) => command.env("DORMOUSE_DISCORD_TOKEN", token),
        None => command.env_remove("DORMOUSE_DISCORD_TOKEN"),
    };
    command.output().unwrap()
}

/// Runs it against the stand-in, and compares what is printed and the exit code.
fn check(stand_in: &StandIn, arguments: &[&str], token: &str, expected: Expect) {
    let reach = ["--application-id", "1100000000000000001", "--api-url", &stand_in.url];
    let output = dormouse(&[arguments, &reach].concat(), Some(token));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(token));
    let printed = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap();
    expected.assert_eq(&format!("{}({code})", String::from_utf8(printed).unwrap()));
}

#[test]
fn commands_are_registered_once_listed_and_removed() {
    let discord = StandIn::new();
    let guild = ["--guild", "1200000000000000002"];
    let with_guild = |name: &'static str| [&[name][..], &guild].concat();
    check(
        &discord,
        &with_guild("register"),
        TOKEN,
        expect![[r#"
        guild 1200000000000000002: done: add /world /access /games /help
        (0)"#]],
    );
    check(
        &discord,
        &with_guild("register"),
        TOKEN,
        expect![[r#"
        guild 1200000000000000002: everything is as it should be
        (0)"#]],
    );
    check(
        &discord,
        &["register", "--global", "--json"],
        TOKEN,
        expect![[r#"
        [
          {
            "added": [],
            "changed": [
              "world",
              "access",
              "games",
              "help"
            ],
            "kept": [],
            "removed": [],
            "scope": "all guilds"
          }
        ]
        (0)"#]],
    );
    check(
        &discord,
        &with_guild("list"),
        TOKEN,
        expect![[r#"
        guild 1200000000000000002: /world /access /games /help
        (0)"#]],
    );
    check(
        &discord,
        &["unregister", "--global"],
        TOKEN,
        expect![[r#"
        all guilds: done: remove /world /access /games /help
        (0)"#]],
    );
    check(
        &discord,
        &["list", "--global"],
        TOKEN,
        expect![[r#"
        all guilds: no commands
        (0)"#]],
    );
    expect![[r#"
        PUT /api/applications/1100000000000000001/guilds/1200000000000000002/commands
        PUT /api/applications/1100000000000000001/commands
        DELETE /api/applications/1100000000000000001/commands/1
        DELETE /api/applications/1100000000000000001/commands/2
        DELETE /api/applications/1100000000000000001/commands/3
        DELETE /api/applications/1100000000000000001/commands/4"#]]
    .assert_eq(&discord.held.lock().unwrap().1.join("\n"));
}

#[test]
fn commands_of_others_are_removed_only_if_that_is_said() {
    let discord = StandIn::new();
    let others = json!([
        { "id": "1", "name": "dance", "type": 1, "description": "Dance" },
        { "id": "2", "name": "Report", "type": 3, "description": "" },
        { "id": "3", "name": "world", "type": 2, "description": "" },
    ]);
    discord.held.lock().unwrap().0 = others.clone();
    check(
        &discord,
        &["register", "--global"],
        TOKEN,
        expect![[r#"
        dormouse: all guilds: this would remove commands that are not ours: /dance Report (on a message) world (on a person); nothing was written
          hint: give --remove-others to remove them, or use an application of its own for Dormouse
        (1)"#]],
    );
    check(
        &discord,
        &["unregister", "--global"],
        TOKEN,
        expect![[r#"
        all guilds: nothing to remove
        (0)"#]],
    );
    assert_eq!(*discord.held.lock().unwrap(), (others, Vec::new()));
    check(
        &discord,
        &["register", "--global", "--remove-others"],
        TOKEN,
        expect![[r#"
        all guilds: done: add /world /access /games /help, remove /dance Report (on a message) world (on a person)
        (0)"#]],
    );
    discord.held.lock().unwrap().0.as_array_mut().unwrap().push(json!({ "name": "Report", "type": 3 }));
    check(
        &discord,
        &["register", "--global"],
        TOKEN,
        expect![[r#"
        all guilds: everything is as it should be; not ours, and left: Report (on a message)
        (0)"#]],
    );
}

#[test]
fn what_is_wrong_is_said_with_how_to_mend_it() {
    let discord = StandIn::new();
    check(
        &discord,
        &["register", "--global"],
        "another-token-of-some-length",
        expect![[r#"
        dormouse: all guilds: Discord does not take the bot token
          hint: the token is from DORMOUSE_DISCORD_TOKEN; copy a new one from the application's page, under Bot
        (1)"#]],
    );
    check(
        &discord,
        &["register", "--global"],
        "no token",
        expect![[r#"
        dormouse: DORMOUSE_DISCORD_TOKEN holds no bot token: a bot token is 20 to 200 letters, digits, dots, hyphens and underscores; the developer portal shows it under Bot
        (1)"#]],
    );
    check(
        &discord,
        &["register", "--guild", "9"],
        TOKEN,
        expect![[r#"
        dormouse: guild 9: what it is about is gone, or out of the bot's sight (Discord's code 50001)
          hint: is the bot in guild 9? `dormouse discord invite` prints the link that adds it
        (1)"#]],
    );
    check(
        &discord,
        &["list", "--global", "--token-file", "/no/such/file"],
        TOKEN,
        expect![[r#"
        dormouse: cannot read the bot's token in /no/such/file: No such file or directory (os error 2)
        (1)"#]],
    );
    let output = dormouse(&["register", "--global"], None);
    expect![[r#"
        dormouse: which application? give --application-id or set DORMOUSE_DISCORD_APPLICATION; the id is on its page on https://discord.com/developers/applications
    "#]].assert_eq(&String::from_utf8(output.stderr).unwrap());
    let output = dormouse(&["list", "--global", "--application-id", "1100000000000000001"], None);
    expect![[r#"
        dormouse: the bot's token is missing: set DORMOUSE_DISCORD_TOKEN or name a file with --token-file
    "#]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(dormouse(&["register"], Some(TOKEN)).status.code(), Some(2));
    assert_eq!(dormouse(&["register", "--guild", "x"], Some(TOKEN)).status.code(), Some(2));
}

#[test]
fn a_dry_run_needs_nothing() {
    let output = dormouse(&["register", "--dry-run", "--json"], None);
    assert!(output.status.success());
    let payload: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = payload.iter().map(|command| command["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["world", "access", "games", "help"]);
    assert!(dormouse(&["register", "--dry-run"], None).status.success());
}
