//! Which field of the records tells when a key was made: it holds a time before the request, which is the
//! same in all requests of a key and differs between keys.

use crate::import::record::{Record, text_of};
use crate::trace::time_of;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use weir::engine::edge::age::EARLIEST_S;
use weir::engine::units::Nanos;

/// Fields that are examined, at most.
const FIELDS: usize = 64;
/// Keys that are examined, about 50 bytes for each field.
const KEYS: usize = 20_000;
/// Least percentage of keys with several requests that have one time only.
const STEADY: usize = 98;
/// Least percentage of keys that have the field.
const MOST_KEYS: usize = 50;
/// Least number of different times: a field that is the same for all tells nothing.
const DIFFERENT: usize = 3;

#[derive(Default)]
struct Field {
    /// For each key the time, whether it came again, and whether with another time.
    keys: HashMap<u64, (u32, bool, bool)>,
    /// Requests before their field's time.
    later: u64,
}

/// All fields that hold times, by path.
#[derive(Default)]
pub struct Ages(HashMap<String, Field>);

impl Ages {
    pub fn add(&mut self, key: u64, now: Nanos, times: &[(String, u32)]) {
        for (path, at) in times {
            if !self.0.contains_key(path) {
                if self.0.len() >= FIELDS {
                    continue;
                }
                self.0.insert(path.clone(), Field::default());
            }
            let Some(field) = self.0.get_mut(path) else { continue };
            field.later += u64::from(u64::from(*at) > now.secs());
            let full = field.keys.len() >= KEYS;
            if let Some((first, again, changed)) = field.keys.get_mut(&key) {
                (*again, *changed) = (true, *changed || first != at);
            } else if !full {
                field.keys.insert(key, (*at, false, false));
            }
        }
    }

    /// The fields that qualify, the best first, and the patch for a header.
    pub fn report(&self, keys: usize) -> (Vec<Value>, Value) {
        let mut found: Vec<(usize, &String)> =
            self.0.iter().filter(|(_, f)| f.is_age(keys)).map(|(path, f)| (f.keys.len(), path)).collect();
        found.sort_by_key(|(n, path)| {
            (std::cmp::Reverse(*n), !path.contains("creat"), path.len(), path.to_string())
        });
        let header = |path: &str| path.strip_prefix("headers.").map(str::to_string);
        let tell = |(n, path): &(usize, &String)| json!({"field": path, "keys": n, "header": header(path)});
        let first = found.iter().find_map(|(_, path)| header(path));
        let patch = first.map_or(json!({}), |name| json!({"identity": {"age": {"header": name}}}));
        (found.iter().map(tell).collect(), patch)
    }
}

impl Field {
    fn is_age(&self, keys: usize) -> bool {
        let again = self.keys.values().filter(|k| k.1).count();
        let changed = self.keys.values().filter(|k| k.2).count();
        let different: BTreeSet<u32> = self.keys.values().map(|k| k.0).collect();
        self.later == 0
            && again > 0
            && (again - changed) * 100 >= again * STEADY
            && self.keys.len() * 100 >= keys.min(KEYS) * MOST_KEYS
            && different.len() >= DIFFERENT
    }
}

/// Fields that hold people's texts: their content is not examined.
const TEXTS: [&str; 8] =
    ["body", "messages", "request_body", "response_body", "input", "output", "response", "full_request"];
/// Deepest nesting that is examined.
const DEPTH: usize = 4;
/// Values of a record that are examined, at most.
const VALUES: usize = 128;

/// The times in a record, by path; those of headers as `headers.NAME`, in whatever shape headers are written.
pub fn times(text: &str, out: &mut Vec<(String, u32)>) {
    if let Ok(record) = Record::object(text) {
        walk(&record, "", 0, &mut VALUES.clone(), out);
    }
}

fn walk(record: &Record<'_>, prefix: &str, depth: usize, left: &mut usize, out: &mut Vec<(String, u32)>) {
    for (name, value) in record.fields() {
        if *left == 0 || TEXTS.contains(&name) {
            continue;
        }
        *left -= 1;
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        match value.get().as_bytes().first() {
            Some(b'{') if depth < DEPTH => {
                if let Ok(inner) = Record::object(value.get()) {
                    walk(&inner, &path, depth + 1, left, out);
                }
            }
            Some(b'[') if name == "headers" => headers(value, out),
            Some(b'[' | b'{') => {}
            _ => out.extend(text_of(value).and_then(|t| time(&t)).map(|at| (path, at))),
        }
    }
}

/// `[["name", "value"], …]` or `[{"name" or "key": …, "value": …}, …]`.
fn headers(list: &RawValue, out: &mut Vec<(String, u32)>) {
    let all: Vec<Value> = serde_json::from_str(list.get()).unwrap_or_default();
    for header in &all {
        let of = |i: usize, names: [&str; 2]| {
            header.get(i).or_else(|| names.iter().find_map(|n| header.get(n))).and_then(Value::as_str)
        };
        if let (Some(name), Some(value)) = (of(0, ["name", "key"]), of(1, ["value", "value"]))
            && let Some(at) = time(value)
        {
            out.push((format!("headers.{}", name.to_ascii_lowercase()), at));
        }
    }
}

/// Seconds since the epoch, if a text is a time that may be an account's creation.
fn time(text: &str) -> Option<u32> {
    // Words and numbers that are no times, without the cost of finding out.
    if !(10..=40).contains(&text.len()) || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let at = time_of(&json!(text).to_string()).ok()?.secs();
    u32::try_from(at).ok().filter(|_| at >= EARLIEST_S)
}
