//! The hub itself: the ledger of all nodes, and who has sent what. No I/O and no clock: time is an argument.
//!
//! An exchange is checked (`Exchange::read`), accepted into a group (`accept`: what is new of it, encoded as it is journalled),
//! and applied (`apply`) once the group is durable (`commit`; else `rollback`). A start applies the journal's groups in the same way
//! (`replay`). Guarantee: what is applied was new by (node, ring, number); the checkpoint holds ledger and positions of one moment.

use super::nodes::{Counts, Node, NodeId, Nodes, Step};
use std::ops::Range;
use std::sync::Arc;
use weir::engine::Status;
use weir::engine::config::Config;
use weir::engine::ledger::{Ledger, Sizes};
use weir::engine::observation;
use weir::engine::units::Nanos;
use weir::engine::wire::{self, Reader, Writer};
use weir::node::cells::{HUB_SHARD_BYTES, SHARDS};
use weir::node::exchange::{REPLY_BYTES, REQUEST_BYTES, Reply, Request};

/// Keys at most: the tables then take 1.2 GiB.
pub const MOST_KEYS: u32 = 10_000_000;
const MAGIC: u64 = 0x3142_5548_5249_4557;
const VERSION: u16 = 1;
/// Around a reply's shards: header, acknowledgements, checksum.
const AROUND: usize = 1_024;
/// The journal is replayed with a tick of the ledger every so often.
const REPLAY_TICK: Nanos = Nanos::from_secs(1);

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Time of observations: the wall clock, scaled as the proxies' (`demo.time_scale`).
    pub now: Nanos,
    /// A clock that does not step, for quotas and silence.
    pub mono: Nanos,
}

/// Why an exchange was refused: nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Malformed,
    Version(u16),
    Checksum,
    Seed,
    Policy,
    TooLong,
    Quota(Nanos),
    Nodes,
}

impl Refused {
    pub fn name(&self) -> &'static str {
        match self {
            Refused::Malformed => "malformed",
            Refused::Version(_) => "version",
            Refused::Checksum => "checksum",
            Refused::Seed => "seed",
            Refused::Policy => "policy",
            Refused::TooLong => "too_long",
            Refused::Quota(_) => "quota",
            Refused::Nodes => "nodes",
        }
    }
    pub fn message(&self) -> String {
        match self {
            Refused::Malformed => "not an exchange, cut short, or with something behind it".into(),
            Refused::Version(v) => {
                format!("layout version {v} is not ours: upgrade the hub first, then the proxies")
            }
            Refused::Checksum => "damaged: the checksum does not match".into(),
            Refused::Seed => "written under another seed: proxies and hub need the same `seed`".into(),
            Refused::Policy => {
                "another policy: a hub serves one, named by `policy` of its configuration".into()
            }
            Refused::TooLong => format!("longer than {REQUEST_BYTES} bytes"),
            Refused::Quota(wait) => {
                format!("more observations than --node-quota allows; room in {} ms", wait.millis() + 1)
            }
            Refused::Nodes => "no room for another node: all were heard of within the hour".into(),
        }
    }
}

/// A batch of an exchange.
#[derive(Clone, Debug)]
struct Piece {
    ring: u8,
    seq: u64,
    first: u64,
    at: Range<usize>,
    /// Observations; `None` if it does not decode.
    count: Option<u16>,
}

/// An exchange that is ours and whole.
#[derive(Clone, Debug)]
pub struct Exchange<B> {
    body: B,
    pub node: NodeId,
    clock: Nanos,
    hub_epoch: u64,
    held: [u32; SHARDS],
    pieces: Vec<Piece>,
    /// When it came.
    pub at: Moment,
}

impl<B: AsRef<[u8]>> Exchange<B> {
    /// Checks all that needs no state: any thread may.
    ///
    /// # Errors
    /// See `Refused`.
    pub fn read(body: B, config: &Config, at: Moment) -> Result<Exchange<B>, Refused> {
        let bytes = body.as_ref();
        if bytes.len() > REQUEST_BYTES {
            return Err(Refused::TooLong);
        }
        let r = Request::decode(bytes).map_err(|e| match e {
            wire::Refused::Version(v) => Refused::Version(v),
            wire::Refused::Checksum => Refused::Checksum,
            wire::Refused::Malformed | wire::Refused::Seed => Refused::Malformed,
        })?;
        let check = config.seed.check();
        if r.seed_check != check {
            return Err(Refused::Seed);
        }
        if r.policy != config.policy {
            return Err(Refused::Policy);
        }
        let piece = |b: &weir::node::exchange::Sent<'_>| {
            let from = (b.bytes.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
            Piece {
                ring: b.ring,
                seq: b.seq,
                first: b.first,
                at: from..from + b.bytes.len(),
                count: observation::decode(b.bytes, check, |_| ()).ok(),
            }
        };
        let pieces = r.batches.iter().map(piece).collect();
        let Request { node, clock, hub_epoch, held, .. } = r;
        Ok(Exchange { body, node, clock, hub_epoch, held, pieces, at })
    }
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Observations that are new.
    pub new: u64,
    /// The group has grown: the reply waits until it is durable.
    pub waits: bool,
    /// The node's clock is far off, and that is news: by so many milliseconds.
    pub far_ms: Option<i64>,
}

/// A shard as published.
#[derive(Clone, Debug, Default)]
struct Published {
    version: u32,
    bytes: Vec<u8>,
}

/// Why what was saved is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadState(pub String);

/// See the module.
#[derive(Debug)]
pub struct Hub {
    config: Arc<Config>,
    sizes: Sizes,
    ledger: Ledger,
    nodes: Nodes,
    shards: Vec<Published>,
    epoch: u64,
    quota: u32,
    ticked: Nanos,
    /// Shards that no cell of a proxy can hold, so far.
    pub too_long: u64,
}

/// The tables of a hub for so many keys: what else grows with traffic grows with them.
pub fn sizes(config: &Config, keys: u32) -> Sizes {
    let own = Sizes::of(config);
    let keys = keys.clamp(own.keys, MOST_KEYS).next_power_of_two();
    let more = (keys / own.keys.max(1)).max(1);
    let bits = u8::try_from(more.ilog2()).unwrap_or(0);
    Sizes {
        keys,
        groups: own.groups.saturating_mul(more).min(16_384),
        doorkeeper_bits: own.doorkeeper_bits.saturating_add(bits).min(22),
        novelty_bits: own.novelty_bits.saturating_add(bits).min(22),
    }
}

fn is_sound(s: &Sizes) -> bool {
    s.keys <= MOST_KEYS.next_power_of_two() && Sizes { keys: s.keys.min(131_072), ..*s }.is_sound()
}

impl Hub {
    /// An empty one. `epoch` is another at every start.
    pub fn new(config: Arc<Config>, sizes: Sizes, quota: u32, epoch: u64) -> Hub {
        Hub {
            ledger: Ledger::sized(&config, sizes),
            sizes,
            nodes: Nodes::default(),
            shards: vec![Published::default(); SHARDS],
            epoch: epoch.max(1),
            quota,
            ticked: Nanos(0),
            too_long: 0,
            config,
        }
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }
    #[cfg(test)]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
    /// Counts of the tables: one pass over them.
    pub fn status(&self) -> Status {
        self.ledger.status()
    }

    /// Appends what is new of an exchange to a group. Nothing is learned before `apply`.
    ///
    /// # Errors
    /// `Quota`, `Nodes`: nothing of it is taken.
    pub fn accept<B: AsRef<[u8]>>(
        &mut self,
        x: &Exchange<B>,
        group: &mut Vec<u8>,
    ) -> Result<Accepted, Refused> {
        if !self.nodes.admits(&x.node, x.at.mono) {
            return Err(Refused::Nodes);
        }
        let old = self.nodes.get(&x.node);
        let mut node = old.cloned().unwrap_or_default();
        node.contact = node.contact.max(x.at.mono);
        node.contacts = node.contacts.saturating_add(1);
        let had = node.counts.applied;
        let steps: Vec<Step> = x.pieces.iter().map(|p| node.step(p.ring, p.seq, p.first, p.count)).collect();
        let new = node.counts.applied.saturating_sub(had);
        if let Err(wait) = node.charge(x.at.mono, new, self.quota) {
            let mut node = old.cloned().unwrap_or_default();
            node.contact = node.contact.max(x.at.mono);
            node.counts.over_quota = node.counts.over_quota.saturating_add(1);
            self.nodes.set(x.node, node);
            return Err(Refused::Quota(wait));
        }
        let offset = node.sample(ahead(x.at.now, x.clock));
        let is_far = node.is_far(self.config.time_scale);
        let far_ms = (is_far && !node.told).then_some(offset / 1_000_000);
        node.told = is_far;
        let kept: Vec<(&Piece, Step)> =
            x.pieces.iter().zip(steps).filter(|(_, s)| *s != Step::Duplicate).collect();
        let waits = !kept.is_empty();
        if waits {
            let mut w = Writer(group);
            w.0.extend_from_slice(&x.node);
            w.u64(x.at.now.0);
            w.u64(x.at.mono.0);
            w.u64(offset as u64);
            w.u16(kept.len() as u16);
            for (p, step) in kept {
                // Of what is refused its number is kept, and nothing else.
                let bytes =
                    x.body.as_ref().get(p.at.clone()).filter(|_| step == Step::New).unwrap_or_default();
                w.u8(p.ring);
                w.u64(p.seq);
                w.u64(p.first);
                w.u16(p.count.filter(|_| step == Step::New).unwrap_or(u16::MAX));
                w.u32(bytes.len() as u32);
                w.0.extend_from_slice(bytes);
            }
        }
        self.nodes.set(x.node, node);
        Ok(Accepted { new, waits, far_ms })
    }

    /// The group that was accepted since the last call is durable.
    pub fn commit(&mut self) {
        self.nodes.commit();
    }

    /// It is not: what was accepted since the last `commit` was not.
    pub fn rollback(&mut self) {
        self.nodes.rollback();
    }

    /// Learns from a durable group; how many observations.
    pub fn apply(&mut self, group: &[u8]) -> u64 {
        let mut applied = 0u64;
        let ledger = &mut self.ledger;
        let whole = entries(group, |e| {
            for s in e.sent.iter().filter(|s| !s.bytes.is_empty()) {
                applied += u64::from(ledger.observe_rebased(s.bytes, |t| rebased(t, &e)).unwrap_or(0));
            }
        });
        debug_assert!(whole.is_some(), "a group is what `accept` wrote");
        applied
    }

    /// Takes a group of the journal, at a start. `None`: it is none of ours.
    pub fn replay(&mut self, group: &[u8]) -> Option<u64> {
        let mut entries_of = Vec::new();
        entries(group, |e| entries_of.push(e))?;
        let mut applied = 0u64;
        for e in entries_of {
            if e.at.since(self.ticked) >= REPLAY_TICK {
                self.tick(e.at);
            }
            let mut node = self.nodes.get(&e.node).cloned().unwrap_or_default();
            node.contact = node.contact.max(e.mono);
            node.sample(e.offset);
            node.contacts = node.contacts.saturating_add(1);
            for s in &e.sent {
                let count = Some(s.count).filter(|n| *n != u16::MAX);
                if node.step(s.ring, s.seq, s.first, count) == Step::New {
                    applied +=
                        u64::from(self.ledger.observe_rebased(s.bytes, |t| rebased(t, &e)).unwrap_or(0));
                }
            }
            self.nodes.set(e.node, node);
        }
        self.nodes.commit();
        Some(applied)
    }

    /// Ageing and expiry. Any rate is fine.
    pub fn tick(&mut self, now: Nanos) {
        self.ticked = now;
        self.ledger.tick(now);
    }

    /// Encodes the shards that have changed; how many. A shard that no cell of a proxy can hold stays as it was, and is counted.
    pub fn publish(&mut self) -> usize {
        let (shards, too_long) = (&mut self.shards, &mut self.too_long);
        let mut fresh = 0;
        self.ledger.publish(|i, bytes| {
            let Some(shard) = shards.get_mut(usize::from(i)) else { return };
            if bytes.len() > HUB_SHARD_BYTES {
                *too_long = too_long.saturating_add(1);
                return;
            }
            shard.version = shard.version.wrapping_add(1).max(1);
            shard.bytes.clear();
            shard.bytes.extend_from_slice(bytes);
            fresh += 1;
        });
        fresh
    }

    /// Encodes the reply to an exchange: what is durable of the node's rings, and the shards that it lacks, as many as fit. Another
    /// shard comes first each time, so that none waits for ever behind those that always change.
    pub fn reply<B>(&self, x: &Exchange<B>, period_ms: u32, out: &mut Vec<u8>) {
        let node = self.nodes.get(&x.node);
        let rings = node.map(|n| n.rings).into_iter().flatten().enumerate();
        let acks = rings.filter(|(_, r)| r.heard).map(|(i, r)| (i as u8, r.next)).collect();
        let start = node.map_or(0, |n| n.contacts as usize) % SHARDS;
        let (mut shards, mut room) = (Vec::new(), REPLY_BYTES - AROUND);
        for i in (start..SHARDS).chain(0..start) {
            let (Some(s), Some(held)) = (self.shards.get(i), x.held.get(i)) else { continue };
            let lacks = s.version != 0 && (x.hub_epoch != self.epoch || *held != s.version);
            let size = s.bytes.len() + 9;
            if lacks && size <= room {
                room -= size;
                shards.push((i as u8, s.version, s.bytes.as_slice()));
            }
        }
        let offset_ms = node.map_or(0, Node::offset) / 1_000_000;
        let check = self.config.seed.check();
        Reply { seed_check: check, hub_epoch: self.epoch, period_ms, offset_ms, acks, shards }.encode(out);
    }

    /// Everything: ledger, nodes and positions of this moment, in parts that make the whole one behind the other. `parts` are filled
    /// anew, the first with the nodes, each other by a thread of its own. Only what was committed and applied may be in it.
    pub fn checkpoint(&self, parts: &mut Vec<Vec<u8>>) {
        parts.resize_with(parts.len().max(2), Vec::new);
        let pages = self.ledger.page_count();
        let Some((head, tables)) = parts.split_first_mut() else { return };
        self.put_head(head, pages);
        let each = pages.div_ceil(tables.len() as u32);
        std::thread::scope(|scope| {
            for (i, out) in (0u32..).zip(tables) {
                scope.spawn(move || {
                    let mut page = Vec::new();
                    out.clear();
                    for at in i * each..pages.min((i + 1) * each) {
                        self.ledger.write_page(at, &mut page);
                        Writer(out).u32(page.len() as u32);
                        out.extend_from_slice(&page);
                    }
                });
            }
        });
    }

    fn put_head(&self, out: &mut Vec<u8>, pages: u32) {
        out.clear();
        let mut w = Writer(out);
        w.u64(MAGIC);
        w.u16(VERSION);
        w.u32(self.config.seed.check());
        w.u8(self.config.policy.len() as u8);
        w.0.extend_from_slice(self.config.policy.as_bytes());
        w.u64(self.epoch);
        w.u64(self.ticked.0);
        let s = &self.sizes;
        w.u32(s.keys);
        w.u32(s.groups);
        w.u8(s.doorkeeper_bits);
        w.u8(s.novelty_bits);
        self.nodes.put(&mut w);
        w.u32(pages);
    }

    /// What `checkpoint` wrote, under an epoch that is another. The tables keep the sizes that they had.
    ///
    /// # Errors
    /// Not ours: another version, seed or policy; or damaged.
    pub fn restore(config: Arc<Config>, bytes: &[u8], quota: u32, epoch: u64) -> Result<Hub, BadState> {
        let bad = |what: &str| BadState(what.into());
        let mut r = Reader(bytes);
        if (r.u64(), r.u16()) != (Some(MAGIC), Some(VERSION)) {
            return Err(bad("another layout"));
        }
        if r.u32() != Some(config.seed.check()) {
            return Err(bad("written under another seed"));
        }
        let name = r.u8().and_then(|n| r.bytes(usize::from(n)));
        if name != Some(config.policy.as_bytes()) {
            return Err(bad("of another policy"));
        }
        let mut head = || {
            let (last, ticked) = (r.u64()?, r.u64()?);
            let sizes =
                Sizes { keys: r.u32()?, groups: r.u32()?, doorkeeper_bits: r.u8()?, novelty_bits: r.u8()? };
            Some((last, ticked, sizes, Nodes::take(&mut r)?, r.u32()?))
        };
        let (last, ticked, sizes, nodes, pages) =
            head().filter(|h| is_sound(&h.2)).ok_or_else(|| bad("damaged"))?;
        let mut hub = Hub::new(config, sizes, quota, epoch.max(last.saturating_add(1)));
        (hub.nodes, hub.ticked) = (nodes, Nanos(ticked));
        if pages != hub.ledger.page_count() {
            return Err(bad("of another table layout"));
        }
        for i in 0..pages {
            let page = r.u32().and_then(|n| r.bytes(n as usize)).ok_or_else(|| bad("cut short"))?;
            hub.ledger.read_page(i, page).map_err(|e| BadState(format!("page {i}: {e}")))?;
        }
        if !r.0.is_empty() {
            return Err(bad("something stands behind it"));
        }
        hub.ledger.finish_restore();
        Ok(hub)
    }

    /// Sums over all nodes.
    pub fn totals(&self) -> Counts {
        self.nodes.totals()
    }
}

/// How far the hub's clock is ahead of a node's, nanoseconds.
fn ahead(now: Nanos, clock: Nanos) -> i64 {
    let ahead = i128::from(now.0) - i128::from(clock.0);
    ahead.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// A node's time on the hub's clock. Nothing was observed after it came here: a node cannot push the ledger's clock forward.
fn rebased(t: Nanos, e: &Entry<'_>) -> Nanos {
    Nanos(t.0.saturating_add_signed(e.offset)).min(e.at)
}

/// What is new of an exchange, as it stands in a group.
#[derive(Debug)]
struct Entry<'a> {
    node: NodeId,
    at: Nanos,
    mono: Nanos,
    offset: i64,
    sent: Vec<Kept<'a>>,
}

#[derive(Debug)]
struct Kept<'a> {
    ring: u8,
    seq: u64,
    first: u64,
    /// `u16::MAX`: it was refused.
    count: u16,
    bytes: &'a [u8],
}

/// Reads a group. `None`: it is cut or is none.
fn entries<'a>(group: &'a [u8], mut each: impl FnMut(Entry<'a>)) -> Option<()> {
    let mut r = Reader(group);
    while !r.0.is_empty() {
        let node = r.bytes(16)?.try_into().ok()?;
        let (at, mono, offset) = (Nanos(r.u64()?), Nanos(r.u64()?), r.u64()? as i64);
        let n = usize::from(r.u16()?);
        let mut sent = Vec::with_capacity(n);
        for _ in 0..n {
            let (ring, seq, first, count) = (r.u8()?, r.u64()?, r.u64()?, r.u16()?);
            let len = r.u32()?;
            sent.push(Kept { ring, seq, first, count, bytes: r.bytes(len as usize)? });
        }
        each(Entry { node, at, mono, offset, sent });
    }
    Some(())
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod measure_tests;
#[cfg(test)]
#[path = "model_tests.rs"]
mod model_tests;
#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
