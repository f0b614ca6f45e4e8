//! The programs as they are, without a cloud: what is missing is named.

use std::process::Command;

#[test]
fn a_function_without_its_environment_names_what_is_missing_and_fails() {
    for program in [env!("CARGO_BIN_EXE_interactions"), env!("CARGO_BIN_EXE_worker")] {
        let ended = Command::new(program).env_clear().output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert_eq!(said.trim(), "Error: environment variable DORMOUSE_TABLE is not set");
    }
}
