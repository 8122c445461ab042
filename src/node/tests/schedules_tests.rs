//! What the simulations of a node and of a fleet have in common: runs of many schedules, and faults of a VM within a callback.
//!
//! The fleet's is part of the command line and includes this file by its path.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A fault of a VM within a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Midway {
    Nothing,
    /// It dies after this number of writes.
    Dies(u64),
    /// It stalls after a number of host calls, for a number of ticks.
    Stalls(u64, u64),
}

impl Midway {
    /// Counts a host call. Ticks of a stall that begins with it.
    pub fn call(&mut self) -> Option<u64> {
        match *self {
            Midway::Stalls(0, ticks) => {
                *self = Midway::Nothing;
                return Some(ticks);
            }
            Midway::Stalls(n, ticks) => *self = Midway::Stalls(n - 1, ticks),
            _ => {}
        }
        None
    }
    /// Counts a write. True if the VM dies before it.
    pub fn dies(&mut self) -> bool {
        match *self {
            Midway::Dies(0) => return true,
            Midway::Dies(n) => *self = Midway::Dies(n - 1),
            _ => {}
        }
        false
    }
}

/// Steps of a schedule, and how often each kind of fault came.
pub type Ran = (u64, BTreeMap<&'static str, u64>);

/// Runs a schedule of each seed from `from` to before `to` on two threads, `run(seed, is_told)`, and says how fast that was. How often each
/// kind of fault came in all. If the environment holds a seed in `variable`, that one alone is run and told; `None` then.
///
/// # Panics
/// If a schedule fails: with all seeds that do.
#[allow(clippy::disallowed_types, reason = "it says how fast it was")]
pub fn schedules(
    variable: &str,
    (from, to): (u64, u64),
    run: impl Fn(u64, bool) -> Ran + Sync,
) -> Option<BTreeMap<&'static str, u64>> {
    if let Some(seed) = number(variable) {
        run(seed, true);
        return None;
    }
    let began = std::time::Instant::now();
    let (next, steps) = (AtomicU64::new(from), AtomicU64::new(0));
    let (seen, failed) = (Mutex::new(BTreeMap::<&str, u64>::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        return;
                    }
                    let Ok((n, kinds)) = catch_unwind(AssertUnwindSafe(|| run(seed, false))) else {
                        failed.lock().unwrap().push(seed);
                        continue;
                    };
                    steps.fetch_add(n, Ordering::Relaxed);
                    let mut seen = seen.lock().unwrap();
                    kinds.iter().for_each(|(what, n)| *seen.entry(what).or_default() += n);
                }
            });
        }
    });
    let (seen, minutes) = (seen.into_inner().unwrap(), began.elapsed().as_secs_f64() / 60.0);
    let (n, steps) = ((to - from) as f64, steps.into_inner() as f64);
    println!(
        "{n} schedules of {steps} steps in {:.1} s, {:.0} and {:.0} a minute: {seen:?}",
        60.0 * minutes,
        n / minutes,
        steps / minutes
    );
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds {failed:?}");
    Some(seen)
}

/// A number in the environment.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|n| n.parse().ok())
}
