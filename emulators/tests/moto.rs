//! The account, over HTTP as an SDK sends it: JSON and the name of the action in a header.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use emulators::{Moto, Options, When};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_client_token_gives_one_task_also_after_it_stopped_until_it_is_forgotten() -> Result<()> {
    let account = Account::new(&Options::default())?;
    let first = account.run("token-1")?;
    assert_eq!(account.run("token-1")?, first);
    account.ecs("StopTask", &json!({"cluster": "c", "task": first}))?;
    account.reaches(&first, "STOPPED")?;
    assert_eq!(account.run("token-1")?, first);
    let other = json!({"startedBy": "somebody-else", "clientToken": "token-1"});
    account.refuses("RunTask", &run_request(&other), expect!["ConflictException"]);
    account.moto.forget_stopped_tasks()?;
    assert_ne!(account.run("token-1")?, first);
    Ok(())
}

#[test]
fn a_task_goes_up_and_down_through_every_state() -> Result<()> {
    let account = Account::new(&Options { stage: Some(Duration::from_millis(700)), ..Options::default() })?;
    let task = account.run("t")?;
    let mut seen = account.states_until(&task, "RUNNING")?;
    account.ecs("StopTask", &json!({"cluster": "c", "task": task, "reason": "bedtime"}))?;
    seen.extend(account.states_until(&task, "STOPPED")?);
    expect![[r#"
        PROVISIONING, desired RUNNING
        PENDING, desired RUNNING
        ACTIVATING, desired RUNNING
        RUNNING, desired RUNNING
        RUNNING, desired STOPPED
        DEACTIVATING, desired STOPPED
        STOPPING, desired STOPPED
        DEPROVISIONING, desired STOPPED
        STOPPED, desired STOPPED
    "#]]
    .assert_eq(&(seen.join("\n") + "\n"));
    let end = account.describe(&task)?;
    expect!["UserInitiated, bedtime: watchdog STOPPED 143, game STOPPED 143"].assert_eq(&ending(&end));
    Ok(())
}

#[test]
fn a_task_ends_as_a_test_says() -> Result<()> {
    let account = Account::new(&Options::default())?;
    let (spot, crash) = (account.run("a")?, account.run("b")?);
    account.reaches(&spot, "RUNNING")?;
    account.reaches(&crash, "RUNNING")?;
    account.moto.end_task(
        &spot,
        "SpotInterruption",
        "Your Spot Task was interrupted.",
        &[("watchdog", 0)],
    )?;
    account.moto.end_task(
        &crash,
        "EssentialContainerExited",
        "Essential container in task exited",
        &[("watchdog", 1), ("game", 137)],
    )?;
    account.reaches(&crash, "STOPPED")?;
    account.reaches(&spot, "STOPPED")?;
    expect!["SpotInterruption, Your Spot Task was interrupted.: watchdog STOPPED 0, game STOPPED 143"]
        .assert_eq(&ending(&account.describe(&spot)?));
    expect![
        "EssentialContainerExited, Essential container in task exited: watchdog STOPPED 1, game STOPPED 137"
    ]
    .assert_eq(&ending(&account.describe(&crash)?));
    let never = account.run("c")?;
    account.moto.end_task(&never, "TaskFailedToStart", "CannotPullContainerError", &[])?;
    account.reaches(&never, "STOPPED")?;
    expect!["TaskFailedToStart, CannotPullContainerError: watchdog STOPPED, game STOPPED"]
        .assert_eq(&ending(&account.describe(&never)?));
    Ok(())
}

#[test]
fn lists_are_filtered_and_come_in_pages() -> Result<()> {
    let account = Account::new(&Options::default())?;
    let tasks: Vec<String> = (0..3).map(|n| account.run(&format!("t{n}"))).collect::<Result<_>>()?;
    account.ecs("StopTask", &json!({"cluster": "c", "task": tasks[0]}))?;
    let list = |more: Value| {
        let answer = account.ecs("ListTasks", &merged(json!({"cluster": "c"}), &more))?;
        Ok::<_, anyhow::Error>(answer["taskArns"].as_array().context("no list")?.len())
    };
    assert_eq!(list(json!({}))?, 2);
    assert_eq!(list(json!({"desiredStatus": "STOPPED"}))?, 1);
    assert_eq!(list(json!({"startedBy": "dormouse"}))?, 2);
    assert_eq!(list(json!({"startedBy": "nobody"}))?, 0);
    assert_eq!(list(json!({"family": "nothing"}))?, 0);
    let page = account.ecs("ListTasks", &json!({"cluster": "c", "maxResults": 1}))?;
    let next = json!({"cluster": "c", "maxResults": 1, "nextToken": page["nextToken"]});
    let last = account.ecs("ListTasks", &next)?;
    assert_ne!(page["taskArns"], last["taskArns"]);
    assert_eq!(last["nextToken"], Value::Null);
    Ok(())
}

#[test]
fn tags_are_shown_on_demand_and_unknown_tasks_are_failures() -> Result<()> {
    let account = Account::new(&Options::default())?;
    let task = account.run("t")?;
    assert_eq!(account.describe(&task)?["tags"], json!([]));
    let asked = json!({"cluster": "c", "tasks": [task, "0".repeat(32)], "include": ["TAGS"]});
    let answer = account.ecs("DescribeTasks", &asked)?;
    assert_eq!(answer["tasks"][0]["tags"], json!([{"key": "world", "value": "valhalla"}]));
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    account.moto.set_visible_after(Duration::from_secs(3600))?;
    assert_eq!(account.ecs("DescribeTasks", &asked)?["failures"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[test]
fn what_ecs_would_not_accept_is_refused() -> Result<()> {
    let account = Account::new(&Options::default())?;
    let bad = [
        (json!({"clientToken": "x".repeat(65)}), expect!["InvalidParameterException"]),
        (json!({"startedBy": "a world"}), expect!["InvalidParameterException"]),
        (json!({"noSuchMember": 1}), expect!["InvalidParameterException"]),
        (json!({"count": 11}), expect!["InvalidParameterException"]),
        (json!({"launchType": "LAMBDA"}), expect!["InvalidParameterException"]),
        (json!({"networkConfiguration": null}), expect!["InvalidParameterException"]),
        (json!({"taskDefinition": "nothing"}), expect!["ClientException"]),
        (json!({"cluster": "nothing"}), expect!["ClusterNotFoundException"]),
        (json!({"tags": [{"key": "aws:x", "value": ""}]}), expect!["InvalidParameterException"]),
        (
            json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}),
            expect!["InvalidParameterException"],
        ),
        (
            json!({"overrides": {"containerOverrides": [{"name": "nobody"}]}}),
            expect!["InvalidParameterException"],
        ),
    ];
    for (more, code) in bad {
        account.refuses("RunTask", &run_request(&more), code);
    }
    let stop = json!({"cluster": "c", "task": "0".repeat(32)});
    account.refuses("StopTask", &stop, expect!["InvalidParameterException"]);
    account.refuses(
        "DescribeTasks",
        &json!({"cluster": "c", "tasks": []}),
        expect!["InvalidParameterException"],
    );
    let odd_size = merged(definition(), &json!({"memory": "700"}));
    account.refuses("RegisterTaskDefinition", &odd_size, expect!["ClientException"]);
    Ok(())
}

#[test]
fn a_fault_before_does_nothing_and_a_fault_after_takes_effect() -> Result<()> {
    let account = Account::new(&Options::default())?;
    let queue = account.sqs("CreateQueue", &json!({"QueueName": "q"}))?["QueueUrl"].clone();
    account.moto.clear_calls()?;
    account.moto.fault("sqs", "SendMessage", 1, When::Before, "ThrottlingException", 400)?;
    account.moto.fault("sqs", "SendMessage", 1, When::After, "InternalError", 500)?;
    for body in ["lost", "kept", "plain"] {
        let _ = account.sqs("SendMessage", &json!({"QueueUrl": queue, "MessageBody": body}));
    }
    let got = account.sqs("ReceiveMessage", &json!({"QueueUrl": queue, "MaxNumberOfMessages": 10}))?;
    let bodies: Vec<_> =
        got["Messages"].as_array().context("no messages")?.iter().map(|m| &m["Body"]).collect();
    assert_eq!(bodies, ["kept", "plain"]);
    let calls = account.moto.calls()?;
    let calls: Vec<_> = calls.iter().map(|call| (call.action.as_str(), call.status)).collect();
    let expected = [Some(400), Some(500), Some(200)].map(|status| ("SendMessage", status));
    assert_eq!(calls[..3], expected);
    assert_eq!(account.moto.clear_faults()?, 0);
    Ok(())
}

#[test]
fn want_of_capacity_is_a_failure_and_no_error() -> Result<()> {
    let account = Account::new(&Options::default())?;
    account.moto.no_capacity(1)?;
    let answer = account.ecs("RunTask", &run_request(&json!({"clientToken": "t"})))?;
    assert_eq!(answer["tasks"], json!([]));
    assert!(answer["failures"][0]["reason"].to_string().contains("Capacity is unavailable"));
    account.run("t")?;
    Ok(())
}

#[test]
fn each_change_of_a_task_is_an_event() -> Result<()> {
    let queue = "task-events";
    let account = Account::new(&Options { task_events_queue: Some(queue.to_owned()), ..Options::default() })?;
    let url = account.sqs("CreateQueue", &json!({"QueueName": queue}))?["QueueUrl"].clone();
    account.moto.repeat_task_events()?;
    let task = account.run("t")?;
    account.reaches(&task, "RUNNING")?;
    let mut seen = Vec::new();
    let begun = Instant::now();
    while seen.len() < 8 {
        ensure!(begun.elapsed() < LIMIT, "only {seen:?}");
        let got = account.sqs("ReceiveMessage", &json!({"QueueUrl": url, "MaxNumberOfMessages": 10}))?;
        for message in got["Messages"].as_array().into_iter().flatten() {
            let event: Value = serde_json::from_str(message["Body"].as_str().context("no body")?)?;
            assert_eq!(event["detail-type"], "ECS Task State Change");
            assert_eq!(event["resources"], json!([task]));
            seen.push(event["detail"]["lastStatus"].as_str().context("no status")?.to_owned());
        }
    }
    assert_eq!(seen.iter().filter(|status| *status == "RUNNING").count(), 2);
    Ok(())
}

#[test]
fn a_stand_in_for_fargate_says_what_becomes_of_a_task() -> Result<()> {
    let spool = tempfile::tempdir()?;
    let options = Options { fargate_directory: Some(spool.path().to_owned()), ..Options::default() };
    let account = Account::new(&options)?;
    let task = account.run("t")?;
    let directory = spool.path().join(task.rsplit('/').next().context("no id")?);
    let order: Value = serde_json::from_slice(&std::fs::read(directory.join("task.json"))?)?;
    assert_eq!(order["taskDefinition"]["containerDefinitions"][1]["name"], "game");
    assert_eq!(order["overrides"]["containerOverrides"][0]["name"], "game");
    let say = |status: Value| -> Result<()> {
        std::fs::write(directory.join("draft"), status.to_string())?;
        Ok(std::fs::rename(directory.join("draft"), directory.join("status.json"))?)
    };
    let container = |name: &str, status: &str| json!({"name": name, "lastStatus": status});
    say(
        json!({"lastStatus": "RUNNING", "privateIp": "10.1.2.3", "containers": [container("watchdog", "RUNNING"), container("game", "RUNNING")]}),
    )?;
    account.reaches(&task, "RUNNING")?;
    account.ecs("StopTask", &json!({"cluster": "c", "task": task, "reason": "bedtime"}))?;
    assert_eq!(std::fs::read_to_string(directory.join("stop.json"))?.parse::<Value>()?["reason"], "bedtime");
    assert_eq!(account.describe(&task)?["lastStatus"], "RUNNING");
    say(
        json!({"lastStatus": "STOPPED", "containers": [{"name": "watchdog", "lastStatus": "STOPPED", "exitCode": 0}, {"name": "game", "lastStatus": "STOPPED", "exitCode": 137, "reason": "OutOfMemoryError"}]}),
    )?;
    account.reaches(&task, "STOPPED")?;
    expect!["UserInitiated, bedtime: watchdog STOPPED 0, game STOPPED 137"]
        .assert_eq(&ending(&account.describe(&task)?));
    Ok(())
}

#[test]
fn a_replayed_transaction_token_changes_nothing() -> Result<()> {
    let account = Account::new(&Options::default())?;
    account.create_table()?;
    let put = |key: &str, token: &str| {
        let item = json!({"Put": {"TableName": "t", "Item": {"k": {"S": key}}, "ConditionExpression": "attribute_not_exists(k)"}});
        json!({"TransactItems": [item], "ClientRequestToken": token})
    };
    account.dynamodb("TransactWriteItems", &put("a", "one"))?;
    account.dynamodb("TransactWriteItems", &put("a", "one"))?;
    let refusal = |request: &Value| account.call("DynamoDB_20120810", "TransactWriteItems", request).err();
    assert!(refusal(&put("b", "one")).is_some_and(|e| e.to_string().contains("IdempotentParameterMismatch")));
    assert!(refusal(&put("a", "two")).is_some_and(|e| e.to_string().contains("TransactionCanceled")));
    Ok(())
}

#[test]
fn what_dynamodb_would_not_accept_is_refused() -> Result<()> {
    let account = Account::new(&Options::default())?;
    account.create_table()?;
    let put = |more: Value| {
        let request = merged(json!({"TableName": "t", "Item": {"k": {"S": "a"}}}), &more);
        let refusal = account.dynamodb("PutItem", &request).err().map(|error| error.to_string());
        refusal.unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned()
    };
    let value = json!({":v": {"N": "1"}});
    let cases = [
        put(json!({"ConditionExpression": "state = :v", "ExpressionAttributeValues": value})),
        put(json!({"ConditionExpression": "a = b", "ExpressionAttributeValues": value})),
        put(json!({"ConditionExpression": "a = :w"})),
        put(json!({"ReturnValues": "EVERYTHING"})),
        put(json!({"Item": {"k": {"S": "a"}, "guild": {"N": "1"}}})),
        put(
            json!({"ConditionExpression": "attribute_not_exists(k) OR v = :v", "ExpressionAttributeValues": value}),
        ),
    ];
    expect![[r#"
        ValidationException: "Invalid ConditionExpression: Attribute name is a reserved keyword; reserved keyword: state"
        ValidationException: "Value provided in ExpressionAttributeValues unused in expressions: :v"
        ValidationException: "ExpressionAttributeValues defines no :w"
        ValidationException: ".ReturnValues: `EVERYTHING` must be one of NONE, ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATED_NEW"
        ValidationException: "One or more parameter values were invalid: Type mismatch for Index Key guild Expected: S Actual: N"
    "#]]
    .assert_eq(&(cases.join("\n")));
    Ok(())
}

#[test]
fn a_write_on_condition_is_won_by_one_of_many() -> Result<()> {
    let account = Account::new(&Options::default())?;
    account.create_table()?;
    let put = json!({"TableName": "t", "Item": {"k": {"S": "a"}}, "ConditionExpression": "attribute_not_exists(k)"});
    let won = thread::scope(|scope| {
        let writers: Vec<_> =
            (0..16).map(|_| scope.spawn(|| account.dynamodb("PutItem", &put).is_ok())).collect();
        writers.into_iter().filter_map(|writer| writer.join().ok()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
    Ok(())
}

/// An account with a cluster and a task definition.
struct Account {
    moto: Moto,
}

impl Account {
    fn new(options: &Options) -> Result<Self> {
        let account = Self { moto: Moto::start_with(options)? };
        let providers = ["FARGATE", "FARGATE_SPOT"];
        account.ecs("CreateCluster", &json!({"clusterName": "c", "capacityProviders": providers}))?;
        account.ecs("RegisterTaskDefinition", &definition())?;
        Ok(account)
    }

    fn create_table(&self) -> Result<()> {
        let request = json!({
            "TableName": "t", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": "k", "AttributeType": "S"},
                {"AttributeName": "guild", "AttributeType": "S"},
            ],
            "GlobalSecondaryIndexes": [{
                "IndexName": "guilds", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "guild", "KeyType": "HASH"}],
            }],
        });
        self.dynamodb("CreateTable", &request).map(drop)
    }

    fn run(&self, token: &str) -> Result<String> {
        let answer = self.ecs("RunTask", &run_request(&json!({"clientToken": token})))?;
        Ok(answer["tasks"][0]["taskArn"].as_str().context("no task")?.to_owned())
    }

    fn describe(&self, task: &str) -> Result<Value> {
        Ok(self.ecs("DescribeTasks", &json!({"cluster": "c", "tasks": [task]}))?["tasks"][0].clone())
    }

    fn reaches(&self, task: &str, status: &str) -> Result<()> {
        self.states_until(task, status).map(drop)
    }

    fn states_until(&self, task: &str, status: &str) -> Result<Vec<String>> {
        let begun = Instant::now();
        let mut seen: Vec<String> = Vec::new();
        loop {
            let task = self.describe(task)?;
            let text = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
            let now = format!("{}, desired {}", text("lastStatus"), text("desiredStatus"));
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            if text("lastStatus") == status {
                return Ok(seen);
            }
            ensure!(begun.elapsed() < LIMIT, "only {seen:?}");
        }
    }

    fn refuses(&self, action: &str, request: &Value, code: Expect) {
        let refusal = self.ecs(action, request).err().map(|error| error.to_string()).unwrap_or_default();
        code.assert_eq(refusal.split(':').next().unwrap_or_default());
    }

    fn ecs(&self, action: &str, request: &Value) -> Result<Value> {
        self.call("AmazonEC2ContainerServiceV20141113", action, request)
    }

    fn sqs(&self, action: &str, request: &Value) -> Result<Value> {
        self.call("AmazonSQS", action, request)
    }

    fn dynamodb(&self, action: &str, request: &Value) -> Result<Value> {
        self.call("DynamoDB_20120810", action, request)
    }

    fn call(&self, target: &str, action: &str, request: &Value) -> Result<Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .post(self.moto.url())
            .header("X-Amz-Target", format!("{target}.{action}"))
            .header("Content-Type", "application/x-amz-json-1.1")
            .send(request.to_string())?;
        let text = answer.body_mut().read_to_string()?;
        let json: Value = if text.is_empty() { Value::Null } else { text.parse()? };
        let code = json["__type"].as_str().unwrap_or_default();
        ensure!(answer.status() == 200, "{code}: {}", json["message"]);
        Ok(json)
    }
}

fn definition() -> Value {
    json!({
        "family": "valheim", "networkMode": "awsvpc", "pidMode": "task", "cpu": "1024", "memory": "4096",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": [
            {"name": "watchdog", "image": "watchdog", "healthCheck": {"command": ["CMD", "true"]}},
            {"name": "game", "image": "game", "essential": false, "stopTimeout": 120,
             "dependsOn": [{"containerName": "watchdog", "condition": "HEALTHY"}]},
        ],
    })
}

fn run_request(more: &Value) -> Value {
    let request = json!({
        "cluster": "c", "taskDefinition": "valheim", "launchType": "FARGATE", "startedBy": "dormouse",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}},
        "overrides": {"containerOverrides": [{"name": "game", "environment": [{"name": "WORLD", "value": "x"}]}]},
        "tags": [{"key": "world", "value": "valhalla"}],
    });
    merged(request, more)
}

fn merged(mut request: Value, more: &Value) -> Value {
    if let (Some(request), Some(more)) = (request.as_object_mut(), more.as_object()) {
        request.extend(more.clone());
    }
    request
}

fn ending(task: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let container = |container: &Value| {
        let code = container["exitCode"].as_i64().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{} {}{code}", text(&container["name"]), text(&container["lastStatus"]))
    };
    let containers: Vec<_> = task["containers"].as_array().into_iter().flatten().map(container).collect();
    format!("{}, {}: {}", text(&task["stopCode"]), text(&task["stoppedReason"]), containers.join(", "))
}
