//! Text to fingerprint: sampled 4-word shingles. Text ends here.
//!
//! A value stands for four consecutive folded words. Values are sampled by their own hash (one in four), so the same phrase
//! is kept or dropped everywhere, whatever surrounds it. Guarantee: changing case, spacing, punctuation, invisible
//! characters, look-alike letters, numbers or ids changes nothing; inserting a word touches only the shingles across it.
//! Memory: three small buffers, reused. Cost: one pass, about 3 ns a byte natively. Source: Broder 1997 (shingles), Manber 1994
//! (sampling by hash). Not for: texts below four words, paraphrases.

mod fold;

use fold::{ASCII, Fold, decode, fold};

/// Words of a shingle.
const WORDS: usize = 4;
/// One value in this many is kept.
const SAMPLE: u64 = 4;
/// Values kept per region.
pub const CAP: usize = 24;
/// Values that touch the learning tables.
pub const ANCHORS: usize = 12;
const P: u64 = 0x9E37_79B9_7F4A_7C15;
const DIGIT: u8 = 1;
const OTHER: u8 = 2;
/// Longest word that counts, bytes.
const MAX_WORD: usize = 24;

/// Fingerprint of some regions of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Sorted, unique; top two bits 00 (the text axis). At most `CAP` per region.
    pub values: Vec<u64>,
    /// Order-dependent mix of all word hashes; `None` below 4 words.
    pub exact: Option<u64>,
}

/// Reusable working memory.
#[derive(Debug)]
pub struct Fingerprinter {
    seed: u64,
    region: Vec<u64>,
}

/// Words of one region as they complete.
struct Words<'a> {
    seed: u64,
    /// Hash of the full blocks of the current word, and the block being filled.
    hash: u64,
    block: u64,
    len: usize,
    /// Classes of bytes seen in the word: `DIGIT`, `OTHER`.
    classes: u8,
    /// Hashes of the last words, oldest first once four were seen.
    ring: [u64; WORDS],
    count: u64,
    rolling: u64,
    exact: &'a mut u64,
    total: &'a mut u32,
    out: &'a mut Vec<u64>,
}

impl Words<'_> {
    #[inline]
    fn push(&mut self, b: u8) {
        self.block |= u64::from(b) << ((self.len & 7) << 3);
        self.len = self.len.wrapping_add(1);
        self.classes |= if b.is_ascii_digit() { DIGIT } else { OTHER };
        if self.len & 7 == 0 {
            self.mix();
        }
    }

    #[inline]
    fn mix(&mut self) {
        let h = (self.hash ^ self.block).wrapping_mul(P);
        self.hash = h ^ (h >> 32);
        self.block = 0;
    }

    fn push_char(&mut self, c: u32) {
        if let Some(c) = char::from_u32(c) {
            let mut buf = [0; 4];
            for b in c.encode_utf8(&mut buf).bytes() {
                self.push(b);
            }
        }
    }

    fn end(&mut self) {
        if self.len == 0 {
            return;
        }
        // Numbers, ids, hex and base64 in slots neither break nor create shingles.
        let (short, digits) = (self.len <= 7, self.classes & DIGIT != 0);
        let noise = (short && self.classes == DIGIT) || (!short && digits) || self.len > MAX_WORD;
        if !noise {
            if self.len & 7 != 0 {
                self.mix();
            }
            self.shingle(self.hash.wrapping_mul(P));
        }
        (self.hash, self.block) = (self.seed, 0);
        self.len = 0;
        self.classes = 0;
    }

    fn shingle(&mut self, word: u64) {
        *self.exact = (*self.exact ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
        *self.total = self.total.saturating_add(1);
        let [oldest, b, c, d] = self.ring;
        self.ring = [b, c, d, word];
        // R = sum of word[i+j] * P^(3-j)
        const P4: u64 = P.wrapping_mul(P).wrapping_mul(P).wrapping_mul(P);
        self.rolling = self.rolling.wrapping_mul(P).wrapping_add(word).wrapping_sub(oldest.wrapping_mul(P4));
        self.count = self.count.saturating_add(1);
        if self.count < WORDS as u64 {
            return;
        }
        let z = self.rolling ^ self.seed;
        let h = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let h = h ^ (h >> 29);
        if h < u64::MAX / SAMPLE {
            self.out.push(h.wrapping_mul(SAMPLE) >> 2);
        }
    }
}

impl Fingerprinter {
    /// `seed`: the policy's text key.
    pub fn new(seed: u64) -> Fingerprinter {
        Fingerprinter { seed, region: Vec::with_capacity(1024) }
    }

    /// Takes the fingerprint of `regions` (each folded and sampled alone) into `out`, replacing what it holds.
    pub fn take(&mut self, regions: &[&[u8]], out: &mut Fingerprint) {
        out.values.clear();
        let (mut exact, mut total) = (self.seed, 0u32);
        for text in regions.iter().filter(|r| !r.is_empty()) {
            self.region.clear();
            let mut words = Words {
                seed: self.seed,
                hash: self.seed,
                block: 0,
                len: 0,
                classes: 0,
                ring: [0; WORDS],
                count: 0,
                rolling: 0,
                exact: &mut exact,
                total: &mut total,
                out: &mut self.region,
            };
            scan(text, &mut words);
            self.region.sort_unstable();
            self.region.dedup();
            out.values.extend(self.region.iter().take(CAP));
        }
        out.values.sort_unstable();
        out.values.dedup();
        out.exact = (total >= WORDS as u32).then_some(exact.max(1));
    }
}

fn scan(text: &[u8], words: &mut Words<'_>) {
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        match ASCII.get(usize::from(b)) {
            Some(0) => words.end(),
            Some(&f) => words.push(f),
            None => {}
        }
        if b < 128 {
            rest = after;
            continue;
        }
        let (c, n) = decode(rest);
        match c.map(fold) {
            Some(Fold::Drop) => {}
            Some(Fold::Ascii(f)) => words.push(f),
            Some(Fold::Keep(c)) => words.push_char(c),
            Some(Fold::Alone(c)) => {
                words.end();
                words.push_char(c);
                words.end();
            }
            Some(Fold::Break) | None => words.end(),
        }
        rest = rest.get(n..).unwrap_or_default();
    }
    words.end();
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]
mod tests;
