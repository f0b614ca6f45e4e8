//! `dormouse access …`: who may do what in the chat. Whoever has the control plane's token may do everything.

use adapters::front_door::view::{Answer, CommandRequest};
use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{Reach, client::Client, output::say};

/// Commands about who may do what.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  dormouse access show
  dormouse access allow stop role:1234567890     besides those who manage the server
  dormouse access deny start everyone
  dormouse access reset start")]
pub(crate) enum Access {
    /// Show who may do what
    Show(Reach),
    /// Allow an action to a role or a member
    Allow(Change),
    /// Take an action back from a role or a member
    Deny(Change),
    /// Have the rule of an action as it is at first
    Reset(Reset),
}

/// A change of one rule.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// create, start, stop, keep, settings, export, delete or access
    action: String,
    /// everyone, role:ID or member:ID
    who: String,
    #[command(flatten)]
    reach: Reach,
}

/// A rule.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// create, start, stop, keep, settings, export, delete or access
    action: String,
    #[command(flatten)]
    reach: Reach,
}

/// Carries out a command about who may do what.
pub(crate) fn run(command: &Access) -> Result<()> {
    let change = |what: &str, Change { action, who, reach }: &Change| {
        ask(reach, what, &[("action", action), ("who", who)])
    };
    match command {
        Access::Show(reach) => ask(reach, "access show", &[]),
        Access::Allow(allowed) => change("access allow", allowed),
        Access::Deny(denied) => change("access deny", denied),
        Access::Reset(Reset { action, reach }) => ask(reach, "access reset", &[("action", action)]),
    }
}

fn ask(reach: &Reach, command: &str, options: &[(&str, &String)]) -> Result<()> {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
    let request = CommandRequest { command: command.into(), options };
    let Answer { access, .. } = Client::new(reach)?.post("/v1/commands", &request)?;
    let access = access.unwrap_or_default();
    if reach.json {
        say!("{}", serde_json::to_string_pretty(&access)?);
        return Ok(());
    }
    for (action, mut allowed) in access {
        allowed.push("those who manage the server".into());
        say!("{action:<9} {}", allowed.join(", "));
    }
    Ok(())
}
