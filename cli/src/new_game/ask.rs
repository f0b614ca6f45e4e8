//! Questions to a person at a terminal. Where there is none, what stands for the answer is taken.

use std::io::{self, BufRead, Write};

use anyhow::{Result, bail};

/// How often a question is asked again.
const MOST_TIMES: usize = 3;

/// The longest answer, in bytes.
const LONGEST: usize = 4096;

/// Who answers.
pub(super) struct Person {
    is_there: bool,
}

impl Person {
    /// Returns whoever sits at the terminal, if it is one.
    pub(super) fn at_terminal(is_there: bool) -> Self {
        Self { is_there }
    }

    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Returns what was `given`, else the answer, else `otherwise`.
    pub(super) fn text(&mut self, question: &str, given: Option<String>, otherwise: &str) -> Result<String> {
        match given {
            Some(given) => Ok(given),
            None if !self.is_there => Ok(otherwise.to_owned()),
            None => {
                let answer = ask(&mut io::stdin().lock(), &format!("{question} [{otherwise}]"))?;
                Ok(if answer.is_empty() { otherwise.to_owned() } else { answer })
            }
        }
    }

    /// Returns the answer, which must be a port.
    pub(super) fn port(&mut self, question: &str) -> Result<u16> {
        port(&mut io::stdin().lock(), question)
    }
}

fn port(input: &mut impl BufRead, question: &str) -> Result<u16> {
    for _ in 0..MOST_TIMES {
        match ask(input, question)?.parse() {
            Ok(port) if port >= 1024 => return Ok(port),
            Ok(_) | Err(_) => eprintln!("a port is a number from 1024 to 65535"),
        }
    }
    bail!("that is no port; say it with --port")
}

fn ask(input: &mut impl BufRead, question: &str) -> Result<String> {
    eprint!("{question}: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    let read = io::Read::take(input, LONGEST as u64).read_line(&mut answer)?;
    if read == 0 {
        bail!("there was no answer");
    }
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_asked_for_until_it_is_one_and_not_for_ever() {
        let answered = |said: &str| port(&mut said.as_bytes(), "port").map_err(|e| e.to_string());
        assert_eq!(answered("80\nmany\n 2456 \n"), Ok(2456));
        assert_eq!(answered("80\n80\n80\n2456\n"), Err("that is no port; say it with --port".into()));
        assert_eq!(answered("80\n"), Err("there was no answer".into()));
    }

    #[test]
    fn where_nobody_is_asked_something_stands_for_the_answer() {
        let mut nobody = Person::at_terminal(false);
        assert_eq!(nobody.text("name", None, "Arena").unwrap(), "Arena");
        assert_eq!(nobody.text("name", Some("Mine".into()), "Arena").unwrap(), "Mine");
    }
}
