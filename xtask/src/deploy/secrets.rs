//! The secrets in Parameter Store. Those that we make are made once; none is ever written over without being asked.

use std::{fs, io::Read, path::Path, process::Command};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use ring::rand::{SecureRandom, SystemRandom};

use crate::{
    cloud::{
        ask,
        aws::{Aws, Refusal},
        config,
    },
    deploy::discord::{Discord, Token},
};

/// The longest file that is read for a token.
const LONGEST_FILE: u64 = 4096;

/// A secret of Dormouse's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Secret {
    /// Tokens of launches and links are derived from it.
    #[value(name = "launch-secret")]
    Launch,
    /// The command line shows it.
    #[value(name = "api-token")]
    Api,
    /// The bot is whoever has it.
    #[value(name = "discord-token")]
    Discord,
}

impl Secret {
    /// All of them, in the order in which they are written.
    pub(super) const ALL: [Self; 3] = [Self::Launch, Self::Api, Self::Discord];

    /// Returns its name below the prefix (`cdk/lib/agreed.ts`).
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch-secret",
            Self::Api => "api-token",
            Self::Discord => "discord-token",
        }
    }
}

/// What is written, and where.
pub(super) struct Writing<'a> {
    pub(super) aws: Aws<'a>,
    pub(super) prefix: &'a str,
    /// Those that are to be written anew.
    pub(super) renew: &'a [Secret],
    pub(super) token_file: Option<&'a Path>,
    pub(super) discord: &'a Discord,
    /// Whose token it must be.
    pub(super) application: &'a config::Discord,
}

/// What becomes of a secret that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and writing another is an error: somebody was faster.
    Refuse,
    Replace,
}

/// Returns which secrets are there, without reading them.
pub(super) fn stored(aws: Aws<'_>, prefix: &str) -> Result<Vec<Secret>, Refusal> {
    let names = Secret::ALL.map(|secret| parameter(prefix, secret));
    let [first, second, third] = &names;
    let said =
        aws.ask(&["ssm", "get-parameters", "--names", first, second, third, "--query", "Parameters[].Name"])?;
    let is_there = |secret: &Secret| {
        let wanted = parameter(prefix, *secret);
        said.as_array().is_some_and(|names| names.iter().any(|name| name.as_str() == Some(wanted.as_str())))
    };
    Ok(Secret::ALL.into_iter().filter(is_there).collect())
}

/// Writes what is not there yet, and returns the bot's token, which Discord has taken.
pub(super) fn write(writing: &Writing<'_>) -> Result<Token> {
    let stored = stored(writing.aws, writing.prefix).context("looking at Parameter Store")?;
    let existing = |secret: Secret| match (stored.contains(&secret), writing.renew.contains(&secret)) {
        (true, false) => None,
        (true, true) => Some(Existing::Replace),
        (false, _) => Some(Existing::Refuse),
    };
    for secret in [Secret::Launch, Secret::Api] {
        match existing(secret) {
            None => stays(secret),
            Some(existing) => send(writing, secret, existing, &random()?)?,
        }
    }
    let Some(existing) = existing(Secret::Discord) else {
        let token = read_back(writing)?;
        writing.discord.check(&token, writing.application)?;
        stays(Secret::Discord);
        return Ok(token);
    };
    let token = given(writing.token_file)?;
    // A token that is wrong, or another application's, is better refused here than by everything that comes after.
    writing.discord.check(&token, writing.application)?;
    send(writing, Secret::Discord, existing, token.secret())?;
    Ok(token)
}

fn stays(secret: Secret) {
    println!("{}: is there, and stays as it is", secret.name());
}

/// Returns the command that writes a secret, which it reads from its standard input.
pub(super) fn put(writing: &Writing<'_>, secret: Secret, existing: Existing) -> Command {
    let name = parameter(writing.prefix, secret);
    let call = put_call(&name, existing);
    writing.aws.command(&call)
}

fn put_call(name: &str, existing: Existing) -> Vec<&str> {
    let mut call = vec!["ssm", "put-parameter", "--type", "SecureString", "--name", name];
    call.extend(["--value", "file:///dev/stdin"]);
    match existing {
        Existing::Refuse => {}
        Existing::Replace => call.push("--overwrite"),
    }
    call
}

fn send(writing: &Writing<'_>, secret: Secret, existing: Existing, value: &str) -> Result<()> {
    let name = parameter(writing.prefix, secret);
    let sent = writing.aws.tell(&put_call(&name, existing), value);
    sent.with_context(|| format!("writing {name}"))?;
    println!("{}: written to {name}", secret.name());
    Ok(())
}

/// Returns the token that is stored.
fn read_back(writing: &Writing<'_>) -> Result<Token> {
    let name = parameter(writing.prefix, Secret::Discord);
    let call = ["ssm", "get-parameters", "--with-decryption", "--names", &name];
    let said = writing.aws.ask(&call).with_context(|| format!("reading {name}"))?;
    let value = said["Parameters"][0]["Value"].as_str().with_context(|| format!("{name} is gone"))?;
    Token::parse(value)
        .with_context(|| format!("{name} holds no bot token; `--renew discord-token` replaces it"))
}

/// Returns the token that somebody gives: in a file, or at the terminal.
pub(super) fn given(file: Option<&Path>) -> Result<Token> {
    let text = match file {
        Some(file) if file == Path::new("-") => read(std::io::stdin(), "standard input")?,
        Some(file) => {
            let shown = file.display().to_string();
            read(fs::File::open(file).with_context(|| format!("there is no {shown}"))?, &shown)?
        }
        None if ask::is_somebody_there() => ask::hidden("The bot token (it is not shown):")?,
        None => bail!("there is nobody to ask for the bot token: give --discord-token-file"),
    };
    Token::parse(&text).context("that is no bot token; it is on the application's page, under Bot")
}

fn read(from: impl Read, shown: &str) -> Result<String> {
    let mut text = String::new();
    from.take(LONGEST_FILE).read_to_string(&mut text).with_context(|| format!("reading {shown}"))?;
    Ok(text)
}

/// Returns 32 bytes that nobody can guess, in hexadecimal digits.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("this machine has no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn parameter(prefix: &str, secret: Secret) -> String {
    format!("/{prefix}/{}", secret.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_ne!(one, other);
        assert_eq!((one.len(), other.len()), (64, 64));
    }

    #[test]
    fn the_names_are_those_that_the_template_has() {
        let agreed = include_str!("../../../cdk/lib/agreed.ts");
        let names = Secret::ALL.map(|secret| format!("'{}'", secret.name())).join(", ");
        assert!(agreed.contains(&format!("SECRETS = [{names}]")));
    }
}
