//! The tasks that run: whether each is of a world, and none runs for longer than it may.

use std::time::Duration;

use adapters::{aws::unavailable, front_door::view::WorldView};
use aws_config::SdkConfig;
use aws_sdk_ecs::{Client, types::Task};
use domain::{Timestamp, ports::Unavailable, words};

use super::{
    super::finding::{Finding, bad, good, weak},
    Target, unseen,
};

/// What this is called in findings.
const NAME: &str = "tasks";

/// How many tasks are asked about at once, which is what ECS allows, and how many are looked at: more than a group of
/// friends can pay for.
const BATCH: usize = 100;
const MOST: usize = 500;

/// How long a task may be there that no world has. The sweep, which comes every minute, ends it.
const SWEPT_AFTER: Duration = Duration::from_secs(5 * 60);

/// How long a task may take to save and archive when its time is over, and one to remove a world.
const AFTER_CAP: Duration = Duration::from_secs(30 * 60);

/// Says what is so; `worlds` are those that the front door knows.
pub(super) async fn check(aws: &SdkConfig, target: &Target, worlds: Option<&[WorldView]>) -> Vec<Finding> {
    match running(&Client::new(aws), &target.prefix).await {
        // The cluster's own finding says so.
        Err(Unavailable(why)) if why.contains("ClusterNotFoundException") => vec![],
        Ok(tasks) => judge(&target.prefix, &tasks, worlds, Timestamp::now()),
        Err(why) => vec![unseen(NAME, &why)],
    }
}

/// Returns the tasks of the cluster that shall run.
async fn running(ecs: &Client, cluster: &str) -> Result<Vec<Seen>, Unavailable> {
    let (mut tasks, mut next) = (Vec::new(), None);
    while tasks.len() < MOST {
        let page = ecs.list_tasks().cluster(cluster).set_next_token(next).send().await;
        let page = page.map_err(|error| unavailable("ecs:ListTasks", &error))?;
        for arns in page.task_arns().chunks(BATCH) {
            let described = ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec())).send().await;
            let described = described.map_err(|error| unavailable("ecs:DescribeTasks", &error))?;
            tasks.extend(described.tasks().iter().map(Seen::of));
        }
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    Ok(tasks)
}

/// A task, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    id: String,
    started_by: String,
    since: Timestamp,
}

impl Seen {
    fn of(task: &Task) -> Self {
        let id = task.task_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or("?").to_owned();
        let since =
            task.started_at().or(task.created_at()).and_then(|at| Timestamp::from_second(at.secs()).ok());
        let since = since.unwrap_or(Timestamp::UNIX_EPOCH);
        Self { id, started_by: task.started_by().unwrap_or_default().to_owned(), since }
    }
}

fn judge(prefix: &str, tasks: &[Seen], worlds: Option<&[WorldView]>, now: Timestamp) -> Vec<Finding> {
    let mut findings: Vec<_> = tasks.iter().filter_map(|task| amiss(prefix, task, worlds, now)).collect();
    if worlds.is_none() && !tasks.is_empty() {
        let text = "whose they are cannot be told while the front door does not show its worlds";
        findings.push(weak(NAME, format!("{}; {text}", running_ones(tasks.len()))));
    } else if findings.is_empty() {
        let text = if tasks.is_empty() { "" } else { ", for a world and within its cap" };
        findings.push(good(NAME, format!("{}{text}", running_ones(tasks.len()))));
    }
    findings
}

fn running_ones(count: usize) -> String {
    match count {
        0 => "none runs".into(),
        1 => "1 runs".into(),
        many => format!("{many} run"),
    }
}

/// Says what is amiss with a task, if anything is.
fn amiss(prefix: &str, task: &Seen, worlds: Option<&[WorldView]>, now: Timestamp) -> Option<Finding> {
    let Seen { id, started_by, since } = task;
    let age = words::between(*since, now);
    let runs_for = words::length(age);
    let end = format!("`aws ecs stop-task --cluster {prefix} --task {id}` ends it");
    let is_long = |cap: Duration| age > cap + AFTER_CAP;
    let rest = started_by.strip_prefix(prefix);
    if rest.is_some_and(|rest| rest.starts_with("-erase/")) {
        let text = format!("{id} has been removing a world for {runs_for}: its log says why; {end}");
        return is_long(Duration::ZERO).then(|| weak(NAME, text));
    }
    let Some((world, generation)) = rest.and_then(|rest| rest.strip_prefix('/')?.split_once('/')) else {
        let by = if started_by.is_empty() { "nobody who says so" } else { started_by };
        let text = format!("{id} was started by {by}, not by Dormouse, and costs what it costs: {end}");
        return Some(bad(NAME, text));
    };
    let known = worlds?.iter().find(|known| known.id == world && known.generation.to_string() == generation);
    match known {
        Some(known) if is_long(Duration::from_secs(known.timers.cap_s)) => Some(bad(
            NAME,
            format!(
                "{id} of {} has run for {runs_for}, which is longer than its cap: docs/runbook.md#running-too-long; \
                 {end}, saved and archived",
                known.name
            ),
        )),
        Some(_) => None,
        None if age > SWEPT_AFTER => Some(bad(
            NAME,
            format!(
                "{id} has run for {runs_for} for a launch that no world has ({started_by}), and the sweep has not ended \
                 it: docs/runbook.md#no-sweep; {end}"
            ),
        )),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const HOUR: i64 = 60 * 60;

    #[test]
    fn tasks_of_worlds_within_their_caps_are_as_they_should_be() {
        check(&[("dormouse/w-1/3", 11 * HOUR)], expect!["Good: 1 runs, for a world and within its cap"]);
        check(&[("dormouse-erase/w-9", 20)], expect!["Good: 1 runs, for a world and within its cap"]);
        // The world has been saved, and its task is seen before the list of worlds is read again.
        check(&[("dormouse/w-1/4", 60)], expect!["Good: 1 runs, for a world and within its cap"]);
    }

    #[test]
    fn a_task_that_no_world_has_is_told_once_the_sweep_should_have_ended_it() {
        check(
            &[("dormouse/w-1/2", HOUR)],
            expect![
                "Bad: 0123abcd has run for 1 h for a launch that no world has (dormouse/w-1/2), and the sweep has not ended it: docs/runbook.md#no-sweep; `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it"
            ],
        );
        check(
            &[("dormouse/w-7/1", HOUR)],
            expect![
                "Bad: 0123abcd has run for 1 h for a launch that no world has (dormouse/w-7/1), and the sweep has not ended it: docs/runbook.md#no-sweep; `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it"
            ],
        );
    }

    #[test]
    fn a_task_that_runs_for_longer_than_its_cap_is_told_with_its_world() {
        check(
            &[("dormouse/w-1/3", 13 * HOUR)],
            expect![
                "Bad: 0123abcd of valhalla has run for 13 h, which is longer than its cap: docs/runbook.md#running-too-long; `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it, saved and archived"
            ],
        );
        check(
            &[("dormouse-erase/w-9", 2 * HOUR)],
            expect![
                "Weak: 0123abcd has been removing a world for 2 h: its log says why; `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it"
            ],
        );
    }

    #[test]
    fn a_task_that_somebody_else_started_is_told_at_once() {
        check(
            &[("", 1), ("deployer", 1), ("dormouse2/w-1/3", 1)],
            expect![[r#"
            Bad: 0123abcd was started by nobody who says so, not by Dormouse, and costs what it costs: `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it
            Bad: 0123abcd was started by deployer, not by Dormouse, and costs what it costs: `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it
            Bad: 0123abcd was started by dormouse2/w-1/3, not by Dormouse, and costs what it costs: `aws ecs stop-task --cluster dormouse --task 0123abcd` ends it"#]],
        );
    }

    #[test]
    fn without_the_worlds_nobody_can_tell_whose_tasks_are() {
        let task = seen("dormouse/w-1/3", HOUR);
        expect!["Weak: 1 runs; whose they are cannot be told while the front door does not show its worlds"]
            .assert_eq(&read(&judge("dormouse", &[task], None, now())));
    }

    fn check(tasks: &[(&str, i64)], expected: Expect) {
        let tasks: Vec<_> = tasks.iter().map(|(by, age)| seen(by, *age)).collect();
        let world = r#"{"name":"valhalla","id":"w-1","game":"luanti","state":"awake","status":"","generation":3,
            "timers":{"never_joined_s":900,"last_left_s":600,"warning_s":120,"cap_s":43200}}"#;
        let worlds = [serde_json::from_str(world).unwrap()];
        expected.assert_eq(&read(&judge("dormouse", &tasks, Some(&worlds), now())));
    }

    fn read(findings: &[Finding]) -> String {
        let lines: Vec<_> =
            findings.iter().map(|Finding { verdict, text, .. }| format!("{verdict:?}: {text}")).collect();
        lines.join("\n")
    }

    fn seen(started_by: &str, age: i64) -> Seen {
        let since = Timestamp::from_second(now().as_second() - age).unwrap();
        Seen { id: "0123abcd".into(), started_by: started_by.into(), since }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_253_400).unwrap()
    }
}
