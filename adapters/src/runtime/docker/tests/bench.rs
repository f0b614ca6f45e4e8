//! A place for tasks on an engine of its own, with a watchdog and a game that are shell scripts.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use domain::{
    game::{Game, Players, Port, Protocol, Ready, Save, Signal, Stop},
    idle::Timers,
    world::{GameId, TaskId},
};
use emulators::Network;
use tempfile::TempDir;

use crate::{
    runtime::{
        contract::until,
        docker::{BoxedGame, Config, DockerRuntime, Engine, ImageSource, OwnedFile, preparing::recipe},
        process::GameSource,
    },
    secret::Secret,
};

/// A watchdog that ends as soon as it is told to.
pub(super) const OBEDIENT: &str = r#"
if [ "$1" = erase ]; then
  [ ! -e "$3/$5/keep" ] || { echo 'somebody uses it' >&2; exit 1; }
  exec rm -rf "$3/$5"
fi
[ "$1" = run ] || exit 9
trap ': >"$DORMOUSE_TASK_DIR/outcome"; exit 0' TERM
mkdir -p "$DORMOUSE_WORLD_DIR/files"
chmod 777 "$DORMOUSE_WORLD_DIR/files"
echo $$ >"$DORMOUSE_TASK_DIR/pid"
while :; do sleep 0.05; done
"#;

/// A game that says what it finds, and does what the file `do` in its world says.
const GAME: &str = r#"
{
  echo "user $(id -u)"
  echo "world $WORLD"
  grep -qa watchdog /proc/1/cmdline && echo 'the watchdog is process 1'
  grep -qa DORMOUSE_TOKEN /proc/1/environ 2>/dev/null || echo 'no token'
  [ "$(ls /worlds)" = w ] && echo 'no other world'
  [ ! -e /task ] && [ ! -e /control ] && echo 'no task directory'
} >"$WORLD/saying"
mv "$WORLD/saying" "$WORLD/said"
while :; do
  case "$(cat "$WORLD/do" 2>/dev/null)" in
    end) exit 0 ;;
    eat) exec tail /dev/zero ;;
  esac
  sleep 0.05
done
"#;

/// What the scripts call.
const PROGRAMS: [&str; 11] = ["sh", "sleep", "mkdir", "chmod", "rm", "id", "grep", "ls", "mv", "cat", "tail"];

const WATCHDOG_IMAGE: &str = "dormouse/obedient";

/// The ports of the benches are apart: each has an engine of its own, which does not see what others are about to publish.
static PORTS: AtomicU16 = AtomicU16::new(23_456);

/// How many each has: more than are tried.
const PORTS_OF_ONE: u16 = 60;

pub(super) struct Bench {
    pub(super) config: Config,
    pub(super) engine: Engine,
    dir: TempDir,
    _podman: emulators::Engine,
}

impl Bench {
    pub(super) async fn new(watchdog: &str) -> Self {
        let podman = emulators::Engine::start(Network::Ours).unwrap();
        let engine = until("listening", async || Engine::at(&podman.socket()).await.ok()).await;
        let dir = tempfile::tempdir().unwrap();
        // Games come in as another user.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let control_dir = dir.path().join("control");
        fs::create_dir(&control_dir).unwrap();
        let tiny = game(PORTS.fetch_add(PORTS_OF_ONE, Ordering::Relaxed));
        let files = shell_image(GAME);
        let boxed = BoxedGame {
            source: GameSource { game: tiny.clone(), toml: "name = \"Tiny\"\n".into() },
            image: ImageSource::Made { files, args: BTreeMap::new() },
        };
        let files = shell_image(watchdog);
        engine.build(&recipe(&files, &BTreeMap::new()), WATCHDOG_IMAGE, &mut |_| {}).await.unwrap();
        let config = Config {
            data: dir.path().join("data"),
            watchdog_image: WATCHDOG_IMAGE.into(),
            control_url: "http://127.0.0.1:9".into(),
            control_dir,
            secret: Secret::new([7; 32]),
            report_every: Duration::from_secs(1),
            games: [(GameId::parse("tiny").unwrap(), boxed)].into(),
        };
        let bench = Self { config, engine, dir, _podman: podman };
        let files = shell_image(GAME);
        bench.engine.build(&recipe(&files, &BTreeMap::new()), &tiny.image, &mut |_| {}).await.unwrap();
        bench
    }

    /// Returns another runtime over the same data.
    pub(super) fn runtime(&self) -> DockerRuntime {
        DockerRuntime::new(self.engine.clone(), self.config.clone()).unwrap()
    }

    /// Returns what the game's image is made of.
    pub(super) fn made(&self) -> ImageSource {
        self.config.games.values().next().unwrap().image.clone()
    }

    pub(super) fn make_healthy(&self, task: &TaskId) {
        fs::write(self.task_path(task, "healthy"), "").unwrap();
    }

    pub(super) fn tell_game(&self, world: &str, what: &str) {
        fs::write(self.world_path(world, "do"), what).unwrap();
    }

    pub(super) fn task_file(&self, task: &TaskId, name: &str) -> Option<String> {
        fs::read_to_string(self.task_path(task, name)).ok().filter(|text| !text.is_empty())
    }

    pub(super) fn world_file(&self, world: &str, name: &str) -> Option<String> {
        fs::read_to_string(self.world_path(world, name)).ok()
    }

    pub(super) fn world_path(&self, world: &str, name: &str) -> PathBuf {
        self.dir.path().join("data/worlds").join(world).join("files").join(name)
    }

    fn task_path(&self, task: &TaskId, name: &str) -> PathBuf {
        self.dir.path().join("data/tasks").join(task.as_str()).join(name)
    }
}

/// Returns the context of an image that runs a script: this machine's shell, what the script calls, and their libraries.
fn shell_image(script: &str) -> Vec<OwnedFile> {
    let mut dockerfile = String::from("FROM scratch\nENV PATH=/bin\nCOPY script /watchdog.sh\n");
    let file = |name: &str, content: Vec<u8>| OwnedFile { name: name.into(), content, mode: 0o755 };
    let mut files = vec![file("script", script.into())];
    let mut libraries = BTreeMap::new();
    for program in PROGRAMS {
        let path = Path::new("/bin").join(program);
        files.push(file(program, fs::read(&path).unwrap()));
        dockerfile += &format!("COPY {program} /bin/{program}\n");
        let said = Command::new("ldd").arg(&path).output().unwrap();
        for word in String::from_utf8(said.stdout).unwrap().split_whitespace().filter(|w| w.starts_with('/'))
        {
            libraries.insert(word.to_owned(), fs::read(word).unwrap());
        }
    }
    for (number, (path, content)) in libraries.into_iter().enumerate() {
        files.push(file(&format!("library-{number}"), content));
        dockerfile += &format!("COPY library-{number} {path}\n");
    }
    dockerfile += "ENTRYPOINT [\"/bin/sh\", \"/watchdog.sh\"]\n";
    files.push(file("Dockerfile", dockerfile.into()));
    files
}

fn game(number: u16) -> Game {
    let port = |name: &str, number| Port { name: name.into(), number, protocol: Protocol::Udp };
    Game {
        id: GameId::parse("tiny").unwrap(),
        name: "Tiny".into(),
        image: "dormouse/tiny".into(),
        architectures: vec!["amd64".into()],
        cpu: 256,
        memory_mib: 64,
        ports: vec![port("game", number), port("query", number + 1)],
        save: Save { paths: vec!["world".into()], exclude: vec![] },
        stop: Stop { signal: Signal::Term, grace: Duration::from_secs(5) },
        ready: Ready { typical: Duration::from_secs(1), limit: Duration::from_secs(5) },
        timers: Timers::DEFAULT,
        import: None,
        console: None,
        players: Players::default(),
        query: None,
        settings: Vec::new(),
        scripts: None,
    }
}
