//! What is wrong with a file, in lines that an editor can jump to.

use std::{fmt, path::Path, path::PathBuf};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub what: String,
}

/// Says why a file is no catalogue entry, or no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEntry {
    /// The file.
    pub file: PathBuf,
    /// Its first problems in the order of their lines, [`BadEntry::MOST`] at most.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl BadEntry {
    /// How many problems are listed. Nobody mends more in one go.
    pub const MOST: usize = 20;
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for (n, Problem { line, what }) in self.problems.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{file}:{line}: {what}")?;
        }
        if self.more > 0 { write!(f, "\n{file}: and {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for BadEntry {}

/// The problems found so far in one text.
pub(crate) struct Problems<'t> {
    text: &'t str,
    found: Vec<(usize, String)>,
}

impl<'t> Problems<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, found: Vec::new() }
    }

    /// Adds a problem at the byte `at` of the text.
    pub(crate) fn add(&mut self, at: usize, what: String) {
        self.found.push((at, what));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn into_bad_entry(mut self, file: &Path) -> BadEntry {
        self.found.sort_by_key(|(at, _)| *at);
        let more = self.found.len().saturating_sub(BadEntry::MOST);
        let line = |at| self.text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        let first = self.found.into_iter().take(BadEntry::MOST);
        let problems = first.map(|(at, what)| Problem { line: line(at), what }).collect();
        BadEntry { file: file.to_owned(), problems, more }
    }
}
