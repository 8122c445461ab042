//! Facts of one request body, in bounded memory: about 12 KiB a request in flight, at most 30 KiB, nothing
//! afterwards.

use super::sampler::{Pick, Sampler};
use crate::engine::hash;
use crate::engine::json::string_bits::{BLOCK, escapes_in, letter, slash};
use crate::engine::json::unreadable::Unreadable;

/// Bytes kept from the start of a text.
pub const HEAD: usize = 2_048;
/// Bytes kept from the end of a text longer than `HEAD + TAIL`.
pub const TAIL: usize = 1_024;
/// Bytes kept of all instructions together.
pub const INSTRUCTIONS: usize = 2_048;

/// Start and end of a text: whole up to 3,072 bytes, else the first 2,048 and the last 1,024. Stored as JSON
/// writes it, with one-letter escapes, and unescaped on demand: most texts of a conversation are never used.
#[derive(Clone, Default)]
pub struct Window {
    head: Vec<u8>,
    /// Unescaped bytes of the head.
    head_len: usize,
    /// Ends with the last `TAIL` bytes behind the head; at most four times as much, so that they are moved rarely.
    tail: Vec<u8>,
    len: u64,
    /// The text has been unescaped.
    plain: bool,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Window({} bytes, redacted)", self.len)
    }
}

/// The next position at or after `at` that does not split an escape.
fn between(bytes: &[u8], at: usize) -> usize {
    let slashes = bytes.iter().take(at).rev().take_while(|b| **b == b'\\').count();
    at.saturating_add(slashes & 1).min(bytes.len())
}

/// The text with one-letter escapes replaced by what they stand for.
fn unescape(bytes: &mut Vec<u8>) {
    let end = bytes.len();
    bytes.extend_from_slice(&[0; BLOCK]);
    let mut out = vec![0; bytes.len()];
    let (mut at, mut len) = (0usize, 0usize);
    while at < end
        && let Some(block) = bytes.get(at..).and_then(|r| r.first_chunk::<BLOCK>())
    {
        let n = slash(block);
        // A block may be copied beyond its end, but then the next copy overwrites that.
        if let Some(slot) = out.get_mut(len..).and_then(|t| t.first_chunk_mut::<BLOCK>()) {
            *slot = *block;
        }
        at = at.wrapping_add(n);
        len = len.wrapping_add(n);
        if n < BLOCK {
            let b = bytes.get(at.wrapping_add(1)).copied().and_then(letter);
            if let Some(slot) = out.get_mut(len) {
                *slot = b.unwrap_or_default();
            }
            at = at.wrapping_add(2);
            len = len.wrapping_add(1);
        }
    }
    out.truncate(len.saturating_sub(at.saturating_sub(end)));
    *bytes = out;
}

/// Writes plain text as the content of a JSON string, in pieces: only backslashes are escaped. `each` gets
/// each piece with its number of escapes.
pub fn escape(bytes: &[u8], mut each: impl FnMut(&[u8], usize)) {
    for (i, part) in bytes.split(|b| *b == b'\\').enumerate() {
        if i > 0 {
            each(b"\\\\", 1);
        }
        each(part, 0);
    }
}

impl Window {
    /// Appends text that is already unescaped. Bytes that the window drops go to `gone`.
    pub fn push(&mut self, bytes: &[u8], mut gone: Option<&mut Sampler>) {
        escape(bytes, |raw, escapes| self.push_raw(raw, escapes, gone.as_deref_mut()));
    }
    /// Appends the content of a JSON string with `escapes` one-letter escapes, none of them split. Bytes that
    /// the window drops go to `gone`.
    #[inline(never)]
    pub fn push_raw(&mut self, bytes: &[u8], escapes: usize, gone: Option<&mut Sampler>) {
        debug_assert!(!self.plain, "push after regions");
        self.len = self.len.saturating_add(bytes.len().saturating_sub(escapes) as u64);
        let (mut rest, mut left) = (bytes, escapes);
        while self.head_len < HEAD && !rest.is_empty() {
            let n = between(rest, HEAD.saturating_sub(self.head_len).min(rest.len()));
            let (first, after) = rest.split_at_checked(n).unwrap_or((rest, &[]));
            let escapes = if left == 0 || after.is_empty() { left } else { escapes_in(first) };
            self.head.extend_from_slice(first);
            self.head_len = self.head_len.saturating_add(n.saturating_sub(escapes));
            left = left.saturating_sub(escapes);
            rest = after;
        }
        if !rest.is_empty() {
            self.push_tail(rest, gone);
        }
    }
    /// Ends one of several texts, so that what is kept does not depend on how they were split into pieces.
    #[inline(never)]
    pub fn pause(&mut self, gone: Option<&mut Sampler>) {
        let from = between(&self.tail, self.tail.len().saturating_sub(TAIL.saturating_mul(2)));
        if from > 0 {
            if let Some(sampler) = gone {
                sampler.feed(self.tail.get(..from).unwrap_or_default());
            }
            self.tail.drain(..from);
        }
    }
    /// Ends the text. The bytes between start and end of the window go to `gone`.
    #[inline(never)]
    pub fn keep(&self, gone: &mut Sampler) {
        gone.feed(self.tail.get(..self.tail.len().saturating_sub(TAIL)).unwrap_or_default());
        gone.end();
    }
    /// Drops the text, or (`head`) all but its start. What is dropped goes to `gone`.
    #[inline(never)]
    pub fn leave(&self, head: bool, gone: &mut Sampler) {
        gone.feed(&self.tail);
        gone.end();
        if head {
            gone.feed(&self.head);
            gone.end();
        }
    }
    fn push_tail(&mut self, bytes: &[u8], mut gone: Option<&mut Sampler>) {
        let mut leave = |bytes: &[u8]| {
            if let Some(sampler) = &mut gone {
                sampler.feed(bytes);
            }
        };
        // Twice as much: all of it may be escapes.
        let from = between(bytes, bytes.len().saturating_sub(TAIL.saturating_mul(2)));
        let (before, bytes) = bytes.split_at_checked(from).unwrap_or((&[], bytes));
        if from > 0 {
            leave(&self.tail);
            leave(before);
            self.tail.clear();
        } else if self.tail.len().saturating_add(bytes.len()) > TAIL.saturating_mul(4) {
            let from = between(&self.tail, self.tail.len().saturating_sub(TAIL.saturating_mul(2)));
            leave(self.tail.get(..from).unwrap_or_default());
            self.tail.drain(..from);
        }
        self.tail.extend_from_slice(bytes);
    }
    /// Appends the text of another window, after a line break.
    #[inline(never)]
    pub fn absorb(&mut self, other: &mut Window, gone: &mut Sampler) {
        other.keep(gone);
        let (head, tail) = other.regions();
        for text in [b"\n", head, tail] {
            escape(text, |raw, escapes| self.push_raw(raw, escapes, Some(&mut *gone)));
        }
        self.pause(Some(gone));
    }
    /// True if the start is full.
    pub fn is_full(&self) -> bool {
        self.head_len >= HEAD
    }
    /// Hash of the length and of the last 64 bytes of the start: tells long texts with equal beginnings
    /// apart, roughly.
    pub fn tell(&self) -> u64 {
        hash::text(self.len, self.head.get(self.head.len().saturating_sub(64)..).unwrap_or_default())
    }
    /// Clears the text and keeps the memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        (self.head_len, self.len, self.plain) = (0, 0, false);
    }
    /// Bytes of text pushed so far, unescaped.
    pub fn text_len(&self) -> u64 {
        self.len
    }
    /// True if nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The kept text, unescaped: one region, or start and end. Nothing may be pushed afterwards.
    pub fn regions(&mut self) -> (&[u8], &[u8]) {
        if !self.plain {
            self.plain = true;
            if self.head_len != self.head.len() {
                unescape(&mut self.head);
            }
            if self.tail.contains(&b'\\') {
                unescape(&mut self.tail);
            }
            // Up to head and tail together the text is whole: one region, so that no shingle is lost at the seam.
            if self.len <= (HEAD.saturating_add(TAIL)) as u64 {
                self.head.append(&mut self.tail);
            } else if let Some(from) = self.tail.len().checked_sub(TAIL) {
                self.tail.drain(..from);
            }
        }
        (&self.head, &self.tail)
    }
    /// Bytes of memory in use.
    pub fn size_bytes(&self) -> usize {
        self.head.capacity().saturating_add(self.tail.capacity())
    }
    /// Frees unused capacity. Nothing may be pushed afterwards.
    pub fn trim(&mut self) {
        let _ = self.regions();
        self.head.shrink_to_fit();
        self.tail.shrink_to_fit();
    }
    /// Keyed hash of the kept bytes and the length. Equal texts have equal hashes.
    pub fn digest(&mut self, key: (u64, u64)) -> u64 {
        let len = self.len;
        let (head, tail) = self.regions();
        let h = hash::combine(hash::text(key.1, head), len);
        if tail.is_empty() { h } else { hash::combine(h, hash::text(key.1, tail)) }
    }
}

/// What a dialect found in a body: values, and text only in bounded windows, which `fingerprint` consumes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// System and developer texts, joined by spaces: the first 2,048 bytes.
    pub instructions: Vec<u8>,
    /// The last user message (results of tools count as user text).
    pub user: Window,
    /// The first user message, if there is more than one; empty when the first is the last.
    pub first_user: Window,
    /// Sample of all other text up to the end of the first user message: at most 16 snippets.
    pub picks: Vec<Pick>,
    /// The same of the text after it.
    pub later: Vec<Pick>,
    /// The same of the text beside the messages.
    pub beside: Vec<Pick>,
    /// True if an assistant or tool message is present: the request continues a conversation.
    pub conversation: bool,
    /// Messages seen.
    pub messages: u32,
    /// Prompts in the request: the length of a list (`prompt: [..]`, `input: [..]`), else 1; 0 if no body was
    /// read.
    pub prompts: u16,
    /// Hash of the model's name (0 = absent).
    pub model: u64,
    /// Hash of the set of body fields used and of the values of temperature, top_p, n, max_tokens, seed, logprobs, stream.
    pub shape: u64,
    /// Answers asked for with each prompt (`n`, `best_of`); 0 counts as 1.
    pub answers: u16,
    /// True if the caller asked for a stream.
    pub stream: bool,
    /// True if the body is longer than `max_inspect_bytes`: the facts cover its first bytes only.
    pub beyond_window: bool,
    /// Requests in the body if it is a batch, 0 if it is not.
    pub items: u16,
    /// Facts of a uniform sample of the other requests of a batch: at most 7.
    pub sample: Vec<Facts>,
    /// True if images, audio or files are present that are not read.
    pub media: bool,
    /// Why the body could not be read. The other fields hold what was read before.
    pub unreadable: Option<Unreadable>,
    /// Hash of the first bytes and the length of an unreadable body, to tell such bodies apart.
    pub body: u64,
}

impl Facts {
    /// Appends to the instructions, up to their bound, with a space between texts. Returns the bytes that
    /// were taken.
    pub fn push_instructions(&mut self, text: &[u8], first_piece: bool) -> usize {
        if first_piece && !self.instructions.is_empty() && self.instructions.len() < INSTRUCTIONS {
            self.instructions.push(b' ');
        }
        let room = INSTRUCTIONS.saturating_sub(self.instructions.len()).min(text.len());
        self.instructions.extend_from_slice(text.get(..room).unwrap_or_default());
        room
    }
    /// Drops all text. Called once the fingerprint is taken.
    pub fn wipe(&mut self) {
        self.instructions = Vec::new();
        self.user = Window::default();
        self.first_user = Window::default();
        self.picks = Vec::new();
        self.later = Vec::new();
        self.beside = Vec::new();
        self.sample = Vec::new();
    }
}
