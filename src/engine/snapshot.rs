//! Verdict tables as edges read them, published as 64 shards: versioned, seed-checked, checksummed, replaced
//! one by one.
//!
//! A shard holds the confirmed values, the key verdicts and the known keys (a Bloom filter) whose hash
//! belongs to it, and the numbers of the cases whose number does. Where a profile has a budget it also holds
//! suspicious values and proven keys (a second filter, at least sixteen bits a proven key); without a budget
//! these take four bytes each.
//!
//! A hub publishes one more shard, `EXCEPTIONS`: decisions of people. Its `keys` hold each id (of a key, a
//! template, a network, or the number of a campaign) with the decision in place of the campaign, and its end;
//! its `values` hold those ids that a request may carry.

use super::hash;
use super::rules::Pieces;
use super::sketch::bloom;
use super::tables::numbers::{self, Numbers};
pub use super::tables::overdrawn::OverdrawnEntry;
use super::units::Nanos;
use super::wire::{self, Encoded, Head, Reader, Refused, Writer};
use crate::engine::units::Wait;
pub use crate::engine::verdict::{ALLOWED, DENIED, RELEASED};

/// Shards of a ledger.
pub const SHARDS: usize = 64;
/// Index of the hub's shard of exceptions.
pub const EXCEPTIONS: usize = SHARDS;
/// Shards of a hub: those of its ledger, and `EXCEPTIONS`.
pub const HUB_SHARDS: usize = SHARDS + 1;

/// Bytes of a shard's filter of known keys, for a ledger of `keys` keys: sixteen bits a key.
pub fn filter_bytes(keys: usize) -> usize {
    (keys / 32).next_power_of_two().clamp(64, 8_192)
}
const MAGIC: u16 = 0x5357;
const VERSION: u8 = 6;

/// Index of the shard of a key or value.
pub fn shard_of(id: u64) -> usize {
    (hash::mix(id) >> 58) as usize
}

/// A confirmed value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueEntry {
    /// The value with its axis.
    pub value: u64,
    /// Odds that a key which sends it is the campaign's, nats (`Confirmed::prior`).
    pub prior: f32,
    /// Number of its case.
    pub case: u16,
}

/// A case, with the numbers by which keys at their first request are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaseEntry {
    /// Case number.
    pub case: u16,
    /// Campaign number.
    pub campaign: u32,
    /// Confirmed values in a request of the campaign, mean.
    pub usual: f32,
    /// Numbers for `rules`.
    pub numbers: Numbers,
}

/// A convicted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// `KeyId`.
    pub key: u64,
    /// Campaign number.
    pub campaign: u32,
    /// End of the conviction, seconds since the epoch (later requests extend it).
    pub until_s: u32,
}

/// One shard, decoded.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    /// The ledger's time of the publication, seconds since the epoch.
    pub now_s: u32,
    /// Sorted by value.
    pub values: Vec<ValueEntry>,
    /// Sorted by case number.
    pub cases: Vec<CaseEntry>,
    /// Sorted by key.
    pub keys: Vec<KeyEntry>,
    /// Keys and tenants above a limit, sorted by key.
    pub overdrawn: Vec<OverdrawnEntry>,
    /// Bloom filter of keys that the ledger has a state of; empty: none.
    pub known: Vec<u8>,
    /// Values that are suspicious but not decided, sorted: unproven keys share a budget for each. At most 64
    /// in all shards.
    pub suspects: Vec<u64>,
    /// Bloom filter of proven keys, which are charged to no budget; empty: none.
    pub proven: Vec<u8>,
}

impl Shard {
    /// Encodes the shard into `out`, replacing what it holds.
    pub fn encode(&self, index: u8, seed_check: u32, out: &mut Vec<u8>) {
        out.clear();
        let mut w = Writer(out);
        w.u16(MAGIC);
        w.u8(VERSION);
        w.u8(index);
        w.u32(seed_check);
        w.u32(self.now_s);
        w.u32(self.values.len() as u32);
        for v in &self.values {
            w.u64(v.value);
            w.f32(v.prior);
            w.u16(v.case);
        }
        w.u32(self.cases.len() as u32);
        for c in &self.cases {
            w.u16(c.case);
            w.u32(c.campaign);
            w.f32(c.usual);
            c.numbers.put(&mut w);
        }
        w.u32(self.keys.len() as u32);
        for k in &self.keys {
            w.u64(k.key);
            w.u32(k.campaign);
            w.u32(k.until_s);
        }
        w.u32(self.overdrawn.len() as u32);
        for o in &self.overdrawn {
            w.u64(o.key);
            w.u32(o.until_s);
            w.u8(o.profile);
            w.u8(o.limit);
        }
        w.u32(self.known.len() as u32);
        w.0.extend_from_slice(&self.known);
        w.u32(self.suspects.len() as u32);
        for v in &self.suspects {
            w.u64(*v);
        }
        w.u32(self.proven.len() as u32);
        out.extend_from_slice(&self.proven);
        wire::seal(out);
    }

    /// Decodes a shard. Returns its index and the shard.
    ///
    /// # Errors
    /// See `Refused`.
    pub fn decode(bytes: &[u8], seed_check: u32) -> Result<(usize, Shard), Refused> {
        let (mut r, index) = wire::open(bytes, VERSION.into(), seed_check, |r| {
            let (MAGIC, version, rest, seed_check) = (r.u16()?, r.u8()?, r.u8()?, r.u32()?) else {
                return None;
            };
            Some(Head { version: version.into(), seed_check, rest })
        })?;
        let shard = Shard::body(&mut r).filter(|s| r.0.is_empty() && s.sound()).ok_or(Refused::Malformed)?;
        Ok((usize::from(index) % HUB_SHARDS, shard))
    }

    fn body(r: &mut Reader<'_>) -> Option<Shard> {
        let now_s = r.u32()?;
        let values = list(r, 14, |r| Some(ValueEntry { value: r.u64()?, prior: r.f32()?, case: r.u16()? }))?;
        let cases = list(r, CASE_BYTES, |r| {
            Some(CaseEntry {
                case: r.u16()?,
                campaign: r.u32()?,
                usual: r.f32()?,
                numbers: Numbers::take(r)?,
            })
        })?;
        let keys = list(r, 16, |r| Some(KeyEntry { key: r.u64()?, campaign: r.u32()?, until_s: r.u32()? }))?;
        let overdrawn = list(r, 14, |r| {
            Some(OverdrawnEntry { key: r.u64()?, until_s: r.u32()?, profile: r.u8()?, limit: r.u8()? })
        })?;
        let n = r.u32()? as usize;
        let known = r.bytes(n)?.to_vec();
        let suspects = list(r, 8, |r| r.u64())?;
        let n = r.u32()? as usize;
        let proven = r.bytes(n)?.to_vec();
        Some(Shard { now_s, values, cases, keys, overdrawn, known, suspects, proven })
    }

    fn sound(&self) -> bool {
        self.values.is_sorted_by_key(|v| v.value)
            && self.cases.is_sorted_by_key(|c| c.case)
            && self.keys.is_sorted_by_key(|k| k.key)
            && self.overdrawn.is_sorted_by_key(|k| k.key)
            && self.suspects.is_sorted()
            && [&self.known, &self.proven].iter().all(|f| f.is_empty() || f.len().is_power_of_two())
    }
}

/// Bytes of an encoded case.
const CASE_BYTES: usize = 2 + 4 + 4 + numbers::BYTES;

/// Reads a list with its length, of entries of `bytes` each. No more is allocated than the bytes can hold.
fn list<'a, T>(
    r: &mut Reader<'a>,
    bytes: usize,
    take: impl Fn(&mut Reader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let n = r.u32()? as usize;
    let mut of = Reader(r.bytes(n.checked_mul(bytes)?)?);
    let mut out = Vec::with_capacity(n);
    for _ in 0..n {
        out.push(take(&mut of)?);
    }
    Some(out)
}

/// What the values of one request match.
#[derive(Clone, Copy, Debug, Default)]
pub struct Match<'a> {
    /// The values of the case that they support best.
    pub pieces: Pieces,
    /// That case.
    pub case: Option<&'a CaseEntry>,
}

/// The verdict tables of one edge.
#[derive(Debug)]
pub struct Snapshot {
    shards: Vec<Shard>,
    /// One bit for the low 16 bits of each confirmed value: most values are not confirmed, and most look-ups
    /// end here.
    filter: Vec<u64>,
    values: usize,
    suspects: usize,
    seed_check: u32,
}

impl Snapshot {
    /// Empty tables.
    pub fn new(seed_check: u32) -> Snapshot {
        Snapshot {
            shards: vec![Shard::default(); HUB_SHARDS],
            filter: vec![0; 1024],
            values: 0,
            suspects: 0,
            seed_check,
        }
    }
    /// Bytes of the tables now.
    pub fn size_bytes(&self) -> usize {
        let shard = |s: &Shard| {
            (s.values.capacity().saturating_mul(std::mem::size_of::<ValueEntry>()))
                .saturating_add(s.keys.capacity().saturating_mul(std::mem::size_of::<KeyEntry>()))
                .saturating_add(s.overdrawn.capacity().saturating_mul(std::mem::size_of::<OverdrawnEntry>()))
                .saturating_add(s.known.capacity())
                .saturating_add(s.suspects.capacity().saturating_mul(8))
                .saturating_add(s.proven.capacity())
                .saturating_add(s.cases.capacity().saturating_mul(std::mem::size_of::<CaseEntry>()))
        };
        self.shards.iter().map(shard).fold(8_192, usize::saturating_add)
    }
    /// Replaces one shard.
    ///
    /// # Errors
    /// The shard is refused; the one before stays in force.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let (index, shard) = Shard::decode(bytes, self.seed_check)?;
        if let Some(slot) = self.shards.get_mut(index) {
            *slot = shard;
        }
        self.filter.fill(0);
        (self.values, self.suspects) = (0, 0);
        for s in &self.shards {
            self.values = self.values.saturating_add(s.values.len());
            self.suspects = self.suspects.saturating_add(s.suspects.len());
            for v in s.values.iter().map(|v| v.value).chain(s.suspects.iter().copied()) {
                if let Some(word) = self.filter.get_mut((v as usize >> 6) & 1023) {
                    *word |= 1u64 << (v & 63);
                }
            }
        }
        Ok(())
    }
    /// May the value be told of in a shard?
    fn told(&self, value: u64) -> bool {
        self.filter.get((value as usize >> 6) & 1023).is_some_and(|w| w & (1u64 << (value & 63)) != 0)
    }
    /// The smallest of a request's values that is suspicious but not decided, 0 if none is.
    pub fn suspect(&self, values: &[u64]) -> u64 {
        if self.suspects == 0 {
            return 0;
        }
        let of = |v: u64| self.shards.get(shard_of(v)).is_some_and(|s| s.suspects.binary_search(&v).is_ok());
        values.iter().copied().filter(|v| self.told(*v) && of(*v)).min().unwrap_or(0)
    }
    /// True if the key is proven, so that it is charged to no budget. For one key in 400 at most this is
    /// wrongly true: its requests pass the budget here and are still counted by the ledger.
    pub fn is_proven(&self, key: u64) -> bool {
        self.shards.get(shard_of(key)).is_some_and(|s| bloom::has(&s.proven, key))
    }
    /// The entry of a confirmed value.
    pub fn value(&self, value: u64) -> Option<&ValueEntry> {
        if !self.told(value) {
            return None;
        }
        let values = &self.shards.get(shard_of(value))?.values;
        values.binary_search_by_key(&value, |v| v.value).ok().and_then(|i| values.get(i))
    }
    /// True if no value is confirmed.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }
    /// True if any value is confirmed or suspicious.
    pub fn tells(&self) -> bool {
        self.values != 0 || self.suspects != 0
    }
    /// The conviction of a key, unless it has ended.
    pub fn key(&self, key: u64, now_s: u32) -> Option<&KeyEntry> {
        self.entry(shard_of(key), key, now_s)
    }
    /// The decision of people on an id (see `verdict`); 0 if there is none or it has ended.
    pub fn exception(&self, id: u64, now_s: u32) -> u32 {
        self.entry(EXCEPTIONS, id, now_s).map_or(0, |e| e.campaign)
    }
    /// The strongest decision of people on a request's values; 0 if there is none.
    pub fn exception_of_any(&self, values: &[u64], now_s: u32) -> u32 {
        let told = values.iter().filter(|v| self.told(**v));
        told.map(|v| self.exception(*v, now_s)).max().unwrap_or(0)
    }
    fn entry(&self, shard: usize, key: u64, now_s: u32) -> Option<&KeyEntry> {
        let keys = &self.shards.get(shard)?.keys;
        let i = keys.binary_search_by_key(&key, |k| k.key).ok()?;
        keys.get(i).filter(|k| k.until_s >= now_s)
    }
    /// Time until the key's next request conforms to the profile's limits over all workers. It is never
    /// longer than at the publication, even if this clock was set back since.
    pub fn overdrawn(&self, key: u64, profile: u8, now: Nanos) -> Option<Wait> {
        let Shard { overdrawn, now_s, .. } = self.shards.get(shard_of(key))?;
        let now = now.max(Nanos::from_secs(u64::from(*now_s)));
        let first = overdrawn.partition_point(|k| k.key < key);
        let of_key = overdrawn.get(first..)?.iter().take_while(|o| o.key == key);
        let found = of_key.into_iter().find(|o| o.profile == profile)?;
        let wait = Nanos::from_secs(u64::from(found.until_s)).since(now);
        (wait != Nanos(0)).then_some(Wait { wait, limit: found.limit })
    }
    /// True if the ledger has a state of the key. Where it is wrongly true, a new key's request is served
    /// until its own verdict arrives.
    pub fn is_known(&self, key: u64) -> bool {
        self.shards.get(shard_of(key)).is_some_and(|s| bloom::has(&s.known, key))
    }
    /// A case by its number.
    pub fn case(&self, case: u16) -> Option<&CaseEntry> {
        let cases = &self.shards.get(usize::from(case) % SHARDS)?.cases;
        cases.iter().find(|c| c.case == case)
    }
    /// The case that a request's values support best.
    pub fn best_match(&self, values: &[u64]) -> Match<'_> {
        let mut tally: [(u16, Pieces); 8] = Default::default();
        for entry in values.iter().filter_map(|v| self.value(*v)) {
            if let Some(t) = tally.iter_mut().find(|t| t.0 == entry.case || t.0 == 0) {
                t.0 = entry.case;
                t.1.add(entry.prior);
            }
        }
        let best =
            tally.into_iter().reduce(|a, b| if b.1.says_more_than(&a.1) { b } else { a }).unwrap_or_default();
        Match { pieces: best.1, case: self.case(best.0).filter(|_| best.1.count > 0) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn shards_round_trip_and_damage_is_named() {
        let value = (1..).find(|v| shard_of(*v) == 3).unwrap();
        let key = (1..).find(|v| shard_of(*v) == 3).unwrap();
        let mut known = vec![0; filter_bytes(32_768)];
        bloom::add(&mut known, 77);
        let case = CaseEntry {
            case: 3,
            campaign: 9,
            usual: 4.0,
            numbers: Numbers { prior: 2.5, ..Numbers::default() },
        };
        let shard = Shard {
            now_s: 40,
            values: vec![ValueEntry { value, prior: 4.0, case: 3 }],
            cases: vec![case],
            keys: vec![KeyEntry { key, campaign: 9, until_s: 100 }],
            overdrawn: vec![OverdrawnEntry { key, until_s: 50, profile: 2, limit: 3 }],
            known,
            suspects: vec![value],
            proven: vec![255; 64],
        };
        let mut bytes = Vec::new();
        shard.encode(3, 5, &mut bytes);
        let mut s = Snapshot::new(5);
        s.apply(&bytes).unwrap();
        assert_eq!((s.suspect(&[9, value]), s.suspect(&[9]), s.is_proven(key)), (value, 0, true));
        let m = s.best_match(&[value, 12345]);
        assert_eq!((m.pieces.count, m.case), (1, Some(&case)));
        assert!(s.best_match(&[12345]).case.is_none() && s.case(67).is_none());
        assert!(s.key(key, 100).is_some() && s.key(key, 101).is_none());
        let wait = Wait { wait: Nanos::from_secs(2), limit: 3 };
        assert_eq!(s.overdrawn(key, 2, Nanos::from_secs(48)), Some(wait));
        let most = Wait { wait: Nanos::from_secs(10), limit: 3 };
        assert_eq!(s.overdrawn(key, 2, Nanos::from_secs(3)), Some(most), "a clock that was set back");
        assert!(
            s.overdrawn(key, 1, Nanos(0)).is_none() && s.overdrawn(key, 2, Nanos::from_secs(50)).is_none()
        );
        assert_eq!(Snapshot::new(6).apply(&bytes), Err(Refused::Seed));
        for cut in 0..bytes.len() {
            assert!(s.apply(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(s.apply(&bad).is_err(), "byte {at}");
        }
        assert!(s.value(value).is_some(), "a refused shard leaves the old one");
    }
}
