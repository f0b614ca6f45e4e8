//! Somebody who looks all the time at which games run: no world may ever have two.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::unistd::Pid;

use super::Ground;
use crate::cloud::fargate::Which;

/// Between two looks.
const SAMPLE_EVERY: Duration = Duration::from_millis(40);

/// Looks until it is over.
pub(super) fn look(ground: &Ground<'_>, over: &AtomicBool) {
    let mut samples = 0;
    while !over.load(Ordering::SeqCst) {
        for (world, games) in two_games(ground) {
            // A look takes its time. Who still lives lived while the others were seen.
            let still: Vec<_> = games.into_iter().filter(|(_, pid)| is_alive(*pid)).collect();
            if still.len() > 1 {
                ground.field.found(ground.name, &format!("two games on world {world}: {still:?}"));
            }
        }
        samples += 1;
        thread::sleep(SAMPLE_EVERY);
    }
    ground.field.tally.add("looks for a second game", samples);
}

/// Returns the worlds that more than one task has a game of, with the tasks.
fn two_games(ground: &Ground<'_>) -> BTreeMap<String, Vec<(String, Pid)>> {
    let mut worlds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for task in ground.cloud.fargate.running() {
        if let Some(pid) = task.process(Which::Game).filter(|pid| is_alive(*pid)) {
            worlds.entry(task.world()).or_default().push((task.id, pid));
        }
    }
    worlds.retain(|_, games| games.len() > 1);
    worlds
}

fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}
