//! Everything learned, as one block: `weir replay --write-state` writes it, a restart reads it back.
//!
//! Layout: magic, version, seed check, clock, tables (sparse), checksum. Hashes and counts only. State of another version,
//! seed or table size is refused whole.

use super::doorkeeper::Doorkeeper;
use super::{Clock, Ledger, Origin};
use crate::engine::StateError;
use crate::engine::wire::{self, Reader, Writer, put_table, record, take_table};

const MAGIC: u64 = 0x0031_5453_5249_4557;
const VERSION: u16 = 3;

record!(Origin { tag: u32, key: u64 });

impl Ledger {
    /// Writes everything learned.
    pub fn write_state(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = Writer(&mut out);
        w.u64(MAGIC);
        w.u16(VERSION);
        w.u32(self.seed_check);
        for v in [self.clock.now_s, self.clock.started_s, self.clock.epoch, self.rollout_keys] {
            w.u32(v);
        }
        w.u64(self.alarms);
        put_table(&mut out, self.keys.slots(), |k| k.id != 0);
        put_table(&mut out, self.groups.slots(), |g| g.tag != 0);
        put_table(&mut out, self.panels.slots(), |p| p.tag != 0);
        put_table(&mut out, self.cases.values(), |v| v.value != 0);
        put_table(&mut out, self.cases.cases(), |c| c.id != 0);
        let (cells, candidates) = self.door.tables();
        put_table(&mut out, cells, |c| *c != 0);
        put_table(&mut out, candidates, Doorkeeper::live);
        put_table(&mut out, self.novelty.cells(), |c| *c != 0);
        put_table(&mut out, self.openings.cells(), |c| *c != 0);
        put_table(&mut out, &self.origins, |o| o.key != 0);
        let sum = wire::checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Replaces everything learned, in a ledger made by `new` for the same configuration.
    ///
    /// # Errors
    /// See `StateError`; on an error `self` must be thrown away.
    pub(in crate::engine) fn read_state(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let cut = bytes.len().checked_sub(4).ok_or(StateError::Malformed)?;
        let (body, sum) = bytes.split_at_checked(cut).ok_or(StateError::Malformed)?;
        let mut r = Reader(body);
        let (Some(MAGIC), Some(version), Some(check)) = (r.u64(), r.u16(), r.u32()) else {
            return Err(StateError::Malformed);
        };
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        if check != self.seed_check {
            return Err(StateError::Seed);
        }
        if Reader(sum).u32() != Some(wire::checksum(body)) {
            return Err(StateError::Checksum);
        }
        self.tables(&mut r).filter(|()| r.0.is_empty()).ok_or(StateError::Malformed)
    }

    fn tables(&mut self, r: &mut Reader<'_>) -> Option<()> {
        self.clock = Clock { now_s: r.u32()?, started_s: r.u32()?, epoch: r.u32()?, ..Clock::default() };
        self.rollout_keys = r.u32()?;
        self.alarms = r.u64()?;
        take_table(r, self.keys.slots_mut())?;
        take_table(r, self.groups.slots_mut())?;
        take_table(r, self.panels.slots_mut())?;
        let (values, cases) = self.cases.tables_mut();
        take_table(r, values)?;
        take_table(r, cases)?;
        let (cells, candidates) = self.door.tables_mut();
        take_table(r, cells)?;
        take_table(r, candidates)?;
        take_table(r, self.novelty.cells_mut())?;
        take_table(r, self.openings.cells_mut())?;
        take_table(r, &mut self.origins)?;
        self.keys.recount();
        self.cases.recount();
        Some(())
    }
}
