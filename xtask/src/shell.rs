//! Running other programs, shown to the reader before they run.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, PathBuf::from)
}

/// What no program that is run here may find in its environment: people may have set it for `dormouse`.
const SECRET_VARIABLES: [&str; 2] = ["DORMOUSE_DISCORD_TOKEN", "DORMOUSE_API_TOKEN"];

/// Returns a command that runs in the workspace's root, with no secret of ours in its environment.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    command_in(&root(), program.as_ref(), arguments)
}

/// Returns a command that runs in `directory`, with no secret of ours in its environment.
pub(crate) fn command_in(directory: &Path, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory);
    SECRET_VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// Shows and runs a program; an error unless it succeeds.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    run_command(command(program, arguments))
}

/// Shows and runs `command`; an error unless it succeeds.
pub(crate) fn run_command(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    println!("\n$ {shown}");
    let status = command.status().with_context(|| format!("`{shown}` cannot be run"))?;
    if status.success() { Ok(()) } else { bail!("`{shown}` failed ({status})") }
}

/// Shows and runs `command`, and shows what it has said once it has ended: others run beside it. An error unless it succeeds.
pub(crate) fn run_quietly(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    println!("\n$ {shown} …");
    let ended = command.stdin(Stdio::null()).output().with_context(|| format!("`{shown}` cannot be run"))?;
    let [said, complained] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    println!("\n$ {shown}\n{complained}{said}");
    if ended.status.success() { Ok(()) } else { bail!("`{shown}` failed ({})", ended.status) }
}

/// Returns the line that somebody would type.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Returns where `program` is, if it is to be had.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let games = [PathBuf::from("/usr/games"), PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    std::env::split_paths(&path).chain(games).map(|dir| dir.join(program)).find(|file| file.is_file())
}
