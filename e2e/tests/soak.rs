//! A short soak: everything goes wrong for a while, and nothing is lost.

use std::{sync::atomic::AtomicBool, time::Duration};

use anyhow::{Result, ensure};
use e2e::soak::{Soak, run};

#[test]
fn whatever_goes_wrong_for_a_while_nothing_is_lost() -> Result<()> {
    let soak = Soak { time: Duration::from_secs(60), seed: 1, machines: 1, clouds: 1 };
    let summary = run(&soak, &AtomicBool::new(false))?;
    println!("{summary}");
    ensure!(
        summary.findings.is_empty(),
        "{} findings:\n{}",
        summary.findings.len(),
        summary.findings.join("\n\n")
    );
    ensure!(summary.faults() > 0 && summary.checks["rounds"] > 0, "nothing happened: {summary}");
    Ok(())
}
