//! `dormouse discord …`: the application's commands as Discord has them, and the link that invites the bot.
//!
//! The bot's token is read from a file or the environment, never from the command line, which others on the machine can see.

use std::{path::PathBuf, time::Duration};

use adapters::chat::discord::{
    commands::{CommandId, Diff, Others, Plan, diff, listed, wanted},
    rest::{BotToken, DISCORD, Failure, Rest, Scope},
    snowflake::Snowflake,
};
use anyhow::{Context, Error, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::output::say;

/// How long one request may be tried; a rate limit of Discord's is seldom longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the token is looked for when no file is named.
const TOKEN_VARIABLE: &str = "DORMOUSE_DISCORD_TOKEN";

/// What the bot needs in a channel to keep a card there: to see it, to write, in threads too, and to show blocks.
const PERMISSIONS: u64 = 1 << 10 | 1 << 11 | 1 << 14 | 1 << 38;

/// Discord's side of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Discord {
    /// Register the commands: in some guilds, where they show at once, or everywhere
    #[command(after_help = "Examples:
  dormouse discord register --guild 1200000000000000002      only what differs is written
  dormouse discord register --global
  dormouse discord register --dry-run --json                 print what would be sent; needs no token

The token is read from DORMOUSE_DISCORD_TOKEN or --token-file. It is on the application's page
on https://discord.com/developers/applications, under Bot.")]
    Register(Register),
    /// Show the commands that Discord has
    #[command(after_help = "Example:\n  dormouse discord list --guild 1200000000000000002")]
    List(Existing),
    /// Remove our commands from Discord
    #[command(after_help = "Example:\n  dormouse discord unregister --global")]
    Unregister(Existing),
    /// Print the link that adds the bot to a guild
    #[command(after_help = "Example:\n  dormouse discord invite --application-id 1100000000000000001")]
    Invite(Invite),
}

/// Which application, and how to reach Discord.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// The application's id
    #[arg(long, value_name = "ID", env = "DORMOUSE_DISCORD_APPLICATION")]
    application_id: Option<Snowflake>,
    /// A file that holds the bot's token (or set DORMOUSE_DISCORD_TOKEN)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    /// Where Discord's HTTP interface is
    #[arg(long, hide = true, value_name = "URL", default_value = DISCORD)]
    api_url: String,
}

/// Commands to register.
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// A guild to register in; can be given several times
    #[arg(long, value_name = "ID", required_unless_present_any = ["global", "dry_run"])]
    guild: Vec<Snowflake>,
    /// Register for every guild that has the application
    #[arg(long)]
    global: bool,
    /// Remove the application's other commands too; without it they are left, and nothing is written
    #[arg(long)]
    remove_others: bool,
    /// Print what would be registered; needs no token and no network
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Commands that are registered.
#[derive(Debug, Args)]
pub(crate) struct Existing {
    /// A guild; can be given several times
    #[arg(long, value_name = "ID", required_unless_present = "global")]
    guild: Vec<Snowflake>,
    /// Those for every guild that has the application
    #[arg(long)]
    global: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Whom to invite, and where.
#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// The application's id
    #[arg(long, value_name = "ID", env = "DORMOUSE_DISCORD_APPLICATION")]
    application_id: Snowflake,
    /// The guild that is chosen beforehand
    #[arg(long, value_name = "ID")]
    guild: Option<Snowflake>,
}

/// Carries out a command about Discord.
pub(crate) fn run(command: &Discord) -> Result<()> {
    match command {
        Discord::Invite(invite) => {
            say!("{}", link(invite));
            Ok(())
        }
        Discord::Register(register) if register.dry_run => dry_run(register),
        Discord::Register(register) => {
            let scopes = scopes(&register.guild, register.global);
            let others = if register.remove_others { Others::Remove } else { Others::Leave };
            each(&register.reach, &scopes, async |client, scope| client.register(scope, others).await)
        }
        Discord::List(existing) => {
            let scopes = scopes(&existing.guild, existing.global);
            each(&existing.reach, &scopes, async |client, scope| client.list(scope).await)
        }
        Discord::Unregister(existing) => {
            let scopes = scopes(&existing.guild, existing.global);
            each(&existing.reach, &scopes, async |client, scope| client.unregister(scope).await)
        }
    }
}

fn scopes(guilds: &[Snowflake], global: bool) -> Vec<Scope> {
    let guilds = guilds.iter().map(|guild| Scope::Guild(*guild));
    global.then_some(Scope::Global).into_iter().chain(guilds).collect()
}

/// Prints what would be registered; a guild's own commands say less than those for all guilds.
fn dry_run(register: &Register) -> Result<()> {
    let scope = match register.guild.first() {
        Some(_) if register.global => bail!("--dry-run shows one payload: give --guild or --global"),
        Some(guild) => Scope::Guild(*guild),
        None => Scope::Global,
    };
    let commands = wanted(scope);
    if register.reach.json {
        say!("{}", serde_json::to_string_pretty(&commands)?);
        return Ok(());
    }
    for command in &commands {
        say!("/{} — {}", command.name, command.description);
        for below in &command.options {
            say!("  {:<9} {}", below.name, below.description);
        }
    }
    Ok(())
}

fn link(invite: &Invite) -> String {
    let id = invite.application_id;
    let guild =
        invite.guild.map_or(String::new(), |guild| format!("&guild_id={guild}&disable_guild_select=true"));
    format!(
        "https://discord.com/oauth2/authorize?client_id={id}&scope=bot+applications.commands&permissions={PERMISSIONS}{guild}"
    )
}

/// What was done in one scope: in words, and for programs.
struct Done {
    text: String,
    json: Value,
}

/// Does `what` in each scope, and prints what came of it.
fn each(reach: &Reach, scopes: &[Scope], what: impl AsyncFn(&Client, Scope) -> Result<Done>) -> Result<()> {
    let client = Client::new(reach)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the runtime")?;
    let mut all = Vec::new();
    for scope in scopes {
        let Done { text, json } = runtime.block_on(what(&client, *scope))?;
        if reach.json {
            all.push(json);
        } else {
            say!("{scope}: {text}");
        }
    }
    if reach.json {
        say!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(())
}

/// Discord, as the application's owner speaks to it.
struct Client {
    rest: Rest,
    application: Snowflake,
    token_from: String,
}

impl Client {
    fn new(reach: &Reach) -> Result<Self> {
        let application = reach.application_id.context(
            "which application? give --application-id or set DORMOUSE_DISCORD_APPLICATION; the id is on its page \
             on https://discord.com/developers/applications",
        )?;
        let (token, token_from) = token(reach)?;
        Ok(Self { rest: Rest::new(checked(&reach.api_url)?, Some(token)), application, token_from })
    }

    /// Returns the commands that Discord has, of whatever kind.
    async fn existing(&self, scope: Scope) -> Result<Vec<Value>> {
        let value = self.rest.commands(self.application, scope, Instant::now() + PATIENCE).await;
        let Value::Array(commands) = value.map_err(|failure| self.explain(scope, &failure))? else {
            bail!("{scope}: Discord's answer is no list of commands\n  hint: try again later")
        };
        Ok(commands)
    }

    async fn register(&self, scope: Scope, others: Others) -> Result<Done> {
        let wanted = wanted(scope);
        let difference = diff(&self.existing(scope).await?, &wanted);
        match difference.plan(others) {
            Plan::Nothing => Ok(nothing_to_do(scope, difference)),
            Plan::Write => {
                let until = Instant::now() + PATIENCE;
                let written = self.rest.overwrite_commands(self.application, scope, json!(wanted), until);
                written.await.map_err(|failure| self.explain(scope, &failure))?;
                Ok(Done { text: format!("done: {difference}"), json: json_of(scope, &difference) })
            }
            Plan::Refuse => bail!(
                "{scope}: this would remove commands that are not ours: {}; nothing was written\n  \
                 hint: give --remove-others to remove them, or use an application of its own for Dormouse",
                listed(&difference.removed)
            ),
        }
    }

    async fn list(&self, scope: Scope) -> Result<Done> {
        let commands = self.existing(scope).await?;
        let ids: Vec<_> = commands.iter().map(CommandId::of).collect();
        let text = if ids.is_empty() { "no commands".into() } else { listed(&ids) };
        Ok(Done { text, json: json!({ "scope": scope.to_string(), "commands": commands }) })
    }

    /// Removes the commands that have a name and kind of ours; others may be somebody else's.
    async fn unregister(&self, scope: Scope) -> Result<Done> {
        let ours = wanted(scope);
        let mut removed = Vec::new();
        for command in &self.existing(scope).await? {
            let which = CommandId::of(command);
            let id = command["id"].as_str().and_then(|id| id.parse().ok());
            if let Some(id) = id.filter(|_| which.is_in(&ours)) {
                let until = Instant::now() + PATIENCE;
                let deleted = self.rest.delete_command(self.application, scope, id, until).await;
                deleted.map_err(|failure| self.explain(scope, &failure))?;
                removed.push(which);
            }
        }
        let difference = Diff { removed, ..Diff::default() };
        let text =
            if difference.is_empty() { "nothing to remove".into() } else { format!("done: {difference}") };
        Ok(Done { text, json: json_of(scope, &difference) })
    }

    /// Returns what went wrong, and how to mend it.
    fn explain(&self, scope: Scope, failure: &Failure) -> Error {
        const OTHER_APPLICATION: u64 = 20012;
        let hint = match failure {
            Failure::Unauthorized => {
                format!(
                    "the token is from {}; copy a new one from the application's page, under Bot",
                    self.token_from
                )
            }
            Failure::Gone(_) => {
                format!("is the bot in {scope}? `dormouse discord invite` prints the link that adds it")
            }
            Failure::Refused { code: OTHER_APPLICATION, .. } => {
                format!("the token from {} is not of application {}", self.token_from, self.application)
            }
            Failure::Refused { .. } => "this is a mistake of Dormouse's; please report it".into(),
            Failure::Unavailable(_) => "try again later".into(),
        };
        anyhow!("{scope}: {failure}\n  hint: {hint}")
    }
}

/// Returns what is said where nothing was written: what is there besides stays.
fn nothing_to_do(scope: Scope, difference: Diff) -> Done {
    let left = match difference.removed.as_slice() {
        [] => String::new(),
        others => format!("; not ours, and left: {}", listed(others)),
    };
    let difference = Diff { removed: Vec::new(), ..difference };
    Done { text: format!("everything is as it should be{left}"), json: json_of(scope, &difference) }
}

fn json_of(scope: Scope, Diff { added, changed, removed, kept }: &Diff) -> Value {
    let names = |ids: &[CommandId]| ids.iter().map(name_of).collect::<Vec<_>>();
    let (added, changed, removed, kept) = (names(added), names(changed), names(removed), names(kept));
    json!({ "scope": scope.to_string(), "added": added, "changed": changed, "removed": removed, "kept": kept })
}

/// Returns the name of a command as programs read it: what is called by a slash has it alone.
fn name_of(id: &CommandId) -> String {
    id.to_string().trim_start_matches('/').to_owned()
}

/// Returns the token and where it is from.
fn token(reach: &Reach) -> Result<(BotToken, String)> {
    let (text, from) = match &reach.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the bot's token in {}", file.display()))?;
            (text, file.display().to_string())
        }
        None => {
            let hint =
                format!("the bot's token is missing: set {TOKEN_VARIABLE} or name a file with --token-file");
            (std::env::var(TOKEN_VARIABLE).ok().context(hint)?, TOKEN_VARIABLE.to_owned())
        }
    };
    let token = BotToken::parse(&text).with_context(|| format!("{from} holds no bot token"))?;
    Ok((token, from))
}

/// Refuses an address to which the token would travel in the clear.
fn checked(url: &str) -> Result<&str> {
    let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    match host {
        None if url.starts_with("https://") => Ok(url),
        Some("127.0.0.1" | "localhost") => Ok(url),
        Some(_) | None => bail!("`{url}` cannot be used: it must begin with https://, or be on this machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_link_asks_for_no_more_than_cards_need() {
        let application_id = "1100000000000000001".parse().unwrap();
        let guild = Some("1200000000000000002".parse().unwrap());
        expect!["https://discord.com/oauth2/authorize?client_id=1100000000000000001&scope=bot+applications.commands&permissions=274877926400"]
            .assert_eq(&link(&Invite { application_id, guild: None }));
        assert!(
            link(&Invite { application_id, guild })
                .ends_with("&guild_id=1200000000000000002&disable_guild_select=true")
        );
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear() {
        for good in [DISCORD, "http://127.0.0.1:8080/api", "http://localhost/api"] {
            assert!(checked(good).is_ok(), "{good}");
        }
        for bad in ["http://discord.com/api/v10", "http://127.0.0.1.evil.example", "ftp://x", ""] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
