//! What people choose for a new world, and later, and who sees it.

use domain::{
    game::Game,
    settings::{Allow, Change, Kind, Need, Setting, SettingValue},
    world::SettingName,
};
use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::table::{ANN, BOB, Table, game, seen};

#[tokio::test]
async fn a_new_world_is_asked_for_what_its_game_needs() {
    let mut table = table();
    let wanted =
        [("name", 3, json!("valhalla")), ("game", 3, json!("luanti")), ("sleep-after", 3, json!("5m"))];
    let denied = table.command(BOB, "world create", &wanted).await;
    check(
        &denied,
        expect![[r#"
        (only you see this)
        `create` is for those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
    let modal = table.command(ANN, "world create", &wanted).await;
    expect![[r#"
        {
          "components": [
            {
              "component": {
                "custom_id": "set.password",
                "max_length": 64,
                "min_length": 5,
                "placeholder": "5 to 64 printable characters, no space at either end",
                "required": true,
                "style": 1,
                "type": 4
              },
              "description": "5 to 64 printable characters, no space at either end",
              "label": "Password",
              "type": 18
            },
            {
              "component": {
                "custom_id": "set.eula",
                "placeholder": "Type accept, once you have read them and if you do",
                "required": true,
                "style": 1,
                "type": 4
              },
              "description": "https://example.com/eula",
              "label": "Accept: Terms of the game",
              "type": 18
            }
          ],
          "custom_id": "v1/create/valhalla/luanti/300/////",
          "title": "Make valhalla"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&modal["data"]).unwrap());
    let id = modal["data"]["custom_id"].as_str().unwrap().to_owned();
    let refused = table.act(ANN, typed(&id, "hunter22", "no")).await;
    check(
        &refused,
        expect![[r#"
        (only you see this)
        Terms of the game must be accepted first: https\://example.com/eula.
        Read them, and if you accept them set `eula` to `accept`."#]],
    );
    let short = table.act(ANN, typed(&id, "hunt", "accept")).await;
    check(
        &short,
        expect![[r#"
        (only you see this)
        `password` (Password) is not valid.
        Use 5 to 64 printable characters, no space at either end."#]],
    );
    let made = table.act(ANN, typed(&id, "hunter22", " Accept ")).await;
    check(
        &made,
        expect![[r#"
        `valhalla` is made, a world of Luanti; `/world start valhalla` wakes it.
        | valhalla — asleep
        | It was never played.
        | **Start** wakes it.
        | Asleep, it costs no more than its storage.
        | Luanti
        [Start] [Refresh]"#]],
    );
    let world = table.world().await;
    assert_eq!(world.timers.last_left.as_secs(), 300);
    assert_eq!(world.settings.0.len(), 2);
    let taken = table.command(ANN, "world create", &wanted).await;
    check(
        &taken,
        expect![[r#"
            (only you see this)
            There is a world `valhalla` already.
            Choose another name, or delete that one first."#]],
    );
    for answer in [denied, refused, short, made, taken] {
        assert!(!answer.to_string().contains("hunt"), "{answer}");
    }
}

#[tokio::test]
async fn what_was_chosen_is_changed_and_passwords_are_seen_by_whoever_asked() {
    let mut table = table_with_world().await;
    check(
        &table.on_valhalla(BOB, "world password").await,
        expect![[r#"
        (only you see this)
        | valhalla — passwords
        | Password: `hunter22`"#]],
    );
    let set = [("name", 3, json!("valhalla")), ("setting", 3, json!("level")), ("value", 3, json!("hard"))];
    check(
        &table.command(BOB, "world set", &set).await,
        expect![[r#"
        (only you see this)
        `settings` is for those who manage the server.
        Ask one of them, or have them allow it to you: `/access allow`."#]],
    );
    check(
        &table.command(ANN, "world set", &set).await,
        expect![[r#"
        (only you see this)
        Of `valhalla`, `level` is hard.
        | valhalla — asleep
        | It was never played.
        | **Start** wakes it.
        | Asleep, it costs no more than its storage.
        | Luanti
        [Start] [Refresh]"#]],
    );
    let status = table.on_valhalla(BOB, "world status").await;
    assert!(!status.to_string().contains("hunter22"), "{status}");
}

#[tokio::test]
async fn a_setting_is_chosen_from_those_that_the_game_has() {
    let mut table = table_with_world().await;
    let options = json!([
        { "name": "name", "type": 3, "value": "valhalla" },
        { "name": "setting", "type": 3, "value": "", "focused": true },
    ]);
    let below = json!([{ "name": "set", "type": 1, "options": options }]);
    let asked = json!({ "type": 4, "data": { "name": "world", "type": 1, "options": below } });
    let answer = table.act(BOB, asked).await;
    let names = answer["data"]["choices"].as_array().unwrap().iter().map(|choice| choice["name"].clone());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["password — Password", "eula — Terms of the game", "level — Level"]
    );
}

fn table() -> Table {
    Table::of(Game { settings: settings(), ..game() })
}

fn settings() -> Vec<Setting> {
    let setting = |name: &str, title: &str, kind, need| Setting {
        name: SettingName::parse(name).unwrap(),
        title: title.into(),
        about: None,
        kind,
        default: None,
        need,
        change: Change::Any,
    };
    let levels = ["easy", "hard"].map(str::to_owned).into();
    vec![
        setting("password", "Password", Kind::Password(5..=64, Allow::Any), Need::Required),
        setting("eula", "Terms of the game", Kind::Terms("https://example.com/eula".into()), Need::Required),
        Setting {
            default: SettingValue::parse("easy").ok(),
            ..setting("level", "Level", Kind::Choice(levels), Need::Optional)
        },
    ]
}

/// Returns a table with the world `valhalla`, whose password is `hunter22`.
async fn table_with_world() -> Table {
    let mut table = table();
    let wanted = [("name", 3, json!("valhalla")), ("game", 3, json!("luanti"))];
    let modal = table.command(ANN, "world create", &wanted).await;
    let id = modal["data"]["custom_id"].as_str().unwrap().to_owned();
    table.act(ANN, typed(&id, "hunter22", "accept")).await;
    table
}

/// The modal as it is sent.
fn typed(custom_id: &str, password: &str, eula: &str) -> Value {
    let input = |id: &str, value: &str| {
        let input = json!({ "type": 4, "id": 2, "custom_id": id, "value": value });
        json!({ "type": 18, "id": 1, "component": input })
    };
    let components = [input("set.password", password), input("set.eula", eula)];
    json!({ "type": 5, "data": { "custom_id": custom_id, "components": components } })
}

fn check(answer: &Value, expected: Expect) {
    expected.assert_eq(&seen(answer));
}
