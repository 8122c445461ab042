//! Times in a record that may be an account's creation.

use crate::import::record::{Record, text_of};
use crate::trace::time_of;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use weir::engine::edge::age::EARLIEST_S;

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
