//! Samples a few snippets of a text of any length by their content: for text that no window keeps.
//!
//! A snippet starts at a letter that the policy's seed selects, where a keyed hash of the next eight bytes is
//! among the smallest of the request. So the same phrase is picked wherever it stands and however the text is
//! chunked; case does not matter. Of a phrase of 400 bytes about three places may be picked. It is found
//! among as much other text as the sample holds (about 1.5 KiB beside the windows), and seldom among more
//! than four times as much. Not found at a place: a phrase with something inserted within its eight bytes
//! (spaces, invisible characters) or with other letters there. Cost: 64 bytes at a time, about half of
//! reading them again (`make bench-micro`). Memory: 1.2 KiB.

use crate::engine::json::string_bits::letters;

/// Bytes of a snippet: about ten words.
pub const SNIPPET: usize = 64;
/// Bytes at hand, so that a snippet may start within the first `SNIPPET` of them.
const TWO: usize = SNIPPET * 2;
/// Largest number of snippets of a request.
pub const PICKS: usize = 16;
/// Letters that are no letter of an escape, each common in text, by their last five bits. (So they are in either case; in other
/// scripts they stand for bytes as common.)
const LETTERS: [u8; 6] = [b'c' & 31, b'm' & 31, b'w' & 31, b'y' & 31, b'g' & 31, b'p' & 31];

/// A snippet, as JSON writes it, with one-letter escapes.
#[derive(Clone, Copy)]
pub struct Pick {
    /// Hash by which it was picked.
    hash: u64,
    /// It starts within a word, and may end within one; zeros behind the end of a text.
    text: [u8; SNIPPET],
}

impl Pick {
    /// The snippet's text. An escaped letter is part of no word, so both it and its backslash are blanks.
    pub fn text(&self) -> [u8; SNIPPET] {
        let mut text = self.text;
        let mut found = letters(&text, b'\\' & 31);
        while found != 0 {
            let at = found.trailing_zeros();
            let one = 1u64.wrapping_shl(at);
            found &= !one;
            if let Some(pair) = text.get_mut(at as usize..)
                && pair.first() == Some(&b'\\')
            {
                pair.iter_mut().take(2).for_each(|b| *b = b' ');
                found &= !(one << 1);
            }
        }
        text
    }
}

impl std::fmt::Debug for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pick(redacted)")
    }
}

/// The sampler of one request's texts.
#[derive(Debug, Default)]
pub struct Sampler {
    key: u64,
    letter: u8,
    /// True if sampling is stopped.
    off: bool,
    /// Text that has not been scanned yet.
    text: Vec<u8>,
    /// Sorted by hash.
    picks: Vec<Pick>,
}

impl Sampler {
    /// Sets the policy's key.
    pub fn key(&mut self, key: u64) {
        self.key = key;
        let at = key.checked_rem(LETTERS.len() as u64).unwrap_or(0);
        self.letter = LETTERS.get(at as usize).copied().unwrap_or(1);
    }

    /// The policy's key.
    pub fn secret(&self) -> u64 {
        self.key
    }

    /// Starts another sample under the same key and returns the one so far.
    pub fn split(&mut self) -> Sampler {
        let next = Sampler { key: self.key, letter: self.letter, off: self.off, ..Sampler::default() };
        std::mem::replace(self, next)
    }

    /// Stops sampling.
    pub fn leave(&mut self) {
        self.off = true;
    }

    /// Takes a piece of text, as JSON writes it.
    #[inline(never)]
    pub fn feed(&mut self, text: &[u8]) {
        if self.off {
            return;
        }
        let mut rest = text;
        let had = self.text.len();
        if had > 0 {
            let some = rest.get(..TWO).unwrap_or(rest);
            let mut text = std::mem::take(&mut self.text);
            text.extend_from_slice(some);
            let used = self.look(&text);
            match used.checked_sub(had) {
                // What is left came all from this piece.
                Some(n) => {
                    text.clear();
                    rest = rest.get(n..).unwrap_or_default();
                }
                None => {
                    text.drain(..used);
                    rest = &[];
                }
            }
            self.text = text;
        }
        let used = self.look(rest);
        self.text.extend_from_slice(rest.get(used..).unwrap_or_default());
    }

    /// Ends a text.
    #[inline(never)]
    pub fn end(&mut self) {
        let n = self.text.len();
        if n > 0 {
            let mut text = std::mem::take(&mut self.text);
            // Behind the end come zeros: no letters.
            text.resize(n.next_multiple_of(SNIPPET).saturating_add(SNIPPET), 0);
            self.look(&text);
            text.clear();
            self.text = text;
        }
    }

    /// Scans all blocks of `SNIPPET` bytes that others follow. Returns their length in bytes.
    #[inline(never)]
    fn look(&mut self, text: &[u8]) -> usize {
        const LOWER: u64 = 0x2020_2020_2020_2020;
        const P: u64 = 0x9e37_79b9_7f4a_7c15;
        let (mut bound, mut from) = (self.bound(), 0usize);
        while let Some(block) = text.get(from..).and_then(|t| t.first_chunk::<TWO>()) {
            from = from.wrapping_add(SNIPPET);
            let Some(first) = block.first_chunk::<SNIPPET>() else { break };
            let mut found = letters(first, self.letter);
            while found != 0 {
                let at = (found.trailing_zeros() & 63) as usize;
                found &= found.wrapping_sub(1);
                let Some(word) = block.get(at..).and_then(|t| t.first_chunk::<8>()) else { break };
                let hash = ((u64::from_le_bytes(*word) | LOWER) ^ self.key).wrapping_mul(P);
                if hash < bound {
                    let Some(text) = block.get(at..).and_then(|t| t.first_chunk()) else { break };
                    self.pick(Pick { hash, text: *text });
                    bound = self.bound();
                }
            }
        }
        from
    }

    /// Inserts a snippet among those with the least hashes, each once.
    #[inline(never)]
    fn pick(&mut self, new: Pick) {
        if let Err(to) = self.picks.binary_search_by_key(&new.hash, |p| p.hash) {
            self.picks.truncate(PICKS.saturating_sub(1));
            self.picks.insert(to, new);
        }
    }

    /// Least hash that is not picked. While there is room it is half of the range, as half of the places are
    /// enough.
    fn bound(&self) -> u64 {
        self.picks.get(PICKS.saturating_sub(1)).map_or(u64::MAX / 2, |p| p.hash)
    }

    /// Returns the snippets. The sampler is empty afterwards.
    pub fn take(&mut self) -> Vec<Pick> {
        self.end();
        std::mem::take(&mut self.picks)
    }
}
