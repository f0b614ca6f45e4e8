//! What calls need to be allowed, for a test to compare with policies.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One action on one resource that a caller took, as a policy has to allow it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Needed {
    /// Who called: its session token.
    pub caller: String,
    /// Such as `dynamodb:GetItem`.
    pub action: String,
    /// The resource's ARN; where nobody knows a name before it is there, it ends with `/*`.
    pub resource: String,
    /// What conditions can look at, by key.
    pub context: BTreeMap<String, String>,
}
