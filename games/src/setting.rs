//! `[[settings]]`: what people can choose for a world of the game.

use std::ops::RangeInclusive;

use domain::{
    settings::{
        Allow, Change, Kind, LONGEST_VALUE, MOST_ASKED, MOST_ITEMS, MOST_SETTINGS, Need, Setting,
        SettingValue, is_line,
    },
    world::SettingName,
};

use crate::{
    entry::{is_slug, is_title},
    rule::{self, Rule},
    section::Section,
};

/// The longest line about a setting, and the longest address of terms: what chats show.
const LONGEST_LINE: usize = 100;

/// The most options of a choice.
const MOST_OPTIONS: usize = 25;

/// What a setting takes, as the catalogue says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Password,
    Number,
    Choice,
    Switch,
    List,
    Terms,
}

const TYPES: &[(&str, Type)] = &[
    ("text", Type::Text),
    ("password", Type::Password),
    ("number", Type::Number),
    ("choice", Type::Choice),
    ("switch", Type::Switch),
    ("list", Type::List),
    ("terms", Type::Terms),
];

/// Reads all settings of a game.
pub(crate) fn settings(root: &mut Section<'_, '_>) -> Option<Vec<Setting>> {
    let mut before: Vec<SettingName> = Vec::new();
    let settings = root.optional_sections("settings", 1..=MOST_SETTINGS, |section| {
        let setting = setting(section)?;
        if before.contains(&setting.name) {
            section.complain("name", &format!("is \"{}\" a second time: use another one", setting.name));
        }
        before.push(setting.name.clone());
        Some(setting)
    })?;
    if settings.iter().filter(|setting| setting.need == Need::Required).count() > MOST_ASKED {
        let what =
            format!("has more than {MOST_ASKED} that are asked for: use `required` and terms for fewer");
        root.complain("settings", &what);
    }
    Some(settings)
}

fn setting(section: &mut Section<'_, '_>) -> Option<Setting> {
    let name = section
        .required("name", &rule::text("1 to 32 lower-case letters, digits and inner hyphens", is_slug));
    let title = section.required("title", &rule::text("1 to 40 printable characters", is_title));
    let about = section.optional("about", &rule::text("1 to 100 printable characters", is_remark));
    let word = section.required("type", &rule::word(TYPES));
    let kind = word.and_then(|word| self::kind(section, word));
    let default = match &kind {
        Some(kind) => default(section, kind),
        // What it takes is not known, but that it may be there is.
        None if word.is_some_and(Type::has_default) => {
            section.optional("default", &rule::anything());
            None
        }
        None => None,
    };
    let is_terms = word == Some(Type::Terms);
    let mut need = if is_terms { Need::Required } else { Need::Optional };
    let mut change = Change::Any;
    if word.is_some() && !is_terms {
        let required =
            section.optional("required", &rule::only_true("leave it out where it can be left out"));
        if required.is_some() {
            need = Need::Required;
        }
        if required.is_some() && default.is_some() {
            section.complain("required", "needs no `default`: use one of the two");
        }
        let changes = &[("any", Change::Any), ("create", Change::Create)];
        change = section.optional("change", &rule::word(changes)).unwrap_or(change);
    }
    let name = SettingName::parse(&name?).ok()?;
    Some(Setting { name, title: title?, about, kind: kind?, default, need, change })
}

impl Type {
    /// Tells whether it can have a default: secrets, lists and consent have none.
    fn has_default(self) -> bool {
        match self {
            Self::Text | Self::Number | Self::Choice | Self::Switch => true,
            Self::Password | Self::List | Self::Terms => false,
        }
    }
}

fn kind(section: &mut Section<'_, '_>, kind: Type) -> Option<Kind> {
    match kind {
        Type::Text => characters(section).map(|(length, allow)| Kind::Text(length, allow)),
        Type::Password => characters(section).map(|(length, allow)| Kind::Password(length, allow)),
        Type::Number => range(section, 0, u32::MAX).map(Kind::Number),
        Type::Choice => {
            let option = rule::text("1 to 40 printable characters", is_title);
            section.list("options", 2..=MOST_OPTIONS, &option).map(Kind::Choice)
        }
        Type::Switch => Some(Kind::Switch),
        Type::List => range(section, 0, MOST_ITEMS).map(Kind::List),
        Type::Terms => {
            let url = "an address that begins with https://, at most 100 characters";
            section.required("url", &rule::text(url, is_url)).map(Kind::Terms)
        }
    }
}

fn characters(section: &mut Section<'_, '_>) -> Option<(RangeInclusive<u32>, Allow)> {
    let length = range(section, 1, LONGEST_VALUE);
    let allows = &[("any", Allow::Any), ("plain", Allow::Plain), ("word", Allow::Word)];
    let allow = section.optional("allow", &rule::word(allows)).unwrap_or(Allow::Plain);
    Some((length?, allow))
}

fn range(section: &mut Section<'_, '_>, least: u32, most: u32) -> Option<RangeInclusive<u32>> {
    let bounds = rule::number(least..=most);
    let (least, most) = (section.required("least", &bounds), section.required("most", &bounds));
    let (least, most) = (least?, most?);
    if least > most {
        section.complain("least", "is more than `most`: use a smaller one");
        return None;
    }
    Some(least..=most)
}

fn default(section: &mut Section<'_, '_>, kind: &Kind) -> Option<SettingValue> {
    let text = match kind {
        Kind::Number(range) => section.optional("default", &rule::number(range.clone()))?.to_string(),
        Kind::Choice(options) => section.optional("default", &rule::one_of(options.clone()))?,
        Kind::Switch => section.optional("default", &rule::truth())?.to_string(),
        Kind::Text(..) => section.optional("default", &fitting(kind))?,
        Kind::Password(..) | Kind::List(_) | Kind::Terms(_) => return None,
    };
    SettingValue::parse(&text).ok()
}

/// Allows texts that people could choose.
fn fitting(kind: &Kind) -> Rule<String> {
    let chosen = kind.clone();
    let read = move |value: &toml::de::DeValue<'_>| {
        value.as_str().filter(|text| chosen.takes(text)).map(str::to_owned)
    };
    Rule { allowed: kind.allowed(), read: Box::new(read) }
}

fn is_remark(text: &str) -> bool {
    (1..=LONGEST_LINE).contains(&text.chars().count()) && is_line(text) && text.trim() == text
}

fn is_url(text: &str) -> bool {
    text.len() <= LONGEST_LINE
        && text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`<>\\".contains(&b))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::entry::parse;

    const GOOD: &str = r#"name = "Game"
image = "dormouse/game"
architectures = ["amd64"]
cpu = 512
memory_mib = 1024

[[ports]]
name = "game"
number = 30000
protocol = "udp"

[save]
paths = ["world"]

[stop]
signal = "SIGINT"
grace = "60s"

[ready]
typical = "5s"
limit = "2m"

[[settings]]
name = "title"
title = "Name of the server"
about = "As server lists show it"
type = "text"
least = 1
most = 20
allow = "plain"
default = "Dormouse"

[[settings]]
name = "password"
title = "Password"
type = "password"
least = 5
most = 64
required = true

[[settings]]
name = "seed"
title = "Seed"
type = "number"
least = 0
most = 4294967295
change = "create"

[[settings]]
name = "level"
title = "Level"
type = "choice"
options = ["easy", "hard"]
default = "easy"

[[settings]]
name = "damage"
title = "Damage"
type = "switch"
default = true

[[settings]]
name = "mods"
title = "Mods"
type = "list"
least = 0
most = 50

[[settings]]
name = "eula"
title = "Terms"
type = "terms"
url = "https://example.com/eula"
"#;

    #[test]
    fn every_kind_of_setting_is_read() {
        let read = parse(Path::new("game.toml"), GOOD).unwrap().game.settings;
        let line = |s: &Setting| {
            let default = s.default.as_ref().map_or("-", SettingValue::as_str);
            format!("{} {:?} {default} {:?} {:?}", s.name, s.kind, s.need, s.change)
        };
        expect![[r#"
            title Text(1..=20, Plain) Dormouse Optional Any
            password Password(5..=64, Plain) - Required Any
            seed Number(0..=4294967295) - Optional Create
            level Choice(["easy", "hard"]) easy Optional Any
            damage Switch true Optional Any
            mods List(0..=50) - Optional Any
            eula Terms("https://example.com/eula") - Required Any"#]]
        .assert_eq(&read.iter().map(line).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn each_bad_key_of_a_setting_is_told_with_line_and_what_is_allowed() {
        check(
            "\"seed\"",
            "\"Seed\"",
            expect![[
                r#"game.toml:42: `settings.name` is "Seed": use 1 to 32 lower-case letters, digits and inner hyphens"#
            ]],
        );
        check(
            "\"seed\"",
            "\"title\"",
            expect![[r#"game.toml:42: `settings.name` is "title" a second time: use another one"#]],
        );
        check(
            "\"switch\"",
            "\"bool\"",
            expect![[r#"
                game.toml:59: `settings.type` is "bool": use text, password, number, choice, switch, list or terms
                game.toml:60: unknown key `settings.default`: use name, title, about or type"#]],
        );
        check(
            "least = 5",
            "least = 65",
            expect!["game.toml:37: `settings.least` is more than `most`: use a smaller one"],
        );
        check(
            "least = 5",
            "least = 0",
            expect!["game.toml:37: `settings.least` is 0: use a number from 1 to 2000"],
        );
        check(
            "most = 50",
            "most = 51",
            expect!["game.toml:67: `settings.most` is 51: use a number from 0 to 50"],
        );
        check(
            "\"plain\"",
            "\"ascii\"",
            expect![[r#"game.toml:30: `settings.allow` is "ascii": use any, plain or word"#]],
        );
        check(
            "\"Dormouse\"",
            "\"a$b\"",
            expect![[
                r#"game.toml:31: `settings.default` is "a$b": use 1 to 20 characters, none of " \ ` $ # ; = < > { } |, no space at either end"#
            ]],
        );
        check(
            "\"Dormouse\"",
            "\"a\\nb\"",
            expect![[
                r#"game.toml:31: `settings.default` is "a\nb": use 1 to 20 characters, none of " \ ` $ # ; = < > { } |, no space at either end"#
            ]],
        );
        check(
            "\"Dormouse\"",
            "\"a\"\nrequired = true",
            expect!["game.toml:32: `settings.required` needs no `default`: use one of the two"],
        );
        check(
            "default = \"easy\"",
            "default = \"soft\"",
            expect![[r#"game.toml:54: `settings.default` is "soft": use easy or hard"#]],
        );
        check(
            "default = true",
            "default = 1",
            expect!["game.toml:60: `settings.default` is 1: use true or false"],
        );
        check(
            "required = true",
            "default = \"secret\"",
            expect![
                "game.toml:39: unknown key `settings.default`: use name, title, about, type, least, most, allow, required or change"
            ],
        );
        check(
            "\"create\"",
            "\"never\"",
            expect![[r#"game.toml:47: `settings.change` is "never": use any or create"#]],
        );
        check(
            "[\"easy\", \"hard\"]",
            "[\"easy\"]",
            expect![
                "game.toml:53: `settings.options` is a list of 1: use a list of 2 to 25 items, each 1 to 40 printable characters"
            ],
        );
        check(
            "https://example.com/eula",
            "http://example.com/eula",
            expect![[
                r#"game.toml:73: `settings.url` is "http://example.com/eula": use an address that begins with https://, at most 100 characters"#
            ]],
        );
        check(
            "\"https://example.com/eula\"",
            "\"https://example.com/eula\"\ndefault = true",
            expect!["game.toml:74: unknown key `settings.default`: use name, title, about, type or url"],
        );
        check(
            "url = ",
            "required = true\nurl = ",
            expect!["game.toml:73: unknown key `settings.required`: use name, title, about, type or url"],
        );
        check(
            "\"As server lists show it\"",
            "\"\"",
            expect![[r#"game.toml:26: `settings.about` is "": use 1 to 100 printable characters"#]],
        );
    }

    #[test]
    fn no_more_is_asked_than_a_chat_can_ask_at_once() {
        let more: String = (0..4)
            .map(|n| {
                format!(
                    "\n[[settings]]\nname = \"n{n}\"\ntitle = \"N\"\ntype = \"switch\"\nrequired = true\n"
                )
            })
            .collect();
        let error = parse(Path::new("game.toml"), &format!("{GOOD}{more}")).unwrap_err();
        expect![
            "game.toml:23: `settings` has more than 5 that are asked for: use `required` and terms for fewer"
        ]
        .assert_eq(&error.to_string());
    }

    /// Replaces `from` in a good entry and compares what is said of the result.
    fn check(from: &str, to: &str, expected: Expect) {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "`{from}` is not in the entry");
        let error = parse(Path::new("game.toml"), &text).unwrap_err();
        expected.assert_eq(&error.to_string());
    }
}
