//! Everything learned, as one block: `weir replay --write-state` writes it, a restart reads it back.
//!
//! Layout: magic, version, seed check, all pages with their lengths, checksum. Hashes and counts only. State of another
//! version, seed or table size is refused whole.

use super::Ledger;
use super::pages::{PAGE, VERSION, open};
use crate::engine::wire::{self, Writer};

const MAGIC: u64 = 0x0031_5453_5249_4557;

/// Why saved state was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// Not a Weir state file, or cut short.
    Malformed,
    /// Another layout version.
    Version(u16),
    /// Another seed.
    Seed,
    /// The checksum does not match.
    Checksum,
}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StateError::Malformed => f.write_str("not a state file, cut short, or of other table sizes"),
            StateError::Version(v) => write!(f, "layout version {v} is not ours"),
            StateError::Seed => f.write_str("written under another seed"),
            StateError::Checksum => f.write_str("damaged: the checksum does not match"),
        }
    }
}

impl std::error::Error for StateError {}

impl Ledger {
    /// Writes everything learned.
    pub fn write_state(&self) -> Vec<u8> {
        let (mut out, mut page) = (Vec::new(), Vec::with_capacity(PAGE));
        let mut w = Writer(&mut out);
        w.u64(MAGIC);
        w.u16(VERSION);
        w.u32(self.seed_check);
        for index in 0..self.page_count() {
            self.write_page(index, &mut page);
            Writer(&mut out).u32(page.len() as u32);
            out.extend_from_slice(&page);
        }
        let sum = wire::checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Replaces everything learned, in a ledger made by `new` for the same configuration.
    ///
    /// # Errors
    /// See `StateError`; on an error `self` must be thrown away.
    pub fn read_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut r = open(bytes, &MAGIC.to_le_bytes(), self.seed_check)?;
        for index in 0..self.page_count() {
            let len = r.u32().ok_or(StateError::Malformed)?;
            let page = r.bytes(len as usize).ok_or(StateError::Malformed)?;
            if self.read_page(page)? != index {
                return Err(StateError::Malformed);
            }
        }
        self.finish_restore();
        if r.0.is_empty() { Ok(()) } else { Err(StateError::Malformed) }
    }
}
