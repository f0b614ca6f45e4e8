//! Tasks: what runs a launch.

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod process;

#[cfg(feature = "local")]
pub mod docker;

#[cfg(feature = "local")]
pub mod local;

#[cfg(feature = "local")]
mod task_dir;

#[cfg(feature = "local")]
mod ports;

#[cfg(feature = "aws")]
pub mod ecs;
