//! `cargo xtask mutants`: breaks each rule of the design on purpose, in a copy of the domain, and sees that the simulation
//! notices.
//!
//! All mutants are in one program, which is built once: each changed place asks whether its mutant is the one that is on.
//! What stands in the list is the text as it is in the sources; when it is no longer found there, the list is out of date.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::shell::{command_in, root, run_command};
use list::{Edit, MUTANTS, Mutant};

mod list;

/// Which mutants to run.
#[derive(Debug, Default, Args)]
pub(crate) struct Mutants {
    /// Look for the first seed that kills each mutant, instead of trying those of the list
    #[arg(long)]
    search: bool,
}

/// Sees that each mutant is killed by its seed.
pub(crate) fn kill(mutants: &Mutants) -> Result<()> {
    let copy = root().join("target/mutants");
    write(&copy).context("making a copy of the domain with the mutants in it")?;
    let mut wanted: Vec<String> = MUTANTS
        .iter()
        .enumerate()
        .map(|(n, mutant)| format!("{}={}", n + 1, if mutants.search { 0 } else { mutant.seed }))
        .collect();
    // Without a mutant every one of these seeds is played through.
    wanted.extend(MUTANTS.iter().map(|mutant| format!("0={}", mutant.seed)));
    let mut arguments = vec![
        "run",
        "--quiet",
        "--offline",
        "-p",
        "domain",
        "--features",
        "sim",
        "--example",
        "mutants",
        "--",
    ];
    arguments.extend(wanted.iter().map(String::as_str));
    let mut cargo = command_in(&copy, "cargo".as_ref(), &arguments);
    cargo.env_remove("CARGO_TARGET_DIR");
    let names: String = MUTANTS.iter().map(|mutant| format!("{}\n", mutant.name)).collect();
    fs::write(copy.join("names"), names).context("writing the names of the mutants")?;
    run_command(cargo)
}

/// Writes the copy. Files that are as they were are left alone, so that they are not built again.
fn write(copy: &Path) -> Result<()> {
    let (from, to) = (root().join("domain"), copy.join("domain"));
    for folder in ["src", "examples"] {
        copy_tree(&from.join(folder), &to.join(folder), &mut |path, text| mutated(&from, path, text))?;
    }
    write_if_new(&to.join("Cargo.toml"), &fs::read_to_string(from.join("Cargo.toml"))?)?;
    write_if_new(&to.join("src/mutants.rs"), include_str!("mutants/switch.rs.txt"))?;
    write_if_new(&to.join("examples/mutants.rs"), include_str!("mutants/killer.rs.txt"))?;
    let lock = copy.join("Cargo.lock");
    if !lock.exists() {
        fs::copy(root().join("Cargo.lock"), lock)?;
    }
    write_if_new(&copy.join("Cargo.toml"), &workspace(&fs::read_to_string(root().join("Cargo.toml"))?)?)
}

/// Returns the workspace's file with the domain as its only member, built quickly.
fn workspace(text: &str) -> Result<String> {
    let (head, _) = text.split_once("[profile.dev]").context("the workspace has no profile")?;
    let (_, rest) = head.split_once("[workspace.package]").context("the workspace has no package table")?;
    let ours = ["games", "adapters", "watchdog", "emulators"];
    let is_ours = |line: &str| ours.iter().any(|own| line.starts_with(&format!("{own} = {{ path")));
    let rest: Vec<_> = rest.lines().filter(|line| !is_ours(line)).collect();
    Ok(format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"domain\"]\n\n[workspace.package]{}\n\n\
         [profile.dev]\nopt-level = 1\ndebug = false\nincremental = false\n",
        rest.join("\n")
    ))
}

/// Returns the text of a source file with every mutant in it that belongs there.
fn mutated(from: &Path, path: &Path, text: String) -> Result<String> {
    let name = path.strip_prefix(from.join("src")).unwrap_or(path).to_string_lossy().into_owned();
    let mut text = text;
    for (n, Mutant { name: mutant, edits, .. }) in MUTANTS.iter().enumerate() {
        for Edit { original, mutated, .. } in edits.iter().filter(|edit| edit.file == name) {
            let found = text.matches(original).count();
            ensure!(
                found == 1,
                "mutant `{mutant}`: its text stands {found} times in {name}, not once: {original}"
            );
            let switch = format!("crate::mutants::is({})", n + 1);
            text = text.replace(original, &mutated.replace("$is", &switch));
        }
    }
    if name == "lib.rs" {
        text.push_str("\n/// Which rule is broken.\npub mod mutants;\n");
    }
    Ok(text)
}

fn copy_tree(from: &Path, to: &Path, change: &mut dyn FnMut(&Path, String) -> Result<String>) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy_tree(&path, &target, change)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            write_if_new(&target, &change(&path, fs::read_to_string(&path)?)?)?;
        }
    }
    Ok(())
}

fn write_if_new(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_finds_its_place_in_the_sources() {
        let names: std::collections::BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        assert!(MUTANTS.iter().all(|mutant| mutant.seed > 0));
        let copy = tempfile::tempdir().unwrap();
        write(copy.path()).unwrap();
        let places: usize = MUTANTS.iter().map(|mutant| mutant.edits.len()).sum();
        let mut found = 0;
        copy_tree(&copy.path().join("domain/src"), &copy.path().join("again"), &mut |_, text| {
            found += text.matches("crate::mutants::is(").count();
            Ok(text)
        })
        .unwrap();
        assert!(found >= places, "{found} of {places}");
    }
}
