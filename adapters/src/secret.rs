//! The secret of one machine: what links and tickets are signed with.
//!
//! It never leaves its file and this type: not in logs, errors or `Debug`.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use domain::world::{Generation, WorldId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The label of launch tokens.
const LAUNCH: &str = "speak for a launch";

/// The length of a secret: that of the digest, as RFC 2104 recommends.
const LENGTH: usize = 32;

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file holds something else.
    #[error(
        "the secret `{path}` has {found} bytes instead of {LENGTH}: restore it, or remove it, which makes a new one and ends every link signed so far"
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// How long it is.
        found: u64,
    },
    /// Others may read or write the file.
    #[error("the secret `{path}` is open to others (mode {mode:03o}): run `chmod 600` on it")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file or its directory cannot be used.
    #[error(
        "the secret `{path}` cannot be read or made ({why}): see that its directory is there, writable and not full"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
}

/// 32 random bytes that only this machine knows.
#[derive(Clone)]
pub struct Secret([u8; LENGTH]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Wraps bytes that are secret already.
    pub fn new(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// Reads the secret from the file, or makes both. Of several processes that do so at once, all get the same one.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let io = |why| SecretError::Io { path: path.into(), why };
        match File::open(path) {
            Ok(file) => Self::read(path, &file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(io)?;
                Self::read(path, &File::open(path).map_err(io)?)
            }
            Err(error) => Err(io(error)),
        }
    }

    fn read(path: &Path, mut file: &File) -> Result<Self, SecretError> {
        let io = |why| SecretError::Io { path: path.into(), why };
        let about = file.metadata().map_err(io)?;
        let mode = about.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::TooOpen { path: path.into(), mode });
        }
        let found = about.len();
        if found != LENGTH as u64 {
            return Err(SecretError::WrongLength { path: path.into(), found });
        }
        let mut bytes = [0; LENGTH];
        file.read_exact(&mut bytes).map_err(io)?;
        Ok(Self(bytes))
    }

    /// Returns the HMAC-SHA256 of `label` and `parts`, in hexadecimal digits. Each kind of signature has its own label.
    pub fn sign(&self, label: &str, parts: &[&str]) -> String {
        // A key that is shorter than the block counts as filled up with zeros.
        let mut key = [0; 64];
        key[..LENGTH].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        for part in std::iter::once(&label).chain(parts) {
            // With its length before it, no part can run into the next one.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Tells whether `signature` is the one of `label` and `parts`, in a time that does not tell how much of it is right.
    pub fn verify(&self, label: &str, parts: &[&str], signature: &str) -> bool {
        self.sign(label, parts).as_bytes().ct_eq(signature.as_bytes()).into()
    }
}

impl Secret {
    /// Returns the bearer token of the watchdog of one launch. It is derived, so nothing about it is stored, and asking
    /// the runtime twice for one launch hands out the same one.
    pub fn launch_token(&self, world: &WorldId, generation: Generation) -> String {
        self.sign(LAUNCH, &[world.as_str(), &generation.to_string()])
    }

    /// Tells whether `token` is that of the launch, in a time that does not tell how much of it is right.
    pub fn is_launch_token(&self, world: &WorldId, generation: Generation, token: &str) -> bool {
        self.verify(LAUNCH, &[world.as_str(), &generation.to_string()], token)
    }
}

/// Returns so many random bytes, in hexadecimal digits.
pub fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).unwrap_or_else(|error| unreachable!("Linux has random numbers: {error}"));
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Makes the file with a new secret, whole from the start. No error if another process was faster.
fn create(path: &Path) -> io::Result<()> {
    let mut bytes = [0; LENGTH + 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let (secret, unique) = bytes.split_at(LENGTH);
    let unique: String = unique.iter().map(|byte| format!("{byte:02x}")).collect();
    let draft = path.with_added_extension(format!("{unique}.new"));
    let linked = write(&draft, secret).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => removed.and_then(|()| sync_directory(path)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn a_signature_is_the_hmac_that_others_compute() {
        // python3: hmac.new(bytes(range(32)), b"".join(len(p).to_bytes(8, "big") + p for p in [b"upload", b"w", b"a"]), "sha256")
        expect!["da2f6d3f975a1b2db451e31b1d22405c91edcf193d79ef8b4ddb1a13eb2c2a76"]
            .assert_eq(&known().sign("upload", &["w", "a"]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let signature = known().sign("upload", &["ab", "c"]);
        assert!(known().verify("upload", &["ab", "c"], &signature));
        let others: [(&str, &[&str]); 6] = [
            ("upload", &["a", "bc"]),
            ("upload", &["abc"]),
            ("upload", &["ab", "c", ""]),
            ("upload", &["", "ab", "c"]),
            ("uploada", &["b", "c"]),
            ("download", &["ab", "c"]),
        ];
        for (label, parts) in others {
            assert!(!known().verify(label, parts, &signature), "{label} {parts:?}");
        }
    }

    #[test]
    fn only_the_whole_signature_holds() {
        let signature = known().sign("upload", &[]);
        let flipped =
            signature.replacen(&signature[..1], if signature.starts_with('0') { "1" } else { "0" }, 1);
        for wrong in ["", &signature[..63], &format!("{signature}0"), &flipped, &signature.to_uppercase()] {
            assert!(!known().verify("upload", &[], wrong), "{wrong}");
        }
        assert!(!Secret::new([9; 32]).verify("upload", &[], &signature));
    }

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", known()), "Secret(..)");
    }

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made = Secret::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secret::load_or_create(&path).unwrap().0, made.0);
        assert_ne!(Secret::load_or_create(dir.path().join("other")).unwrap().0, made.0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no draft is left");
    }

    #[test]
    fn several_that_make_it_at_once_end_with_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| Secret::load_or_create(&path).unwrap().0)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|secret| *secret == made[0]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        check(
            b"",
            0o600,
            expect![
                "the secret `/data/secret` has 0 bytes instead of 32: restore it, or remove it, which makes a new one and ends every link signed so far"
            ],
        );
        check(
            b"short",
            0o600,
            expect![
                "the secret `/data/secret` has 5 bytes instead of 32: restore it, or remove it, which makes a new one and ends every link signed so far"
            ],
        );
        check(
            &[7; 33],
            0o600,
            expect![
                "the secret `/data/secret` has 33 bytes instead of 32: restore it, or remove it, which makes a new one and ends every link signed so far"
            ],
        );
        check(
            &[7; 32],
            0o640,
            expect!["the secret `/data/secret` is open to others (mode 640): run `chmod 600` on it"],
        );
        check(
            &[7; 32],
            0o604,
            expect!["the secret `/data/secret` is open to others (mode 604): run `chmod 600` on it"],
        );
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = Secret::load_or_create(dir.path().join("gone/secret")).unwrap_err();
        expect![
            "the secret `/data/gone/secret` cannot be read or made (No such file or directory (os error 2)): see that its directory is there, writable and not full"
        ]
        .assert_eq(&shown(&dir, &error));
    }

    fn check(bytes: &[u8], mode: u32, expected: Expect) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        expected.assert_eq(&shown(&dir, &Secret::load_or_create(&path).unwrap_err()));
    }

    fn shown(dir: &tempfile::TempDir, error: &SecretError) -> String {
        error.to_string().replace(&dir.path().display().to_string(), "/data")
    }

    fn known() -> Secret {
        Secret::new(std::array::from_fn(|at| u8::try_from(at).unwrap()))
    }
}
