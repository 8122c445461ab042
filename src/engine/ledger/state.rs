//! Everything learned, as one block: `weir replay --write-state` writes it, a restart reads it back.
//!
//! Layout: magic, version, seed check, all pages with their lengths, checksum. Hashes and counts only. State of another
//! version, seed or table size is refused whole.

use super::Ledger;
use super::pages::{PAGE, VERSION, open};
use crate::engine::StateError;
use crate::engine::wire::{self, Writer};

const MAGIC: u64 = 0x0031_5453_5249_4557;

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
