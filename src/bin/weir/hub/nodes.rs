//! Nodes that a hub has heard of: how far each ring is applied, whose clock is how far off, what each has
//! sent.
//!
//! Guarantee: a batch is taken once, by (node, ring, number). Memory: 4,096 nodes of 1.8 KiB. A new node
//! replaces the one that has been silent longest, unless that was heard of within the hour: then the new one
//! is refused.

use super::identity::{Identity, Who};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use weir::engine::units::Nanos;
use weir::engine::wire::{Reader, Writer};
use weir::node::cells::SLOTS;

/// Id of a node, of its own choice. Two are no node's: see `PEOPLE` and `NAMED`.
pub type NodeId = [u8; 16];
/// In a journalled group, in place of a node's id: a decision of people follows.
pub const PEOPLE: NodeId = [0xff; 16];
/// The same: the identity of a node id follows.
pub const NAMED: NodeId = [0xfe; 16];

/// Largest number of nodes: each may have a token of its own.
pub const NODES: usize = super::identity::TOKENS;
/// Time of silence after which a node may be replaced.
pub const SILENT: Nanos = Nanos::from_secs(3_600);
/// Identities heard of within this time count for the quorum.
const DAY: Nanos = Nanos::from_secs(86_400);
/// Measurements of a clock that are kept. Their median is used, so two bad ones in a row have no effect.
const SAMPLES: usize = 5;
/// Error of a clock above which it is told.
pub const FAR: Nanos = Nanos::from_secs(300);
/// Part of a quota that may be used at once, as a time.
const BURST: Nanos = Nanos::from_secs(2);

/// How far a ring has been taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// True if anything of it was heard.
    pub heard: bool,
    /// Number of the next batch.
    pub next: u64,
    /// Observations written into the ring before that batch.
    pub total: u64,
}

/// Counts of what a node has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Observations taken.
    pub applied: u64,
    /// Observations lost in a ring after its first batch here.
    pub lost: u64,
    /// Observations written into a ring before its first batch here.
    pub before: u64,
    /// Batches that had been taken already.
    pub duplicate: u64,
    /// Batches that cannot be decoded, or contradict earlier ones.
    pub refused: u64,
    /// Exchanges beyond the quota.
    pub over_quota: u64,
}

impl Counts {
    fn each(&mut self) -> [&mut u64; 6] {
        let Counts { applied, lost, before, duplicate, refused, over_quota } = self;
        [applied, lost, before, duplicate, refused, over_quota]
    }
    pub fn add(&mut self, other: &Counts) {
        let mut other = *other;
        for (to, from) in self.each().into_iter().zip(other.each()) {
            *to = to.saturating_add(*from);
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub rings: [Ring; SLOTS],
    pub counts: Counts,
    /// Last exchange, by the hub's own clock.
    pub contact: Nanos,
    /// Exchanges so far.
    pub contacts: u64,
    samples: [i64; SAMPLES],
    sampled: u8,
    /// True once it was told that its clock is far off.
    pub told: bool,
    /// Time at which what it has sent would have been sent at the rate of its quota.
    spent: Nanos,
    /// The identity that its id belongs to: nobody else may use it. `None` if it came with a shared token.
    pub identity: Option<Arc<Identity>>,
}

impl Default for Node {
    fn default() -> Node {
        Node {
            rings: [Ring::default(); SLOTS],
            counts: Counts::default(),
            contact: Nanos(0),
            contacts: 0,
            samples: [0; SAMPLES],
            sampled: 0,
            told: false,
            spent: Nanos(0),
            identity: None,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    New,
    Duplicate,
    Refused,
}

impl Node {
    pub fn who(&self) -> Who {
        self.identity.as_ref().map_or([0; 16], |i| i.who())
    }

    /// Takes one batch with `count` observations, or refuses it (`None`: it cannot be decoded). A refused
    /// batch is passed over: its observations are counted as lost by the next one's `first`.
    pub fn step(&mut self, ring: u8, seq: u64, first: u64, count: Option<u16>) -> Step {
        let Some(r) = self.rings.get_mut(usize::from(ring)) else { return Step::Refused };
        let counts = &mut self.counts;
        if r.heard && seq < r.next {
            counts.duplicate = counts.duplicate.saturating_add(1);
            return Step::Duplicate;
        }
        r.next = seq.saturating_add(1);
        let Some(n) = count.filter(|_| !r.heard || first >= r.total).map(u64::from) else {
            if !r.heard {
                (r.heard, r.total) = (true, first);
                counts.before = counts.before.saturating_add(first);
            }
            counts.refused = counts.refused.saturating_add(1);
            return Step::Refused;
        };
        let gap = if r.heard { &mut counts.lost } else { &mut counts.before };
        *gap = gap.saturating_add(first.saturating_sub(r.total));
        *r = Ring { heard: true, next: seq.saturating_add(1), total: first.saturating_add(n) };
        counts.applied = counts.applied.saturating_add(n);
        Step::New
    }

    /// Adds a measurement of the hub's clock minus the node's, nanoseconds. Returns the present estimate.
    pub fn sample(&mut self, ahead: i64) -> i64 {
        let at = usize::from(self.sampled) % SAMPLES;
        self.samples[at] = ahead;
        self.sampled =
            if usize::from(self.sampled) + 1 >= 2 * SAMPLES { SAMPLES as u8 } else { self.sampled + 1 };
        self.offset()
    }

    /// The hub's clock minus the node's, nanoseconds: the median of the last measurements.
    pub fn offset(&self) -> i64 {
        let n = usize::from(self.sampled).min(SAMPLES);
        let mut last = self.samples;
        last[..n].sort_unstable();
        if n == 0 { 0 } else { last[n / 2] }
    }

    pub fn is_far(&self, scale: u32) -> bool {
        self.offset().unsigned_abs() > FAR.0.saturating_mul(u64::from(scale.max(1)))
    }

    /// Charges `n` observations to a quota a second. Accepts while less than two seconds' worth are used up;
    /// the last exchange may overdraw, so that none is too large for ever.
    ///
    /// # Errors
    /// The time to wait.
    pub fn charge(&mut self, mono: Nanos, n: u64, quota: u32) -> Result<(), Nanos> {
        let ahead = self.spent.since(mono);
        if n > 0 && ahead > BURST {
            return Err(ahead.since(BURST));
        }
        let cost = n.saturating_mul(1_000_000_000) / u64::from(quota.max(1));
        self.spent = self.spent.max(mono).plus(Nanos(cost));
        Ok(())
    }

    /// Use of the quota's burst, percent; above 100 it is overdrawn.
    pub fn quota_percent(&self, mono: Nanos) -> u64 {
        self.spent.since(mono).0.saturating_mul(100) / BURST.0
    }

    fn put(&self, w: &mut Writer<'_>) {
        let mut counts = self.counts;
        counts.each().into_iter().for_each(|v| w.u64(*v));
        w.u64(self.contact.0);
        w.u64(self.contacts);
        self.samples.into_iter().for_each(|s| w.u64(s as u64));
        w.u8(self.sampled);
        w.u8(u8::from(self.told));
        w.u8(self.rings.iter().filter(|r| r.heard).count() as u8);
        for (i, r) in self.rings.iter().enumerate().filter(|(_, r)| r.heard) {
            w.u8(i as u8);
            w.u64(r.next);
            w.u64(r.total);
        }
        w.u8(u8::from(self.identity.is_some()));
        if let Some(identity) = &self.identity {
            identity.put(w);
        }
    }

    fn take(r: &mut Reader<'_>, named: bool) -> Option<Node> {
        let mut node = Node::default();
        for v in node.counts.each() {
            *v = r.u64()?;
        }
        (node.contact, node.contacts) = (Nanos(r.u64()?), r.u64()?);
        for s in &mut node.samples {
            *s = r.u64()? as i64;
        }
        (node.sampled, node.told) = (r.u8()?, r.u8()? != 0);
        for _ in 0..r.u8()? {
            let ring = node.rings.get_mut(usize::from(r.u8()?))?;
            *ring = Ring { heard: true, next: r.u64()?, total: r.u64()? };
        }
        if named && r.u8()? != 0 {
            node.identity = Some(Identity::read(r)?);
        }
        Some(node)
    }
}

/// All nodes, and changes that may not be durable yet.
#[derive(Debug, Default)]
pub struct Nodes {
    nodes: HashMap<NodeId, Box<Node>>,
    /// Nodes as they were before the group that is being written.
    before: HashMap<NodeId, Option<Box<Node>>>,
    /// Sums over nodes that were replaced.
    gone: Counts,
    gone_before: Option<Counts>,
}

impl Nodes {
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn get(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id).map(Box::as_ref)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Node)> {
        self.nodes.iter().map(|(id, n)| (id, n.as_ref()))
    }

    /// Sums over all nodes, those that were replaced included.
    pub fn totals(&self) -> Counts {
        let mut sum = self.gone;
        self.nodes.values().for_each(|n| sum.add(&n.counts));
        sum
    }

    /// Number of identities heard of within a day of the latest.
    pub fn identities(&self) -> usize {
        let last = self.nodes.values().map(|n| n.contact).max().unwrap_or(Nanos(0));
        let fresh = self.nodes.values().filter(|n| last.since(n.contact) <= DAY);
        fresh.map(|n| n.who()).collect::<BTreeSet<Who>>().len()
    }

    /// True if there is room for this node.
    pub fn admits(&self, id: &NodeId, mono: Nanos) -> bool {
        self.nodes.len() < NODES
            || self.nodes.contains_key(id)
            || self.nodes.values().any(|n| mono.since(n.contact) > SILENT)
    }

    /// Stores a node. If there is no room, it replaces the one that has been silent longest.
    pub fn set(&mut self, id: NodeId, node: Node) {
        if self.nodes.len() >= NODES
            && !self.nodes.contains_key(&id)
            && let Some(old) = self.nodes.iter().min_by_key(|(id, n)| (n.contact, **id)).map(|(id, _)| *id)
        {
            let last = self.nodes.remove(&old);
            self.gone_before.get_or_insert(self.gone);
            if let Some(n) = &last {
                self.gone.add(&n.counts);
            }
            self.before.entry(old).or_insert(last);
        }
        let last = self.nodes.insert(id, Box::new(node));
        self.before.entry(id).or_insert(last);
    }

    /// Notes that everything set since the last call is durable.
    pub fn commit(&mut self) {
        self.before.clear();
        self.gone_before = None;
    }

    /// Undoes everything set since the last `commit`.
    pub fn rollback(&mut self) {
        for (id, node) in std::mem::take(&mut self.before) {
            match node {
                Some(n) => drop(self.nodes.insert(id, n)),
                None => drop(self.nodes.remove(&id)),
            }
        }
        self.gone = self.gone_before.take().unwrap_or(self.gone);
    }

    pub fn put(&self, w: &mut Writer<'_>) {
        let mut gone = self.gone;
        gone.each().into_iter().for_each(|v| w.u64(*v));
        w.u32(self.nodes.len() as u32);
        for (id, node) in &self.nodes {
            w.0.extend_from_slice(id);
            node.put(w);
        }
    }

    /// Reads encoded nodes; `named`: their identities are included.
    pub fn take(r: &mut Reader<'_>, named: bool) -> Option<Nodes> {
        let mut all = Nodes::default();
        for v in all.gone.each() {
            *v = r.u64()?;
        }
        let n = r.u32()? as usize;
        for _ in 0..n.min(NODES) {
            let id = r.bytes(16)?.try_into().ok()?;
            all.nodes.insert(id, Box::new(Node::take(r, named)?));
        }
        (n <= NODES).then_some(all)
    }
}
