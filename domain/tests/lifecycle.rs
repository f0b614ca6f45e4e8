//! What happens to a world, told as stories: a script goes in, and what the world did, asked for and ordered comes out.
//!
//! A line of a story reads `second event: state, due second | effects | orders`. `=` is a world that did not change;
//! effects and orders stand there only when they have changed. See `situations` for the scripts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod situations;

use std::time::Duration;

use domain::{
    Timestamp,
    effect::{Effect, Notice, Orders, effects, orders},
    event::Event,
    lifecycle::step,
    words,
    world::{Force, Generation, Proof, StartStep, State, StopStep, Then, World},
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
            rejected: asleep: stopped, asked for by bob, but not archived: its task broke down: exit code 139; its files are in its directory | tell asleep | order: abandon
            ending: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
            ending+again: launching, due 1052 | launch 2, tell waking for cyd | order: run
            killing: asleep: saved and archived, asked for by bob | tell asleep | order: abandon
            unnamed: =
            unnamed+again: =
            asleep: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            failed: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            lost: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
            unsaved: refused: launch 1 of `valhalla` is not the current one (the watchdog of that launch shall end)
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
            870 unwhole a1: rejected a1, asked for by bob, due 11670 | observe t1, tell stopping | order: upload again, not a1
            875 uploaded a1: =
            876 checked a1: =
            900 uploaded a2: uploaded a2, asked for by bob, due 1800 | check a2, tell stopping | order: stop
            901 checked a1: =
            902 checked a2: ending t1, saved and archived, asked for by bob, due 1142 | end t1, observe t1 | order: end
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
            880 uploaded a2: uploaded a2, asked for by bob, due 1780 | check a2, tell stopping | order: stop
            890 unwhole a2: rejected a2, asked for by bob, due 11690 | observe t1, tell stopping | order: upload again, not a2
            9000 uploaded a3: uploaded a3, asked for by bob, due 9900 | check a3, tell stopping | order: stop
            9010 unwhole a3: rejected a3, asked for by bob, due 19810 | observe t1, tell stopping | order: upload again, not a3
            9020 unarchived: ending t1, stopped, asked for by bob, but not archived: the disk is full; its files are in its directory, due 9260 | end t1, observe t1 | order: end
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
            861 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world start valhalla` and `world stop valhalla` make an archive)
        "#]],
    );
    after(
        "rejected",
        "880 unarchived",
        expect![[r#"
            880 unarchived: ending t1, stopped, asked for by bob, but not archived: the disk is full; its files are in its directory, due 1120 | end t1, observe t1 | order: end
        "#]],
    );
    after(
        "uploaded",
        "865 unarchived",
        expect![[r#"
            865 unarchived: ending t1, stopped, asked for by bob, but not archived: the disk is full; its files are in its directory, due 1105 | end t1, observe t1 | order: end
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
            1006 unwhole a2: rejected a2, since the game ended by itself (exit code 1), due 11806 | observe t2, tell stopping | order: upload again, not a2
            1007 unarchived: ending t2, stopped, since the game ended by itself (exit code 1), but not archived: the disk is full; its files are in its directory, due 1247 | end t2, observe t2 | order: end
            1008 gone: asleep: stopped, since the game ended by itself (exit code 1), but not archived: the disk is full; its files are in its directory | tell asleep | order: abandon
        "#]],
    );
}

// The time is over.

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
        awake at 43590: asked to stop, since it has run for its longest time, due 43770
        warned at 43590: asked to stop, since it has run for its longest time, due 43770
        kept at 43590: asked to stop, since it has run for its longest time, due 43770
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
        deleting at 1060: deleting for ann, due 1120
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
            1000 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world start valhalla` and `world stop valhalla` make an archive)
        "#]],
    );
    after(
        "unsaved",
        "1000 delete ann valhalla",
        expect![[r#"
            1000 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world start valhalla` and `world stop valhalla` make an archive)
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
            1200 delete ann valhalla: refused: the newest state of `valhalla` is in no checked archive, so it is not deleted (`world start valhalla` and `world stop valhalla` make an archive)
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
            1061 erased: deleted for ann | tell deleted
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
            2000 start bob: refused: `valhalla` is deleted (its archives are kept; create a new world under this name)
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
        State::Starting { step: StartStep::Claimed { task }, .. } => format!("claimed by {task}{due}"),
        State::Awake { heard, keep, .. } => {
            let stops = heard.stops_at.map_or(String::new(), |at| format!(", stops at {}", second(at)));
            let kept = keep.as_ref().map_or(String::new(), |(asked, until)| {
                format!(", kept until {} by {}", second(*until), asked.by)
            });
            format!("awake, {}{stops}{kept}{due}", heard.players)
        }
        State::Stopping { why, step, then, .. } => {
            format!("{}, {}{}{due}", stop_step(step), words::stop_why(why), what_follows(then))
        }
        State::Ending { task, outcome, then, .. } => {
            let task = task.as_ref().map_or("an unnamed task".into(), ToString::to_string);
            format!("ending {task}, {}{}{due}", words::outcome(outcome), what_follows(then))
        }
        State::Deleting { asked, .. } => format!("deleting for {}{due}", asked.by),
        State::Deleted { asked, .. } => format!("deleted for {}", asked.by),
    }
}

fn stop_step(step: &StopStep) -> String {
    match step {
        StopStep::Asked => "asked to stop".into(),
        StopStep::Saving => "saving".into(),
        StopStep::Saved(proof) => format!("saved ({})", proven(proof)),
        StopStep::Uploaded(_, archive) => format!("uploaded {}", archive.id),
        StopStep::Rejected(_, id) => format!("rejected {id}"),
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
        Notice::Awake(_) => "awake".into(),
        Notice::Warned(at) => format!("warned of {}", second(*at)),
        Notice::CapNear(at) => format!("cap at {}", second(*at)),
        Notice::Stopping(_) => "stopping".into(),
        Notice::Asleep(_) => "asleep".into(),
        Notice::Deleted => "deleted".into(),
    }
}

fn order(orders: &Orders) -> String {
    match orders {
        Orders::Run { keep_until: None } => "order: run".into(),
        Orders::Run { keep_until: Some(at) } => format!("order: run, kept until {}", second(*at)),
        Orders::Stop(_) => "order: stop".into(),
        Orders::UploadAgain(id) => format!("order: upload again, not {id}"),
        Orders::End => "order: end".into(),
        Orders::Abandon => "order: abandon".into(),
    }
}

/// Returns the second of the story.
fn second(moment: Timestamp) -> i64 {
    moment.duration_since(at(0)).as_secs()
}
