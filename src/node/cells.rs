//! Names and layouts of the shared cells. Every layout ends in a checksum; a cell that does not fit counts as absent.
//!
//! | cell | writer | bytes | content |
//! |---|---|---|---|
//! | `H` | leader by CAS each tick, candidates by CAS | 575 | lease: who, epoch, beat, state, ranks; versions of 64 shards, and of the hub's; the hub's clock |
//! | `n` | every VM once, by CAS | 8 | VMs so far: their numbers |
//! | `v/0..63` | leader | at most `SHARD_BYTES` | epoch, one snapshot shard |
//! | `f/0..64` | leader | at most `HUB_SHARD_BYTES` | its version in the head, one shard of the hub's snapshot; the last: exceptions |
//! | `hm` | leader, after each exchange | 805 | node id, the hub's epoch and versions held, what it has acknowledged of each ring |
//! | `s/0..63` | its owner, each tick, by CAS | 46 | who, batches and observations so far, time |
//! | `r/SLOT/0..127` | its owner | at most `CELL_BYTES` | one batch of observations |
//! | `c/0..` | leader | at most `PAGE_BYTES` | checkpoint pages |
//! | `cm` | leader, each tick | 1,047 | how far each ring is in the ledger, table sizes |
//! | `p` | leader, around each batch | 22 | the batch that is being applied |

use crate::engine::config::Config;
use crate::engine::ledger::Sizes;
use crate::engine::wire::{self, Reader, Writer};

/// Layout version of all cells. It is part of their names, so that code of another layout learns apart.
pub const SCHEMA: u8 = 4;
/// Rings: VMs that can send at the same time, those whose ring is still read included.
pub const SLOTS: usize = 64;
/// Batches in a ring. An observation is 70 to 600 bytes, a batch holds 45 to 200 of them. At 2,500
/// observations a second and worker this is four seconds, longer than a take-over (three seconds). While
/// nobody leads batches are written less often.
pub const RING: u64 = 128;
/// Largest ring cell, bytes: a full batch (`PENDING_BYTES`), its last observation, headers.
pub const CELL_BYTES: usize = 16 << 10;
/// Largest checkpoint page, bytes.
pub const PAGE_BYTES: usize = 16 << 10;
/// Largest shard cell, bytes: the filter of known keys (2 KiB), and room for every key of a table of 131,072
/// convicted.
pub const SHARD_BYTES: usize = 64 << 10;
/// Largest cell of a hub's shard, bytes: four times as many keys as a node's.
pub const HUB_SHARD_BYTES: usize = 256 << 10;
/// Shards of a node's snapshot.
pub const SHARDS: usize = crate::engine::snapshot::SHARDS;
/// Shards of a hub's snapshot.
pub const HUB_SHARDS: usize = crate::engine::snapshot::HUB_SHARDS;

const HEAD_BYTES: usize = 575;
const SLOT_BYTES: usize = 46;
const META_BYTES: usize = 1_047;
const HUB_META_BYTES: usize = 805;
const PROGRESS_BYTES: usize = 22;

/// Each kind of cell with the largest number of its cells and their largest size, bytes: those of the policy,
/// then (the last two) those of each VM. `pages`: of the configured ledger. `hub`: false if there is none,
/// whose cells then hold nothing.
pub fn table(pages: u32, hub: bool) -> [(&'static str, u64, usize); 10] {
    let of_hub = |n: u64| if hub { n } else { 0 };
    [
        ("H", 1, HEAD_BYTES),
        ("n", 1, 8),
        ("p", 1, PROGRESS_BYTES),
        ("cm", 1, META_BYTES),
        ("c", u64::from(pages), PAGE_BYTES),
        ("v", SHARDS as u64, SHARD_BYTES.saturating_add(8)),
        ("f", of_hub(HUB_SHARDS as u64), HUB_SHARD_BYTES.saturating_add(8)),
        ("hm", of_hub(1), HUB_META_BYTES),
        ("s", 1, SLOT_BYTES),
        ("r", RING, CELL_BYTES),
    ]
}

/// State of the lease: free, because its holder has left or there was none.
pub const FREE: u8 = 0;
/// State of the lease: held.
pub const LED: u8 = 1;
/// State of the lease: its holder has checkpointed everything and waits for a successor.
pub const YIELDED: u8 = 2;

/// Name of a cell: a policy's prefix, a kind and numbers.
pub fn name(prefix: &str, kind: &str, numbers: &[u64]) -> String {
    let mut out = String::with_capacity(prefix.len().saturating_add(16));
    out.push_str(prefix);
    out.push_str(kind);
    for n in numbers {
        out.push('/');
        decimal(*n, &mut out);
    }
    out
}

/// Are two cells the same? By words of eight bytes: wasm has no instruction for it, and what the linker brings goes byte by byte (27
/// instructions each; decoding takes less).
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let (words_a, rest_a) = a.as_chunks::<8>();
    let (words_b, rest_b) = b.as_chunks::<8>();
    let differ = words_a
        .iter()
        .zip(words_b)
        .fold(0, |differ, (a, b)| differ | (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)));
    a.len() == b.len() && differ == 0 && rest_a == rest_b
}

fn decimal(n: u64, out: &mut String) {
    if n >= 10 {
        decimal(n / 10, out);
    }
    out.push(char::from(b'0'.wrapping_add((n % 10) as u8)));
}

/// Prefix of a policy's cells, `weir1/SCHEMA/POLICY/SEED/`: nothing is shared between policies, nor between
/// seeds of one policy.
pub fn prefix(config: &Config) -> String {
    let mut out = String::from("weir1/");
    decimal(u64::from(SCHEMA), &mut out);
    out.push('/');
    out.push_str(&config.policy);
    out.push('/');
    decimal(u64::from(config.seed.check()), &mut out);
    out.push('/');
    out
}

/// Appends the checksum.
fn seal(mut out: Vec<u8>) -> Vec<u8> {
    wire::seal(&mut out);
    out
}

/// The bytes before a good checksum, after the kind.
fn open(bytes: &[u8], kind: u8) -> Option<Reader<'_>> {
    let (mut r, sound) = wire::unseal(bytes)?;
    (sound && r.u8() == Some(kind)).then_some(r)
}

/// `H`: the lease, and the versions of what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the VM that leads.
    pub uid: u64,
    /// Take-overs so far.
    pub epoch: u64,
    /// Heartbeats in this epoch.
    pub beat: u64,
    /// `FREE`, `LED`, `YIELDED`.
    pub state: u8,
    /// True if the leader's VM also serves requests.
    pub serving: bool,
    /// Rank of the leader's code: of two builds the higher one leads.
    pub rank: u32,
    /// Rank of a VM with newer code that waits to lead, 0 if none.
    pub want: u32,
    /// Time of the last publication, nanoseconds of the monotonic clock.
    pub published: u64,
    /// Version of each shard.
    pub versions: [u32; SHARDS],
    /// Version of each shard of the hub, 0 if there is none.
    pub hub_versions: [u32; HUB_SHARDS],
    /// The hub's clock minus the node's, milliseconds.
    pub hub_ahead_ms: i64,
}

impl Default for Head {
    fn default() -> Head {
        Head {
            uid: 0,
            epoch: 0,
            beat: 0,
            state: FREE,
            serving: false,
            rank: 0,
            want: 0,
            published: 0,
            versions: [0; SHARDS],
            hub_versions: [0; HUB_SHARDS],
            hub_ahead_ms: 0,
        }
    }
}

impl Head {
    /// Encodes the cell.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        let mut w = Writer(&mut out);
        w.u8(b'H');
        w.u64(self.uid);
        w.u64(self.epoch);
        w.u64(self.beat);
        w.u8(self.state);
        w.u8(u8::from(self.serving));
        w.u32(self.rank);
        w.u32(self.want);
        w.u64(self.published);
        w.u32(0);
        self.versions.into_iter().chain(self.hub_versions).for_each(|v| w.u32(v));
        w.u64(self.hub_ahead_ms as u64);
        seal(out)
    }
    /// Decodes the cell; `None` if it is damaged or of another layout.
    pub fn decode(bytes: &[u8]) -> Option<Head> {
        let mut r = open(bytes, b'H')?;
        let mut head = Head {
            uid: r.u64()?,
            epoch: r.u64()?,
            beat: r.u64()?,
            state: r.u8()?,
            serving: r.u8()? != 0,
            rank: r.u32()?,
            want: r.u32()?,
            published: r.u64()?,
            ..Head::default()
        };
        r.u32()?;
        for v in head.versions.iter_mut().chain(&mut head.hub_versions) {
            *v = r.u32()?;
        }
        head.hub_ahead_ms = r.u64()? as i64;
        r.0.is_empty().then_some(head)
    }
}

/// `s/SLOT`: the owner of a ring, and how far the ring is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Number of the owner.
    pub uid: u64,
    /// Batches written into the ring so far, by all its owners.
    pub seq: u64,
    /// Observations written into the ring so far.
    pub total: u64,
    /// Number of the owner's first batch.
    pub since: u64,
    /// Time of the last heartbeat, nanoseconds of the monotonic clock.
    pub time: u64,
    /// True if the owner serves requests.
    pub serving: bool,
}

impl Slot {
    /// Encodes the cell.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SLOT_BYTES);
        let mut w = Writer(&mut out);
        w.u8(b'S');
        for v in [self.uid, self.seq, self.total, self.since, self.time] {
            w.u64(v);
        }
        w.u8(u8::from(self.serving));
        seal(out)
    }
    /// Decodes the cell; `None` if it is damaged or of another layout.
    pub fn decode(bytes: &[u8]) -> Option<Slot> {
        let mut r = open(bytes, b'S')?;
        let slot = Slot {
            uid: r.u64()?,
            seq: r.u64()?,
            total: r.u64()?,
            since: r.u64()?,
            time: r.u64()?,
            serving: r.u8()? != 0,
        };
        r.0.is_empty().then_some(slot)
    }
}

/// Head of a ring cell. The batch follows, with a checksum of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Number of the VM that wrote it.
    pub uid: u64,
    /// Its number in the ring.
    pub seq: u64,
    /// Observations written into the ring before this batch.
    pub first: u64,
    /// Time of writing, nanoseconds of the monotonic clock.
    pub time: u64,
}

/// Bytes of an encoded `Cell`.
const CELL_HEAD: usize = 37;

impl Cell {
    /// Encodes the cell with its batch.
    pub fn encode(&self, batch: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(batch.len().saturating_add(CELL_HEAD));
        let mut w = Writer(&mut out);
        w.u8(b'R');
        for v in [self.uid, self.seq, self.first, self.time] {
            w.u64(v);
        }
        let mut out = seal(out);
        out.extend_from_slice(batch);
        out
    }
    /// Decodes the cell into head and batch; `None` if it is damaged or of another layout.
    pub fn decode(bytes: &[u8]) -> Option<(Cell, &[u8])> {
        let (head, batch) = bytes.split_at_checked(CELL_HEAD)?;
        let mut r = open(head, b'R')?;
        Some((Cell { uid: r.u64()?, seq: r.u64()?, first: r.u64()?, time: r.u64()? }, batch))
    }
}

/// A shard cell: the shard after the epoch of its publication, or (of the hub) after its version.
pub fn shard(epoch: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(8));
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(bytes);
    out
}

/// Splits a shard cell into epoch (of the hub: version) and shard.
pub fn unshard(bytes: &[u8]) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk::<8>().map(|(of, shard)| (u64::from_le_bytes(*of), shard))
}

/// How far a ring has been applied to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Batches before this number are applied, or lost.
    pub seq: u64,
    /// Observations before this number are applied, or lost.
    pub total: u64,
    /// Number of a batch to skip (not in the cell).
    pub skip: Option<u64>,
}

/// `cm`: what the checkpoint pages belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Number of the take-over whose leader wrote it.
    pub epoch: u64,
    /// Table sizes of the ledger that wrote the pages. They stay until the process ends, whatever the
    /// configuration says.
    pub sizes: Sizes,
    /// How far each ring is in the pages.
    pub tails: [Tail; SLOTS],
}

impl Meta {
    /// Encodes the cell.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(META_BYTES);
        let mut w = Writer(&mut out);
        w.u8(b'M');
        w.u64(self.epoch);
        w.u32(self.sizes.keys);
        w.u32(self.sizes.groups);
        w.u8(self.sizes.doorkeeper_bits);
        w.u8(self.sizes.novelty_bits);
        for t in &self.tails {
            w.u64(t.seq);
            w.u64(t.total);
        }
        seal(out)
    }
    /// Decodes the cell; `None` if it is damaged or of another layout.
    pub fn decode(bytes: &[u8]) -> Option<Meta> {
        let mut r = open(bytes, b'M')?;
        let mut meta = Meta {
            epoch: r.u64()?,
            sizes: Sizes {
                keys: r.u32()?,
                groups: r.u32()?,
                doorkeeper_bits: r.u8()?,
                novelty_bits: r.u8()?,
            },
            tails: [Tail::default(); SLOTS],
        };
        for t in &mut meta.tails {
            *t = Tail { seq: r.u64()?, total: r.u64()?, skip: None };
        }
        (r.0.is_empty() && meta.sizes.is_sound()).then_some(meta)
    }
}

/// `hm`: what a new leader must know of the exchange with the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubMeta {
    /// Id of this node at the hub: random, one a process.
    pub node: [u8; 16],
    /// Epoch of the hub that `held` belongs to.
    pub hub_epoch: u64,
    /// Versions of the hub's shards that the cells hold.
    pub held: [u32; HUB_SHARDS],
    /// Number of the first batch of each ring that the hub has not acknowledged.
    pub acked: [u64; SLOTS],
}

impl Default for HubMeta {
    fn default() -> HubMeta {
        HubMeta { node: [0; 16], hub_epoch: 0, held: [0; HUB_SHARDS], acked: [0; SLOTS] }
    }
}

impl HubMeta {
    /// Encodes the cell.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HUB_META_BYTES);
        let mut w = Writer(&mut out);
        w.u8(b'U');
        w.0.extend_from_slice(&self.node);
        w.u64(self.hub_epoch);
        self.held.into_iter().for_each(|v| w.u32(v));
        self.acked.into_iter().for_each(|v| w.u64(v));
        seal(out)
    }
    /// Decodes the cell; `None` if it is damaged or of another layout.
    pub fn decode(bytes: &[u8]) -> Option<HubMeta> {
        let mut r = open(bytes, b'U')?;
        let mut meta =
            HubMeta { node: r.bytes(16)?.try_into().ok()?, hub_epoch: r.u64()?, ..HubMeta::default() };
        for v in &mut meta.held {
            *v = r.u32()?;
        }
        for v in &mut meta.acked {
            *v = r.u64()?;
        }
        r.0.is_empty().then_some(meta)
    }
}

/// `p`: the batch that the leader is applying; `busy` is false between drains.
pub fn progress(busy: bool, slot: u64, seq: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(PROGRESS_BYTES);
    let mut w = Writer(&mut out);
    w.u8(b'P');
    w.u8(u8::from(busy));
    w.u64(slot);
    w.u64(seq);
    seal(out)
}

/// Ring and number of a batch that a leader did not finish.
pub fn unfinished(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut r = open(bytes, b'P')?;
    let busy = r.u8()? != 0;
    Some((r.u64()?, r.u64()?)).filter(|_| busy)
}
