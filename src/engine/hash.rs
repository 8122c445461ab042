//! Portable keyed hashes: the same value on x86-64, aarch64 and wasm32.
//!
//! `Seed` is the policy's secret. Each purpose derives a 128-bit key of its own from it, so a `KeyId` cannot
//! be compared with the hash of a text. Identities use SipHash-1-3 (Aumasson & Bernstein 2012). Text uses the
//! multiply and xor-shift hash of `fingerprint`, because 64x64->128 multiplication and AES are slow or
//! missing in wasm.

use siphasher::sip::SipHasher13;

/// The secret of a policy. All nodes of a fleet share it; it is never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Credentials to `KeyId`.
    Key = 1,
    /// Tenants' names.
    Tenant = 2,
    /// Words and phrases of prompts.
    Text = 3,
    /// Address prefixes and request shapes.
    Network = 4,
    /// `CaseId`s.
    Case = 5,
    /// The check value of a seed: see `Seed::check`.
    Check = 6,
    /// Signatures of exceptions.
    Exception = 7,
}

impl Seed {
    /// A seed from 64 hexadecimal digits; `None` for any other text.
    pub fn from_hex(text: &str) -> Option<Seed> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let mut out = [0u8; 32];
        for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *slot =
                u8::from_str_radix(pair, 16).ok().filter(|_| pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        }
        Some(Seed(out))
    }

    /// A seed from random bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Seed {
        Seed(bytes)
    }

    /// A seed from any text, such as the policy's name. It is predictable, so that a policy with it is warned
    /// about.
    pub fn from_text(text: &str) -> Seed {
        let mut out = [0u8; 32];
        for (i, word) in out.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&sip13((i as u64, 0x7765_6972), text.as_bytes()).to_le_bytes());
        }
        Seed(out)
    }

    /// The 128-bit hash key of one purpose.
    pub fn key(&self, purpose: Purpose) -> (u64, u64) {
        let base = (read_u64(&self.0, 0), read_u64(&self.0, 8));
        let tag = purpose as u8;
        (sip13(base, &[&self.0[..], &[tag, 0]].concat()), sip13(base, &[&self.0[..], &[tag, 1]].concat()))
    }

    /// A 32-bit check value, stored with serialised state so that state of another seed is refused.
    pub fn check(&self) -> u32 {
        (self.key(Purpose::Check).0 >> 32) as u32
    }
}

/// The little-endian u64 at `at`. Missing bytes read as zero.
#[inline]
pub fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => short_u64(rest),
    }
}

/// Less than eight bytes.
fn short_u64(rest: &[u8]) -> u64 {
    let mut word = 0u64;
    let mut rest = rest;
    let mut shift = 0u32;
    if let Some((four, after)) = rest.split_first_chunk::<4>() {
        word = u64::from(u32::from_le_bytes(*four));
        (rest, shift) = (after, 32);
    }
    if let Some((two, after)) = rest.split_first_chunk::<2>() {
        word |= u64::from(u16::from_le_bytes(*two)) << shift;
        (rest, shift) = (after, shift.wrapping_add(16));
    }
    if let Some(b) = rest.first() {
        word |= u64::from(*b) << shift;
    }
    word
}

/// Mixes the bits of a word so that each input bit affects all of them (the finaliser of splitmix64, Steele
/// et al. 2014).
pub const fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Combines two words into one; the order matters.
pub const fn combine(a: u64, b: u64) -> u64 {
    mix(a.rotate_left(23) ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Hash of a text under a secret seed: one 64-bit multiplication for each eight bytes. It tells texts apart
/// and does not protect secrets.
pub fn text(seed: u64, bytes: &[u8]) -> u64 {
    const P: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut h = seed ^ bytes.len() as u64;
    let (blocks, rest) = bytes.as_chunks::<8>();
    for block in blocks {
        h = (h ^ u64::from_le_bytes(*block)).wrapping_mul(P);
        h ^= h >> 32;
    }
    mix((h ^ read_u64(rest, 0)).wrapping_mul(P))
}

/// SipHash-1-3 of `bytes` under `key`.
pub fn sip13(key: (u64, u64), bytes: &[u8]) -> u64 {
    SipHasher13::new_with_keys(key.0, key.1).hash(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_fixed() {
        // Rust's own SipHasher13 gives the same values; pinned so that a change of any target shows.
        assert_eq!(sip13((0, 0), b""), 0xd1fb_a762_150c_532c);
        assert_eq!(mix(1), 0x5692_161d_100b_05e5);
        let s = Seed::from_hex(&"00".repeat(32)).unwrap();
        assert_ne!(s.key(Purpose::Key), s.key(Purpose::Text));
        assert_eq!(Seed::from_hex("zz"), None);
        assert_eq!(Seed::from_hex(&"+1".repeat(32)), None);
    }
}
