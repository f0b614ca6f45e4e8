//! `dormouse doctor --aws`: whether what is deployed on AWS is whole and works. It only reads, shows no secret, and says of
//! everything that is wrong what to do next.
//!
//! ```text
//! credentials ─► secrets ─► table, queues, cluster and task definitions, bucket, front door, Discord ─► tasks
//! ```
//!
//! The secrets come first: their tokens open the front door and Discord. The front door's list of worlds tells whose the
//! tasks are. Each call is bounded in time, and those side by side do not wait for each other.

use std::path::{Path, PathBuf};

use adapters::chat::discord::{rest::Rest, snowflake::Snowflake};
use anyhow::{Context, Result};
use aws_config::SdkConfig;
use aws_sdk_ssm::config::ProvideCredentials;
use domain::{game::Game, ports::Unavailable};
use games::Capacity;

use self::{
    outputs::{Output, Outputs},
    secrets::Secrets,
};
use super::{
    Deployment,
    finding::{Finding, Verdict, bad, good, weak},
};
use crate::cost;

mod outputs;

mod secrets;

mod table;

mod queues;

mod cluster;

mod bucket;

mod door;

mod discord;

mod tasks;

/// What is looked for.
struct Target {
    region: String,
    prefix: String,
    /// What only a configuration says.
    chosen: Option<Chosen>,
}

/// What people chose in the configuration.
struct Chosen {
    account: String,
    games: Vec<Game>,
    capacity: Capacity,
    application: Snowflake,
    guilds: Vec<Snowflake>,
}

/// Looks at the deployment, and says what was found of each part.
pub(super) fn findings(asked: &Deployment, games: Option<&Path>) -> Result<Vec<Finding>> {
    let target = Target::read(asked, games)?;
    let outputs = asked.outputs.as_deref().map(|file| Outputs::read(file, &target.prefix)).transpose()?;
    let runtime = tokio::runtime::Runtime::new().context("starting")?;
    Ok(runtime.block_on(check(&target, &outputs.unwrap_or_default(), &asked.discord_url)))
}

impl Target {
    fn read(asked: &Deployment, games: Option<&Path>) -> Result<Self> {
        if let Some(region) = asked.region.clone() {
            let prefix = asked.prefix.clone().unwrap_or_else(|| "dormouse".into());
            return Ok(Self { region, prefix, chosen: None });
        }
        let file = asked.config.clone().unwrap_or_else(|| PathBuf::from("dormouse.toml"));
        let read = cost::configuration(&file, games)?;
        let guilds = read.guilds.iter().map(|guild| guild.parse()).collect::<Result<_, _>>();
        let chosen = Chosen {
            account: read.account,
            games: read.games,
            capacity: read.capacity,
            application: read.application.parse().context("`discord.application`")?,
            guilds: guilds.context("`discord.guilds`")?,
        };
        Ok(Self { region: read.region, prefix: read.prefix, chosen: Some(chosen) })
    }

    fn games(&self) -> &[Game] {
        self.chosen.as_ref().map_or(&[], |chosen| &chosen.games)
    }
}

async fn check(target: &Target, outputs: &Outputs, discord_url: &str) -> Vec<Finding> {
    let aws = adapters::aws::config_in(&target.region).await;
    if let Some(finding) = no_credentials(&aws).await {
        return vec![finding];
    }
    let (secrets, said_of_secrets) = match secrets::check(&aws, target, outputs).await {
        Ok(read) => read,
        Err(finding) if is_about_credentials(&finding) => return vec![refused(&finding)],
        Err(finding) => (Secrets::default(), vec![finding]),
    };
    // Tokens of another account are not for this one's front door, nor for its Discord application.
    if let Some(account) = secrets.arn.as_deref().map(|arn| account(target, Some(arn)))
        && account.verdict == Verdict::Bad
    {
        return vec![account];
    }
    let (table, queues, (cluster_arn, cluster), bucket, (worlds, door), discord) = tokio::join!(
        table::check(&aws, outputs),
        queues::check(&aws, outputs),
        cluster::check(&aws, target),
        bucket::check(&aws, outputs),
        door::check(outputs, &secrets),
        discord::check(target, outputs, rest(discord_url, &secrets)),
    );
    let tasks = tasks::check(&aws, target, worlds.as_deref()).await;
    let arn = secrets.arn.as_deref().or(cluster_arn.as_deref());
    let account = account(target, arn);
    if account.verdict == Verdict::Bad {
        // Whatever was seen is somebody else's.
        return vec![account];
    }
    let mut findings = vec![account];
    findings.extend(outputs.missing());
    findings.extend([said_of_secrets, table, queues, cluster, tasks, bucket, door, discord].concat());
    findings
}

fn rest(url: &str, secrets: &Secrets) -> Option<Rest> {
    secrets.bot_token.clone().map(|token| Rest::new(url, Some(token)))
}

/// Tells that there are no credentials, if so.
async fn no_credentials(aws: &SdkConfig) -> Option<Finding> {
    let provided = match aws.credentials_provider() {
        Some(provider) => provider.provide_credentials().await.is_ok(),
        None => false,
    };
    let text = "there are none in this environment: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; \
                `aws sts get-caller-identity` tries them out";
    (!provided).then(|| bad("credentials", text))
}

/// Tells whether AWS knows nobody with these credentials, so that no other call can come to anything.
fn is_about_credentials(finding: &Finding) -> bool {
    const CODES: [&str; 6] = [
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "ExpiredTokenException",
        "IncompleteSignature",
    ];
    CODES.iter().any(|code| finding.text.contains(code))
}

fn refused(finding: &Finding) -> Finding {
    let said = finding.text.split(':').take(3).collect::<Vec<_>>().join(":");
    bad("credentials", format!("AWS does not take them ({said}): sign in again, or set another AWS_PROFILE"))
}

/// Compares the account in `arn`, which is that of the credentials, with the configured one.
fn account(target: &Target, arn: Option<&str>) -> Finding {
    let name = "credentials";
    let chosen = target.chosen.as_ref().map(|chosen| &chosen.account);
    match (arn.and_then(account_in), chosen) {
        (Some(seen), Some(chosen)) if seen != chosen => bad(
            name,
            format!(
                "they are of account {seen}, and the configuration names {chosen}: set another AWS_PROFILE, or mend \
                 `aws.account`"
            ),
        ),
        (Some(seen), _) => {
            good(name, format!("of account {seen}, for {} in {}", target.prefix, target.region))
        }
        (None, _) => weak(
            name,
            format!("nothing that could be seen in {} tells which account they are of", target.region),
        ),
    }
}

/// Returns the account in an ARN, `arn:aws:service:region:account:what`.
fn account_in(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns what to say of a call that failed, so that `name` is not known.
fn unseen(name: &str, why: &Unavailable) -> Finding {
    let why = why.to_string();
    let hint = if why.contains("AccessDenied") || why.contains("Forbidden") {
        "these credentials may not look at it; docs/aws-deployer.json has what is needed"
    } else if why.contains("out of reach") || why.contains("took too long") {
        "is the region right, and the network there? Then try again"
    } else {
        "if it was deployed, try again; else docs/aws.md, Deploy"
    };
    bad(name, format!("{why}: {hint}"))
}

/// Returns the value of an output, or what to say where it is not known.
fn named<'o>(outputs: &'o Outputs, output: Output, name: &str) -> Result<&'o str, Finding> {
    outputs.get(output).ok_or_else(|| {
        weak(
            name,
            format!("not looked at: its name is the output {}, and --outputs gives none", output.name()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_account_of_the_credentials_is_read_from_what_they_see() {
        let target = Target { region: "eu-central-1".into(), prefix: "dormouse".into(), chosen: None };
        let told = |arn| account(&target, arn).text;
        expect!["of account 111122223333, for dormouse in eu-central-1"]
            .assert_eq(&told(Some("arn:aws:ecs:eu-central-1:111122223333:cluster/dormouse")));
        expect!["nothing that could be seen in eu-central-1 tells which account they are of"]
            .assert_eq(&told(Some("arn:aws:s3:::bucket")));
    }

    #[test]
    fn what_cannot_be_seen_is_told_with_what_to_do() {
        let told = |why: &str| unseen("table", &Unavailable(why.into())).text;
        expect!["dynamodb:DescribeTable failed: AccessDeniedException: these credentials may not look at it; docs/aws-deployer.json has what is needed"].assert_eq(&told("dynamodb:DescribeTable failed: AccessDeniedException"));
        expect![
            "dynamodb:DescribeTable took too long: is the region right, and the network there? Then try again"
        ]
        .assert_eq(&told("dynamodb:DescribeTable took too long"));
        expect!["dynamodb:DescribeTable failed: InternalServerError: if it was deployed, try again; else docs/aws.md, Deploy"].assert_eq(&told("dynamodb:DescribeTable failed: InternalServerError"));
    }
}
