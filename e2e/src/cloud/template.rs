//! What `cdk` deploys, as far as there are emulators for it: the resources of both templates
//! (`cdk/test/snapshots/emulated.json`, which a test of `cdk` keeps as its templates are).
//!
//! References in it read `${Thing}` and `${Thing.Attribute}`. What they stand for is learnt as things are made.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// The resources, and what is known of them.
#[derive(Debug, Clone)]
pub struct Template {
    resources: Map<String, Value>,
    known: BTreeMap<String, String>,
}

impl Template {
    /// Reads it.
    pub fn read() -> Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cdk/test/snapshots/emulated.json");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(Self { resources: serde_json::from_str(&text)?, known: BTreeMap::new() })
    }

    /// Says what `${name}` stands for, `name` being that of a resource or of an attribute of one.
    pub fn learn(&mut self, name: &str, value: impl Into<String>) {
        self.known.insert(name.to_owned(), value.into());
    }

    /// Returns the properties of a resource, with everything that they refer to.
    pub fn properties(&self, id: &str) -> Result<Value> {
        let resource = self.resources.get(id).with_context(|| format!("the template has no {id}"))?;
        self.resolved(&resource["Properties"]).with_context(|| format!("reading {id} of the template"))
    }

    /// Returns the ids of all resources of a type.
    pub fn ids(&self, kind: &str) -> Vec<String> {
        let is_one = |(_, resource): &(&String, &Value)| resource["Type"] == kind;
        self.resources.iter().filter(is_one).map(|(id, _)| id.clone()).collect()
    }

    /// Returns `text` with references instead of what they stand for.
    pub fn referring(&self, text: &str) -> String {
        // The longest first: an ARN holds a name.
        let mut known: Vec<_> = self.known.iter().filter(|(name, _)| name.ends_with(".Arn")).collect();
        known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        for (name, value) in known {
            if let Some(rest) = text.strip_prefix(value.as_str()) {
                return format!("${{{name}}}{rest}");
            }
        }
        text.to_owned()
    }

    fn resolved(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text)?),
            Value::Array(all) => all.iter().map(|one| self.resolved(one)).collect::<Result<_>>()?,
            Value::Object(all) => {
                let one = |(name, value): (&String, &Value)| Ok((name.clone(), self.resolved(value)?));
                Value::Object(all.iter().map(one).collect::<Result<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    fn text(&self, text: &str) -> Result<String> {
        let Some((before, rest)) = text.split_once("${") else { return Ok(text.to_owned()) };
        let (name, after) = rest.split_once('}').context("a reference without an end")?;
        Ok(format!("{before}{}{}", self.value(name)?, self.text(after)?))
    }

    fn value(&self, name: &str) -> Result<String> {
        if let Some(value) = self.known.get(name) {
            return Ok(value.clone());
        }
        // What has no emulator is nevertheless named as AWS would.
        let digits = name.bytes().fold(0u64, |all, byte| all.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Ok(match name {
            "AWS::URLSuffix" => "amazonaws.com".into(),
            _ if name.ends_with(".GroupId") => format!("sg-{digits:017x}"),
            _ if name.ends_with("Subnet") => format!("subnet-{digits:017x}"),
            _ if name.ends_with("Mount") => format!("fsap-{digits:017x}"),
            _ if name.ends_with("FileSystem") => format!("fs-{digits:017x}"),
            _ if name.ends_with("Logs") => name.to_owned(),
            _ if name.ends_with("Role.Arn") => {
                format!("arn:aws:iam::{}:role/{}", super::account::ACCOUNT, name.trim_end_matches(".Arn"))
            }
            _ => bail!("nobody has said what ${{{name}}} is"),
        })
    }
}

/// Returns properties under the names that the service's own interface has for them: `PidMode` is `pidMode`.
pub fn as_service(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(as_service).collect(),
        Value::Object(all) => all.iter().map(|(name, value)| (lowered(name), as_service(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Returns a name with its first word in lower case: `EFSVolumeConfiguration` is `efsVolumeConfiguration`.
fn lowered(name: &str) -> String {
    let capitals = name.chars().take_while(char::is_ascii_uppercase).count();
    let word = if capitals > 1 && capitals < name.len() { capitals - 1 } else { capitals };
    name[..word].to_lowercase() + &name[word..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_for_what_was_learnt() {
        let mut template = Template::read().unwrap();
        assert!(template.properties("LooksQueue").is_err(), "its dead letters have no address yet");
        template.learn("LooksDead.Arn", "arn:aws:sqs:eu-central-1:1:LooksDead");
        let queue = template.properties("LooksQueue").unwrap();
        assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], "arn:aws:sqs:eu-central-1:1:LooksDead");
        assert_eq!(template.referring("arn:aws:sqs:eu-central-1:1:LooksDead/x"), "${LooksDead.Arn}/x");
    }

    #[test]
    fn names_are_those_of_the_service() {
        for (template, service) in [
            ("PidMode", "pidMode"),
            ("EFSVolumeConfiguration", "efsVolumeConfiguration"),
            ("IAM", "iam"),
            ("awslogs-group", "awslogs-group"),
        ] {
            assert_eq!(lowered(template), service);
        }
    }
}
