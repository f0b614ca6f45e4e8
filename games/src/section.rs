//! One table of a TOML document, read key by key. What is wrong is noted, and reading goes on, so that all is said at
//! once.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::{
    problem::{BadEntry, Problems},
    rule::{Rule, either},
};

/// Returns what `read` makes of the document `text` of `file`, or says everything that is wrong with it, `problems`
/// among it.
pub(crate) fn read_document<'d, T>(
    file: &Path,
    text: &'d str,
    problems: Problems<'d>,
    read: impl for<'t> FnOnce(&mut Section<'t, '_>) -> Option<T>,
) -> Result<T, BadEntry> {
    let document = DeTable::parse(text);
    let mut problems = problems;
    let result = match &document {
        Ok(table) => Section::root(table, &mut problems, read),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            problems.add(at, format!("not TOML: {}", error.message()));
            None
        }
    };
    match result {
        Some(result) if problems.is_empty() => Ok(result),
        Some(_) | None => Err(problems.into_bad_entry(file)),
    }
}

/// A table that is being read. Whatever key was not asked for by the end is unknown, so ask for all of them before
/// giving up on any.
pub(crate) struct Section<'d, 'p> {
    path: String,
    table: &'d DeTable<'d>,
    at: usize,
    asked: Vec<String>,
    problems: &'p mut Problems<'d>,
}

impl<'d> Section<'d, '_> {
    /// Reads a whole document.
    pub(crate) fn root<T>(
        table: &'d Spanned<DeTable<'d>>,
        problems: &mut Problems<'d>,
        read: impl FnOnce(&mut Section<'d, '_>) -> Option<T>,
    ) -> Option<T> {
        let section =
            Section { path: String::new(), table: table.get_ref(), at: 0, asked: Vec::new(), problems };
        section.read(read)
    }

    /// Returns the value of `key`, which must be there.
    pub(crate) fn required<T>(&mut self, key: &str, rule: &Rule<T>) -> Option<T> {
        self.must_have(key, &rule.allowed);
        self.optional(key, rule)
    }

    /// Returns the value of `key` if it is there.
    pub(crate) fn optional<T>(&mut self, key: &str, rule: &Rule<T>) -> Option<T> {
        let value = self.ask(key)?;
        let read = (rule.read)(value.get_ref());
        if read.is_none() {
            self.complain(key, &format!("is {}: use {}", shown(value.get_ref()), rule.allowed));
        }
        read
    }

    /// Returns the list at `key`, which must be there and have as many items as `count`.
    pub(crate) fn list<T: PartialEq>(
        &mut self,
        key: &str,
        count: RangeInclusive<usize>,
        rule: &Rule<T>,
    ) -> Option<Vec<T>> {
        self.must_have(key, &list_of(&count, "", &rule.allowed));
        self.optional_list(key, count, rule)
    }

    /// Returns the list at `key` if it is there.
    pub(crate) fn optional_list<T: PartialEq>(
        &mut self,
        key: &str,
        count: RangeInclusive<usize>,
        rule: &Rule<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(key, count, "", &rule.allowed)?;
        let mut list = Vec::new();
        for item in items {
            let shown = shown(item.get_ref());
            match (rule.read)(item.get_ref()) {
                Some(read) if list.contains(&read) => {
                    self.note(item, &format!("`{}` has {shown} twice", self.name(key)));
                }
                Some(read) => list.push(read),
                None => self.note(item, &format!("`{}` has {shown}: use {}", self.name(key), rule.allowed)),
            }
        }
        (list.len() == items.len()).then_some(list)
    }

    /// Reads the table at `key`, which must be there.
    pub(crate) fn section<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Section<'d, '_>) -> Option<T>,
    ) -> Option<T> {
        self.must_have(key, &format!("a section [{key}]"));
        self.optional_section(key, read)
    }

    /// Reads the table at `key` if it is there.
    pub(crate) fn optional_section<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Section<'d, '_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.ask(key)?;
        self.inner(key, value, &format!("[{key}]"), read)
    }

    /// Reads the tables at `key`, which must be as many as `count`.
    pub(crate) fn sections<T>(
        &mut self,
        key: &str,
        count: RangeInclusive<usize>,
        read: impl FnMut(&mut Section<'d, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let header = format!("[[{key}]]");
        self.must_have(key, &list_of(&count, &header, &format!("sections {header}")));
        self.optional_sections(key, count, read)
    }

    /// Reads the tables at `key`, if it is there; they must be as many as `count`.
    pub(crate) fn optional_sections<T>(
        &mut self,
        key: &str,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&mut Section<'d, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let header = format!("[[{key}]]");
        let allowed = format!("sections {header}");
        let items = self.items(key, count, &header, &allowed)?;
        let list: Vec<_> = items.iter().filter_map(|v| self.inner(key, v, &header, &mut read)).collect();
        (list.len() == items.len()).then_some(list)
    }

    /// Reads the table at `key`, if it is there, of tables that have the `names`; returns those that are there and sound.
    pub(crate) fn named<T>(
        &mut self,
        key: &str,
        names: &[String],
        mut read: impl FnMut(&mut Section<'d, '_>) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let mut all = BTreeMap::new();
        self.optional_section(key, |section| {
            for name in names {
                all.extend(section.optional_section(name, &mut read).map(|one| (name.clone(), one)));
            }
            Some(())
        });
        all
    }

    /// Notes that the value of `key` is not allowed; `what` completes the sentence that the key begins.
    pub(crate) fn complain(&mut self, key: &str, what: &str) {
        let at = self.table.get(key).map_or(self.at, |v| v.span().start);
        self.problems.add(at, format!("`{}` {what}", self.name(key)));
    }

    fn read<T>(mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let value = read(&mut self);
        for key in self.table.keys().filter(|k| !self.asked.iter().any(|asked| asked == k.get_ref())) {
            let what =
                format!("unknown key `{}`: use {}", self.name(&short(key.get_ref())), either(&self.asked));
            self.problems.add(key.span().start, what);
        }
        value
    }

    fn inner<T>(
        &mut self,
        key: &str,
        value: &'d Spanned<DeValue<'d>>,
        header: &str,
        read: impl FnOnce(&mut Section<'d, '_>) -> Option<T>,
    ) -> Option<T> {
        let Some(table) = value.get_ref().as_table() else {
            self.note(
                value,
                &format!("`{}` is {}: use a section {header}", self.name(key), shown(value.get_ref())),
            );
            return None;
        };
        let (path, at) = (self.name(key), value.span().start);
        Section { path, table, at, asked: Vec::new(), problems: self.problems }.read(read)
    }

    /// Returns the items of the list at `key`, if it is one of `count` items.
    fn items(
        &mut self,
        key: &str,
        count: RangeInclusive<usize>,
        header: &str,
        allowed: &str,
    ) -> Option<&'d DeArray<'d>> {
        let value = self.ask(key)?;
        let items = value.get_ref().as_array().filter(|items| count.contains(&items.len()));
        if items.is_none() {
            self.complain(
                key,
                &format!("is {}: use {}", shown(value.get_ref()), list_of(&count, header, allowed)),
            );
        }
        items
    }

    fn ask(&mut self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.table.get(key)
    }

    fn must_have(&mut self, key: &str, allowed: &str) {
        if self.ask(key).is_none() {
            self.complain(key, &format!("is missing: use {allowed}"));
        }
    }

    fn note(&mut self, value: &Spanned<DeValue<'_>>, what: &str) {
        self.problems.add(value.span().start, what.to_owned());
    }

    /// Returns `key` with the names of the tables around it.
    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn list_of(count: &RangeInclusive<usize>, header: &str, allowed: &str) -> String {
    let (least, most) = (count.start(), count.end());
    if header.is_empty() {
        format!("a list of {least} to {most} items, each {allowed}")
    } else {
        format!("{least} to {most} {allowed}")
    }
}

/// Returns what stands in the file, as far as it fits into a line.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", short(text)),
        DeValue::Integer(integer) => short(&integer.to_string()),
        DeValue::Float(float) => short(&float.to_string()),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(items) if items.is_empty() => "an empty list".into(),
        DeValue::Array(items) => format!("a list of {}", items.len()),
        DeValue::Table(_) => "a table".into(),
    }
}

/// Returns the beginning of `text`, on one line.
fn short(text: &str) -> String {
    const MOST: usize = 40;
    let rest = if text.chars().nth(MOST).is_some() { "…" } else { "" };
    text.chars().take(MOST).flat_map(char::escape_debug).chain(rest.chars()).collect()
}
