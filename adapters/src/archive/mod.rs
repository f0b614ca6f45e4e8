//! Checked copies of worlds.

use domain::{
    ports::Unavailable,
    world::{ArchiveId, Generation},
};
use jiff::Timestamp;

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod directory;

#[cfg(feature = "aws")]
pub mod s3;

/// The largest archive that is received. No game's world comes near it.
pub const LARGEST: u64 = 100 << 30;

/// Returns the id of an archive of the launch: sorts by age, and is unique if no other is made in its millisecond.
fn archive_id(launch: Generation, now: Timestamp) -> Result<ArchiveId, Unavailable> {
    let id = format!("{}-g{launch}", now.strftime("%Y%m%d-%H%M%S-%3f"));
    ArchiveId::parse(&id).map_err(|error| Unavailable(error.to_string()))
}

/// Gives no tickets for what would not be received.
fn refuse_too_large(size: u64) -> Result<(), Unavailable> {
    if size <= LARGEST {
        return Ok(());
    }
    Err(Unavailable(format!("an archive of {size} bytes is larger than the {LARGEST} that are received")))
}
