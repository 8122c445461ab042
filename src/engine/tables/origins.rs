//! Origins of keys: an address prefix with a request shape, and the last trusted key that came from there.

use crate::engine::wire::encoded;

/// The last trusted key that came from a network origin. A new key from there may be its rotated credential.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin {
    /// Tag of the origin.
    pub tag: u32,
    /// The key, 0 if none.
    pub key: u64,
}

encoded!(Origin { tag: u32, key: u64 });

impl Origin {
    /// True if a key is stored.
    pub fn live(&self) -> bool {
        self.key != 0
    }
}
