//! `dormouse`: the program of the one who runs worlds, on one machine or against a control plane elsewhere.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

mod up;

mod serving;

mod bot;

mod world;

mod access;

mod discord;

mod doctor;

mod cost;

mod new_game;

mod check_game;

mod queue;

mod client;

mod output;

mod transfer;

mod choose;

/// Private game servers that sleep until somebody wants to play, and go back to sleep when the last player has left
#[derive(Debug, Parser)]
#[command(
    name = "dormouse",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  dormouse up                                 run everything on this machine
  dormouse world create valhalla --game luanti
  dormouse world start valhalla --wait
  dormouse world status valhalla

Exit codes: 0 done, 1 it failed or was refused, 2 the command line is wrong, 130 interrupted"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane on this machine, with everything in it
    Up(up::Up),
    /// Show which games there are
    Games(Reach),
    /// Make, wake, stop and look at worlds
    #[command(subcommand)]
    World(world::World),
    /// Show and change who may do what in the chat
    #[command(subcommand)]
    Access(access::Access),
    /// Look at messages that were put aside, and send them again
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Register the commands with Discord, see them, and invite the bot
    #[command(subcommand)]
    Discord(discord::Discord),
    /// Check what this machine has, or what is deployed on AWS, and say how to mend what is wrong
    Doctor(doctor::Doctor),
    /// Say what a deployment on AWS costs: asleep, by the hour of each game, in a month
    Cost(cost::Cost),
    /// Write the two files of a game of your own: its catalogue entry and its Dockerfile
    NewGame(new_game::NewGame),
    /// Try a game on this machine, and say of each step what was seen and what to change
    CheckGame(check_game::CheckGame),
    /// Watch a game server (what a task runs beside its game; `peers` is for people who add a game)
    #[command(subcommand)]
    Watchdog(watchdog::cli::Command),
}

/// Which control plane to speak to, and how to answer.
#[derive(Debug, Clone, Args)]
struct Reach {
    /// The control plane
    #[arg(
        long,
        env = "DORMOUSE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:7733",
        global = true
    )]
    url: String,
    /// A file that holds the control plane's token (or set DORMOUSE_API_TOKEN); not needed on the same machine
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let done = match cli.command {
        Command::Up(up) => up::run(up),
        Command::Games(reach) => world::games(&reach),
        Command::World(command) => return world::run(command),
        Command::Access(command) => access::run(&command),
        Command::Queue(command) => queue::run(command),
        Command::Discord(command) => discord::run(&command),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Cost(cost) => cost::run(&cost),
        Command::NewGame(new) => new_game::run(&new),
        Command::CheckGame(check) => return check_game::run(&check),
        Command::Watchdog(command) => watchdog::cli::main(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Logs go to stderr; what people asked for goes to stdout.
fn start_logging() {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // It would report that a line could not be written where that could not be written, and panic: on a full disk.
    let log = tracing_subscriber::fmt().log_internal_errors(false).with_writer(std::io::stderr);
    log.with_ansi(is_terminal).with_target(false).init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use expect_test::expect;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_shows_where_to_begin() {
        let help = Cli::command().term_width(100).render_help().to_string();
        expect![[r#"
            Private game servers that sleep until somebody wants to play, and go back to sleep when the last
            player has left

            Usage: dormouse <COMMAND>

            Commands:
              up          Run the control plane on this machine, with everything in it
              games       Show which games there are
              world       Make, wake, stop and look at worlds
              access      Show and change who may do what in the chat
              queue       Look at messages that were put aside, and send them again
              discord     Register the commands with Discord, see them, and invite the bot
              doctor      Check what this machine has, or what is deployed on AWS, and say how to mend what is
                          wrong
              cost        Say what a deployment on AWS costs: asleep, by the hour of each game, in a month
              new-game    Write the two files of a game of your own: its catalogue entry and its Dockerfile
              check-game  Try a game on this machine, and say of each step what was seen and what to change
              watchdog    Watch a game server (what a task runs beside its game; `peers` is for people who add a
                          game)
              help        Print this message or the help of the given subcommand(s)

            Options:
              -h, --help     Print help
              -V, --version  Print version

            Examples:
              dormouse up                                 run everything on this machine
              dormouse world create valhalla --game luanti
              dormouse world start valhalla --wait
              dormouse world status valhalla

            Exit codes: 0 done, 1 it failed or was refused, 2 the command line is wrong, 130 interrupted
        "#]]
        .assert_eq(&help);
    }

    #[test]
    fn the_help_of_create_shows_examples() {
        let mut cli = Cli::command().term_width(100);
        let world = cli.find_subcommand_mut("world").unwrap();
        let help = world.find_subcommand_mut("create").unwrap().render_help().to_string();
        expect![[r#"
            Make a world, asleep

            Usage: create [OPTIONS] --game <GAME> <NAME>

            Arguments:
              <NAME>  The world's name

            Options:
                  --url <URL>             The control plane [env: DORMOUSE_URL] [default: http://127.0.0.1:7733]
                  --token-file <FILE>     A file that holds the control plane's token (or set
                                          DORMOUSE_API_TOKEN); not needed on the same machine
                  --json                  Answer in JSON
                  --game <GAME>           The game (see `dormouse games`)
                  --set <NAME=VALUE>      Choose one of the game's settings (see `dormouse games`); NAME=- asks
                                          for it, or reads a line of standard input
                  --set-file <NAME=FILE>  Choose one of the game's settings as it stands in a file
                  --accept-terms          Accept the terms that the game asks you to accept; they are shown
                  --never-joined <TIME>   How long to wait for the first player
                  --last-left <TIME>      How long to wait after the last player has left
                  --warning <TIME>        How long before the stop to warn
                  --afk <TIME>            How long players may be on of whom nobody moves; 0s for ever
                  --cap <TIME>            The longest run, whoever is on
                  --storage <WHERE>       Where it lives asleep: directory, or archive (in its newest archive
                                          alone) [default: directory]
                  --port <PORT>           The game's first port; without it a free one is chosen at each start
              -h, --help                  Print help

            Examples:
              dormouse world create valhalla --game luanti
              dormouse world create rails --game openttd --last-left 5m --cap 6h --port 3990
              dormouse world create home --game valheim --set name=Home --set password=-
        "#]].assert_eq(&help);
    }

    #[test]
    fn the_help_of_the_doctor_shows_examples() {
        let mut cli = Cli::command().term_width(100);
        let help = cli.find_subcommand_mut("doctor").unwrap().render_help().to_string();
        expect![[r#"
            Check what this machine has, or what is deployed on AWS, and say how to mend what is wrong

            Usage: doctor [OPTIONS]

            Options:
                  --data <DIR>       The directory that `dormouse up` uses [env: DORMOUSE_DATA]
                  --games <DIR>      A directory of catalogue entries beside those that are built in [env:
                                     DORMOUSE_GAMES]
                  --aws              Check what is deployed on AWS, instead of this machine
                  --config <FILE>    The deployment's configuration [default: dormouse.toml]
                  --region <REGION>  The deployment's region, where there is no configuration at hand; then no
                                     game is looked for
                  --prefix <NAME>    What the deployment's names begin with [default: dormouse]
                  --outputs <FILE>   What was deployed: the file that `cdk deploy --outputs-file` writes [env:
                                     DORMOUSE_OUTPUTS]
                  --json             Answer in JSON
              -h, --help             Print help

            Examples:
              dormouse doctor
              dormouse doctor --aws --outputs outputs.json    what `cdk deploy --outputs-file` has made
              dormouse doctor --aws --region eu-central-1 --prefix dormouse

            With --aws it takes the credentials of the environment (AWS_PROFILE and the like), only reads, and
            shows no secret.

            Exit codes: 0 it works, 1 something keeps it from working
        "#]]
        .assert_eq(&help);
    }
}
