//! Telling people on the terminal of `dormouse up`: one line for each thing that happens.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use domain::{
    effect::Notice,
    ports::{Chat, Unavailable},
    talk::CardId,
    words,
    world::{World, WorldId},
};

/// Writes notices to `out`, each once.
pub struct Terminal<W> {
    inner: Mutex<Inner<W>>,
}

struct Inner<W> {
    out: W,
    told: BTreeMap<WorldId, Notice>,
}

impl<W: Write + Send> Terminal<W> {
    /// Returns a chat that writes to `out`.
    pub fn new(out: W) -> Self {
        Self { inner: Mutex::new(Inner { out, told: BTreeMap::new() }) }
    }
}

#[async_trait]
impl<W: Write + Send> Chat for Terminal<W> {
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.told.get(&world.id) == Some(notice) {
            return Ok(None);
        }
        writeln!(inner.out, "{}", words::notice(world, notice)).map_err(|e| Unavailable(e.to_string()))?;
        inner.told.insert(world.id.clone(), notice.clone());
        Ok(None)
    }
}
