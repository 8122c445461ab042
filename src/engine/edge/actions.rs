//! Whether a key's action differs from its last one: for logs that tell changes only.

use crate::engine::hash;
use crate::engine::verdict::Action;

/// The last action of recent keys, to log changes only: 4,096 cells, overwritten.
#[derive(Debug)]
pub struct LastActions(Vec<u32>);

impl Default for LastActions {
    fn default() -> LastActions {
        LastActions(vec![0; 4_096])
    }
}

impl LastActions {
    /// Notes a key's action; is it another one than the key's last?
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
