//! Checkpoint pages (stand-in until the page format lands: one page holds everything).

use super::Ledger;
use crate::engine::StateError;

impl Ledger {
    /// Pages of a full checkpoint.
    pub fn page_count(&self) -> u16 {
        1
    }
    /// Encodes one page into `out`, replacing it.
    pub fn write_page(&self, _index: u16, out: &mut Vec<u8>) {
        *out = self.write_state();
    }
    /// Reads a page; its index.
    ///
    /// # Errors
    /// A damaged or foreign page changes nothing.
    pub fn read_page(&mut self, bytes: &[u8]) -> Result<u16, StateError> {
        self.read_state(bytes).map(|()| 0)
    }
    /// Recounts after the last page.
    pub fn finish_restore(&mut self) {}
}
