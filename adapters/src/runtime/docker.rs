//! Containers on this machine, by the Docker Engine API: for Docker and for Podman.

pub use engine::{Engine, NoEngine, Root};
pub use images::{ContextFile, ImageError, Made, Progress, Recipe};

mod engine;

mod images;
