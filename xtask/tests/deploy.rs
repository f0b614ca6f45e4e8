//! `cargo xtask deploy` and `destroy` as a person runs them, with stand-ins for every program that they run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode},
};
use expect_test::{Expect, expect};
use nix::pty::openpty;
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "MTEwMDAwMDAwMDAwMDAwMDAwMQ.GabcDe.not-a-real-token";
const ENDPOINT: &str = "https://abc.lambda-url.eu-central-1.on.aws/discord/interactions";
const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/// Every program that stands on the stage.
const PROGRAMS: [&str; 7] = ["aws", "npx", "npm", "node", "docker", "cargo", "rustup"];

/// A workspace, an account and a Discord of a test's own.
struct Stage {
    dir: TempDir,
    application: Arc<Mutex<Value>>,
    discord: String,
}

/// What came of a run.
struct Ran {
    code: i32,
    said: String,
    /// The calls of programs, in their order.
    calls: Vec<String>,
}

impl Stage {
    /// Returns one with a game and an account in which nothing is yet.
    fn new() -> Self {
        let application = Arc::new(Mutex::new(json!({"id": "1100000000000000001", "verify_key": KEY})));
        let discord = serve(application.clone());
        let stage = Self { dir: tempfile::tempdir().unwrap(), application, discord };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for file in ["Dockerfile.luanti", "watchdog/Dockerfile", "games/catalog/luanti.toml"] {
            stage.write(&format!("clone/{file}"), &fs::read(root.join(file)).unwrap());
        }
        stage.write("clone/cdk/package-lock.json", b"{}");
        stage.write("clone/dormouse.toml", b"");
        stage.write("token", TOKEN.as_bytes());
        // Not a copy: a program that another thread's child still holds open for writing cannot be run.
        let stand_in = root.join("xtask/tests/stage/stand-in.sh");
        let zig = stage.path("clone/target/zig/bin");
        fs::create_dir_all(&zig).unwrap();
        stage.write("clone/target/zig/installed.txt", b"cargo-zigbuild==0.24.0\nziglang==0.15.2");
        symlink(&stand_in, zig.join("cargo-zigbuild")).unwrap();
        fs::create_dir_all(stage.path("bin")).unwrap();
        PROGRAMS.iter().for_each(|name| symlink(&stand_in, stage.path("bin").join(name)).unwrap());
        fs::create_dir_all(stage.path("parameters")).unwrap();
        stage.write("aarch64-unknown-linux-musl", &program(183));
        stage.write("x86_64-unknown-linux-musl", &program(62));
        stage.write_json("config.json", &config());
        stage.write_json("tasks.json", &json!([]));
        stage.write_json("identity.json", &identity("111122223333"));
        let service = json!({
            "FrontDoorUrl": "https://abc.lambda-url.eu-central-1.on.aws/",
            "InteractionsEndpoint": ENDPOINT,
        });
        stage.write_json("outputs.json", &json!({ "dormouse-service": service }));
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn write_json(&self, name: &str, value: &Value) {
        self.write(name, value.to_string().as_bytes());
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let _ = fs::remove_file(self.path("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .arg("--root")
            .arg(self.path("clone"))
            .current_dir(self.path("clone"))
            .stdin(Stdio::null())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("STAGE", self.dir.path())
            .env("CDK_DOCKER", "docker")
            .env("DORMOUSE_DISCORD_TOKEN", TOKEN);
        ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().for_each(|name| _ = command.env_remove(name));
        command
    }

    /// Runs a command as somebody does who is not there to be asked.
    fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let calls = self.read("log").replace(&self.discord, "DISCORD").lines().map(str::to_owned).collect();
        let said = said.replace(&self.dir.path().canonicalize().unwrap().display().to_string(), "STAGE");
        let said = said.replace(&self.dir.path().display().to_string(), "STAGE");
        Ran { code: output.status.code().unwrap(), said: said.replace(&self.discord, "DISCORD"), calls }
    }

    fn deploy(&self, more: &[&str]) -> Ran {
        let token = self.path("token").display().to_string();
        let common = ["deploy", "--discord-api", &self.discord, "--discord-token-file", &token];
        self.run(&[&common, more].concat())
    }

    fn parameter(&self, name: &str) -> String {
        self.read(&format!("parameters/{name}"))
    }

    /// Fails if a secret is anywhere but in Parameter Store, and where it was asked for.
    fn assert_nothing_leaked(&self, ran: &Ran) {
        let places = [self.read("log"), self.read("environment"), ran.said.clone()];
        for secret in [TOKEN, &self.parameter("launch-secret"), &self.parameter("api-token")] {
            let is_out = !secret.is_empty() && places.iter().any(|place| place.contains(secret));
            assert!(!is_out, "{secret}");
        }
    }
}

impl Ran {
    /// Returns the calls that change something in the account.
    fn changes(&self) -> Vec<&str> {
        let changing =
            ["cdk bootstrap", "create-", "put-parameter", "cdk deploy", "cdk destroy", "discord register"];
        let is_change = |call: &&str| changing.iter().any(|change| call.contains(change));
        self.calls.iter().map(String::as_str).filter(is_change).collect()
    }

    fn check(&self, code: i32, expected: &Expect) {
        expected.assert_eq(&self.said);
        assert_eq!(self.code, code, "{}", self.said);
    }
}

/// Answers as Discord does for the application in `held`; nobody else's token is taken.
fn serve(held: Arc<Mutex<Value>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(move |method: Method, headers: HeaderMap, body: Bytes| {
        let mut application = held.lock().unwrap();
        let answer = if headers["authorization"] != format!("Bot {TOKEN}") {
            (StatusCode::UNAUTHORIZED, json!({"message": "401: Unauthorized"}))
        } else if application["refuses"] == true && method == Method::PATCH {
            let about = json!({"_errors": [{"message": "The specified interactions endpoint url could not be verified."}]});
            (StatusCode::BAD_REQUEST, json!({"errors": {"interactions_endpoint_url": about}}))
        } else {
            if method == Method::PATCH {
                let wanted: Value = serde_json::from_slice(&body).unwrap();
                application["interactions_endpoint_url"] = wanted["interactions_endpoint_url"].clone();
            }
            (StatusCode::OK, application.clone())
        };
        async move { (answer.0, Json(answer.1)) }
    });
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
    });
    url
}

/// Returns the head of a program that needs no loader.
fn program(machine: u16) -> Vec<u8> {
    let mut head = vec![0; 64];
    head[..6].copy_from_slice(b"\x7fELF\x02\x01");
    head[18..20].copy_from_slice(&machine.to_le_bytes());
    head
}

fn config() -> Value {
    let told = include_str!("../../cdk/test/snapshots/config.json");
    let mut config: Value = serde_json::from_str(told).unwrap();
    config["games"] = json!([{"id": "luanti", "architectures": ["amd64", "arm64"]}]);
    config
}

fn identity(account: &str) -> Value {
    json!({"Account": account, "Arn": format!("arn:aws:iam::{account}:user/ann")})
}

#[test]
fn a_first_deployment_does_each_step_in_its_order() {
    let stage = Stage::new();
    let ran = stage.deploy(&["--yes"]);
    stage.assert_nothing_leaked(&ran);
    ran.check(0, &expect![[r#"
        from npm, what cdk/package-lock.json pins will be installed into cdk/node_modules

        $ npm ci --no-audit --no-fund

        == 1. Is everything there?
        ok        configuration: `dormouse` in eu-central-1 of account 111122223333, with luanti
        ok        container engine: docker builds on arm64
        ok        aws: STAGE/bin/aws
        ok        credentials: arn:aws:iam::111122223333:user/ann
        note      bootstrap: not done yet for this account and region; it is offered next
        note      role of ECS: not there yet; it is offered next
        ok        quota of Lambda: 1000 at once, of which 15 will be reserved
        ok        bot token: is in the file

        == 2. The account
        `cdk bootstrap` makes a bucket, a repository for images and the roles that deployments act by; it needs an administrator, once for each account and region

        $ npx --no -- cdk bootstrap aws://111122223333/eu-central-1
        Amazon ECS has a role of its own in each account that uses it, and does not always make it in time

        $ aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com --region eu-central-1 --output json

        == 3. Build

        $ STAGE/clone/target/zig/bin/cargo-zigbuild zigbuild --locked --bins --package control-lambda --target aarch64-unknown-linux-musl --target-dir STAGE/clone/target/ --release

        $ STAGE/clone/target/zig/bin/cargo-zigbuild zigbuild --locked --bins --package watchdog --target aarch64-unknown-linux-musl --target-dir STAGE/clone/target/ --release

        $ STAGE/clone/target/zig/bin/cargo-zigbuild zigbuild --locked --bins --package watchdog --target x86_64-unknown-linux-musl --target-dir STAGE/clone/target/ --release

        for the deployment:
          lambda/interactions/bootstrap  arm64, static, 0.0 MB
          lambda/worker/bootstrap        arm64, static, 0.0 MB
          watchdog, arm64                static, 0.0 MB
          watchdog, amd64                static, 0.0 MB
          images/watchdog                Dockerfile watchdog-arm64 watchdog-amd64 luanti.toml
          images/luanti                  Dockerfile entrypoint

        $ cargo build --package dormouse --locked

        == 4. What will change, and what it costs

        $ npx --no -- cdk diff --all
        (the differences)

        $ STAGE/clone/target/debug/dormouse cost --config STAGE/clone/dormouse.toml
        (the estimate)

        == 5. The secrets
        launch-secret: written to /dormouse/launch-secret
        api-token: written to /dormouse/api-token
        discord-token: written to /dormouse/discord-token

        == 6. Deploy

        $ npx --no -- cdk deploy --all --require-approval never --outputs-file STAGE/clone/target/deploy/dormouse.json

        == 7. Discord

        $ STAGE/clone/target/debug/dormouse discord register --application-id 1100000000000000001 --guild 1200000000000000002 --token-file /dev/stdin --api-url DISCORD
        guild 1: everything is as it should be

        the interactions endpoint is https://abc.lambda-url.eu-central-1.on.aws/discord/interactions now

        == 8. Does it work?

        $ STAGE/clone/target/debug/dormouse doctor --aws --config STAGE/clone/dormouse.toml --outputs STAGE/clone/target/deploy/dormouse.json
        ok   everything

        == Dormouse is deployed
        In the server: /world create name:valhalla game:Luanti, then /world start name:valhalla
        The same at a shell:
          export DORMOUSE_URL=https://abc.lambda-url.eu-central-1.on.aws/
          export DORMOUSE_API_TOKEN="$(aws ssm get-parameters --with-decryption --region eu-central-1 \
            --names /dormouse/api-token --query 'Parameters[0].Value' --output text)"
          dormouse world list
        The outputs are in STAGE/clone/target/deploy/dormouse.json
    "#]]);
    expect![[r#"
        node --version
        npm ci --no-audit --no-fund
        node --import tsx bin/config.ts STAGE/clone/dormouse.toml
        docker info --format {{.Architecture}}
        aws sts get-caller-identity --region eu-central-1 --output json
        aws ssm get-parameter --name /cdk-bootstrap/hnb659fds/version --region eu-central-1 --output json
        aws iam get-role --role-name AWSServiceRoleForECS --region eu-central-1 --output json
        aws lambda get-account-settings --region eu-central-1 --output json
        aws ssm get-parameters --names /dormouse/launch-secret /dormouse/api-token /dormouse/discord-token --query Parameters[].Name --region eu-central-1 --output json
        npx --no -- cdk bootstrap aws://111122223333/eu-central-1
        aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com --region eu-central-1 --output json
        rustup target list --installed
        cargo-zigbuild zigbuild --locked --bins --package control-lambda --target aarch64-unknown-linux-musl --target-dir STAGE/clone/target/ --release
        cargo-zigbuild zigbuild --locked --bins --package watchdog --target aarch64-unknown-linux-musl --target-dir STAGE/clone/target/ --release
        cargo-zigbuild zigbuild --locked --bins --package watchdog --target x86_64-unknown-linux-musl --target-dir STAGE/clone/target/ --release
        cargo build --package dormouse --locked
        npx --no -- cdk diff --all
        dormouse cost --config STAGE/clone/dormouse.toml
        aws ssm get-parameters --names /dormouse/launch-secret /dormouse/api-token /dormouse/discord-token --query Parameters[].Name --region eu-central-1 --output json
        aws ssm put-parameter --type SecureString --name /dormouse/launch-secret --value file:///dev/stdin --region eu-central-1 --output json
        aws ssm put-parameter --type SecureString --name /dormouse/api-token --value file:///dev/stdin --region eu-central-1 --output json
        aws ssm put-parameter --type SecureString --name /dormouse/discord-token --value file:///dev/stdin --region eu-central-1 --output json
        npx --no -- cdk deploy --all --require-approval never --outputs-file STAGE/clone/target/deploy/dormouse.json
        dormouse discord register --application-id 1100000000000000001 --guild 1200000000000000002 --token-file /dev/stdin --api-url DISCORD
        dormouse doctor --aws --config STAGE/clone/dormouse.toml --outputs STAGE/clone/target/deploy/dormouse.json"#]].assert_eq(&ran.calls.join("\n"));
    assert_eq!(stage.read("told-to-dormouse"), TOKEN);
    assert_eq!(stage.parameter("discord-token"), TOKEN);
    assert_eq!(stage.parameter("launch-secret").len(), 64);
    assert_ne!(stage.parameter("launch-secret"), stage.parameter("api-token"));
    assert_eq!(stage.application.lock().unwrap()["interactions_endpoint_url"], ENDPOINT);
}

#[test]
fn a_second_deployment_says_what_is_and_writes_no_secret() {
    let stage = Stage::new();
    assert_eq!(stage.deploy(&["--yes"]).code, 0);
    let before = [stage.parameter("launch-secret"), stage.parameter("api-token")];
    // The file is not needed any more.
    let ran = stage.run(&["deploy", "--discord-api", &stage.discord, "--yes"]);
    stage.assert_nothing_leaked(&ran);
    ran.check(0, &expect![[r#"

        == 1. Is everything there?
        ok        configuration: `dormouse` in eu-central-1 of account 111122223333, with luanti
        ok        container engine: docker builds on arm64
        ok        aws: STAGE/bin/aws
        ok        credentials: arn:aws:iam::111122223333:user/ann
        ok        bootstrap: version 33
        ok        role of ECS: is there
        ok        quota of Lambda: 1000 at once, of which 15 will be reserved
        ok        bot token: is in Parameter Store

        == 2. The account
        is ready

        == 3. Build

        $ STAGE/clone/target/zig/bin/cargo-zigbuild zigbuild --locked --bins --package control-lambda --target aarch64-unknown-linux-musl --target-dir STAGE/clone/target/ --release

        $ STAGE/clone/target/zig/bin/cargo-zigbuild zigbuild --locked --bins --package watchdog --target aarch64-unknown-linux-musl --target-dir STAGE/clone/target/ --release

        $ STAGE/clone/target/zig/bin/cargo-zigbuild zigbuild --locked --bins --package watchdog --target x86_64-unknown-linux-musl --target-dir STAGE/clone/target/ --release

        for the deployment:
          lambda/interactions/bootstrap  arm64, static, 0.0 MB
          lambda/worker/bootstrap        arm64, static, 0.0 MB
          watchdog, arm64                static, 0.0 MB
          watchdog, amd64                static, 0.0 MB
          images/watchdog                Dockerfile watchdog-arm64 watchdog-amd64 luanti.toml
          images/luanti                  Dockerfile entrypoint

        $ cargo build --package dormouse --locked

        == 4. What will change, and what it costs

        $ npx --no -- cdk diff --all
        (the differences)

        $ STAGE/clone/target/debug/dormouse cost --config STAGE/clone/dormouse.toml
        (the estimate)

        == 5. The secrets
        launch-secret: is there, and stays as it is
        api-token: is there, and stays as it is
        discord-token: is there, and stays as it is

        == 6. Deploy

        $ npx --no -- cdk deploy --all --require-approval never --outputs-file STAGE/clone/target/deploy/dormouse.json

        == 7. Discord

        $ STAGE/clone/target/debug/dormouse discord register --application-id 1100000000000000001 --guild 1200000000000000002 --token-file /dev/stdin --api-url DISCORD
        guild 1: everything is as it should be

        the interactions endpoint is https://abc.lambda-url.eu-central-1.on.aws/discord/interactions already

        == 8. Does it work?

        $ STAGE/clone/target/debug/dormouse doctor --aws --config STAGE/clone/dormouse.toml --outputs STAGE/clone/target/deploy/dormouse.json
        ok   everything

        == Dormouse is deployed
        In the server: /world create name:valhalla game:Luanti, then /world start name:valhalla
        The same at a shell:
          export DORMOUSE_URL=https://abc.lambda-url.eu-central-1.on.aws/
          export DORMOUSE_API_TOKEN="$(aws ssm get-parameters --with-decryption --region eu-central-1 \
            --names /dormouse/api-token --query 'Parameters[0].Value' --output text)"
          dormouse world list
        The outputs are in STAGE/clone/target/deploy/dormouse.json
    "#]]);
    assert_eq!(
        ran.changes(),
        [
            "npx --no -- cdk deploy --all --require-approval never --outputs-file STAGE/clone/target/deploy/dormouse.json",
            "dormouse discord register --application-id 1100000000000000001 --guild 1200000000000000002 --token-file /dev/stdin \
             --api-url DISCORD"
        ]
    );
    assert_eq!([stage.parameter("launch-secret"), stage.parameter("api-token")], before);
}

#[test]
fn a_secret_is_written_anew_when_that_is_asked_for() {
    let stage = Stage::new();
    assert_eq!(stage.deploy(&["--yes"]).code, 0);
    let before = [stage.parameter("launch-secret"), stage.parameter("api-token")];
    let ran = stage.deploy(&["--yes", "--renew", "api-token"]);
    stage.assert_nothing_leaked(&ran);
    assert_eq!(ran.code, 0);
    assert_eq!(stage.parameter("launch-secret"), before[0]);
    assert_ne!(stage.parameter("api-token"), before[1]);
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let stage = Stage::new();
    stage.write(
        "mistakes",
        b"dormouse.toml:7: `games` has \"quake\": use luanti\ndormouse.toml:9: `aws.region` is missing\n",
    );
    stage.write("failing", b"docker info");
    let ran = stage.deploy(&["--yes"]);
    assert_eq!(ran.changes(), Vec::<&str>::new());
    ran.check(1, &expect![[r#"
        from npm, what cdk/package-lock.json pins will be installed into cdk/node_modules

        $ npm ci --no-audit --no-fund

        == 1. Is everything there?
        MISSING   configuration: dormouse.toml:7: `games` has "quake": use luanti
                  dormouse.toml:9: `aws.region` is missing
                  mend: correct STAGE/clone/dormouse.toml (docs/aws.md leads through it)
        MISSING   container engine: neither docker nor podman answers
                  mend: install Docker (https://docs.docker.com/engine/install) or Podman, and start it; CDK_DOCKER names another program
        ok        aws: STAGE/bin/aws
        cargo xtask: 2 missing; nothing has been done
    "#]]);
}

#[test]
fn an_account_that_is_not_the_configurations_is_refused() {
    let stage = Stage::new();
    stage.write_json("identity.json", &identity("999900001111"));
    let ran = stage.deploy(&["--yes"]);
    assert_eq!(ran.changes(), Vec::<&str>::new());
    ran.check(1, &expect![[r#"
        from npm, what cdk/package-lock.json pins will be installed into cdk/node_modules

        $ npm ci --no-audit --no-fund

        == 1. Is everything there?
        ok        configuration: `dormouse` in eu-central-1 of account 111122223333, with luanti
        ok        container engine: docker builds on arm64
        ok        aws: STAGE/bin/aws
        MISSING   credentials: arn:aws:iam::999900001111:user/ann is of account 999900001111, and `aws.account` says 111122223333
                  mend: AWS_PROFILE chooses other credentials; or correct `aws.account`
        cargo xtask: 1 missing; nothing has been done
    "#]]);
}

#[test]
fn a_game_whose_licence_nobody_accepted_or_that_has_no_dockerfile_is_missing() {
    let stage = Stage::new();
    let valheim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Dockerfile.valheim");
    stage.write("clone/Dockerfile.valheim", &fs::read(valheim).unwrap());
    let mut config = config();
    config["games"] =
        json!([{"id": "valheim", "architectures": ["arm64"]}, {"id": "factory", "architectures": ["arm64"]}]);
    stage.write_json("config.json", &config);
    let ran = stage.deploy(&["--yes"]);
    assert_eq!(ran.changes(), Vec::<&str>::new());
    ran.check(1, &expect![[r#"
        from npm, what cdk/package-lock.json pins will be installed into cdk/node_modules

        $ npm ci --no-audit --no-fund

        == 1. Is everything there?
        ok        configuration: `dormouse` in eu-central-1 of account 111122223333, with valheim, factory
        MISSING   image: `valheim` is downloaded under terms that somebody has to accept
                  mend: read https://store.steampowered.com/subscriber_agreement/, and if you accept it: `cargo xtask build --release --accept-licence valheim`
        MISSING   image: `factory`: there is no STAGE/clone/Dockerfile.factory: No such file or directory (os error 2)
                  mend: write one, or take `factory` out of `games` (docs/adding-a-game.md)
        ok        container engine: docker builds on arm64
        ok        aws: STAGE/bin/aws
        ok        credentials: arn:aws:iam::111122223333:user/ann
        note      bootstrap: not done yet for this account and region; it is offered next
        note      role of ECS: not there yet; it is offered next
        ok        quota of Lambda: 1000 at once, of which 15 will be reserved
        ok        bot token: is in the file
        cargo xtask: 2 missing; nothing has been done
    "#]]);
}

#[test]
fn nothing_changes_before_somebody_agrees() {
    let stage = Stage::new();
    ["bootstrapped", "role"].iter().for_each(|what| stage.write(what, b""));
    let ran = stage.deploy(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.said.contains("there is nobody to ask"), "{}", ran.said);
    assert_eq!(ran.changes(), Vec::<&str>::new());
    assert!(ran.calls.iter().any(|call| call == "npx --no -- cdk diff --all"));
}

#[test]
fn whoever_is_at_the_terminal_is_asked_and_the_token_is_not_shown() {
    let stage = Stage::new();
    let pty = openpty(None, None).unwrap();
    let mut terminal = File::from(pty.master);
    let mut keys = terminal.try_clone().unwrap();
    let mut command = stage.command(&["deploy", "--discord-api", &stage.discord]);
    let mut child = command.stdin(pty.slave).stdout(Stdio::piped()).spawn().unwrap();
    // It holds the other end of the terminal.
    drop(command);
    let token = std::thread::spawn(move || {
        let shown = read_to_the_end(&mut terminal, "(it is not shown): ", |terminal| {
            terminal.write_all(format!("{TOKEN}\n").as_bytes()).unwrap();
        });
        String::from_utf8(shown).unwrap()
    });
    let mut asked = 0;
    let said = read_to_the_end(child.stdout.as_mut().unwrap(), "[y/N] ", |_| {
        asked += 1;
        keys.write_all(b"y\n").unwrap();
    });
    assert!(child.wait().unwrap().success(), "{}", String::from_utf8_lossy(&said));
    assert_eq!(asked, 3);
    drop(keys);
    let shown = token.join().unwrap();
    assert!(shown.contains("The bot token") && !shown.contains(TOKEN), "{shown}");
    assert_eq!(stage.parameter("discord-token"), TOKEN);
}

/// Reads to the end, and calls `answer` each time that `question` has come; a terminal that nobody holds ends with an error.
fn read_to_the_end<R: Read>(from: &mut R, question: &str, mut answer: impl FnMut(&mut R)) -> Vec<u8> {
    let mut all = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).is_ok_and(|length| length == 1) {
        all.push(byte[0]);
        if all.ends_with(question.as_bytes()) {
            answer(from);
        }
    }
    all
}

#[test]
fn a_token_of_another_application_is_not_kept() {
    let stage = Stage::new();
    stage.application.lock().unwrap()["id"] = json!("1100000000000000009");
    let ran = stage.deploy(&["--yes"]);
    stage.assert_nothing_leaked(&ran);
    assert_eq!(ran.code, 1);
    assert!(
        ran.said.ends_with(
            "cargo xtask: the token is of application 1100000000000000009, and `discord.application` says \
             1100000000000000001\n"
        ),
        "{}",
        ran.said
    );
    assert_eq!(stage.parameter("discord-token"), "");
    assert!(ran.calls.iter().all(|call| !call.contains("cdk deploy")));
}

#[test]
fn a_deployment_that_fails_goes_on_from_there() {
    let stage = Stage::new();
    stage.write("failing", b"npx --no -- cdk deploy");
    let ran = stage.deploy(&["--yes"]);
    assert_eq!(ran.code, 1);
    assert!(ran.calls.iter().all(|call| !call.starts_with("dormouse d")));
    let secret = stage.parameter("launch-secret");
    fs::remove_file(stage.path("failing")).unwrap();
    let ran = stage.deploy(&["--yes"]);
    stage.assert_nothing_leaked(&ran);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert_eq!(stage.parameter("launch-secret"), secret);
    assert_eq!(stage.application.lock().unwrap()["interactions_endpoint_url"], ENDPOINT);
}

#[test]
fn an_endpoint_that_discord_does_not_take_comes_with_what_to_do() {
    let stage = Stage::new();
    stage.application.lock().unwrap()["refuses"] = json!(true);
    let ran = stage.deploy(&["--yes"]);
    assert_eq!(ran.code, 1);
    let last = ran.said.split("cargo xtask: ").last().unwrap();
    expect![[r#"
        Discord does not take the interactions endpoint (status 400): The specified interactions endpoint url could not be verified.
          hint: it has just tried https://abc.lambda-url.eu-central-1.on.aws/discord/interactions; the function's log says what it made of that. Once it answers, deploy again, or paste it yourself into "Interactions Endpoint URL" on https://discord.com/developers/applications/1100000000000000001/information
    "#]].assert_eq(last);
}

#[test]
fn a_bot_that_is_not_in_the_server_is_invited() {
    let stage = Stage::new();
    stage.write("failing", b"dormouse discord register");
    let ran = stage.deploy(&["--yes"]);
    stage.assert_nothing_leaked(&ran);
    assert_eq!(ran.code, 1);
    let last = ran.said.split("--api-url DISCORD\n").last().unwrap();
    expect![[r#"
        If it is that the bot is not in the server yet, this adds it:
        https://discord.com/oauth2/authorize?…
        dormouse: it fails, as the test wants it
        cargo xtask: the commands could not be registered: add the bot, and deploy again
    "#]]
    .assert_eq(last);
}

#[test]
fn what_doctor_finds_is_an_error_and_the_rest_is_told_all_the_same() {
    let stage = Stage::new();
    stage.write("failing", b"dormouse doctor");
    let ran = stage.deploy(&["--yes"]);
    assert_eq!(ran.code, 1);
    assert!(ran.said.contains("export DORMOUSE_URL="), "{}", ran.said);
    assert!(ran.said.contains("it is deployed, but something is not as it should be"), "{}", ran.said);
}

#[test]
fn a_dry_run_shows_the_steps_and_does_none() {
    let stage = Stage::new();
    let ran = stage.deploy(&["--dry-run"]);
    assert!(
        ran.calls.iter().all(|call| call.starts_with("node ") || call.starts_with("npm ci")),
        "{:?}",
        ran.calls
    );
    ran.check(0, &expect![[r#"
        from npm, what cdk/package-lock.json pins will be installed into cdk/node_modules

        $ npm ci --no-audit --no-fund
        what would be done for `dormouse` in eu-central-1 of account 111122223333:
        1. look whether everything is there, and say all that is missing
           $ aws sts get-caller-identity --region eu-central-1 --output json
        2. prepare the account, where it is not yet, after asking
           $ npx --no -- cdk bootstrap aws://111122223333/eu-central-1
           $ aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com --region eu-central-1 --output json
        3. build: `cargo xtask build --release`, and the program dormouse
           $ cargo build --package dormouse --locked
        4. show what will change and what it costs, and ask
           $ npx --no -- cdk diff --all
           $ STAGE/clone/target/debug/dormouse cost --config STAGE/clone/dormouse.toml
        5. write the secrets that are not there yet; each goes in by standard input
           $ aws ssm put-parameter --type SecureString --name /dormouse/launch-secret --value file:///dev/stdin --region eu-central-1 --output json
           $ aws ssm put-parameter --type SecureString --name /dormouse/api-token --value file:///dev/stdin --region eu-central-1 --output json
           $ aws ssm put-parameter --type SecureString --name /dormouse/discord-token --value file:///dev/stdin --region eu-central-1 --output json
        6. deploy
           $ npx --no -- cdk deploy --all --require-approval never --outputs-file STAGE/clone/target/deploy/dormouse.json
        7. register the commands with Discord, and set its interactions endpoint
           $ STAGE/clone/target/debug/dormouse discord register --application-id 1100000000000000001 --guild 1200000000000000002 --token-file /dev/stdin --api-url DISCORD
        8. look whether it works
           $ STAGE/clone/target/debug/dormouse doctor --aws --config STAGE/clone/dormouse.toml --outputs STAGE/clone/target/deploy/dormouse.json
    "#]]);
}

/// Returns a stage on which everything is deployed.
fn deployed() -> Stage {
    let stage = Stage::new();
    stage.write("deployed", b"");
    let output = |key: &str, value: &str| json!({"OutputKey": key, "OutputValue": value});
    let outputs = [output("TableName", "tab"), output("BucketName", "buck"), output("FileSystemId", "fs-1")];
    stage.write_json("worlds.json", &json!(outputs));
    stage
}

#[test]
fn taking_it_down_keeps_the_worlds_and_says_where_they_are() {
    let stage = deployed();
    let ran = stage.run(&["destroy", "--yes", "dormouse"]);
    ran.check(0, &expect![[r#"
        from npm, what cdk/package-lock.json pins will be installed into cdk/node_modules

        $ npm ci --no-audit --no-fund
        `dormouse` in eu-central-1 of account 111122223333 will be taken down: the functions, the queue, the cluster, the network.
        Its worlds and archives stay. Nobody can play until it is deployed again.

        $ npx --no -- cdk destroy dormouse-service --exclusively --force

        kept, and paid for by the byte:
          records    the table tab
          files      the file system fs-1
          archives   the bucket buck
          secrets    /dormouse/… in Parameter Store
        to have it all back:
          cargo xtask deploy
        to have the archives here, which are plain .zip files:
          aws s3 sync s3://buck/worlds/ worlds/ --region eu-central-1
        docs/aws.md says how to be rid of the worlds too; there is no command for it
    "#]]);
    assert_eq!(ran.changes(), ["npx --no -- cdk destroy dormouse-service --exclusively --force"]);
    let again = stage.run(&["destroy", "--yes", "dormouse"]);
    assert_eq!(again.changes(), Vec::<&str>::new());
    assert!(
        again.said.contains("there is no stack dormouse-service: it is down already\n"),
        "{}",
        again.said
    );
    assert!(again.said.contains("the bucket buck\n"));
    assert_eq!(again.code, 0);
}

#[test]
fn nothing_is_taken_down_while_worlds_are_awake() {
    let stage = deployed();
    stage.write_json("tasks.json", &json!(["arn:aws:ecs:eu-central-1:111122223333:task/dormouse/1"]));
    let ran = stage.run(&["destroy", "--yes", "dormouse"]);
    assert_eq!(ran.changes(), Vec::<&str>::new());
    let last = ran.said.split("cargo xtask: ").last().unwrap();
    expect![[r#"
        worlds are awake (tasks that run: 1); nothing has been done
          hint: `dormouse world list` shows them, `dormouse world stop NAME --wait` puts one to sleep
    "#]]
    .assert_eq(last);
    assert_eq!(ran.code, 1);
}

#[test]
fn the_wrong_prefix_or_the_wrong_account_takes_nothing_down() {
    let stage = deployed();
    let ran = stage.run(&["destroy", "--yes", "den"]);
    assert!(ran.said.ends_with("`den` is not `dormouse`; nothing has been done\n"), "{}", ran.said);
    assert_eq!((ran.code, ran.changes()), (1, Vec::new()));
    let ran = stage.run(&["destroy"]);
    assert!(ran.said.ends_with("there is nobody to ask: give --yes dormouse\n"), "{}", ran.said);
    assert_eq!((ran.code, ran.changes()), (1, Vec::new()));
    stage.write_json("identity.json", &identity("999900001111"));
    let ran = stage.run(&["destroy", "--yes", "dormouse"]);
    assert!(ran.said.contains("the credentials are of account 999900001111"), "{}", ran.said);
    assert_eq!((ran.code, ran.changes()), (1, Vec::new()));
}
