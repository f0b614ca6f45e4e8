//! Whether a Dockerfile fits the catalogue entry of its game. What is read are the instructions of its last stage, which
//! are what the image says.

use std::collections::BTreeSet;

use domain::game::{Game, Protocol};

use super::step::Step;

/// The user and group that games run as in containers.
const GAME_USER: &str = "10001:10001";

/// Words that a name of a secret has.
const SECRET_WORDS: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "CREDENTIAL"];

/// Returns what is wrong with the Dockerfile `text` of `game`, or that nothing is.
pub(super) fn check(text: &str, game: &Game) -> Vec<Step> {
    let all = instructions(text);
    let stages: Vec<_> = all.iter().enumerate().filter(|(_, i)| i.word == "FROM").map(|(at, _)| at).collect();
    let Some(last) = stages.last() else {
        let change = "begin with FROM and an image, such as debian:bookworm-slim by its digest";
        return vec![Step::fail(NAME, "it builds on nothing", change)];
    };
    let image = &all[*last..];
    let mut steps: Vec<_> = [
        pinned(&all),
        stop_signal(image, game),
        user(image),
        ports(image, game),
        label(image, game),
        entrypoint(image),
    ]
    .into_iter()
    .flatten()
    .collect();
    steps.extend(secrets(&all));
    if steps.is_empty() {
        let saw = format!("{}, user {GAME_USER}, {}", game.stop.signal.name(), port_names(game));
        steps.push(Step::ok(NAME, saw));
    }
    steps
}

const NAME: &str = "Dockerfile";

/// An instruction: its word in capitals, and the rest with single spaces.
#[derive(Debug, PartialEq, Eq)]
struct Instruction {
    word: String,
    rest: String,
}

/// Returns the instructions, continued lines in one.
fn instructions(text: &str) -> Vec<Instruction> {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let word = words.next()?.to_uppercase();
        Some(Instruction { word, rest: words.collect::<Vec<_>>().join(" ") })
    };
    joined.lines().filter_map(read).collect()
}

/// Returns the last instruction of that word, which is the one that counts.
fn last<'i>(image: &'i [Instruction], word: &str) -> Option<&'i str> {
    image.iter().rfind(|i| i.word == word).map(|i| i.rest.as_str())
}

/// Wants every base by its digest: a tag is another image tomorrow.
fn pinned(all: &[Instruction]) -> Option<Step> {
    let mut stages = BTreeSet::<&str>::new();
    for from in all.iter().filter(|i| i.word == "FROM") {
        let words: Vec<_> = from.rest.split(' ').filter(|word| !word.starts_with("--")).collect();
        let base = words.first().copied().unwrap_or_default();
        let is_known = base == "scratch" || stages.contains(base);
        if !is_known && !resolved(base, all).contains("@sha256:") {
            let change = "name it with its digest (`docker buildx imagetools inspect IMAGE` says it): IMAGE:TAG@sha256:…";
            return Some(Step::warn(
                NAME,
                format!("what {base} is may change from one build to the next"),
                change,
            ));
        }
        stages.extend(words.get(2).copied());
    }
    None
}

/// Returns `base` with the default of the build argument that it may be.
fn resolved(base: &str, all: &[Instruction]) -> String {
    let name = base.trim_start_matches('$').trim_matches(['{', '}']);
    let default = |i: &Instruction| {
        let (argument, value) = i.rest.split_once('=')?;
        (i.word == "ARG" && argument == name && base.starts_with('$')).then(|| value.to_owned())
    };
    all.iter().find_map(default).unwrap_or_else(|| base.to_owned())
}

fn stop_signal(image: &[Instruction], game: &Game) -> Option<Step> {
    let wanted = game.stop.signal.name();
    let change = format!("STOPSIGNAL {wanted}, as the entry's stop.signal");
    match last(image, "STOPSIGNAL") {
        Some(said) if said == wanted => None,
        Some(said) => Some(Step::fail(
            NAME,
            format!("the host would stop it by {said}, and the entry says {wanted}"),
            change,
        )),
        None => {
            Some(Step::fail(NAME, "it does not say by which signal the host stops it".to_owned(), change))
        }
    }
}

fn user(image: &[Instruction]) -> Option<Step> {
    let change = format!("USER {GAME_USER}: games are started as that user, whatever stands here");
    match last(image, "USER") {
        Some(GAME_USER | "10001") => None,
        None => Some(Step::fail(NAME, "whoever runs the image by hand runs it as root", change)),
        Some("root" | "0" | "0:0" | "root:root") => Some(Step::fail(NAME, "it runs as root", change)),
        Some(other) => Some(Step::warn(NAME, format!("it runs as {other}"), change)),
    }
}

fn ports(image: &[Instruction], game: &Game) -> Option<Step> {
    let exposed: BTreeSet<_> = image
        .iter()
        .filter(|i| i.word == "EXPOSE")
        .flat_map(|i| i.rest.split(' '))
        .map(|port| if port.contains('/') { port.to_lowercase() } else { format!("{port}/tcp") })
        .collect();
    let wanted: BTreeSet<_> = game.ports.iter().map(|p| format!("{}/{}", p.number, p.protocol)).collect();
    let console = game.console.as_ref().map(|console| format!("{}/{}", console.port, Protocol::Tcp));
    if let Some(console) = console.filter(|console| exposed.contains(console)) {
        let change = format!("take {console} out of EXPOSE: nobody but the watchdog talks to the console");
        return Some(Step::fail(NAME, format!("it exposes the console, {console}"), change));
    }
    if exposed == wanted {
        return None;
    }
    let list = |ports: BTreeSet<String>| {
        if ports.is_empty() { "nothing".into() } else { ports.into_iter().collect::<Vec<_>>().join(" ") }
    };
    let saw = format!("it exposes {}, and the entry has {}", list(exposed), list(wanted));
    Some(Step::warn(NAME, saw, format!("EXPOSE {}", port_names(game))))
}

fn label(image: &[Instruction], game: &Game) -> Option<Step> {
    let labels: Vec<_> = image.iter().filter(|i| i.word == "LABEL").map(|i| i.rest.as_str()).collect();
    let is_said = labels.iter().flat_map(|rest| rest.split(' ')).any(|pair| {
        pair.split_once('=').is_some_and(|(key, value)| {
            key.trim_matches('"') == "dormouse.game" && value.trim_matches('"') == game.id.as_str()
        })
    });
    let change = format!("LABEL dormouse.game=\"{}\"", game.id);
    (!is_said).then(|| Step::warn(NAME, "it does not say of which game it is", change))
}

fn entrypoint(image: &[Instruction]) -> Option<Step> {
    let change =
        r#"ENTRYPOINT ["/bin/sh", "/entrypoint"], with COPY entrypoint /entrypoint: the entry's scripts"#;
    match last(image, "ENTRYPOINT") {
        Some(said) if said.starts_with('[') => None,
        Some(said) => {
            let saw = format!("ENTRYPOINT {said} runs in a shell, which passes no signal on");
            Some(Step::fail(NAME, saw, change))
        }
        None => Some(Step::warn(NAME, "it starts whatever its base image starts", change)),
    }
}

/// Finds secrets in the image, where everybody who pulls it can read them.
fn secrets(all: &[Instruction]) -> Option<Step> {
    let is_setting = |i: &&Instruction| i.word == "ENV" || i.word == "ARG";
    let names = |i: &Instruction| {
        i.rest.split(' ').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned())).collect::<Vec<_>>()
    };
    let is_secret = |name: &String| SECRET_WORDS.iter().any(|word| name.to_uppercase().contains(word));
    let secret = all.iter().filter(is_setting).flat_map(names).find(is_secret)?;
    let change = "read it when the server starts, from a file in $WORLD or a setting of the entry";
    Some(Step::fail(NAME, format!("{secret} is in the image, for everybody who pulls it"), change))
}

/// Returns the game's ports as `EXPOSE` has them.
pub(super) fn port_names(game: &Game) -> String {
    game.ports.iter().map(|p| format!("{}/{}", p.number, p.protocol)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::up;
    use domain::world::GameId;
    use expect_test::{Expect, expect};

    const GOOD: &str = "\
# A game.
ARG BASE=debian:bookworm-slim@sha256:7b14
FROM ${BASE} AS build
USER root
FROM ${BASE}
LABEL org.opencontainers.image.title=\"dormouse/openttd\" \\
      dormouse.game=\"openttd\"
COPY entrypoint /entrypoint
USER 10001:10001
EXPOSE 3979/tcp
STOPSIGNAL SIGTERM
ENTRYPOINT [\"/bin/sh\", \"/entrypoint\"]
";

    #[test]
    fn a_dockerfile_that_fits_is_told_in_a_line() {
        check_with("", "", expect!["Ok: SIGTERM, user 10001:10001, 3979/tcp"]);
        check_with("3979/tcp", "3979", expect!["Ok: SIGTERM, user 10001:10001, 3979/tcp"]);
    }

    #[test]
    fn a_signal_that_is_another_or_none_would_lose_a_save() {
        check_with(
            "SIGTERM",
            "SIGKILL",
            expect![
                "Fail: the host would stop it by SIGKILL, and the entry says SIGTERM -> STOPSIGNAL SIGTERM, as the entry's stop.signal"
            ],
        );
        check_with(
            "STOPSIGNAL SIGTERM\n",
            "",
            expect![
                "Fail: it does not say by which signal the host stops it -> STOPSIGNAL SIGTERM, as the entry's stop.signal"
            ],
        );
    }

    #[test]
    fn a_game_does_not_run_as_root() {
        check_with(
            "USER 10001:10001\n",
            "",
            expect![
                "Fail: whoever runs the image by hand runs it as root -> USER 10001:10001: games are started as that user, whatever stands here"
            ],
        );
        check_with(
            "USER 10001:10001",
            "USER 0",
            expect![
                "Fail: it runs as root -> USER 10001:10001: games are started as that user, whatever stands here"
            ],
        );
        check_with(
            "USER 10001:10001",
            "USER games",
            expect![
                "Warn: it runs as games -> USER 10001:10001: games are started as that user, whatever stands here"
            ],
        );
    }

    #[test]
    fn ports_are_those_of_the_entry_and_never_the_console() {
        check_with(
            "EXPOSE 3979/tcp",
            "EXPOSE 3979/udp",
            expect!["Warn: it exposes 3979/udp, and the entry has 3979/tcp -> EXPOSE 3979/tcp"],
        );
        check_with(
            "EXPOSE 3979/tcp\n",
            "",
            expect!["Warn: it exposes nothing, and the entry has 3979/tcp -> EXPOSE 3979/tcp"],
        );
        check_with(
            "3979/tcp",
            "3979/tcp 13979",
            expect![
                "Fail: it exposes the console, 13979/tcp -> take 13979/tcp out of EXPOSE: nobody but the watchdog talks to the console"
            ],
        );
    }

    #[test]
    fn an_entrypoint_passes_signals_on() {
        check_with(
            "[\"/bin/sh\", \"/entrypoint\"]",
            "openttd -D",
            expect![[
                r#"Fail: ENTRYPOINT openttd -D runs in a shell, which passes no signal on -> ENTRYPOINT ["/bin/sh", "/entrypoint"], with COPY entrypoint /entrypoint: the entry's scripts"#
            ]],
        );
        check_with(
            "ENTRYPOINT [\"/bin/sh\", \"/entrypoint\"]\n",
            "",
            expect![[
                r#"Warn: it starts whatever its base image starts -> ENTRYPOINT ["/bin/sh", "/entrypoint"], with COPY entrypoint /entrypoint: the entry's scripts"#
            ]],
        );
    }

    #[test]
    fn an_image_is_pinned_named_and_holds_no_secret() {
        check_with(
            "@sha256:7b14",
            "",
            expect![
                "Warn: what ${BASE} is may change from one build to the next -> name it with its digest (`docker buildx imagetools inspect IMAGE` says it): IMAGE:TAG@sha256:…"
            ],
        );
        check_with(
            "dormouse.game=\"openttd\"",
            "dormouse.game=\"other\"",
            expect![[r#"Warn: it does not say of which game it is -> LABEL dormouse.game="openttd""#]],
        );
        check_with(
            "USER root",
            "ENV RCON_PASSWORD=hunter2",
            expect![
                "Fail: RCON_PASSWORD is in the image, for everybody who pulls it -> read it when the server starts, from a file in $WORLD or a setting of the entry"
            ],
        );
        expect!["Fail: it builds on nothing -> begin with FROM and an image, such as debian:bookworm-slim by its digest"].assert_eq(&told("RUN true"));
    }

    #[test]
    fn the_dockerfiles_of_the_games_that_are_built_in_fit_them() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        for (id, entry) in up::catalogue(None).unwrap().iter() {
            let text = std::fs::read_to_string(format!("{root}/Dockerfile.{id}")).unwrap();
            let steps = check(&text, &entry.game);
            assert!(
                steps.iter().all(|step| step.verdict == super::super::step::Verdict::Ok),
                "{id}: {steps:#?}"
            );
        }
    }

    /// Checks what is told of a good Dockerfile of OpenTTD in which `from` is replaced by `to`.
    fn check_with(from: &str, to: &str, expected: Expect) {
        assert!(from.is_empty() || GOOD.contains(from), "{from}");
        expected.assert_eq(&told(&if from.is_empty() { GOOD.into() } else { GOOD.replace(from, to) }));
    }

    fn told(text: &str) -> String {
        let catalogue = up::catalogue(None).unwrap();
        let entry = catalogue.get(&GameId::parse("openttd").unwrap()).unwrap();
        let line = |step: &Step| {
            let change = if step.change.is_empty() { String::new() } else { format!(" -> {}", step.change) };
            format!("{:?}: {}{change}", step.verdict, step.saw)
        };
        check(text, &entry.game).iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
