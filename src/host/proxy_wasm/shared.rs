//! Shared data and the monotonic clock of the host, as the node protocol wants them.

use super::abi;
use crate::node::{Cells, Set};

/// The host's cells. Holds nothing.
#[derive(Debug)]
pub struct Shared;

/// Rank of this build: `WEIR_RANK` at build time (the Makefile sets the commit's time), else derived from the version. Of two
/// builds in one proxy the higher one leads.
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

impl Cells for Shared {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        abi::shared(name)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set {
        #[cfg(feature = "chaos")]
        super::chaos::write();
        match abi::set_shared(name, value, cas) {
            0 => Set::Done,
            8 => Set::Mismatch,
            _ => Set::Failed,
        }
    }
    fn monotonic(&mut self) -> u64 {
        abi::monotonic()
    }
}
