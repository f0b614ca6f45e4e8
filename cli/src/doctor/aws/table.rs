//! The table of world records: whether it is there, with its keys and its index, and can be restored.

use adapters::aws::unavailable;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    types::{IndexStatus, KeySchemaElement, PointInTimeRecoveryStatus, TableDescription, TableStatus},
};

use super::{
    super::finding::{Finding, bad, good, weak},
    named,
    outputs::{Output, Outputs},
    unseen,
};

/// What this is called in findings.
const NAME: &str = "table";

/// The keys of the table, and the index with its keys, as `adapters/src/store/dynamodb/item.rs` has them.
const KEYS: [&str; 2] = ["pk", "sk"];
const INDEX: &str = "unsettled";
const INDEX_KEYS: [&str; 2] = ["unsettled", "id"];

/// Says what is so.
pub(super) async fn check(aws: &SdkConfig, outputs: &Outputs) -> Vec<Finding> {
    let name = match named(outputs, Output::TableName, NAME) {
        Ok(name) => name,
        Err(finding) => return vec![finding],
    };
    let dynamodb = Client::new(aws);
    let (described, backed_up) = tokio::join!(
        dynamodb.describe_table().table_name(name).send(),
        dynamodb.describe_continuous_backups().table_name(name).send(),
    );
    let table = match described {
        Ok(answer) => answer.table,
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => None,
        Err(error) => return vec![unseen(NAME, &unavailable("dynamodb:DescribeTable", &error))],
    };
    let Some(table) = table else {
        return vec![bad(NAME, format!("{name} is not there: are region and outputs right? Else deploy"))];
    };
    let recovery = match backed_up {
        Ok(answer) => answer
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description?.point_in_time_recovery_status)
            .filter(|status| *status == PointInTimeRecoveryStatus::Enabled)
            .map_or(Recovery::Off, |_| Recovery::On),
        Err(error) => {
            Recovery::Unknown(unavailable("dynamodb:DescribeContinuousBackups", &error).to_string())
        }
    };
    judge(name, &table, &recovery)
}

/// Whether the table can be restored to an earlier moment.
enum Recovery {
    On,
    Off,
    Unknown(String),
}

fn judge(name: &str, table: &TableDescription, recovery: &Recovery) -> Vec<Finding> {
    let again = "deploy again";
    let mut findings = Vec::new();
    match table.table_status() {
        Some(TableStatus::Active) => {}
        Some(status) => findings.push(bad(NAME, format!("{name} is {status}: wait, and look again"))),
        None => findings.push(bad(NAME, format!("{name} has no state: look at it in the console"))),
    }
    if !has_keys(table.key_schema(), KEYS) {
        let text = format!("{name} has other keys than {}: is it Dormouse's?", KEYS.join(" and "));
        findings.push(bad(NAME, text));
    }
    let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX));
    match index {
        None => {
            let text = format!("{name} has no index {INDEX}, so that no sweep finds anything: {again}");
            findings.push(bad(NAME, text));
        }
        Some(index) if !has_keys(index.key_schema(), INDEX_KEYS) => {
            findings.push(bad(NAME, format!("the index {INDEX} of {name} has other keys: {again}")));
        }
        Some(index) if index.index_status() != Some(&IndexStatus::Active) => {
            let text = format!("the index {INDEX} of {name} is being made: wait, and look again");
            findings.push(bad(NAME, text));
        }
        Some(_) => {}
    }
    match recovery {
        Recovery::On => {}
        Recovery::Off => {
            let text = format!("{name} cannot be restored to an earlier moment: {again}, which turns it on");
            findings.push(weak(NAME, text));
        }
        Recovery::Unknown(why) => {
            let text = format!("whether {name} can be restored to an earlier moment cannot be seen: {why}");
            findings.push(weak(NAME, text));
        }
    }
    if findings.is_empty() {
        let text = format!("{name} is active, with its index, and can be restored to any moment of 35 days");
        findings.push(good(NAME, text));
    }
    findings
}

/// Tells whether these are the keys, the partition key first.
fn has_keys(schema: &[KeySchemaElement], keys: [&str; 2]) -> bool {
    schema.iter().map(KeySchemaElement::attribute_name).eq(keys)
}
