//! `dormouse doctor`: what this machine has, or what is deployed on AWS; what is wrong with it, and how to mend that.

use std::path::PathBuf;

use adapters::chat::discord::rest::DISCORD;
use anyhow::{Result, bail};
use clap::Args;

use self::finding::{Finding, Verdict};
use crate::output::say;

mod finding;

mod machine;

#[cfg(feature = "aws")]
mod aws;

#[cfg(not(feature = "aws"))]
#[path = "doctor/no_aws.rs"]
mod aws;

/// What to check.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dormouse doctor
  dormouse doctor --aws --outputs outputs.json    what `cdk deploy --outputs-file` has made
  dormouse doctor --aws --region eu-central-1 --prefix dormouse

With --aws it takes the credentials of the environment (AWS_PROFILE and the like), only reads, and shows no secret.

Exit codes: 0 it works, 1 something keeps it from working")]
pub(crate) struct Doctor {
    /// The directory that `dormouse up` uses
    #[arg(long, env = "DORMOUSE_DATA", hide_env_values = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A directory of catalogue entries beside those that are built in
    #[arg(long, env = "DORMOUSE_GAMES", hide_env_values = true, value_name = "DIR")]
    games: Option<PathBuf>,
    /// Check what is deployed on AWS, instead of this machine
    #[arg(long)]
    aws: bool,
    #[command(flatten)]
    deployment: Deployment,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Which deployment to check.
#[derive(Debug, Args)]
struct Deployment {
    /// The deployment's configuration [default: dormouse.toml]
    #[arg(long, value_name = "FILE", requires = "aws", conflicts_with_all = ["region", "prefix"])]
    config: Option<PathBuf>,
    /// The deployment's region, where there is no configuration at hand; then no game is looked for
    #[arg(long, value_name = "REGION", requires = "aws")]
    region: Option<String>,
    /// What the deployment's names begin with [default: dormouse]
    #[arg(long, value_name = "NAME", requires = "region")]
    prefix: Option<String>,
    /// What was deployed: the file that `cdk deploy --outputs-file` writes
    #[arg(long, env = "DORMOUSE_OUTPUTS", hide_env_values = true, value_name = "FILE")]
    outputs: Option<PathBuf>,
    /// Where Discord's HTTP interface is
    #[arg(long, hide = true, value_name = "URL", default_value = DISCORD)]
    discord_url: String,
}

/// Checks and says what it found; an error if something keeps worlds from running.
pub(crate) fn run(doctor: &Doctor) -> Result<()> {
    let games = doctor.games.as_deref();
    let findings = if doctor.aws {
        aws::findings(&doctor.deployment, games)?
    } else {
        machine::findings(doctor.data.as_deref(), games)?
    };
    if doctor.json {
        say!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(Finding::show);
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        1 => bail!("something is wrong"),
        many => bail!("{many} things are wrong"),
    }
}
