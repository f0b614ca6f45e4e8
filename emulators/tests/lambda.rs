//! Functions, with a small program in Python in the place of ours.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use emulators::{
    Moto, install,
    lambda::{Delivery, Function, FunctionUrl, InvokeError, Schedule, Settings, SqsPoller},
};
use expect_test::expect;
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_event_is_answered_by_the_program_which_stays() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    assert_eq!(function.invoke(&json!({"a": [1, "ü"]}))?, json!({"a": [1, "ü"]}));
    let first = function.invoke(&json!({"do": "pid"}))?;
    assert_eq!(function.invoke(&json!({"do": "pid"}))?, first);
    let headers = function.invoke(&json!({"do": "headers"}))?;
    assert_eq!(
        headers["lambda-runtime-invoked-function-arn"],
        "arn:aws:lambda:eu-central-1:123456789012:function:f"
    );
    assert!(headers["lambda-runtime-deadline-ms"].is_string());
    Ok(())
}

#[test]
fn the_environment_is_lambdas_and_what_the_function_was_given() -> Result<()> {
    let (_program, function) =
        function(|settings| settings.env.push(("TABLE".to_owned(), "worlds".to_owned())))?;
    let env = function.invoke(&json!({"do": "env"}))?;
    let names = env.as_object().context("no object")?.keys();
    // Python itself adds LC_CTYPE where the machine lacks the locale that LANG names.
    let names: Vec<_> = names.filter(|name| *name != "LC_CTYPE").cloned().collect();
    expect![[r#"
        AWS_DEFAULT_REGION
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE
        AWS_LAMBDA_FUNCTION_NAME
        AWS_LAMBDA_FUNCTION_VERSION
        AWS_LAMBDA_INITIALIZATION_TYPE
        AWS_LAMBDA_LOG_GROUP_NAME
        AWS_LAMBDA_LOG_STREAM_NAME
        AWS_LAMBDA_RUNTIME_API
        AWS_REGION
        LAMBDA_RUNTIME_DIR
        LAMBDA_TASK_ROOT
        LANG
        PATH
        PWD
        TABLE
        TZ
        _HANDLER"#]]
    .assert_eq(&names.join("\n"));
    Ok(())
}

#[test]
fn failures_are_told_apart_and_the_next_event_finds_a_new_instance() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let failed = InvokeError::Failed { kind: "ValueError".to_owned(), message: "as asked".to_owned() };
    assert_eq!(function.invoke(&json!({"do": "fail"})), Err(failed));
    assert!(matches!(function.invoke(&json!({"do": "exit"})), Err(InvokeError::Exited(_))));
    let limit = Duration::from_millis(300);
    let slow = function.invoke_within(&json!({"do": "sleep", "seconds": 60}), limit);
    assert_eq!(slow, Err(InvokeError::TimedOut(limit)));
    let before = function.invoke(&json!({"do": "pid"}))?;
    function.kill();
    assert_ne!(function.invoke(&json!({"do": "pid"}))?, before);
    Ok(())
}

#[test]
fn a_function_that_cannot_start_says_why() -> Result<()> {
    let (_program, function) = function(|settings| settings.env.push(("BROKEN".to_owned(), "1".to_owned())))?;
    let failed = InvokeError::Failed { kind: "Broken".to_owned(), message: "no configuration".to_owned() };
    assert_eq!(function.invoke(&json!({})), Err(failed));
    Ok(())
}

#[test]
fn nothing_runs_between_events() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("late");
    function.invoke(&json!({"do": "late", "path": file}))?;
    thread::sleep(Duration::from_millis(1500));
    assert!(!file.exists());
    function.invoke(&json!({"do": "sleep", "seconds": 2}))?;
    assert!(file.exists());
    Ok(())
}

#[test]
fn as_many_instances_run_as_the_concurrency_allows() -> Result<()> {
    let (_program, function) = function(|settings| settings.concurrency = 2)?;
    let answered = thread::scope(|scope| {
        let slow = || function.invoke(&json!({"do": "sleep", "seconds": 1}));
        let two = [scope.spawn(slow), scope.spawn(slow)];
        thread::sleep(Duration::from_millis(500));
        let third = function.invoke_within(&json!({}), Duration::from_millis(50));
        assert_eq!(third, Err(InvokeError::Throttled));
        two.map(|one| one.join().is_ok_and(|answer| answer.is_ok()))
    });
    assert_eq!(answered, [true, true]);
    Ok(())
}

#[test]
fn a_request_is_an_event_and_an_answer_is_http() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let url = FunctionUrl::start(&function, "127.0.0.1:0".parse()?)?;
    let request = ureq::post(format!("{}/v1/worlds/a%20b?x=1&x=2&y=%C3%BC", url.url()))
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Cookie", "k=v; l=w")
        .header("User-Agent", "test")
        .content_type("application/json");
    let mut answer = request.send("{\"hello\":1}")?;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-seen"], "/v1/worlds/a%20b");
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    let mut event: Value = answer.body_mut().read_to_string()?.parse()?;
    assert!(event["requestContext"]["timeEpoch"].is_u64());
    let context = event["requestContext"]["http"].take();
    assert_eq!(
        context,
        json!({"method": "POST", "path": "/v1/worlds/a%20b", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test"})
    );
    assert_eq!(event["rawQueryString"], "x=1&x=2&y=%C3%BC");
    assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": "ü"}));
    assert_eq!(event["headers"]["x-twice"], "one,two");
    assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(event["cookies"], json!(["k=v", "l=w"]));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{\"hello\":1}"), &json!(false)));
    let mut binary = ureq::post(url.url()).content_type("application/zip").send(&[0xff_u8, 0x00][..])?;
    let event: Value = binary.body_mut().read_to_string()?.parse()?;
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
    Ok(())
}

#[test]
fn a_body_of_more_than_6_mb_does_not_reach_the_function() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let url = FunctionUrl::start(&function, "127.0.0.1:0".parse()?)?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    assert_eq!(agent.post(url.url()).send(vec![b'x'; 6 * 1024 * 1024 + 1])?.status(), 413);
    Ok(())
}

#[test]
fn messages_are_moved_and_only_those_that_failed_stay() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let queue = Queue::new()?;
    for body in ["good", "bad", "fine"] {
        queue.call("SendMessage", &json!({"QueueUrl": queue.url, "MessageBody": body}))?;
    }
    let poller = SqsPoller::start(&queue.url, queue.moto.url(), &function, 10, Delivery::Exact)?;
    wait(|| {
        Ok(seen(&function) == BTreeSet::from(["bad", "fine", "good"].map(str::to_owned))
            && queue.left()? == 1)
    })?;
    wait(|| Ok(function.logs().matches("bad").count() > 1))?;
    drop(poller);
    assert_eq!(queue.left()?, 1);
    assert_eq!(function.logs().matches("good").count(), 1);
    Ok(())
}

#[test]
fn messages_come_twice_and_in_reversed_order_when_asked_for() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let queue = Queue::new()?;
    let entries = json!([{"Id": "1", "MessageBody": "one"}, {"Id": "2", "MessageBody": "two"}]);
    queue.call("SendMessageBatch", &json!({"QueueUrl": queue.url, "Entries": entries}))?;
    let _poller = SqsPoller::start(&queue.url, queue.moto.url(), &function, 10, Delivery::TwiceAndReversed)?;
    wait(|| Ok(queue.left()? == 0))?;
    expect![[r#"
        batch two,one
        batch two,one
    "#]]
    .assert_eq(&function.logs());
    Ok(())
}

#[test]
fn a_schedule_repeats_its_event() -> Result<()> {
    let (_program, function) = function(|_| {})?;
    let event = json!({"Records": [{"messageId": "1", "body": "sweep"}]});
    let _schedule = Schedule::start(&function, Duration::from_millis(50), event)?;
    wait(|| Ok(function.logs().matches("sweep").count() >= 3))
}

/// Returns the function, and the directory that its program is in.
fn function(change: impl FnOnce(&mut Settings)) -> Result<(TempDir, Function)> {
    install()?;
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = crate_root.join("../target/emulators/python/bin/python").canonicalize()?;
    let script = fs::read_to_string(crate_root.join("tests/function.py"))?;
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("bootstrap");
    fs::write(&program, format!("#!{}\n{script}", python.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut settings = Settings::new("f", program);
    settings.region = "eu-central-1".to_owned();
    change(&mut settings);
    Ok((directory, Function::new(settings)?))
}

/// Returns the bodies of all messages that reached the function.
fn seen(function: &Function) -> BTreeSet<String> {
    let logs = function.logs();
    let batches = logs.lines().filter_map(|line| line.strip_prefix("batch "));
    batches.flat_map(|batch| batch.split(',')).map(str::to_owned).collect()
}

fn wait(until: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !until()? {
        ensure!(begun.elapsed() < LIMIT, "not after {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A queue whose messages come again after a second.
struct Queue {
    moto: Moto,
    url: String,
}

impl Queue {
    fn new() -> Result<Self> {
        let mut queue = Self { moto: Moto::start()?, url: String::new() };
        let made = queue
            .call("CreateQueue", &json!({"QueueName": "q", "Attributes": {"VisibilityTimeout": "1"}}))?;
        queue.url = made["QueueUrl"].as_str().context("no URL")?.to_owned();
        Ok(queue)
    }

    /// Returns how many messages there are, delivered or not.
    fn left(&self) -> Result<u64> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let got = self.call("GetQueueAttributes", &json!({"QueueUrl": self.url, "AttributeNames": names}))?;
        names
            .iter()
            .map(|name| Ok(got["Attributes"][name].as_str().context("no number")?.parse::<u64>()?))
            .sum()
    }

    fn call(&self, action: &str, request: &Value) -> Result<Value> {
        let mut answer = ureq::post(self.moto.url())
            .header("X-Amz-Target", format!("AmazonSQS.{action}"))
            .header(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/sqs/aws4_request, Signature=0",
            )
            .content_type("application/x-amz-json-1.0")
            .send(request.to_string())?;
        Ok(answer.body_mut().read_to_string()?.parse().unwrap_or_default())
    }
}
