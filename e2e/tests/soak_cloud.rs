//! Temporary.
use e2e::soak::{Soak, run};
use std::{sync::atomic::AtomicBool, time::Duration};
#[test]
fn soak_cloud() {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let soak = Soak {
        time: Duration::from_secs(number("S", 120)),
        seed: number("SEED", 1),
        machines: 0,
        clouds: number("C", 1) as u32,
    };
    let summary = run(&soak, &AtomicBool::new(false)).unwrap();
    for finding in &summary.findings {
        println!("FINDING {finding}");
    }
    println!("{summary}");
    assert!(summary.findings.is_empty());
}
