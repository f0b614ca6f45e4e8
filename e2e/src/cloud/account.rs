//! The AWS account as a deployment leaves it: a table, two queues, a cluster, task definitions, secrets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emulators::Moto;
use serde_json::{Value, json};

/// The region of everything.
pub const REGION: &str = "us-east-1";

/// The table of worlds.
pub const TABLE: &str = "dormouse-worlds";

/// The queue between the two functions, and the one for what could not be done.
pub const QUEUE: &str = "dormouse-looks";

/// The queue of dead letters.
pub const DEAD: &str = "dormouse-dead";

/// The bucket of archives.
pub const BUCKET: &str = "dormouse-archives";

/// The cluster.
pub const CLUSTER: &str = "dormouse";

/// The path of the secrets in Parameter Store.
pub const PARAMETERS: &str = "/dormouse";

/// How often a message may fail before it counts as dead.
const MOST_RECEIVES: u32 = 20;

/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// What has to be kept secret.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// What launch tokens are derived from, in hexadecimal digits.
    pub launch: String,
    /// The token of people's programs.
    pub api: String,
    /// The bot's token.
    pub bot: String,
}

/// Sets the account up, and returns the URL of the queue. A message that was received stays out of sight for `visibility`.
pub fn deploy(moto: &Moto, secrets: &Secrets, visibility: Duration) -> Result<String> {
    make_table(moto)?;
    let dead = call(moto, "AmazonSQS.CreateQueue", &json!({ "QueueName": DEAD }))?;
    let asked = json!({ "QueueUrl": dead["QueueUrl"], "AttributeNames": ["QueueArn"] });
    let dead = call(moto, "AmazonSQS.GetQueueAttributes", &asked)?;
    let redrive = json!({
        "deadLetterTargetArn": dead["Attributes"]["QueueArn"], "maxReceiveCount": MOST_RECEIVES.to_string(),
    });
    let attributes = json!({ "VisibilityTimeout": visibility.as_secs().to_string(), "RedrivePolicy": redrive.to_string() });
    let queue =
        call(moto, "AmazonSQS.CreateQueue", &json!({ "QueueName": QUEUE, "Attributes": attributes }))?;
    make_cluster(moto)?;
    for (name, value) in
        [("launch-secret", &secrets.launch), ("api-token", &secrets.api), ("discord-token", &secrets.bot)]
    {
        let name = format!("{PARAMETERS}/{name}");
        call(
            moto,
            "AmazonSSM.PutParameter",
            &json!({ "Name": name, "Value": value, "Type": "SecureString" }),
        )?;
    }
    queue["QueueUrl"].as_str().map(str::to_owned).context("the queue has no URL")
}

/// Says where people reach the front door.
pub fn set_control_url(moto: &Moto, url: &str) -> Result<()> {
    let name = format!("{PARAMETERS}/control-url");
    call(moto, "AmazonSSM.PutParameter", &json!({ "Name": name, "Value": url, "Type": "String" })).map(drop)
}

/// Has messages that are received stay out of sight for `visibility` from now on.
pub fn set_visibility(moto: &Moto, visibility: Duration) -> Result<()> {
    let url = call(moto, "AmazonSQS.GetQueueUrl", &json!({ "QueueName": QUEUE }))?;
    let attributes = json!({ "VisibilityTimeout": visibility.as_secs().to_string() });
    let set = json!({ "QueueUrl": url["QueueUrl"], "Attributes": attributes });
    call(moto, "AmazonSQS.SetQueueAttributes", &set).map(drop)
}

/// Returns how many messages are dead.
pub fn dead_letters(moto: &Moto) -> Result<u64> {
    let url = call(moto, "AmazonSQS.GetQueueUrl", &json!({ "QueueName": DEAD }))?;
    let asked = json!({ "QueueUrl": url["QueueUrl"], "AttributeNames": ["ApproximateNumberOfMessages"] });
    let answer = call(moto, "AmazonSQS.GetQueueAttributes", &asked)?;
    let count = answer["Attributes"]["ApproximateNumberOfMessages"].as_str();
    Ok(count.context("no number of messages")?.parse()?)
}

fn make_table(moto: &Moto) -> Result<()> {
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let text = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
    let table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [key("pk", "HASH"), key("sk", "RANGE")],
        "AttributeDefinitions": [text("pk"), text("sk"), text("unsettled"), text("id")],
        "GlobalSecondaryIndexes": [{
            "IndexName": "unsettled",
            "KeySchema": [key("unsettled", "HASH"), key("id", "RANGE")],
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        }],
    });
    call(moto, "DynamoDB_20120810.CreateTable", &table)?;
    let recovery = json!({
        "TableName": TABLE, "PointInTimeRecoverySpecification": { "PointInTimeRecoveryEnabled": true },
    });
    call(moto, "DynamoDB_20120810.UpdateContinuousBackups", &recovery).map(drop)
}

fn make_cluster(moto: &Moto) -> Result<()> {
    let cluster = json!({ "clusterName": CLUSTER, "capacityProviders": ["FARGATE", "FARGATE_SPOT"] });
    call(moto, "AmazonEC2ContainerServiceV20141113.CreateCluster", &cluster)?;
    for family in ["dormouse-luanti", "dormouse-erase"] {
        let mount = |volume: &str, path: &str| json!({ "sourceVolume": volume, "containerPath": path });
        let watchdog = json!({
            "name": "watchdog",
            "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/dormouse/luanti:1",
            "essential": true,
            "stopTimeout": 120,
            "entryPoint": ["/dormouse", "watchdog"],
            "command": ["run"],
            "mountPoints": [mount("worlds", "/worlds"), mount("task", "/task")],
        });
        let definition = json!({
            "family": family,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
            "cpu": "512",
            "memory": "1024",
            "containerDefinitions": [watchdog],
            "volumes": [
                { "name": "worlds", "efsVolumeConfiguration": { "fileSystemId": "fs-0123456789abcdef0" } },
                { "name": "task" },
            ],
        });
        call(moto, "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition", &definition)?;
    }
    Ok(())
}

/// Returns what `cdk deploy --outputs-file` writes of a deployment whose front door is at `url`.
pub fn outputs(moto: &Moto, url: &str) -> Result<Value> {
    let queue = |name: &str| -> Result<Value> {
        Ok(call(moto, "AmazonSQS.GetQueueUrl", &json!({ "QueueName": name }))?["QueueUrl"].clone())
    };
    Ok(json!({
        "dormouse-stateful": {
            "TableName": TABLE, "BucketName": BUCKET, "FileSystemId": "fs-0123456789abcdef0",
        },
        "dormouse-service": {
            "FrontDoorUrl": format!("{url}/"),
            "InteractionsEndpoint": format!("{url}/discord/interactions"),
            "QueueUrl": queue(QUEUE)?, "DeadLetterUrl": queue(DEAD)?,
            "ClusterName": CLUSTER, "ParameterPath": PARAMETERS,
        },
    }))
}

/// Makes one call, `target` being its name in the header `X-Amz-Target`, as whoever deploys.
pub fn call(moto: &Moto, target: &str, request: &Value) -> Result<Value> {
    let service = match target.split(['.', '_']).next() {
        Some("DynamoDB") => "dynamodb",
        Some("AmazonSQS") => "sqs",
        Some("AmazonSSM") => "ssm",
        _ => "ecs",
    };
    let scope = format!("deployer/20260101/{REGION}/{service}/aws4_request");
    let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
    let mut answer = agent(CALL_LIMIT)
        .post(moto.url())
        .header("Authorization", authorization)
        .header("X-Amz-Target", target)
        .header("Content-Type", "application/x-amz-json-1.1")
        .send(request.to_string())
        .with_context(|| format!("calling {target}"))?;
    let text = answer.body_mut().read_to_string()?;
    ensure!(answer.status() == 200, "{target}: {}: {text}", answer.status());
    Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
}

/// Returns a client that takes every status for an answer.
pub(super) fn agent(limit: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).build().into()
}
