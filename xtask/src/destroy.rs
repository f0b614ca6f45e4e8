//! `cargo xtask destroy`: takes the service stack down. What holds worlds stays, and it says where that is.
//!
//! It never touches the stateful stack, the archives, the records, the files or the secrets, and never goes on while a world
//! is awake.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::{
    cloud::{ask, aws::Aws, config::Config, toolkit::Toolkit},
    ground::Ground,
    install,
    shell::run_command,
};

/// How to take it down.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask destroy                   asks for the prefix, so that nothing goes by mistake
  cargo xtask destroy --yes dormouse    does not ask

Worlds, archives and secrets stay, and `cargo xtask deploy` brings the rest back.")]
pub(crate) struct Destroy {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "dormouse.toml")]
    config: PathBuf,
    /// Ask nothing; the prefix says which Dormouse is meant
    #[arg(long, value_name = "PREFIX")]
    yes: Option<String>,
}

/// Takes it down.
pub(crate) fn destroy(ground: &Ground, args: &Destroy) -> Result<()> {
    let file = std::path::absolute(&args.config)?;
    let node = install::node()?;
    install::modules(ground, &node, "cdk")?;
    let config = Config::read(ground, &node, &file)?;
    let aws = Aws { ground, region: &config.region };
    of_this_account(aws, &config)?;
    let kept = Kept::find(aws, &config)?;
    if outputs(aws, &config.service_stack())?.is_none() {
        println!("there is no stack {}: it is down already", config.service_stack());
    } else {
        all_asleep(aws, &config)?;
        agree(args, &config)?;
        // Somebody may have woken a world while the question stood.
        all_asleep(aws, &config)?;
        // The toolkit makes the templates before it takes anything away; what goes into them does not matter for that.
        let artefacts = ground.path("cdk/test/artefacts");
        let toolkit = Toolkit { ground, node: &node, config: &file, artefacts, engine: None };
        run_command(toolkit.command(&["destroy", &config.service_stack(), "--exclusively", "--force"])?)?;
    }
    kept.show(&config);
    Ok(())
}

fn of_this_account(aws: Aws<'_>, config: &Config) -> Result<()> {
    let identity = aws.ask(&["sts", "get-caller-identity"]).context("who are you?")?;
    let account = identity["Account"].as_str().unwrap_or("?");
    ensure!(
        account == config.account,
        "the credentials are of account {account}, and `aws.account` says {}",
        config.account
    );
    Ok(())
}

/// Refuses to go on while anything runs in the cluster.
fn all_asleep(aws: Aws<'_>, config: &Config) -> Result<()> {
    let call = ["ecs", "list-tasks", "--cluster", &config.prefix, "--query", "taskArns"];
    let running = match aws.ask(&call) {
        Ok(tasks) => tasks.as_array().map_or(0, Vec::len),
        Err(refusal) if refusal.is_absence() => 0,
        Err(refusal) => return Err(refusal).context("looking whether worlds are awake"),
    };
    match running {
        0 => Ok(()),
        running => bail!(
            "worlds are awake (tasks that run: {running}); nothing has been done\n  hint: `dormouse world list` shows them, \
             `dormouse world stop NAME --wait` puts one to sleep"
        ),
    }
}

fn agree(args: &Destroy, config: &Config) -> Result<()> {
    println!("{} will be taken down: the functions, the queue, the cluster, the network.", config.title());
    println!("Its worlds and archives stay. Nobody can play until it is deployed again.");
    let typed = match &args.yes {
        Some(typed) => typed.clone(),
        None if ask::is_somebody_there() => ask::line(&format!("Type `{}` to go on:", config.prefix))?,
        None => bail!("there is nobody to ask: give --yes {}", config.prefix),
    };
    ensure!(typed == config.prefix, "`{typed}` is not `{}`; nothing has been done", config.prefix);
    Ok(())
}

/// Returns what a stack tells, or nothing if there is no such stack.
fn outputs(aws: Aws<'_>, stack: &str) -> Result<Option<Value>> {
    let call = ["cloudformation", "describe-stacks", "--stack-name", stack, "--query", "Stacks[0].Outputs"];
    match aws.ask(&call) {
        Ok(outputs) => Ok(Some(outputs)),
        Err(refusal) if refusal.is_absence() => Ok(None),
        Err(refusal) => Err(refusal).with_context(|| format!("looking at the stack {stack}")),
    }
}

/// What is kept: the names of where worlds are, if there are any.
struct Kept {
    places: Option<[String; 3]>,
}

impl Kept {
    fn find(aws: Aws<'_>, config: &Config) -> Result<Self> {
        let Some(outputs) = outputs(aws, &config.stateful_stack())? else { return Ok(Self { places: None }) };
        let output = |name: &str| {
            let mut outputs = outputs.as_array().into_iter().flatten();
            let output = outputs.find(|output| output["OutputKey"] == name);
            let value = output.and_then(|output| output["OutputValue"].as_str()).map(str::to_owned);
            value.with_context(|| format!("{} does not tell its {name}", config.stateful_stack()))
        };
        Ok(Self { places: Some([output("TableName")?, output("FileSystemId")?, output("BucketName")?]) })
    }

    fn show(&self, config: &Config) {
        let Config { prefix, region, .. } = config;
        let Some([table, files, bucket]) = &self.places else {
            println!("there is no stack {}: nothing is kept", config.stateful_stack());
            return;
        };
        println!("\nkept, and paid for by the byte:");
        println!("  records    the table {table}");
        println!("  files      the file system {files}");
        println!("  archives   the bucket {bucket}");
        println!("  secrets    /{prefix}/… in Parameter Store");
        println!("to have it all back:");
        println!("  cargo xtask deploy");
        println!("to have the archives here, which are plain .zip files:");
        println!("  aws s3 sync s3://{bucket}/worlds/ worlds/ --region {region}");
        println!("docs/aws.md says how to be rid of the worlds too; there is no command for it");
    }
}
