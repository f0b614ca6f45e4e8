//! A deployment that `dormouse doctor --aws` looks at: the configuration and the outputs of it, and the credentials.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use emulators::{Moto, S3};
use tempfile::TempDir;

use super::{
    account::{REGION, outputs},
    built,
    discord::{APPLICATION, Discord, GUILD},
};

/// The deployment, as whoever deployed it knows it.
pub struct Patient<'a> {
    moto: &'a Moto,
    s3: &'a S3,
    discord: &'a Discord,
    url: String,
    directory: TempDir,
}

impl<'a> Patient<'a> {
    /// Returns the deployment of Luanti whose front door is at `url`.
    pub fn new(moto: &'a Moto, s3: &'a S3, discord: &'a Discord, url: &str) -> Result<Self> {
        let patient = Self { moto, s3, discord, url: url.to_owned(), directory: tempfile::tempdir()? };
        let configuration = format!(
            "games = [\"luanti\"]\n[aws]\naccount = \"123456789012\"\nregion = \"{REGION}\"\n[discord]\n\
             application = \"{APPLICATION}\"\npublic_key = \"{}\"\nguilds = [\"{GUILD}\"]\n",
            "d7".repeat(32)
        );
        patient.write("dormouse.toml", &configuration)?;
        patient.write("outputs.json", &outputs(moto, url)?.to_string())?;
        Ok(patient)
    }

    /// Returns where the front door is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns where a file is that the doctor reads.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that the doctor reads.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(name), text).with_context(|| format!("writing {name}"))
    }

    /// Registers the commands.
    pub fn register(&self, token: &str) -> Result<()> {
        let base = Discord::base(self.discord.address);
        let registered = self
            .dormouse(&[
                "discord",
                "register",
                "--guild",
                GUILD,
                "--application-id",
                APPLICATION,
                "--api-url",
                &base,
            ])?
            .env("DORMOUSE_DISCORD_TOKEN", token)
            .output()?;
        ensure!(registered.status.success(), "{}", String::from_utf8_lossy(&registered.stderr));
        Ok(())
    }

    /// Returns what the doctor says with the account's credentials, and its exit code.
    pub fn examine(&self) -> Result<(String, Option<i32>)> {
        said(&self.doctor()?.output()?)
    }

    /// Returns the doctor, with the account's credentials.
    pub fn doctor(&self) -> Result<Command> {
        let mut doctor = self.dormouse(&["doctor", "--aws", "--outputs", "outputs.json", "--discord-url"])?;
        doctor.arg(Discord::base(self.discord.address));
        Ok(doctor)
    }

    /// Returns the program with `arguments`, and with the account's credentials.
    pub fn dormouse(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(built(crate::dormouse::program(), "dormouse")?);
        command.args(arguments).current_dir(self.directory.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", self.moto.url())
            .env("AWS_ENDPOINT_URL_S3", self.s3.url())
            .env("AWS_ACCESS_KEY_ID", self.s3.access_key())
            .env("AWS_SECRET_ACCESS_KEY", self.s3.secret_key());
        Ok(command)
    }
}

/// Returns what was printed, and the exit code.
pub fn said(output: &Output) -> Result<(String, Option<i32>)> {
    let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat())?;
    Ok((text, output.status.code()))
}
