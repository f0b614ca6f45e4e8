//! `help`: which commands there are.

use crate::commands::{
    Command,
    spec::{Shown, Spec},
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "help",
    about: "See which commands there are and what they do",
    options: &[],
    shown: Shown::Asker,
    read: |_| Ok(Command::Help),
};
