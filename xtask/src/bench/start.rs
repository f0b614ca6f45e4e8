//! Starts: from the start of the process to its first poll for an event, what it takes of the processor until then, what
//! it has resident then, and how large it is.
//!
//! The functions read their secrets before they poll. They are started twice each time: once they read them from the
//! emulator, and once from an answer that lies ready, which tells the program's own time from the emulator's.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    Interrupt,
    account::{Account, Call},
    discord::Discord,
    http::{Answer, Server},
    program::{Memory, Program, Size},
    spread::Spread,
};

/// How often each program is started.
pub(super) const ROUNDS: usize = 30;

/// How one program starts.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    /// The program.
    pub(super) program: &'static str,
    /// To the first poll, with the secrets read from the emulator.
    pub(super) first_poll: Spread,
    /// The same, with the secrets lying ready; nothing for a program that has none.
    pub(super) first_poll_alone: Option<Spread>,
    /// The processor time until then, with the secrets lying ready if it has any.
    pub(super) processor: Spread,
    /// At the first poll of the last round.
    pub(super) memory: Memory,
    /// Its size.
    pub(super) size: Size,
}

/// All starts, and what the emulator takes to tell the secrets.
#[derive(Debug, Serialize)]
pub(super) struct Starts {
    /// In the order of the programs.
    pub(super) programs: Vec<Start>,
    /// The same call of Parameter Store without any SDK.
    pub(super) secrets: Spread,
}

#[derive(Default)]
struct Measured {
    first_poll: Vec<Duration>,
    first_poll_alone: Vec<Duration>,
    processor: Vec<Duration>,
    memory: Option<Memory>,
}

/// Starts `programs` in turn, all in one round, so that what else the machine does hits them alike.
pub(super) fn measure(
    programs: &[&Program],
    needs_no_secrets: &Program,
    account: &Account,
    discord: &Discord,
    interrupt: &Interrupt,
) -> Result<Starts> {
    let env = account.environment(discord);
    let secrets = secrets_call(programs.last().context("no programs")?, &env, account)?;
    let ready = ready(account.call(&secrets)?.0.to_string())?;
    let endpoint = format!("http://{}", ready.address());
    let alone = [&env[..], &[("AWS_ENDPOINT_URL_SSM".to_owned(), endpoint)]].concat();
    let mut measured: Vec<Measured> = programs.iter().map(|_| Measured::default()).collect();
    let mut told = Vec::new();
    for _ in 0..ROUNDS {
        interrupt.check()?;
        told.push(account.call(&secrets)?.1);
        for (program, measured) in programs.iter().zip(&mut measured) {
            if program.name != needs_no_secrets.name {
                measured.first_poll.push(program.start(&env)?.first_poll);
            }
            let instance = program.start(&alone)?;
            measured.first_poll_alone.push(instance.first_poll);
            measured.processor.push(instance.processor()?);
            measured.memory = Some(instance.memory()?);
        }
    }
    let starts = programs.iter().zip(measured).map(|(program, measured)| measured.start(program));
    Ok(Starts { programs: starts.collect::<Result<_>>()?, secrets: told.into_iter().collect() })
}

impl Measured {
    fn start(self, program: &Program) -> Result<Start> {
        let alone: Spread = self.first_poll_alone.into_iter().collect();
        let has_secrets = !self.first_poll.is_empty();
        Ok(Start {
            program: program.name,
            first_poll: if has_secrets { self.first_poll.into_iter().collect() } else { alone },
            first_poll_alone: has_secrets.then_some(alone),
            processor: self.processor.into_iter().collect(),
            memory: self.memory.context("nothing was measured")?,
            size: program.size()?,
        })
    }
}

/// Returns the call by which a function reads its secrets.
fn secrets_call(program: &Program, env: &[(String, String)], account: &Account) -> Result<Call> {
    let mut calls = account.calls_of(|| program.start(env).map(drop))?;
    calls
        .pop()
        .filter(|call| call.action == "GetParameters" && calls.is_empty())
        .with_context(|| format!("{} makes other calls at its start than one for its secrets", program.name))
}

/// Returns a server that gives this answer to everything.
fn ready(answer: String) -> Result<Server> {
    Server::start(move |_| {
        let headers = vec![("Content-Type", "application/x-amz-json-1.1".to_owned())];
        Some(Answer { status: 200, headers, body: answer.clone().into_bytes() })
    })
}
