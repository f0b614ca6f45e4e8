//! Worlds that harm is done to, what tells whether one is whole, and what a watchdog does to its directory.

use std::{
    env,
    fs::{self, File},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use domain::{Timestamp, ports::Directory, world::WorldId};
use watchdog::{
    archive::{self, Source, Written, manifest::About},
    unpack::{self, Limits},
    world_dir::{self, Owned},
};

/// Random numbers, the same ones for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Returns a number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % n.max(1)
    }
}

/// Makes a world of so many small files, one large one, a link and an empty directory. Worlds of different names have some
/// paths in common, and nothing else.
pub(crate) fn plant(files: &Path, name: &str, small: usize) -> Result<()> {
    let mut random = Random(name.bytes().map(u64::from).sum());
    let mut noise = |len: usize| (0..len).map(|_| random.below(256) as u8).collect::<Vec<_>>();
    fs::create_dir_all(files.join("empty"))?;
    fs::set_permissions(files.join("empty"), fs::Permissions::from_mode(0o700))?;
    for at in 0..small {
        let dir = files.join(if at % 2 == 0 {
            format!("players/{}", at % 5)
        } else {
            format!("{name}-{}", at % 7)
        });
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("{at}.dat")), noise(at * 37 % 3000))?;
    }
    // More than a block, so that it is packed and unpacked in parts.
    let len = if small > FEW { 600_000 } else { 5_000 };
    fs::write(files.join("map.sqlite"), noise(len))?;
    fs::set_permissions(files.join("map.sqlite"), fs::Permissions::from_mode(0o600))?;
    symlink("map.sqlite", files.join(format!("{name}-link")))?;
    Ok(())
}

/// With so few files a world is changed in some hundred calls of the system.
pub(crate) const FEW: usize = 3;

/// What tells a whole world from any other: its fingerprint, and the digest of its archive, in which the contents count.
pub(crate) fn print(files: &Path) -> Result<String> {
    let print = archive::fingerprint(files, &[])?;
    Ok(format!("{print} {}", pack(files, &env::temp_dir(), io::sink())?.sha256))
}

/// Archives a world's files, with nothing in it that changes from one time to the next.
pub(crate) fn pack(files: &Path, scratch: &Path, to: impl io::Write) -> Result<Written> {
    let about = About {
        game: "luanti".into(),
        world: None,
        name: None,
        generation: 1,
        at: Timestamp::UNIX_EPOCH,
        why: "a test".into(),
    };
    archive::write(&Source { files, exclude: &[], scratch, about: &about }, to, &mut || Ok(()))
}

/// Takes the directory of the world.
pub(crate) fn take(dir: &Path) -> Result<Owned> {
    Ok(world_dir::take(dir, &WorldId::parse("w1")?, Directory::MayBeNew)?)
}

/// Puts what an archive holds in the place of the world, as a watchdog does that fills its directory.
pub(crate) fn fill(dir: &Path, archive: &Path) -> Result<()> {
    let owned = take(dir)?;
    let fresh = owned.fresh().context("making a fresh directory")?;
    let source = File::open(archive).context("opening the archive")?;
    unpack::unpack(&source, &fresh, &Limits::restore(1 << 30), &mut || Ok(()))?;
    owned.swap().context("putting it in place")
}

/// Empties the world.
pub(crate) fn clear(dir: &Path) -> Result<()> {
    take(dir)?.clear(&[]).context("emptying it")
}

/// Takes the directory as the next watchdog does, and returns the print of the world that it finds. Nothing may be left
/// beside it.
pub(crate) fn look(dir: &Path) -> Result<String> {
    let owned = take(dir)?;
    let mut beside = Vec::new();
    for entry in fs::read_dir(dir.join(".dormouse"))? {
        beside.push(entry?.file_name());
    }
    beside.sort();
    ensure!(beside == ["lock", "world"], "{beside:?} are beside the world");
    print(&owned.files)
}
