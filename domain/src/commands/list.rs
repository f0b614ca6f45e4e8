//! `world list`: which worlds there are.

use crate::{
    commands::{
        Command, Context, Problem, Reply,
        spec::{Shown, Spec},
    },
    driver::Driver,
};

/// How it is asked for.
pub const SPEC: Spec = Spec {
    path: "world list",
    about: "See which worlds there are",
    options: &[],
    shown: Shown::Everybody,
    read: |_| Ok(Command::List),
};

pub(super) async fn run(context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    Ok(Reply::Worlds(driver.store.list(&context.guild).await?.worlds))
}
