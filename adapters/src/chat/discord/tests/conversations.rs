//! What people read, from the first world to the last.

use domain::{
    event::{Event, Gone},
    world::{Generation, StopWhy},
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::table::{ANN, BOB, Table, command, seen, task};

fn check(answer: &Value, expected: Expect) {
    expected.assert_eq(&seen(answer));
}

#[tokio::test]
async fn a_ping_is_answered() {
    let mut table = Table::new();
    let ping = super::table::interaction(ANN, 1, json!({ "type": 1 }));
    assert_eq!(table.send(ping.to_string().as_bytes()).await.body, json!({ "type": 1 }));
}

#[tokio::test]
async fn a_world_is_made_by_whoever_manages_the_guild() {
    let mut table = Table::new();
    check(
        &table.command(BOB, "world list", &[]).await,
        expect![[r#"
        | Worlds
        | There are none yet; `/world create` makes one."#]],
    );
    let options = [("name", 3, json!("valhalla")), ("game", 3, json!("luanti"))];
    check(
        &table.command(BOB, "world create", &options).await,
        expect![[r#"
        (only you see this)
        `create` is for those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
    check(
        &table.command(ANN, "world create", &options).await,
        expect![[r#"
        `valhalla` is made, a world of Luanti; `/world start valhalla` wakes it.
        | valhalla — asleep
        | It was never played.
        | **Start** wakes it.
        | Asleep, it costs no more than its storage.
        | Luanti
        [Start] [Refresh]"#]],
    );
    check(
        &table.command(ANN, "world create", &options).await,
        expect![[r#"
        (only you see this)
        There is a world `valhalla` already.
        Choose another name, or delete that one first."#]],
    );
}

#[tokio::test]
async fn a_world_is_woken_and_says_how_far_it_is() {
    let mut table = Table::with_world().await;
    check(
        &table.on_valhalla(BOB, "world start").await,
        expect![[r#"
        Waking `valhalla`, about 1 min 30 s to go.
        | valhalla — waking
        | It is waking: bob\_\*the\*\_builder wanted it <t:1800000000:R>.
        | A task is being asked for.
        | Going by other times, players can join <t:1800000090:R>.
        | It costs money by the second until it sleeps.
        | Luanti
        [Stop] [Refresh]"#]],
    );
    table.now += 20;
    check(
        &table.on_valhalla(ANN, "world start").await,
        expect![[r#"
        `valhalla` is already waking, asked for by bob\_\*the\*\_builder 20 s ago, about 1 min 10 s to go.
        | valhalla — waking
        | It is waking: bob\_\*the\*\_builder wanted it <t:1800000000:R>.
        | A task is being asked for.
        | Going by other times, players can join <t:1800000090:R>.
        | It costs money by the second until it sleeps.
        | Luanti
        [Stop] [Refresh]"#]],
    );
    table.work().await;
    check(
        &table.on_valhalla(BOB, "world status").await,
        expect![[r#"
            | valhalla — waking
            | It is waking: bob\_\*the\*\_builder wanted it <t:1800000000:R>.
            | Its task is coming up.
            | Going by other times, players can join <t:1800000090:R>.
            | It costs money by the second until it sleeps.
            | Luanti
            [Stop] [Refresh]"#]],
    );
    let followers = table.world().await.talk.followers;
    assert_eq!(followers.len(), 2);
    assert_eq!(followers[0].until, super::table::at(15 * 60 - 30));
}

#[tokio::test]
async fn an_awake_world_says_where_to_join_and_what_it_costs() {
    let mut table = Table::with_world().await;
    table.wake().await;
    table.now += 10;
    table.see(2, None).await;
    check(
        &table.on_valhalla(BOB, "world status").await,
        expect![[r#"
            | valhalla — awake
            | Join at `203.0.113.7:30000`.
            | 2 players are on, seen <t:1800000100:R>. It woke <t:1800000090:R>: ann wanted it <t:1800000000:R>.
            | With nobody on for 10 min, it goes to sleep by itself.
            | It runs until <t:1800043290:t> at the longest, <t:1800043290:R>.
            | It costs money by the second until it sleeps.
            | Luanti
            [Stay 1 h] [Stop] [Export] [Refresh]"#]],
    );
    check(
        &table.on_valhalla(BOB, "world start").await,
        expect![[r#"
            `valhalla` is already awake at 203.0.113.7:30000, asked for by ann 1 min 40 s ago.
            | valhalla — awake
            | Join at `203.0.113.7:30000`.
            | 2 players are on, seen <t:1800000100:R>. It woke <t:1800000090:R>: ann wanted it <t:1800000000:R>.
            | With nobody on for 10 min, it goes to sleep by itself.
            | It runs until <t:1800043290:t> at the longest, <t:1800043290:R>.
            | It costs money by the second until it sleeps.
            | Luanti
            [Stay 1 h] [Stop] [Export] [Refresh]"#]],
    );
    table.see(0, Some(400)).await;
    check(
        &table.press(BOB, "v1/refresh/valhalla").await,
        expect![[r#"
            (the message becomes)
            | valhalla — awake
            | Join at `203.0.113.7:30000`.
            | Nobody is on, seen <t:1800000100:R>. It woke <t:1800000090:R>: ann wanted it <t:1800000000:R>.
            | It goes to sleep <t:1800000400:R>, unless somebody joins or presses **Stay**.
            | It runs until <t:1800043290:t> at the longest, <t:1800043290:R>.
            | It costs money by the second until it sleeps.
            | Luanti
            [Stay 1 h] [Stop] [Export] [Refresh]"#]],
    );
    check(
        &table.press(BOB, "v1/stay/valhalla").await,
        expect![[r#"
            (the message becomes)
            `valhalla` is kept awake for 1 h.
            | valhalla — awake
            | Join at `203.0.113.7:30000`.
            | Nobody is on, seen <t:1800000100:R>. It woke <t:1800000090:R>: ann wanted it <t:1800000000:R>.
            | bob\_\*the\*\_builder keeps it awake until <t:1800003700:t>.
            | It runs until <t:1800043290:t> at the longest, <t:1800043290:R>.
            | It costs money by the second until it sleeps.
            | Luanti
            [Stay 1 h] [Stop] [Export] [Refresh]"#]],
    );
    check(
        &table.command(BOB, "world list", &[]).await,
        expect![[r#"
        | Worlds
        | `valhalla` — Luanti, awake at `203.0.113.7:30000`"#]],
    );
}

#[tokio::test]
async fn a_world_goes_to_sleep_and_its_archive_can_be_had() {
    let mut table = Table::with_world().await;
    table.wake().await;
    table.see(2, None).await;
    table.now += 3600;
    check(
        &table.press(BOB, "v1/stop/valhalla").await,
        expect![[r#"
        (the message becomes)
        `valhalla` is going to sleep: saving first (2 players on it).
        | valhalla — going to sleep
        | Asked for by bob\_\*the\*\_builder.
        | Its watchdog is being told.
        | Then it sleeps.
        | It costs money by the second until it sleeps.
        | Luanti
        [Start] [Refresh]"#]],
    );
    check(
        &table.press(BOB, "v1/stop/valhalla").await,
        expect![[r#"
        (the message becomes)
        `valhalla` is going to sleep already.
        | valhalla — going to sleep
        | Asked for by bob\_\*the\*\_builder.
        | Its watchdog is being told.
        | Then it sleeps.
        | It costs money by the second until it sleeps.
        | Luanti
        [Start] [Refresh]"#]],
    );
    table.sleep().await;
    check(
        &table.on_valhalla(BOB, "world status").await,
        expect![[r#"
            | valhalla — asleep
            | Saved and archived, asked for by bob\_\*the\*\_builder. (<t:1800003720:R>)
            | Its newest archive is `1800000200000-g1`, 1.4 MB.
            | **Start** wakes it.
            | Asleep, it costs no more than its storage.
            | Luanti
            [Start] [Export] [Refresh]"#]],
    );
    check(
        &table.press(BOB, "v1/export/valhalla").await,
        expect![[r#"
            (only you see this)
            | Archive
            | `valhalla`: 1800000200000-g1 1.4 MB, 0 s ago, when it went to sleep; the link w-12 works for 7 d.
            | `memory://w-2/link/w-12`
            | It works until <t:1800608520:f>, <t:1800608520:R>, for whoever has it.
            | SHA-256: `0707070707070707070707070707070707070707070707070707070707070707`"#]],
    );
    check(
        &table.on_valhalla(BOB, "world sessions").await,
        expect![[r#"
        | valhalla — the last times
        | <t:1800000000:f> — for ann, awake for 1 h. Saved and archived, asked for by bob\_\*the\*\_builder."#]],
    );
}

#[tokio::test]
async fn a_world_that_went_wrong_says_so() {
    let mut table = Table::with_world().await;
    table.wake().await;
    let gone = Gone::Crashed("arn:aws:ecs:eu-central-1:123456789012:task/x was out of disk".into());
    table
        .happen(&[Event::TaskGone { generation: Generation(1), task: Some(task("w-2.1")), how: gone }])
        .await;
    check(
        &table.on_valhalla(BOB, "world status").await,
        expect![[r#"
            | valhalla — asleep
            | The last launch was lost: its task broke down: … was out of disk; its files are in its directory. (<t:1800000090:R>)
            | **Start** wakes it.
            | Asleep, it costs no more than its storage.
            | Luanti
            [Start] [Refresh]"#]],
    );
}

#[tokio::test]
async fn each_step_of_a_stop_is_told() {
    let mut table = Table::with_world().await;
    table.wake().await;
    let why = StopWhy::LastLeft;
    table.happen(&[Event::StopBegan { generation: Generation(1), why }]).await;
    check(
        &table.on_valhalla(BOB, "world status").await,
        expect![[r#"
            | valhalla — going to sleep
            | Since the last player has left.
            | The game is saving.
            | Then it sleeps.
            | It costs money by the second until it sleeps.
            | Luanti
            [Start] [Refresh]"#]],
    );
    check(
        &table.on_valhalla(BOB, "world start").await,
        expect![[r#"
        `valhalla` is going to sleep; it is woken again as soon as it is saved.
        | valhalla — going to sleep
        | Since the last player has left.
        | The game is saving.
        | Then it wakes again: bob\_\*the\*\_builder wanted it <t:1800000090:R>.
        | It costs money by the second until it sleeps.
        | Luanti
        [Stop] [Refresh]"#]],
    );
    check(
        &table.press(ANN, "v1/stop/valhalla").await,
        expect![[r#"
        (the message becomes)
        `valhalla` is going to sleep and stays asleep; bob\_\*the\*\_builder had wanted it woken again.
        | valhalla — going to sleep
        | Since the last player has left.
        | The game is saving.
        | Then it sleeps.
        | It costs money by the second until it sleeps.
        | Luanti
        [Start] [Refresh]"#]],
    );
}

#[tokio::test]
async fn deleting_takes_the_name_once_more() {
    let mut table = Table::with_world().await;
    check(
        &table.on_valhalla(BOB, "world delete").await,
        expect![[r#"
        (only you see this)
        `delete` is for those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
    check(
        &table.on_valhalla(ANN, "world delete").await,
        expect![[r#"
            [[ Delete valhalla? ]]
            "Its name once more, to be sure" — "Its files are removed for good; its last archive is kept for 30 days.""#]],
    );
    let sneaky = [("name", 3, json!("valhalla")), ("confirm", 3, json!("valhalla"))];
    assert_eq!(table.command(ANN, "world delete", &sneaky).await["type"], 9);
    check(
        &table.act(ANN, typed("valhall")).await,
        expect![[r#"
        (only you see this)
        That is not the name of `valhalla`, so nothing was deleted."#]],
    );
    check(
        &table.act(BOB, typed("valhalla")).await,
        expect![[r#"
        (only you see this)
        `delete` is for those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
    check(
        &table.act(ANN, typed(" valhalla ")).await,
        expect![[r#"
            (only you see this)
            | valhalla
            | `valhalla` is being deleted; it was never played."#]],
    );
    table.work().await;
    check(
        &table.on_valhalla(ANN, "world delete").await,
        expect![[r#"
        (only you see this)
        There is no world `valhalla`.
        `/world list` shows those that are there."#]],
    );
}

#[tokio::test]
async fn a_world_that_runs_is_not_deleted() {
    let mut table = Table::with_world().await;
    table.wake().await;
    check(
        &table.on_valhalla(ANN, "world delete").await,
        expect![[r#"
        (only you see this)
        `valhalla` is not asleep.
        Stop it first: `/world stop valhalla`."#]],
    );
}

/// The modal as it is sent, below a label.
fn typed(name: &str) -> Value {
    let input = json!({ "type": 4, "id": 2, "custom_id": "name", "value": name });
    let components = json!([{ "type": 18, "id": 1, "component": input }]);
    json!({ "type": 5, "data": { "custom_id": "v1/delete/valhalla", "components": components } })
}

#[tokio::test]
async fn who_may_do_what_is_shown_and_changed() {
    let mut table = Table::with_world().await;
    check(
        &table.command(BOB, "access show", &[]).await,
        expect![[r#"
            (only you see this)
            | Who may do what
            | `create` — only those who manage the server
            | `start` — everyone
            | `stop` — everyone
            | `keep` — everyone
            | `settings` — only those who manage the server
            | `backup` — everyone
            | `restore` — only those who manage the server
            | `import` — only those who manage the server
            | `export` — everyone
            | `delete` — only those who manage the server
            | `access` — only those who manage the server
            | Those who manage the server may do everything, and everybody may look."#]],
    );
    check(
        &table.act(ANN, access("deny", "start", super::table::GUILD)).await,
        expect![[r#"
            (only you see this)
            | Who may do what
            | `create` — only those who manage the server
            | `start` — only those who manage the server
            | `stop` — everyone
            | `keep` — everyone
            | `settings` — only those who manage the server
            | `backup` — everyone
            | `restore` — only those who manage the server
            | `import` — only those who manage the server
            | `export` — everyone
            | `delete` — only those who manage the server
            | `access` — only those who manage the server
            | Those who manage the server may do everything, and everybody may look."#]],
    );
    check(
        &table.act(ANN, access("allow", "start", "78")).await,
        expect![[r#"
            (only you see this)
            | Who may do what
            | `create` — only those who manage the server
            | `start` — <@&78>
            | `stop` — everyone
            | `keep` — everyone
            | `settings` — only those who manage the server
            | `backup` — everyone
            | `restore` — only those who manage the server
            | `import` — only those who manage the server
            | `export` — everyone
            | `delete` — only those who manage the server
            | `access` — only those who manage the server
            | Those who manage the server may do everything, and everybody may look."#]],
    );
    check(
        &table.act(ANN, access("allow", "start", BOB.id)).await,
        expect![[r#"
            (only you see this)
            | Who may do what
            | `create` — only those who manage the server
            | `start` — <@&78> and <@1400000000000000005>
            | `stop` — everyone
            | `keep` — everyone
            | `settings` — only those who manage the server
            | `backup` — everyone
            | `restore` — only those who manage the server
            | `import` — only those who manage the server
            | `export` — everyone
            | `delete` — only those who manage the server
            | `access` — only those who manage the server
            | Those who manage the server may do everything, and everybody may look."#]],
    );
    check(
        &table.act(BOB, access("allow", "delete", BOB.id)).await,
        expect![[r#"
        (only you see this)
        `access` is for those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
    let stranger = super::table::Friend { id: "1400000000000000009", name: "cyd", ..BOB };
    check(
        &table.on_valhalla(stranger, "world start").await,
        expect![[r#"
        (only you see this)
        `start` is for <@&78>, <@1400000000000000005> and those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
}

fn access(what: &str, action: &str, who: &str) -> Value {
    let mut value =
        command(&format!("access {what}"), &[("action", 3, json!(action)), ("who", 9, json!(who))]);
    value["data"]["resolved"] = json!({
        "roles": { "78": { "id": "78", "name": "players" }, super::table::GUILD: { "name": "@everyone" } },
        "members": {}, "users": {}
    });
    value
}

#[tokio::test]
async fn settings_games_and_help_are_shown() {
    let mut table = Table::with_world().await;
    check(
        &table.on_valhalla(BOB, "world settings").await,
        expect![[r#"
            `valhalla` has these settings: sleeps 10 min after the last player left, or 15 min after it woke if nobody joins, 2 min after a warning; runs 12 h at most; is archived every 1 h while it is played; the newest 5 archives are kept, and the last ones of 7 days and 4 weeks; sleeps in its directory.
            | valhalla — asleep
            | It was never played.
            | **Start** wakes it.
            | Asleep, it costs no more than its storage.
            | Luanti
            [Start] [Refresh]"#]],
    );
    let settings = [("name", 3, json!("valhalla")), ("sleep-after", 3, json!("20m"))];
    check(
        &table.command(ANN, "world settings", &settings).await,
        expect![[r#"
            `valhalla` has new settings: sleeps 20 min after the last player left, or 15 min after it woke if nobody joins, 2 min after a warning; runs 12 h at most; is archived every 1 h while it is played; the newest 5 archives are kept, and the last ones of 7 days and 4 weeks; sleeps in its directory.
            | valhalla — asleep
            | It was never played.
            | **Start** wakes it.
            | Asleep, it costs no more than its storage.
            | Luanti
            [Start] [Refresh]"#]],
    );
    let settings = [("name", 3, json!("valhalla")), ("sleep-after", 3, json!("*soon*"))];
    check(
        &table.command(ANN, "world settings", &settings).await,
        expect![[r#"
        (only you see this)
        `sleep-after` cannot be \`\*soon\*\`.
        Use a time such as `45m` or `2h30m`."#]],
    );
    check(
        &table.command(BOB, "games", &[]).await,
        expect![[r#"
        | Games
        | `luanti` — Luanti"#]],
    );
    check(
        &table.command(BOB, "help", &[]).await,
        expect![[r#"
            (only you see this)
            | Commands
            | `/world start` wakes a world; it goes to sleep by itself once everybody has left.
            | `/world start` — Wake a world
            | `/world stop` — Save a world and put it to sleep, whoever is on
            | `/world status` — See what a world is doing, who is on and where to join
            | `/world keep` — Keep a world awake for a while with nobody on
            | `/world list` — See which worlds there are
            | `/world create` — Make a world; it sleeps until somebody wakes it
            | `/world set` — See what a world's game lets you choose, or choose it
            | `/world password` — See a world's passwords; nobody else sees the answer
            | `/world settings` — See a world's settings, or change them
            | `/world sessions` — See the last times a world was awake, and how they ended
            | `/world backup` — Make an archive of a world now; nobody is thrown out
            | `/world backups` — See the archives of a world
            | `/world restore` — Put an archive of a sleeping world back; what is there is archived first
            | `/world import` — Put files from elsewhere in the place of a sleeping world's, which are archived first
            | `/world export` — Get a link that downloads a world; an awake one is archived first and stays awake
            | `/world links` — See the links that download a world, and how often they were followed
            | `/world withdraw` — Make links that download a world stop working
            | `/world delete` — Delete a sleeping world; its last archive is kept for 30 days
            | `/access show` — See who may do what
            | `/access allow` — Allow an action to a role or a member
            | `/access deny` — Take an action back from a role or a member
            | `/access reset` — Have the rule of an action as it is at first
            | `/games` — See which games there are
            | `/help` — See which commands there are and what they do"#]],
    );
}

#[tokio::test]
async fn worlds_and_games_are_suggested_by_what_is_typed() {
    let mut table = Table::with_world().await;
    for name in ["asgard", "hall"] {
        table.command(ANN, "world create", &[("name", 3, json!(name)), ("game", 3, json!("luanti"))]).await;
    }
    table.wake().await;
    let suggested = |answer: Value| answer["data"]["choices"].to_string();
    let hall = suggested(table.act(BOB, half_typed("world start", "name", "Hall")).await);
    expect![[r#"[{"name":"hall — asleep","value":"hall"},{"name":"valhalla — awake","value":"valhalla"}]"#]]
        .assert_eq(&hall);
    let game = suggested(table.act(ANN, half_typed("world create", "game", "lua")).await);
    expect![[r#"[{"name":"Luanti","value":"luanti"}]"#]].assert_eq(&game);
    for (path, option, typed) in [
        ("world start", "name", "zzz"),
        ("world keep", "for", "1"),
        ("world fly", "name", ""),
        ("world start", "x", ""),
    ] {
        assert_eq!(suggested(table.act(BOB, half_typed(path, option, typed)).await), "[]", "{path} {option}");
    }
}

#[tokio::test]
async fn at_most_25_worlds_are_suggested_and_100_are_listed() {
    let mut table = Table::new();
    for n in 0..100 {
        let name = format!("a-world-with-rather-a-long-na-{n:02}");
        table.command(ANN, "world create", &[("name", 3, json!(name)), ("game", 3, json!("luanti"))]).await;
    }
    let answer = table.act(BOB, half_typed("world start", "name", "")).await;
    assert_eq!(answer["data"]["choices"].as_array().unwrap().len(), 25);
    assert!(seen(&table.command(BOB, "world list", &[]).await).ends_with("| …"));
}

fn half_typed(path: &str, option: &str, typed: &str) -> Value {
    let mut value = command(path, &[(option, 3, json!(typed))]);
    value["type"] = json!(4);
    value["data"]["options"][0]["options"][0]["focused"] = json!(true);
    value
}

#[tokio::test]
async fn what_is_out_of_reach_is_told_without_its_details() {
    let mut table = Table::with_world().await;
    table.memory.lock().store_fault = Some(domain::sim::Fault::Before);
    check(
        &table.on_valhalla(BOB, "world start").await,
        expect![[r#"
        (only you see this)
        Something that this needs is out of reach just now.
        Nothing is lost; try again in a moment."#]],
    );
}

#[tokio::test]
async fn what_nobody_knows_is_answered_all_the_same() {
    let mut table = Table::with_world().await;
    check(
        &table.command(BOB, "world fly", &[]).await,
        expect![[r#"
        (only you see this)
        There is no such command.
        `help` lists those that are there."#]],
    );
    check(
        &table.on_valhalla(BOB, "world").await,
        expect![[r#"
        (only you see this)
        There is no such command.
        `help` lists those that are there."#]],
    );
    check(
        &table.press(BOB, "v0/start/valhalla").await,
        expect![[r#"
        (only you see this)
        This belongs to another version of Dormouse.
        `/world status` shows the world with new buttons."#]],
    );
    check(
        &table.press(BOB, "v1/start/asgard").await,
        expect![[r#"
        (only you see this)
        There is no world `asgard`.
        `/world list` shows those that are there."#]],
    );
}
