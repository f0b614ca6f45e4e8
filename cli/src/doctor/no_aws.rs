//! What a program that was built without AWS says about a deployment there.

use std::path::Path;

use anyhow::{Result, bail};

use super::{Deployment, finding::Finding};

/// Explains that there is no AWS in this program.
pub(super) fn findings(_: &Deployment, _: Option<&Path>) -> Result<Vec<Finding>> {
    bail!(
        "this dormouse was built without AWS: use one that was built with the feature `aws`, as it is by default"
    )
}
