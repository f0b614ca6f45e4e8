//! What a deployment needs: looked at all at once, so that everything that is missing is said together, with how to mend it.
//! Nothing here changes anything.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{
    build::{self, Architecture},
    cloud::{ask, aws::Aws, config::Config},
    deploy::{
        Deploy,
        secrets::{self, Secret},
    },
    ground::Ground,
    shell::find,
};

/// Where Linux says which foreign programs it can run, and by what.
const FOREIGN_PROGRAMS: &str = "/proc/sys/fs/binfmt_misc";

/// How many of a quota of concurrent executions cannot be reserved (AWS Lambda, "Configuring reserved concurrency").
const NEVER_RESERVED: u64 = 100;

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    name: &'static str,
    pub(super) verdict: Verdict,
    text: String,
    /// How to mend it, where people have to.
    mend: Option<String>,
    /// What will be done about it, after asking.
    pub(super) offer: Option<Offer>,
}

/// What is to be thought of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// It may be all right.
    Note,
    Missing,
}

/// What each account needs once, and can be done from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Bootstrap,
    ServiceLinkedRole,
}

impl Offer {
    /// Says what it is.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Bootstrap => {
                "`cdk bootstrap` makes a bucket, a repository for images and the roles that deployments act by; it needs an \
                 administrator, once for each account and region"
            }
            Self::ServiceLinkedRole => {
                "Amazon ECS has a role of its own in each account that uses it, and does not always make it in time"
            }
        }
    }

    pub(super) fn question(self) -> &'static str {
        match self {
            Self::Bootstrap => "Bootstrap the account now?",
            Self::ServiceLinkedRole => "Make that role now?",
        }
    }
}

impl Finding {
    fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Good, text: text.into(), mend: None, offer: None }
    }

    fn note(name: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::good(name, text) }
    }

    fn missing(name: &'static str, text: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Missing, mend: Some(mend.into()), ..Self::good(name, text) }
    }

    fn offered(name: &'static str, text: impl Into<String>, offer: Offer) -> Self {
        Self { offer: Some(offer), ..Self::note(name, text) }
    }

    /// Prints it.
    pub(super) fn show(&self) {
        println!("{}", self.told());
    }

    fn told(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Missing => "MISSING",
        };
        let text = self.text.lines().collect::<Vec<_>>().join("\n          ");
        let mend = self.mend.iter().map(|mend| format!("\n          mend: {mend}")).collect::<String>();
        format!("{mark:<8}  {}: {text}{mend}", self.name)
    }
}

/// Looks at everything that can be looked at.
pub(super) fn look(
    ground: &Ground,
    config: Result<&Config, &anyhow::Error>,
    engine: Option<&Engine>,
    file: &Path,
    args: &Deploy,
) -> Vec<Finding> {
    let mut found = vec![configuration(config, file)];
    if let Ok(config) = config {
        found.extend(config.games.iter().filter_map(|game| image(ground, &game.id)));
    }
    found.push(container_engine(engine));
    if let (Ok(config), Some(engine)) = (config, engine) {
        let needed: Vec<_> = config.games.iter().map(|game| game.architecture()).collect();
        found.extend(emulation(engine.architecture, &needed, foreign_programs().as_deref()));
    }
    found.push(command_line());
    if let Ok(config) = config
        && find("aws").is_some()
    {
        found.extend(account(Aws { ground, region: &config.region }, config, args));
    }
    found
}

fn configuration(config: Result<&Config, &anyhow::Error>, file: &Path) -> Finding {
    let name = "configuration";
    match config {
        Ok(config) => {
            let games: Vec<_> = config.games.iter().map(|game| game.id.as_str()).collect();
            Finding::good(name, format!("{}, with {}", config.title(), games.join(", ")))
        }
        Err(error) => Finding::missing(
            name,
            format!("{error:#}"),
            format!("correct {} (docs/aws.md leads through it)", file.display()),
        ),
    }
}

/// Looks whether an image of a game can be made; nothing if it can.
fn image(ground: &Ground, game: &str) -> Option<Finding> {
    let name = "image";
    match build::licence_of(ground, game) {
        Ok(None) => None,
        Ok(Some(licence)) if licence.is_accepted(ground) => None,
        Ok(Some(licence)) => Some(Finding::missing(
            name,
            format!("`{game}` is downloaded under terms that somebody has to accept"),
            licence.how_to_accept(),
        )),
        Err(error) => Some(Finding::missing(
            name,
            format!("`{game}`: {error:#}"),
            format!("write one, or take `{game}` out of `games` (docs/adding-a-game.md)"),
        )),
    }
}

/// What builds images.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) program: String,
    /// What the machine is that images are built on.
    architecture: Architecture,
}

/// Returns the engine that answers: what `CDK_DOCKER` names, else Docker, else Podman.
pub(super) fn engine(ground: &Ground) -> Option<Engine> {
    let named = std::env::var("CDK_DOCKER").ok();
    let candidates = named.map_or_else(|| vec!["docker".into(), "podman".into()], |named| vec![named]);
    candidates.into_iter().find_map(|program| {
        // Docker's words and Podman's.
        ["{{.Architecture}}", "{{.Host.Arch}}"].into_iter().find_map(|template| {
            let said = ground.command(&program, &["info", "--format", template]).output().ok()?;
            let architecture = match String::from_utf8_lossy(&said.stdout).trim() {
                "x86_64" | "amd64" => Architecture::Amd64,
                "aarch64" | "arm64" => Architecture::Arm64,
                _ => return None,
            };
            said.status.success().then(|| Engine { program: program.clone(), architecture })
        })
    })
}

fn container_engine(engine: Option<&Engine>) -> Finding {
    let name = "container engine";
    match engine {
        Some(Engine { program, architecture }) => {
            Finding::good(name, format!("{program} builds on {}", architecture.name()))
        }
        None => Finding::missing(
            name,
            "neither docker nor podman answers",
            "install Docker (https://docs.docker.com/engine/install) or Podman, and start it; CDK_DOCKER names another \
             program",
        ),
    }
}

/// Returns the names of what runs foreign programs here; nothing where that cannot be told.
fn foreign_programs() -> Option<Vec<String>> {
    // An engine elsewhere has a kernel of its own, and so have those that bring a virtual machine.
    if !cfg!(target_os = "linux") || std::env::var_os("DOCKER_HOST").is_some() {
        return None;
    }
    let handlers = fs::read_dir(FOREIGN_PROGRAMS).ok()?.flatten();
    Some(handlers.map(|handler| handler.file_name().to_string_lossy().into_owned()).collect())
}

/// Looks whether images can be built that are not for the machine they are built on.
fn emulation(here: Architecture, needed: &[Architecture], handlers: Option<&[String]>) -> Option<Finding> {
    let name = "emulation";
    let foreign = *needed.iter().find(|needed| **needed != here)?;
    let cpu = match foreign {
        Architecture::Arm64 => "aarch64",
        Architecture::Amd64 => "x86_64",
    };
    let wanted = foreign.name();
    Some(match handlers {
        None => Finding::note(
            name,
            format!("images for {wanted} are needed, and whether they can be built here is unknown"),
        ),
        Some(handlers) if handlers.iter().any(|handler| handler.contains(cpu)) => {
            Finding::good(name, format!("images for {wanted} can be built"))
        }
        Some(_) => Finding::missing(
            name,
            format!("images for {wanted} are needed, and this machine runs no programs for it"),
            format!(
                "apt-get install qemu-user-static, or docker run --privileged --rm tonistiigi/binfmt --install {wanted}"
            ),
        ),
    })
}

fn command_line() -> Finding {
    match find("aws") {
        Some(program) => Finding::good("aws", program.display().to_string()),
        None => Finding::missing(
            "aws",
            "the AWS command line program is not there",
            "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
        ),
    }
}

/// Looks at the account. Without credentials there is nothing more to see.
fn account(aws: Aws<'_>, config: &Config, args: &Deploy) -> Vec<Finding> {
    let credentials = credentials(aws, config);
    if credentials.verdict == Verdict::Missing {
        return vec![credentials];
    }
    let mut found = vec![credentials];
    found.extend(other_region(config));
    found.extend([
        bootstrap(aws),
        service_linked_role(aws),
        quota(aws, config),
        bot_token(aws, config, args),
    ]);
    found
}

fn credentials(aws: Aws<'_>, config: &Config) -> Finding {
    let name = "credentials";
    let identity = match aws.ask(&["sts", "get-caller-identity"]) {
        Ok(identity) => identity,
        Err(refusal) => {
            let mend = "`aws configure` or `aws login`, or AWS_PROFILE for one that you have";
            return Finding::missing(name, refusal.to_string(), mend);
        }
    };
    let (account, who) =
        (identity["Account"].as_str().unwrap_or("?"), identity["Arn"].as_str().unwrap_or("?"));
    if account == config.account {
        return Finding::good(name, who);
    }
    Finding::missing(
        name,
        format!("{who} is of account {account}, and `aws.account` says {}", config.account),
        "AWS_PROFILE chooses other credentials; or correct `aws.account`",
    )
}

/// Notes it where the shell has another region in mind.
fn other_region(config: &Config) -> Option<Finding> {
    let set = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok())?;
    (set != config.region).then(|| {
        let text = format!("your shell has {set}, which is not used: `aws.region` is {}", config.region);
        Finding::note("region", text)
    })
}

fn bootstrap(aws: Aws<'_>) -> Finding {
    let name = "bootstrap";
    match aws.ask(&["ssm", "get-parameter", "--name", "/cdk-bootstrap/hnb659fds/version"]) {
        Ok(said) => {
            Finding::good(name, format!("version {}", said["Parameter"]["Value"].as_str().unwrap_or("?")))
        }
        Err(refusal) if refusal.is_absence() => Finding::offered(
            name,
            "not done yet for this account and region; it is offered next",
            Offer::Bootstrap,
        ),
        Err(refusal) => Finding::note(name, format!("cannot be looked at: {refusal}")),
    }
}

fn service_linked_role(aws: Aws<'_>) -> Finding {
    let name = "role of ECS";
    match aws.ask(&["iam", "get-role", "--role-name", "AWSServiceRoleForECS"]) {
        Ok(_) => Finding::good(name, "is there"),
        Err(refusal) if refusal.is_absence() => {
            Finding::offered(name, "not there yet; it is offered next", Offer::ServiceLinkedRole)
        }
        Err(refusal) => Finding::note(name, format!("cannot be looked at: {refusal}")),
    }
}

/// Looks whether as many instances of the functions can be reserved as are wanted.
fn quota(aws: Aws<'_>, config: &Config) -> Finding {
    let name = "quota of Lambda";
    let functions = &config.functions;
    let wanted = functions.front_door_at_once + functions.worker_at_once;
    if !functions.reserved {
        return Finding::good(name, "nothing is reserved");
    }
    let quota = match aws.ask(&["lambda", "get-account-settings"]) {
        Ok(said) => said["AccountLimit"]["ConcurrentExecutions"].as_u64(),
        Err(refusal) => return Finding::note(name, format!("cannot be looked at: {refusal}")),
    };
    match quota {
        Some(quota) if quota >= wanted + NEVER_RESERVED => {
            Finding::good(name, format!("{quota} at once, of which {wanted} will be reserved"))
        }
        Some(quota) => Finding::missing(
            name,
            format!("{quota} at once, of which {wanted} cannot be reserved: {NEVER_RESERVED} must be left"),
            "write `reserved = false` under [functions]; Service Quotas → AWS Lambda → Concurrent executions raises it for \
             nothing",
        ),
        None => Finding::note(name, "AWS does not tell it"),
    }
}

/// Looks whether there is a bot token, or where to get it.
fn bot_token(aws: Aws<'_>, config: &Config, args: &Deploy) -> Finding {
    let name = "bot token";
    match secrets::stored(aws, &config.prefix) {
        Ok(stored) if stored.contains(&Secret::Discord) => Finding::good(name, "is in Parameter Store"),
        Ok(_) if args.discord_token_file.as_deref() == Some(Path::new("-")) => {
            Finding::good(name, "will be read from standard input")
        }
        Ok(_) if args.discord_token_file.is_some() => {
            match secrets::given(args.discord_token_file.as_deref()) {
                Ok(_) => Finding::good(name, "is in the file"),
                Err(error) => Finding::missing(name, format!("{error:#}"), "give a file that holds it alone"),
            }
        }
        Ok(_) if ask::is_somebody_there() => {
            Finding::note(name, "will be asked for; it is on the application's page, under Bot")
        }
        Ok(_) => Finding::missing(
            name,
            "is not in Parameter Store, and nobody can be asked",
            "give --discord-token-file",
        ),
        Err(refusal) => Finding::missing(
            name,
            refusal.to_string(),
            "these credentials need what docs/aws-deployer.json lists",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn images_for_another_machine_need_somebody_who_runs_its_programs() {
        use Architecture::{Amd64, Arm64};
        let check = |needed: &[Architecture], handlers: Option<&[&str]>| {
            let handlers =
                handlers.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            emulation(Amd64, needed, handlers.as_deref())
                .map_or("none needed".into(), |finding| finding.told())
        };
        assert_eq!(check(&[Amd64], Some(&[])), "none needed");
        assert_eq!(
            check(&[Amd64, Arm64], Some(&["register", "status", "qemu-aarch64"])),
            "ok        emulation: images for arm64 can be built"
        );
        expect![[r#"
            MISSING   emulation: images for arm64 are needed, and this machine runs no programs for it
                      mend: apt-get install qemu-user-static, or docker run --privileged --rm tonistiigi/binfmt --install arm64"#]]
        .assert_eq(&check(&[Arm64], Some(&["register", "status"])));
        expect![
            "note      emulation: images for arm64 are needed, and whether they can be built here is unknown"
        ]
        .assert_eq(&check(&[Arm64], None));
    }
}
