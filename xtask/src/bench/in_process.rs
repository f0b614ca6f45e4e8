//! The parts of an interaction that need nobody else, timed by a program that is built as the functions are
//! (`bench-peer/src/in_process.rs`).

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    discord::{APPLICATION, Discord, GUILD, Interaction, now},
    spread::Spread,
};

/// How often each interaction is answered.
pub(super) const ROUNDS: usize = 5_000;

/// The parts of one interaction.
#[derive(Debug, Serialize)]
pub(super) struct Parts {
    /// What was done.
    pub(super) interaction: &'static str,
    /// How many bytes it has.
    pub(super) body_bytes: usize,
    /// The adapter's check of the signature.
    pub(super) signature: Spread,
    /// The Ed25519 check in it.
    pub(super) bare_ed25519: Spread,
    /// Everything else: reading, deciding, wording the answer, with every port in memory.
    pub(super) rules: Spread,
}

/// What the program tells of an interaction.
#[derive(Deserialize)]
struct Told {
    signature: Vec<u64>,
    bare_ed25519: Vec<u64>,
    rules: Vec<u64>,
    answer: Value,
}

/// Has `program` measure each interaction.
pub(super) fn measure(program: &Path, discord: &Discord) -> Result<Vec<Parts>> {
    let kinds = super::warm::KINDS.map(|kind| (kind, discord.says(kind)));
    let requests: BTreeMap<_, _> = kinds.iter().map(|(kind, signed)| (kind.name(), signed)).collect();
    let asked = json!({
        "application": APPLICATION,
        "guild": GUILD,
        "public_key": discord.public_key(),
        "now": now(),
        "rounds": ROUNDS,
        "create": discord.says(Interaction::Create),
        "interactions": requests,
    });
    let mut told = run(program, &asked)?;
    let mut parts = Vec::new();
    for (kind, signed) in &kinds {
        let Told { signature, bare_ed25519, rules, answer } =
            told.remove(kind.name()).with_context(|| format!("nothing is told of {}", kind.name()))?;
        kind.expect(&answer)?;
        parts.push(Parts {
            interaction: kind.name(),
            body_bytes: signed.body.len(),
            signature: Spread::of(signature),
            bare_ed25519: Spread::of(bare_ed25519),
            rules: Spread::of(rules),
        });
    }
    Ok(parts)
}

fn run(program: &Path, asked: &Value) -> Result<BTreeMap<String, Told>> {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    // Dropped at once: its end is the end of what is asked.
    child.stdin.take().context("it has no input")?.write_all(asked.to_string().as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "{} fails ({})", program.display(), done.status);
    Ok(serde_json::from_slice(&done.stdout)?)
}
