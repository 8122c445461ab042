//! Decisions of people: released, allowed, denied; on keys, templates and cases, for a time. They come before
//! the verdicts of ledgers.
//!
//! Guarantees: an exception is identified by what it is of, so a second decision on the same replaces the
//! first; each expires. Memory: 4,096 ids, those of a released case's values included.

use std::collections::{BTreeMap, HashMap};
use weir::engine::ledger::Ledger;
use weir::engine::observation::{self, Observation};
use weir::engine::snapshot::{ALLOWED, DENIED, KeyEntry, RELEASED, Shard, ValueEntry};
use weir::engine::units::Nanos;
use weir::engine::value::KeyId;
use weir::engine::wire::{Reader, Writer};

/// Largest number of ids with an exception.
pub const MOST: usize = 4_096;
/// Values of a released case that get an exception of their own, at most.
pub const OF_CASE: usize = 512;
/// Longest reason, bytes.
pub const REASON_BYTES: usize = 256;

/// What an exception is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Key(u64),
    /// A value of a text or a network.
    Template(u64),
    /// Number of a campaign.
    Case(u32),
}

impl Name {
    pub fn id(self) -> u64 {
        match self {
            Name::Key(id) | Name::Template(id) => id,
            Name::Case(number) => number.into(),
        }
    }
    pub fn kind(self) -> &'static str {
        match self {
            Name::Key(_) => "key",
            Name::Template(_) => "template",
            Name::Case(_) => "case",
        }
    }
    /// The name as records and configurations write it.
    pub fn text(self) -> String {
        match self {
            Name::Key(id) => KeyId(id).to_string(),
            Name::Template(v) => value_text(v),
            Name::Case(number) => format!("{number:08x}"),
        }
    }
    fn put(self, w: &mut Writer<'_>) {
        w.u8(match self {
            Name::Key(_) => 0,
            Name::Template(_) => 1,
            Name::Case(_) => 2,
        });
        w.u64(self.id());
    }
    fn read(r: &mut Reader<'_>) -> Option<Name> {
        let (kind, id) = (r.u8()?, r.u64()?);
        match kind {
            0 => Some(Name::Key(id)),
            1 => Some(Name::Template(id)),
            2 => u32::try_from(id).ok().map(Name::Case),
            _ => None,
        }
    }
}

/// A value as lists write it: `tid:…`, `nid:…`.
pub fn value_text(v: u64) -> String {
    let network = weir::engine::value::Axis::of(v) == weir::engine::value::Axis::Network;
    format!("{}:{v:016x}", if network { "nid" } else { "tid" })
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Release,
    Allow,
    Deny,
    /// An exception ends.
    Undo,
}

impl Verb {
    /// The word in paths and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Release => "release",
            Verb::Allow => "allow",
            Verb::Deny => "deny",
            Verb::Undo => "undo",
        }
    }
    /// The number of the decision in the published shard; 0: none.
    fn code(self) -> u32 {
        match self {
            Verb::Undo => 0,
            Verb::Release => RELEASED,
            Verb::Allow => ALLOWED,
            Verb::Deny => DENIED,
        }
    }
    fn of(code: u32) -> Option<Verb> {
        [Verb::Undo, Verb::Release, Verb::Allow, Verb::Deny].into_iter().find(|v| v.code() == code)
    }
    /// True if this may be decided of `name`.
    pub fn fits(self, name: Name) -> bool {
        match (self, name) {
            (Verb::Undo | Verb::Release, _) | (_, Name::Key(_)) => true,
            (Verb::Allow, Name::Template(_)) => true,
            (Verb::Allow | Verb::Deny, _) => false,
        }
    }
}

/// A decision of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub verb: Verb,
    pub name: Name,
    /// Time of the decision, and its end, seconds of the hub's time.
    pub since_s: u32,
    pub until_s: u32,
    pub reason: String,
    /// Of a case: its confirmed values at the time of the decision.
    pub values: Vec<u64>,
}

/// Why a decision was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAct {
    /// Nothing is known of the case, or of the exception to be undone.
    #[error(
        "the hub has no such case (it may have ended), or nothing to undo; a key or a template may be released by name"
    )]
    Unknown,
    /// The limit of exceptions is reached.
    #[error("4,096 ids are released, allowed or denied: undo some, or let them end")]
    Full,
}

impl NoAct {
    /// Name in metrics and replies.
    pub fn name(&self) -> &'static str {
        match self {
            NoAct::Unknown => "unknown",
            NoAct::Full => "full",
        }
    }
}

impl Act {
    pub fn put(&self, w: &mut Writer<'_>) {
        w.u8(self.verb.code() as u8);
        self.name.put(w);
        w.u32(self.since_s);
        w.u32(self.until_s);
        w.u16(self.reason.len() as u16);
        w.0.extend_from_slice(self.reason.as_bytes());
        w.u16(self.values.len() as u16);
        self.values.iter().for_each(|v| w.u64(*v));
    }
    /// Reads an encoded decision; `None` if it is none.
    pub fn read(r: &mut Reader<'_>) -> Option<Act> {
        let (verb, name) = (Verb::of(r.u8()?.into())?, Name::read(r)?);
        let (since_s, until_s, len) = (r.u32()?, r.u32()?, r.u16()?);
        let reason = std::str::from_utf8(r.bytes(len.into())?).ok()?.to_string();
        let n = usize::from(r.u16()?);
        let mut of = Reader(r.bytes(n.checked_mul(8)?)?);
        let values = (0..n).map_while(|_| of.u64()).collect();
        Some(Act { verb, name, since_s, until_s, reason, values })
    }
}

/// All decisions in force.
#[derive(Debug, Default)]
pub struct Book {
    all: BTreeMap<Name, Act>,
    /// The strongest decision of each id, and its end.
    ids: HashMap<u64, (u32, u32)>,
    pardoned: Vec<u64>,
    ended: Vec<Act>,
    carried: bool,
    version: u32,
}

impl Book {
    /// The decisions in force, in order of their names.
    pub fn acts(&self) -> impl Iterator<Item = &Act> {
        self.all.values()
    }
    pub fn get(&self, name: Name) -> Option<&Act> {
        self.all.get(&name)
    }
    /// Number of ids with an exception.
    pub fn len(&self) -> usize {
        self.all.values().map(|a| 1 + a.values.len()).sum()
    }
    /// Version of the published shard of exceptions; never 0.
    pub fn version(&self) -> u32 {
        self.version.wrapping_add(1).max(1)
    }
    /// Keys and values that the ledger must not convict or confirm.
    pub fn pardoned(&self) -> &[u64] {
        &self.pardoned
    }
    /// The decision on an id, 0 if there is none.
    pub fn decided(&self, id: u64) -> u32 {
        self.ids.get(&id).map_or(0, |d| d.0)
    }

    /// Checks a decision. A decision on a case gets the case's present values.
    ///
    /// # Errors
    /// See `NoAct`.
    pub fn admit(&self, act: &mut Act, ledger: &Ledger) -> Result<(), NoAct> {
        let old = self.all.get(&act.name);
        if act.verb == Verb::Undo {
            return old.map(|_| ()).ok_or(NoAct::Unknown);
        }
        if let Name::Case(number) = act.name {
            act.values = ledger.values_of(number);
            // Released already, it has no values any more.
            act.values.extend(old.iter().flat_map(|o| &o.values));
            act.values.sort_unstable();
            act.values.dedup();
            act.values.truncate(OF_CASE);
            if act.values.is_empty() {
                return Err(NoAct::Unknown);
            }
        }
        let room = MOST + old.map_or(0, |o| 1 + o.values.len());
        if self.len() + 1 + act.values.len() > room { Err(NoAct::Full) } else { Ok(()) }
    }

    /// Puts a decision in force. Returns all ids that the ledger must not convict or confirm now.
    pub fn take(&mut self, act: &Act) -> Vec<u64> {
        if act.verb == Verb::Undo {
            self.all.remove(&act.name);
        } else {
            self.all.insert(act.name, act.clone());
        }
        self.index();
        self.pardoned.clone()
    }

    /// Removes decisions that have ended.
    pub fn expire(&mut self, now: Nanos) {
        let over = |a: &&Act| u64::from(a.until_s) < now.secs();
        let ended: Vec<Act> = self.all.values().filter(over).cloned().collect();
        if !ended.is_empty() {
            ended.iter().for_each(|a| drop(self.all.remove(&a.name)));
            self.ended.extend(ended);
            self.index();
        }
    }

    /// Decisions that have ended since the last call.
    pub fn ended(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.ended)
    }

    fn index(&mut self) {
        self.version = self.version.wrapping_add(1);
        self.ids.clear();
        for a in self.all.values() {
            for id in std::iter::once(a.name.id()).chain(a.values.iter().copied()) {
                let held = self.ids.entry(id).or_default();
                *held = (*held).max((a.verb.code(), a.until_s));
            }
        }
        self.pardoned = self.ids.iter().filter(|(_, d)| d.0 != DENIED).map(|(id, _)| *id).collect();
        self.pardoned.sort_unstable();
        self.carried = self.all.keys().any(|n| !matches!(n, Name::Key(_)));
    }

    /// Flags to add to an observation that was made before its node knew of these decisions.
    pub fn flags(&self, o: &Observation) -> u8 {
        if self.ids.is_empty() {
            return 0;
        }
        let lists = [o.anchors.as_slice(), o.first_anchors.as_slice(), o.matched.as_slice(), &o.nets];
        let carried = lists.into_iter().filter(|_| self.carried).flatten().map(|v| self.decided(*v)).max();
        match self.decided(o.key).max(carried.unwrap_or(0)) {
            RELEASED => observation::NO_PROMPT,
            ALLOWED => observation::ALLOWED,
            _ => 0,
        }
    }

    /// The shard of exceptions, as it is published.
    pub fn shard(&self, now: Nanos) -> Shard {
        let mut shard = Shard { now_s: u32::try_from(now.secs()).unwrap_or(u32::MAX), ..Shard::default() };
        shard.keys =
            self.ids.iter().map(|(key, d)| KeyEntry { key: *key, campaign: d.0, until_s: d.1 }).collect();
        shard.keys.sort_unstable_by_key(|k| k.key);
        let named = |a: &Act| matches!(a.name, Name::Template(_)).then(|| a.name.id());
        let carried = self.all.values().flat_map(|a| a.values.iter().copied().chain(named(a)));
        shard.values = carried.map(|value| ValueEntry { value, prior: 0.0, case: 0 }).collect();
        shard.values.sort_unstable_by_key(|v| v.value);
        shard.values.dedup_by_key(|v| v.value);
        shard
    }

    pub fn put(&self, w: &mut Writer<'_>) {
        w.u32(self.version);
        w.u32(self.all.len() as u32);
        self.all.values().for_each(|a| a.put(w));
    }

    pub fn read(r: &mut Reader<'_>) -> Option<Book> {
        let (version, n) = (r.u32()?, r.u32()?);
        let mut book = Book { version, ..Book::default() };
        for _ in 0..n {
            let act = Act::read(r)?;
            book.all.insert(act.name, act);
        }
        if book.len() > MOST {
            return None;
        }
        book.index();
        Some(book)
    }
}

#[cfg(test)]
#[path = "acts_tests.rs"]
mod tests;
