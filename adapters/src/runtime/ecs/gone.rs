//! How a stopped task ended, from what ECS says of it: in words for people, which hold no ARN, account or address.

use aws_sdk_ecs::types::{Container, Task, TaskStopCode};
use domain::event::Gone;

use super::{CapacityProvider, WATCHDOG};

/// How ECS says that it has no room.
const NO_ROOM: &str = "Capacity is unavailable";

/// The exit code of a program that was killed.
const KILLED: i32 = 128 + 9;

/// The exit code of a program that ended by the SIGTERM that ECS sends first.
const TERMINATED: i32 = 128 + 15;

/// Returns how a stopped task ended.
pub(super) fn how_it_ended(task: &Task) -> Gone {
    match (task.stop_code().map_or("", |code| code.as_str()), exit_code(task)) {
        ("SpotInterruption" | "TerminationNotice", _) => Gone::Reclaimed,
        ("TaskFailedToStart", _) if spot_had_no_room(task) => {
            Gone::Crashed("Fargate Spot had no room for it; start it again".into())
        }
        ("TaskFailedToStart", _) => Gone::Crashed(why_not_started(&reasons(task))),
        // The watchdog saw its work through, whatever became of the game.
        (_, Some(0)) => Gone::Exited,
        (_, _) if reasons(task).contains("OutOfMemory") => Gone::OutOfMemory,
        ("UserInitiated", None | Some(TERMINATED)) => Gone::Exited,
        ("UserInitiated", Some(KILLED)) => Gone::Crashed("it did not end in time and was killed".into()),
        ("InfrastructureHealth", _) => Gone::Crashed("the host under it broke down".into()),
        (_, Some(code)) => Gone::Crashed(format!("its watchdog ended with exit code {code}")),
        (_, None) => Gone::Crashed("its watchdog ended without an exit code".into()),
    }
}

/// Tells whether the task was taken on by Spot, which then found no room for it.
pub(super) fn spot_had_no_room(task: &Task) -> bool {
    task.capacity_provider_name() == Some(CapacityProvider::Spot.name())
        && task.stop_code() == Some(&TaskStopCode::TaskFailedToStart)
        && reasons(task).contains(NO_ROOM)
}

/// Returns the exit code of the watchdog; none if it never ran, or nobody knows.
pub(super) fn exit_code(task: &Task) -> Option<i32> {
    task.containers().iter().find(|container| container.name() == Some(WATCHDOG))?.exit_code()
}

/// Returns everything that ECS says about the end.
fn reasons(task: &Task) -> String {
    let of_containers = task.containers().iter().filter_map(Container::reason);
    let all: Vec<_> = task.stopped_reason().into_iter().chain(of_containers).collect();
    all.join("; ")
}

/// Says in our words what ECS says with ARNs and addresses. The errors are those of "Stopped tasks error messages" in
/// ECS's developer guide.
fn why_not_started(reasons: &str) -> String {
    let known = [
        (NO_ROOM, "AWS has no room for it in this region at the moment"),
        ("reached the limit on the number of", "the AWS account's quota for Fargate is used up"),
        ("PullContainer", "its image could not be pulled"),
        ("PullECRContainer", "its image could not be pulled"),
        ("PullImage", "its image could not be pulled"),
        ("EFS", "the worlds' file system could not be mounted"),
        ("network interface", "its network interface was not ready"),
        ("NetworkInterface", "its network interface was not ready"),
        ("ResourceInitializationError", "what it needs could not be set up"),
        ("OutOfMemory", "it ran out of memory while it started"),
        ("StartContainer", "its container could not be started"),
        ("CreateContainer", "its container could not be made"),
        ("InternalError", "AWS had an error of its own"),
    ];
    let found = known.iter().find(|(sign, _)| reasons.contains(sign));
    found.map_or("it did not start; the control plane's log says why", |(_, words)| words).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn how_a_task_ended_is_told_in_words_for_people() {
        let ends = [
            ("EssentialContainerExited", "Essential container in task exited", Some(0), ""),
            ("EssentialContainerExited", "Essential container in task exited", Some(1), ""),
            (
                "EssentialContainerExited",
                "Essential container in task exited",
                Some(137),
                "OutOfMemoryError: Container killed due to memory usage",
            ),
            ("EssentialContainerExited", "Essential container in task exited", None, ""),
            ("UserInitiated", "dormouse: the launch is over", Some(0), ""),
            ("UserInitiated", "dormouse: the launch is over", Some(143), ""),
            ("UserInitiated", "dormouse: the launch is over", Some(137), ""),
            ("UserInitiated", "dormouse: the launch is over", Some(1), ""),
            ("UserInitiated", "dormouse: the launch is over", None, ""),
            ("SpotInterruption", "Your Spot Task was interrupted.", Some(0), ""),
            ("TerminationNotice", "Task received a termination notice", Some(137), ""),
            ("InfrastructureHealth", "unhealthy host", None, ""),
            (
                "ServiceSchedulerInitiated",
                "Scaling activity initiated by (deployment ecs-svc/1)",
                Some(143),
                "",
            ),
            (
                "TaskFailedToStart",
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): 111122223333.dkr.ecr.eu-central-1.amazonaws.com/x: not found",
                None,
                "",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: Failed to resolve fs-1.efs",
                None,
                "",
            ),
            (
                "TaskFailedToStart",
                "ResourceInitializationError: unable to pull secrets or registry auth",
                None,
                "",
            ),
            (
                "TaskFailedToStart",
                "Timeout waiting for network interface provisioning to complete.",
                None,
                "",
            ),
            (
                "TaskFailedToStart",
                "Capacity is unavailable at this time. Please try again later or in a different availability zone",
                None,
                "",
            ),
            ("TaskFailedToStart", "Task failed to start", None, "CannotStartContainerError: runc"),
            ("TaskFailedToStart", "arn:aws:ecs:eu-central-1:111122223333:task/x", None, ""),
            ("SomethingNew", "new", Some(0), ""),
            ("SomethingNew", "new", None, ""),
        ];
        let mut said = String::new();
        for (code, reason, exit, container) in ends {
            let gone = how_it_ended(&stopped(code, reason, exit, container));
            said += &format!("{code}, {exit:?}: {gone:?}\n");
        }
        expect![[r#"
            EssentialContainerExited, Some(0): Exited
            EssentialContainerExited, Some(1): Crashed("its watchdog ended with exit code 1")
            EssentialContainerExited, Some(137): OutOfMemory
            EssentialContainerExited, None: Crashed("its watchdog ended without an exit code")
            UserInitiated, Some(0): Exited
            UserInitiated, Some(143): Exited
            UserInitiated, Some(137): Crashed("it did not end in time and was killed")
            UserInitiated, Some(1): Crashed("its watchdog ended with exit code 1")
            UserInitiated, None: Exited
            SpotInterruption, Some(0): Reclaimed
            TerminationNotice, Some(137): Reclaimed
            InfrastructureHealth, None: Crashed("the host under it broke down")
            ServiceSchedulerInitiated, Some(143): Crashed("its watchdog ended with exit code 143")
            TaskFailedToStart, None: Crashed("its image could not be pulled")
            TaskFailedToStart, None: Crashed("the worlds' file system could not be mounted")
            TaskFailedToStart, None: Crashed("what it needs could not be set up")
            TaskFailedToStart, None: Crashed("its network interface was not ready")
            TaskFailedToStart, None: Crashed("AWS has no room for it in this region at the moment")
            TaskFailedToStart, None: Crashed("its container could not be started")
            TaskFailedToStart, None: Crashed("it did not start; the control plane's log says why")
            SomethingNew, Some(0): Exited
            SomethingNew, None: Crashed("its watchdog ended without an exit code")
        "#]]
        .assert_eq(&said);
    }

    #[test]
    fn room_is_told_apart_by_what_the_task_was_to_run_on() {
        let why = "Capacity is unavailable at this time.";
        let mut said = String::new();
        for provider in ["FARGATE_SPOT", "FARGATE"] {
            let task = Task::builder().last_status("STOPPED").capacity_provider_name(provider);
            let task = task.stop_code(TaskStopCode::TaskFailedToStart).stopped_reason(why).build();
            said += &format!("{provider}: {:?}\n", how_it_ended(&task));
        }
        expect![[r#"
            FARGATE_SPOT: Crashed("Fargate Spot had no room for it; start it again")
            FARGATE: Crashed("AWS has no room for it in this region at the moment")
        "#]]
        .assert_eq(&said);
    }

    fn stopped(code: &str, reason: &str, exit: Option<i32>, of_container: &str) -> Task {
        let watchdog = Container::builder().name(WATCHDOG).set_exit_code(exit).reason(of_container).build();
        let game = Container::builder().name("game").exit_code(137).build();
        let task = Task::builder().last_status("STOPPED").stop_code(TaskStopCode::from(code));
        task.stopped_reason(reason).containers(game).containers(watchdog).build()
    }
}
