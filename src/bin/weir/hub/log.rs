//! The hub's log: one JSON line for each message, on standard error.

use serde_json::{Value, json};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes `{"t_ms": …, "level": …, "event": …}` and the fields. Nothing secret may be in them.
fn line(level: &str, event: &str, fields: Value) {
    let t = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut all = json!({"t_ms": t.as_millis() as u64, "level": level, "event": event});
    if let (Some(all), Value::Object(fields)) = (all.as_object_mut(), fields) {
        all.extend(fields);
    }
    if cfg!(test) {
        return;
    }
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "{all}");
}

pub fn info(event: &str, fields: Value) {
    line("info", event, fields);
}

pub fn warn(event: &str, fields: Value) {
    line("warn", event, fields);
}
