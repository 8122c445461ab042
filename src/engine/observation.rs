//! What an edge tells the ledger of one request: hashes and counts, 70 to 600 bytes, no text.
//!
//! A batch is a header (magic, version, seed check, count), the observations, and a checksum. A batch that is
//! cut, damaged, or of another layout or seed is refused whole, with a named error; nothing of it is applied.

use super::units::Nanos;
use super::wire::{self, Head, Reader, Refused, Writer};

const MAGIC: u16 = 0x4f57;
const VERSION: u8 = 6;

/// A short list of values with a fixed capacity, without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Few<const N: usize> {
    len: u8,
    items: [u64; N],
}

impl<const N: usize> Default for Few<N> {
    fn default() -> Few<N> {
        Few { len: 0, items: [0; N] }
    }
}

impl<const N: usize> Few<N> {
    /// The first `N` of `values`.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Few<N> {
        let mut few = Few::default();
        for v in values {
            if !few.push(v) {
                break;
            }
        }
        few
    }
    /// Appends a value; false if the list is full.
    pub fn push(&mut self, v: u64) -> bool {
        match self.items.get_mut(usize::from(self.len)) {
            Some(slot) => {
                *slot = v;
                self.len = self.len.saturating_add(1);
                true
            }
            None => false,
        }
    }
    /// The values.
    pub fn as_slice(&self) -> &[u64] {
        self.items.get(..usize::from(self.len)).unwrap_or_default()
    }
    fn put(&self, w: &mut Writer<'_>) {
        w.u8(self.len);
        for &v in self.as_slice() {
            w.u64(v);
        }
    }
    fn take(r: &mut Reader<'_>) -> Option<Few<N>> {
        let len = r.u8()?;
        let bytes = r.bytes(usize::from(len).saturating_mul(8))?;
        let mut few = Few { len, items: [0; N] };
        if usize::from(len) > N {
            return None;
        }
        few.items
            .iter_mut()
            .zip(bytes.as_chunks::<8>().0)
            .for_each(|(to, from)| *to = u64::from_le_bytes(*from));
        Some(few)
    }
}

/// An assistant or tool message was present.
pub const CONVERSATION: u8 = 1;
/// An allow list selects the request: it is counted, and nothing is learned from it.
pub const ALLOWED: u8 = 2;
/// No source yielded a key.
pub const ANONYMOUS: u8 = 4;
/// The body could not be read, so there are no text values.
pub const UNREADABLE: u8 = 8;

/// An edge has already let the request through: it is charged to its limits in any case.
pub const SERVED: u8 = 16;
/// An edge has refused the request: it is charged to no limit.
pub const REFUSED: u8 = 32;
/// The account's age was told and could not be read: it is unknown, which is not the age of a new key.
pub const AGE_UNREAD: u8 = 64;
/// No prompt was read: the request is charged to limits and teaches nothing.
pub const NO_PROMPT: u8 = 128;

/// Values of the middle of texts that a request teaches, at most: one for each snippet of two samples.
pub const MIDDLE: usize = 32;

/// One request, as the ledger gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Time of the edge's decision.
    pub time: Nanos,
    /// `KeyId`.
    pub key: u64,
    /// Keyed hash of the tenant's name, 0 if none.
    pub tenant: u64,
    /// Creation of the account, seconds since the epoch, 0 if unknown.
    pub created_s: u32,
    /// Bits: `CONVERSATION`, `ALLOWED`, `ANONYMOUS`, `UNREADABLE`, `SERVED`, `REFUSED`, `AGE_UNREAD`,
    /// `NO_PROMPT`.
    pub flags: u8,
    /// Index of the profile that applied.
    pub profile: u8,
    /// Cost for limits: answers asked for, all prompts together (saturating). 0: no limit counts the request.
    pub cost: u16,
    /// Number of values of the text that was read, all regions (saturating). 0 with `anchors` present:
    /// nothing was read, and the anchors say why.
    pub value_count: u8,
    /// Hash of all words in order, 0 if fewer than four.
    pub exact: u64,
    /// Hash of the last user message.
    pub last_user: u64,
    /// Hash of the first user message (equal to `last_user` if there is one).
    pub first_user: u64,
    /// Network values (address prefix, request shape), 0 if unknown.
    pub nets: [u64; 2],
    /// Smallest values of the instructions and the last user message.
    pub anchors: Few<12>,
    /// Smallest values of the first user message, if it differs from the last.
    pub first_anchors: Few<12>,
    /// Other values of the request that are confirmed in the edge's snapshot.
    pub matched: Few<16>,
    /// Values beyond the anchors, if the request matches a confirmed template: candidates for the same case.
    pub rest: Few<24>,
    /// Values of sampled text that no window keeps, the smallest of each snippet: the middle of long texts.
    pub middle: Few<MIDDLE>,
}

impl Observation {
    fn put(&self, w: &mut Writer<'_>) {
        w.u64(self.time.0);
        w.u64(self.key);
        w.u64(self.tenant);
        w.u32(self.created_s);
        w.u8(self.flags);
        w.u8(self.profile);
        w.u16(self.cost);
        w.u8(self.value_count);
        w.u64(self.exact);
        w.u64(self.last_user);
        w.u64(self.first_user);
        for net in self.nets {
            w.u64(net);
        }
        self.anchors.put(w);
        self.first_anchors.put(w);
        self.matched.put(w);
        self.rest.put(w);
        self.middle.put(w);
    }
    fn take(r: &mut Reader<'_>) -> Option<Observation> {
        Some(Observation {
            time: Nanos(r.u64()?),
            key: r.u64()?,
            tenant: r.u64()?,
            created_s: r.u32()?,
            flags: r.u8()?,
            profile: r.u8()?,
            cost: r.u16()?,
            value_count: r.u8()?,
            exact: r.u64()?,
            last_user: r.u64()?,
            first_user: r.u64()?,
            nets: [r.u64()?, r.u64()?],
            anchors: Few::take(r)?,
            first_anchors: Few::take(r)?,
            matched: Few::take(r)?,
            rest: Few::take(r)?,
            middle: Few::take(r)?,
        })
    }
}

/// A batch of observations; one for each worker.
#[derive(Debug, Default)]
pub struct Batch {
    encoded: Vec<u8>,
    count: u16,
}

impl Batch {
    /// Appends an observation. False (and not appended) if the batch already holds `limit` bytes: the caller
    /// counts the loss.
    pub fn push(&mut self, obs: &Observation, limit: usize) -> bool {
        if self.is_full(limit) {
            return false;
        }
        obs.put(&mut Writer(&mut self.encoded));
        self.count = self.count.saturating_add(1);
        true
    }
    /// True if the batch already holds `limit` bytes.
    pub fn is_full(&self, limit: usize) -> bool {
        self.encoded.len() >= limit || self.count == u16::MAX
    }
    /// Number of observations.
    pub fn len(&self) -> u16 {
        self.count
    }
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// Writes the batch into `out`, replacing what it holds, and starts a new one.
    pub fn drain(&mut self, seed_check: u32, out: &mut Vec<u8>) {
        out.clear();
        let mut w = Writer(out);
        w.u16(MAGIC);
        w.u8(VERSION);
        w.u8(0);
        w.u32(seed_check);
        w.u16(self.count);
        w.u16(0);
        out.append(&mut self.encoded);
        wire::seal(out);
        self.count = 0;
    }
}

/// Decodes a batch and hands each observation to `each`. The whole batch is checked before the first is
/// handed on. Returns their number.
///
/// # Errors
/// See `Refused`.
pub fn decode(bytes: &[u8], seed_check: u32, mut each: impl FnMut(&Observation)) -> Result<u16, Refused> {
    let (start, count) = wire::open(bytes, VERSION.into(), seed_check, |r| {
        let head = (r.u16()?, r.u8()?, r.u8()?, r.u32()?, r.u16()?, r.u16()?);
        let (MAGIC, version, _, seed_check, rest, _) = head else { return None };
        Some(Head { version: version.into(), seed_check, rest })
    })?;
    let mut probe = start;
    for _ in 0..count {
        Observation::take(&mut probe).ok_or(Refused::Malformed)?;
    }
    if !probe.0.is_empty() {
        return Err(Refused::Malformed);
    }
    let mut r = start;
    for _ in 0..count {
        if let Some(obs) = Observation::take(&mut r) {
            each(&obs);
        }
    }
    Ok(count)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests"
)]
mod tests {
    use super::*;

    fn sample(i: u64) -> Observation {
        Observation {
            time: Nanos(i),
            key: i * 7,
            created_s: 5,
            value_count: 9,
            cost: i as u16,
            exact: i,
            anchors: Few::of(0..i % 13),
            first_anchors: Few::of(0..i % 5),
            matched: Few::of(0..i % 17),
            rest: Few::of(0..i % 23),
            middle: Few::of(0..i % 15),
            ..Observation::default()
        }
    }

    #[test]
    fn batches_round_trip_and_every_damage_is_named() {
        let mut batch = Batch::default();
        let sent: Vec<_> = (0..40).map(sample).collect();
        for obs in &sent {
            assert!(batch.push(obs, 1 << 16));
        }
        let mut bytes = Vec::new();
        batch.drain(7, &mut bytes);
        assert!(batch.is_empty());
        let mut got = Vec::new();
        assert_eq!(decode(&bytes, 7, |o| got.push(*o)), Ok(40));
        assert_eq!(got, sent);
        assert_eq!(decode(&bytes, 8, |_| ()), Err(Refused::Seed));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut], 7, |_| panic!("applied a cut batch")).is_err());
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            if at != 3 && at != 10 && at != 11 {
                assert!(decode(&bad, 7, |_| panic!("applied a damaged batch")).is_err(), "byte {at}");
            }
        }
        assert!(!batch.push(&sent[0], 0));
    }
}
