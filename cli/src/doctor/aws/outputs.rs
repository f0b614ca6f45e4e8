//! What the two stacks say of themselves: the file of `cdk deploy --outputs-file`.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path};

use anyhow::{Context, Result, bail};

use super::super::finding::{Finding, bad, weak};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// An output of one of the stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    TableName,
    BucketName,
    FrontDoorUrl,
    InteractionsEndpoint,
    QueueUrl,
    DeadLetterUrl,
}

impl Output {
    const ALL: [Self; 6] = [
        Self::TableName,
        Self::BucketName,
        Self::FrontDoorUrl,
        Self::InteractionsEndpoint,
        Self::QueueUrl,
        Self::DeadLetterUrl,
    ];

    /// Returns its name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TableName => "TableName",
            Self::BucketName => "BucketName",
            Self::FrontDoorUrl => "FrontDoorUrl",
            Self::InteractionsEndpoint => "InteractionsEndpoint",
            Self::QueueUrl => "QueueUrl",
            Self::DeadLetterUrl => "DeadLetterUrl",
        }
    }
}

/// The outputs of both stacks, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    values: BTreeMap<String, String>,
    is_given: bool,
}

impl Outputs {
    /// Reads the outputs of the stacks whose names begin with `prefix`.
    pub(super) fn read(file: &Path, prefix: &str) -> Result<Self> {
        let mut text = String::new();
        let read = File::open(file).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
        read.with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text, prefix).with_context(|| {
            format!("{} is not what `cdk deploy --all --outputs-file` writes for {prefix}", file.display())
        })
    }

    fn parse(text: &str, prefix: &str) -> Result<Self> {
        let mut stacks: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(text)?;
        let mut values = BTreeMap::new();
        for stack in ["stateful", "service"] {
            let name = format!("{prefix}-{stack}");
            match stacks.remove(&name) {
                Some(outputs) => values.extend(outputs),
                None => bail!("it has no stack {name}"),
            }
        }
        Ok(Self { values, is_given: true })
    }

    /// Returns the value of an output.
    pub(super) fn get(&self, output: Output) -> Option<&str> {
        self.values.get(output.name()).map(String::as_str)
    }

    /// Says which outputs are missing.
    pub(super) fn missing(&self) -> Option<Finding> {
        if !self.is_given {
            let text = "not given, so that much cannot be looked at: `npx cdk deploy --all --outputs-file outputs.json` \
                        writes them (and deploys nothing if nothing has changed), and --outputs outputs.json reads them";
            return Some(weak("outputs", text));
        }
        let missing: Vec<_> = Output::ALL
            .iter()
            .filter(|output| self.get(**output).is_none())
            .map(|output| output.name())
            .collect();
        let text = format!("{} missing: deploy both stacks with this version", missing.join(", "));
        (!missing.is_empty()).then(|| bad("outputs", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"mouse-stateful":{"TableName":"t","BucketName":"b"},"mouse-service":{"QueueUrl":"q"}}"#;

    #[test]
    fn the_outputs_of_both_stacks_are_read_and_what_is_missing_is_named() {
        let outputs = Outputs::parse(GOOD, "mouse").unwrap();
        assert_eq!((outputs.get(Output::TableName), outputs.get(Output::QueueUrl)), (Some("t"), Some("q")));
        let missing = outputs.missing().unwrap().text;
        assert!(
            missing.starts_with("FrontDoorUrl, InteractionsEndpoint, DeadLetterUrl missing"),
            "{missing}"
        );
    }

    #[test]
    fn a_file_of_another_deployment_is_refused() {
        for (text, prefix) in
            [(GOOD, "dormouse"), ("[]", "mouse"), ("", "mouse"), (r#"{"mouse-stateful":{}}"#, "mouse")]
        {
            assert!(Outputs::parse(text, prefix).is_err(), "{text}");
        }
    }
}
