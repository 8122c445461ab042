//! Typed reading of a JSON value that collects every problem instead of stopping at the first.

use super::json::{Map, Value, quote};
use super::{Nanos, Problem};
use std::fmt::Display;

/// Collects problems under a JSON path.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes a problem.
    pub fn add(&mut self, path: &str, message: impl Display) {
        self.push(path.to_string(), &message);
    }
    // One piece of code for every kind of message.
    #[inline(never)]
    fn push(&mut self, path: String, message: &dyn Display) {
        self.0.push(Problem { path, message: message.to_string() });
    }
}

/// One object of the configuration: every key must be asked for, or it is unknown.
#[derive(Debug)]
pub struct Object<'a> {
    map: &'a Map,
    path: String,
    asked: Vec<&'static str>,
}

static EMPTY: Map = Map::new();

/// A short rendering of a value for messages. Strings are cut: a secret in the wrong place must not reach a log whole.
pub fn show(v: &Value) -> String {
    match v {
        Value::String(s) if s.chars().count() > 24 => {
            format!("\"{}…\"", s.chars().take(8).collect::<String>())
        }
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(s) => quote(s),
        Value::Number(n) => n.clone(),
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
    }
}

/// The path of a key.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

impl<'a> Object<'a> {
    /// Reads `v` as an object; something else is a problem and reads as empty.
    pub fn new(v: &'a Value, path: String, p: &mut Problems) -> Object<'a> {
        let map = match v {
            Value::Object(m) => m,
            other => {
                p.add(&path, format_args!("is {}, must be an object {{…}}", show(other)));
                &EMPTY
            }
        };
        Object { map, path, asked: Vec::new() }
    }
    /// The path of a key.
    pub fn at(&self, key: &str) -> String {
        join(&self.path, key)
    }
    /// Notes a problem of a key.
    pub fn problem(&self, key: &str, message: impl Display, p: &mut Problems) {
        p.push(self.at(key), &message);
    }
    /// The value of a key is not what it must be.
    pub fn must_be(&self, key: &str, v: &Value, what: impl Display, p: &mut Problems) {
        self.problem(key, format_args!("is {}, must be {what}", show(v)), p);
    }
    /// The value of a key, if present.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.map.get(key)
    }
    /// Keys present.
    pub fn keys(&self) -> impl Iterator<Item = &'a String> {
        self.map.iter().map(|(k, _)| k)
    }
    /// An inner object; absent reads as empty.
    pub fn object(&mut self, key: &'static str, p: &mut Problems) -> Object<'a> {
        let path = self.at(key);
        match self.get(key) {
            Some(v) => Object::new(v, path, p),
            None => Object { map: &EMPTY, path, asked: Vec::new() },
        }
    }
    /// A string.
    pub fn string(&mut self, key: &'static str, p: &mut Problems) -> Option<&'a str> {
        match self.get(key)? {
            Value::String(s) => Some(s),
            other => {
                self.must_be(key, other, "a string", p);
                None
            }
        }
    }
    /// A boolean.
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
    /// A whole number in a range.
    pub fn number(&mut self, key: &'static str, default: u64, lo: u64, hi: u64, p: &mut Problems) -> u64 {
        match self.get(key) {
            None => default,
            Some(v) => match parse_number(v).filter(|n| (lo..=hi).contains(n)) {
                Some(n) => n,
                None => {
                    self.must_be(key, v, format_args!("a whole number from {lo} to {hi}"), p);
                    default
                }
            },
        }
    }
    /// A share from 0 to 1, as parts per million.
    pub fn share(&mut self, key: &'static str, default_ppm: u32, p: &mut Problems) -> u32 {
        match self.get(key) {
            None => default_ppm,
            Some(v) => match parse_decimal(v).filter(|x| (0.0..=1.0).contains(x)) {
                Some(x) => (x * 1_000_000.0 + 0.5) as u32,
                None => {
                    self.must_be(key, v, "a number from 0 to 1", p);
                    default_ppm
                }
            },
        }
    }
    /// A duration with a unit, in a range.
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
        match v.as_str().and_then(parse_duration) {
            Some(d) if d >= lo && d <= hi => d,
            Some(_) => {
                self.must_be(key, v, range(), p);
                default
            }
            None => {
                let what = "a duration with a unit such as \"30s\", \"5m\", \"24h\" or \"14d\"";
                self.must_be(key, v, format_args!("{what} ({})", range()), p);
                default
            }
        }
    }
    /// A size with a unit, in a range.
    pub fn size(&mut self, key: &'static str, default: u64, lo: u64, hi: u64, p: &mut Problems) -> u64 {
        let Some(v) = self.get(key) else { return default };
        match v.as_str().and_then(parse_size).filter(|n| (lo..=hi).contains(n)) {
            Some(n) => n,
            None => {
                let what = "a size with a unit such as \"16KiB\" or \"1MiB\"";
                self.must_be(key, v, format_args!("{what}, from {lo} to {hi} bytes"), p);
                default
            }
        }
    }
    /// One of some words.
    pub fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
        p: &mut Problems,
    ) -> T {
        let Some(v) = self.get(key) else { return default };
        let found = v.as_str().and_then(|s| words.iter().find(|(w, _)| *w == s));
        match found {
            Some((_, t)) => *t,
            None => {
                let all: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
                self.must_be(key, v, format_args!("one of \"{}\"", all.join("\", \"")), p);
                default
            }
        }
    }
    /// A list; absent reads as `None`.
    pub fn list(&mut self, key: &'static str, p: &mut Problems) -> Option<&'a Vec<Value>> {
        match self.get(key)? {
            Value::Array(a) => Some(a),
            other => {
                self.must_be(key, other, "a list […]", p);
                None
            }
        }
    }
    /// Call last: keys that nobody asked for are unknown.
    pub fn finish(self, p: &mut Problems) {
        for (key, _) in self.map.iter().filter(|(k, _)| !self.asked.contains(&k.as_str())) {
            let near = self.asked.iter().map(|a| (distance(a, key), a)).min().filter(|(d, _)| *d <= 2);
            let hint = match near {
                Some((_, a)) => format!("unknown key; did you mean \"{a}\"?"),
                None if self.asked.is_empty() => "unknown key".to_string(),
                None => format!("unknown key; known here: {}", self.asked.join(", ")),
            };
            self.problem(key, hint, p);
        }
    }
}

/// Edit distance, for hints.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut left = i.saturating_add(1);
        let mut diagonal = i;
        for (cb, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best =
                (*cell).min(left).saturating_add(1).min(diagonal.saturating_add(usize::from(ca != *cb)));
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

fn parse_number(v: &Value) -> Option<u64> {
    if let Value::Number(n) = v { n.parse().ok() } else { None }
}

/// The digits as a whole number, times or by a power of ten.
fn parse_decimal(v: &Value) -> Option<f64> {
    let Value::Number(text) = v else { return None };
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mut exponent: i64 = exponent.parse().ok()?;
    let (mut whole, mut point) = (0f64, false);
    for b in digits.trim_start_matches('-').bytes() {
        if b == b'.' {
            point = true;
        } else {
            whole = whole * 10.0 + f64::from(b.wrapping_sub(b'0'));
            exponent = exponent.saturating_sub(i64::from(point));
        }
    }
    let power = (0..exponent.unsigned_abs().min(400)).fold(1.0, |p, _| p * 10.0);
    let size = if exponent < 0 { whole / power } else { whole * power };
    Some(if digits.starts_with('-') { -size } else { size })
}

/// `100ms`, `30s`, `5m`, `24h`, `14d`.
pub fn parse_duration(text: &str) -> Option<Nanos> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (n, unit) = text.split_at_checked(at)?;
    let n: u64 = n.parse().ok()?;
    let unit: u64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    n.checked_mul(unit).map(Nanos)
}

/// A duration as configuration writes it.
pub fn show_duration(d: Nanos) -> String {
    let ms = d.millis();
    for (unit, per) in [("d", 86_400_000u64), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= per && ms.is_multiple_of(per) {
            return format!("{}{unit}", ms.checked_div(per).unwrap_or(0));
        }
    }
    if ms == 0 { "0s".into() } else { format!("{ms}ms") }
}

/// `512B`, `16KiB`, `1MiB`, `64KB`, `2MB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (n, unit) = text.split_at_checked(at)?;
    let n: u64 = n.parse().ok()?;
    let unit: u64 = match unit {
        "B" => 1,
        "KB" => 1_000,
        "KiB" => 1_024,
        "MB" => 1_000_000,
        "MiB" => 1_048_576,
        _ => return None,
    };
    n.checked_mul(unit)
}
