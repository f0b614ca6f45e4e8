//! Rounds on one machine.

use anyhow::Result;

use super::Field;

/// Plays on a machine until it is over.
pub(super) fn play(_field: &Field<'_>, _name: &str, _n: u32, _seed: u64) -> Result<()> {
    Ok(())
}
