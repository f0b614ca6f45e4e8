//! A disk that is full at any point of what changes a world's directory, or reads it: the world is what it was, the error
//! says that the disk is full, and with room again the next run succeeds. Needs root, for a disk of a few pages.

#[path = "../../watchdog/tests/harm/planted.rs"]
mod planted;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use e2e::{disk, dormouse::Dormouse, netns::Lab, soak::ledger};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::statvfs::statvfs,
};
use tempfile::TempDir;

use planted::{clear, fill, look, pack, plant, print, take};

/// How many small files the worlds have.
const SMALL: usize = 60;

/// How many points are tried beyond the first with room enough.
const BEYOND: u64 = 8;

/// The most points that are tried: more than any work here has.
const MOST_POINTS: u64 = 2000;

#[test]
fn a_world_is_filled_whole_or_not_at_all() {
    exhaust("filling it", &[Room::Pages(1), Room::Names(1)], &Fill::make).unwrap();
}

#[test]
fn an_upload_whose_size_nobody_knows_is_put_in_place_whole_or_not_at_all() {
    exhaust("filling it by a .tar", &[Room::Pages(1), Room::Names(1)], &Import::make).unwrap();
}

#[test]
fn a_world_is_emptied_or_left() {
    exhaust("emptying it", &[Room::Pages(1), Room::Names(1)], &Clear::make).unwrap();
}

#[test]
fn an_archive_is_whole_or_none() {
    exhaust("archiving it", &[Room::Pages(4), Room::Names(1)], &Archive::make).unwrap();
}

#[test]
fn an_archive_whose_lists_find_no_room_is_none() {
    exhaust("archiving many files", &[Room::Pages(16), Room::Names(1)], &Lists::make).unwrap();
}

#[test]
fn a_new_world_is_claimed_or_can_be_claimed_later() {
    exhaust("claiming it", &[Room::Pages(1), Room::Names(1)], &Claim::make).unwrap();
}

/// What it would print or log finds no room either.
#[test]
fn a_world_on_a_full_disk_goes_on_and_is_archived_when_there_is_room() -> Result<()> {
    // Luanti breaks down by itself when its disk is full. Here every server hears its stop signal.
    let (lab, disk, games) = (Lab::new("full", 0)?, disk::Disk::mount()?, tempfile::tempdir()?);
    ledger::write_entry(games.path(), 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    dormouse.data = disk.at().join("data");
    dormouse.arguments = vec!["--games".into(), games.path().display().to_string()];
    let quietly = ["sh", "-c", r#"exec "$@" >/dev/full 2>&1"#, "sh"];
    dormouse.wrapper = quietly.map(str::to_owned).to_vec();
    dormouse.start()?;
    dormouse.create("valhalla", ledger::GAME, [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let task = || -> Result<_> { Ok((dormouse.watchdog("valhalla")?, dormouse.game("valhalla")?)) };
    let before = task()?;
    dormouse.ok(&["world", "backup", "valhalla"])?;
    disk.fill(0)?;
    dormouse.stays("valhalla", "awake", Duration::from_secs(15), |world| world["state"] == "awake")?;
    disk.empty()?;
    ensure!(before == task()? && before.0.is_some() && before.1.is_some(), "it is another task now");
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    dormouse.check_archive("valhalla", "world/closed")
}

/// What is done on a disk that may be full.
trait Work {
    /// Does it.
    fn run(&self) -> Result<()>;

    /// Tells whether it is done. An error if it is half done.
    fn is_done(&self) -> Result<bool>;

    /// Makes it undone.
    fn undo(&self) -> Result<()>;
}

/// Makes the work that is done on the disk at the first path; what it needs besides is made at the second.
type Make = dyn Fn(&Path, &Path) -> Result<Box<dyn Work>>;

/// Does the work with more and more room until it is enough, and again with all the room there is.
fn exhaust(what: &str, rooms: &[Room], make: &Make) -> Result<()> {
    let beside = tempfile::tempdir()?;
    let disk = Disk::new()?;
    let work = make(disk.at.path(), beside.path())?;
    for room in rooms {
        let (mut failed, mut done) = (0, 0);
        for point in 0..MOST_POINTS {
            if done > BEYOND {
                break;
            }
            let is_done = try_with(&disk, room.times(point), &*work)
                .with_context(|| format!("{what} with {:?} left", room.times(point)))?;
            *(if is_done { &mut done } else { &mut failed }) += 1;
        }
        ensure!(done > BEYOND, "{what}: {MOST_POINTS} points of {room:?} were never enough");
        ensure!(failed > 0 || matches!(room, Room::Pages(_)), "{what}: the disk was never full");
        println!("{what}, in steps of {room:?}: failed at {failed} points, done at {done}");
    }
    Ok(())
}

/// Does the work with so much room; tells whether it was enough.
fn try_with(disk: &Disk, room: Room, work: &dyn Work) -> Result<bool> {
    disk.leave(room)?;
    let done = work.run();
    if let Err(error) = &done {
        let text = format!("{error:#}");
        let is_told = text.contains("No space left on device") || text.contains("make room and try again");
        ensure!(is_told, "the error does not say that the disk is full: {text}");
    }
    // The disk is as full as it was.
    ensure!(work.is_done()? == done.is_ok(), "it came to {done:?}, and is not so");
    disk.leave(Room::Enough)?;
    work.run().context("with room again")?;
    ensure!(work.is_done()?, "with room again it is not done");
    work.undo().context("undoing it")?;
    Ok(done.is_ok())
}

/// How much of a disk is left.
#[derive(Debug, Clone, Copy)]
enum Room {
    /// So many pages of data; of names, enough.
    Pages(u64),
    /// So many names; of data, enough.
    Names(u64),
    Enough,
}

impl Room {
    fn times(self, n: u64) -> Self {
        match self {
            Self::Pages(step) => Self::Pages(n * step),
            Self::Names(step) => Self::Names(n * step),
            Self::Enough => Self::Enough,
        }
    }
}

/// A disk of memory that this thread alone sees, and those that it starts.
struct Disk {
    at: TempDir,
}

impl Disk {
    fn new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("making a disk takes root: run this test as root")?;
        let none = None::<&Path>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .context("keeping mounts private")?;
        let disk = Self { at: tempfile::tempdir()? };
        mount(Some("none"), disk.at.path(), Some("tmpfs"), MsFlags::empty(), Some("size=64m"))
            .context("mounting a disk of memory")?;
        Ok(disk)
    }

    /// Leaves so much room beyond what is used already.
    fn leave(&self, room: Room) -> Result<()> {
        const ENOUGH: u64 = 16 << 20;
        let found = statvfs(self.at.path())?;
        let used = (found.blocks() - found.blocks_free()) * found.fragment_size();
        let names = found.files() - found.files_free();
        let (size, names) = match room {
            Room::Pages(pages) => (used + pages * found.fragment_size(), names + ENOUGH),
            Room::Names(more) => (used + ENOUGH, names + more),
            Room::Enough => (used + ENOUGH, names + ENOUGH),
        };
        // A size of zero stands for no limit.
        let options = format!("size={},nr_inodes={names}", size.max(found.fragment_size()));
        mount(None::<&Path>, self.at.path(), None::<&Path>, MsFlags::MS_REMOUNT, Some(&options[..]))
            .with_context(|| format!("leaving {room:?}"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.at.path(), MntFlags::MNT_DETACH) {
            eprintln!("the disk of memory stays: {error}");
        }
    }
}

/// Plants a world beside the disk; returns its files and their print.
fn planted(beside: &Path, name: &str) -> Result<(PathBuf, String)> {
    let files = beside.join(name);
    plant(&files, name, SMALL)?;
    let print = print(&files)?;
    Ok((files, print))
}

/// Plants a world beside the disk; returns its archive and its print.
fn archived(beside: &Path, name: &str) -> Result<(PathBuf, String)> {
    let (files, print) = planted(beside, name)?;
    let zip = beside.join(format!("{name}.zip"));
    pack(&files, beside, File::create(&zip)?)?;
    Ok((zip, print))
}

/// A world takes the place of another.
struct Fill {
    world: PathBuf,
    old: (PathBuf, String),
    new: (PathBuf, String),
}

impl Fill {
    fn make(disk: &Path, beside: &Path) -> Result<Box<dyn Work>> {
        let world = disk.join("world");
        fs::create_dir(&world)?;
        let fill = Self { world, old: archived(beside, "valhalla")?, new: archived(beside, "midgard")? };
        fill.undo()?;
        Ok(Box::new(fill))
    }
}

impl Work for Fill {
    fn run(&self) -> Result<()> {
        fill(&self.world, &self.new.0)
    }

    fn is_done(&self) -> Result<bool> {
        let found = look(&self.world)?;
        ensure!(
            found == self.old.1 || found == self.new.1,
            "the world is neither the old one nor the new one"
        );
        Ok(found == self.new.1)
    }

    fn undo(&self) -> Result<()> {
        fill(&self.world, &self.old.0)
    }
}

/// A world takes the place of another that is packed as a stream, so that its size is known when all of it has come.
struct Import {
    world: PathBuf,
    old: (PathBuf, String),
    tar: PathBuf,
    files: PathBuf,
}

impl Import {
    fn make(disk: &Path, beside: &Path) -> Result<Box<dyn Work>> {
        let (world, tar) = (disk.join("world"), beside.join("upload.tar"));
        fs::create_dir(&world)?;
        let (files, _) = planted(beside, "midgard")?;
        let packed = Command::new("tar")
            .arg("-C")
            .arg(&files)
            .args(["--exclude=*-link", "-cf"])
            .arg(&tar)
            .arg(".")
            .status()?;
        ensure!(packed.success(), "tar: {packed}");
        let import = Self { world, old: archived(beside, "valhalla")?, tar, files };
        import.undo()?;
        Ok(Box::new(import))
    }

    /// Returns everything in a directory but links: names, and the content of files.
    fn contents(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let (mut all, mut todo) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(&at)? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                let inner = path.strip_prefix(dir)?.to_owned();
                if kind.is_dir() {
                    all.push((inner, Vec::new()));
                    todo.push(path);
                } else if kind.is_file() {
                    all.push((inner, fs::read(path)?));
                }
            }
        }
        all.sort();
        Ok(all)
    }
}

impl Work for Import {
    fn run(&self) -> Result<()> {
        fill(&self.world, &self.tar)
    }

    fn is_done(&self) -> Result<bool> {
        if look(&self.world)? == self.old.1 {
            return Ok(false);
        }
        let is_new = Self::contents(&self.world.join("files"))? == Self::contents(&self.files)?;
        if is_new { Ok(true) } else { Err(anyhow!("the world is neither the old one nor the new one")) }
    }

    fn undo(&self) -> Result<()> {
        fill(&self.world, &self.old.0)
    }
}

/// A world is emptied.
struct Clear {
    world: PathBuf,
    old: (PathBuf, String),
    empty: String,
}

impl Clear {
    fn make(disk: &Path, beside: &Path) -> Result<Box<dyn Work>> {
        let (world, nothing) = (disk.join("world"), beside.join("nothing"));
        fs::create_dir(&world)?;
        fs::create_dir(&nothing)?;
        let clear = Self { world, old: archived(beside, "valhalla")?, empty: print(&nothing)? };
        clear.undo()?;
        Ok(Box::new(clear))
    }
}

impl Work for Clear {
    fn run(&self) -> Result<()> {
        clear(&self.world)
    }

    fn is_done(&self) -> Result<bool> {
        let found = look(&self.world)?;
        ensure!(found == self.old.1 || found == self.empty, "the world is neither whole nor empty");
        Ok(found == self.empty)
    }

    fn undo(&self) -> Result<()> {
        fill(&self.world, &self.old.0)
    }
}

/// A world is archived on the disk that it is on.
struct Archive {
    world: PathBuf,
    out: PathBuf,
    old: (PathBuf, String),
}

impl Archive {
    fn make(disk: &Path, beside: &Path) -> Result<Box<dyn Work>> {
        let (world, out) = (disk.join("world"), disk.join("out.zip"));
        fs::create_dir(&world)?;
        let old = archived(beside, "valhalla")?;
        fill(&world, &old.0)?;
        Ok(Box::new(Self { world, out, old }))
    }
}

impl Work for Archive {
    fn run(&self) -> Result<()> {
        let owned = take(&self.world)?;
        pack(&owned.files, &self.world, File::create(&self.out)?)?;
        Ok(())
    }

    fn is_done(&self) -> Result<bool> {
        ensure!(look(&self.world)? == self.old.1, "the world is not what it was");
        Ok(fs::read(&self.out).is_ok_and(|out| fs::read(&self.old.0).is_ok_and(|whole| out == whole)))
    }

    fn undo(&self) -> Result<()> {
        fs::remove_file(&self.out).context("removing the archive")
    }
}

/// So many files are archived that the lists of them are written to the disk.
struct Lists {
    scratch: PathBuf,
    files: PathBuf,
}

impl Lists {
    fn make(disk: &Path, beside: &Path) -> Result<Box<dyn Work>> {
        let files = beside.join("files");
        fs::create_dir(&files)?;
        for at in 0..7000 {
            File::create(files.join(format!("a small file with a long name, number {at}")))?;
        }
        Ok(Box::new(Self { scratch: disk.to_owned(), files }))
    }
}

impl Work for Lists {
    fn run(&self) -> Result<()> {
        let packed = pack(&self.files, &self.scratch, io::sink()).map(drop);
        fs::write(self.files.with_file_name("done"), if packed.is_ok() { "done" } else { "" })?;
        packed
    }

    fn is_done(&self) -> Result<bool> {
        ensure!(fs::read_dir(&self.scratch)?.next().is_none(), "something is left in the scratch directory");
        Ok(fs::read(self.files.with_file_name("done"))? == b"done")
    }

    fn undo(&self) -> Result<()> {
        Ok(())
    }
}

/// A directory becomes a world's.
struct Claim {
    world: PathBuf,
}

impl Claim {
    fn make(disk: &Path, _: &Path) -> Result<Box<dyn Work>> {
        let claim = Self { world: disk.join("world") };
        fs::create_dir(&claim.world)?;
        Ok(Box::new(claim))
    }
}

impl Work for Claim {
    fn run(&self) -> Result<()> {
        take(&self.world).map(drop)
    }

    fn is_done(&self) -> Result<bool> {
        let marker = fs::read_to_string(self.world.join(".dormouse/world")).ok();
        ensure!(marker.as_deref().is_none_or(|id| id == "w1"), "its marker is not whole: {marker:?}");
        Ok(marker.is_some() && self.world.join("files").is_dir())
    }

    fn undo(&self) -> Result<()> {
        fs::remove_dir_all(&self.world)?;
        fs::create_dir(&self.world).context("making its directory")
    }
}
