//! Typed reading of JSON values that collects all problems instead of stopping at the first.

use super::{Nanos, Problems};
use crate::engine::decimal::exact;
use serde::de::value::{Error as LeafError, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Map, Value};
use std::fmt::Display;

/// One object of the configuration. Keys that nobody asked for are reported as unknown by `finish`.
#[derive(Debug)]
pub struct Object<'a> {
    map: Option<&'a Map<String, Value>>,
    path: String,
    asked: Vec<&'static str>,
}

/// A value as messages show it. Strings are cut, so that a secret in the wrong place does not reach a log
/// whole.
pub fn show(v: &Value) -> String {
    match v {
        Value::String(s) if s.chars().count() > 24 => {
            format!("\"{}…\"", s.chars().take(8).collect::<String>())
        }
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(s) => quote(s),
        // Not by `n` itself: its printer of fractions is 12 KB of the module.
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => n.to_string(),
            (_, Some(n)) => n.to_string(),
            _ => n.as_f64().and_then(exact).unwrap_or_else(|| "a fraction or beyond 64 bits".into()),
        },
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
    }
}

/// A text as a JSON string, with quotes.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// JSON path of a key below `path`.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

impl<'a> Object<'a> {
    /// Reads `v` as an object. Any other value is a problem and reads as an empty object.
    pub fn new(v: &'a Value, path: String, p: &mut Problems) -> Object<'a> {
        let map = match v {
            Value::Object(m) => Some(m),
            other => {
                p.add(&path, format_args!("is {}, must be an object {{…}}", show(other)));
                None
            }
        };
        Object { map, path, asked: Vec::new() }
    }
    /// JSON path of a key of this object.
    pub fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }
    /// Adds a problem of a key.
    pub fn problem(&self, key: &str, message: impl Display, p: &mut Problems) {
        p.push(self.at(key), &message);
    }
    /// Adds the problem that the value of a key is not `what` it must be.
    pub fn must_be(&self, key: &str, v: &Value, what: impl Display, p: &mut Problems) {
        self.problem(key, format_args!("is {}, must be {what}", show(v)), p);
    }
    /// The value of a key. Marks the key as known.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.map?.get(key)
    }
    /// True if the key is present. Does not mark it as known.
    pub fn has(&self, key: &str) -> bool {
        self.map.is_some_and(|m| m.contains_key(key))
    }
    /// Number of keys present.
    pub fn number_of_keys(&self) -> usize {
        self.map.map_or(0, Map::len)
    }
    /// The object under a key; empty if absent.
    pub fn object(&mut self, key: &'static str, p: &mut Problems) -> Object<'a> {
        let path = self.at(key);
        match self.get(key) {
            Some(v) => Object::new(v, path, p),
            None => Object { map: None, path, asked: Vec::new() },
        }
    }
    /// The string under a key.
    pub fn string(&mut self, key: &'static str, p: &mut Problems) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(s) => Some(s),
            other => {
                self.must_be(key, other, "a string", p);
                None
            }
        }
    }
    /// The boolean under a key.
    pub fn boolean(&mut self, key: &'static str, default: bool, p: &mut Problems) -> bool {
        match self.get(key) {
            None => default,
            Some(Value::Bool(b)) => *b,
            Some(other) => {
                self.must_be(key, other, "true or false", p);
                default
            }
        }
    }
    /// The whole number under a key, from `lo` to `hi`.
    pub fn number(&mut self, key: &'static str, default: u64, lo: u64, hi: u64, p: &mut Problems) -> u64 {
        match self.get(key) {
            None => default,
            Some(v) => match v.as_u64().filter(|n| (lo..=hi).contains(n)) {
                Some(n) => n,
                None => {
                    self.must_be(key, v, format_args!("a whole number from {lo} to {hi}"), p);
                    default
                }
            },
        }
    }
    /// The duration (a number with a unit) under a key, within a range.
    pub fn duration(
        &mut self,
        key: &'static str,
        default: Nanos,
        lo: Nanos,
        hi: Nanos,
        p: &mut Problems,
    ) -> Nanos {
        let Some(v) = self.get(key) else { return default };
        let range = || format!("{} to {}", show_duration(lo), show_duration(hi));
        match leaf::<Nanos>(v) {
            Ok(d) if d >= lo && d <= hi => return d,
            Ok(_) => self.must_be(key, v, range(), p),
            Err(what) => self.must_be(key, v, format_args!("{what} ({})", range()), p),
        }
        default
    }
    /// The size (a number with a unit) under a key, from `lo` to `hi` bytes.
    pub fn size(&mut self, key: &'static str, default: u64, lo: u64, hi: u64, p: &mut Problems) -> u64 {
        let Some(v) = self.get(key) else { return default };
        match leaf(v) {
            Ok(Size(n)) if (lo..=hi).contains(&n) => return n,
            _ => self.must_be(key, v, format_args!("{SIZE}, from {lo} to {hi} bytes"), p),
        }
        default
    }
    /// The value that belongs to the word under a key.
    pub fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
        p: &mut Problems,
    ) -> T {
        let at = self.one_of(key, &mut words.iter().map(|(w, _)| *w), p);
        at.and_then(|at| words.get(at)).map_or(default, |(_, t)| *t)
    }
    /// Index of the word under a key among those allowed.
    // One piece of code for every type of `word`.
    #[inline(never)]
    fn one_of(
        &mut self,
        key: &'static str,
        words: &mut dyn Iterator<Item = &str>,
        p: &mut Problems,
    ) -> Option<usize> {
        let v = self.get(key)?;
        let mut all = String::new();
        for (at, word) in words.enumerate() {
            if v.as_str() == Some(word) {
                return Some(at);
            }
            all.push_str(if at == 0 { "\"" } else { "\", \"" });
            all.push_str(word);
        }
        self.must_be(key, v, format_args!("one of {all}\""), p);
        None
    }
    /// The list under a key; `None` if absent.
    pub fn list(&mut self, key: &'static str, p: &mut Problems) -> Option<&'a Vec<Value>> {
        match self.get(key)? {
            Value::Array(a) => Some(a),
            other => {
                self.must_be(key, other, "a list […]", p);
                None
            }
        }
    }
    /// Reports unknown keys. Call it last.
    pub fn finish(self, p: &mut Problems) {
        let Some(map) = self.map else { return };
        for key in map.keys().filter(|k| !self.asked.contains(&k.as_str())) {
            // What is longer than any key is near to none.
            let far = |a: &str| if key.len() > 64 { usize::MAX } else { strsim::levenshtein(a, key) };
            let near = self.asked.iter().map(|a| (far(a), a)).min().filter(|(d, _)| *d <= 2);
            let hint = match near {
                _ if key == "status" && self.path.is_empty() => STATUS.to_string(),
                Some((_, a)) => format!("unknown key; did you mean \"{a}\"?"),
                None if self.asked.is_empty() => "unknown key".to_string(),
                None => format!("unknown key; known here: {}", self.asked.join(", ")),
            };
            self.problem(key, hint, p);
        }
    }
}

/// Message for a key that was removed.
const STATUS: &str = "is no key any more: the status page is the hub's, see `weir hub --admin`";

/// Deserializes a value that the configuration writes as a string.
///
/// # Errors
/// A description of what it must be.
pub fn leaf<T: for<'de> Deserialize<'de>>(v: &Value) -> Result<T, LeafError> {
    T::deserialize(StrDeserializer::new(v.as_str().unwrap_or_default()))
}

/// Name of a unit, and its size.
type Unit = (&'static str, u64);
/// Units of durations, in milliseconds.
const DURATIONS: [Unit; 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// Units of sizes, in bytes.
const SIZES: [Unit; 5] = [("B", 1), ("KB", 1_000), ("KiB", 1_024), ("MB", 1_000_000), ("MiB", 1_048_576)];

/// A whole number with a unit, as a multiple of the unit of size 1.
fn with_unit(text: &str, units: &[Unit]) -> Option<u64> {
    let (n, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let (_, size) = units.iter().find(|(name, _)| *name == unit)?;
    n.parse::<u64>().ok()?.checked_mul(*size)
}

/// Deserializes a string with `read`. The error says `what` it must be.
pub fn of_text<'de, D: Deserializer<'de>, T>(
    d: D,
    must_be: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let text = String::deserialize(d).ok();
    text.and_then(|t| read(&t)).ok_or_else(|| D::Error::custom(must_be))
}

const DURATION: &str = "a duration with a unit such as \"30s\", \"5m\", \"24h\" or \"14d\"";
const SIZE: &str = "a size with a unit such as \"16KiB\" or \"1MiB\"";

/// `100ms`, `30s`, `5m`, `24h`, `14d`.
impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
        of_text(d, DURATION, |text| with_unit(text, &DURATIONS)?.checked_mul(1_000_000).map(Nanos))
    }
}

/// `512B`, `16KiB`, `1MiB`, `64KB`, `2MB`: bytes.
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Size, D::Error> {
        of_text(d, SIZE, |text| with_unit(text, &SIZES).map(Size))
    }
}

/// A duration as configuration writes it.
fn show_duration(d: Nanos) -> String {
    let ms = d.millis();
    for (unit, per) in [("d", 86_400_000u64), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= per && ms.is_multiple_of(per) {
            return format!("{}{unit}", ms.checked_div(per).unwrap_or(0));
        }
    }
    if ms == 0 { "0s".into() } else { format!("{ms}ms") }
}
