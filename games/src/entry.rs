//! One entry: what its keys mean and what they may be.
//!
//! The keys stand here in the order of a file. `docs/adding-a-game.md` is for people; where the two differ, this file is
//! right.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    game::{
        Console, ConsoleProtocol, Count, Game, Import, Players, Port, Protocol, Query, QueryProtocol, Ready,
        Save, Scripts, Signal, Stop,
    },
    idle::Timers,
    world::GameId,
};

use crate::{
    problem::{BadEntry, Problem, Problems},
    rule::{self, Rule},
    section::{Section, read_document},
    setting,
};

/// The longest script. What is longer belongs in a file of the game's own package or image.
const LONGEST_SCRIPT: usize = 16 * 1024;

/// The id that no game may have: on AWS its task definition would be that of the task that removes worlds.
const RESERVED: &str = "erase";

/// A game and the file that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The game.
    pub game: Game,
    /// The file's text.
    pub source: String,
    /// The file; its stem is the game's id.
    pub file: PathBuf,
    /// The Dockerfile of the game's image, if it has one of its own. Otherwise the image is another's.
    pub dockerfile: Option<String>,
}

impl Entry {
    /// Returns the entrypoint of the game's image where the game has a container of its own: a script of the shell, made of
    /// the entry's scripts. Nothing if it has none.
    pub fn entrypoint(&self) -> Option<String> {
        let Scripts { bootstrap, start, .. } = self.game.scripts.as_ref()?;
        let bootstrap = bootstrap.as_deref().unwrap_or_default();
        Some(format!(
            "set -eu\ncd \"$WORLD\"\nexport HOME=\"$WORLD\"\n\
             if [ -n \"${{DORMOUSE_CONSOLE_PASSWORD_FILE:-}}\" ]; then\n  \
             export DORMOUSE_CONSOLE_PASSWORD=\"$(cat \"$DORMOUSE_CONSOLE_PASSWORD_FILE\")\"\nfi\n\
             if [ -n \"${{DORMOUSE_SETTINGS_FILE:-}}\" ]; then\n  . \"$DORMOUSE_SETTINGS_FILE\"\nfi\n\
             (\n{bootstrap}\n)\n{start}"
        ))
    }
}

/// Reads the entry `text` of `file`, or says everything that is wrong with it.
pub fn parse(file: &Path, text: &str) -> Result<Entry, BadEntry> {
    let mut problems = Problems::new(text);
    let id = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let id = self::id(id).map_err(|error| problems.add(0, format!("the file's name: {error}"))).ok();
    let game = read_document(file, text, problems, |root| game(root, id))?;
    Ok(Entry { game, source: text.to_owned(), file: file.to_owned(), dockerfile: None })
}

/// Reads the id in the file's name.
fn id(name: &str) -> Result<GameId, String> {
    match GameId::parse(name) {
        Ok(id) if id.as_str() == RESERVED => Err(format!(
            "game `{RESERVED}` would share its name with the task that removes worlds: use another one"
        )),
        Ok(id) => Ok(id),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns an error about a whole file.
pub(crate) fn unreadable(file: &Path, what: String) -> BadEntry {
    BadEntry { file: file.to_owned(), problems: vec![Problem { line: 1, what }], more: 0 }
}

fn game(root: &mut Section<'_, '_>, id: Option<GameId>) -> Option<Game> {
    let name = root.required("name", &rule::text("1 to 40 printable characters", is_title));
    let image =
        root.required("image", &rule::text("a container image, such as `dormouse/valheim`", is_image));
    let architecture = rule::word(&[("amd64", "amd64"), ("arm64", "arm64")]);
    let architectures = root.list("architectures", 1..=2, &architecture);
    let (cpu, memory_mib) = size(root);
    let ports = ports(root);
    let save = root.section("save", save);
    let import = root.optional_section("import", import);
    let stop = root.section("stop", stop);
    let ready = root.section("ready", ready);
    let timers = root.optional_section("timers", timers).unwrap_or(Timers::DEFAULT);
    let players = root.optional_section("players", players).unwrap_or_default();
    if !timers.afk.is_zero() && players.active.is_none() {
        root.complain("timers", "has `afk`, which needs to know who moves: use `players.active` too");
    }
    let query = root.optional_section("query", |section| query(section, ports.as_deref()));
    let console = root.optional_section("console", |section| console(section, ports.as_deref()));
    let settings = setting::settings(root).unwrap_or_default();
    let scripts = root.optional_section("process", scripts);
    Some(Game {
        id: id?,
        name: name?,
        image: image?,
        architectures: architectures?.into_iter().map(str::to_owned).collect(),
        cpu: cpu?,
        memory_mib: memory_mib?,
        ports: ports?,
        save: save?,
        import,
        stop: stop?,
        ready: ready?,
        timers,
        players,
        query,
        console,
        settings,
        scripts,
    })
}

/// Reads `cpu` and `memory_mib`, which must fit each other.
pub(crate) fn size(section: &mut Section<'_, '_>) -> (Option<u32>, Option<u32>) {
    let cpu = section.required("cpu", &rule::number_of(&[256, 512, 1024, 2048, 4096, 8192, 16384]));
    let memory_mib = section.required("memory_mib", &rule::number(512..=122_880));
    if let (Some(cpu), Some(memory)) = (cpu, memory_mib) {
        check_size(section, cpu, memory);
    }
    (cpu, memory_mib)
}

fn check_size(root: &mut Section<'_, '_>, cpu: u32, memory: u32) {
    let offered = fargate_memory_mib(cpu);
    if !offered.contains(&memory) {
        let allowed = match offered[..] {
            [least, next, _, _, .., most] => format!("{least} to {most} in steps of {}", next - least),
            _ => rule::either(offered),
        };
        root.complain("memory_mib", &format!("is {memory}: with `cpu` {cpu} use {allowed}"));
    }
}

/// Returns what memory Fargate offers with so many CPU units.
fn fargate_memory_mib(cpu: u32) -> Vec<u32> {
    let steps = |least: u32, most, step| (least..=most).step_by(step).collect();
    match cpu {
        256 => vec![512, 1024, 2048],
        512 => steps(1024, 4096, 1024),
        1024 => steps(2048, 8192, 1024),
        2048 => steps(4096, 16384, 1024),
        4096 => steps(8192, 30720, 1024),
        8192 => steps(16384, 61440, 4096),
        16384 => steps(32768, 122_880, 8192),
        _ => vec![],
    }
}

fn ports(root: &mut Section<'_, '_>) -> Option<Vec<Port>> {
    let mut before = Vec::new();
    root.sections("ports", 1..=16, |section| {
        let port = port(section)?;
        check_port(section, &port, &before);
        before.push(port.clone());
        Some(port)
    })
}

fn port(section: &mut Section<'_, '_>) -> Option<Port> {
    let name = section
        .required("name", &rule::text("1 to 32 lower-case letters, digits and inner hyphens", is_slug));
    let number = section.required("number", &rule::number(1024..=65535));
    let protocol =
        section.required("protocol", &rule::word(&[("udp", Protocol::Udp), ("tcp", Protocol::Tcp)]));
    Some(Port { name: name?, number: u16::try_from(number?).ok()?, protocol: protocol? })
}

fn check_port(section: &mut Section<'_, '_>, port: &Port, before: &[Port]) {
    if before.iter().any(|p| p.name == port.name) {
        section.complain("name", &format!("is \"{}\" a second time: use another one", port.name));
    }
    if before.iter().any(|p| (p.number, p.protocol) == (port.number, port.protocol)) {
        let what = format!("is {} a second time for {}: use another one", port.number, port.protocol);
        section.complain("number", &what);
    }
}

fn save(section: &mut Section<'_, '_>) -> Option<Save> {
    let path = inner_path();
    let paths = section.list("paths", 1..=32, &path);
    let exclude = section.optional_list("exclude", 0..=32, &path);
    Some(Save { paths: paths?, exclude: exclude.unwrap_or_default() })
}

fn inner_path() -> Rule<String> {
    rule::text("a path below the world's files, such as `world/maps`, without `..` or `\\`", is_inner_path)
}

fn import(section: &mut Section<'_, '_>) -> Option<Import> {
    let name = "a file name such as `world.mt`, or with one `*` such as `*.sav`";
    let marker = section.required("marker", &rule::text(name, is_pattern));
    let into = section.required("into", &inner_path());
    let requires = section.optional_list("requires", 0..=16, &rule::text(name, is_pattern));
    let rename =
        section.optional("rename", &rule::text("a file name without `*`, such as `world`", is_file_name));
    let requires = requires.unwrap_or_default();
    if marker.as_ref().is_some_and(|marker| !marker.contains('*')) {
        if requires.iter().any(|pattern| pattern.contains('*')) {
            section.complain("requires", "has a `*`, which stands for that of `marker`: use one there too");
        }
        if rename.is_some() {
            section.complain("rename", "takes the place of the `*` of `marker`: use one there too");
        }
    }
    Some(Import { marker: marker?, into: into?.trim_end_matches('/').to_owned(), requires, rename })
}

fn stop(section: &mut Section<'_, '_>) -> Option<Stop> {
    let signals = &[
        ("SIGINT", Signal::Int),
        ("SIGTERM", Signal::Term),
        ("SIGHUP", Signal::Hup),
        ("SIGQUIT", Signal::Quit),
    ];
    let signal = section.required("signal", &rule::word(signals));
    let grace = section.required("grace", &rule::duration_within(seconds(1)..=seconds(8 * 60)));
    Some(Stop { signal: signal?, grace: grace? })
}

fn ready(section: &mut Section<'_, '_>) -> Option<Ready> {
    section.optional("listening", &rule::only_true("a game that binds no port cannot be seen to be ready"));
    let typical = section.required("typical", &rule::duration_within(seconds(1)..=seconds(10 * 60)));
    let limit = section.required("limit", &rule::duration_within(seconds(5)..=seconds(25 * 60)));
    if let (Some(typical), Some(limit)) = (typical, limit)
        && typical > limit
    {
        section.complain("typical", "is longer than `limit`: use a shorter one");
    }
    Some(Ready { typical: typical?, limit: limit? })
}

type Timer = fn(&mut Timers) -> &mut Duration;

/// The timers by their keys.
const TIMERS: [(&str, Timer); 5] = [
    ("never_joined", |timers| &mut timers.never_joined),
    ("last_left", |timers| &mut timers.last_left),
    ("warning", |timers| &mut timers.warning),
    ("afk", |timers| &mut timers.afk),
    ("cap", |timers| &mut timers.cap),
];

fn timers(section: &mut Section<'_, '_>) -> Option<Timers> {
    let mut timers = Timers::DEFAULT;
    for (timer, duration) in read_timers(section) {
        *timer(&mut timers) = duration;
    }
    Some(timers)
}

/// Returns those of the timers that are there and sound.
pub(crate) fn read_timers(section: &mut Section<'_, '_>) -> Vec<(Timer, Duration)> {
    let mut read = Vec::new();
    for (key, timer) in TIMERS {
        let Some(duration) = section.optional(key, &rule::duration()) else { continue };
        let mut timers = Timers::DEFAULT;
        *timer(&mut timers) = duration;
        match timers.checked() {
            Ok(_) => read.push((timer, duration)),
            Err(bad) => {
                let (least, most) = (rule::length(seconds(bad.least)), rule::length(seconds(bad.most)));
                let what = format!("is {}: use {least} to {most}{}", rule::length(duration), bad.or);
                section.complain(key, &what);
            }
        }
    }
    read
}

fn players(section: &mut Section<'_, '_>) -> Option<Players> {
    let pattern = rule::pattern("the first 1 to 28 bytes in hexadecimal, with `??` for any");
    let queries = section.optional_list("queries", 0..=16, &pattern);
    let active = section.optional("active", &rule::number(1..=1000));
    Some(Players { queries: queries.unwrap_or_default(), active })
}

/// Reads how the game is asked; `ports` are those that it may name, if they are known.
fn query(section: &mut Section<'_, '_>, ports: Option<&[Port]>) -> Option<Query> {
    let protocols = &[
        ("a2s", QueryProtocol::A2s),
        ("quake3", QueryProtocol::Quake3),
        ("raknet", QueryProtocol::Raknet),
        ("minecraft", QueryProtocol::Minecraft),
    ];
    let protocol = section.required("protocol", &rule::word(protocols));
    let port = section.required("port", &rule::text("the name of a port", is_slug));
    if let (Some(port), Some(ports)) = (&port, ports) {
        check_asked_port(section, port, ports, protocol);
    }
    let whole = rule::only_true("leave it out where the answer may leave players out");
    let count = section.optional("counts_everybody", &whole).map_or(Count::Partial, |()| Count::Whole);
    Some(Query { protocol: protocol?, port: port?, count })
}

fn check_asked_port(
    section: &mut Section<'_, '_>,
    name: &str,
    ports: &[Port],
    protocol: Option<QueryProtocol>,
) {
    let transport = protocol.map(QueryProtocol::transport);
    match (ports.iter().find(|port| port.name == name), transport) {
        (None, _) => {
            let names = rule::either(ports.iter().map(|p| &p.name));
            section.complain("port", &format!("is \"{name}\": use {names}"));
        }
        (Some(port), Some(transport)) if port.protocol != transport => {
            let what = format!("is \"{name}\", a port of {}: use one of {transport}", port.protocol);
            section.complain("port", &what);
        }
        (Some(_), _) => {}
    }
}

/// Reads how commands are given; `ports` are those of players, which the console must not be.
fn console(section: &mut Section<'_, '_>, ports: Option<&[Port]>) -> Option<Console> {
    let protocols = &[("rcon", ConsoleProtocol::Rcon), ("openttd-admin", ConsoleProtocol::OpenttdAdmin)];
    let protocol = section.required("protocol", &rule::word(protocols));
    let port = section.required("port", &rule::number(1024..=65535)).and_then(|n| u16::try_from(n).ok());
    let command = rule::text("a command of 1 to 200 characters on one line", is_command);
    let save = section.list("save", 0..=8, &command);
    let say = "a command of 1 to 200 characters on one line, with one `{message}`";
    let say = section.optional("say", &rule::text(say, is_announcement));
    let before_copy = section.optional_list("before_copy", 0..=8, &command).unwrap_or_default();
    let after_copy = section.optional_list("after_copy", 0..=8, &command).unwrap_or_default();
    let is_port = |p: &Port| p.protocol == Protocol::Tcp && Some(p.number) == port;
    if ports.is_some_and(|ports| ports.iter().any(is_port)) {
        section
            .complain("port", "is a port of players, to whom the console must stay closed: use another one");
    }
    if !before_copy.is_empty() && after_copy.is_empty() {
        section.complain("before_copy", "is never taken back: use `after_copy` too");
    }
    Some(Console { protocol: protocol?, port: port?, save: save?, say, before_copy, after_copy })
}

fn scripts(section: &mut Section<'_, '_>) -> Option<Scripts> {
    let package = rule::text("the name of a Debian package", is_package);
    let script = rule::text("a shell script of 1 to 16384 bytes, with Unix line ends (LF)", is_script);
    let packages = section.optional_list("packages", 0..=32, &package);
    let bootstrap = section.optional("bootstrap", &script);
    let start = section.required("start", &script);
    let stop = section.optional("stop", &script);
    let healthcheck = section.optional("healthcheck", &script);
    Some(Scripts { packages: packages.unwrap_or_default(), bootstrap, start: start?, stop, healthcheck })
}

pub(crate) fn is_slug(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(crate) fn is_title(text: &str) -> bool {
    (1..=40).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

fn is_image(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:@".contains(&b))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_package(text: &str) -> bool {
    (2..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        && !text.starts_with(['+', '-', '.'])
}

fn is_command(text: &str) -> bool {
    (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

fn is_announcement(text: &str) -> bool {
    is_command(text) && text.matches("{message}").count() == 1
}

fn is_script(text: &str) -> bool {
    // A carriage return, as an editor on Windows leaves it, becomes part of a word of the shell.
    !text.trim().is_empty() && text.len() <= LONGEST_SCRIPT && !text.contains(['\0', '\r'])
}

fn is_inner_path(text: &str) -> bool {
    let mut parts = text.strip_suffix('/').unwrap_or(text).split('/');
    (1..=200).contains(&text.len())
        && parts.all(|part| !matches!(part, "" | "." | ".."))
        && !text.chars().any(|c| c.is_control() || c == '\\')
}

fn is_file_name(text: &str) -> bool {
    is_inner_path(text) && !text.contains(['/', '*'])
}

fn is_pattern(text: &str) -> bool {
    let plain = text.replacen('*', "", 1);
    is_file_name(&plain)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const GOOD: &str = r#"name = "Game"
image = "dormouse/game"
architectures = ["amd64"]
cpu = 512
memory_mib = 1024

[[ports]]
name = "game"
number = 30000
protocol = "udp"

[save]
paths = ["world"]

[stop]
signal = "SIGINT"
grace = "60s"

[ready]
typical = "5s"
limit = "2m"

[process]
start = "exec server"
"#;

    #[test]
    fn a_good_entry_is_read_and_what_it_leaves_out_is_the_default() {
        let game = parse(Path::new("catalog/game.toml"), GOOD).unwrap().game;
        assert_eq!((game.id.as_str(), game.main_port(), game.timers), ("game", 30000, Timers::DEFAULT));
    }

    #[test]
    fn each_bad_value_is_told_with_line_key_and_what_is_allowed() {
        check(
            "\"Game\"",
            "\" Game\\n\"",
            expect![[r#"game.toml:1: `name` is " Game\n": use 1 to 40 printable characters"#]],
        );
        check(
            "\"dormouse/game\"",
            "\"a b\"",
            expect![[r#"game.toml:2: `image` is "a b": use a container image, such as `dormouse/valheim`"#]],
        );
        check(
            "\"dormouse/game\"",
            "\"--privileged\"",
            expect![[
                r#"game.toml:2: `image` is "--privileged": use a container image, such as `dormouse/valheim`"#
            ]],
        );
        check(
            "[\"amd64\"]",
            "[\"x86\"]",
            expect![[r#"game.toml:3: `architectures` has "x86": use amd64 or arm64"#]],
        );
        check(
            "[\"amd64\"]",
            "[\"amd64\", \"amd64\"]",
            expect![[r#"game.toml:3: `architectures` has "amd64" twice"#]],
        );
        check(
            "512",
            "500",
            expect![
                "game.toml:4: `cpu` is 500: use one of the numbers 256, 512, 1024, 2048, 4096, 8192 or 16384"
            ],
        );
        check(
            "1024",
            "\"1 GB\"",
            expect![[r#"game.toml:5: `memory_mib` is "1 GB": use a number from 512 to 122880"#]],
        );
        check(
            "\"game\"",
            "\"main_port\"",
            expect![[
                r#"game.toml:8: `ports.name` is "main_port": use 1 to 32 lower-case letters, digits and inner hyphens"#
            ]],
        );
        check("30000", "80", expect!["game.toml:9: `ports.number` is 80: use a number from 1024 to 65535"]);
        check(
            "\"udp\"",
            "\"sctp\"",
            expect![[r#"game.toml:10: `ports.protocol` is "sctp": use udp or tcp"#]],
        );
        check(
            "\"SIGINT\"",
            "\"SIGSTOP\"",
            expect![[r#"game.toml:16: `stop.signal` is "SIGSTOP": use SIGINT, SIGTERM, SIGHUP or SIGQUIT"#]],
        );
        check(
            "\"60s\"",
            "\"9m\"",
            expect![[
                r#"game.toml:17: `stop.grace` is "9m": use a duration from 1s to 8m, written like "90s", "15m" or "1h30m""#
            ]],
        );
        check(
            "\"60s\"",
            "60",
            expect![[
                r#"game.toml:17: `stop.grace` is 60: use a duration from 1s to 8m, written like "90s", "15m" or "1h30m""#
            ]],
        );
        check(
            "[ready]",
            "[ready]\nlistening = false",
            expect![
                "game.toml:20: `ready.listening` is false: use true: a game that binds no port cannot be seen to be ready"
            ],
        );
        check(
            "\"2m\"",
            "\"26m\"",
            expect![[
                r#"game.toml:21: `ready.limit` is "26m": use a duration from 5s to 25m, written like "90s", "15m" or "1h30m""#
            ]],
        );
        check(
            "[process]",
            "[process]\npackages = [\"Quake\"]",
            expect![[r#"game.toml:24: `process.packages` has "Quake": use the name of a Debian package"#]],
        );
        check(
            "\"exec server\"",
            "\" \"",
            expect![[
                r#"game.toml:24: `process.start` is " ": use a shell script of 1 to 16384 bytes, with Unix line ends (LF)"#
            ]],
        );
        check(
            "\"exec server\"",
            "\"cd /srv\\r\\nexec server\"",
            expect![[
                r#"game.toml:24: `process.start` is "cd /srv\r\nexec server": use a shell script of 1 to 16384 bytes, with Unix line ends (LF)"#
            ]],
        );
    }

    #[test]
    fn a_path_stays_below_the_files_of_the_world() {
        check(
            "\"world\"",
            "\"../world\"",
            expect![[
                r#"game.toml:13: `save.paths` has "../world": use a path below the world's files, such as `world/maps`, without `..` or `\`"#
            ]],
        );
        check(
            "[\"world\"]",
            "[]",
            expect![[
                r#"game.toml:13: `save.paths` is an empty list: use a list of 1 to 32 items, each a path below the world's files, such as `world/maps`, without `..` or `\`"#
            ]],
        );
        check(
            "[\"world\"]",
            "[\n  \"world\",\n  7,\n]\nexclude = [\"world/../..\"]",
            expect![[r#"
            game.toml:15: `save.paths` has 7: use a path below the world's files, such as `world/maps`, without `..` or `\`
            game.toml:17: `save.exclude` has "world/../..": use a path below the world's files, such as `world/maps`, without `..` or `\`"#]],
        );
        for bad in ["", "/", "/etc", ".", "..", "a/..", "a/./b", "a//b", "a\\b", "a\nb", "//", "a//"] {
            assert!(!is_inner_path(bad), "{bad:?}");
        }
        for good in ["world", "world/", "save/autosave/exit.sav", ".config", "a..b", "a b"] {
            assert!(is_inner_path(good), "{good:?}");
        }
    }

    #[test]
    fn what_an_import_looks_like_is_read() {
        let with = |import: &str| GOOD.replace("[stop]", &format!("[import]\n{import}\n\n[stop]"));
        let import = |text: &str| parse(Path::new("game.toml"), &with(text)).map(|entry| entry.game.import);
        assert_eq!(parse(Path::new("game.toml"), GOOD).unwrap().game.import, None);
        let all = "marker = \"*.fwl\"\ninto = \"worlds/\"\nrequires = [\"*.db\", \"x\"]\nrename = \"world\"";
        assert_eq!(
            import(all).unwrap(),
            Some(Import {
                marker: "*.fwl".into(),
                into: "worlds".into(),
                requires: vec!["*.db".into(), "x".into()],
                rename: Some("world".into()),
            })
        );
        let mut said = String::new();
        for bad in [
            "marker = \"world.mt\"",
            "marker = \"a/b\"\ninto = \"world\"",
            "marker = \"*\"\ninto = \"world\"",
            "marker = \"*.*\"\ninto = \"..\"",
            "marker = \"a\"\ninto = \"world\"\nrequires = [\"*.db\"]\nrename = \"world\"",
            "marker = \"*.a\"\ninto = \"world\"\nrename = \"*\"\nroot = 1",
        ] {
            said += &format!("{}\n", import(bad).unwrap_err());
        }
        expect![[r#"
            game.toml:15: `import.into` is missing: use a path below the world's files, such as `world/maps`, without `..` or `\`
            game.toml:16: `import.marker` is "a/b": use a file name such as `world.mt`, or with one `*` such as `*.sav`
            game.toml:16: `import.marker` is "*": use a file name such as `world.mt`, or with one `*` such as `*.sav`
            game.toml:16: `import.marker` is "*.*": use a file name such as `world.mt`, or with one `*` such as `*.sav`
            game.toml:17: `import.into` is "..": use a path below the world's files, such as `world/maps`, without `..` or `\`
            game.toml:18: `import.requires` has a `*`, which stands for that of `marker`: use one there too
            game.toml:19: `import.rename` takes the place of the `*` of `marker`: use one there too
            game.toml:18: `import.rename` is "*": use a file name without `*`, such as `world`
            game.toml:19: unknown key `import.root`: use marker, into, requires or rename
        "#]].assert_eq(&said);
    }

    #[test]
    fn how_commands_are_given_is_read() {
        let with = |console: &str| GOOD.replace("[process]", &format!("[console]\n{console}\n\n[process]"));
        let console = |text: &str| parse(Path::new("game.toml"), &with(text)).map(|entry| entry.game.console);
        assert_eq!(parse(Path::new("game.toml"), GOOD).unwrap().game.console, None);
        let all = "protocol = \"rcon\"\nport = 30000\nsave = [\"save-all flush\"]\nsay = \"say {message}\"\n\
                   before_copy = [\"save-off\"]\nafter_copy = [\"save-on\"]";
        assert_eq!(
            console(all).unwrap(),
            Some(Console {
                protocol: ConsoleProtocol::Rcon,
                port: 30000,
                save: vec!["save-all flush".into()],
                say: Some("say {message}".into()),
                before_copy: vec!["save-off".into()],
                after_copy: vec!["save-on".into()],
            })
        );
        let mut said = String::new();
        for bad in [
            "protocol = \"telnet\"\nport = \"game\"",
            "protocol = \"rcon\"\nport = 80\nsave = [\"a\\nb\", \"\"]\nsay = \"say\"",
            "protocol = \"rcon\"\nport = 25575\nsave = []\nbefore_copy = [\"save-off\"]\npassword = \"x\"",
        ] {
            said += &format!("{}\n", console(bad).unwrap_err());
        }
        expect![[r#"
            game.toml:23: `console.save` is missing: use a list of 0 to 8 items, each a command of 1 to 200 characters on one line
            game.toml:24: `console.protocol` is "telnet": use rcon or openttd-admin
            game.toml:25: `console.port` is "game": use a number from 1024 to 65535
            game.toml:25: `console.port` is 80: use a number from 1024 to 65535
            game.toml:26: `console.save` has "a\nb": use a command of 1 to 200 characters on one line
            game.toml:26: `console.save` has "": use a command of 1 to 200 characters on one line
            game.toml:27: `console.say` is "say": use a command of 1 to 200 characters on one line, with one `{message}`
            game.toml:27: `console.before_copy` is never taken back: use `after_copy` too
            game.toml:28: unknown key `console.password`: use protocol, port, save, say, before_copy or after_copy
        "#]].assert_eq(&said);
    }

    #[test]
    fn a_console_is_no_port_of_players() {
        let console = "[console]\nprotocol = \"openttd-admin\"\nport = 30000\nsave = []\n\n[process]";
        let udp = GOOD.replace("[process]", console);
        assert_eq!(parse(Path::new("game.toml"), &udp).unwrap().game.ports.len(), 1);
        let error = parse(Path::new("game.toml"), &udp.replace("\"udp\"", "\"tcp\"")).unwrap_err();
        expect!["game.toml:25: `console.port` is a port of players, to whom the console must stay closed: use another one"].assert_eq(&error.to_string());
    }

    #[test]
    fn a_console_moves_with_the_ports() {
        let console = "[console]\nprotocol = \"rcon\"\nport = 65000\nsave = []\n\n[process]";
        let game = parse(Path::new("game.toml"), &GOOD.replace("[process]", console)).unwrap().game;
        let moved = game.clone().at_port(30007).unwrap();
        assert_eq!(moved.bound().collect::<Vec<_>>(), [(30007, Protocol::Udp), (65007, Protocol::Tcp)]);
        assert_eq!(game.at_port(30536), None);
    }

    #[test]
    fn memory_is_what_fargate_offers_for_the_cpu() {
        check(
            "cpu = 512\nmemory_mib = 1024",
            "cpu = 256\nmemory_mib = 1536",
            expect!["game.toml:5: `memory_mib` is 1536: with `cpu` 256 use 512, 1024 or 2048"],
        );
        check(
            "cpu = 512\nmemory_mib = 1024",
            "cpu = 8192\nmemory_mib = 17408",
            expect![
                "game.toml:5: `memory_mib` is 17408: with `cpu` 8192 use 16384 to 61440 in steps of 4096"
            ],
        );
        check(
            "1024",
            "512",
            expect!["game.toml:5: `memory_mib` is 512: with `cpu` 512 use 1024, 2048, 3072 or 4096"],
        );
    }

    #[test]
    fn unknown_missing_and_wrongly_typed_keys_are_told() {
        check(
            "grace",
            "grase",
            expect![[r#"
            game.toml:15: `stop.grace` is missing: use a duration from 1s to 8m, written like "90s", "15m" or "1h30m"
            game.toml:17: unknown key `stop.grase`: use signal or grace"#]],
        );
        check(
            "[stop]",
            "[stopp]",
            expect![[r#"
                game.toml:1: `stop` is missing: use a section [stop]
                game.toml:15: unknown key `stopp`: use name, image, architectures, cpu, memory_mib, ports, save, import, stop, ready, timers, players, query, console, settings or process"#]],
        );
        check(
            "name = \"Game\"\n",
            "",
            expect!["game.toml:1: `name` is missing: use 1 to 40 printable characters"],
        );
        check(
            "name = \"Game\"",
            "name = 7",
            expect!["game.toml:1: `name` is 7: use 1 to 40 printable characters"],
        );
        check("[save]", "[[save]]", expect!["game.toml:12: `save` is a list of 1: use a section [save]"]);
        check(
            "grace",
            "\"a\\nb\" = 1\ngrace",
            expect![[r#"game.toml:17: unknown key `stop.a\nb`: use signal or grace"#]],
        );
        check("[stop]", "[stop]\nsignal = \"SIGINT\"", expect!["game.toml:17: not TOML: duplicate key"]);
        check(
            "[[ports]]",
            "[ports]",
            expect!["game.toml:7: `ports` is a table: use 1 to 16 sections [[ports]]"],
        );
        check("cpu = 512", "cpu = = 512", expect!["game.toml:4: not TOML: extra `=`, expected nothing"]);
    }

    #[test]
    fn keys_that_must_fit_each_other_are_told() {
        let port = "[[ports]]\nname = \"game\"\nnumber = 30000\nprotocol = \"udp\"\n\n[save]";
        check(
            "[save]",
            port,
            expect![[r#"
            game.toml:13: `ports.name` is "game" a second time: use another one
            game.toml:14: `ports.number` is 30000 a second time for udp: use another one"#]],
        );
        check(
            "[save]",
            "[query]\nprotocol = \"Valheim\"\nport = \"query\"\n\n[save]",
            expect![[r#"
            game.toml:13: `query.protocol` is "Valheim": use a2s, quake3, raknet or minecraft
            game.toml:14: `query.port` is "query": use game"#]],
        );
        check(
            "[save]",
            "[query]\nprotocol = \"minecraft\"\nport = \"game\"\n\n[save]",
            expect![[r#"game.toml:14: `query.port` is "game", a port of udp: use one of tcp"#]],
        );
        check(
            "[save]",
            "[timers]\nlast_left = \"1s\"\ncap = \"200h\"\nwarning = \"soon\"\n[save]",
            expect![[r#"
            game.toml:13: `timers.last_left` is 1s: use 5s to 24h
            game.toml:14: `timers.cap` is 200h: use 30s to 168h
            game.toml:15: `timers.warning` is "soon": use a duration written like "90s", "15m" or "1h30m""#]],
        );
        check(
            "[save]",
            "[timers]\nafk = \"1m\"\n[players]\nactive = 0\n[save]",
            expect![[r#"
            game.toml:13: `timers.afk` is 1m: use 5m to 24h, or 0s for never
            game.toml:15: `players.active` is 0: use a number from 1 to 1000"#]],
        );
        check(
            "[save]",
            "[timers]\nafk = \"45m\"\n[save]",
            expect![
                "game.toml:12: `timers` has `afk`, which needs to know who moves: use `players.active` too"
            ],
        );
        check(
            "\"5s\"",
            "\"3m\"",
            expect!["game.toml:20: `ready.typical` is longer than `limit`: use a shorter one"],
        );
    }

    #[test]
    fn the_same_number_serves_both_protocols() {
        let tcp = "[[ports]]\nname = \"rcon\"\nnumber = 30000\nprotocol = \"tcp\"\n\n[save]";
        parse(Path::new("game.toml"), &GOOD.replace("[save]", tcp)).unwrap();
    }

    #[test]
    fn a_torn_or_mangled_file_is_refused_at_a_line_that_it_has() {
        let lines: Vec<_> = GOOD.lines().collect();
        let without = |n: usize| {
            lines.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, l)| format!("{l}\n")).collect()
        };
        let torn = (0..GOOD.len()).map(|end| GOOD[..end].to_owned());
        let mangled = (0..GOOD.len())
            .flat_map(|at| ["[", "\"", "é", "\n", "="].map(|s| format!("{}{s}{}", &GOOD[..at], &GOOD[at..])));
        for text in torn.chain(mangled).chain((0..lines.len()).map(without)) {
            let Err(bad) = parse(Path::new("game.toml"), &text) else { continue };
            assert!(!bad.problems.is_empty());
            for problem in bad.problems {
                assert!((1..=text.lines().count() + 1).contains(&problem.line), "{problem:?} in {text}");
            }
        }
    }

    #[test]
    fn line_ends_of_windows_and_a_byte_order_mark_hurt_only_scripts() {
        let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let read = |text: &str| parse(Path::new("game.toml"), text).map(|entry| entry.game);
        assert_eq!(read(&windows(GOOD)), read(GOOD));
        let script = windows(&GOOD.replace("\"exec server\"", "\"\"\"\ncd /srv\nexec server\n\"\"\""));
        expect![[r#"game.toml:24: `process.start` is "cd /srv\r\nexec server\r\n": use a shell script of 1 to 16384 bytes, with Unix line ends (LF)"#]].assert_eq(&read(&script).unwrap_err().to_string());
    }

    #[test]
    fn a_file_whose_name_is_no_id_is_refused() {
        let error = parse(Path::new("My Game.toml"), GOOD).unwrap_err();
        expect!["My Game.toml:1: the file's name: game `My Game` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valheim`"].assert_eq(&error.to_string());
    }

    #[test]
    fn a_file_with_the_name_of_the_task_that_removes_worlds_is_refused() {
        let error = parse(Path::new("erase.toml"), GOOD).unwrap_err();
        expect!["erase.toml:1: the file's name: game `erase` would share its name with the task that removes worlds: use another one"].assert_eq(&error.to_string());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_up_to_a_bound() {
        let bad: String = (0..50).map(|n| format!("x{n} = 1\n")).collect();
        let error = parse(Path::new("game.toml"), &format!("{bad}{GOOD}")).unwrap_err();
        assert_eq!((error.problems.len(), error.more), (BadEntry::MOST, 30));
    }

    /// Replaces `from` in a good entry and compares what is said of the result.
    fn check(from: &str, to: &str, expected: Expect) {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "`{from}` is not in the entry");
        let error = parse(Path::new("game.toml"), &text).unwrap_err();
        expected.assert_eq(&error.to_string());
    }
}
