//! Cells in memory that behave as Envoy's do, for tests.

use super::{Cells, Set};
use std::collections::BTreeMap;

/// All cells of a process, and its clock.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) cells: BTreeMap<String, (Vec<u8>, u32)>,
    pub(super) version: u32,
    pub(super) now: u64,
    /// True if the host has no shared data.
    pub(super) broken: bool,
    /// Nanoseconds that the clock advances at each reading.
    pub(super) slow: u64,
}

impl Cells for Memory {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.cells.get(name).cloned().filter(|_| !self.broken)
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set {
        if self.broken {
            return Set::Failed;
        }
        // As Envoy: the version is looked at only if the cell exists.
        if self.cells.get(name).is_some_and(|(_, v)| cas != 0 && cas != *v) {
            return Set::Mismatch;
        }
        self.version = self.version.wrapping_add(1);
        self.cells.insert(name.into(), (value.to_vec(), self.version));
        Set::Done
    }
    fn random(&mut self) -> Option<[u8; 16]> {
        self.version = self.version.wrapping_add(1);
        Some([self.version as u8; 16])
    }
    fn monotonic(&mut self) -> u64 {
        self.now = self.now.wrapping_add(self.slow);
        self.now
    }
}
