//! The stored form of a guild's rules: `{"v": 1, "rules": {"stop": ["role:77", "member:5"]}}`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    access::{Action, MOST_NAMED, Rules, Who},
    ports::Unavailable,
};
use serde::{Deserialize, Serialize};

/// The version that is written, and the only one yet.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesRecord {
    v: u32,
    rules: BTreeMap<String, BTreeSet<String>>,
}

/// Returns the record of `rules` as JSON.
pub fn encode(rules: &Rules) -> String {
    let who = |who: &Who| match who {
        Who::Everyone => "everyone".to_owned(),
        Who::Role(id) => format!("role:{id}"),
        Who::Member(id) => format!("member:{id}"),
    };
    let rule = |(action, allowed): (&Action, &BTreeSet<Who>)| {
        (action.word().to_owned(), allowed.iter().map(who).collect())
    };
    let record = RulesRecord { v: VERSION, rules: rules.0.iter().map(rule).collect() };
    serde_json::to_string(&record).unwrap_or_else(|error| unreachable!("a record of texts: {error}"))
}

/// Returns the rules that `record` describes.
pub fn decode(record: &str) -> Result<Rules, Unavailable> {
    let bad = |why: String| Unavailable(format!("the rules of who may do what cannot be read: {why}"));
    let RulesRecord { v, rules } = serde_json::from_str(record).map_err(|error| bad(error.to_string()))?;
    if v != VERSION {
        return Err(bad(format!("they have version {v} and this Dormouse reads {VERSION}")));
    }
    let rule = |(action, allowed): (String, BTreeSet<String>)| {
        let known = Action::parse(&action).ok_or_else(|| bad(format!("`{action}` is no action")))?;
        if allowed.len() > MOST_NAMED {
            return Err(bad(format!("`{action}` names more than {MOST_NAMED}")));
        }
        let allowed = allowed.iter().map(|text| who(text).ok_or_else(|| bad(format!("`{text}` is nobody"))));
        Ok((known, allowed.collect::<Result<_, _>>()?))
    };
    Ok(Rules(rules.into_iter().map(rule).collect::<Result<_, _>>()?))
}

fn who(text: &str) -> Option<Who> {
    match text.split_once(':') {
        None if text == "everyone" => Some(Who::Everyone),
        Some(("role", id)) => Who::role(id).ok(),
        Some(("member", id)) => Who::member(id).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn rules_come_back_as_they_were() {
        let named = [Who::Everyone, Who::role("77").unwrap(), Who::member("5").unwrap()].into();
        let rules = Rules([(Action::Stop, named), (Action::Create, BTreeSet::new())].into());
        let record = encode(&rules);
        expect![[r#"{"v":1,"rules":{"create":[],"stop":["everyone","member:5","role:77"]}}"#]]
            .assert_eq(&record);
        assert_eq!(decode(&record), Ok(rules));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |record: &str, expected: expect_test::Expect| {
            expected.assert_eq(&decode(record).unwrap_err().to_string());
        };
        check(
            r#"{"v":2,"rules":{}}"#,
            expect![
                "the rules of who may do what cannot be read: they have version 2 and this Dormouse reads 1"
            ],
        );
        check(
            r#"{"v":1,"rules":{"fly":[]}}"#,
            expect!["the rules of who may do what cannot be read: `fly` is no action"],
        );
        check(
            r#"{"v":1,"rules":{"stop":["role:../x"]}}"#,
            expect!["the rules of who may do what cannot be read: `role:../x` is nobody"],
        );
    }
}
