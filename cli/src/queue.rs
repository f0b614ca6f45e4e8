//! `dormouse queue …`: dead letters, which are messages that were put aside because looking at their worlds failed too
//! often. Nothing hangs on them, but something failed again and again.

use std::path::{Path, PathBuf};

use adapters::queue::{
    dead::{DeadLetter, DeadLetters},
    sqlite::SqliteQueue,
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use domain::Timestamp;
use serde::Serialize;

use crate::{output::say, up::data_dir};

#[cfg(feature = "aws")]
mod sqs;

#[cfg(not(feature = "aws"))]
#[path = "queue/no_sqs.rs"]
mod sqs;

/// Commands about dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    /// Show the messages that were put aside because looking at their worlds failed too often
    #[command(after_help = EXAMPLES)]
    Inspect(Letters),
    /// Send the messages again that were put aside; first see to what made them fail
    #[command(after_help = EXAMPLES)]
    Redrive(Letters),
}

const EXAMPLES: &str = "Examples:
  dormouse queue inspect                     on the machine of `dormouse up`
  dormouse queue inspect --json --most 500
  DORMOUSE_QUEUE_URL=… DORMOUSE_DEAD_LETTER_URL=… dormouse queue redrive";

/// Which dead letters, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Letters {
    /// Where `dormouse up` keeps everything [default: /var/lib/dormouse for root, else ~/.local/share/dormouse]
    #[arg(long, env = "DORMOUSE_DATA", hide_env_values = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The SQS queue, instead of the one on this machine
    #[arg(
        long,
        env = "DORMOUSE_QUEUE_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "dead_letter_url"
    )]
    queue_url: Option<String>,
    /// The SQS queue of its dead letters
    #[arg(
        long,
        env = "DORMOUSE_DEAD_LETTER_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "queue_url"
    )]
    dead_letter_url: Option<String>,
    /// How many messages at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    most: u16,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// Shows the dead letters or sends them again.
pub(crate) fn run(command: Queue) -> Result<()> {
    tokio::runtime::Runtime::new().context("starting")?.block_on(async {
        match command {
            Queue::Inspect(asked) => inspect(&asked).await,
            Queue::Redrive(asked) => redrive(&asked).await,
        }
    })
}

async fn inspect(asked: &Letters) -> Result<()> {
    let letters = open(asked).await?.inspect(asked.most.into()).await.context("looking at dead letters")?;
    if asked.json {
        let views: Vec<_> = letters.iter().map(LetterView::of).collect();
        say!("{}", serde_json::to_string_pretty(&views)?);
    } else {
        say!("{}", listing(&letters));
    }
    Ok(())
}

async fn redrive(asked: &Letters) -> Result<()> {
    let sent = open(asked).await?.redrive(asked.most.into()).await.context("sending dead letters again")?;
    if asked.json {
        say!("{}", serde_json::json!({ "sent": sent }));
    } else {
        say!("{}", count_of(sent, "sent again"));
    }
    Ok(())
}

async fn open(asked: &Letters) -> Result<Box<dyn DeadLetters>> {
    match (&asked.queue_url, &asked.dead_letter_url) {
        (Some(queue), Some(letters)) => sqs::open(queue, letters).await,
        (None, None) => Ok(Box::new(on_this_machine(&data_dir(asked.data.as_deref())?)?)),
        (Some(_), None) | (None, Some(_)) => bail!("--queue-url and --dead-letter-url go together"),
    }
}

/// Opens the queue of `dormouse up`, and makes none where there is none.
fn on_this_machine(data: &Path) -> Result<SqliteQueue> {
    let database = data.join("dormouse.db");
    let is_there = database.try_exists().with_context(|| format!("looking for {}", database.display()))?;
    if !is_there {
        bail!(
            "{} is not there: name the directory of `dormouse up` with --data, or an SQS queue with --queue-url and --dead-letter-url",
            database.display()
        );
    }
    Ok(SqliteQueue::open(&database, Timestamp::now)?)
}

/// A dead letter for programs.
#[derive(Debug, Serialize)]
struct LetterView {
    world: Option<String>,
    problem: Option<String>,
    attempts: u32,
    since: String,
}

impl LetterView {
    fn of(letter: &DeadLetter) -> Self {
        let (world, problem) = match &letter.world {
            Ok(world) => (Some(world.to_string()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { world, problem, attempts: letter.attempts, since: letter.since.to_string() }
    }
}

/// Returns the dead letters for people.
fn listing(letters: &[DeadLetter]) -> String {
    let line = |letter: &DeadLetter| {
        let LetterView { world, problem, attempts, since } = LetterView::of(letter);
        let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
        match (world, problem) {
            (Some(world), _) => format!("world {world}: given out {times}, here since {since}"),
            (None, problem) => format!("{}: here since {since}", problem.unwrap_or_default()),
        }
    };
    let mut lines: Vec<_> = letters.iter().map(line).collect();
    lines.push(count_of(letters.len(), "put aside"));
    if letters.iter().any(|letter| letter.world.is_ok()) {
        lines.push(
            "  hint: see to what made them fail, then `dormouse queue redrive` sends them again".into(),
        );
    }
    lines.join("\n")
}

fn count_of(count: usize, what: &str) -> String {
    match count {
        0 => format!("no message was {what}"),
        1 => format!("1 message was {what}"),
        many => format!("{many} messages were {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::queue::message;
    use domain::world::WorldId;
    use expect_test::expect;

    fn letters() -> Vec<DeadLetter> {
        let letter = |world, attempts| DeadLetter {
            world,
            attempts,
            since: Timestamp::from_millisecond(1_795_253_400_250).unwrap(),
        };
        vec![
            letter(Ok(WorldId::parse("w-0123").unwrap()), 20),
            letter(Ok(WorldId::parse("w-4567").unwrap()), 1),
            letter(Err(message::decode(r#"{"v":2}"#).unwrap_err()), 3),
        ]
    }

    #[test]
    fn people_read_which_worlds_failed_and_what_to_do() {
        expect![[r#"
            world w-0123: given out 20 times, here since 2026-11-21T09:30:00.25Z
            world w-4567: given out once, here since 2026-11-21T09:30:00.25Z
            the message has version 2 and this Dormouse reads 1: use the newer one: here since 2026-11-21T09:30:00.25Z
            3 messages were put aside
              hint: see to what made them fail, then `dormouse queue redrive` sends them again"#]]
        .assert_eq(&listing(&letters()));
        expect!["no message was put aside"].assert_eq(&listing(&[]));
        expect!["1 message was sent again"].assert_eq(&count_of(1, "sent again"));
    }

    #[test]
    fn programs_read_the_same() {
        let views: Vec<_> = letters().iter().map(LetterView::of).collect();
        expect![[r#"[{"world":"w-0123","problem":null,"attempts":20,"since":"2026-11-21T09:30:00.25Z"},{"world":"w-4567","problem":null,"attempts":1,"since":"2026-11-21T09:30:00.25Z"},{"world":null,"problem":"the message has version 2 and this Dormouse reads 1: use the newer one","attempts":3,"since":"2026-11-21T09:30:00.25Z"}]"#]]
        .assert_eq(&serde_json::to_string(&views).unwrap());
    }

    #[test]
    fn a_directory_without_a_database_is_named_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let error = on_this_machine(dir.path()).err().unwrap().to_string();
        expect!["DIR/dormouse.db is not there: name the directory of `dormouse up` with --data, or an SQS queue with --queue-url and --dead-letter-url"]
            .assert_eq(&error.replace(&dir.path().display().to_string(), "DIR"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_database_of_dormouse_up_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        drop(SqliteQueue::open(dir.path().join("dormouse.db"), Timestamp::now).unwrap());
        let asked = Letters {
            data: Some(dir.path().to_owned()),
            queue_url: None,
            dead_letter_url: None,
            most: 100,
            json: false,
        };
        let letters = open(&asked).await.unwrap();
        assert_eq!(letters.inspect(100).await, Ok(vec![]));
        assert_eq!(letters.redrive(100).await, Ok(0));
    }
}
