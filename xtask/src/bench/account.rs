//! The emulated AWS account behind the functions, and calls of it without any SDK.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use emulators::Moto;
use serde_json::{Value, json};

use super::{
    discord::{APPLICATION, Discord, GUILD},
    http::Client,
};

const TABLE: &str = "worlds";
const QUEUE: &str = "looks";

/// The account.
pub(super) struct Account {
    moto: Moto,
    client: Client,
    queue_url: String,
}

/// A call of AWS, to be made without any SDK.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Such as `dynamodb`.
    service: String,
    /// Such as `PutItem`.
    pub(super) action: String,
    body: Value,
}

impl Account {
    /// Starts the account, with what both functions need in it.
    pub(super) fn open() -> Result<Self> {
        let moto = Moto::start()?;
        let client = Client::new(moto.url())?;
        let mut account = Self { moto, client, queue_url: String::new() };
        account.make("dynamodb", "CreateTable", table())?;
        let queue = account.make("sqs", "CreateQueue", json!({ "QueueName": QUEUE }))?;
        account.queue_url = queue["QueueUrl"].as_str().context("the queue has no URL")?.to_owned();
        // A secret of nobody's, as long as a real one.
        for (name, value) in [("launch-secret", "5e".repeat(32)), ("api-token", "7a".repeat(32))] {
            let parameter =
                json!({ "Name": format!("/dormouse/{name}"), "Value": value, "Type": "SecureString" });
            account.make("ssm", "PutParameter", parameter)?;
        }
        Ok(account)
    }

    /// Returns the environment of both functions.
    pub(super) fn environment(&self, discord: &Discord) -> Vec<(String, String)> {
        let (key, nowhere) = (discord.public_key(), "http://127.0.0.1:1");
        let all = [
            ("AWS_ENDPOINT_URL", self.moto.url()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "of no use"),
            ("DORMOUSE_TABLE", TABLE),
            ("DORMOUSE_QUEUE_URL", &self.queue_url),
            ("DORMOUSE_BUCKET", "archives"),
            ("DORMOUSE_PARAMETERS", "/dormouse"),
            ("DORMOUSE_DISCORD_APPLICATION", APPLICATION),
            ("DORMOUSE_DISCORD_PUBLIC_KEY", &key),
            ("DORMOUSE_DISCORD_GUILDS", GUILD),
            ("DORMOUSE_DISCORD_API", nowhere),
            ("DORMOUSE_GAMES", "luanti=512/1024"),
            ("DORMOUSE_CLUSTER", "dormouse"),
            ("DORMOUSE_SUBNETS", "subnet-1,subnet-2"),
            ("DORMOUSE_SECURITY_GROUPS", "sg-1"),
            ("DORMOUSE_GAME_SECURITY_GROUPS", "luanti=sg-2"),
            ("DORMOUSE_CONTROL_URL", nowhere),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// Makes a call, and returns its answer and the time that it took.
    pub(super) fn call(&self, call: &Call) -> Result<(Value, Duration)> {
        let Call { service, action, body } = call;
        let (target, content) = protocol(service)?;
        let target = format!("{target}.{action}");
        let headers = [("X-Amz-Target", target.as_str()), ("Content-Type", content)];
        let body = body.to_string();
        let begun = Instant::now();
        let answer = self.client.post(&headers, &body);
        let took = begun.elapsed();
        let (status, answer) = answer.with_context(|| action.clone())?;
        ensure!(status == 200, "{action} is refused: {}", String::from_utf8_lossy(&answer));
        Ok((serde_json::from_slice(&answer).unwrap_or_default(), took))
    }

    fn make(&self, service: &str, action: &str, body: Value) -> Result<Value> {
        let call = Call { service: service.to_owned(), action: action.to_owned(), body };
        self.call(&call).map(|(answer, _)| answer)
    }

    /// Returns the calls that are made while `act` is done, to be made again.
    pub(super) fn calls_of(&self, act: impl FnOnce() -> Result<()>) -> Result<Vec<Call>> {
        self.moto.clear_calls()?;
        act()?;
        let calls = self.moto.calls()?.into_iter().map(|call| {
            let action = call.action;
            // The emulator keeps the beginning of a request; what is cut is not repeated.
            let body = serde_json::from_str(&call.params).unwrap_or_default();
            Call { service: call.service, action, body }
        });
        Ok(calls.collect())
    }

    /// Returns a call that writes the world's record once more as it is now, whatever stands there then.
    pub(super) fn rewrite_world(&self) -> Result<Call> {
        let query = json!({
            "TableName": TABLE,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :world)",
            "ExpressionAttributeValues": { ":pk": { "S": format!("guild#{GUILD}") }, ":world": { "S": "world#" } },
        });
        let found = self.make("dynamodb", "Query", query)?;
        let item = found["Items"].get(0).context("the world is not in the table")?;
        let body = json!({ "TableName": TABLE, "Item": item });
        Ok(Call { service: "dynamodb".to_owned(), action: "PutItem".to_owned(), body })
    }
}

/// Returns what the service's actions are called by, and how its requests are typed.
fn protocol(service: &str) -> Result<(&'static str, &'static str)> {
    Ok(match service {
        "dynamodb" => ("DynamoDB_20120810", "application/x-amz-json-1.0"),
        "sqs" => ("AmazonSQS", "application/x-amz-json-1.0"),
        "ssm" => ("AmazonSSM", "application/x-amz-json-1.1"),
        other => bail!("an interaction has no business with {other}"),
    })
}

/// The table as `adapters/src/store/dynamodb.rs` describes it.
fn table() -> Value {
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": (["pk", "sk", "unsettled", "id"].map(text)),
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        "GlobalSecondaryIndexes": [{
            "IndexName": "unsettled",
            "KeySchema": [key("unsettled", "HASH"), key("id", "RANGE")],
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        }],
    })
}
