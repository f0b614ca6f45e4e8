//! The commands that are registered.

use domain::commands::{LIST, spec::Kind};
use expect_test::expect;
use serde_json::{Value, json};

use super::{table::GUILD, validate};
use crate::chat::discord::{
    commands::{AppCommand, Others, Plan, diff, wanted},
    rest::Scope,
};

fn scopes() -> [Scope; 2] {
    [Scope::Global, Scope::Guild(GUILD.parse().unwrap())]
}

#[test]
fn the_commands_keep_discords_rules() {
    for scope in scopes() {
        let payload = serde_json::to_value(wanted(scope)).unwrap();
        validate::commands(&payload, scope == Scope::Global).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn every_command_of_the_domain_is_there_with_its_options() {
    let payload = serde_json::to_value(wanted(Scope::Global)).unwrap();
    for spec in LIST {
        let mut words = spec.path.split(' ');
        let by_name = |list: &Value, name: &str| {
            list.as_array()
                .and_then(|all| all.iter().find(|one| one["name"] == name))
                .cloned()
                .unwrap_or_default()
        };
        let mut command = by_name(&payload, words.next().unwrap());
        if let Some(word) = words.next() {
            command = by_name(&command["options"], word);
        }
        assert_eq!(command["description"], spec.about, "{}", spec.path);
        let count = spec.options.iter().filter(|opt| opt.kind != Kind::Confirmation).count();
        let options = command["options"].as_array().map_or(0, Vec::len);
        assert_eq!(options, count, "{}", spec.path);
    }
}

#[test]
fn what_is_registered_reads_so() {
    let commands = wanted(Scope::Global);
    let shown = |option: &crate::chat::discord::commands::AppOption| {
        let (mark, name) = (if option.required { "" } else { "?" }, &option.name);
        format!("{name}{mark}:{}", option.kind)
    };
    let lines: Vec<_> = commands
        .iter()
        .flat_map(|command| {
            let rights = command.default_member_permissions.as_deref().unwrap_or("all");
            let below = command.options.iter().map(|below| {
                let options: Vec<_> = below.options.iter().map(shown).collect();
                format!("  {} {}", below.name, options.join(" ")).trim_end().to_owned()
            });
            [format!("/{} ({rights})", command.name)].into_iter().chain(below).collect::<Vec<_>>()
        })
        .collect();
    expect![[r#"
        /world (all)
          start name:3
          stop name:3
          status name:3
          keep name:3 for?:3
          list
          create name:3 game:3 sleep-after?:3 join-within?:3 afk?:3 longest-run?:3 storage?:3 port?:4
          set name:3 setting?:3 value?:3
          password name:3
          settings name:3 sleep-after?:3 join-within?:3 afk?:3 longest-run?:3 storage?:3 backup-every?:3 keep-newest?:4 keep-daily?:4 keep-weekly?:4
          sessions name:3
          backup name:3
          backups name:3
          restore name:3 backup:3
          import name:3 upload?:3
          export name:3 for?:3 backup?:3
          links name:3
          withdraw name:3 link?:3
          delete name:3
        /access (32)
          show
          allow action:3 who:9
          deny action:3 who:9
          reset action:3
        /games (all)
        /help (all)"#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn only_what_differs_is_written() {
    for scope in scopes() {
        let wanted = wanted(scope);
        assert!(diff(&as_discord_returns(&wanted), &wanted).is_empty());
        let mut old = as_discord_returns(&wanted);
        old.remove(0);
        old[0]["description"] = json!("something else");
        old.push(json!({ "name": "dance", "type": 1, "description": "Dance" }));
        // Commands on people and on messages have no shape of ours, and count all the same.
        old.push(json!({ "id": "1", "name": "Report", "type": 3, "description": "", "options": null }));
        old.push(json!({ "id": "2", "name": "world", "type": 2 }));
        expect![
            "add /world, change /access, remove /dance Report (on a message) world (on a person), keep /games /help"
        ]
        .assert_eq(&diff(&old, &wanted).to_string());
    }
}

#[test]
fn commands_of_others_are_removed_only_if_that_is_said() {
    let wanted = wanted(Scope::Global);
    let plans = |existing: &[Value]| {
        let diff = diff(existing, &wanted);
        [Others::Leave, Others::Remove].map(|others| diff.plan(others))
    };
    let ours = as_discord_returns(&wanted);
    let report = json!({ "id": "1", "name": "Report", "type": 3, "description": "" });
    assert_eq!(plans(&[]), [Plan::Write; 2]);
    assert_eq!(plans(&ours[1..]), [Plan::Write; 2]);
    assert_eq!(plans(&ours), [Plan::Nothing; 2]);
    assert_eq!(plans(std::slice::from_ref(&report)), [Plan::Refuse, Plan::Write]);
    assert_eq!(plans(&[&ours[..], &[report]].concat()), [Plan::Nothing, Plan::Write]);
}

/// Returns commands as Discord gives them back: with fields of its own, and without those that have their usual value.
fn as_discord_returns(commands: &[AppCommand]) -> Vec<Value> {
    let mut value = serde_json::to_value(commands).unwrap();
    for command in value.as_array_mut().unwrap() {
        for (name, own) in [
            ("id", json!("1600000000000000001")),
            ("application_id", json!("1100000000000000001")),
            ("version", json!("1600000000000000002")),
            ("name_localizations", Value::Null),
            ("description_localizations", Value::Null),
            ("dm_permission", json!(false)),
            ("nsfw", json!(false)),
            ("handler", json!(1)),
        ] {
            command[name] = own;
        }
        if command["contexts"].is_null() {
            command["contexts"] = Value::Null;
            command["integration_types"] = json!([0]);
        }
    }
    serde_json::from_value(value).unwrap()
}
