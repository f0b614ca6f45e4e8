//! Asking the person at the terminal.

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    os::fd::AsFd,
};

use anyhow::{Context, Result, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// The longest answer that is taken.
const LONGEST_ANSWER: usize = 4096;

/// Tells whether there is somebody to ask.
pub(crate) fn is_somebody_there() -> bool {
    io::stdin().is_terminal()
}

/// Asks a question and returns the line that is typed.
pub(crate) fn line(question: &str) -> Result<String> {
    print!("{question} ");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().take(LONGEST_ANSWER as u64).read_line(&mut line).context("reading the answer")?;
    Ok(line.trim().to_owned())
}

/// Asks a question to which only `y` and `yes` mean yes.
pub(crate) fn yes(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N]"))?;
    Ok(["y", "yes"].contains(&answer.to_lowercase().as_str()))
}

/// Asks for what nobody should see, and does not show it.
pub(crate) fn hidden(question: &str) -> Result<String> {
    hidden_at(File::from(io::stdin().as_fd().try_clone_to_owned()?), question)
}

fn hidden_at(mut terminal: File, question: &str) -> Result<String> {
    let silence = Silence::over(&terminal)?;
    write!(terminal, "{question} ")?;
    let answer = typed(&mut terminal);
    drop(silence);
    writeln!(terminal)?;
    let answer = String::from_utf8(answer?).context("what was typed is no text")?;
    Ok(answer.trim().to_owned())
}

/// Reads one line, key by key. Ctrl-C comes as a key too, so that the terminal is put right before the program ends.
fn typed(terminal: &mut File) -> Result<Vec<u8>> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const DELETE: u8 = 127;
    let mut answer = Vec::new();
    let mut key = [0];
    while answer.len() < LONGEST_ANSWER {
        if terminal.read(&mut key).context("reading the answer")? == 0 {
            bail!("nothing was typed");
        }
        match key[0] {
            b'\n' | b'\r' => return Ok(answer),
            CTRL_C | CTRL_D => bail!("interrupted"),
            BACKSPACE | DELETE => _ = answer.pop(),
            CTRL_U => answer.clear(),
            byte => answer.push(byte),
        }
    }
    bail!("the answer is longer than {LONGEST_ANSWER} bytes")
}

/// A terminal that shows nothing of what is typed until this is dropped.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn over(terminal: &File) -> Result<Self> {
        let before = tcgetattr(terminal).context("looking at the terminal")?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(terminal, SetArg::TCSADRAIN, &silent).context("keeping the terminal from showing it")?;
        Ok(Self { terminal: terminal.try_clone()?, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to put right.
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;

    /// Types `keys` once the question is there; returns the answer, and all that the terminal showed.
    fn check(keys: &[u8]) -> (Result<String, String>, String) {
        let pty = openpty(None, None).unwrap();
        let (mut master, slave) = (File::from(pty.master), File::from(pty.slave));
        let echoes = || tcgetattr(&slave).unwrap().local_flags.contains(LocalFlags::ECHO);
        assert!(echoes());
        let asked = slave.try_clone().unwrap();
        let asking = std::thread::spawn(move || hidden_at(asked, "token?").map_err(|e| e.to_string()));
        let mut shown = Vec::new();
        let mut read_until = |end: &str| {
            while !String::from_utf8_lossy(&shown).ends_with(end) {
                let mut bytes = [0; 64];
                let length = master.read(&mut bytes).unwrap();
                shown.extend(&bytes[..length]);
            }
            master.try_clone().unwrap()
        };
        read_until("token? ").write_all(keys).unwrap();
        let answer = asking.join().unwrap();
        read_until("\r\n");
        assert!(echoes());
        (answer, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn what_is_typed_in_hiding_is_not_shown() {
        let shown = "token? \r\n".to_owned();
        assert_eq!(check(b" hunter2 \n"), (Ok("hunter2".into()), shown.clone()));
        assert_eq!(check(b"wrong\x15hunte2\x7fr2\r"), (Ok("hunter2".into()), shown.clone()));
        assert_eq!(check(b"hun\x03"), (Err("interrupted".into()), shown));
    }
}
