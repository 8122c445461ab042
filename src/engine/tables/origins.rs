//! Origins of keys: an address prefix with a request shape, and the last trusted key that came from there.

use crate::engine::wire::encoded;

/// The last trusted key of a network origin: its credential may be rotated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin {
    /// Tag of the origin.
    pub tag: u32,
    /// The key, 0 if none.
    pub key: u64,
}

encoded!(Origin { tag: u32, key: u64 });

impl Origin {
    /// Has a key left it?
    pub fn live(&self) -> bool {
        self.key != 0
    }
}
