//! Discord's side: whether it knows the commands, and where it sends what people do.

use std::time::Duration;

use adapters::chat::discord::{
    commands::{diff, listed, wanted},
    rest::{Failure, Rest, Scope},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    super::finding::{Finding, bad, good, weak},
    Chosen, Target,
    outputs::{Output, Outputs},
};

/// What this is called in findings.
const NAME: &str = "Discord";

/// How long Discord is asked in all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says what is so, as far as the bot may see it.
pub(super) async fn check(target: &Target, outputs: &Outputs, rest: Option<Rest>) -> Vec<Finding> {
    let Some(rest) = rest else {
        return vec![weak(NAME, "not looked at: there is no bot token to ask with")];
    };
    let until = Instant::now() + PATIENCE;
    let mut findings = Vec::new();
    match rest.application(until).await {
        Ok(application) => {
            findings.extend(endpoint(target, &application, outputs.get(Output::InteractionsEndpoint)))
        }
        Err(failure) => return vec![failed(&failure)],
    }
    if let Some(chosen) = &target.chosen {
        findings.extend(commands(&rest, chosen, until).await);
    }
    findings
}

/// Says whether interactions go to this deployment.
fn endpoint(target: &Target, application: &Value, expected: Option<&str>) -> Vec<Finding> {
    let chosen = target.chosen.as_ref().map(|chosen| chosen.application.to_string());
    let id = application["id"].as_str().unwrap_or_default();
    if let Some(chosen) = chosen.filter(|chosen| chosen != id) {
        let text = format!(
            "the bot token is of application {id}, and the configuration names {chosen}: docs/aws.md, Write the secrets"
        );
        return vec![bad(NAME, text)];
    }
    let portal = format!("https://discord.com/developers/applications/{id}/information");
    match (application["interactions_endpoint_url"].as_str(), expected) {
        (_, None) => vec![],
        (Some(set), Some(expected)) if set == expected => {
            vec![good(NAME, "interactions are sent to this deployment")]
        }
        (Some(set), Some(expected)) => {
            vec![bad(NAME, format!("interactions are sent to {set}: paste {expected} at {portal}"))]
        }
        (None, Some(expected)) => {
            vec![bad(
                NAME,
                format!("it does not know where to send interactions: paste {expected} at {portal}"),
            )]
        }
    }
}

/// Says whether the commands are registered: everywhere, or in each of the servers.
async fn commands(rest: &Rest, chosen: &Chosen, until: Instant) -> Vec<Finding> {
    let lacks = async |scope| {
        let existing = rest.commands(chosen.application, scope, until).await?;
        let difference = diff(existing.as_array().map_or(&[], Vec::as_slice), &wanted(scope));
        Ok::<_, Failure>([difference.added, difference.changed].concat())
    };
    match lacks(Scope::Global).await {
        Ok(lacking) if lacking.is_empty() => {
            return vec![good(NAME, "the commands are registered everywhere")];
        }
        Ok(_) => {}
        Err(failure) => return vec![failed(&failure)],
    }
    let mut findings = Vec::new();
    for guild in &chosen.guilds {
        let scope = Scope::Guild(*guild);
        findings.push(match lacks(scope).await {
            Ok(lacking) if lacking.is_empty() => {
                good(NAME, format!("the commands are registered in {scope}"))
            }
            Ok(lacking) => bad(
                NAME,
                format!(
                    "in {scope} {} are missing or older: `dormouse discord register --guild {guild}`",
                    listed(&lacking)
                ),
            ),
            Err(Failure::Gone(_)) => bad(
                NAME,
                format!("the bot is not in {scope}: `dormouse discord invite` prints the link that adds it"),
            ),
            Err(failure) => failed(&failure),
        });
    }
    findings
}

fn failed(failure: &Failure) -> Finding {
    match failure {
        Failure::Unauthorized => {
            let text = "it does not take the bot token: copy a new one from the application's page, under Bot, and put it \
                        into Parameter Store (docs/aws.md, Write the secrets)";
            bad(NAME, text)
        }
        Failure::Unavailable(_) => weak(NAME, format!("{failure}: try again later")),
        Failure::Gone(_) | Failure::Refused { .. } => bad(NAME, failure.to_string()),
    }
}
