//! `cargo xtask deploy`: from a configuration to a Dormouse in AWS, step by step.
//!
//! Each step may be done again, and says so when there is nothing left to do; whatever breaks it off, the next run goes on
//! from there. Nothing is changed in the account before somebody said yes. A secret goes into Parameter Store by standard
//! input and nowhere else.

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use crate::{
    build::{self, Build},
    cloud::{ask, aws::Aws, config::Config, toolkit::Toolkit},
    ground::Ground,
    install,
    shell::{run_command, shown},
};

use discord::{Discord, Token};
use needs::{Offer, Verdict};
use secrets::Secret;

mod needs;

mod secrets;

mod discord;

/// How often the registration of commands is tried while somebody mends what keeps it from working.
const MOST_TRIES: u32 = 5;

/// How to deploy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask deploy --dry-run                        show the steps, and do nothing
  cargo xtask deploy                                  asks before it changes anything
  cargo xtask deploy --yes --discord-token-file FILE  asks nothing
  cargo xtask deploy --renew discord-token            after the token was reset

The bot token is asked for once, is not shown, and is kept in Parameter Store. docs/aws.md leads through all of it.")]
pub(crate) struct Deploy {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "dormouse.toml")]
    config: PathBuf,
    /// Show the steps and their commands, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing: yes to everything
    #[arg(long)]
    yes: bool,
    /// A file with the bot token, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    discord_token_file: Option<PathBuf>,
    /// Write a secret anew; a new launch-secret cuts off the worlds that are awake
    #[arg(long, value_name = "SECRET")]
    renew: Vec<Secret>,
    /// Accept the licence under which a game's server is downloaded
    #[arg(long, value_name = "GAME")]
    accept_licence: Vec<String>,
    /// Where Discord's HTTP interface is
    #[arg(long, hide = true, value_name = "URL", value_parser = discord::address)]
    discord_api: Option<String>,
}

/// Deploys.
pub(crate) fn deploy(ground: &Ground, args: &Deploy) -> Result<()> {
    let file = std::path::absolute(&args.config)?;
    let node = install::node()?;
    install::modules(ground, &node, "cdk")?;
    let config = Config::read(ground, &node, &file);
    if args.dry_run {
        return Deployment::new(ground, args, &node, &file, config?, None).show();
    }
    say("1. Is everything there?");
    for game in &args.accept_licence {
        build::accept_licence(ground, game)?;
    }
    let engine = needs::engine(ground);
    let found = needs::look(ground, config.as_ref(), engine.as_ref(), &file, args);
    found.iter().for_each(needs::Finding::show);
    let missing = found.iter().filter(|finding| finding.verdict == Verdict::Missing).count();
    ensure!(missing == 0, "{missing} missing; nothing has been done");
    let offers = found.iter().filter_map(|finding| finding.offer).collect::<Vec<_>>();
    let engine = engine.map(|engine| engine.program);
    Deployment::new(ground, args, &node, &file, config?, engine).run(&offers)
}

/// One deployment.
struct Deployment<'a> {
    ground: &'a Ground,
    args: &'a Deploy,
    config: Config,
    toolkit: Toolkit<'a>,
    discord: Discord,
}

impl<'a> Deployment<'a> {
    fn new(
        ground: &'a Ground,
        args: &'a Deploy,
        node: &'a Path,
        file: &'a Path,
        config: Config,
        engine: Option<String>,
    ) -> Self {
        let toolkit = Toolkit { ground, node, config: file, artefacts: ground.target(""), engine };
        Self { ground, args, config, toolkit, discord: Discord::at(args.discord_api.as_deref()) }
    }

    /// Does every step.
    fn run(&self, offers: &[Offer]) -> Result<()> {
        say("2. The account");
        self.prepare(offers)?;
        say("3. Build");
        build::build(self.ground, &Build { release: true, accept_licence: Vec::new() })?;
        run_command(self.build_program())?;
        say("4. What will change, and what it costs");
        run_command(self.toolkit.command(&["diff", "--all"])?)?;
        run_command(self.cost())?;
        self.agree(&format!("Deploy {}?", self.config.title()))?;
        say("5. The secrets");
        let token = secrets::write(&self.secrets())?;
        say("6. Deploy");
        fs::create_dir_all(self.ground.target("deploy"))?;
        run_command(self.deploy_stacks()?)?;
        let outputs = Outputs::read(&self.outputs_file(), &self.config)?;
        say("7. Discord");
        self.register(&token)?;
        self.discord.lead_to(&token, &self.config.discord.application, &outputs.interactions_endpoint)?;
        say("8. Does it work?");
        let checked = run_command(self.doctor());
        say("Dormouse is deployed");
        self.show_what_comes_next(&outputs);
        checked.context("it is deployed, but something is not as it should be")
    }

    /// Does once what each account needs once.
    fn prepare(&self, offers: &[Offer]) -> Result<()> {
        if offers.is_empty() {
            println!("is ready");
        }
        for offer in offers {
            println!("{}", offer.what());
            self.agree(offer.question())?;
            run_command(self.offered(*offer)?)?;
        }
        Ok(())
    }

    fn agree(&self, question: &str) -> Result<()> {
        if self.args.yes {
            return Ok(());
        }
        ensure!(ask::is_somebody_there(), "there is nobody to ask \"{question}\": give --yes");
        ensure!(ask::yes(&format!("\n{question}"))?, "nothing more has been done");
        Ok(())
    }

    fn secrets(&self) -> secrets::Writing<'_> {
        secrets::Writing {
            aws: self.aws(),
            prefix: &self.config.prefix,
            renew: &self.args.renew,
            token_file: self.args.discord_token_file.as_deref(),
            discord: &self.discord,
            application: &self.config.discord,
        }
    }

    /// Registers the commands, which Discord takes for a server once the bot is in it.
    fn register(&self, token: &Token) -> Result<()> {
        for _ in 0..MOST_TRIES {
            if self.is_registered(token)? {
                return Ok(());
            }
            println!("If it is that the bot is not in the server yet, this adds it:");
            stdout().flush()?;
            let invited = self.invite().status().context("running dormouse")?;
            ensure!(invited.success(), "the bot's link could not be told");
            let is_somebody_there = !self.args.yes && ask::is_somebody_there();
            ensure!(is_somebody_there, "the commands could not be registered: add the bot, and deploy again");
            self.agree("Try again?")?;
        }
        bail!(
            "the commands could not be registered; everything before is done, so deploy again once that is mended"
        )
    }

    /// Tries to register the commands. The program reads the token from its standard input.
    fn is_registered(&self, token: &Token) -> Result<bool> {
        let mut command = self.register_commands();
        println!("\n$ {}", shown(&command));
        let mut child = command.stdin(Stdio::piped()).spawn().context("running dormouse")?;
        // A program that does not read says itself why.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(token.secret().as_bytes()));
        Ok(child.wait()?.success())
    }

    fn show_what_comes_next(&self, outputs: &Outputs) {
        let Config { prefix, region, .. } = &self.config;
        println!("In the server: /world create name:valhalla game:Luanti, then /world start name:valhalla");
        println!("The same at a shell:");
        println!("  export DORMOUSE_URL={}", outputs.front_door_url);
        println!(
            "  export DORMOUSE_API_TOKEN=\"$(aws ssm get-parameters --with-decryption --region {region} \\\n    \
             --names /{prefix}/{} --query 'Parameters[0].Value' --output text)\"",
            Secret::Api.name()
        );
        println!("  dormouse world list");
        println!("The outputs are in {}", self.outputs_file().display());
    }

    /// Shows the steps and what they run.
    fn show(&self) -> Result<()> {
        let shown =
            |commands: &[Command]| commands.iter().for_each(|command| println!("   $ {}", shown(command)));
        println!("what would be done for {}:", self.config.title());
        println!("1. look whether everything is there, and say all that is missing");
        shown(&[self.aws().command(&["sts", "get-caller-identity"])]);
        println!("2. prepare the account, where it is not yet, after asking");
        shown(&[self.offered(Offer::Bootstrap)?, self.offered(Offer::ServiceLinkedRole)?]);
        println!("3. build: `cargo xtask build --release`, and the program dormouse");
        shown(&[self.build_program()]);
        println!("4. show what will change and what it costs, and ask");
        shown(&[self.toolkit.command(&["diff", "--all"])?, self.cost()]);
        println!("5. write the secrets that are not there yet; each goes in by standard input");
        let puts = Secret::ALL.map(|secret| secrets::put(&self.secrets(), secret, secrets::Existing::Refuse));
        shown(&puts);
        println!("6. deploy");
        shown(&[self.deploy_stacks()?]);
        println!("7. register the commands with Discord, and set its interactions endpoint");
        shown(&[self.register_commands()]);
        println!("8. look whether it works");
        shown(&[self.doctor()]);
        Ok(())
    }

    fn aws(&self) -> Aws<'_> {
        Aws { ground: self.ground, region: &self.config.region }
    }

    fn offered(&self, offer: Offer) -> Result<Command> {
        let Config { account, region, .. } = &self.config;
        match offer {
            Offer::Bootstrap => self.toolkit.command(&["bootstrap", &format!("aws://{account}/{region}")]),
            Offer::ServiceLinkedRole => Ok(self.aws().command(&[
                "iam",
                "create-service-linked-role",
                "--aws-service-name",
                "ecs.amazonaws.com",
            ])),
        }
    }

    fn build_program(&self) -> Command {
        self.ground.command("cargo", &["build", "--package", "dormouse", "--locked"])
    }

    fn deploy_stacks(&self) -> Result<Command> {
        let outputs = self.outputs_file();
        // What will change has been shown and agreed to.
        let mut command = self.toolkit.command(&["deploy", "--all", "--require-approval", "never"])?;
        command.arg("--outputs-file").arg(outputs);
        Ok(command)
    }

    fn outputs_file(&self) -> PathBuf {
        self.ground.target("deploy").join(format!("{}.json", self.config.prefix))
    }

    fn dormouse(&self, arguments: &[&str]) -> Command {
        self.ground.command(self.ground.target("debug/dormouse"), arguments)
    }

    fn register_commands(&self) -> Command {
        let discord = &self.config.discord;
        let mut command = self.dormouse(&["discord", "register", "--application-id", &discord.application]);
        discord.guilds.iter().for_each(|guild| _ = command.args(["--guild", guild]));
        command.args(["--token-file", "/dev/stdin"]);
        self.args.discord_api.iter().for_each(|url| _ = command.args(["--api-url", url]));
        command
    }

    fn invite(&self) -> Command {
        self.dormouse(&["discord", "invite", "--application-id", &self.config.discord.application])
    }

    fn cost(&self) -> Command {
        let mut command = self.dormouse(&["cost", "--config"]);
        command.arg(self.toolkit.config);
        command
    }

    fn doctor(&self) -> Command {
        let mut command = self.dormouse(&["doctor", "--aws", "--config"]);
        command.arg(self.toolkit.config).arg("--outputs").arg(self.outputs_file());
        command
    }
}

/// What the stacks tell once they are deployed, as far as it is needed here.
struct Outputs {
    front_door_url: String,
    interactions_endpoint: String,
}

impl Outputs {
    fn read(file: &Path, config: &Config) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("the toolkit left no {}", file.display()))?;
        let all: Value =
            serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?;
        let stack = config.service_stack();
        let output = |name: &str| {
            let value = all[&stack][name].as_str().map(str::to_owned);
            value.with_context(|| format!("{} has no {stack}.{name}", file.display()))
        };
        Ok(Self {
            front_door_url: output("FrontDoorUrl")?,
            interactions_endpoint: output("InteractionsEndpoint")?,
        })
    }
}

fn say(what: &str) {
    println!("\n== {what}");
}
