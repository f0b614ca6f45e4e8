//! Tasks: what runs a launch.

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod process;

#[cfg(feature = "local")]
pub mod docker;

#[cfg(feature = "aws")]
pub mod ecs;
