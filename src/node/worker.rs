//! The part of every VM: its ring, its snapshot, its candidacy for the lease.

use super::cells::{self, CELL_BYTES, FREE, HUB_SHARDS, Head, RING, SLOTS, Slot, YIELDED};
use super::{CREATE, Cells, GRACE, MS, Node, SILENT, SPARING, STALE, STALE_TICKS, Set};
use crate::engine::edge::Edge;
use crate::engine::wire::Refused;
use std::sync::Arc;

/// The ring of one VM.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Number of the ring, once claimed.
    slot: Option<u64>,
    batch: Vec<u8>,
}

impl Node {
    /// Index of the ring that this VM has claimed.
    #[cfg(test)]
    pub(super) fn ring_place(&self) -> Option<u64> {
        self.ring.slot
    }

    /// Starts to serve at the first request, with all shards published so far.
    pub fn serve(&mut self, cells: &mut dyn Cells) {
        self.serving = true;
        if self.edge.is_none() {
            self.edge = Some(Edge::new(Arc::clone(&self.config)));
            let mono = cells.monotonic();
            self.look(cells, mono);
            self.pull(cells, mono);
        }
    }

    /// Applies shards that are new.
    pub(super) fn pull(&mut self, cells: &mut dyn Cells, mono: u64) {
        let Some(edge) = &mut self.edge else { return };
        let head = &self.head;
        let prefix = &self.prefix;
        // An old epoch: a leader that stalled wrote after its successor, which will write the shard again.
        let of_epoch = |_| head.epoch;
        let own =
            take_over(cells, prefix, "v", (&mut self.applied[..], &head.versions[..]), of_epoch, |shard| {
                edge.apply(shard)
            });
        let mut refused = own.refused;
        // Of the hub's, a version of 0 is none: it has been silent for too long, or is no longer configured.
        if self.config.hub.is_none() || head.hub_versions == [0; HUB_SHARDS] {
            if self.hub_applied != [0; HUB_SHARDS] {
                self.hub_applied = [0; HUB_SHARDS];
                edge.forget_hub();
            }
        } else {
            // Another version: a leader that had stalled has written over it, and the one that leads asks the hub for it again.
            let versions = (&mut self.hub_applied[..], &head.hub_versions[..]);
            let hub = take_over(cells, prefix, "f", versions, u64::from, |shard| edge.apply_hub(shard));
            refused = refused.saturating_add(hub.refused);
            edge.set_hub_ahead(head.hub_ahead_ms);
        }
        self.counts.cells_refused = self.counts.cells_refused.saturating_add(refused);
        if own.fresh {
            let lag = mono.saturating_sub(self.head.published);
            self.lag = self.lag.max(Some(lag));
        }
    }

    /// Writes the heartbeat of the ring, and the observations of the last tick.
    pub(super) fn beat(&mut self, cells: &mut dyn Cells, mono: u64, period: u64) {
        let silent = mono.saturating_sub(self.seen_at);
        let sparing = self.head.state == FREE || silent >= SPARING.saturating_mul(period);
        if sparing || !self.flush(cells) {
            self.write(cells, mono, false);
        }
    }

    /// Writes waiting observations into the ring. False if there are none.
    pub(super) fn flush(&mut self, cells: &mut dyn Cells) -> bool {
        if self.edge.as_ref().is_none_or(|e| e.waiting() == 0) {
            return false;
        }
        let mono = cells.monotonic();
        self.write(cells, mono, true);
        true
    }

    /// Writes the heartbeat into this VM's ring, and a batch if `batch`. Claims a ring first if there is
    /// none.
    fn write(&mut self, cells: &mut dyn Cells, mono: u64, batch: bool) {
        if self.uid == 0 {
            return;
        }
        // A ring that somebody took over during a stall is given up, and another one claimed at once.
        for _ in 0..2 {
            let Some((at, slot, cas)) = self.own(cells, mono) else { return };
            let mut next = Slot { time: mono, serving: self.serving, ..slot };
            if batch {
                let Some(edge) = &mut self.edge else { return };
                let n = u64::from(edge.waiting());
                edge.drain(&mut self.ring.batch);
                let cell = cells::Cell { uid: self.uid, seq: slot.seq, first: slot.total, time: mono };
                let bytes = cell.encode(&self.ring.batch);
                let place = slot.seq.checked_rem(RING).unwrap_or(0);
                (next.seq, next.total) = (slot.seq.saturating_add(1), slot.total.saturating_add(n));
                let fits = bytes.len() <= CELL_BYTES;
                let written = fits
                    && cells.set(&cells::name(&self.prefix, "r", &[at, place]), &bytes, 0) == Set::Done
                    && cells.set(&cells::name(&self.prefix, "s", &[at]), &next.encode(), cas) == Set::Done;
                let count = if written { &mut self.counts.sent } else { &mut self.counts.dropped };
                *count = count.saturating_add(n);
                return;
            }
            if cells.set(&cells::name(&self.prefix, "s", &[at]), &next.encode(), cas) == Set::Done {
                return;
            }
            self.ring.slot = None;
        }
    }

    /// This VM's ring: place, content, version. Claims one if it has none.
    fn own(&mut self, cells: &mut dyn Cells, mono: u64) -> Option<(u64, Slot, u32)> {
        if let Some(at) = self.ring.slot {
            let found = cells.get(&self.name("s", &[at]));
            if let Some((bytes, cas)) = found
                && let Some(slot) = Slot::decode(&bytes).filter(|s| s.uid == self.uid)
            {
                return Some((at, slot, cas));
            }
            self.ring.slot = None;
        }
        for at in 0..SLOTS as u64 {
            let name = self.name("s", &[at]);
            let (old, cas) = match cells.get(&name) {
                None => (Slot::default(), CREATE),
                Some((bytes, cas)) => match Slot::decode(&bytes) {
                    Some(s) if mono.saturating_sub(s.time) <= SILENT => continue,
                    Some(s) => (s, cas),
                    // The cell is damaged: no VM can use it as it is.
                    None => {
                        self.counts.cells_refused = self.counts.cells_refused.saturating_add(1);
                        (Slot::default(), cas)
                    }
                },
            };
            let mine = Slot { uid: self.uid, since: old.seq, time: mono, serving: self.serving, ..old };
            if cells.set(&name, &mine.encode(), cas) != Set::Done {
                continue;
            }
            // On a missing cell any version succeeds, so another VM may have claimed it, too.
            if let Some((bytes, cas)) = cells.get(&name)
                && Slot::decode(&bytes) == Some(mine)
            {
                self.ring.slot = Some(at);
                return Some((at, mine, cas));
            }
        }
        None
    }

    /// Candidacy of a VM that does not lead: takes the lease, or asks its holder to yield, when either is
    /// due.
    pub(super) fn stand(&mut self, cells: &mut dyn Cells, mono: u64, cas: u32) {
        let h = &self.head;
        let age = mono.saturating_sub(self.born);
        let grace = if self.serving { GRACE } else { 0 };
        let still = mono.saturating_sub(self.seen_at);
        // It yields to newer code if that has asked, else to a VM that serves nobody.
        let called = if h.want > h.rank { self.rank > h.rank } else { !self.serving && self.rank >= h.rank };
        let take = if h.epoch == 0 {
            // A cold start: the main thread's VM comes first, then any that serves nobody.
            age >= if self.uid == 1 && !self.serving { 0 } else { GRACE.saturating_add(grace) }
        } else {
            h.state == FREE
                || (h.state == YIELDED && called)
                || (still > STALE.saturating_add(grace) && self.still >= STALE_TICKS)
        };
        if take {
            self.take_over(cells, mono, cas);
        } else if h.rank < self.rank && h.want < self.rank && age > 1_000 * MS {
            let asked = Head { want: self.rank, ..h.clone() };
            // Only over the head that was read: if the leader beats meanwhile, it is asked at the next tick.
            if cas != CREATE {
                let _ = cells.set(&self.name("H", &[]), &asked.encode(), cas);
            }
        }
    }
}

/// Result of applying new shards.
struct Taken {
    fresh: bool,
    refused: u64,
}

/// Hands each shard of a kind whose version is not the one held to `apply`, if its cell holds what `bears`
/// expects for that version.
fn take_over(
    cells: &mut dyn Cells,
    prefix: &str,
    kind: &str,
    (held, versions): (&mut [u32], &[u32]),
    bears: impl Fn(u32) -> u64,
    mut apply: impl FnMut(&[u8]) -> Result<(), Refused>,
) -> Taken {
    let mut taken = Taken { fresh: false, refused: 0 };
    for (i, (have, want)) in held.iter_mut().zip(versions).enumerate() {
        if have == want || *want == 0 {
            continue;
        }
        let Some((bytes, _)) = cells.get(&cells::name(prefix, kind, &[i as u64])) else { continue };
        let of_version = cells::unshard(&bytes).filter(|(of, _)| *of == bears(*want));
        let Some((_, shard)) = of_version else { continue };
        match apply(shard) {
            Ok(()) => {
                *have = *want;
                taken.fresh = true;
            }
            Err(_) => taken.refused = taken.refused.saturating_add(1),
        }
    }
    taken
}
