//! The simulation of the whole: evenings in bad weather, seed by seed. `cargo xtask simulate` plays many more.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use domain::{
    sim::{
        run::{Played, Telling, play, play_with, replay},
        shrink::shrink,
    },
    world::World,
};
use expect_test::expect;

/// How many seeds are played here. Each is an evening of about 8,000 steps.
const SEEDS: u64 = 150;

#[test]
fn no_evening_in_bad_weather_breaks_a_law() {
    let next = AtomicU64::new(1);
    let broken: Vec<_> = thread::scope(|scope| {
        let play_some = || {
            let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
            let broken = seeds.take_while(|seed| *seed <= SEEDS).filter_map(|seed| {
                let law = play(seed, Telling::Brief).broken?;
                Some(format!("seed {seed}: {law} (`cargo xtask simulate --seed {seed} --story` tells how)"))
            });
            broken.collect::<Vec<_>>()
        };
        let players = [scope.spawn(play_some), scope.spawn(play_some)];
        players.into_iter().flat_map(|player| player.join().unwrap()).collect()
    });
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_seed_is_the_same_evening_each_time_and_so_are_its_choices() {
    let first = play(7, Telling::Story);
    assert_eq!(play(7, Telling::Story).story, first.story);
    assert_eq!(replay(first.choices.clone(), Telling::Story).story, first.story);
    assert!(first.launches > 0 && first.presses > 0, "{first:?}");
}

#[test]
fn what_broke_no_law_is_not_made_shorter() {
    let first = play(7, Telling::Brief);
    assert_eq!(shrink(&first, 1_000_000, &mut |_| {}).choices, first.choices);
}

/// A law that does not hold: people wake what sleeps.
fn nothing_is_woken_twice(world: &World) -> Option<String> {
    (world.generation.0 > 1).then(|| format!("{} is woken twice", world.id))
}

#[test]
fn what_broke_a_law_is_made_much_shorter_and_breaks_it_still_and_so_each_time() {
    let first = play_with(7, nothing_is_woken_twice);
    let mut told = vec![];
    let shortest = shrink(&first, 200_000, &mut |progress| told.push(progress));
    assert!(shortest.broken.as_ref().unwrap().ends_with("is woken twice"), "{:?}", shortest.broken);
    let lively = |played: &Played| played.choices.iter().filter(|choice| **choice != 0).count();
    assert!(shortest.steps <= first.steps);
    assert!(lively(&shortest) * 4 < lively(&first), "{} of {}", lively(&shortest), lively(&first));
    assert!(told.windows(2).all(|two| two[1].runs > two[0].runs && two[1].choices <= two[0].choices));
    let again = shrink(&first, 200_000, &mut |_| {});
    assert_eq!((again.choices, again.broken), (shortest.choices, shortest.broken));
}

#[test]
fn the_dullest_evening_reads_like_a_story() {
    let story = replay(vec![], Telling::Story).story;
    expect![[r#"
        0:00:00  alfheim-0 is made: `alfheim`
        0:00:00  midgard-1 is made: `midgard`
        0:00:00  alfheim-2 is made: `alfheim`
        0:00:21  ann: start alfheim
        0:00:21  bob: start alfheim
        0:00:21  cyd: start alfheim
        0:00:21  alfheim-0 is waking, asked for by ann 0 s ago, asking for a task, soon there
        0:00:21  alfheim-2 is waking, asked for by cyd 0 s ago, asking for a task, soon there
        0:00:21      ann: waking `alfheim`, about 1 min to go
        0:00:21      cyd: waking `alfheim`, about 1 min to go
        0:00:21      bob: `alfheim` is already waking, asked for by ann 0 s ago, about 1 min to go
        0:00:21  task alfheim-0.1 is accepted
        0:00:21  task alfheim-2.1 is accepted
        0:00:21  people read: alfheim: ann wakes it"#]]
    .assert_eq(&story[..14].join("\n"));
}
