//! Traffic that comes in its own time, on a fast clock.

use std::time::Duration;
use weir::engine::observation::Observation;
use weir::engine::units::Nanos;

/// Moves traffic to now on a fast clock, and hands out what is due as it comes. All of it, as it was handed out.
pub fn in_time(
    mut all: Vec<Observation>,
    engine: impl Fn() -> Nanos,
    mut each: impl FnMut(&[Observation]),
) -> Vec<Observation> {
    let (began, first) = (engine(), all[0].time);
    for o in &mut all {
        o.created_s = (began.secs() - (first.secs() - u64::from(o.created_s))) as u32;
        o.time = began.plus(o.time.since(first));
    }
    let mut rest = &all[..];
    while !rest.is_empty() {
        let n = rest.partition_point(|o| o.time <= engine());
        let (due, after) = rest.split_at(n);
        rest = after;
        each(due);
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(400));
    all
}
