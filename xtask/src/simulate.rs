//! `cargo xtask simulate`: plays evenings in bad weather, seed by seed, or tells the story of one.

use anyhow::Result;
use clap::Args;

use crate::shell::run;

/// What to simulate.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// How many seeds are played
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    from: u64,
    /// At least how many steps are made, with more seeds if it takes them
    #[arg(long, default_value_t = 1_000_000)]
    steps: u64,
    /// Play this seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from", "steps"])]
    seed: Option<u64>,
    /// Tell what happens in it
    #[arg(long, requires = "seed")]
    story: bool,
    /// Look for the shortest story that breaks the same law
    #[arg(long, requires = "seed")]
    shrink: bool,
}

/// Plays what is wanted; an error if a law was broken.
pub(crate) fn simulate(wanted: &Simulate) -> Result<()> {
    let Simulate { seeds, from, steps, seed, story, shrink } = wanted;
    let arguments = match seed {
        Some(seed) => {
            let how = [(*story, "--story"), (*shrink, "--shrink")];
            let how = how.into_iter().filter(|(wanted, _)| *wanted).map(|(_, how)| how.to_owned());
            [String::from("--seed"), seed.to_string()].into_iter().chain(how).collect::<Vec<_>>()
        }
        None => ["--seeds", "--from", "--steps"]
            .into_iter()
            .zip([seeds, from, steps])
            .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
            .collect(),
    };
    let program =
        ["run", "--release", "--locked", "-p", "domain", "--features", "sim", "--example", "simulate", "--"];
    let all: Vec<_> = program.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    run("cargo", &all)
}
