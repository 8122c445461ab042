//! The scanner: the same events in any chunks, whether strings are wanted unescaped or raw, and what `serde_json` reads is read alike.

use crate::engine::json::scan::{DEPTH, KEY, Scanner, Sink};
use crate::engine::json::unreadable::Unreadable;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Longest scalar that a sink sees whole.
const SCALAR: usize = 40;

/// One step of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Open(bool),
    Close,
    Key(Vec<u8>),
    Text(Vec<u8>),
    Scalar(Vec<u8>),
}

/// Collects events.
#[derive(Default)]
struct Events {
    all: Vec<Event>,
    odd: BTreeSet<&'static str>,
    text: Option<Vec<u8>>,
    raw: bool,
}

impl Events {
    fn push(&mut self, event: Event) {
        assert!(self.text.is_none(), "an event within a string");
        self.all.push(event);
    }
}

impl Sink for Events {
    fn open(&mut self, array: bool) {
        self.push(Event::Open(array));
    }
    fn close(&mut self) {
        self.push(Event::Close);
    }
    fn key(&mut self, key: &[u8]) {
        self.push(Event::Key(key.to_vec()));
    }
    fn string(&mut self) -> bool {
        assert!(self.text.is_none(), "a string within a string");
        self.text = Some(Vec::new());
        true
    }
    fn piece(&mut self, bytes: &[u8]) {
        self.text.as_mut().expect("a piece of a string").extend(bytes);
    }
    fn takes_raw(&self) -> bool {
        self.raw
    }
    fn raw(&mut self, bytes: &[u8], escapes: usize) {
        let (mut seen, mut rest) = (0, bytes.iter());
        while let Some(&b) = rest.next() {
            let b = if b == b'\\' {
                seen += 1;
                match rest.next() {
                    Some(b'b') => 8,
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'f') => 12,
                    Some(b'r') => b'\r',
                    Some(c @ (b'"' | b'\\' | b'/')) => *c,
                    other => panic!("{other:?} behind a backslash of a raw piece"),
                }
            } else {
                b
            };
            self.text.as_mut().expect("a raw piece of a string").push(b);
        }
        assert_eq!(seen, escapes, "escapes of a raw piece");
    }
    fn string_end(&mut self) {
        let text = self.text.take().expect("the end of a string");
        self.all.push(Event::Text(text));
    }
    fn scalar(&mut self, text: &[u8]) {
        self.push(Event::Scalar(text.to_vec()));
    }
    fn odd(&mut self, what: Unreadable) {
        self.odd.insert(what.name());
    }
}

/// All that comes of a document: events, an unfinished string, what was odd, and how it ended.
type Read = (Vec<Event>, Option<Vec<u8>>, BTreeSet<&'static str>, Result<(), Unreadable>);

fn scan<'a>(chunks: impl Iterator<Item = &'a [u8]>, raw: bool) -> Read {
    let (mut scanner, mut events) = (Scanner::default(), Events { raw, ..Events::default() });
    let mut end = Ok(());
    for chunk in chunks {
        end = match scanner.feed(chunk, &mut events) {
            Ok(rest) if rest.iter().all(u8::is_ascii_whitespace) => Ok(()),
            Ok(_) => Err(Unreadable::Trailing),
            Err(what) => Err(what),
        };
        if end.is_err() {
            break;
        }
    }
    let end = end.and_then(|()| scanner.finish(&mut events));
    (events.all, events.text, events.odd, end)
}

/// Chunks of lengths that `seed` says.
pub fn chunks(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (bytes, u32::from(seed) | 1);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (chunk, after) = rest.split_at((1 + (state >> 24) as usize % 37).min(rest.len()));
        rest = after;
        Some(chunk)
    })
}

/// A document's members, in order, as they stand twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = map.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        d.deserialize_map(V)
    }
}

fn walk(raw: &RawValue, depth: usize, out: &mut Vec<Event>) -> Option<()> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'{' | b'[' if depth >= DEPTH => return None,
        b'{' => {
            out.push(Event::Open(false));
            for (key, value) in serde_json::from_str::<Members<'_>>(text).ok()?.0 {
                out.push(Event::Key(key.into_bytes()));
                walk(value, depth + 1, out)?;
            }
            out.push(Event::Close);
        }
        b'[' => {
            out.push(Event::Open(true));
            for value in serde_json::from_str::<Vec<&RawValue>>(text).ok()? {
                walk(value, depth + 1, out)?;
            }
            out.push(Event::Close);
        }
        b'"' => out.push(Event::Text(serde_json::from_str::<String>(text).ok()?.into_bytes())),
        _ => out.push(Event::Scalar(text.as_bytes().to_vec())),
    }
    Some(())
}

/// The events of a document by `serde_json`; `None` if it cannot tell them: no JSON, too deep, half of a surrogate pair.
pub fn by_serde(text: &str) -> Option<Vec<Event>> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let mut out = Vec::new();
    walk(raw, 0, &mut out)?;
    Some(out)
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// As short as can be.
    Compact,
    /// With spaces wherever they may stand.
    Spaced,
    /// Every letter as `\uXXXX`.
    Escaped,
}

/// Another text of the same document.
pub fn rewrite(events: &[Event], hand: Hand) -> Vec<u8> {
    let mut out = String::new();
    let mut lists: Vec<(bool, bool)> = Vec::new();
    let mut behind_key = false;
    let space = if hand == Hand::Spaced { " \t" } else { "" };
    let string = |text: &[u8]| {
        let text = std::str::from_utf8(text).expect("serde_json's strings are UTF-8");
        if hand == Hand::Escaped {
            let units: String = text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
            format!("\"{units}\"")
        } else {
            serde_json::to_string(text).expect("a string")
        }
    };
    for event in events {
        if *event != Event::Close
            && !std::mem::take(&mut behind_key)
            && let Some((_, any)) = lists.last_mut()
            && std::mem::replace(any, true)
        {
            out.push(',');
        }
        out.push_str(space);
        match event {
            Event::Open(array) => {
                out.push(if *array { '[' } else { '{' });
                lists.push((*array, false));
            }
            Event::Close => out.push(if lists.pop().is_some_and(|l| l.0) { ']' } else { '}' }),
            Event::Key(key) => {
                out.push_str(&string(key));
                out.push_str(space);
                out.push(':');
                behind_key = true;
            }
            Event::Text(text) => out.push_str(&string(text)),
            Event::Scalar(text) => out.push_str(std::str::from_utf8(text).expect("a scalar")),
        }
        out.push_str(space);
    }
    out.into_bytes()
}

pub fn run(data: &[u8]) {
    let Some((&seed, text)) = data.split_first() else { return };
    let whole = scan(std::iter::once(text), false);
    assert_eq!(whole, scan(text.chunks(1), false), "a byte at a time");
    assert_eq!(whole, scan(chunks(text, seed), false), "in chunks");
    for (raw, how) in [
        (scan(std::iter::once(text), true), "raw"),
        (scan(text.chunks(1), true), "raw, a byte at a time"),
        (scan(chunks(text, seed), true), "raw, in chunks"),
    ] {
        assert_eq!(whole, raw, "{how}");
    }
    let (events, _, odd, end) = whole;
    let Ok(text) = std::str::from_utf8(text) else { return };
    // What is deeper is passed over, and of a longer number only the start is looked at.
    let long = events.iter().any(|e| matches!(e, Event::Scalar(s) if s.len() >= SCALAR));
    if text.starts_with('\u{feff}') || odd.contains("depth") || long {
        return;
    }
    let ours = end.is_ok() && odd.is_empty();
    assert_eq!(ours, serde_json::from_str::<IgnoredAny>(text).is_ok(), "{end:?}, odd {odd:?}");
    if let Some(mut theirs) = by_serde(text) {
        for event in &mut theirs {
            if let Event::Key(key) = event
                && key.len() > KEY
            {
                key.clear();
            }
        }
        assert_eq!(events, theirs, "what serde_json reads");
    }
}
