//! The entrypoints of the images, run by the shell with a stand-in in the place of the server.
//!
//! The servers of these games can only be had from those who make them, so nobody has run them here. What is shown is what
//! the scripts do: they find the server, ask for terms that nobody accepted, hand settings and ports on, become the server,
//! and keep what is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, UNIX_EPOCH},
};

use domain::{game::Signal, world::GameId};
use expect_test::{Expect, expect};
use games::{Catalogue, Entry};
use tempfile::TempDir;

/// A server that writes down what it was given, and ends by a signal, which it writes down too.
const STAND_IN: &str = r#"#!/bin/sh
for argument; do
  if [ "$argument" = --create ]; then shift 3; echo made >"$1"; exit; fi
done
record=${RECORD:?}
printf '%s' "${0##*/}" >"$record/arguments"
for argument; do printf ' %s' "$argument" >>"$record/arguments"; done
pwd >"$record/directory"
for signal in INT TERM; do trap "echo $signal >'$record/signal'; exit 0" "$signal"; done
echo $$ >"$record/pid"
while :; do sleep 0.05; done
"#;

/// A game's entrypoint, its world, and where its server should be.
struct Image {
    entry: Entry,
    dir: TempDir,
    settings: Vec<(&'static str, &'static str)>,
}

impl Image {
    /// Lays the image of a game out, with stand-ins at `programs` below where its server should be.
    fn of(game: &str, programs: &[&str]) -> Self {
        let id = GameId::parse(game).unwrap();
        let entry = Catalogue::embedded().unwrap().get(&id).unwrap().clone();
        let dir = tempfile::tempdir().unwrap();
        let image = Self { entry, dir, settings: Vec::new() };
        for inner in ["world", "record", "server", "bin"] {
            fs::create_dir(image.path(inner)).unwrap();
        }
        for program in programs {
            let at = image.path(program);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, STAND_IN).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        }
        image
    }

    fn with(mut self, settings: &[(&'static str, &'static str)]) -> Self {
        self.settings.extend(settings);
        self
    }

    /// Chooses nothing any more, but for the terms.
    fn with_nothing_chosen(mut self) -> Self {
        self.settings.retain(|setting| *setting == EULA);
        self
    }

    fn path(&self, inner: &str) -> PathBuf {
        self.dir.path().join(inner)
    }

    fn read(&self, inner: &str) -> String {
        let text = fs::read_to_string(self.path(inner)).unwrap_or_default();
        text.replace(&self.dir.path().display().to_string(), "")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        let script = self.path("entrypoint");
        fs::write(&script, self.entry.entrypoint().unwrap()).unwrap();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display());
        command.arg(script).env_clear().env("PATH", path).current_dir("/");
        for (name, inner) in [
            ("WORLD", "world"),
            ("RECORD", "record"),
            ("MINECRAFT_SERVER", "server/server.jar"),
            ("BEDROCK_SERVER", "server"),
            ("FACTORIO_SERVER", "server"),
            ("PALWORLD_SERVER", "server"),
            ("PALWORLD_SAVED", "saved"),
            ("TERRARIA_SERVER", "server"),
        ] {
            command.env(name, self.path(inner));
        }
        command.env("PORT", "4000").env("DORMOUSE_CONSOLE_PORT", "4001");
        let password = self.path("password");
        fs::write(&password, "0123456789abcdef").unwrap();
        command.env("DORMOUSE_CONSOLE_PASSWORD_FILE", password);
        command.envs(self.settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    /// Runs the entrypoint, which is to refuse, and returns the last line that it says.
    fn refusal(&self) -> String {
        let Output { status, stderr, .. } = self.command().output().unwrap();
        assert!(!status.success());
        assert!(!self.path("record/pid").exists(), "the server was started");
        let said = String::from_utf8(stderr).unwrap();
        said.lines().last().unwrap_or_default().replace(&self.dir.path().display().to_string(), "")
    }

    /// Starts the entrypoint, and waits until it is the server.
    fn start(&self) -> Child {
        let _ = fs::remove_file(self.path("record/pid"));
        let mut child = self.command().spawn().unwrap();
        while !self.read("record/pid").ends_with('\n') {
            if child.try_wait().unwrap().is_some() {
                panic!("it ended: {:?}", child.wait_with_output().unwrap());
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Whatever gets the signal of a host is the server itself.
        assert_eq!(self.read("record/pid").trim(), child.id().to_string(), "the shell is still there");
        child
    }

    /// Sends the stop signal of the entry to the process that was started, which must have it and end.
    fn stop(&self, mut child: Child) {
        let name = match self.entry.game.stop.signal {
            Signal::Int => "INT",
            Signal::Term => "TERM",
            Signal::Hup => "HUP",
            Signal::Quit => "QUIT",
        };
        let sent = Command::new("/bin/kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert!(child.wait().unwrap().success());
        assert_eq!(self.read("record/signal"), format!("{name}\n"));
    }

    /// Lives twice: what was in `file` of the world after the first start is there after the second.
    fn lives_twice(&self, file: &str, expected: Expect) {
        let child = self.start();
        let arguments = self.read("record/arguments");
        expected.assert_eq(&format!("{arguments}\nin {}", self.read("record/directory")));
        self.stop(child);
        let kept = self.path("world").join(file);
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        let played = zip("played");
        fs::write(&kept, &played).unwrap();
        let child = self.start();
        self.stop(child);
        assert_eq!(fs::read(kept).unwrap(), played);
        assert_eq!(self.read("record/arguments"), arguments);
    }
}

/// A .zip as a game writes it, with one empty file of this name.
fn zip(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let local = [b"PK\x03\x04\x0a\0".as_slice(), &[0; 20], &[length, 0, 0, 0], name.as_bytes()].concat();
    let entry =
        [b"PK\x01\x02\x0a\0\x0a\0".as_slice(), &[0; 20], &[length], &[0; 17], name.as_bytes()].concat();
    let [at, size] = [&local, &entry].map(|part| u8::try_from(part.len()).unwrap());
    let end = [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &[size, 0, 0, 0, at, 0, 0, 0, 0, 0]].concat();
    [local, entry, end].concat()
}

const EULA: (&str, &str) = ("SETTING_EULA", "true");

#[test]
fn minecraft_asks_for_its_terms_and_takes_settings_and_a_console() {
    let image = Image::of("minecraft", &["bin/java", "server/server.jar"]);
    expect!["read https://aka.ms/MinecraftEULA and accept it, if you do, by the world's setting eula"]
        .assert_eq(&image.refusal());
    let image = image.with(&[EULA, ("SETTING_NAME", "Home & away"), ("SETTING_DIFFICULTY", "hard")]);
    fs::write(image.path("world/server.properties"), "view-distance=8\nmotd=old\n").unwrap();
    image.lives_twice("world/level.dat", expect![[r#"
        java -Xmx3g -DbundlerRepoDir=/world -jar /server/server.jar --nogui --universe /world --world world --port 4000
        in /world
    "#]]);
    expect![[r#"
        view-distance=8
        enable-rcon=true
        rcon.port=4001
        rcon.password=0123456789abcdef
        motd=Home & away
        difficulty=hard
    "#]]
    .assert_eq(&image.read("world/server.properties"));
    let mode = fs::metadata(image.path("world/server.properties")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read the password");

    let image = image.with_nothing_chosen();
    image.stop(image.start());
    expect![[r#"
        view-distance=8
        enable-rcon=true
        rcon.port=4001
        rcon.password=0123456789abcdef
    "#]]
    .assert_eq(&image.read("world/server.properties"));
}

#[test]
fn minecraft_whose_terms_were_accepted_in_its_own_way_needs_no_setting() {
    let image = Image::of("minecraft", &["bin/java", "server/server.jar"]);
    fs::write(image.path("world/eula.txt"), "eula=true\n").unwrap();
    fs::write(image.path("world/server.properties"), "motd=by hand\n").unwrap();
    let child = image.start();
    image.stop(child);
    let properties = image.read("world/server.properties");
    assert!(properties.starts_with("motd=by hand\n"), "what nobody chose is people's own: {properties}");
}

#[test]
fn bedrock_asks_for_its_terms_and_meets_the_world_by_links() {
    let image = Image::of("bedrock", &["server/bedrock_server", "server/server.properties"]);
    expect!["read https://aka.ms/MinecraftEULA and accept it, if you do, by the world's setting eula"]
        .assert_eq(&image.refusal());
    fs::write(
        image.path("server/server.properties"),
        "server-port=19132\nserver-name=Dedicated = Server\nmax-players=10\n",
    )
    .unwrap();
    let image = image.with(&[EULA, ("SETTING_NAME", "Home"), ("SETTING_SEED", "42")]);
    image.lives_twice(
        "worlds/world/level.dat",
        expect![[r#"
        bedrock_server
        in /world/.server
    "#]],
    );
    expect![[r#"
        max-players=10
        server-port=4000
        server-portv6=4001
        level-name=world
        enable-lan-visibility=false
        server-name=Home
        level-seed=42
    "#]]
    .assert_eq(&image.read("world/server.properties"));
    fs::write(image.path("world/.server/worlds/there"), "").unwrap();
    assert!(image.path("world/worlds/there").exists(), "the server would keep its worlds elsewhere");
    assert!(!image.path("server/worlds").exists());

    let image = image.with_nothing_chosen();
    image.stop(image.start());
    let properties = image.read("world/server.properties");
    expect![[r#"
        max-players=10
        server-port=4000
        server-portv6=4001
        level-name=world
        enable-lan-visibility=false
        server-name=Dedicated = Server
        level-seed=
    "#]]
    .assert_eq(&properties);
}

const FACTORIO_CHOSEN: &str = "world/server-settings.chosen.json";

#[test]
fn factorio_makes_a_world_once_and_keeps_its_console_to_itself() {
    let image = Image::of("factorio", &["server/bin/x64/factorio"]);
    let image = image.with(&[("SETTING_NAME", r#"The "best" \o/"#), ("SETTING_PASSWORD", "hunter22")]);
    image.lives_twice("saves/world.zip", expect![[r#"
        factorio --config config.ini --port 4000 --start-server /world/saves/world.zip --server-settings server-settings.chosen.json --rcon-bind 127.0.0.1:4001 --rcon-password 0123456789abcdef
        in /world
    "#]]);
    expect![[r#"
        {
          "visibility": { "public": false, "lan": false },
          "require_user_verification": true,
          "auto_pause": true,
          "autosave_interval": 10,
          "autosave_slots": 3,
          "name": "The \"best\" \\o/",
          "game_password": "hunter22"
        }
    "#]]
    .assert_eq(&image.read(FACTORIO_CHOSEN));
    assert!(!image.read("world/server-settings.json").contains("hunter22"), "archives hold the password");
    expect![[r#"
        [path]
        read-data=/server/data
        write-data=/world
    "#]]
    .assert_eq(&image.read("world/config.ini"));
}

#[test]
fn factorio_keeps_settings_that_people_wrote() {
    let image = Image::of("factorio", &["server/bin/x64/factorio"]);
    let own = r#"{"max_players": 5, "name" : "Own, \"one\" {", "tags": ["name", {"name": "x"}],
        "_comment": "name: ] \\", "game_password":"by hand"}"#;
    fs::write(image.path("world/server-settings.json"), own).unwrap();
    let image = image.with(&[("SETTING_NAME", "Home"), ("SETTING_PASSWORD", "hunter22")]);
    image.stop(image.start());
    assert_eq!(image.read("world/saves/world.zip"), "made\n");
    expect![[r#"
        {
          "max_players": 5,
          "tags": ["name", {"name": "x"}],
          "_comment": "name: ] \\",
          "name": "Home",
          "game_password": "hunter22"
        }
    "#]]
    .assert_eq(&image.read(FACTORIO_CHOSEN));

    let image = image.with_nothing_chosen();
    fs::write(image.path("world/saves/world.zip"), zip("played")).unwrap();
    image.stop(image.start());
    assert_eq!(image.read("world/server-settings.json"), own);
    expect![[r#"
        {
          "max_players": 5,
          "name" : "Own, \"one\" {",
          "tags": ["name", {"name": "x"}],
          "_comment": "name: ] \\",
          "game_password":"by hand"
        }
    "#]]
    .assert_eq(&image.read(FACTORIO_CHOSEN));
}

#[test]
fn factorio_says_when_settings_that_people_wrote_are_broken() {
    for broken in ["", "{", r#"{"name": "half}"#, "[1]", r#"{"name": "x"}}"#, "{}{}"] {
        let image = Image::of("factorio", &["server/bin/x64/factorio"]);
        fs::write(image.path("world/server-settings.json"), broken).unwrap();
        assert_eq!(image.refusal(), "server-settings.json is not one object of JSON", "{broken}");
        assert_eq!(image.read("world/server-settings.json"), broken);
    }
}

#[test]
fn factorio_that_was_killed_plays_its_newest_whole_save_and_keeps_the_one_before() {
    let image = Image::of("factorio", &["server/bin/x64/factorio"]);
    let save = |name: &str, content: &[u8], hour: u64| {
        let at = image.path("world/saves").join(name);
        fs::write(&at, content).unwrap();
        let file = fs::File::options().write(true).open(at).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(3600 * hour)).unwrap();
    };
    let read = |name: &str| fs::read(image.path("world/saves").join(name)).ok();
    fs::create_dir(image.path("world/saves")).unwrap();
    save("world.zip", &zip("stopped"), 1);
    save("_autosave1.zip", &zip("newer"), 2);
    save("_autosave2.tmp.zip", &zip("torn")[..40], 3);
    for _ in 0..2 {
        image.stop(image.start());
        assert_eq!(read("world.zip"), Some(zip("newer")));
        assert_eq!(read("before.zip"), Some(zip("stopped")));
        assert_eq!(read("_autosave1.zip"), Some(zip("newer")));
    }
    save("world.zip", &zip("stopped again"), 4);
    image.stop(image.start());
    assert_eq!(read("world.zip"), Some(zip("stopped again")));
    assert_eq!(read("before.zip"), Some(zip("stopped")));

    save("world.zip", b"torn", 5);
    image.stop(image.start());
    assert_eq!(read("world.zip"), Some(zip("newer")));
    assert_eq!(read("world.zip.unreadable"), Some(b"torn".to_vec()));
    assert_eq!(read("before.zip"), Some(zip("stopped")), "what is whole gave way to what is not");
}

#[test]
fn factorio_makes_no_new_world_where_no_save_can_be_read() {
    let image = Image::of("factorio", &["server/bin/x64/factorio"]);
    fs::create_dir(image.path("world/saves")).unwrap();
    fs::write(image.path("world/saves/world.zip"), "torn").unwrap();
    assert_eq!(image.refusal(), "none of the saves in /world/saves can be read; restore an archive");
    assert_eq!(image.read("world/saves/world.zip"), "torn");
}

#[test]
fn palworld_keeps_its_world_by_a_link_and_the_options_that_people_wrote() {
    let image = Image::of("palworld", &["server/Pal/Binaries/Linux/PalServer-Linux-Shipping"]);
    expect!["/server/Pal/Saved must be a link to /saved, or the world would be kept there: ln -s /saved /server/Pal/Saved"]
        .assert_eq(&image.refusal());
    std::os::unix::fs::symlink(image.path("saved"), image.path("server/Pal/Saved")).unwrap();
    let config = image.path("world/Saved/Config/LinuxServer");
    fs::create_dir_all(&config).unwrap();
    let options = "[/Script/Pal.PalGameWorldSettings]\nOptionSettings=(ExpRate=2.000000,ServerName=\"Old, one\",RCONEnabled=False)\n";
    fs::write(config.join("PalWorldSettings.ini"), options).unwrap();
    let image = image.with(&[("SETTING_NAME", "Home"), ("SETTING_PASSWORD", "hunter22")]);
    image.lives_twice(
        "Saved/SaveGames/0/DORMOUSE00000000000000000000000A/Level.sav",
        expect![[r#"
        PalServer-Linux-Shipping Pal -port=4000 -useperfthreads -NoAsyncLoadingThread
        in /server
    "#]],
    );
    let ini = "world/Saved/Config/LinuxServer/PalWorldSettings.ini";
    expect![[r#"
        [/Script/Pal.PalGameWorldSettings]
        OptionSettings=(ServerName="Home",ServerPassword="hunter22",AdminPassword="0123456789abcdef",RCONEnabled=True,RCONPort=4001,ExpRate=2.000000)
    "#]].assert_eq(&image.read(ini));
    assert!(image.path("server/Pal/Saved/SaveGames").exists(), "the server would keep its worlds elsewhere");

    // As in a world that lives in its archive, which leaves the file with the passwords out.
    fs::remove_file(image.path(ini)).unwrap();
    let image = image.with_nothing_chosen();
    image.stop(image.start());
    expect![[r#"
        [/Script/Pal.PalGameWorldSettings]
        OptionSettings=(ServerName="Dormouse",ServerPassword="",AdminPassword="0123456789abcdef",RCONEnabled=True,RCONPort=4001,ExpRate=2.000000)
    "#]]
    .assert_eq(&image.read(ini));
    expect![[r#"
        [/Script/Pal.PalGameWorldSettings]
        OptionSettings=(ExpRate=2.000000)
    "#]]
    .assert_eq(&image.read("world/Saved/Config/LinuxServer/PalWorldSettings.kept"));
}

#[test]
fn palworld_never_turns_the_link_of_a_world_that_is_awake() {
    let image = Image::of("palworld", &["server/Pal/Binaries/Linux/PalServer-Linux-Shipping"]);
    std::os::unix::fs::symlink(image.path("saved"), image.path("server/Pal/Saved")).unwrap();
    let other = image.path("other");
    fs::create_dir(&other).unwrap();
    let leads_to = || fs::read_link(image.path("saved")).unwrap();
    let first = image.start();
    let Output { status, stderr, .. } = image.command().env("WORLD", &other).output().unwrap();
    assert!(!status.success());
    expect!["another world of Palworld is awake here, and its server plays one at a time"]
        .assert_eq(String::from_utf8(stderr).unwrap().trim_end());
    assert_eq!(leads_to(), image.path("world/Saved"));
    image.stop(first);

    fs::remove_file(image.path("record/pid")).unwrap();
    let mut second = image.command().env("WORLD", &other).spawn().unwrap();
    while !image.read("record/pid").ends_with('\n') {
        assert!(second.try_wait().unwrap().is_none(), "it ended");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(leads_to(), other.join("Saved"));
    image.stop(second);
}

#[test]
fn no_archive_holds_a_file_with_a_password_to_join() {
    for (game, file) in [
        ("factorio", "server-settings.chosen.json"),
        ("palworld", "Saved/Config/LinuxServer/PalWorldSettings.ini"),
        ("terraria", "serverconfig.txt"),
    ] {
        let image = Image::of(game, &[]);
        assert!(image.entry.game.save.exclude.iter().any(|path| path == file), "{game}");
    }
}

#[test]
fn terraria_keeps_its_password_out_of_its_command_line() {
    let image = Image::of("terraria", &["bin/dotnet", "server/TShock.Server.dll"]);
    let image = image.with(&[("SETTING_PASSWORD", "hunter22"), ("SETTING_SEED", "for the worthy")]);
    image.lives_twice("worlds/world.wld", expect![[r#"
        dotnet /server/TShock.Server.dll -ip 0.0.0.0 -port 4000 -maxplayers 8 -config /world/serverconfig.txt -configpath /world/tshock -logpath /world/tshock/logs -crashdir /world/crashes -worldselectpath /world/worlds -world /world/worlds/world.wld -autocreate 2
        in /world
    "#]]);
    assert!(!image.read("record/arguments").contains("hunter22"));
    expect![[r#"
        motd=Dormouse
        password=hunter22
        seed=for the worthy
    "#]]
    .assert_eq(&image.read("world/serverconfig.txt"));
}

#[test]
fn teeworlds_is_given_its_settings_and_its_port() {
    let image = Image::of("teeworlds", &["bin/teeworlds-server"]);
    image.lives_twice(
        "teeworlds.cfg",
        expect![[r#"
        teeworlds-server -f /world/teeworlds.cfg sv_port 4000
        in /world
    "#]],
    );
}

#[test]
fn a_server_that_is_not_there_is_said_in_the_last_line() {
    for game in ["minecraft", "bedrock", "factorio", "palworld", "terraria"] {
        let image = Image::of(game, &[]).with(&[EULA]);
        let said = image.refusal();
        assert!(said.contains("no "), "{game}: {said}");
        assert_eq!(fs::read_dir(image.path("world")).unwrap().count(), 0, "{game} left something");
    }
}

#[test]
fn every_entrypoint_is_a_script_that_the_shell_can_read() {
    for (id, entry) in Catalogue::embedded().unwrap().iter() {
        let script = entry.entrypoint().unwrap();
        let status = Command::new("/bin/sh").args(["-n", "-c", &script]).status().unwrap();
        assert!(status.success(), "{id}");
        assert!(script.contains("\nexec "), "{id} does not become its server");
        assert!(Path::new(&format!("{}/../Dockerfile.{id}", env!("CARGO_MANIFEST_DIR"))).exists(), "{id}");
    }
}
