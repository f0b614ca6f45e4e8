//! This program as it is on this machine: its file, and the libraries and the loader that it runs with, for an image that holds
//! nothing else. A static program is its file alone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// Where the program is in the image.
pub(super) const PLACE: &str = "/dormouse";

/// The largest program, or library, that is taken.
const LARGEST: u64 = 1 << 30;

/// A file of the image.
pub(super) struct ProgramFile {
    /// Where it belongs.
    pub(super) path: String,
    /// What is in it.
    pub(super) content: Vec<u8>,
}

/// Returns the files that this program needs to run. (`/proc` has it even where its file was replaced since it was started.)
pub(super) fn files() -> Result<Vec<ProgramFile>> {
    let program = read(Path::new("/proc/self/exe"))?;
    let loader = loader(&program);
    let mut files = vec![ProgramFile { path: PLACE.into(), content: program }];
    if let Some(loader) = loader {
        for library in libraries()? {
            let content = read(&library)?;
            for path in names_of(&library)? {
                files.push(ProgramFile { path, content: content.clone() });
            }
        }
        if !files.iter().any(|file| file.path == loader) {
            files.push(ProgramFile { content: read(Path::new(&loader))?, path: loader });
        }
    }
    Ok(files)
}

/// Returns the libraries that this process has mapped.
fn libraries() -> Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps").context("reading /proc/self/maps")?;
    let program = fs::read_link("/proc/self/exe").context("reading /proc/self/exe")?;
    let paths = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|how| how.contains('x')));
    let paths = paths.filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    Ok(paths.filter(|path| *path != program).collect())
}

/// Returns the path of a library, and those of the links beside it that lead to it: programs ask for these.
fn names_of(library: &Path) -> Result<Vec<String>> {
    let directory = library.parent().context("a library without a directory")?;
    let mut names = vec![library.to_string_lossy().into_owned()];
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_symlink() && path.canonicalize().is_ok_and(|real| real == library) {
            names.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("reading {}", path.display());
    let size = fs::metadata(path).with_context(context)?.len();
    ensure!(size <= LARGEST, "{} is larger than {LARGEST} bytes", path.display());
    fs::read(path).with_context(context)
}

/// Returns the loader that a program names (`PT_INTERP` of the ELF specification, 64 bits, little-endian); nothing if it is
/// static.
fn loader(program: &[u8]) -> Option<String> {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| {
        let bytes = program.get(at..at.checked_add(length)?)?;
        let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let header = (0..count).find_map(|n| {
        let at = table.checked_add(n.checked_mul(size)?)?;
        (number(at, 4)? == INTERPRETER as usize).then_some(at)
    })?;
    let (from, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
    let text = program.get(from..from.checked_add(length)?)?;
    let text = std::str::from_utf8(text).ok()?.trim_end_matches('\0');
    text.starts_with('/').then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_and_what_it_is_linked_with_run_where_there_is_nothing_else() {
        let files = files().unwrap();
        assert_eq!(files[0].path, PLACE);
        assert_eq!(files[0].content, fs::read(std::env::current_exe().unwrap()).unwrap());
        let Some(loader) = loader(&files[0].content) else {
            assert_eq!(files.len(), 1, "a static program needs nothing");
            return;
        };
        assert!(files.iter().any(|file| file.path == loader), "{loader} is missing");
        assert!(files.iter().any(|file| file.path.contains("libc")), "the library of C is missing");
    }

    #[test]
    fn what_is_no_program_has_no_loader() {
        for bad in [&b""[..], b"#!/bin/sh\n", &[0xff; 100], &[0; 64]] {
            assert_eq!(loader(bad), None);
        }
    }
}
