//! Little-endian encoding for batches, snapshot shards and saved state. Reading never fails otherwise than by
//! `None` beyond the end.

use super::hash;

/// Appends numbers to a buffer.
#[derive(Debug)]
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// One byte.
    pub fn u8(&mut self, v: u8) {
        self.0.push(v);
    }
    /// Two bytes.
    pub fn u16(&mut self, v: u16) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    /// Four bytes.
    pub fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    /// Eight bytes.
    pub fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    /// Four bytes: the bits of a float.
    pub fn f32(&mut self, v: f32) {
        self.u32(v.to_bits());
    }
}

/// Takes numbers from the front of a slice. `None` beyond its end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }
    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    /// A float by its bits; `None` also if it is not finite.
    pub fn f32(&mut self) -> Option<f32> {
        self.u32().map(f32::from_bits).filter(|v| v.is_finite())
    }
}

/// A value with one encoding.
pub trait Encoded: Sized {
    /// Appends the value's encoding.
    fn put(&self, w: &mut Writer<'_>);
    /// Reads the value; `None` if the bytes end or are no such value.
    fn take(r: &mut Reader<'_>) -> Option<Self>;
}

impl Encoded for u64 {
    fn put(&self, w: &mut Writer<'_>) {
        w.u64(*self);
    }
    fn take(r: &mut Reader<'_>) -> Option<u64> {
        r.u64()
    }
}

impl Encoded for u32 {
    fn put(&self, w: &mut Writer<'_>) {
        w.u32(*self);
    }
    fn take(r: &mut Reader<'_>) -> Option<u32> {
        r.u32()
    }
}

/// Implements `Encoded` for a struct of integers, field by field.
macro_rules! encoded {
    ($name:ident { $($field:ident : $kind:ident),+ $(,)? }) => {
        impl $crate::engine::wire::Encoded for $name {
            fn put(&self, w: &mut $crate::engine::wire::Writer<'_>) {
                $(w.$kind(self.$field);)+
            }
            fn take(r: &mut $crate::engine::wire::Reader<'_>) -> Option<$name> {
                // The length is looked at once, not at every field.
                const LEN: usize = 0 $(+ std::mem::size_of::<$kind>())+;
                let r = &mut $crate::engine::wire::Reader(r.bytes(LEN)?);
                Some($name { $($field: r.$kind()?),+ })
            }
        }
    };
}
pub(crate) use encoded;

/// Why a block (a batch, a shard, a page, a state file) was refused. Nothing of a refused block is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another kind of block, cut short, of other table sizes, or unsorted.
    Malformed,
    /// Another layout version.
    Version(u16),
    /// Another seed.
    Seed,
    /// The checksum does not match.
    Checksum,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Malformed => f.write_str("another kind of data, cut short, or of other table sizes"),
            Refused::Version(v) => write!(f, "layout version {v} is not ours"),
            Refused::Seed => f.write_str("written under another seed"),
            Refused::Checksum => f.write_str("damaged: the checksum does not match"),
        }
    }
}

impl std::error::Error for Refused {}

/// The head of a block.
#[derive(Clone, Copy, Debug)]
pub struct Head<T> {
    /// Layout version.
    pub version: u16,
    /// Check value of the seed that its hashes were made with.
    pub seed_check: u32,
    /// The kind's own fields.
    pub rest: T,
}

/// Ends a block: appends the checksum of all before it.
pub fn seal(out: &mut Vec<u8>) {
    let sum = checksum(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Splits a block into what stands before its checksum and whether that matches. `None` if it is too short.
pub fn unseal(bytes: &[u8]) -> Option<(Reader<'_>, bool)> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    Some((Reader(body), u32::from_le_bytes(*sum) == checksum(body)))
}

/// Opens a block that `seal` ended. `head` parses its head; `None` if it is of another kind. Returns the
/// body's reader and the head's own fields.
///
/// # Errors
/// See `Refused`. Nothing but the head is looked at.
pub fn open<'a, T>(
    bytes: &'a [u8],
    version: u16,
    seed_check: u32,
    head: impl FnOnce(&mut Reader<'a>) -> Option<Head<T>>,
) -> Result<(Reader<'a>, T), Refused> {
    let (mut r, sound) = unseal(bytes).ok_or(Refused::Malformed)?;
    let head = head(&mut r).ok_or(Refused::Malformed)?;
    if head.version != version {
        return Err(Refused::Version(head.version));
    }
    if head.seed_check != seed_check {
        return Err(Refused::Seed);
    }
    if !sound {
        return Err(Refused::Checksum);
    }
    Ok((r, head.rest))
}

/// Checksum of a block. It detects damage, not tampering (the channel is inside the proxy).
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut h = bytes.len() as u64;
    for block in bytes.chunks(8) {
        h = (h ^ hash::read_u64(block, 0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 32;
    }
    (hash::mix(h) >> 32) as u32
}
