//! Files within JSON strings (base64, data URLs): the text of those that are text, piece by piece.
//!
//! The first bytes decide, not the claimed type: bytes that decode to UTF-8 or UTF-16 without control
//! characters are text. A string that is claimed to be text is read as text in any case. Images, audio and
//! PDF are skipped. The decoder accepts whatever any common decoder accepts: both alphabets; line breaks and
//! foreign characters are skipped; padding is optional; bytes after it are read and reported (`is_odd`).
//! Memory: 150 bytes a file. Cost: 54 wasm instructions a byte of text with all that reads it, five to ten
//! times that of plain text (`tests/bench/README.md`); skipped bytes cost nothing.

use super::string_bits::letter;
use super::transcode::Transcoder;

/// Characters of base64 that decide whether a file is text.
const FIRST: usize = 96;
/// Shortest string that is tried as base64, characters: a shorter one may be a word.
const LEAST: usize = 12;
/// Bytes of text that are handed on at once.
const PIECE: usize = 192;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Start of the string: it may be a data URL.
    #[default]
    Start,
    /// In the head of a data URL, before its comma.
    Url,
    /// In the first characters of base64, not recognised yet.
    First,
    /// In base64 that holds text.
    Base64,
    /// In a percent-encoded data URL that holds text.
    Percent,
    /// In something other than text, which is skipped.
    Passed,
}

/// Value of a character of base64, in either alphabet; 64 and more: none.
const DIGITS: [u8; 256] = {
    let (mut table, mut i) = ([255u8; 256], 0u8);
    while i < 64 {
        let letters: &[u8] = match i {
            0..=25 => &[b'A'.wrapping_add(i)],
            26..=51 => &[b'a'.wrapping_sub(26).wrapping_add(i)],
            52..=61 => &[b'0'.wrapping_sub(52).wrapping_add(i)],
            62 => b"+-",
            _ => b"/_",
        };
        let mut rest = letters;
        while let [letter, after @ ..] = rest {
            #[allow(clippy::indexing_slicing, reason = "256 entries for a byte")]
            {
                table[*letter as usize] = i;
            }
            rest = after;
        }
        i = i.wrapping_add(1);
    }
    table
};

/// The six bits of a base64 digit; see `DIGITS` for other bytes.
pub fn base64_digit(b: u8) -> u8 {
    DIGITS.get(usize::from(b)).copied().unwrap_or(255)
}

/// Decoder of base64, in any pieces.
#[derive(Clone, Copy, Debug, Default)]
struct Decoder {
    bits: u32,
    digits: u32,
    pads: u32,
    /// True if padding has ended it and more characters have followed.
    ended: bool,
    more: bool,
}

impl Decoder {
    #[inline(never)]
    fn push(&mut self, b: u8, out: &mut Out<'_>) {
        let value = base64_digit(b);
        if value < 64 {
            self.more |= self.ended;
            self.pads = 0;
            self.bits = self.bits << 6 | u32::from(value);
            self.digits = self.digits.wrapping_add(1);
            if self.digits == 4 {
                self.flush(out);
            }
        } else if b == b'=' && self.digits >= 2 {
            self.pads = self.pads.wrapping_add(1);
            if self.digits.wrapping_add(self.pads) >= 4 {
                self.flush(out);
                self.ended = true;
            }
        }
    }

    /// The bytes of up to four digits.
    #[inline(never)]
    fn flush(&mut self, out: &mut Out<'_>) {
        let (digits, bits) = (std::mem::take(&mut self.digits), std::mem::take(&mut self.bits));
        self.pads = 0;
        let [_, a, b, c] = (bits << (4u32.wrapping_sub(digits).wrapping_mul(6) & 31)).to_be_bytes();
        for byte in [a, b, c].iter().take(digits.saturating_sub(1) as usize) {
            out.push(*byte);
        }
    }
}

/// Output buffer: decoded bytes to UTF-8.
struct Out<'a> {
    transcoder: &'a mut Transcoder,
    buf: [u8; PIECE],
    len: usize,
    to: &'a mut dyn FnMut(&[u8]),
}

impl Out<'_> {
    fn push(&mut self, b: u8) {
        if self.len >= PIECE {
            self.flush();
        }
        if let Some(slot) = self.buf.get_mut(self.len) {
            *slot = b;
            self.len = self.len.wrapping_add(1);
        }
    }
    /// Decodes the groups of four digits at the start, as many as fit. Returns the number of characters.
    fn fours(&mut self, piece: &[u8]) -> usize {
        let room = self.buf.get_mut(self.len..).unwrap_or_default();
        let mut n = 0usize;
        for (to, four) in room.as_chunks_mut::<3>().0.iter_mut().zip(piece.as_chunks::<4>().0) {
            let [a, b, c, d] = four.map(|b| u32::from(base64_digit(b)));
            if a | b | c | d >= 64 {
                break;
            }
            let [_, first, second, third] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
            *to = [first, second, third];
            n = n.wrapping_add(1);
        }
        self.len = self.len.wrapping_add(n.wrapping_mul(3));
        n.wrapping_mul(4)
    }
    #[inline(never)]
    fn flush(&mut self) {
        let n = std::mem::take(&mut self.len);
        if n > 0 {
            self.transcoder.feed(self.buf.get(..n).unwrap_or_default(), self.to);
        }
    }
}

/// Reader of the file in one string.
#[derive(Clone, Debug)]
pub struct File {
    state: State,
    /// True if it is claimed to be a text.
    claimed: bool,
    /// The first characters: of a data URL, else of base64.
    first: [u8; FIRST],
    len: usize,
    /// The last eight characters before the comma of a data URL.
    last: u64,
    decoder: Decoder,
    /// After a `%`: hexadecimal digits so far, with a one in front.
    hex: u32,
    transcoder: Transcoder,
    bytes: u64,
    /// True if the part of the string that was looked at is base64.
    coded: bool,
}

impl Default for File {
    fn default() -> File {
        File {
            state: State::Start,
            claimed: false,
            first: [0; FIRST],
            len: 0,
            last: 0,
            decoder: Decoder::default(),
            hex: 0,
            transcoder: Transcoder::default(),
            bytes: 0,
            coded: false,
        }
    }
}

impl File {
    /// Starts a string. `claimed`: its type says that it is text.
    pub fn claimed(claimed: bool) -> File {
        File { claimed, ..File::default() }
    }

    /// Bytes of the string that were skipped because it is not text.
    pub fn passed(&self) -> u64 {
        if self.state == State::Passed { self.bytes } else { 0 }
    }

    /// True if the string was skipped as base64 of something other than text.
    pub fn is_binary(&self) -> bool {
        self.state == State::Passed && self.coded
    }

    /// True if common decoders would read this string differently: some stop where this one goes on.
    pub fn is_odd(&self) -> bool {
        self.state == State::Base64 && self.decoder.more
    }

    /// Takes a piece of the string. `raw`: it may hold one-letter escapes, none of them split. Text goes to
    /// `to`.
    pub fn feed(&mut self, piece: &[u8], raw: bool, to: &mut dyn FnMut(&[u8])) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        let mut rest = piece;
        while self.state != State::Passed && !rest.is_empty() {
            rest = match self.state {
                State::Base64 => self.base64(rest, raw, to),
                _ => {
                    let (b, after) = match rest {
                        [b'\\', b, after @ ..] if raw => (letter(*b).unwrap_or(*b), after),
                        [b, after @ ..] => (*b, after),
                        [] => return,
                    };
                    self.step(b, to);
                    after
                }
            };
        }
    }

    /// Ends the string. Remaining text goes to `to`.
    pub fn end(&mut self, to: &mut dyn FnMut(&[u8])) {
        if matches!(self.state, State::Start | State::First) {
            self.judge(to);
        }
        if self.state == State::Base64 {
            let File { decoder, transcoder, .. } = self;
            let mut out = Out { transcoder, buf: [0; PIECE], len: 0, to };
            decoder.flush(&mut out);
            out.flush();
        } else if self.state == State::Url {
            self.state = State::Passed;
        }
    }

    #[inline(never)]
    fn base64<'a>(&mut self, piece: &'a [u8], raw: bool, to: &mut dyn FnMut(&[u8])) -> &'a [u8] {
        let File { decoder, transcoder, .. } = self;
        let mut out = Out { transcoder, buf: [0; PIECE], len: 0, to };
        let mut rest = piece;
        while let Some((&b, after)) = rest.split_first() {
            if decoder.digits == 0 && !decoder.ended {
                let fours = out.fours(rest);
                if fours > 0 {
                    rest = rest.get(fours..).unwrap_or_default();
                    continue;
                }
            }
            // A backslash is the start of an escaped slash, or of a break.
            rest = match (b, after) {
                (b'\\', [b, after @ ..]) if raw => {
                    decoder.push(letter(*b).filter(|b| *b == b'/').unwrap_or(b'\n'), &mut out);
                    after
                }
                _ => {
                    decoder.push(b, &mut out);
                    after
                }
            };
        }
        out.flush();
        rest
    }

    #[inline(never)]
    fn step(&mut self, b: u8, to: &mut dyn FnMut(&[u8])) {
        match self.state {
            State::Start | State::First => {
                if self.len == 0 && b.is_ascii_whitespace() {
                    return;
                }
                self.keep(b);
                let start = self.first.get(..self.len).unwrap_or_default();
                if self.state == State::Start && self.len == 5 {
                    let url = start.eq_ignore_ascii_case(b"data:");
                    self.state = if url { State::Url } else { State::First };
                    self.len = if url { 0 } else { self.len };
                }
                if self.len == FIRST {
                    self.judge(to);
                }
            }
            State::Url if b == b',' => {
                let name = self.first.get(..self.len).unwrap_or_default();
                self.claimed |= is_text_type(name);
                self.len = 0;
                // (`;base64`, with the byte before it.)
                let coded = self.last.to_be_bytes().get(1..) == Some(b";base64");
                self.state = if coded { State::First } else { State::Percent };
            }
            State::Url => {
                self.keep(b);
                self.last = self.last << 8 | u64::from(b.to_ascii_lowercase());
            }
            State::Percent => self.percent(b, to),
            State::Base64 | State::Passed => {}
        }
    }

    fn percent(&mut self, b: u8, to: &mut dyn FnMut(&[u8])) {
        let value = char::from(b).to_digit(16);
        match (self.hex, value) {
            (0, _) if b == b'%' => self.hex = 1,
            (1, Some(value)) => self.hex = 16 | value,
            (high @ 16..=31, Some(value)) => {
                self.hex = 0;
                to(&[(high << 4 | value) as u8]);
            }
            _ => {
                self.hex = 0;
                to(&[b]);
            }
        }
    }

    fn keep(&mut self, b: u8) {
        if let Some(slot) = self.first.get_mut(self.len) {
            *slot = b;
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Decides by the first characters whether the file is text.
    #[inline(never)]
    fn judge(&mut self, to: &mut dyn FnMut(&[u8])) {
        let (first, n) = (self.first, std::mem::take(&mut self.len));
        let first = first.get(..n).unwrap_or_default();
        self.coded = n >= LEAST
            && first.iter().all(|b| base64_digit(*b) < 64 || *b == b'=' || b.is_ascii_whitespace());
        // An address, whatever its type is said to be.
        let claimed = self.claimed && n >= LEAST && !first.windows(3).any(|w| w == b"://");
        let mut text = Vec::new();
        if !claimed {
            let (mut transcoder, mut decoder) = (Transcoder::default(), Decoder::default());
            let mut push = |b: &[u8]| text.extend_from_slice(b);
            let mut out = Out { transcoder: &mut transcoder, buf: [0; PIECE], len: 0, to: &mut push };
            first.iter().for_each(|b| decoder.push(*b, &mut out));
            decoder.flush(&mut out);
            out.flush();
        }
        if claimed || looks_like_text(&text) {
            self.state = State::Base64;
            self.base64(first, false, to);
        } else {
            self.state = State::Passed;
        }
    }
}

/// True if the bytes are text. The last character may be incomplete.
#[inline(never)]
fn looks_like_text(bytes: &[u8]) -> bool {
    let cut = std::str::from_utf8(bytes).err().map_or(0, |e| e.error_len().map_or(0, |_| 1));
    let odd = |b: &u8| *b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r' | 12) || *b == 127;
    let replaced = |w: &[u8]| w == [0xef, 0xbf, 0xbd];
    let pdf = bytes.first_chunk() == Some(b"%PDF");
    bytes.len() >= LEAST && cut == 0 && !pdf && !bytes.iter().any(odd) && !bytes.windows(3).any(replaced)
}

/// True if this is the name of a text type: a media type (`text/csv`, `application/json; charset=utf-8`), or
/// the extension of a file's name.
#[inline(never)]
pub fn is_text_type(name: &[u8]) -> bool {
    const KINDS: &[u8] = b" txt text md markdown csv tsv html htm xhtml json jsonl ndjson xml yaml yml toml ini log rtf tex rst \
        javascript js typescript ts css python py java c cpp h cs go rb php rs swift kt sh sql r ";
    let end = name.iter().position(|b| *b == b';').unwrap_or(name.len());
    let name = name.get(..end).unwrap_or_default();
    let start = name.iter().rposition(|b| !b.is_ascii_alphanumeric()).map_or(0, |at| at.wrapping_add(1));
    let mut word = [b' '; 16];
    let last = name.get(start..).unwrap_or_default();
    let Some(room) = word.get_mut(1..last.len().wrapping_add(1)) else { return false };
    room.copy_from_slice(last);
    let word = word.get(..last.len().wrapping_add(2)).unwrap_or(&word);
    let text = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"));
    text || !last.is_empty() && KINDS.windows(word.len()).any(|kind| kind.eq_ignore_ascii_case(word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests;
