//! A game whose world is a ledger: what its players were promised, a line each, on the disk before they were promised it. Whether
//! anything was lost can be told exactly, which no other game lets anybody do. It stands in for a game where one of hundreds
//! of rounds must be cheap; it is no fake of Dormouse's parts, which are all real.
//!
//! A player sends `+WORLD.ID` until `=WORLD.ID` comes back: another world may have the port by then, and has to be silent. The
//! server stops by SIGINT; one that is deaf, by SIGKILL alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Read},
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::netns::Namespace;

/// The game's name in the catalogue.
pub const GAME: &str = "ledger";

/// What the kernel calls its process.
pub const SERVER: &str = "python3";

/// Where the ledger is in a world's files.
const FILE: &str = "world/ledger";

/// How often a player deposits, or sends again what was not acknowledged.
const DEPOSIT_EVERY: Duration = Duration::from_millis(250);

/// The largest ledger that is read, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// How many in a hundred of a soak's servers are deaf to their stop signal.
pub const DEAF_PERCENT: u32 = 8;

/// Starts the server, in place of Luanti's. It needs nothing but Python.
const START: &str = r#"
exec python3 -c '
import os, random, signal, socket
world = os.path.join(os.environ["WORLD"], "world")
here = os.environ["WORLD"].encode().split(b"/")
os.makedirs(world, exist_ok=True)
path = os.path.join(world, "ledger")
book = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
with open(path, "rb") as before:
    text = before.read()
# The last line of one that was killed in the middle of it was promised to nobody.
size = text.rfind(b"\n") + 1
os.ftruncate(book, size)
known = set(text[:size].split())
deaf = random.randrange(100) < DEAF_PERCENT
def say(*words):
    try:
        print(*words, flush=True)
    except OSError:
        pass  # The log may be on the same disk.
ended = False
def end(*_):
    global ended
    ended = not deaf
signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGTERM, end)
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("", int(os.environ["PORT"])))
door.settimeout(0.1)
say("open with", len(known), "lines, deaf" if deaf else "lines")
while not ended:
    try:
        said, who = door.recvfrom(200)
    except (socket.timeout, OSError):
        continue
    line = said[1:]
    if said[:1] != b"+" or b"\n" in line or line.split(b".")[0] not in here:
        continue
    if line not in known:
        try:
            if os.pwrite(book, line + b"\n", size) != len(line) + 1:
                raise OSError("there is no room")
            os.fsync(book)
        except OSError as error:
            os.ftruncate(book, size)
            say("not kept:", error)
            continue
        size += len(line) + 1
        known.add(line)
    door.sendto(b"=" + line, who)
try:
    with open(os.path.join(world, "closed"), "w") as closed:
        closed.write(str(len(known)))
except OSError as error:
    say("not closed:", error)
say("closed with", len(known), "lines")
os._exit(0)  # What could not be printed is no reason to end otherwise.
'
"#;

/// What comes before it: something beside the ledger, so that an archive takes its time.
const BOOTSTRAP: &str = r#"
mkdir -p world
[ -e world/ballast ] || { head -c 3000000 /dev/urandom >world/ballast.new; mv world/ballast.new world/ballast; }
"#;

/// Returns its catalogue entry. So many in a hundred of its servers are deaf to their stop signal.
pub fn entry(deaf_percent: u32) -> String {
    let start = START.replace("DEAF_PERCENT", &deaf_percent.to_string());
    format!(
        r#"
name = "Ledger"
image = "dormouse/ledger"
architectures = ["amd64", "arm64"]
cpu = 256
memory_mib = 512

[[ports]]
name = "game"
number = 30100
protocol = "udp"

[save]
paths = ["world"]

[import]
marker = "ledger"
into = "world"

[stop]
signal = "SIGINT"
grace = "5s"

[ready]
listening = true
typical = "1s"
limit = "1m"

[process]
packages = ["python3"]
bootstrap = '''{BOOTSTRAP}'''
start = """{}"""
stop = """kill -s INT "$GAME_PID" """
healthcheck = """grep -qhE "$(printf ':%04X 0+:0000 07' "$PORT")" /proc/net/udp /proc/net/udp6"""
"#,
        start.replace('\\', "\\\\").replace('"', "\\\"")
    )
}

/// What the players of one world were promised, as the world's history stands.
#[derive(Debug, Default)]
pub struct Book(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// What was sent and may be in the ledger.
    sent: BTreeSet<String>,
    /// What was acknowledged and has to be in it.
    acknowledged: BTreeSet<String>,
    /// When the last acknowledgement came.
    last: Option<Instant>,
}

impl Book {
    /// Returns the deposits that were acknowledged and not taken back.
    pub fn promises(&self) -> Vec<String> {
        self.lock().acknowledged.iter().cloned().collect()
    }

    /// Returns how long ago the last acknowledgement came, if there was any.
    pub fn silent_for(&self) -> Option<Duration> {
        self.lock().last.map(|last| last.elapsed())
    }

    /// Checks that a ledger holds all that was promised, and nothing that nobody sent, each once and in the order in which it
    /// was sent.
    pub fn check(&self, found: &[String]) -> Result<()> {
        let pages = self.lock();
        let kept: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        let lost: Vec<_> = pages.acknowledged.iter().filter(|line| !kept.contains(line.as_str())).collect();
        ensure!(
            lost.is_empty(),
            "{} of {} deposits are lost: {}",
            lost.len(),
            pages.acknowledged.len(),
            some(lost.iter().map(|line| line.as_str()))
        );
        ensure!(
            kept.len() == found.len(),
            "{} of {} lines stand there twice",
            found.len() - kept.len(),
            found.len()
        );
        let strange: Vec<_> = kept.iter().filter(|line| !pages.sent.contains(**line)).collect();
        ensure!(strange.is_empty(), "nobody deposited {}", some(strange.iter().map(|line| **line)));
        in_order(found)
    }

    /// The world went back to what an archive holds: that is promised, and nothing else.
    pub fn rewind(&self, to: &[String]) {
        let mut pages = self.lock();
        pages.sent = to.iter().cloned().collect();
        pages.acknowledged = pages.sent.clone();
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that each player's lines stand in the order in which they were sent.
fn in_order(found: &[String]) -> Result<()> {
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for line in found {
        let (player, n) = line.rsplit_once('-').context("a line without a number")?;
        let n = n.parse().with_context(|| format!("`{line}` has no number"))?;
        let before = last.insert(player, n);
        ensure!(
            before.is_none_or(|before| before < n),
            "`{line}` comes after {player}-{}",
            before.unwrap_or(0)
        );
    }
    Ok(())
}

fn some<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.take(5).collect::<Vec<_>>().join(", ")
}

/// Somebody who deposits as long as this lives.
#[derive(Debug)]
pub struct Player {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Lets somebody play in the world with the id `world` on the machine `ns`. Nobody else may ever have had this name there.
    pub fn join(
        ns: &Namespace,
        server: SocketAddr,
        world: &str,
        name: &str,
        book: &Arc<Book>,
    ) -> Result<Self> {
        let socket = ns.within(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
        socket.set_read_timeout(Some(DEPOSIT_EVERY))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (name, book, over) = (format!("{world}.{name}"), book.clone(), is_over.clone());
        let thread = thread::spawn(move || play(&socket, server, &name, &book, &over));
        Ok(Self { is_over, thread: Some(thread) })
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic there was shown there.
            let _ = thread.join();
        }
    }
}

fn play(socket: &UdpSocket, server: SocketAddr, name: &str, book: &Book, is_over: &AtomicBool) {
    let mut n = 0;
    while !is_over.load(Ordering::SeqCst) {
        let line = format!("{name}-{n}");
        book.lock().sent.insert(line.clone());
        // That nobody listens just now, or that the network is cut, is what some of this is about.
        let _ = socket.send_to(format!("+{line}").as_bytes(), server);
        if is_acknowledged(socket, &line) {
            let mut pages = book.lock();
            pages.acknowledged.insert(line);
            pages.last = Some(Instant::now());
            n += 1;
            drop(pages);
            thread::sleep(DEPOSIT_EVERY);
        }
    }
}

/// Waits for a moment for the acknowledgement of `line`.
fn is_acknowledged(socket: &UdpSocket, line: &str) -> bool {
    let (mut buffer, begun) = ([0; 256], Instant::now());
    while begun.elapsed() < DEPOSIT_EVERY {
        match socket.recv_from(&mut buffer) {
            Ok((n, _)) if buffer[..n].strip_prefix(b"=") == Some(line.as_bytes()) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) => thread::sleep(DEPOSIT_EVERY / 5),
        }
    }
    false
}

/// Reads the ledger in a world's files; a world that was never played has none.
pub fn read(files: &Path) -> Result<Vec<String>> {
    let path = files.join(FILE);
    match File::open(&path) {
        Ok(file) => lines(file),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("opening {}", path.display())),
    }
}

/// Reads the ledger in an archive, which has to be whole.
pub fn read_archive(archive: &Path) -> Result<Vec<String>> {
    let mut zip = zip::ZipArchive::new(File::open(archive).context("opening the archive")?)?;
    for i in 0..zip.len() {
        let mut file = zip.by_index(i)?;
        // Reading to the end compares its checksum.
        let name = file.name()?.into_owned();
        std::io::copy(&mut file, &mut std::io::sink()).with_context(|| format!("{name} in the archive"))?;
    }
    match zip.by_name(FILE) {
        Ok(file) => lines(file),
        Err(zip::result::ZipError::FileNotFound) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Splits a ledger. What follows the last line's end was promised to nobody.
fn lines(ledger: impl Read) -> Result<Vec<String>> {
    let mut text = String::new();
    ledger.take(LARGEST).read_to_string(&mut text).context("a ledger that is no text")?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(whole.lines().map(str::to_owned).collect())
}

/// Writes its [entry] into a directory.
pub fn write_entry(dir: &Path, deaf_percent: u32) -> Result<()> {
    fs::write(dir.join(format!("{GAME}.toml")), entry(deaf_percent)).context("writing the ledger's entry")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_ledger_is_right_if_it_has_all_that_was_promised_and_nothing_else() {
        let book = Book::default();
        book.rewind(&found(&["a-0", "a-1", "b-0"]));
        book.lock().sent.insert("a-2".into());
        for right in [&["a-0", "a-1", "b-0"][..], &["a-0", "b-0", "a-1", "a-2"]] {
            book.check(&found(right)).unwrap();
        }
        for (wrong, why) in [
            (&["a-0", "b-0"][..], "1 of 3 deposits are lost: a-1"),
            (&["a-0", "a-1", "b-0", "b-0"], "1 of 4 lines stand there twice"),
            (&["a-0", "a-1", "b-0", "c-0"], "nobody deposited c-0"),
            (&["a-1", "a-0", "b-0"], "`a-0` comes after a-1"),
        ] {
            assert_eq!(book.check(&found(wrong)).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn its_entry_is_one_of_the_catalogue() {
        let dir = tempfile::tempdir().unwrap();
        write_entry(dir.path(), DEAF_PERCENT).unwrap();
        let entry = games::Catalogue::read_file(&dir.path().join("ledger.toml")).unwrap();
        assert!(entry.entrypoint().unwrap().contains("exec python3"));
    }

    #[test]
    fn a_line_that_was_cut_off_is_none() {
        assert_eq!(lines(&b"a-0\na-1\na-"[..]).unwrap(), ["a-0", "a-1"]);
        assert_eq!(lines(&b"a-"[..]).unwrap(), [""; 0]);
    }
}
