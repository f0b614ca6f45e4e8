//! Files beside the world's that hold a secret for the game, while it runs in a container of its own: the password of its
//! console, and what people chose.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, fchown},
    path::Path,
};

/// Writes `secret`, and nothing else, to a new file that `user` alone can read. What was there is gone.
pub(crate) fn leave(path: &Path, secret: &str, (user, group): (u32, u32)) -> io::Result<()> {
    forget(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
    file.write_all(secret.as_bytes())?;
    fchown(&file, Some(user), Some(group))
}

/// Removes the file, if it is there.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_left_where_one_user_alone_can_read_it() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        fs::write(&path, "an older and longer one that anybody could read").unwrap();
        let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        leave(&path, "secret", own).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o777, (found.uid(), found.gid())), (0o400, own));
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        forget(&path).unwrap();
        forget(&path).unwrap();
        assert!(!path.exists());
    }
}
