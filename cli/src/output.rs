//! Printing for people and programs.

use std::{
    fmt::Arguments,
    io::{self, Write},
    process,
};

/// Prints a line, as `println!` does; a reader that has seen enough (`| head`) ends the program quietly.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::line(format_args!($($words)*)) };
}

pub(crate) use say;

/// Prints a line to stdout.
pub(crate) fn line(words: Arguments<'_>) {
    match writeln!(io::stdout(), "{words}") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            eprintln!("dormouse: cannot print: {error}");
            process::exit(1)
        }
    }
}
