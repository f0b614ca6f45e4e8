//! AWS, through its command line program. What is secret goes in by standard input and comes out into memory: no argument,
//! no environment and no line that is shown has it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;
use thiserror::Error;

use crate::ground::Ground;

/// The most characters of a program's complaint that are passed on.
const LONGEST_COMPLAINT: usize = 600;

/// AWS in one region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aws<'a> {
    /// Where the program runs.
    pub(crate) ground: &'a Ground,
    pub(crate) region: &'a str,
}

/// Why AWS did not do it.
#[derive(Debug, Error)]
#[error("{said}")]
pub(crate) struct Refusal {
    /// AWS's code, such as `AccessDenied`; empty if it did not come to that.
    pub(crate) code: String,
    said: String,
}

impl Aws<'_> {
    /// Returns the command for a call.
    pub(crate) fn command(&self, call: &[&str]) -> Command {
        let mut command = self.ground.command("aws", call);
        command.args(["--region", self.region, "--output", "json"]);
        // The second version would show long answers page by page.
        command.env("AWS_PAGER", "");
        command
    }

    /// Makes a call and returns the answer.
    pub(crate) fn ask(&self, call: &[&str]) -> Result<Value, Refusal> {
        let mut command = self.command(call);
        let said = command.stdin(Stdio::null()).output().map_err(|error| Refusal::unable(&error))?;
        if !said.status.success() {
            return Err(Refusal::read(&said.stderr));
        }
        if said.stdout.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&said.stdout).map_err(|error| Refusal::unable(&error.into()))
    }

    /// Makes a call that reads `input` from `file:///dev/stdin`.
    pub(crate) fn tell(&self, call: &[&str], input: &str) -> Result<(), Refusal> {
        let mut command = self.command(call);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Refusal::unable(&error))?;
        // A program that does not read says itself why.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let said = child.wait_with_output().map_err(|error| Refusal::unable(&error))?;
        if said.status.success() { Ok(()) } else { Err(Refusal::read(&said.stderr)) }
    }
}

impl Refusal {
    fn unable(error: &std::io::Error) -> Self {
        Self { code: String::new(), said: format!("`aws` cannot be run: {error}") }
    }

    /// Reads "An error occurred (Code) when calling the Operation operation: words", or whatever else it says.
    fn read(stderr: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stderr);
        let code = text.split_once("An error occurred (").and_then(|(_, rest)| rest.split_once(')'));
        let code = code.map_or(String::new(), |(code, _)| code.to_owned());
        let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { code, said: said.chars().take(LONGEST_COMPLAINT).collect() }
    }

    /// Tells whether there is no such thing.
    pub(crate) fn is_absence(&self) -> bool {
        ["NoSuchEntity", "ParameterNotFound", "ClusterNotFoundException"].contains(&self.code.as_str())
            || (self.code == "ValidationError" && self.said.contains("does not exist"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_complains_of_is_told_apart() {
        let read = |text: &str| Refusal::read(text.as_bytes());
        let absent = read(
            "\nAn error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id x does not \
             exist\n",
        );
        assert!(absent.is_absence());
        let other =
            read("An error occurred (ValidationError) when calling the DescribeStacks operation: too long");
        assert!(!other.is_absence());
        let denied =
            read("An error occurred (AccessDeniedException) when calling the GetParameter operation: no");
        assert!(!denied.is_absence());
        assert_eq!(denied.code, "AccessDeniedException");
        let none = read(
            "\nUnable to locate credentials. You can configure\ncredentials by running \"aws login\".\n",
        );
        assert_eq!(
            (none.code.as_str(), none.to_string().as_str()),
            ("", "Unable to locate credentials. You can configure credentials by running \"aws login\".")
        );
    }
}
