//! What becomes of tasks in containers where no engine answers.

use super::*;
use crate::{
    runtime::{contract::task, process::Config},
    secret::Secret,
};
use domain::event::Gone;
use expect_test::expect;
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Returns what runs tasks without an engine.
fn without_an_engine(data: &Path) -> LocalRuntime {
    let config = Config {
        data: data.to_owned(),
        watchdog: vec!["/nowhere".into()],
        control_url: "http://127.0.0.1:9".into(),
        secret: Secret::new([7; 32]),
        game_user: None,
        report_every: Duration::from_secs(1),
        games: BTreeMap::new(),
    };
    let processes = ProcessRuntime::new(config).unwrap();
    LocalRuntime::new(None, BTreeSet::new(), processes)
}

#[tokio::test]
async fn containers_that_no_engine_tells_of_are_not_taken_for_gone_until_their_watchdog_noted_its_end() {
    let data = tempfile::tempdir().unwrap();
    let runtime = without_an_engine(data.path());
    assert_eq!((runtime.has_boxed_tasks(), runtime.list().await), (Ok(false), Ok(vec![])));
    let dir = |task: &str| data.path().join("tasks").join(task);
    for old_and_last in ["w.1", "w.2"] {
        fs::create_dir(dir(old_and_last)).unwrap();
        fs::write(dir(old_and_last).join("engine"), "/run/engine.sock").unwrap();
        fs::write(dir(old_and_last).join("pid"), "1").unwrap();
    }
    assert_eq!(runtime.has_boxed_tasks(), Ok(true));
    let last = task("w.2");
    let why = runtime.list().await.unwrap_err();
    expect!["task w.2 was started in containers, and `dormouse up` runs without an engine: start the engine, then `dormouse up` again"]
        .assert_eq(&why.to_string());
    assert_eq!(runtime.observe(&last).await, Err(why.clone()));
    assert_eq!(runtime.end(&last, Force::Kill).await, Err(why));

    fs::write(dir("w.2").join("outcome"), "").unwrap();
    assert_eq!(runtime.observe(&last).await, Ok(Seen::Gone(Gone::Exited)));
    assert_eq!((runtime.has_boxed_tasks(), runtime.list().await), (Ok(false), Ok(vec![])));
}
