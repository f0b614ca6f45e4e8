//! Lists `catalog/*.toml` for embedding, so that a new game is a new file and no line of Rust.

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
    fs::write(out.join("catalog.rs"), table(&here.join("catalog"))?)?;
    Ok(())
}

/// Returns a Rust expression: the files of `dir` as pairs of name and text, in the order of their names.
fn table(dir: &Path) -> Result<String, Box<dyn Error>> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !name.starts_with('.') {
            files.push((name, file));
        }
    }
    files.sort();
    let mut table = String::from("&[");
    for (name, file) in files {
        write!(table, "(\"games/catalog/{name}\", include_str!({:?})),", file.display().to_string())?;
    }
    table.push(']');
    Ok(table)
}
