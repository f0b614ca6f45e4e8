//! Checked copies of worlds.

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod directory;
