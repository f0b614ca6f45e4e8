//! RunTask: on the first capacity provider that has room, and what it means when ECS says no.

use aws_sdk_ecs::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::run_task::{RunTaskError, RunTaskOutput},
    types::{
        AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, Failure, NetworkConfiguration,
        Tag, TaskOverride,
    },
};
use domain::{
    ports::{LaunchError, Unavailable},
    world::TaskId,
};

use super::{CapacityProvider, EcsRuntime, task_id};
use crate::aws::unavailable;

/// A task to run.
pub(super) struct Run {
    /// The task definition's family; its newest revision is run.
    pub(super) family: String,
    pub(super) started_by: String,
    /// What makes it the same task when it is asked for again. With a provider's name behind it, it is ECS's clientToken:
    /// 64 printable ASCII characters at most, which `<world>/<launch>/FARGATE_SPOT` can just be.
    pub(super) token: String,
    pub(super) security_groups: Vec<String>,
    pub(super) overrides: TaskOverride,
    pub(super) tags: Vec<Tag>,
}

/// Why a provider did not run the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum No {
    /// It has no room at the moment: the next one may.
    Capacity,
    /// The account may have no more of it: of the next one, it may.
    Quota,
    /// No provider will do it.
    Never(String),
    /// Nobody knows, or not now: it may have taken effect, so no other may be asked.
    Unclear(Unavailable),
}

impl EcsRuntime {
    /// Runs the task on the first of `providers` that does, unless it is found to run.
    pub(super) async fn run(&self, run: &Run, providers: &[CapacityProvider]) -> Result<TaskId, LaunchError> {
        let mut no = No::Never("no capacity provider is configured: deploy the control plane again".into());
        for (tried, provider) in providers.iter().enumerate() {
            if tried > 0
                && let Some(arn) = self.there(run).await?.first()
            {
                return Ok(task_id(Some(arn))?);
            }
            no = match self.run_on(*provider, run).await {
                Ok(task) => return Ok(task),
                Err(no @ (No::Capacity | No::Quota)) => no,
                Err(no @ (No::Never(_) | No::Unclear(_))) => return Err(no.into()),
            };
        }
        Err(no.into())
    }

    pub(super) async fn run_on(&self, provider: CapacityProvider, run: &Run) -> Result<TaskId, No> {
        let strategy = CapacityProviderStrategyItem::builder().capacity_provider(provider.name()).weight(1);
        let strategy = strategy.build().map_err(|_| No::Never("a capacity provider has no name".into()))?;
        let ran = self
            .ecs
            .run_task()
            .cluster(&self.config.cluster)
            .task_definition(&run.family)
            .count(1)
            .client_token(format!("{}/{}", run.token, provider.name()))
            .started_by(&run.started_by)
            .capacity_provider_strategy(strategy)
            .network_configuration(self.network(run)?)
            .overrides(run.overrides.clone())
            .set_tags(Some(run.tags.clone()))
            .send()
            .await;
        match ran {
            Ok(ran) => started(&ran),
            Err(error) => already_running(&error).unwrap_or_else(|| Err(refused(&error))),
        }
    }

    /// Returns where the task goes: a public subnet with an address of its own, for there is no NAT gateway.
    pub(super) fn network(&self, run: &Run) -> Result<NetworkConfiguration, No> {
        let vpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(self.config.subnets.clone()))
            .set_security_groups(Some(run.security_groups.clone()))
            .assign_public_ip(AssignPublicIp::Enabled)
            .build()
            .map_err(|_| No::Never("no subnet is configured: deploy the control plane again".into()))?;
        Ok(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
    }
}

impl From<No> for LaunchError {
    fn from(no: No) -> Self {
        match no {
            // Whoever asked is told at once, rather than that it took too long, and can ask again.
            No::Capacity => Self::Refused(
                "AWS has no room for another task in this region at the moment; try again in a few minutes".into(),
            ),
            No::Quota => Self::Refused(
                "the AWS account runs as many tasks as its quota for Fargate allows: put another world to sleep, or ask \
                 AWS for more"
                    .into(),
            ),
            No::Never(why) => Self::Refused(why),
            No::Unclear(why) => Self::Unavailable(why),
        }
    }
}

fn started(ran: &RunTaskOutput) -> Result<TaskId, No> {
    match (ran.tasks().first(), ran.failures().first()) {
        (Some(task), _) => task_id(task.task_arn()).map_err(No::Unclear),
        (None, Some(failure)) => Err(failed(failure)),
        (None, None) => {
            Err(No::Unclear(Unavailable("ecs:RunTask started nothing and did not say why".into())))
        }
    }
}

fn failed(failure: &Failure) -> No {
    let reason = failure.reason().unwrap_or_default();
    let said = format!("{reason} {}", failure.detail().unwrap_or_default());
    tracing::warn!(reason, detail = failure.detail(), "ECS started no task");
    // RESOURCE:… is what is short.
    if reason.starts_with("RESOURCE") {
        return No::Capacity;
    }
    by_words(&said).unwrap_or_else(|| No::Unclear(Unavailable("ecs:RunTask started nothing".into())))
}

/// Returns the task that was started before with the same client token, but for other parameters: after a new deployment,
/// a launch that is asked for again may read a little differently.
fn already_running(error: &SdkError<RunTaskError, HttpResponse>) -> Option<Result<TaskId, No>> {
    let RunTaskError::ConflictException(conflict) = error.as_service_error()? else { return None };
    let arn = conflict.resource_ids().first()?;
    Some(task_id(Some(arn)).map_err(No::Unclear))
}

fn refused(error: &SdkError<RunTaskError, HttpResponse>) -> No {
    let unclear = || No::Unclear(unavailable("ecs:RunTask", error));
    let Some(service) = error.as_service_error() else { return unclear() };
    let (code, message) = (service.code().unwrap_or_default(), service.message().unwrap_or_default());
    tracing::warn!(code, message, "ECS started no task");
    by_words(message).or_else(|| by_code(code, message)).unwrap_or_else(unclear)
}

/// Reads what ECS has no error codes for: they come as failures, client errors and server errors alike.
fn by_words(message: &str) -> Option<No> {
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["capacity is unavailable", "no spot capacity", "insufficient capacity"]) {
        Some(No::Capacity)
    } else if has(&["reached the limit on the number of", "vcpu limit", "limit on the number of tasks"]) {
        Some(No::Quota)
    } else if has(&["rate exceeded", "request limit exceeded", "throttl", "too many requests"]) {
        Some(No::Unclear(Unavailable("ecs:RunTask was asked too often".into())))
    } else {
        None
    }
}

/// Reads the codes that will be the same next time.
fn by_code(code: &str, message: &str) -> Option<No> {
    let why = match code {
        "AccessDeniedException" => "the control plane may not start tasks: deploy it again",
        "BlockedException" => "AWS has blocked the account: AWS Support says why",
        "ClusterNotFoundException" => "the cluster is gone: deploy the control plane again",
        "ClientException" if message.contains("TaskDefinition") => {
            "there is no task definition for this game: deploy the control plane again"
        }
        "ClientException"
        | "InvalidParameterException"
        | "PlatformUnknownException"
        | "PlatformTaskDefinitionIncompatibilityException"
        | "UnsupportedFeatureException" => {
            return Some(No::Never(format!(
                "ECS does not accept the task ({code}): the control plane's log says why"
            )));
        }
        "LimitExceededException" => return Some(No::Quota),
        _ => return None,
    };
    Some(No::Never(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn no_room_and_no_quota_are_told_from_what_never_works_and_from_what_may() {
        check(
            &[
                ("ClientException", "Capacity is unavailable at this time. Please try again later."),
                ("ServerException", "Capacity is unavailable at this time."),
                (
                    "ClientException",
                    "You've reached the limit on the number of vCPUs you can run concurrently",
                ),
                (
                    "ClientException",
                    "You've reached the limit on the number of tasks you can run concurrently",
                ),
                ("LimitExceededException", "more"),
                ("ThrottlingException", "Rate exceeded"),
                (
                    "InvalidParameterException",
                    "Error retrieving security group information: Request limit exceeded.",
                ),
                ("AccessDeniedException", "User: arn:aws:sts::111122223333:assumed-role/w is not authorized"),
                ("BlockedException", "blocked"),
                ("ClusterNotFoundException", "Cluster not found."),
                ("ClientException", "TaskDefinition not found."),
                ("ClientException", "ECS was unable to assume the role 'arn:aws:iam::111122223333:role/x'"),
                ("InvalidParameterException", "No Fargate configuration exists for given values."),
                ("ServerException", "Service Unavailable"),
                ("SomethingNew", "arn:aws:ecs:eu-central-1:111122223333:task/x"),
            ],
            expect![[r#"
                ClientException: refused, next provider: AWS has no room for another task in this region at the moment; try again in a few minutes
                ServerException: refused, next provider: AWS has no room for another task in this region at the moment; try again in a few minutes
                ClientException: refused, next provider: the AWS account runs as many tasks as its quota for Fargate allows: put another world to sleep, or ask AWS for more
                ClientException: refused, next provider: the AWS account runs as many tasks as its quota for Fargate allows: put another world to sleep, or ask AWS for more
                LimitExceededException: refused, next provider: the AWS account runs as many tasks as its quota for Fargate allows: put another world to sleep, or ask AWS for more
                ThrottlingException: unavailable: ecs:RunTask was asked too often
                InvalidParameterException: unavailable: ecs:RunTask was asked too often
                AccessDeniedException: refused: the control plane may not start tasks: deploy it again
                BlockedException: refused: AWS has blocked the account: AWS Support says why
                ClusterNotFoundException: refused: the cluster is gone: deploy the control plane again
                ClientException: refused: there is no task definition for this game: deploy the control plane again
                ClientException: refused: ECS does not accept the task (ClientException): the control plane's log says why
                InvalidParameterException: refused: ECS does not accept the task (InvalidParameterException): the control plane's log says why
                ServerException: unavailable: ecs:RunTask failed: ServerException
                SomethingNew: unavailable: ecs:RunTask failed: SomethingNew
            "#]],
        );
    }

    fn check(answers: &[(&str, &str)], expected: Expect) {
        let mut said = String::new();
        for (code, message) in answers {
            let no = by_words(message).or_else(|| by_code(code, message));
            let no = no.unwrap_or(No::Unclear(Unavailable(format!("ecs:RunTask failed: {code}"))));
            let error = LaunchError::from(no.clone());
            let kind = match &error {
                LaunchError::Refused(_) => "refused",
                LaunchError::Unavailable(_) => "unavailable",
            };
            let next = if matches!(no, No::Capacity | No::Quota) { ", next provider" } else { "" };
            said += &format!("{code}: {kind}{next}: {error}\n");
        }
        expected.assert_eq(&said);
    }
}
