//! The leader's part: check the lease, apply rings, publish, checkpoint; and how one VM takes over from
//! another.

use super::cells::{self, Cell, FREE, HUB_SHARDS, Head, LED, Meta, RING, SHARD_BYTES, SLOTS};
use super::cells::{Slot, Tail, YIELDED};
use super::step::Step;
use super::uplink::{Answer, Uplink};
use super::{
    BUDGET, CREATE, Cells, Counts, LATE, LeaseChange, MS, Node, PAGES_PER_TICK, STALE, Set, YIELD_EVERY,
    YIELD_FOR,
};
use crate::engine::Decision;
use crate::engine::config::Config;
use crate::engine::edge::actions::LastActions;
use crate::engine::ledger::{Ledger, Sizes};
use crate::engine::report::Status;
use crate::engine::snapshot::{DENIED, EXCEPTIONS, SHARDS, Shard};
use crate::engine::units::Nanos;

/// State that only the leader has.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) ledger: Ledger,
    sizes: Sizes,
    pub(super) head: Head,
    /// Version of the head cell that this VM wrote, and when.
    cas: u32,
    renewed_at: u64,
    /// The cells of head and tails as this VM wrote them last: what is still so need not be decoded.
    pub(super) head_cell: Vec<u8>,
    meta_cell: Vec<u8>,
    /// The ledger's counts, and how often it had changed when they were taken.
    told: Option<(u64, Status)>,
    pub(super) tails: [Tail; SLOTS],
    /// First ring of the next drain.
    first: usize,
    /// Next checkpoint page.
    page: u32,
    /// Whether anything was learned since this cycle of pages began, and in the cycle before.
    dirty: bool,
    dirty_before: bool,
    cycle_began: u64,
    /// Time of the last complete checkpoint, nanoseconds of the monotonic clock.
    pub(super) checkpointed: u64,
    /// Time since which the lease is offered to a successor, 0 if it is not.
    yielded_at: u64,
    /// Time of the last offer.
    offered_at: u64,
    /// Next shard whose cell is checked.
    audit: usize,
    /// True if a VM that serves no requests has a fresh heartbeat.
    idle_vm: bool,
    /// Number of restored pages.
    restored: u64,
    /// Duration of the hand-over, microseconds.
    handed: Option<u64>,
    /// Verdicts of the ledger that are new in this tick, with the time of their observations.
    pub(super) news: Vec<(Nanos, Decision)>,
    last: LastActions,
    bytes: Vec<u8>,
    /// Exchange with the hub, if one is configured.
    pub(super) uplink: Option<Uplink>,
    /// Ids that people have released on the hub, and the version of its shard.
    pardoned: (u32, Vec<u64>),
}

/// Longest time from one look at all places for rings to the next, ticks.
pub(super) const ALL_RINGS: usize = 10;
/// Most records of new verdicts a tick: the conviction of a whole campaign must not block the main thread.
const NEWS: usize = 32;

fn add(count: &mut u64, n: u64) {
    *count = count.saturating_add(n);
}

impl Node {
    /// Tries to take the lease, given the head that was read, and restores what was learned.
    pub(super) fn take_over(&mut self, cells: &mut dyn Cells, mono: u64, cas: u32) {
        let head = Head {
            uid: self.uid,
            epoch: self.head.epoch.saturating_add(1),
            beat: 1,
            state: LED,
            serving: self.serving,
            rank: self.rank,
            want: 0,
            ..self.head.clone()
        };
        let name = self.name("H", &[]);
        if cells.set(&name, &head.encode(), cas) != Set::Done {
            return;
        }
        let Some((bytes, cas)) = cells.get(&name) else { return };
        if Head::decode(&bytes).is_none_or(|h| h.uid != self.uid || h.epoch != head.epoch) {
            return;
        }
        add(&mut self.counts.take_overs, 1);
        self.head = head.clone();
        (self.seen, self.seen_at, self.epoch_at, self.still) = ((head.epoch, 1), mono, mono, 0);
        let began = cells.monotonic();
        let refused = self.counts.pages_refused;
        let mut lead = Lead::restore(&self.config, &self.prefix, cells, &mut self.counts, head, cas);
        (lead.checkpointed, lead.cycle_began, lead.offered_at) = (mono, mono, mono);
        lead.ledger.reconfigure(&self.config);
        let us = cells.monotonic().saturating_sub(began) / 1_000;
        let refused = self.counts.pages_refused.saturating_sub(refused);
        self.lease_change =
            Some(LeaseChange::Leads { epoch: lead.head.epoch, pages: lead.restored, refused, us });
        self.lead = Some(Box::new(lead));
    }

    /// One tick of a leader.
    pub(super) fn lead(&mut self, cells: &mut dyn Cells, mono: u64, now: Nanos) {
        let Some(mut lead) = self.lead.take() else { return };
        lead.head.beat = lead.head.beat.saturating_add(1);
        lead.head.serving = self.serving;
        lead.news.clear();
        let (config, prefix, counts) = (&self.config, &self.prefix, &mut self.counts);
        if lead.tick(&mut Step { config, prefix, cells, counts, mono }, now) {
            (self.seen, self.seen_at, self.still) = ((lead.head.epoch, lead.head.beat), mono, 0);
            self.head = lead.head.clone();
            self.lease_change = lead.handed.take().map(|us| LeaseChange::Yields { us }).or(self.lease_change);
            self.lead = Some(lead);
        } else {
            self.lease_change = Some(LeaseChange::Lost);
        }
    }

    /// Writes everything learned into the pages and gives the lease back.
    pub(super) fn free(&mut self, cells: &mut dyn Cells) {
        let Some(mut lead) = self.lead.take() else { return };
        let mono = cells.monotonic();
        lead.head.beat = lead.head.beat.saturating_add(1);
        if lead.renew(&self.prefix, cells) {
            let (config, prefix, counts) = (&self.config, &self.prefix, &mut self.counts);
            lead.drain(&mut Step { config, prefix, cells, counts, mono });
            lead.checkpoint_all(&self.prefix, cells);
            lead.head.state = FREE;
            lead.renew(&self.prefix, cells);
        }
    }
}

impl Lead {
    /// Restores a ledger from the pages and rings. A refused page leaves its part of the tables empty, and is counted.
    fn restore(
        config: &Config,
        prefix: &str,
        cells: &mut dyn Cells,
        counts: &mut Counts,
        head: Head,
        cas: u32,
    ) -> Lead {
        let meta = cells.get(&cells::name(prefix, "cm", &[]));
        let refused = meta.is_some();
        let meta = meta.and_then(|(bytes, _)| Meta::decode(&bytes));
        if refused && meta.is_none() {
            add(&mut counts.cells_refused, 1);
        }
        // Pages fit the tables that wrote them.
        let sizes = meta.as_ref().map_or_else(|| Sizes::of(config), |m| m.sizes);
        let mut ledger = Ledger::sized(config, sizes);
        let mut tails = meta.as_ref().map_or([Tail::default(); SLOTS], |m| m.tails);
        let mut restored = 0;
        if meta.is_some() {
            for i in 0..ledger.page_count() {
                let Some((bytes, _)) = cells.get(&cells::name(prefix, "c", &[u64::from(i)])) else {
                    continue;
                };
                match ledger.read_page(i, &bytes) {
                    Ok(()) => add(&mut restored, 1),
                    Err(_) => add(&mut counts.pages_refused, 1),
                }
            }
            ledger.finish_restore();
        }
        // A batch that was begun and not finished may have killed the last leader. It is skipped, and so lost.
        if let Some((bytes, _)) = cells.get(&cells::name(prefix, "p", &[]))
            && let Some((slot, seq)) = cells::unfinished(&bytes)
            && let Some(tail) = tails.get_mut(slot as usize)
            && tail.seq <= seq
        {
            tail.skip = Some(seq);
        }
        Lead {
            ledger,
            sizes,
            head,
            cas,
            renewed_at: cells.monotonic(),
            head_cell: Vec::new(),
            meta_cell: Vec::new(),
            told: None,
            tails,
            first: 0,
            page: 0,
            dirty: true,
            dirty_before: true,
            cycle_began: 0,
            checkpointed: 0,
            yielded_at: 0,
            offered_at: 0,
            audit: 0,
            idle_vm: false,
            restored,
            handed: None,
            news: Vec::new(),
            last: LastActions::default(),
            bytes: Vec::new(),
            uplink: None,
            pardoned: (0, Vec::new()),
        }
    }

    /// One tick of the leader. False if another VM has the lease: nothing may be written any more.
    fn tick(&mut self, step: &mut Step<'_>, now: Nanos) -> bool {
        // The fence comes first: a leader that stalled must not touch anything.
        if !self.renew(step.prefix, step.cells) {
            return false;
        }
        if self.yielded_at != 0 {
            if step.mono.saturating_sub(self.yielded_at) < YIELD_FOR {
                return true;
            }
            // No VM took the offer.
            self.yielded_at = 0;
            (self.head.state, self.head.want) = (LED, 0);
        } else if self.head.want > self.head.rank
            || (self.head.serving && self.idle_vm && step.mono.saturating_sub(self.offered_at) >= YIELD_EVERY)
        {
            self.checkpoint_all(step.prefix, step.cells);
            self.handed = Some(step.cells.monotonic().saturating_sub(step.mono) / 1_000);
            (self.yielded_at, self.offered_at, self.head.state) = (step.mono.max(1), step.mono, YIELDED);
            return self.renew(step.prefix, step.cells);
        }
        self.link(step);
        self.drain(step);
        self.pardon(step.config, step.prefix, step.cells);
        self.ledger.tick(now);
        self.look_after(step.prefix, step.cells);
        // After a stall in this very tick the lease may be gone.
        let stalled = step.cells.monotonic().saturating_sub(step.mono) > STALE / 4;
        if stalled && !self.renew(step.prefix, step.cells) {
            return false;
        }
        if self.publish(step) && !self.renew(step.prefix, step.cells) {
            return false;
        }
        self.checkpoint(step.prefix, step.cells, step.mono);
        true
    }

    /// Resumes the exchange with the hub where the previous leader stood, or ends it. The shards of a hub
    /// that has been silent for too long are dropped, and the next heartbeat's head says so.
    fn link(&mut self, step: &mut Step<'_>) {
        if step.config.hub.is_none() {
            if self.uplink.take().is_some() {
                self.head.hub_versions = [0; HUB_SHARDS];
            }
            return;
        }
        let tails = &self.tails;
        let end = |at: usize| tails.get(at).map_or(0, |t: &Tail| t.seq);
        let up = self.uplink.get_or_insert_with(|| Uplink::restore(step, end));
        up.look_after(step.prefix, step.cells, &mut self.head, step.mono, self.audit);
    }

    /// Releases what people have released on the hub in the node's own ledger, too, at every tick. The cell
    /// is checked, whoever wrote it.
    fn pardon(&mut self, config: &Config, prefix: &str, cells: &mut dyn Cells) {
        let version = self.head.hub_versions.get(EXCEPTIONS).copied().unwrap_or(0);
        if version != self.pardoned.0 {
            let name = cells::name(prefix, "f", &[EXCEPTIONS as u64]);
            let cell = if version == 0 { None } else { cells.get(&name) };
            let bytes = cell.as_ref().and_then(|(bytes, _)| cells::unshard(bytes));
            let shard = bytes.and_then(|(_, bytes)| Shard::decode(bytes, config.seed.check()).ok());
            let keys = shard.map(|(_, s)| s.keys).unwrap_or_default();
            let ids = keys.iter().filter(|k| k.campaign != DENIED).map(|k| k.key).collect();
            self.pardoned = (version, ids);
        }
        self.ledger.pardon(&self.pardoned.1);
    }

    /// Handles the hub's answer: its status and body.
    pub(super) fn hub_answer(&mut self, step: &mut Step<'_>, answer: (u32, &[u8])) -> Option<Answer> {
        // The fence, as in a tick: only who leads writes shards.
        if !self.renew(step.prefix, step.cells) {
            return None;
        }
        let (said, fresh) = self.uplink.as_mut()?.answer(step, &mut self.head, answer);
        if fresh {
            self.renew(step.prefix, step.cells);
        }
        Some(said)
    }

    /// Writes the head if this VM still has the lease, and keeps a candidate's wish. False if it has not.
    fn renew(&mut self, prefix: &str, cells: &mut dyn Cells) -> bool {
        let name = cells::name(prefix, "H", &[]);
        let mono = cells.monotonic();
        // A cell that is lost or damaged was this VM's a moment ago. After a longer stall another may have led since.
        let is_late = mono.saturating_sub(self.renewed_at) > STALE;
        if is_late && cells.get(&name).is_none_or(|(bytes, _)| Head::decode(&bytes).is_none()) {
            return false;
        }
        for _ in 0..8 {
            let written = self.head.encode();
            let done = cells.set(&name, &written, self.cas);
            let Some((bytes, cas)) = cells.get(&name) else {
                // The host lost the cell. Write it again.
                self.cas = CREATE;
                continue;
            };
            let found = if cells::same(&bytes, &written) { None } else { Some(Head::decode(&bytes)) };
            match found {
                None => {}
                Some(Some(h)) if h.uid == self.head.uid && h.epoch == self.head.epoch => {
                    self.head.want = self.head.want.max(h.want);
                }
                // The cell is damaged. Only over this version may it be mended.
                Some(None) if done != Set::Done => {
                    self.cas = cas;
                    continue;
                }
                _ => return false,
            }
            self.cas = cas;
            if done == Set::Done {
                (self.renewed_at, self.head_cell) = (mono, written);
                return true;
            }
        }
        false
    }

    /// Applies the batches in the rings, within `BUDGET`.
    fn drain(&mut self, step: &mut Step<'_>) {
        let mut began = false;
        self.idle_vm = false;
        // VMs claim the first ring that is free, so behind a missing one there is none, unless the host has lost it.
        let (all, mut end) = (self.audit.is_multiple_of(ALL_RINGS), SLOTS);
        for i in 0..SLOTS {
            let at = self.first.saturating_add(i) % SLOTS;
            if at >= end {
                continue;
            }
            let Some((bytes, _)) = step.cells.get(&cells::name(step.prefix, "s", &[at as u64])) else {
                end = if all { end } else { at };
                continue;
            };
            let Some(slot) = Slot::decode(&bytes) else {
                add(&mut step.counts.cells_refused, 1);
                continue;
            };
            self.idle_vm |= !slot.serving && step.mono.saturating_sub(slot.time) < 1_000 * MS;
            if !self.ring(step, at, &slot, &mut began) {
                // Out of time: this ring comes first at the next tick.
                self.first = at;
                break;
            }
        }
        if began {
            step.cells.set(&cells::name(step.prefix, "p", &[]), &cells::progress(false, 0, 0), 0);
        }
    }

    /// Applies one ring. False if there is no time left.
    fn ring(&mut self, step: &mut Step<'_>, at: usize, slot: &Slot, began: &mut bool) -> bool {
        let Some(tail) = self.tails.get_mut(at) else { return true };
        if slot.seq < tail.seq || slot.total < tail.total {
            // The cell was made anew.
            *tail = Tail { seq: slot.seq, total: slot.total, skip: None };
            self.dirty = true;
            if let Some(up) = &mut self.uplink {
                up.begin_anew(step.prefix, step.cells, step.counts, self.tails.map(|t| t.seq));
            }
        }
        let Some(tail) = self.tails.get_mut(at) else { return true };
        // Batches that the owner has overwritten; the next cell's count tells how many observations were lost.
        tail.seq = tail.seq.max(slot.seq.saturating_sub(RING));
        while tail.seq < slot.seq {
            let time = step.cells.monotonic();
            if time.saturating_sub(step.mono) > BUDGET {
                return false;
            }
            let seq = tail.seq;
            tail.seq = seq.saturating_add(1);
            if tail.skip.take_if(|s| *s <= seq) == Some(seq) {
                continue;
            }
            let place = seq.checked_rem(RING).unwrap_or(0);
            let Some((bytes, _)) = step.cells.get(&cells::name(step.prefix, "r", &[at as u64, place])) else {
                continue;
            };
            let Some((cell, batch)) = Cell::decode(&bytes) else {
                add(&mut step.counts.cells_refused, 1);
                continue;
            };
            // Overwritten meanwhile, or by an owner that had lost the ring.
            if cell.seq != seq || cell.first < tail.total || (seq >= slot.since && cell.uid != slot.uid) {
                continue;
            }
            step.cells.set(&cells::name(step.prefix, "p", &[]), &cells::progress(true, at as u64, seq), 0);
            *began = true;
            let (news, last) = (&mut self.news, &mut self.last);
            let noted = self.ledger.observe(batch, |obs, outcome| {
                if let Some(d) = Decision::at_ledger(step.config, last, obs, &outcome)
                    && news.len() < NEWS
                {
                    news.push((obs.time, d));
                }
            });
            match noted {
                Ok(n) => {
                    let n = u64::from(n);
                    add(&mut step.counts.lost, cell.first.saturating_sub(tail.total));
                    add(&mut step.counts.applied, n);
                    if time.saturating_sub(cell.time) > LATE {
                        add(&mut step.counts.late, n);
                    }
                    tail.total = cell.first.saturating_add(n);
                    self.dirty = true;
                    if let Some(up) = &mut self.uplink {
                        up.push(step.counts, at, seq, cell.first, batch);
                    }
                }
                Err(_) => add(&mut step.counts.cells_refused, 1),
            }
        }
        if slot.total > tail.total {
            add(&mut step.counts.lost, slot.total.saturating_sub(tail.total));
            tail.total = slot.total;
            self.dirty = true;
        }
        true
    }

    /// Checks one shard cell a tick: a leader that stalled may have overwritten it, and readers wait for this
    /// leader's. If the tails are another leader's, pages may be, too, and all are written again.
    fn look_after(&mut self, prefix: &str, cells: &mut dyn Cells) {
        self.audit = self.audit.saturating_add(1) % HUB_SHARDS;
        let found = cells.get(&cells::name(prefix, "v", &[self.audit as u64]));
        let ours = found.is_some_and(|(b, _)| cells::unshard(&b).is_some_and(|(e, _)| e == self.head.epoch));
        if !ours && self.audit < SHARDS {
            self.ledger.republish(1u64 << (self.audit as u32 & 63));
        }
        let found = cells.get(&cells::name(prefix, "cm", &[])).map(|(bytes, _)| bytes);
        let is_ours = |bytes: &Vec<u8>| {
            cells::same(bytes, &self.meta_cell)
                || Meta::decode(bytes).is_some_and(|m| m.epoch == self.head.epoch)
        };
        self.dirty |= !found.as_ref().is_some_and(is_ours);
    }

    /// Writes the changed shards. True if there were any.
    fn publish(&mut self, step: &mut Step<'_>) -> bool {
        let head = &mut self.head;
        let mut fresh = false;
        self.ledger.publish(|i, bytes| {
            let Some(version) = head.versions.get_mut(usize::from(i)) else { return };
            if bytes.len() > SHARD_BYTES {
                return add(&mut step.counts.cells_refused, 1);
            }
            let cell = cells::shard(head.epoch, bytes);
            if step.cells.set(&cells::name(step.prefix, "v", &[u64::from(i)]), &cell, 0) == Set::Done {
                *version = version.wrapping_add(1).max(1);
                fresh = true;
            }
        });
        if fresh {
            head.published = step.mono;
        }
        fresh
    }

    /// Writes the next pages of the rolling checkpoint, and how far the rings are applied. Writes nothing if nothing was
    /// learned for a whole cycle.
    fn checkpoint(&mut self, prefix: &str, cells: &mut dyn Cells, mono: u64) {
        if !self.dirty && !self.dirty_before {
            self.checkpointed = mono;
            return;
        }
        let count = self.ledger.page_count();
        for _ in 0..PAGES_PER_TICK.min(count) {
            if self.page == 0 {
                self.dirty_before = std::mem::take(&mut self.dirty);
                self.cycle_began = mono;
            }
            self.write_page(prefix, cells, self.page);
            self.page = self.page.saturating_add(1);
            if self.page >= count {
                self.page = 0;
                // Everything from before the cycle began is in.
                self.checkpointed = self.cycle_began;
            }
        }
        self.write_meta(prefix, cells);
    }

    fn write_page(&mut self, prefix: &str, cells: &mut dyn Cells, i: u32) {
        self.ledger.write_page(i, &mut self.bytes);
        cells.set(&cells::name(prefix, "c", &[u64::from(i)]), &self.bytes, 0);
    }

    fn write_meta(&mut self, prefix: &str, cells: &mut dyn Cells) {
        let meta = Meta { epoch: self.head.epoch, sizes: self.sizes, tails: self.tails };
        self.meta_cell = meta.encode();
        cells.set(&cells::name(prefix, "cm", &[]), &self.meta_cell, 0);
    }

    /// The ledger's counts: a pass over the tables, if anything in them may have changed since the last.
    pub(super) fn status(&mut self) -> Status {
        let changes = self.ledger.changes();
        match self.told {
            Some((then, status)) if then == changes => status,
            _ => {
                let status = self.ledger.status();
                self.told = Some((changes, status));
                status
            }
        }
    }

    /// Writes all pages, before the lease goes to another VM.
    fn checkpoint_all(&mut self, prefix: &str, cells: &mut dyn Cells) {
        for i in 0..self.ledger.page_count() {
            self.write_page(prefix, cells, i);
        }
        self.page = 0;
        self.checkpointed = cells.monotonic();
        self.write_meta(prefix, cells);
    }
}
