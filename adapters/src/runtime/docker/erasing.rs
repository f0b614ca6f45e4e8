//! Removing the files of a deleted world: by a container, since they belong to users that this process may not be.

use std::time::Duration;

use domain::{ports::Unavailable, world::WorldId};
use tokio::time::{self, Instant};

use super::{
    Inner,
    asking::{Life, last_said, life},
    containers::Parts,
};
use crate::report::shortened;

/// How long one call waits for it: a world of many files is removed by several.
const ERASE_LIMIT: Duration = Duration::from_secs(60);

/// How often the container is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Inner {
    /// Removes the files of a world. A container that an earlier call left behind is waited for, or made again.
    pub(super) async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        let name = format!("{}-erase", self.prefix(world.as_str()));
        let until = Instant::now() + ERASE_LIMIT;
        loop {
            let state = self.state_of(&name).await?;
            match state.as_ref().map(life) {
                None => {
                    let parts = Parts {
                        engine: &self.engine,
                        worlds: self.worlds_dir(),
                        labels: self.installation_label(),
                    };
                    self.create(&name, parts.erasure(&self.config.watchdog_image, world)).await?;
                }
                Some(Life::Made) => self.start(&name).await?,
                Some(Life::Runs) if Instant::now() < until => time::sleep(LOOK_EVERY).await,
                Some(Life::Runs) => {
                    return Err(Unavailable(format!("the files of world {world} are still being removed")));
                }
                Some(Life::Over) => {
                    let why = shortened(last_said(&self.engine, &name, 5, 4096).await.trim());
                    self.remove(&name).await?;
                    return match state.and_then(|state| state.exit_code) {
                        Some(0) => Ok(()),
                        _ => Err(Unavailable(format!("the files of world {world} are not removed: {why}"))),
                    };
                }
            }
        }
    }
}
