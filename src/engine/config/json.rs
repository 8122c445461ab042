//! A configuration's JSON as a tree: strict (RFC 8259), a fault is told with line and column. A key that stands twice in one
//! object is a problem, told with its path: the second value would silently win.
//!
//! Accepts and refuses what `serde_json` does, in its words (property tests below); that crate took a tenth of the module to
//! read one file at start. Not for request bodies: those are read as they stream, by `edge::scan`.

use super::read::Problems;
use std::fmt::Write;

/// Lists and objects within each other.
const MAX_DEPTH: usize = 127;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object.
    Object(Map),
}

impl Value {
    /// A string's text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(s) = self { Some(s) } else { None }
    }
}

/// The pairs of an object, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Vec<(String, Value)>);

impl Map {
    /// No pairs.
    pub const fn new() -> Map {
        Map(Vec::new())
    }
    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(k, _)| k.as_str().cmp(key))
    }
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.place(key).ok().and_then(|at| self.0.get(at)).map(|(_, v)| v)
    }
    /// Sets a key.
    pub fn insert(&mut self, key: &str, value: Value) {
        match self.place(key) {
            Ok(at) => {
                if let Some(pair) = self.0.get_mut(at) {
                    pair.1 = value;
                }
            }
            Err(at) => self.0.insert(at, (key.to_string(), value)),
        }
    }
    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }
    /// All pairs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(String, Value)> {
        self.0.iter()
    }
}

/// Reads a document; keys that stand twice go to `problems`.
///
/// # Errors
/// The text is not JSON: what is wrong, and where.
pub fn read(json: &str, problems: &mut Problems) -> Result<Value, String> {
    let mut r = Reader { text: json, at: 0, depth: 0, path: String::new(), problems };
    let value = r.value().and_then(|v| match r.peek() {
        None => Ok(v),
        Some(_) => Err(r.fault("trailing characters")),
    });
    value.map_err(|Fault(what, at)| {
        let before = json.as_bytes().get(..at).unwrap_or_default();
        let line = before.split(|b| *b == b'\n');
        let column = line.clone().next_back().map_or(0, <[u8]>::len);
        format!("{what} at line {} column {column}", line.count())
    })
}

/// A string of JSON.
pub fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Writing to a string cannot fail.
            ..' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What is wrong, after so many bytes.
struct Fault(&'static str, usize);

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// Of the value that is read.
    path: String,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
    fn skip(&mut self) {
        self.at = self.at.saturating_add(1);
    }
    /// The next byte that is not space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.skip();
        }
        self.byte()
    }
    /// Something is wrong with the byte that comes next.
    fn fault(&self, what: &'static str) -> Fault {
        Fault(what, self.at.saturating_add(1).min(self.text.len()))
    }
    /// The same; or there is no byte.
    fn fault_or_end(&self, what: &'static str, end: &'static str) -> Fault {
        self.fault(if self.byte().is_some() { what } else { end })
    }

    fn value(&mut self) -> Result<Value, Fault> {
        match self.peek() {
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(open @ (b'[' | b'{')) => {
                if self.depth == MAX_DEPTH {
                    return Err(self.fault("recursion limit exceeded"));
                }
                self.skip();
                self.depth = self.depth.saturating_add(1);
                let value = if open == b'[' { self.list()? } else { self.object()? };
                self.depth = self.depth.saturating_sub(1);
                self.skip();
                Ok(value)
            }
            _ => Err(self.fault_or_end("expected value", "EOF while parsing a value")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        for b in word.bytes() {
            if self.byte() != Some(b) {
                return Err(self.fault_or_end("expected ident", "EOF while parsing a value"));
            }
            self.skip();
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let from = self.at;
        self.one_of(b"-");
        if !self.one_of(b"0") {
            self.digits()?;
        } else if let Some(b'0'..=b'9') = self.byte() {
            return Err(self.fault("invalid number"));
        }
        if self.one_of(b".") {
            self.digits()?;
        }
        if self.one_of(b"eE") {
            self.one_of(b"+-");
            self.digits()?;
        }
        Ok(Value::Number(self.since(from).to_string()))
    }
    fn one_of(&mut self, bytes: &[u8]) -> bool {
        let is = self.byte().is_some_and(|b| bytes.contains(&b));
        self.at = self.at.saturating_add(usize::from(is));
        is
    }
    fn digits(&mut self) -> Result<(), Fault> {
        if !self.one_of(b"0123456789") {
            return Err(self.fault_or_end("invalid number", "EOF while parsing a value"));
        }
        while self.one_of(b"0123456789") {}
        Ok(())
    }

    /// The text from there to here. Both stand beside an ASCII byte.
    fn since(&self, from: usize) -> &str {
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.skip();
        let mut out = String::new();
        loop {
            let from = self.at;
            while self.byte().is_some_and(|b| !matches!(b, b'"' | b'\\' | ..b' ')) {
                self.skip();
            }
            out.push_str(self.since(from));
            match self.byte() {
                Some(b'"') => {
                    self.skip();
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.skip();
                    out.push(self.escape()?);
                }
                _ => {
                    return Err(self.fault_or_end(
                        "control character (\\u0000-\\u001F) found while parsing a string",
                        "EOF while parsing a string",
                    ));
                }
            }
        }
    }
    fn escape(&mut self) -> Result<char, Fault> {
        let c = match self.byte() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.fault_or_end("invalid escape", "EOF while parsing a string")),
        };
        self.skip();
        Ok(c)
    }
    fn code_point(&mut self) -> Result<char, Fault> {
        let mut units = [self.hex()?, 0];
        if let [0xd800..=0xdbff, second] = &mut units {
            for b in *b"\\u" {
                if self.byte() != Some(b) {
                    let what = "unexpected end of hex escape";
                    return Err(self.fault_or_end(what, "EOF while parsing a string"));
                }
                if b == b'\\' {
                    self.skip();
                }
            }
            *second = self.hex()?;
        }
        let lone = Fault("lone leading surrogate in hex escape", self.at);
        char::decode_utf16(units).next().and_then(Result::ok).ok_or(lone)
    }
    /// Four digits, after the `u` that is next.
    fn hex(&mut self) -> Result<u16, Fault> {
        self.skip();
        let mut unit = 0u16;
        let end = self.at.saturating_add(4);
        let Some(digits) = self.text.as_bytes().get(self.at..end) else {
            return Err(Fault("EOF while parsing a string", self.text.len()));
        };
        self.at = end;
        for b in digits {
            let digit = char::from(*b).to_digit(16).ok_or(Fault("invalid escape", end))?;
            unit = unit << 4 | digit as u16;
        }
        Ok(unit)
    }

    fn list(&mut self) -> Result<Value, Fault> {
        let mut out = Vec::new();
        let path = self.path.len();
        while self.more(b']', out.is_empty())? {
            let _ = write!(self.path, "[{}]", out.len());
            out.push(self.value()?);
            self.path.truncate(path);
        }
        Ok(Value::Array(out))
    }
    fn object(&mut self) -> Result<Value, Fault> {
        let mut out = Map::new();
        let path = self.path.len();
        while self.more(b'}', out.0.is_empty())? {
            if self.byte() != Some(b'"') {
                return Err(self.fault("key must be a string"));
            }
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.fault_or_end("expected `:`", "EOF while parsing an object"));
            }
            self.skip();
            self.path.push_str(if path == 0 { "" } else { "." });
            self.path.push_str(&key);
            if out.get(&key).is_some() {
                self.problems.add(&self.path, "stands twice: keep one of the two");
            }
            let value = self.value()?;
            out.insert(&key, value);
            self.path.truncate(path);
        }
        Ok(Value::Object(out))
    }
    /// Goes on to the next element of a list or object, if there is one before its end.
    fn more(&mut self, end: u8, first: bool) -> Result<bool, Fault> {
        let list = end == b']';
        match self.peek() {
            Some(b) if b == end => return Ok(false),
            Some(_) if first => return Ok(true),
            Some(b',') => self.skip(),
            _ if list => return Err(self.fault_or_end("expected `,` or `]`", "EOF while parsing a list")),
            _ => return Err(self.fault_or_end("expected `,` or `}`", "EOF while parsing an object")),
        }
        match self.peek() {
            Some(b) if b == end => Err(self.fault("trailing comma")),
            Some(_) => Ok(true),
            None => Err(self.fault("EOF while parsing a value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tree as serde_json's, numbers through its reading.
    fn theirs(v: &Value) -> serde_json::Value {
        match v {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Number(n) => serde_json::from_str(n).unwrap_or_default(),
            Value::String(s) => s.as_str().into(),
            Value::Array(a) => a.iter().map(theirs).collect(),
            Value::Object(m) => m.iter().map(|(k, v)| (k.clone(), theirs(v))).collect(),
        }
    }

    fn check(text: &str) {
        let ours = read(text, &mut Problems::default()).map(|v| theirs(&v));
        let want = serde_json::from_str::<serde_json::Value>(text).map_err(|e| e.to_string());
        // Here a number is text.
        if want.as_ref().is_err_and(|e| e.starts_with("number out of range")) {
            return;
        }
        assert_eq!(ours, want, "{text:?}");
    }

    #[test]
    fn depth_is_limited() {
        for n in [127, 128] {
            check(&format!("{}1{}", "[".repeat(n), "]".repeat(n)));
            check(&format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n)));
        }
    }

    proptest! {
        #[test]
        fn reads_and_refuses_like_serde_json(text in "[\\[\\]{}\",:0-9eE.+\\-truefalsn \\\\u\\n]{0,24}") {
            check(&text);
        }
        #[test]
        fn damaged_documents_are_refused_in_the_same_words(
            at in 0usize..120,
            cut: bool,
            with in "([\\[\\]{}\",:0-9\\-ntf \\\\u\\n\u{1}é]|\\\\u[dD][8cC]0[0-9a-g]|\\\\[a-z]){0,2}",
        ) {
            let good = r#"{"a":[1,-2.5e+3,0,true,false,null,"\u00e9\ud83d\ude00 é\n\"\\\/"],
                "b":{"c":{},"d":[],"e":[[{"f":"x"}]]},"g":"","h":1.0E-2}"#;
            let (head, tail) = good.split_at_checked(at).unwrap_or((good, ""));
            check(&format!("{head}{with}{}", if cut { tail.get(1..).unwrap_or(tail) } else { tail }));
        }
        #[test]
        fn quotes_like_serde_json(text: String, low in "[\u{0}-\u{7f}]{0,9}") {
            for text in [text, low] {
                prop_assert_eq!(quote(&text), serde_json::Value::from(text).to_string());
            }
        }
    }
}
