//! The leader's side of the exchange with the hub: waiting batches, the call in flight, the hub's shards.
//!
//! Batches are kept in the order of their rings until the hub has them on disk. Their size is bounded
//! (`QUEUE_BYTES`); beyond it the oldest are dropped and counted. A new leader reads again from the rings
//! what the hub has not acknowledged. No request ever waits for this: without a hub, or while it does not
//! answer, the node's own ledger decides.

use super::cells::{self, Cell, HUB_SHARDS, Head, HubMeta, RING, SLOTS, Slot};
use super::exchange::{self, Reply, Request, Sent};
use super::step::Step;
use super::{Cells, Counts, MS, Set};
use crate::engine::config::Config;
use crate::engine::units::Nanos;
use std::collections::VecDeque;

/// Bytes that wait for the hub at most: 20,000 observations of 200 bytes.
const QUEUE_BYTES: usize = 4 << 20;
/// Waiting bytes above which the next request is sent at once.
const SOON_BYTES: usize = 512 << 10;
/// Time after which a call without an answer counts as failed. The host's own limit is `CALL_MS`.
const GIVEN_UP: u64 = 15_000 * MS;
/// Longest time of a call, milliseconds.
pub const CALL_MS: u32 = 5_000;
/// Wait before the next call after a failure, nanoseconds.
const RETRY: u64 = 1_000 * MS;
/// Longest such wait: it is doubled after each further failure.
const RETRY_MOST: u64 = 30_000 * MS;
/// Time without an answer after which the hub's shards are dropped.
const FORGOTTEN: u64 = 3_600_000 * MS;
/// Longest period that a hub may ask for, milliseconds.
const PERIOD_MOST: u32 = 60_000;

/// A batch that waits.
#[derive(Debug)]
struct Waiting {
    ring: u8,
    seq: u64,
    first: u64,
    count: u16,
    bytes: Vec<u8>,
}

/// State of the exchange with the hub.
#[derive(Debug)]
pub struct Uplink {
    meta: HubMeta,
    queue: VecDeque<Waiting>,
    bytes: usize,
    /// Time of the call in flight, 0 if there is none; and the node id it was made with.
    called_at: u64,
    called_as: [u8; 16],
    /// Time of the next call.
    due_at: u64,
    /// Failures in a row.
    failures: u32,
    /// Time of the last answer.
    answered_at: u64,
    /// Versions that the head named before the hub was forgotten. Who has not heard of that may hold them, so none is named again.
    before: [u32; HUB_SHARDS],
}

/// Result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The hub has taken the call and replied.
    Taken,
    /// The hub has refused it: its status, or 0 if the call could not be made.
    Refused(u32),
    /// The answer is damaged, or of another seed or version.
    Strange,
}

impl Uplink {
    /// Continues from the cell of the previous leader and from the rings. `ends`: number of the next batch of
    /// a ring.
    pub fn restore(step: &mut Step<'_>, ends: impl Fn(usize) -> u64) -> Uplink {
        let found = step
            .cells
            .get(&cells::name(step.prefix, "hm", &[]))
            .and_then(|(bytes, _)| HubMeta::decode(&bytes));
        let fresh = found.is_none();
        let meta = found.unwrap_or_else(|| HubMeta { node: id(step.cells), ..HubMeta::default() });
        let mut up = Uplink {
            meta,
            queue: VecDeque::new(),
            bytes: 0,
            called_at: 0,
            called_as: [0; 16],
            due_at: step.mono,
            failures: 0,
            answered_at: step.mono,
            before: [0; HUB_SHARDS],
        };
        if fresh {
            // What the node has read before is not told: no later leader does so, either.
            up.meta.acked = std::array::from_fn(ends);
            up.write(step.prefix, step.cells);
            return up;
        }
        for at in 0..SLOTS {
            let Some((bytes, _)) = step.cells.get(&cells::name(step.prefix, "s", &[at as u64])) else {
                continue;
            };
            let Some(slot) = Slot::decode(&bytes) else { continue };
            let end = ends(at);
            let acked = up.meta.acked.get(at).copied().unwrap_or(0);
            for seq in acked.max(slot.seq.saturating_sub(RING))..end {
                let place = seq.checked_rem(RING).unwrap_or(0);
                let cell = step.cells.get(&cells::name(step.prefix, "r", &[at as u64, place]));
                let Some((bytes, _)) = cell else { continue };
                if let Some((cell, batch)) = Cell::decode(&bytes).filter(|(c, _)| c.seq == seq) {
                    up.push(step.counts, at, seq, cell.first, batch);
                }
            }
        }
        up
    }

    /// Queues a batch of a ring that is in the node's own ledger. The hub may have it already: a leader that dies while it learns has told the
    /// hub more than its tails say.
    pub fn push(&mut self, counts: &mut Counts, ring: usize, seq: u64, first: u64, batch: &[u8]) {
        if self.meta.acked.get(ring).is_some_and(|acked| seq < *acked) {
            return;
        }
        let count = batch.get(8..10).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes);
        self.bytes = self.bytes.saturating_add(batch.len());
        self.queue.push_back(Waiting { ring: ring as u8, seq, first, count, bytes: batch.to_vec() });
        while self.bytes > QUEUE_BYTES {
            let Some(gone) = self.queue.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(gone.bytes.len());
            counts.hub_dropped = counts.hub_dropped.saturating_add(u64::from(gone.count));
        }
    }

    /// Takes a new node id, because a ring starts again with numbers that the hub has seen. As the new node it has told all that was read
    /// (`ends`: the end of each ring), so that no later leader tells it again.
    pub fn begin_anew(
        &mut self,
        prefix: &str,
        cells: &mut dyn Cells,
        counts: &mut Counts,
        ends: [u64; SLOTS],
    ) {
        let lost = self.queue.drain(..).fold(0, |n: u64, w| n.saturating_add(u64::from(w.count)));
        counts.hub_dropped = counts.hub_dropped.saturating_add(lost);
        self.bytes = 0;
        self.meta =
            HubMeta { node: id(cells), hub_epoch: self.meta.hub_epoch, held: self.meta.held, acked: ends };
        self.write(prefix, cells);
    }

    /// True if nothing waits for the hub.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Time since the hub last answered, milliseconds, and observations that it has not acknowledged.
    pub fn health(&self, mono: u64) -> (u64, u64) {
        (mono.saturating_sub(self.answered_at), self.waiting())
    }

    fn waiting(&self) -> u64 {
        self.queue.iter().fold(0, |n, w| n.saturating_add(u64::from(w.count)))
    }

    /// The next request, if one is due. From then on it is in flight.
    pub fn request(&mut self, config: &Config, mono: u64, now: Nanos) -> Option<Vec<u8>> {
        if self.called_at != 0 && mono.saturating_sub(self.called_at) >= GIVEN_UP {
            self.fail(mono);
        }
        let soon = self.failures == 0 && self.bytes >= SOON_BYTES;
        if self.called_at != 0 || (mono < self.due_at && !soon) {
            return None;
        }
        let mut room = exchange::REQUEST_BYTES.saturating_sub(Request::overhead(&config.policy));
        let mut batches = Vec::new();
        for w in self.queue.iter().take(exchange::BATCHES) {
            let sent = Sent { ring: w.ring, seq: w.seq, first: w.first, bytes: &w.bytes };
            let Some(left) = room.checked_sub(sent.size()) else { break };
            room = left;
            batches.push(sent);
        }
        let request = Request {
            seed_check: config.seed.check(),
            node: self.meta.node,
            policy: &config.policy,
            clock: now,
            hub_epoch: self.meta.hub_epoch,
            held: self.meta.held,
            batches,
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        (self.called_at, self.called_as) = (mono.max(1), self.meta.node);
        Some(bytes)
    }

    fn fail(&mut self, mono: u64) {
        self.called_at = 0;
        let wait = RETRY.saturating_mul(1 << self.failures.min(5)).min(RETRY_MOST);
        self.failures = self.failures.saturating_add(1);
        self.due_at = mono.saturating_add(wait);
    }

    /// Handles the answer to the call in flight, the hub's or the host's own. Shards are written to cells and
    /// their versions to the head. The flag is true if the head must be written.
    pub fn answer(
        &mut self,
        step: &mut Step<'_>,
        head: &mut Head,
        (status, body): (u32, &[u8]),
    ) -> (Answer, bool) {
        // An answer to a call that was given up, or made by another leader.
        if self.called_at == 0 {
            return (Answer::Refused(status), false);
        }
        if status != 200 {
            step.counts.hub_failed = step.counts.hub_failed.saturating_add(1);
            self.fail(step.mono);
            return (Answer::Refused(status), false);
        }
        let Ok(reply) = Reply::decode(body, step.config.seed.check()) else {
            step.counts.hub_failed = step.counts.hub_failed.saturating_add(1);
            self.fail(step.mono);
            return (Answer::Strange, false);
        };
        let period = u64::from(reply.period_ms.min(PERIOD_MOST))
            .saturating_mul(MS)
            .max(step.config.hub.as_ref().map_or(0, |h| h.every.0));
        self.due_at = self.called_at.saturating_add(period);
        (self.called_at, self.failures, self.answered_at) = (0, 0, step.mono);
        // Of a node that this one is no longer, it acknowledges numbers that begin anew.
        if self.called_as == self.meta.node {
            self.acknowledge(step.counts, &reply.acks);
        }
        if reply.hub_epoch != self.meta.hub_epoch {
            // Its versions begin anew. What it published before stays in force until it has published again.
            (self.meta.hub_epoch, self.meta.held) = (reply.hub_epoch, [0; HUB_SHARDS]);
        }
        let mut fresh = head.hub_ahead_ms != reply.offset_ms;
        head.hub_ahead_ms = reply.offset_ms;
        for (i, version, bytes) in reply.shards {
            let at = usize::from(i);
            let (Some(held), Some(told)) = (self.meta.held.get_mut(at), head.hub_versions.get_mut(at)) else {
                continue;
            };
            if bytes.len() > cells::HUB_SHARD_BYTES {
                step.counts.cells_refused = step.counts.cells_refused.saturating_add(1);
                continue;
            }
            let before = self.before.get(at).copied().unwrap_or(0);
            let next = before.max(*told).wrapping_add(1).max(1);
            let cell = cells::shard(u64::from(next), bytes);
            if step.cells.set(&cells::name(step.prefix, "f", &[u64::from(i)]), &cell, 0) == Set::Done {
                (*held, *told) = (version, next);
                fresh = true;
            }
        }
        self.write(step.prefix, step.cells);
        (Answer::Taken, fresh)
    }

    fn acknowledge(&mut self, counts: &mut Counts, acks: &[(u8, u64)]) {
        for (ring, next) in acks {
            if let Some(acked) = self.meta.acked.get_mut(usize::from(*ring)) {
                *acked = (*acked).max(*next);
            }
        }
        let (meta, bytes) = (&self.meta, &mut self.bytes);
        self.queue.retain(|w| {
            let there = meta.acked.get(usize::from(w.ring)).is_some_and(|acked| w.seq < *acked);
            if there {
                *bytes = bytes.saturating_sub(w.bytes.len());
                counts.hub_sent = counts.hub_sent.saturating_add(u64::from(w.count));
            }
            !there
        });
    }

    /// Notes that the call could not be made.
    pub fn not_sent(&mut self, counts: &mut Counts, mono: u64) {
        if self.called_at != 0 {
            counts.hub_failed = counts.hub_failed.saturating_add(1);
            self.fail(mono);
        }
    }

    /// Forgets a hub that is silent for too long, and asks again for shards whose cells a former leader has
    /// overwritten.
    pub fn look_after(&mut self, prefix: &str, cells: &mut dyn Cells, head: &mut Head, mono: u64, at: usize) {
        let told = head.hub_versions.iter().any(|v| *v != 0);
        if told && mono.saturating_sub(self.answered_at) >= FORGOTTEN {
            (self.before, head.hub_versions) = (head.hub_versions, [0; HUB_SHARDS]);
        }
        // What no head names is in no worker, whatever was held when a leader of before last said so.
        let unnamed = self.meta.held.iter_mut().zip(&head.hub_versions).filter(|(_, told)| **told == 0);
        unnamed.for_each(|(held, _)| *held = 0);
        let (Some(version), Some(held)) = (head.hub_versions.get(at), self.meta.held.get_mut(at)) else {
            return;
        };
        if *version != 0 && *held != 0 {
            let cell = cells.get(&cells::name(prefix, "f", &[at as u64]));
            if cell.and_then(|(bytes, _)| Some(cells::unshard(&bytes)?.0)) != Some(u64::from(*version)) {
                *held = 0;
            }
        }
    }

    fn write(&self, prefix: &str, cells: &mut dyn Cells) {
        cells.set(&cells::name(prefix, "hm", &[]), &self.meta.encode(), 0);
    }
}

/// A new node id: random bytes of the host, or two readings of its clock if it has none.
fn id(cells: &mut dyn Cells) -> [u8; 16] {
    cells.random().unwrap_or_else(|| {
        let (a, b) = (cells.monotonic(), crate::engine::hash::mix(cells.monotonic()));
        let mut out = [0; 16];
        out[..8].copy_from_slice(&a.to_le_bytes());
        out[8..].copy_from_slice(&b.to_le_bytes());
        out
    })
}
