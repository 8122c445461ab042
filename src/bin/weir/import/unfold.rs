//! JSON values in any layout to one value a line: pretty-printed, concatenated or in arrays, of any length
//! and number.
//!
//! The stream passes byte by byte, and nothing of it is stored: line breaks within a value become spaces, the
//! brackets and commas of arrays around values are removed, and a value that begins behind another starts a
//! new line. A value that is one line already, and what is no JSON, pass unchanged. Line numbers stay those
//! of the file: removed line breaks follow behind the value. An incomplete line does not damage those behind
//! it: no JSON string contains a line break, and no object follows a comma in an object.

use std::io::{Read, Result};

/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Deepest nesting of objects and lists in a record.
const DEPTH: usize = 1_024;

/// Position of the next byte.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// On an empty line.
    Start,
    /// Behind a value.
    Behind,
    /// Behind a bracket that may open a list of values.
    Bracket,
    /// In a value.
    Value,
    /// In a string of a value.
    String,
    /// Behind a backslash in one.
    Escape,
    /// In a line that is no JSON.
    Text,
}

/// A stream with one value a line.
pub struct Unfold<R> {
    inner: R,
    chunk: Vec<u8>,
    /// Bytes kept at the front: a line that may be one value, and whose end has not come.
    kept: usize,
    out: Vec<u8>,
    told: usize,
    at: At,
    /// Opening brackets within the value that are not closed yet.
    open: Vec<u8>,
    /// Number of lists around the values.
    lists: usize,
    /// Last byte of the value that is no space.
    last: u8,
    /// True if the byte is the first of its line.
    first: bool,
    /// Line breaks that were removed and not made up for.
    owed: usize,
    /// Line breaks that were inserted and not made up for.
    ahead: usize,
    begun: bool,
}

impl<R: Read> Unfold<R> {
    pub fn new(inner: R) -> Unfold<R> {
        Unfold {
            inner,
            chunk: vec![0; CHUNK],
            kept: 0,
            out: Vec::new(),
            told: 0,
            at: At::Start,
            open: Vec::new(),
            lists: 0,
            last: 0,
            first: true,
            owed: 0,
            ahead: 0,
            begun: false,
        }
    }

    /// Takes bytes: all of them (`end`), or up to a line that begins as a value and has no end yet. Returns
    /// the rest. The first `kept` bytes contain no line break.
    fn take<'a>(&mut self, mut text: &'a [u8], kept: usize, end: bool) -> &'a [u8] {
        let mut unbroken = kept;
        while let Some(&b) = text.first() {
            let from = std::mem::take(&mut unbroken);
            // Most traces are one value a line: such lines need no look at their bytes.
            let plain = self.lists == 0 && self.owed == 0;
            let at_text =
                self.at == At::Text || self.at == At::Start && !b.is_ascii_whitespace() && b != b'[';
            if plain && at_text {
                let value = self.at == At::Start && b == b'{';
                match memchr::memchr(b'\n', &text[from..]).map(|n| from + n) {
                    Some(n) if !value || is_whole(&text[..n]) => {
                        let (line, rest) = text.split_at(n + 1);
                        self.out.extend_from_slice(line);
                        (self.at, self.first, text) = (At::Start, true, rest);
                        continue;
                    }
                    None if value && !end => return text,
                    None if self.at == At::Text => {
                        self.out.extend_from_slice(text);
                        self.first = false;
                        return &[];
                    }
                    _ => {}
                }
            }
            if self.at == At::String {
                let n = memchr::memchr3(b'"', b'\\', b'\n', text).unwrap_or(text.len());
                self.out.extend_from_slice(&text[..n]);
                text = &text[n..];
                if text.is_empty() {
                    return text;
                }
            }
            self.byte(text[0]);
            text = &text[1..];
        }
        text
    }

    fn byte(&mut self, b: u8) {
        let first = std::mem::replace(&mut self.first, b == b'\n');
        match self.at {
            At::Start | At::Behind => match b {
                b'\n' => self.end_line(),
                b'{' => {
                    if self.at == At::Behind {
                        self.begin_line();
                    }
                    self.open(b);
                }
                b'[' if self.at == At::Start || self.lists > 0 => {
                    if self.at == At::Behind {
                        self.begin_line();
                    }
                    self.at = At::Bracket;
                }
                b',' if self.lists > 0 => {}
                b']' if self.lists > 0 => self.lists -= 1,
                _ => {
                    self.out.push(b);
                    if !b.is_ascii_whitespace() {
                        self.at = At::Text;
                    }
                }
            },
            At::Bracket => match b {
                b'\n' => self.fold(),
                b' ' | b'\t' | b'\r' => {}
                b'{' | b'[' => {
                    // What stands in a list stands on its own line of the file.
                    self.out.resize(self.out.len() + std::mem::take(&mut self.owed), b'\n');
                    self.lists += 1;
                    if b == b'{' {
                        self.open(b);
                    }
                }
                _ => {
                    self.out.extend([b'[', b]);
                    self.at = At::Text;
                }
            },
            At::Value => self.in_value(b, first),
            At::String => match b {
                b'\n' => self.torn(),
                _ => {
                    self.out.push(b);
                    self.at = if b == b'\\' { At::Escape } else { At::Value };
                }
            },
            At::Escape if b == b'\n' => self.torn(),
            At::Escape => {
                self.out.push(b);
                self.at = At::String;
            }
            At::Text if b == b'\n' => self.end_line(),
            At::Text => self.out.push(b),
        }
    }

    fn in_value(&mut self, b: u8, first: bool) {
        let in_list = self.open.last() == Some(&b'[');
        let may_stand = self.last == b':' || (in_list && matches!(self.last, b'[' | b','));
        if b == b'{' && first && !may_stand {
            // The value before it was torn: it ends where its line did.
            self.begin_line();
            return self.open(b);
        }
        match b {
            b'\n' => {
                self.fold();
                return self.out.push(b' ');
            }
            b'{' | b'[' if self.open.len() >= DEPTH => self.at = At::Text,
            b'{' | b'[' => self.open.push(b),
            b'}' | b']' => {
                self.open.pop();
                if self.open.is_empty() {
                    self.at = At::Behind;
                }
            }
            b'"' => self.at = At::String,
            _ => {}
        }
        self.out.push(b);
        if !b.is_ascii_whitespace() {
            self.last = b;
        }
    }

    fn open(&mut self, b: u8) {
        self.out.push(b);
        self.open.clear();
        self.open.push(b);
        (self.at, self.last) = (At::Value, b);
    }

    /// Begins a line that the file does not have.
    fn begin_line(&mut self) {
        self.out.push(b'\n');
        match self.owed.checked_sub(1) {
            Some(owed) => self.owed = owed,
            None => self.ahead += 1,
        }
    }

    /// Removes a line break within a value.
    fn fold(&mut self) {
        match self.ahead.checked_sub(1) {
            Some(ahead) => self.ahead = ahead,
            None => self.owed += 1,
        }
    }

    fn torn(&mut self) {
        self.end_line();
        self.first = true;
    }

    fn end_line(&mut self) {
        let breaks = 1 + std::mem::take(&mut self.owed);
        self.out.resize(self.out.len() + breaks, b'\n');
        self.open.clear();
        self.at = At::Start;
    }

    /// Reads the next bytes. False at the end.
    fn read_on(&mut self) -> Result<bool> {
        (self.told, _) = (0, self.out.clear());
        let more = self.inner.read(&mut self.chunk[self.kept..])?;
        let kept = std::mem::take(&mut self.kept);
        let mut n = kept + more;
        // A byte order mark stands before the first value.
        while !self.begun && (1..3).contains(&n) {
            match self.inner.read(&mut self.chunk[n..])? {
                0 => break,
                more => n += more,
            }
        }
        let from = if !self.begun && self.chunk[..n].starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        self.begun = true;
        let mut chunk = std::mem::take(&mut self.chunk);
        // What is longer than the chunk is looked at byte by byte.
        let left = self.take(&chunk[from..n], kept, more == 0 || n == CHUNK).len();
        if left < n {
            chunk.copy_within(n - left..n, 0);
        }
        (self.chunk, self.kept) = (chunk, left);
        Ok(n > 0)
    }
}

/// True if the line begins and ends as an object does.
fn is_whole(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && line.trim_ascii_end().last() == Some(&b'}')
}

impl<R: Read> Read for Unfold<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        while self.told == self.out.len() {
            if !self.read_on()? {
                return Ok(0);
            }
        }
        let n = to.len().min(self.out.len() - self.told);
        to[..n].copy_from_slice(&self.out[self.told..self.told + n]);
        self.told += n;
        Ok(n)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A source that hands out so many bytes at once.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, to: &mut [u8]) -> Result<usize> {
            let n = self.1.min(to.len()).min(self.0.len());
            to[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    /// The lines that are not empty, with their numbers.
    fn lines(text: &str) -> Vec<(usize, String)> {
        let of = |drip: usize| {
            let mut out = String::new();
            Unfold::new(Drip(text.as_bytes(), drip)).read_to_string(&mut out).unwrap();
            let numbered = out.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
            numbered
                .map(|(i, l)| (i + 1, l.split_whitespace().collect::<Vec<_>>().join(" ")))
                .collect::<Vec<_>>()
        };
        let all = of(usize::MAX);
        for drip in [1, 2, 3, 7] {
            assert_eq!(of(drip), all, "{drip} bytes at once of {text}");
        }
        all
    }

    #[test]
    fn values_in_any_layout_are_lines_with_the_numbers_of_the_file() {
        let want = |of: &[(usize, &str)]| of.iter().map(|(n, l)| (*n, l.to_string())).collect::<Vec<_>>();
        let cases: [(&str, &[(usize, &str)]); 13] = [
            ("{\"a\":1}\n\n{\"b\":2}\r\nnot json\n", &[(1, "{\"a\":1}"), (3, "{\"b\":2}"), (4, "not json")]),
            ("\u{feff}{\"a\":1}", &[(1, "{\"a\":1}")]),
            (
                "{\n \"a\": [\n  1,\n  {}\n ]\n}\n{\n \"b\": 2\n}\n",
                &[(1, "{ \"a\": [ 1, {} ] }"), (7, "{ \"b\": 2 }")],
            ),
            ("[\n {\"a\": 1},\n {\"b\": 2}\n]\n", &[(2, "{\"a\": 1}"), (3, "{\"b\": 2}")]),
            ("[{\"a\":1},{\"b\":\"]}\\\"\"}]\n", &[(1, "{\"a\":1}"), (2, "{\"b\":\"]}\\\"\"}")]),
            ("{\"a\":1} {\"b\":\n2}\n{\"c\":3}", &[(1, "{\"a\":1}"), (2, "{\"b\": 2}"), (3, "{\"c\":3}")]),
            ("[[{\"a\":1}],\n[{\"b\":2}]]", &[(1, "{\"a\":1}"), (2, "{\"b\":2}")]),
            // Torn in a string, behind a comma, behind a name: the next line is whole.
            ("{\"a\":\"x\n{\"b\":2}\n", &[(1, "{\"a\":\"x"), (2, "{\"b\":2}")]),
            ("{\"a\":1,\n{\"b\":2}\n", &[(1, "{\"a\":1,"), (2, "{\"b\":2}")]),
            ("{\"a\":[1\n{\"b\":2}\n", &[(1, "{\"a\":[1"), (2, "{\"b\":2}")]),
            // Printed without indentation.
            (
                "{\n\"a\": [\n{\n\"b\": 1\n},\n{\n\"c\": 2\n}\n]\n}",
                &[(1, "{ \"a\": [ { \"b\": 1 }, { \"c\": 2 } ] }")],
            ),
            (
                "[]\n[1,2]\n[2026-05-01T10:00:00Z] \"GET / HTTP/1.1\"\n",
                &[(1, "[]"), (2, "[1,2]"), (3, "[2026-05-01T10:00:00Z] \"GET / HTTP/1.1\"")],
            ),
            ("{\"a\":1} x\n{\"b\":2}\n", &[(1, "{\"a\":1} x"), (2, "{\"b\":2}")]),
        ];
        for (text, lines_of) in cases {
            assert_eq!(lines(text), want(lines_of), "{text}");
        }
    }

    /// Found by fuzzing: a line that looks whole and is not went on in the next one, if only a part of it was read at once; and a
    /// value behind a space was none, if its line was.
    #[test]
    fn fuzz_what_is_read_at_once_changes_nothing() {
        let want = |of: &[(usize, &str)]| of.iter().map(|(n, l)| (*n, l.to_string())).collect::<Vec<_>>();
        let cases: [(&str, &[(usize, &str)]); 4] = [
            ("{\"a\":{\"b\":1}\n{\"c\":2}\n", &[(1, "{\"a\":{\"b\":1}"), (2, "{\"c\":2}")]),
            ("{\"a\":{\"b\":1}\n", &[(1, "{\"a\":{\"b\":1}")]),
            ("{\"a\":1} {\"b\":2}\n{\"c\":3}\n", &[(1, "{\"a\":1} {\"b\":2}"), (2, "{\"c\":3}")]),
            (" {\n \"a\": 1\n}\n{\"c\":3}\n", &[(1, "{ \"a\": 1 }"), (4, "{\"c\":3}")]),
        ];
        for (text, lines_of) in cases {
            assert_eq!(lines(text), want(lines_of), "{text}");
        }
        // A line longer than what is read at once, and one as long.
        for n in [CHUNK - 20, CHUNK - 10, CHUNK - 9, CHUNK, CHUNK + 1] {
            let text = format!("{{\"a\":\"{}\"}}\n{{\"b\":2}}\n", "x".repeat(n));
            assert_eq!(lines(&text).len(), 2, "{n}");
        }
    }

    #[test]
    fn depth_without_end_keeps_nothing() {
        let text = format!("{{\"a\":{}\n{{\"b\":2}}\n", "[".repeat(1 << 20));
        let all = lines(&text);
        assert_eq!((all.len(), all[1].1.as_str()), (2, "{\"b\":2}"));
    }
}
