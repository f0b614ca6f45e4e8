//! What ECS tells a container about its own task: here, the task's name, which nobody knows before the task is there.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};
use domain::world::TaskId;
use serde::Deserialize;

/// The variable in which ECS gives every container the address of its task's metadata.
const URI: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// How long one try may take. The endpoint is on the same host.
const LIMIT: Duration = Duration::from_secs(2);

/// How often it is tried: the endpoint may come up a moment after the container.
const TRIES: u32 = 8;

/// The wait before the second try; each one after it is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });

/// The most bytes of an answer that are read. It describes at most ten containers.
const LONGEST_ANSWER: u64 = 256 * 1024;

#[derive(Deserialize)]
struct Task {
    #[serde(rename = "TaskARN")]
    arn: String,
}

/// Returns the name of the task that this container is in, or why it cannot be had.
pub fn task(get: impl Fn(&str) -> Option<String>) -> Result<TaskId> {
    let Some(uri) = get(URI) else {
        bail!("the task has no name: set DORMOUSE_TASK, or run this on ECS, which sets {URI}");
    };
    let url = format!("{}/task", uri.trim_end_matches('/'));
    let agent = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build().new_agent();
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match ask(&agent, &url) {
            Ok(task) => return Ok(task),
            Err(error) => tracing::warn!("asking again in {wait:?}: {error:#}"),
        }
        thread::sleep(wait);
        wait *= 2;
    }
    ask(&agent, &url)
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<TaskId> {
    let answer = agent.get(url).call().context("asking ECS for the task's name")?;
    let task: Task = answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_json()?;
    Ok(TaskId::parse(&task.arn)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    #[test]
    fn the_task_is_named_by_ecs_even_if_the_endpoint_comes_up_late() {
        let arn = "arn:aws:ecs:eu-central-1:111122223333:task/dormouse/0123456789abcdef0123456789abcdef";
        let good = format!(r#"{{"Cluster":"dormouse","TaskARN":"{arn}","Containers":[]}}"#);
        let uri = serve(vec![(503, String::new()), (200, good)]);
        assert_eq!(task(|name| (name == URI).then(|| uri.clone())).unwrap().as_str(), arn);
    }

    #[test]
    fn a_task_that_nobody_names_is_an_error_that_says_what_to_do() {
        let error = task(|_| None).unwrap_err().to_string();
        expect_test::expect![
            "the task has no name: set DORMOUSE_TASK, or run this on ECS, which sets ECS_CONTAINER_METADATA_URI_V4"
        ]
        .assert_eq(&error);
    }

    fn serve(answers: Vec<(u16, String)>) -> String {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/v4/abc", server.local_addr().unwrap());
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = server.accept().unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap();
                assert!(head[..read].starts_with(b"GET /v4/abc/task HTTP/1.1\r\n"));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        uri
    }
}
