//! Reads a store, follows its groups, and becomes the active hub.

use super::keeper::Keeper;
use super::link::Link;
use super::place::Place;
use super::scripts::{ACQUIRE, LAYOUT};
use super::{ANSWER, Keys, PAGE_ANSWER, Valkey, run};
use crate::hub::lease::{LEASE, Lease};
use crate::hub::store::{Blocked, StoreError};
use redis::cmd;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use weir::engine::wire::{self, Reader};

/// Groups read at once.
pub const AT_ONCE: usize = 16;
/// Attempts to read a checkpoint that is replaced meanwhile.
const TRIES: usize = 5;

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was read is older than the store's checkpoint: read that again.
    #[error("older than the checkpoint")]
    Behind,
    /// The error persists until somebody acts.
    #[error(transparent)]
    Blocked(Blocked),
}

/// Result of an attempt to become active.
pub enum Taken {
    /// Another hub is active.
    Held,
    /// No hub is active; the store is empty and was not before.
    Empty,
    /// This hub is active from now on.
    Mine(Arc<Lease>, Keeper),
}

/// Position and bytes of a group.
type Size = (u64, u64);

/// A reader of the store that may become the active hub.
pub struct Follower {
    link: Link,
    keys: Keys,
    seed_check: u32,
    holder: String,
    /// Number of groups that were read: the position of the next.
    position: u64,
    /// Tag of the last group that was read, if it is known.
    tag: Option<u64>,
    checkpoint: u64,
    /// Greatest lease number that was heard of.
    fence: u64,
    /// State of the store as last told: position of the next group, tag of the last.
    told: Option<(u64, u64)>,
    kept: VecDeque<Size>,
}

impl Follower {
    /// `holder`: name of this hub, unique among all.
    pub fn new(place: &Arc<Place>, policy: &str, seed_check: u32, holder: &str) -> Follower {
        Follower {
            link: Link::new(place, PAGE_ANSWER),
            keys: Keys::new(policy),
            seed_check,
            holder: holder.into(),
            position: 0,
            tag: None,
            checkpoint: 0,
            fence: 0,
            told: None,
            kept: VecDeque::new(),
        }
    }

    fn way_out(&self, what: &str) -> Blocked {
        Blocked(format!(
            "{}: {what}. The way out: put the store's backup back, or stop all hubs of this policy, remove the keys {}* and start empty \
             (what was learned is lost)",
            self.link.place().shown(),
            self.keys.prefix
        ))
    }

    /// The message if the store lacks what is needed to continue.
    pub fn missing(&self) -> Blocked {
        self.way_out(&format!("groups from {} on are missing, and others follow", self.position))
    }

    pub fn position(&self) -> u64 {
        self.position
    }
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// Reads the store's state. Changes nothing.
    pub fn look(&mut self) -> Result<(), Trouble> {
        let mut c = cmd("HMGET");
        c.arg(&self.keys.meta).arg(&["seed", "layout"]);
        let found: Vec<Option<String>> = self.link.call(&c)?;
        let is_other = |n: usize, own: &str| found.get(n).cloned().flatten().is_some_and(|w| w != own);
        if is_other(1, LAYOUT) {
            return Err(Trouble::Blocked(self.way_out("written by another version")));
        }
        if is_other(0, &self.seed_check.to_string()) {
            return Err(Trouble::Blocked(self.way_out("written under another seed")));
        }
        Ok(())
    }

    /// Tries to become active. `insist`: also if the store has been emptied.
    pub fn acquire(&mut self, insist: bool) -> Result<Taken, Trouble> {
        let asked = Instant::now();
        let text = [LEASE.as_millis().to_string(), self.seed_check.to_string(), self.fence.to_string()];
        let [ms, seed, least] = text.each_ref().map(String::as_bytes);
        let flag = |on: bool| if on { b"1" } else { b"0" };
        let args = [
            self.holder.as_bytes(),
            ms,
            seed,
            least,
            LAYOUT.as_bytes(),
            flag(insist),
            flag(self.position == 0),
        ];
        let words = run(&mut self.link, ACQUIRE, &[&self.keys.lease, &self.keys.meta], &args)?;
        let word = |n: usize| words.get(n).and_then(|w| w.as_deref());
        let number = |n: usize| word(n).and_then(|w| w.parse::<u64>().ok());
        let both = |n: usize| number(n).zip(number(n + 1));
        match word(0) {
            Some("HELD") => {
                self.fence = self.fence.max(number(2).unwrap_or(0));
                self.told = both(3);
                if let Some(position) = word(5).and_then(|c| number_of(c.split(' ').nth(2))) {
                    self.checkpoint = position.min(self.position);
                    self.kept.retain(|k| k.0 >= position);
                }
                Ok(Taken::Held)
            }
            Some("EMPTY") => Ok(Taken::Empty),
            Some("MINE") => {
                let fence = number(1).ok_or_else(|| self.failed("no number"))?;
                self.fence = fence;
                self.told = both(2);
                let lease = Arc::new(Lease::new(fence, asked));
                let keeper =
                    Keeper::start(self.link.place(), &self.keys, &self.holder, self.seed_check, &lease)
                        .map_err(|e| StoreError::Failed(e.to_string()))?;
                Ok(Taken::Mine(lease, keeper))
            }
            Some("SEED") => Err(Trouble::Blocked(self.way_out("written under another seed"))),
            Some("LAYOUT") => Err(Trouble::Blocked(self.way_out("written by another version"))),
            _ => Err(self.failed("another answer").into()),
        }
    }

    fn failed(&self, what: &str) -> StoreError {
        StoreError::Failed(format!("{}: {what}", self.link.place().shown()))
    }

    /// Reads the checkpoint, if there is one. `follow` continues after it.
    pub fn load(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        for _ in 0..TRIES {
            let mut c = cmd("HGET");
            c.arg(&self.keys.meta).arg("checkpoint");
            let text: Option<String> = self.link.call(&c)?;
            (self.tag, self.kept) = (None, VecDeque::new());
            let Some(text) = text else {
                (self.position, self.checkpoint) = (0, 0);
                return Ok(None);
            };
            let mut words = text.split(' ');
            let generation = words.next().unwrap_or_default();
            let (Some(pages), Some(position)) = (number_of(words.next()), number_of(words.next())) else {
                return Err(Trouble::Blocked(self.way_out("the checkpoint is damaged")));
            };
            if let Some(bytes) = self.pages(generation, pages)? {
                (self.position, self.checkpoint) = (position, position);
                return Ok(Some(bytes));
            }
        }
        Err(Trouble::Blocked(self.way_out("pages of the checkpoint are missing")))
    }

    /// Reads the pages of a generation; `None` if one is missing.
    fn pages(&mut self, generation: &str, pages: u64) -> Result<Option<Vec<u8>>, Trouble> {
        let mut all = Vec::new();
        for n in 0..pages {
            let mut c = cmd("GET");
            c.arg(self.keys.page(generation, usize::try_from(n).unwrap_or(usize::MAX)));
            let Some(page) = self.link.call::<Option<Vec<u8>>>(&c)? else { return Ok(None) };
            let mut r = Reader(&page);
            if r.u32() != Some(wire::checksum(r.0)) {
                return Err(Trouble::Blocked(
                    self.way_out(&format!("page {n} of the checkpoint is damaged")),
                ));
            }
            all.extend_from_slice(r.0);
        }
        Ok(Some(all))
    }

    /// Hands new groups to `each`, in order, a few at a time. Returns their number.
    pub fn follow(&mut self, mut each: impl FnMut(&[u8]) -> bool) -> Result<usize, Trouble> {
        let mut c = cmd("XRANGE");
        let from = format!("{}-0", self.position + 1);
        c.arg(&self.keys.journal).arg(from).arg("+").arg("COUNT").arg(AT_ONCE);
        let entries: Vec<(String, Vec<Vec<u8>>)> = self.link.call(&c)?;
        let n = entries.len();
        for (id, fields) in entries {
            let parts = id.split_once('-').map(|(p, t)| (number_of(Some(p)), number_of(Some(t))));
            let Some((Some(next), Some(tag))) = parts else {
                return Err(Trouble::Blocked(self.way_out(&format!("{id} is no group's id"))));
            };
            let mut r = Reader(fields.get(1).map(Vec::as_slice).unwrap_or_default());
            let (before, sum) = (r.u64(), r.u32());
            if sum != Some(wire::checksum(r.0)) {
                return Err(Trouble::Blocked(self.way_out(&format!("group {id} is damaged"))));
            }
            if next != self.position + 1 || self.tag.is_some_and(|t| before != Some(t)) {
                return Err(Trouble::Behind);
            }
            if !each(r.0) {
                return Err(Trouble::Blocked(self.way_out(&format!("group {id} is of another layout"))));
            }
            self.kept.push_back((self.position, r.0.len() as u64));
            (self.position, self.tag) = (next, Some(tag));
        }
        Ok(n)
    }

    /// True if everything that the store holds has been read. Call it only while this hub is active. False:
    /// the store holds less than was read.
    pub fn is_whole(&self) -> Result<bool, Trouble> {
        match self.told {
            Some((next, tag)) if next == self.position => {
                if self.tag.is_none_or(|t| t == tag) {
                    Ok(true)
                } else {
                    Err(Trouble::Behind)
                }
            }
            Some((next, _)) if next > self.position => Err(Trouble::Blocked(self.way_out(&format!(
                "groups {} to {} are missing",
                self.position,
                next - 1
            )))),
            _ => Ok(false),
        }
    }

    /// The store, once everything is read and this hub is active.
    pub fn into_store(self, lease: Arc<Lease>, keeper: Keeper) -> Valkey {
        let link = Link::new(self.link.place(), ANSWER);
        lease.kept(self.position);
        let tag = self.tag.or(self.told.filter(|t| t.0 == self.position).map(|t| t.1)).unwrap_or(0);
        Valkey {
            link,
            keys: self.keys,
            lease,
            keeper,
            position: self.position,
            tag,
            attempts: 0,
            written: None,
            checkpoint: self.checkpoint,
            generations: 0,
            bytes: self.kept.iter().map(|k| k.1).sum(),
            kept: self.kept,
        }
    }
}

fn number_of(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}
