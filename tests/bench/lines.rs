//! What a replay is measured against: the same file read, and every line parsed into a `serde_json::Value`, on one thread.
#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::arithmetic_side_effects, reason = "a bench")]

use std::io::BufRead;
use std::time::Instant;

fn main() {
    let path = std::env::args().nth(1).unwrap();
    let mut file = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(path).unwrap());
    let (mut line, mut lines, mut bytes, mut objects) = (Vec::new(), 0u64, 0u64, 0u64);
    let begun = Instant::now();
    while file.read_until(b'\n', &mut line).unwrap() > 0 {
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        objects += u64::from(value.is_object());
        (lines, bytes) = (lines + 1, bytes + line.len() as u64);
        line.clear();
    }
    assert_eq!(objects, lines, "every line is a request");
    let s = begun.elapsed().as_secs_f64();
    println!(
        "serde_json::Value of every line, 1 thread: {:.0} requests/s, {:.0} MB/s",
        lines as f64 / s,
        bytes as f64 / s / 1e6
    );
}
