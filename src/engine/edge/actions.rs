//! Which decisions are logged: those that differ from the key's last action, within a rate of lines.

use crate::engine::hash;
use crate::engine::sketch::gcra;
use crate::engine::units::Nanos;
use crate::engine::verdict::{Action, Reason};

/// Last action of recent keys, for `log.decisions: changes`: 4,096 cells, overwritten.
#[derive(Debug)]
pub struct LastActions(Vec<u32>);

impl Default for LastActions {
    fn default() -> LastActions {
        LastActions(vec![0; 4_096])
    }
}

impl LastActions {
    /// Records a key's action. True if it differs from the key's last one.
    pub fn changed(&mut self, key: u64, action: Action) -> bool {
        let h = hash::mix(key);
        let want = ((h >> 32) as u32 & !3) | action as u32;
        let Some(cell) = self.0.get_mut(h as usize & 4_095) else { return false };
        let known = *cell & !3 == want & !3;
        let changed = if known { *cell != want } else { action != Action::Allow };
        *cell = want;
        changed
    }
}

/// Burst of lines of one key; after that one a second.
pub const KEY_LINES: u64 = 60;
/// Burst of lines of one VM; after that a hundred a second.
pub const LINES: u64 = 1_000;
const KEY_EVERY_NS: u64 = 1_000_000_000;
const EVERY_NS: u64 = 10_000_000;

/// Limits the rate of decision lines, so that a flood of requests does not flood the log. Memory: 8 KiB. Keys
/// that share a cell share its rate. All requests with several credentials count as one key, because each
/// made-up second credential makes a new key.
#[derive(Debug)]
pub struct Lines {
    keys: Vec<u64>,
    all: u64,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { keys: vec![0; 1_024], all: 0 }
    }
}

impl Lines {
    /// True if a line may be written. `now` must not step back.
    pub fn allow(&mut self, now: Nanos, key: u64, reason: Reason) -> bool {
        let place = if reason == Reason::Ambiguous { 0 } else { hash::mix(key) as usize & 1_023 };
        let Some(cell) = self.keys.get_mut(place) else { return false };
        let own =
            gcra::check(*cell, now.0, KEY_EVERY_NS, KEY_EVERY_NS.saturating_mul(KEY_LINES.saturating_sub(1)));
        let all = gcra::check(self.all, now.0, EVERY_NS, EVERY_NS.saturating_mul(LINES.saturating_sub(1)));
        let (Ok(own), Ok(all)) = (own, all) else { return false };
        (*cell, self.all) = (own, all);
        true
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_a_keys_last_action_is_told() {
        let mut last = LastActions::default();
        for key in [0, 1, 7, u64::MAX] {
            assert!(!last.changed(key, Action::Allow), "a key that nobody has seen is allowed");
            for action in [Action::Tag, Action::Throttle, Action::Block, Action::Tag, Action::Allow] {
                assert!(last.changed(key, action), "{key}: {action:?}");
                assert!(!last.changed(key, action), "{key}: {action:?} again");
            }
        }
        // A key in the cell of another one is as one that nobody has seen.
        let cell = |key: u64| hash::mix(key) & 4_095;
        let other = (1..).find(|k| cell(*k) == cell(0)).unwrap_or_default();
        assert!(last.changed(0, Action::Block) && !last.changed(other, Action::Allow));
        assert!(last.changed(0, Action::Block) && last.changed(other, Action::Block));
    }

    #[test]
    fn a_flood_of_requests_is_no_flood_of_lines() {
        let at = |ms: u64| Nanos(1_000_000_000_000_000_000 + ms * 1_000_000);
        let mut lines = Lines::default();
        let n = |lines: &mut Lines, of: &mut dyn FnMut(u64) -> (u64, Reason)| {
            (0..100_000u64)
                .filter(|i| {
                    let (k, r) = of(*i);
                    lines.allow(at(i / 10), k, r)
                })
                .count()
        };
        // 10,000 requests a second for ten seconds. One key; made-up second credentials; keys made up each time.
        assert_eq!(n(&mut lines, &mut |_| (7, Reason::Rate)), 60 + 9);
        assert_eq!(n(&mut Lines::default(), &mut |i| (i, Reason::Ambiguous)), 60 + 9);
        let all = n(&mut Lines::default(), &mut |i| (i, Reason::Rate));
        assert!((1_990..=2_000).contains(&all), "{all}");
        // Beside the made-up credentials another key is still told.
        let mut lines = Lines::default();
        let told = (0..10_000u64).filter(|i| {
            lines.allow(at(*i), *i, Reason::Ambiguous);
            i % 1_000 == 0 && lines.allow(at(*i), 99, Reason::Template)
        });
        assert_eq!(told.count(), 10);
    }
}
