//! The CDK's toolkit, in the version that `cdk/package-lock.json` pins.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::ground::{Ground, path_with};

/// The toolkit, for one configuration.
#[derive(Debug)]
pub(crate) struct Toolkit<'a> {
    /// Where it runs.
    pub(crate) ground: &'a Ground,
    /// The directory that has Node.
    pub(crate) node: &'a Path,
    /// The file of the configuration.
    pub(crate) config: &'a Path,
    /// Where what was built is.
    pub(crate) artefacts: PathBuf,
    /// The program that builds images, if it is not `docker`.
    pub(crate) engine: Option<String>,
}

impl Toolkit<'_> {
    /// Returns `cdk` with these arguments. `--no` keeps npx from fetching another one.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.ground.command("npx", &["--no", "--", "cdk"]);
        command.args(arguments).current_dir(self.ground.path("cdk"));
        command.env("PATH", path_with(self.node)?);
        command.env("DORMOUSE_CONFIG", self.config).env("DORMOUSE_ARTEFACTS", &self.artefacts);
        self.engine.iter().for_each(|engine| _ = command.env("CDK_DOCKER", engine));
        Ok(command)
    }
}
