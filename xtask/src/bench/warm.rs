//! Interactions at a function that is awake, through an emulated Runtime API and against the emulated account.
//!
//! In each round the minimal program gets the same event, and the emulator the same calls without any SDK, so that what
//! else the machine does hits all of them alike.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::{
    Interrupt,
    account::{Account, Call},
    discord::{Discord, Interaction},
    program::{Instance, Memory, Program},
    spread::Spread,
};

/// How often each interaction is made.
pub(super) const ROUNDS: usize = 1_000;

/// How often before it counts: connections are made, and memory is there.
const WARM_UP: usize = 50;

/// How long each kind is measured at most, on a machine so busy that not all of them are made.
const LIMIT: Duration = Duration::from_secs(50);

/// How long the emulator is left alone before something is timed: it still puts away what it answered last.
const SETTLES_IN: Duration = Duration::from_millis(2);

/// The interactions that are measured.
pub(super) const KINDS: [Interaction; 3] = [Interaction::Ping, Interaction::Status, Interaction::Start];

/// One interaction.
#[derive(Debug, Serialize)]
pub(super) struct Interacted {
    /// What was done.
    pub(super) interaction: &'static str,
    /// From the event to the answer.
    pub(super) total: Spread,
    /// The minimal program's answer to the same event.
    pub(super) hello: Spread,
    /// The calls that the function made for it.
    pub(super) calls: Vec<String>,
    /// The same calls, one after the other, without any SDK.
    pub(super) bare_calls: Spread,
    /// The function's processor time, on average.
    pub(super) processor_ns: u64,
    /// The minimal program's.
    pub(super) hello_processor_ns: u64,
}

/// All interactions, and what the programs have resident after them.
#[derive(Debug, Serialize)]
pub(super) struct Warm {
    /// One for each of [`KINDS`].
    pub(super) interactions: Vec<Interacted>,
    /// How many events each program was given.
    pub(super) events: usize,
    /// What the function has resident then.
    pub(super) memory: Memory,
    /// What the minimal program has.
    pub(super) hello_memory: Memory,
}

struct Stage<'a> {
    hello: Instance,
    function: Instance,
    account: &'a Account,
    discord: &'a Discord,
    /// Puts the world to sleep, however far its start has come.
    asleep: Call,
    events: usize,
}

/// Measures every interaction.
pub(super) fn measure(
    hello: &Program,
    function: &Program,
    account: &Account,
    discord: &Discord,
    interrupt: &Interrupt,
) -> Result<Warm> {
    let env = account.environment(discord);
    let (hello, function) = (hello.start(&env)?, function.start(&env)?);
    interact(&function, discord, Interaction::Create)?;
    let asleep = account.rewrite_world()?;
    let mut stage = Stage { hello, function, account, discord, asleep, events: 1 };
    let mut interactions = Vec::new();
    for kind in KINDS {
        interactions.push(stage.measure(kind, interrupt)?);
    }
    let (memory, hello_memory) = (stage.function.memory()?, stage.hello.memory()?);
    Ok(Warm { interactions, events: stage.events, memory, hello_memory })
}

impl Stage<'_> {
    fn measure(&mut self, kind: Interaction, interrupt: &Interrupt) -> Result<Interacted> {
        let calls = self.calls(kind)?;
        let begun = Instant::now();
        let (mut total, mut hello, mut bare_calls) = (vec![], vec![], vec![]);
        let mut processor = [self.function.processor()?, self.hello.processor()?];
        for round in 0..WARM_UP + ROUNDS {
            interrupt.check()?;
            if begun.elapsed() > LIMIT && round > WARM_UP {
                break;
            }
            if round == WARM_UP {
                processor = [self.function.processor()?, self.hello.processor()?];
            }
            let event = self.discord.says(kind).event();
            let (_, hello_took) = self.hello.invoke(&event)?;
            thread::sleep(SETTLES_IN);
            let (answer, took) = self.function.invoke(&event)?;
            expect(kind, &answer)?;
            self.events += 1;
            thread::sleep(SETTLES_IN);
            let bare = calls.iter().map(|call| Ok(self.account.call(call)?.1)).sum::<Result<Duration>>()?;
            if round >= WARM_UP {
                total.push(took);
                hello.push(hello_took);
                bare_calls.push(bare);
            }
        }
        let count = total.len() as u64;
        let each = |before: Duration, after: Duration| {
            let spent = u64::try_from(after.saturating_sub(before).as_nanos()).unwrap_or(u64::MAX);
            spent / count.max(1)
        };
        Ok(Interacted {
            interaction: kind.name(),
            total: total.into_iter().collect(),
            hello: hello.into_iter().collect(),
            calls: calls.into_iter().map(|call| call.action).collect(),
            bare_calls: bare_calls.into_iter().collect(),
            processor_ns: each(processor[0], self.function.processor()?),
            hello_processor_ns: each(processor[1], self.hello.processor()?),
        })
    }

    /// Returns the calls that the function makes for an interaction, which can be made again without it.
    fn calls(&mut self, kind: Interaction) -> Result<Vec<Call>> {
        self.events += 1;
        let calls = self.account.calls_of(|| interact(&self.function, self.discord, kind))?;
        let most = match kind {
            Interaction::Ping => 0,
            Interaction::Status => 1,
            Interaction::Settings(_) => 2,
            Interaction::Start | Interaction::Create => 3,
        };
        let actions: Vec<_> = calls.iter().map(|call| call.action.clone()).collect();
        ensure!(calls.len() == most, "{} makes the calls {actions:?} instead of {most}", kind.name());
        // The write is conditional on what was read; its unconditional sister writes as much, and puts the world to sleep
        // for the next round.
        self.account.call(&self.asleep)?;
        let again = |call: Call| if call.action == self.asleep.action { self.asleep.clone() } else { call };
        Ok(calls.into_iter().map(again).collect())
    }
}

fn interact(function: &Instance, discord: &Discord, kind: Interaction) -> Result<()> {
    expect(kind, &function.invoke(&discord.says(kind).event())?.0)
}

/// Fails unless the function answered as it should.
fn expect(kind: Interaction, answer: &Value) -> Result<()> {
    ensure!(answer["statusCode"] == 200, "{} is answered by {answer}", kind.name());
    let body = answer["body"].as_str().context("an answer without body")?;
    kind.expect(&serde_json::from_str(body)?)
}
