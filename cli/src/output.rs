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

/// Prints a line for whoever reads along. What goes on does not depend on whether that can be printed: the log may be on a disk
/// that is full.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::note_line(format_args!($($words)*)) };
}

pub(crate) use {note, say};

/// Prints a line to stdout.
pub(crate) fn line(words: Arguments<'_>) {
    match writeln!(io::stdout(), "{words}") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        Err(error) => {
            complain(format_args!("cannot print: {error}"));
            process::exit(1)
        }
    }
}

/// Prints a line to stdout, if that is possible.
pub(crate) fn note_line(words: Arguments<'_>) {
    // There is nowhere else to say that it is not.
    let _ = writeln!(io::stdout(), "{words}");
}

/// Says on stderr what is wrong, if that is possible.
pub(crate) fn complain(words: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "dormouse: {words}");
}
