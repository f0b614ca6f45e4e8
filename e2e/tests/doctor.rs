//! `dormouse doctor --aws`, as a person runs it: nothing is wrong with an account as a deployment leaves it, and whatever is
//! broken in it is found, and told with what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use e2e::cloud::{
    account::{self, DEAD, Secrets, TABLE, call},
    discord::Discord,
    patient::{Patient, said},
};
use emulators::{Moto, S3};
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// As cdk has it: longer than the worker may take.
const VISIBILITY: Duration = Duration::from_secs(330);

#[test]
fn nothing_is_wrong_with_an_account_as_a_deployment_leaves_it() {
    let account = Account::new();
    check(
        &account.patient(),
        expect![[r#"
            ok   credentials: of account 123456789012, for dormouse in eu-central-1
            ok   secrets: all three are in Parameter Store below /dormouse
            ok   table: WorldsTable is active, with its index, and can be restored to any moment of 35 days
            ok   queue: 0 messages waiting; each is given out 20 times before it is put aside
            ok   dead letters: there are none
            ok   cluster: dormouse is active
            ok   game luanti: dormouse-luanti:1, 0.5 cores, 1024 MiB, image content
            ok   erasure: dormouse-erase:1, 0.25 cores, 512 MiB, image content
            ok   tasks: none runs
            ok   bucket: archivesbucket can be reached
            ok   front door: https://front.door knows its token, and reaches the table: 0 worlds
            ok   interactions: a wrong signature is sent away
            ok   Discord: interactions are sent to this deployment
            ok   Discord: the commands are registered in guild 1200000000000000002
            (0)"#]],
    );
}

#[test]
fn secrets_that_are_missing_or_malformed_are_told_and_never_shown() {
    let account = Account::new();
    let patient = account.patient();
    let ssm = |action: &str, request: Value| account.call(&format!("AmazonSSM.{action}"), &request);
    ssm("DeleteParameter", json!({ "Name": "/dormouse/launch-secret" }));
    let plain = json!({ "Name": "/dormouse/api-token", "Value": account.secrets.api, "Type": "String" });
    ssm("DeleteParameter", json!({ "Name": "/dormouse/api-token" }));
    ssm("PutParameter", plain);
    ssm(
        "PutParameter",
        json!({
            "Name": "/dormouse/discord-token", "Value": "Bot x", "Type": "SecureString", "Overwrite": true,
        }),
    );
    amiss(
        &patient,
        expect![[r#"
        BAD  secrets: /dormouse/launch-secret is missing, and the functions do not start: docs/aws.md, Write the secrets, puts /dormouse/launch-secret
        BAD  secrets: /dormouse/api-token is no SecureString, so that it is stored in the clear: docs/aws.md, Write the secrets, puts /dormouse/api-token
        BAD  secrets: /dormouse/discord-token is not a bot token, and the functions do not start: docs/aws.md, Write the secrets, puts /dormouse/discord-token
        weak Discord: not looked at: there is no bot token to ask with
        dormouse: 3 things are wrong
        (1)"#]],
    );
    let (said, _) = patient.examine().unwrap();
    assert!(!said.contains(&account.secrets.api) && !said.contains("Bot x"), "{said}");
}

#[test]
fn a_table_without_its_index_and_without_a_way_back_is_told() {
    let account = Account::new();
    let patient = account.patient();
    let dynamodb =
        |action: &str, request: Value| account.call(&format!("DynamoDB_20120810.{action}"), &request);
    dynamodb("UpdateTable", json!({ "TableName": TABLE, "DeletionProtectionEnabled": false }));
    dynamodb("DeleteTable", json!({ "TableName": TABLE }));
    amiss(
        &patient,
        expect![[r#"
            BAD  table: WorldsTable is not there: are region and outputs right? Else deploy
            dormouse: something is wrong
            (1)"#]],
    );
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    dynamodb(
        "CreateTable",
        json!({
            "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
            "AttributeDefinitions": [text("pk"), text("sk")],
        }),
    );
    amiss(
        &patient,
        expect![[r#"
            BAD  table: WorldsTable has no index unsettled, so that no sweep finds anything: deploy again
            weak table: WorldsTable cannot be restored to an earlier moment: deploy again, which turns it on
            dormouse: something is wrong
            (1)"#]],
    );
}

#[test]
fn dead_letters_and_a_queue_without_them_are_told() {
    let account = Account::new();
    let patient = account.patient();
    let url =
        |name: &str| account.call("AmazonSQS.GetQueueUrl", &json!({ "QueueName": name }))["QueueUrl"].clone();
    account.call("AmazonSQS.SendMessage", &json!({ "QueueUrl": url(DEAD), "MessageBody": "{}" }));
    let soon =
        json!({ "QueueUrl": account::queue_url(&account.moto), "Attributes": { "VisibilityTimeout": "30" } });
    account.call("AmazonSQS.SetQueueAttributes", &soon);
    amiss(
        &patient,
        expect![[r#"
        weak queue: a message comes again after 30 s, while the worker may take 300 s for it: deploy again
        BAD  dead letters: 1 message put aside because looking at a world failed again and again: `dormouse queue inspect`, and docs/runbook.md#dead-letters
        dormouse: something is wrong
        (1)"#]],
    );
    account.call("AmazonSQS.DeleteQueue", &json!({ "QueueUrl": account::queue_url(&account.moto) }));
    account.call("AmazonSQS.CreateQueue", &json!({ "QueueName": account::queue() }));
    amiss(
        &patient,
        expect![[r#"
        BAD  queue: what fails again and again is never put aside: deploy again, which gives it dead letters
        BAD  dead letters: 1 message put aside because looking at a world failed again and again: `dormouse queue inspect`, and docs/runbook.md#dead-letters
        dormouse: 2 things are wrong
        (1)"#]],
    );
}

#[test]
fn a_game_without_its_task_definition_and_one_of_another_size_are_told() {
    let account = Account::new();
    let patient = account.patient();
    let gone = json!({ "taskDefinition": "dormouse-valheim:1" });
    account.call("AmazonEC2ContainerServiceV20141113.DeregisterTaskDefinition", &gone);
    let games = "games = [\"luanti\", \"valheim\"]\n[sizes.luanti]\ncpu = 1024\nmemory_mib = 2048\n";
    let configuration = std::fs::read_to_string(patient.path("dormouse.toml")).unwrap();
    patient.write("dormouse.toml", &configuration.replace("games = [\"luanti\"]\n", games)).unwrap();
    amiss(
        &patient,
        expect![[r#"
            BAD  game luanti: dormouse-luanti:1 has 512 CPU units and 1024 MiB, and the configuration 1024 and 2048: deploy again
            BAD  game valheim: dormouse-valheim:1 is not active: deploy again
            dormouse: 2 things are wrong
            (1)"#]],
    );
}

#[test]
fn tasks_that_no_world_has_are_told() {
    let account = Account::new();
    let patient = account.patient();
    account.call(
        "AmazonEC2ContainerServiceV20141113.RunTask",
        &json!({
            "cluster": account::cluster().unwrap(), "taskDefinition": "dormouse-luanti", "startedBy": "somebody",
            "capacityProviderStrategy": [{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }],
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-0123456789abcdef0"], "securityGroups": ["sg-0123456789abcdef0"] } },
        }),
    );
    amiss(
        &patient,
        expect![[r#"
        BAD  tasks: TASK was started by somebody, not by Dormouse, and costs what it costs: `aws ecs stop-task --cluster dormouse --task TASK` ends it
        dormouse: something is wrong
        (1)"#]],
    );
}

#[test]
fn a_front_door_that_is_down_or_open_to_anybody_is_told() {
    let account = Account::new();
    let patient = account.patient();
    account.door.answer(|door| door.health = 502);
    amiss(
        &patient,
        expect![[r#"
        BAD  front door: https://front.door answers 502: the function does not start or breaks down: docs/runbook.md#front-door-errors
        dormouse: something is wrong
        (1)"#]],
    );
    account.door.answer(|door| (door.health, door.admits, door.believes) = (200, true, true));
    amiss(
        &patient,
        expect![[r#"
        BAD  front door: it lets everybody in without a token: take the service stack down (docs/aws.md) and report it
        BAD  interactions: a wrong signature is taken: anybody can command the bot; take the service stack down (docs/aws.md) and report it
        dormouse: 2 things are wrong
        (1)"#]],
    );
    account.door.answer(|door| (door.admits, door.believes, door.token) = (false, false, "another".into()));
    amiss(
        &patient,
        expect![[r#"
        BAD  front door: it does not take the token of Parameter Store: its instances read secrets when they start; deploy a changed configuration, or wait some hours
        dormouse: something is wrong
        (1)"#]],
    );
}

#[test]
fn what_discord_does_not_know_is_told() {
    let account = Account::new();
    let patient = Patient::new(&account.moto, &account.s3, &account.discord, &account.door.url).unwrap();
    account.discord.send_to("https://elsewhere.example.org/discord/interactions");
    amiss(
        &patient,
        expect![[r#"
        BAD  Discord: interactions are sent to https://elsewhere.example.org/discord/interactions: paste https://front.door/discord/interactions at https://discord.com/developers/applications/1100000000000000001/information
        BAD  Discord: in guild 1200000000000000002 /world /access /games /help are missing or older: `dormouse discord register --guild 1200000000000000002`
        dormouse: 2 things are wrong
        (1)"#]],
    );
}

#[test]
fn credentials_of_another_account_of_nobody_and_none_at_all_are_told() {
    let account = Account::new();
    let patient = account.patient();
    let configuration = std::fs::read_to_string(patient.path("dormouse.toml")).unwrap();
    patient.write("dormouse.toml", &configuration.replace("123456789012", "111122223333")).unwrap();
    amiss(
        &patient,
        expect![[r#"
        BAD  credentials: they are of account 123456789012, and the configuration names 111122223333: set another AWS_PROFILE, or mend `aws.account`
        dormouse: something is wrong
        (1)"#]],
    );
    account
        .moto
        .fault("ssm", "GetParameters", 1, emulators::When::Before, "UnrecognizedClientException", 400)
        .unwrap();
    check(
        &patient,
        expect![[r#"
        BAD  credentials: AWS does not take them (ssm:GetParameters failed: UnrecognizedClientException): sign in again, or set another AWS_PROFILE
        dormouse: something is wrong
        (1)"#]],
    );
    let none = patient
        .doctor()
        .unwrap()
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    expect![[r#"
        BAD  credentials: there are none in this environment: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` tries them out
        dormouse: something is wrong
        (1)"#]].assert_eq(&printed(&patient, said(&none).unwrap()));
}

#[test]
fn without_outputs_and_configuration_it_says_what_was_not_looked_at() {
    let account = Account::new();
    let patient = account.patient();
    let mut command = patient.dormouse(&["doctor", "--aws", "--region", account::REGION]).unwrap();
    command.args(["--discord-url", &Discord::base(account.discord.address)]);
    expect![[r#"
        ok   credentials: of account 123456789012, for dormouse in eu-central-1
        weak outputs: not given, so that much cannot be looked at: `npx cdk deploy --all --outputs-file outputs.json` writes them (and deploys nothing if nothing has changed), and --outputs outputs.json reads them
        ok   secrets: all three are in Parameter Store below /dormouse
        weak table: not looked at: its name is the output TableName, and --outputs gives none
        weak queue: not looked at: its name is the output QueueUrl, and --outputs gives none
        ok   cluster: dormouse is active
        ok   erasure: dormouse-erase:1, 0.25 cores, 512 MiB, image content
        ok   tasks: none runs
        weak bucket: not looked at: its name is the output BucketName, and --outputs gives none
        weak front door: not looked at: its name is the output FrontDoorUrl, and --outputs gives none
        (0)"#]].assert_eq(&printed(&patient, said(&command.output().unwrap()).unwrap()));
}

#[test]
fn outputs_that_lead_elsewhere_are_told() {
    let account = Account::new();
    let patient = account.patient();
    let outputs = std::fs::read_to_string(patient.path("outputs.json")).unwrap();
    let plain =
        outputs.replace(&account::bucket(), "elsewhere").replace(patient.url(), "http://plain.example.org");
    patient.write("outputs.json", &plain).unwrap();
    amiss(
        &patient,
        expect![[r#"
        BAD  secrets: /dormouse/control-url leads to https://front.door, and the front door is at http://plain.example.org: deploy again
        BAD  bucket: elsewhere is not there: are region and outputs right? Archives cannot be written
        BAD  front door: http://plain.example.org does not begin with https://, so that tokens would travel in the clear
        BAD  Discord: interactions are sent to https://front.door/discord/interactions: paste http://plain.example.org/discord/interactions at https://discord.com/developers/applications/1100000000000000001/information
        dormouse: 4 things are wrong
        (1)"#]],
    );
    patient.write("outputs.json", &outputs.replace("dormouse-service", "mouse-service")).unwrap();
    check(
        &patient,
        expect![[r#"
        dormouse: outputs.json is not what `cdk deploy --all --outputs-file` writes for dormouse: it has no stack dormouse-service
        (1)"#]],
    );
}

#[test]
fn programs_read_the_same() {
    let account = Account::new();
    let patient = account.patient();
    let output = patient.doctor().unwrap().arg("--json").output().unwrap();
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> =
        findings.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["credentials", "secrets", "table"]);
    assert!(findings.as_array().unwrap().iter().all(|one| one["verdict"] == "good"), "{findings:#}");
}

/// An account as a deployment leaves it, with a stand-in for the front door.
struct Account {
    moto: Moto,
    s3: S3,
    discord: Discord,
    door: Door,
    secrets: Secrets,
    _runtime: Runtime,
}

impl Account {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let bot = format!("MTEwMDAwMDAwMDAwMDAwMDAwMQ.GabcDe.{}", "a1".repeat(16));
        let secrets = Secrets { launch: "5e".repeat(32), api: "a9".repeat(24), bot };
        let moto = Moto::start().unwrap();
        let s3 =
            S3::start(&[&account::bucket()], "AKIADORMOUSEEXAMPLE1", "wJalrXUtnFEMIexamplekeyofthebucket")
                .unwrap();
        let mut deployed =
            account::Account::deploy(&moto, account::named().unwrap(), &secrets, VISIBILITY).unwrap();
        let discord = Discord::start(&runtime, &secrets.bot).unwrap();
        let door = Door::start(&runtime, &secrets.api);
        deployed.set_control_url(&door.url).unwrap();
        Self { moto, s3, discord, door, secrets, _runtime: runtime }
    }

    /// Returns the account with Discord's side in order, too.
    fn patient(&self) -> Patient<'_> {
        let patient = Patient::new(&self.moto, &self.s3, &self.discord, &self.door.url).unwrap();
        self.discord.send_to(&format!("{}/discord/interactions", self.door.url));
        patient.register(&self.secrets.bot).unwrap();
        patient
    }

    fn call(&self, target: &str, request: &Value) -> Value {
        call(&self.moto, target, request).unwrap()
    }
}

/// A stand-in for the front door.
struct Door {
    url: String,
    answers: Arc<Mutex<Answers>>,
}

/// How it answers.
struct Answers {
    health: u16,
    token: String,
    /// Whether it lets in whoever comes.
    admits: bool,
    /// Whether it takes signatures that are wrong.
    believes: bool,
}

impl Door {
    fn start(runtime: &Runtime, token: &str) -> Self {
        let answers = Answers { health: 200, token: token.to_owned(), admits: false, believes: false };
        let answers = Arc::new(Mutex::new(answers));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = answers.clone();
        let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap| {
            let answer = served.lock().unwrap().to(&method, uri.path(), &headers);
            async move { answer }
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, answers }
    }

    fn answer(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }
}

impl Answers {
    fn to(&self, method: &Method, path: &str, headers: &HeaderMap) -> (StatusCode, Json<Value>) {
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        let is_known = given == Some(&format!("Bearer {}", self.token));
        let (status, body) = match (method.as_str(), path) {
            ("GET", "/healthz") => (self.health, json!({ "ok": true })),
            ("GET", "/v1/worlds") if is_known || self.admits => (200, json!({ "worlds": [] })),
            ("POST", "/discord/interactions") if self.believes => (200, json!({ "type": 1 })),
            _ => (401, json!({ "error": "no", "hint": "none" })),
        };
        (StatusCode::from_u16(status).unwrap(), Json(body))
    }
}

/// Compares everything that the doctor says.
fn check(patient: &Patient<'_>, expected: Expect) {
    expected.assert_eq(&printed(patient, patient.examine().unwrap()));
}

/// Compares what the doctor says is amiss.
fn amiss(patient: &Patient<'_>, expected: Expect) {
    let all = printed(patient, patient.examine().unwrap());
    let lines: Vec<_> = all.lines().filter(|line| !line.starts_with("ok ")).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// Returns what was printed, without what is otherwise each time.
fn printed(patient: &Patient<'_>, (text, code): (String, Option<i32>)) -> String {
    let text = text.replace(patient.url(), "https://front.door");
    let is_task = |word: &&str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let tasks: Vec<_> = text.split([' ', '`', '\n']).filter(is_task).collect();
    let plain = tasks.iter().fold(text.clone(), |plain, task| plain.replace(task, "TASK"));
    format!("{plain}({})", code.unwrap())
}
