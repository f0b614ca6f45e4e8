//! What happens to tasks and games without anybody wanting it, and the players, who come and go.

use super::{
    clockwork::{Of, Sim},
    outside::{MINUTE, Outside, SECOND, Weather},
    ports::{CALLS, Call},
    runtime::TERM,
    watchdog::{self, GRACE},
};
use crate::event::Gone;

/// Brings a task up that the runtime has accepted.
pub(super) async fn task(sim: Sim, task: usize) {
    let (boot, never) = {
        let mut o = sim.lock();
        let rate = o.weather.runtime;
        (o.chance.millis(10 * SECOND, 90 * SECOND), rate > 0 && o.chance.one_in(rate))
    };
    sim.sleep(boot).await;
    if never {
        // It is placed nowhere, or its image is not to be had.
        sim.sleep(10 * MINUTE).await;
        return sim.lock().end_task(task, Gone::Crashed("its image cannot be had".into()));
    }
    let mut o = sim.lock();
    if o.tasks[task].sigterm.is_some() {
        return o.end_task(task, Gone::Exited);
    }
    o.clock.begin(Of::Task(task), u64::MAX, Box::pin(watchdog::watchdog(sim.clone(), task)));
}

/// Kills a task that was told to end, when its time is over.
pub(super) async fn killed(sim: Sim, task: usize) {
    sim.sleep(TERM).await;
    sim.lock().end_task(task, Gone::Exited);
}

/// Waits for about as long as it is between two of something in this weather; tells whether it is still so bad then.
async fn is_time(sim: &Sim, every: fn(&Weather) -> u64) -> bool {
    let wait = {
        let mut o = sim.lock();
        let every = every(&o.weather);
        if every == 0 {
            return false;
        }
        o.chance.millis(every / 2, every * 3 / 2)
    };
    sim.sleep(wait).await;
    every(&sim.lock().weather) > 0
}

/// Strikes now and then.
pub(super) async fn strikes(sim: Sim) {
    while is_time(&sim, |weather| weather.fate).await {
        let mut o = sim.lock();
        let there: Vec<_> = (0..o.tasks.len()).filter(|task| !o.is_dead(*task)).collect();
        if !there.is_empty() {
            let task = there[o.chance.below(u32::try_from(there.len()).unwrap_or(1)) as usize];
            strike(&sim, &mut o, task);
        }
    }
}

fn strike(sim: &Sim, o: &mut Outside, task: usize) {
    let (now, long) = (o.clock.now, o.chance.millis(10 * SECOND, 8 * MINUTE));
    let deed = o.chance.below(10);
    o.tally.strikes += 1;
    if deed > 0 {
        o.tasks[task].was_hurt = true;
    }
    let id = o.tasks[task].id.clone();
    match deed {
        1 => {
            o.say(|_| format!("the watchdog of {id} stands still for {} s", long / 1000));
            o.tasks[task].paused_until = Some(now + long);
        }
        2 => {
            o.say(|_| format!("the network of {id} is cut for {} s", long / 1000));
            o.tasks[task].cut_until = now + long;
        }
        3 => {
            o.say(|_| format!("the host takes {id} back"));
            o.tasks[task].excuse = Some("reclaimed");
            o.clock.begin(Of::All, u64::MAX, Box::pin(killed(sim.clone(), task)));
            o.term(task);
        }
        4 | 5 => {
            o.tasks[task].excuse = Some("broke down");
            if deed == 4 && o.is_one_machine && o.tasks[task].game.is_some() {
                return lose_watchdog(sim, o, task);
            }
            let how = if deed == 4 { Gone::OutOfMemory } else { Gone::Crashed("its host is gone".into()) };
            o.end_task(task, how);
        }
        6 => {
            o.tasks[task].excuse = Some("its game crashed");
            if o.tasks[task].game.is_some() {
                o.say(|_| format!("the game of {id} crashes"));
                o.players_go(task, "the game crashed");
                if let Some(game) = &mut o.tasks[task].game {
                    game.has_ended = true;
                }
                o.rouse(task);
            }
        }
        7 => {
            o.tasks[task].excuse = Some("its game hangs");
            o.players_go(task, "the game hangs");
            if let Some(game) = &mut o.tasks[task].game {
                (game.is_deaf, game.ignores_signal) = (true, true);
            }
        }
        8 => {
            o.say(|_| format!("the watchdog of {id} hangs for good"));
            o.tasks[task].excuse = Some("hangs");
            o.tasks[task].paused_until = Some(u64::MAX);
        }
        9 => {
            o.say(|_| format!("the runtime loses sight of {id} for {} s", long / 1000));
            o.tasks[task].unseen_until = now + long;
        }
        _ => {}
    }
}

/// The watchdog is killed; its game, which its end tells to stop, goes on for a while.
fn lose_watchdog(sim: &Sim, o: &mut Outside, task: usize) {
    o.say(|o| format!("the watchdog of {} is killed, and its game goes on", o.tasks[task].id));
    let takes = o.chance.millis(SECOND, GRACE);
    let Some(game) = &mut o.tasks[task].game else { return };
    let heeds = !game.ignores_signal && !game.has_ended;
    game.is_stopping = heeds;
    o.tasks[task].is_headless = true;
    if heeds {
        o.players_go(task, "its watchdog was killed");
        o.clock.begin(Of::All, u64::MAX, Box::pin(saves_by_itself(sim.clone(), task, takes)));
    } else if o.tasks[task].game.as_ref().is_some_and(|game| game.has_ended) {
        o.end_task(task, Gone::Crashed("its watchdog was killed".into()));
    }
}

/// Saves and ends a game that has outlived its watchdog.
async fn saves_by_itself(sim: Sim, task: usize, takes: u64) {
    sim.sleep(takes).await;
    let mut o = sim.lock();
    let (place, memory) = (o.tasks[task].place, o.tasks[task].game.as_ref().map(|game| game.memory));
    if let (false, Some(memory)) = (o.is_gone(task), memory) {
        o.places[place].dir.content = memory;
        o.end_task(task, Gone::Crashed("its watchdog was killed".into()));
    }
}

/// Ends the task now and then right after it has done something that nobody has heard of yet.
pub(super) fn at_the_worst_moment(o: &mut Outside, task: usize) {
    if o.weather.fate > 0 && o.chance.one_in(8) {
        o.tasks[task].excuse = Some("broke down");
        o.end_task(task, Gone::Crashed("its host is gone".into()));
    }
}

/// Lets clocks of the control plane jump now and then, by up to an hour.
pub(super) async fn clocks(sim: Sim) {
    while is_time(&sim, |weather| weather.jumps).await {
        let (which, long) = {
            let mut o = sim.lock();
            let (by, which) = (o.chance.millis(MINUTE, 60 * MINUTE), o.chance.below(3) as usize);
            let is_fast = o.chance.one_in(2);
            let which = if o.is_one_machine { 1 } else { which };
            o.jumped[which] = if is_fast { by.cast_signed() } else { -by.cast_signed() };
            o.longest_jump = o.longest_jump.max(by);
            o.say(|_| {
                format!("a clock goes {} by {} min", if is_fast { "forwards" } else { "back" }, by / MINUTE)
            });
            (which, o.chance.millis(10 * SECOND, 20 * MINUTE))
        };
        sim.sleep(long).await;
        let mut o = sim.lock();
        o.say(|_| "the clock is right again".into());
        o.jumped[which] = 0;
    }
}

/// Has something, or all of it, be out of reach now and then, for up to 80 minutes.
pub(super) async fn outages(sim: Sim) {
    while is_time(&sim, |weather| weather.outages).await {
        let mut o = sim.lock();
        let (long, which) = (o.chance.millis(MINUTE, 80 * MINUTE), o.chance.below(8) as usize);
        let ends = o.clock.now + long;
        match o.out.get_mut(which) {
            Some(until) => *until = ends,
            None => o.out = [ends; CALLS],
        }
        if which == Call::Network as usize {
            o.longest_cut = o.longest_cut.max(long);
        }
        (o.in_reach_at, o.outages) = (o.in_reach_at.max(ends), o.outages + long);
        o.say(|_| {
            format!(
                "{} is out of reach for {} min",
                OUTAGES.get(which).unwrap_or(&"everything"),
                long / MINUTE
            )
        });
    }
}

/// What an outage is of, in the order of [`Call`].
const OUTAGES: [&str; CALLS] =
    ["the store", "the queue", "the runtime", "the archive", "the chat", "the front door, for watchdogs,"];

/// Plays for as long as the game lets anybody in.
pub(super) async fn players(sim: Sim, task: usize) {
    loop {
        let wait = sim.lock().chance.millis(10 * SECOND, 5 * MINUTE);
        sim.sleep(wait).await;
        let mut o = sim.lock();
        let (now, is_over) = (o.clock.now, o.is_over);
        let what = o.chance.below(6);
        let place = o.tasks[task].place;
        let new = o.new_content();
        let Some(game) = o.tasks[task].game.as_mut().filter(|g| !g.has_ended && !g.is_stopping) else {
            return;
        };
        if game.is_deaf {
            return;
        }
        if game.players > 0 {
            (game.memory, game.was_played) = (new, true);
        }
        match what {
            _ if is_over => {
                if game.players > 0 && game.was_seen {
                    (game.left_at, game.was_seen) = (Some(now), false);
                }
                game.players = 0;
            }
            1 | 2 if game.players < 3 => {
                game.players += 1;
                o.say(|o| format!("somebody joins {}", o.places[place].id));
            }
            3 | 4 if game.players > 0 => {
                game.players -= 1;
                if game.players == 0 && game.was_seen {
                    (game.left_at, game.was_seen) = (Some(now), false);
                }
                o.say(|o| format!("somebody leaves {}", o.places[place].id));
            }
            5 => {
                let memory = game.memory;
                o.places[place].dir.content = memory;
                o.say(|o| format!("the game saves {} by itself", o.places[place].id));
            }
            _ => {}
        }
    }
}
