//! What a game lets people choose for a world: how it is declared, what people give for it, and what becomes of that.
//!
//! A value is one line, bounded, and perhaps a secret: none is ever in an error, nor shown by `Debug`. Whoever is to see one
//! asks for it by name.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use thiserror::Error;

use crate::world::{BadName, SettingName};

/// How many settings a game can have: as many as a chat can list.
pub const MOST_SETTINGS: usize = 25;

/// How many of them people can be made to choose: as many as a chat can ask at once.
pub const MOST_ASKED: usize = 5;

/// The longest value, in characters.
pub const LONGEST_VALUE: u32 = 2000;

/// The most items of a list.
pub const MOST_ITEMS: u32 = 50;

/// The longest item of a list.
const LONGEST_ITEM: usize = 100;

/// One thing that people can choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as people type it.
    pub name: SettingName,
    /// What people read instead.
    pub title: String,
    /// What else there is to know, in a line.
    pub about: Option<String>,
    /// What it takes.
    pub kind: Kind,
    /// What it is where nobody chooses; nothing means that it is empty.
    pub default: Option<SettingValue>,
    /// Whether a new world must have it chosen.
    pub need: Need,
    /// When it can be chosen.
    pub change: Change,
}

/// What a setting takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// So many characters.
    Text(RangeInclusive<u32>, Allow),
    /// So many characters that not everybody may see.
    Password(RangeInclusive<u32>, Allow),
    /// A whole number.
    Number(RangeInclusive<u32>),
    /// One of these.
    Choice(Vec<String>),
    /// On or off.
    Switch,
    /// So many items.
    List(RangeInclusive<u32>),
    /// Consent to what stands at this address. It is asked for and never assumed.
    Terms(String),
}

/// Which characters a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// Any that can be printed.
    Any,
    /// Those that mean nothing special in most settings files.
    Plain,
    /// Letters and digits of English, and `.`, `_` and `-`.
    Word,
}

/// Whether a new world must have a setting chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It can be left out.
    Optional,
}

/// When a setting can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// At any time; it counts from the next start.
    Any,
    /// Until the world is first woken.
    Create,
}

/// A value that was found to be allowed. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingValue(String);

impl SettingValue {
    /// Reads what was stored: one line of 1 to [`LONGEST_VALUE`] characters.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let longest = usize::try_from(LONGEST_VALUE).unwrap_or(usize::MAX);
        if is_line(text) && (1..=longest).contains(&text.chars().count()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName::unseen("setting's value", "1 to 2000 printable characters"))
        }
    }

    /// Returns the value, for whoever may see it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingValue(…)")
    }
}

/// What was chosen for a world.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chosen(pub BTreeMap<SettingName, SettingValue>);

impl Chosen {
    /// Returns the same with `choices` made.
    pub fn with(&self, choices: &Choices) -> Self {
        let mut all = self.0.clone();
        for (name, value) in &choices.values {
            match value {
                Some(value) => all.insert(name.clone(), value.clone()),
                None => all.remove(name),
            };
        }
        Self(all)
    }
}

/// What is to be chosen anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choices {
    /// The new values; nothing means that nobody chooses any more.
    pub values: BTreeMap<SettingName, Option<SettingValue>>,
    /// One of them that can only be chosen until the world is first woken.
    pub until_woken: Option<SettingName>,
}

/// What somebody gave for settings, as they typed it; nothing for what they want no more. Its `Debug` shows the names alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Typed(pub BTreeMap<String, Option<String>>);

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Typed").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

/// Why something cannot be chosen, or not be played with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadSetting {
    /// The game has no such setting.
    #[error("there is no setting `{}`", shown(.given))]
    Unknown {
        /// What was given.
        given: String,
        /// Those that there are.
        known: Vec<SettingName>,
    },
    /// It takes something else.
    #[error("`{setting}` ({title}) is not valid")]
    NotAllowed {
        /// The setting.
        setting: SettingName,
        /// What people read.
        title: String,
        /// What it takes.
        allowed: String,
    },
    /// It has to be chosen.
    #[error("{} must be chosen", listed(.0))]
    Missing(Vec<SettingName>),
    /// The terms were not accepted.
    #[error("{title} must be accepted first: {url}")]
    NotAccepted {
        /// The setting.
        setting: SettingName,
        /// What they are.
        title: String,
        /// Where they are.
        url: String,
    },
}

impl BadSetting {
    /// Returns what to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { known, .. } if known.is_empty() => "this game has none".into(),
            Self::Unknown { known, .. } => format!("there are: {}", listed(known)),
            Self::NotAllowed { allowed, .. } => format!("use {allowed}"),
            Self::Missing(_) => "`games` shows what each takes".into(),
            Self::NotAccepted { setting, .. } => {
                format!("read them, and if you accept them set `{setting}` to `accept`")
            }
        }
    }
}

impl Setting {
    /// Tells whether its value is only for those who may wake the world.
    pub fn is_secret(&self) -> bool {
        match self.kind {
            Kind::Password(..) => true,
            Kind::Text(..)
            | Kind::Number(_)
            | Kind::Choice(_)
            | Kind::Switch
            | Kind::List(_)
            | Kind::Terms(_) => false,
        }
    }

    /// Returns the environment variable that tells the game's scripts.
    pub fn variable(&self) -> String {
        format!("SETTING_{}", self.name.as_str().to_uppercase().replace('-', "_"))
    }

    /// Returns the value that `text` stands for.
    pub fn read(&self, text: &str) -> Result<SettingValue, BadSetting> {
        let value = Some(text).filter(|text| is_line(text)).and_then(|text| read(&self.kind, text));
        value.map(SettingValue).ok_or_else(|| match self.kind.terms() {
            Some(url) => self.not_accepted(url),
            None => BadSetting::NotAllowed {
                setting: self.name.clone(),
                title: self.title.clone(),
                allowed: self.kind.allowed(),
            },
        })
    }

    /// Returns what the game's scripts are told.
    fn told(&self, chosen: &Chosen) -> Result<String, BadSetting> {
        let value = chosen.0.get(&self.name).map(|value| self.read(&value.0)).transpose()?;
        match (&self.kind, value.as_ref().or(self.default.as_ref())) {
            (Kind::Terms(url), None) => Err(self.not_accepted(url)),
            (Kind::Terms(_), Some(_)) => Ok("true".into()),
            (_, value) => Ok(value.map_or(String::new(), |value| value.0.clone())),
        }
    }

    fn not_accepted(&self, url: &str) -> BadSetting {
        BadSetting::NotAccepted { setting: self.name.clone(), title: self.title.clone(), url: url.to_owned() }
    }
}

impl Kind {
    /// Returns the word for it in the catalogue.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Text(..) => "text",
            Self::Password(..) => "password",
            Self::Number(_) => "number",
            Self::Choice(_) => "choice",
            Self::Switch => "switch",
            Self::List(_) => "list",
            Self::Terms(_) => "terms",
        }
    }

    /// Tells whether people could choose `text`.
    pub fn takes(&self, text: &str) -> bool {
        is_line(text) && read(self, text).is_some()
    }

    /// Returns where the terms are that it asks consent to, if it does.
    pub fn terms(&self) -> Option<&str> {
        match self {
            Self::Terms(url) => Some(url),
            Self::Text(..)
            | Self::Password(..)
            | Self::Number(_)
            | Self::Choice(_)
            | Self::Switch
            | Self::List(_) => None,
        }
    }

    /// Returns what it takes; completes "use …".
    pub fn allowed(&self) -> String {
        match self {
            Self::Text(length, allow) | Self::Password(length, allow) => {
                let some = format!("{} to {}", length.start(), length.end());
                match allow {
                    Allow::Any => format!("{some} printable characters, no space at either end"),
                    Allow::Plain => format!("{some} characters, none of {SPECIAL}, no space at either end"),
                    Allow::Word => format!("{some} letters, digits, dots, hyphens and underscores"),
                }
            }
            Self::Number(range) => format!("a number from {} to {}", range.start(), range.end()),
            Self::Choice(options) => either(options),
            Self::Switch => "on or off".into(),
            Self::List(count) => format!(
                "{} to {} names without spaces, with commas or spaces between them",
                count.start(),
                count.end()
            ),
            Self::Terms(_) => "`accept`".into(),
        }
    }
}

/// The characters that [`Allow::Plain`] leaves out.
const SPECIAL: &str = r##"" \ ` $ # ; = < > { } |"##;

fn read(kind: &Kind, text: &str) -> Option<String> {
    let fits = |n: usize, range: &RangeInclusive<u32>| u32::try_from(n).is_ok_and(|n| range.contains(&n));
    match kind {
        Kind::Text(length, allow) | Kind::Password(length, allow) => {
            let is_allowed = |c: char| match allow {
                Allow::Any => true,
                Allow::Plain => c == ' ' || !SPECIAL.contains(c),
                Allow::Word => c.is_ascii_alphanumeric() || "._-".contains(c),
            };
            let ok =
                fits(text.chars().count(), length) && text.trim() == text && text.chars().all(is_allowed);
            ok.then(|| text.to_owned())
        }
        Kind::Number(range) => {
            let digits = text.trim();
            let is_number = digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse().ok().filter(|n| is_number && range.contains(n))?;
            Some(number.to_string())
        }
        Kind::Choice(options) => {
            options.iter().find(|option| option.eq_ignore_ascii_case(text.trim())).cloned()
        }
        Kind::Switch => match text.trim().to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" => Some("true".into()),
            "off" | "false" | "no" => Some("false".into()),
            _ => None,
        },
        Kind::List(count) => {
            let mut items: Vec<&str> = Vec::new();
            for item in text.split([',', ' ']).filter(|item| !item.is_empty()) {
                if !is_item(item) {
                    return None;
                }
                if !items.contains(&item) {
                    items.push(item);
                }
                if items.len() > usize::try_from(MOST_ITEMS).unwrap_or(usize::MAX) {
                    return None;
                }
            }
            let joined = items.join(" ");
            let is_short = fits(joined.len(), &(1..=LONGEST_VALUE));
            (fits(items.len(), count) && is_short).then_some(joined)
        }
        Kind::Terms(url) => {
            let said = text.trim();
            let accepted = ["accept", "accepted", "i accept", "yes", "true"];
            let is_accepted = said == url || accepted.contains(&said.to_ascii_lowercase().as_str());
            is_accepted.then(|| url.clone())
        }
    }
}

fn is_item(item: &str) -> bool {
    item.len() <= LONGEST_ITEM && item.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/@+~".contains(&b))
}

/// Tells whether `text` has nothing in it that could begin another line, or show a line as it is not.
pub fn is_line(text: &str) -> bool {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}' | '\u{feff}')
    };
    !text.chars().any(is_odd)
}

/// Returns what `typed` means for a game that declares these settings.
pub fn choose(declared: &[Setting], typed: &Typed) -> Result<Choices, BadSetting> {
    let mut choices = Choices::default();
    for (given, text) in &typed.0 {
        let setting = declared.iter().find(|setting| setting.name.as_str() == given);
        let setting = setting.ok_or_else(|| BadSetting::Unknown {
            given: given.clone(),
            known: declared.iter().map(|setting| setting.name.clone()).collect(),
        })?;
        let value = match text.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(setting.read(text)?),
            None if setting.need == Need::Required => {
                return Err(BadSetting::Missing(vec![setting.name.clone()]));
            }
            None => None,
        };
        // Whoever takes back what is there already changes nothing of it, and may be the only way on.
        if setting.change == Change::Create && value.is_some() {
            choices.until_woken.get_or_insert_with(|| setting.name.clone());
        }
        choices.values.insert(setting.name.clone(), value);
    }
    Ok(choices)
}

/// Says what a new world lacks: terms that were not accepted first, for nothing else counts without them.
pub fn require_all(declared: &[Setting], chosen: &Chosen) -> Result<(), BadSetting> {
    let lacking: Vec<_> = declared
        .iter()
        .filter(|setting| setting.need == Need::Required && !chosen.0.contains_key(&setting.name))
        .collect();
    for setting in &lacking {
        if let Some(url) = setting.kind.terms() {
            return Err(setting.not_accepted(url));
        }
    }
    let lacking: Vec<_> = lacking.into_iter().map(|setting| setting.name.clone()).collect();
    if lacking.is_empty() { Ok(()) } else { Err(BadSetting::Missing(lacking)) }
}

/// Returns the environment of the game's scripts: every setting, with what was chosen, its default, or nothing. What was chosen
/// and is not allowed any more, since the game's entry is another one, is an error, and so are terms that were not accepted; a
/// choice that the game does not have any more counts for nothing.
pub fn variables(declared: &[Setting], chosen: &Chosen) -> Result<Vec<(String, String)>, BadSetting> {
    declared.iter().map(|setting| Ok((setting.variable(), setting.told(chosen)?))).collect()
}

/// Returns what everybody may see of what was chosen: the settings that are no secrets, with their values or defaults.
pub fn open<'a>(declared: &'a [Setting], chosen: &'a Chosen) -> Vec<(&'a Setting, &'a str)> {
    let shown = |setting: &'a Setting| {
        let value = chosen.0.get(&setting.name).or(setting.default.as_ref()).filter(|_| !setting.is_secret());
        let is_consent = setting.kind.terms().is_some();
        value.map(|value| (setting, if is_consent { "accepted" } else { value.as_str() }))
    };
    declared.iter().filter_map(shown).collect()
}

fn shown(given: &str) -> String {
    given.chars().take(40).flat_map(char::escape_debug).collect()
}

fn listed(names: &[SettingName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn either(words: &[String]) -> String {
    match words {
        [] => "nothing".into(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn each_kind_reads_what_it_takes_and_says_what_that_is() {
        check(
            Kind::Text(1..=8, Allow::Plain),
            &["Home", "Ann's 3", "", "a\nb", " a", "123456789", "a\"", "a#b", "\u{202e}a"],
            expect![[r##"
                Home -> Home
                Ann's 3 -> Ann's 3
                 -> use 1 to 8 characters, none of " \ ` $ # ; = < > { } |, no space at either end
                a\nb -> no
                 a -> no
                123456789 -> no
                a" -> no
                a#b -> no
                \u{202e}a -> no"##]],
        );
        check(
            Kind::Password(5..=9, Allow::Any),
            &["a'\"$`", "åäöåä", "1234", "1234567890", "12345\u{0}"],
            expect![[r#"
                a'"$` -> a'"$`
                åäöåä -> åäöåä
                1234 -> use 5 to 9 printable characters, no space at either end
                1234567890 -> no
                12345\0 -> no"#]],
        );
        check(
            Kind::Text(1..=5, Allow::Word),
            &["a.B-1", "a b"],
            expect![[r#"
                a.B-1 -> a.B-1
                a b -> use 1 to 5 letters, digits, dots, hyphens and underscores"#]],
        );
        check(
            Kind::Number(2..=20),
            &["2", " 20 ", "007", "1", "21", "+3", "3.0", "99999999999"],
            expect![[r#"
                2 -> 2
                 20  -> 20
                007 -> 7
                1 -> use a number from 2 to 20
                21 -> no
                +3 -> no
                3.0 -> no
                99999999999 -> no"#]],
        );
        check(
            Kind::Choice(vec!["easy".into(), "hard".into()]),
            &["Hard", "har"],
            expect![[r#"
                Hard -> hard
                har -> use easy or hard"#]],
        );
        check(
            Kind::Switch,
            &["ON", "no", "1"],
            expect![[r#"
                ON -> true
                no -> false
                1 -> use on or off"#]],
        );
        check(
            Kind::List(1..=2),
            &["a, b,,a", "x/y-1.2:3", ",", "a b c", "a;b", "$a"],
            expect![[r#"
                a, b,,a -> a b
                x/y-1.2:3 -> x/y-1.2:3
                , -> use 1 to 2 names without spaces, with commas or spaces between them
                a b c -> no
                a;b -> no
                $a -> no"#]],
        );
        check(
            Kind::Terms("https://example.com/eula".into()),
            &["Accept", "https://example.com/eula", "no", "https://example.com/eula-2"],
            expect![[r#"
                Accept -> https://example.com/eula
                https://example.com/eula -> https://example.com/eula
                no -> use `accept`
                https://example.com/eula-2 -> no"#]],
        );
    }

    #[test]
    fn a_list_is_bounded_however_long_the_text() {
        let list = setting("mods", Kind::List(0..=50));
        let many: String = (0..100_000).map(|n| format!("{n} ")).collect();
        assert!(list.read(&many).is_err());
        assert!(list.read(&"x".repeat(101)).is_err());
        let long: String = (0..50).map(|n| format!("{n:0>60} ")).collect();
        assert!(list.read(&long).is_err(), "longer than a value may be");
    }

    #[test]
    fn what_a_game_does_not_have_and_what_it_does_not_take_is_told_without_showing_it() {
        let declared = declared();
        let said = |given: &[(&str, Option<&str>)]| {
            let error = choose(&declared, &typed(given)).unwrap_err();
            format!("{error}\n  hint: {}\n", error.hint())
        };
        let all = said(&[("colour", Some("red"))])
            + &said(&[("password", Some("hunt"))])
            + &said(&[("name", None)])
            + &said(&[("eula", Some("hm"))]);
        expect![[r#"
            there is no setting `colour`
              hint: there are: `name`, `password`, `seed`, `level`, `eula`
            `password` (password) is not valid
              hint: use 5 to 64 printable characters, no space at either end
            `name` must be chosen
              hint: `games` shows what each takes
            eula must be accepted first: https://example.com/eula
              hint: read them, and if you accept them set `eula` to `accept`
        "#]]
        .assert_eq(&all);
        assert!(!all.contains("hunt"));
    }

    #[test]
    fn a_new_world_has_its_terms_accepted_and_what_is_required() {
        let declared = declared();
        let lacks = |given: &[(&str, Option<&str>)]| {
            let chosen = Chosen::default().with(&choose(&declared, &typed(given)).unwrap());
            require_all(&declared, &chosen).map_or_else(|bad| bad.to_string(), |()| "nothing".into())
        };
        assert_eq!(lacks(&[]), "eula must be accepted first: https://example.com/eula");
        assert_eq!(lacks(&[("eula", Some("accept"))]), "`name` must be chosen");
        assert_eq!(lacks(&[("eula", Some("accept")), ("name", Some("Home"))]), "nothing");
    }

    #[test]
    fn scripts_are_told_every_setting() {
        let given = [("eula", Some("yes")), ("name", Some("Home")), ("password", Some("$(hunter)"))];
        let declared = declared();
        let chosen = Chosen::default().with(&choose(&declared, &typed(&given)).unwrap());
        let told: Vec<_> = variables(&declared, &chosen).unwrap();
        let told: Vec<_> = told.iter().map(|(name, value)| format!("{name}={value}")).collect();
        expect![[r#"
            SETTING_NAME=Home
            SETTING_PASSWORD=$(hunter)
            SETTING_SEED=
            SETTING_LEVEL=normal
            SETTING_EULA=true"#]]
        .assert_eq(&told.join("\n"));
    }

    #[test]
    fn what_does_not_fit_any_more_is_an_error_and_what_is_gone_counts_for_nothing() {
        let value = |text| SettingValue::parse(text).unwrap();
        let given = [("eula", "https://example.com/eula"), ("level", "brutal"), ("colour", "red")];
        let chosen = given.map(|(name, text)| (SettingName::parse(name).unwrap(), value(text)));
        let chosen = Chosen(chosen.into_iter().collect());
        let said = |declared: &[Setting]| variables(declared, &chosen).unwrap_err().to_string();
        assert_eq!(said(&declared()), "`level` (level) is not valid");
        let newer = setting("eula", Kind::Terms("https://example.com/eula-2".into()));
        assert_eq!(said(&[newer]), "eula must be accepted first: https://example.com/eula-2");
        assert_eq!(variables(&[], &chosen), Ok(vec![]));
    }

    #[test]
    fn no_value_is_shown_by_debug_and_no_secret_to_everybody() {
        let given = typed(&[("password", Some("hunter22")), ("level", Some("hard"))]);
        let declared = declared();
        let choices = choose(&declared, &given).unwrap();
        let chosen = Chosen::default().with(&choices);
        let debug = format!("{given:?} {choices:?} {chosen:?}");
        assert!(!debug.contains("hunter22") && !debug.contains("hard"), "{debug}");
        let shown: Vec<_> = open(&declared, &chosen).iter().map(|(s, v)| format!("{}={v}", s.name)).collect();
        assert_eq!(shown, ["level=hard"]);
    }

    #[test]
    fn what_can_only_be_chosen_for_a_new_world_is_marked() {
        let declared = declared();
        let marked = |given| choose(&declared, &typed(&[(given, Some("7"))])).unwrap().until_woken;
        assert_eq!(marked("seed"), Some(SettingName::parse("seed").unwrap()));
        assert_eq!(marked("name"), None);
    }

    fn declared() -> Vec<Setting> {
        vec![
            Setting { need: Need::Required, ..setting("name", Kind::Text(1..=20, Allow::Any)) },
            setting("password", Kind::Password(5..=64, Allow::Any)),
            Setting { change: Change::Create, ..setting("seed", Kind::Number(0..=9)) },
            Setting {
                default: Some(SettingValue("normal".into())),
                ..setting("level", Kind::Choice(["easy", "normal", "hard"].map(str::to_owned).into()))
            },
            Setting {
                need: Need::Required,
                ..setting("eula", Kind::Terms("https://example.com/eula".into()))
            },
        ]
    }

    fn setting(name: &str, kind: Kind) -> Setting {
        Setting {
            name: SettingName::parse(name).unwrap(),
            title: name.into(),
            about: None,
            kind,
            default: None,
            need: Need::Optional,
            change: Change::Any,
        }
    }

    fn typed(given: &[(&str, Option<&str>)]) -> Typed {
        Typed(given.iter().map(|(name, text)| ((*name).to_owned(), text.map(str::to_owned))).collect())
    }

    /// Compares what becomes of each text; the first that is refused says what is allowed.
    fn check(kind: Kind, texts: &[&str], expected: Expect) {
        let setting = setting("it", kind);
        let mut said = false;
        let line = |text: &&str| {
            let became = match setting.read(text) {
                Ok(value) => value.0,
                Err(_) if said => "no".into(),
                Err(_) => {
                    said = true;
                    format!("use {}", setting.kind.allowed())
                }
            };
            format!(
                "{} -> {became}",
                text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
            )
        };
        expected.assert_eq(&texts.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
}
