//! What was checked of a game, and what came of it: a line for people as soon as it is known, or all of it in JSON.

use serde::Serialize;

use crate::output::say;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) saw: String,
    /// What to change, of what is not as it should be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) change: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// It works, but not as well as it could; or nobody could look.
    Warn,
    Fail,
}

impl Step {
    pub(super) fn ok(name: &'static str, saw: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, saw: saw.into(), change: String::new() }
    }

    pub(super) fn warn(name: &'static str, saw: impl Into<String>, change: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, saw: saw.into(), change: change.into() }
    }

    pub(super) fn fail(name: &'static str, saw: impl Into<String>, change: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, saw: saw.into(), change: change.into() }
    }

    /// Returns it as people read it: a line, and one for what to change.
    fn text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let change =
            if self.change.is_empty() { String::new() } else { format!("\n     change: {}", self.change) };
        format!("{verdict} {}: {}{change}", self.name, self.saw)
    }
}

/// Whom it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    People,
    Programs,
}

/// All that was checked so far.
#[derive(Debug)]
pub(super) struct Report {
    reader: For,
    pub(super) steps: Vec<Step>,
}

impl Report {
    pub(super) fn new(reader: For) -> Self {
        Self { reader, steps: Vec::new() }
    }

    /// Takes a step down, and tells people at once.
    pub(super) fn add(&mut self, step: Step) {
        match self.reader {
            For::People => say!("{}", step.text()),
            For::Programs => {}
        }
        self.steps.push(step);
    }

    /// Tells people what is going on.
    pub(super) fn progress(&self, words: &str) {
        match self.reader {
            For::People => say!("     {words}"),
            For::Programs => {}
        }
    }

    /// Returns how many steps have this verdict.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.steps.iter().filter(|step| step.verdict == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn what_is_to_be_changed_stands_below_what_was_seen() {
        let steps = [Step::ok("entry", "Luanti"), Step::fail("stop", "it was killed", "mend it")];
        expect![[r"
            ok   entry: Luanti
            FAIL stop: it was killed
                 change: mend it"]]
        .assert_eq(&steps.map(|step| step.text()).join("\n"));
    }
}
