//! What happens to a world, told as stories: a script goes in, and what the world did, asked for and ordered comes out.
//!
//! A line of a story reads `second event: state, due second | effects | orders`. `=` is a world that did not change;
//! effects and orders stand there only when they have changed. See `situations` for the scripts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod situations;

use std::time::Duration;

use domain::{
    Timestamp,
    effect::{Effect, Files, Notice, Orders, effects, notice, orders},
    event::Event,
    idle::Timers,
    lifecycle::step,
    vault::{LinkOf, Litter},
    words,
    world::{BackupStep, Force, Generation, Proof, StartStep, State, StopStep, Then, World},
};
use expect_test::{Expect, expect};
use situations::{SITUATIONS, at, event, situation, steps, world};

// The evening as it should be.

#[test]
fn an_evening_from_the_first_start_to_sleep() {
    check(
        "0 start ann; 2 launched; 30 claimed; 90 ready; 120 seen 1; 3000 seen 3; 7000 seen 0; 7480 seen 0 7600;
         7600 began left; 7620 saved fresh; 7640 uploaded a1; 7641 checked a1; 7660 gone",
        expect![[r#"
            0 start ann: launching, due 180 | launch 1, tell waking for ann | order: run
            2 launched: launched t1, due 482 | observe t1, tell waking for ann
            30 claimed: claimed by t1, due 1830
            90 ready: awake, players unknown: not looked yet, due 43590 | observe t1, tell awake
            120 seen 1: awake, 1 player, due 43590
            3000 seen 3: awake, 3 players, due 43590
            7000 seen 0: awake, nobody on, due 43590
            7480 seen 0 7600: awake, nobody on, stops at 7600, due 43590 | observe t1, tell warned of 7600
            7600 began left: saving, since the last player has left, due 8200 | observe t1, tell stopping | order: stop
            7620 saved fresh: saved (fresh), since the last player has left, due 18420
            7640 uploaded a1: uploaded a1, since the last player has left, due 8540 | check a1, tell stopping
            7641 checked a1: ending t1, saved and archived, since the last player has left, due 7881 | end t1, observe t1 | order: end
            7660 gone: asleep: saved and archived, since the last player has left | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn every_milestone_of_an_evening_is_kept_with_its_time() {
    let (world, _) = situation("asleep");
    let launch = world.last.unwrap().launch;
    let passed = launch.passed.iter().map(|(m, at)| format!("{} {}", m.word(), second(*at)));
    expect![
        "launched 1, claimed 30, ready 90, stopping 800, saved 840, uploaded 860, archived 870, ended 880"
    ]
    .assert_eq(&passed.collect::<Vec<_>>().join(", "));
}

#[test]
fn who_was_on_stays_with_the_launch_and_is_kept_with_the_session() {
    let told = |name: &str, script: &str| {
        let (mut world, _) = situation(name);
        for (second, text) in steps(script) {
            world = step(&world, event(text, &world), at(second)).unwrap();
        }
        let launch = world.launch().or(world.last.as_ref().map(|last| &last.launch)).unwrap();
        let (spans, sources) = (launch.attendance.curve().len(), launch.sources.len());
        format!("{script}: {}; {spans} spans, {sources} sources\n", launch.attendance)
    };
    let lines = [
        told("claimed", "40 attended 0 0; 90 ready"),
        told("awake", "700 attended 3 2"),
        told("awake", "700 attended 3 2; 702 attended 3 2; 703 attended 2 2"),
        told("awake", "700 attended 3 2; 702 stop ann; 703 attended 4 2; 705 began left; 706 attended 5 2"),
        told("awake", "9000 attended 120 2; 9001 gone crashed"),
        told("asleep", "1000 start ann"),
    ];
    expect![[r#"
        40 attended 0 0; 90 ready: nobody on in 0 s; 0 spans, 0 sources
        700 attended 3 2: up to 2 players seen, 2 min 59 s of 2 min 59 s (5 min added up); 3 spans, 1 sources
        700 attended 3 2; 702 attended 3 2; 703 attended 2 2: up to 2 players seen, 2 min 59 s of 2 min 59 s (5 min added up); 3 spans, 1 sources
        700 attended 3 2; 702 stop ann; 703 attended 4 2; 705 began left; 706 attended 5 2: up to 2 players seen, 4 min 59 s of 4 min 59 s (9 min added up); 5 spans, 1 sources
        9000 attended 120 2; 9001 gone crashed: up to 2 players seen, 1 h 59 min of 1 h 59 min (3 h 59 min added up); 60 spans, 0 sources
        1000 start ann: nobody on in 0 s; 0 spans, 0 sources
    "#]].assert_eq(&lines.concat());
}

#[test]
fn who_was_on_is_told_with_what_is_saved_anyway() {
    for name in ["launching", "launched", "claimed", "asked", "ending", "killing", "unnamed"] {
        changes_nothing(name, "1200 attended 5 2");
    }
    for name in ["awake", "warned", "kept", "saving", "saved", "uploaded", "rejected"] {
        let (world, second) = situation(name);
        let told = step(&world, event("attended 5 2", &world), at(second + 1)).unwrap();
        assert_ne!(told, world, "{name}");
        assert_eq!(effects(&told), effects(&world), "{name}: nothing is done because of it");
        let again = step(&told, event("attended 5 2", &told), at(second + 3)).unwrap();
        assert_eq!(again, told, "{name}: what is said again is no news");
    }
}

#[test]
fn a_world_that_is_stopped_with_players_on_it_is_saved_all_the_same() {
    after(
        "awake",
        "300 stop bob; 301 began left; 302 saved fresh; 303 uploaded a1; 304 checked a1;
         305 gone",
        expect![[r#"
            300 stop bob: asked to stop, asked for by bob, due 480 | observe t1, tell stopping | order: stop
            301 began left: saving, asked for by bob, due 901
            302 saved fresh: saved (fresh), asked for by bob, due 11102
            303 uploaded a1: uploaded a1, asked for by bob, due 1203 | check a1, tell stopping
            304 checked a1: ending t1, saved and archived, asked for by bob, due 544 | end t1, observe t1 | order: end
            305 gone: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
        "#]],
    );
}

// Asking for what is already so.

#[test]
fn starting_what_is_starting_changes_nothing() {
    for name in ["launching", "launched", "claimed"] {
        changes_nothing(name, "60 start bob");
    }
}

#[test]
fn starting_what_is_awake_changes_nothing() {
    changes_nothing("awake", "300 start bob");
}

#[test]
fn starting_while_stopping_is_queued_and_honoured() {
    after(
        "asked",
        "805 start cyd; 806 start dan; 810 began left; 840 saved fresh; 860 uploaded a1;
         861 checked a1; 880 gone; 881 launched",
        expect![[r#"
            805 start cyd: asked to stop, asked for by bob, then started for cyd, due 980
            806 start dan: =
            810 began left: saving, asked for by bob, then started for cyd, due 1410
            840 saved fresh: saved (fresh), asked for by bob, then started for cyd, due 11640
            860 uploaded a1: uploaded a1, asked for by bob, then started for cyd, due 1760 | check a1, tell stopping
            861 checked a1: ending t1, saved and archived, asked for by bob, then started for cyd, due 1101 | end t1, observe t1 | order: end
            880 gone: launching, due 1060 | launch 2, tell waking for cyd | order: run
            881 launched: launched t2, due 1361 | observe t2, tell waking for cyd
        "#]],
    );
}

#[test]
fn starting_while_the_task_ends_is_queued_and_honoured() {
    after(
        "ending",
        "875 start cyd; 880 gone",
        expect![[r#"
            875 start cyd: ending t1, saved and archived, asked for by bob, then started for cyd, due 1110
            880 gone: launching, due 1060 | launch 2, tell waking for cyd | order: run
        "#]],
    );
    after(
        "unnamed",
        "6 start cyd; 7 launched; 20 gone",
        expect![[r#"
            6 start cyd: ending an unnamed task, bob put it back to sleep before it was awake, then started for cyd, due 245
            7 launched: ending t1, bob put it back to sleep before it was awake, then started for cyd, due 245 | end t1, observe t1
            20 gone: launching, due 200 | launch 2, tell waking for cyd | order: run
        "#]],
    );
}

#[test]
fn a_stop_cancels_the_queued_start() {
    after(
        "asked+again",
        "806 stop dan; 807 start eve; 808 stop dan",
        expect![[r#"
            806 stop dan: asked to stop, asked for by bob, due 980
            807 start eve: asked to stop, asked for by bob, then started for eve, due 980
            808 stop dan: asked to stop, asked for by bob, due 980
        "#]],
    );
    after(
        "ending+again",
        "872 stop dan; 880 gone",
        expect![[r#"
            872 stop dan: ending t1, saved and archived, asked for by bob, due 1110
            880 gone: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn stopping_what_sleeps_or_stops_changes_nothing() {
    for name in
        ["new", "asleep", "asked", "saving", "saved", "uploaded", "rejected", "ending", "killing", "unnamed"]
    {
        changes_nothing(name, "2000 stop dan");
    }
}

// Stopping on the way up.

#[test]
fn a_stop_before_there_is_a_task_looks_for_one_to_end() {
    after(
        "launching",
        "5 stop bob; 6 launched; 7 gone",
        expect![[r#"
            5 stop bob: ending an unnamed task, bob put it back to sleep before it was awake, due 245 | find launch 1 | order: end
            6 launched: ending t1, bob put it back to sleep before it was awake, due 245 | end t1, observe t1
            7 gone: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_watchdog_that_claims_after_the_stop_names_the_task_to_end() {
    after(
        "unnamed",
        "6 claimed; 7 gone never nothing; 245 tick; 250 gone",
        expect![[r#"
            6 claimed: ending t1, bob put it back to sleep before it was awake, due 245 | end t1, observe t1
            7 gone never nothing: =
            245 tick: ending t1, bob put it back to sleep before it was awake, due 305 | kill t1, observe t1
            250 gone: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_stop_before_the_runtime_refuses_the_launch_is_at_rest_at_once() {
    after(
        "launching",
        "5 stop bob; 6 unlaunchable",
        expect![[r#"
            5 stop bob: ending an unnamed task, bob put it back to sleep before it was awake, due 245 | find launch 1 | order: end
            6 unlaunchable: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_stop_before_the_watchdog_was_heard_of_waits_for_it() {
    after(
        "launched",
        "5 stop bob; 30 claimed; 31 began left; 32 saved untouched; 33 uploaded a1;
         34 checked a1; 40 gone",
        expect![[r#"
            5 stop bob: ending t1, bob put it back to sleep before it was awake, due 245 | end t1, observe t1 | order: end
            30 claimed: ending t1, bob put it back to sleep before it was awake, due 245
            31 began left: =
            32 saved untouched: =
            33 uploaded a1: =
            34 checked a1: =
            40 gone: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_stop_while_the_game_loads_is_saved_like_any_other() {
    after(
        "claimed",
        "60 stop bob; 61 ready; 62 began left; 70 saved missing; 80 uploaded a1; 81 checked a1;
         90 gone",
        expect![[r#"
            60 stop bob: asked to stop, asked for by bob, due 240 | observe t1, tell stopping | order: stop
            61 ready: =
            62 began left: saving, asked for by bob, due 662
            70 saved missing: saved (unproven: the save files are old), asked for by bob, due 10870
            80 uploaded a1: uploaded a1, asked for by bob, due 980 | check a1, tell stopping
            81 checked a1: ending t1, archived, asked for by bob, but whether it was saved is not proven: the save files are old, due 321 | end t1, observe t1 | order: end
            90 gone: asleep: archived, asked for by bob, but whether it was saved is not proven: the save files are old | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_watchdog_that_stops_by_itself_on_the_way_up_is_followed() {
    after(
        "launched",
        "20 began reclaimed",
        expect![[r#"
            20 began reclaimed: saving, since the host ended its task, due 620 | observe t1, tell stopping | order: stop
        "#]],
    );
    after(
        "claimed",
        "60 began ended",
        expect![[r#"
            60 began ended: saving, since the game ended by itself (exit code 1), due 660 | observe t1, tell stopping | order: stop
        "#]],
    );
    after(
        "launching",
        "1 began reclaimed",
        expect![[r#"
            1 began reclaimed: =
        "#]],
    );
}

// Keeping it awake, and the warning.

#[test]
fn a_world_is_kept_awake_until_the_time_asked_for() {
    after(
        "awake",
        "300 keep ann 900; 310 keep bob 1200; 1300 seen 0",
        expect![[r#"
            300 keep ann 900: awake, 2 players, kept until 900 by ann, due 43590 | order: run, kept until 900
            310 keep bob 1200: awake, 2 players, kept until 1200 by bob, due 43590 | order: run, kept until 1200
            1300 seen 0: awake, nobody on, kept until 1200 by bob, due 43590
        "#]],
    );
}

/// Found by the simulation (seeds 51 and 393 of its second version): a clock of the control plane that was set, or set right,
/// took a world for one that had run for its longest time, and threw its players out.
#[test]
fn regression_a_clock_that_is_set_ends_no_evening() {
    after(
        "awake",
        "300 seen 2; 300 attended 4 2; 50000 tick; 50010 seen 2; 50010 attended 5 2; 400 seen 2; 400 attended 6 2",
        expect![[r#"
            300 seen 2: awake, 2 players, due 43590
            300 attended 4 2: awake, 2 players, due 43590
            50000 tick: awake, players unknown: its watchdog is asked for how long it has been awake, due 50600
            50010 seen 2: awake, players unknown: its watchdog is asked for how long it has been awake, due 50600
            50010 attended 5 2: awake, players unknown: not looked yet, due 93211
            400 seen 2: awake, 2 players, due 93211
            400 attended 6 2: awake, 2 players, due 43541
        "#]],
    );
}

#[test]
fn a_watchdog_that_ignores_the_cap_is_stopped_and_one_that_counts_no_more_a_moment_later() {
    after(
        "awake",
        "43500 seen 2; 43500 attended 721 2; 43590 tick",
        expect![[r#"
        43500 seen 2: awake, 2 players, archive wanted (while it was played), due 43590 | order: run, archive of 43500
        43500 attended 721 2: awake, 2 players, archive wanted (while it was played), due 43590
        43590 tick: asked to stop, since it has run for its longest time, due 43770 | observe t1, tell stopping | order: stop
    "#]],
    );
    after(
        "awake",
        "300 attended 4 2; 43590 tick; 43600 attended 4 2; 44189 tick; 44190 tick",
        expect![[r#"
            300 attended 4 2: awake, 2 players, due 43590
            43590 tick: awake, players unknown: its watchdog is asked for how long it has been awake, due 44190
            43600 attended 4 2: =
            44189 tick: =
            44190 tick: asked to stop, since it has run for its longest time, due 44370 | observe t1, tell stopping | order: stop
        "#]],
    );
    after(
        "awake",
        "43589 tick; 43590 tick; 44189 tick; 44190 tick",
        expect![[r#"
            43589 tick: =
            43590 tick: awake, players unknown: its watchdog is asked for how long it has been awake, due 44190
            44189 tick: =
            44190 tick: asked to stop, since it has run for its longest time, due 44370 | observe t1, tell stopping | order: stop
        "#]],
    );
}

/// Found by the simulation (seeds 2507 and 8035): a second wish, for less, took back what somebody else was told.
#[test]
fn regression_a_shorter_wish_to_keep_it_awake_takes_nothing_from_a_longer_one() {
    after(
        "warned",
        "710 keep ann 2750; 720 keep bob 840; 721 seen 0; 730 keep eve 2800",
        expect![[r#"
            710 keep ann 2750: awake, nobody on, kept until 2750 by ann, due 43590 | observe t1, tell awake | order: run, kept until 2750
            720 keep bob 840: =
            721 seen 0: awake, nobody on, kept until 2750 by ann, due 43590
            730 keep eve 2800: awake, nobody on, kept until 2800 by eve, due 43590 | order: run, kept until 2800
        "#]],
    );
}

#[test]
fn a_world_is_kept_awake_no_longer_than_its_cap() {
    after(
        "awake",
        "300 keep ann 600000",
        expect![[r#"
            300 keep ann 600000: awake, 2 players, kept until 43290 by ann, due 43590 | order: run, kept until 43290
        "#]],
    );
}

#[test]
fn a_stop_that_is_near_with_players_on_is_that_of_the_cap_unless_they_may_not_all_stand_still() {
    let (awake, _) = situation("awake");
    let told = |afk, script| {
        let world =
            World { timers: Timers { afk: Duration::from_secs(afk), ..awake.timers }, ..awake.clone() };
        let (second, text) = steps(script)[0];
        let world = step(&world, event(text, &world), at(second)).unwrap();
        words::notice(&world, &notice(&world).unwrap())
    };
    expect!["valhalla: it has run for its longest time and goes to sleep at 2026-01-01T18:13:20Z"]
        .assert_eq(&told(0, "700 seen 2 800"));
    expect!["valhalla: nobody who is on moves; goes to sleep at 2026-01-01T18:13:20Z. To keep it awake: move, or `world keep valhalla`"]
        .assert_eq(&told(600, "700 seen 2 800"));
    expect!["valhalla: it has run for its longest time and goes to sleep at 2026-01-02T06:01:25Z"]
        .assert_eq(&told(600, "43200 seen 2 43285"));
}

#[test]
fn however_often_it_is_asked_for_a_world_is_kept_no_longer_than_its_cap() {
    after(
        "awake",
        "300 keep ann 43000; 20000 keep bob 43200; 43000 keep ann 50000; 43289 keep bob 50000; 43290 keep ann 50000",
        expect![[r#"
            300 keep ann 43000: awake, 2 players, kept until 43000 by ann, due 43590 | order: run, kept until 43000
            20000 keep bob 43200: awake, 2 players, kept until 43200 by bob, due 43590 | order: run, kept until 43200
            43000 keep ann 50000: awake, 2 players, kept until 43290 by ann, due 43590 | order: run, kept until 43290
            43289 keep bob 50000: =
            43290 keep ann 50000: refused: `valhalla` has nearly run for its longest time (let it save and sleep; `world start valhalla` wakes it again right after)
        "#]],
    );
}

#[test]
fn keeping_it_awake_takes_the_warning_back() {
    after(
        "warned",
        "710 keep ann 3700; 711 seen 0",
        expect![[r#"
            710 keep ann 3700: awake, nobody on, kept until 3700 by ann, due 43590 | observe t1, tell awake | order: run, kept until 3700
            711 seen 0: awake, nobody on, kept until 3700 by ann, due 43590
        "#]],
    );
}

#[test]
fn a_world_is_not_kept_awake_into_the_past() {
    after(
        "awake",
        "300 keep ann 300; 300 keep ann 299",
        expect![[r#"
            300 keep ann 300: refused: the time to keep `valhalla` awake until is over already (give a time to come)
            300 keep ann 299: refused: the time to keep `valhalla` awake until is over already (give a time to come)
        "#]],
    );
}

#[test]
fn only_an_awake_world_is_kept_awake() {
    for (name, _, _) in SITUATIONS {
        let (world, _) = situation(name);
        if !matches!(world.state, State::Awake { .. }) {
            assert!(step(&world, event("keep ann 9000", &world), at(2000)).is_err(), "{name}");
        }
    }
    after(
        "new",
        "1 keep ann 900",
        expect![[r#"
            1 keep ann 900: refused: `valhalla` is not awake (start it first: `world start valhalla`)
        "#]],
    );
    after(
        "claimed",
        "60 keep ann 900",
        expect![[r#"
            60 keep ann 900: refused: `valhalla` is not awake (start it first: `world start valhalla`)
        "#]],
    );
    after(
        "saving",
        "820 keep ann 900",
        expect![[r#"
            820 keep ann 900: refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        "#]],
    );
    after(
        "ending",
        "872 keep ann 900",
        expect![[r#"
            872 keep ann 900: refused: `valhalla` is already going to sleep (`world start valhalla` wakes it again as soon as it is saved)
        "#]],
    );
}

#[test]
fn people_are_warned_once_although_reports_jitter() {
    after(
        "awake",
        "700 seen 0 820; 705 seen 0 821; 710 seen 0 812; 715 seen 0 829; 720 seen 0 830; 725 seen 0 825; 730 seen 1",
        expect![[r#"
            700 seen 0 820: awake, nobody on, stops at 820, due 43590 | observe t1, tell warned of 820
            705 seen 0 821: awake, nobody on, stops at 820, due 43590
            710 seen 0 812: awake, nobody on, stops at 820, due 43590
            715 seen 0 829: awake, nobody on, stops at 820, due 43590
            720 seen 0 830: awake, nobody on, stops at 830, due 43590 | observe t1, tell warned of 830
            725 seen 0 825: awake, nobody on, stops at 830, due 43590
            730 seen 1: awake, 1 player, due 43590 | observe t1, tell awake
        "#]],
    );
}

// The task is gone.

#[test]
fn a_task_that_is_gone_ends_the_launch_in_every_situation() {
    in_every_situation(
        "gone crashed",
        expect![[r#"
            new: refused: launch 0 of `valhalla` is not the current one (the watchdog of that launch shall end)
            launching: =
            launched: asleep: the last start failed: its task broke down: exit code 139 | tell asleep | order: abandon
            claimed: asleep: the last start failed: its task broke down: exit code 139 | tell asleep | order: abandon
            awake: asleep: the last launch was lost: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
            warned: asleep: the last launch was lost: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
            kept: asleep: the last launch was lost: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
            asked: asleep: the last launch was lost: its task broke down: exit code 139 before it had saved; its files are in its directory | tell asleep | order: abandon
            asked+again: launching, due 986 | launch 2, tell waking for cyd | order: run
            saving: asleep: the last launch was lost: its task broke down: exit code 139 before it had saved; its files are in its directory | tell asleep | order: abandon
            saved: asleep: stopped, asked for by bob, but not archived: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
            saved+again: launching, due 1022 | launch 2, tell waking for cyd | order: run
            uploaded: =
            rejected: asleep: stopped, asked for by bob, but not archived: its task broke down: exit code 139; its files are in its directory | tell asleep, remove archive a1 | order: abandon
            ending: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
            ending+again: launching, due 1052 | launch 2, tell waking for cyd | order: run
            killing: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
            unnamed: =
            unnamed+again: =
            asleep: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            failed: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            lost: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            unsaved: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            backing up: asleep: the last launch was lost: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
            backup uploaded: asleep: the last launch was lost: its task broke down: exit code 139; its files are in its directory | tell asleep, remove archive b1 | order: abandon
            errand launching: =
            errand launched: asleep: it was not restored from archive a1 and is as it was: its task broke down: exit code 139 | tell asleep | order: abandon
            errand saved: asleep: it was not restored from archive a1 and is as it was: its task broke down: exit code 139 | tell asleep | order: abandon
            errand uploaded: =
            errand filling: asleep: the last launch was lost: its task broke down: exit code 139 while its directory was filled; its files are in its directory | tell asleep | order: abandon
            importing: asleep: the last launch was lost: its task broke down: exit code 139 while its directory was filled; its files are in its directory | tell asleep | order: abandon
            emptied: refused: launch 2 of `valhalla` is not the current one (the watchdog of that launch shall end)
            in its archive: asleep: the last start failed: its task broke down: exit code 139 | tell asleep | order: abandon
            filling: asleep: the last start failed: its task broke down: exit code 139 | tell asleep | order: abandon
            errand in its archive: asleep: it was not restored from archive a1 and is as it was: its task broke down: exit code 139 | tell asleep | order: abandon
            deleting: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            deleted: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
        "#]],
    );
}

#[test]
fn how_the_task_ended_is_kept_in_words() {
    after(
        "awake",
        "800 gone exited",
        expect![[r#"
            800 gone exited: asleep: the last launch was lost: its task ended; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
    after(
        "awake",
        "800 gone crashed",
        expect![[r#"
            800 gone crashed: asleep: the last launch was lost: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
    after(
        "awake",
        "800 gone oom",
        expect![[r#"
            800 gone oom: asleep: the last launch was lost: its task ran out of memory; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
    after(
        "awake",
        "800 gone reclaimed",
        expect![[r#"
            800 gone reclaimed: asleep: the last launch was lost: the host took its task back; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
    after(
        "awake",
        "800 gone never",
        expect![[r#"
            800 gone never: asleep: the last launch was lost: its task was gone before anything was heard of it; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn another_task_that_is_gone_is_none_of_its_business() {
    for (name, _, _) in SITUATIONS {
        let (world, second) = situation(name);
        let gone = step(&world, event("gone exited t9", &world), at(second));
        assert!(world.task().is_none() || gone == Ok(world), "{name}");
    }
}

#[test]
fn a_search_that_found_nothing_says_nothing_about_a_task_that_was_named_meanwhile() {
    after(
        "unnamed",
        "6 launched; 7 gone never nothing; 500 gone never nothing; 501 gone",
        expect![[r#"
            6 launched: ending t1, bob put it back to sleep before it was awake, due 245 | end t1, observe t1
            7 gone never nothing: =
            500 gone never nothing: =
            501 gone: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_search_that_finds_nothing_counts_once_the_runtime_had_its_time() {
    after(
        "unnamed",
        "6 gone never nothing; 244 gone never nothing; 245 gone never nothing",
        expect![[r#"
            6 gone never nothing: =
            244 gone never nothing: =
            245 gone never nothing: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
    after(
        "unnamed+again",
        "245 gone never nothing",
        expect![[r#"
            245 gone never nothing: launching, due 425 | launch 2, tell waking for cyd | order: run
        "#]],
    );
}

#[test]
fn a_task_that_is_gone_before_it_has_saved_is_started_again_where_somebody_asked() {
    after(
        "asked+again",
        "810 gone reclaimed",
        expect![[r#"
            810 gone reclaimed: launching, due 990 | launch 2, tell waking for cyd | order: run
        "#]],
    );
}

// Archives that are asked for, and what is put in a world's place.

#[test]
fn an_archive_is_made_while_people_play() {
    after(
        "awake",
        "700 backup bob; 701 backup cyd; 720 backedup 700 b1; 721 checked b1; 722 backedup 700 b1; 800 stop bob",
        expect![[r#"
            700 backup bob: awake, 2 players, archive wanted (asked for by bob), due 43590 | order: run, archive of 700
            701 backup cyd: =
            720 backedup 700 b1: awake, 2 players, archive b1 uploaded, due 43590 | observe t1, tell awake, check b1 | order: run
            721 checked b1: awake, 2 players, archive b1 made, due 43590 | observe t1, tell awake
            722 backedup 700 b1: =
            800 stop bob: asked to stop, asked for by bob, due 980 | observe t1, tell stopping | order: stop
        "#]],
    );
}

#[test]
fn an_archive_is_made_on_schedule_while_somebody_plays() {
    after(
        "awake",
        "3000 seen 1; 3690 seen 1; 3700 backedup 3690 b1; 3701 unwhole b1; 5000 seen 1; 7289 seen 1; 7290 seen 0;
         7291 seen 1; 10891 seen 1",
        expect![[r#"
            3000 seen 1: awake, 1 player, due 43590
            3690 seen 1: awake, 1 player, archive wanted (while it was played), due 43590 | order: run, archive of 3690
            3700 backedup 3690 b1: awake, 1 player, archive b1 uploaded, due 43590 | observe t1, tell awake, check b1 | order: run
            3701 unwhole b1: awake, 1 player, no archive: it did not arrive whole, due 43590 | observe t1, tell awake, remove archive b1
            5000 seen 1: awake, 1 player, no archive: it did not arrive whole, due 43590
            7289 seen 1: awake, 1 player, no archive: it did not arrive whole, due 43590
            7290 seen 0: awake, nobody on, no archive: it did not arrive whole, due 43590
            7291 seen 1: awake, 1 player, archive wanted (while it was played), due 43590 | order: run, archive of 7291
            10891 seen 1: awake, 1 player, archive wanted (while it was played), due 43590 | order: run, archive of 10891
        "#]],
    );
}

#[test]
fn an_archive_that_does_not_come_in_time_is_given_up_and_one_that_stopping_overtakes_is_removed() {
    after(
        "awake",
        "700 backup bob; 4299 seen 0; 4300 seen 0; 4301 backedup 700 b1",
        expect![[r#"
        700 backup bob: awake, 2 players, archive wanted (asked for by bob), due 43590 | order: run, archive of 700
        4299 seen 0: awake, nobody on, archive wanted (asked for by bob), due 43590
        4300 seen 0: awake, nobody on, no archive: it took too long, due 43590 | order: run
        4301 backedup 700 b1: =
    "#]],
    );
    after(
        "awake",
        "700 backup bob; 710 backedup 700 b1; 720 began left",
        expect![[r#"
            700 backup bob: awake, 2 players, archive wanted (asked for by bob), due 43590 | order: run, archive of 700
            710 backedup 700 b1: awake, 2 players, archive b1 uploaded, due 43590 | observe t1, tell awake, check b1 | order: run
            720 began left: saving, since the last player has left, due 1320 | observe t1, tell stopping, remove archive b1 | order: stop
        "#]],
    );
}

#[test]
fn a_sleeping_world_is_archived_where_it_is_not_yet() {
    changes_nothing("asleep", "1000 backup ann");
    after(
        "unsaved",
        "1000 backup ann; 1001 launched; 1005 claimed; 1010 uploaded a2; 1011 checked a2; 1020 gone",
        expect![[r#"
            1000 backup ann: launching, due 1180 | launch 2, tell Backup for ann | order: run
            1001 launched: launched t2, due 1481 | observe t2, tell Backup for ann
            1005 claimed: saved (untouched), asked for by ann, due 11805 | order: stop
            1010 uploaded a2: uploaded a2, asked for by ann, due 1910 | check a2, tell Backup for ann
            1011 checked a2: ending t2, archived, due 1251 | end t2, observe t2 | order: end
            1020 gone: asleep: archived | tell asleep | order: abandon
        "#]],
    );
    after(
        "new",
        "1 backup ann",
        expect![[r#"
        1 backup ann: refused: `valhalla` was never started, so there is nothing of it yet (`world start valhalla` makes it)
    "#]],
    );
}

#[test]
fn what_is_there_is_archived_before_another_archive_takes_its_place() {
    after(
        "asleep",
        "1000 restore ann a1; 1000 start bob; 1000 restore bob a1; 1000 backup bob; 1001 launched; 1010 claimed;
         1011 began left; 1011 saved fresh; 1020 uploaded a2; 1021 unwhole a2; 1022 uploaded a3; 1023 checked a3;
         1024 start bob; 1030 filled; 1040 gone",
        expect![[r#"
            1000 restore ann a1: launching, due 1180 | launch 2, tell Restore(ArchiveId("a1")) for ann | order: run
            1000 start bob: refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
            1000 restore bob a1: =
            1000 backup bob: refused: `valhalla` is being worked on (`world status valhalla` shows how far it is; it takes a minute or two)
            1001 launched: launched t2, due 1481 | observe t2, tell Restore(ArchiveId("a1")) for ann
            1010 claimed: saved (untouched), asked for by ann, due 11810 | order: stop
            1011 began left: =
            1011 saved fresh: =
            1020 uploaded a2: uploaded a2, asked for by ann, due 1920 | check a2, tell Restore(ArchiveId("a1")) for ann
            1021 unwhole a2: rejected a2, asked for by ann, due 11821 | observe t2, tell Restore(ArchiveId("a1")) for ann, remove archive a2 | order: upload again, not a2
            1022 uploaded a3: uploaded a3, asked for by ann, due 1922 | check a3, tell Restore(ArchiveId("a1")) for ann, remove archive a2 | order: stop
            1023 checked a3: to be filled, asked for by ann, due 11823 | observe t2, tell Restore(ArchiveId("a1")) for ann, remove archive a2 | order: fill
            1024 start bob: to be filled, asked for by ann, then started for bob, due 11823
            1030 filled: ending t2, restored from archive a1: a world, then started for bob, due 1270 | end t2, observe t2, remove archive a2 | order: end
            1040 gone: launching, due 1220 | launch 3, tell waking for bob, remove archive a2 | order: run
        "#]],
    );
}

#[test]
fn what_could_not_be_put_in_its_place_leaves_a_world_as_it_was() {
    after(
        "errand filling",
        "1040 notfilled; 1050 gone",
        expect![[r#"
        1040 notfilled: ending t2, it was not restored from archive a1 and is as it was: the disk is full, due 1280 | end t2, observe t2 | order: end
        1050 gone: asleep: it was not restored from archive a1 and is as it was: the disk is full | tell asleep | order: abandon
    "#]],
    );
    after(
        "errand filling",
        "1040 gone oom",
        expect![[r#"
            1040 gone oom: asleep: the last launch was lost: its task ran out of memory while its directory was filled; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
    after(
        "errand saved",
        "1040 unarchived; 1050 gone",
        expect![[r#"
        1040 unarchived: ending t2, it was not restored from archive a1 and is as it was: the disk is full, due 1280 | end t2, observe t2 | order: end
        1050 gone: asleep: it was not restored from archive a1 and is as it was: the disk is full | tell asleep | order: abandon
    "#]],
    );
    after(
        "errand launching",
        "1005 stop bob; 1300 gone never nothing",
        expect![[r#"
        1005 stop bob: ending an unnamed task, bob put it back to sleep before it was awake, due 1245 | find launch 2 | order: end
        1300 gone never nothing: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
    "#]],
    );
    after(
        "asleep",
        "1000 restore ann a9",
        expect![[r#"
        1000 restore ann a9: refused: `valhalla` has no archive a9 (`world backups valhalla` lists those that it has)
    "#]],
    );
    after(
        "awake",
        "1000 restore ann a1",
        expect![[r#"
        1000 restore ann a1: refused: `valhalla` has no archive a1 (`world backups valhalla` lists those that it has)
    "#]],
    );
}

#[test]
fn a_new_world_is_filled_by_what_was_uploaded() {
    after(
        "new",
        "0 import ann; 1 launched; 30 claimed; 60 filled; 70 gone; 80 delete ann valhalla",
        expect![[r#"
            0 import ann: launching, due 180 | launch 1, tell Import(ImportId("i1")) for ann | order: run
            1 launched: launched t1, due 481 | observe t1, tell Import(ImportId("i1")) for ann
            30 claimed: to be filled, asked for by ann, due 10830 | order: fill
            60 filled: ending t1, replaced by what was uploaded: a world, due 300 | end t1, observe t1, discard upload i1 | order: end
            70 gone: asleep: replaced by what was uploaded: a world | tell asleep, discard upload i1 | order: abandon
            80 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        "#]],
    );
}

#[test]
fn a_world_that_lives_in_its_archive_is_filled_at_its_start_and_cleared_at_its_end() {
    after(
        "in its archive",
        "930 claimed; 940 filled; 941 claimed; 990 ready; 2000 stop ann; 2001 began left; 2002 saved fresh;
         2010 uploaded a2; 2011 checked a2; 2020 gone",
        expect![[r#"
            930 claimed: filled by t3, due 11730 | order: fill
            940 filled: claimed by t3, due 2740 | order: run
            941 claimed: =
            990 ready: awake, players unknown: not looked yet, due 44490 | observe t3, tell awake
            2000 stop ann: asked to stop, asked for by ann, due 2180 | observe t3, tell stopping | order: stop
            2001 began left: saving, asked for by ann, due 2601
            2002 saved fresh: saved (fresh), asked for by ann, due 12802
            2010 uploaded a2: uploaded a2, asked for by ann, due 2910 | check a2, tell stopping
            2011 checked a2: ending t3, saved and archived, asked for by ann, due 2251 | end t3, observe t3 | order: end, clear
            2020 gone: asleep: saved and archived, asked for by ann | tell asleep | order: abandon
        "#]],
    );
    after(
        "errand in its archive",
        "910 claimed; 920 notfilled; 930 gone",
        expect![[r#"
            910 claimed: to be filled, asked for by ann, due 11710 | order: fill
            920 notfilled: ending t3, it was not restored from archive a1 and is as it was: the disk is full, due 1160 | end t3, observe t3 | order: end, clear
            930 gone: asleep: it was not restored from archive a1 and is as it was: the disk is full | tell asleep | order: abandon
        "#]],
    );
    after(
        "filling",
        "940 notfilled; 950 gone",
        expect![[r#"
            940 notfilled: ending t3, the last start failed: the disk is full, due 1180 | end t3, observe t3 | order: end, clear
            950 gone: asleep: the last start failed: the disk is full | tell asleep | order: abandon
        "#]],
    );
    after(
        "filling",
        "940 stop bob; 950 gone",
        expect![[r#"
            940 stop bob: ending t3, bob put it back to sleep before it was awake, due 1180 | end t3, observe t3 | order: end, clear
            950 gone: asleep: bob put it back to sleep before it was awake | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn an_emptied_world_is_filled_whatever_is_set_since() {
    after(
        "emptied",
        "900 set directory; 901 start ann; 902 launched; 903 claimed; 904 filled; 905 ready; 906 stop ann; 907 began left;
         908 saved fresh; 909 uploaded a2; 910 checked a2; 911 gone; 912 start ann; 913 launched; 914 claimed",
        expect![[r#"
            900 set directory: asleep: saved and archived, asked for by ann
            901 start ann: launching, due 1081 | launch 3, tell waking for ann | order: run
            902 launched: launched t3, due 1382 | observe t3, tell waking for ann
            903 claimed: filled by t3, due 11703 | order: fill
            904 filled: claimed by t3, due 2704 | order: run
            905 ready: awake, players unknown: not looked yet, due 44405 | observe t3, tell awake
            906 stop ann: asked to stop, asked for by ann, due 1086 | observe t3, tell stopping | order: stop
            907 began left: saving, asked for by ann, due 1507
            908 saved fresh: saved (fresh), asked for by ann, due 11708
            909 uploaded a2: uploaded a2, asked for by ann, due 1809 | check a2, tell stopping
            910 checked a2: ending t3, saved and archived, asked for by ann, due 1150 | end t3, observe t3 | order: end
            911 gone: asleep: saved and archived, asked for by ann | tell asleep | order: abandon
            912 start ann: launching, due 1092 | launch 4, tell waking for ann | order: run
            913 launched: launched t4, due 1393 | observe t4, tell waking for ann
            914 claimed: claimed by t4, due 2714
        "#]],
    );
}

#[test]
fn a_world_whose_storage_is_changed_while_it_sleeps_keeps_what_is_in_its_directory() {
    after(
        "asleep",
        "900 set archive; 901 start ann; 902 launched; 903 claimed; 904 stop ann; 905 gone oom; 906 start ann; 907 launched;
         908 claimed",
        expect![[r#"
            900 set archive: asleep: saved and archived, asked for by bob
            901 start ann: launching, due 1081 | launch 2, tell waking for ann | order: run
            902 launched: launched t2, due 1382 | observe t2, tell waking for ann
            903 claimed: claimed by t2, due 2703
            904 stop ann: asked to stop, asked for by ann, due 1084 | observe t2, tell stopping | order: stop
            905 gone oom: asleep: the last launch was lost: its task ran out of memory before it had saved; its files are in its directory | tell asleep | order: abandon
            906 start ann: launching, due 1086 | launch 3, tell waking for ann | order: run
            907 launched: launched t3, due 1387 | observe t3, tell waking for ann
            908 claimed: claimed by t3, due 2708
        "#]],
    );
}

#[test]
fn a_host_that_ends_the_task_before_its_directory_is_filled_saves_nothing() {
    after(
        "filling",
        "940 began reclaimed; 941 saved untouched; 942 uploaded a2; 943 gone",
        expect![[r#"
        940 began reclaimed: ending t3, the last start failed: it was stopped before its directory was filled, due 1180 | end t3, observe t3 | order: end, clear
        941 saved untouched: =
        942 uploaded a2: =
        943 gone: asleep: the last start failed: it was stopped before its directory was filled | tell asleep | order: abandon
    "#]],
    );
}

#[test]
fn what_was_not_archived_is_not_filled_over() {
    after(
        "unsaved",
        "1000 set archive; 1001 start ann; 1002 launched; 1030 claimed; 1090 ready; 2000 stop ann; 2001 began left;
         2002 saved fresh; 2003 unarchived; 2010 gone; 3000 start ann; 3001 launched; 3002 claimed",
        expect![[r#"
            1000 set archive: asleep: stopped, asked for by bob, but not archived: the disk is full; its files are in its directory
            1001 start ann: launching, due 1181 | launch 2, tell waking for ann | order: run
            1002 launched: launched t2, due 1482 | observe t2, tell waking for ann
            1030 claimed: claimed by t2, due 2830
            1090 ready: awake, players unknown: not looked yet, due 44590 | observe t2, tell awake
            2000 stop ann: asked to stop, asked for by ann, due 2180 | observe t2, tell stopping | order: stop
            2001 began left: saving, asked for by ann, due 2601
            2002 saved fresh: saved (fresh), asked for by ann, due 12802
            2003 unarchived: ending t2, stopped, asked for by ann, but not archived: the disk is full; its files are in its directory, due 2243 | end t2, observe t2 | order: end
            2010 gone: asleep: stopped, asked for by ann, but not archived: the disk is full; its files are in its directory | tell asleep | order: abandon
            3000 start ann: launching, due 3180 | launch 3, tell waking for ann | order: run
            3001 launched: launched t3, due 3481 | observe t3, tell waking for ann
            3002 claimed: claimed by t3, due 4802
        "#]],
    );
}

#[test]
fn what_has_not_changed_is_not_archived_again() {
    after(
        "asleep",
        "1000 start ann; 1001 launched; 1030 claimed; 1090 ready; 2000 stop ann; 2001 began left; 2002 saved untouched;
         2003 unchanged a9; 2004 unchanged a9; 2005 unchanged a1; 2010 gone",
        expect![[r#"
            1000 start ann: launching, due 1180 | launch 2, tell waking for ann | order: run
            1001 launched: launched t2, due 1481 | observe t2, tell waking for ann
            1030 claimed: claimed by t2, due 2830
            1090 ready: awake, players unknown: not looked yet, due 44590 | observe t2, tell awake
            2000 stop ann: asked to stop, asked for by ann, due 2180 | observe t2, tell stopping | order: stop
            2001 began left: saving, asked for by ann, due 2601
            2002 saved untouched: saved (untouched), asked for by ann, due 12802
            2003 unchanged a9: rejected a9, asked for by ann, due 12803 | order: upload again, not a9
            2004 unchanged a9: =
            2005 unchanged a1: ending t2, saved and archived, asked for by ann, due 2245 | end t2, observe t2 | order: end
            2010 gone: asleep: saved and archived, asked for by ann | tell asleep | order: abandon
        "#]],
    );
}

/// ECS may show a task only some time after it has started it, and what it does not show it calls missing.
#[test]
fn regression_a_task_that_was_heard_of_lately_is_not_taken_for_one_that_never_was() {
    after(
        "awake",
        "700 seen 2; 999 gone never; 1000 gone never",
        expect![[r#"
        700 seen 2: awake, 2 players, due 43590
        999 gone never: =
        1000 gone never: asleep: the last launch was lost: its task was gone before anything was heard of it; its files are in its directory | tell asleep | order: abandon
    "#]],
    );
    changes_nothing("claimed", "329 gone never");
    after(
        "launched",
        "100 gone never",
        expect![[r#"
        100 gone never: asleep: the last start failed: its task was gone before anything was heard of it | tell asleep | order: abandon
    "#]],
    );
}

/// A front door whose clock was half an hour ahead for some seconds gave up a launch, and nobody could wake the world until then.
#[test]
fn regression_a_deadline_that_was_set_by_a_clock_that_was_ahead_is_brought_back() {
    after(
        "launching",
        "2000 tick; 210 tick; 449 tick; 451 tick",
        expect![[r#"
        2000 tick: ending an unnamed task, the last start failed: no task could be started in time, due 2240 | find launch 1 | order: end
        210 tick: ending an unnamed task, the last start failed: no task could be started in time, due 450
        449 tick: =
        451 tick: asleep: the last start failed: no task could be started in time | tell asleep | order: abandon
    "#]],
    );
}

#[test]
fn a_link_leads_to_the_newest_state() {
    let of = |name: &str| {
        let (world, at) = situation(name);
        let asked = step(&world, event("export ann", &world), self::at(at + 5));
        asked.map(|world| world.vault.links[0].of.clone()).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(of("asleep"), Ok(LinkOf::Archive("a1".parse().unwrap())));
    assert_eq!((of("awake"), of("saved")), (Ok(LinkOf::Next), Ok(LinkOf::Next)));
    assert_eq!(of("lost"), Ok(LinkOf::Next), "what was played since is archived first");
    assert_eq!(of("errand saved"), Ok(LinkOf::Archive("a1".parse().unwrap())), "nobody played since");
    assert_eq!(of("launching"), Err("there is no archive of `valhalla` yet".into()));
}

/// Found by the simulation (seed 1411 of its fifth version): what was to be archived before something else took its place was
/// played since the newest archive.
#[test]
fn regression_a_link_to_a_world_that_is_about_to_be_replaced_leads_to_what_is_archived_first() {
    let of = |script: &str| {
        let mut world = situation("awake").0;
        let lost = "700 backup ann; 701 backedup 700 b0; 702 checked b0; 800 gone oom; 1000 restore ann b0";
        for (second, text) in steps(&format!("{lost}; {script}")) {
            world = step(&world, event(text, &world), at(second)).unwrap();
        }
        world.vault.links[0].of.clone()
    };
    let saved = "1001 launched; 1002 claimed; 1003 saved untouched; 1004 export bob";
    assert_eq!((of("1001 export bob"), of(saved)), (LinkOf::Next, LinkOf::Next));
    let archived = format!("{saved}; 1005 uploaded b1; 1006 checked b1");
    assert_eq!(of(&archived), LinkOf::Archive("b1".parse().unwrap()));
}

/// A copy that is being made is older than what was played until somebody asks for the newest state.
#[test]
fn a_link_that_is_asked_for_while_a_copy_is_made_leads_to_the_next_one() {
    let of = |script: &str| {
        let mut world = situation("awake").0;
        for (second, text) in steps(&format!("700 backup ann; 710 export bob; {script}")) {
            world = step(&world, event(text, &world), at(second)).unwrap();
        }
        (world.vault.links[0].of.clone(), orders(&world, world.generation))
    };
    let run = |backup: Option<u64>| Orders::Run { keep_until: None, backup: backup.map(at) };
    let second = LinkOf::Archive("b2".parse().unwrap());
    assert_eq!(of("711 seen 2"), (LinkOf::AfterNext, run(Some(700))));
    assert_eq!(of("720 backedup 700 b1; 721 checked b1"), (LinkOf::Next, run(Some(721))));
    assert_eq!(of("720 notbackedup 700"), (LinkOf::Next, run(Some(720))));
    let twice = "720 backedup 700 b1; 721 checked b1; 730 backedup 721 b2; 731 checked b2";
    assert_eq!(of(twice), (second.clone(), run(None)));
    let asleep = "720 stop bob; 721 saved fresh; 722 uploaded b2; 723 checked b2";
    assert_eq!(of(asleep).0, second, "what it holds when it sleeps is the newest");
    assert_eq!(of("720 gone oom").0, LinkOf::Nothing("its task ran out of memory".into()));
}

#[test]
fn a_link_to_what_is_being_made_leads_to_it_or_says_why_not() {
    let of = |name: &str, script: &str| {
        let mut world = situation(name).0;
        for (second, text) in steps(script) {
            world = step(&world, event(text, &world), at(second)).unwrap();
        }
        world.vault.links[0].of.clone()
    };
    let made = LinkOf::Archive("b1".parse().unwrap());
    assert_eq!(of("awake", "700 export ann; 710 backedup 700 b1; 711 checked b1"), made);
    assert_eq!(
        of("awake", "700 export ann; 710 stop bob; 711 saved fresh; 712 uploaded b1; 713 checked b1"),
        made
    );
    let archived = "launched; 1002 claimed; 1003 saved untouched; 1004 uploaded b1; 1005 checked b1";
    assert_eq!(of("lost", &format!("1000 export ann; 1001 {archived}")), made);
    assert_eq!(of("lost", "1000 export ann; 1001 unlaunchable"), LinkOf::Nothing("no capacity".into()));
    assert_eq!(
        of("awake", "700 export ann; 710 notbackedup 700"),
        LinkOf::Nothing("the disk is full".into())
    );
    assert_eq!(
        of("awake", "700 export ann; 710 gone oom"),
        LinkOf::Nothing("its task ran out of memory".into())
    );
}

#[test]
fn the_last_archive_of_a_deleted_world_is_kept_for_30_days() {
    after(
        "deleting",
        "1001 erased; 2592000 tick; 2593001 tick; 2593002 removed a1",
        expect![[r#"
        1001 erased: deleted for ann, due 2593001 | tell deleted
        2592000 tick: =
        2593001 tick: deleted for ann | tell deleted, remove archive a1
        2593002 removed a1: deleted for ann | tell deleted
    "#]],
    );
}

// The archive.

#[test]
fn an_uploaded_archive_is_still_checked_after_the_task_is_gone() {
    after(
        "uploaded",
        "861 gone; 862 checked a1; 863 gone",
        expect![[r#"
            861 gone: =
            862 checked a1: ending t1, saved and archived, asked for by bob, due 1102 | end t1, observe t1 | order: end
            863 gone: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn an_archive_that_is_not_whole_is_uploaded_again() {
    after(
        "uploaded",
        "870 unwhole a1; 875 uploaded a1; 876 checked a1; 900 uploaded a2; 901 checked a1;
         902 checked a2",
        expect![[r#"
            870 unwhole a1: rejected a1, asked for by bob, due 11670 | observe t1, tell stopping, remove archive a1 | order: upload again, not a1
            875 uploaded a1: =
            876 checked a1: =
            900 uploaded a2: uploaded a2, asked for by bob, due 1800 | check a2, tell stopping, remove archive a1 | order: stop
            901 checked a1: =
            902 checked a2: ending t1, saved and archived, asked for by bob, due 1142 | end t1, observe t1, remove archive a1 | order: end
        "#]],
    );
}

/// Each try has a deadline of its own; how many there are is bounded by the watchdog, which gives up.
#[test]
fn an_archive_that_is_never_whole_is_uploaded_as_often_as_the_watchdog_tries() {
    after(
        "rejected",
        "880 uploaded a2; 890 unwhole a2; 9000 uploaded a3; 9010 unwhole a3; 9020 unarchived",
        expect![[r#"
            880 uploaded a2: uploaded a2, asked for by bob, due 1780 | check a2, tell stopping, remove archive a1 | order: stop
            890 unwhole a2: rejected a2, asked for by bob, due 11690 | observe t1, tell stopping, remove archive a1, remove archive a2 | order: upload again, not a2
            9000 uploaded a3: uploaded a3, asked for by bob, due 9900 | check a3, tell stopping, remove archive a1, remove archive a2 | order: stop
            9010 unwhole a3: rejected a3, asked for by bob, due 19810 | observe t1, tell stopping, remove archive a1, remove archive a2, remove archive a3 | order: upload again, not a3
            9020 unarchived: ending t1, stopped, asked for by bob, but not archived: the disk is full; its files are in its directory, due 9260 | end t1, observe t1, remove archive a1, remove archive a2, remove archive a3 | order: end
        "#]],
    );
}

#[test]
fn a_watchdog_that_gives_up_on_archiving_leaves_the_files_where_they_are() {
    after(
        "saved",
        "850 unarchived; 860 gone; 861 delete ann valhalla",
        expect![[r#"
            850 unarchived: ending t1, stopped, asked for by bob, but not archived: the disk is full; its files are in its directory, due 1090 | end t1, observe t1 | order: end
            860 gone: asleep: stopped, asked for by bob, but not archived: the disk is full; its files are in its directory | tell asleep | order: abandon
            861 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        "#]],
    );
    after(
        "rejected",
        "880 unarchived",
        expect![[r#"
            880 unarchived: ending t1, stopped, asked for by bob, but not archived: the disk is full; its files are in its directory, due 1120 | end t1, observe t1, remove archive a1 | order: end
        "#]],
    );
}

/// The host gives a task no time to wait for the check, which does not need it.
#[test]
fn what_has_arrived_is_checked_though_its_watchdog_has_given_up() {
    after(
        "uploaded",
        "865 unarchived; 866 gone; 867 checked a1",
        expect![[r#"
        865 unarchived: =
        866 gone: =
        867 checked a1: ending t1, saved and archived, asked for by bob, due 1107 | end t1, observe t1 | order: end
    "#]],
    );
    after(
        "uploaded",
        "865 unarchived; 1760 tick; 1761 removed a1",
        expect![[r#"
            865 unarchived: =
            1760 tick: ending t1, stopped, asked for by bob, but not archived: the archive was not confirmed in time; its files are in its directory, due 2000 | end t1, observe t1, remove archive a1 | order: end
            1761 removed a1: ending t1, stopped, asked for by bob, but not archived: the archive was not confirmed in time; its files are in its directory, due 2000 | end t1, observe t1
        "#]],
    );
}

#[test]
fn a_game_that_ended_by_itself_and_was_never_archived_keeps_its_files() {
    after(
        "asleep",
        "1000 start ann; 1001 launched; 1002 claimed; 1003 began ended; 1004 saved missing;
         1005 uploaded a2; 1006 unwhole a2; 1007 unarchived; 1008 gone",
        expect![[r#"
            1000 start ann: launching, due 1180 | launch 2, tell waking for ann | order: run
            1001 launched: launched t2, due 1481 | observe t2, tell waking for ann
            1002 claimed: claimed by t2, due 2802
            1003 began ended: saving, since the game ended by itself (exit code 1), due 1603 | observe t2, tell stopping | order: stop
            1004 saved missing: saved (unproven: the save files are old), since the game ended by itself (exit code 1), due 11804
            1005 uploaded a2: uploaded a2, since the game ended by itself (exit code 1), due 1905 | check a2, tell stopping
            1006 unwhole a2: rejected a2, since the game ended by itself (exit code 1), due 11806 | observe t2, tell stopping, remove archive a2 | order: upload again, not a2
            1007 unarchived: ending t2, stopped, since the game ended by itself (exit code 1), but not archived: the disk is full; its files are in its directory, due 1247 | end t2, observe t2, remove archive a2 | order: end
            1008 gone: asleep: stopped, since the game ended by itself (exit code 1), but not archived: the disk is full; its files are in its directory | tell asleep, remove archive a2 | order: abandon
        "#]],
    );
}

// The time is over.

/// Found by the simulation (seed 8685 of its fourth version): when everything was back, somebody looked at the clock before any
/// watchdog could say what it had done meanwhile.
#[test]
fn regression_a_control_plane_that_was_away_first_hears_what_it_has_missed() {
    after(
        "claimed",
        "5000 tick; 5010 ready",
        expect![[r#"
        5000 tick: claimed by t1, due 5420
        5010 ready: awake, players unknown: not looked yet, due 48510 | observe t1, tell awake
    "#]],
    );
    after(
        "saving",
        "5000 tick; 5010 saved fresh",
        expect![[r#"
        5000 tick: saving, asked for by bob, due 5420
        5010 saved fresh: saved (fresh), asked for by bob, due 15810
    "#]],
    );
    after(
        "saving",
        "5000 tick; 5419 tick; 5420 tick",
        expect![[r#"
        5000 tick: saving, asked for by bob, due 5420
        5419 tick: =
        5420 tick: ending t1, the last launch was lost: the save was not confirmed in time; its files are in its directory, due 5660 | end t1, observe t1 | order: end
    "#]],
    );
    after(
        "uploaded",
        "5000 tick",
        expect![[r#"
            5000 tick: uploaded a1, asked for by bob, due 5420
        "#]],
    );
}

#[test]
fn every_situation_has_its_deadline_and_what_happens_then() {
    let mut story = String::new();
    for (name, _, _) in SITUATIONS {
        let (world, _) = situation(name);
        let Some(deadline) = world.deadline() else { continue };
        let just_before = step(&world, Event::Tick, deadline - Duration::from_secs(1));
        assert_eq!(just_before.as_ref(), Ok(&world), "{name} does not wait until its deadline");
        let late = step(&world, Event::Tick, deadline).unwrap();
        story += &format!("{name} at {}: {}\n", second(deadline), state(&late));
    }
    expect![[r#"
        launching at 180: ending an unnamed task, the last start failed: no task could be started in time, due 420
        launched at 481: ending t1, the last start failed: its task was started but its watchdog was never heard of, due 721
        claimed at 1830: asked to stop, since the game was not ready in time, due 2010
        awake at 43590: awake, players unknown: its watchdog is asked for how long it has been awake, due 44190
        warned at 43590: awake, players unknown: its watchdog is asked for how long it has been awake, due 44190
        kept at 43590: awake, players unknown: its watchdog is asked for how long it has been awake, kept until 3700 by ann, due 44190
        asked at 980: ending t1, the last launch was lost: the save was not confirmed in time; its files are in its directory, due 1220
        asked+again at 980: ending t1, the last launch was lost: the save was not confirmed in time; its files are in its directory, then started for cyd, due 1220
        saving at 1410: ending t1, the last launch was lost: the save was not confirmed in time; its files are in its directory, due 1650
        saved at 11640: ending t1, stopped, asked for by bob, but not archived: the archive was not confirmed in time; its files are in its directory, due 11880
        saved+again at 11640: ending t1, stopped, asked for by bob, but not archived: the archive was not confirmed in time; its files are in its directory, then started for cyd, due 11880
        uploaded at 1760: ending t1, stopped, asked for by bob, but not archived: the archive was not confirmed in time; its files are in its directory, due 2000
        rejected at 11670: ending t1, stopped, asked for by bob, but not archived: the archive was not confirmed in time; its files are in its directory, due 11910
        ending at 1110: ending t1, saved and archived, asked for by bob, due 1170
        ending+again at 1110: ending t1, saved and archived, asked for by bob, then started for cyd, due 1170
        killing at 1170: ending t1, saved and archived, asked for by bob, due 1230
        unnamed at 245: asleep: bob put it back to sleep before it was awake
        unnamed+again at 245: launching, due 425
        backing up at 43590: awake, players unknown: its watchdog is asked for how long it has been awake, archive wanted (asked for by bob), due 44190
        backup uploaded at 43590: awake, players unknown: its watchdog is asked for how long it has been awake, archive b1 uploaded, due 44190
        errand launching at 1180: ending an unnamed task, it was not restored from archive a1 and is as it was: no task could be started in time, due 1420
        errand launched at 1481: ending t2, it was not restored from archive a1 and is as it was: its task was started but its watchdog was never heard of, due 1721
        errand saved at 11810: ending t2, it was not restored from archive a1 and is as it was: the archive was not confirmed in time, due 12050
        errand uploaded at 1920: ending t2, it was not restored from archive a1 and is as it was: the archive was not confirmed in time, due 2160
        errand filling at 11830: ending t2, the last launch was lost: its directory was not filled in time; its files are in its directory, due 12070
        importing at 10830: ending t1, the last launch was lost: its directory was not filled in time; its files are in its directory, due 11070
        in its archive at 1381: ending t3, the last start failed: its task was started but its watchdog was never heard of, due 1621
        filling at 11730: ending t3, the last start failed: its directory was not filled in time, due 11970
        errand in its archive at 1381: ending t3, it was not restored from archive a1 and is as it was: its task was started but its watchdog was never heard of, due 1621
        deleting at 1060: deleting for ann, due 1120
        deleted at 2593001: deleted for ann
    "#]].assert_eq(&story);
}

#[test]
fn a_task_that_does_not_end_is_killed_and_killed_again_until_it_is_gone() {
    after(
        "ending",
        "1109 tick; 1110 tick; 1111 tick; 1170 tick; 1230 tick; 1235 gone",
        expect![[r#"
            1109 tick: =
            1110 tick: ending t1, saved and archived, asked for by bob, due 1170 | kill t1, observe t1
            1111 tick: =
            1170 tick: ending t1, saved and archived, asked for by bob, due 1230
            1230 tick: ending t1, saved and archived, asked for by bob, due 1290
            1235 gone: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_launch_that_nobody_hears_of_is_given_up() {
    after(
        "launching",
        "180 tick; 419 tick; 420 tick",
        expect![[r#"
            180 tick: ending an unnamed task, the last start failed: no task could be started in time, due 420 | find launch 1 | order: end
            419 tick: =
            420 tick: asleep: the last start failed: no task could be started in time | tell asleep | order: abandon
        "#]],
    );
}

#[test]
fn a_game_that_does_not_get_ready_is_stopped_in_good_order() {
    after(
        "claimed",
        "1830 tick; 1831 began left; 1840 saved untouched; 1850 uploaded a1; 1851 checked a1;
         1860 gone",
        expect![[r#"
            1830 tick: asked to stop, since the game was not ready in time, due 2010 | observe t1, tell stopping | order: stop
            1831 began left: saving, since the game was not ready in time, due 2431
            1840 saved untouched: saved (untouched), since the game was not ready in time, due 12640
            1850 uploaded a1: uploaded a1, since the game was not ready in time, due 2750 | check a1, tell stopping
            1851 checked a1: ending t1, saved and archived, since the game was not ready in time, due 2091 | end t1, observe t1 | order: end
            1860 gone: asleep: saved and archived, since the game was not ready in time | tell asleep | order: abandon
        "#]],
    );
}

// The start failed.

#[test]
fn a_launch_that_the_runtime_refuses_is_over_at_once() {
    after(
        "launching",
        "2 unlaunchable; 3 start bob",
        expect![[r#"
            2 unlaunchable: asleep: the last start failed: no capacity | tell asleep | order: abandon
            3 start bob: launching, due 183 | launch 2, tell waking for bob | order: run
        "#]],
    );
}

#[test]
fn a_game_that_cannot_be_started_says_why() {
    after(
        "launched",
        "20 startfailed; 25 gone",
        expect![[r#"
            20 startfailed: ending t1, the last start failed: the mod loader is missing, due 260 | end t1, observe t1 | order: end
            25 gone: asleep: the last start failed: the mod loader is missing | tell asleep | order: abandon
        "#]],
    );
    after(
        "claimed",
        "60 startfailed; 65 gone",
        expect![[r#"
            60 startfailed: ending t1, the last start failed: the mod loader is missing, due 300 | end t1, observe t1 | order: end
            65 gone: asleep: the last start failed: the mod loader is missing | tell asleep | order: abandon
        "#]],
    );
    after(
        "launching",
        "1 startfailed; 2 launched; 3 gone",
        expect![[r#"
            1 startfailed: ending an unnamed task, the last start failed: the mod loader is missing, due 241 | find launch 1 | order: end
            2 launched: ending t1, the last start failed: the mod loader is missing, due 241 | end t1, observe t1
            3 gone: asleep: the last start failed: the mod loader is missing | tell asleep | order: abandon
        "#]],
    );
}

// Deleting.

#[test]
fn only_a_sleeping_world_is_deleted() {
    for (name, _, _) in SITUATIONS {
        let (world, second) = situation(name);
        let deleted = step(&world, event("delete ann valhalla", &world), at(second + 1));
        let asleep = matches!(world.state, State::Asleep | State::Deleting { .. } | State::Deleted { .. });
        assert!(asleep || deleted.is_err(), "{name}");
    }
    after(
        "awake",
        "300 delete ann valhalla",
        expect![[r#"
            300 delete ann valhalla: refused: `valhalla` is not asleep (stop it first: `world stop valhalla`)
        "#]],
    );
}

#[test]
fn deleting_wants_the_name_once_more() {
    after(
        "asleep",
        "1000 delete ann valhala; 1001 delete ann Valhalla",
        expect![[r#"
            1000 delete ann valhala: refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
            1001 delete ann Valhalla: refused: deleting `valhalla` removes its files (confirm by its name: `world delete valhalla --confirm valhalla`)
        "#]],
    );
}

#[test]
fn a_world_whose_newest_state_is_not_archived_is_not_deleted() {
    after(
        "lost",
        "1000 delete ann valhalla",
        expect![[r#"
            1000 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        "#]],
    );
    after(
        "unsaved",
        "1000 delete ann valhalla",
        expect![[r#"
            1000 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        "#]],
    );
}

#[test]
fn a_world_that_was_archived_but_then_played_and_lost_is_not_deleted() {
    after(
        "asleep",
        "1000 start ann; 1001 launched; 1030 claimed; 1090 ready; 1100 gone oom;
         1200 delete ann valhalla",
        expect![[r#"
            1000 start ann: launching, due 1180 | launch 2, tell waking for ann | order: run
            1001 launched: launched t2, due 1481 | observe t2, tell waking for ann
            1030 claimed: claimed by t2, due 2830
            1090 ready: awake, players unknown: not looked yet, due 44590 | observe t2, tell awake
            1100 gone oom: asleep: the last launch was lost: its task ran out of memory; its files are in its directory | tell asleep | order: abandon
            1200 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world backup valhalla` makes an archive)
        "#]],
    );
}

#[test]
fn an_archived_world_is_deleted_and_stays_so() {
    after(
        "asleep",
        "1000 delete ann valhalla; 1010 delete bob valhalla; 1060 tick; 1061 erased;
         1062 erased; 1063 delete bob x",
        expect![[r#"
            1000 delete ann valhalla: deleting for ann, due 1060 | erase
            1010 delete bob valhalla: =
            1060 tick: deleting for ann, due 1120
            1061 erased: deleted for ann, due 2593061 | tell deleted
            1062 erased: =
            1063 delete bob x: =
        "#]],
    );
}

#[test]
fn a_world_that_was_never_played_is_deleted_without_an_archive() {
    after(
        "new",
        "1 delete ann valhalla; 2 erased",
        expect![[r#"
            1 delete ann valhalla: deleting for ann, due 61 | erase
            2 erased: deleted for ann | tell deleted
        "#]],
    );
    after(
        "failed",
        "10 delete ann valhalla",
        expect![[r#"
            10 delete ann valhalla: deleting for ann, due 70 | erase
        "#]],
    );
}

#[test]
fn a_deleted_world_refuses_everything() {
    for name in ["deleting", "deleted"] {
        let (deleted, _) = situation(name);
        for wish in ["start bob", "stop bob", "keep bob 5000"] {
            let refusal = step(&deleted, event(wish, &deleted), at(2000)).unwrap_err();
            assert_eq!(refusal.to_string(), "`valhalla` is deleted", "{name}: {wish}");
        }
    }
    after(
        "deleted",
        "2000 start bob; 2001 claimed; 2002 tick",
        expect![[r#"
            2000 start bob: refused: `valhalla` is deleted (its last archive is kept for 30 days; create a new world under this name)
            2001 claimed: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            2002 tick: =
        "#]],
    );
}

// Old launches, and a second task.

#[test]
fn reports_of_an_old_launch_are_refused_and_its_watchdog_is_told_to_abandon() {
    after(
        "asleep",
        "1000 start bob; 1001 ready @1; 1002 launched; 1003 claimed @1; 1004 seen 3 @1; 1005 gone oom @1; 1006 uploaded a1 @1",
        expect![[r#"
            1000 start bob: launching, due 1180 | launch 2, tell waking for bob | order: run
            1001 ready @1: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end) | order: abandon
            1002 launched: launched t2, due 1482 | observe t2, tell waking for bob
            1003 claimed @1: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end) | order: abandon
            1004 seen 3 @1: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end) | order: abandon
            1005 gone oom @1: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end) | order: abandon
            1006 uploaded a1 @1: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end) | order: abandon
        "#]],
    );
}

#[test]
fn reports_of_a_launch_that_is_over_are_refused_and_its_watchdog_is_told_to_abandon() {
    after(
        "lost",
        "900 seen 2 @1",
        expect![[r#"
            900 seen 2 @1: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end) | order: abandon
        "#]],
    );
}

/// The runtime may run two tasks for one launch; the one that holds the world's lock is the task of the world.
#[test]
fn the_task_that_claims_the_world_is_its_task() {
    after(
        "launched",
        "30 claimed t8; 31 gone exited t1; 32 ready; 33 gone oom t8",
        expect![[r#"
            30 claimed t8: claimed by t8, due 1830 | observe t8, tell waking for ann
            31 gone exited t1: =
            32 ready: awake, players unknown: not looked yet, due 43532 | observe t8, tell awake
            33 gone oom t8: asleep: the last launch was lost: its task ran out of memory; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
}

/// A later claim of another task changes nothing, and the sweep ends that task. Its other reports are not told apart
/// from those of the world's task: only the lock on the directory keeps it from writing.
#[test]
fn another_task_of_the_same_launch_that_claims_later_is_not_taken() {
    after(
        "claimed",
        "40 claimed t8; 50 ready",
        expect![[r#"
            40 claimed t8: =
            50 ready: awake, players unknown: not looked yet, due 43550 | observe t1, tell awake
        "#]],
    );
    after(
        "awake",
        "300 claimed t8; 301 gone exited t8",
        expect![[r#"
            300 claimed t8: =
            301 gone exited t8: =
        "#]],
    );
}

// How a story is told.

/// Plays `script` on the world in the situation `name` and compares what is told of it.
#[track_caller]
fn after(name: &str, script: &str, expected: Expect) {
    expected.assert_eq(&tell(situation(name).0, script));
}

/// Plays `script` on the world in the situation `name` and expects nothing of it.
#[track_caller]
fn changes_nothing(name: &str, script: &str) {
    let story = tell(situation(name).0, script);
    assert!(story.ends_with(": =\n"), "{name}: {story}");
}

/// Plays `script` on a new world and compares what is told of it.
#[track_caller]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&tell(world(), script));
}

/// Lets the same event happen in every situation and compares what becomes of each.
#[track_caller]
fn in_every_situation(text: &str, expected: Expect) {
    let mut story = String::new();
    for (name, _, _) in SITUATIONS {
        let (world, second) = situation(name);
        let line = line(&world, text, at(second + 1)).0;
        story += &format!("{name}: {line}\n");
    }
    expected.assert_eq(&story);
}

fn tell(mut world: World, script: &str) -> String {
    let mut story = String::new();
    for (second, text) in steps(script) {
        let (line, next) = line(&world, text, at(second));
        story += &format!("{second} {text}: {line}\n");
        world = next;
    }
    story
}

/// Lets the event happen and returns what is told of it, and the world after it.
fn line(before: &World, text: &str, now: Timestamp) -> (String, World) {
    let event = event(text, before);
    let stale = text.split_once(" @").map(|(_, g)| Generation(g.parse().unwrap()));
    let after = match step(before, event, now) {
        Ok(after) => after,
        Err(refusal) => {
            let told = stale.map_or(String::new(), |g| format!(" | {}", order(&orders(before, g))));
            return (format!("refused: {refusal} ({}){told}", refusal.hint()), before.clone());
        }
    };
    let mut told = vec![if after == *before { "=".into() } else { state(&after) }];
    if effects(&after) != effects(before) {
        told.push(effects(&after).iter().map(effect).collect::<Vec<_>>().join(", "));
    }
    if orders(&after, after.generation) != orders(before, before.generation) {
        told.push(order(&orders(&after, after.generation)));
    }
    (told.join(" | "), after)
}

fn state(world: &World) -> String {
    let due = world.deadline().map_or(String::new(), |at| format!(", due {}", second(at)));
    let last = world.last.as_ref().map_or("never played".into(), |last| words::outcome(&last.outcome));
    match &world.state {
        State::Asleep => format!("asleep: {last}"),
        State::Starting { step: StartStep::Launching, .. } => format!("launching{due}"),
        State::Starting { step: StartStep::Launched { task }, .. } => format!("launched {task}{due}"),
        State::Starting { step: StartStep::Filling { task }, .. } => format!("filled by {task}{due}"),
        State::Starting { step: StartStep::Claimed { task }, .. } => format!("claimed by {task}{due}"),
        State::Awake { heard, keep, backup, .. } => {
            let backup = backup.as_ref().map_or(String::new(), |b| match &b.step {
                BackupStep::Wanted => format!(", archive wanted ({})", words::kept_why(&b.why)),
                BackupStep::Uploaded(archive) => format!(", archive {} uploaded", archive.id),
                BackupStep::Done(id) => format!(", archive {id} made"),
                BackupStep::Failed(why) => format!(", no archive: {why}"),
            });
            let stops = heard.stops_at.map_or(String::new(), |at| format!(", stops at {}", second(at)));
            let kept = keep.as_ref().map_or(String::new(), |(asked, until)| {
                format!(", kept until {} by {}", second(*until), asked.by)
            });
            format!("awake, {}{stops}{kept}{backup}{due}", heard.players)
        }
        State::Stopping { why, step, then, .. } => {
            format!("{}, {}{}{due}", stop_step(step), words::stop_why(why), what_follows(then))
        }
        State::Ending { task, outcome, then, .. } => {
            let task = task.as_ref().map_or("an unnamed task".into(), ToString::to_string);
            format!("ending {task}, {}{}{due}", words::outcome(outcome), what_follows(then))
        }
        State::Deleting { asked, .. } => format!("deleting for {}{due}", asked.by),
        State::Deleted { asked, .. } => format!("deleted for {}{due}", asked.by),
    }
}

fn stop_step(step: &StopStep) -> String {
    match step {
        StopStep::Asked => "asked to stop".into(),
        StopStep::Saving => "saving".into(),
        StopStep::Saved(proof) => format!("saved ({})", proven(proof)),
        StopStep::Uploaded(_, archive) => format!("uploaded {}", archive.id),
        StopStep::Rejected(_, id) => format!("rejected {id}"),
        StopStep::Filling => "to be filled".into(),
    }
}

fn what_follows(then: &Then) -> String {
    match then {
        Then::Sleep => String::new(),
        Then::Start(asked) => format!(", then started for {}", asked.by),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Launch(generation) => format!("launch {generation}"),
        Effect::Observe(_, task) => format!("observe {task}"),
        Effect::Find(generation) => format!("find launch {generation}"),
        Effect::End(task, Force::Gentle) => format!("end {task}"),
        Effect::End(task, Force::Kill) => format!("kill {task}"),
        Effect::Check(_, archive) => format!("check {}", archive.id),
        Effect::Erase => "erase".into(),
        Effect::Tell(notice) => format!("tell {}", told(notice)),
        Effect::Remove(Litter::Archive(id)) => format!("remove archive {id}"),
        Effect::Remove(Litter::Import(id)) => format!("discard upload {id}"),
    }
}

fn proven(proof: &Proof) -> String {
    match proof {
        Proof::Fresh => "fresh".into(),
        Proof::Untouched => "untouched".into(),
        Proof::Missing(why) => format!("unproven: {why}"),
    }
}

fn told(notice: &Notice) -> String {
    match notice {
        Notice::Waking(asked) => format!("waking for {}", asked.by),
        Notice::Working(errand, asked) => format!("{errand:?} for {}", asked.by),
        Notice::Awake(_) => "awake".into(),
        Notice::Warned(at) => format!("warned of {}", second(*at)),
        Notice::CapNear(at) => format!("cap at {}", second(*at)),
        Notice::AllAway(at) => format!("all away, sleeps at {}", second(*at)),
        Notice::Stopping(_) => "stopping".into(),
        Notice::Asleep(_) => "asleep".into(),
        Notice::Deleted => "deleted".into(),
    }
}

fn order(orders: &Orders) -> String {
    match orders {
        Orders::Run { keep_until, backup } => {
            let kept = keep_until.map_or(String::new(), |at| format!(", kept until {}", second(at)));
            let backup = backup.map_or(String::new(), |at| format!(", archive of {}", second(at)));
            format!("order: run{kept}{backup}")
        }
        Orders::Fill => "order: fill".into(),
        Orders::Stop(_) => "order: stop".into(),
        Orders::UploadAgain(id) => format!("order: upload again, not {id}"),
        Orders::End(Files::Stay) => "order: end".into(),
        Orders::End(Files::Go) => "order: end, clear".into(),
        Orders::Abandon => "order: abandon".into(),
    }
}

/// Returns the second of the story.
fn second(moment: Timestamp) -> i64 {
    moment.duration_since(at(0)).as_secs()
}
