//! What was looked at, and what came of it.

use serde::Serialize;

use crate::output::say;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// What is so; of what is not as it should be, also what to do.
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Good,
    /// It works, but not as well as it could; or nobody could look.
    Weak,
    Bad,
}

pub(super) fn good(name: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { name: name.into(), verdict: Verdict::Good, text: text.into() }
}

pub(super) fn weak(name: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { name: name.into(), verdict: Verdict::Weak, text: text.into() }
}

pub(super) fn bad(name: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { name: name.into(), verdict: Verdict::Bad, text: text.into() }
}

/// Returns `1 thing` or `2 things`.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "only deployments are counted"))]
pub(super) fn count(n: u64, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

impl Finding {
    /// Prints it for people.
    pub(super) fn show(&self) {
        let mark = match self.verdict {
            Verdict::Good => "ok  ",
            Verdict::Weak => "weak",
            Verdict::Bad => "BAD ",
        };
        say!("{mark} {}: {}", self.name, self.text);
    }
}
