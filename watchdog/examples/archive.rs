//! Makes an archive of a directory as the watchdog does, and nothing else: what `cargo xtask bench archive` measures.
//!
//! ```console
//! $ cargo run --release --package watchdog --example archive -- DIRECTORY > archive.zip
//! ```

use std::{io, path::PathBuf};

use anyhow::{Context, Result};
use watchdog::archive::{self, Source, manifest::About};

fn main() -> Result<()> {
    let files: PathBuf = std::env::args_os().nth(1).context("which directory?")?.into();
    let about = About {
        game: "bench".to_owned(),
        world: None,
        name: None,
        generation: 1,
        at: jiff::Timestamp::UNIX_EPOCH,
        why: "a bench".to_owned(),
    };
    let source = Source { files: &files, exclude: &[], scratch: &std::env::temp_dir(), about: &about };
    archive::write(&source, io::stdout().lock(), &mut || Ok(()))?;
    Ok(())
}
