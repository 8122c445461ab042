//! Text to fingerprint: sampled 4-word shingles. Text ends here.
//!
//! A value stands for four consecutive folded words. Values are sampled by their own hash (one in four), so the same phrase
//! is kept or dropped everywhere, whatever surrounds it. Guarantee: changing case, spacing, punctuation, invisible
//! characters, look-alike letters, numbers or ids changes nothing; inserting a word touches only the shingles across it.
//! Memory: none beside the result. Cost: one pass, eight bytes at a time, about 1 ns a byte natively (`make bench-micro`). Source: Broder 1997 (shingles), Manber 1994
//! (sampling by hash). Not for: texts below four words, paraphrases.

mod fold;

use crate::engine::hash::read_u64;
use crate::engine::sort::sort;
use fold::{Fold, decode, fold};

/// Words of a shingle.
const WORDS: usize = 4;
/// One value in this many is kept.
const SAMPLE: u64 = 4;
/// Values kept per region.
pub const CAP: usize = 24;
/// Values that touch the learning tables.
pub const ANCHORS: usize = 12;
const P: u64 = 0x9E37_79B9_7F4A_7C15;
/// Longest word that counts, bytes.
const MAX_WORD: u32 = 24;

/// Fingerprint of some regions of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Sorted, unique; top two bits 00 (the text axis). At most `CAP` per region.
    pub values: Vec<u64>,
    /// Order-dependent mix of all word hashes; `None` below 4 words.
    pub exact: Option<u64>,
}

/// Reusable working memory. Holds nothing but the key: what a text leaves is at most `CAP` values, on the stack.
#[derive(Debug)]
pub struct Fingerprinter {
    seed: u64,
}

/// The `CAP` least of the values offered, sorted, each once.
struct Least {
    values: [u64; CAP],
    len: usize,
    /// Hashes from here on are not among them: at first those that the sample leaves out.
    bound: u64,
}

impl Least {
    fn new() -> Least {
        Least { values: [0; CAP], len: 0, bound: u64::MAX / SAMPLE }
    }

    /// Takes a value below `bound`.
    #[inline(never)]
    fn insert(&mut self, value: u64) {
        let at = self.values.get(..self.len).unwrap_or_default().partition_point(|v| *v < value);
        if at < self.len && self.values.get(at) == Some(&value) {
            return;
        }
        self.len = CAP.min(self.len.saturating_add(1));
        // Larger values move up by one; the last of a full list falls out.
        let mut moved = value;
        for slot in self.values.get_mut(at..self.len).unwrap_or_default() {
            std::mem::swap(slot, &mut moved);
        }
        if self.len == CAP {
            self.bound = self.values.last().copied().unwrap_or(self.bound);
        }
    }
}

/// Words of one region as they complete.
struct Words {
    seed: u64,
    /// Hash of the full blocks of the current word, and the block being filled.
    hash: u64,
    block: u64,
    len: u32,
    /// The word has a digit; a byte that is none. Not zero: yes.
    digits: u64,
    others: u64,
    /// Hashes of the last words, oldest first once four were seen.
    ring: [u64; WORDS],
    count: u32,
    rolling: u64,
    exact: u64,
    least: Least,
}

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The high bit of each.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks (high bits) of the bytes that are digits, and of those that are ASCII letters.
#[inline(always)]
fn classes(x: u64) -> (u64, u64) {
    let low = x & !HIGHS;
    let at_least = |v: u64, n: u64| v.wrapping_add(ONES.wrapping_mul(0x80u64.wrapping_sub(n)));
    let lower = low | ONES.wrapping_mul(0x20);
    let digit = at_least(low, 0x30) & !at_least(low, 0x3a);
    let letter = at_least(lower, 0x61) & !at_least(lower, 0x7b);
    (digit & !x & HIGHS, letter & !x & HIGHS)
}

impl Words {
    /// Appends the `n` low bytes of `bytes` (1 to 8; the rest is zero) to the word.
    #[inline(always)]
    fn push(&mut self, bytes: u64, n: u32) {
        let filled = self.len & 7;
        self.block |= bytes << (filled << 3);
        self.len = self.len.saturating_add(n);
        if filled.wrapping_add(n) >= 8 {
            self.mix();
            // Shifting by all 64 bits is nothing left.
            self.block = bytes.checked_shr(64u32.wrapping_sub(filled << 3)).unwrap_or(0);
        }
    }

    #[inline(always)]
    fn mix(&mut self) {
        let h = (self.hash ^ self.block).wrapping_mul(P);
        self.hash = h ^ (h >> 32);
        self.block = 0;
    }

    fn push_ascii(&mut self, b: u8) {
        let digit = u64::from(b.is_ascii_digit());
        self.digits |= digit;
        self.others |= digit ^ 1;
        self.push(u64::from(b), 1);
    }

    fn push_char(&mut self, c: u32) {
        if let Some(c) = char::from_u32(c) {
            let mut buf = [0; 8];
            let n = c.encode_utf8(&mut buf).len();
            self.others = 1;
            self.push(u64::from_le_bytes(buf), n as u32);
        }
    }

    #[inline(always)]
    fn end(&mut self) {
        if self.len == 0 {
            return;
        }
        // Numbers, ids, hex and base64 in slots neither break nor create shingles.
        let noise = if self.len <= 7 { self.others == 0 } else { self.digits != 0 || self.len > MAX_WORD };
        if !noise {
            if self.len & 7 != 0 {
                self.mix();
            }
            self.shingle(self.hash.wrapping_mul(P));
        }
        (self.hash, self.block, self.len, self.digits, self.others) = (self.seed, 0, 0, 0, 0);
    }

    #[inline(always)]
    fn shingle(&mut self, word: u64) {
        self.exact = (self.exact ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
        let [oldest, b, c, d] = self.ring;
        self.ring = [b, c, d, word];
        // R = sum of word[i+j] * P^(3-j)
        const P4: u64 = P.wrapping_mul(P).wrapping_mul(P).wrapping_mul(P);
        self.rolling = self.rolling.wrapping_mul(P).wrapping_add(word).wrapping_sub(oldest.wrapping_mul(P4));
        self.count = self.count.saturating_add(1);
        let z = self.rolling ^ self.seed;
        let h = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let h = h ^ (h >> 29);
        // Below a quarter of the range the top two bits are 00 already.
        if h < self.least.bound && self.count >= WORDS as u32 {
            self.least.insert(h);
        }
    }

    fn region(&mut self, text: &[u8]) {
        let mut at = 0usize;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            let x = match rest.first_chunk::<8>() {
                Some(block) => u64::from_le_bytes(*block),
                // Behind the end come zeros: boundaries.
                None => read_u64(rest, 0),
            };
            let (digit, letter) = classes(x);
            // Bytes before the first that is neither, then before the next that is one of them or beyond ASCII.
            let n = (!(digit | letter) & HIGHS).trailing_zeros() >> 3;
            if n > 0 {
                let kept = u64::MAX >> (64u32.wrapping_sub(n << 3) & 63);
                self.digits |= digit & kept;
                self.others |= letter & kept;
                self.push((x | ONES.wrapping_mul(0x20)) & kept, n);
                at = at.wrapping_add(n as usize);
            }
            if n < 8 {
                let begins = (digit | letter | x & HIGHS) >> (n << 3);
                match begins.trailing_zeros() >> 3 {
                    0 => at = at.wrapping_add(self.wide(rest.get(n as usize..).unwrap_or_default())),
                    gap => {
                        self.end();
                        at = at.wrapping_add(gap.min(8u32.wrapping_sub(n)) as usize);
                    }
                }
            }
        }
        self.end();
    }

    /// One code point beyond ASCII at the front of `rest`; its length.
    fn wide(&mut self, rest: &[u8]) -> usize {
        let (c, n) = decode(rest);
        match c.map(fold) {
            Some(Fold::Drop) => {}
            Some(Fold::Ascii(b)) => self.push_ascii(b),
            Some(Fold::Keep(c)) => self.push_char(c),
            Some(Fold::Alone(c)) => {
                self.end();
                self.push_char(c);
                self.end();
            }
            Some(Fold::Break) | None => self.end(),
        }
        n
    }
}

impl Fingerprinter {
    /// `seed`: the policy's text key.
    pub fn new(seed: u64) -> Fingerprinter {
        Fingerprinter { seed }
    }

    /// Takes the fingerprint of `regions` (each folded and sampled alone) into `out`, replacing what it holds.
    pub fn take(&self, regions: &[&[u8]], out: &mut Fingerprint) {
        out.values.clear();
        let (mut exact, mut total) = (self.seed, 0u32);
        for text in regions.iter().filter(|r| !r.is_empty()) {
            let mut words = Words {
                seed: self.seed,
                hash: self.seed,
                block: 0,
                len: 0,
                digits: 0,
                others: 0,
                ring: [0; WORDS],
                count: 0,
                rolling: 0,
                exact,
                least: Least::new(),
            };
            words.region(text);
            (exact, total) = (words.exact, total.saturating_add(words.count));
            out.values.extend(words.least.values.iter().take(words.least.len));
        }
        sort(&mut out.values);
        out.values.dedup();
        out.exact = (total >= WORDS as u32).then_some(exact.max(1));
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]
mod tests;
