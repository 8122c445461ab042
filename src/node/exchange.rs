//! The messages between a proxy's leader and the hub, one HTTP call a period: batches up, shards down.
//!
//! A batch is identified by its ring and its number in it. So the hub recognises a batch that is sent again (the reply was lost, or
//! another VM leads and reads the rings from the last acknowledged number). Both messages end in a checksum. Integers are
//! little-endian.
//!
//! | request | bytes | | reply | bytes |
//! |---|--:|---|---|--:|
//! | magic, version, flags (0) | 4 | | magic, version, flags (0) | 4 |
//! | seed check | 4 | | seed check | 4 |
//! | node id | 16 | | hub epoch | 8 |
//! | policy, with its length | 1 + n | | time until the next call, ms | 4 |
//! | node's clock, ns | 8 | | hub's clock less the node's, ms | 8 |
//! | hub epoch of the shards held | 8 | | acknowledged: rings | 1 |
//! | versions of the shards held | 260 | | … each ring, next number | 9 |
//! | batches | 2 | | shards | 1 |
//! | … each ring, number, observations before it, length | 21 + n | | … each index, version, length | 9 + n |
//! | checksum | 4 | | checksum | 4 |

use super::cells::{HUB_SHARDS, SLOTS};
use crate::engine::units::Nanos;
use crate::engine::wire::{self, Reader, Refused, Writer};

/// Path of the HTTP call.
pub const PATH: &str = "/v1/exchange";
/// Name of the header that carries the name of a refusal.
pub const ERROR: &str = "weir-error";
/// Longest request, bytes.
pub const REQUEST_BYTES: usize = 1 << 20;
/// Longest reply, bytes. What does not fit comes with the next one.
pub const REPLY_BYTES: usize = 2 << 20;
/// Largest number of batches in a request.
pub const BATCHES: usize = 4_096;

const MAGIC: u16 = 0x5857;
const VERSION: u8 = 2;

/// A batch as it was written into a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<'a> {
    /// Ring, below `SLOTS`.
    pub ring: u8,
    /// Number of the batch in its ring.
    pub seq: u64,
    /// Observations written into the ring before it: a gap shows what was lost.
    pub first: u64,
    /// The encoded `observation::Batch`.
    pub bytes: &'a [u8],
}

impl Sent<'_> {
    /// Bytes that it takes in a request.
    pub fn size(&self) -> usize {
        21usize.saturating_add(self.bytes.len())
    }
}

/// A request of a node's leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `Seed::check`.
    pub seed_check: u32,
    /// Id of the node: random, one a process.
    pub node: [u8; 16],
    /// The policy's name.
    pub policy: &'a str,
    /// The node's clock, which its observations are timed by.
    pub clock: Nanos,
    /// Epoch of the hub that `held` belongs to, 0 if no shards are held.
    pub hub_epoch: u64,
    /// Versions of the hub's shards that the node holds.
    pub held: [u32; HUB_SHARDS],
    /// New batches, in the order of rings and numbers.
    pub batches: Vec<Sent<'a>>,
}

/// A reply of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// See `Request`.
    pub seed_check: u32,
    /// Epoch of the hub: another one means that versions start anew.
    pub hub_epoch: u64,
    /// Time until the next call, milliseconds.
    pub period_ms: u32,
    /// The hub's clock minus the node's, milliseconds.
    pub offset_ms: i64,
    /// For each ring, the number of the first batch that is not durable.
    pub acks: Vec<(u8, u64)>,
    /// Index, version and bytes of each shard that the node lacks.
    pub shards: Vec<(u8, u32, &'a [u8])>,
}

fn begin(out: &mut Vec<u8>, seed_check: u32) -> Writer<'_> {
    out.clear();
    let mut w = Writer(out);
    w.u16(MAGIC);
    w.u8(VERSION);
    w.u8(0);
    w.u32(seed_check);
    w
}

/// The body of a message of ours that is whole; seed check beside it. Not `wire::open`: over a network damage is told as damage, and
/// not as another seed.
fn open(bytes: &[u8], most: usize) -> Result<(u32, Reader<'_>), Refused> {
    if bytes.len() > most {
        return Err(Refused::Malformed);
    }
    let (mut r, sound) = wire::unseal(bytes).ok_or(Refused::Malformed)?;
    let (Some(MAGIC), Some(version), Some(_), Some(check)) = (r.u16(), r.u8(), r.u8(), r.u32()) else {
        return Err(Refused::Malformed);
    };
    if version != VERSION {
        return Err(Refused::Version(version.into()));
    }
    if !sound {
        return Err(Refused::Checksum);
    }
    Ok((check, r))
}

impl<'a> Request<'a> {
    /// Bytes of a request without batches.
    pub fn overhead(policy: &str) -> usize {
        307usize.saturating_add(policy.len())
    }
    /// Encodes the request into `out`, replacing what it holds. A policy's name is at most 255 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = begin(out, self.seed_check);
        w.0.extend_from_slice(&self.node);
        w.u8(self.policy.len() as u8);
        w.0.extend_from_slice(self.policy.as_bytes());
        w.u64(self.clock.0);
        w.u64(self.hub_epoch);
        self.held.into_iter().for_each(|v| w.u32(v));
        w.u16(self.batches.len() as u16);
        for b in &self.batches {
            w.u8(b.ring);
            w.u64(b.seq);
            w.u64(b.first);
            w.u32(b.bytes.len() as u32);
            w.0.extend_from_slice(b.bytes);
        }
        wire::seal(out);
    }
    /// Decodes a request. The caller checks seed and policy.
    ///
    /// # Errors
    /// `Malformed` (also if it is too long), `Version`, `Checksum`.
    pub fn decode(bytes: &'a [u8]) -> Result<Request<'a>, Refused> {
        let (seed_check, mut r) = open(bytes, REQUEST_BYTES)?;
        Request::body(seed_check, &mut r).filter(|_| r.0.is_empty()).ok_or(Refused::Malformed)
    }
    fn body(seed_check: u32, r: &mut Reader<'a>) -> Option<Request<'a>> {
        let node = r.bytes(16)?.try_into().ok()?;
        let n = r.u8()?;
        let policy = std::str::from_utf8(r.bytes(usize::from(n))?).ok()?;
        let (clock, hub_epoch) = (Nanos(r.u64()?), r.u64()?);
        let mut held = [0; HUB_SHARDS];
        for v in &mut held {
            *v = r.u32()?;
        }
        let n = usize::from(r.u16()?);
        let mut batches = Vec::with_capacity(n.min(BATCHES));
        for _ in 0..n {
            let (ring, seq, first, len) = (r.u8()?, r.u64()?, r.u64()?, r.u32()?);
            let bytes = r.bytes(len as usize)?;
            batches.push(Sent { ring, seq, first, bytes });
        }
        let sound = n <= BATCHES && batches.iter().all(|b| usize::from(b.ring) < SLOTS);
        sound.then_some(Request { seed_check, node, policy, clock, hub_epoch, held, batches })
    }
}

impl<'a> Reply<'a> {
    /// Encodes the reply into `out`, replacing what it holds.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = begin(out, self.seed_check);
        w.u64(self.hub_epoch);
        w.u32(self.period_ms);
        w.u64(self.offset_ms as u64);
        w.u8(self.acks.len() as u8);
        for (ring, next) in &self.acks {
            w.u8(*ring);
            w.u64(*next);
        }
        w.u8(self.shards.len() as u8);
        for (index, version, bytes) in &self.shards {
            w.u8(*index);
            w.u32(*version);
            w.u32(bytes.len() as u32);
            w.0.extend_from_slice(bytes);
        }
        wire::seal(out);
    }
    /// Decodes a reply.
    ///
    /// # Errors
    /// `Malformed` (also if it is too long), `Version`, `Seed`, `Checksum`.
    pub fn decode(bytes: &'a [u8], seed_check: u32) -> Result<Reply<'a>, Refused> {
        let (check, mut r) = open(bytes, REPLY_BYTES)?;
        if check != seed_check {
            return Err(Refused::Seed);
        }
        Reply::body(check, &mut r).filter(|_| r.0.is_empty()).ok_or(Refused::Malformed)
    }
    fn body(seed_check: u32, r: &mut Reader<'a>) -> Option<Reply<'a>> {
        let (hub_epoch, period_ms, offset_ms) = (r.u64()?, r.u32()?, r.u64()? as i64);
        let n = r.u8()?;
        let mut acks = Vec::with_capacity(usize::from(n));
        for _ in 0..n {
            acks.push((r.u8()?, r.u64()?));
        }
        let n = r.u8()?;
        let mut shards = Vec::with_capacity(usize::from(n));
        for _ in 0..n {
            let (index, version, len) = (r.u8()?, r.u32()?, r.u32()?);
            shards.push((index, version, r.bytes(len as usize)?));
        }
        let sound = acks.iter().all(|a| usize::from(a.0) < SLOTS)
            && shards.iter().all(|s| usize::from(s.0) < HUB_SHARDS);
        sound.then_some(Reply { seed_check, hub_epoch, period_ms, offset_ms, acks, shards })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;

    fn request(batches: Vec<Sent<'_>>) -> Request<'_> {
        let mut held = [0; HUB_SHARDS];
        held[5] = 7;
        Request {
            seed_check: 9,
            node: [3; 16],
            policy: "prod",
            clock: Nanos(77),
            hub_epoch: 2,
            held,
            batches,
        }
    }

    #[test]
    fn messages_round_trip_and_damage_is_named() {
        let sent = Sent { ring: 63, seq: 12, first: 400, bytes: b"batch" };
        let r = request(vec![sent, Sent { ring: 1, ..sent }]);
        let mut bytes = Vec::new();
        r.encode(&mut bytes);
        assert_eq!(bytes.len(), Request::overhead("prod") + 2 * sent.size());
        assert_eq!(Request::decode(&bytes), Ok(r));
        for cut in 0..bytes.len() {
            assert!(Request::decode(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Request::decode(&bad).is_err(), "byte {at}");
        }
        let reply = Reply {
            seed_check: 9,
            hub_epoch: 4,
            period_ms: 500,
            offset_ms: -3_600_000,
            acks: vec![(0, 5), (63, 13)],
            shards: vec![(0, 1, b"one"), (63, 9, b"two")],
        };
        reply.encode(&mut bytes);
        assert_eq!(Reply::decode(&bytes, 9), Ok(reply));
        assert_eq!(Reply::decode(&bytes, 8), Err(Refused::Seed));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Reply::decode(&bad, 9).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_names_no_ring_or_is_too_long_is_refused() {
        let mut bytes = Vec::new();
        request(vec![Sent { ring: 64, seq: 0, first: 0, bytes: b"" }]).encode(&mut bytes);
        assert_eq!(Request::decode(&bytes), Err(Refused::Malformed));
        let long = vec![0; REQUEST_BYTES];
        request(vec![Sent { ring: 1, seq: 0, first: 0, bytes: &long }]).encode(&mut bytes);
        assert_eq!(Request::decode(&bytes), Err(Refused::Malformed));
        for (n, fits) in [(BATCHES, true), (BATCHES + 1, false)] {
            request(vec![Sent { ring: 1, seq: 0, first: 0, bytes: b"" }; n]).encode(&mut bytes);
            assert_eq!(Request::decode(&bytes).is_ok(), fits, "{n}");
        }
        for (n, fits) in [(REPLY_BYTES - 200, true), (REPLY_BYTES, false)] {
            let shard = vec![0; n];
            let shards = vec![(0, 1, &shard[..])];
            Reply { seed_check: 9, hub_epoch: 4, period_ms: 500, offset_ms: 0, acks: Vec::new(), shards }
                .encode(&mut bytes);
            assert_eq!(Reply::decode(&bytes, 9).is_ok(), fits, "{n}");
        }
    }
}
