//! What is known of one request body, in bounded memory: about 12 KiB a request in flight, 30 KiB at most, nothing afterwards.

use crate::engine::hash;

/// Bytes kept from the start of a text.
pub const HEAD: usize = 2_048;
/// Bytes kept from the end of a text longer than `HEAD + TAIL`.
pub const TAIL: usize = 1_024;
/// Bytes kept of all instructions together.
pub const INSTRUCTIONS: usize = 2_048;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// More than 128 header pairs or 64 KiB of headers.
    Headers,
    /// `content-encoding` other than identity.
    Compressed,
    /// Not JSON.
    NotJson,
    /// JSON that ends too early, or a body shorter than its content-length.
    Truncated,
    /// Something follows the JSON value.
    Trailing,
    /// A key that decides the meaning stands twice (`model`, `messages`, `role`, `content`, …), or two stand together that
    /// exclude each other (`text` and `content` of a part, `prompt` and `messages`).
    DuplicateKey,
    /// Nesting deeper than 64.
    Depth,
    /// More than 4,096 messages.
    Messages,
    /// `inspect.max_inspect_bytes` was reached before the facts were complete, or texts beside the prompt stand in several
    /// places and are longer than what is kept of them.
    BeyondWindow,
    /// The dialect's own fields have the wrong type (say `messages` is a number), or a role or a kind of part that
    /// some servers pass over.
    Shape,
    /// No prompt in a request that should carry one.
    Empty,
}

impl Unreadable {
    /// All kinds.
    pub const ALL: [Unreadable; 11] = [
        Unreadable::Headers,
        Unreadable::Compressed,
        Unreadable::NotJson,
        Unreadable::Truncated,
        Unreadable::Trailing,
        Unreadable::DuplicateKey,
        Unreadable::Depth,
        Unreadable::Messages,
        Unreadable::BeyondWindow,
        Unreadable::Shape,
        Unreadable::Empty,
    ];
    /// The word used in metrics and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Unreadable::Headers => "headers",
            Unreadable::Compressed => "compressed",
            Unreadable::NotJson => "not_json",
            Unreadable::Truncated => "truncated",
            Unreadable::Trailing => "trailing",
            Unreadable::DuplicateKey => "duplicate_key",
            Unreadable::Depth => "depth",
            Unreadable::Messages => "messages",
            Unreadable::BeyondWindow => "beyond_window",
            Unreadable::Shape => "shape",
            Unreadable::Empty => "empty",
        }
    }
}

/// Head and tail of a text: whole up to 3,072 bytes, else the first 2,048 and the last 1,024.
#[derive(Clone, Default)]
pub struct Window {
    head: Vec<u8>,
    /// Ends with the last `TAIL` bytes behind the head; at most twice as much, so that they are moved once in `TAIL` bytes.
    tail: Vec<u8>,
    len: u64,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Window({} bytes, redacted)", self.len)
    }
}

/// Escapes come as single bytes, and to copy one is dearer than to push it.
#[inline]
fn append(to: &mut Vec<u8>, bytes: &[u8]) {
    match bytes {
        [b] => to.push(*b),
        _ => to.extend_from_slice(bytes),
    }
}

impl Window {
    /// Appends.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len() as u64);
        debug_assert!(self.head.len() <= HEAD, "push after regions");
        if self.head.len() == HEAD {
            return self.push_tail(bytes);
        }
        let (first, rest) = bytes.split_at(HEAD.saturating_sub(self.head.len()).min(bytes.len()));
        append(&mut self.head, first);
        if !rest.is_empty() {
            self.push_tail(rest);
        }
    }
    fn push_tail(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default();
        if self.tail.len().saturating_add(bytes.len()) > TAIL.saturating_mul(2) {
            self.cut(TAIL.saturating_sub(bytes.len()));
        }
        append(&mut self.tail, bytes);
    }
    /// Keeps the last `n` bytes of the tail.
    fn cut(&mut self, n: usize) {
        let from = self.tail.len().saturating_sub(n);
        self.tail.copy_within(from.., 0);
        self.tail.truncate(n);
    }
    /// Is the head complete, so that only the last `TAIL` bytes of what follows matter?
    pub fn has_head(&self) -> bool {
        self.head.len() == HEAD
    }
    /// Bytes that need no look, because at least `TAIL` others follow. The head is complete.
    pub fn pass(&mut self, bytes: usize) {
        self.len = self.len.saturating_add(bytes as u64);
    }
    /// Appends another text, on a line of its own.
    pub fn absorb(&mut self, other: &mut Window) {
        self.push(b"\n");
        let (head, tail) = other.regions();
        self.push(head);
        self.push(tail);
    }
    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.len = 0;
    }
    /// Bytes pushed so far (of the decoded text).
    pub fn text_len(&self) -> u64 {
        self.len
    }
    /// Nothing pushed?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The one or two regions to fingerprint. Nothing may be pushed afterwards.
    pub fn regions(&mut self) -> (&[u8], &[u8]) {
        self.cut(TAIL);
        // Up to head and tail together the text is whole: one region, so that no shingle is lost at the seam.
        if self.len <= (HEAD.saturating_add(TAIL)) as u64 {
            self.head.append(&mut self.tail);
        }
        (&self.head, &self.tail)
    }
    /// Keyed hash of the kept bytes and the length: equal texts have equal hashes.
    pub fn digest(&mut self, key: (u64, u64)) -> u64 {
        let len = self.len;
        let (head, tail) = self.regions();
        let h = hash::combine(hash::text(key.1, head), len);
        if tail.is_empty() { h } else { hash::combine(h, hash::text(key.1, tail)) }
    }
}

/// What a dialect found in a body. Values, not text, except for the bounded windows, which end in `fingerprint`.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// System and developer texts, joined by one space, first 2,048 bytes.
    pub instructions: Vec<u8>,
    /// The last user message (tool results count as user text).
    pub user: Window,
    /// The first user message, if there is more than one; empty when the first is the last.
    pub first_user: Window,
    /// An assistant or tool message is present: looks like a conversation.
    pub conversation: bool,
    /// Messages seen.
    pub messages: u32,
    /// Hash of the model's name (0 = absent).
    pub model: u64,
    /// Hash of the set of body fields used and of the values of temperature, top_p, n, max_tokens, seed, logprobs, stream.
    pub shape: u64,
    /// The caller asked for a stream.
    pub stream: bool,
    /// Text or structure lies beyond `max_inspect_bytes` (the facts cover what came before).
    pub beyond_window: bool,
    /// Images, audio or files are present: content that is not looked at.
    pub media: bool,
    /// The body could not be read (the other fields hold what was seen before).
    pub unreadable: Option<Unreadable>,
}

impl Facts {
    /// Appends to the instructions, within the limit, with a space between texts.
    pub fn push_instructions(&mut self, text: &[u8], first_piece: bool) {
        if first_piece && !self.instructions.is_empty() && self.instructions.len() < INSTRUCTIONS {
            self.instructions.push(b' ');
        }
        let room = INSTRUCTIONS.saturating_sub(self.instructions.len()).min(text.len());
        self.instructions.extend_from_slice(text.get(..room).unwrap_or_default());
    }
    /// Drops all text: called once the fingerprint is taken.
    pub fn wipe(&mut self) {
        self.instructions = Vec::new();
        self.user = Window::default();
        self.first_user = Window::default();
    }
}
