//! The host's shared data and monotonic clock, as `Cells` of the node.

use super::calls;
use crate::engine::hash::Seed;
use crate::node::{Cells, Set};

/// The host's cells. It has no state.
#[derive(Debug)]
pub struct Shared;

/// Rank of this build: `WEIR_RANK` at build time (the Makefile sets the commit's time), else derived from the
/// version. Of two builds in one proxy the one with the higher rank leads.
pub const RANK: u32 = match option_env!("WEIR_RANK") {
    Some(text) => decimal(text),
    None => decimal(env!("CARGO_PKG_VERSION_MAJOR"))
        .wrapping_mul(1_000_000)
        .wrapping_add(decimal(env!("CARGO_PKG_VERSION_MINOR")).wrapping_mul(1_000))
        .wrapping_add(decimal(env!("CARGO_PKG_VERSION_PATCH"))),
};

/// Digits of `text`, others ignored.
const fn decimal(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut i, mut out) = (0usize, 0u32);
    while i < bytes.len() {
        // In bounds by the loop's condition; a constant, so a mistake here stops the build.
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, see above")]
        let b = bytes[i];
        if b.is_ascii_digit() {
            out = out.wrapping_mul(10).wrapping_add((b as u32).wrapping_sub(48));
        }
        i = i.wrapping_add(1);
    }
    out
}

/// A version that no cell has: a write with it succeeds only where the cell is absent.
const CREATE: u32 = u32::MAX;

/// The seed of a policy that has none configured: random, and the same for all VMs while the process lives.
/// If the host has no shared data, each VM uses `own`. `None` if the host has no randomness.
pub fn process_seed(policy: &str, own: &mut Option<Seed>) -> Option<Seed> {
    let name = ["weir1/seed/", policy].concat();
    for _ in 0..2 {
        let known = calls::shared(&name).and_then(|(bytes, _)| <[u8; 32]>::try_from(bytes).ok());
        if let Some(bytes) = known {
            return Some(Seed::from_bytes(bytes));
        }
        let fresh = calls::random()?;
        match calls::set_shared(&name, &fresh, CREATE) {
            0 => return Some(Seed::from_bytes(fresh)),
            // Another VM was first.
            8 => {}
            _ => return Some(own.get_or_insert(Seed::from_bytes(fresh)).clone()),
        }
    }
    None
}

impl Cells for Shared {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        calls::shared(name)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set {
        #[cfg(feature = "chaos")]
        super::chaos::write();
        match calls::set_shared(name, value, cas) {
            0 => Set::Done,
            8 => Set::Mismatch,
            _ => Set::Failed,
        }
    }
    fn random(&mut self) -> Option<[u8; 16]> {
        calls::random().map(|bytes| std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0)))
    }
    fn monotonic(&mut self) -> u64 {
        calls::monotonic()
    }
}
