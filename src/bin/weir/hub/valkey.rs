//! A store in Valkey or Redis (also a Cluster): the journal is a stream, a checkpoint is pages and a field
//! that names them.
//!
//! The id of a group is its position and a tag that no other attempt has: the number of the active hub and a
//! count. If the outcome of an attempt is not known, the next attempt replaces what it left in the same step;
//! a late write is refused, since ids only grow. Each entry names the tag before it, so a reader notices when
//! something it has read was replaced. `scripts.rs` holds the steps and describes the keys.

mod follow;
mod keeper;
pub mod link;
pub mod place;
mod scripts;

pub use follow::{AT_ONCE, Follower, Taken, Trouble};
pub use keeper::Keeper;

use super::journal::GROUP_BYTES;
use super::lease::Lease;
use super::store::{Checkpoint, Done, Store, StoreError, StoreStatus};
use link::Link;
use redis::cmd;
use scripts::{APPEND, BEGIN, PAGE, SWITCH, TRIM};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use weir::engine::wire::{self, Writer};

/// Longest time for the store's answer to a group.
pub const ANSWER: Duration = Duration::from_secs(2);
/// The same for a page.
pub const PAGE_ANSWER: Duration = Duration::from_secs(10);
/// Longest time for replicas to take a group.
const REPLICAS: Duration = Duration::from_millis(1_500);
/// Largest page of a checkpoint, bytes.
pub const PAGE_BYTES: usize = 4 << 20;
/// Bytes around a group: tag of the one before, checksum.
const AROUND: usize = 8 + 4;

/// Names of a policy's keys. The part in braces puts all of them on one node of a cluster.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
    pub lease: String,
    pub meta: String,
    pub journal: String,
}

impl Keys {
    pub fn new(policy: &str) -> Keys {
        let of = |name: &str| format!("weir:{{{policy}}}:{name}");
        Keys { prefix: of(""), lease: of("lease"), meta: of("meta"), journal: of("journal") }
    }
    fn page(&self, generation: &str, n: usize) -> String {
        format!("{}page:{generation}:{n}", self.prefix)
    }
}

/// Answer of a script.
type Words = Vec<Option<String>>;

/// Runs a script.
fn run(link: &mut Link, script: &str, keys: &[&str], args: &[&[u8]]) -> Result<Words, StoreError> {
    let mut c = cmd("EVAL");
    c.arg(script).arg(keys.len()).arg(keys).arg(args);
    link.call(&c)
}

/// Runs a script that writes, as the active hub. Returns the second word of its answer.
fn write(
    link: &mut Link,
    lease: &Lease,
    script: &str,
    keys: &[&str],
    args: &[&[u8]],
) -> Result<Option<String>, StoreError> {
    if lease.is_over() {
        return Err(standby());
    }
    let words = run(link, script, keys, args)?;
    let word = |n: usize| words.get(n).cloned().flatten();
    match word(0).as_deref() {
        Some("OK") => Ok(word(1)),
        Some("FENCED") if word(1).is_some() => {
            lease.end();
            Err(standby())
        }
        // Nobody is active, by the store: it was emptied. The next renewal puts that right.
        Some("FENCED" | "LOST") => {
            lease.set_lost(true);
            Err(StoreError::Lost(format!(
                "{}: the store has lost groups that it had kept: it was emptied, started again, or is a replica that was behind",
                link.place().shown()
            )))
        }
        other => Err(StoreError::Failed(format!("{}: answered {other:?}", link.place().shown()))),
    }
}

pub fn standby() -> StoreError {
    StoreError::Standby("another hub is active".into())
}

/// The store of an active hub: see the module. `lease` is its right to write.
pub struct Valkey {
    link: Link,
    keys: Keys,
    lease: Arc<Lease>,
    keeper: Keeper,
    position: u64,
    /// Tag of the last group.
    tag: u64,
    attempts: u64,
    /// The group that was written and waits for `sync`: its tag and its bytes.
    written: Option<(u64, u64)>,
    checkpoint: u64,
    generations: u64,
    /// Position and bytes of the groups behind the checkpoint.
    kept: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Store for Valkey {
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError> {
        if group.len() > GROUP_BYTES {
            return Err(StoreError::Failed(format!("a group of {} bytes", group.len())));
        }
        if let Some(why) = self.lease.silence() {
            return Err(why);
        }
        self.written = None;
        self.attempts += 1;
        let tag = self.lease.fence << 32 | self.attempts & u64::from(u32::MAX);
        let mut entry = Vec::with_capacity(AROUND + group.len());
        let mut w = Writer(&mut entry);
        w.u64(self.tag);
        w.u32(wire::checksum(group));
        entry.extend_from_slice(group);
        let text = [self.lease.fence, self.position, self.position + 1, tag].map(|n| n.to_string());
        let [fence, position, next, id] = text.each_ref().map(String::as_bytes);
        let keys = [self.keys.meta.as_str(), &self.keys.journal];
        write(&mut self.link, &self.lease, APPEND, &keys, &[fence, position, next, id, &entry])?;
        self.written = Some((tag, group.len() as u64));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let Some((tag, bytes)) = self.written.take() else { return Ok(()) };
        let asked = self.link.place().replicas;
        if asked > 0 {
            let n = self.link.replicated(asked, REPLICAS)?;
            if n < u64::from(asked) {
                let shown = self.link.place().shown();
                return Err(StoreError::Slow(format!("{shown}: {n} of {asked} replicas have the group")));
            }
        }
        if let Some(why) = self.lease.silence() {
            return Err(why);
        }
        self.kept.push_back((self.position, bytes));
        self.bytes += bytes;
        self.position += 1;
        self.tag = tag;
        self.lease.kept(self.position);
        Ok(())
    }

    fn begin(&mut self) -> Result<Checkpoint, StoreError> {
        if let Some(why) = self.lease.silence() {
            return Err(why);
        }
        self.generations += 1;
        let mut writing = Writing {
            link: Link::new(self.link.place(), PAGE_ANSWER),
            keys: self.keys.clone(),
            lease: Arc::clone(&self.lease),
            generation: format!("{}-{}", self.lease.fence, self.generations),
            position: self.position,
            tag: self.tag,
            heals: self.lease.is_lost(),
        };
        Ok(Box::new(move |parts| {
            let written = writing.write(parts);
            written.inspect_err(|_| writing.drop_pages(&writing.generation.clone()))
        }))
    }

    fn cut(&mut self, done: &Done) -> Result<(), StoreError> {
        self.checkpoint = done.position;
        self.kept.retain(|k| k.0 >= done.position);
        self.bytes = self.kept.iter().map(|k| k.1).sum();
        let (fence, first) = (self.lease.fence.to_string(), format!("{}-0", done.position + 1));
        let keys = [self.keys.meta.as_str(), &self.keys.journal];
        write(&mut self.link, &self.lease, TRIM, &keys, &[fence.as_bytes(), first.as_bytes()]).map(drop)
    }

    fn status(&self) -> StoreStatus {
        StoreStatus {
            position: self.position,
            checkpoint: self.checkpoint,
            bytes: self.bytes,
            parts: 1,
            lost: self.lease.is_lost(),
        }
    }

    fn lease(&self) -> Option<Arc<Lease>> {
        Some(Arc::clone(&self.lease))
    }

    fn release(&mut self) {
        self.keeper.release();
    }
}

/// A checkpoint that is being written.
struct Writing {
    link: Link,
    keys: Keys,
    lease: Arc<Lease>,
    generation: String,
    position: u64,
    tag: u64,
    heals: bool,
}

impl Writing {
    fn write(&mut self, parts: &[Vec<u8>]) -> Result<Done, StoreError> {
        let fence = self.lease.fence.to_string();
        let (fence, generation) = (fence.as_bytes(), self.generation.clone());
        let meta = self.keys.meta.clone();
        let begun = write(&mut self.link, &self.lease, BEGIN, &[&meta], &[fence, generation.as_bytes()])?;
        if let Some(left) = begun.filter(|g| *g != generation) {
            self.drop_pages(&left);
        }
        let (mut pages, mut page) = (Vec::new(), Vec::new());
        for piece in parts.iter().flat_map(|p| p.chunks(PAGE_BYTES)) {
            let key = self.keys.page(&generation, pages.len());
            page.clear();
            Writer(&mut page).u32(wire::checksum(piece));
            page.extend_from_slice(piece);
            let args = [fence, generation.as_bytes(), &page];
            write(&mut self.link, &self.lease, PAGE, &[&meta, &key], &args)?;
            pages.push(key);
        }
        let text = format!("{generation} {} {}", pages.len(), self.position);
        let journal = self.keys.journal.clone();
        let keys: Vec<&str> =
            [meta.as_str(), &journal].into_iter().chain(pages.iter().map(String::as_str)).collect();
        let heals = if self.heals { "1" } else { "0" };
        let (position, tag) = (self.position.to_string(), self.tag.to_string());
        let args = [
            fence,
            generation.as_bytes(),
            text.as_bytes(),
            heals.as_bytes(),
            position.as_bytes(),
            tag.as_bytes(),
        ];
        let old = match write(&mut self.link, &self.lease, SWITCH, &keys, &args) {
            Err(StoreError::Slow(_) | StoreError::Down(_)) => return self.was_it_done(&text),
            other => other?,
        };
        if self.heals {
            self.lease.set_lost(false);
        }
        if let Some(old) = old.as_deref().and_then(|o| o.split(' ').next()) {
            self.drop_pages(old);
        }
        Ok(Done { position: self.position, part: 0 })
    }

    /// Finds out whether the last step had its effect, because its answer did not come.
    fn was_it_done(&mut self, text: &str) -> Result<Done, StoreError> {
        let mut c = cmd("HGET");
        c.arg(&self.keys.meta).arg("checkpoint");
        let now: Option<String> = self.link.call(&c)?;
        if now.as_deref() != Some(text) {
            return Err(StoreError::Down(format!(
                "{}: the checkpoint was not taken",
                self.link.place().shown()
            )));
        }
        if self.heals {
            self.lease.set_lost(false);
        }
        Ok(Done { position: self.position, part: 0 })
    }

    /// Deletes pages that nobody will read any more. What cannot be deleted now is deleted with a later
    /// generation.
    fn drop_pages(&mut self, generation: &str) {
        for n in 0.. {
            let mut c = cmd("UNLINK");
            c.arg(self.keys.page(generation, n));
            if !matches!(self.link.call::<u64>(&c), Ok(1..)) {
                return;
            }
        }
    }
}
