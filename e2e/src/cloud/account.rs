//! The AWS account as a deployment leaves it: what of the templates there is an emulator for, and the secrets. Tables, queues
//! and task definitions are as the template says; only time is shorter here.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emulators::Moto;
use serde_json::{Map, Value, json};

use super::template::{Template, as_service};

/// The region of everything.
pub const REGION: &str = "eu-central-1";

/// The account's number in the emulators.
pub const ACCOUNT: &str = "123456789012";

/// That of the account which the template is made for.
pub const TEMPLATES_ACCOUNT: &str = "111122223333";

/// The logical id of the table, which is its name here.
pub const TABLE: &str = "WorldsTable";

/// That of the dead letters.
pub const DEAD: &str = "LooksDead";

/// Those of what else there is one of.
const BUCKET: &str = "ArchivesBucket";
const QUEUE: &str = "LooksQueue";
const CLUSTER: &str = "TasksCluster";
const CONTROL_URL: &str = "SecretsControlUrl";

/// The address of the front door, in the template.
const FRONT_DOOR_URL: &str = "FrontDoorFunctionFunctionUrl.FunctionUrl";

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

/// An account, and what was deployed there.
pub struct Account<'a> {
    moto: &'a Moto,
    /// The template, which knows what has become of it.
    pub template: Template,
}

/// Returns the name of the queue of looks.
pub fn queue() -> &'static str {
    QUEUE
}

/// Returns the name of the bucket. S3 takes no capitals.
pub fn bucket() -> String {
    BUCKET.to_lowercase()
}

/// Returns the name of the cluster.
pub fn cluster() -> Result<String> {
    let cluster = Template::read()?.properties(CLUSTER)?["ClusterName"].as_str().map(str::to_owned);
    cluster.context("a cluster without name")
}

/// Returns the path of the secrets in Parameter Store.
pub fn parameters(template: &Template) -> Result<String> {
    let environment = &template.properties("FrontDoorFunction")?["Environment"]["Variables"];
    environment["DORMOUSE_PARAMETERS"].as_str().map(str::to_owned).context("there is no path of the secrets")
}

/// Returns the template with the names that everything will have.
pub fn named() -> Result<Template> {
    let mut template = Template::read()?;
    for queue in [QUEUE, DEAD] {
        template.learn(&format!("{queue}.Arn"), arn("sqs", queue));
    }
    template.learn(TABLE, TABLE);
    template.learn(&format!("{TABLE}.Arn"), arn("dynamodb", &format!("table/{TABLE}")));
    template.learn(BUCKET, bucket());
    template.learn(&format!("{BUCKET}.Arn"), format!("arn:aws:s3:::{}", bucket()));
    let cluster = cluster()?;
    template.learn(&format!("{CLUSTER}.Arn"), arn("ecs", &format!("cluster/{cluster}")));
    template.learn(CLUSTER, cluster);
    for function in template.ids("AWS::Lambda::Function") {
        template.learn(&format!("{function}.Arn"), arn("lambda", &format!("function:{function}")));
        template.learn(&function, function.as_str());
    }
    for role in ["TasksTaskRole", "TasksExecutionRole"] {
        template.learn(&format!("{role}.Arn"), format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
    }
    Ok(template)
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}

impl<'a> Account<'a> {
    /// Sets the account up as `template` says. A message that was received stays out of sight for `visibility`, which is less
    /// than the template's, since nobody has minutes here.
    pub fn deploy(
        moto: &'a Moto,
        template: Template,
        secrets: &Secrets,
        visibility: Duration,
    ) -> Result<Self> {
        let mut account = Self { moto, template };
        account.make_table()?;
        account.make_queue(DEAD)?;
        account.make_queue(QUEUE)?;
        let shorter = json!({
            "QueueUrl": queue_url(moto), "Attributes": { "VisibilityTimeout": visibility.as_secs().to_string() },
        });
        call(moto, "AmazonSQS.SetQueueAttributes", &shorter)?;
        account.make_cluster()?;
        account.keep(secrets)?;
        Ok(account)
    }

    fn make_table(&self) -> Result<()> {
        let mut table = self.template.properties(TABLE)?;
        table["TableName"] = json!(TABLE);
        // An act of its own, after the table is there.
        let recovery =
            table.as_object_mut().and_then(|table| table.remove("PointInTimeRecoverySpecification"));
        call(self.moto, "DynamoDB_20120810.CreateTable", &table)?;
        let recovery = json!({ "TableName": TABLE, "PointInTimeRecoverySpecification": recovery });
        call(self.moto, "DynamoDB_20120810.UpdateContinuousBackups", &recovery).map(drop)
    }

    fn make_queue(&mut self, id: &str) -> Result<()> {
        let properties = self.template.properties(id)?;
        // The interface takes every attribute as text.
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let attributes: Map<String, Value> = properties
            .as_object()
            .with_context(|| format!("{id} has no properties"))?
            .iter()
            .map(|(name, value)| (name.clone(), json!(text(value))))
            .collect();
        let asked = json!({ "QueueName": id, "Attributes": attributes });
        let made = call(self.moto, "AmazonSQS.CreateQueue", &asked)?;
        self.template.learn(id, made["QueueUrl"].as_str().context("the queue has no URL")?);
        Ok(())
    }

    fn make_cluster(&self) -> Result<()> {
        const ECS: &str = "AmazonEC2ContainerServiceV20141113";
        let cluster = as_service(&self.template.properties(CLUSTER)?);
        // The interface's own word for it.
        let cluster = json!({
            "clusterName": cluster["clusterName"], "capacityProviders": cluster["capacityProviders"],
            "settings": cluster["clusterSettings"],
        });
        call(self.moto, &format!("{ECS}.CreateCluster"), &cluster)?;
        for id in self.template.ids("AWS::ECS::TaskDefinition") {
            let mut definition = as_service(&self.template.properties(&id)?);
            for volume in definition["volumes"].as_array_mut().into_iter().flatten() {
                // CloudFormation spells it its own way.
                let efs = volume.get_mut("efsVolumeConfiguration").and_then(Value::as_object_mut);
                if let Some(efs) = efs
                    && let Some(id) = efs.remove("filesystemId")
                {
                    efs.insert("fileSystemId".into(), id);
                }
            }
            // Its images are in the account that the template was made for.
            for container in definition["containerDefinitions"].as_array_mut().into_iter().flatten() {
                let image = container["image"].as_str().context("a container without an image")?;
                container["image"] = json!(image.replace(TEMPLATES_ACCOUNT, ACCOUNT));
            }
            call(self.moto, &format!("{ECS}.RegisterTaskDefinition"), &definition)?;
        }
        Ok(())
    }

    /// Keeps what deploy asks people for.
    fn keep(&self, secrets: &Secrets) -> Result<()> {
        for (name, value) in
            [("launch-secret", &secrets.launch), ("api-token", &secrets.api), ("discord-token", &secrets.bot)]
        {
            let name = format!("{}/{name}", parameters(&self.template)?);
            let parameter = json!({ "Name": name, "Value": value, "Type": "SecureString" });
            call(self.moto, "AmazonSSM.PutParameter", &parameter)?;
        }
        Ok(())
    }

    /// Says where people reach the front door.
    pub fn set_control_url(&mut self, url: &str) -> Result<()> {
        self.template.learn(FRONT_DOOR_URL, url);
        let parameter = self.template.properties(CONTROL_URL)?;
        call(self.moto, "AmazonSSM.PutParameter", &parameter).map(drop)
    }
}

/// Returns the URL of the queue of looks.
pub fn queue_url(moto: &Moto) -> String {
    format!("{}/{ACCOUNT}/{QUEUE}", moto.url())
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

/// Returns what `cdk deploy --outputs-file` writes of a deployment whose front door is at `url`.
pub fn outputs(moto: &Moto, url: &str) -> Result<Value> {
    let dead = call(moto, "AmazonSQS.GetQueueUrl", &json!({ "QueueName": DEAD }))?;
    let mut template = named()?;
    template.learn(QUEUE, queue_url(moto));
    Ok(json!({
        "dormouse-stateful": {
            "TableName": TABLE, "BucketName": bucket(), "FileSystemId": "fs-0123456789abcdef0",
        },
        "dormouse-service": {
            "FrontDoorUrl": format!("{url}/"),
            "InteractionsEndpoint": format!("{url}/discord/interactions"),
            "QueueUrl": queue_url(moto), "DeadLetterUrl": dead["QueueUrl"],
            "ClusterName": cluster()?, "ParameterPath": parameters(&template)?,
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
