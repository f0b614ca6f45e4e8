//! `games`: which games there are.

use crate::{
    commands::{
        Command, Reply,
        spec::{Shown, Spec},
    },
    driver::Driver,
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "games",
    about: "See which games there are",
    options: &[],
    shown: Shown::Everybody,
    read: |_| Ok(Command::Games),
};

pub(super) fn run(driver: &Driver) -> Reply {
    Reply::Games(driver.games.values().cloned().collect())
}
