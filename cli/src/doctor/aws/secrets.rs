//! The secrets in Parameter Store: whether they are there, encrypted, and of the form that the functions take. Their values
//! are used and never shown.

use std::collections::BTreeMap;

use adapters::{aws::unavailable, chat::discord::rest::BotToken};
use aws_config::SdkConfig;
use aws_sdk_ssm::{
    Client,
    types::{Parameter, ParameterType},
};
use domain::world::Sha256;

use super::{
    super::finding::{Finding, bad, good, weak},
    Target,
    outputs::{Output, Outputs},
    unseen,
};

/// What this is called in findings.
const NAME: &str = "secrets";

/// The secrets by their names, as `control-lambda/src/config.rs` has them.
const LAUNCH_SECRET: &str = "launch-secret";
const API_TOKEN: &str = "api-token";
const DISCORD_TOKEN: &str = "discord-token";

/// Where the front door is, which is no secret.
const CONTROL_URL: &str = "control-url";

/// What was read.
#[derive(Default)]
pub(super) struct Secrets {
    /// The token of people's programs.
    pub(super) api_token: Option<String>,
    /// The bot's token.
    pub(super) bot_token: Option<BotToken>,
    /// The ARN of one of them, if there is one.
    pub(super) arn: Option<String>,
}

/// Reads the secrets and says what is amiss; an error if nothing can be read.
pub(super) async fn check(
    aws: &SdkConfig,
    target: &Target,
    outputs: &Outputs,
) -> Result<(Secrets, Vec<Finding>), Finding> {
    let path = format!("/{}", target.prefix);
    let names = [LAUNCH_SECRET, API_TOKEN, DISCORD_TOKEN, CONTROL_URL].map(|name| format!("{path}/{name}"));
    let read = Client::new(aws).get_parameters().set_names(Some(names.into())).with_decryption(true).send();
    let read = read.await.map_err(|error| unseen(NAME, &unavailable("ssm:GetParameters", &error)))?;
    Ok(judge(&path, read.parameters(), outputs.get(Output::FrontDoorUrl)))
}

fn judge(path: &str, parameters: &[Parameter], front_door: Option<&str>) -> (Secrets, Vec<Finding>) {
    let all: BTreeMap<_, _> = parameters
        .iter()
        .filter_map(|p| Some((p.name()?.strip_prefix(path)?.strip_prefix('/')?, p)))
        .collect();
    let value = |name: &str| all.get(name).and_then(|p| p.value()).map(str::trim);
    let put = |name: &str| format!("docs/aws.md, Write the secrets, puts {path}/{name}");
    let mut findings = Vec::new();
    let mut check = |name: &str, without: &str, is_sound: bool, form: &str| match all.get(name) {
        None if name == LAUNCH_SECRET => {
            findings.push(bad(NAME, format!("{path}/{name} is missing, {without}: {}", put(name))));
        }
        None => findings.push(weak(NAME, format!("{path}/{name} is missing, {without}: {}", put(name)))),
        Some(p) if p.r#type() != Some(&ParameterType::SecureString) => {
            let text =
                format!("{path}/{name} is no SecureString, so that it is stored in the clear: {}", put(name));
            findings.push(bad(NAME, text));
        }
        Some(_) if !is_sound => {
            let text = format!("{path}/{name} is not {form}, and the functions do not start: {}", put(name));
            findings.push(bad(NAME, text));
        }
        Some(_) => {}
    };
    let is_secret = value(LAUNCH_SECRET).is_some_and(|text| Sha256::parse(text).is_ok());
    check(LAUNCH_SECRET, "and the functions do not start", is_secret, "64 hexadecimal digits");
    let api_token = value(API_TOKEN).filter(|token| token.len() >= 32);
    check(API_TOKEN, "so that programs are not let in", api_token.is_some(), "32 characters or more");
    let bot_token = value(DISCORD_TOKEN).and_then(|token| BotToken::parse(token).ok());
    check(DISCORD_TOKEN, "so that there are no cards", bot_token.is_some(), "a bot token");
    if findings.is_empty() {
        findings.push(good(NAME, format!("all three are in Parameter Store below {path}")));
    }
    findings.extend(control_url(path, value(CONTROL_URL), front_door));
    let arn = parameters.iter().find_map(|p| p.arn()).map(str::to_owned);
    (Secrets { api_token: api_token.map(str::to_owned), bot_token, arn }, findings)
}

/// Says what is wrong with the parameter that tells the front door its address, if anything is.
fn control_url(path: &str, told: Option<&str>, front_door: Option<&str>) -> Option<Finding> {
    let bare = |url: &str| url.trim_end_matches('/').to_owned();
    match (told.map(bare), front_door.map(bare)) {
        (None, _) => {
            let text =
                format!("{path}/{CONTROL_URL} is missing, so that no link leads anywhere: deploy again");
            Some(bad(NAME, text))
        }
        (Some(told), Some(is)) if told != is => Some(bad(
            NAME,
            format!("{path}/{CONTROL_URL} leads to {told}, and the front door is at {is}: deploy again"),
        )),
        (Some(_), _) => None,
    }
}
