//! Waiting for what a process does in its own time.

use std::time::{Duration, Instant};

/// Looks again and again until it holds; after so many seconds the test fails, and `why` says what there is instead.
pub fn until(seconds: u64, mut holds: impl FnMut() -> bool, why: impl Fn() -> String) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !holds() {
        assert!(Instant::now() < end, "{}", why());
        std::thread::sleep(Duration::from_millis(50));
    }
}
