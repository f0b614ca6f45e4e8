//! `world list`: which worlds there are.

use crate::{
    commands::{Context, Problem, Reply},
    driver::Driver,
};

pub(super) async fn run(context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    Ok(Reply::Worlds(driver.store.list(&context.guild).await?))
}
