//! One node's exchange with the hub: the leader's code over cells in memory, and a network that delays and
//! loses.

use super::{Layout, Post};
use crate::apart::{Apart, STEP};
use crate::hub::identity::Identity;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::hash;
use weir::engine::units::Nanos;
use weir::node::cells::{self, Head, SHARDS};
use weir::node::exchange::REPLY_BYTES;
use weir::node::{Answer, CALL_MS, Cells, Counts, Set, Step, Uplink};

/// The cells of a proxy. Each has one writer.
#[derive(Default)]
struct Memory {
    cells: BTreeMap<String, Vec<u8>>,
    id: u64,
}

impl Cells for Memory {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.cells.get(name).map(|bytes| (bytes.clone(), 1))
    }
    fn set(&mut self, name: &str, value: &[u8], _cas: u32) -> Set {
        self.cells.insert(name.into(), value.to_vec());
        Set::Done
    }
    fn random(&mut self) -> Option<[u8; 16]> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.id.to_le_bytes());
        Some(id)
    }
    fn monotonic(&mut self) -> u64 {
        0
    }
}

/// A call under way.
struct Call {
    /// The request on its way, and when it arrives.
    request: Option<(Nanos, Vec<u8>)>,
    /// When the leader gets the answer, and its bytes; `None` if it was lost.
    answer: (Nanos, Option<Vec<u8>>),
    reply_is_lost: bool,
}

/// The exchange of one node.
pub struct Link {
    uplink: Uplink,
    /// Identity of its token: the next process at this place has the same.
    identity: Arc<Identity>,
    cells: Memory,
    head: Head,
    counts: Counts,
    /// Numbers of batches and observations so far.
    sent: (u64, u64),
    call: Option<Call>,
    /// Time of the leader's next tick.
    tick_at: Nanos,
    /// Number of the hub's publications when it last answered.
    heard_of: u64,
    /// Shards of the hub, with the times at which the workers read them.
    shards: VecDeque<(Nanos, u8, Vec<u8>)>,
}

const PREFIX: &str = "";

impl Link {
    /// The exchange of a new process. `id`: another one for each process; `place`: index of the node.
    pub fn new(config: &Config, id: u64, place: usize, now: Nanos) -> Link {
        let (mut cells, mut counts) = (Memory { id, ..Memory::default() }, Counts::default());
        let mut step = Step { config, prefix: PREFIX, cells: &mut cells, counts: &mut counts, mono: now.0 };
        let uplink = Uplink::restore(&mut step, |_| 0);
        Link {
            uplink,
            identity: Identity::of_token(&format!("node-{place}")),
            cells,
            head: Head::default(),
            counts,
            sent: (0, 0),
            call: None,
            // Processes do not tick together.
            tick_at: now.plus(Nanos(hash::mix(id) % STEP.0)),
            heard_of: 0,
            shards: VecDeque::new(),
        }
    }

    /// Observations dropped for want of room.
    #[cfg(test)]
    pub fn given_up(&self) -> u64 {
        self.counts.hub_dropped
    }

    /// Exchanges that failed.
    #[cfg(test)]
    pub fn failed(&self) -> u64 {
        self.counts.hub_failed
    }

    /// True if the hub has acknowledged everything.
    pub fn is_idle(&self) -> bool {
        self.uplink.is_idle()
    }

    /// Queues batches that are in the node's own ledger.
    pub fn push(&mut self, batches: &mut Vec<Vec<u8>>) {
        for batch in batches.drain(..) {
            let n = batch.get(8..10).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes);
            self.uplink.push(&mut self.counts, 0, self.sent.0, self.sent.1, &batch);
            self.sent = (self.sent.0 + 1, self.sent.1 + u64::from(n));
        }
    }

    /// Time at which something is next due here. A leader that has nothing to send, and would be sent nothing, need not
    /// call.
    pub fn next(&self, now: Nanos, published: u64) -> Option<Nanos> {
        match &self.call {
            Some(call) => Some(call.request.as_ref().map_or(call.answer.0, |r| r.0)),
            None if self.uplink.is_idle() && self.heard_of == published => None,
            // Ticks that had nothing to do are left out.
            None if self.tick_at.plus(STEP) < now => Some(now),
            None => Some(self.tick_at),
        }
    }

    /// Runs what is due up to a true time; the node's clock shows another one.
    pub fn run(
        &mut self,
        (now, here): (Nanos, Nanos),
        config: &Config,
        layout: &Layout,
        hub: &mut Post,
        draw: f64,
    ) {
        let Some(call) = &mut self.call else {
            self.tick_at = now.plus(STEP);
            let Some(bytes) = self.uplink.request(config, now.0, here) else { return };
            let is_lost = draw * 100.0 < layout.loss;
            let there = is_lost && draw * 200.0 < layout.loss;
            let gives_up = now.plus(Nanos::from_millis(u64::from(CALL_MS)));
            self.call = Some(Call {
                request: (!there).then(|| (now.plus(layout.delay), bytes)),
                answer: (if is_lost { gives_up } else { now.plus(layout.delay).plus(layout.delay) }, None),
                reply_is_lost: is_lost,
            });
            return;
        };
        if let Some((_, bytes)) = call.request.take() {
            let reply = hub.take(bytes, &self.identity, now);
            call.answer.1 = reply.filter(|_| !call.reply_is_lost);
            return;
        }
        let Some(Call { answer: (_, reply), .. }) = self.call.take() else { return };
        let before = self.head.hub_versions;
        let answer = (reply.as_ref().map_or(504, |_| 200), reply.as_deref().unwrap_or_default());
        let (cells, counts, head) = (&mut self.cells, &mut self.counts, &mut self.head);
        let mut step = Step { config, prefix: PREFIX, cells, counts, mono: now.0 };
        let (said, _) = self.uplink.answer(&mut step, head, answer);
        if said != Answer::Taken {
            return;
        }
        if answer.1.len() < REPLY_BYTES / 2 {
            self.heard_of = hub.published_at(now.since(layout.delay));
        }
        for i in (0..SHARDS).filter(|i| before[*i] != self.head.hub_versions[*i]) {
            let cell = self.cells.get(&cells::name(PREFIX, "f", &[i as u64]));
            if let Some((_, shard)) = cell.as_ref().and_then(|(bytes, _)| cells::unshard(bytes)) {
                self.shards.push_back((now.plus(STEP), i as u8, shard.to_vec()));
            }
        }
    }

    /// Applies the shards received so far at the workers.
    pub fn apply(&mut self, now: Nanos, node: &mut Apart) {
        let mut newest = BTreeMap::new();
        while self.shards.front().is_some_and(|(due, ..)| *due <= now) {
            let Some((_, i, shard)) = self.shards.pop_front() else { break };
            newest.insert(i, shard);
        }
        newest.values().for_each(|shard| node.apply_hub(shard));
    }
}
