//! Reads what a client sends over a WebSocket (RFC 6455): frames in any chunks become messages, and each
//! message becomes facts.
//!
//! Memory: a frame's head and one reader, about 12 KiB a connection within a message and 100 bytes between
//! messages. Fragments of a message are joined, control frames between them skipped, and masks removed.

use crate::engine::dialect::reader::Reader;
use crate::engine::dialect::{Dialect, Facts, Unreadable};
use crate::engine::json::scan::Scanner;

/// Bytes of a frame's head: two, eight of length, four of the mask.
const HEAD: usize = 14;
/// Bytes that are unmasked at once.
const PIECE: usize = 1_024;

/// The frames that one client sends.
#[derive(Debug)]
pub struct Frames {
    dialect: &'static dyn Dialect,
    /// Bytes of a message that are read, at most.
    inspect: u64,
    /// Picks snippets of long texts.
    key: u64,
    head: [u8; HEAD],
    head_len: usize,
    /// Bytes of the frame's payload that are still to come.
    left: u64,
    /// Position within the frame's payload.
    at: usize,
    message: Option<Box<Message>>,
}

#[derive(Debug)]
struct Message {
    scanner: Scanner,
    reader: Reader,
    binary: bool,
    failed: bool,
    bytes: u64,
}

impl Frames {
    /// Frames whose messages `dialect` reads, each up to `inspect` bytes. `key`: seed of the sample of
    /// snippets.
    pub fn new(dialect: &'static dyn Dialect, inspect: u64, key: u64) -> Frames {
        Frames { dialect, inspect, key, head: [0; HEAD], head_len: 0, left: 0, at: 0, message: None }
    }

    /// The dialect of the messages.
    pub fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }

    /// Reads up to the end of one message. Returns the bytes behind it and its facts, or `None` if all bytes
    /// were read and no message has ended.
    ///
    /// A binary message that is not JSON is no error: its only fact is `media`.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], Option<Facts>) {
        let mut rest = bytes;
        loop {
            if self.left == 0 {
                let whole = self.head_size();
                if self.head_len < whole {
                    let Some((&b, after)) = rest.split_first() else { return (rest, None) };
                    if let Some(slot) = self.head.get_mut(self.head_len) {
                        *slot = b;
                    }
                    self.head_len = self.head_len.saturating_add(1);
                    rest = after;
                    if self.head_len < self.head_size() {
                        continue;
                    }
                }
                self.begin();
            } else if rest.is_empty() {
                return (rest, None);
            }
            let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let (payload, after) = rest.split_at_checked(n).unwrap_or((rest, &[]));
            self.payload(payload);
            self.left = self.left.saturating_sub(n as u64);
            rest = after;
            if self.left == 0 {
                self.head_len = 0;
                if let Some(facts) = self.end() {
                    return (rest, Some(facts));
                }
            }
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.head.get(at).copied().unwrap_or(0)
    }

    /// Bytes of the head, as far as it tells.
    fn head_size(&self) -> usize {
        let length = match self.byte(1) & 0x7f {
            _ if self.head_len < 2 => 0,
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head_len >= 2 && self.byte(1) & 0x80 != 0 { 4 } else { 0 };
        2usize.saturating_add(length).saturating_add(mask)
    }

    fn mask(&self) -> [u8; 4] {
        let from = self.head_size().saturating_sub(4);
        match self.byte(1) & 0x80 {
            0 => [0; 4],
            _ => [0, 1, 2, 3].map(|i| self.byte(from.saturating_add(i))),
        }
    }

    /// True if the frame is part of a message.
    fn is_data(&self) -> bool {
        self.byte(0) & 0x0f < 8
    }

    /// Starts a frame whose head is complete.
    fn begin(&mut self) {
        let bytes = |n: usize| (2..n.saturating_add(2)).fold(0u64, |v, i| v << 8 | u64::from(self.byte(i)));
        self.left = match self.byte(1) & 0x7f {
            126 => bytes(2),
            127 => bytes(8),
            short => u64::from(short),
        };
        self.at = 0;
        if !self.is_data() {
            return;
        }
        let (code, reserved) = (self.byte(0) & 0x0f, self.byte(0) & 0x70);
        // A message that starts before the last one has ended: the server closes the connection.
        let (dialect, key) = (self.dialect, self.key);
        let m = self.message.get_or_insert_with(|| {
            let mut reader = Reader::new(dialect);
            reader.seed(key, key);
            Box::new(Message {
                scanner: Scanner::default(),
                reader,
                binary: code == 2,
                failed: false,
                bytes: 0,
            })
        });
        if reserved != 0 || code > 2 {
            m.reader.fail(if reserved == 0x40 { Unreadable::Compressed } else { Unreadable::Shape });
            m.failed = true;
        }
    }

    fn payload(&mut self, payload: &[u8]) {
        let (mask, inspect, data) = (self.mask(), self.inspect, self.is_data());
        let mut at = self.at;
        self.at = at.wrapping_add(payload.len()) & 3;
        let Some(m) = self.message.as_mut().filter(|_| data) else { return };
        for piece in payload.chunks(PIECE) {
            let mut plain = [0; PIECE];
            for (to, from) in plain.iter_mut().zip(piece) {
                *to = from ^ mask.get(at & 3).copied().unwrap_or(0);
                at = at.wrapping_add(1);
            }
            // Up to the limit exactly, however the message is cut into frames and chunks.
            let room = usize::try_from(inspect.saturating_sub(m.bytes)).unwrap_or(usize::MAX);
            m.bytes = m.bytes.saturating_add(piece.len() as u64);
            if m.failed {
                continue;
            }
            match m.scanner.feed(plain.get(..piece.len().min(room)).unwrap_or_default(), &mut m.reader) {
                Ok(rest) if rest.iter().all(u8::is_ascii_whitespace) => {}
                Ok(_) => m.reader.fail(Unreadable::Trailing),
                Err(what) => {
                    m.failed = true;
                    m.reader.fail(what);
                }
            }
            if piece.len() > room && !m.failed {
                m.reader.beyond();
                m.failed = true;
            }
        }
    }

    /// Ends a frame. Returns the facts of its message, if that has ended, too.
    fn end(&mut self) -> Option<Facts> {
        if !self.is_data() || self.byte(0) & 0x80 == 0 {
            return None;
        }
        let mut m = self.message.take()?;
        if !m.failed
            && let Err(what) = m.scanner.finish(&mut m.reader)
        {
            m.reader.fail(what);
        }
        let mut facts = m.reader.into_facts(false);
        let other = matches!(facts.unreadable, Some(Unreadable::NotJson | Unreadable::Truncated));
        if m.binary && other {
            facts = Facts { media: true, ..Facts::default() };
        }
        Some(facts)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::dialect::DIALECTS;
    use proptest::prelude::*;

    fn frame(code: u8, fin: bool, payload: &[u8], mask: [u8; 4], long: bool) -> Vec<u8> {
        let mut out = vec![code | if fin { 0x80 } else { 0 }];
        let n = payload.len();
        if long {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        } else if n > 125 {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        } else {
            out.push(0x80 | n as u8);
        }
        out.extend(mask);
        out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        out
    }

    fn event(text: &str) -> Vec<u8> {
        serde_json::json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}})
            .to_string()
            .into_bytes()
    }

    fn frames() -> Frames {
        let dialect = DIALECTS.iter().find(|d| d.name() == "openai_realtime").unwrap();
        Frames::new(*dialect, 1 << 20, 7)
    }

    fn texts(bytes: &[u8], chunk: usize) -> Vec<String> {
        let (mut f, mut out) = (frames(), Vec::new());
        for mut c in bytes.chunks(chunk.max(1)) {
            loop {
                let (rest, facts) = f.next(c);
                c = rest;
                match facts {
                    Some(mut facts) => out.push(match facts.unreadable {
                        Some(u) => format!("!{}", u.name()),
                        None => String::from_utf8_lossy(facts.user.regions().0).into_owned(),
                    }),
                    None if c.is_empty() => break,
                    None => {}
                }
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn messages_are_read_however_they_are_cut(
            words in prop::collection::vec("[a-z é]{1,300}", 1..4), cuts in prop::collection::vec(1usize..200, 1..5),
            mask: [u8; 4], long: bool, chunk in 1usize..400
        ) {
            let mut bytes = Vec::new();
            for text in &words {
                let mut rest = &event(text)[..];
                let mut code = 1;
                for cut in &cuts {
                    let (a, b) = rest.split_at((*cut).min(rest.len()));
                    bytes.extend(frame(code, false, a, mask, long));
                    // Control frames may stand between fragments.
                    bytes.extend(frame(9, true, b"ping", mask, false));
                    (rest, code) = (b, 0);
                }
                bytes.extend(frame(code, true, rest, mask, long));
                bytes.extend(frame(10, true, b"", mask, false));
            }
            prop_assert_eq!(texts(&bytes, chunk), words);
        }

        #[test]
        fn any_bytes_in_any_chunks_give_one_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1usize..50) {
            prop_assert_eq!(texts(&bytes, bytes.len()), texts(&bytes, chunk));
        }
    }

    /// Found by fuzzing: of a message beyond the limit up to 1,023 bytes below it were not read, depending on how it was cut.
    #[test]
    fn fuzz_a_message_is_read_up_to_the_limit_however_it_is_cut() {
        let bytes = frame(1, true, &event(&"word ".repeat(600)), [9; 4], false);
        let read = |chunk: usize| {
            let mut f = Frames::new(frames().dialect(), 1_500, 7);
            let mut facts = bytes.chunks(chunk).find_map(|c| f.next(c).1).unwrap();
            assert_eq!(facts.unreadable, Some(Unreadable::BeyondWindow));
            facts.user.regions().0.len()
        };
        let whole = read(bytes.len());
        assert!((1_380..1_500).contains(&whole), "{whole}");
        for chunk in [1, 37, 1_000, 1_024, 1_499, 1_500, 1_501] {
            assert_eq!(read(chunk), whole, "in chunks of {chunk}");
        }
    }

    #[test]
    fn what_is_no_text_is_told() {
        let m = [1, 2, 3, 4];
        assert_eq!(texts(&frame(1, true, b"hello", m, false), 3), ["!not_json"]);
        assert_eq!(texts(&frame(2, true, b"\0\x01pcm", m, false), 3), [""], "sound");
        assert_eq!(texts(&frame(2, true, &event("in binary"), m, false), 3), ["in binary"]);
        assert_eq!(texts(&frame(0x41, true, b"deflated", m, false), 3), ["!compressed"]);
        assert_eq!(texts(&frame(3, true, b"x", m, false), 3), ["!shape"]);
        let unmasked = [&[0x81u8, 2][..], b"{}"].concat();
        assert_eq!(texts(&unmasked, 9), ["!empty"]);
        // A length that nobody sends, and then nothing: no message, no memory.
        let huge = [0x81u8, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, b'{'];
        assert_eq!(texts(&huge, 4), Vec::<String>::new());
    }

    #[test]
    fn what_follows_a_message_within_it_is_told() {
        let with = |after: &[u8], fin_with: bool| {
            let (first, second) = if fin_with { (&[][..], after) } else { (after, &[][..]) };
            let start = frame(1, false, &[&event("read")[..], first].concat(), [5; 4], false);
            texts(&[start, frame(0, true, second, [6; 4], false)].concat(), 50)
        };
        for fin_with in [false, true] {
            assert_eq!(with(b" \r\n\t", fin_with), ["read"]);
            assert_eq!(with(b" x", fin_with), ["!trailing"]);
            assert_eq!(with(&event("hidden"), fin_with), ["!trailing"]);
        }
    }

    #[test]
    fn a_message_holds_bounded_memory() {
        let mut f = frames();
        let text = "word ".repeat(600_000);
        let bytes = frame(1, true, &event(&text), [9; 4], true);
        let mut facts = None;
        for c in bytes.chunks(4_096) {
            let (_, got) = f.next(c);
            facts = facts.or(got);
        }
        let facts = facts.unwrap();
        assert_eq!(facts.unreadable, Some(Unreadable::BeyondWindow));
        assert!(facts.user.size_bytes() <= 12 << 10, "{}", facts.user.size_bytes());
    }
}
