//! Lists `catalog/*.toml`, and the Dockerfiles of games, for embedding, so that a new game is new files and no line of Rust.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=catalog");
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let entries = files(&here.join("catalog"), |name| name.ends_with(".toml") && !name.starts_with('.'))?;
    fs::write(out.join("catalog.rs"), table("games/catalog/", &entries)?)?;
    let dockerfiles: Vec<_> = entries.iter().filter_map(|(entry, _)| dockerfile(&here, entry)).collect();
    for (_, path) in &dockerfiles {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    fs::write(
        out.join("dockerfiles.rs"),
        table("", &dockerfiles.into_iter().filter(|(_, path)| path.exists()).collect::<Vec<_>>())?,
    )?;
    Ok(())
}

/// Returns where the Dockerfile of the game with this entry is, if it has one: in the workspace's root.
fn dockerfile(here: &Path, entry: &str) -> Option<(String, PathBuf)> {
    let name = format!("Dockerfile.{}", entry.strip_suffix(".toml")?);
    let path = here.parent()?.join(&name);
    Some((name, path))
}

/// Returns the files of `dir` whose name is wanted, with their names, in the order of these.
fn files(dir: &Path, is_wanted: fn(&str) -> bool) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_wanted(&name) {
            files.push((name, file));
        }
    }
    files.sort();
    Ok(files)
}

/// Returns a Rust expression: the files as pairs of name and text.
fn table(prefix: &str, files: &[(String, PathBuf)]) -> Result<String, Box<dyn Error>> {
    let mut table = String::from("&[");
    for (name, file) in files {
        write!(table, "(\"{prefix}{name}\", include_str!({:?})),", file.display().to_string())?;
    }
    table.push(']');
    Ok(table)
}
