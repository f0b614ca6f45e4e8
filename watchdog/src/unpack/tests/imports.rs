//! What of an upload is the world.

use std::{fmt::Write as _, fs};

use domain::{game::Game, world::GameId};
use expect_test::{Expect, expect};

use super::{
    Lab,
    forge::{Spec, listed, ours, zip},
    walk,
};
use crate::unpack::{
    Limits,
    import::{import, restore},
};

fn game(id: &str) -> Game {
    games::Catalogue::embedded().unwrap().get(&GameId::parse(id).unwrap()).unwrap().game.clone()
}

/// Imports each upload of these files into a world of a game, and tells what was found and what is there then.
fn check(id: &str, uploads: &[&str], expected: Expect) {
    let mut text = String::new();
    for upload in uploads {
        let specs: Vec<_> = upload.split_whitespace().map(|name| Spec::file(name, name)).collect();
        writeln!(text, "{}", imported(&game(id), &zip(&specs))).unwrap();
    }
    expected.assert_eq(&text);
}

fn imported(game: &Game, archive: &[u8]) -> String {
    let lab = Lab::new();
    match import(&lab.file(archive), &lab.to(), game, &Limits::import(1 << 20), &mut || Ok(())) {
        Ok((_, found)) => {
            let (root, marker) = (found.root.display(), found.marker.display());
            format!("`{root}` by `{marker}`, {} files, {} bytes: {}", found.files, found.bytes, tree(&lab))
        }
        Err(error) => error.to_string(),
    }
}

/// Returns each file of the tree, with its content where that tells what it was called before.
fn tree(lab: &Lab) -> String {
    let mut names = Vec::new();
    for path in walk(&lab.to()) {
        let name = path.strip_prefix(lab.to()).unwrap().display().to_string();
        if path.is_dir() {
            names.push(format!("{name}/"));
        } else {
            let content = fs::read_to_string(&path).unwrap();
            names.push(if content.ends_with(&name) { name } else { format!("{name}={content}") });
        }
    }
    names.join(" ")
}

#[test]
fn the_directory_with_the_marker_is_taken_wherever_it_is() {
    check(
        "luanti",
        &[
            "world.mt map.sqlite players/ann",
            "home/world.mt home/map.sqlite notes.txt",
            "world/world.mt world/map.sqlite minetest.conf",
            "a/b/c/world.mt a/b/c/old/world.mt a/b/d/e/f/world.mt",
            "x/world.mt/no x/y/world.mt",
            ".aside/world.mt .aside_/x",
            "world/world/world.mt world/x",
        ],
        expect![[r#"
            `` by `world.mt`, 3 files, 29 bytes: world/ world/map.sqlite=map.sqlite world/players/ world/players/ann=players/ann world/world.mt=world.mt
            `home` by `home/world.mt`, 2 files, 28 bytes: world/ world/map.sqlite=home/map.sqlite world/world.mt=home/world.mt
            `world` by `world/world.mt`, 2 files, 30 bytes: world/ world/map.sqlite world/world.mt
            `a/b/c` by `a/b/c/world.mt`, 2 files, 32 bytes: world/ world/old/ world/old/world.mt=a/b/c/old/world.mt world/world.mt=a/b/c/world.mt
            `x/y` by `x/y/world.mt`, 1 files, 12 bytes: world/ world/world.mt=x/y/world.mt
            `.aside` by `.aside/world.mt`, 1 files, 15 bytes: world/ world/world.mt=.aside/world.mt
            `world/world` by `world/world/world.mt`, 1 files, 20 bytes: world/ world/world.mt
        "#]],
    );
}

#[test]
fn none_or_several_worlds_are_told_with_what_was_found() {
    check(
        "luanti",
        &["", "world.mtx notes/a notes/b", "a/world.mt b/world.mt", "a b c d e f g h i j k l"],
        expect![[r#"
            it holds no `world.mt`, which the directory of a world has; it holds nothing
            it holds no `world.mt`, which the directory of a world has; it holds `notes`, `world.mtx`
            it holds more than one world: `world.mt` is in `a`, `b`; pack one of them alone
            it holds no `world.mt`, which the directory of a world has; it holds `a`, `b`, `c`, `d`, `e`, `f`, `g`, `h`, `i`, `j` and 2 more
        "#]],
    );
}

#[test]
fn any_save_of_openttd_will_do() {
    check(
        "openttd",
        &["one.sav two.sav", "save/one.sav save/autosave/exit.sav openttd.cfg", "__MACOSX/._one.sav x/.sav"],
        expect![[r#"
            `` by `one.sav`, 2 files, 14 bytes: save/ save/one.sav=one.sav save/two.sav=two.sav
            `save` by `save/one.sav`, 2 files, 34 bytes: save/ save/autosave/ save/autosave/exit.sav save/one.sav
            it holds no `*.sav`, which the directory of a world has; it holds `__MACOSX`, `x`
        "#]],
    );
}

#[test]
fn a_world_of_valheim_is_a_pair_and_gets_the_name_that_the_server_asks_for() {
    check(
        "valheim",
        &[
            "Home.fwl Home.db Home.db.old Other.db server.env",
            "worlds_local/world.fwl worlds_local/world.db",
            "Home.fwl",
            "Home.fwl Home.db Home_backup.fwl Home_backup.db",
            "Home.fwl Home.db world.db",
        ],
        expect![[r#"
            `` by `Home.fwl`, 5 files, 44 bytes: worlds_local/ worlds_local/Other.db=Other.db worlds_local/server.env=server.env worlds_local/world.db=Home.db worlds_local/world.db.old=Home.db.old worlds_local/world.fwl=Home.fwl
            `worlds_local` by `worlds_local/world.fwl`, 2 files, 43 bytes: worlds_local/ worlds_local/world.db worlds_local/world.fwl
            `Home.db` is missing beside `Home.fwl`; pack both
            it holds more than one world: `Home.fwl`, `Home_backup.fwl`; pack one of them alone
            `Home.db` would have the name of another file; pack one world alone
        "#]],
    );
}

#[test]
fn an_archive_of_ours_is_taken_whole_if_it_is_of_this_game() {
    let specs = ["world/world.mt", "minetest.conf", ".minetest/cache"].map(|name| Spec::file(name, name));
    let lines = specs.clone().map(|spec| listed(&spec));
    let archive = ours(&specs, &lines);
    let told = ["luanti", "openttd"].map(|id| imported(&game(id), &archive));
    expect![[r#"
        `` by `.dormouse/manifest.json`, 3 files, 42 bytes: minetest.conf world/ world/world.mt
        it is an archive of a world of `luanti`, not of openttd: import it into one of that game"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_game_without_rules_takes_archives_of_ours_alone() {
    let game = Game { import: None, ..game("luanti") };
    let specs = [Spec::file("world.mt", "")];
    let told = [zip(&specs), ours(&specs, &[listed(&specs[0])])].map(|archive| imported(&game, &archive));
    expect![[r#"
        only archives made by Dormouse can be imported for luanti: its catalogue entry has no [import]
        `` by `.dormouse/manifest.json`, 1 files, 0 bytes: world.mt="#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_restore_takes_the_whole_archive_but_what_archives_leave_out() {
    let lab = Lab::new();
    let specs = ["world/world.mt", "minetest.conf", ".minetest/cache"].map(|name| Spec::file(name, name));
    let limits = Limits::restore(1 << 20);
    restore(&lab.file(&zip(&specs)), &lab.to(), &game("luanti"), &limits, &mut || Ok(())).unwrap();
    assert_eq!(tree(&lab), "minetest.conf world/ world/world.mt");
}
