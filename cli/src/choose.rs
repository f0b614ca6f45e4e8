//! What people choose of a game's settings: from options, files, the terminal or standard input. A password is never taken
//! from the command line, which others on the machine can see, and terms are shown before they are accepted.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use adapters::front_door::view::SettingView;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

/// The most bytes of a value that are read.
const LONGEST: u64 = 16 * 1024;

/// How often somebody is asked for one setting.
const TRIES: u32 = 3;

/// What is chosen of a game's settings.
#[derive(Debug, Args)]
pub(crate) struct Choosing {
    /// Choose one of the game's settings (see `dormouse games`); NAME=- asks for it, or reads a line of standard input
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Choose one of the game's settings as it stands in a file
    #[arg(long, value_name = "NAME=FILE", value_parser = assignment)]
    set_file: Vec<(String, String)>,
    /// Accept the terms that the game asks you to accept; they are shown
    #[arg(long)]
    accept_terms: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let wrong = || "write NAME=VALUE, such as difficulty=hard".to_owned();
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Where answers come from: the question, and whether the answer is a secret.
pub(crate) trait Ask {
    /// Asks, and returns the answer without its line end.
    fn ask(&mut self, question: &str, secret: bool) -> Result<String>;

    /// Tells whether there is somebody who can answer what was not announced.
    fn is_person(&self) -> bool;
}

impl Choosing {
    /// Tells whether nothing is chosen.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.set_file.is_empty() && !self.accept_terms
    }

    /// Returns what was chosen of `settings`. What a new world must have and lacks is asked for, if somebody is there; whatever
    /// else is wrong the control plane says.
    pub(crate) fn for_new(
        &self,
        settings: &[SettingView],
        ask: &mut dyn Ask,
    ) -> Result<BTreeMap<String, String>> {
        let mut chosen = self.given(settings, ask)?;
        if ask.is_person() {
            for setting in settings.iter().filter(|setting| setting.required) {
                if !chosen.contains_key(&setting.name) {
                    let answer = asked(setting, ask)?;
                    chosen.insert(setting.name.clone(), answer);
                }
            }
        }
        Ok(chosen)
    }

    /// Returns what was chosen of `settings`.
    pub(crate) fn given(
        &self,
        settings: &[SettingView],
        ask: &mut dyn Ask,
    ) -> Result<BTreeMap<String, String>> {
        let mut chosen = BTreeMap::new();
        let find = |name: &str| settings.iter().find(|setting| setting.name == name);
        for (name, value) in &self.set {
            let secret = find(name).is_some_and(|setting| setting.kind == "password");
            let value = match value.as_str() {
                "-" => ask.ask(&question(name, find(name)), secret)?,
                "" => String::new(),
                _ if secret => bail!(
                    "others on this machine can see a command line, so no password is taken from it\n  \
                     hint: use --set {name}=- and type it, or --set-file {name}=FILE"
                ),
                value => value.to_owned(),
            };
            once(&mut chosen, name, value)?;
        }
        for (name, file) in &self.set_file {
            let opened = File::open(file).with_context(|| format!("opening {file}"))?;
            let value = line(&mut io::BufReader::new(opened)).with_context(|| format!("reading {file}"))?;
            once(&mut chosen, name, value)?;
        }
        if self.accept_terms {
            for setting in settings.iter().filter(|setting| setting.kind == "terms") {
                eprintln!("accepted: {}, {}", setting.title, setting.url.as_deref().unwrap_or_default());
                chosen.insert(setting.name.clone(), "accept".into());
            }
        }
        Ok(chosen)
    }
}

fn once(chosen: &mut BTreeMap<String, String>, name: &str, value: String) -> Result<()> {
    ensure!(chosen.insert(name.to_owned(), value).is_none(), "`{name}` is chosen twice");
    Ok(())
}

/// Asks for a setting until there is an answer.
fn asked(setting: &SettingView, ask: &mut dyn Ask) -> Result<String> {
    for _ in 0..TRIES {
        let answer = ask.ask(&question(&setting.name, Some(setting)), setting.kind == "password")?;
        if !answer.is_empty() {
            return Ok(answer);
        }
    }
    bail!("`{}` ({}) must be chosen", setting.name, setting.title)
}

fn question(name: &str, setting: Option<&SettingView>) -> String {
    let Some(setting) = setting else { return format!("{name}: ") };
    let about = setting.about.as_ref().map_or(String::new(), |about| format!("{about}\n"));
    match &setting.url {
        Some(url) => {
            format!("{about}{}: {url}\nRead them, and type `accept` if you accept them: ", setting.title)
        }
        None => format!("{about}{} ({}): ", setting.title, setting.allowed),
    }
}

/// Reads one line, without its end.
fn line(from: &mut dyn BufRead) -> Result<String> {
    let mut text = String::new();
    let read = from.take(LONGEST + 1).read_line(&mut text)?;
    ensure!(u64::try_from(read).is_ok_and(|read| read <= LONGEST), "the line is too long");
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Reads one line of a terminal that takes no notice of Ctrl-C, without its end.
fn hidden_line(from: &mut dyn BufRead) -> Result<String> {
    let mut text = Vec::new();
    for byte in from.bytes() {
        match byte? {
            b'\n' => break,
            CTRL_C => bail!("interrupted; nothing was done"),
            byte => text.push(byte),
        }
        ensure!(text.len() as u64 <= LONGEST, "the line is too long");
    }
    Ok(String::from_utf8(text)?.trim_end_matches('\r').to_owned())
}

/// The terminal, or whatever else standard input is.
pub(crate) struct Terminal;

impl Ask for Terminal {
    fn ask(&mut self, question: &str, secret: bool) -> Result<String> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return line(&mut stdin.lock());
        }
        eprint!("{question}");
        io::stderr().flush()?;
        if !secret {
            return line(&mut stdin.lock());
        }
        let _hidden = Hidden::new().context("hiding what is typed")?;
        let answer = hidden_line(&mut stdin.lock());
        eprintln!();
        answer
    }

    fn is_person(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }
}

/// What a terminal makes of Ctrl-C.
const CTRL_C: u8 = 3;

/// As long as it lives, what is typed is not shown. Ctrl-C ends a line instead of this program, which has to set the terminal
/// right first.
struct Hidden(Termios);

impl Hidden {
    fn new() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin().as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        if let Some(end) = silent.control_chars.get_mut(SpecialCharacterIndices::VEOL as usize) {
            *end = CTRL_C;
        }
        tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSADRAIN, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn ctrl_c_gives_a_hidden_line_up() {
        let read = |typed: &str| hidden_line(&mut typed.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(read("hunter22\r\nmore"), Ok("hunter22".into()));
        assert_eq!(read("hunt\u{3}"), Err("interrupted; nothing was done".into()));
        assert_eq!(read(&"x".repeat(1 << 20)), Err("the line is too long".into()));
    }

    #[test]
    fn what_a_new_world_lacks_is_asked_for_and_secrets_are_not_shown() {
        check(
            &choosing(&["level=hard"], true),
            &["hunter22", "", "accept"],
            expect![[r#"
                ask Password (5 characters or more): (secret)
                ask Terms: https://example.com/eula
                Read them, and type `accept` if you accept them:
                ask Terms: https://example.com/eula
                Read them, and type `accept` if you accept them:
                chosen eula=accept level=hard password=hunter22"#]],
        );
    }

    #[test]
    fn a_password_on_the_command_line_is_refused_and_one_to_be_typed_is_asked_for() {
        check(
            &choosing(&["password=hunter22"], true),
            &[],
            expect![[r#"
                error: others on this machine can see a command line, so no password is taken from it
                  hint: use --set password=- and type it, or --set-file password=FILE"#]],
        );
        check(
            &choosing(&["password=-", "level="], false),
            &["hunter22"],
            expect![[r#"
                ask Password (5 characters or more): (secret)
                chosen level= password=hunter22"#]],
        );
    }

    #[test]
    fn nobody_is_asked_where_nobody_is_and_nothing_is_chosen_twice() {
        check(&choosing(&["level=hard"], false), &[], expect!["chosen level=hard"]);
        check(
            &choosing(&["level=hard", "level=easy"], false),
            &[],
            expect!["error: `level` is chosen twice"],
        );
        check(
            &choosing(&[], true),
            &["", "", ""],
            expect![[r#"
            ask Password (5 characters or more): (secret)
            ask Password (5 characters or more): (secret)
            ask Password (5 characters or more): (secret)
            error: `password` (Password) must be chosen"#]],
        );
    }

    #[test]
    fn a_file_gives_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "hunter 22\r\nmore\n").unwrap();
        let set_file = vec![("password".to_owned(), file.to_string_lossy().into_owned())];
        let choosing = Choosing { set: vec![], set_file, accept_terms: true };
        let chosen = choosing.given(&settings(), &mut Script { answers: vec![], person: false, log: vec![] });
        let chosen: Vec<_> =
            chosen.unwrap().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(chosen, ["eula=accept", "password=hunter 22"]);
        std::fs::write(&file, "x".repeat(20_000)).unwrap();
        assert!(line(&mut io::BufReader::new(File::open(&file).unwrap())).is_err());
    }

    struct Script {
        answers: Vec<String>,
        person: bool,
        log: Vec<String>,
    }

    impl Ask for Script {
        fn ask(&mut self, question: &str, secret: bool) -> Result<String> {
            let secret = if secret { " (secret)" } else { "" };
            self.log.push(format!("ask {}{secret}", question.trim_end()));
            ensure!(!self.answers.is_empty(), "nobody answers");
            Ok(self.answers.remove(0))
        }

        fn is_person(&self) -> bool {
            self.person
        }
    }

    fn choosing(set: &[&str], person: bool) -> (Choosing, bool) {
        let set = set.iter().map(|text| assignment(text).unwrap()).collect();
        (Choosing { set, set_file: vec![], accept_terms: false }, person)
    }

    fn settings() -> Vec<SettingView> {
        let one = |name: &str, title: &str, kind: &str, required| SettingView {
            name: name.into(),
            title: title.into(),
            about: None,
            kind: kind.into(),
            allowed: "5 characters or more".into(),
            url: (kind == "terms").then(|| "https://example.com/eula".into()),
            default: None,
            required,
            until_woken: false,
        };
        vec![
            one("password", "Password", "password", true),
            one("level", "Level", "choice", false),
            one("eula", "Terms", "terms", true),
        ]
    }

    fn check((choosing, person): &(Choosing, bool), answers: &[&str], expected: Expect) {
        let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let mut script = Script { answers, person: *person, log: vec![] };
        let last = match choosing.for_new(&settings(), &mut script) {
            Ok(chosen) => {
                let all: Vec<_> = chosen.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("chosen {}", all.join(" "))
            }
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&script.log.into_iter().chain([last]).collect::<Vec<_>>().join("\n"));
    }
}
