//! The secrets in Parameter Store: whether they are there, encrypted, and of the form that the functions take. Their values
//! are used and never shown.

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
    let named = |name: &str| {
        let name = format!("{path}/{name}");
        parameters.iter().find(|parameter| parameter.name() == Some(name.as_str()))
    };
    let value = |name: &str| named(name).and_then(Parameter::value).map(str::trim);
    let mut findings: Vec<_> =
        WANTED.iter().filter_map(|wanted| wanted.amiss(path, named(wanted.name))).collect();
    if findings.is_empty() {
        findings.push(good(NAME, format!("all three are in Parameter Store below {path}")));
    }
    findings.extend(control_url(path, value(CONTROL_URL), front_door));
    let secrets = Secrets {
        api_token: value(API_TOKEN).filter(|token| is_strong(token)).map(str::to_owned),
        bot_token: value(DISCORD_TOKEN).and_then(|token| BotToken::parse(token).ok()),
        arn: parameters.iter().find_map(Parameter::arn).map(str::to_owned),
    };
    (secrets, findings)
}

/// A secret that should be there.
struct Wanted {
    name: &'static str,
    /// What its form is, in words and as a check.
    form: &'static str,
    is_sound: fn(&str) -> bool,
    /// What comes of it if it is missing, and how bad that is.
    without: &'static str,
    missing: fn(&'static str, String) -> Finding,
}

const WANTED: [Wanted; 3] = [
    Wanted {
        name: LAUNCH_SECRET,
        form: "64 hexadecimal digits",
        is_sound: |text| Sha256::parse(text).is_ok(),
        without: "and the functions do not start",
        missing: bad,
    },
    Wanted {
        name: API_TOKEN,
        form: "32 characters or more",
        is_sound: is_strong,
        without: "so that programs are not let in",
        missing: weak,
    },
    Wanted {
        name: DISCORD_TOKEN,
        form: "a bot token",
        is_sound: |text| BotToken::parse(text).is_ok(),
        without: "so that there are no cards",
        missing: weak,
    },
];

fn is_strong(token: &str) -> bool {
    token.len() >= 32
}

impl Wanted {
    /// Says what is amiss with it, if anything is.
    fn amiss(&self, path: &str, found: Option<&Parameter>) -> Option<Finding> {
        let name = format!("{path}/{}", self.name);
        let put = format!("docs/aws.md, Write the secrets, puts {name}");
        let Some(found) = found else {
            return Some((self.missing)(NAME, format!("{name} is missing, {}: {put}", self.without)));
        };
        if found.r#type() != Some(&ParameterType::SecureString) {
            let text = format!("{name} is no SecureString, so that it is stored in the clear: {put}");
            return Some(bad(NAME, text));
        }
        let is_sound = found.value().is_some_and(|value| (self.is_sound)(value.trim()));
        let text = || format!("{name} is not {}, and the functions do not start: {put}", self.form);
        (!is_sound).then(|| bad(NAME, text()))
    }
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
