//! `dormouse check-game` of real servers, in a network of their own: an empty one looks empty, saves, and comes back.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use anyhow::{Context, Result, ensure};
use e2e::{dormouse::program, engine::Machine, netns::Lab};
use emulators::BASE;
use serde_json::Value;

#[test]
fn luanti_passes_each_step() -> Result<()> {
    passes("chkluanti", "luanti", &[])
}

#[test]
fn openttd_passes_each_step_and_saves_at_its_console() -> Result<()> {
    passes("chkopenttd", "openttd", &["console"])
}

/// Checks that nothing is wrong with `game`, and that all steps that a world has were seen, `more` among them.
fn passes(lab: &str, game: &str, more: &[&str]) -> Result<()> {
    let lab = Lab::new(lab, 0)?;
    let mut check = lab.server().command(program());
    // No engine is asked: containers are tested below.
    check.env("DOCKER_HOST", "unix:///nonexistent/engine");
    let told = told(&check.args(["check-game", game, "--watch", "40s", "--json"]).output()?)?;
    check_steps(&told, "by plain processes", &[&["second start", "kept", "second stop"], more].concat())
}

#[test]
fn luanti_passes_each_step_in_containers_of_which_none_is_left() -> Result<()> {
    let machine = Machine::bare("chkboxed", 0, &[])?;
    let (scratch, before) = (tempfile::tempdir()?, nameless_images(&machine)?);
    // Where games run by plain processes, their user has to get through.
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
    let mut check = machine.lab.server().command(program());
    check.env("DOCKER_HOST", machine.engine.url()).env("TMPDIR", scratch.path());
    check.args(["check-game", "luanti", "--quick", "--json", "--build-arg", &format!("BASE={BASE}")]);
    let told = told(&check.output()?).with_context(|| machine.logs())?;
    check_steps(&told, "in containers, by Podman", &["image"])?;
    let left: Vec<_> = fs::read_dir(scratch.path())?.collect();
    ensure!(left.is_empty(), "files are left: {left:?}");
    let left = machine.containers()?;
    ensure!(left.is_empty(), "containers are left: {left:?}");
    ensure!(nameless_images(&machine)? == before, "images without a name are left");
    Ok(())
}

fn nameless_images(machine: &Machine) -> Result<String> {
    machine.engine.ok(&["images", "--quiet", "--filter", "dangling=true"])
}

/// Returns what the check told, which must be that all is well.
fn told(output: &Output) -> Result<Value> {
    let told: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    ensure!(output.status.code() == Some(0) && told["ok"] == true, "{told:#}");
    Ok(told)
}

/// Checks that each step was well, that the world ran as `runtime` says, and that all steps that a world has were seen, `more`
/// among them.
fn check_steps(told: &Value, runtime: &str, more: &[&str]) -> Result<()> {
    let steps = told["steps"].as_array().context("no steps")?;
    let is_built = more.contains(&"image");
    for step in steps.iter().filter(|step| is_built || step["name"] != "image") {
        ensure!(step["verdict"] == "ok" || step["name"] == "start", "{step:#}");
    }
    let names: Vec<_> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    let all = ["entry", "Dockerfile", "runtime", "start", "watch", "stop", "save", "archive"];
    for name in all.iter().chain(more) {
        ensure!(names.contains(name), "there is no {name}: {names:?}");
    }
    let runs = steps.iter().find(|step| step["name"] == "runtime").and_then(|step| step["saw"].as_str());
    ensure!(runs.is_some_and(|saw| saw.contains(runtime)), "it says otherwise: {runs:?}");
    Ok(())
}
