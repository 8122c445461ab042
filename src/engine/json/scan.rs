//! A streaming JSON scanner: bytes in any chunks to events, in bounded memory (64 levels, 64-byte keys,
//! 40-byte scalars).
//!
//! Guarantee: the events depend on the bytes, not on the chunks. It is strict about structure. Strings may
//! hold bytes that are not UTF-8, because servers differ there; the fingerprint folds them leniently later.
//! What some servers accept although JSON does not (raw control characters in strings, NaN, Infinity, any
//! depth) is reported as `odd` and scanning continues, so that one such value does not hide the prompt behind
//! it. Comments and trailing commas end the scan with an error. Cost: one pass; unwanted strings are skipped
//! at the speed of a byte search.

use super::string_bits::{BLOCK, letter, special, stretch};
use super::unreadable::Unreadable;

/// Deepest nesting that is read.
pub const DEPTH: usize = 64;
/// Longest key that is compared, bytes. Longer ones match nothing.
pub const KEY: usize = 64;
const SCALAR: usize = 40;
/// Unescaped text that is collected before the sink gets it.
const TEXT: usize = 512;

/// Receives the events of a scan.
pub trait Sink {
    /// An object or array starts. Its key was reported before.
    fn open(&mut self, array: bool);
    /// The innermost object or array ends.
    fn close(&mut self);
    /// A key of the innermost object, unescaped (empty if longer than `KEY`).
    fn key(&mut self, key: &[u8]);
    /// A string value starts. Return false if its pieces are not wanted.
    fn string(&mut self) -> bool;
    /// A piece of a wanted string, unescaped.
    fn piece(&mut self, bytes: &[u8]);
    /// True if pieces of the wanted string should go to `raw` where possible.
    fn takes_raw(&self) -> bool {
        false
    }
    /// A piece of the wanted string, not unescaped, with `escapes` one-letter escapes.
    fn raw(&mut self, _bytes: &[u8], _escapes: usize) {}
    /// The string value ends.
    fn string_end(&mut self);
    /// A number, `true`, `false` or `null`, as written (cut at 40 bytes).
    fn scalar(&mut self, text: &[u8]);
    /// Something that JSON or the bounds do not allow and that is skipped. A value that is too deep has no
    /// other event.
    fn odd(&mut self, what: Unreadable);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value is expected.
    Value,
    /// After `[`: a value or `]`.
    First,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After `,` in an object.
    Key,
    /// After a key.
    Colon,
    /// After a value.
    After,
    /// In a string; `key` says whether it is a key.
    Text,
    /// After a backslash.
    Escape,
    /// In the four digits after `\u`.
    Unicode,
    /// In a number or word.
    Scalar,
    /// In a value that is nested too deep, which is skipped.
    Deep,
    /// The document is complete.
    Done,
}

/// The scanner of one document.
#[derive(Clone, Debug)]
pub struct Scanner {
    state: State,
    /// One bit a level: 1 = array.
    arrays: u64,
    depth: usize,
    in_key: bool,
    wanted: bool,
    buf: [u8; KEY],
    len: usize,
    long: bool,
    /// Text of the wanted string, not yet handed to the sink.
    text: [u8; TEXT],
    text_len: usize,
    unit: u16,
    digits: u8,
    high: u16,
    bom: u8,
    /// Levels beyond `DEPTH`.
    deep: u32,
    /// Beyond `DEPTH`: 1 = in a string, 2 = after its backslash.
    deep_text: u8,
    /// Bytes of unwanted strings.
    skipped: u64,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner {
            state: State::Value,
            arrays: 0,
            depth: 0,
            in_key: false,
            wanted: false,
            buf: [0; KEY],
            len: 0,
            long: false,
            text: [0; TEXT],
            text_len: 0,
            unit: 0,
            digits: 0,
            high: 0,
            bom: 0,
            deep: 0,
            deep_text: 0,
            skipped: 0,
        }
    }
}

impl Scanner {
    /// True if the document is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of unwanted strings so far, which cost almost nothing.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Scans a chunk. Returns the bytes behind the document once it is complete, else none.
    ///
    /// # Errors
    /// `NotJson`: the scan cannot go on.
    pub fn feed<'a>(&mut self, chunk: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Unreadable> {
        let rest = self.scan(chunk, sink);
        // Nothing stays behind: what was seen counts even if the rest never comes.
        self.hand_over(sink);
        rest
    }

    fn scan<'a>(&mut self, chunk: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Unreadable> {
        let mut rest = self.skip_bom(chunk);
        while let Some((&b, after)) = rest.split_first() {
            match self.state {
                State::Done => return Ok(rest),
                State::Text => {
                    rest = self.text(rest, sink)?;
                    continue;
                }
                State::Scalar if !matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n') => {
                    self.push(b, SCALAR);
                    rest = after;
                    continue;
                }
                State::Scalar => self.scalar(sink)?,
                State::Deep => {
                    self.pass(b);
                    rest = after;
                    continue;
                }
                _ => {}
            }
            self.step(b, sink)?;
            rest = after;
        }
        Ok(rest)
    }

    /// Ends the input. A number at the top level ends here.
    ///
    /// # Errors
    /// `Truncated` if the document is not complete.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<(), Unreadable> {
        if self.state == State::Scalar && self.depth == 0 {
            self.scalar(sink)?;
        }
        if self.is_done() { Ok(()) } else { Err(Unreadable::Truncated) }
    }

    /// Skips a byte order mark at the start: some clients send one, and most servers drop it.
    fn skip_bom<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let mut rest = chunk;
        while let (Some(want), Some((&b, after))) =
            ([0xef, 0xbb, 0xbf].get(usize::from(self.bom)), rest.split_first())
        {
            if b != *want {
                // Without a mark there is nothing to skip; after a part of one, the next byte is an error anyway.
                self.bom = if self.bom == 0 { 3 } else { 4 };
                break;
            }
            self.bom = self.bom.saturating_add(1);
            rest = after;
        }
        rest
    }

    fn push(&mut self, b: u8, limit: usize) {
        match self.buf.get_mut(self.len) {
            Some(slot) if self.len < limit => {
                *slot = b;
                self.len = self.len.saturating_add(1);
            }
            _ => self.long = true,
        }
    }

    fn step(&mut self, b: u8, sink: &mut impl Sink) -> Result<(), Unreadable> {
        if self.bom == 4 {
            return Err(Unreadable::NotJson);
        }
        if matches!(b, b' ' | b'\t' | b'\r' | b'\n') && !matches!(self.state, State::Escape | State::Unicode)
        {
            return Ok(());
        }
        match (self.state, b) {
            (State::First, b']') | (State::FirstKey, b'}') => self.close(sink),
            (State::Value | State::First, _) => return self.value(b, sink),
            (State::FirstKey | State::Key, b'"') => self.begin_text(true, true),
            (State::Colon, b':') => self.state = State::Value,
            (State::After, b',') => self.state = if self.in_array() { State::Value } else { State::Key },
            (State::After, b']') if self.in_array() => self.close(sink),
            (State::After, b'}') if !self.in_array() => self.close(sink),
            (State::Escape, _) => return self.escape(b, sink),
            (State::Unicode, _) => return self.unicode(b, sink),
            _ => return Err(Unreadable::NotJson),
        }
        Ok(())
    }

    fn in_array(&self) -> bool {
        self.arrays & 1 == 1
    }

    fn value(&mut self, b: u8, sink: &mut impl Sink) -> Result<(), Unreadable> {
        match b {
            b'{' | b'[' => {
                if self.depth >= DEPTH {
                    sink.odd(Unreadable::Depth);
                    (self.state, self.deep, self.deep_text) = (State::Deep, 1, 0);
                    return Ok(());
                }
                self.depth = self.depth.saturating_add(1);
                self.arrays = self.arrays << 1 | u64::from(b == b'[');
                self.state = if b == b'[' { State::First } else { State::FirstKey };
                sink.open(b == b'[');
            }
            b'"' => {
                let wanted = sink.string();
                self.begin_text(false, wanted);
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I' => {
                (self.len, self.long) = (0, false);
                self.push(b, SCALAR);
                self.state = State::Scalar;
            }
            _ => return Err(Unreadable::NotJson),
        }
        Ok(())
    }

    /// Takes a byte of a value that is nested too deep: only quotes and brackets count.
    fn pass(&mut self, b: u8) {
        match (self.deep_text, b) {
            (2, _) | (0, b'"') => self.deep_text = 1,
            (1, b'\\') => self.deep_text = 2,
            (1, b'"') => self.deep_text = 0,
            (0, b'{' | b'[') => self.deep = self.deep.saturating_add(1),
            (0, b'}' | b']') => {
                self.deep = self.deep.saturating_sub(1);
                if self.deep == 0 {
                    self.after_value();
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, sink: &mut impl Sink) {
        self.arrays >>= 1;
        self.depth = self.depth.saturating_sub(1);
        sink.close();
        self.after_value();
    }

    fn after_value(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    fn scalar(&mut self, sink: &mut impl Sink) -> Result<(), Unreadable> {
        let text = self.buf.get(..self.len).unwrap_or_default();
        let word = matches!(text, b"true" | b"false" | b"null");
        // Python's parser takes these.
        let odd = matches!(text, b"NaN" | b"Infinity" | b"-Infinity");
        if odd {
            sink.odd(Unreadable::NotJson);
        } else if !(word || is_number(text, self.long)) {
            return Err(Unreadable::NotJson);
        }
        sink.scalar(text);
        self.after_value();
        Ok(())
    }

    fn begin_text(&mut self, key: bool, wanted: bool) {
        (self.in_key, self.wanted, self.high) = (key, wanted, 0);
        (self.len, self.long) = (0, false);
        self.state = State::Text;
    }

    /// Takes a string up to its closing quote, an escape that is not one letter, or the end of the chunk.
    fn text<'a>(&mut self, rest: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Unreadable> {
        if self.wanted && !self.in_key && sink.takes_raw() {
            return self.raw(rest, sink);
        }
        let mut rest = rest;
        loop {
            if self.wanted && !self.in_key && self.high == 0 {
                let n = self.copy(rest, sink);
                rest = rest.get(n..).unwrap_or_default();
            }
            let n = self.plain(rest, sink);
            let after = rest.get(n..).unwrap_or_default();
            match after {
                [] => return Ok(after),
                [b'"', after @ ..] => {
                    self.end_text(sink);
                    return Ok(after);
                }
                [b'\\', b, after @ ..] if let Some(out) = letter(*b) => {
                    if self.wanted && !self.in_key && self.high == 0 {
                        self.collect(out, sink);
                    } else {
                        self.emit(&[out], sink);
                    }
                    rest = after;
                }
                [b'\\', after @ ..] => {
                    self.state = State::Escape;
                    return Ok(after);
                }
                // Raw control characters are not JSON; lenient parsers keep them.
                [b, after @ ..] => {
                    sink.odd(Unreadable::NotJson);
                    self.emit(&[*b], sink);
                    rest = after;
                }
            }
        }
    }

    /// The same for strings that the sink takes without unescaping.
    fn raw<'a>(&mut self, rest: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Unreadable> {
        let mut rest = rest;
        loop {
            let s = stretch(rest);
            let (text, after) = rest.split_at_checked(s.bytes).unwrap_or((rest, &[]));
            if !text.is_empty() {
                self.flush_high(sink);
                self.hand_over(sink);
                sink.raw(text, s.escapes);
            }
            match after {
                [] => return Ok(after),
                [b'"', after @ ..] => {
                    self.end_text(sink);
                    return Ok(after);
                }
                [b'\\', after @ ..] => {
                    self.state = State::Escape;
                    return Ok(after);
                }
                [b, after @ ..] => {
                    sink.odd(Unreadable::NotJson);
                    self.emit(&[*b], sink);
                    rest = after;
                }
            }
        }
    }

    /// Takes whole blocks and one-letter escapes, up to a byte that needs more work. Returns the bytes taken.
    #[inline(never)]
    fn copy(&mut self, rest: &[u8], sink: &mut impl Sink) -> usize {
        let mut at = 0usize;
        let mut len = self.text_len;
        while let Some(block) = rest.get(at..).and_then(|r| r.first_chunk::<BLOCK>()) {
            if len > TEXT - BLOCK {
                self.text_len = len;
                self.hand_over(sink);
                len = 0;
            }
            let n = special(block);
            // A block may be copied beyond its end, but then the next copy overwrites that.
            if let Some(slot) = self.text.get_mut(len..).and_then(|t| t.first_chunk_mut::<BLOCK>()) {
                *slot = *block;
            }
            len = len.wrapping_add(n);
            at = at.wrapping_add(n);
            if n < BLOCK {
                let Some([b'\\', b]) = rest.get(at..).and_then(|r| r.first_chunk::<2>()) else { break };
                let Some(out) = letter(*b) else { break };
                if let Some(slot) = self.text.get_mut(len) {
                    *slot = out;
                }
                len = len.wrapping_add(1);
                at = at.wrapping_add(2);
            }
        }
        self.text_len = len;
        at
    }

    /// Takes the bytes before the first special one. Returns their number.
    #[inline]
    fn plain(&mut self, rest: &[u8], sink: &mut impl Sink) -> usize {
        if self.in_key {
            let n = run(rest);
            if n > 0 {
                self.emit(rest.get(..n).unwrap_or_default(), sink);
            }
            return n;
        }
        if !self.wanted {
            self.high = 0;
            let n = stretch(rest).bytes;
            self.skipped = self.skipped.saturating_add(n as u64);
            return n;
        }
        // Copied while it is looked at: a block may be copied beyond its end, but then the next copy overwrites that.
        let mut at = 0usize;
        for block in rest.as_chunks::<BLOCK>().0 {
            let n = special(block);
            if n > 0 && self.high != 0 {
                self.flush_high(sink);
            }
            if self.text_len > TEXT - BLOCK {
                self.hand_over(sink);
            }
            if let Some(slot) = self.text.get_mut(self.text_len..self.text_len.saturating_add(BLOCK)) {
                slot.copy_from_slice(block);
            }
            self.text_len = self.text_len.saturating_add(n);
            at = at.saturating_add(n);
            if n < BLOCK {
                return at;
            }
        }
        let rest = rest.get(at..).unwrap_or_default();
        let n = run(rest);
        if n > 0 {
            self.emit(rest.get(..n).unwrap_or_default(), sink);
        }
        at.saturating_add(n)
    }

    fn end_text(&mut self, sink: &mut impl Sink) {
        self.flush_high(sink);
        if self.in_key {
            let key = if self.long { &[][..] } else { self.buf.get(..self.len).unwrap_or_default() };
            sink.key(key);
            self.state = State::Colon;
        } else {
            self.hand_over(sink);
            sink.string_end();
            self.after_value();
        }
    }

    fn emit(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        self.flush_high(sink);
        self.give(bytes, sink);
    }

    /// Adds a few bytes to the string.
    fn give(&mut self, bytes: &[u8], sink: &mut impl Sink) {
        if self.in_key {
            match self.buf.get_mut(self.len..self.len.saturating_add(bytes.len())) {
                Some(slot) => {
                    slot.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                    self.len = self.len.saturating_add(bytes.len());
                }
                None => bytes.iter().take(KEY.saturating_add(1)).for_each(|b| self.push(*b, KEY)),
            }
        } else if self.wanted {
            for &b in bytes {
                self.collect(b, sink);
            }
        }
    }

    #[inline(always)]
    fn collect(&mut self, b: u8, sink: &mut impl Sink) {
        if self.text_len >= TEXT {
            self.hand_over(sink);
        }
        if let Some(slot) = self.text.get_mut(self.text_len) {
            *slot = b;
            self.text_len = self.text_len.saturating_add(1);
        }
    }

    /// Gives the sink what was collected.
    fn hand_over(&mut self, sink: &mut impl Sink) {
        let n = std::mem::take(&mut self.text_len);
        if n > 0 {
            sink.piece(self.text.get(..n).unwrap_or_default());
        }
    }

    /// A high surrogate that no low one followed reads as U+FFFD, as in most parsers.
    fn flush_high(&mut self, sink: &mut impl Sink) {
        if std::mem::take(&mut self.high) != 0 {
            self.give("\u{fffd}".as_bytes(), sink);
        }
    }

    fn escape(&mut self, b: u8, sink: &mut impl Sink) -> Result<(), Unreadable> {
        if b == b'u' {
            (self.unit, self.digits) = (0, 0);
            self.state = State::Unicode;
            return Ok(());
        }
        let out = letter(b).ok_or(Unreadable::NotJson)?;
        self.state = State::Text;
        if self.wanted && !self.in_key && sink.takes_raw() {
            // As if the chunk had not ended in it.
            self.flush_high(sink);
            self.hand_over(sink);
            sink.raw(&[b'\\', b], 1);
        } else {
            self.emit(&[out], sink);
        }
        Ok(())
    }

    fn unicode(&mut self, b: u8, sink: &mut impl Sink) -> Result<(), Unreadable> {
        let digit = char::from(b).to_digit(16).ok_or(Unreadable::NotJson)?;
        self.unit = self.unit << 4 | digit as u16;
        self.digits = self.digits.saturating_add(1);
        if self.digits < 4 {
            return Ok(());
        }
        self.state = State::Text;
        let unit = u32::from(self.unit);
        let code = match unit {
            0xd800..=0xdbff => {
                self.flush_high(sink);
                self.high = self.unit;
                return Ok(());
            }
            0xdc00..=0xdfff if self.high != 0 => {
                let high = u32::from(std::mem::take(&mut self.high));
                0x1_0000u32.saturating_add((high & 0x3ff) << 10 | unit & 0x3ff)
            }
            _ => {
                self.flush_high(sink);
                unit
            }
        };
        let mut utf8 = [0; 4];
        let text = char::from_u32(code).unwrap_or('\u{fffd}').encode_utf8(&mut utf8);
        self.give(text.as_bytes(), sink);
        Ok(())
    }
}

/// Bytes before the first quote, backslash or control character.
fn run(bytes: &[u8]) -> usize {
    let mut at = 0usize;
    for block in bytes.as_chunks::<BLOCK>().0 {
        let n = special(block);
        at = at.saturating_add(n);
        if n < BLOCK {
            return at;
        }
    }
    let ends = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
    let rest = bytes.get(at..).unwrap_or_default();
    at.saturating_add(rest.iter().position(ends).unwrap_or(rest.len()))
}

/// JSON's number grammar; a number longer than the buffer is checked as far as it is kept.
fn is_number(text: &[u8], cut: bool) -> bool {
    let digits = |t: &[u8]| t.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut t = text.strip_prefix(b"-").unwrap_or(text);
    let n = digits(t);
    if n == 0 || (n > 1 && t.first() == Some(&b'0')) {
        return false;
    }
    t = t.get(n..).unwrap_or_default();
    if let Some(fraction) = t.strip_prefix(b".") {
        let n = digits(fraction);
        t = fraction.get(n..).unwrap_or_default();
        if n == 0 {
            return cut && t.is_empty();
        }
    }
    if let Some((b'e' | b'E', exponent)) = t.split_first() {
        let e = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let n = digits(e);
        t = e.get(n..).unwrap_or_default();
        if n == 0 {
            return cut && t.is_empty();
        }
    }
    t.is_empty()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Rebuilds the document from the events.
    #[derive(Default)]
    struct Build {
        out: String,
        text: Vec<u8>,
        comma: Vec<bool>,
        odd: Option<Unreadable>,
        /// It takes strings as they are written.
        raw: bool,
        /// It wants no string.
        deaf: bool,
    }
    impl Build {
        fn sep(&mut self) {
            if self.out.ends_with(':') {
                return;
            }
            if self.comma.last_mut().is_some_and(|c| std::mem::replace(c, true)) {
                self.out.push(',');
            }
        }
    }
    impl Sink for Build {
        fn open(&mut self, array: bool) {
            self.sep();
            self.out.push(if array { '[' } else { '{' });
            self.comma.push(false);
        }
        fn close(&mut self) {
            self.comma.pop();
            self.out.push(')');
        }
        fn key(&mut self, key: &[u8]) {
            self.sep();
            self.out.push_str(&serde_json::to_string(&String::from_utf8_lossy(key)).unwrap());
            self.out.push(':');
        }
        fn string(&mut self) -> bool {
            self.sep();
            self.text.clear();
            !self.deaf
        }
        fn piece(&mut self, bytes: &[u8]) {
            self.text.extend(bytes);
        }
        fn takes_raw(&self) -> bool {
            self.raw
        }
        fn raw(&mut self, bytes: &[u8], escapes: usize) {
            let (mut rest, mut found) = (bytes, 0);
            while let [b, after @ ..] = rest {
                rest = after;
                if *b == b'\\' {
                    self.text.push(letter(after[0]).unwrap());
                    (rest, found) = (&after[1..], found + 1);
                } else {
                    self.text.push(*b);
                }
            }
            assert_eq!(found, escapes);
        }
        fn string_end(&mut self) {
            self.out.push_str(&serde_json::to_string(&String::from_utf8_lossy(&self.text)).unwrap());
        }
        fn scalar(&mut self, text: &[u8]) {
            self.sep();
            self.out.push_str(std::str::from_utf8(text).unwrap());
        }
        fn odd(&mut self, what: Unreadable) {
            self.odd.get_or_insert(what);
        }
    }

    fn events(chunks: &[&[u8]]) -> Result<String, Unreadable> {
        built(chunks, Build::default())
    }

    fn built(chunks: &[&[u8]], mut b: Build) -> Result<String, Unreadable> {
        let mut s = Scanner::default();
        for c in chunks {
            let rest = s.feed(c, &mut b)?;
            if rest.iter().any(|b| !b.is_ascii_whitespace()) {
                return Err(Unreadable::Trailing);
            }
        }
        let end = s.finish(&mut b);
        b.odd.map_or(end, Err)?;
        Ok(b.out)
    }

    /// The same notation from serde_json's reading.
    fn show(v: &Value) -> String {
        match v {
            Value::Array(a) => format!("[{})", a.iter().map(show).collect::<Vec<_>>().join(",")),
            Value::Object(o) => {
                let pair =
                    |(k, v): (&String, &Value)| format!("{}:{}", serde_json::to_string(k).unwrap(), show(v));
                format!("{{{})", o.iter().map(pair).collect::<Vec<_>>().join(","))
            }
            other => other.to_string(),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|n| Value::Number(n.into())),
            ".{0,40}".prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                // One key, so that the order of serde_json's map does not matter.
                ("[a-zé\"\\\\]{0,9}", inner).prop_map(|(k, v)| Value::Object([(k, v)].into_iter().collect())),
            ]
        })
    }

    /// A long string as it may be written: runs of more than a block and of more than the buffer, and every escape beside them.
    fn written() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => "[a-zé💧 ]{0,40}",
            1 => (0usize..1200).prop_map(|n| "x".repeat(n)),
            4 => prop::sample::select(vec![r"\n", r#"\""#, r"\\\\", r"\/", r"\t\r\b\f", r"\u00e9", r"\ud83d\ude00", r"\u0000"])
                .prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn long_strings_are_what_serde_json_reads_however_they_are_taken(
            a in written(), b in written(), cut in prop_oneof![1usize..40, 1usize..3000, Just(usize::MAX)], raw: bool,
        ) {
            let text = format!("[\"{a}\",{{\"k\":\"{b}\"}},1]");
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let read = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(built(&chunks, Build { raw, ..Build::default() }), Ok(show(&read)));
            // Who wants none of them hears where they end.
            let deaf = Build { raw, deaf: true, ..Build::default() };
            prop_assert_eq!(built(&chunks, deaf), Ok("[\"\",{\"k\":\"\"),1)".into()));
        }

        #[test]
        fn reads_what_serde_json_reads(v in json(), pretty: bool, cut in 1usize..9) {
            let text = if pretty { serde_json::to_string_pretty(&v) } else { serde_json::to_string(&v) }.unwrap();
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(events(&chunks), Ok(show(&v)));
        }

        #[test]
        fn accepts_and_refuses_like_serde_json(bytes in "[\\[\\]{}\",:0-9eE.+\\-truefalsn \\\\u]{0,24}") {
            let ours = events(&[bytes.as_bytes()]).is_ok();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&bytes).is_ok();
            prop_assert_eq!(ours, theirs, "{}", bytes);
        }

        #[test]
        fn any_bytes_in_any_chunks_give_one_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1usize..20) {
            let chunks: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(events(&[&bytes]), events(&chunks));
        }
    }

    #[test]
    fn named_cases() {
        let ok = |t: &str| events(&[t.as_bytes()]);
        assert_eq!(ok("\u{feff}{\"a\":1}").unwrap(), "{\"a\":1)");
        assert_eq!(ok(r#""\ud83d\ude00""#).unwrap(), "\"😀\"");
        assert_eq!(ok(r#""\ud83dx""#).unwrap(), "\"\u{fffd}x\"");
        assert_eq!(ok(r#""\ude00""#).unwrap(), "\"\u{fffd}\"");
        assert_eq!(ok(r#"{"mess\u0061ges":[]}"#).unwrap(), "{\"messages\":[))");
        for bad in [
            "NaN",
            "{\"a\":Infinity}",
            "// x\n1",
            "[1,]",
            "{'a':1}",
            "\"a\nb\"",
            "01",
            "1.",
            "-",
            "[1 2]",
            "\u{feff}\u{feff}1",
            "",
        ] {
            assert!(ok(bad).is_err(), "{bad}");
        }
        assert_eq!(ok(&"[".repeat(65)), Err(Unreadable::Depth));
        assert!(ok(&("[".repeat(64) + &"]".repeat(64))).is_ok());
        assert_eq!(ok("{\"a\":1"), Err(Unreadable::Truncated));
        assert_eq!(ok("1 x"), Err(Unreadable::Trailing));
        assert!(ok(&format!("[{}]", "9".repeat(5000))).is_ok());
    }

    #[test]
    fn what_lenient_servers_accept_does_not_hide_what_follows() {
        let deep = format!("[{}\"]\\\"[\"{}]", "[{\"k\":".repeat(200), "}]".repeat(200));
        for odd in ["NaN", "-Infinity", "\"a\nb\"", &deep] {
            let text = format!("{{\"x\":{odd},\"y\":\"seen\"}}");
            for cut in [1, 7, text.len()] {
                let (mut s, mut b) = (Scanner::default(), Build::default());
                for c in text.as_bytes().chunks(cut) {
                    s.feed(c, &mut b).unwrap();
                }
                s.finish(&mut b).unwrap();
                assert!(b.odd.is_some() && b.out.ends_with("\"y\":\"seen\")"), "{odd}: {}", b.out);
            }
        }
    }
}
