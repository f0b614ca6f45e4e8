//! `games`: which games there are.

use crate::{commands::Reply, driver::Driver};

pub(super) fn run(driver: &Driver) -> Reply {
    Reply::Games(driver.games.values().cloned().collect())
}
