//! Checked copies of worlds, and what people send to be imported.

use domain::{
    ports::{LARGEST_ARCHIVE, PART_SIZE, Part, Unavailable, Upload},
    world::{ArchiveId, Generation},
};
use jiff::Timestamp;

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod directory;

#[cfg(feature = "aws")]
pub mod s3;

/// Returns the id of an archive of the launch: sorts by age, and is unique if no other is made in its millisecond.
fn archive_id(launch: Generation, now: Timestamp) -> Result<ArchiveId, Unavailable> {
    let id = format!("{}{}", now.strftime("%Y%m%d-%H%M%S-%3f"), ending(launch));
    ArchiveId::parse(&id).map_err(|error| Unavailable(error.to_string()))
}

fn ending(launch: Generation) -> String {
    format!("-g{launch}")
}

/// Gives no tickets for an archive of another launch: that one may be whole, and is never written to again.
fn require_own(upload: &Upload, launch: Generation) -> Result<(), Unavailable> {
    if upload.id.as_str().ends_with(&ending(launch)) {
        return Ok(());
    }
    Err(Unavailable(format!("archive {} is not one of launch {launch}", upload.id)))
}

/// Gives no tickets for what would not be received.
fn refuse_too_large(part: &Part) -> Result<(), Unavailable> {
    let end = start_of(part.number).saturating_add(part.length);
    if end <= LARGEST_ARCHIVE {
        return Ok(());
    }
    Err(Unavailable(format!(
        "an archive of {end} bytes is larger than the {LARGEST_ARCHIVE} that are received"
    )))
}

/// Returns where in its archive the part with that number begins, in bytes.
fn start_of(number: u32) -> u64 {
    u64::from(number.saturating_sub(1)) * PART_SIZE
}
