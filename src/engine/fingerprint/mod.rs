//! Text to fingerprint: sampled shingles of four words. Text ends here.
//!
//! A value stands for four consecutive folded words. Values are sampled by their own hash (one in four), so
//! the same phrase is kept or dropped everywhere, whatever surrounds it. Guarantee: case, spacing,
//! punctuation, invisible characters, look-alike letters, numbers and ids change nothing; inserting a word
//! changes only the shingles across it. Memory: none beside the result. Cost: one pass, eight bytes at a
//! time, about 1 ns a byte natively (`make bench-micro`). Source: Broder 1997 (shingles), Manber 1994
//! (sampling by hash). Not for: texts below four words, paraphrases.

mod classes;
mod fold;
mod tables;

use crate::engine::hash::read_u64;
use classes::{BLOCK, Classes, classify};
use fold::{Fold, decode, fold};

/// Bytes of a block, and of what may be read after it.
const AHEAD: usize = BLOCK + 8;

/// Adds the values of one sorted list to another, each once.
#[inline(never)]
pub fn unite(to: &mut Vec<u64>, more: &[u64]) {
    if to.is_empty() {
        to.extend_from_slice(more);
        return;
    }
    let old = std::mem::take(to);
    to.reserve(old.len().saturating_add(more.len()));
    let (mut a, mut b) = (old.as_slice(), more);
    while let (Some((x, xs)), Some((y, ys))) = (a.split_first(), b.split_first()) {
        to.push(*x.min(y));
        if x <= y {
            a = xs;
        }
        if y <= x {
            b = ys;
        }
    }
    to.extend_from_slice(a);
    to.extend_from_slice(b);
}

/// Words of a shingle.
const WORDS: usize = 4;
/// One value in this many is kept.
const SAMPLE: u64 = 4;
/// Values that are kept of a region, at most.
pub const CAP: usize = 24;
/// Values of a request that the ledger learns from, at most.
pub const ANCHORS: usize = 12;
const P: u64 = 0x9E37_79B9_7F4A_7C15;
/// Longest word that counts, bytes.
const MAX_WORD: u32 = 24;

/// Fingerprint of one or more regions of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Sorted, unique; the top two bits are 00 (the text axis). At most `CAP` a region.
    pub values: Vec<u64>,
    /// Hash of all words in order; `None` below four words.
    pub exact: Option<u64>,
}

/// Takes fingerprints. It holds only the hash key; at most `CAP` values of a text, on the stack.
#[derive(Debug)]
pub struct Fingerprinter {
    seed: u64,
    least: Least,
}

/// Buckets of `Least`: values are hashes, so each gets as many.
const BUCKETS: usize = 16;

/// The `CAP` smallest of the values offered, sorted, each once. They are in buckets by their first bits, of
/// which only the first ones are in use.
#[derive(Debug)]
struct Least {
    /// Smallest hash that is not kept: at first the bound of the sample.
    bound: u64,
    values: [[u64; CAP]; BUCKETS],
    lens: [u8; BUCKETS],
    /// Buckets in use, and the values in them.
    open: usize,
    total: usize,
}

impl Least {
    fn new() -> Least {
        Least {
            bound: u64::MAX / SAMPLE,
            values: [[0; CAP]; BUCKETS],
            lens: [0; BUCKETS],
            open: BUCKETS,
            total: 0,
        }
    }

    /// Clears the list; the buckets need not be.
    fn clear(&mut self) {
        (self.bound, self.lens, self.open, self.total) = (u64::MAX / SAMPLE, [0; BUCKETS], BUCKETS, 0);
    }

    /// Adds a value below `bound`.
    #[inline(never)]
    fn insert(&mut self, value: u64) {
        let bucket = (value >> 58) as usize;
        let (Some(values), Some(len)) = (self.values.get_mut(bucket), self.lens.get_mut(bucket)) else {
            return;
        };
        let n = usize::from(*len);
        let mut at = n;
        while let Some(before) = at.checked_sub(1)
            && let Some(v) = values.get(before)
            && *v >= value
        {
            if *v == value {
                return;
            }
            at = before;
        }
        let full = n == CAP;
        // Larger values move up by one; the last of a full bucket falls out.
        let mut moved = value;
        for slot in values.get_mut(at..n.saturating_add(1).min(CAP)).unwrap_or_default() {
            moved = std::mem::replace(slot, moved);
        }
        if full {
            return;
        }
        *len = len.saturating_add(1);
        self.total = self.total.saturating_add(1);
        // The last bucket is not needed once the others hold enough.
        while let Some(last) = self.open.checked_sub(1) {
            let others = self.total.saturating_sub(self.lens.get(last).map_or(0, |n| usize::from(*n)));
            if others < CAP {
                break;
            }
            (self.total, self.open, self.bound) = (others, last, (last as u64) << 58);
        }
    }

    /// Copies the values to `out`, sorted. Returns their number.
    fn take(&self, out: &mut [u64; CAP]) -> usize {
        let mut n = 0usize;
        for (values, len) in self.values.iter().zip(self.lens).take(self.open) {
            for v in values.iter().take(len.into()) {
                if let Some(slot) = out.get_mut(n) {
                    *slot = *v;
                    n = n.saturating_add(1);
                }
            }
        }
        n
    }
}

/// Words of one region as they complete.
struct Words<'a> {
    seed: u64,
    /// Hash of the full blocks of the current word, and the block being filled.
    hash: u64,
    block: u64,
    len: u32,
    /// Not zero if the word has a digit; not zero if it has another byte.
    digits: u64,
    others: u64,
    roll: Roll,
    /// Words before the first shingle.
    first: u32,
    least: &'a mut Least,
}

/// Rolling hash of the last four words.
#[derive(Clone, Copy)]
struct Roll {
    /// Hashes of the last words, oldest first once four were seen.
    ring: [u64; WORDS],
    count: u32,
    rolling: u64,
    exact: u64,
}

impl Roll {
    /// Adds a word's hash. Returns the hash of the shingle that it ends.
    #[inline(always)]
    fn word(&mut self, seed: u64, word: u64) -> u64 {
        self.exact = (self.exact ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
        let [oldest, b, c, d] = self.ring;
        self.ring = [b, c, d, word];
        // R = sum of word[i+j] * P^(3-j)
        const P4: u64 = P.wrapping_mul(P).wrapping_mul(P).wrapping_mul(P);
        self.rolling = self.rolling.wrapping_mul(P).wrapping_add(word).wrapping_sub(oldest.wrapping_mul(P4));
        self.count = self.count.saturating_add(1);
        let z = self.rolling ^ seed;
        let h = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^ (h >> 29)
    }
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

impl Words<'_> {
    fn new(seed: u64, first: u32, least: &mut Least) -> Words<'_> {
        let roll = Roll { ring: [0; WORDS], count: 0, rolling: 0, exact: seed };
        Words { seed, hash: seed, block: 0, len: 0, digits: 0, others: 0, roll, first, least }
    }

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

    fn shingle(&mut self, word: u64) {
        let h = self.roll.word(self.seed, word);
        // Below a quarter of the range the top two bits are 00 already.
        if h < self.least.bound && self.roll.count >= self.first {
            self.least.insert(h);
        }
    }

    #[inline(never)]
    fn region(&mut self, text: &[u8]) {
        let mut rest = text;
        while !rest.is_empty() {
            let n = match rest.first_chunk::<AHEAD>() {
                Some(block) => self.block(block),
                None => {
                    // Behind the end come zeros: boundaries.
                    let mut end = [0u8; AHEAD];
                    end.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                    self.block(&end)
                }
            };
            rest = rest.get(n..).unwrap_or_default();
            // What the block left: a word with something beyond ASCII, or a very long one.
            if n == 0 {
                rest = self.slowly(rest);
            }
        }
        self.end();
    }

    /// Takes the ASCII words that end within the block. Returns the bytes up to the first that does not.
    #[inline(never)]
    fn block(&mut self, block: &[u8; AHEAD]) -> usize {
        let Some(bytes) = block.first_chunk::<BLOCK>() else { return 0 };
        let Classes { words, digits, wide } = classify(bytes);
        let limit = wide.trailing_zeros();
        // A word that goes on behind the last byte, or beyond ASCII, is left.
        let open = (words << (64u32.wrapping_sub(limit) & 63)).leading_ones().min(limit);
        let used = limit.wrapping_sub(open);
        let mut left = words & (1u64.checked_shl(used).unwrap_or(0)).wrapping_sub(1);
        let (seed, mut roll) = (self.seed, self.roll);
        while left != 0 {
            let start = left.trailing_zeros();
            // Adding its first bit to a run clears the run.
            let cleared = left & left.wrapping_add(left & left.wrapping_neg());
            let run = left ^ cleared;
            left = cleared;
            let n = (run >> start).trailing_ones();
            let digit = run & digits;
            // Without a branch that text decides.
            let short = n <= 7;
            if (short & (digit == run)) | (!short & ((digit != 0) | (n > MAX_WORD))) {
                continue;
            }
            let at = start as usize;
            let read = |at: usize| {
                u64::from_le_bytes(*block.get(at..).and_then(|r| r.first_chunk::<8>()).unwrap_or(&[0; 8]))
                    | ONES.wrapping_mul(0x20)
            };
            let mix = |hash: u64, x: u64| {
                let h = (hash ^ x).wrapping_mul(P);
                h ^ (h >> 32)
            };
            let keep = |n: u32| u64::MAX >> (64u32.wrapping_sub(n.min(8) << 3) & 63);
            let mut hash = mix(seed, read(at) & keep(n));
            let second = mix(hash, read(at.wrapping_add(8).min(BLOCK)) & keep(n.saturating_sub(8)));
            hash = if n > 8 { second } else { hash };
            if n > 16 {
                hash = mix(hash, read(at.wrapping_add(16).min(BLOCK)) & keep(n.wrapping_sub(16)));
            }
            let h = roll.word(seed, hash.wrapping_mul(P));
            if h < self.least.bound && roll.count >= self.first {
                self.least.insert(h);
            }
        }
        self.roll = roll;
        used as usize
    }

    /// Takes the text from the start of a word, or from a code point beyond ASCII, to where the next ASCII
    /// word may begin.
    fn slowly<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let mut at = 0usize;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            if at > 0 && self.len == 0 && rest.first().is_some_and(u8::is_ascii) {
                return rest;
            }
            let x = match rest.first_chunk::<8>() {
                Some(block) => u64::from_le_bytes(*block),
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
        &[]
    }

    /// Takes one code point beyond ASCII at the front of `rest`. Returns its length.
    fn wide(&mut self, rest: &[u8]) -> usize {
        let (c, n) = decode(rest);
        match c.map(fold) {
            Some(Fold::Drop) => {}
            Some(Fold::Ascii(b)) => self.push_ascii(b),
            Some(Fold::Several(letters)) => letters.bytes().for_each(|b| self.push_ascii(b)),
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
    /// `seed`: the policy's key for text.
    pub fn new(seed: u64) -> Fingerprinter {
        Fingerprinter { seed, least: Least::new() }
    }

    /// Takes the fingerprint of `regions` (each folded and sampled alone) into `out`, replacing what it
    /// holds.
    pub fn take(&mut self, regions: &[&[u8]], out: &mut Fingerprint) {
        out.values.clear();
        let (mut exact, mut total) = (self.seed, 0u32);
        for text in regions.iter().filter(|r| !r.is_empty()) {
            self.least.clear();
            let mut words = Words::new(self.seed, WORDS as u32, &mut self.least);
            words.roll.exact = exact;
            words.region(text);
            (exact, total) = (words.roll.exact, total.saturating_add(words.roll.count));
            self.keep(out);
        }
        out.exact = (total >= WORDS as u32).then_some(exact.max(1));
    }

    /// Takes the smallest values of all snippets together into `out`; they are among those that the whole
    /// texts would give. `each` gets the smallest of each snippet. A snippet may start and end within a word.
    pub fn sample(
        &mut self,
        snippets: impl Iterator<Item = [u8; BLOCK]>,
        out: &mut Fingerprint,
        mut each: impl FnMut(u64),
    ) {
        out.values.clear();
        let mut least = [0; CAP];
        for snippet in snippets {
            self.least.clear();
            // The first word is not whole.
            let mut words = Words::new(self.seed, (WORDS as u32).saturating_add(1), &mut self.least);
            let mut block = [0; AHEAD];
            if let Some(slot) = block.first_chunk_mut() {
                *slot = snippet;
            }
            // A word that goes on behind the end is left, and so is what stands behind the last boundary, or a code point at
            // either end.
            let n = words.block(&block);
            let text = block.get(n..BLOCK).unwrap_or_default();
            if !text.is_ascii() {
                let end = text.iter().rposition(|b| !b.is_ascii_alphanumeric() && b.is_ascii()).unwrap_or(0);
                // Behind it there may be Han, of which each is a word.
                let spelt = text.iter().skip(end.saturating_add(1)).any(|b| matches!(b, ..0x80 | 0xc2..0xe3));
                let whole = || text.iter().rposition(|b| *b & 0xc0 != 0x80).unwrap_or(0);
                let end = if spelt { end } else { whole() };
                let start = text.iter().take_while(|b| **b & 0xc0 == 0x80).count();
                words.region(text.get(start..end).unwrap_or_default());
            }
            let n = self.least.take(&mut least);
            let values = least.get(..n).unwrap_or_default();
            values.first().copied().into_iter().for_each(&mut each);
            unite(&mut out.values, values);
        }
        out.values.truncate(CAP);
    }

    #[inline(never)]
    fn keep(&self, out: &mut Fingerprint) {
        let mut least = [0; CAP];
        let n = self.least.take(&mut least);
        unite(&mut out.values, least.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]
mod tests;
