//! Discord's rules for what is sent to it, from its public documentation: unknown fields, lengths, counts, values, and
//! which parts go together. Knows nothing of the code that makes the payloads, not even its constants.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Ping,
    Command,
    Button,
    Autocomplete,
    Modal,
}

/// Checks the answer to an interaction.
pub(crate) fn answer(value: &Value, to: To) -> Result<(), String> {
    let mut rules = Rules::default();
    let Some(object) = rules.object("answer", value, &["type"], &["data"]) else { return rules.end(value) };
    let data = object.get("data").unwrap_or(&Value::Null);
    match (value["type"].as_u64(), to) {
        (Some(1), To::Ping) => rules.must("answer", data.is_null(), "a pong has no data"),
        (Some(4), To::Command | To::Button | To::Modal) => rules.message("answer.data", data, &["flags"]),
        (Some(7), To::Button) => rules.message("answer.data", data, &[]),
        (Some(8), To::Autocomplete) => rules.autocompletion(data),
        (Some(9), To::Command | To::Button) => rules.modal(data),
        (kind, to) => rules.say("answer.type", format!("{kind:?} is no answer to {to:?}")),
    }
    rules.end(value)
}

/// Checks the body of a change to a message.
pub(crate) fn edit(value: &Value) -> Result<(), String> {
    let mut rules = Rules::default();
    rules.message("message", value, &[]);
    rules.end(value)
}

/// Checks the body of a new message.
pub(crate) fn post(value: &Value) -> Result<(), String> {
    let mut rules = Rules::default();
    rules.message("message", value, &["nonce", "enforce_nonce"]);
    if let Some(nonce) = value.get("nonce") {
        rules.text("message.nonce", nonce, 1, 25);
    }
    rules.must(
        "message.enforce_nonce",
        value.get("enforce_nonce").is_none_or(Value::is_boolean),
        "must be a flag",
    );
    rules.end(value)
}

/// Checks the body that registers commands, everywhere or in one guild.
pub(crate) fn commands(value: &Value, is_global: bool) -> Result<(), String> {
    let mut rules = Rules::default();
    let all = rules.list("commands", value, 0, 100);
    rules.unique("commands", all, "name");
    for command in all {
        rules.command(command, is_global);
    }
    rules.end(value)
}

#[derive(Default)]
struct Rules {
    broken: Vec<String>,
}

/// The length that the stricter reading of "characters" gives.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Rules {
    fn end(self, value: &Value) -> Result<(), String> {
        if self.broken.is_empty() { Ok(()) } else { Err(format!("{}\nin {value:#}", self.broken.join("\n"))) }
    }

    fn say(&mut self, at: &str, what: impl Into<String>) {
        self.broken.push(format!("{at}: {}", what.into()));
    }

    fn must(&mut self, at: &str, holds: bool, what: &str) {
        if !holds {
            self.say(at, what);
        }
    }

    fn object<'a>(
        &mut self,
        at: &str,
        value: &'a Value,
        needed: &[&str],
        allowed: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.say(at, "is no object");
            return None;
        };
        for name in needed {
            self.must(at, object.contains_key(*name), &format!("lacks `{name}`"));
        }
        for name in object.keys() {
            let is_known = needed.contains(&name.as_str()) || allowed.contains(&name.as_str());
            self.must(at, is_known, &format!("has an unknown field `{name}`"));
        }
        Some(object)
    }

    fn list<'a>(&mut self, at: &str, value: &'a Value, least: usize, most: usize) -> &'a [Value] {
        let Some(list) = value.as_array() else {
            self.say(at, "is no list");
            return &[];
        };
        self.must(at, (least..=most).contains(&list.len()), &format!("{} of {least} to {most}", list.len()));
        list
    }

    fn text(&mut self, at: &str, value: &Value, least: usize, most: usize) {
        match value.as_str() {
            None => self.say(at, "is no text"),
            Some(text) => {
                let n = length(text);
                self.must(at, (least..=most).contains(&n), &format!("{n} characters of {least} to {most}"));
            }
        }
    }

    fn number(&mut self, at: &str, value: &Value, least: i64, most: i64) {
        let holds = value.as_i64().is_some_and(|n| (least..=most).contains(&n));
        self.must(at, holds, &format!("{value} is not in {least}..={most}"));
    }

    fn unique(&mut self, at: &str, all: &[Value], field: &str) {
        let mut seen = BTreeSet::new();
        for value in all.iter().filter_map(|one| one.get(field)) {
            self.must(at, seen.insert(value.to_string()), &format!("{field} {value} stands there twice"));
        }
    }

    fn message(&mut self, at: &str, value: &Value, further: &[&str]) {
        let allowed = [&["content", "embeds", "components", "allowed_mentions"], further].concat();
        let Some(object) = self.object(at, value, &[], &allowed) else { return };
        let get = |name: &str| object.get(name).unwrap_or(&Value::Null);
        if !get("content").is_null() {
            self.text(&format!("{at}.content"), get("content"), 0, 2000);
        }
        if !get("embeds").is_null() {
            let embeds = self.list(&format!("{at}.embeds"), get("embeds"), 0, 10);
            let total: usize = embeds.iter().map(|embed| self.embed(&format!("{at}.embed"), embed)).sum();
            self.must(at, total <= 6000, &format!("{total} characters of 6000 in all embeds"));
        }
        if !get("components").is_null() {
            self.rows(&format!("{at}.components"), get("components"));
        }
        if !get("flags").is_null() {
            self.must(&format!("{at}.flags"), *get("flags") == 64, "an answer is for all (none) or one (64)");
        }
        let is_empty = get("content").as_str().is_none_or(str::is_empty)
            && get("embeds").as_array().is_none_or(Vec::is_empty);
        self.must(at, !is_empty, "is empty");
        // Ours: nothing we say notifies anybody.
        let mentions = &value["allowed_mentions"];
        self.must(at, *mentions == serde_json::json!({ "parse": [] }), "may notify people");
    }

    /// Returns the number of characters that count for the limit of all embeds.
    fn embed(&mut self, at: &str, value: &Value) -> usize {
        let fields = ["title", "description", "color", "footer", "fields", "type", "timestamp", "url"];
        let Some(object) = self.object(at, value, &[], &fields) else { return 0 };
        let mut total = 0;
        for (name, most) in [("title", 256), ("description", 4096)] {
            if let Some(text) = object.get(name) {
                self.text(&format!("{at}.{name}"), text, 1, most);
                total += length(text.as_str().unwrap_or_default());
            }
        }
        self.must(at, total > 0, "says nothing");
        if let Some(colour) = object.get("color") {
            self.number(&format!("{at}.color"), colour, 0, 0xff_ff_ff);
        }
        if let Some(kind) = object.get("type") {
            self.must(at, kind == "rich", "is of a type that cannot be sent");
        }
        if let Some(footer) = object.get("footer") {
            self.object(&format!("{at}.footer"), footer, &["text"], &[]);
            self.text(&format!("{at}.footer.text"), &footer["text"], 1, 2048);
            total += length(footer["text"].as_str().unwrap_or_default());
        }
        if let Some(fields) = object.get("fields") {
            for field in self.list(&format!("{at}.fields"), fields, 0, 25) {
                self.object(&format!("{at}.field"), field, &["name", "value"], &["inline"]);
                self.text(&format!("{at}.field.name"), &field["name"], 1, 256);
                self.text(&format!("{at}.field.value"), &field["value"], 1, 1024);
                total += length(field["name"].as_str().unwrap_or_default());
                total += length(field["value"].as_str().unwrap_or_default());
            }
        }
        total
    }

    fn rows(&mut self, at: &str, value: &Value) {
        let mut ids = BTreeSet::new();
        for row in self.list(at, value, 0, 5) {
            self.object(at, row, &["type", "components"], &[]);
            self.must(at, row["type"] == 1, "only rows stand at the top");
            for button in self.list(&format!("{at}.row"), &row["components"], 1, 5) {
                self.button(&format!("{at}.row.button"), button);
                if let Some(id) = button["custom_id"].as_str() {
                    self.must(at, ids.insert(id.to_owned()), &format!("id {id} stands there twice"));
                }
            }
        }
    }

    fn button(&mut self, at: &str, value: &Value) {
        let fields = ["label", "emoji", "custom_id", "url", "disabled"];
        let Some(object) = self.object(at, value, &["type", "style"], &fields) else { return };
        self.must(at, value["type"] == 2, "only buttons are used in rows");
        self.number(&format!("{at}.style"), &value["style"], 1, 5);
        let is_named = object.contains_key("label") || object.contains_key("emoji");
        self.must(at, is_named, "neither label nor emoji");
        if let Some(label) = object.get("label") {
            self.text(&format!("{at}.label"), label, 1, 80);
        }
        let is_link = value["style"] == 5;
        self.must(at, object.contains_key("url") == is_link, "a link has an address, and nothing else has");
        self.must(at, object.contains_key("custom_id") != is_link, "a link has no id, and all else has");
        if let Some(id) = object.get("custom_id") {
            self.text(&format!("{at}.custom_id"), id, 1, 100);
        }
        if let Some(url) = object.get("url") {
            self.text(&format!("{at}.url"), url, 1, 512);
        }
        self.must(at, object.get("disabled").is_none_or(Value::is_boolean), "`disabled` is no flag");
    }

    fn autocompletion(&mut self, value: &Value) {
        self.object("answer.data", value, &["choices"], &[]);
        for choice in self.list("choices", &value["choices"], 0, 25) {
            self.choice("choice", choice);
        }
        self.unique("choices", value["choices"].as_array().map_or(&[], Vec::as_slice), "value");
    }

    fn choice(&mut self, at: &str, value: &Value) {
        self.object(at, value, &["name", "value"], &[]);
        self.text(&format!("{at}.name"), &value["name"], 1, 100);
        self.text(&format!("{at}.value"), &value["value"], 1, 100);
    }

    fn modal(&mut self, value: &Value) {
        self.object("modal", value, &["custom_id", "title", "components"], &[]);
        self.text("modal.custom_id", &value["custom_id"], 1, 100);
        self.text("modal.title", &value["title"], 1, 45);
        let mut ids = BTreeSet::new();
        for label in self.list("modal.components", &value["components"], 1, 5) {
            self.object("modal.label", label, &["type", "label", "component"], &["description"]);
            self.must("modal.label", label["type"] == 18, "only labels stand at the top of a modal");
            self.text("modal.label.label", &label["label"], 1, 45);
            if let Some(description) = label.get("description") {
                self.text("modal.label.description", description, 1, 100);
            }
            self.input("modal.input", &label["component"]);
            self.must("modal", ids.insert(label["component"]["custom_id"].to_string()), "an id stands twice");
        }
    }

    fn input(&mut self, at: &str, value: &Value) {
        let fields = ["min_length", "max_length", "required", "value", "placeholder"];
        let Some(object) = self.object(at, value, &["type", "custom_id", "style"], &fields) else { return };
        self.must(at, value["type"] == 4, "only text inputs are used in modals");
        self.text(&format!("{at}.custom_id"), &value["custom_id"], 1, 100);
        self.number(&format!("{at}.style"), &value["style"], 1, 2);
        for (name, least) in [("min_length", 0), ("max_length", 1)] {
            if let Some(n) = object.get(name) {
                self.number(&format!("{at}.{name}"), n, least, 4000);
            }
        }
        if let Some(text) = object.get("placeholder") {
            self.text(&format!("{at}.placeholder"), text, 1, 100);
        }
        if let Some(text) = object.get("value") {
            self.text(&format!("{at}.value"), text, 0, 4000);
        }
        self.must(at, object.get("required").is_none_or(Value::is_boolean), "`required` is no flag");
    }

    fn command(&mut self, value: &Value, is_global: bool) {
        let mut allowed = vec!["type", "options", "default_member_permissions", "nsfw"];
        if is_global {
            allowed.extend(["contexts", "integration_types"]);
        }
        let name = value["name"].as_str().unwrap_or("?");
        let at = format!("/{name}");
        let Some(object) = self.object(&at, value, &["name", "description"], &allowed) else { return };
        self.must(&at, object.get("type").is_none_or(|kind| *kind == 1), "is not called by a slash");
        self.name(&at, &value["name"]);
        self.text(&format!("{at}.description"), &value["description"], 1, 100);
        for (field, most) in [("contexts", 2), ("integration_types", 1)] {
            if let Some(list) = object.get(field).filter(|list| !list.is_null()) {
                let list = self.list(&format!("{at}.{field}"), list, 1, 3);
                list.iter().for_each(|n| self.number(&format!("{at}.{field}"), n, 0, most));
            }
        }
        let permissions = object.get("default_member_permissions").unwrap_or(&Value::Null);
        let is_set = permissions.is_null() || permissions.as_str().is_some_and(|p| p.parse::<u64>().is_ok());
        self.must(&at, is_set, "its permissions are no number in a text");
        let mut total = characters(value);
        if let Some(options) = object.get("options") {
            total += self.options(&at, options, 0);
        }
        self.must(&at, total <= 8000, &format!("{total} characters of 8000"));
    }

    /// Returns the number of characters that count for the limit of a command.
    fn options(&mut self, at: &str, value: &Value, depth: usize) -> usize {
        let all = self.list(&format!("{at}.options"), value, 0, 25);
        self.unique(at, all, "name");
        let below = all.iter().filter(|option| option["type"] == 1 || option["type"] == 2).count();
        self.must(at, below == 0 || below == all.len(), "mixes commands with options");
        self.must(at, below == 0 || depth < 2, "nests commands too deeply");
        let needed: Vec<_> = all.iter().map(|option| option["required"] == true).collect();
        self.must(at, needed.is_sorted_by(|a, b| a >= b), "an option that is needed follows one that is not");
        all.iter().map(|option| self.option(at, option, depth)).sum()
    }

    fn option(&mut self, at: &str, value: &Value, depth: usize) -> usize {
        let at = format!("{at} {}", value["name"].as_str().unwrap_or("?"));
        let kind = value["type"].as_u64().unwrap_or(0);
        let further: &[&str] = match kind {
            1 | 2 => &["options"],
            3 => &["required", "choices", "min_length", "max_length", "autocomplete"],
            4 | 10 => &["required", "choices", "min_value", "max_value", "autocomplete"],
            5..=9 | 11 => &["required"],
            _ => {
                self.say(&at, format!("{kind} is no type of option"));
                &[]
            }
        };
        let Some(object) = self.object(&at, value, &["type", "name", "description"], further) else {
            return 0;
        };
        self.name(&at, &value["name"]);
        self.text(&format!("{at}.description"), &value["description"], 1, 100);
        let is_chosen = object.contains_key("choices");
        self.must(&at, !(is_chosen && value["autocomplete"] == true), "has choices and suggestions");
        for (name, least) in [("min_length", 0), ("max_length", 1)] {
            if let Some(n) = object.get(name) {
                self.number(&format!("{at}.{name}"), n, least, 6000);
            }
        }
        for name in ["min_value", "max_value"] {
            if let Some(n) = object.get(name) {
                self.number(&format!("{at}.{name}"), n, -(1 << 53), 1 << 53);
            }
        }
        let mut total = characters(value);
        if let Some(choices) = object.get("choices") {
            for choice in self.list(&format!("{at}.choices"), choices, 1, 25) {
                self.choice(&format!("{at}.choice"), choice);
                total += characters(choice);
            }
        }
        if let Some(options) = object.get("options") {
            total += self.options(&at, options, depth + 1);
        }
        total
    }

    /// Checks `^[-_'\p{L}\p{N}]{1,32}$` in lower case.
    fn name(&mut self, at: &str, value: &Value) {
        self.text(&format!("{at}.name"), value, 1, 32);
        let name = value.as_str().unwrap_or_default();
        let is_name = name.chars().all(|c| "-_'".contains(c) || c.is_alphanumeric());
        self.must(at, is_name && name.to_lowercase() == name, "its name is not in the allowed letters");
    }
}

fn characters(value: &Value) -> usize {
    ["name", "description", "value"]
        .map(|field| length(value[field].as_str().unwrap_or_default()))
        .iter()
        .sum()
}

#[test]
fn the_rules_find_what_is_wrong() {
    use serde_json::json;
    let mentions = json!({ "parse": [] });
    let good = json!({ "content": "x", "allowed_mentions": mentions });
    assert_eq!(edit(&good), Ok(()));
    let button = |id: &str| json!({ "type": 2, "style": 1, "label": "a", "custom_id": id });
    let row = |buttons: Vec<Value>| json!([{ "type": 1, "components": buttons }]);
    for (field, bad) in [
        ("content", json!("x".repeat(2001))),
        ("content", json!("")),
        ("content", json!(5)),
        ("tts", json!(true)),
        ("allowed_mentions", json!({ "parse": ["users"] })),
        ("embeds", json!([{}])),
        ("embeds", json!([{ "title": "x".repeat(257) }])),
        ("embeds", json!([{ "description": "x".repeat(4096) }, { "description": "x".repeat(4096) }])),
        ("embeds", json!([{ "title": "a", "footer": { "text": "" } }])),
        ("components", row(vec![])),
        ("components", row(vec![button("a"), button("a")])),
        ("components", row(vec![button(&"x".repeat(101))])),
        ("components", row((0..6).map(|n| button(&n.to_string())).collect())),
        ("components", row(vec![json!({ "type": 2, "style": 5, "label": "a", "url": "x".repeat(513) })])),
        ("components", row(vec![json!({ "type": 2, "style": 5, "label": "a", "custom_id": "a" })])),
        ("components", json!([button("a")])),
    ] {
        let mut message = good.clone();
        message[field] = bad;
        assert!(edit(&message).is_err(), "{message}");
    }
    let command = |option: Value| json!([{ "name": "a", "description": "b", "options": [option] }]);
    let option = json!({ "type": 3, "name": "a", "description": "b" });
    assert_eq!(commands(&command(option.clone()), true), Ok(()));
    for (field, bad) in [
        ("name", json!("A")),
        ("name", json!("a b")),
        ("description", json!("")),
        ("type", json!(12)),
        ("min_value", json!(1)),
        ("choices", json!([])),
        ("options", json!([])),
        ("label", json!("")),
    ] {
        let mut option = option.clone();
        option[field] = bad;
        assert!(commands(&command(option.clone()), true).is_err(), "{option}");
    }
    assert!(answer(&json!({ "type": 5 }), To::Autocomplete).is_err());
    assert!(answer(&json!({ "type": 1 }), To::Ping).is_ok());
}
