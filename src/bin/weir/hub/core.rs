//! The hub itself: the ledger of all nodes, and which batches it has. No I/O and no clock: time is an
//! argument.
//!
//! An exchange is checked (`Exchange::read`), accepted into a group (`accept`: what is new of it, encoded for
//! the journal), and applied (`apply`) once the group is durable (`commit`; otherwise `rollback`). A start
//! applies the journal's groups in the same way (`replay`). The identity of a node's id stands in the journal
//! before the first group with that id. Guarantee: each applied batch was new by (node, ring, number); a
//! checkpoint holds ledger and positions of one moment.

use super::acts::{Act, Book, NoAct};
use super::exchange::Piece;
pub use super::exchange::{Exchange, Moment, Refused};
use super::group::{Entry, Other, entries, put_other};
use super::identity::Who;
use super::judged::Judged;
use super::nodes::{Counts, NAMED, Node, Nodes, PEOPLE, Step};
use super::publication::Publication;
use super::witnesses::Witnesses;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir::engine::Status;
use weir::engine::config::Config;
use weir::engine::ledger::{Ledger, Sizes};
use weir::engine::observation::Observation;
use weir::engine::outcome::Outcome;
use weir::engine::snapshot::{EXCEPTIONS, KeyEntry};
use weir::engine::units::Nanos;
use weir::engine::wire::{Reader, Writer};
use weir::node::cells::SHARDS;
use weir::node::exchange::{REPLY_BYTES, Reply};

/// Largest number of keys: the tables then take 1.2 GiB.
pub const MOST_KEYS: u32 = 10_000_000;
const MAGIC: u64 = 0x3142_5548_5249_4557;
const VERSION: u16 = 3;
/// Identities that must have seen a case before its verdicts are in force everywhere, by default.
pub const QUORUM: u8 = 2;
/// Bytes of a reply without shards: header, acknowledgements, checksum.
const AROUND: usize = 1_024;
/// Time between ticks of the ledger during a replay of the journal.
const REPLAY_TICK: Nanos = Nanos::from_secs(1);

/// Result of accepting an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Observations that are new.
    pub new: u64,
    /// True if the group has grown, so the reply must wait until it is durable.
    pub waits: bool,
    /// Error of the node's clock, milliseconds, if it is large and was not told before.
    pub far_ms: Option<i64>,
}

/// Why saved state is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadState(pub String);

/// The ledger of all nodes, and their positions.
#[derive(Debug)]
pub struct Hub {
    config: Arc<Config>,
    sizes: Sizes,
    ledger: Ledger,
    nodes: Nodes,
    book: Book,
    witnesses: Witnesses,
    judged: Judged,
    publication: Publication,
    epoch: u64,
    quota: u32,
    quorum: u8,
    ticked: Nanos,
}

/// Table sizes for a ledger of `keys` keys. Tables that grow with traffic grow with them.
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
    /// An empty hub. `epoch`: a number that no earlier start had.
    pub fn new(config: Arc<Config>, sizes: Sizes, quota: u32, epoch: u64) -> Hub {
        Hub {
            ledger: Ledger::sized(&config, sizes),
            sizes,
            nodes: Nodes::default(),
            book: Book::default(),
            witnesses: Witnesses::default(),
            judged: Judged::default(),
            publication: Publication::new(config.seed.check()),
            epoch: epoch.max(1),
            quota,
            quorum: QUORUM,
            ticked: Nanos(0),
            config,
        }
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Time of the last tick.
    pub fn ticked(&self) -> Nanos {
        self.ticked
    }
    /// Decisions of people.
    pub fn book(&self) -> &Book {
        &self.book
    }
    /// Sets the number of identities that must have seen a case before it is in force everywhere; 1: one is
    /// enough. Call it before anything is published.
    pub fn with_quorum(self, quorum: u8) -> Hub {
        Hub { quorum, ..self }
    }
    pub fn quorum(&self) -> u8 {
        self.quorum
    }
    /// Open cases that are in force only at identities that have seen them.
    pub fn withheld(&self) -> BTreeSet<u32> {
        self.publication.withheld(&self.witnesses)
    }
    /// Shards so far that were too long for a proxy's cell.
    pub fn too_long(&self) -> u64 {
        self.publication.too_long
    }
    /// Convicted keys and open cases, as last published, wherever they are in force.
    pub fn published(&self) -> (Vec<KeyEntry>, BTreeSet<u32>) {
        self.publication.verdicts()
    }
    pub fn convicted(&self) -> Vec<KeyEntry> {
        self.published().0
    }
    /// Keys whose convictions are in force everywhere, or at an edge whose log is followed: for edges that
    /// fetch a list.
    pub fn listed(&self) -> Vec<KeyEntry> {
        let of_logs = self.nodes.iter().filter(|(_, n)| n.identity.as_ref().is_some_and(|i| i.is_log()));
        let logs: BTreeSet<Who> = of_logs.map(|(_, n)| n.who()).collect();
        let holds =
            |c: u32| self.witnesses.is_everywhere(c) || logs.iter().any(|w| self.witnesses.is_at(c, w));
        let mut keys = self.convicted();
        keys.retain(|k| self.publication.is_alone() || holds(k.campaign));
        keys
    }
    /// Which identities have seen how many keys of a case.
    pub fn witnesses(&self) -> &Witnesses {
        &self.witnesses
    }
    /// Counts of requests that would have been blocked, since the start.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }
    /// Exceptions that have ended by themselves since the last call.
    pub fn ended(&mut self) -> Vec<Act> {
        self.book.ended()
    }

    /// Appends a decision of people to a group. It is in force once the group is durable and applied.
    ///
    /// # Errors
    /// See `NoAct`.
    pub fn decide(&self, act: &mut Act, at: Moment, group: &mut Vec<u8>) -> Result<(), NoAct> {
        self.book.admit(act, &self.ledger)?;
        let mut bytes = Vec::new();
        act.put(&mut Writer(&mut bytes));
        put_other(group, PEOPLE, at, &bytes);
        Ok(())
    }
    /// Counts of the tables. Cost: one pass over them.
    pub fn status(&self) -> Status {
        self.ledger.status()
    }

    /// Appends what is new of an exchange to a group. Nothing is learned before `apply`.
    ///
    /// # Errors
    /// `Quota`, `Nodes`, `Identity`, `Moved`: nothing of it is taken.
    pub fn accept<B: AsRef<[u8]>>(
        &mut self,
        x: &Exchange<B>,
        group: &mut Vec<u8>,
    ) -> Result<Accepted, Refused> {
        if x.only.is_some_and(|epoch| epoch != self.epoch) {
            return Err(Refused::Moved);
        }
        if !self.nodes.admits(&x.node, x.at.mono) {
            return Err(Refused::Nodes);
        }
        let old = self.nodes.get(&x.node);
        // A token that all share names nobody: who came with it first may show a certificate later.
        if old.is_some_and(|n| n.identity.is_some() && n.who() != x.identity.who()) {
            return Err(Refused::Identity);
        }
        let mut node = old.cloned().unwrap_or_default();
        let is_named = node.identity.is_none() && !x.identity.is_shared();
        if is_named {
            node.identity = Some(Arc::clone(&x.identity));
        }
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
        let waits = is_named || !kept.is_empty();
        if is_named {
            let mut bytes = x.node.to_vec();
            x.identity.put(&mut Writer(&mut bytes));
            put_other(group, NAMED, x.at, &bytes);
        }
        if !kept.is_empty() {
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

    /// Notes that everything accepted since the last call is durable.
    pub fn commit(&mut self) {
        self.nodes.commit();
    }

    /// Undoes everything accepted since the last `commit`.
    pub fn rollback(&mut self) {
        self.nodes.rollback();
    }

    /// Learns from a durable group. Returns its number of observations.
    pub fn apply(&mut self, group: &[u8]) -> u64 {
        let mut applied = 0u64;
        let (ledger, book, witnesses) = (&mut self.ledger, &mut self.book, &mut self.witnesses);
        let (nodes, judged) = (&self.nodes, &mut self.judged);
        let whole = entries(group, |e| {
            if let Some(Other::Act(act)) = &e.other {
                ledger.pardon(&book.take(act));
            }
            let who = nodes.get(&e.node).map(Node::who).unwrap_or_default();
            for s in e.sent.iter().filter(|s| !s.bytes.is_empty()) {
                let note = |o: &Observation, said: &Outcome| {
                    judged.note(o, said);
                    witnesses.hear(o, said, &e.node, &who, e.at);
                };
                applied += learn(ledger, book, note, s.bytes, &e);
            }
        });
        debug_assert!(whole.is_some(), "a group is what `accept` wrote");
        applied
    }

    /// Learns from a group of the journal, at a start. Returns its number of observations; `None` if it
    /// cannot be read.
    pub fn replay(&mut self, group: &[u8]) -> Option<u64> {
        let mut entries_of = Vec::new();
        entries(group, |e| entries_of.push(e))?;
        let mut applied = 0u64;
        for e in entries_of {
            if e.at.since(self.ticked) >= REPLAY_TICK {
                self.tick(e.at);
            }
            match &e.other {
                Some(Other::Act(act)) => {
                    self.ledger.pardon(&self.book.take(act));
                    continue;
                }
                Some(Other::Named(id, identity)) => {
                    let mut node = self.nodes.get(id).cloned().unwrap_or_default();
                    (node.contact, node.identity) = (node.contact.max(e.mono), Some(Arc::clone(identity)));
                    self.nodes.set(*id, node);
                    continue;
                }
                None => {}
            }
            let mut node = self.nodes.get(&e.node).cloned().unwrap_or_default();
            let who = node.who();
            node.contact = node.contact.max(e.mono);
            node.sample(e.offset);
            node.contacts = node.contacts.saturating_add(1);
            for s in &e.sent {
                let count = Some(s.count).filter(|n| *n != u16::MAX);
                if node.step(s.ring, s.seq, s.first, count) == Step::New {
                    let note = |o: &Observation, said: &Outcome| {
                        self.witnesses.hear(o, said, &e.node, &who, e.at);
                    };
                    applied += learn(&mut self.ledger, &self.book, note, s.bytes, &e);
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
        self.book.expire(now);
        self.ledger.pardon(self.book.pardoned());
        self.ledger.tick(now);
    }

    /// Encodes the shards that have changed. Returns their number. A shard that is too long for a proxy's
    /// cell stays as it was, and is counted.
    pub fn publish(&mut self) -> usize {
        let mut fresh = Vec::new();
        self.ledger.publish(|i, bytes| fresh.push((i, bytes.to_vec())));
        let changed = self.witnesses.settle(self.quorum);
        let alone = self.nodes.identities() < usize::from(self.quorum);
        let fresh = self.publication.take(fresh, &self.witnesses, changed, alone);
        let (book, now) = (&self.book, self.ticked);
        fresh + usize::from(self.publication.exceptions(book.version(), || book.shard(now)))
    }

    /// Encodes the reply to an exchange: what is durable of the node's rings, and the shards that it lacks,
    /// as many as fit. The first shard differs each time, so that none waits forever behind those that always
    /// change.
    pub fn reply<B>(&self, x: &Exchange<B>, period_ms: u32, out: &mut Vec<u8>) {
        let node = self.nodes.get(&x.node);
        let rings = node.map(|n| n.rings).into_iter().flatten().enumerate();
        let acks = rings.filter(|(_, r)| r.heard).map(|(i, r)| (i as u8, r.next)).collect();
        let start = node.map_or(0, |n| n.contacts as usize) % SHARDS;
        let who = node.map(Node::who).unwrap_or_default();
        let own = self.witnesses.has_own(&who);
        let (mut told, mut room) = (Vec::new(), REPLY_BYTES - AROUND);
        // What people have decided comes first.
        for i in std::iter::once(EXCEPTIONS).chain(start..SHARDS).chain(0..start) {
            let (version, Some(held)) = (self.publication.version(i), x.held.get(i)) else { continue };
            if version == 0 || (x.hub_epoch == self.epoch && *held == version) {
                continue;
            }
            let (_, bytes) = self.publication.of(i, &who, own, &self.witnesses);
            let size = bytes.len() + 9;
            if size <= room {
                room -= size;
                told.push((i as u8, version, bytes));
            }
        }
        let shards = told.iter().map(|(i, version, bytes)| (*i, *version, bytes.as_ref())).collect();
        let offset_ms = node.map_or(0, Node::offset) / 1_000_000;
        let check = self.config.seed.check();
        Reply { seed_check: check, hub_epoch: self.epoch, period_ms, offset_ms, acks, shards }.encode(out);
    }

    /// Writes a checkpoint: ledger, nodes and positions of this moment, in parts to be joined in order.
    /// `parts` are replaced; the first holds the nodes, each other is filled by a thread of its own. Only
    /// what was committed and applied may be in it.
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
        self.book.put(&mut w);
        self.witnesses.put(&mut w);
        w.u32(pages);
    }

    /// Restores a checkpoint under a new epoch. Tables keep their saved sizes.
    ///
    /// # Errors
    /// Another version, seed or policy, or damage.
    pub fn restore(config: Arc<Config>, bytes: &[u8], quota: u32, epoch: u64) -> Result<Hub, BadState> {
        let bad = |what: &str| BadState(what.into());
        let mut r = Reader(bytes);
        let (Some(MAGIC), Some(version @ 1..=VERSION)) = (r.u64(), r.u16()) else {
            return Err(bad("another layout"));
        };
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
            // A hub of before knew no identities, and one of before that no decisions.
            let nodes = Nodes::take(&mut r, version > 2)?;
            let people = match version {
                1 => Default::default(),
                _ => (Book::read(&mut r)?, Witnesses::read(&mut r, version > 2)?),
            };
            Some((last, ticked, sizes, (nodes, people), r.u32()?))
        };
        let (last, ticked, sizes, (nodes, people), pages) =
            head().filter(|h| is_sound(&h.2)).ok_or_else(|| bad("damaged"))?;
        let mut hub = Hub::new(config, sizes, quota, epoch.max(last.saturating_add(1)));
        (hub.nodes, (hub.book, hub.witnesses), hub.ticked) = (nodes, people, Nanos(ticked));
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

/// The hub's clock minus a node's, nanoseconds.
fn ahead(now: Nanos, clock: Nanos) -> i64 {
    let ahead = i128::from(now.0) - i128::from(clock.0);
    ahead.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// A node's time on the hub's clock, limited to the time of arrival: a node cannot push the ledger's clock
/// forward.
fn rebased(t: Nanos, e: &Entry<'_>) -> Nanos {
    Nanos(t.0.saturating_add_signed(e.offset)).min(e.at)
}

/// Learns from a batch. Returns its number of observations. Nothing is learned of what people have released
/// or allowed, whatever the node knew at the time. `note` gets each observation with the ledger's answer.
fn learn(
    ledger: &mut Ledger,
    book: &Book,
    mut note: impl FnMut(&Observation, &Outcome),
    batch: &[u8],
    e: &Entry<'_>,
) -> u64 {
    let here =
        |o: &Observation| Observation { time: rebased(o.time, e), flags: o.flags | book.flags(o), ..*o };
    let seen = |o: &Observation, said: Outcome| note(o, &said);
    ledger.observe_as(batch, here, seen).unwrap_or(0).into()
}

#[cfg(test)]
#[path = "liar_tests.rs"]
mod liar_tests;
#[cfg(test)]
#[path = "measure_tests.rs"]
mod measure_tests;
#[cfg(test)]
#[path = "model_tests.rs"]
mod model_tests;
#[cfg(test)]
#[path = "people_tests.rs"]
mod people_tests;
#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
