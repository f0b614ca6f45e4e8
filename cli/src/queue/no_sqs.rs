//! What a program that was built without AWS says about SQS.

use adapters::queue::dead::DeadLetters;
use anyhow::{Result, bail};

/// Explains that there is no SQS in this program.
pub(super) async fn open(_: &str, _: &str) -> Result<Box<dyn DeadLetters>> {
    bail!(
        "this dormouse was built without AWS: use one that was built with the feature `aws`, as it is by default"
    )
}
