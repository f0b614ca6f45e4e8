//! `dormouse check-game` of real servers, in a network of their own: an empty one looks empty, saves, and comes back.

use anyhow::{Context, Result, ensure};
use e2e::{dormouse::program, netns::Lab};
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
    // No engine is asked: what it would build is tested elsewhere.
    check.env("DOCKER_HOST", "unix:///nonexistent/engine");
    let output = check.args(["check-game", game, "--watch", "40s", "--json"]).output()?;
    let told: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    ensure!(output.status.code() == Some(0) && told["ok"] == true, "{told:#}");
    let steps = told["steps"].as_array().context("no steps")?;
    for step in steps.iter().filter(|step| step["name"] != "image") {
        ensure!(step["verdict"] == "ok" || step["name"] == "start", "{step:#}");
    }
    let names: Vec<_> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    let all = [
        "entry",
        "Dockerfile",
        "start",
        "watch",
        "stop",
        "save",
        "archive",
        "second start",
        "kept",
        "second stop",
    ];
    for name in all.iter().chain(more) {
        ensure!(names.contains(name), "there is no {name}: {names:?}");
    }
    Ok(())
}
