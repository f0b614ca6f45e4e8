//! Every situation with every event, so that each pair is decided by name, and laws that hold for all of them: on the
//! grid, and on random walks, whose seed is in the message when one breaks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod situations;

use std::{collections::BTreeMap, panic::catch_unwind, time::Duration};

use domain::{
    Timestamp,
    effect::{Orders, orders},
    event::{Event, Gone},
    lifecycle::step,
    refusal::Refusal,
    vault::{Kept, Litter},
    world::{Backup, BackupStep, Force, Launch, Milestone, StartStep, State, StopStep, Then, World},
};
use expect_test::expect_file;
use situations::{SITUATIONS, at, event, situation, world};

/// One event of every kind, and those variants of it that are decided differently.
const EVENTS: &[&str] = &[
    "start eve",
    "stop eve",
    "keep eve 90000",
    "keep eve 0",
    "set",
    "set archive",
    "backup eve",
    "restore eve a1",
    "import eve",
    "export eve",
    "withdraw",
    "downloaded",
    "follow 90000",
    "told",
    "nottold",
    "place",
    "delete eve valhalla",
    "delete eve x",
    "launched",
    "launched t9",
    "unlaunchable",
    "claimed",
    "claimed t9",
    "heard",
    "heard t9",
    "ready",
    "startfailed",
    "seen 2",
    "seen 0 90000",
    "attended 5 2",
    "began cap",
    "saved fresh",
    "uploaded a1",
    "uploaded a2",
    "unarchived",
    "unchanged a1",
    "unchanged a9",
    "backedup 700 b1",
    "notbackedup 700",
    "filled",
    "notfilled",
    "removed a1",
    "checked b1",
    "checked a1",
    "checked a2",
    "unwhole a1",
    "unwhole a2",
    "unwhole b1",
    "gone crashed",
    "gone crashed t9",
    "gone never nothing",
    "erased",
    "tick",
    "ready @0",
    "gone crashed @0",
];

/// What is decided otherwise once the time of the situation is over.
const LATE_EVENTS: &[&str] = &["gone crashed", "gone never nothing", "tick"];

#[test]
fn every_pair_is_decided_by_name() {
    let blocks: Vec<_> = SITUATIONS.iter().map(|(name, ..)| block(name)).collect();
    expect_file!["every_pair.txt"].assert_eq(&format!("{LEGEND}{}", blocks.join("")));
}

const LEGEND: &str = "\
What becomes of a world in each situation: the step it comes to, and the events that bring it there a second later, or,
where they are called late, at its deadline. Each event stands once in each block.

  =      nothing changes
  ~      the step stays, something in it changes
  !why   refused
";

/// Returns what becomes of the world in one situation, the events gathered by what they do.
fn block(name: &str) -> String {
    let (world, second) = situation(name);
    let mut results: Vec<(String, Vec<String>)> = vec![];
    let soon = EVENTS.iter().map(|text| ((*text).to_owned(), result(&world, text, at(second + 1))));
    let late = world
        .deadline()
        .into_iter()
        .flat_map(|due| LATE_EVENTS.iter().map(move |text| (format!("late {text}"), due)));
    let late = late.map(|(text, due)| (text.clone(), result(&world, text.trim_start_matches("late "), due)));
    for (text, result) in soon.chain(late) {
        match results.iter_mut().find(|(r, _)| *r == result) {
            Some((_, events)) => events.push(text),
            None => results.push((result, vec![text])),
        }
    }
    results.sort_by_key(|(result, _)| (result.starts_with('!'), result == "=", result.clone()));
    let lines = results.into_iter().map(|(result, events)| format!("  {result:<15} {}\n", events.join(", ")));
    format!("\n{name}\n{}", lines.collect::<String>())
}

fn result(world: &World, text: &str, now: Timestamp) -> String {
    let event = event(text, world);
    assert_eq!(broken_laws(world, &event, now), Vec::<&str>::new(), "{text} in {:?}", world.state);
    match step(world, event, now) {
        Err(refusal) => format!("!{}", refusal_word(&refusal)),
        Ok(next) if next == *world => "=".into(),
        Ok(next) if word(&next) == word(world) && next.generation == world.generation => "~".into(),
        Ok(next) => word(&next),
    }
}

fn refusal_word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotAwake(_) => "not-awake",
        Refusal::GoingToSleep(_) => "to-sleep",
        Refusal::NotAsleep(_) => "not-asleep",
        Refusal::Deleted(_) => "deleted",
        Refusal::NotConfirmed(_) => "not-confirmed",
        Refusal::NotArchived(_) => "not-archived",
        Refusal::AtItsCap(_) => "at its cap",
        Refusal::KeepInThePast(_) => "in-the-past",
        Refusal::OnErrand(_) => "on-errand",
        Refusal::Busy(_) => "busy",
        Refusal::NothingYet(_) => "nothing-yet",
        Refusal::NoArchive(_) => "no-archive",
        Refusal::NoSuchArchive { .. } => "no-such-archive",
        Refusal::NoSuchLink { .. } => "no-such-link",
        Refusal::TooManyLinks(_) => "too-many-links",
        Refusal::BadSetting(_) => "bad-setting",
        Refusal::StaleLaunch { .. } => "stale",
        Refusal::NotOffered { .. } => "not offered",
        Refusal::ChosenAtCreate { .. } => "chosen at create",
        Refusal::UnfitSetting { .. } => "unfit setting",
    }
}

/// Returns the word for state and step, and whether a start follows.
fn word(world: &World) -> String {
    let again = |word: &str, then: &Then| match then {
        Then::Sleep => word.to_owned(),
        Then::Start(_) => format!("{word}+again"),
    };
    match &world.state {
        State::Asleep => "asleep".into(),
        State::Starting { step: StartStep::Launching, .. } => "launching".into(),
        State::Starting { step: StartStep::Launched { .. }, .. } => "launched".into(),
        State::Starting { step: StartStep::Filling { .. }, .. } => "filling".into(),
        State::Starting { step: StartStep::Claimed { .. }, .. } => "claimed".into(),
        State::Awake { backup: Some(Backup { step: BackupStep::Wanted, .. }), .. } => {
            "awake, backing up".into()
        }
        State::Awake { backup: Some(Backup { step: BackupStep::Uploaded(_), .. }), .. } => {
            "awake, backup uploaded".into()
        }
        State::Awake { .. } => "awake".into(),
        State::Stopping { step: StopStep::Filling, then, .. } => again("errand filling", then),
        State::Stopping { step: StopStep::Asked, then, .. } => again("asked", then),
        State::Stopping { step: StopStep::Saving, then, .. } => again("saving", then),
        State::Stopping { step: StopStep::Saved(_), then, .. } => again("saved", then),
        State::Stopping { step: StopStep::Uploaded(..), then, .. } => again("uploaded", then),
        State::Stopping { step: StopStep::Rejected(..), then, .. } => again("rejected", then),
        State::Ending { task: None, then, .. } => again("unnamed", then),
        State::Ending { task: Some(_), force: Force::Gentle, then, .. } => again("ending", then),
        State::Ending { task: Some(_), force: Force::Kill, then, .. } => again("killing", then),
        State::Deleting { .. } => "deleting".into(),
        State::Deleted { .. } => "deleted".into(),
    }
}

// The laws.

/// Says which laws are broken when `event` happens to `world` at `now`.
fn broken_laws(world: &World, event: &Event, now: Timestamp) -> Vec<&'static str> {
    let Ok(next) = step(world, event.clone(), now) else { return vec![] };
    let laws = [
        (
            "what waits has a deadline, in the future when the step is new",
            deadline_is_ahead(world, &next, now),
        ),
        ("each milestone is passed once, in order of time", milestones_are_in_order(world, &next)),
        ("the generation rises by one at a launch, and only then", generation_counts_launches(world, &next)),
        ("what happens twice has happened once", twice_is_once(&next, event, now)),
        ("an archive is kept only when it was checked", archive_is_checked(world, &next, event)),
        ("what the directory holds is kept, and so is the newest", last_good_is_kept(&next)),
        ("what is kept is not removed", next.vault.litter.iter().all(|litter| !is_kept(&next, litter))),
        ("only a sleeping, archived world is deleted", deletes_asleep(world, &next)),
        ("deleted is for ever", !is_deleted(world) || is_only_less(world, &next)),
        ("talk changes nothing else", !is_talk(event) || is_only_talk(world, &next)),
        ("a named task is let go of only when it is gone", task_is_gone(world, &next, event)),
        ("only a claim says that a world was claimed", claim_is_claimed(world, &next, event)),
        ("the last session is the launch that ended", last_is_the_ended(world, &next)),
        ("orders never call a stop off", orders_hold(world, &next)),
    ];
    laws.into_iter().filter(|(_, holds)| !holds).map(|(law, _)| law).collect()
}

fn is_deleted(world: &World) -> bool {
    matches!(world.state, State::Deleted { .. })
}

fn is_talk(event: &Event) -> bool {
    matches!(event, Event::Follow(_) | Event::Place(_) | Event::Told { .. } | Event::NotTold { .. })
}

fn is_only_less(world: &World, next: &World) -> bool {
    let less = next.vault.kept.iter().all(|kept| world.vault.kept.contains(kept));
    less && is_only_talk(&World { vault: next.vault.clone(), ..world.clone() }, next)
}

fn is_only_talk(world: &World, next: &World) -> bool {
    World { talk: next.talk.clone(), ..world.clone() } == *next
}

fn at_rest(world: &World) -> bool {
    matches!(world.state, State::Asleep | State::Deleted { .. })
}

fn deadline_is_ahead(world: &World, next: &World, now: Timestamp) -> bool {
    match next.deadline() {
        None => at_rest(next),
        Some(due) => now < due || (same_launch(world, next) && world.deadline() == Some(due)),
    }
}

fn same_launch(world: &World, next: &World) -> bool {
    world.launch().map(|l| l.generation) == next.launch().map(|l| l.generation)
}

fn milestones_are_in_order(world: &World, next: &World) -> bool {
    let in_order = |launch: &Launch| {
        launch.passed.is_sorted_by(|(m, at), (n, later)| m < n && at <= later)
            && launch.passed.iter().all(|(m, _)| Milestone::ALL.contains(m))
    };
    let goes_on =
        |was: &Launch, is: &Launch| was.generation != is.generation || is.passed.starts_with(&was.passed);
    let ended = next.last.as_ref().map(|session| &session.launch);
    [next.launch(), ended]
        .into_iter()
        .flatten()
        .all(|launch| in_order(launch) && world.launch().is_none_or(|was| goes_on(was, launch)))
}

fn generation_counts_launches(world: &World, next: &World) -> bool {
    let launched = next.launch().is_some() && !same_launch(world, next);
    let risen = next.generation.0 - world.generation.0;
    if launched { risen == 1 && word(next) == "launching" } else { risen == 0 }
}

/// A later repetition counts where the time of saying is part of what is said (`Keep`: the latest wish holds; `Seen`: the
/// latest look), where it is about the time itself (`Tick`), and where a search that finds no task counts from the
/// deadline on (`TaskGone` without a named task). Downloads are counted.
fn twice_is_once(next: &World, event: &Event, now: Timestamp) -> bool {
    let unchanged = |at| step(next, event.clone(), at).is_ok_and(|again| again == *next);
    let without_effect = |at| unchanged(at) || step(next, event.clone(), at).is_err();
    if matches!(event, Event::Downloaded { .. }) {
        return true;
    }
    let timed = matches!(event, Event::Keep { .. } | Event::Seen { .. } | Event::Tick)
        || (matches!(event, Event::TaskGone { .. }) && next.task().is_none());
    without_effect(now) && (timed || without_effect(now + Duration::from_secs(30)))
}

fn archive_is_checked(world: &World, next: &World, event: &Event) -> bool {
    let checked = |kept: &Kept| matches!(event, Event::Checked { archive, .. } if kept.archive == *archive);
    let fits = |kept: &&Kept| !world.vault.kept.contains(kept) && !checked(kept);
    next.vault.kept.iter().find(fits).is_none()
}

fn last_good_is_kept(world: &World) -> bool {
    let is_gone = is_deleted(world) && world.vault.kept.is_empty();
    is_gone || world.vault.same_as.as_ref().is_none_or(|id| world.vault.find(id).is_some())
}

fn is_kept(world: &World, litter: &Litter) -> bool {
    matches!(litter, Litter::Archive(id) if world.vault.find(id).is_some())
}

fn deletes_asleep(world: &World, next: &World) -> bool {
    let deleting = |w: &World| matches!(w.state, State::Deleting { .. } | State::Deleted { .. });
    !deleting(next) || deleting(world) || (world.state == State::Asleep && world.is_archived())
}

fn task_is_gone(world: &World, next: &World, event: &Event) -> bool {
    let Some(known) = world.task() else { return true };
    let gone = matches!(event, Event::TaskGone { task: Some(task), .. } if task == known);
    let taken_over = matches!(event, Event::Claimed { .. }) && word(world) == "launched";
    next.task() == Some(known) || gone || taken_over
}

fn claim_is_claimed(world: &World, next: &World, event: &Event) -> bool {
    next.claimed == world.claimed
        || (matches!(event, Event::Claimed { .. }) && next.claimed == Some(world.generation))
}

fn last_is_the_ended(world: &World, next: &World) -> bool {
    let ended = world.launch().filter(|_| !same_launch(world, next)).map(|l| l.generation);
    match ended {
        Some(ended) => next.last.as_ref().map(|session| session.launch.generation) == Some(ended),
        None => next.last == world.last,
    }
}

fn orders_hold(world: &World, next: &World) -> bool {
    let runs = |w: &World| match orders(w, world.generation) {
        Orders::Run { .. } => true,
        Orders::Fill => matches!(w.state, State::Starting { .. }),
        Orders::Stop(_) | Orders::UploadAgain(_) | Orders::End(_) | Orders::Abandon => false,
    };
    world.launch().is_none() || runs(world) || !runs(next)
}

// Random walks.

#[test]
fn random_walks_keep_the_laws_and_come_to_rest() {
    const WALKS: u64 = 800;
    const STEPS: usize = 250;
    let mut visited = BTreeMap::new();
    for seed in 0..WALKS {
        let walked = catch_unwind(|| walk(seed, STEPS));
        let words =
            walked.unwrap_or_else(|_| panic!("the walk with seed {seed} breaks something; see above"));
        words.into_iter().for_each(|word| *visited.entry(word).or_insert(0) += 1);
    }
    let rare: Vec<_> = visited.iter().filter(|(_, times)| **times < 5).collect();
    assert!(visited.len() == 28 && rare.is_empty(), "not everything is visited often: {visited:?}");
}

/// Lets random events happen and returns the word for each state on the way.
fn walk(seed: u64, length: usize) -> Vec<String> {
    let mut random = Random(seed);
    let (mut world, mut now, mut path) = (world(), at(0), vec![]);
    for _ in 0..length {
        now = random.later(&world, now);
        let event = random.event(&world);
        assert_eq!(
            broken_laws(&world, &event, now),
            Vec::<&str>::new(),
            "seed {seed}, {event:?} in {world:?}"
        );
        world = step(&world, event, now).unwrap_or(world);
        path.push(word(&world));
        if is_deleted(&world) {
            world = self::world();
        }
    }
    comes_to_rest(world, now);
    path
}

#[test]
fn every_situation_comes_to_rest_by_itself() {
    for (name, ..) in SITUATIONS {
        let (world, second) = situation(name);
        comes_to_rest(world, at(second));
    }
}

/// Nobody says anything any more but the clock, and the runtime about the task that it has ended. From an asked stop
/// with a start to follow, which is the longest way, that is: asked, ending, gone, launching, unnamed, asleep.
fn comes_to_rest(mut world: World, mut now: Timestamp) {
    const MOST_DEADLINES: usize = 6;
    for _ in 0..MOST_DEADLINES {
        if at_rest(&world) {
            return;
        }
        now = world.deadline().map_or(now, |due| due.max(now));
        world = step(&world, Event::Tick, now).unwrap();
        let done = match &world.state {
            State::Ending { launch, task, .. } => {
                Some(Event::TaskGone { generation: launch.generation, task: task.clone(), how: Gone::Exited })
            }
            State::Deleting { .. } => Some(Event::Erased),
            State::Asleep
            | State::Starting { .. }
            | State::Awake { .. }
            | State::Stopping { .. }
            | State::Deleted { .. } => None,
        };
        if let Some(event) = done {
            world = step(&world, event, now).unwrap();
        }
    }
    assert!(at_rest(&world), "not at rest: {world:?}");
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    /// Mostly a little later; now and then at the deadline, or long after it.
    fn later(&mut self, world: &World, now: Timestamp) -> Timestamp {
        let due = world.deadline().map_or(now, |due| due.max(now));
        match self.below(20) {
            0 => due,
            1 => due + Duration::from_secs(3600),
            n => now + Duration::from_secs(n as u64),
        }
    }

    /// Half of the time what comes next in a good evening, else anything at all.
    fn event(&mut self, world: &World) -> Event {
        let good = match word(world).trim_end_matches("+again") {
            "asleep" if self.below(4) == 0 => "restore ann a1",
            "asleep" => "start ann",
            "launching" => "launched",
            "launched" => "claimed",
            "filling" | "errand filling" => "filled",
            "claimed" => "ready",
            "awake" if self.below(4) == 0 => "backup ann",
            "awake" => "began left",
            "awake, backing up" => "backedup it b1",
            "awake, backup uploaded" => "checked b1",
            "asked" => "began left",
            "saving" => "saved fresh",
            "saved" => "uploaded a1",
            "uploaded" => "checked a1",
            "rejected" => "uploaded a2",
            _ => "gone exited",
        };
        let text = if self.below(2) == 0 { good } else { EVENTS[self.below(EVENTS.len())] };
        event(text, world)
    }
}
